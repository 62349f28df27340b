//! What the links thread is told: it moves bytes for replicas' sessions and for the link upstream.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rejoin_persistence::{log::Bookmark, segment::StreamName};
use rejoin_protocol::{Epoch, Offset, ReplicaId, ReplicationId};
use rejoin_replication::{MasterAddress, ReplicaHello, Takeover};
use rejoin_transports::{DetachedStream, Endpoint};
use tokio::sync::oneshot;

use crate::messages::snapshotter::SnapshotFeed;

/// Messages to the links thread that may wait.
pub const LINKS_INBOX_MAX: usize = 1024;

/// One message to the links thread.
pub enum LinksMessage {
    /// Serve a replica. From the `Master`.
    Serve(Box<ServeReplica>),
    /// End a replica's session. From the `Master`.
    Drop {
        /// Whose; `None` ends all.
        replica: Option<ReplicaId>,
        /// Once it was sent everything up to here; at once if `None`.
        after: Option<Offset>,
        /// Why, in words for the log.
        reason: &'static str,
    },
    /// Open the link upstream, in place of any older one. From the `Replica`.
    Dial {
        /// Under which it runs.
        epoch: Epoch,
        /// To whom.
        address: MasterAddress,
        /// The shard's count of masters, for what is handed to it.
        following: u64,
        /// How to introduce ourselves.
        introduction: Introduction,
    },
    /// Close the link upstream, if it is still here. From the `Replica`.
    HangUp {
        /// The link's.
        epoch: Epoch,
    },
    /// The node is stopping: everything ends.
    Stop,
}

/// How far the target of one failover has been asked; shared by the links to it, and by the shard. Each failover has its
/// own.
#[derive(Debug, Default)]
pub struct FailoverFlag {
    /// From its beginning until the target has answered, or it is called off.
    is_unanswered: AtomicBool,
    /// Set when a link asks.
    was_asked: AtomicBool,
}

impl FailoverFlag {
    /// Nobody has asked.
    #[must_use]
    pub fn begin() -> Self {
        Self { is_unanswered: AtomicBool::new(true), was_asked: AtomicBool::new(false) }
    }

    /// Whether the target is still to answer.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        self.is_unanswered.load(Ordering::Relaxed)
    }

    /// What the next link is to ask.
    #[must_use]
    pub fn takeover(&self) -> Takeover {
        match (self.is_unanswered(), self.was_asked.load(Ordering::Relaxed)) {
            (false, _) => Takeover::No,
            (true, false) => Takeover::Ask,
            (true, true) => Takeover::AskAgain,
        }
    }

    /// A link asks: the answer may be lost from now on.
    pub fn note_asked(&self) {
        self.was_asked.store(true, Ordering::Relaxed);
    }

    /// It is answered, or called off; whether it was not before.
    pub fn settle(&self) -> bool {
        self.is_unanswered.swap(false, Ordering::Relaxed)
    }
}

/// What a master is told of this node.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// The port on which clients are served.
    pub listening_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    /// `masteruser` and `masterauth`.
    pub credentials: Option<rejoin_replication::Credentials>,
    /// FAILOVER: the one we dial is to take over, until it has answered that it does.
    pub failover: Arc<FailoverFlag>,
    /// `databases`: what a snapshot may fill.
    pub databases: u32,
    /// When collections that are loaded change their form; always as CONFIG SET left it.
    pub limits: tokio::sync::watch::Receiver<rejoin_keyspace::Limits>,
}

/// A session to be served.
pub struct ServeReplica {
    /// Which.
    pub replica: ReplicaId,
    /// Who is at the other end.
    pub peer: Endpoint,
    /// What it said by REPLCONF.
    pub hello: ReplicaHello,
    /// Its connection.
    pub stream: Box<dyn DetachedStream>,
    /// Replies that it has not been sent yet.
    pub unsent: Vec<u8>,
    /// What it sent behind its request.
    pub received: Vec<u8>,
    /// The stream that it is sent; the session is closed when that changes.
    pub sent_stream: Arc<StreamName>,
    /// How it begins.
    pub start: SessionStart,
}

/// How a session begins.
pub enum SessionStart {
    /// The stream goes on.
    Continue {
        /// Its name.
        replid: ReplicationId,
        /// Where in the stream.
        from: Bookmark,
    },
    /// A snapshot first.
    Full {
        /// It asked by SYNC.
        is_legacy: bool,
        /// Where the snapshot will come from.
        snapshot: oneshot::Receiver<SnapshotFeed>,
    },
    /// An error, and the end.
    Refuse {
        /// The error, without the dash.
        error: &'static str,
    },
}
