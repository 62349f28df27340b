//! `BufferManager`: the log's budgets in memory and on disk, and which reader holds how much of it.
//!
//! The log itself keeps its budget. A reader that lags further reads from files and costs nothing; where there are none,
//! the blocks that it has yet to read live for it alone, so one that lags too far then is given up, with both numbers.
//!
//! Of the history it removes, every few seconds, what is over the limits of `repl-history-size` and `repl-history-age`, but
//! not what a reader has yet to read; beyond `repl-history-hard-size` the slowest reader is given up instead.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler, Recipient};
use rejoin_commands::settings::OutputLimit;
use rejoin_persistence::{
    files::history::{self, HistoryLimits, Trimmed, Wanted},
    log::LogHandle,
    segment::StreamName,
    storage::Storage,
};
use rejoin_protocol::{NextOffset, ReplicaId};

use tokio::sync::mpsc;

use crate::{
    background,
    disk::HISTORY_FOLDER,
    events::PartGuard,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        buffer_manager::{CloseCursor, HistoryTrimmed, MoveCursor, OpenCursor, SetBudget},
        master::ReplicaStalled,
        shard::ShardMessage,
    },
    shard::unix_now,
};

/// How often the history is looked at.
const TRIM_PERIOD: Duration = Duration::from_secs(10);

/// What a reader without files may lag when nobody has set a limit.
const LAG_WITHOUT_FILES_MAX: u64 = 256 << 20;

/// Owns the log's budget.
pub struct BufferManager {
    log: LogHandle,
    /// How far a reader may lag, if there is a limit. Changes by `SetBudget`.
    lag_limit: Option<OutputLimit>,
    /// Where each reader stands. Changes by the three cursor messages.
    cursors: BTreeMap<ReplicaId, Reader>,
    stalled: Recipient<ReplicaStalled>,
    /// Where files are kept.
    storage: Arc<dyn Storage>,
    /// What of the history is kept. Changes by `SetBudget`.
    history: Option<HistoryLimits>,
    /// Alive while a thread looks at it.
    trimming: Weak<()>,
    shard: mpsc::Sender<ShardMessage>,
    _guard: PartGuard,
}

/// One reader of the log; a report of its place comes each second.
#[derive(Debug)]
struct Reader {
    /// The byte that it reads next.
    at: NextOffset,
    /// The stream that it reads.
    stream: Arc<StreamName>,
    /// Since when it lags more than the soft limit.
    over_soft_since: Option<Instant>,
}

impl Reader {
    /// The limit that it has exceeded by lagging `lag_bytes` at `now`.
    fn exceeds(&mut self, limit: OutputLimit, lag_bytes: u64, now: Instant) -> Option<u64> {
        let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
        if hard_bytes > 0 && lag_bytes >= hard_bytes {
            return Some(hard_bytes);
        }
        if soft_bytes == 0 || lag_bytes < soft_bytes {
            self.over_soft_since = None;
            return None;
        }
        let since = *self.over_soft_since.get_or_insert(now);
        (now.saturating_duration_since(since).as_secs() > soft_seconds).then_some(soft_bytes)
    }
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
        let SetBudget { lag_limit, history, .. } = budget;
        Self {
            log,
            lag_limit,
            cursors: BTreeMap::new(),
            stalled,
            storage,
            history,
            trimming: Weak::new(),
            shard,
            _guard: guard,
        }
    }

    /// Has the history looked at, on a thread that may wait for the disk.
    fn trim_history(&mut self, context: &mut Context<Self>) {
        let Some(limits) = self.history.filter(|_| self.trimming.strong_count() == 0) else { return };
        let running = Arc::new(());
        self.trimming = Arc::downgrade(&running);
        let (storage, wanted) = (self.storage.clone(), self.wanted());
        let to = context.address().recipient();
        let spawned = background::spawn("history", move || {
            let folder = Path::new(HISTORY_FOLDER);
            let outcome = history::trim(&*storage, folder, limits, unix_now(), wanted.as_ref());
            let bytes_hard_max = limits.hard_max();
            tell(&to, HistoryTrimmed { outcome, bytes_hard_max }, WhenFull::Complain);
            drop(running);
        });
        if let Err(error) = spawned {
            tracing::warn!("The history could not be trimmed: {}", crate::words_of(&error));
        }
    }

    fn wanted(&self) -> Option<Wanted> {
        let slowest = self.cursors.values().min_by_key(|reader| reader.at)?;
        Some(Wanted { from: slowest.at, stream: slowest.stream.clone() })
    }

    /// The history that the slowest reader has yet to read is over its hard limit, and goes.
    fn give_up_slowest(&mut self, lag_bytes_max: u64) {
        if let Some((&replica, reader)) = self.cursors.iter().min_by_key(|(_, reader)| reader.at) {
            self.report_stalled(replica, reader.at, lag_bytes_max, "repl-history-hard-size");
        }
    }

    fn note(&mut self, replica: ReplicaId, at: NextOffset, holds_memory: bool) {
        let lag_bytes = self.log.visible().since(at.prior()).get();
        let Some(reader) = self.cursors.get_mut(&replica) else { return };
        reader.at = at;
        let exceeded = match self.lag_limit {
            Some(limit) => reader
                .exceeds(limit, lag_bytes, Instant::now())
                .map(|bytes_max| (bytes_max, "client-output-buffer-limit replica")),
            None => {
                reader.over_soft_since = None;
                (holds_memory && lag_bytes > LAG_WITHOUT_FILES_MAX).then_some((
                    LAG_WITHOUT_FILES_MAX,
                    "the memory that a replica may hold without repl-history",
                ))
            }
        };
        if let Some((lag_bytes_max, limit)) = exceeded {
            self.report_stalled(replica, at, lag_bytes_max, limit);
        }
        self.settle();
    }

    fn report_stalled(&self, replica: ReplicaId, at: NextOffset, lag_bytes_max: u64, limit: &'static str) {
        let lag_bytes = self.log.visible().since(at.prior()).get();
        tell(&self.stalled, ReplicaStalled { replica, lag_bytes, lag_bytes_max, limit }, WhenFull::Complain);
    }

    /// What is wanted is kept in files.
    fn settle(&self) {
        self.log.set_wanted_from(self.cursors.values().map(|reader| reader.at).min());
    }
}

