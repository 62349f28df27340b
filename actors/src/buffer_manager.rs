//! `BufferManager`: the log's budgets in memory and on disk, and which reader holds how much of it.
//!
//! The log itself keeps its budget. A reader that lags further reads from files and costs nothing; where there are none,
//! the blocks that it has yet to read live for it alone, so one that lags too far then is given up, with both numbers.
//!
//! Of the history it removes, every few seconds, what is over the limits of `repl-history-size` and `repl-history-age`, but
//! not what a reader has yet to read; beyond `repl-history-hard-size` the slowest reader is given up instead.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use actix::{Actor, AsyncContext, Context, Handler, Recipient};
use rejoin_persistence::{
    files::history::{self, HistoryLimits, Trimmed},
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

/// What a reader without files may lag when nobody has set a limit.
const LAG_WITHOUT_FILES_MAX: ByteCount = ByteCount::new(256 << 20);

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
        let trimmed = history::trim(&*self.storage, folder, limits, unix_now(), self.log.wanted_from());
        match trimmed {
            Ok(Trimmed { bytes, files, took_from_reader }) => {
                if took_from_reader {
                    self.give_up_slowest(ByteCount::new(limits.hard_max()));
                }
                // A later one says the same.
                let _ = self.shard.try_send(ShardMessage::HistoryKept { bytes, files });
            }
            Err(error) => tracing::warn!("The history could not be trimmed: {}", crate::words_of(&error)),
        }
    }

    /// The history that the slowest reader has yet to read is over its hard limit, and goes.
    fn give_up_slowest(&mut self, lag_max: ByteCount) {
        if let Some((&replica, &at)) = self.cursors.iter().min_by_key(|(_, at)| **at) {
            self.report_stalled(replica, at, lag_max, "repl-history-hard-size");
        }
    }

    fn note(&mut self, replica: ReplicaId, at: NextOffset, holds_memory: bool) {
        self.cursors.insert(replica, at);
        self.settle();
        let lag = self.log.visible().since(at.prior());
        if self.lag_max > ByteCount::ZERO && lag > self.lag_max {
            self.report_stalled(replica, at, self.lag_max, "client-output-buffer-limit replica");
        } else if self.lag_max == ByteCount::ZERO && holds_memory && lag > LAG_WITHOUT_FILES_MAX {
            self.report_stalled(
                replica,
                at,
                LAG_WITHOUT_FILES_MAX,
                "the memory that a replica may hold without repl-history",
            );
        }
    }

    fn report_stalled(&self, replica: ReplicaId, at: NextOffset, lag_max: ByteCount, limit: &'static str) {
        let lag = self.log.visible().since(at.prior());
        let report = ReplicaStalled { replica, lag_bytes: lag.get(), lag_bytes_max: lag_max.get(), limit };
        tell(&self.stalled, report, WhenFull::Complain);
    }

    /// What is wanted is kept in files.
    fn settle(&self) {
        self.log.set_wanted_from(self.cursors.values().min().copied());
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
        self.note(opened.replica, opened.at, false);
    }
}

impl Handler<MoveCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, moved: MoveCursor, _: &mut Self::Context) {
        // A message that was under way when the session ended opens nothing again.
        if self.cursors.contains_key(&moved.replica) {
            self.note(moved.replica, moved.at, moved.holds_memory);
        }
    }
}

impl Handler<CloseCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, closed: CloseCursor, _: &mut Self::Context) {
        self.cursors.remove(&closed.replica);
        self.settle();
    }
}

impl Handler<SetBudget> for BufferManager {
    type Result = ();

    fn handle(&mut self, budget: SetBudget, _: &mut Self::Context) {
        self.log.set_budget(budget.hot);
        (self.lag_max, self.history) = (budget.lag_max, budget.history);
    }
}
