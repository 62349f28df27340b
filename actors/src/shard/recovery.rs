//! What a start does about the log's files: loads base and increments, and goes on where they end; or begins new ones.
//!
//! The base is loaded on a thread of its own; increments are applied here, piece by piece, by the path that a master's
//! stream takes. Between two pieces clients are told that the data is being loaded.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rejoin_commands::{Input, Role};
use rejoin_persistence::{
    files::{
        Before, LogFiles, LogFilesOptions, StreamPlace,
        recover::{self, FoundLog, Increments, Replayed, Resumed},
    },
    manifest::Manifest,
    rdb::RdbSummary,
    segment::{SegmentFlaw, SegmentReader, Standing, StoredSegment},
    storage::{FolderLock, Open, Storage},
};
use rejoin_protocol::{ByteCount, DbIndex, Offset, ReplicationId, resp::RequestLimits};
use rejoin_replication::{Ancestor, Lineage};
use tokio::sync::mpsc;

use crate::{
    disk::load::LoadedBase,
    messages::{master::ReplaceLineage, shard::ShardMessage},
    shard::{
        Shard, SharedShard, history, loading,
        log_files::{DiskLog, Keeps, options_of, stream_name_of},
        unix_now,
        upstream::MASTER_SESSION,
    },
};

/// Between two looks whether the first base is there.
const BASE_POLL_PERIOD: Duration = Duration::from_millis(2);
/// Bytes of the log that are in memory again after a start, whatever `repl-backlog-size` allows.
pub(super) const TAIL_BYTES_MAX: u64 = 256 << 20;
/// Bytes of a file of somebody else's that are read at a time.
const PIECE_BYTES: usize = 256 << 10;
/// What a file that begins with an RDB begins with.
const RDB_MAGICS: [&[u8]; 2] = [b"REDIS", b"VALKEY"];

/// Loads the log, or the snapshot file where there is no log, and has the shard write on behind it. With `appendonly no`
/// there is none.
///
/// # Errors
/// Why the node must not start, in words for the operator.
pub(crate) async fn recover(
    shard: &SharedShard,
    storage: Arc<dyn Storage>,
    reports: mpsc::WeakSender<ShardMessage>,
) -> Result<(), String> {
    let (options, keeps_history) = {
        let settings = &shard.borrow().engine.settings;
        (settings.log.is_on.then(|| options_of(settings, &*storage)), settings.log.keeps_history)
    };
    let Some(options) = options else {
        return match keeps_history {
            true => history::recover(shard, storage, reports).await,
            false => loading::load_dump(shard, &*storage).await,
        };
    };
    let lock = lock(&*storage, &options.folder)?;
    let found = recover::look(&*storage, &options).map_err(|flaw| flaw.to_string())?;
    let bytes_lost = found.as_ref().map_or(0, FoundLog::bytes_lost);
    if bytes_lost > 0 {
        tracing::warn!(
            "The machine went down: the last {bytes_lost} bytes of the log were not safe and are cut off"
        );
        if !shard.borrow().engine.settings.log.loads_truncated {
            return Err(
                "'aof-load-truncated no' forbids to cut the log; 'yes' starts without these bytes".to_owned()
            );
        }
    }
    match &found {
        None => loading::load_dump(shard, &*storage).await?,
        Some(found) => drop(shard.borrow_mut().engine.begin_loading(found.bytes())),
    }
    let role = std::mem::replace(&mut shard.borrow_mut().engine.role, Role::Replica);
    let outcome = match found {
        None => begin_empty(shard, storage, options),
        Some(found) => load(shard, storage, options, found).await,
    };
    begin_to_write(shard, role, outcome?, reports, lock)?;
    wait_for_first_base(shard).await
}

fn begin_to_write(
    shard: &SharedShard,
    role: Role,
    files: LogFiles,
    reports: mpsc::WeakSender<ShardMessage>,
    lock: FolderLock,
) -> Result<(), String> {
    let shard = &mut *shard.borrow_mut();
    shard.engine.role = role;
    shard.engine.reset_stats();
    shard.sets_begun += 1;
    // Before anything is appended: files to come may have their names.
    if let Err(error) = files.strays().carry_out(&**files.storage()) {
        tracing::warn!("Files of the log that are not needed stay: {}", crate::words_of(&error));
    }
    let disk = DiskLog::new(files, reports, lock, Keeps::All, shard.sets_begun)
        .map_err(|error| format!("no thread for the disk: {error}"))?;
    shard.engine.status.log.is_on = true;
    shard.disk = Some(disk);
    Ok(())
}

