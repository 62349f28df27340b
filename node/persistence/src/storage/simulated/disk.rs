//! What is on a simulated disk, and what of it survives.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
};

use super::super::{Listed, Open};

/// The unit in which bytes are written or not.
const SECTOR_BYTES: u64 = 512;

/// The larger unit of many disks.
const LARGE_SECTOR_BYTES: u64 = 4096;

/// Files live in memory.
const FILE_BYTES_MAX: u64 = 1 << 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(u64);

/// Names and files.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    files: BTreeMap<FileId, File>,
    next_file: u64,
    /// As the process sees them.
    names: Names,
    /// As they are after a power loss, if nothing of `changes` happened.
    durable: Names,
    /// What happened to names and is not durable, in that order.
    changes: Vec<Change>,
}

/// The tree of names; the root is not in it.
#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, FileId>,
    folders: BTreeSet<PathBuf>,
}

/// A change of names.
#[derive(Clone, Debug)]
struct Change {
    what: Renaming,
    /// The folders that must be synced before it is durable.
    unsynced: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
enum Renaming {
    NewFolder(PathBuf),
    NewFile(PathBuf, FileId),
    Moved(PathBuf, PathBuf, FileId),
    Removed(PathBuf, FileId),
}

/// A file's bytes.
#[derive(Clone, Default)]
struct File {
    content: Vec<u8>,
    /// The bytes as of the last sync.
    durable: Vec<u8>,
    /// Sectors written since.
    dirty: BTreeSet<u64>,
    /// Sectors written before a sync that failed: no later one makes them durable, unless they are written again.
    forgotten: BTreeSet<u64>,
    /// How many have it open.
    handles: usize,
}

impl Disk {
    pub(super) fn open(&mut self, path: &Path, how: Open) -> io::Result<FileId> {
        self.names.check_parent(path)?;
        if path.as_os_str().is_empty() || self.names.folders.contains(path) {
            let is_new = how == Open::New;
            return Err(
                if is_new { io::ErrorKind::AlreadyExists } else { io::ErrorKind::IsADirectory }.into()
            );
        }
        let id = match (self.names.files.get(path), how) {
            (Some(_), Open::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, Open::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(id), _) => *id,
            (None, _) => self.create(path),
        };
        let file = self.files.entry(id).or_default();
        file.handles += 1;
        if how == Open::Empty {
            file.set_len(0);
        }
        Ok(id)
    }

    fn create(&mut self, path: &Path) -> FileId {
        let id = FileId(self.next_file);
        self.next_file += 1;
        self.change(Renaming::NewFile(path.to_owned(), id));
        id
    }

    pub(super) fn close(&mut self, id: FileId) {
        let Some(file) = self.files.get_mut(&id) else { return };
        file.handles -= 1;
        if file.handles == 0 && !self.is_named(id) {
            self.files.remove(&id);
        }
    }

    /// Whether a name leads to a file, or could after a power loss.
    fn is_named(&self, id: FileId) -> bool {
        let mut named = self.names.files.values().chain(self.durable.files.values());
        named.any(|named| *named == id) || self.changes.iter().any(|change| change.what.file() == Some(id))
    }

    pub(super) fn rename(&mut self, from: PathBuf, to: PathBuf) -> io::Result<()> {
        self.names.check_parent(&from)?;
        self.names.check_parent(&to)?;
        let id = *self.names.file(&from)?;
        if self.names.folders.contains(&to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if from != to {
            self.change(Renaming::Moved(from, to, id));
            self.drop_unused();
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: PathBuf) -> io::Result<()> {
        let id = *self.names.file(&path)?;
        self.change(Renaming::Removed(path, id));
        self.drop_unused();
        Ok(())
    }

    pub(super) fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        if self.names.files.contains_key(folder) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let within = |path: &&PathBuf| path.parent() == Some(folder);
        let listed = self.names.files.keys().filter(within).filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some(Listed { name, bytes: self.len(*self.names.files.get(path)?) })
        });
        Ok(listed.collect())
    }

