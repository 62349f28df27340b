//! WATCH: which session watches which keys, and whose watch was broken.

use std::collections::HashSet;

use hashbrown::{Equivalent, HashMap};
use rejoin_protocol::{ClientId, DbIndex};

/// A watched key for look-ups that do not copy it. Hashes as the owned pair does.
#[derive(Hash)]
pub(crate) struct Watched<'a>(pub(crate) DbIndex, pub(crate) &'a [u8]);

impl Equivalent<(DbIndex, Box<[u8]>)> for Watched<'_> {
    fn equivalent(&self, other: &(DbIndex, Box<[u8]>)) -> bool {
        self.0 == other.0 && *self.1 == *other.1
    }
}

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

    #[cold]
    fn mark_broken(&mut self, db: DbIndex, key: &[u8]) {
        if let Some(clients) = self.watchers.get(&Watched(db, key)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_watched_key_of_the_same_database_breaks_a_watch() {
        let (zero, one) = (DbIndex::new(0), DbIndex::new(1));
        let client = ClientId::new(7);
        let mut watches = Watches::default();
        watches.watch(client, zero, b"k");
        watches.key_changed(one, b"k");
        watches.key_changed(zero, b"other");
        assert!(!watches.is_broken(client));
        watches.key_changed(zero, b"k");
        assert!(watches.is_broken(client));
        watches.unwatch(client, &[(zero, b"k".as_slice().into())]);
        assert!(!watches.is_broken(client) && watches.watchers.is_empty());
    }
}
