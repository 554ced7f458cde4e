//! The journals of adopted gateways: one folder each, beside this gateway's own journal.
//!
//! One is made whole or not at all, in another folder that gets its name last. It must not know what
//! the records mean.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use seckill_shards::disk::{Disk, MachineDisk};
use seckill_shards::ids::Origin;
use seckill_shards::journal::{JournalId, SegmentHead, write_checkpoint};
use seckill_shards::record::Record;

const MAKING: &str = "making";
/// The segment that stands behind the first checkpoint.
const FIRST_SEGMENT: u64 = 1;

/// Where the journal of an adopted gateway is.
pub(super) fn folder_of(adopted: &Path, origin: Origin) -> PathBuf {
    adopted.join(format!("{}-{}", origin.gateway, origin.epoch))
}

/// The gateways whose journals are here, by number.
///
/// # Errors
/// What the operating system says; a folder that is not there has none.
pub fn list(adopted: &Path) -> io::Result<Vec<(Origin, PathBuf)>> {
    let entries = match fs::read_dir(adopted) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        found.extend(entry.file_name().to_str().and_then(origin_of).map(|it| (it, entry.path())));
    }
    found.sort_unstable_by_key(|(origin, _)| (origin.gateway, origin.epoch));
    Ok(found)
}

fn origin_of(name: &str) -> Option<Origin> {
    let (gateway, epoch) = name.split_once('-')?;
    Some(Origin { gateway: gateway.parse().ok()?, epoch: epoch.parse().ok()? })
}

/// Makes a journal that begins with these records, if there is none of this gateway yet.
///
/// # Errors
/// What the operating system says; there is none then.
pub(super) fn make(
    adopted: &Path,
    origin: Origin,
    journal: JournalId,
    records: &[Record],
) -> io::Result<()> {
    let (making, folder) = (adopted.join(MAKING), folder_of(adopted, origin));
    if folder.try_exists()? {
        return Ok(());
    }
    if making.try_exists()? {
        // A crash has left it behind.
        fs::remove_dir_all(&making)?;
    }
    begin(&MachineDisk::open_locked(&making)?, (origin.gateway, journal), records)?;
    fs::rename(&making, &folder)
}

/// Begins a gateway's journal with these records, on a disk that has none.
///
/// # Errors
/// What the disk says.
pub(in crate::control) fn begin(
    disk: &dyn Disk,
    (gateway, journal): (u16, JournalId),
    records: &[Record],
) -> io::Result<()> {
    let head = SegmentHead { journal, gateway: Some(gateway), segment: FIRST_SEGMENT, run: 0 };
    write_checkpoint(disk, head, 0, |sink| records.iter().for_each(sink))?;
    Ok(())
}

/// Sees to it that a journal is still there after a power cut: before the store is told of it.
///
/// # Errors
/// What the operating system says.
pub(super) fn keep(folder: &Path) -> io::Result<()> {
    folder.ancestors().skip(1).take(2).try_for_each(|above| File::open(above)?.sync_all())
}

#[cfg(test)]
mod tests {
    use seckill_shards::clock::Timestamp;
    use seckill_shards::engine::read_fold;
    use seckill_shards::record::CounterKept;

    use super::*;

    #[test]
    fn a_journal_is_made_once_and_found_by_its_gateway() {
        let name = format!("seckill-adopted-{}", std::process::id());
        let adopted = std::env::temp_dir().join(name).join("adopted");
        assert_eq!(list(&adopted).unwrap(), []);
        let origin = Origin { gateway: 12, epoch: 3 };
        // What a crash has left is no journal, and in nobody's way.
        fs::create_dir_all(adopted.join(MAKING)).unwrap();
        fs::write(adopted.join(MAKING).join("half"), "of it").unwrap();
        let kept = |at| [Record::CounterKept(CounterKept { shard: 0, next: 1, at: Timestamp(at) })];
        for (journal, at) in [([1; 16], 5), ([2; 16], 6)] {
            make(&adopted, origin, journal, &kept(at)).unwrap();
            let folder = folder_of(&adopted, origin);
            assert_eq!(list(&adopted).unwrap(), [(origin, folder.clone())]);
            let (found, fold) =
                read_fold(&MachineDisk::open_beside(&folder).unwrap(), None).unwrap();
            let (begin, end) = (found.checkpoint_position, found.position);
            assert_eq!((found.journal, begin, end), (Some([1; 16]), 0, 0), "the first one stays");
            assert_eq!(fold.last_at, Timestamp(5));
        }
        fs::remove_dir_all(adopted.parent().unwrap()).unwrap();
    }
}
