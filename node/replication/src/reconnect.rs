//! How hard to try: pauses between attempts to reach a master, and how many full syncs a master serves at a time.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rejoin_protocol::ReplicaId;

/// The bounds of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffSettings {
    /// Before the first retry, at most.
    pub first: Duration,
    /// Before any retry, at most.
    pub max: Duration,
}

impl Default for BackoffSettings {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}

/// Pauses that double from `first` to `max`, each between half and all of it.
#[derive(Clone, Debug)]
pub struct Backoff {
    settings: BackoffSettings,
    /// Failures since the last success.
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    #[must_use]
    pub fn new(settings: BackoffSettings) -> Self {
        Self { settings, failures: 0 }
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// One more failure: how long to wait. `random` spreads nodes that failed together.
    pub fn handle_failure(&mut self, random: u64) -> Duration {
        let doubled = self.settings.first.saturating_mul(2u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let half = doubled.min(self.settings.max) / 2;
        let half_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX - 1);
        half + Duration::from_nanos(random % (half_nanos + 1))
    }

    /// It worked.
    pub fn handle_success(&mut self) {
        self.failures = 0;
    }
}

/// Who may run a full sync now. Those who share a snapshot share a token, for as long as one of them has not got all of
/// it: at most so many snapshots at a time, and all others begin together with the next one that is free.
#[derive(Clone, Debug)]
pub struct FullSyncAdmission {
    max: usize,
    /// Each with a token of its own; none is empty.
    groups: Vec<Group>,
    waiting: VecDeque<ReplicaId>,
}

/// Full syncs that share a token.
#[derive(Clone, Debug)]
struct Group {
    members: BTreeSet<ReplicaId>,
    /// Their snapshot was not taken yet, as far as is known: others may join.
    is_open: bool,
}

impl FullSyncAdmission {
    /// At most `max` at a time; 0 counts as 1.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), groups: Vec::new(), waiting: VecDeque::new() }
    }

    /// Tokens that are out.
    #[must_use]
    pub fn running(&self) -> usize {
        self.groups.len()
    }

    /// Full syncs waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks for a token, or for a share in one. `false`: `id` waits until it is named.
    pub fn request(&mut self, id: ReplicaId) -> bool {
        if self.groups.iter().any(|group| group.members.contains(&id)) {
            return true;
        }
        if let Some(group) = self.groups.iter_mut().find(|group| group.is_open) {
            return group.members.insert(id);
        }
        if self.groups.len() < self.max {
            self.groups.push(Group { members: BTreeSet::from([id]), is_open: true });
            return true;
        }
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        false
    }

    /// The snapshot of `id` was taken: nobody joins its group any more.
    pub fn close(&mut self, id: ReplicaId) {
        for group in self.groups.iter_mut().filter(|group| group.members.contains(&id)) {
            group.is_open = false;
        }
    }

    /// `id` is done, or lost, or no longer waits. Returns who may begin now, in the order of asking.
    pub fn release(&mut self, id: ReplicaId) -> Vec<ReplicaId> {
        self.waiting.retain(|&waiting| waiting != id);
        self.groups.iter_mut().for_each(|group| {
            group.members.remove(&id);
        });
        self.groups.retain(|group| !group.members.is_empty());
        self.admit()
    }

    /// So many at a time from now on, 0 counting as 1; those that run are not called off. Returns who may begin now.
    pub fn set_max(&mut self, max: usize) -> Vec<ReplicaId> {
        self.max = max.max(1);
        self.admit()
    }

    /// All who wait share the next token.
    fn admit(&mut self) -> Vec<ReplicaId> {
        if self.waiting.is_empty() || self.groups.len() >= self.max {
            return Vec::new();
        }
        let admitted: Vec<ReplicaId> = self.waiting.drain(..).collect();
        self.groups.push(Group { members: admitted.iter().copied().collect(), is_open: true });
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_between_their_bounds() {
        let mut backoff = Backoff::new(BackoffSettings::default());
        let longest: Vec<u128> = (0..8).map(|_| backoff.handle_failure(49_999_999).as_millis()).collect();
        assert_eq!(longest[0], 99);
        assert!(longest.windows(2).all(|pair| pair[0] <= pair[1]), "{longest:?}");
        for random in [0, 1, u64::MAX / 3, u64::MAX] {
            let pause = backoff.handle_failure(random);
            assert!(pause >= Duration::from_millis(2500) && pause <= Duration::from_secs(5), "{pause:?}");
        }
        backoff.handle_success();
        assert_eq!(backoff.handle_failure(0), Duration::from_millis(50));
    }

    #[test]
    fn no_settings_overflow() {
        let mut backoff = Backoff::new(BackoffSettings { first: Duration::MAX, max: Duration::MAX });
        for _ in 0..100 {
            let _ = backoff.handle_failure(u64::MAX);
        }
        assert_eq!(backoff.failures(), 100);
    }

    #[test]
    fn those_who_share_a_snapshot_share_a_token() {
        let id = ReplicaId::new;
        let mut admission = FullSyncAdmission::new(2);
        for n in 1..=10 {
            assert!(admission.request(id(n)));
        }
        assert_eq!(admission.running(), 1);
        assert!(admission.request(id(1)), "asking twice is one share");
        admission.close(id(10));
        assert!(admission.request(id(11)), "the second token");
        admission.close(id(11));
        assert!(!admission.request(id(12)));
        assert!(!admission.request(id(13)));
        assert!(!admission.request(id(14)));
        assert_eq!(admission.release(id(13)), [], "gives up waiting");
        for n in 1..=9 {
            assert_eq!(admission.release(id(n)), []);
        }
        assert_eq!(admission.release(id(10)), [id(12), id(14)], "the last of ten has all");
        assert_eq!(admission.release(id(10)), [], "given back once");
        assert!(admission.request(id(15)), "joins those that were just admitted");
        assert_eq!((admission.running(), admission.waiting()), (2, 0));
    }

    #[test]
    fn the_number_of_tokens_changes_while_they_are_out() {
        let id = ReplicaId::new;
        let mut admission = FullSyncAdmission::new(1);
        for n in 1..=5 {
            assert_eq!(admission.request(id(n)), n == 1);
            admission.close(id(n));
        }
        assert_eq!(admission.set_max(3), [id(2), id(3), id(4), id(5)]);
        admission.close(id(2));
        assert_eq!(admission.set_max(0), []);
        assert!(!admission.request(id(6)));
        assert_eq!(admission.release(id(1)), [], "one too many");
        assert_eq!((2..=5).flat_map(|n| admission.release(id(n))).collect::<Vec<_>>(), [id(6)]);
    }
}
