//! The log's files of a process, and the thread for the disk: what actors/src/shard/log_files and disk/worker do.

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use rejoin_commands::{Role, settings::SyncPolicy};
use rejoin_keyspace::Snapshot;
use rejoin_persistence::{
    files::{
        BaseInstallation, BaseTask, Before, LogFiles, Retired, StreamPlace, SyncTask,
        history::{self, HistoryKind},
    },
    rdb::{EncodeOptions, LocalFile, StreamPosition},
    rdb_file::{RdbFile, SaveGuard},
    segment::{SegmentFlaw, StoredSegment},
    storage::{FolderLock, Storage},
};
use rejoin_protocol::{ByteCount, Offset, ReplicationId};

use super::{Defect, Node, Report, start::options_of, stream_name_of};

/// Between two syncs under `everysec`.
const SYNC_PERIOD: Duration = Duration::from_secs(1);

/// One thing for the disk's thread.
#[derive(Debug)]
enum Task {
    Sync(SyncTask),
    InstallBase(SyncTask, BaseInstallation),
    Retire(Retired),
}

/// A base that is being written.
#[derive(Debug)]
struct Base {
    done_at: Duration,
    task: BaseTask,
    file: RdbFile,
    /// Taken when it is written.
    snapshot: Option<Snapshot>,
}

/// The log's files, and who works on them.
#[derive(Debug)]
pub(super) struct DiskSide {
    pub(super) files: LogFiles,
    pub(super) _lock: FolderLock,
    /// Counts sets of files: what is done for an older one is void.
    set: u64,
    /// In order, each with the time at which it is done.
    tasks: VecDeque<(Duration, u64, Task)>,
    base: Option<Base>,
    bases_begun: u64,
    /// A base is under way, from its beginning to its installation.
    is_rewriting: bool,
    /// A start would load other data than ours, until a base is installed.
    awaits_first_base: bool,
    is_syncing: bool,
    synced_at: Duration,
    /// Under `always`: when the files were last told what is synced.
    noted_at: Duration,
    pub(super) offset_synced: Offset,
}

impl DiskSide {
    pub(super) fn new(files: LogFiles, lock: FolderLock) -> Self {
        Self {
            set: 1,
            tasks: VecDeque::new(),
            base: None,
            bases_begun: 0,
            is_rewriting: false,
            awaits_first_base: false,
            is_syncing: false,
            synced_at: Duration::ZERO,
            noted_at: Duration::ZERO,
            offset_synced: Offset::ZERO,
            files,
            _lock: lock,
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let task = self.tasks.front().map(|(at, ..)| *at);
        [task, self.base.as_ref().map(|base| base.done_at)].into_iter().flatten().min()
    }
}

impl Node {
    /// Whether a start after a kill would find the data that is here.
    pub(crate) fn is_recoverable(&self) -> bool {
        !self.disk.awaits_first_base
    }

    /// The last byte that survives a power loss, with the data under it; `None` while a start would find other data.
    pub(crate) fn durable(&self) -> Option<Offset> {
        if self.setup.planted == Some(Defect::DurableBeforeSynced) {
            return Some(self.visible());
        }
        self.is_recoverable().then_some(self.disk.offset_synced)
    }

    /// Puts what was logged into the file, then shows it.
    pub(super) fn publish_log(&mut self, now: Duration) {
        if !self.unwritten.is_empty() {
            let bytes = std::mem::take(&mut self.unwritten);
            if !self.write_and_show(now, &bytes) {
                self.unwritten = bytes;
                return;
            }
        }
        if !self.engine.log.bytes().is_empty() {
            let bytes = self.engine.log.bytes().to_vec();
            if self.write_and_show(now, &bytes) {
                self.engine.log.clear();
            }
        }
    }

    fn write_and_show(&mut self, now: Duration, bytes: &[u8]) -> bool {
        let is_early = self.setup.planted == Some(Defect::VisibleBeforeWritten);
        if is_early {
            self.show(bytes);
        }
        if self.is_failed || self.write(now, bytes).is_err() {
            self.is_failed = true;
            return false;
        }
        if !is_early {
            self.show(bytes);
        }
        true
    }

    fn write(&mut self, now: Duration, bytes: &[u8]) -> std::io::Result<()> {
        let selected = match self.engine.role {
            Role::Master => self.engine.log.selected(),
            Role::Replica => Some(self.masters_db()),
        };
        let wall = self.engine.now;
        self.disk.files.append(bytes, selected, wall)?;
        if self.setup.settings.log.sync == SyncPolicy::Always {
            let task = self.disk.files.sync_now();
            task.carry_out(&*self.storage)?;
            self.disk.files.synced_now();
            self.disk.offset_synced = self.disk.offset_synced.max(self.disk.files.end());
            self.disk.synced_at = now;
        }
        Ok(())
    }

