//! The log of a node with `appendonly no` and `repl-history yes`: segments for replicas that come back late, and for a
//! start, which brings the last saved data up to their end. Nobody asked for it to be safe: what fails costs the history,
//! with an error in the log, and never a write or a start.

use std::{path::PathBuf, sync::Arc};

use rejoin_commands::{Role, Settings};
use rejoin_persistence::{
    files::{
        Before, LogFiles, LogFilesOptions,
        history::HistoryLimits,
        recover::{self, FoundLog, Increments},
    },
    rdb::StreamPosition,
    storage::{Open, Storage},
};
use rejoin_protocol::{DbIndex, Offset, ReplicationId};
use tokio::sync::mpsc;

use crate::{
    background,
    disk::HISTORY_FOLDER,
    messages::shard::ShardMessage,
    shard::{
        Shard, SharedShard, loading,
        log_files::{DiskLog, Keeps, options_of},
        recovery::{self, Replay},
        unix_now,
    },
};

/// What the files' names begin with.
const NAME: &str = "history.aof";
/// The file that says where the dump stands that was saved last.
const SAVED: &str = "saved";
/// Its bytes at most.
const SAVED_BYTES_MAX: u64 = 100;

fn history_options(settings: &Settings, storage: &dyn Storage) -> LogFilesOptions {
    // What is too old goes: it is history already.
    LogFilesOptions {
        folder: PathBuf::from(HISTORY_FOLDER),
        name: NAME.to_owned(),
        history: None,
        ..options_of(settings, storage)
    }
}

pub(crate) fn limits_of(settings: &Settings) -> HistoryLimits {
    HistoryLimits {
        bytes_max: settings.log.history_bytes_max,
        seconds_max: settings.log.history_seconds_max,
        bytes_hard_max: settings.log.history_bytes_hard_max,
    }
}

/// Loads the snapshot file and what the history knows since, and has the shard write on behind it.
///
/// # Errors
/// Why the snapshot file cannot be loaded, in words for the operator.
pub(crate) async fn recover(
    shard: &SharedShard,
    storage: Arc<dyn Storage>,
    reports: mpsc::WeakSender<ShardMessage>,
) -> Result<(), String> {
    let options = history_options(&shard.borrow().engine.settings, &*storage);
    let lock = match recovery::lock(&*storage, &options.folder) {
        Ok(lock) => lock,
        Err(error) => {
            tracing::warn!("No history is kept: {error}");
            return loading::load_dump(shard, &*storage).await;
        }
    };
    let found = recover::look(&*storage, &options).unwrap_or_else(|flaw| {
        tracing::warn!("The history is of no use: {flaw}");
        None
    });
    let files = match continue_from(shard, &storage, &options, found).await? {
        Some(files) => Ok(files),
        None => {
            let old = recover::names_in_use(&*storage, &options);
            let place = shard.borrow().place();
            LogFiles::begin(storage.clone(), options, place, &old, shard.borrow().before(), unix_now())
        }
    };
    let disk = files.and_then(|mut files| {
        let orphans = files.take_orphans();
        shard.borrow_mut().sets_begun += 1;
        let set = shard.borrow().sets_begun;
        DiskLog::new(files, reports, lock, Keeps::History, set).inspect(|disk| disk.retire(orphans))
    });
    match disk {
        Ok(disk) => shard.borrow_mut().disk = Some(disk),
        Err(error) => tracing::warn!("No history is kept: {}", crate::words_of(&error)),
    }
    Ok(())
}

/// Loads the snapshot file, and what the history knows since if it knows all of it: then the stream goes on.
async fn continue_from(
    shard: &SharedShard,
    storage: &Arc<dyn Storage>,
    options: &LogFilesOptions,
    found: Option<FoundLog>,
) -> Result<Option<LogFiles>, String> {
    let is_master = shard.borrow().engine.settings.replicaof.is_none();
    let dump = loading::read_dump(shard, &**storage, is_master && found.is_none()).await?;
    let position = dump.as_ref().map(|dump| dump.summary.position);
    let saved = read_saved(&**storage);
    let start = found.as_ref().and_then(FoundLog::start).map_or(Offset::ZERO, |(_, start)| start);
    let from = match position {
        // Nothing was ever saved: the history is all there is, if it begins at the beginning.
        None => Some((start, DbIndex::new(0))),
        Some(position) => position.map(|StreamPosition { offset, selected, .. }| (offset, selected)),
    };
    let continues = |found: &FoundLog| match position {
        None => found.begins_empty() && saved.is_none(),
        // Another file than the one saved last was put here on purpose: it is not brought forward.
        Some(Some(position)) => {
            saved == Some((position.replid, position.offset))
                && found.continues(position.replid, position.offset)
        }
        Some(None) => false,
    };
    let Some((found, from)) = found.filter(continues).zip(from) else {
        if let Some(dump) = dump {
            shard.borrow_mut().adopt_dump(dump);
        }
        return Ok(None);
    };
    if let Some(dump) = dump {
        let old = shard.borrow_mut().engine.replace_keyspace(dump.keyspace);
        background::reap(old);
    }
    shard.borrow_mut().engine.begin_loading(found.bytes());
    match replay(shard, storage, options, found, from).await {
        Ok(files) => Ok(Some(files)),
        Err(error) => {
            tracing::warn!("The history is of no use: {error}");
            let empty = shard.borrow().engine.empty_keyspace();
            background::reap(shard.borrow_mut().engine.replace_keyspace(empty));
            loading::load_dump(shard, &**storage).await?;
            Ok(None)
        }
    }
}

