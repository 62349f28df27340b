//! Runs a program on both servers in lockstep and compares.
//!
//! Time is the difficulty. Keys expire while a program runs, and both servers must be asked on the same side of every
//! deadline. So the runner knows all deadlines: it waits before a step that could meet one, and a program in which one
//! passed during a step after all (a busy machine) is run again from the start. Nothing depends on speed.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use self::events::Listener;
use super::compare::{Comparison, same_transaction, upper};
use super::exceptions;
use super::generate::{CONNECTIONS, DATABASES, all_keys};
use super::pair::{Both, Pair};
use super::step::{Arg, Form, Step, encode_inline};
use crate::client::Reply;
use crate::console::quoted;

mod contents;
mod events;
mod follow_up;

/// How near a deadline no step is begun, as long as the machine keeps up.
const GUARD_MS: i64 = 10;
/// How far a server's idea of now may be off: servers cache the time for the length of a command.
const CLOCK_SLACK_MS: i64 = 2;
/// Runs of one program that may be spoiled by a deadline passing during a step. Every third one doubles the guard and the
/// times that keys have to live: in the end a step may take seconds.
const DISTURBED_MAX: u32 = 27;
const DIGEST_EVERY: usize = 100;
const BATCH_MAX: usize = 64;

/// How two servers differ.
#[derive(Clone, Debug)]
pub struct Mismatch {
    /// Index of the step after which it showed.
    pub step: usize,
    /// The command, or what else was compared.
    pub what: String,
    /// What the oracle said.
    pub expected: String,
    /// What the subject said.
    pub actual: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {} differs: {}", self.step, self.what)?;
        writeln!(f, "  expected {}", self.expected)?;
        write!(f, "  actual   {}", self.actual)
    }
}

