//! `seckill journal verify|dump`: read the journal's files, beside a running gateway or not.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::read_fold;
use seckill_shards::ids::Origin;
use seckill_shards::journal::replay;

use super::{Place, Unusable, say};
use crate::control::adopted_journals;

pub(super) fn verify(place: &Place) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    verify_one("", &config.journal())?;
    for (Origin { gateway, .. }, journal) in adopted_journals(&config.adopted())? {
        verify_one(&format!("adopted gateway {gateway}: "), &journal)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn verify_one(of: &str, folder: &Path) -> anyhow::Result<()> {
    let (disk, found) = open(folder)?;
    let (Some(journal), position) = (found.journal, found.position) else {
        return Err(Unusable("there is no journal in the data directory".to_owned()).into());
    };
    drop(disk);
    let name: String = journal.iter().map(|byte| format!("{byte:02x}")).collect();
    let segments = found.segments.len();
    say(&format!(
        "{of}journal {name}: sound from position {} to {position}, {segments} segments, run {}",
        found.checkpoint_position, found.last_run
    ))?;
    Ok(())
}

pub(super) fn dump(place: &Place, adopted: Option<u16>) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let folder = match adopted {
        None => config.journal(),
        Some(gateway) => {
            let all = adopted_journals(&config.adopted())?;
            let found = all.into_iter().find(|(origin, _)| origin.gateway == gateway);
            let none = || Unusable(format!("gateway {gateway} is not adopted here"));
            found.ok_or_else(none)?.1
        }
    };
    let (disk, found) = open(&folder)?;
    let Some(journal) = found.journal else {
        return Err(Unusable("there is no journal in the data directory".to_owned()).into());
    };
    let segments: Vec<_> = found.segments.iter().map(|segment| segment.segment).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut failed = Ok(());
    let from = found.checkpoint_position;
    replay(&disk, journal, &segments, from, &mut |position, record| {
        let line = serde_json::json!({
            "position": position,
            "record": record.name(),
            "fields": format!("{record:?}"),
        });
        if failed.is_ok() {
            failed = writeln!(out, "{line}");
        }
    })?;
    failed?;
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn open(folder: &Path) -> anyhow::Result<(MachineDisk, seckill_shards::engine::Found)> {
    let disk = MachineDisk::open_beside(folder)
        .map_err(|_| Unusable("there is no journal in the data directory".to_owned()))?;
    let (found, _) = read_fold(&disk, None)?;
    Ok((disk, found))
}
