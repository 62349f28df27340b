//! The log's files, written by the shard: appended to before anything is published, synced as `appendfsync` says,
//! rewritten when they have grown.
//!
//! What cannot be written is not published, and whoever waits for it gets no reply until it can: what the engine
//! has logged stays in its buffer and is tried again, while further writes are refused (MISCONF). A sync that failed is
//! not repeated, since the system may have dropped what it could not write: a new base makes everything safe again.

mod bases;
pub(crate) mod rewinding;
mod turning;

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rejoin_commands::{Role, Settings, settings::SyncPolicy};
use rejoin_persistence::{
    files::{LogFiles, LogFilesOptions, Retired, SyncTask},
    rdb_file::SaveGuard,
    segment::{BootId, StreamName},
    storage::{FolderLock, Storage},
};
use rejoin_protocol::{DbIndex, Offset, UnixMillis};
use rejoin_replication::Lineage;
use tokio::sync::mpsc;

use crate::{
    disk::{
        DiskReport, HISTORY_FOLDER,
        worker::{DiskOutcome, DiskTask, DiskWorker},
    },
    messages::shard::ShardMessage,
    shard::{Shard, history::limits_of, upstream::MASTER_SESSION},
};

/// How often `everysec` syncs.
const SYNC_PERIOD: Duration = Duration::from_secs(1);
/// How often history that is kept alone is trimmed.
const TRIM_PERIOD: Duration = Duration::from_secs(1);
/// How long after a base that failed the next is tried.
const BASE_RETRY_PERIOD: Duration = Duration::from_secs(10);
const URGENT_BASE_RETRY_PERIOD: Duration = Duration::from_secs(1);

/// What the files are kept for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    /// `appendonly yes`: a start loads them, and what cannot be written is not acknowledged.
    All,
    /// `repl-history yes` alone: what cannot be written costs the history.
    History,
}

/// The log's files and what is under way for them.
pub(crate) struct DiskLog {
    files: LogFiles,
    worker: DiskWorker,
    keeps: Keeps,
    /// Keeps other nodes away.
    _lock: FolderLock,
    /// Counts sets of files: what is reported of an older one is void.
    set: u64,
    /// Bytes at the beginning of what waits to be published that are in the file already, though not safe.
    bytes_ahead: usize,
    /// The last byte that was synced behind its append.
    offset_safe: Offset,
    synced_at: Instant,
    /// When it was last looked for history that is over its limits.
    trimmed_at: Instant,
    is_syncing: bool,
    /// A sync has failed: only a new base makes the log whole.
    needs_base: bool,
    /// The stream went on elsewhere, and the files could not be begun anew there yet: nothing may be appended.
    is_stale: bool,
    /// A base is being written or put in its place since then.
    base_began: Option<Instant>,
    base_failed_at: Option<Instant>,
    /// Calls the running base off.
    base_guard: Option<Arc<SaveGuard>>,
    /// Syncs that have failed; what was begun before the last of them makes nothing whole.
    failures: u64,
    /// What that was when the running base was begun.
    failures_before_base: u64,
}

/// Whose bytes wait to be published.
#[derive(Clone, Copy)]
enum Waiting {
    /// Those that the engine has logged.
    Own,
    /// Those of the master's stream that were applied.
    Masters,
}

impl DiskLog {
    pub(crate) fn new(
        files: LogFiles,
        reports: mpsc::WeakSender<ShardMessage>,
        lock: FolderLock,
        keeps: Keeps,
        set: u64,
    ) -> io::Result<Self> {
        let worker = DiskWorker::start(files.storage().clone(), reports)?;
        Ok(Self {
            files,
            worker,
            keeps,
            _lock: lock,
            set,
            bytes_ahead: 0,
            offset_safe: Offset::ZERO,
            synced_at: Instant::now(),
            trimmed_at: Instant::now(),
            is_syncing: false,
            needs_base: false,
            is_stale: false,
            base_began: None,
            base_failed_at: None,
            base_guard: None,
            failures: 0,
            failures_before_base: 0,
        })
    }

    /// Has `bytes` in the file, and safe where that is asked for.
    fn write(
        &mut self,
        bytes: &[u8],
        selected: Option<DbIndex>,
        now: UnixMillis,
        policy: SyncPolicy,
    ) -> io::Result<()> {
        if self.is_stale {
            return Err(io::Error::other("the log's files could not be begun anew"));
        }
        let new = &bytes[self.bytes_ahead..];
        if !new.is_empty() {
            self.files.append(new, selected, now)?;
        }
        if self.needs_base {
            self.bytes_ahead = bytes.len();
            return Err(io::Error::other("a sync has failed, and no new base was written yet"));
        }
        if policy == SyncPolicy::Always {
            self.bytes_ahead = bytes.len();
            let task = self.files.sync_now();
            if let Err(error) = task.carry_out(&**self.files.storage()) {
                self.note_failed_sync(task);
                return Err(error);
            }
            self.files.synced_now();
            self.offset_safe = self.files.end();
        }
        self.bytes_ahead = 0;
        Ok(())
    }