    pub(super) fn create_folder(&mut self, folder: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for ancestor in folder.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
            if self.names.files.contains_key(ancestor) {
                let is_itself = ancestor == folder;
                let kind =
                    if is_itself { io::ErrorKind::AlreadyExists } else { io::ErrorKind::NotADirectory };
                return Err(kind.into());
            }
            if !self.names.folders.contains(ancestor) {
                missing.push(ancestor.to_owned());
            }
        }
        missing.into_iter().rev().for_each(|folder| self.change(Renaming::NewFolder(folder)));
        Ok(())
    }

    /// Whether there is such a folder.
    pub(super) fn check_folder(&self, folder: &Path) -> io::Result<()> {
        if self.names.files.contains_key(folder) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let is_there = folder.as_os_str().is_empty() || self.names.folders.contains(folder);
        if is_there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.check_folder(folder)?;
        let durable = &mut self.durable;
        self.changes.retain_mut(|change| {
            change.unsynced.remove(folder);
            if change.unsynced.is_empty() {
                durable.apply(&change.what);
            }
            !change.unsynced.is_empty()
        });
        self.drop_unused();
        Ok(())
    }

    /// What all files with a name take; one that is removed and still open takes nothing.
    pub(super) fn bytes_used(&self) -> u64 {
        self.names.files.values().map(|id| self.len(*id)).sum()
    }

    pub(super) fn len(&self, id: FileId) -> u64 {
        self.files.get(&id).map_or(0, File::len)
    }

    pub(super) fn read(&self, id: FileId, at: u64, into: &mut [u8]) -> usize {
        let content = self.files.get(&id).map_or(&[][..], |file| &file.content);
        let rest = usize::try_from(at).ok().and_then(|at| content.get(at..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        count
    }

    pub(super) fn write(&mut self, id: FileId, at: u64, bytes: &[u8]) -> io::Result<()> {
        let end = checked_len(at.saturating_add(bytes.len() as u64))?;
        let file = self.files.entry(id).or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        if end > file.len() {
            file.set_len(end);
        }
        file.content[at as usize..end as usize].copy_from_slice(bytes);
        file.touch(at, end);
        Ok(())
    }

    pub(super) fn set_len(&mut self, id: FileId, len: u64) -> io::Result<()> {
        let len = checked_len(len)?;
        self.files.entry(id).or_default().set_len(len);
        Ok(())
    }

    pub(super) fn sync(&mut self, id: FileId) {
        self.files.entry(id).or_default().sync();
    }

    pub(super) fn forget_unsynced(&mut self, id: FileId) {
        let file = self.files.entry(id).or_default();
        file.forgotten.append(&mut file.dirty);
    }

    /// The disk as another process finds it: what is not durable still is not.
    pub(super) fn after_kill(&self) -> Self {
        let mut disk = self.clone();
        disk.files.values_mut().for_each(|file| file.handles = 0);
        disk.drop_unused();
        disk
    }

    /// What a power loss leaves.
    pub(super) fn after_power_loss(&self, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut names = self.durable.clone();
        let fate = Fate::draw(&mut chance);
        for change in &self.changes {
            if fate.is_kept(&mut chance) {
                names.apply(&change.what);
            }
        }
        names.drop_orphans();
        let files = names.files.values().filter_map(|id| {
            let file = self.files.get(id)?;
            Some((*id, file.after_power_loss(&mut chance)))
        });
        let files = files.collect();
        Self { files, next_file: self.next_file, durable: names.clone(), names, changes: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn files_kept(&self) -> usize {
        self.files.len()
    }

    fn change(&mut self, what: Renaming) {
        self.names.apply(&what);
        let parent = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
        let unsynced = match &what {
            Renaming::NewFolder(path) | Renaming::NewFile(path, _) | Renaming::Removed(path, _) => {
                [parent(path)].into()
            }
            Renaming::Moved(from, to, _) => [parent(from), parent(to)].into(),
        };
        self.changes.push(Change { what, unsynced });
    }

    /// Forgets files that nobody can reach any more.
    fn drop_unused(&mut self) {
        let Self { files, names, durable, changes, .. } = self;
        let mut used: BTreeSet<FileId> =
            names.files.values().chain(durable.files.values()).copied().collect();
        used.extend(changes.iter().filter_map(|change| change.what.file()));
        files.retain(|id, file| file.handles > 0 || used.contains(id));
    }
}

impl Renaming {
    fn file(&self) -> Option<FileId> {
        match self {
            Self::NewFolder(_) => None,
            Self::NewFile(_, id) | Self::Moved(_, _, id) | Self::Removed(_, id) => Some(*id),
        }
    }
}

impl Names {
    fn file(&self, path: &Path) -> io::Result<&FileId> {
        self.check_parent(path)?;
        if self.folders.contains(path) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.files.get(path).ok_or(io::ErrorKind::NotFound.into())
    }

    fn check_parent(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(parent) if self.files.contains_key(parent) => Err(io::ErrorKind::NotADirectory.into()),
            Some(parent) if !parent.as_os_str().is_empty() && !self.folders.contains(parent) => {
                Err(io::ErrorKind::NotFound.into())
            }
            _ => Ok(()),
        }
    }

    /// Lets a change happen, also where one before it did not: a file has one name at most.
    fn apply(&mut self, what: &Renaming) {
        match what {
            Renaming::NewFolder(path) => drop(self.folders.insert(path.clone())),
            Renaming::NewFile(path, id) => drop(self.files.insert(path.clone(), *id)),
            Renaming::Moved(_, to, id) => {
                self.files.retain(|_, other| other != id);
                self.files.insert(to.clone(), *id);
            }
            Renaming::Removed(_, id) => self.files.retain(|_, other| other != id),
        }
    }

    /// What was in a folder that has gone is gone with it.
    fn drop_orphans(&mut self) {
        let folders = self.folders.clone();
        let is_there = |path: &Path| {
            path.ancestors().skip(1).all(|folder| folder.as_os_str().is_empty() || folders.contains(folder))
        };
        self.folders.retain(|path| is_there(path));
        self.files.retain(|path, _| is_there(path));
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} durable", self.content.len(), self.durable.len())
    }
}

impl File {
    fn len(&self) -> u64 {
        self.content.len() as u64
    }

    fn set_len(&mut self, len: u64) {
        let before = self.len();
        self.content.resize(len as usize, 0);
        self.touch(before.min(len), before.max(len));
    }

    fn touch(&mut self, from: u64, to: u64) {
        if from < to {
            let sectors = from / SECTOR_BYTES..=(to - 1) / SECTOR_BYTES;
            for sector in sectors {
                self.forgotten.remove(&sector);
                self.dirty.insert(sector);
            }
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.content.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.durable[range(sector, SECTOR_BYTES, self.content.len())]
                .copy_from_slice(&self.content[range(sector, SECTOR_BYTES, self.content.len())]);
        }
    }

    fn after_power_loss(&self, chance: &mut Chance) -> Self {
        let fate = Fate::draw(chance);
        let sector_bytes = if chance.coin() { SECTOR_BYTES } else { LARGE_SECTOR_BYTES };
        let (shorter, longer) = min_max(self.content.len(), self.durable.len());
        let len = match fate {
            Fate::Kept => self.content.len(),
            Fate::Lost => self.durable.len(),
            Fate::Mixed => shorter + chance.below(longer - shorter + 1),
        };
        let mut content = self.durable.clone();
        content.resize(len, 0);
        let touched = self.dirty.union(&self.forgotten);
        let sectors: BTreeSet<u64> = touched.map(|sector| sector * SECTOR_BYTES / sector_bytes).collect();
        for sector in sectors.into_iter().filter(|_| fate.is_kept(chance)) {
            let range = range(sector, sector_bytes, len.min(self.content.len()));
            content[range.clone()].copy_from_slice(&self.content[range]);
        }
        Self { durable: content.clone(), content, ..Self::default() }
    }
}

/// Where a sector lies in a file of `len` bytes.
fn range(sector: u64, sector_bytes: u64, len: usize) -> std::ops::Range<usize> {
    let at = |sector: u64| usize::try_from(sector * sector_bytes).map_or(len, |at| at.min(len));
    at(sector)..at(sector + 1)
}

fn min_max(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

fn checked_len(len: u64) -> io::Result<u64> {
    if len <= FILE_BYTES_MAX { Ok(len) } else { Err(io::ErrorKind::FileTooLarge.into()) }
}

/// What a power loss does to what was not synced.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Kept,
    Lost,
    Mixed,
}

impl Fate {
    fn draw(chance: &mut Chance) -> Self {
        match chance.below(4) {
            0 => Self::Kept,
            1 => Self::Lost,
            _ => Self::Mixed,
        }
    }

    fn is_kept(self, chance: &mut Chance) -> bool {
        match self {
            Self::Kept => true,
            Self::Lost => false,
            Self::Mixed => chance.coin(),
        }
    }
}

/// Numbers that look like chance (splitmix64), the same for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }

    /// A number below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