    fn show(&mut self, bytes: &[u8]) {
        let from = self.visible();
        self.log.append(bytes);
        self.log.publish();
        self.engine.status.hot_first = self.log_handle.first_held();
        self.reports.push(Report::Shown { replid: self.lineage.current(), from, bytes: bytes.to_vec() });
    }

    /// The stream goes on under another name.
    pub(super) fn rename_log(&mut self) {
        let (now, stream) = (self.engine.now, stream_name_of(&self.lineage));
        self.is_failed |= self.disk.files.rename_stream(stream, now).is_err();
    }

    /// Our data was replaced: the files begin anew, and the old ones serve a start until the first base is there.
    pub(super) fn restart_log_files(&mut self, now: Duration) {
        let (offset, db) = (self.visible(), self.masters_db());
        let place = StreamPlace { stream: stream_name_of(&self.lineage), offset, db, chain: 0 };
        let disk = &mut self.disk;
        disk.set += 1;
        (disk.base, disk.is_rewriting, disk.is_syncing) = (None, false, false);
        disk.offset_synced = offset;
        disk.awaits_first_base = true;
        match disk.files.begin_again(place, Before::Base, self.engine.now) {
            Ok(()) => self.begin_base(now),
            Err(_) => self.is_failed = true,
        }
    }

    /// BGREWRITEAOF: a base from a snapshot, written a while later.
    pub(super) fn begin_base(&mut self, now: Duration) {
        if self.disk.is_rewriting {
            return;
        }
        self.publish_log(now);
        if self.is_failed || self.disk.files.end() != self.engine.log.offset() {
            return;
        }
        self.disk.bases_begun += 1;
        // Names of files that a killed process left behind are not its own.
        let number = self.disk.bases_begun * 1000 + self.chance.below(1000);
        let Ok(task) = self.disk.files.begin_base(number, self.engine.now) else {
            self.is_failed = true;
            return;
        };
        let selected = self.disk.files.place().db;
        let position = StreamPosition { replid: self.lineage.current(), offset: task.offset, selected };
        let about = LocalFile { created: self.engine.now, memory_used: 0, is_aof_base: true, usage: None };
        let file = RdbFile {
            place: task.written.clone(),
            temporary: task.temporary.clone(),
            syncs_in_steps: false,
            options: EncodeOptions::for_file(about, Some(position)),
            written: Arc::default(),
        };
        self.say(format!("begins a base at {}", task.offset));
        let snapshot = Some(self.engine.keyspace.snapshot());
        let done_at = now + self.chance.millis(1, 400);
        self.disk.is_rewriting = true;
        self.disk.base = Some(Base { done_at, task, file, snapshot });
    }

    /// At each tick: what is due of syncs and bases.
    pub(super) fn tend_log(&mut self, now: Duration) {
        let (sync, rewrite_bytes) = (self.setup.settings.log.sync, self.setup.settings.log.rewrite_bytes_min);
        let disk = &mut self.disk;
        if sync == SyncPolicy::Always && now.saturating_sub(disk.noted_at) >= SYNC_PERIOD {
            disk.noted_at = now;
            disk.files.note_synced(disk.offset_synced, self.engine.now);
        }
        let is_due = sync == SyncPolicy::EverySecond
            && now.saturating_sub(disk.synced_at) >= SYNC_PERIOD
            && disk.files.end() > disk.offset_synced
            && !disk.is_syncing;
        if is_due {
            disk.synced_at = now;
            disk.is_syncing = true;
            let task = disk.files.sync_task(self.engine.now);
            self.ask_disk(now, Task::Sync(task));
        }
        let (bytes, base_bytes) = (self.disk.files.bytes(), self.disk.files.base_bytes().max(1));
        if bytes > rewrite_bytes && bytes / 2 > base_bytes {
            self.begin_base(now);
        }
    }

    fn ask_disk(&mut self, now: Duration, task: Task) {
        let free_at = self.disk.tasks.back().map_or(now, |(at, ..)| *at);
        let takes =
            if self.chance.one_in(10) { self.chance.millis(1, 1500) } else { self.chance.millis(0, 30) };
        self.disk.tasks.push_back((free_at + takes, self.disk.set, task));
    }

