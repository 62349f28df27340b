//! Goes back to an offset that the stream has passed, on a thread of its own: loads the base that the files keep below it,
//! applies the log up to it, and keeps the bytes behind it as a lost tail. The shard's data goes on serving; nothing that
//! a start would load is touched here.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use rejoin_commands::{Engine, Input, Role, Settings};
use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};
use rejoin_persistence::{
    files::{
        StreamPlace,
        lost::{self, LostTail},
        rewind::{self, BaseAt, CutCopy, Search, Way},
    },
    segment::{StoredSegment, StreamName},
    storage::{Open, Storage},
};
use rejoin_protocol::{ByteCount, DbIndex, Offset, resp::RequestLimits};
use rejoin_replication::{Divergence, Lineage};
use tokio::sync::oneshot;

use crate::{
    background,
    disk::{
        HISTORY_FOLDER,
        load::{LoadOptions, LoadedBase, load_here},
    },
    shard::{
        log_files::stream_name_of,
        unix_now,
        upstream::{MASTER_SESSION, master_session},
    },
};

/// What the thread works with.
pub struct RewindPlan {
    pub(crate) storage: Arc<dyn Storage>,
    /// The folder of the live files; lost tails are kept there.
    pub(crate) folder: PathBuf,
    /// Where the live files begin.
    pub(crate) live_start: Option<Offset>,
    /// The live base, or the dump that was saved last.
    pub(crate) bases: Vec<BaseAt>,
    /// Our stream as it is.
    pub(crate) stream: StreamName,
    pub(crate) divergence: Divergence,
    pub(crate) settings: Settings,
    /// Bytes before the offset that are to be in memory again.
    pub(crate) tail_bytes_max: u64,
    /// Nobody else's: temporary files have it.
    pub(crate) number: u64,
}

/// The node as it was at the offset.
pub struct Rewound {
    pub(crate) keyspace: Keyspace,
    pub(crate) lineage: Lineage,
    /// The last byte that was held.
    pub(crate) held: Offset,
    pub(crate) place: StreamPlace,
    /// The end of the log, for the memory.
    pub(crate) tail: Vec<u8>,
    /// What takes the place of the live segment in which the offset lies.
    pub(crate) cut: Option<CutCopy>,
    /// The live files reach back so far.
    pub(crate) is_live: bool,
    pub(crate) lost: LostTail,
    /// What it was made of: where the base stands, and bytes of log behind it.
    pub(crate) start: Offset,
}

/// Begins to go back. When the receiver is dropped the work ends.
pub(crate) fn begin(plan: RewindPlan) -> std::io::Result<oneshot::Receiver<Result<Rewound, String>>> {
    let (mut wanted, done) = oneshot::channel();
    background::spawn("rewind", move || {
        let outcome = go_back(&plan, &mut wanted);
        // Nobody waits any more: another master is followed.
        let _ = wanted.send(outcome);
    })?;
    Ok(done)
}

type Wanted = oneshot::Sender<Result<Rewound, String>>;

fn go_back(plan: &RewindPlan, wanted: &mut Wanted) -> Result<Rewound, String> {
    let at = plan.divergence.common;
    let history = PathBuf::from(HISTORY_FOLDER);
    let folders = match plan.folder == history {
        true => vec![history.clone()],
        false => vec![plan.folder.clone(), history.clone()],
    };
    let search = Search {
        folders: &folders,
        bases: plan.bases.clone(),
        stream: &plan.stream,
        end: plan.divergence.held,
        wanted: at,
    };
    let way = rewind::find(&*plan.storage, search).map_err(|no| no.to_string())?;
    tracing::info!(
        from = %way.start, to = %at, segments = way.segments.len(),
        "Going back: the data is rebuilt from what is kept, while ours goes on serving"
    );
    let (keyspace, db) = rebuild(plan, &way, wanted)?;
    if wanted.is_closed() {
        return Err("another master is followed by now".to_owned());
    }
    let segment = way.segment_at(at).ok_or("the offset lies in no segment")?;
    let chain = segment.chain_at(at).map_err(|flaw| flaw.to_string())?;
    let tail = way.tail(at, plan.tail_bytes_max).map_err(|flaw| flaw.to_string())?;
    let replid = plan.stream.replid;
    let lost =
        lost::keep(&*plan.storage, &plan.folder, (replid, db), &way.segments, at, plan.divergence.held)
            .map_err(|flaw| format!("what would be lost cannot be kept: {flaw}"))?;
    let is_live = plan.live_start.is_some_and(|start| start <= at);
    let cut = prepare_cut(plan, segment, at, is_live)?;
    if !is_live {
        rewind::forget_behind(&*plan.storage, &history, &way, at, cut.as_ref())
            .map_err(|error| format!("the history cannot be cut: {}", crate::words_of(&error)))?;
    }
    let lineage = plan.divergence.lineage.clone();
    let place = StreamPlace { stream: stream_name_of(&lineage), offset: at, db, chain };
    Ok(Rewound {
        keyspace,
        lineage,
        held: plan.divergence.held,
        place,
        tail,
        cut: cut.filter(|_| is_live),
        is_live,
        lost,
        start: way.start,
    })
}

/// A copy of the segment up to `at`, unless it ends there.
fn prepare_cut(
    plan: &RewindPlan,
    segment: &StoredSegment,
    at: Offset,
    is_live: bool,
) -> Result<Option<CutCopy>, String> {
    let is_whole = segment.end_present() == at && segment.head.start < at;
    let begins_behind = !is_live && segment.head.start >= at;
    if is_whole || begins_behind {
        return Ok(None);
    }
    let folder = segment.path.parent().unwrap_or(Path::new(""));
    let temporary = folder.join(format!("temp-rewind-{}.cut", plan.number));
    rewind::cut(&*plan.storage, segment, at, &temporary)
        .map(Some)
        .map_err(|flaw| format!("the log cannot be cut: {flaw}"))
}

