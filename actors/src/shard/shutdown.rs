//! SHUTDOWN, and what a signal asks for: replicas get the time that `shutdown-timeout` gives to receive the last
//! writes, while clients may read but not write; then the program that embeds the node is told to end it. Until then it
//! can be called off.

use std::time::{Duration, Instant};

use rejoin_commands::Role;
use rejoin_protocol::{DbIndex, Offset};

use crate::{events::NodeEvent, shard::Shard};

/// A shutdown that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingShutdown {
    /// What they are to acknowledge.
    offset: Offset,
    /// When we go without.
    deadline: Instant,
}

impl Shard {
    /// Begins to leave; at once if `now`, or if no replica is behind.
    pub(crate) fn begin_shutdown(&mut self, now: bool) {
        if self.shutdown.is_some() {
            return;
        }
        tracing::warn!("User requested shutdown...");
        self.publish_log();
        let offset = self.visible();
        let timeout = Duration::from_secs(self.engine.settings.shutdown_timeout_seconds);
        let must_wait = !now
            && !timeout.is_zero()
            && self.engine.role == Role::Master
            && self.replicas_behind(offset) > 0;
        if !must_wait {
            self.leave();
            return;
        }
        tracing::info!("Waiting for replicas before shutting down.");
        self.shutdown = Some(PendingShutdown { offset, deadline: Instant::now() + timeout });
        self.engine.await_shutdown();
        self.ask_replicas();
    }

    /// Looks whether the wait is over.
    pub(crate) fn go_on_with_shutdown(&mut self) {
        let Some(PendingShutdown { offset, deadline }) = self.shutdown else { return };
        let behind = self.replicas_behind(offset);
        if behind > 0 && Instant::now() < deadline {
            return;
        }
        let all = self.engine.status.replicas.len();
        tracing::info!("{} of {all} replicas are in sync when shutting down.", all - behind);
        self.shutdown = None;
        self.leave();
    }

    /// SHUTDOWN ABORT.
    pub(crate) fn abort_shutdown(&mut self) {
        if self.shutdown.take().is_some() {
            tracing::info!("Shutdown manually aborted.");
            self.events.report(NodeEvent::ShutdownAborted);
        }
        self.wake_woken();
        self.requeue_held();
    }

    fn leave(&mut self) {
        let keyspace = &self.engine.keyspace;
        let has_keys =
            (0..keyspace.database_count()).any(|db| !keyspace.database(DbIndex::new(db)).is_empty());
        if has_keys && self.engine.settings.get("save").is_some_and(|save| !save.is_empty()) {
            tracing::warn!("The data is not saved: this version writes no snapshot to disk");
        }
        self.events.report(NodeEvent::ShutdownRequested { now: true });
    }

    /// Has replicas tell how far they are.
    pub(crate) fn ask_replicas(&mut self) {
        let db = self.engine.log.selected().unwrap_or(DbIndex::new(0));
        self.engine.log.begin_unit();
        self.engine.log.push(db, &[b"REPLCONF", b"GETACK", b"*"]);
        self.engine.log.end_unit();
        self.publish_log();
    }

    pub(crate) fn replicas_behind(&self, offset: Offset) -> usize {
        self.engine.status.replicas.iter().filter(|replica| replica.offset < offset).count()
    }
}