async fn replay(
    shard: &SharedShard,
    storage: &Arc<dyn Storage>,
    options: &LogFilesOptions,
    found: FoundLog,
    from: (Offset, DbIndex),
) -> Result<LogFiles, String> {
    let role = std::mem::replace(&mut shard.borrow_mut().engine.role, Role::Replica);
    let replayed = match &found.increments {
        Increments::Ours(segments) => {
            Replay::new(shard.clone()).segments(segments, options, Some(from)).await
        }
        Increments::Foreign { why, .. } => Err(why.clone()),
    };
    shard.borrow_mut().engine.role = role;
    shard.borrow_mut().engine.reset_stats();
    let (files, resumed) = shard.borrow().go_on(storage.clone(), options.clone(), found, replayed?)?;
    shard.borrow_mut().take_up(&files.place(), resumed);
    Ok(files)
}

/// Where the dump that was saved last stands, as far as this node saved it.
pub(super) fn read_saved(storage: &dyn Storage) -> Option<(ReplicationId, Offset)> {
    let file = storage.open(&PathBuf::from(HISTORY_FOLDER).join(SAVED), Open::Existing).ok()?;
    let mut text = vec![0; usize::try_from(file.len().ok()?.min(SAVED_BYTES_MAX)).ok()?];
    file.read_exact_at(0, &mut text).ok()?;
    let text = String::from_utf8(text).ok()?;
    let (replid, offset) = text.trim_end().split_once(' ')?;
    Some((ReplicationId::parse(replid.as_bytes())?, Offset::new(offset.parse().ok()?)))
}

impl Shard {
    /// What lies before files of the history that begin now.
    fn before(&self) -> Before {
        if self.engine.keyspace.is_empty() { Before::Nothing } else { Before::Elsewhere }
    }

    /// A dump was saved that stands at `position`: the history goes on from it, and from no other.
    pub(super) fn note_saved(&self, position: Option<StreamPosition>) {
        if !self.engine.settings.log.keeps_history {
            return;
        }
        let folder = PathBuf::from(HISTORY_FOLDER);
        let text = position.map(|at| format!("{} {}\n", at.replid, at.offset)).unwrap_or_default();
        let temporary = folder.join(format!("temp-{SAVED}"));
        let written = self
            .storage
            .create_folder(&folder)
            .and_then(|()| self.storage.open(&temporary, Open::Empty))
            .and_then(|file| file.write_all_at(0, text.as_bytes()))
            .and_then(|()| self.storage.rename(&temporary, &folder.join(SAVED)));
        if let Err(error) = written {
            tracing::warn!("A start will not bring the dump forward: {}", crate::words_of(&error));
        }
    }

    /// History is kept from here on.
    pub(super) fn begin_history(&mut self) {
        self.sets_begun += 1;
        let set = self.sets_begun;
        let options = history_options(&self.engine.settings, &*self.storage);
        let begun = recovery::lock(&*self.storage, &options.folder).and_then(|lock| {
            let old = recover::names_in_use(&*self.storage, &options);
            let storage = self.storage.clone();
            LogFiles::begin(storage, options, self.place(), &old, self.before(), unix_now())
                .and_then(|mut files| {
                    let orphans = files.take_orphans();
                    let disk = DiskLog::new(files, self.reports.clone(), lock, Keeps::History, set)?;
                    disk.retire(orphans);
                    Ok(disk)
                })
                .map_err(|error| crate::words_of(&error))
        });
        match begun {
            Ok(disk) => self.disk = Some(disk),
            Err(error) => tracing::warn!("No history is kept: {error}"),
        }
    }

    /// The history could not be written: it is given up, and what it was to take is published all the same.
    #[cold]
    pub(super) fn give_up_history(&mut self, error: &std::io::Error) {
        tracing::error!(
            "The history could not be written and is given up: {}. 'CONFIG SET repl-history yes' begins another",
            crate::words_of(error)
        );
        // What is left must not pass for the stream at the next start.
        let is_ended = self.disk.take().is_none_or(|disk| disk.abandon(unix_now()).is_ok());
        if !is_ended && self.engine.role == Role::Master {
            self.shift_lineage();
        }
        self.engine.status.log.history_bytes = 0;
    }
}
