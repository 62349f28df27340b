//! Sorted set values: packed into their entry in order while small, a tree of scores with its order when large.
//! Reading; `sorted_set_mut` writes.

use std::ops::Range;

use crate::entry::{Kind, NewValue};
use crate::packed::{self, Pairs};
use crate::sorted::{compare, score_of};
use crate::{Entry, ScanCursor};

/// When a sorted set stops being packed: Redis' `zset-max-listpack-entries` and `zset-max-listpack-value`. A packed one
/// also never exceeds 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SortedSetLimits {
    /// Members at most.
    pub entries_max: usize,
    /// Bytes of a member at most.
    pub value_bytes_max: usize,
}

impl Default for SortedSetLimits {
    fn default() -> Self {
        Self { entries_max: 128, value_bytes_max: 64 }
    }
}

/// A sorted set to read from.
#[derive(Clone, Copy, Debug)]
pub struct SortedSetView<'a> {
    pub(crate) entry: &'a Entry,
}

impl<'a> SortedSetView<'a> {
    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_packed() { packed::count(self.entry.inline()) } else { self.entry.sorted().len() }
    }

    /// Whether it has no member (never so for one that stands in a database).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is packed (OBJECT ENCODING: listpack) rather than a tree (skiplist).
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.entry.kind() == Kind::SortedPacked
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        if self.is_packed() {
            return packed::find(self.entry.inline(), member).map(|pair| packed_score(pair.value));
        }
        self.entry.sorted().score(member)
    }

    /// The rank of `member`, from 0, with its score.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        if self.is_packed() {
            let before =
                self.count_while(|other, its_score| compare((its_score, other), (score, member)).is_lt());
            return Some((before, score));
        }
        Some((self.entry.sorted().rank_of(score, member), score))
    }

    /// How many members, from the first on, `is_before` affirms; it must deny all behind the first that it denies.
    pub fn count_while(&self, is_before: impl Fn(&[u8], f64) -> bool) -> usize {
        if self.is_packed() {
            return self.pairs().take_while(|&(member, score)| is_before(member, score)).count();
        }
        self.entry.sorted().order().partition_point(|other| is_before(other.entry.key(), other.score))
    }

    /// The members of a range of ranks with their scores, from either end. Panics when it reaches past the end.
    pub fn range(&self, ranks: Range<usize>) -> Box<dyn DoubleEndedIterator<Item = (&'a [u8], f64)> + 'a> {
        if self.is_packed() {
            assert!(ranks.end <= self.len(), "a range within the sorted set");
            let pairs: Vec<_> = self.pairs().take(ranks.end).skip(ranks.start).collect();
            return Box::new(pairs.into_iter());
        }
        let order = self.entry.sorted().order();
        Box::new(order.range(ranks).map(|scored| (scored.entry.key(), scored.score)))
    }

    /// All members with their scores, in order.
    pub fn iter(&self) -> Box<dyn DoubleEndedIterator<Item = (&'a [u8], f64)> + 'a> {
        self.range(0..self.len())
    }

    /// Visits about `count` members from `cursor` on and returns where to go on; SCAN's guarantee holds. A packed
    /// sorted set is visited whole.
    pub fn scan(&self, cursor: ScanCursor, count: usize, visit: &mut dyn FnMut(&[u8], f64)) -> ScanCursor {
        if self.is_packed() {
            self.pairs().for_each(|(member, score)| visit(member, score));
            return ScanCursor::START;
        }
        self.entry.sorted().scores().scan(cursor, count, &mut |entry| visit(entry.key(), score_of(entry)))
    }

    /// The member that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<(&'a [u8], f64)> {
        let rank = rank.checked_rem(self.len() as u64)? as usize;
        if self.is_packed() {
            return self.pairs().nth(rank);
        }
        self.entry.sorted().order().get(rank).map(|scored| (scored.entry.key(), scored.score))
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], f64)> + use<'a> {
        Pairs::new(self.entry.inline()).map(|pair| (pair.field, packed_score(pair.value)))
    }
}

/// The score that stands behind a member in a packed run.
pub(crate) fn packed_score(bytes: &[u8]) -> f64 {
    f64::from_ne_bytes(bytes.try_into().unwrap_or_default())
}

impl Entry {
    /// A packed sorted set without members.
    pub(crate) fn new_packed_sorted_set(key: &[u8]) -> Self {
        Self::new(key, None, NewValue::Bytes(Kind::SortedPacked, &packed::EMPTY))
    }

    /// Whether the value is a sorted set.
    pub(crate) fn is_sorted_set(&self) -> bool {
        matches!(self.kind(), Kind::SortedPacked | Kind::SortedTree)
    }
}