impl Actor for BufferManager {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
        context.run_interval(TRIM_PERIOD, Self::trim_history);
    }
}

impl Handler<OpenCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, opened: OpenCursor, _: &mut Self::Context) {
        let OpenCursor { replica, stream, at } = opened;
        self.cursors.insert(replica, Reader { at, stream, over_soft_since: None });
        self.note(replica, at, false);
    }
}

impl Handler<MoveCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, moved: MoveCursor, _: &mut Self::Context) {
        // A message that was under way when the session ended opens nothing again.
        self.note(moved.replica, moved.at, moved.holds_memory);
    }
}

impl Handler<CloseCursor> for BufferManager {
    type Result = ();

    fn handle(&mut self, closed: CloseCursor, _: &mut Self::Context) {
        self.cursors.remove(&closed.replica);
        self.settle();
    }
}

impl Handler<HistoryTrimmed> for BufferManager {
    type Result = ();

    fn handle(&mut self, trimmed: HistoryTrimmed, _: &mut Self::Context) {
        match trimmed.outcome {
            Ok(Trimmed { bytes, files, took_from_reader }) => {
                if took_from_reader {
                    self.give_up_slowest(trimmed.bytes_hard_max);
                }
                // A later one says the same.
                let _ = self.shard.try_send(ShardMessage::HistoryKept { bytes, files });
            }
            Err(error) => tracing::warn!("The history could not be trimmed: {}", crate::words_of(&error)),
        }
    }
}

impl Handler<SetBudget> for BufferManager {
    type Result = ();

    fn handle(&mut self, budget: SetBudget, context: &mut Self::Context) {
        self.log.set_budget(budget.hot);
        (self.lag_limit, self.history) = (budget.lag_limit, budget.history);
        self.trim_history(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: OutputLimit = OutputLimit { hard_bytes: 100, soft_bytes: 10, soft_seconds: 5 };

    fn fresh() -> Reader {
        Reader {
            at: NextOffset::FIRST,
            stream: Arc::new(StreamName {
                replid: rejoin_protocol::ReplicationId::NONE,
                ancestors: Vec::new(),
            }),
            over_soft_since: None,
        }
    }

    #[test]
    fn a_soft_limit_gives_time_and_a_hard_one_none() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut reader = fresh();
        assert_eq!(reader.exceeds(LIMIT, 99, at(0)), None);
        assert_eq!(reader.exceeds(LIMIT, 9, at(4)), None, "it caught up in between");
        assert_eq!(reader.exceeds(LIMIT, 10, at(5)), None);
        assert_eq!(reader.exceeds(LIMIT, 99, at(10)), None);
        assert_eq!(reader.exceeds(LIMIT, 99, at(11)), Some(10));
        assert_eq!(fresh().exceeds(LIMIT, 100, at(0)), Some(100));
        let none = OutputLimit { hard_bytes: 0, soft_bytes: 0, soft_seconds: 0 };
        assert_eq!(reader.exceeds(none, u64::MAX, at(99)), None);
    }
}
