//! A snapshot as a file: written beside its place under a name of its own, made durable, and only then put there. Whatever
//! fails on the way, and whenever the machine stops, the file that was there before still is.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use rejoin_keyspace::Snapshot;
use thiserror::Error;

use crate::{
    rdb::{self, EncodeOptions, RdbError},
    storage::{Open, Storage, StoredFile},
};

/// Bytes after which a file is synced while it is still being written (Redis' number), so that the sync at its end does
/// not hold up the disk for all of them.
const SYNC_STEP_BYTES: u64 = 4 << 20;

/// What is written, and where.
#[derive(Debug)]
pub struct RdbFile {
    /// Where it is to stand, relative to the storage.
    pub place: PathBuf,
    /// Under which name it is written until then; nobody else's.
    pub temporary: PathBuf,
    /// Sync while writing (`rdb-save-incremental-fsync`).
    pub syncs_in_steps: bool,
    /// What is written, and how.
    pub options: EncodeOptions<'static>,
    /// Counts the keys that are written.
    pub written: Arc<AtomicU64>,
}

/// Why a snapshot did not become a file; as redis-server says it.
#[derive(Debug, Error)]
pub enum SaveError {
    /// No file could be made.
    #[error("Failed opening the temp RDB file {} for saving: {}", .file.display(), WithoutNumber(.error))]
    Open {
        /// Its name.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It could not be written to its end, or made durable.
    #[error("Write error while saving DB to the disk: {}", Reason(.0))]
    Write(RdbError),
    /// It could not be put in its place.
    #[error(
        "Error moving temp DB file {} on the final destination {}: {}",
        .file.display(), .place.display(), WithoutNumber(.error)
    )]
    Place {
        /// Under which name it was written.
        file: PathBuf,
        /// Where it was to stand.
        place: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Somebody called it off.
    #[error("it was called off")]
    Cancelled,
}

/// What the system says of an error, without its number.
struct WithoutNumber<'a>(&'a io::Error);

impl fmt::Display for WithoutNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.split_once(" (os error ").map_or(&text, |(words, _)| words))
    }
}

struct Reason<'a>(&'a RdbError);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            RdbError::Io(error) => WithoutNumber(error).fmt(f),
            error => error.fmt(f),
        }
    }
}

/// What a save and those who may call it off share.
#[derive(Debug, Default)]
pub struct SaveGuard {
    /// Held while the file is put in its place: it is there before a cancellation, or never.
    is_cancelled: Mutex<bool>,
}

impl SaveGuard {
    /// Calls the save off. When this returns, the file stands in its place already, or never will.
    pub fn cancel(&self) {
        *self.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn is_cancelled(&self) -> bool {
        *self.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RdbFile {
    /// Writes `snapshot`, and returns how many bytes it took.
    ///
    /// # Errors
    /// What failed. The file that stood in the place still does, and what was written is removed.
    pub fn write(
        &self,
        storage: &dyn Storage,
        snapshot: Snapshot,
        guard: &SaveGuard,
    ) -> Result<u64, SaveError> {
        let file = storage
            .open(&self.temporary, Open::Empty)
            .map_err(|error| SaveError::Open { file: self.temporary.clone(), error })?;
        let outcome = self.fill(&file, snapshot, guard).and_then(|bytes| {
            drop(file);
            self.put_in_place(storage, guard).map(|()| bytes)
        });
        if outcome.is_err() {
            // It may be gone already, or stay: the next one takes its place.
            let _ = storage.remove(&self.temporary);
        }
        outcome
    }

    fn fill(
        &self,
        file: &Arc<dyn StoredFile>,
        snapshot: Snapshot,
        guard: &SaveGuard,
    ) -> Result<u64, SaveError> {
        let mut out = Sink { file: &**file, at: 0, synced: 0, syncs_in_steps: self.syncs_in_steps, guard };
        let options = EncodeOptions { progress: Some(&self.written), ..self.options };
        let written = rdb::encode(snapshot, &options, &mut out);
        if guard.is_cancelled() {
            return Err(SaveError::Cancelled);
        }
        let bytes = written.map_err(SaveError::Write)?;
        file.sync().map_err(|error| SaveError::Write(error.into()))?;
        Ok(bytes)
    }

    fn put_in_place(&self, storage: &dyn Storage, guard: &SaveGuard) -> Result<(), SaveError> {
        let is_cancelled = guard.is_cancelled.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_cancelled {
            return Err(SaveError::Cancelled);
        }
        let folder = self.place.parent().unwrap_or(Path::new(""));
        storage.rename(&self.temporary, &self.place).and_then(|()| storage.sync_folder(folder)).map_err(
            |error| {
                let (file, place) = (self.temporary.clone(), self.place.clone());
                SaveError::Place { file, place, error }
            },
        )
    }
}

/// Where the encoder writes to.
struct Sink<'a> {
    file: &'a dyn StoredFile,
    at: u64,
    /// Up to where the file is synced.
    synced: u64,
    syncs_in_steps: bool,
    guard: &'a SaveGuard,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.guard.is_cancelled() {
            return Err(io::Error::other("it was called off"));
        }
        let count = self.file.write_at(self.at, bytes)?;
        self.at += count as u64;
        if self.syncs_in_steps && self.at - self.synced >= SYNC_STEP_BYTES {
            self.file.sync()?;
            self.synced = self.at;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
