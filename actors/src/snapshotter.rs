//! `Snapshotter`: running snapshots and who waits for them. One snapshot serves all who can share it; those that become
//! files are in [`saves`].
//!
//! It sees snapshot handles and offsets; the shard takes the image, and a thread of the snapshot's own encodes it. A
//! receiver that does not read holds the snapshot's thread, never the shard: its session ends it by its timeout.

mod saves;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use rejoin_persistence::{
    rdb::{self, EncodeOptions, RdbTarget},
    rdb_file::SaveGuard,
};
use rejoin_protocol::{ByteCount, ReplicaId, SnapshotId, psync::EofMark};
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
            BeginSnapshot, CancelSnapshots, JoinSnapshot, SnapshotChunk, SnapshotEnded, SnapshotFeed,
        },
    },
};

/// Bytes of one piece of an encoded snapshot.
const CHUNK_BYTES: usize = 256 << 10;
/// Pieces on their way to one receiver at most.
const CHUNKS_IN_FLIGHT_MAX: usize = 8;

/// Those who wait for one snapshot.
struct Batch {
    target: RdbTarget,
    capa_eof: bool,
    waiting: Vec<(ReplicaId, oneshot::Sender<SnapshotFeed>)>,
}

/// Running snapshots and who waits for them.
pub struct Snapshotter {
    /// How long a snapshot waits for others to join.
    settings: LiveSettingsReader,
    dir: PathBuf,
    shard: mpsc::Sender<ShardMessage>,
    next_snapshot: u64,
    /// Snapshots that have not been taken yet.
    gathering: BTreeMap<SnapshotId, Batch>,
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
        let (gathering, saves) = (BTreeMap::new(), Vec::new());
        Self { settings, dir, shard, next_snapshot: 1, gathering, saves, _guard: guard }
    }

    fn begin(&mut self, id: SnapshotId, context: &mut Context<Self>) {
        let Some(mut batch) = self.gathering.remove(&id) else { return };
        batch.waiting.retain(|(_, deliver)| !deliver.is_closed());
        if batch.waiting.is_empty() {
            return;
        }
        let (answer, taken) = oneshot::channel();
        let shard = self.shard.clone();
        let readers = batch.waiting.len();
        let taking = async move {
            shard.send(ShardMessage::TakeSnapshot { readers, answer }).await.ok()?;
            taken.await.ok()
        };
        context.spawn(taking.into_actor(self).map(move |taken, snapshotter, context| {
            if let Some(taken) = taken {
                snapshotter.encode(id, batch, taken, context);
            }
        }));
    }

    fn encode(&mut self, id: SnapshotId, batch: Batch, taken: SnapshotTaken, context: &mut Context<Self>) {
        let SnapshotTaken { snapshot, position, cursors } = taken;
        let mut receivers = Vec::new();
        for ((replica, deliver), cursor) in batch.waiting.into_iter().zip(cursors) {
            let (form_sender, form) = oneshot::channel();
            let (chunk_sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
            let (whole_sender, is_whole) = oneshot::channel();
            if deliver.send(SnapshotFeed { position, cursor, form, chunks, is_whole }).is_ok() {
                receivers.push(Receiver {
                    replica,
                    form: Some(form_sender),
                    chunks: Some(chunk_sender),
                    is_whole: Some(whole_sender),
                });
            }
        }
        tracing::info!(
            snapshot = %id, offset = %position.offset, keys = snapshot.len(), receivers = receivers.len(),
            "Starting snapshot for SYNC, without fork"
        );
        let ended = context.address().recipient();
        let dir = self.dir.clone();
        let spawned = background::spawn(format!("snapshot-{id}"), move || {
            let mut fan_out = FanOut { receivers, buffer: Vec::with_capacity(CHUNK_BYTES) };
            let begun = Instant::now();
            let write = |out: &mut dyn Write| {
                let options = EncodeOptions::for_target(batch.target, Some(position));
                rdb::encode(snapshot, &options, out).map_err(io::Error::other)
            };
            let outcome = if batch.capa_eof {
                fan_out.announce_marked();
                write(&mut fan_out).and_then(|bytes| fan_out.finish().map(|()| bytes))
            } else {
                through_file(&dir, id, &mut fan_out, write)
            };
            report(&ended, id, outcome, begun.elapsed());
        });
        if let Err(error) = spawned {
            // Receivers see their channels close and end their sessions.
            tracing::error!(snapshot = %id, %error, "no thread could be had for a snapshot");
        }
    }
}

