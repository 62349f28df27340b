//! The instantaneous figures of INFO: commands and kilobytes per second, a mean over the last samples.

use rejoin_protocol::{DbIndex, UnixMillis};

use crate::Engine;

/// Samples that make one figure (Redis' number).
const SAMPLES: usize = 16;

/// One counter's recent rates per second.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    last: u64,
    samples: [u64; SAMPLES],
    next: usize,
}

impl Rate {
    /// Takes in the counter, `millis` after the last time.
    fn sample(&mut self, counter: u64, millis: u64) {
        self.samples[self.next] = counter.saturating_sub(self.last).saturating_mul(1000) / millis;
        self.next = (self.next + 1) % SAMPLES;
        self.last = counter;
    }

    /// The mean of the samples, per second.
    pub(crate) fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / SAMPLES as u64
    }
}

/// Seconds over which the largest buffers are remembered (Redis' number).
const PEAK_SECONDS: usize = 8;

/// The largest buffers of clients in the last seconds, in bytes.
#[derive(Debug, Default)]
pub(crate) struct BufferPeaks {
    /// Input and output, of the second that runs.
    now: (usize, usize),
    before: [(usize, usize); PEAK_SECONDS - 1],
    second: i64,
}

impl BufferPeaks {
    #[inline]
    pub(crate) fn note(&mut self, input: usize, output: usize) {
        self.now = (self.now.0.max(input), self.now.1.max(output));
    }

    /// Input and output.
    pub(crate) fn recent(&self) -> (usize, usize) {
        self.before.iter().fold(self.now, |most, one| (most.0.max(one.0), most.1.max(one.1)))
    }

    fn turn_to(&mut self, second: i64) {
        let passed = second.saturating_sub(self.second);
        for _ in 0..passed.clamp(0, PEAK_SECONDS as i64) {
            self.before.rotate_right(1);
            self.before[0] = std::mem::take(&mut self.now);
        }
        self.second = second;
    }
}

/// The rates that INFO tells.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    sampled_at: Option<UnixMillis>,
    pub(crate) commands: Rate,
    pub(crate) input_bytes: Rate,
    pub(crate) output_bytes: Rate,
    pub(crate) repl_input_bytes: Rate,
    pub(crate) repl_output_bytes: Rate,
}

impl Engine {
    /// A cycle of active expiry is over; `is_cut`: it ran out of time.
    pub fn note_expire_cycle(&mut self, nanos: u64, is_cut: bool) {
        self.stats.expire_cycle_nanos += nanos;
        self.stats.expire_cycles_cut += u64::from(is_cut);
        self.note_latency("expire-cycle", nanos);
        let databases =
            (0..self.keyspace.database_count()).map(|index| self.keyspace.database(DbIndex::new(index)));
        let (due, volatile) = match is_cut {
            false => (0, 1),
            true => databases.fold((0, 0), |(due, volatile), database| {
                (due + database.due_len(self.now), volatile + database.volatile_len())
            }),
        };
        self.stats.expired_stale_percent = due as f64 * 100.0 / volatile.max(1) as f64;
    }

    /// Samples the counters; to be called about every 100 ms.
    pub fn sample_rates(&mut self) {
        let before = self.rates.sampled_at.replace(self.now);
        let elapsed = before.map_or(0, |before| self.now.get().saturating_sub(before.get()));
        let millis = u64::try_from(elapsed).unwrap_or(0).max(1);
        self.rates.commands.sample(self.stats.commands_processed, millis);
        self.rates.input_bytes.sample(self.stats.net_input_bytes, millis);
        self.rates.output_bytes.sample(self.stats.net_output_bytes, millis);
        self.rates.repl_input_bytes.sample(self.stats.net_repl_input_bytes, millis);
        self.rates.repl_output_bytes.sample(self.stats.net_repl_output_bytes, millis);
        self.buffer_peaks.turn_to(self.now.get().div_euclid(1000));
        let bytes = self.keyspace.bytes_used() as u64;
        self.stats.memory_peak_bytes = self.stats.memory_peak_bytes.max(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_forgotten_after_some_seconds() {
        let mut peaks = BufferPeaks::default();
        peaks.turn_to(1_000_000);
        peaks.note(5, 100);
        peaks.turn_to(1_000_003);
        peaks.note(7, 10);
        assert_eq!(peaks.recent(), (7, 100));
        peaks.turn_to(1_000_009);
        assert_eq!(peaks.recent(), (7, 10));
        peaks.turn_to(2_000_000);
        assert_eq!(peaks.recent(), (0, 0));
    }

    #[test]
    fn a_rate_is_the_mean_of_its_samples() {
        let mut rate = Rate::default();
        for turn in 1..=SAMPLES as u64 {
            rate.sample(turn * 50, 100);
        }
        assert_eq!(rate.per_second(), 500);
    }
}
