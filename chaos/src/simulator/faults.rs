//! What goes wrong, and when: drawn from the seed, one thing at a time, until the faults stop.

use std::time::Duration;

use super::chance::Chance;

/// One thing that goes wrong, or that an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A connection is cut; what is under way arrives in part.
    Cut,
    /// A connection falls silent.
    Silence,
    /// A connection stands still for a while.
    Stall,
    /// Two nodes cannot reach each other for a while.
    Part,
    /// A process is killed between two operations.
    Kill,
    /// A process ends in the middle of what it asks of the disk.
    Crash,
    /// A machine loses power.
    PowerLoss,
    /// A replica is promoted, the others are told to follow it.
    Failover,
    /// A replica is told to follow another node.
    Regroup,
    /// A node rewrites its log.
    Rewrite,
}

/// How a world's faults are drawn.
#[derive(Debug)]
pub(crate) struct Faults {
    kinds: Vec<Fault>,
    pause_millis: u64,
    /// No fault comes after this.
    pub(crate) end: Duration,
}

impl Faults {
    /// Most worlds have some kinds of faults only: what a kind does by itself is found sooner so.
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        use Fault::*;
        let sets: [&[Fault]; 8] = [
            &[Cut, Stall],
            &[Cut, Silence, Part],
            &[Kill, Crash, Rewrite],
            &[Kill, PowerLoss],
            &[Failover, Cut, Rewrite],
            &[Failover, Part, Kill, Regroup],
            &[Failover, Crash, PowerLoss, Regroup, Stall],
            &[Cut, Silence, Stall, Part, Kill, Crash, PowerLoss, Failover, Regroup, Rewrite],
        ];
        let set = chance.pick(&sets);
        Self {
            kinds: set.to_vec(),
            pause_millis: chance.pick(&[200, 600, 600, 2500]),
            end: chance.millis(4_000, 15_000),
        }
    }

    pub(crate) fn next_kind(&self, chance: &mut Chance) -> Fault {
        chance.pick(&self.kinds)
    }

    pub(crate) fn next_pause(&self, chance: &mut Chance) -> Duration {
        chance.millis(1, self.pause_millis * 2)
    }
}