/// Where data was found that no file of ours holds yet, the first base must be there before a client may write: until then
/// a start would find the old data.
async fn wait_for_first_base(shard: &SharedShard) -> Result<(), String> {
    let awaits_base = || shard.borrow().disk.as_ref().is_some_and(DiskLog::awaits_base);
    if awaits_base() {
        shard.borrow_mut().begin_base();
    }
    while awaits_base() {
        if shard.borrow().engine.status.log.rewrite_began.is_none() {
            return Err(
                "The first base of the log could not be written; what was found is as it was".to_owned()
            );
        }
        tokio::time::sleep(BASE_POLL_PERIOD).await;
    }
    Ok(())
}

/// CONFIG SET appendonly yes: files of the log begin here, and with their first base they are what a start loads.
pub(crate) fn begin_now(shard: &mut Shard) -> Result<DiskLog, String> {
    shard.sets_begun += 1;
    let set = shard.sets_begun;
    let options = options_of(&shard.engine.settings, &*shard.storage);
    let lock = lock(&*shard.storage, &options.folder)?;
    let old = recover::names_in_use(&*shard.storage, &options);
    LogFiles::begin(shard.storage.clone(), options, shard.place(), &old, Before::Base, unix_now())
        .and_then(|files| DiskLog::new(files, shard.reports.clone(), lock, Keeps::All, set))
        .map_err(|error| format!("Can't open the append-only file: {}", crate::words_of(&error)))
}

/// Two nodes that write to the same log would destroy it.
pub(super) fn lock(storage: &dyn Storage, folder: &Path) -> Result<FolderLock, String> {
    storage.create_folder(folder).and_then(|()| storage.lock_folder(folder)).map_err(|error| {
        let folder = folder.display();
        match error.kind() {
            std::io::ErrorKind::WouldBlock => format!(
                "Another node keeps its log in {folder}: give each node a 'dir' of its own, or 'appendonly no'"
            ),
            _ => format!("Can't open or create append-only dir {folder}: {}", crate::words_of(&error)),
        }
    })
}

fn begin_empty(
    shard: &SharedShard,
    storage: Arc<dyn Storage>,
    options: LogFilesOptions,
) -> Result<LogFiles, String> {
    let shard = shard.borrow();
    let place = shard.place();
    let before = if shard.engine.keyspace.is_empty() { Before::Nothing } else { Before::Base };
    LogFiles::begin(storage, options, place, &Manifest::default(), before, unix_now())
        .map_err(|error| format!("Can't open the append-only file: {}", crate::words_of(&error)))
}

async fn load(
    shard: &SharedShard,
    storage: Arc<dyn Storage>,
    options: LogFilesOptions,
    found: FoundLog,
) -> Result<LogFiles, String> {
    let begun = std::time::Instant::now();
    let mut replay = Replay::new(shard.clone());
    let mut base = None;
    if let Some((path, bytes)) = &found.base {
        base = replay.load_file(&storage, path, *bytes).await?;
    }
    let is_ours = match (&found.increments, found.start(), &base) {
        (Increments::Foreign { why, .. }, ..) => Err(why.clone()),
        (_, None, _) => Err("there is no increment of ours".to_owned()),
        (_, Some(_), None) if found.base.is_none() => Ok(()),
        (_, Some(start), Some(RdbSummary { position: Some(position), .. }))
            if (position.replid, position.offset) == start =>
        {
            Ok(())
        }
        (_, Some((replid, start)), Some(RdbSummary { position: Some(position), .. }))
            if position.replid == replid =>
        {
            return Err(format!(
                "The log's base stands at offset {}, but its first increment begins at {start}",
                position.offset
            ));
        }
        (_, Some((_, start)), _) => {
            Err(format!("its base does not stand at offset {start}, where its first increment begins"))
        }
    };
    let files = match (&found.increments, is_ours) {
        (Increments::Ours(segments), Ok(())) => {
            let replayed = replay.segments(segments, &options, None).await?;
            shard.borrow().go_on(storage, options, found, replayed)?
        }
        (increments, why) => {
            let paths: Vec<(PathBuf, u64)> = match increments {
                Increments::Foreign { files, .. } => files.clone(),
                Increments::Ours(segments) => {
                    segments.iter().map(|segment| (segment.path.clone(), segment.bytes)).collect()
                }
            };
            tracing::warn!(
                "The log was written or touched by another server ({}): its data is loaded, and a new stream begins",
                why.err().unwrap_or_default()
            );
            for (path, bytes) in &paths {
                replay.load_file(&storage, path, *bytes).await?;
            }
            let place = shard.borrow().place();
            let files = LogFiles::begin(storage, options, place, found.manifest(), Before::Base, unix_now())
                .map_err(|error| format!("Can't open the append-only file: {}", crate::words_of(&error)))?;
            (files, None)
        }
    };
    let (files, resumed) = files;
    shard.borrow_mut().take_up(&files.place(), resumed);
    tracing::info!("DB loaded from append only file: {:.3} seconds", begun.elapsed().as_secs_f64());
    Ok(files)
}

