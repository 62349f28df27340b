//! Latency spikes: for each kind of event, the last seconds in which one took longer than `latency-monitor-threshold`.

use std::collections::{BTreeMap, VecDeque};

/// Seconds that are kept of each event (Redis' number).
pub(crate) const SAMPLES_MAX: usize = 160;

/// The worst of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spike {
    /// Since the Unix epoch.
    pub(crate) at_seconds: i64,
    pub(crate) millis: u64,
}

/// The spikes of one event, the oldest first. Never empty.
#[derive(Debug, Default)]
pub(crate) struct History {
    spikes: VecDeque<Spike>,
    /// The worst ever seen, or since it was reset.
    pub(crate) millis_max: u64,
}

impl History {
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Spike> {
        self.spikes.iter()
    }

    pub(crate) fn last(&self) -> Option<&Spike> {
        self.spikes.back()
    }

    fn add(&mut self, at_seconds: i64, millis: u64) {
        self.millis_max = self.millis_max.max(millis);
        match self.spikes.back_mut() {
            Some(last) if last.at_seconds == at_seconds => last.millis = last.millis.max(millis),
            _ => {
                self.spikes.push_back(Spike { at_seconds, millis });
                if self.spikes.len() > SAMPLES_MAX {
                    self.spikes.pop_front();
                }
            }
        }
    }
}

/// All events that had spikes.
#[derive(Debug, Default)]
pub(crate) struct Spikes(BTreeMap<&'static str, History>);

impl Spikes {
    pub(crate) fn add(&mut self, event: &'static str, at_seconds: i64, millis: u64) {
        self.0.entry(event).or_default().add(at_seconds, millis);
    }

    pub(crate) fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &History)> {
        self.0.iter().map(|(event, history)| (*event, history))
    }

    pub(crate) fn history(&self, event: &[u8]) -> Option<&History> {
        self.0.get(str::from_utf8(event).ok()?)
    }

    /// Forgets one event, or all; how many there were.
    pub(crate) fn reset(&mut self, event: Option<&[u8]>) -> usize {
        match event {
            None => std::mem::take(&mut self.0).len(),
            Some(event) => {
                usize::from(str::from_utf8(event).is_ok_and(|event| self.0.remove(event).is_some()))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_worst_and_old_seconds_go() {
        let mut spikes = Spikes::default();
        for second in 0..200 {
            spikes.add("command", second, 100 + second as u64);
            spikes.add("command", second, 5);
        }
        spikes.add("command", 199, 400);
        let history = spikes.history(b"command").unwrap();
        assert_eq!(history.iter().len(), SAMPLES_MAX);
        assert_eq!(history.iter().next(), Some(&Spike { at_seconds: 40, millis: 140 }));
        assert_eq!(history.last(), Some(&Spike { at_seconds: 199, millis: 400 }));
        assert_eq!(history.millis_max, 400);
        assert_eq!((spikes.reset(Some(b"fork")), spikes.reset(None), spikes.reset(None)), (0, 1, 0));
    }
}
