//! WATCH: which session watches which keys, and whose watch was broken.

use std::collections::{HashMap, HashSet};

use rejoin_protocol::{ClientId, DbIndex};

/// Everyone's watches.
#[derive(Debug, Default)]
pub struct Watches {
    watchers: HashMap<(DbIndex, Box<[u8]>), Vec<ClientId>>,
    broken: HashSet<ClientId>,
}

impl Watches {
    /// `client` watches `key` from now on.
    pub fn watch(&mut self, client: ClientId, db: DbIndex, key: &[u8]) {
        let clients = self.watchers.entry((db, key.into())).or_default();
        if !clients.contains(&client) {
            clients.push(client);
        }
    }

    /// `client` no longer watches `keys` (all it had), and its watch counts as whole again.
    pub fn unwatch(&mut self, client: ClientId, keys: &[(DbIndex, Box<[u8]>)]) {
        for key in keys {
            if let Some(clients) = self.watchers.get_mut(key) {
                clients.retain(|&other| other != client);
                if clients.is_empty() {
                    self.watchers.remove(key);
                }
            }
        }
        self.broken.remove(&client);
    }

    /// Whether a watched key of `client` was changed.
    #[must_use]
    pub fn is_broken(&self, client: ClientId) -> bool {
        self.broken.contains(&client)
    }

    /// A key was changed by anyone.
    #[inline]
    pub fn key_changed(&mut self, db: DbIndex, key: &[u8]) {
        if !self.watchers.is_empty() {
            self.mark_broken(db, key);
        }
    }

    fn mark_broken(&mut self, db: DbIndex, key: &[u8]) {
        if let Some(clients) = self.watchers.get(&(db, Box::from(key))) {
            self.broken.extend(clients);
        }
    }

    /// A whole database was emptied or exchanged: every watched key of it for which `changed` holds is broken.
    pub fn database_changed(&mut self, db: DbIndex, mut changed: impl FnMut(&[u8]) -> bool) {
        for ((watched_db, key), clients) in &self.watchers {
            if *watched_db == db && changed(key) {
                self.broken.extend(clients);
            }
        }
    }
}
