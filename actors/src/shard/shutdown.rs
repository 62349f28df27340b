//! SHUTDOWN, and what a signal asks for: replicas get the time that `shutdown-timeout` gives to receive the last
//! writes, while clients may read but not write; then the program that embeds the node is told to end it. Until then it
//! can be called off. The data is saved last, and what cannot be saved keeps the node.

use std::time::{Duration, Instant};

use rejoin_commands::{Role, effect::Departure};
use rejoin_protocol::Offset;

use crate::{events::NodeEvent, shard::Shard};

/// A shutdown that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingShutdown {
    /// What they are to acknowledge.
    offset: Offset,
    /// When we go without.
    deadline: Instant,
    how: Departure,
}

impl Shard {
    /// What `shutdown-on-sigterm` and its kin say.
    pub(crate) fn departure(&self, setting: &str) -> Departure {
        let words = self.engine.settings.get(setting).unwrap_or_default();
        let says = |word: &str| words.split(' ').any(|said| said == word);
        let saves = (says("save") || says("nosave")).then(|| says("save"));
        Departure { now: says("now"), saves, force: says("force") }
    }

    /// Begins to leave; at once if it is to be now, or if no replica is behind.
    pub(crate) fn begin_shutdown(&mut self, how: Departure) {
        if self.shutdown.is_some() {
            return;
        }
        tracing::warn!("User requested shutdown...");
        self.publish_log();
        let offset = self.visible();
        let timeout = Duration::from_secs(self.engine.settings.shutdown_timeout_seconds);
        let must_wait = !how.now
            && self.engine.loading.is_none()
            && !timeout.is_zero()
            && self.engine.role == Role::Master
            && self.replicas_behind(offset) > 0;
        if !must_wait {
            self.leave(how);
            return;
        }
        tracing::info!("Waiting for replicas before shutting down.");
        self.shutdown = Some(PendingShutdown { offset, deadline: Instant::now() + timeout, how });
        self.engine.await_shutdown();
        self.ask_replicas();
    }

    /// Looks whether the wait is over.
    pub(crate) fn go_on_with_shutdown(&mut self) {
        let Some(PendingShutdown { offset, deadline, how }) = self.shutdown else { return };
        let behind = self.replicas_behind(offset);
        if behind > 0 && Instant::now() < deadline {
            return;
        }
        let all = self.engine.status.replicas.len();
        tracing::info!("{} of {all} replicas are in sync when shutting down.", all - behind);
        self.shutdown = None;
        self.leave(how);
    }

    /// SHUTDOWN ABORT.
    pub(crate) fn abort_shutdown(&mut self) {
        if self.shutdown.take().is_some() {
            tracing::info!("Shutdown manually aborted.");
            self.events.report(NodeEvent::ShutdownAborted);
        }
        self.is_saved_for_good = false;
        self.wake_woken();
        self.requeue_held();
    }

    /// Saves what is to be saved, and has the embedder end the node.
    fn leave(&mut self, how: Departure) {
        if self.engine.saving.running.is_some() {
            tracing::warn!("There is a child saving an .rdb. Killing it!");
            self.cancel_save();
        }
        let saves = how.saves.unwrap_or(!self.engine.settings.save_points.is_empty());
        // What is half loaded must not take the place of what it is loaded from.
        if self.engine.loading.is_some() {
            tracing::warn!("Received shutdown signal during loading, exiting now.");
        } else if saves && !self.save_before_leaving(how.force) {
            return;
        }
        self.events.report(NodeEvent::ShutdownRequested { now: true });
    }

    /// Whether nothing keeps us. Nobody writes any more from here on: it would be lost.
    fn save_before_leaving(&mut self, force: bool) -> bool {
        tracing::info!("Saving the final RDB snapshot before exiting.");
        self.engine.await_shutdown();
        match self.save_now() {
            Ok(()) => {
                self.is_saved_for_good = true;
                return true;
            }
            Err(_) if force => {
                tracing::warn!("Error trying to save the DB. Exit anyway.");
                return true;
            }
            Err(_) => tracing::warn!("Error trying to save the DB, can't exit."),
        }
        tracing::warn!("Errors trying to shut down the server. Check the logs for more information.");
        self.engine.shutdown_failed();
        self.events.report(NodeEvent::ShutdownAborted);
        self.wake_woken();
        self.requeue_held();
        false
    }

    /// Has replicas tell how far they are.
    pub(crate) fn ask_replicas(&mut self) {
        if self.engine.is_failing_over() {
            // The stream is not to grow; they are asked already.
            return;
        }
        self.engine.log_getack();
        self.publish_log();
        self.hurry_getack();
    }

    pub(crate) fn replicas_behind(&self, offset: Offset) -> usize {
        self.engine.status.replicas.iter().filter(|replica| replica.offset < offset).count()
    }
}
