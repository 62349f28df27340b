//! What is to be done on disk for the log's files, as values: made by the shard, carried out by a thread that may block.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_protocol::{Offset, ReplicationId};

use super::history;
use crate::{
    manifest::{manifest_name, temporary_manifest_name},
    segment::{SegmentFiles, SegmentHead, SegmentSummary, side_path},
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
    /// The same of sets before the present one.
    pub(super) orphans: Vec<PathBuf>,
    /// The present set's stream, if it began with a full sync: what orphans and history hold of it goes. Another set's
    /// bytes of that name may be others, at the same offsets.
    pub(super) severed: Option<ReplicationId>,
    /// They go, ours or not.
    pub(super) gone: Vec<PathBuf>,
    /// Side data whose segment has moved to the history, or has gone, when the process ended: it follows.
    pub(super) sides: Vec<PathBuf>,
}

impl Retired {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.files, &self.orphans, &self.gone, &self.sides].iter().all(|paths| paths.is_empty())
            && self.severed.is_none()
    }

    /// Moves bases and segments to the history's folder and removes all else. What cannot be moved or removed stays where it
    /// is: the first error comes back, after all was tried.
    pub fn carry_out(&self, storage: &dyn Storage) -> io::Result<()> {
        if let Some(history) = &self.history {
            storage.create_folder(history)?;
        }
        let mut outcome = Ok(());
        if let Some((history, severed)) = self.history.as_ref().zip(self.severed) {
            // Before anything of the present set gets there.
            outcome = outcome.and(remove_stream(storage, history, severed));
        }
        for (files, given_up) in [(&self.orphans, self.severed), (&self.files, None)] {
            for (number, path) in files.iter().enumerate() {
                // A base stands where the segment behind it begins.
                let next = files.get(number + 1);
                let retired = match &self.history {
                    Some(history) => retire(storage, path, next, history, given_up),
                    None => remove_segment(storage, path),
                };
                outcome = outcome.and(retired);
            }
        }
        for path in &self.sides {
            outcome = outcome.and(follow_segment(storage, path, self.history.as_deref()));
        }
        for path in &self.gone {
            outcome = outcome.and(remove_segment(storage, path));
        }
        outcome
    }
}

/// `given_up` is the stream of which nothing is kept.
fn retire(
    storage: &dyn Storage,
    path: &Path,
    next: Option<&PathBuf>,
    history: &Path,
    given_up: Option<ReplicationId>,
) -> io::Result<()> {
    let head_of = |path: &Path| SegmentSummary::read(storage, path).map(|segment| segment.head).ok();
    let is_kept = |head: &SegmentHead| Some(head.stream.replid) != given_up;
    if let Some(head) = head_of(path) {
        if !is_kept(&head) {
            return remove_segment(storage, path);
        }
        let to = history::segment_path(history, head.stream.replid, head.start);
        // A start puts the side data beside it if the process ends in between.
        storage.rename(path, &to)?;
        return storage.rename(&side_path(path), &side_path(&to));
    }
    let is_base = path.extension().is_some_and(|ending| ending == "rdb");
    match next.filter(|_| is_base).and_then(|next| head_of(next)).filter(is_kept) {
        Some(next) => storage.rename(path, &history::base_path(history, next.stream.replid, next.start)),
        None => remove_segment(storage, path),
    }
}

/// Removes what the history has of a stream.
fn remove_stream(storage: &dyn Storage, history: &Path, replid: ReplicationId) -> io::Result<()> {
    let files = history::list(storage, history)?;
    let mut outcome = Ok(());
    for file in files.iter().filter(|file| file.replid == replid) {
        outcome = outcome.and(remove_segment(storage, &file.path));
    }
    outcome
}

/// Puts side data beside its segment in the history, or removes it where there is none that lacks it.
fn follow_segment(storage: &dyn Storage, side: &Path, history: Option<&Path>) -> io::Result<()> {
    let segment = history
        .zip(SegmentHead::read(storage, side))
        .map(|(history, head)| history::segment_path(history, head.stream.replid, head.start));
    let is_there = |path: &Path| storage.open(path, Open::Existing).is_ok();
    match segment.filter(|segment| is_there(segment) && !is_there(&side_path(segment))) {
        Some(segment) => storage.rename(side, &side_path(&segment)),
        None => storage.remove(side),
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