/// The data as it was at the common offset, and the database selected there.
fn rebuild(plan: &RewindPlan, way: &Way, wanted: &Wanted) -> Result<(Keyspace, DbIndex), String> {
    let mut replay = Replay::new(plan, way.start);
    let mut from = None;
    if let Some(base) = &way.base {
        from = Some(replay.load(plan, base)?);
    }
    let at = plan.divergence.common;
    for segment in &way.segments {
        if segment.head.start >= at || segment.end_present() <= way.start {
            continue;
        }
        replay.segment(segment, way.start, at, from, wanted)?;
    }
    if replay.border != at || replay.has_open() {
        return Err(format!(
            "offset {at} is no border of our stream: the last one before it is {}",
            replay.border
        ));
    }
    let db = replay.engine.sessions.get(MASTER_SESSION).map_or(DbIndex::new(0), |session| session.db);
    Ok((replay.take_keyspace(), db))
}

/// An engine of its own that applies the log.
struct Replay {
    engine: Engine,
    input: Input,
    options: KeyspaceOptions,
    border: Offset,
    in_transaction: bool,
}

impl Replay {
    fn new(plan: &RewindPlan, start: Offset) -> Self {
        let options =
            KeyspaceOptions { databases: plan.settings.databases, seed: HashSeed::new(rand::random()) };
        let mut engine = Engine::new(plan.settings.clone(), options, start, rand::random());
        engine.role = Role::Replica;
        engine.now = unix_now();
        engine.now_micros = engine.now.get().saturating_mul(1000);
        engine.sessions.insert(master_session());
        Self { engine, input: Input::new(MASTER_SESSION), options, border: start, in_transaction: false }
    }

    /// Loads the base; the database selected where it stands.
    fn load(&mut self, plan: &RewindPlan, base: &BaseAt) -> Result<DbIndex, String> {
        let name = base.path.display();
        let wrong = |reason: String| format!("{name}: {reason}");
        let file =
            plan.storage.open(&base.path, Open::Existing).map_err(|error| wrong(crate::words_of(&error)))?;
        let options = LoadOptions {
            databases: plan.settings.databases,
            limits: plan.settings.limits(),
            skips_unsupported: plan.settings.rdb_skips_unsupported,
            drops_expired: false,
            read: Arc::<AtomicU64>::default(),
        };
        let LoadedBase { keyspace, summary, .. } =
            load_here(file, &options).map_err(|error| wrong(error.to_string()))?;
        let position = summary.position.ok_or_else(|| wrong("it does not say where it stands".to_owned()))?;
        if (position.replid, position.offset) != (base.replid, base.offset) {
            return Err(wrong(format!("it stands at {}:{}", position.replid, position.offset)));
        }
        self.engine.replace_keyspace(keyspace);
        Ok(position.selected)
    }

    /// Applies what of a segment lies behind `start` and up to `at`; `db` is selected at `start`.
    fn segment(
        &mut self,
        segment: &StoredSegment,
        start: Offset,
        at: Offset,
        db: Option<DbIndex>,
        wanted: &Wanted,
    ) -> Result<(), String> {
        let from = segment.head.start.max(start);
        let selected = if segment.head.start < start { db } else { Some(segment.head.db) };
        self.begin_file(from, selected.unwrap_or(segment.head.db));
        let mut reader = segment.read();
        loop {
            if wanted.is_closed() {
                return Err("another master is followed by now".to_owned());
            }
            let before = reader.offset();
            let Some(piece) = reader.next_piece().map_err(|flaw| flaw.to_string())? else { return Ok(()) };
            let end = before.advance(ByteCount::of(piece.len()));
            let skipped = index(from.since(before), piece.len());
            let taken = index(at.since(before), piece.len());
            let new = piece.get(skipped..taken).unwrap_or_default().to_vec();
            self.apply(&new).map_err(|error| format!("{}: {error}", segment.path.display()))?;
            if end >= at {
                return Ok(());
            }
        }
    }

    fn begin_file(&mut self, from: Offset, db: DbIndex) {
        self.input = Input::new(MASTER_SESSION);
        self.border = from;
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.db = db;
            session.transaction = None;
        }
        self.engine.log.restart(from, None);
    }

    fn apply(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.input.buffer_mut().extend_from_slice(bytes);
        let (limits, mut at) = (RequestLimits::master(), self.engine.log.offset());
        let (border, in_transaction) = (&mut self.border, &mut self.in_transaction);
        loop {
            self.input.decode(&limits, true);
            if !self.input.is_ready() {
                return Ok(());
            }
            let applied = self.engine.apply_turn(&mut self.input, &mut |bytes, at_border| {
                at = at.advance(ByteCount::of(bytes.len()));
                *in_transaction = !at_border;
                if at_border {
                    *border = at;
                }
            });
            self.engine.effects.clear();
            applied.outcome.map_err(|error| error.to_string())?;
        }
    }

    /// Bytes behind the last border were applied, or are the beginning of a command.
    fn has_open(&self) -> bool {
        self.in_transaction || self.input.pending_bytes() > 0
    }

    fn take_keyspace(mut self) -> Keyspace {
        self.engine.replace_keyspace(Keyspace::new(self.options))
    }
}

/// Where `count` bytes into a piece of `length` bytes is.
fn index(count: ByteCount, length: usize) -> usize {
    usize::try_from(count.get()).unwrap_or(usize::MAX).min(length)
}
