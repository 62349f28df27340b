//! A storage in memory that fails when it is told to: for tests and simulation, of this crate and of others.
//!
//! * [`SimulatedStorage::fail`] plans failures: the n-th operation, short writes, a sync that fails, the process' end.
//! * [`SimulatedStorage::set_capacity`] makes the disk full.
//! * [`SimulatedStorage::kill`] and [`SimulatedStorage::power_loss`] give what would be found afterwards, as a storage of
//!   its own. The old one is left as it is, so that one state may be tried under many seeds.
//!
//! It promises no more than [`Storage`] does. After a power loss each sector that was written since the file's last
//! sync holds the old bytes or the new ones (zeros where the file was shorter), the file has the old length, the new
//! one or one between, and each change of a name since its folder's last sync happened or did not: worse than most file
//! systems, and the same for the same seed. A file whose sync fails forgets what was not synced, as Linux does: a later
//! sync that succeeds says nothing about those bytes.

mod disk;
mod faults;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    path::{Component, Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use disk::{Disk, FileId};
use faults::Faults;

pub use faults::{Fault, Verb};

use super::{FolderLock, Listed, Open, Storage, StoredFile};

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedStorage {
    machine: Arc<Mutex<Machine>>,
}

#[derive(Debug, Default)]
struct Machine {
    disk: Disk,
    faults: Faults,
    /// How many bytes all files together may have; `None` for no limit.
    capacity: Option<u64>,
    /// Power losses before this one.
    boots: u64,
    /// Folders that somebody has locked.
    locked: BTreeSet<PathBuf>,
}

/// What the machine lets an operation do.
enum Permit {
    /// All of it.
    Whole,
    /// Of a write, so many bytes at most.
    Part(usize),
    /// Of a write, so many bytes; then the process ends.
    LastPart(usize),
}

impl SimulatedStorage {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Plans a failure. Of those that apply to an operation, the one that was planned first happens.
    pub fn fail(&self, fault: Fault) {
        self.machine().faults.plan(fault);
    }

    /// Takes back all failures, except the process' end where it has come.
    pub fn stop_failing(&self) {
        self.machine().faults.clear();
    }

    /// How often something was asked of it, refused or not: of one kind, or anything at all.
    #[must_use]
    pub fn operations(&self, verb: Option<Verb>) -> u64 {
        self.machine().faults.operations(verb)
    }

    /// How often a planned failure happened.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.machine().faults.failures()
    }

    /// Whether a [`Fault::crash`] has happened: nothing more can be done through this storage and its files.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.machine().faults.is_down()
    }

    /// How many bytes all files together may have. Files that are longer already stay.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.machine().capacity = bytes;
    }

    /// How many power losses came before; what a kernel's boot id tells.
    #[must_use]
    pub fn boots(&self) -> u64 {
        self.machine().boots
    }

    /// The disk as the next process finds it after this one was killed: with all that was written.
    #[must_use]
    pub fn kill(&self) -> Self {
        let machine = self.machine();
        Self::of(machine.disk.after_kill(), &machine, machine.boots)
    }

    /// The disk as it is found after a power loss, the same for the same `seed`.
    #[must_use]
    pub fn power_loss(&self, seed: u64) -> Self {
        let machine = self.machine();
        Self::of(machine.disk.after_power_loss(seed), &machine, machine.boots + 1)
    }

    fn of(disk: Disk, before: &Machine, boots: u64) -> Self {
        let machine = Machine { disk, boots, capacity: before.capacity, ..Machine::default() };
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A test that failed elsewhere says so itself.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine, unless what is asked of it is to fail.
    fn ask(&self, verb: Verb, path: &Path) -> io::Result<(MutexGuard<'_, Machine>, PathBuf)> {
        let mut machine = self.machine();
        machine.faults.permit(verb, path)?;
        Ok((machine, normal(path)?))
    }
}

