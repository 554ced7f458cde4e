//! A disk that crashes as disks do: what was not synced may be there, torn, reordered or gone.
//!
//! Every write goes to a list of pending pieces, one a sector; a sync makes those of its file
//! durable, a crash keeps a random choice of the rest and may tear one in its middle. Names are
//! pending until they are synced; a crash keeps a random prefix of the changes.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Random;
use crate::disk::{Disk, DiskFile};
use crate::limits::SECTOR_BYTES;

/// The simulated disk: what survives the process, and what may not.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Random,
    files: Vec<SimulatedFile>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    name_changes: Vec<NameChange>,
    /// Bytes that all files together may have.
    capacity: u64,
    /// Calls that change the disk until one of them fails, and all after it.
    calls_until_fault: Option<u64>,
    /// Whether only that one fails.
    once: bool,
    /// Counts those calls.
    calls: u64,
    faulty: bool,
    reads: Reads,
}

/// Calls that only look at the disk: they fail by themselves.
#[derive(Debug, Default)]
struct Reads {
    calls: u64,
    until_fault: Option<u64>,
    faulty: bool,
}

#[derive(Debug)]
struct SimulatedFile {
    durable: Vec<u8>,
    live: Vec<u8>,
    /// Offsets of sectors that were written since the last sync.
    pending: Vec<usize>,
    /// Whether it was made without bytes.
    grows: bool,
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(String, usize),
    Remove(String),
}

impl SimulatedDisk {
    /// An empty disk of `capacity` bytes.
    #[must_use]
    pub fn new(seed: u64, capacity: u64) -> Self {
        let state = State {
            random: Random::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            capacity,
            calls_until_fault: None,
            once: false,
            calls: 0,
            faulty: false,
            reads: Reads::default(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The call that changes the disk `calls` from now fails, and so do all after it until
    /// [`crash`](Self::crash).
    pub fn fail_after(&self, calls: u64) {
        let mut state = self.lock();
        (state.calls_until_fault, state.once) = (Some(calls), false);
    }

    /// The call that changes the disk `calls` from now fails, and none after it.
    pub fn fail_once_after(&self, calls: u64) {
        let mut state = self.lock();
        (state.calls_until_fault, state.once) = (Some(calls), true);
    }

    /// The call that looks at the disk (lists, opens, measures or reads) `calls` from now fails, and
    /// so do all after it until [`crash`](Self::crash), [`heal`](Self::heal) or
    /// [`heal_reads`](Self::heal_reads). Writing goes on.
    pub fn fail_reads_after(&self, calls: u64) {
        self.lock().reads.until_fault = Some(calls);
    }

    /// Reading goes well again.
    pub fn heal_reads(&self) {
        self.lock().reads.heal();
    }

    /// How many calls have looked at it or tried to.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.lock().reads.calls
    }

    /// How many calls have changed it or tried to.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Bytes that all files together have.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Sets the bytes that all files together may have.
    pub fn set_capacity(&self, capacity: u64) {
        self.lock().capacity = capacity;
    }

    /// The machine stops: what is durable stays, of the rest a random part does. Handles that are
    /// still open must not be used any more.
    pub fn crash(&self) {
        let mut state = self.lock();
        let state = &mut *state;
        for file in &mut state.files {
            file.crash(&mut state.random);
        }
        let kept = state.random.index(state.name_changes.len() + 1);
        for change in state.name_changes.drain(..).take(kept) {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        state.heal();
    }

    /// Nothing fails any more. Everything written is there, synced or not, as it is when a process
    /// is killed and its machine goes on.
    pub fn heal(&self) {
        self.lock().heal();
    }

    /// Changes one byte of a file for good, as a failing disk does.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn flip(&self, name: &str, offset: usize) {
        let mut state = self.lock();
        let file = state.names[name];
        state.files[file].live[offset] ^= 0x40;
        state.files[file].durable[offset] ^= 0x40;
    }

    /// A file's bytes as they are now.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        state.names.get(name).map(|&file| state.files[file].live.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics under this lock")
    }
}

impl State {
    /// Counts a call that changes the disk; an error where it is its turn to fail.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        let fails = self.calls_until_fault == Some(0);
        self.calls_until_fault = self.calls_until_fault.and_then(|left| left.checked_sub(1));
        self.faulty |= fails && !self.once;
        if fails || self.faulty {
            Err(io::Error::other("the simulated disk has failed"))
        } else {
            Ok(())
        }
    }

