//! What the `AofSender` actor is told.

use actix::Message;
use rejoin_protocol::{NextOffset, ReplicaId};

/// A replica wants bytes that are no longer in memory. From the `Master`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SendHistory {
    /// Who.
    pub replica: ReplicaId,
    /// The first byte it wants.
    pub from: NextOffset,
}

/// A replica that was promised history is gone. From the `Master`.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CancelHistory {
    /// Who.
    pub replica: ReplicaId,
}