impl Storage for SimulatedStorage {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn StoredFile>> {
        let (mut machine, path) = self.ask(Verb::Open, path)?;
        let id = machine.disk.open(&path, how)?;
        drop(machine);
        Ok(Arc::new(SimulatedFile { storage: self.clone(), id, path }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut machine, from) = self.ask(Verb::Rename, from)?;
        machine.disk.rename(from, normal(to)?)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut machine, path) = self.ask(Verb::Remove, path)?;
        machine.disk.remove(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let (machine, folder) = self.ask(Verb::List, folder)?;
        machine.disk.list(&folder)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut machine, folder) = self.ask(Verb::CreateFolder, folder)?;
        machine.disk.create_folder(&folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let (mut machine, folder) = self.ask(Verb::SyncFolder, folder)?;
        machine.disk.sync_folder(&folder)
    }

    fn lock_folder(&self, folder: &Path) -> io::Result<FolderLock> {
        let (mut machine, folder) = self.ask(Verb::LockFolder, folder)?;
        machine.disk.check_folder(&folder)?;
        if !machine.locked.insert(folder.clone()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        drop(machine);
        Ok(FolderLock::new(SimulatedLock { storage: self.clone(), folder }))
    }

    fn boot_id(&self) -> [u8; 16] {
        [self.machine().boots as u8; 16]
    }

    fn free_bytes(&self) -> Option<u64> {
        let machine = self.machine();
        machine.capacity.map(|capacity| capacity.saturating_sub(machine.disk.bytes_used()))
    }
}

/// An open file.
#[derive(Debug)]
struct SimulatedFile {
    storage: SimulatedStorage,
    id: FileId,
    /// Under which name it was opened, for faults.
    path: PathBuf,
}

impl StoredFile for SimulatedFile {
    fn write_at(&self, at: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut machine = self.storage.machine();
        let permit = machine.faults.permit_write(&self.path, bytes.len())?;
        let allowed = match permit {
            Permit::Whole => bytes.len(),
            Permit::Part(count) | Permit::LastPart(count) => count,
        };
        let count = machine.fitting(self.id, at, allowed);
        if count == 0 && allowed > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        machine.disk.write(self.id, at, &bytes[..count])?;
        match permit {
            Permit::LastPart(_) => Err(faults::is_gone()),
            _ => Ok(count),
        }
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let (machine, _) = self.storage.ask(Verb::Read, &self.path)?;
        Ok(machine.disk.read(self.id, at, into))
    }

    fn len(&self) -> io::Result<u64> {
        let (machine, _) = self.storage.ask(Verb::Len, &self.path)?;
        Ok(machine.disk.len(self.id))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut machine, _) = self.storage.ask(Verb::SetLen, &self.path)?;
        machine.disk.set_len(self.id, len)
    }

    fn sync(&self) -> io::Result<()> {
        let mut machine = self.storage.machine();
        let permitted = machine.faults.permit(Verb::Sync, &self.path);
        match permitted {
            Ok(()) => machine.disk.sync(self.id),
            Err(_) if machine.faults.is_down() => {}
            Err(_) => machine.disk.forget_unsynced(self.id),
        }
        permitted
    }
}

/// A folder that is locked.
#[derive(Debug)]
struct SimulatedLock {
    storage: SimulatedStorage,
    folder: PathBuf,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.storage.machine().locked.remove(&self.folder);
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        self.storage.machine().disk.close(self.id);
    }
}

impl Machine {
    /// How many of `wanted` bytes at a place the disk has room for.
    fn fitting(&self, id: FileId, at: u64, wanted: usize) -> usize {
        let Some(capacity) = self.capacity else { return wanted };
        let free = capacity.saturating_sub(self.disk.bytes_used());
        let end_max = self.disk.len(id).saturating_add(free);
        wanted.min(usize::try_from(end_max.saturating_sub(at)).unwrap_or(usize::MAX))
    }
}

/// A path in one form only. It does not lead out of the storage.
fn normal(path: &Path) -> io::Result<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normal.push(name),
            Component::CurDir => {}
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(normal)
}
