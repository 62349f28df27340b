//! Differential checks: one generated sequence of commands, two servers, equal replies and equal data.
//!
//! [`generate`] makes a program out of a seed, [`runner`] runs it on a [`Pair`] of servers in lockstep, [`compare`] says what
//! "equal" means for each command, and [`exceptions`] holds the one reviewed list of differences that are allowed. A
//! program that shows a difference is shrunk ([`shrink`]) and printed with its seed.

mod compare;
mod exceptions;
pub mod generate;
mod pair;
mod runner;
mod shrink;
mod step;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::console::say;
use crate::servers::{Binary, ServerKind};

pub use pair::Pair;
pub use runner::Mismatch;
pub use step::{Arg, Form, Step};

/// The stock server that says what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Oracle {
    /// redis-server 7.0.15, where all versions agree.
    Redis7,
    /// redis-server 8.2.3.
    Redis8,
    /// valkey-server 9.1.2.
    Valkey9,
}

impl Oracle {
    /// The server it is.
    #[must_use]
    pub fn kind(self) -> ServerKind {
        match self {
            Self::Redis7 => ServerKind::Redis70,
            Self::Redis8 => ServerKind::Redis82,
            Self::Valkey9 => ServerKind::Valkey91,
        }
    }
}

/// What to check.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The stock server that says what is right.
    pub oracle: Oracle,
    /// Seed of the first program; the next ones count up from it.
    pub seed: u64,
    /// How many programs.
    pub runs: u64,
    /// Steps of each program.
    pub steps: usize,
}

/// A program on which the two servers differ.
#[derive(Debug)]
pub struct Failure {
    /// The seed that makes the program.
    pub seed: u64,
    /// Steps asked for.
    pub steps: usize,
    /// The difference, in the whole program.
    pub mismatch: Mismatch,
    /// As few steps as still show a difference, and that difference.
    pub shrunk: (Vec<Step>, Mismatch),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} with {} steps: {}", self.seed, self.steps, self.mismatch)?;
        let (steps, mismatch) = &self.shrunk;
        writeln!(f, "shrunk to {} steps:", steps.len())?;
        for step in steps {
            writeln!(f, "    {}", step.shown())?;
        }
        write!(f, "{mismatch}")
    }
}

/// Runs one program; `Some` tells how the two servers differ. Odd seeds compare the events of keys, too.
pub fn check_seed(pair: &mut Pair, seed: u64, steps: usize) -> Result<Option<Failure>> {
    let program = generate::program(seed, steps);
    pair.compares_events = pair.oracle == Oracle::Redis7 && seed % 2 == 1;
    let ran =
        runner::run(pair, &program).with_context(|| format!("running seed {seed} with {steps} steps"))?;
    let Some(mismatch) = ran else { return Ok(None) };
    let shrunk = shrink::shrink(pair, &program, &mismatch)?;
    Ok(Some(Failure { seed, steps, mismatch, shrunk }))
}

/// Runs a whole plan with `subject` against the plan's oracle and prints what it does. Fails at the first difference.
pub fn run(plan: &Plan, subject: &Binary) -> Result<()> {
    let mut pair = Pair::start(plan.oracle, subject)?;
    say(format_args!(
        "{} programs of {} steps: {subject} against {}",
        plan.runs,
        plan.steps,
        plan.oracle.kind().name()
    ));
    for run in 0..plan.runs {
        let seed = plan.seed.wrapping_add(run);
        if let Some(failure) = check_seed(&mut pair, seed, plan.steps)? {
            bail!("{failure}");
        }
        if (run + 1) % 10 == 0 || run + 1 == plan.runs {
            say(format_args!("  {} of {} programs equal", run + 1, plan.runs));
        }
    }
    say(format_args!("equal: {}", pair.tally()));
    Ok(())
}
