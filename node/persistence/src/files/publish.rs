//! What is to be done on disk for the log's files, as values: made by the shard, carried out by a thread that may block.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_protocol::Offset;

use super::history;
use crate::{
    manifest::{manifest_name, temporary_manifest_name},
    segment::{SegmentFiles, StoredSegment, side_path},
    storage::{Open, Storage},
};

/// A manifest that is to take the place of the one on disk.
#[derive(Clone, Debug)]
pub struct Publication {
    pub(super) folder: PathBuf,
    pub(super) name: String,
    pub(super) manifest: Vec<u8>,
}

impl Publication {
    /// Writes the manifest beside the old one, and puts it in its place once it is safe.
    pub fn carry_out(&self, storage: &dyn Storage) -> io::Result<()> {
        let temporary = self.folder.join(temporary_manifest_name(&self.name));
        let file = storage.open(&temporary, Open::Empty)?;
        file.write_all_at(0, &self.manifest)?;
        file.sync()?;
        // No name may be in the manifest that a power loss can take away.
        storage.sync_folder(&self.folder)?;
        storage.rename(&temporary, &self.folder.join(manifest_name(&self.name)))?;
        storage.sync_folder(&self.folder)
    }
}

/// Bytes and names that are to survive a power loss.
#[derive(Debug)]
pub struct SyncTask {
    pub(super) segments: Vec<SegmentFiles>,
    pub(super) publication: Option<Publication>,
    /// A folder with new names that no manifest has yet.
    pub(super) folder: Option<PathBuf>,
    /// The last byte that is safe afterwards.
    pub offset: Offset,
}

impl SyncTask {
    /// Syncs the segments, the oldest first, then the names.
    pub fn carry_out(&self, storage: &dyn Storage) -> io::Result<()> {
        self.segments.iter().try_for_each(SegmentFiles::sync)?;
        self.folder.as_ref().map_or(Ok(()), |folder| storage.sync_folder(folder))?;
        self.publication.as_ref().map_or(Ok(()), |publication| publication.carry_out(storage))
    }
}

/// A base that is to be put in its place.
#[derive(Clone, Debug)]
pub struct BaseInstallation {
    pub(super) from: PathBuf,
    pub(super) to: PathBuf,
    pub(super) publication: Publication,
}

impl BaseInstallation {
    /// Gives the base its name, and has the manifest name it.
    pub fn carry_out(&self, storage: &dyn Storage) -> io::Result<()> {
        storage.rename(&self.from, &self.to)?;
        self.publication.carry_out(storage)
    }
}

/// Files that are not live any more: a base before the segments that follow it.
#[derive(Clone, Debug, Default)]
pub struct Retired {
    /// They move to this folder, as far as they are ours; else they go.
    pub(super) history: Option<PathBuf>,
    pub(super) files: Vec<PathBuf>,
    /// They go, ours or not.
    pub(super) gone: Vec<PathBuf>,
}

impl Retired {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.gone.is_empty()
    }

    /// Moves bases and segments to the history's folder and removes all else. What cannot be moved or removed stays where it
    /// is: the first error comes back, after all was tried.
    pub fn carry_out(&self, storage: &dyn Storage) -> io::Result<()> {
        if let Some(history) = &self.history {
            storage.create_folder(history)?;
        }
        let mut outcome = Ok(());
        for (number, path) in self.files.iter().enumerate() {
            // A base stands where the segment behind it begins.
            let next = self.files.get(number + 1);
            let retired = match &self.history {
                Some(history) => retire(storage, path, next, history),
                None => remove_segment(storage, path),
            };
            outcome = outcome.and(retired);
        }
        for path in &self.gone {
            outcome = outcome.and(remove_segment(storage, path));
        }
        outcome
    }
}

fn retire(storage: &dyn Storage, path: &Path, next: Option<&PathBuf>, history: &Path) -> io::Result<()> {
    if let Ok(segment) = StoredSegment::open(storage, path) {
        let to = history::segment_path(history, segment.head.stream.replid, segment.head.start);
        storage.rename(path, &to)?;
        return storage.rename(&side_path(path), &side_path(&to));
    }
    let is_base = path.extension().is_some_and(|ending| ending == "rdb");
    match next.filter(|_| is_base).map(|next| StoredSegment::open(storage, next)) {
        Some(Ok(next)) => {
            let to = history::base_path(history, next.head.stream.replid, next.head.start);
            storage.rename(path, &to)
        }
        _ => remove_segment(storage, path),
    }
}

/// Removes a file, and its side data where it has some.
pub(super) fn remove_segment(storage: &dyn Storage, path: &Path) -> io::Result<()> {
    for path in [path, &side_path(path)] {
        match storage.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
