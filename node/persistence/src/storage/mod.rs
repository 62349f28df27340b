//! What is asked of a disk: a few verbs, so that every failure of a real one can be made to happen in a test.
//!
//! Paths are relative to the storage's root and written with `/`; nothing leads out of it. The node's storage, over a
//! folder of the file system, stands in the crate `rejoin-actors`.
//!
//! What holds for every storage:
//! * bytes written are seen by every reader at once, and survive the process;
//! * they survive the machine only from the file's next [`StoredFile::sync`] on, and a name (new, renamed, removed) only
//!   from its folder's next [`Storage::sync_folder`] on;
//! * [`Storage::rename`] replaces its target at once: a reader finds the old file or the new one.
//!
//! For tests there is [`simulated`], a storage in memory that fails on demand, and [`conformance`], which says of any
//! storage whether it behaves as the others do.

pub mod conformance;
pub mod simulated;

use std::{fmt, io, path::Path, sync::Arc};

/// A folder and what is in it.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] and [`io::ErrorKind::AlreadyExists`] as `how` says, and whatever the system says.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn StoredFile>>;

    /// Gives a file another name, in the place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Whoever has it open goes on reading it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files of a folder, in no order; folders in it are left out. A folder that is not there has none.
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Makes a folder, unless it is there.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes the names in a folder survive a power loss.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Makes a folder ours, as long as the guard lives: nobody else who asks gets it. It must be there.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it is somebody else's.
    fn lock_folder(&self, folder: &Path) -> io::Result<FolderLock>;

    /// The present run of the machine, from power on to power off: what was written in the same run and is gone was lost
    /// by nobody but a process. Where runs have no names, every one is the same.
    fn boot_id(&self) -> [u8; 16];

    /// How many bytes can still be written; `None` where nobody knows.
    fn free_bytes(&self) -> Option<u64>;
}

/// Keeps a folder ours.
#[derive(Debug)]
pub struct FolderLock(
    #[expect(dead_code, reason = "what it holds is let go when it is dropped")] Box<dyn Guard>,
);

/// Whatever lets a folder go when it is dropped.
pub trait Guard: fmt::Debug + Send + Sync {}

impl<T: fmt::Debug + Send + Sync> Guard for T {}

impl FolderLock {
    /// A lock that `guard` holds.
    #[must_use]
    pub fn new(guard: impl Guard + 'static) -> Self {
        Self(Box::new(guard))
    }
}

/// An open file. Shared: the places read and written are arguments.
pub trait StoredFile: fmt::Debug + Send + Sync {
    /// Writes bytes at a place and returns how many: fewer when the disk is full or the system was interrupted. Past the
    /// end the file grows.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize>;

    /// Reads up to a buffer's worth from a place; 0 at the end.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;

    /// How long it is.
    fn len(&self) -> io::Result<u64>;

    /// Whether nothing is in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts it, or lets it grow by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes what was written survive a power loss.
    fn sync(&self) -> io::Result<()>;

    /// The file as the operating system knows it, for `sendfile` and its like; `None` where there is none.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        None
    }
}

/// Whether a file is to be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It is.
    Existing,
    /// It is not.
    New,
    /// Either; what is in it stays.
    Any,
    /// Either; what is in it is dropped.
    Empty,
}

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its name within the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

impl dyn StoredFile + '_ {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// What the file says; how much was written then is unknown. [`io::ErrorKind::WriteZero`] when it takes no more.
    pub fn write_all_at(&self, mut at: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(at, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    bytes = &bytes[count.min(bytes.len())..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fills `into` from `at`.
    ///
    /// # Errors
    /// What the file says; [`io::ErrorKind::UnexpectedEof`] when it ends before.
    pub fn read_exact_at(&self, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
        while !into.is_empty() {
            match self.read_at(at, into) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    into = into.get_mut(count..).unwrap_or_default();
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A file read from one end to the other, for whoever wants [`io::Read`].
#[derive(Debug)]
pub struct Reader {
    file: Arc<dyn StoredFile>,
    at: u64,
}

impl Reader {
    /// Reads on from `at`.
    #[must_use]
    pub fn new(file: Arc<dyn StoredFile>, at: u64) -> Self {
        Self { file, at }
    }
}

impl io::Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(self.at, into)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// A file written from one end to the other, for whoever wants [`io::Write`].
#[derive(Debug)]
pub struct Writer {
    file: Arc<dyn StoredFile>,
    at: u64,
}

impl Writer {
    /// Writes on from `at`.
    #[must_use]
    pub fn new(file: Arc<dyn StoredFile>, at: u64) -> Self {
        Self { file, at }
    }
}

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write_at(self.at, bytes)?;
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
