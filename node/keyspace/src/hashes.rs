//! Hash values: packed into their entry while small, a tree of fields when large. Reading; `hash_mut` writes.

use crate::entry::{Kind, NewValue};
use crate::packed::{self, Pairs};
use crate::{Entry, HashSeed, ScanCursor};

/// When a hash stops being packed: Redis' `hash-max-listpack-entries` and `hash-max-listpack-value`. A packed hash
/// also never exceeds 64 KiB, whatever these say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashLimits {
    /// Fields at most.
    pub entries_max: usize,
    /// Bytes of a field or value at most.
    pub value_bytes_max: usize,
}

impl Default for HashLimits {
    fn default() -> Self {
        Self { entries_max: 512, value_bytes_max: 64 }
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
        if self.is_packed() { packed::count(self.entry.inline()) } else { self.entry.tree().len() }
    }

    /// Whether it has no field (never so for a hash that stands in a database).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is packed (OBJECT ENCODING: listpack) rather than a tree (hashtable).
    #[must_use]
    pub fn is_packed(&self) -> bool {
        matches!(self.entry.kind(), Kind::HashPacked | Kind::SetPacked)
    }

    /// The value of `field`.
    #[must_use]
    pub fn get(&self, seed: &HashSeed, field: &[u8]) -> Option<&'a [u8]> {
        if self.is_packed() {
            return packed::find(self.entry.inline(), field).map(|pair| pair.value);
        }
        self.entry.tree().get(seed.hash(field), field).map(Entry::field_value)
    }

    /// All fields and values; a packed hash in the order of insertion, a tree in the order of the fields' hashes as
    /// far as it branches, in no order below that.
    pub fn iter(&self) -> Box<dyn Iterator<Item = (&'a [u8], &'a [u8])> + 'a> {
        if self.is_packed() {
            return Box::new(Pairs::new(self.entry.inline()).map(|pair| (pair.field, pair.value)));
        }
        Box::new(self.entry.tree().iter_leaves().map(|entry| (entry.key(), entry.field_value())))
    }

    /// Visits about `count` fields from `cursor` on and returns where to go on; SCAN's guarantee holds. A packed hash
    /// is visited whole.
    pub fn scan(
        &self,
        cursor: ScanCursor,
        count: usize,
        visit: &mut dyn FnMut(&'a [u8], &'a [u8]),
    ) -> ScanCursor {
        if self.is_packed() {
            Pairs::new(self.entry.inline()).for_each(|pair| visit(pair.field, pair.value));
            return ScanCursor::START;
        }
        self.entry.tree().scan(cursor, count, &mut |entry| visit(entry.key(), entry.field_value()))
    }

    /// The field that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<(&'a [u8], &'a [u8])> {
        if self.is_packed() {
            let rank = rank.checked_rem(self.len() as u64)?;
            return Pairs::new(self.entry.inline()).nth(rank as usize).map(|pair| (pair.field, pair.value));
        }
        self.entry.tree().random(rank).map(|entry| (entry.key(), entry.field_value()))
    }
}

impl Entry {
    /// A packed hash without fields.
    pub(crate) fn new_packed_hash(key: &[u8]) -> Self {
        Self::new(key, None, NewValue::Bytes(Kind::HashPacked, &packed::EMPTY))
    }

    /// Whether the value is a hash.
    pub(crate) fn is_hash(&self) -> bool {
        matches!(self.kind(), Kind::HashPacked | Kind::HashTree)
    }
}
