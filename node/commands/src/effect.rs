//! What a turn asks of the world outside: carried out by the shard after the turn.

use crate::node::failover::FailoverRequest;
use rejoin_protocol::{ClientId, NextOffset, Offset, ReplicationId};

/// One request to the world outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Close a client's connection once its output is sent (QUIT), or at once (CLIENT KILL).
    CloseClient {
        /// Whose.
        client: ClientId,
        /// Whether the replies so far are sent first.
        after_reply: bool,
    },
    /// Follow a master (REPLICAOF host port).
    Follow {
        /// Its host name or address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Become a master (REPLICAOF NO ONE).
    Unfollow,
    /// Hand our place over to a replica (FAILOVER); no client may write by now.
    StartFailover {
        /// To whom, and how long it may take.
        request: FailoverRequest,
    },
    /// Stay the master after all (FAILOVER ABORT).
    AbortFailover,
    /// This client is a replica and asks for the stream: its connection leaves the shard.
    AttachReplica {
        /// The client that becomes a replica.
        client: ClientId,
        /// What it asks for.
        wanted: WantedStream,
    },
    /// Leave (SHUTDOWN).
    Shutdown {
        /// How.
        how: Departure,
    },
    /// Save the data while everybody goes on (BGSAVE).
    SaveInBackground,
    /// Save the data at once (SAVE), and tell the client that waits for it.
    Save {
        /// Which.
        client: ClientId,
    },
    /// Save the data and read it back (DEBUG RELOAD), and tell the client that waits for it.
    Reload {
        /// Which.
        client: ClientId,
        /// Otherwise what is in the file is read.
        saves: bool,
    },
    /// Stay after all (SHUTDOWN ABORT).
    AbortShutdown,
    /// A setting was changed by CONFIG SET; those who act on it look it up.
    SettingChanged {
        /// Its name.
        name: &'static str,
    },
    /// The shard stands still for a while (DEBUG SLEEP).
    Sleep {
        /// How long.
        millis: u64,
    },
    /// The master asked how far we are (REPLCONF GETACK).
    AckMaster {
        /// What to answer: the offset before that request's bytes.
        offset: Offset,
    },
    /// A new replid without a reason (DEBUG CHANGE-REPL-ID).
    ChangeReplId,
    /// This client speaks HTTP: most probably a browser that a web page misuses. Close its connection at once and warn.
    RefuseHttp {
        /// Whose.
        client: ClientId,
    },
    /// A line for the log (DEBUG LOG).
    Log {
        /// What it says.
        text: String,
    },
    /// Close the connections of all replicas (CLIENT KILL TYPE replica).
    CloseReplicas,
    /// Write a new base of the log (BGREWRITEAOF).
    RewriteLog,
}

impl Effect {
    /// Whether it must be carried out before the next request of anyone is executed: the turn ends early behind it.
    #[must_use]
    pub fn ends_turn(&self) -> bool {
        match self {
            Self::Follow { .. }
            | Self::Unfollow
            | Self::StartFailover { .. }
            | Self::AbortFailover
            | Self::AttachReplica { .. }
            | Self::Shutdown { .. }
            | Self::SaveInBackground
            | Self::Save { .. }
            | Self::Reload { .. }
            | Self::AbortShutdown
            | Self::Sleep { .. }
            | Self::ChangeReplId => true,
            Self::CloseClient { .. }
            | Self::SettingChanged { .. }
            | Self::AckMaster { .. }
            | Self::RefuseHttp { .. }
            | Self::Log { .. }
            | Self::CloseReplicas
            | Self::RewriteLog => false,
        }
    }
}

/// How the node is to leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// Without waiting for replicas.
    pub now: bool,
    /// Whether the data is saved first; `None` saves where there are save points.
    pub saves: Option<bool>,
    /// Also if it cannot be saved.
    pub force: bool,
}

/// What a replica asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedStream {
    /// SYNC: a full copy, without offsets.
    Sync,
    /// PSYNC.
    Psync {
        /// The stream it follows; `None` for `?`.
        replid: Option<ReplicationId>,
        /// The byte it wants next; `None` for -1.
        from: Option<NextOffset>,
        /// PSYNC ... FAILOVER: take over.
        failover: bool,
    },
}
