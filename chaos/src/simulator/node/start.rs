//! What a process does about the files that it finds: the shipped node's is actors/src/shard/recovery.rs.

use std::{path::Path, sync::Arc, time::Duration};

use rejoin_commands::{Engine, Input, Role, Session, SessionKind};
use rejoin_keyspace::{Keyspace, KeyspaceOptions};
use rejoin_persistence::{
    files::{
        Before, LogFiles, LogFilesOptions, StreamPlace,
        recover::{self, FoundLog, Increments, Replayed},
    },
    manifest::Manifest,
    rdb::{self, DecodeOptions, RdbSummary},
    segment::{BootId, Standing, StoredSegment, StreamName},
    storage::{Open, Storage, simulated::SimulatedStorage},
};
use rejoin_protocol::{ByteCount, DbIndex, Offset, resp::RequestLimits};
use rejoin_replication::{Ancestor, Lineage};

use super::{Defect, MASTER_SESSION, Node, Report, Setup, disk::DiskSide, hash_seed, master::Mail, wall_at};
use crate::simulator::{NodeId, chance::Chance};

/// The folder of the history.
pub(crate) const HISTORY_FOLDER: &str = "repl-history";

/// Where the log lies.
pub(crate) fn options_of(setup: &Setup, storage: &SimulatedStorage) -> LogFilesOptions {
    let log = &setup.settings.log;
    LogFilesOptions {
        folder: log.folder.clone().into(),
        name: log.name.clone(),
        history: log.keeps_history.then(|| HISTORY_FOLDER.into()),
        segment_bytes: log.segment_bytes,
        boot: BootId(storage.boot_id()),
        is_followed: false,
    }
}

fn words(error: impl std::fmt::Display) -> String {
    format!("does not start: {error}")
}

/// A stream that goes on where a log ends.
struct GoneOn {
    /// The end of the log, for the memory.
    tail: Vec<u8>,
    /// The same, as far back as there is any.
    whole: Vec<u8>,
    is_renamed: bool,
}

impl Node {
    /// Starts a process on what the disk holds; `is_replica` if its configuration names a master. An error is why it does
    /// not start.
    pub(crate) fn start(
        id: NodeId,
        now: Duration,
        storage: &SimulatedStorage,
        setup: &Setup,
        is_replica: bool,
        chance: &mut Chance,
    ) -> Result<Self, String> {
        let storage = Arc::new(storage.clone());
        let options = LogFilesOptions { is_followed: is_replica, ..options_of(setup, &storage) };
        storage.create_folder(&options.folder).map_err(words)?;
        let lock = storage.lock_folder(&options.folder).map_err(words)?;
        let mut loading = Loading::new(setup, now, chance);
        let (files, gone_on) = match recover::look(&*storage, &options).map_err(words)? {
            None => {
                let place = loading.begin_stream(chance);
                let none = Manifest::default();
                let begun =
                    LogFiles::begin(storage.clone(), options, place, &none, Before::Nothing, wall_at(now));
                (begun.map_err(words)?, None)
            }
            Some(found) => loading.load(&storage, options, setup, found, chance)?,
        };
        let mut node = Self::new(id, loading.engine, storage, DiskSide::new(files, lock), setup, chance);
        node.next_tick = now + super::TICK;
        node.take_up(now, gone_on);
        node.retire_strays();
        if node.is_failed { Err(words("the disk fails")) } else { Ok(node) }
    }

    /// The stream stands where the files end from now on.
    fn take_up(&mut self, now: Duration, gone_on: Option<GoneOn>) {
        let place = self.disk.files.place();
        let StreamName { replid, ancestors } = place.stream;
        let parent = ancestors.first().copied();
        let ancestors = ancestors.iter().map(|(replid, at)| Ancestor { replid: *replid, last_valid: *at });
        self.lineage = Lineage::restore(replid, ancestors.collect());
        self.engine.status.replid = replid;
        let (tail, whole) = gone_on.as_ref().map_or((&[][..], &[][..]), |one| (&one.tail, &one.whole));
        let begins_at = |bytes: &[u8]| Offset::new(place.offset.get() - bytes.len() as u64);
        let name = self.log.restart(begins_at(tail));
        self.log.append(tail);
        self.log.publish();
        self.engine.status.hot_first = self.log_handle.first_held();
        // The first write says its database: a name that was given just before the process ended wants that.
        self.engine.log.restart(place.offset, None);
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.db = place.db;
            session.transaction = None;
        }
        // What a killed process has left may not be synced: the next sync tells.
        self.disk.offset_synced = Offset::ZERO;
        let is_renamed = gone_on.as_ref().is_none_or(|one| one.is_renamed);
        // A process that ended while it started may have given the name.
        self.reports.push(Report::Named { replid, parent, start: place.offset, is_own: is_renamed });
        self.reports.push(Report::Shown { replid, from: begins_at(whole), bytes: whole.to_vec() });
        self.say(format!(
            "starts at {} of {replid}{}",
            place.offset,
            if is_renamed { ", a new name" } else { "" }
        ));
        self.reports.push(Report::DataReplaced);
        self.tell_master(now, Mail::Replace { lineage: self.lineage.clone(), name });
    }
}

/// Data that is being read.
struct Loading {
    engine: Engine,
    input: Input,
    /// The last byte behind which no command and no transaction is open.
    border: Offset,
}

impl Loading {
    fn new(setup: &Setup, now: Duration, chance: &mut Chance) -> Self {
        let seed = hash_seed(chance);
        let options = KeyspaceOptions { databases: setup.settings.databases, seed };
        let mut engine = Engine::new(setup.settings.clone(), options, Offset::ZERO, chance.next());
        engine.now = wall_at(now);
        let mut session = Session::new(MASTER_SESSION, "master".to_owned(), String::new(), engine.now);
        session.kind = SessionKind::Master;
        session.authenticated = true;
        engine.sessions.insert(session);
        Self { engine, input: Input::new(MASTER_SESSION), border: Offset::ZERO }
    }

