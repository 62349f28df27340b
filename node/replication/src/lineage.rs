//! Which streams our bytes belong to: the current replid and the ancestors that it continued.
//!
//! A replica may continue here if it follows the current stream, or an ancestor up to the last byte that both share.
//! Stock Redis remembers one ancestor (`master_replid2`, `second_repl_offset`); we remember several.
//!
//! It does not know what is still held of the stream: that is [`ladder`](crate::ladder)'s business.
//! Invariants: no id stands twice; the ancestors, newest first, have falling last valid offsets.

use rejoin_protocol::{NextOffset, Offset, ReplicationId};

/// Ancestors remembered at most; the oldest is forgotten, and its replicas then need a lower rung.
pub const ANCESTORS_MAX: usize = 16;

/// A stream that ours continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Its name.
    pub replid: ReplicationId,
    /// The last byte that it shares with our stream.
    pub last_valid: Offset,
}

/// The current stream and those it continued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// Changes by [`shift`](Self::shift), [`adopt`](Self::adopt) and [`replace`](Self::replace).
    current: ReplicationId,
    /// Newest first.
    ancestors: Vec<Ancestor>,
}

impl Lineage {
    /// A stream without a past.
    #[must_use]
    pub fn new(current: ReplicationId) -> Self {
        Self { current, ancestors: Vec::new() }
    }

    /// A lineage as it was saved: `ancestors` newest first. What contradicts itself (an id twice, offsets that rise
    /// with age) is put right by forgetting or lowering.
    #[must_use]
    pub fn restore(current: ReplicationId, ancestors: Vec<Ancestor>) -> Self {
        let mut lineage = Self::new(current);
        for ancestor in ancestors.into_iter().take(ANCESTORS_MAX) {
            // A file may say anything; the last offset of all has no byte after it and cannot be an offset of ours.
            if lineage.names(ancestor.replid) || ancestor.last_valid == Offset::new(u64::MAX) {
                continue;
            }
            let bound = lineage.ancestors.last().map_or(ancestor.last_valid, |newer| newer.last_valid);
            let last_valid = ancestor.last_valid.min(bound);
            lineage.ancestors.push(Ancestor { replid: ancestor.replid, last_valid });
        }
        lineage
    }

    /// The name of our stream.
    #[must_use]
    pub fn current(&self) -> ReplicationId {
        self.current
    }

    /// The streams it continued, newest first.
    #[must_use]
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// INFO's `master_replid2` and `second_repl_offset`: the newest ancestor and the first byte that it lacks.
    #[must_use]
    pub fn second(&self) -> Option<(ReplicationId, NextOffset)> {
        self.ancestors.first().map(|newest| (newest.replid, newest.last_valid.next()))
    }

    /// The last byte that the ancestor `replid` shares with our stream.
    #[must_use]
    pub fn last_valid(&self, replid: ReplicationId) -> Option<Offset> {
        self.ancestors.iter().find(|ancestor| ancestor.replid == replid).map(|ancestor| ancestor.last_valid)
    }

    /// Whether who holds the stream `replid` before `from` holds a beginning of ours. Redis' PSYNC2 rule
    /// (`offset <= second_replid_offset`), for every ancestor.
    #[must_use]
    pub fn accepts(&self, replid: ReplicationId, from: NextOffset) -> bool {
        // Redis compares the byte wanted with `second_repl_offset`, one past the last byte shared: 501 <= 501 holds
        // for a replica that holds 500 bytes of a stream shared up to 500.
        replid == self.current || self.last_valid(replid).is_some_and(|last_valid| from.prior() <= last_valid)
    }

    /// We go on alone from `at` under a name of our own: promotion, or a crash that may have lost bytes after `at`.
    pub fn shift(&mut self, new_id: ReplicationId, at: Offset) {
        assert_ne!(new_id, self.current, "a shift needs a new name");
        self.continue_as(new_id, at);
    }

    /// Our master continued us at `at` under another name (`+CONTINUE <id>`). The same name changes nothing.
    /// Returns whether anything changed: if so, replicas of ours are to reconnect, to learn the name.
    pub fn adopt(&mut self, new_id: ReplicationId, at: Offset) -> bool {
        if new_id == self.current {
            return false;
        }
        self.continue_as(new_id, at);
        true
    }

