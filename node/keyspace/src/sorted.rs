//! Large sorted sets: a tree from members to scores, and the order of members by score.
//!
//! Both refer to the same entries, whose key is the member and whose value the score, so an entry here is never written
//! in place: another score is another entry. The order keeps the score beside the reference, so that a search touches
//! an entry only where scores are equal.

use std::cmp::Ordering;

use crate::entry::{Kind, NewValue};
use crate::ordered::{Item, Ordered};
use crate::tree::{Tree, WriteContext, prefetch_entry, touch};
use crate::{Entry, HashSeed, KeyHash};

/// Members whose memory is asked for together; at most [`crate::tree::BATCH`].
const TOUCHED: usize = 16;

/// A member in its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct Scored {
    pub(crate) score: f64,
    pub(crate) entry: Entry,
}

impl Item for Scored {
    type Mark = Self;

    fn mark(&self) -> &Self {
        self
    }
}

/// The order of sorted sets: by score, then by the member's bytes. No score is NaN.
pub(crate) fn compare(one: (f64, &[u8]), other: (f64, &[u8])) -> Ordering {
    one.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal).then_with(|| one.1.cmp(other.1))
}

impl Scored {
    fn is_before(&self, score: f64, member: &[u8]) -> bool {
        match self.score.partial_cmp(&score) {
            Some(Ordering::Less) => true,
            Some(Ordering::Greater) => false,
            _ => self.entry.key() < member,
        }
    }
}

/// A large sorted set.
#[derive(Clone, Debug)]
pub(crate) struct Sorted {
    /// From members to scores.
    scores: Tree,
    /// As many items as `scores` has.
    order: Ordered<Scored>,
}

impl Sorted {
    /// A sorted set without members.
    pub(crate) fn new(seed: HashSeed) -> Self {
        Self { scores: Tree::new(seed), order: Ordered::new() }
    }

    /// How many members.
    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    /// From members to scores.
    pub(crate) fn scores(&self) -> &Tree {
        &self.scores
    }

    /// The members by rank.
    pub(crate) fn order(&self) -> &Ordered<Scored> {
        &self.order
    }

    /// Bytes of both trees and all members.
    pub(crate) fn bytes_used(&self) -> usize {
        self.scores.bytes_used() + self.order.bytes_used()
    }

    /// The score of a member.
    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.score_at(self.hash(member), member)
    }

    /// The hash of a member.
    pub(crate) fn hash(&self, member: &[u8]) -> KeyHash {
        self.scores.seed().hash(member)
    }

    /// The score of a member whose hash is known.
    pub(crate) fn score_at(&self, hash: KeyHash, member: &[u8]) -> Option<f64> {
        self.scores.get(hash, member).map(score_of)
    }

    /// How many members stand before where this one would.
    pub(crate) fn rank_of(&self, score: f64, member: &[u8]) -> usize {
        self.order.partition_point(|other| other.is_before(score, member))
    }

    /// Adds a member or gives it another score; returns the one that it had.
    pub(crate) fn set(&mut self, context: &mut WriteContext, member: &[u8], score: f64) -> Option<f64> {
        let hash = self.hash(member);
        let had = self.score_at(hash, member);
        if had == Some(score) {
            return had;
        }
        let entry = Entry::new(member, None, NewValue::Bytes(Kind::Field, &score.to_ne_bytes()));
        let (_, replaced) = self.scores.upsert(context, hash, member, |slot| match slot {
            Some(slot) => (None, Some(std::mem::replace(slot, entry.clone()))),
            None => (Some(entry.clone()), None),
        });
        let scored = Scored { score, entry };
        context.copied += match had {
            Some(had) => self.reorder(had, scored),
            None => self.order.insert(self.rank_of(score, member), scored),
        };
        if let Some(replaced) = replaced {
            context.count_copied(&replaced);
        }
        had
    }

    /// Moves a member from where its score `had` put it; returns the bytes that were copied.
    fn reorder(&mut self, had: f64, scored: Scored) -> usize {
        let member = scored.entry.key();
        let from = self.rank_of(had, member);
        let to = self.rank_of(scored.score, member);
        // Its own old place counts among those before it.
        if to == from || to == from + 1 {
            return self.order.replace(from, scored).1;
        }
        let (_, copied) = self.order.remove(from);
        copied + self.order.insert(if to > from { to - 1 } else { to }, scored)
    }

    /// Removes a member that is there, with this hash and score.
    pub(crate) fn remove(&mut self, context: &mut WriteContext, hash: KeyHash, member: &[u8], score: f64) {
        let Some(removed) = self.scores.remove(context, hash, member) else { return };
        let rank = self.rank_of(score, member);
        let (_, copied) = self.order.remove(rank);
        context.copied += copied;
        context.count_copied(&removed);
        self.touch_end(rank);
    }

    /// Who takes members from an end will come for the next ones: every so often, asks for the memory of the next few
    /// together, so that its misses overlap.
    fn touch_end(&self, removed: usize) {
        let len = self.len();
        let is_at_end = removed == len;
        if len == 0 || (removed > 0 && !is_at_end) {
            return;
        }
        if !self.order.leaf_len(removed.min(len - 1)).is_multiple_of(TOUCHED) {
            return;
        }
        let next = |from: usize, to: usize| match is_at_end {
            false => from.min(len)..to.min(len),
            true => len.saturating_sub(to)..len.saturating_sub(from),
        };
        // Their entries were asked for the last time.
        let members = self.order.range(next(0, TOUCHED));
        touch(members.map(|scored| (&self.scores, self.hash(scored.entry.key()))));
        self.order.range(next(TOUCHED, 2 * TOUCHED)).for_each(|scored| prefetch_entry(&scored.entry));
    }
}

/// The score that a member's entry holds.
pub(crate) fn score_of(entry: &Entry) -> f64 {
    f64::from_ne_bytes(entry.field_value().try_into().unwrap_or_default())
}

#[cfg(test)]
impl Sorted {
    /// Panics at the first thing that is not as it should be.
    pub(crate) fn check(&self) {
        self.order.check();
        assert_eq!(self.order.len(), self.scores.len());
        let mut before: Option<&Scored> = None;
        for scored in self.order.range(0..self.len()) {
            assert!(before.is_none_or(|before| before.is_before(scored.score, scored.entry.key())));
            assert_eq!(self.score(scored.entry.key()), Some(scored.score));
            before = Some(scored);
        }
    }
}

#[cfg(test)]
impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.entry.address() == other.entry.address() && self.score == other.score
    }
}
