//! What is counted and timed of each command: calls, time, a histogram of latencies, the slow log, latency spikes.
//!
//! The engine reads no clock of its own. It is handed one ([`Engine::set_clock`]), and reads it once per command: the
//! end of one is the begin of the next. So a command's time holds the little that lies between two commands, and not
//! the decoding and touching, which are shared by many ([`Engine::begin_timing`] passes over them).
//!
//! Counters stand in one array by the rows' numbers; what was noteworthy of a single command is looked at apart, in a
//! cold function, when it took longer than the shortest time that anyone asked to hear of.

pub(crate) mod slow_log;
pub(crate) mod spikes;

use hdrhistogram::Histogram;
pub(crate) use slow_log::SlowLog;
pub(crate) use spikes::Spikes;

use crate::{Command, Engine, Flags, Request, Session, table};

/// Shortest and longest latency that a histogram tells apart, in nanoseconds, and to how many decimal digits (Redis'
/// numbers). What is longer counts as the longest.
const LATENCY_NANOS_MIN: u64 = 1;
const LATENCY_NANOS_MAX: u64 = 1_000_000_000;
const LATENCY_DIGITS: u8 = 2;

/// A clock that only goes forward, in nanoseconds from any begin.
pub type MonotonicClock = Box<dyn Fn() -> u64>;

/// What is counted of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandStats {
    /// Executed.
    pub(crate) calls: u64,
    /// Time of all executions.
    pub(crate) nanos: u64,
    /// Refused before execution.
    pub(crate) rejected: u64,
    /// Executed, with an error as the reply.
    pub(crate) failed: u64,
    /// How long executions took; made when the first ends.
    latencies: Option<Box<Histogram<u64>>>,
}

impl CommandStats {
    /// How long executions took; `None` if none was recorded.
    pub(crate) fn latencies(&self) -> Option<&Histogram<u64>> {
        self.latencies.as_deref()
    }

    #[inline]
    fn record(&mut self, nanos: u64) {
        match &mut self.latencies {
            Some(latencies) => latencies.saturating_record(nanos.clamp(LATENCY_NANOS_MIN, LATENCY_NANOS_MAX)),
            None => self.record_first(nanos),
        }
    }

    #[cold]
    fn record_first(&mut self, nanos: u64) {
        let latencies = Histogram::new_with_bounds(LATENCY_NANOS_MIN, LATENCY_NANOS_MAX, LATENCY_DIGITS);
        // The bounds are constants that fit.
        if let Ok(latencies) = latencies {
            self.latencies = Some(Box::new(latencies));
            self.record(nanos);
        }
    }
}

/// What was counted of one command since the start, or CONFIG RESETSTAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandTotals {
    /// `get`, `client|list`.
    pub name: &'static str,
    /// Executions.
    pub calls: u64,
    /// Their time.
    pub micros: u64,
    /// Requests refused before execution.
    pub rejected: u64,
    /// Executions that replied with an error.
    pub failed: u64,
}

/// All that is observed of commands.
pub(crate) struct Observed {
    clock: MonotonicClock,
    /// When the last command ended, or timing began.
    lap: u64,
    /// How long the running command asked the shard to stand still (DEBUG SLEEP): it counts as the command's time.
    pub(crate) slept_nanos: u64,
    /// By the rows' numbers.
    commands: Box<[CommandStats]>,
    pub(crate) slow_log: SlowLog,
    pub(crate) spikes: Spikes,
}

impl Observed {
    pub(crate) fn new() -> Self {
        Self {
            // Time stands still until a clock is handed in.
            clock: Box::new(|| 0),
            lap: 0,
            slept_nanos: 0,
            commands: no_stats(),
            slow_log: SlowLog::default(),
            spikes: Spikes::default(),
        }
    }

    /// When the command that runs next begins.
    #[inline]
    pub(crate) fn lap(&self) -> u64 {
        self.lap
    }

    /// Each row with what was counted of it, in the order of the table.
    pub(crate) fn commands(&self) -> impl Iterator<Item = (&'static Command, &CommandStats)> {
        table::numbered().iter().copied().zip(&self.commands)
    }

    pub(crate) fn of(&self, command: &Command) -> &CommandStats {
        &self.commands[usize::from(command.number)]
    }

