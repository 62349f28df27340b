//! LATENCY: spikes that the latency monitor saw, and how long commands take.

mod doctor;
mod graph;

use hdrhistogram::Histogram;

use super::reply_help;
use crate::{Call, Command, Failure, Flags, table};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
/// Upper end of the first bucket that HISTOGRAM tells, in nanoseconds; each further one doubles it.
const FIRST_BUCKET_NANOS: u64 = 1024;

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[row("latency", -2, Flags::empty(), "2.8.13", "Commands on latency.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    row("doctor", 2, ADMIN, "2.8.13", "Explains latency spikes in words.", doctor::doctor),
    row("graph", 3, ADMIN, "2.8.13", "Draws the latency spikes of an event.", graph::graph),
    row("help", 2, Flags::LOADING.union(Flags::STALE), "2.8.13", "Lists the subcommands.", help),
    row("histogram", -2, ADMIN, "7.0.0", "Tells how long commands take.", histogram),
    row("history", 3, ADMIN, "2.8.13", "Tells the latency spikes of an event.", history),
    row("latest", 2, ADMIN, "2.8.13", "Tells the latest latency spike of each event.", latest),
    row("reset", -2, ADMIN, "2.8.13", "Forgets latency spikes.", reset),
];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    handler: crate::Handler,
) -> Command {
    Command::new(name, arity, flags, "server", since, summary, handler)
}

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "LATENCY",
        &[
            "DOCTOR",
            "Return in words what the latency monitor saw.",
            "GRAPH <event>",
            "Return a drawing of the event's spikes.",
            "HISTOGRAM [<command> ...]",
            "Return how many calls of the commands took up to how many microseconds.",
            "HISTORY <event>",
            "Return times and milliseconds of the event's spikes.",
            "LATEST",
            "Return the latest spike of each event.",
            "RESET [<event> ...]",
            "Forget the spikes of these events, or all.",
        ],
    );
    Ok(())
}

/// LATENCY LATEST: event, time of the latest spike, its milliseconds, the milliseconds of the worst.
fn latest(call: &mut Call<'_>) -> Result<(), Failure> {
    let spikes = &call.engine.observed.spikes;
    let mut reply = call.session.reply();
    reply.array(spikes.events().len());
    for (event, history) in spikes.events() {
        let (at_seconds, millis) = history.last().map_or((0, 0), |spike| (spike.at_seconds, spike.millis));
        reply.array(4);
        reply.bulk(event.as_bytes());
        reply.integer(at_seconds);
        reply.integer(millis as i64);
        reply.integer(history.millis_max as i64);
    }
    Ok(())
}

/// LATENCY HISTORY event
fn history(call: &mut Call<'_>) -> Result<(), Failure> {
    let history = call.engine.observed.spikes.history(call.args[2]);
    let mut reply = call.session.reply();
    let Some(history) = history else {
        reply.array(0);
        return Ok(());
    };
    reply.array(history.iter().len());
    for spike in history.iter() {
        reply.array(2);
        reply.integer(spike.at_seconds);
        reply.integer(spike.millis as i64);
    }
    Ok(())
}

/// LATENCY RESET [event ...]: how many events there were to forget.
fn reset(call: &mut Call<'_>) -> Result<(), Failure> {
    let spikes = &mut call.engine.observed.spikes;
    let count = match &call.args[2..] {
        [] => spikes.reset(None),
        events => events.iter().map(|event| spikes.reset(Some(event))).sum(),
    };
    call.reply().integer(count as i64);
    Ok(())
}

/// LATENCY HISTOGRAM [command ...]: of all commands that were timed, or of these and their subcommands. Unknown names
/// are left out.
fn histogram(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut wanted: Vec<&'static Command> = Vec::new();
    if call.args.len() == 2 {
        wanted.extend(table::numbered());
    }
    for row in call.args[2..].iter().filter_map(|name| super::command::by_full_name(name)) {
        wanted.push(row);
        wanted.extend(row.subcommands);
    }
    let observed = &call.engine.observed;
    let timed: Vec<_> =
        wanted.into_iter().filter_map(|row| Some((row, observed.of(row).latencies()?))).collect();
    let mut reply = call.session.reply();
    reply.map(timed.len());
    for (row, latencies) in timed {
        reply.bulk(table::full_name(row).as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(latencies.len() as i64);
        reply.bulk(b"histogram_usec");
        let buckets = buckets(latencies);
        reply.map(buckets.len());
        for (micros, count) in buckets {
            reply.integer(micros as i64);
            reply.integer(count as i64);
        }
    }
    Ok(())
}

/// Upper ends in microseconds, each twice the one before, with how many calls took up to so long. Buckets that add
/// nothing are left out.
fn buckets(latencies: &Histogram<u64>) -> Vec<(u64, u64)> {
    let mut buckets = Vec::new();
    let (mut counted, mut end) = (0, FIRST_BUCKET_NANOS);
    let mut values = latencies.iter_recorded().peekable();
    while values.peek().is_some() {
        // What is not told apart from the end belongs to the bucket.
        let last = latencies.highest_equivalent(end);
        let before = counted;
        while let Some(value) = values.next_if(|value| value.value_iterated_to() <= last) {
            counted += value.count_since_last_iteration();
        }
        if counted > before {
            buckets.push((last / 1000, counted));
        }
        end *= 2;
    }
    buckets
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn buckets_double_and_add_up() {
        let mut latencies = Histogram::new_with_bounds(1, 1_000_000_000, 2).unwrap();
        for nanos in [500, 1024, 1031, 1032, 40_000, 1_000_000_000] {
            latencies.record(nanos).unwrap();
        }
        // The upper ends that redis-server tells: 1, 2, 4, 8, 16, 33, 66 ...
        assert_eq!(buckets(&latencies), [(1, 3), (2, 4), (66, 5), (1_082_130, 6)]);
    }
}
