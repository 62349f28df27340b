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

/// Who may run a full sync now: at most so many at a time, the others in the order of asking.
#[derive(Clone, Debug)]
pub struct FullSyncAdmission {
    max: usize,
    running: BTreeSet<ReplicaId>,
    waiting: VecDeque<ReplicaId>,
}

impl FullSyncAdmission {
    /// At most `max` at a time; 0 counts as 1.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max: max.max(1), running: BTreeSet::new(), waiting: VecDeque::new() }
    }

    /// Full syncs running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Full syncs waiting.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks for a token. `false`: `id` waits until a [`release`](Self::release) names it.
    pub fn request(&mut self, id: ReplicaId) -> bool {
        if self.running.contains(&id) {
            return true;
        }
        if self.running.len() < self.max {
            return self.running.insert(id);
        }
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        false
    }

    /// `id` is done, or lost, or no longer waits. Returns who may begin now.
    pub fn release(&mut self, id: ReplicaId) -> Option<ReplicaId> {
        self.waiting.retain(|&waiting| waiting != id);
        if !self.running.remove(&id) {
            return None;
        }
        self.admit_next()
    }

    /// So many at a time from now on, 0 counting as 1; those that run are not called off. Returns who may begin now.
    pub fn set_max(&mut self, max: usize) -> Vec<ReplicaId> {
        self.max = max.max(1);
        std::iter::from_fn(|| self.admit_next()).collect()
    }

    fn admit_next(&mut self) -> Option<ReplicaId> {
        if self.running.len() >= self.max {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running.insert(next);
        Some(next)
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
    fn full_syncs_are_admitted_in_order() {
        let id = ReplicaId::new;
        let mut admission = FullSyncAdmission::new(2);
        assert!(admission.request(id(1)));
        assert!(admission.request(id(2)));
        assert!(admission.request(id(1)), "asking twice is one token");
        assert!(!admission.request(id(3)));
        assert!(!admission.request(id(4)));
        assert_eq!(admission.release(id(3)), None, "gives up waiting");
        assert_eq!(admission.release(id(1)), Some(id(4)));
        assert_eq!(admission.release(id(1)), None, "given back once");
        assert_eq!((admission.running(), admission.waiting()), (2, 0));
    }

    #[test]
    fn the_number_of_tokens_changes_while_they_are_out() {
        let id = ReplicaId::new;
        let mut admission = FullSyncAdmission::new(1);
        for n in 1..=5 {
            assert_eq!(admission.request(id(n)), n == 1);
        }
        assert_eq!(admission.set_max(3), [id(2), id(3)]);
        assert_eq!(admission.set_max(0), []);
        assert_eq!((admission.release(id(1)), admission.release(id(2))), (None, None), "two too many");
        assert_eq!(admission.release(id(3)), Some(id(4)));
    }
}
