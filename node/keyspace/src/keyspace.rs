//! All databases of a node under one seed and one write position.
//!
//! SKELETON: signatures are fixed, bodies come.

use rejoin_protocol::{DbIndex, NextOffset};

use crate::{Database, HashSeed, Key, KeyHash, Snapshot};

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
pub struct Keyspace {}

impl Keyspace {
    /// An empty keyspace. Starts no thread; large drops go to a reaper thread that is started at the first of them.
    #[must_use]
    pub fn new(options: KeyspaceOptions) -> Self {
        let _ = options;
        todo!()
    }

    /// The key of the hash.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        todo!()
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
        todo!()
    }

    /// A database. Panics when there is no such one: sessions hold only valid indexes.
    #[must_use]
    pub fn database(&self, index: DbIndex) -> &Database {
        let _ = index;
        todo!()
    }

    /// A database for writing. Panics when there is no such one.
    pub fn database_mut(&mut self, index: DbIndex) -> &mut Database {
        let _ = index;
        todo!()
    }

    /// Exchanges two databases (SWAPDB); both floors of last-modified positions rise.
    pub fn swap(&mut self, a: DbIndex, b: DbIndex) {
        let _ = (a, b);
        todo!()
    }

    /// States the stream position of the first byte of what the next writes will log: what they are stamped with.
    pub fn set_position(&mut self, position: NextOffset) {
        let _ = position;
        todo!()
    }

    /// Looks up the places of many keys at once, level by level, so that their cache misses overlap. Changes
    /// nothing; the executions that follow find warm lines.
    pub fn touch(&self, keys: &[(DbIndex, KeyHash)]) {
        let _ = keys;
        todo!()
    }

    /// A consistent image of all databases: clones their roots. Takes microseconds at any size.
    pub fn snapshot(&mut self) -> Snapshot {
        todo!()
    }

    /// Bytes of live data: entries, tables, expiry indexes.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        todo!()
    }

    /// Bytes copied on write since the oldest snapshot that still lives began; 0 when none lives.
    #[must_use]
    pub fn bytes_copied_for_snapshots(&self) -> usize {
        todo!()
    }
}
