//! The access word of an entry: when it was last used, or how often, so that eviction can tell what is worth keeping.
//!
//! ```text
//! recency    0 | 31 bits: seconds
//! frequency  1 | 7 unused | 16 bits: minutes, of the last decay | 8 bits: a logarithmic count of uses
//! ```
//!
//! A word says itself which of the two it is: after a change of `maxmemory-policy` old words are never misread, and the
//! next use turns them into the other kind. 0 is the word of an entry of which nothing is known. Time is an argument.

use std::cell::Cell;

use rejoin_protocol::UnixMillis;

/// Marks a word that counts uses.
const FREQUENCY: u32 = 1 << 31;
const SECONDS: u32 = FREQUENCY - 1;
const MINUTES_AT: u32 = 8;
/// What a new key's count begins with, so that it is not the first to go.
const COUNT_OF_NEW: u8 = 5;

/// What the access words of entries tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessKind {
    /// When an entry was last used (LRU).
    #[default]
    Recency,
    /// How often it is used, on a logarithmic scale (LFU).
    Frequency {
        /// `lfu-log-factor`: how much rarer each further count is.
        log_factor: u32,
        /// `lfu-decay-time`: minutes for each of which an unused key loses one count; 0 never.
        decay_minutes: u32,
    },
}

/// A use of a key, as writes in a database stamp it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct UseStamp {
    /// The word of a new entry.
    new: u32,
    /// Entries that were there already are not touched.
    is_quiet: bool,
}

impl UseStamp {
    /// A new entry stands where none was.
    #[inline]
    pub(crate) fn mark_new(self, entry: &crate::Entry) {
        entry.set_access(self.new);
    }

    /// A value was put in place of another. The key is as old as before to those who count uses.
    #[inline]
    pub(crate) fn mark_replaced(self, entry: &crate::Entry) {
        if self.new & FREQUENCY == 0 || entry.access() & FREQUENCY == 0 {
            entry.set_access(self.new);
        }
    }

    /// A collection is written to. Uses are counted by those who look keys up ([`AccessClock::touch`]).
    #[inline]
    pub(crate) fn mark_used(self, entry: &crate::Entry) {
        if !self.is_quiet && self.new & FREQUENCY == 0 && entry.access() != self.new {
            entry.set_access(self.new);
        }
    }
}

/// The clock of accesses, as the keyspace keeps it.
#[derive(Clone, Debug, Default)]
pub struct AccessClock {
    kind: AccessKind,
    now: UnixMillis,
    stamp: UseStamp,
    /// State of the generator by which counts rise.
    random: Cell<u64>,
}

impl AccessClock {
    /// States the time and what words tell from here on.
    #[inline]
    pub fn set(&mut self, now: UnixMillis, kind: AccessKind) {
        self.now = now;
        self.kind = kind;
        self.stamp.new = match kind {
            AccessKind::Recency => recency(now),
            AccessKind::Frequency { .. } => frequency(minutes(now), COUNT_OF_NEW),
        };
    }

    /// Whether the next uses leave the words of entries as they are (CLIENT NO-TOUCH).
    #[inline]
    pub fn set_quiet(&mut self, is_quiet: bool) {
        self.stamp.is_quiet = is_quiet;
    }

    /// Whether uses are counted.
    #[inline]
    #[must_use]
    pub fn counts_uses(&self) -> bool {
        self.stamp.new & FREQUENCY != 0
    }

    #[inline]
    pub(crate) fn stamp(&self) -> UseStamp {
        self.stamp
    }

    /// An entry is used.
    #[inline]
    pub fn touch(&self, entry: &crate::Entry) {
        if self.counts_uses() {
            self.count_use(entry);
        } else if entry.access() != self.stamp.new {
            // Whole seconds: an entry in steady use is written to once a second.
            entry.set_access(self.stamp.new);
        }
    }

    #[cold]
    fn count_use(&self, entry: &crate::Entry) {
        let AccessKind::Frequency { log_factor, .. } = self.kind else { return };
        let count = self.uses(entry);
        let above = f64::from(count.saturating_sub(COUNT_OF_NEW));
        // 53 bits of the generator as a number from 0 to 1.
        let chance = (self.random() >> 11) as f64 / (1_u64 << 53) as f64;
        let rises = chance < 1.0 / (above * f64::from(log_factor) + 1.0);
        entry.set_access(frequency(minutes(self.now), count.saturating_add(u8::from(rises))));
    }

