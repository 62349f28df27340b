//! What the `Snapshotter` actor is told, and what it hands to sessions.

use std::{sync::Arc, time::Duration};

use actix::Message;
use rejoin_keyspace::Snapshot;
use rejoin_persistence::{
    files::BaseTask,
    log::{Bookmark, Cursor},
    rdb::{RdbTarget, StreamPosition},
    rdb_file::{RdbFile, SaveError, SaveGuard},
    storage::{Storage, StoredFile},
};
use rejoin_protocol::{ByteCount, DbIndex, ReplicaId, SnapshotId};
use rejoin_replication::PayloadForm;
use tokio::sync::{mpsc, oneshot};

/// A piece of an encoded snapshot, shared by all who receive it.
pub type SnapshotChunk = Arc<[u8]>;

/// A session waits for a snapshot: it shares one with those who wait for the same kind. From the `Master`.
#[derive(Message)]
#[rtype(result = "()")]
pub struct JoinSnapshot {
    /// Who waits.
    pub replica: ReplicaId,
    /// What it can read.
    pub target: RdbTarget,
    /// It is a node of our kind, which takes up our hash seed.
    pub knows_seed: bool,
    /// It wants a snapshot without keys.
    pub omits_keys: bool,
    /// It understands `$EOF:`; otherwise the snapshot goes through a file, for its length.
    pub capa_eof: bool,
    /// Where the snapshot is to be delivered; closed when the session is gone.
    pub deliver: oneshot::Sender<SnapshotFeed>,
}

/// Time for the snapshot of those who have joined. From the actor's own timer.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct BeginSnapshot {
    /// Which.
    pub snapshot: SnapshotId,
}

/// A running snapshot is no longer wanted. From the `Master`, at shutdown and when the lineage is replaced.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CancelSnapshots;

/// A snapshot's thread is done. From that thread.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct SnapshotEnded {
    /// Which.
    pub snapshot: SnapshotId,
    /// Bytes encoded, or why it failed.
    pub outcome: Result<u64, String>,
}

/// A snapshot on its way to one session.
pub struct SnapshotFeed {
    /// Where the stream stood when it was taken.
    pub position: StreamPosition,
    /// The database that the stream goes on in without saying so.
    pub unsaid_db: DbIndex,
    /// The log from there on.
    pub at: Bookmark,
    /// Keeps what lies there in memory until the session reads it itself.
    pub held: Option<Cursor>,
    /// Its bytes.
    pub payload: FeedPayload,
}

/// A snapshot's bytes.
pub enum FeedPayload {
    /// As they are encoded.
    Encoded {
        /// How it travels; known when the first bytes are there.
        form: oneshot::Receiver<PayloadForm>,
        /// Its bytes; ends without an error only when `is_whole` was sent.
        chunks: mpsc::Receiver<SnapshotChunk>,
        /// Sent when the last chunk was.
        is_whole: oneshot::Receiver<()>,
    },
    /// A file that was there.
    File {
        /// The file.
        file: Arc<dyn StoredFile>,
        /// Its length.
        bytes: ByteCount,
    },
}

/// What a file is written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SavePurpose {
    /// `dbfilename`: BGSAVE, and the save points.
    Dump,
    /// A base of the log.
    Base {
        /// The set of files that it is for.
        set: u64,
        /// Its place there.
        task: BaseTask,
    },
}

/// Write a snapshot to a file. From the shard, which has taken it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BeginSave {
    /// The shard's number for it.
    pub save: u64,
    /// What it is written for.
    pub purpose: SavePurpose,
    /// The image.
    pub snapshot: Snapshot,
    /// What is written, and where.
    pub file: RdbFile,
    /// Where that is.
    pub storage: Arc<dyn Storage>,
    /// Calls it off.
    pub guard: Arc<SaveGuard>,
}

/// A save has ended. From its thread to the shard.
#[derive(Debug)]
pub struct SaveEnded {
    /// The shard's number for it.
    pub save: u64,
    /// What it was written for.
    pub purpose: SavePurpose,
    /// Bytes written, or what failed.
    pub outcome: Result<u64, SaveError>,
    /// How long it took.
    pub took: Duration,
}