/// A stream that goes on where a log ends.
pub(super) struct GoneOn {
    resumed: Resumed,
    /// The end of the log, for the memory.
    tail: Vec<u8>,
}

/// A log that is being loaded.
pub(super) struct Replay {
    shard: SharedShard,
    input: Input,
    /// The last byte behind which no command and no transaction is open.
    border: Offset,
    /// Bytes that were applied behind it.
    bytes_in_transaction: u64,
}

impl Replay {
    pub(super) fn new(shard: SharedShard) -> Self {
        Self { shard, input: Input::new(MASTER_SESSION), border: Offset::ZERO, bytes_in_transaction: 0 }
    }

    /// Loads an RDB, a file of commands, or an RDB with commands behind it. What an RDB says of itself.
    async fn load_file(
        &mut self,
        storage: &Arc<dyn Storage>,
        path: &Path,
        bytes: u64,
    ) -> Result<Option<RdbSummary>, String> {
        let failed = |error: std::io::Error| format!("{}: {}", path.display(), crate::words_of(&error));
        let file = storage.open(path, Open::Existing).map_err(failed)?;
        let mut magic = [0; 6];
        let count = file.read_at(0, &mut magic).map_err(failed)?;
        let is_rdb = RDB_MAGICS.iter().any(|rdb| magic[..count].starts_with(rdb));
        let mut summary = None;
        let mut at = 0;
        if is_rdb {
            let loaded = load_base(&self.shard, storage, path).await?;
            at = loaded.bytes;
            summary = Some(loaded);
        }
        self.input = Input::of_file(MASTER_SESSION);
        self.shard.borrow_mut().begin_file(DbIndex::new(0));
        self.border = self.shard.borrow().engine.log.offset();
        let mut piece = vec![0; PIECE_BYTES];
        while at < bytes {
            let count = file.read_at(at, &mut piece).map_err(failed)?;
            if count == 0 {
                break;
            }
            let applied = self.apply(&piece[..count]);
            at += count as u64;
            applied.map_err(|error| {
                let good = at.saturating_sub(self.bytes_open());
                format!(
                    "Bad file format reading the append only file {}: {error}, behind byte {good}. Make a backup of \
                     your AOF file, then use rejoin check-aof --fix <filename.manifest>",
                    path.display()
                )
            })?;
            tokio::task::yield_now().await;
        }
        self.end_of_file(path, self.bytes_open())?;
        Ok(summary)
    }

