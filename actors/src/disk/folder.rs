//! A folder of the file system as a storage.

use std::{
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_persistence::storage::{FolderLock, Listed, Open, Storage, StoredFile};

/// A folder of the file system.
#[derive(Clone, Debug)]
pub struct FolderStorage {
    root: PathBuf,
}

impl FolderStorage {
    /// The storage at `root`, which exists.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }
}

impl Storage for FolderStorage {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn StoredFile>> {
        let mut options = File::options();
        options.read(true).write(true);
        match how {
            Open::Existing => &mut options,
            Open::New => options.create_new(true),
            Open::Any => options.create(true),
            Open::Empty => options.create(true).truncate(true),
        };
        let path = self.root.join(path);
        let opened = options.open(&path).or_else(|error| match (how, error.kind()) {
            // What may not be written can still be read.
            (Open::Existing, io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                File::open(&path)
            }
            _ => Err(error),
        });
        Ok(Arc::new(FolderFile(opened?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(self.root.join(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut listed = Vec::new();
        for entry in entries {
            let entry = entry?;
            let metadata = match entry.metadata() {
                // Removed or renamed since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            // A name that is no text is none of ours.
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                listed.push(Listed { name, bytes: metadata.len() });
            }
        }
        Ok(listed)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(self.root.join(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(self.root.join(folder))?.sync_all()
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<FolderLock> {
        let folder = File::open(self.root.join(folder))?;
        rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(FolderLock::new(folder))
    }

    fn boot_id(&self) -> [u8; 16] {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut id = [0; 16];
        let mut digits = text.bytes().filter_map(|byte| char::from(byte).to_digit(16));
        for byte in &mut id {
            let (high, low) = (digits.next().unwrap_or(0), digits.next().unwrap_or(0));
            *byte = (high << 4 | low) as u8;
        }
        id
    }

    fn free_bytes(&self) -> Option<u64> {
        let room = rustix::fs::statvfs(&self.root).ok()?;
        Some(room.f_bavail.saturating_mul(room.f_frsize))
    }
}

/// A file of the file system.
#[derive(Debug)]
struct FolderFile(File);

impl StoredFile for FolderFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_at(bytes, at)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(into, at)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }
}
