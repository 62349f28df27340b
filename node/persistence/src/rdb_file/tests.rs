use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, StringForm};
use rejoin_protocol::DbIndex;

use super::*;
use crate::storage::Listed;

type Bytes = Arc<Mutex<Vec<u8>>>;

/// Files in memory, of which the n-th operation fails.
#[derive(Debug, Default)]
struct Disk {
    files: Mutex<BTreeMap<PathBuf, Bytes>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    operations: AtomicUsize,
    /// The operation that fails, counted from 1.
    failing: AtomicUsize,
    /// Before this operation the save is called off.
    guard: Mutex<Option<(usize, Arc<SaveGuard>)>>,
}

impl Shared {
    fn step(&self) -> io::Result<()> {
        let operation = self.operations.fetch_add(1, Relaxed) + 1;
        if let Some((at, guard)) = &*self.guard.lock().unwrap()
            && *at == operation
        {
            guard.cancel();
        }
        match self.failing.load(Relaxed) == operation {
            true => Err(io::Error::from_raw_os_error(28)),
            false => Ok(()),
        }
    }
}

impl Disk {
    fn content(&self, name: &str) -> Option<Vec<u8>> {
        let files = self.files.lock().unwrap();
        files.get(Path::new(name)).map(|bytes| bytes.lock().unwrap().clone())
    }

    fn names(&self) -> Vec<String> {
        let files = self.files.lock().unwrap();
        files.keys().map(|name| name.display().to_string()).collect()
    }
}

impl Storage for Disk {
    fn open(&self, path: &Path, _: Open) -> io::Result<Arc<dyn StoredFile>> {
        self.shared.step()?;
        let bytes = Bytes::default();
        self.files.lock().unwrap().insert(path.to_owned(), bytes.clone());
        Ok(Arc::new(OpenFile { bytes, shared: self.shared.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.step()?;
        let mut files = self.files.lock().unwrap();
        let bytes = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files.lock().unwrap().remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Listed>> {
        Ok(Vec::new())
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.shared.step()
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

#[derive(Debug)]
struct OpenFile {
    bytes: Bytes,
    shared: Arc<Shared>,
}

impl StoredFile for OpenFile {
    /// Half of it, as a disk may.
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.shared.step()?;
        let bytes = &bytes[..bytes.len().div_ceil(2)];
        let mut file = self.bytes.lock().unwrap();
        assert_eq!(file.len() as u64, at, "written from one end to the other");
        file.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.shared.step()
    }
}

fn keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 2, seed: HashSeed::new([1; 16]) })
}

/// A snapshot of `count` keys of a few bytes.
fn snapshot(count: u32) -> Snapshot {
    let mut keyspace = keyspace();
    for number in 0..count {
        let name = format!("key:{number}");
        let key = keyspace.key(name.as_bytes());
        keyspace.database_mut(DbIndex::new(0)).put_string(key, &[b'x'; 100], StringForm::Raw, None);
    }
    keyspace.snapshot()
}

fn file() -> RdbFile {
    RdbFile { place: "dump.rdb".into(), temporary: "temp-1.rdb".into(), syncs_in_steps: true, position: None }
}

/// A disk with an older file in the place.
fn disk() -> Disk {
    let disk = Disk::default();
    file().write(&disk, snapshot(1), &SaveGuard::default()).unwrap();
    disk.shared.operations.store(0, Relaxed);
    disk
}

fn keys_in(bytes: &[u8]) -> u64 {
    rdb::decode(&mut &*bytes, &mut keyspace(), &rdb::DecodeOptions::default()).unwrap().keys
}

#[test]
fn a_file_takes_the_place_of_the_older_when_it_is_whole() {
    let disk = disk();
    let snapshot = snapshot(100_000);
    let file = file();
    let bytes = file.write(&disk, snapshot, &SaveGuard::default()).unwrap();
    let content = disk.content("dump.rdb").unwrap();
    assert_eq!(content.len() as u64, bytes);
    assert_eq!(keys_in(&content), 100_000);
    assert_eq!(file.written.load(Relaxed), 100_000);
    assert_eq!(disk.names(), ["dump.rdb"]);
}

#[test]
fn whichever_operation_fails_the_older_file_stays_and_nothing_else_does() {
    let old = disk().content("dump.rdb").unwrap();
    let mut failures = Vec::new();
    for failing in 1.. {
        let disk = disk();
        disk.shared.failing.store(failing, Relaxed);
        let Err(error) = file().write(&disk, snapshot(5_000), &SaveGuard::default()) else { break };
        let name = error.to_string();
        let content = disk.content("dump.rdb").unwrap();
        if disk.names() == ["dump.rdb"] && content != old {
            // Only the folder's sync was missing.
            assert_eq!(keys_in(&content), 5_000);
        } else {
            assert_eq!(content, old, "{failing}");
            assert_eq!(disk.names(), ["dump.rdb"], "{failing}");
        }
        failures.push(name);
    }
    failures.dedup();
    assert_eq!(
        failures,
        [
            "Failed opening the temp RDB file temp-1.rdb for saving: No space left on device",
            "Write error while saving DB to the disk: No space left on device",
            "Error moving temp DB file temp-1.rdb on the final destination dump.rdb: No space left on device",
        ]
    );
}

#[test]
fn a_save_that_is_called_off_leaves_the_older_file() {
    let old = disk().content("dump.rdb").unwrap();
    let whole = disk();
    file().write(&whole, snapshot(5_000), &SaveGuard::default()).unwrap();
    // The rename holds the guard, and behind it comes only the folder's sync.
    let before_rename = whole.shared.operations.load(Relaxed) - 2;
    assert!(before_rename > 10);
    for at in 1..=before_rename {
        let (disk, guard) = (disk(), Arc::new(SaveGuard::default()));
        *disk.shared.guard.lock().unwrap() = Some((at, guard.clone()));
        let outcome = file().write(&disk, snapshot(5_000), &guard);
        assert!(matches!(outcome, Err(SaveError::Cancelled)), "{at}: {outcome:?}");
        assert_eq!(disk.content("dump.rdb").unwrap(), old);
        assert_eq!(disk.names(), ["dump.rdb"]);
    }
}
