//! `Snapshotter`: running snapshots and who waits for them. One snapshot serves all who can share it; those that become
//! files are in [`saves`].
//!
//! It sees snapshot handles and offsets; the shard takes the image, and a thread of the snapshot's own encodes it. One is
//! encoded at a time, unless that takes long: who comes meanwhile shares the next one. A receiver that does not read holds
//! up neither the shard nor, for longer than a moment, the others ([`fan_out`]); its session ends it by its timeout.

mod fan_out;
mod saves;
mod spill;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use rejoin_persistence::{
    rdb::{self, EncodeOptions, RdbTarget},
    rdb_file::SaveGuard,
};
use rejoin_protocol::{ByteCount, ReplicaId, SnapshotId};
use rejoin_replication::PayloadForm;
use tokio::sync::{mpsc, oneshot};

use crate::{
    background,
    events::PartGuard,
    live_settings::LiveSettingsReader,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        shard::{ShardMessage, SnapshotTaken},
        snapshotter::{
            BeginSnapshot, CancelSnapshots, FeedPayload, JoinSnapshot, SnapshotEnded, SnapshotFeed,
        },
    },
};

use fan_out::{CHUNKS_IN_FLIGHT_MAX, FanOut, Receiver};
use spill::Spill;

/// How long a snapshot waits for others to join at least: replicas that lost their master in the same moment come back
/// in the same moment.
const GATHER_MIN: Duration = Duration::from_millis(50);
/// How long those who came while a snapshot was being encoded wait for its end, at most.
const NEXT_WAITS_MAX: Duration = Duration::from_secs(5);

/// Those who wait for one snapshot.
struct Batch {
    target: RdbTarget,
    /// One of them takes up our hash seed; the others pass over it.
    states_seed: bool,
    /// Without keys.
    omits_keys: bool,
    /// It goes straight from memory to the sockets, not through a file.
    is_diskless: bool,
    waiting: Vec<(ReplicaId, oneshot::Sender<SnapshotFeed>)>,
    /// Since when nobody else is waited for, but for a snapshot that is being encoded.
    due_since: Option<Instant>,
}

/// Running snapshots and who waits for them.
pub struct Snapshotter {
    /// Among others, how long a snapshot waits for others to join.
    settings: LiveSettingsReader,
    dir: PathBuf,
    shard: mpsc::Sender<ShardMessage>,
    next_snapshot: u64,
    /// Snapshots that have not been taken yet.
    gathering: BTreeMap<SnapshotId, Batch>,
    /// Snapshots that are taken and not encoded to their end.
    encoding: BTreeSet<SnapshotId>,
    /// Files that are being written.
    saves: Vec<Weak<SaveGuard>>,
    _guard: PartGuard,
}

impl Snapshotter {
    /// A snapshotter without work.
    #[must_use]
    pub fn new(
        settings: LiveSettingsReader,
        dir: PathBuf,
        shard: mpsc::Sender<ShardMessage>,
        guard: PartGuard,
    ) -> Self {
        let (gathering, encoding, saves) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        Self { settings, dir, shard, next_snapshot: 1, gathering, encoding, saves, _guard: guard }
    }

    /// Takes the snapshot of those who have gathered, unless another one is being encoded: then it comes next.
    fn begin(&mut self, id: SnapshotId, context: &mut Context<Self>) {
        let Some(batch) = self.gathering.get_mut(&id) else { return };
        let waits = batch.due_since.get_or_insert_with(Instant::now).elapsed();
        if !self.encoding.is_empty() && waits < NEXT_WAITS_MAX {
            context.notify_later(BeginSnapshot { snapshot: id }, NEXT_WAITS_MAX);
            return;
        }
        let Some(mut batch) = self.gathering.remove(&id) else { return };
        batch.waiting.retain(|(_, deliver)| !deliver.is_closed());
        if batch.waiting.is_empty() {
            return;
        }
        self.encoding.insert(id);
        let (answer, taken) = oneshot::channel();
        let shard = self.shard.clone();
        let readers = batch.waiting.len();
        let taking = async move {
            shard.send(ShardMessage::TakeSnapshot { readers, answer }).await.ok()?;
            taken.await.ok()
        };
        context.spawn(taking.into_actor(self).map(move |taken, snapshotter, context| match taken {
            Some(taken) => snapshotter.encode(id, batch, taken, context),
            None => snapshotter.end(id, context),
        }));
    }

    /// A snapshot is encoded, or was not even taken: the next one may begin.
    fn end(&mut self, id: SnapshotId, context: &mut Context<Self>) {
        self.encoding.remove(&id);
        let due = self.gathering.iter().find(|(_, batch)| batch.due_since.is_some()).map(|(id, _)| *id);
        if let Some(next) = due {
            self.begin(next, context);
        }
    }