    fn heal(&mut self) {
        self.faulty = false;
        self.calls_until_fault = None;
        self.reads.heal();
    }

    fn used(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].live.len() as u64).sum()
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }
}

impl Reads {
    /// Counts a call that looks at the disk; an error where it is its turn to fail.
    fn call(&mut self) -> io::Result<()> {
        self.calls += 1;
        self.faulty |= self.until_fault == Some(0);
        self.until_fault = self.until_fault.and_then(|left| left.checked_sub(1));
        match self.faulty {
            true => Err(io::Error::other("the simulated disk cannot be read")),
            false => Ok(()),
        }
    }

    fn heal(&mut self) {
        (self.until_fault, self.faulty) = (None, false);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Put(name, file) => {
                names.retain(|_, known| known != file);
                names.insert(name.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl SimulatedFile {
    fn sync(&mut self) {
        self.durable.resize(self.live.len(), 0);
        for offset in self.pending.drain(..) {
            let sector = offset..(offset + SECTOR_BYTES).min(self.live.len());
            self.durable[sector.clone()].copy_from_slice(&self.live[sector]);
        }
    }

    fn crash(&mut self, random: &mut Random) {
        for offset in std::mem::take(&mut self.pending) {
            let length = SECTOR_BYTES.min(self.live.len() - offset);
            let kept = match random.below(8) {
                0..4 => length,
                4 => random.index(length),
                _ => 0,
            };
            // One that grew may be shorter again, or have a hole.
            let end = self.durable.len().max(if kept > 0 { offset + kept } else { 0 });
            self.durable.resize(end, 0);
            self.durable[offset.min(end)..][..kept].copy_from_slice(&self.live[offset..][..kept]);
        }
        self.live = self.durable.clone();
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.lock();
        state.reads.call()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.call()?;
        if state.used() + bytes > state.capacity {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let zeros = vec![0; usize::try_from(bytes).expect("a small disk")];
        let file = state.files.len();
        let made = SimulatedFile {
            durable: zeros.clone(),
            live: zeros,
            pending: Vec::new(),
            grows: bytes == 0,
        };
        state.files.push(made);
        state.change_name(NameChange::Put(name.to_owned(), file));
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.lock();
        state.reads.call()?;
        let file = state.file(name)?;
        Ok(Box::new(Handle { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        let file = state.file(from)?;
        state.change_name(NameChange::Put(to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.file(name)?;
        state.change_name(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.call()?;
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct Handle {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        let mut state = self.disk.lock();
        state.reads.call()?;
        Ok(state.files[self.file].live.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.reads.call()?;
        let offset = usize::try_from(offset).expect("a small disk");
        let bytes = state.files[self.file].live.get(offset..offset + buffer.len());
        buffer.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.lock();
        let failed = state.call();
        let offset = usize::try_from(offset).expect("a small disk");
        assert!(offset.is_multiple_of(SECTOR_BYTES), "the journal writes whole sectors");
        let end = offset + bytes.len();
        let more = end.saturating_sub(state.files[self.file].live.len());
        if more > 0 && state.used() + more as u64 > state.capacity {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let file = &mut state.files[self.file];
        assert!(more == 0 || file.grows, "a file of fixed length does not grow");
        let length = file.live.len() + more;
        file.live.resize(length, 0);
        // A write that fails may still have reached the disk.
        file.live[offset..end].copy_from_slice(bytes);
        file.pending.extend((offset..end).step_by(SECTOR_BYTES));
        failed
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.lock();
        state.call()?;
        state.files[self.file].sync();
        Ok(())
    }
}
