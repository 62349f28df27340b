//! What CONFIG SET changes of replication while it runs: handed to all who keep to it, and looked up when needed.

use std::time::Duration;

use rejoin_commands::Settings;
use tokio::sync::watch;

/// Settings of replication that take effect at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// `repl-timeout`.
    pub repl_timeout: Duration,
    /// `repl-diskless-sync-delay`: how long a snapshot waits for others to join.
    pub snapshot_delay: Duration,
    /// `repl-diskless-sync-max-replicas`: a snapshot begins at once when so many have joined; 0 is no number.
    pub snapshot_replicas_max: usize,
    /// `repl-diskless-sync`: snapshots go straight to the sockets of replicas that understand it, not through a file.
    pub is_diskless: bool,
    /// `repl-max-concurrent-full-syncs`.
    pub full_syncs_max: usize,
}

impl LiveSettings {
    /// What the settings say.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            repl_timeout: Duration::from_secs(settings.repl_timeout_seconds.max(1)),
            snapshot_delay: Duration::from_secs(settings.repl_diskless_sync_delay_seconds),
            snapshot_replicas_max: settings
                .get("repl-diskless-sync-max-replicas")
                .and_then(|count| count.parse().ok())
                .unwrap_or(0),
            is_diskless: settings.is_on("repl-diskless-sync"),
            full_syncs_max: settings.repl_full_syncs_max.max(1),
        }
    }
}

/// The present settings; changes are told.
pub type LiveSettingsReader = watch::Receiver<LiveSettings>;
