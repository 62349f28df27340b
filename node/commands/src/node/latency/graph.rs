//! LATENCY GRAPH: spikes as columns of text.

use crate::{
    Call, Failure,
    observing::spikes::{History, Spike},
};

/// Columns at most: the newest spikes.
const COLUMNS_MAX: usize = 80;
const ROWS: u64 = 4;
/// What the upper end of a column looks like, within a row from its bottom to its top.
const TOPS: [char; 3] = ['_', 'o', '#'];

/// LATENCY GRAPH event
pub(super) fn graph(call: &mut Call<'_>) -> Result<(), Failure> {
    let now = call.now().get().div_euclid(1000);
    let event = call.args[2];
    let history = call
        .engine
        .observed
        .spikes
        .history(event)
        .ok_or_else(|| Failure::repeating("ERR No samples available for event '", event, "'"))?;
    let text = draw(&String::from_utf8_lossy(event), history, now);
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

fn draw(event: &str, history: &History, now: i64) -> String {
    let skipped = history.iter().len().saturating_sub(COLUMNS_MAX);
    let spikes: Vec<Spike> = history.iter().skip(skipped).copied().collect();
    let low = spikes.iter().map(|spike| spike.millis).min().unwrap_or(0);
    let high = spikes.iter().map(|spike| spike.millis).max().unwrap_or(0);
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        history.millis_max,
        "-".repeat(COLUMNS_MAX)
    );
    let steps_max = ROWS * TOPS.len() as u64 - 1;
    for row in (0..ROWS).rev() {
        text.extend(spikes.iter().map(|spike| {
            let step = (spike.millis - low) * steps_max / (high - low).max(1);
            match step / TOPS.len() as u64 {
                top if top == row => TOPS[(step % TOPS.len() as u64) as usize],
                top if top > row => '|',
                _ => ' ',
            }
        }));
        text.push('\n');
    }
    text.push('\n');
    // How long ago each was, read downwards.
    let ages: Vec<String> = spikes.iter().map(|spike| age(now - spike.at_seconds)).collect();
    for line in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        text.extend(ages.iter().map(|age| age.chars().nth(line).unwrap_or(' ')));
        text.push('\n');
    }
    text
}

fn age(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ ..3600 => format!("{}m", seconds / 60),
        seconds @ ..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use crate::observing::Spikes;

    #[test]
    fn columns_are_as_high_as_their_spikes() {
        let mut spikes = Spikes::default();
        for (at, millis) in [(97, 10), (98, 30), (99, 20), (100, 200)] {
            spikes.add("command", at, millis);
        }
        let text = draw("command", spikes.history(b"command").unwrap(), 100);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 200 ms, low 10 ms (all time high 200 ms)");
        assert_eq!(lines[2..], ["   #", "   |", "   |", "_o_|", "", "3210", "ssss"]);
        assert_eq!(age(61), "1m");
    }
}
