//! The instantaneous figures of INFO: commands and kilobytes per second, a mean over the last samples.

use rejoin_protocol::UnixMillis;

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
        let bytes = self.keyspace.bytes_used() as u64;
        self.stats.memory_peak_bytes = self.stats.memory_peak_bytes.max(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_mean_of_its_samples() {
        let mut rate = Rate::default();
        for turn in 1..=SAMPLES as u64 {
            rate.sample(turn * 50, 100);
        }
        assert_eq!(rate.per_second(), 500);
    }
}
