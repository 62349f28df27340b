//! `BufferManager`: the log's budgets in memory and on disk, and which reader holds how much of it.
//!
//! Of the history it removes, every few seconds, what is over the limits of `repl-history-size` and `repl-history-age`.
//!
//! The log itself keeps its budget; what lags behind that is kept alive by the cursors that still read it. Until the
//! log has files, such a reader costs memory, so one that lags too far is given up, with both numbers.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Recipient};
use rejoin_persistence::{
    files::history::{self, HistoryLimits},
    log::LogHandle,
    storage::Storage,
};
use rejoin_protocol::{ByteCount, NextOffset, ReplicaId};

use tokio::sync::mpsc;

use crate::{
    disk::HISTORY_FOLDER,
    events::PartGuard,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        buffer_manager::{CloseCursor, MoveCursor, OpenCursor, SetBudget},
        master::ReplicaStalled,
        shard::ShardMessage,
    },
    shard::unix_now,
};

/// How often the history is looked at.
const TRIM_PERIOD: Duration = Duration::from_secs(10);

/// Owns the log's budget.
pub struct BufferManager {
    log: LogHandle,
    /// Bytes that a reader may lag; zero is no limit. Changes by `SetBudget`.
    lag_max: ByteCount,
    /// Where each reader stands. Changes by the three cursor messages.
    cursors: BTreeMap<ReplicaId, NextOffset>,
    stalled: Recipient<ReplicaStalled>,
    /// Where files are kept.
    storage: Arc<dyn Storage>,
    /// What of the history is kept. Changes by `SetBudget`.
    history: Option<HistoryLimits>,
    shard: mpsc::Sender<ShardMessage>,
    _guard: PartGuard,
}

/// What a manager begins with.
pub struct BufferManagerSeed {
    /// Readers' end of the log.
    pub log: LogHandle,
    /// Budgets.
    pub budget: SetBudget,
    /// Where files are kept.
    pub storage: Arc<dyn Storage>,
    /// The shard's inbox.
    pub shard: mpsc::Sender<ShardMessage>,
    /// Who hears of readers that lag too far.
    pub stalled: Recipient<ReplicaStalled>,
    /// Reports our loss.
    pub guard: PartGuard,
}

impl BufferManager {
    /// A manager without readers.
    #[must_use]
    pub fn new(seed: BufferManagerSeed) -> Self {
        let BufferManagerSeed { log, budget, storage, shard, stalled, guard } = seed;
        let SetBudget { lag_max, history, .. } = budget;
        Self { log, lag_max, cursors: BTreeMap::new(), stalled, storage, history, shard, _guard: guard }
    }

    fn trim_history(&mut self) {
        let Some(limits) = self.history else { return };
        let folder = Path::new(HISTORY_FOLDER);
        let trimmed = history::trim(&*self.storage, folder, limits, unix_now(), &|_| false);
        match trimmed {
            Ok((bytes, files)) => {
                // A later one says the same.
                let _ = self.shard.try_send(ShardMessage::HistoryKept { bytes, files });
            }
            Err(error) => tracing::warn!("The history could not be trimmed: {}", crate::words_of(&error)),
        }
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
        context.run_interval(TRIM_PERIOD, |manager, _| manager.trim_history());
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
        (self.lag_max, self.history) = (budget.lag_max, budget.history);
    }
}