    fn encode(&mut self, id: SnapshotId, batch: Batch, taken: SnapshotTaken, context: &mut Context<Self>) {
        let SnapshotTaken { snapshot, position, unsaid_db, cursors } = taken;
        let mut receivers = Vec::new();
        for ((replica, deliver), cursor) in batch.waiting.into_iter().zip(cursors) {
            let (form_sender, form) = oneshot::channel();
            let (chunk_sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
            let (whole_sender, is_whole) = oneshot::channel();
            let payload = FeedPayload::Encoded { form, chunks, is_whole };
            let feed =
                SnapshotFeed { position, unsaid_db, at: cursor.bookmark(), held: Some(cursor), payload };
            if deliver.send(feed).is_ok() {
                receivers.push(Receiver {
                    replica,
                    form: form_sender,
                    chunks: chunk_sender,
                    is_whole: whole_sender,
                });
            }
        }
        tracing::info!(
            snapshot = %id, offset = %position.offset, keys = snapshot.len(), receivers = receivers.len(),
            "Starting snapshot for SYNC, without fork"
        );
        if batch.target.psync2 && !snapshot.libraries().is_empty() {
            let names: Vec<String> = receivers.iter().map(|receiver| receiver.replica.to_string()).collect();
            // The handshake of 7.0 is that of 6.2, which gives up on such a payload, as it does below a stock master.
            tracing::warn!(
                snapshot = %id, replicas = names.join(","),
                "The data hold libraries of functions: the snapshot is of RDB version 10, which servers before Redis 7.0 \
                 cannot read"
            );
        }
        let ended = context.address().recipient();
        let dir = self.dir.clone();
        let spawned = background::spawn(format!("snapshot-{id}"), move || {
            let mut report = Report { to: ended, snapshot: id, begun: Instant::now(), outcome: None };
            let write = |out: &mut dyn Write| {
                let options = EncodeOptions {
                    states_seed: batch.states_seed,
                    omits_keys: batch.omits_keys,
                    ..EncodeOptions::for_target(batch.target, Some(position))
                };
                rdb::encode(snapshot, &options, out).map_err(io::Error::other)
            };
            report.outcome = Some(if batch.is_diskless {
                let mut fan_out = FanOut::begin(receivers, &dir);
                write(&mut fan_out).and_then(|bytes| fan_out.finish().map(|()| bytes))
            } else {
                through_file(&dir, receivers, write)
            });
        });
        if let Err(error) = spawned {
            // Receivers see their channels close and end their sessions.
            tracing::error!(snapshot = %id, %error, "no thread could be had for a snapshot");
            self.end(id, context);
        }
    }
}

/// Says how a snapshot ended when it is dropped, be it by a panic: others wait for its end.
struct Report {
    to: Recipient<SnapshotEnded>,
    snapshot: SnapshotId,
    begun: Instant,
    outcome: Option<io::Result<u64>>,
}

impl Drop for Report {
    fn drop(&mut self) {
        let snapshot = self.snapshot;
        let lost = || Err(io::Error::other("its thread failed on our side, which is a defect"));
        let outcome = self.outcome.take().unwrap_or_else(lost);
        if let Ok(bytes) = &outcome {
            let took_millis = self.begun.elapsed().as_millis() as u64;
            tracing::info!(%snapshot, bytes, took_millis, "Snapshot transfer ended with success");
        }
        let outcome = outcome.map_err(|error| error.to_string());
        tell(&self.to, SnapshotEnded { snapshot, outcome }, WhenFull::Complain);
    }
}

/// Encodes into a file first, for those who want to know the length: all are served out of it, each at its own pace.
fn through_file(
    dir: &Path,
    receivers: Vec<Receiver>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<u64>,
) -> io::Result<u64> {
    let spill = Arc::new(Spill::create(dir)?);
    let bytes = write(&mut spill.writer())?;
    spill.end(true);
    for Receiver { form, chunks, is_whole, .. } in receivers {
        // Nobody listens any more: its thread finds out.
        let _ = form.send(PayloadForm::Length(ByteCount::new(bytes)));
        Spill::serve(&spill, 0, chunks, is_whole);
    }
    Ok(bytes)
}

impl Actor for Snapshotter {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<JoinSnapshot> for Snapshotter {
    type Result = ();

    fn handle(&mut self, join: JoinSnapshot, context: &mut Self::Context) {
        let JoinSnapshot { replica, target, knows_seed, omits_keys, capa_eof, deliver } = join;
        let settings = *self.settings.borrow();
        // Without keys there is little to send.
        let is_diskless = capa_eof && (settings.is_diskless || omits_keys);
        let kind = (target, omits_keys, is_diskless);
        let shared = self
            .gathering
            .iter_mut()
            .find(|(_, batch)| (batch.target, batch.omits_keys, batch.is_diskless) == kind);
        if let Some((&snapshot, batch)) = shared {
            batch.states_seed |= knows_seed;
            batch.waiting.push((replica, deliver));
            if batch.waiting.len() == settings.snapshot_replicas_max {
                self.begin(snapshot, context);
            }
            return;
        }
        let snapshot = SnapshotId::new(self.next_snapshot);
        self.next_snapshot += 1;
        let batch = Batch {
            target,
            states_seed: knows_seed,
            omits_keys,
            is_diskless,
            waiting: vec![(replica, deliver)],
            due_since: None,
        };
        self.gathering.insert(snapshot, batch);
        let is_full = settings.snapshot_replicas_max == 1;
        let delay = if is_full { Duration::ZERO } else { settings.snapshot_delay.max(GATHER_MIN) };
        context.notify_later(BeginSnapshot { snapshot }, delay);
    }
}

impl Handler<BeginSnapshot> for Snapshotter {
    type Result = ();

    fn handle(&mut self, begin: BeginSnapshot, context: &mut Self::Context) {
        self.begin(begin.snapshot, context);
    }
}

impl Handler<CancelSnapshots> for Snapshotter {
    type Result = ();

    fn handle(&mut self, _: CancelSnapshots, _: &mut Self::Context) {
        // Running ones for sessions end when their receivers do.
        self.gathering.clear();
        self.saves.iter().filter_map(Weak::upgrade).for_each(|save| save.cancel());
    }
}

impl Handler<SnapshotEnded> for Snapshotter {
    type Result = ();

    fn handle(&mut self, ended: SnapshotEnded, context: &mut Self::Context) {
        if let Err(error) = ended.outcome {
            tracing::warn!(snapshot = %ended.snapshot, error, "Snapshot transfer ended in an error");
        }
        self.end(ended.snapshot, context);
    }
}
