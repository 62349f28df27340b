//! LATENCY DOCTOR: what the latency monitor saw, in words.

use std::fmt::Write as _;

use crate::{Call, Failure, Settings, observing::spikes::History};

/// LATENCY DOCTOR
pub(super) fn doctor(call: &mut Call<'_>) -> Result<(), Failure> {
    let engine = &*call.engine;
    let mut text = String::new();
    if engine.settings.latency_monitor_millis == 0 {
        text.push_str(
            "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it on: whatever takes \
             longer than that is then noted.\n",
        );
    } else if engine.observed.spikes.events().len() == 0 {
        let _ = writeln!(
            text,
            "All is well: nothing took {} ms or more since the latency monitor was turned on or reset.",
            engine.settings.latency_monitor_millis
        );
    }
    for (number, (event, history)) in engine.observed.spikes.events().enumerate() {
        let _ = write!(text, "{}. {event}: ", number + 1);
        describe(&mut text, history);
        let _ = writeln!(text, "   {}", advice(event, &engine.settings));
    }
    call.reply().verbatim(text.as_bytes());
    Ok(())
}

/// How many spikes, how long they were and how far apart.
fn describe(text: &mut String, history: &History) {
    let count = history.iter().len().max(1) as u64;
    let mean = history.iter().map(|spike| spike.millis).sum::<u64>() / count;
    let deviation = history.iter().map(|spike| spike.millis.abs_diff(mean)).sum::<u64>() / count;
    let first = history.iter().next().map_or(0, |spike| spike.at_seconds);
    let last = history.last().map_or(0, |spike| spike.at_seconds);
    let apart = (last - first) / (count as i64 - 1).max(1);
    let _ = writeln!(
        text,
        "{count} latency spikes (mean {mean} ms, mean deviation {deviation} ms, {apart} s apart). Worst ever: {} ms.",
        history.millis_max
    );
}

fn advice(event: &str, settings: &Settings) -> String {
    match event {
        "command" | "command-unblocking" => {
            let log = match settings.slowlog_micros {
                ..0 => "The slow log is off: CONFIG SET slowlog-log-slower-than turns it on, and".to_owned(),
                _ => "SLOWLOG GET".to_owned(),
            };
            format!(
                "{log} tells which commands these were. Smaller collections, or SCAN and ranges, cost less at a time."
            )
        }
        "fast-command" => {
            "These commands are cheap by themselves, so the machine was busy or swapped: look at its CPU \
                           and memory."
                .to_owned()
        }
        "expire-cycle" => {
            "Many keys expired at once. Times to live that differ a little spread the work.".to_owned()
        }
        _ => "Look at what the machine's disks and CPUs did at these times.".to_owned(),
    }
}
