//! What the shard is told by the control plane and the links.

use rejoin_commands::node::status::{ReplicaStatus, SyncStatus, UpstreamStatus};
use rejoin_keyspace::{Keyspace, Snapshot};
use rejoin_persistence::{log::Cursor, rdb::StreamPosition};
use rejoin_protocol::{DbIndex, Epoch, Offset, ReplicationId};
use rejoin_replication::{Divergence, FirstAck, Lineage, MasterAddress, Position};
use rejoin_transports::DetachedStream;
use tokio::sync::oneshot;

use crate::{
    disk::{
        DiskReport,
        rewind::{RewindPlan, Rewound},
    },
    messages::snapshotter::SaveEnded,
    shard::log_files::rewinding::NoRewind,
};

/// Messages to the shard that may wait.
pub const SHARD_INBOX_MAX: usize = 1024;

/// One message to the shard.
pub enum ShardMessage {
    /// Take a snapshot between two turns. From the `Snapshotter`.
    TakeSnapshot {
        /// How many readers will read the log from there.
        readers: usize,
        /// Where it goes.
        answer: oneshot::Sender<SnapshotTaken>,
    },
    /// A save has ended. From its thread.
    SaveEnded(SaveEnded),
    /// What INFO tells of our replicas. From the `Master`.
    MasterStatus(Box<MasterStatus>),
    /// Replicas have acknowledged what somebody waits for. From their links.
    AcksMoved,
    /// A replica is to take our place. From the `Master`.
    FailOver {
        /// The failover's number.
        failover: u64,
        /// Whom to follow from now on.
        target: MasterAddress,
        /// It does not have everything, but the time is up.
        is_forced: bool,
    },
    /// No replica takes our place. From the `Master`.
    FailoverAborted {
        /// The failover's number.
        failover: u64,
        /// Why.
        reason: &'static str,
    },
    /// The replica that was to take our place has answered. From the link upstream.
    FailoverAnswered {
        /// The shard's count of masters when the link was dialled.
        following: u64,
        /// Whether it does.
        is_accepted: bool,
    },
    /// What INFO tells of our master. From the `Replica`.
    UpstreamStatus(Option<UpstreamStatus>),
    /// What do you hold? From the link upstream.
    Position {
        /// The place and the names it has; `None`: nothing worth continuing.
        answer: oneshot::Sender<Option<(Position, Lineage)>>,
    },
    /// Our stream has parted from the master's: what is needed for going back? From the link upstream.
    PlanRewind {
        /// The shard's count of masters when the link was dialled.
        following: u64,
        /// Where.
        divergence: Box<Divergence>,
        /// Where it goes.
        answer: oneshot::Sender<Result<RewindPlan, NoRewind>>,
    },
    /// Put the node as it was in the place of what it is. From the link upstream.
    GoBack {
        /// The shard's count of masters when the link was dialled.
        following: u64,
        /// What was rebuilt.
        rewound: Box<Rewound>,
        /// What is held then.
        answer: oneshot::Sender<Result<Position, NoRewind>>,
    },
    /// The master's data set holds no key: may it take the place of ours? From the link upstream.
    AcceptsEmpty {
        /// Why not, in words for the log.
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Put a loaded keyspace in the place of ours. From the link upstream.
    SwapIn {
        /// The shard's count of masters when the link was dialled.
        following: u64,
        /// The data, whole and verified.
        keyspace: Box<Keyspace>,
        /// The stream's name; `None` makes one up.
        replid: Option<ReplicationId>,
        /// The last byte that the data contains.
        offset: Offset,
        /// The database selected there.
        selected: Option<DbIndex>,
        /// Whether it was done: not if we follow someone else by now.
        answer: oneshot::Sender<bool>,
    },
    /// The master continues our stream under this name. From the link upstream.
    AdoptLineage {
        /// The shard's count of masters when the link was dialled.
        following: u64,
        /// The name.
        replid: ReplicationId,
        /// The last byte that both names share.
        at: Offset,
    },
    /// Append and apply what comes on this stream. From the link upstream.
    StartStreaming(Box<StartStreaming>),
    /// Execute a command in process. From the node's handle.
    Execute {
        /// The arguments, the name first.
        args: Vec<Vec<u8>>,
        /// Where the reply goes, as RESP.
        answer: oneshot::Sender<Vec<u8>>,
    },
    /// What the disk's thread was asked for is done. From that thread.
    Disk(Box<DiskReport>),
    /// What of the history lies on disk. From the `BufferManager`.
    HistoryKept {
        /// Bytes of all its files.
        bytes: u64,
        /// How many they are.
        files: usize,
    },
    /// Begin to leave, as SHUTDOWN does. From the node's handle.
    Shutdown {
        /// The setting that says how.
        setting: &'static str,
    },
    /// Let go of all clients and publish the last turn; the answer is where the stream ends. From the node's handle.
    Drain {
        /// Where the answer goes.
        answer: oneshot::Sender<Offset>,
    },
    /// How many replicas have not acknowledged `offset`? From the node's handle, after `Drain`.
    ReplicasBehind {
        /// The offset.
        offset: Offset,
        /// Where the answer goes.
        answer: oneshot::Sender<usize>,
    },
    /// End. From the node's handle.
    Stop,
}

/// A snapshot and where it stands in the stream.
pub struct SnapshotTaken {
    /// The image.
    pub snapshot: Snapshot,
    /// Where.
    pub position: StreamPosition,
    /// The database that the stream goes on in without saying so: 0 if its next write is preceded by a SELECT.
    pub unsaid_db: DbIndex,
    /// One for each reader.
    pub cursors: Vec<Cursor>,
}

/// What INFO tells of our replicas.
#[derive(Clone, Debug)]
pub struct MasterStatus {
    /// Replicas.
    pub replicas: Vec<ReplicaStatus>,
    /// How they were brought in step.
    pub syncs: SyncStatus,
}

/// The stream of a link whose handshake is over.
pub struct StartStreaming {
    /// The shard's count of masters when the link was dialled.
    pub following: u64,
    /// The link's.
    pub epoch: Epoch,
    /// The connection.
    pub stream: Box<dyn DetachedStream>,
    /// Stream bytes that were read already.
    pub received: Vec<u8>,
    /// The last byte held before them.
    pub after: Offset,
    /// How to acknowledge first.
    pub first_ack: FirstAck,
}
