//! The data directory of a process, for the markers beside its journal: files of this machine, whatever
//! becomes of the simulated disk.
//!
//! It must not know what they say.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// It is gone with the last who uses it.
#[derive(Debug)]
pub(super) struct Data(PathBuf);

impl Data {
    /// The folder of a journal that is not there.
    pub(super) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }
}

impl Default for Data {
    /// A fresh one.
    fn default() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("seckill-simulation-{}-{}", name.0, name.1));
        std::fs::create_dir_all(&folder).expect("there is room");
        Self(folder)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