/// Runs the program from empty servers; `Some` is the first difference.
pub(super) fn run(pair: &mut Pair, program: &[Step]) -> Result<Option<Mismatch>> {
    for attempt in 0..DISTURBED_MAX {
        let mut run = Run::begin(pair, 1 << (attempt / 3))?;
        let ended = run.whole(program);
        match ended {
            Ok(()) => return Ok(None),
            Err(Stop::Differs(mismatch)) => return Ok(Some(mismatch)),
            Err(Stop::Disturbed) => {}
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    bail!("deadlines kept passing during steps: this machine is too busy to compare expiry")
}

enum Stop {
    Differs(Mismatch),
    /// A deadline passed during a step: which side of it each server saw is unknown.
    Disturbed,
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// A command that was sent, and what must be known to judge its reply.
struct Sent {
    step: usize,
    args: Vec<Vec<u8>>,
    expects_reply: bool,
}

/// State of one connection that decides how replies are judged.
#[derive(Default)]
struct Session {
    is_silent: bool,
    skips_next: bool,
    /// Commands that were answered with QUEUED.
    queued: Vec<Vec<Vec<u8>>>,
    in_multi: bool,
    /// Commands of the last transaction.
    executed: Vec<Vec<Vec<u8>>>,
}

struct Run<'p> {
    pair: &'p mut Pair,
    connections: Vec<Both>,
    sessions: Vec<Session>,
    /// A connection of our own, which no program changes.
    own: Both,
    /// Hears the events of keys, in runs that compare them.
    listener: Option<Listener>,
    start_ms: i64,
    /// What short times are multiplied by.
    patience: i64,
    /// Unix times in ms at which keys may expire during this run.
    deadlines: Vec<i64>,
    /// The longest that a batch took: a command cannot have reached one server later than the other by more.
    skew_ms: i64,
}

impl<'p> Run<'p> {
    fn begin(pair: &'p mut Pair, patience: i64) -> Result<Self> {
        let mut own = pair.connect()?;
        own.call(&["FLUSHALL"])?;
        let listener = Listener::begin(pair, &mut own)?;
        let connections = (0..CONNECTIONS).map(|_| pair.connect()).collect::<Result<_>>()?;
        let sessions = (0..CONNECTIONS).map(|_| Session::default()).collect();
        let start_ms = now_ms()?;
        let deadlines = Vec::new();
        Ok(Self { pair, connections, sessions, own, listener, start_ms, patience, deadlines, skew_ms: 0 })
    }

    fn whole(&mut self, program: &[Step]) -> Result<(), Stop> {
        let mut next = 0;
        let mut digest_due = DIGEST_EVERY;
        while next < program.len() {
            next = self.batch(program, next)?;
            if next >= digest_due {
                self.compare_digests(next)?;
                digest_due = next + DIGEST_EVERY;
            }
        }
        self.compare_digests(program.len())
    }

    /// Runs the step at `first` and those pipelined with it; returns the index of the next one.
    fn batch(&mut self, program: &[Step], first: usize) -> Result<usize, Stop> {
        let Step::Command { connection, .. } = program[first] else {
            self.wait_past(i64::MAX)?;
            return Ok(first + 1);
        };
        self.wait_past_near()?;
        let mut sent = Vec::new();
        let mut next = first;
        while let Some(step) = program.get(next) {
            let Step::Command { connection: its_own, args, form, is_pipelined } = step else { break };
            let joins = next == first || (*is_pipelined && *its_own == connection && sent.len() < BATCH_MAX);
            let args = if joins { self.resolve(args)? } else { break };
            // Whether a command is left out depends on replies that must have come before.
            let oracle = self.pair.oracle;
            let may_be_left_out = exceptions::reason_to_leave_out(oracle, &args, true).is_some();
            let stands_alone = must_stand_alone(&args) || may_be_left_out;
            if next > first && stands_alone {
                break;
            }
            if exceptions::reason_to_leave_out(oracle, &args, self.sessions[connection].in_multi).is_some() {
                return Ok(next + 1);
            }
            let queued = &self.sessions[connection].queued;
            let is_counting_exec = upper(&args, 0) == "EXEC" && queued.iter().any(|args| counts_keys(args));
            // Redis leaves an expired key that is watched in its place, and we delete it: the event comes at another time.
            let is_watch = self.listener.is_some() && upper(&args, 0) == "WATCH";
            if stands_alone && (counts_keys(&args) || is_counting_exec || is_watch) {
                self.sweep_expired()?;
            }
            self.queue(connection, &args, *form);
            let expects_reply = self.sessions[connection].expects_reply(&args);
            sent.push(Sent { step: next, args, expects_reply });
            next += 1;
            if stands_alone {
                break;
            }
        }
        self.exchange(connection, &sent)?;
        self.compare_events(connection, &sent)?;
        Ok(next)
    }

    /// Sends the batch and judges the replies.
    fn exchange(&mut self, connection: usize, sent: &[Sent]) -> Result<(), Stop> {
        let began = now_ms()?;
        self.connections[connection].flush()?;
        let mut replies = Vec::with_capacity(sent.len());
        for command in sent {
            let pair = match command.expects_reply {
                true => Some(self.connections[connection].read().with_context(|| shown(&command.args))?),
                false => None,
            };
            replies.push(pair);
        }
        let ended = now_ms()?;
        let met = |deadline: &i64| (began - CLOCK_SLACK_MS..=ended + CLOCK_SLACK_MS).contains(deadline);
        if self.deadlines.iter().any(met) {
            return Err(Stop::Disturbed);
        }
        self.skew_ms = self.skew_ms.max(ended - began);
        for (command, replies) in sent.iter().zip(replies) {
            if let Some((expected, actual)) = replies {
                self.judge(connection, command, &expected, &actual)?;
            }
        }
        Ok(())
    }

    fn judge(
        &mut self,
        connection: usize,
        command: &Sent,
        expected: &Reply,
        actual: &Reply,
    ) -> Result<(), Stop> {
        self.pair.tally.replies += 1;
        self.pair.tally.errors += u64::from(expected.is_error());
        let comparison = Comparison::of(&command.args);
        let tolerance_ms = 2 * self.skew_ms + CLOCK_SLACK_MS;
        let (oracle, session) = (self.pair.oracle, &mut self.sessions[connection]);
        let mut excepted = 0;
        let mut holds = |comparison: Comparison, args: &[Vec<u8>], expected: &Reply, actual: &Reply| {
            let is_excepted = || exceptions::reason_to_pass(oracle, args, expected, actual).is_some();
            comparison.holds(expected, actual, tolerance_ms) || {
                excepted += u64::from(is_excepted());
                is_excepted()
            }
        };
        let is_same = match upper(&command.args, 0).as_str() {
            "EXEC" => same_transaction(&session.queued, expected, actual, |args, expected, actual| {
                holds(Comparison::of(args).without_follow_up(), args, expected, actual)
            }),
            _ if expected.is_simple("QUEUED") => expected == actual,
            _ if session.in_multi => holds(comparison.without_follow_up(), &command.args, expected, actual),
            _ => holds(comparison, &command.args, expected, actual),
        };
        let was_in_multi = session.in_multi;
        session.note(&command.args, expected);
        self.pair.tally.excepted += excepted;
        if !is_same {
            return Err(differs(command, expected, actual));
        }
        let is_page = expected.elements().is_some() && actual.elements().is_some();
        if comparison == Comparison::Scan && !is_page {
            return Ok(());
        }
        if comparison.needs_follow_up()
            && !was_in_multi
            && !expected.is_error()
            && must_stand_alone(&command.args)
        {
            self.follow_up(connection, command, comparison, expected, actual)?;
        }
        Ok(())
    }

    fn queue(&mut self, connection: usize, args: &[Vec<u8>], form: Form) {
        match form {
            // An empty name makes an empty line, which is no command.
            Form::Inline if args.first().is_some_and(|name| !name.is_empty()) => {
                let mut line = Vec::new();
                encode_inline(&mut line, args);
                self.connections[connection].queue_raw(&line);
            }
            _ => self.connections[connection].queue(args),
        }
    }

    fn resolve(&mut self, args: &[Arg]) -> Result<Vec<Vec<u8>>> {
        let mut resolved = Vec::with_capacity(args.len());
        for arg in args {
            resolved.push(match arg {
                Arg::Bytes(bytes) => bytes.clone(),
                Arg::UnixMs(offset) => (self.start_ms + offset).to_string().into_bytes(),
                Arg::UnixSeconds(offset) => (self.start_ms / 1000 + offset).to_string().into_bytes(),
                Arg::SoonMs(after) => {
                    let deadline = now_ms()? + i64::from(*after) * self.patience;
                    self.deadlines.push(deadline);
                    deadline.to_string().into_bytes()
                }
            });
        }
        Ok(resolved)
    }

    /// Waits until no deadline is near.
    fn wait_past_near(&mut self) -> Result<()> {
        self.wait_past(now_ms()? + GUARD_MS * self.patience)
    }

    /// Waits until every deadline up to `horizon` has passed for both servers.
    fn wait_past(&mut self, horizon: i64) -> Result<()> {
        while let Some(deadline) =
            self.deadlines.iter().copied().filter(|deadline| *deadline <= horizon).max()
        {
            let left = deadline + CLOCK_SLACK_MS + 1 - now_ms()?;
            if left <= 0 {
                self.deadlines.retain(|deadline| *deadline > horizon);
                continue;
            }
            std::thread::sleep(Duration::from_millis(left.unsigned_abs()));
        }
        Ok(())
    }

    /// Makes both servers drop what has expired: whether it is still counted is otherwise up to chance.
    fn sweep_expired(&mut self) -> Result<()> {
        self.wait_past_near()?;
        let mut command: Vec<&[u8]> = vec![b"EXISTS"];
        command.extend(all_keys());
        for db in DATABASES {
            self.own.queue(&["SELECT", &db.to_string()]);
            self.own.queue(&command);
        }
        self.own.flush()?;
        for _ in 0..2 * DATABASES.len() {
            self.own.read()?;
        }
        Ok(())
    }

    fn compare_digests(&mut self, step: usize) -> Result<(), Stop> {
        self.sweep_expired()?;
        let (expected, actual) = self.own.call(&["DEBUG", "DIGEST"])?;
        self.pair.tally.digests += 1;
        if expected == actual && !expected.is_error() {
            return Ok(());
        }
        let found = contents::first_difference(&mut self.own)?;
        let what = format!("the data sets (digests {expected} and {actual})");
        let (expected, actual) = found.unwrap_or_else(|| (expected.to_string(), actual.to_string()));
        Err(Stop::Differs(Mismatch { step, what, expected, actual }))
    }
}

impl Session {
    /// Whether the command about to be sent is answered. Notes what it does to later ones.
    fn expects_reply(&mut self, args: &[Vec<u8>]) -> bool {
        let is_skipped = std::mem::take(&mut self.skips_next);
        let is_reply_mode = upper(args, 0) == "CLIENT" && upper(args, 1) == "REPLY" && args.len() == 3;
        let mode = if is_reply_mode && !self.in_multi { upper(args, 2) } else { String::new() };
        match mode.as_str() {
            "ON" => {
                self.is_silent = false;
                return true;
            }
            "OFF" => self.is_silent = true,
            "SKIP" if !self.is_silent => {
                self.skips_next = true;
                return false;
            }
            _ if upper(args, 0) == "RESET" => self.is_silent = false,
            _ => {}
        }
        !self.is_silent && !is_skipped
    }

    fn note(&mut self, args: &[Vec<u8>], reply: &Reply) {
        if reply.is_simple("QUEUED") {
            return self.queued.push(args.to_vec());
        }
        match upper(args, 0).as_str() {
            "MULTI" if !reply.is_error() => self.in_multi = true,
            // An EXEC of the wrong arity is an error inside the transaction and does not end it; EXECABORT does.
            "EXEC" | "DISCARD" | "RESET" if args.len() == 1 => {
                self.in_multi = false;
                self.executed = std::mem::take(&mut self.queued);
            }
            _ => {}
        }
    }
}

/// Commands whose reply is judged by asking more, whose replies do not come, or that count what may have expired.
fn must_stand_alone(args: &[Vec<u8>]) -> bool {
    Comparison::of(args).needs_follow_up()
        || counts_keys(args)
        || matches!(upper(args, 0).as_str(), "CLIENT" | "EXEC" | "WATCH")
}

fn counts_keys(args: &[Vec<u8>]) -> bool {
    matches!(upper(args, 0).as_str(), "DBSIZE" | "KEYS" | "SCAN" | "RANDOMKEY")
}

fn differs(command: &Sent, expected: &Reply, actual: &Reply) -> Stop {
    Stop::Differs(Mismatch {
        step: command.step,
        what: shown(&command.args),
        expected: expected.to_string(),
        actual: actual.to_string(),
    })
}

fn shown(args: &[Vec<u8>]) -> String {
    args.iter().map(|arg| quoted(arg)).collect::<Vec<_>>().join(" ")
}

fn now_ms() -> Result<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(i64::try_from(since.as_millis())?)
}
