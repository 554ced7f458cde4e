//! Markers: files beside a gateway's journal that say how it stands with the store, for a start while the
//! store is away.
//!
//! It must not know who sets one, nor why.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What is marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marker {
    /// Another speaks for this gateway, for good.
    Retired,
    /// It has asked the store to let another speak for it, and may not have heard the answer.
    Leaving,
    /// The store may believe that this gateway's membership lasts for a bounded time only.
    Bounded,
}

impl Marker {
    /// The file that is the marker, by the journal's folder.
    #[must_use]
    pub fn path(self, journal: &Path) -> PathBuf {
        journal.with_file_name(match self {
            Self::Retired => "retired",
            Self::Leaving => "leaving",
            Self::Bounded => "bounded",
        })
    }

    /// Makes it, durably.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn set(self, journal: &Path) -> io::Result<()> {
        let path = self.path(journal);
        File::create(&path)?.sync_all()?;
        path.parent().map_or(Ok(()), |data| File::open(data)?.sync_all())
    }

    /// Removes it, if it is there. It may come back where the machine fails at once.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn unset(self, journal: &Path) -> io::Result<()> {
        match fs::remove_file(self.path(journal)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_there_from_when_it_is_set_until_it_is_not() {
        let data = std::env::temp_dir().join(format!("seckill-markers-{}", std::process::id()));
        fs::create_dir_all(&data).unwrap();
        let journal = data.join("journal");
        for marker in [Marker::Retired, Marker::Leaving, Marker::Bounded] {
            marker.unset(&journal).unwrap();
            assert!(!marker.path(&journal).exists());
            for _ in 0..2 {
                marker.set(&journal).unwrap();
                assert!(marker.path(&journal).exists());
            }
            marker.unset(&journal).unwrap();
            assert!(!marker.path(&journal).exists());
        }
        fs::remove_dir_all(data).unwrap();
    }
}
