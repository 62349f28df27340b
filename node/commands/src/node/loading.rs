//! The data is being read from disk: what is known of it, and who may do what meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rejoin_keyspace::{Keyspace, KeyspaceOptions};
use rejoin_protocol::{DbIndex, UnixMillis};

use crate::{Engine, Role};

/// A load at the start. Clients are answered -LOADING, but for commands that say they are allowed.
#[derive(Debug)]
pub struct Loading {
    /// When it began.
    pub begun: UnixMillis,
    /// Bytes of all files that are to be read.
    pub total_bytes: u64,
    /// Bytes that are read; changed by whoever reads.
    pub loaded_bytes: Arc<AtomicU64>,
}

impl Loading {
    /// Bytes that are read.
    #[must_use]
    pub fn loaded(&self) -> u64 {
        // A reader that reads ahead may count a piece twice.
        self.loaded_bytes.load(Relaxed).min(self.total_bytes)
    }

    /// How much that is of all.
    #[must_use]
    pub fn percent(&self) -> f64 {
        match self.total_bytes {
            0 => 0.0,
            total => self.loaded() as f64 * 100.0 / total as f64,
        }
    }

    /// How long the rest will take, if it goes on as it went.
    pub(crate) fn seconds_left(&self, now: UnixMillis) -> i64 {
        let (elapsed, loaded) = (now.get() / 1000 - self.begun.get() / 1000, self.loaded());
        if elapsed <= 0 || loaded == 0 {
            return 1;
        }
        let left = self.total_bytes.saturating_sub(loaded) as f64;
        (elapsed as f64 * left / loaded as f64) as i64
    }
}

impl Engine {
    /// From now on `total_bytes` are being loaded; returns the count of those that are, for whoever reads.
    pub fn begin_loading(&mut self, total_bytes: u64) -> Arc<AtomicU64> {
        let loaded_bytes = Arc::new(AtomicU64::new(0));
        self.loading = Some(Loading { begun: self.now, total_bytes, loaded_bytes: loaded_bytes.clone() });
        loaded_bytes
    }

    /// So many bytes more are loaded.
    pub fn note_loaded(&self, bytes: u64) {
        if let Some(loading) = &self.loading {
            loading.loaded_bytes.fetch_add(bytes, Relaxed);
        }
    }

    /// What this node is to its clients: the log is replayed as if it came from a master, but that is nobody's business.
    pub(crate) fn shown_role(&self) -> Role {
        match self.loading {
            Some(_) if self.settings.replicaof.is_none() => Role::Master,
            _ => self.role,
        }
    }

    /// The data is there.
    pub fn end_loading(&mut self) {
        self.loading = None;
    }

    /// A keyspace for what is to take the place of the data: as many databases, hashed alike.
    #[must_use]
    pub fn empty_keyspace(&self) -> Keyspace {
        let (databases, seed) = (self.keyspace.database_count(), *self.keyspace.seed());
        let mut keyspace = Keyspace::new(KeyspaceOptions { databases, seed });
        keyspace.set_position(self.log.position());
        keyspace
    }

    /// Puts `keyspace` in the place of the data: every key has been written. Returns what was there.
    pub fn replace_keyspace(&mut self, keyspace: Keyspace) -> Keyspace {
        let old = std::mem::replace(&mut self.keyspace, keyspace);
        self.set_access_clock();
        for db in (0..self.keyspace.database_count()).map(DbIndex::new) {
            self.watches.database_changed(db, |_| true);
            self.blocked.database_changed(db);
        }
        old
    }
}
