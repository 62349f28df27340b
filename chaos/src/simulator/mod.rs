//! The simulator: a world made from one seed runs masters, replicas and clients on the pure machines, with a network and
//! disks in memory under virtual time.
//!
//! Links delay, are cut at any byte, stand still or fall silent; processes are killed between two operations of their
//! disk or in the middle of one; machines lose power and with it what was not synced; replicas are promoted while the old
//! master still takes writes; replicas follow replicas. Then the faults stop, and within a bounded time all must be equal.
//!
//! It opens no socket, starts no process and reads no clock: the same seed makes the same world, line by line. It uses
//! the pure crates alone; what the shipped node does around them (actors/) is done here by [`node`], as small as it can be.
//!
//! Read in this order: [`world`] (what happens when), [`faults`], [`node`] (a process), [`network`], [`book`] (what the
//! world knows of the streams), [`checks`] (what must hold), [`trace`].

mod book;
mod chance;
mod checks;
mod client;
mod faults;
mod network;
mod node;
mod trace;
mod world;

use std::{
    collections::BTreeMap,
    fmt,
    panic::{self, AssertUnwindSafe},
    time::Duration,
};

pub use node::Defect;

/// A machine's number.
type NodeId = usize;

/// What became of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Which promise was broken, if one was.
    pub broken: Option<String>,
    /// The trace's end, if a promise was broken.
    pub last_lines: String,
    /// The same for the same world, line by line.
    pub checksum: u64,
    /// What the replicas that asked got, and why no better.
    pub rungs: BTreeMap<&'static str, u64>,
    /// Pipelines that clients sent.
    pub writes: u64,
    /// Writes acknowledged as durable on a replica.
    pub promises: u64,
    /// Processes started again.
    pub restarts: u64,
    /// Replicas promoted.
    pub failovers: u64,
    /// Full syncs that the last processes began.
    pub full_syncs: u64,
    /// How long the world lived.
    pub virtual_time: Duration,
    /// How many steps it took.
    pub steps: u64,
}

/// Runs the world of `seed`. A panic of a machine counts as a broken promise.
#[must_use]
pub fn run(seed: u64, planted: Option<Defect>, prints: Option<fn(&str)>) -> Outcome {
    let world = AssertUnwindSafe(|| world::World::new(seed, planted, prints).run());
    panic::catch_unwind(world).unwrap_or_else(|cause| {
        let words = cause.downcast_ref::<String>().cloned();
        let words = words.or_else(|| cause.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        let broken = Some(format!("a machine panicked: {}", words.unwrap_or_default()));
        Outcome { broken, ..Outcome::default() }
    })
}

/// The command that runs one world again, with all its lines.
#[must_use]
pub fn rerun_command(seed: u64) -> String {
    format!("cargo run -p rejoin-chaos -- simulate --seed {seed} --trace")
}

/// What became of many worlds.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds run.
    pub worlds: u64,
    /// The seeds that broke a promise, and which.
    pub failures: Vec<(u64, String)>,
    /// All of them together.
    pub total: Outcome,
}

impl Summary {
    /// Adds one world's outcome.
    pub fn add(&mut self, seed: u64, outcome: Outcome) {
        self.worlds += 1;
        if let Some(broken) = outcome.broken {
            self.failures.push((seed, broken));
        }
        let total = &mut self.total;
        for (why, count) in outcome.rungs {
            *total.rungs.entry(why).or_default() += count;
        }
        total.writes += outcome.writes;
        total.promises += outcome.promises;
        total.restarts += outcome.restarts;
        total.failovers += outcome.failovers;
        total.full_syncs += outcome.full_syncs;
        total.virtual_time += outcome.virtual_time;
        total.steps += outcome.steps;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        writeln!(
            f,
            "{} worlds, {} s of virtual time, {} steps: {} pipelines of writes, {} of them durable on a replica, {} restarts, {} failovers",
            self.worlds,
            total.virtual_time.as_secs(),
            total.steps,
            total.writes,
            total.promises,
            total.restarts,
            total.failovers
        )?;
        for (why, count) in &total.rungs {
            writeln!(f, "  {count:>7} {why}")?;
        }
        for (seed, broken) in &self.failures {
            writeln!(f, "seed {seed}: {broken}\n  {}", rerun_command(*seed))?;
        }
        Ok(())
    }
}
