//! `seckill backup` and `seckill restore`: a data directory, copied whole beside the gateway that
//! runs on it, and put back.
//!
//! A copy is read before it is called one. The store is copied first, so the journal is never behind
//! it; where a checkpoint was made between, both are copied again.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use seckill_shards::disk::MachineDisk;
use seckill_shards::engine::{Found, read_fold};
use seckill_shards::journal::copy_journal;

use super::{Place, Unusable, note, open_store, remove_if_there, runtime, say};
use crate::config::{Config, KEPT_SECRETS, StorePlace};
use crate::store::{Deed, JournalPosition, sqlite};

/// Times that the files of a running gateway are copied again after they changed meanwhile.
const COPIES_MAX: usize = 5;
const JOURNAL: &str = "journal";
/// The journal until it is known to be whole: what was given up half-way is no backup, and no start
/// goes on from it.
const HALF: &str = "journal.making";
const STORE: &str = "store.db";
/// A line of text with what is in a backup.
const LABEL: &str = "backup";

pub(super) fn backup(place: &Place, out: &Path) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let journal = open_journal(&config.journal(), "the data directory")?;
    must_be_empty(out)?;
    let label = label(&copy_both(&config, &journal, out)?);
    for name in KEPT_SECRETS {
        copy_file(&config.data.join(name), &out.join(name))?;
    }
    fs::write(out.join(LABEL), &label)?;
    finish(out)?;
    say(&format!("backup: {label}"))?;
    if let StorePlace::SqlServer(_) = config.store {
        say("the store is not in it: a database of SQL Server has backups of its own")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn restore(place: &Place, from: &Path) -> anyhow::Result<ExitCode> {
    let config = place.config()?;
    let journal = open_journal(&from.join(JOURNAL), "the backup")?;
    let (found, _) = read_fold(&journal, None)?;
    let label = label(&found);
    let kept = fs::read_to_string(from.join(LABEL)).unwrap_or_default();
    if kept != label {
        let text = format!("the backup is damaged: it was {kept:?}, and it is {label:?}");
        return Err(Unusable(text).into());
    }
    must_be_followed(&config, &found)?;
    must_be_empty(&config.data)?;
    copy_and_read(&journal, &config.data.join(HALF))?;
    if let StorePlace::Sqlite(path) = &config.store {
        copy_file(&from.join(STORE), path)?;
    }
    for name in KEPT_SECRETS {
        copy_file(&from.join(name), &config.data.join(name))?;
    }
    finish(&config.data)?;
    say(&format!("restored: {label}"))?;
    note_restored(&config, label)?;
    if config.redis_url.is_some() {
        say(
            "Redis and the other gateways remember what came behind that position: where they do, \
             `seckill serve` stops and says so, and only a newer copy helps",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// In the store that was restored, or that was there all the time.
fn note_restored(config: &Config, label: String) -> anyhow::Result<()> {
    let store = open_store(config)?;
    let deed = Deed::new("restored", "gateway", Some(config.gateway_id.into()));
    runtime()?.block_on(note(&*store, deed, label));
    Ok(())
}

fn open_journal(folder: &Path, of: &str) -> Result<MachineDisk, Unusable> {
    MachineDisk::open_beside(folder).map_err(|_| Unusable(format!("there is no journal in {of}")))
}

fn must_be_empty(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    fs::create_dir_all(folder).with_context(|| format!("{shown} cannot be made"))?;
    match fs::read_dir(folder)?.next() {
        None => Ok(()),
        Some(_) => Err(Unusable(format!("{shown} is not empty")).into()),
    }
}

/// Copies the embedded store, then the journal, until the one fits the other.
fn copy_both(config: &Config, journal: &MachineDisk, out: &Path) -> anyhow::Result<Found> {
    let mut tries = 1;
    loop {
        let copied = copy_once(config, journal, out);
        match copied {
            Err(error) if tries < COPIES_MAX && !error.is::<Unusable>() => tries += 1,
            done => return done,
        }
        fs::remove_dir_all(out.join(HALF))?;
    }
}

fn copy_once(config: &Config, journal: &MachineDisk, out: &Path) -> anyhow::Result<Found> {
    let stored = match &config.store {
        StorePlace::Sqlite(path) => {
            let copy = out.join(STORE);
            remove_if_there(&copy)?;
            let positions = sqlite::copy(path, &copy).map_err(|error| Unusable::from(&error))?;
            positions.into_iter().find(|(gateway, _)| *gateway == config.gateway_id)
        }
        StorePlace::SqlServer(_) => None,
    };
    let found = copy_and_read(journal, &out.join(HALF))?;
    if let Some((_, stored)) = stored {
        must_fit(&found, &stored)?;
    }
    Ok(found)
}

/// Copies a journal into a folder, and reads the copy; what is there.
fn copy_and_read(journal: &MachineDisk, to: &Path) -> anyhow::Result<Found> {
    let copy = MachineDisk::open_locked(to)?;
    copy_journal(journal, &copy)?;
    Ok(read_fold(&copy, None)?.0)
}

/// The store's copy must be one that a start on this journal takes.
fn must_fit(found: &Found, stored: &JournalPosition) -> anyhow::Result<()> {
    if found.journal != Some(stored.journal_id) {
        return Err(Unusable("the store does not follow this journal".to_owned()).into());
    }
    let (begin, end, stored) = (found.checkpoint_position, found.position, stored.position);
    anyhow::ensure!(
        (begin..=end).contains(&stored),
        "the journal moves faster than it can be copied: it is from position {begin} to {end}, and the \
         store stands at {stored}"
    );
    Ok(())
}

/// A store that is not in the backup may have gone on behind it.
fn must_be_followed(config: &Config, found: &Found) -> anyhow::Result<()> {
    let StorePlace::SqlServer(_) = config.store else { return Ok(()) };
    let store = open_store(config)?;
    let stored = runtime()?.block_on(store.position(config.gateway_id));
    let stored = stored.map_err(|error| Unusable::from(&error))?;
    let (gateway, end) = (config.gateway_id, found.position);
    match stored {
        Some(stored) if stored.position > end || Some(stored.journal_id) != found.journal => {
            Err(Unusable(format!(
                "the store has followed gateway {gateway} to position {}, and this backup ends at {end}: \
                 a start on it would be refused, and orders since then would be lost; start on the \
                 newest copy of the data directory",
                stored.position
            ))
            .into())
        }
        _ => Ok(()),
    }
}

/// Copies a file where it is there, durably and for its owner alone.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<()> {
    if !from.exists() {
        return Ok(());
    }
    if to.exists() {
        return Err(Unusable(format!("{} is there already", to.display())).into());
    }
    fs::copy(from, to).with_context(|| format!("{} cannot be copied", from.display()))?;
    Ok(File::open(to)?.sync_all()?)
}

/// Gives the journal its name: what is there is whole.
fn finish(folder: &Path) -> io::Result<()> {
    fs::rename(folder.join(HALF), folder.join(JOURNAL))?;
    File::open(folder)?.sync_all()
}

fn label(found: &Found) -> String {
    let journal: String =
        found.journal.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
    let (begin, end) = (found.checkpoint_position, found.position);
    format!("journal {journal} from position {begin} to {end}")
}
