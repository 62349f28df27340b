//! What the `Master` actor is told.

use actix::Message;
use rejoin_protocol::{ByteCount, Offset, ReplicaId, ReplicationId};
use rejoin_replication::{FailoverOrder, Lineage, ReplicaHello, SessionState, Wanted};
use rejoin_transports::{DetachedStream, Endpoint};

use crate::messages::aof_sender::FoundBase;

/// A replica asked for the stream; its connection comes along. From the shard.
#[derive(Message)]
#[rtype(result = "()")]
pub struct AttachReplica {
    /// The session that begins.
    pub replica: ReplicaId,
    /// Who is at the other end.
    pub peer: Endpoint,
    /// What it said by REPLCONF.
    pub hello: ReplicaHello,
    /// What it asks for.
    pub wanted: Wanted,
    /// Its connection.
    pub stream: Box<dyn DetachedStream>,
    /// Replies that it has not been sent yet.
    pub unsent: Vec<u8>,
    /// What it sent behind its request.
    pub received: Vec<u8>,
}

/// A session moved on. From its link; one of a series.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ReplicaProgress {
    /// Whose.
    pub replica: ReplicaId,
    /// Where it stands now.
    pub state: SessionState,
    /// The last byte that the replica acknowledged.
    pub offset_acked: Offset,
    /// Bytes of its payload that were sent since the last message.
    pub payload: ByteCount,
}

/// A session ended. From its link.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ReplicaLost {
    /// Whose.
    pub replica: ReplicaId,
    /// Why, in words for the log.
    pub reason: String,
}

/// A replica lags further than it may. From the `BufferManager`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct ReplicaStalled {
    /// Whose.
    pub replica: ReplicaId,
    /// Bytes that it lags.
    pub lag_bytes: u64,
    /// Bytes that it may lag.
    pub lag_bytes_max: u64,
    /// What says so.
    pub limit: &'static str,
}

/// This node goes on alone: its stream continues from `at` under a new name. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Promote {
    /// The new name.
    pub replid: ReplicationId,
    /// The last byte that both names share.
    pub at: Offset,
    /// The log's number for the new name.
    pub name: u64,
}

/// FAILOVER: find the replica that is to take our place. From the shard, which has stopped all writes.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct StartFailover {
    /// Its number.
    pub failover: u64,
    /// What is asked for.
    pub order: FailoverOrder,
}

/// The failover that is looked for was called off. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct AbortFailover;

/// Settings of replication were changed. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LiveSettingsChanged;

/// This node follows a master from now on. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Demote;

/// The master continued our stream, maybe under another name. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct AdoptLineage {
    /// The stream's name now.
    pub replid: ReplicationId,
    /// The last byte that both names share.
    pub at: Offset,
    /// The log's number for the new name.
    pub name: u64,
}

/// Our data was replaced by a full sync. From the shard.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct ReplaceLineage {
    /// The stream's name now, and those that it continued.
    pub lineage: Lineage,
    /// The log's number for that name.
    pub name: u64,
}

/// The link to our master went down. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct UpstreamDown;

/// Whether a replica's full sync can begin with a base. From the `Master`'s own question to the `AofSender`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BaseAnswered {
    /// Whose.
    pub replica: ReplicaId,
    /// The base, or in words for the log why there is none.
    pub answer: Result<FoundBase, String>,
}