fn report(to: &Recipient<SnapshotEnded>, snapshot: SnapshotId, outcome: io::Result<u64>, took: Duration) {
    if let Ok(bytes) = &outcome {
        tracing::info!(%snapshot, bytes, took_millis = took.as_millis() as u64, "Snapshot transfer ended with success");
    }
    let outcome = outcome.map_err(|error| error.to_string());
    tell(to, SnapshotEnded { snapshot, outcome }, WhenFull::Complain);
}

/// Encodes into a file first: replicas without `capa eof` want to know the length.
fn through_file(
    dir: &Path,
    id: SnapshotId,
    fan_out: &mut FanOut,
    write: impl FnOnce(&mut dyn Write) -> io::Result<u64>,
) -> io::Result<u64> {
    let path = dir.join(format!("temp-repl-{}-{id}.rdb", std::process::id()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    // The name is not needed any more, and nothing is left behind whatever happens.
    std::fs::remove_file(&path)?;
    let bytes = write(&mut file)?;
    file.seek(SeekFrom::Start(0))?;
    fan_out.announce_length(ByteCount::new(bytes));
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            fan_out.finish()?;
            return Ok(bytes);
        }
        fan_out.send(&chunk[..count])?;
    }
}

struct Receiver {
    replica: ReplicaId,
    form: Option<oneshot::Sender<PayloadForm>>,
    /// Absent once the receiver is gone.
    chunks: Option<mpsc::Sender<SnapshotChunk>>,
    is_whole: Option<oneshot::Sender<()>>,
}

/// Sends one encoding to all its receivers, each piece once in memory.
struct FanOut {
    receivers: Vec<Receiver>,
    buffer: Vec<u8>,
}

impl FanOut {
    fn announce_marked(&mut self) {
        for receiver in &mut self.receivers {
            if let Some(form) = receiver.form.take() {
                let _ = form.send(PayloadForm::Marked(EofMark::from_random(rand::random())));
            }
        }
    }

    fn announce_length(&mut self, length: ByteCount) {
        for receiver in &mut self.receivers {
            if let Some(form) = receiver.form.take() {
                let _ = form.send(PayloadForm::Length(length));
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let chunk: SnapshotChunk = Arc::from(bytes);
        for receiver in &mut self.receivers {
            if let Some(chunks) = &receiver.chunks
                && chunks.blocking_send(chunk.clone()).is_err()
            {
                tracing::debug!(replica = %receiver.replica, "a receiver of a snapshot is gone");
                receiver.chunks = None;
            }
        }
        if self.receivers.iter().all(|receiver| receiver.chunks.is_none()) {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "all receivers are gone"));
        }
        Ok(())
    }

    /// Everything was encoded without an error.
    fn finish(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.send(&rest)?;
        }
        for receiver in &mut self.receivers {
            // First the word that it is whole, then the end of the pieces: who sees the end looks for the word.
            if let Some(is_whole) = receiver.is_whole.take() {
                let _ = is_whole.send(());
            }
            receiver.chunks = None;
        }
        Ok(())
    }
}

impl Write for FanOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && bytes.len() >= CHUNK_BYTES {
            self.send(bytes)?;
            return Ok(bytes.len());
        }
        let count = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == CHUNK_BYTES {
            let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
            self.send(&full)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
        let JoinSnapshot { replica, target, capa_eof, deliver } = join;
        let shared =
            self.gathering.values_mut().find(|batch| batch.target == target && batch.capa_eof == capa_eof);
        if let Some(batch) = shared {
            batch.waiting.push((replica, deliver));
            return;
        }
        let snapshot = SnapshotId::new(self.next_snapshot);
        self.next_snapshot += 1;
        self.gathering.insert(snapshot, Batch { target, capa_eof, waiting: vec![(replica, deliver)] });
        // Even without a delay the message goes through the mailbox: who arrives in the same moment shares.
        let delay = self.settings.borrow().snapshot_delay;
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

    fn handle(&mut self, ended: SnapshotEnded, _: &mut Self::Context) {
        if let Err(error) = ended.outcome {
            tracing::warn!(snapshot = %ended.snapshot, error, "Snapshot transfer ended in an error");
        }
    }
}
