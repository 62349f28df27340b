use std::{
    io::ErrorKind,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, StringForm};
use rejoin_protocol::DbIndex;

use super::*;
use crate::storage::{
    FolderLock, Listed, Reader,
    simulated::{Fault, SimulatedStorage},
};

const KEYS_BEFORE: u64 = 1;
const KEYS: u64 = 5_000;

fn keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 2, seed: HashSeed::new([1; 16]) })
}

/// A snapshot of `count` keys of a hundred bytes.
fn snapshot(count: u64) -> Snapshot {
    let mut keyspace = keyspace();
    for number in 0..count {
        let name = format!("key:{number}");
        let key = keyspace.key(name.as_bytes());
        keyspace.database_mut(DbIndex::new(0)).put_string(key, &[b'x'; 100], StringForm::Raw, None);
    }
    keyspace.snapshot()
}

fn file() -> RdbFile {
    RdbFile {
        place: "dump.rdb".into(),
        temporary: "temp-1.rdb".into(),
        syncs_in_steps: true,
        options: EncodeOptions::for_target(rdb::RdbTarget { psync2: true }, None),
        written: Arc::default(),
    }
}

/// A disk with an older file in the place.
fn disk() -> SimulatedStorage {
    let disk = SimulatedStorage::new();
    file().write(&disk, snapshot(KEYS_BEFORE), &SaveGuard::default()).unwrap();
    disk
}

/// Operations of one save that goes well.
fn operations_of_a_save() -> u64 {
    let disk = disk();
    let before = disk.operations(None);
    file().write(&disk, snapshot(KEYS), &SaveGuard::default()).unwrap();
    disk.operations(None) - before
}

fn keys_on(disk: &SimulatedStorage) -> u64 {
    let file = disk.open(Path::new("dump.rdb"), Open::Existing).unwrap();
    rdb::decode(&mut Reader::new(file, 0), &mut keyspace(), &rdb::DecodeOptions::default()).unwrap().keys
}

fn names(disk: &SimulatedStorage) -> Vec<String> {
    disk.list(Path::new("")).unwrap().into_iter().map(|Listed { name, .. }| name).collect()
}

#[test]
fn a_file_takes_the_place_of_the_older_when_it_is_whole() {
    let (disk, file) = (disk(), file());
    let bytes = file.write(&disk, snapshot(KEYS), &SaveGuard::default()).unwrap();
    assert_eq!(keys_on(&disk), KEYS);
    assert_eq!(file.written.load(Relaxed), KEYS);
    assert_eq!(disk.open(Path::new("dump.rdb"), Open::Existing).unwrap().len().unwrap(), bytes);
    assert_eq!(names(&disk), ["dump.rdb"]);
    // And no power loss takes it back.
    for seed in 0..20 {
        assert_eq!(keys_on(&disk.power_loss(seed)), KEYS);
    }
}

#[test]
fn whichever_operation_fails_the_older_file_stays_and_nothing_else_does() {
    let mut failures = Vec::new();
    let operations = operations_of_a_save();
    for failing in 1..=operations {
        let disk = disk();
        disk.fail(Fault::error(ErrorKind::StorageFull).at(failing));
        let error = file().write(&disk, snapshot(KEYS), &SaveGuard::default()).unwrap_err();
        disk.stop_failing();
        // When only the folder's sync has failed, the new file is there.
        let keys = if failing == operations { KEYS } else { KEYS_BEFORE };
        assert_eq!((keys_on(&disk), names(&disk)), (keys, vec!["dump.rdb".to_owned()]), "{failing}");
        failures.push(error.to_string());
    }
    failures.dedup();
    assert_eq!(
        failures,
        [
            "Failed opening the temp RDB file temp-1.rdb for saving: no storage space",
            "Write error while saving DB to the disk: no storage space",
            "Error moving temp DB file temp-1.rdb on the final destination dump.rdb: no storage space",
        ]
    );
}

#[test]
fn a_full_disk_and_short_writes_are_an_error_and_none() {
    let disk = disk();
    disk.fail(Fault::short_write(1000).forever());
    file().write(&disk, snapshot(KEYS), &SaveGuard::default()).unwrap();
    assert_eq!(keys_on(&disk), KEYS);
    disk.set_capacity(Some(1_000_000));
    let error = file().write(&disk, snapshot(KEYS), &SaveGuard::default()).unwrap_err();
    assert!(matches!(error, SaveError::Write(_)), "{error}");
    assert_eq!((keys_on(&disk), names(&disk)), (KEYS, vec!["dump.rdb".to_owned()]));
}

#[test]
fn wherever_process_or_machine_stop_there_is_a_whole_file() {
    let mut new_ones = 0;
    for last in 1..=operations_of_a_save() {
        let disk = disk();
        disk.fail(Fault::crash().at(last));
        assert!(file().write(&disk, snapshot(KEYS), &SaveGuard::default()).is_err());
        assert!([KEYS_BEFORE, KEYS].contains(&keys_on(&disk.kill())), "{last}");
        for seed in 0..10 {
            let keys = keys_on(&disk.power_loss(seed));
            assert!([KEYS_BEFORE, KEYS].contains(&keys), "{last}, seed {seed}");
            new_ones += u64::from(keys == KEYS);
        }
    }
    assert!(new_ones > 0, "the rename may have happened");
}

/// A disk on which the save is called off before its n-th operation.
#[derive(Debug)]
struct Canceller {
    disk: SimulatedStorage,
    guard: Arc<SaveGuard>,
    left: Arc<AtomicU64>,
}

impl Canceller {
    fn step(&self) {
        if self.left.fetch_sub(1, Relaxed) == 1 {
            self.guard.cancel();
        }
    }
}

impl Storage for Canceller {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn StoredFile>> {
        self.step();
        let (guard, left) = (self.guard.clone(), self.left.clone());
        Ok(Arc::new(CancellerFile {
            file: self.disk.open(path, how)?,
            step: Canceller { disk: self.disk.clone(), guard, left },
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.disk.list(folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.create_folder(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<FolderLock> {
        self.disk.lock_folder(folder)
    }

    fn boot_id(&self) -> [u8; 16] {
        self.disk.boot_id()
    }

    fn free_bytes(&self) -> Option<u64> {
        self.disk.free_bytes()
    }
}

#[derive(Debug)]
struct CancellerFile {
    file: Arc<dyn StoredFile>,
    step: Canceller,
}

impl StoredFile for CancellerFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        self.step.step();
        self.file.write_at(at, bytes)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(at, into)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.step.step();
        self.file.sync()
    }
}

#[test]
fn a_save_that_is_called_off_leaves_the_older_file() {
    // The rename holds the guard, and behind it comes only the folder's sync.
    for at in 1..=operations_of_a_save() - 2 {
        let (disk, guard) = (disk(), Arc::new(SaveGuard::default()));
        let left = Arc::new(AtomicU64::new(at));
        let storage = Canceller { disk: disk.clone(), guard: guard.clone(), left };
        let outcome = file().write(&storage, snapshot(KEYS), &guard);
        assert!(matches!(outcome, Err(SaveError::Cancelled)), "{at}: {outcome:?}");
        assert_eq!((keys_on(&disk), names(&disk)), (KEYS_BEFORE, vec!["dump.rdb".to_owned()]));
    }
}