    /// The logarithmic count of an entry's uses, with what it has lost since the last one.
    #[must_use]
    pub fn uses(&self, entry: &crate::Entry) -> u8 {
        let word = entry.access();
        if word & FREQUENCY == 0 {
            return COUNT_OF_NEW;
        }
        let decay = match self.kind {
            AccessKind::Frequency { decay_minutes, .. } => decay_minutes,
            AccessKind::Recency => 0,
        };
        let age = minutes(self.now).wrapping_sub((word >> MINUTES_AT) as u16);
        let lost = u32::from(age).checked_div(decay).unwrap_or(0);
        (word as u8).saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX))
    }

    /// Seconds since an entry was last used; 0 where that is not known.
    #[must_use]
    pub fn idle_seconds(&self, entry: &crate::Entry) -> u32 {
        match entry.access() {
            0 => 0,
            word if word & FREQUENCY != 0 => {
                u32::from(minutes(self.now).wrapping_sub((word >> MINUTES_AT) as u16)) * 60
            }
            word => recency(self.now).wrapping_sub(word) & SECONDS,
        }
    }

    /// States for how long an entry has been idle (RESTORE IDLETIME, or a payload that says so).
    pub fn set_idle_seconds(&self, entry: &crate::Entry, seconds: u32) {
        entry.set_access((recency(self.now).wrapping_sub(seconds) & SECONDS).max(1));
    }

    /// States how often an entry is used (RESTORE FREQ, or a payload that says so).
    pub fn set_uses(&self, entry: &crate::Entry, count: u8) {
        entry.set_access(frequency(minutes(self.now), count));
    }

    /// SplitMix64.
    fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Wraps in 2038 and every 68 years after; ages are differences, so that does not matter.
#[inline]
fn recency(now: UnixMillis) -> u32 {
    ((now.get() / 1000) as u32 & SECONDS).max(1)
}

fn minutes(now: UnixMillis) -> u16 {
    (now.get() / 60_000) as u16
}

fn frequency(minutes: u16, count: u8) -> u32 {
    FREQUENCY | u32::from(minutes) << MINUTES_AT | u32::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    const LFU: AccessKind = AccessKind::Frequency { log_factor: 10, decay_minutes: 1 };

    fn clock(millis: i64, kind: AccessKind) -> AccessClock {
        let mut clock = AccessClock::default();
        clock.set(UnixMillis::new(millis), kind);
        clock
    }

    fn new_entry(clock: &AccessClock) -> Entry {
        let entry = Entry::new_packed_hash(b"k");
        clock.stamp().mark_new(&entry);
        entry
    }

    #[test]
    fn recency_tells_seconds_across_the_wrap() {
        let entry = new_entry(&clock(((1 << 31) - 10) * 1000, AccessKind::Recency));
        let later = clock(((1 << 31) + 20) * 1000, AccessKind::Recency);
        assert_eq!(later.idle_seconds(&entry), 30);
        later.touch(&entry);
        assert_eq!(later.idle_seconds(&entry), 0);
        later.set_idle_seconds(&entry, 500);
        assert_eq!(later.idle_seconds(&entry), 500);
    }

    #[test]
    fn counts_rise_ever_more_slowly_and_decay() {
        let begin = clock(60_000_000, LFU);
        let entry = new_entry(&begin);
        assert_eq!(begin.uses(&entry), 5);
        let mut reached = Vec::new();
        for uses in 1..=100_000 {
            begin.touch(&entry);
            if [100, 1_000, 10_000, 100_000].contains(&uses) {
                reached.push(begin.uses(&entry));
            }
        }
        // Redis' own table for a factor of 10: about 10, 18, 49, 142.
        let expected = [8..=14, 14..=24, 42..=58, 128..=158];
        assert!(reached.iter().zip(expected).all(|(count, range)| range.contains(count)), "{reached:?}");
        let hour_later = clock(60_000_000 + 3_600_000, LFU);
        assert_eq!(hour_later.uses(&entry), reached[3] - 60);
    }

    #[test]
    fn a_word_of_the_other_kind_is_not_misread() {
        let by_recency = clock(60_000_000, AccessKind::Recency);
        let entry = new_entry(&by_recency);
        let by_frequency = clock(120_000_000, LFU);
        assert_eq!(by_frequency.uses(&entry), COUNT_OF_NEW);
        by_frequency.set_uses(&entry, 200);
        assert_eq!(clock(180_000_000, AccessKind::Recency).idle_seconds(&entry), 60_000);
    }
}