    /// The data came anew (full sync): nothing that was held before is part of this stream.
    pub fn replace(&mut self, id: ReplicationId) {
        *self = Self::new(id);
    }

    /// The current stream becomes an ancestor up to `at`. What followed `at` is not part of the new one, so older
    /// ancestors do not reach past it either.
    fn continue_as(&mut self, new_id: ReplicationId, at: Offset) {
        let parent = Ancestor { replid: self.current, last_valid: at };
        self.ancestors.retain(|ancestor| ancestor.replid != new_id);
        for ancestor in &mut self.ancestors {
            ancestor.last_valid = ancestor.last_valid.min(at);
        }
        self.ancestors.insert(0, parent);
        self.ancestors.truncate(ANCESTORS_MAX);
        self.current = new_id;
    }

    /// Whether `replid` is one of ours, current or past.
    fn names(&self, replid: ReplicationId) -> bool {
        replid == self.current || self.last_valid(replid).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ReplicationId {
        ReplicationId::from_random([byte; 20])
    }

    #[test]
    fn a_promoted_node_accepts_its_old_stream_up_to_the_promotion() {
        let mut lineage = Lineage::new(id(1));
        lineage.shift(id(2), Offset::new(500));
        assert_eq!(lineage.second(), Some((id(1), NextOffset::new(501))));
        assert!(lineage.accepts(id(1), NextOffset::new(501)), "who holds 500 bytes holds what we hold");
        assert!(!lineage.accepts(id(1), NextOffset::new(502)), "byte 501 of the old stream is not ours");
        assert!(
            lineage.accepts(id(2), NextOffset::new(9999)),
            "how far our own stream reaches is the log's to say"
        );
        assert!(!lineage.accepts(id(3), NextOffset::FIRST));
    }

    #[test]
    fn every_remembered_ancestor_is_accepted() {
        let mut lineage = Lineage::new(id(0));
        for n in 1..=20 {
            lineage.shift(id(n), Offset::new(u64::from(n) * 10));
        }
        assert_eq!(lineage.ancestors().len(), ANCESTORS_MAX);
        assert!(lineage.accepts(id(19), NextOffset::new(201)));
        assert!(lineage.accepts(id(4), NextOffset::new(51)), "the oldest remembered");
        assert!(!lineage.accepts(id(3), NextOffset::new(41)), "forgotten");
    }

    #[test]
    fn a_shift_below_an_ancestors_end_lowers_it() {
        let mut lineage = Lineage::new(id(1));
        lineage.shift(id(2), Offset::new(100));
        // A power loss left us with 90 bytes: bytes 91 to 100 of the first stream are gone as well.
        lineage.shift(id(3), Offset::new(90));
        assert_eq!(lineage.last_valid(id(1)), Some(Offset::new(90)));
        assert!(!lineage.accepts(id(1), NextOffset::new(92)));
    }

    #[test]
    fn adopting_the_same_name_changes_nothing_and_an_old_one_returns() {
        let mut lineage = Lineage::new(id(1));
        assert!(!lineage.adopt(id(1), Offset::new(7)));
        assert_eq!(lineage.second(), None);
        lineage.shift(id(2), Offset::new(10));
        assert!(lineage.adopt(id(1), Offset::new(10)));
        assert_eq!(lineage.current(), id(1));
        assert_eq!(lineage.ancestors(), [Ancestor { replid: id(2), last_valid: Offset::new(10) }]);
    }

    #[test]
    fn a_full_sync_forgets_the_past() {
        let mut lineage = Lineage::new(id(1));
        lineage.shift(id(2), Offset::new(10));
        lineage.replace(id(3));
        assert_eq!(lineage, Lineage::new(id(3)));
    }

    #[test]
    fn a_saved_lineage_that_contradicts_itself_is_put_right() {
        let saved = |byte, last| Ancestor { replid: id(byte), last_valid: Offset::new(last) };
        let lineage = Lineage::restore(
            id(1),
            vec![saved(1, 9), saved(2, u64::MAX), saved(3, 50), saved(3, 40), saved(4, 60), saved(5, 10)],
        );
        assert_eq!(lineage.ancestors(), [saved(3, 50), saved(4, 50), saved(5, 10)]);
        let many = (10..200).map(|byte| saved(byte, 5)).collect();
        assert_eq!(Lineage::restore(id(1), many).ancestors().len(), ANCESTORS_MAX);
    }
}
