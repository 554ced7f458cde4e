//! The engine's seam to files: one trait, a real disk here, a simulated one in `testing`.
//!
//! It knows names and bytes, and when they are durable. It knows nothing of segments or records.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, AtFlags, FlockOperation, OFlags, StatxFlags, statx};
use rustix::io::Errno;

use crate::limits::{BUFFER_ALIGN_BYTES, PIECE_BYTES, SECTOR_BYTES};

/// A folder of files.
pub trait Disk: Send + Sync + Debug + 'static {
    /// The names in it.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `bytes` zeros, replacing one of that name; its bytes are durable (its name
    /// is after [`sync_names`](Self::sync_names)). A full disk shows here, not in a later write. One
    /// of no bytes grows as it is written.
    ///
    /// # Errors
    /// What the operating system says, `StorageFull` among it.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that exists.
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, replacing one of that name; durable after `sync_names`.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; durable after `sync_names`.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Debug {
    /// Its length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn bytes(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// What the operating system says; `UnexpectedEof` past the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Says that the whole file will be read soon: only quicker, where it makes a difference.
    fn read_ahead(&self) {}

    /// Writes all of `bytes` at `offset`. Quickest when offset, length and address are aligned as
    /// an [`AlignedBuffer`] is.
    ///
    /// # Errors
    /// What the operating system says.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the operating system says; nothing written since the last good sync is then known to
    /// be durable, and trying again would not tell.
    fn sync(&self) -> io::Result<()>;
}

/// A growing run of bytes whose first byte is aligned for direct I/O.
#[derive(Debug)]
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
}

impl AlignedBuffer {
    /// Room for `capacity` bytes; it never grows beyond, since moving would lose the alignment.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity + BUFFER_ALIGN_BYTES);
        let start = bytes.as_ptr().align_offset(BUFFER_ALIGN_BYTES);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Forgets the content.
    pub fn clear(&mut self) {
        self.bytes.truncate(self.start);
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    /// When there is no room: the caller bounds what it puts in.
    pub fn extend(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "an aligned buffer does not grow");
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends zeros up to a whole sector.
    pub fn pad_to_sector(&mut self) {
        let length = self.as_slice().len().next_multiple_of(SECTOR_BYTES);
        assert!(self.start + length <= self.bytes.capacity(), "an aligned buffer does not grow");
        self.bytes.resize(self.start + length, 0);
    }

    /// The content.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// The content, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }
}

/// A folder of the machine's file system.
#[derive(Debug)]
pub struct MachineDisk {
    folder: PathBuf,
    /// Held open for its lock; none for a reader.
    _lock: Option<File>,
}

/// The bit of statx(2) that asks for the alignment of direct I/O (Linux 6.1).
const STATX_DIOALIGN: u32 = 0x2000;
const LOCK_NAME: &str = "lock";
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_FOLDER: u32 = 0o700;

impl MachineDisk {
    /// Opens the folder for one writer, making it (mode 0700) where it is not there.
    ///
    /// # Errors
    /// `ResourceBusy` where another process holds it; else what the operating system says.
    pub fn open_locked(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(PRIVATE_FOLDER))?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .open(folder.join(LOCK_NAME))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(not_locked)?;
        Ok(Self { folder: folder.to_owned(), _lock: Some(lock) })
    }

    /// Opens the folder for reading beside its writer.
    ///
    /// # Errors
    /// `NotFound` where it is not there.
    pub fn open_beside(folder: &Path) -> io::Result<Self> {
        std::fs::metadata(folder)?;
        Ok(Self { folder: folder.to_owned(), _lock: None })
    }
}

/// Why a folder is not locked: held by another, or on a file system that has no locks.
fn not_locked(errno: Errno) -> io::Error {
    match errno {
        Errno::WOULDBLOCK => io::ErrorKind::ResourceBusy.into(),
        errno => errno.into(),
    }
}

impl Disk for MachineDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.folder.join(name);
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(PRIVATE_FILE).open(&path)?;
        let file = self.open(name)?;
        let mut zeros = AlignedBuffer::with_capacity(PIECE_BYTES);
        zeros.extend(&[0; PIECE_BYTES]);
        let mut offset = 0;
        while offset < bytes {
            let length = PIECE_BYTES.min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
            file.write_at(offset, &zeros.as_slice()[..length])?;
            offset += length as u64;
        }
        file.sync()?;
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let path = self.folder.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        let buffered = options.open(&path)?;
        // Not every file system has direct I/O, and some ask for more than whole sectors; without
        // it writes go through the page cache.
        let flags = i32::try_from(OFlags::DIRECT.bits()).expect("a flag of open(2)");
        let direct = options.custom_flags(flags).open(&path).ok().filter(takes_sectors);
        Ok(Box::new(MachineFile { buffered, direct }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

/// Whether direct writes may begin at any sector; a kernel that does not say has always allowed it.
fn takes_sectors(file: &File) -> bool {
    let asked = StatxFlags::from_bits_retain(STATX_DIOALIGN);
    statx(file, c"", AtFlags::EMPTY_PATH, asked).is_ok_and(|found| {
        let align = usize::try_from(found.stx_dio_offset_align);
        found.stx_mask & STATX_DIOALIGN == 0
            || align.is_ok_and(|align| (1..=SECTOR_BYTES).contains(&align))
    })
}

/// One file, opened twice: reads go through the page cache, aligned writes around it, which costs
/// half the CPU of a buffered write and its write-back.
#[derive(Debug)]
struct MachineFile {
    buffered: File,
    direct: Option<File>,
}

impl DiskFile for MachineFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.buffered.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.buffered.read_exact_at(buffer, offset)
    }

    fn read_ahead(&self) {
        // Advice: a file system that takes none loses nothing.
        match rustix::fs::fadvise(&self.buffered, 0, None, Advice::WillNeed) {
            Ok(()) | Err(_) => {}
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let aligned = offset.is_multiple_of(SECTOR_BYTES as u64)
            && bytes.len().is_multiple_of(SECTOR_BYTES)
            && bytes.as_ptr().align_offset(BUFFER_ALIGN_BYTES) == 0;
        match &self.direct {
            Some(direct) if aligned => direct.write_all_at(bytes, offset),
            _ => self.buffered.write_all_at(bytes, offset),
        }
    }

    fn sync(&self) -> io::Result<()> {
        rustix::fs::fdatasync(self.buffered.as_fd()).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator looked for another gateway where a network file system had no locks.
    #[test]
    fn a_folder_that_cannot_be_locked_is_told_from_one_that_another_holds() {
        assert_eq!(not_locked(Errno::WOULDBLOCK).kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(not_locked(Errno::NOLCK).raw_os_error(), Some(Errno::NOLCK.raw_os_error()));
    }

    #[test]
    fn an_aligned_buffer_keeps_its_alignment_and_its_bounds() {
        let mut buffer = AlignedBuffer::with_capacity(2 * SECTOR_BYTES);
        buffer.extend(b"seckill");
        buffer.pad_to_sector();
        assert_eq!(buffer.as_slice().len(), SECTOR_BYTES);
        assert_eq!(buffer.as_slice().as_ptr().align_offset(BUFFER_ALIGN_BYTES), 0);
        assert!(buffer.as_slice()[7..].iter().all(|&byte| byte == 0));
        buffer.clear();
        assert!(buffer.as_slice().is_empty() && buffer.room() >= 2 * SECTOR_BYTES);
    }
}
