//! What the `BufferManager` actor is told.

use std::sync::Arc;

use actix::Message;
use rejoin_commands::{Settings, settings::OutputLimit};
use rejoin_persistence::{
    files::history::{HistoryLimits, Trimmed},
    segment::StreamName,
};
use rejoin_protocol::{ByteCount, NextOffset, ReplicaId};

use crate::shard::limits_of;

/// A session reads the log from here on. From its link.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct OpenCursor {
    /// Whose.
    pub replica: ReplicaId,
    /// The stream that it reads; sessions are closed when that changes.
    pub stream: Arc<StreamName>,
    /// The byte it reads next.
    pub at: NextOffset,
}

/// A session has read on. From its link; one of a series.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct MoveCursor {
    /// Whose.
    pub replica: ReplicaId,
    /// The byte it reads next.
    pub at: NextOffset,
    /// Whether memory lives for it: files do not serve it.
    pub holds_memory: bool,
}

/// A session reads no more. From its link.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct CloseCursor {
    /// Whose.
    pub replica: ReplicaId,
}

/// The log's memory budget and the lag that is tolerated were set (CONFIG SET). From the shard.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct SetBudget {
    /// `repl-backlog-size`.
    pub hot: ByteCount,
    /// How far a replica may lag, if there is a limit.
    pub lag_limit: Option<OutputLimit>,
    /// What of the history is kept on disk; `None` leaves alone what is there.
    pub history: Option<HistoryLimits>,
}

impl SetBudget {
    /// What the settings say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            hot: ByteCount::new(settings.repl_backlog_bytes),
            lag_limit: settings.replica_limit(),
            history: settings.log.keeps_history.then(|| limits_of(settings)),
        }
    }
}

/// The history was looked at. From a thread of the manager's own.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HistoryTrimmed {
    /// What is left, or why it could not be done.
    pub outcome: std::io::Result<Trimmed>,
    /// `repl-history-hard-size`, as it was then.
    pub bytes_hard_max: u64,
}