    /// Applies segments of ours, each byte checked; with `from`, what lies behind that offset, where that database is
    /// selected.
    pub(super) async fn segments(
        &mut self,
        segments: &[StoredSegment],
        options: &LogFilesOptions,
        from: Option<(Offset, DbIndex)>,
    ) -> Result<Replayed, String> {
        let mut verified = Offset::ZERO;
        for (number, segment) in segments.iter().enumerate() {
            let from = from.filter(|(from, _)| *from > segment.head.start);
            let has_nothing = from.is_some_and(|(from, _)| segment.end_present() <= from);
            if has_nothing && number + 1 < segments.len() {
                continue;
            }
            self.input = Input::new(MASTER_SESSION);
            {
                let shard = &mut *self.shard.borrow_mut();
                shard.begin_file(segment.head.db);
                let selected = shard.engine.log.selected();
                shard.engine.log.restart(segment.head.start, selected);
            }
            self.border = segment.head.start;
            let is_last = number + 1 == segments.len();
            let may_end_early = is_last && segment.standing(options.boot) != Standing::Whole;
            let mut reader = segment.read();
            if let Some((from, db)) = from {
                self.skip(&mut reader, from, db)?;
            }
            loop {
                let place = segment.place(reader.offset());
                let piece = match reader.next_piece() {
                    Ok(Some(piece)) => piece,
                    Ok(None) => break,
                    Err(flaw) => return Err(damaged(&flaw)),
                };
                if let Err(error) = self.apply(piece) {
                    // What was never synced may have come back as anything.
                    if may_end_early && self.border >= reader.verified() {
                        break;
                    }
                    return Err(format!(
                        "{}: {error}, in the command at byte {}",
                        segment.path.display(),
                        segment.place(self.border).max(place.saturating_sub(1))
                    ));
                }
                tokio::task::yield_now().await;
            }
            verified = reader.verified();
            let cut = segment.end_present().since(self.border).get();
            if cut > 0 && !may_end_early {
                return Err(format!(
                    "{} ends within a command, {cut} bytes behind the last border",
                    segment.path.display()
                ));
            }
            self.end_of_file(&segment.path, cut)?;
        }
        let db = self.shard.borrow().selected_db();
        Ok(Replayed { border: self.border, verified, db })
    }

    /// Passes over what is in the data already; `from` is a border.
    fn skip(&mut self, reader: &mut SegmentReader<'_>, from: Offset, db: DbIndex) -> Result<(), String> {
        while reader.offset() < from {
            let before = reader.offset();
            let Some(piece) = reader.next_piece().map_err(|flaw| damaged(&flaw))? else { break };
            let known = usize::try_from(from.since(before).get()).unwrap_or(usize::MAX).min(piece.len());
            let new = piece[known..].to_vec();
            {
                let shard = &mut *self.shard.borrow_mut();
                shard.begin_file(db);
                let selected = shard.engine.log.selected();
                shard.engine.log.restart(from, selected);
            }
            self.border = from;
            self.apply(&new)?;
        }
        Ok(())
    }

    /// Applies what of a file has come.
    fn apply(&mut self, bytes: &[u8]) -> Result<(), String> {
        let shard = &mut *self.shard.borrow_mut();
        shard.engine.note_loaded(bytes.len() as u64);
        self.input.buffer_mut().extend_from_slice(bytes);
        let limits = RequestLimits::master();
        let (border, mut at) = (&mut self.border, shard.engine.log.offset());
        let in_transaction = &mut self.bytes_in_transaction;
        loop {
            self.input.decode(&limits, true);
            if !self.input.is_ready() {
                return Ok(());
            }
            let applied = shard.engine.apply_turn(&mut self.input, &mut |bytes, at_border| {
                at = at.advance(ByteCount::of(bytes.len()));
                *in_transaction = if at_border { 0 } else { *in_transaction + bytes.len() as u64 };
                if at_border {
                    *border = at;
                }
            });
            shard.engine.effects.clear();
            applied.outcome.map_err(|error| error.to_string())?;
        }
    }

    /// Bytes behind the last border.
    fn bytes_open(&self) -> u64 {
        self.input.pending_bytes() as u64 + self.bytes_in_transaction
    }

    /// `cut` bytes behind the last border are no whole command.
    fn end_of_file(&mut self, path: &Path, cut: u64) -> Result<(), String> {
        let shard = &mut *self.shard.borrow_mut();
        shard.forget_transaction();
        self.bytes_in_transaction = 0;
        let selected = shard.engine.log.selected();
        shard.engine.log.restart(self.border, selected);
        if cut == 0 {
            return Ok(());
        }
        if !shard.engine.settings.log.loads_truncated {
            return Err(format!(
                "Unexpected end of file reading the append only file {}. You can: 1) Make a backup of your AOF file, then use rejoin check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration option to yes and restart the server.",
                path.display()
            ));
        }
        tracing::warn!(
            "!!! Warning: short read while loading the AOF file {}!!! {cut} bytes behind the last whole command are cut off",
            path.display()
        );
        Ok(())
    }
}