    fn note_failed_sync(&mut self, task: SyncTask) {
        self.needs_base = true;
        self.failures += 1;
        self.files.sync_failed(task);
    }

    /// Ends while the stream goes on without files.
    pub(super) fn abandon(mut self, now: UnixMillis) -> io::Result<()> {
        self.call_off_base();
        self.worker.finish();
        self.files.abandon(now)
    }

    fn call_off_base(&mut self) {
        if let Some(guard) = self.base_guard.take() {
            guard.cancel();
        }
    }

    /// Whether a start would find older data, as long as no base is there.
    pub(crate) fn awaits_base(&self) -> bool {
        self.files.awaits_base() || self.base_began.is_some()
    }

    /// Has files put aside that are not live any more.
    pub(crate) fn retire(&self, retired: Retired) {
        if !retired.is_empty() {
            self.worker.ask(self.set, DiskTask::Retire(retired));
        }
    }

    /// Ends in order.
    pub(crate) fn close(mut self, now: UnixMillis) -> io::Result<()> {
        self.call_off_base();
        let Self { files, worker, _lock, .. } = self;
        worker.finish();
        files.close(now)
    }
}

/// Where this node's log lies.
pub(crate) fn options_of(settings: &Settings, storage: &dyn Storage) -> LogFilesOptions {
    LogFilesOptions {
        folder: PathBuf::from(&settings.log.folder),
        name: settings.log.name.clone(),
        history: settings.log.keeps_history.then(|| PathBuf::from(HISTORY_FOLDER)),
        segment_bytes: settings.log.segment_bytes,
        boot: BootId(storage.boot_id()),
        is_followed: settings.replicaof.is_some(),
    }
}

pub(crate) fn stream_name_of(lineage: &Lineage) -> StreamName {
    StreamName {
        replid: lineage.current(),
        ancestors: lineage
            .ancestors()
            .iter()
            .map(|ancestor| (ancestor.replid, ancestor.last_valid))
            .collect(),
    }
}

impl Shard {
    /// Puts what was logged into the files and makes it visible. Whether nothing is left that could not be.
    pub(crate) fn publish_log(&mut self) -> bool {
        if !self.unwritten.is_empty() {
            let selected = self.masters_db();
            if !self.write_through(Waiting::Masters, selected) {
                return false;
            }
            self.log.append(&self.unwritten);
            self.unwritten.clear();
            self.show_log();
        }
        if !self.engine.log.bytes().is_empty() {
            let selected = self.engine.log.selected();
            if !self.write_through(Waiting::Own, selected) {
                return false;
            }
            self.log.append(self.engine.log.bytes());
            self.engine.log.clear();
            self.show_log();
        }
        true
    }

    fn masters_db(&self) -> Option<DbIndex> {
        self.engine.sessions.get(MASTER_SESSION).map(|session| session.db)
    }

    /// Has what waits in the file; whether it is there.
    fn write_through(&mut self, waiting: Waiting, selected: Option<DbIndex>) -> bool {
        let Some(disk) = &mut self.disk else { return true };
        let (now, policy) = (self.engine.now, self.engine.settings.log.sync);
        let bytes = match waiting {
            Waiting::Own => self.engine.log.bytes(),
            Waiting::Masters => &self.unwritten,
        };
        match disk.write(bytes, selected, now, policy) {
            Err(error) if disk.keeps == Keeps::History => self.give_up_history(&error),
            Err(error) => {
                let count = bytes.len();
                self.note_log_failure(&error, count);
                return false;
            }
            Ok(()) if self.engine.status.log.write_error.is_some() => self.note_log_mended(),
            Ok(()) => {}
        }
        true
    }

    /// What was appended last becomes visible.
    fn show_log(&mut self) {
        self.log.publish();
        self.engine.status.hot_first = self.log_handle.first_held();
        self.ticker.wake_if_parked();
    }

    #[cold]
    fn note_log_failure(&mut self, error: &io::Error, bytes: usize) {
        let words = crate::words_of(error);
        let status = &mut self.engine.status.log;
        status.waiting_bytes = bytes as u64;
        if status.write_error.is_none() {
            tracing::warn!("Error writing to the AOF file: {words}");
        }
        status.write_error = Some(words);
    }

    #[cold]
    fn note_log_mended(&mut self) {
        let status = &mut self.engine.status.log;
        if status.write_error.take().is_some() {
            tracing::warn!("AOF write error looks solved, The server can write again.");
        }
        status.waiting_bytes = 0;
        self.releases_held = true;
    }

    /// What of the history lies on disk, as far as it is not what is being written.
    pub(crate) fn note_history(&mut self, bytes: u64, files: usize) {
        if self.disk.as_ref().is_none_or(|disk| disk.keeps == Keeps::All) {
            let status = &mut self.engine.status.log;
            (status.history_bytes, status.history_files) = (bytes, files);
        }
    }

    /// Lets clients have the replies that were kept from them until the log was written.
    pub(crate) fn release_held(&mut self) {
        if !std::mem::take(&mut self.releases_held) {
            return;
        }
        let held: Vec<usize> =
            self.connections.iter().filter(|(_, c)| c.is_held).map(|(key, _)| key).collect();
        for key in held {
            self.connections[key].is_held = false;
            self.send_output(key);
            self.queue_if_ready(key);
        }
    }