    /// CONFIG RESETSTAT.
    pub(crate) fn reset_commands(&mut self) {
        self.commands = no_stats();
    }
}

fn no_stats() -> Box<[CommandStats]> {
    table::numbered().iter().map(|_| CommandStats::default()).collect()
}

impl Engine {
    /// Hands in the clock that commands are timed by.
    pub fn set_clock(&mut self, clock: MonotonicClock) {
        self.observed.clock = clock;
    }

    /// Commands follow: what the time was spent on until now is nobody's.
    #[inline]
    pub(crate) fn begin_timing(&mut self) {
        self.observed.lap = (self.observed.clock)();
    }

    /// A command has run that began at `begin`. `is_again`: it was counted when it began to wait, and is now answered.
    #[inline]
    pub(crate) fn observe(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        request: Request<'_>,
        outcome: Outcome,
    ) {
        let now = (self.observed.clock)();
        self.observed.lap = now;
        let mut nanos = now.saturating_sub(outcome.begin);
        if self.turn_ended {
            nanos += std::mem::take(&mut self.observed.slept_nanos);
        }
        let stats = &mut self.observed.commands[usize::from(command.number)];
        stats.nanos += nanos;
        stats.failed += u64::from(outcome.failed);
        if !outcome.is_again {
            stats.calls += 1;
            self.stats.commands_processed += 1;
        }
        let waits = session.waiting.is_some();
        if self.settings.latency_tracking && !waits {
            stats.record(nanos);
        }
        if nanos >= self.settings.noteworthy_nanos {
            self.note_slow(session, command, request, nanos, outcome.is_again);
        }
    }

    /// Who asked for what took so long hears of it: the slow log, and the latency monitor. A command that began to wait
    /// is not slow for that.
    #[cold]
    fn note_slow(
        &mut self,
        session: &Session,
        command: &Command,
        request: Request<'_>,
        nanos: u64,
        is_again: bool,
    ) {
        let event = match command.flags.contains(Flags::FAST) {
            _ if is_again => "command-unblocking",
            true => "fast-command",
            false => "command",
        };
        self.note_latency(event, nanos);
        let micros = nanos / 1000;
        let is_slow = u64::try_from(self.settings.slowlog_micros).is_ok_and(|limit| micros >= limit);
        if is_slow && session.waiting.is_none() && !command.flags.contains(Flags::SKIP_SLOWLOG) {
            let max = self.settings.slowlog_entries_max;
            self.observed.slow_log.add(session, command, request.args, self.now, micros, max);
        }
    }

    /// Notes that something took so long, if the latency monitor wants to hear of as much
    /// (`latency-monitor-threshold`).
    pub fn note_latency(&mut self, event: &'static str, nanos: u64) {
        let (millis, threshold) = (nanos / 1_000_000, self.settings.latency_monitor_millis);
        if threshold > 0 && millis >= threshold {
            self.observed.spikes.add(event, self.now.get().div_euclid(1000), millis);
        }
    }

    /// What was counted of each command that was asked for.
    pub fn command_totals(&self) -> impl Iterator<Item = CommandTotals> {
        self.observed.commands().filter(|(_, stats)| stats.calls + stats.rejected > 0).map(
            |(command, stats)| {
                let CommandStats { calls, nanos, rejected, failed, .. } = *stats;
                CommandTotals {
                    name: table::full_name(command),
                    calls,
                    micros: nanos / 1000,
                    rejected,
                    failed,
                }
            },
        )
    }

    /// Clients that are connected.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.sessions.iter().filter(|session| self.is_shown(session)).count()
    }

    /// Clients that wait for keys or replicas.
    #[must_use]
    pub fn blocked_client_count(&self) -> usize {
        self.waiting.len()
    }

    /// A request was refused before it was executed.
    #[cold]
    pub(crate) fn count_rejected(&mut self, command: &Command) {
        self.observed.commands[usize::from(command.number)].rejected += 1;
    }
}

/// How the execution of a command went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// When it began.
    pub(crate) begin: u64,
    /// It was counted when it began to wait, and is executed again now.
    pub(crate) is_again: bool,
    /// It replied with an error.
    pub(crate) failed: bool,
}
