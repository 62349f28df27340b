//! All databases of a node under one seed and one write position.

use std::sync::{Arc, Weak};

use rejoin_protocol::{DbIndex, NextOffset};

use crate::libraries::Libraries;
use crate::reaper::Reaper;
use crate::snapshot::Alive;
use crate::tree::{self, Tree};
use crate::{AccessClock, Database, Draft, HashSeed, Key, KeyHash, Snapshot};

/// What a keyspace is made with.
#[derive(Clone, Copy, Debug)]
pub struct KeyspaceOptions {
    /// How many databases (Redis: 16).
    pub databases: u32,
    /// The key of the hash.
    pub seed: HashSeed,
}

/// All databases of a node.
#[derive(Debug)]
pub struct Keyspace {
    databases: Vec<Database>,
    seed: HashSeed,
    /// What a database that is handed out for writing stamps its writes with.
    position: NextOffset,
    /// What tells entries when they are used.
    access: AccessClock,
    /// Functions, which no database holds.
    libraries: Arc<Libraries>,
    /// Snapshots that may still live, the oldest first, each with the bytes that had been copied when it began.
    snapshots: Vec<(Weak<Alive>, usize)>,
}

impl Keyspace {
    /// An empty keyspace. Starts no thread; large drops go to a reaper thread that is started at the first of them.
    #[must_use]
    pub fn new(options: KeyspaceOptions) -> Self {
        let reaper = Arc::new(Reaper::default());
        let database = |_| Database::new(options.seed, Arc::clone(&reaper));
        Self {
            databases: (0..options.databases).map(database).collect(),
            seed: options.seed,
            position: NextOffset::FIRST,
            access: AccessClock::default(),
            libraries: Arc::default(),
            snapshots: Vec::new(),
        }
    }

    /// The key of the hash.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        &self.seed
    }

    /// Takes the seed of a payload whose keys come in the order of its hash; whether it did: only while there is no
    /// key at all. Hashes computed before are void.
    pub fn adopt_seed(&mut self, seed: HashSeed) -> bool {
        let is_empty = self.databases.iter().all(Database::is_empty);
        if is_empty {
            self.seed = seed;
            self.databases.iter_mut().for_each(|database| database.adopt_seed(seed));
        }
        is_empty
    }

    /// Where to make entries for [`Database::append`], under the present seed and clock.
    #[must_use]
    pub fn draft(&self) -> Draft {
        Draft::new(self.seed, self.access.stamp())
    }

    /// A keyspace of one database without keys, with the same seed and clock: to make entries for this one elsewhere.
    #[must_use]
    pub fn empty_like(&self) -> Self {
        let mut empty = Self::new(KeyspaceOptions { databases: 1, seed: self.seed });
        empty.access = self.access.clone();
        empty
    }

    /// A key with its hash.
    #[inline]
    #[must_use]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { bytes, hash: self.seed().hash(bytes) }
    }

    /// How many databases.
    #[must_use]
    pub fn database_count(&self) -> u32 {
        self.databases.len() as u32
    }

    /// A database. Panics when there is no such one: sessions hold only valid indexes.
    #[inline]
    #[must_use]
    pub fn database(&self, index: DbIndex) -> &Database {
        &self.databases[index.get() as usize]
    }

    /// A database for writing. Panics when there is no such one.
    #[inline]
    pub fn database_mut(&mut self, index: DbIndex) -> &mut Database {
        let database = &mut self.databases[index.get() as usize];
        database.context.stamp = self.position.get();
        database.context.access = self.access.stamp();
        database
    }

    /// Exchanges two databases (SWAPDB); both floors of last-modified positions rise.
    pub fn swap(&mut self, a: DbIndex, b: DbIndex) {
        self.databases.swap(a.get() as usize, b.get() as usize);
        self.database_mut(a).raise_floor();
        self.database_mut(b).raise_floor();
    }

    /// States the stream position of the first byte of what the next writes will log: what they are stamped with.
    #[inline]
    pub fn set_position(&mut self, position: NextOffset) {
        self.position = position;
    }

    /// The clock of accesses.
    #[inline]
    #[must_use]
    pub fn access(&self) -> &AccessClock {
        &self.access
    }

    /// The same, to be set: its time changes by nothing else.
    #[inline]
    pub fn access_mut(&mut self) -> &mut AccessClock {
        &mut self.access
    }

    /// Looks up the places of many keys at once, level by level, so that their cache misses overlap. Changes
    /// nothing; the executions that follow find warm lines.
    pub fn touch(&self, keys: &[(DbIndex, KeyHash)]) {
        for batch in keys.chunks(tree::BATCH) {
            tree::touch(batch.iter().map(|&(index, hash)| (&self.database(index).tree, hash)));
        }
    }

    /// The same one step further, for keys that were touched before: the places of elements (given by the key's hash,
    /// then the element's) within large collections.
    pub fn touch_elements(&self, elements: &[(DbIndex, KeyHash, KeyHash)]) {
        for batch in elements.chunks(tree::BATCH) {
            tree::touch(batch.iter().filter_map(|&(index, key, element)| {
                // Whichever key has this tag: to be wrong costs a prefetch.
                let entry = self.database(index).tree.candidate(key)?;
                Some((entry.large()?, element))
            }));
        }
    }

    /// A consistent image of all databases: clones their roots. Takes microseconds at any size.
    pub fn snapshot(&mut self) -> Snapshot {
        self.snapshots.retain(|(alive, _)| alive.strong_count() > 0);
        let alive = Arc::new(Alive);
        self.snapshots.push((Arc::downgrade(&alive), self.bytes_copied()));
        let mut trees: Vec<(DbIndex, Tree, usize)> = Vec::new();
        for (database, index) in self.databases.iter().zip(0..) {
            if !database.is_empty() {
                trees.push((DbIndex::new(index), database.tree.clone(), database.volatile_len()));
            }
        }
        Snapshot::new(self.seed, trees, Arc::clone(&self.libraries), &alive)
    }

    /// The libraries of functions.
    #[must_use]
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// The same, to be changed; snapshots keep theirs.
    pub fn libraries_mut(&mut self) -> &mut Libraries {
        Arc::make_mut(&mut self.libraries)
    }

    /// Keys and values that wait to be dropped by the reaper, and those that it has dropped.
    #[must_use]
    pub fn drops(&self) -> (u64, u64) {
        self.databases.first().map_or((0, 0), Database::drops)
    }

    /// Whether no database has a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.databases.iter().all(Database::is_empty)
    }

    /// Bytes of live data: entries, tables, expiry indexes.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.databases.iter().map(Database::bytes_used).sum()
    }

    /// Bytes copied on write since the oldest snapshot that still lives began; 0 when none lives.
    #[must_use]
    pub fn bytes_copied_for_snapshots(&self) -> usize {
        let oldest = self.snapshots.iter().find(|(alive, _)| alive.strong_count() > 0);
        oldest.map_or(0, |(_, before)| self.bytes_copied() - before)
    }

    /// Bytes ever copied because somebody else held them.
    fn bytes_copied(&self) -> usize {
        self.databases.iter().map(|database| database.context.copied).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