    fn begin_stream(&self, chance: &mut Chance) -> StreamPlace {
        let stream = StreamName { replid: chance.replid(), ancestors: Vec::new() };
        StreamPlace { stream, offset: self.engine.log.offset(), db: DbIndex::new(0), chain: 0 }
    }

    fn load(
        &mut self,
        storage: &Arc<SimulatedStorage>,
        options: LogFilesOptions,
        setup: &Setup,
        found: FoundLog,
        chance: &mut Chance,
    ) -> Result<(LogFiles, Option<GoneOn>), String> {
        self.engine.role = Role::Replica;
        let now = self.engine.now;
        let base = found.base.as_ref().map(|(path, _)| self.load_base(storage, path)).transpose()?;
        let position = base.and_then(|summary| summary.position).map(|one| (one.replid, one.offset));
        let segments = match &found.increments {
            Increments::Ours(segments) if found.base.is_none() || position == found.start() => segments,
            Increments::Ours(_) => {
                return Err(words(format!(
                    "its base stands at {position:?}, its first increment begins at {:?}",
                    found.start()
                )));
            }
            Increments::Foreign { why, .. } => {
                // The simulator's nodes alone write here: no log may look like somebody else's.
                return Err(words(format!("its own log looks foreign: {why}")));
            }
        };
        let replayed = self.replay(segments, &options)?;
        self.engine.role = Role::Master;
        let whole = found.tail(replayed.border, u64::MAX).map_err(words)?;
        let kept = usize::try_from(setup.settings.repl_backlog_bytes).unwrap_or(usize::MAX);
        let tail = whole[whole.len().saturating_sub(kept)..].to_vec();
        let new_replid = chance.replid();
        let storage: Arc<dyn Storage> = storage.clone();
        let is_kept = setup.planted == Some(Defect::NameKeptAfterPowerLoss);
        let options = if is_kept { with_boot_of(options, &found) } else { options };
        let (files, resumed) = found.resume(storage, options, replayed, new_replid, now).map_err(words)?;
        Ok((files, Some(GoneOn { tail, whole, is_renamed: resumed.is_renamed })))
    }

    fn load_base(&mut self, storage: &SimulatedStorage, path: &Path) -> Result<RdbSummary, String> {
        let file = storage.open(path, Open::Existing).map_err(words)?;
        let mut bytes = vec![0; usize::try_from(file.len().map_err(words)?).unwrap_or(0)];
        file.read_exact_at(0, &mut bytes).map_err(words)?;
        let seed = *self.engine.keyspace.seed();
        let databases = self.engine.settings.databases;
        let mut keyspace = Keyspace::new(KeyspaceOptions { databases, seed });
        let limits = self.engine.settings.limits();
        let summary = rdb::decode(&mut &*bytes, &mut keyspace, &DecodeOptions::for_file(limits));
        self.engine.replace_keyspace(keyspace);
        summary.map_err(|error| words(format!("{}: {error}", path.display())))
    }

    /// Applies segments, each byte checked.
    fn replay(&mut self, segments: &[StoredSegment], options: &LogFilesOptions) -> Result<Replayed, String> {
        let mut verified = Offset::ZERO;
        for (number, segment) in segments.iter().enumerate() {
            self.input = Input::new(MASTER_SESSION);
            self.begin_file(segment.head.db);
            self.engine.log.restart(segment.head.start, None);
            self.border = segment.head.start;
            let is_last = number + 1 == segments.len();
            let may_end_early = is_last && segment.standing(options.boot) != Standing::Whole;
            let mut reader = segment.read();
            while let Some(piece) = reader.next_piece().map_err(words)? {
                if let Err(error) = self.apply(piece) {
                    if may_end_early && self.border >= reader.verified() {
                        break;
                    }
                    return Err(words(format!("{}: {error}", segment.path.display())));
                }
            }
            verified = reader.verified();
            let cut = segment.end_present().since(self.border).get();
            if cut > 0 && !may_end_early {
                return Err(words(format!("{} ends within a command", segment.path.display())));
            }
            let db = self.selected();
            self.begin_file(db);
            self.engine.log.restart(self.border, None);
        }
        Ok(Replayed { border: self.border, verified, db: self.selected() })
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.input.buffer_mut().extend_from_slice(bytes);
        let (border, mut at) = (&mut self.border, self.engine.log.offset());
        loop {
            self.input.decode(&RequestLimits::master(), true);
            if !self.input.is_ready() {
                return Ok(());
            }
            let applied = self.engine.apply_turn(&mut self.input, &mut |bytes, at_border| {
                at = at.advance(ByteCount::of(bytes.len()));
                if at_border {
                    *border = at;
                }
            });
            self.engine.effects.clear();
            applied.outcome.map_err(|error| error.to_string())?;
        }
    }

    fn begin_file(&mut self, db: DbIndex) {
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.db = db;
            session.transaction = None;
        }
    }

    fn selected(&self) -> DbIndex {
        self.engine.sessions.get(MASTER_SESSION).map_or(DbIndex::new(0), |session| session.db)
    }
}

/// The defect of a node that takes every start for one after a killed process.
fn with_boot_of(options: LogFilesOptions, found: &FoundLog) -> LogFilesOptions {
    match &found.increments {
        Increments::Ours(segments) => {
            let boot = segments.last().map_or(options.boot, |last| last.head.boot);
            LogFilesOptions { boot, ..options }
        }
        Increments::Foreign { .. } => options,
    }
}
