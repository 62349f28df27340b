//! `AofSender`: serves history from log files, on a thread of its own.
//!
//! The log has no files yet, so every request is refused, politely: the `Master` then takes the next rung.

use actix::{Actor, Context, Handler, Recipient};

use crate::{
    events::PartGuard,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        aof_sender::{CancelHistory, SendHistory},
        master::HistoryRefused,
    },
};

/// Serves history from log files.
pub struct AofSender {
    refused: Recipient<HistoryRefused>,
    _guard: PartGuard,
}

impl AofSender {
    /// A sender that tells of refusals through `refused`.
    #[must_use]
    pub fn new(refused: Recipient<HistoryRefused>, guard: PartGuard) -> Self {
        Self { refused, _guard: guard }
    }
}

impl Actor for AofSender {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<SendHistory> for AofSender {
    type Result = ();

    fn handle(&mut self, wanted: SendHistory, _: &mut Self::Context) {
        let refusal = HistoryRefused { replica: wanted.replica, from: wanted.from };
        tell(&self.refused, refusal, WhenFull::Complain);
    }
}

impl Handler<CancelHistory> for AofSender {
    type Result = ();

    fn handle(&mut self, cancelled: CancelHistory, _: &mut Self::Context) {
        tracing::trace!(replica = %cancelled.replica, "no history was being sent");
    }
}
