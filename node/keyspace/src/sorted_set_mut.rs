//! Writing to a sorted set: packed in order while it is small, a tree of scores with its order past the limits.

use std::ops::Range;

use crate::entry::NewValue;
use crate::guard::Guard;
use crate::hash_mut::set_count;
use crate::packed::{self, EncodedLen, Pair, Pairs};
use crate::sorted::{Sorted, compare};
use crate::sorted_sets::packed_score;
use crate::{SortedSetLimits, SortedSetView};

/// A sorted set to write to; accounts for itself when dropped, and is removed then if it has no member.
#[derive(Debug)]
pub struct SortedSetMut<'a> {
    guard: Guard<'a>,
    limits: SortedSetLimits,
}

impl<'a> SortedSetMut<'a> {
    pub(crate) fn new(guard: Guard<'a>, limits: SortedSetLimits) -> Self {
        Self { guard, limits }
    }

    /// The sorted set as it stands.
    #[must_use]
    pub fn view(&self) -> SortedSetView<'_> {
        SortedSetView { entry: self.guard.entry() }
    }

    /// Prepares for `count` members to come, the first of them of `bytes` bytes: where that is past the limits, the
    /// sorted set becomes a tree at once.
    pub fn expect(&mut self, count: usize, bytes: usize) {
        let is_new = self.view().is_empty();
        let is_past = count > self.limits.entries_max || (is_new && bytes > self.limits.value_bytes_max);
        if is_past && self.view().is_packed() {
            self.become_tree();
        }
    }

    /// Adds a member or gives it another score, which is not NaN; returns the one that it had. Past the limits it
    /// becomes a tree, and never packed again.
    pub fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        assert!(!score.is_nan(), "the command checks scores first");
        if self.view().is_packed() {
            // Redis packs zeros as integers, which have no sign.
            let unsigned = if score == 0.0 { 0.0 } else { score };
            let run = self.guard.entry().inline();
            let pair = packed::find(run, member);
            let had = pair.as_ref().map(|pair| packed_score(pair.value));
            if had == Some(score) {
                return had;
            }
            let fits = pair.is_some() || self.takes_another(member);
            if fits {
                if let Some(Pair { range, .. }) = pair {
                    self.remove_packed(range);
                }
                self.insert_packed(member, unsigned);
                return had;
            }
            self.become_tree();
        }
        self.guard.write_beyond(|entry, context| entry.sorted_mut().set(context, member, score))
    }

    /// Removes a member; returns the score that it had.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        if !self.view().is_packed() {
            let sorted = self.guard.entry().sorted();
            let hash = sorted.hash(member);
            let score = sorted.score_at(hash, member)?;
            self.guard.write_beyond(|entry, context| entry.sorted_mut().remove(context, hash, member, score));
            return Some(score);
        }
        let pair = packed::find(self.guard.entry().inline(), member)?;
        let (score, range) = (packed_score(pair.value), pair.range);
        self.remove_packed(range);
        Some(score)
    }

    /// Whether a packed set stays within its limits with this new member.
    fn takes_another(&self, member: &[u8]) -> bool {
        let run = self.guard.entry().inline();
        let bytes =
            run.len() + EncodedLen::BYTES_MAX + member.len().min(packed::BYTES_MAX) + 1 + size_of::<f64>();
        packed::count(run) < self.limits.entries_max
            && member.len() <= self.limits.value_bytes_max.min(packed::BYTES_MAX)
            && bytes <= packed::BYTES_MAX
    }

    fn insert_packed(&mut self, member: &[u8], score: f64) {
        let run = self.guard.entry().inline();
        let behind = Pairs::new(run)
            .find(|pair| compare((packed_score(pair.value), pair.field), (score, member)).is_gt());
        let (at, count) = (behind.map_or(run.len(), |pair| pair.range.start), packed::count(run));
        let score = score.to_ne_bytes();
        let (member_len, score_len) = (EncodedLen::of(member), EncodedLen::of(&score));
        self.guard.write_own(|entry| {
            entry.splice(at..at, &[member_len.as_bytes(), member, score_len.as_bytes(), &score]);
            set_count(entry, count + 1);
        });
    }

    fn remove_packed(&mut self, range: Range<usize>) {
        let count = packed::count(self.guard.entry().inline());
        self.guard.write_own(|entry| {
            entry.splice(range, &[]);
            set_count(entry, count - 1);
        });
    }

    fn become_tree(&mut self) {
        let mut sorted = Sorted::new(self.guard.seed());
        let run = self.guard.entry().inline().to_vec();
        for pair in Pairs::new(&run) {
            sorted.set(self.guard.context(), pair.field, packed_score(pair.value));
        }
        self.guard.write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(NewValue::Sorted(Box::new(sorted)), expiry);
        });
    }
}
