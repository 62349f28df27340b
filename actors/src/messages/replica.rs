//! What the `Replica` actor is told. Everything from a link carries the epoch under which the link was begun.

use actix::Message;
use rejoin_protocol::{ByteCount, Epoch};
use rejoin_replication::{Position, ReplicaAction, UpstreamEvent, Wanted};

use crate::messages::links::Introduction;

/// REPLICAOF host port. From the shard.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct FollowMaster {
    /// The master's host.
    pub host: String,
    /// The master's port.
    pub port: u16,
    /// Counts the shard's changes of master; comes back with everything that a link hands to the shard.
    pub following: u64,
    /// How to introduce ourselves.
    pub introduction: Introduction,
}

/// What a master is told of us from the next handshake on. From the shard.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct Introduce {
    /// It.
    pub introduction: Introduction,
}

/// REPLICAOF NO ONE. From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Unfollow;

/// A link is up; the answer is what to ask the master for, or `None` to close. From the link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Wanted>")]
pub struct LinkUp {
    /// The link's.
    pub epoch: Epoch,
    /// What the shard holds.
    pub position: Option<Position>,
}

/// Going back to where our stream parted from the master's has ended, well or not; the answer is what to ask the master for,
/// or `None` to close. From the link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Option<Wanted>")]
pub struct WentBack {
    /// The link's.
    pub epoch: Epoch,
    /// What the shard holds now.
    pub position: Position,
}

/// The master said something; the answer is what the link is to do. From the link.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Vec<ReplicaAction>")]
pub struct UpstreamSaid {
    /// The link's.
    pub epoch: Epoch,
    /// What.
    pub event: UpstreamEvent,
}

/// The loader has read the whole payload; the answer is what the link is to do. From the link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<ReplicaAction>")]
pub struct SnapshotArrived {
    /// The link's.
    pub epoch: Epoch,
    /// Whether the payload is whole and verified.
    pub is_good: bool,
}

/// Bytes came. From the link; one of a series.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct UpstreamProgress {
    /// The link's.
    pub epoch: Epoch,
    /// Payload bytes since the last message.
    pub payload: ByteCount,
}

/// A link broke, could not be opened, or was closed for what the master sent. From the link or the shard.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct LinkLost {
    /// The link's.
    pub epoch: Epoch,
    /// Why, in words for the log.
    pub reason: String,
}
