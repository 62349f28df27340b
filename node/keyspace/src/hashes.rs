//! Hash values: packed into their entry while small, a tree of fields when large.
//!
//! SKELETON: signatures are fixed, bodies come.

use crate::{Entry, HashSeed, ScanCursor};

/// When a hash stops being packed: Redis' `hash-max-listpack-entries` and `hash-max-listpack-value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLimits {
    /// Fields at most.
    pub entries_max: usize,
    /// Bytes of a field or value at most.
    pub value_bytes_max: usize,
}

impl Default for HashLimits {
    fn default() -> Self {
        Self { entries_max: 128, value_bytes_max: 64 }
    }
}

/// A hash to read from.
#[derive(Clone, Copy, Debug)]
pub struct HashView<'a> {
    pub(crate) entry: &'a Entry,
}

impl<'a> HashView<'a> {
    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether it has no field (never so for a hash that stands in a database).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is packed (OBJECT ENCODING: listpack) rather than a tree (hashtable).
    #[must_use]
    pub fn is_packed(&self) -> bool {
        todo!()
    }

    /// The value of `field`.
    #[must_use]
    pub fn get(&self, seed: &HashSeed, field: &[u8]) -> Option<&'a [u8]> {
        let _ = (seed, field);
        todo!()
    }

    /// All fields and values; a packed hash in the order of insertion, a tree in the order of the fields' hashes.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a> {
        todo!()
    }

    /// Visits about `count` fields from `cursor` on and returns where to go on; SCAN's guarantee holds.
    pub fn scan(&self, cursor: ScanCursor, count: usize, visit: &mut dyn FnMut(&'a [u8], &'a [u8])) -> ScanCursor {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// The field that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<(&'a [u8], &'a [u8])> {
        let _ = rank;
        todo!()
    }
}
