//! `BufferManager`: the log's memory budget, and which reader holds how much of it.
//!
//! The log itself keeps its budget; what lags behind that is kept alive by the cursors that still read it. Until the
//! log has files, such a reader costs memory, so one that lags too far is given up, with both numbers.

use std::collections::BTreeMap;

use actix::{Actor, Context, Handler, Recipient};
use rejoin_persistence::log::LogHandle;
use rejoin_protocol::{ByteCount, NextOffset, ReplicaId};

use crate::{
    events::PartGuard,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        buffer_manager::{CloseCursor, MoveCursor, OpenCursor, SetBudget},
        master::ReplicaStalled,
    },
};

/// Owns the log's budget.
pub struct BufferManager {
    log: LogHandle,
    /// Bytes that a reader may lag; zero is no limit. Changes by `SetBudget`.
    lag_max: ByteCount,
    /// Where each reader stands. Changes by the three cursor messages.
    cursors: BTreeMap<ReplicaId, NextOffset>,
    stalled: Recipient<ReplicaStalled>,
    _guard: PartGuard,
}

impl BufferManager {
    /// A manager of `log` that reports readers which lag more than `lag_max`.
    #[must_use]
    pub fn new(
        log: LogHandle,
        lag_max: ByteCount,
        stalled: Recipient<ReplicaStalled>,
        guard: PartGuard,
    ) -> Self {
        Self { log, lag_max, cursors: BTreeMap::new(), stalled, _guard: guard }
    }

    fn note(&mut self, replica: ReplicaId, at: NextOffset) {
        self.cursors.insert(replica, at);
        let lag = self.log.visible().since(at.prior());
        if self.lag_max > ByteCount::ZERO && lag > self.lag_max {
            let report = ReplicaStalled { replica, lag_bytes: lag.get(), lag_bytes_max: self.lag_max.get() };
            tell(&self.stalled, report, WhenFull::Complain);
        }
    }
}

impl Actor for BufferManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<OpenCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, opened: OpenCursor, _: &mut Self::Context) {
        self.note(opened.replica, opened.at);
    }
}

impl Handler<MoveCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, moved: MoveCursor, _: &mut Self::Context) {
        // A message that was under way when the session ended opens nothing again.
        if self.cursors.contains_key(&moved.replica) {
            self.note(moved.replica, moved.at);
        }
    }
}

impl Handler<CloseCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, closed: CloseCursor, _: &mut Self::Context) {
        self.cursors.remove(&closed.replica);
    }
}

impl Handler<SetBudget> for BufferManager {
    type Result = ();

    fn handle(&mut self, budget: SetBudget, _: &mut Self::Context) {
        self.log.set_budget(budget.hot);
        self.lag_max = budget.lag_max;
    }
}