    /// At each tick: syncs what is due, begins a base when one is due, keeps INFO up to date.
    pub(crate) fn tend_log(&mut self) {
        if self.disk.as_ref().is_some_and(|disk| disk.is_stale) {
            self.restart_log_files();
        }
        self.mend_log();
        self.sync_log();
        let Some(disk) = &mut self.disk else { return };
        if disk.keeps == Keeps::History {
            if disk.trimmed_at.elapsed() < TRIM_PERIOD {
                return;
            }
            disk.trimmed_at = Instant::now();
            let wanted_from = self.log_handle.wanted_from();
            let limits = limits_of(&self.engine.settings);
            let retired = disk.files.forget_oldest(limits, self.engine.now, wanted_from);
            if !retired.is_empty() {
                // No manifest may name what is gone.
                let task = disk.files.sync_task(self.engine.now);
                disk.worker.ask(disk.set, DiskTask::Sync(task));
            }
            disk.retire(retired);
            let status = &mut self.engine.status.log;
            status.history_bytes = disk.files.bytes();
            status.history_files = disk.files.manifest().increments.len();
            return;
        }
        self.begin_base_if_due();
        let Some(disk) = &mut self.disk else { return };
        let status = &mut self.engine.status.log;
        (status.bytes, status.base_bytes) = (disk.files.bytes(), disk.files.base_bytes());
        status.is_syncing = disk.is_syncing;
    }

    /// While writes are refused and none waits, nothing would find out that the log can be written again.
    fn mend_log(&mut self) {
        if self.engine.status.log.write_error.is_none()
            || !self.unwritten.is_empty()
            || !self.engine.log.bytes().is_empty()
        {
            return;
        }
        let now = self.engine.now;
        let Some(disk) = &mut self.disk else { return };
        if !disk.needs_base && !disk.is_stale && disk.files.mend(now).is_ok() {
            self.note_log_mended();
        }
    }

    fn sync_log(&mut self) {
        let now = self.engine.now;
        let Some(disk) = &mut self.disk else { return };
        let status = &mut self.engine.status.log;
        if self.engine.settings.log.sync == SyncPolicy::Always
            && disk.offset_safe > status.offset_synced
            && disk.synced_at.elapsed() >= SYNC_PERIOD
        {
            (status.offset_synced, disk.synced_at) = (disk.offset_safe, Instant::now());
            disk.files.note_synced(disk.offset_safe, now);
        }
        if self.engine.settings.log.sync != SyncPolicy::EverySecond || disk.needs_base {
            return;
        }
        let is_due = disk.synced_at.elapsed() >= SYNC_PERIOD && disk.files.end() > status.offset_synced;
        if !is_due {
            return;
        }
        disk.synced_at = Instant::now();
        if disk.is_syncing {
            status.delayed_syncs += 1;
            return;
        }
        let task = disk.files.sync_task(now);
        disk.is_syncing = disk.worker.ask(disk.set, DiskTask::Sync(task));
    }

    /// What the disk's thread reports.
    pub(crate) fn note_disk_report(&mut self, report: DiskReport) {
        let Some(disk) = &mut self.disk else { return };
        if report.set != disk.set {
            return;
        }
        match report.outcome {
            DiskOutcome::Synced(task, outcome) => {
                disk.is_syncing = false;
                match outcome {
                    Ok(()) => {
                        let synced = &mut self.engine.status.log.offset_synced;
                        *synced = task.offset.max(*synced);
                        disk.files.note_synced(task.offset, self.engine.now);
                    }
                    Err(error) if disk.keeps == Keeps::History => self.give_up_history(&error),
                    Err(error) => {
                        disk.note_failed_sync(task);
                        self.note_log_failure(&error, 0);
                    }
                }
            }
            DiskOutcome::BaseInstalled(_, Ok(())) => self.end_base(Ok(())),
            DiskOutcome::BaseInstalled(sync, Err(error)) => {
                disk.files.sync_failed(sync);
                self.end_base(Err(crate::words_of(&error)));
            }
        }
        self.note_durable();
        if self.awaits_acks {
            self.answer_waiting();
        }
    }

    /// What a start after a power loss would have: log, and the base under it.
    pub(crate) fn note_durable(&mut self) {
        let synced = self.engine.status.log.offset_synced;
        let durable = self.disk.as_ref().and_then(|disk| {
            let is_whole =
                disk.keeps == Keeps::All && !disk.files.awaits_base() && !disk.needs_base && !disk.is_stale;
            is_whole.then(|| synced.max(disk.offset_safe))
        });
        if durable != self.engine.status.log.offset_durable {
            self.engine.status.log.offset_durable = durable;
            self.durable_moved.notify_one();
        }
    }

    /// The stream's role decides who selected its database.
    pub(crate) fn selected_db(&self) -> DbIndex {
        let selected = match self.engine.role {
            Role::Master => self.engine.log.selected(),
            Role::Replica => self.masters_db(),
        };
        selected.unwrap_or(DbIndex::new(0))
    }
}