    /// What the disk's thread and the writer of bases have done by now.
    pub(super) fn step_disk(&mut self, now: Duration) {
        while let Some((_, set, task)) = self.disk.tasks.pop_front_if(|(at, ..)| *at <= now) {
            if self.is_failed {
                return;
            }
            let is_done = match &task {
                Task::Sync(task) => task.carry_out(&*self.storage).is_ok(),
                Task::InstallBase(sync, base) => {
                    sync.carry_out(&*self.storage).and_then(|()| base.carry_out(&*self.storage)).is_ok()
                }
                Task::Retire(retired) => retired.carry_out(&*self.storage).is_ok(),
            };
            // Nothing fails here but the process itself.
            self.is_failed |= !is_done;
            if is_done && set == self.disk.set {
                self.note_done(now, task);
            }
        }
        if let Some(base) = self.disk.base.take_if(|base| base.done_at <= now) {
            self.write_base(now, base);
        }
    }

    fn note_done(&mut self, now: Duration, task: Task) {
        match task {
            Task::Sync(task) => {
                self.disk.is_syncing = false;
                self.disk.offset_synced = self.disk.offset_synced.max(task.offset);
                self.disk.files.note_synced(task.offset, self.engine.now);
            }
            Task::InstallBase(..) => {
                self.disk.is_rewriting = false;
                self.disk.awaits_first_base = false;
                let retired = self.disk.files.base_installed();
                self.ask_disk(now, Task::Retire(retired));
                self.say("has a new base".to_owned());
            }
            Task::Retire(_) => {}
        }
    }

    fn write_base(&mut self, now: Duration, base: Base) {
        let Base { task, file, snapshot: Some(snapshot), .. } = base else { return };
        match file.write(&*self.storage, snapshot, &SaveGuard::default()) {
            Ok(bytes) => {
                let sync = self.disk.files.sync_task(self.engine.now);
                let install = self.disk.files.install_base(task, bytes);
                self.ask_disk(now, Task::InstallBase(sync, install));
            }
            Err(_) => self.is_failed = true,
        }
    }

    /// Files that a crash left behind.
    pub(super) fn retire_strays(&mut self) {
        self.is_failed |= self.disk.files.strays().carry_out(&*self.storage).is_err();
    }
}

/// Bytes of a stream, and the last byte before them.
type Stored = (ReplicationId, Offset, Vec<u8>);

impl Node {
    /// Where segments lie.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        let options = options_of(&self.setup, &self.storage);
        // A node that never retired anything has no history yet.
        let history = options.history.filter(|folder| self.storage.list(folder).is_ok());
        [options.folder].into_iter().chain(history).collect()
    }

    /// From where on the stream is there without a gap, up to memory or the present end.
    pub(super) fn retained_from(&self) -> Offset {
        let mut from = self.log_handle.first_held().prior();
        let stored = self.stored_bytes().unwrap_or_default();
        let limit = |replid| match replid == self.lineage.current() {
            true => Some(self.visible()),
            false => self.lineage.last_valid(replid),
        };
        let mut spans: Vec<(Offset, Offset)> = stored
            .iter()
            .filter_map(|(replid, start, bytes)| {
                let end = start.advance(ByteCount::of(bytes.len())).min(limit(*replid)?);
                (end > *start).then_some((*start, end))
            })
            .collect();
        spans.sort_unstable();
        while let Some((start, _)) = spans.iter().find(|(start, end)| *start < from && *end >= from) {
            from = *start;
        }
        from
    }

    /// The streams' bytes in the files, live ones and history.
    pub(crate) fn stored_bytes(&self) -> Result<Vec<Stored>, String> {
        let words = |error: &dyn std::fmt::Display| format!("n{}: {error}", self.id);
        let options = options_of(&self.setup, &self.storage);
        let live = self.disk.files.manifest().increments.iter().map(|file| options.folder.join(&file.name));
        let mut paths: Vec<PathBuf> = live.collect();
        if let Some(folder) = &options.history {
            let files = history::list(&*self.storage, folder).unwrap_or_default();
            paths.extend(
                files.into_iter().filter(|file| file.kind != HistoryKind::Base).map(|file| file.path),
            );
        }
        let mut stored = Vec::new();
        for path in paths {
            let segment = match StoredSegment::open(&*self.storage, &path) {
                // A power loss took its side data, or its removal, alone: it serves nobody.
                Err(SegmentFlaw::NoSideData { .. }) => continue,
                segment => segment.map_err(|error| words(&error))?,
            };
            let (start, end) = (segment.head.start, segment.stated.end.min(segment.end_present()));
            let bytes = segment.bytes_between(start, end).map_err(|error| words(&error))?;
            stored.push((segment.head.stream.replid, start, bytes));
        }
        Ok(stored)
    }
}
