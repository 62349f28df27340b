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
            full_syncs_max: settings.repl_full_syncs_max.max(1),
        }
    }
}

/// The present settings; changes are told.
pub type LiveSettingsReader = watch::Receiver<LiveSettings>;
