//! What replicas acknowledge, on its way from their sessions to the shard, which counts it (WAIT, WAITAOF, INFO).
//!
//! Sessions write it down here; the shard looks at each tick. Only while a client waits for acknowledgements is the
//! shard told at once, and with one message for all that come until it has looked.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rejoin_protocol::{Offset, ReplicaId, UnixMillis};
use tokio::sync::mpsc;

use crate::messages::shard::ShardMessage;

/// What a replica said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Applied there.
    pub(crate) offset: Offset,
    /// On its disk; zero if it never said.
    pub(crate) durable: Offset,
    /// When.
    pub(crate) at: UnixMillis,
}

/// The latest acknowledgement of each replica: as many rows as there are sessions.
#[derive(Debug, Default)]
pub struct AckBoard {
    rows: Mutex<BTreeMap<ReplicaId, Ack>>,
    /// There is something that the shard has not seen.
    is_new: AtomicBool,
    /// Somebody waits: the shard wants to be told at once.
    is_awaited: AtomicBool,
    /// It has been told and has not looked yet.
    is_told: AtomicBool,
}

impl AckBoard {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<ReplicaId, Ack>> {
        // A row is written in one step: a thread that panicked has left nothing half done.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica acknowledged.
    pub(crate) fn note(&self, replica: ReplicaId, ack: Ack, shard: &mpsc::Sender<ShardMessage>) {
        self.rows().insert(replica, ack);
        self.is_new.store(true, Ordering::SeqCst);
        if self.is_awaited.load(Ordering::SeqCst)
            && !self.is_told.swap(true, Ordering::SeqCst)
            && shard.try_send(ShardMessage::AcksMoved).is_err()
        {
            // Its inbox is full: it looks at its next tick.
            self.is_told.store(false, Ordering::SeqCst);
        }
    }

    /// A session has ended.
    pub(crate) fn forget(&self, replica: ReplicaId) {
        self.rows().remove(&replica);
    }

    /// From the shard: whether somebody waits.
    pub(crate) fn set_awaited(&self, is_awaited: bool) {
        self.is_awaited.store(is_awaited, Ordering::SeqCst);
    }

    /// From the shard: whether there is something new; what comes from here on is told again.
    pub(crate) fn take_news(&self) -> bool {
        self.is_told.store(false, Ordering::SeqCst);
        self.is_new.swap(false, Ordering::SeqCst)
    }

    /// Everything that was said last.
    pub(crate) fn all(&self) -> Vec<(ReplicaId, Ack)> {
        self.rows().iter().map(|(&replica, &ack)| (replica, ack)).collect()
    }
}