fn damaged(flaw: &SegmentFlaw) -> String {
    format!(
        "{flaw}. Make a backup of the log, then use rejoin check-aof --fix <filename.manifest> to cut it there"
    )
}

/// Loads an RDB on a thread of its own and puts it in the place of the shard's data.
async fn load_base(
    shard: &SharedShard,
    storage: &Arc<dyn Storage>,
    path: &Path,
) -> Result<RdbSummary, String> {
    let file = storage
        .open(path, Open::Existing)
        .map_err(|error| format!("{}: {}", path.display(), crate::words_of(&error)))?;
    // What has expired may still be changed by the log that follows.
    let LoadedBase { keyspace, summary, .. } = loading::load_file(shard, file, path, false).await?;
    shard.borrow_mut().engine.replace_keyspace(keyspace);
    Ok(summary)
}

impl Shard {
    /// Where the stream stands.
    pub(crate) fn place(&self) -> StreamPlace {
        let offset = match self.engine.loading {
            Some(_) => self.engine.log.offset(),
            // Behind the border there may be the beginning of a transaction.
            None => self.visible().advance(ByteCount::of(self.unwritten.len())),
        };
        StreamPlace { stream: stream_name_of(&self.lineage), offset, db: self.selected_db(), chain: 0 }
    }

    pub(super) fn begin_file(&mut self, db: DbIndex) {
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.db = db;
            session.transaction = None;
        }
    }

    fn forget_transaction(&mut self) {
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.transaction = None;
        }
    }

    pub(super) fn go_on(
        &self,
        storage: Arc<dyn Storage>,
        options: LogFilesOptions,
        found: FoundLog,
        replayed: Replayed,
    ) -> Result<(LogFiles, Option<GoneOn>), String> {
        let bytes_max = self.engine.settings.repl_backlog_bytes.min(TAIL_BYTES_MAX);
        let tail = found.tail(replayed.border, bytes_max).map_err(|flaw| flaw.to_string())?;
        let new_replid = ReplicationId::from_random((self.random_id)());
        // REPLICAOF may have come while it was loaded.
        let options = LogFilesOptions { is_followed: self.engine.settings.replicaof.is_some(), ..options };
        found
            .resume(storage, options, replayed, new_replid, unix_now())
            .map(|(files, resumed)| (files, Some(GoneOn { resumed, tail })))
            .map_err(|flaw| flaw.to_string())
    }

    /// The stream stands at `place` from now on.
    pub(super) fn take_up(&mut self, place: &StreamPlace, gone_on: Option<GoneOn>) {
        let ancestors = place
            .stream
            .ancestors
            .iter()
            .map(|(replid, last_valid)| Ancestor { replid: *replid, last_valid: *last_valid })
            .collect();
        self.lineage = Lineage::restore(place.stream.replid, ancestors);
        self.show_lineage();
        let tail = gone_on.as_ref().map_or(&[][..], |gone_on| &gone_on.tail);
        let begin = Offset::new(place.offset.get() - tail.len() as u64);
        let name = self.log.restart(begin);
        self.log.append(tail);
        self.log.publish();
        self.engine.status.hot_first = self.log_handle.first_held();
        // The first write says its database: where the stream was given a new name just before the process ended, those who
        // follow it under the old one may have another selected.
        self.engine.log.restart(place.offset, None);
        self.begin_file(place.db);
        self.control.replace_lineage(ReplaceLineage { lineage: self.lineage.clone(), name });
        if let Some(GoneOn { resumed, .. }) = gone_on {
            tracing::info!(
                replid = %place.stream.replid, offset = %place.offset, db = %place.db,
                "The stream goes on where the log ends{}",
                match (resumed.is_renamed, resumed.is_end_safe) {
                    (false, _) => "",
                    (true, false) => ", under a new name: its end may have been lost",
                    (true, true) => ", under a new name: what is there is a master's that is not followed any more",
                }
            );
        }
    }
}
