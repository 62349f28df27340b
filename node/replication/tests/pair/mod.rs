//! A master and a replica under virtual time: the machines of this crate, and the smallest drivers around them.
//!
//! The data set is the stream itself: a payload holds all its bytes so far, so that "the replica converged" means that
//! it holds the very bytes that the master wrote. [`link`] is the pipe, [`master_side`] and [`replica_side`] the
//! drivers, [`transcript`] what they said.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, missing_docs, unreachable_pub)]

pub mod link;
pub mod master_side;
pub mod replica_side;
pub mod transcript;

use std::time::Duration;

use rejoin_protocol::ReplicationId;

use link::{Link, LinkPlan, Side};
use master_side::MasterSide;
use replica_side::{Next, ReplicaSide};
use transcript::Transcript;

/// Steps of a test at most: whoever needs more does not converge.
const STEPS_MAX: usize = 200_000;

pub fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

pub fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Frames a data set as a payload that can be verified: a magic, the bytes, a checksum.
pub fn payload_of(data: &[u8]) -> Vec<u8> {
    let sum = data.iter().fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    [b"DATA", data, &sum.to_le_bytes()].concat()
}

/// The data set in a payload, if it is one.
pub fn data_of(payload: &[u8]) -> Option<Vec<u8>> {
    let data = payload.strip_prefix(b"DATA")?;
    let data = &data[..data.len().checked_sub(8)?];
    (payload_of(data) == payload).then(|| data.to_vec())
}

/// A master, a replica and the link between them.
pub struct Pair {
    pub now: Duration,
    pub master: MasterSide,
    pub replica: ReplicaSide,
    /// The present link; a new one comes with each dial.
    pub link: Option<Link>,
    /// What becomes of the links to come, in order; then [`LinkPlan::default`].
    pub plans: Vec<LinkPlan>,
    /// Links that came up.
    pub links: u64,
    pub transcript: Transcript,
    seed: u64,
}

impl Pair {
    pub fn new() -> Self {
        Self {
            now: Duration::ZERO,
            master: MasterSide::new(id(0xa)),
            replica: ReplicaSide::new(),
            link: None,
            plans: Vec::new(),
            links: 0,
            transcript: Transcript::default(),
            seed: 1,
        }
    }

    /// REPLICAOF.
    pub fn follow(&mut self) {
        self.replica.follow(self.now);
        self.settle();
    }

    /// Runs until `done`, or fails.
    pub fn run_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..STEPS_MAX {
            if done(self) {
                return;
            }
            self.step(None);
        }
        panic!("{what} was not reached by {:?}; said so far:\n{}", self.now, self.transcript);
    }

    /// Runs for `time`.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..STEPS_MAX {
            if self.now >= end {
                return;
            }
            self.step(Some(end));
        }
        panic!("{time:?} took too many steps; said so far:\n{}", self.transcript);
    }

    pub fn run_until_converged(&mut self) {
        self.run_until("convergence", Self::is_converged);
        assert_eq!(self.replica.data, self.master.stream, "equal offsets, but not equal bytes");
    }

    /// The replica has applied, under the right name, all that the master wrote, and the master knows.
    pub fn is_converged(&self) -> bool {
        let (Some(held), at) = (self.replica.held, self.master.visible()) else { return false };
        let acked = self.master.session().is_some_and(|session| session.offset_acked() == at);
        let streams = self.replica.follower.is_some() && acked;
        streams && held.replid == self.master.core.lineage().current() && held.offset == at
    }

    /// Cuts the link: both ends learn of it.
    pub fn cut(&mut self) {
        if self.link.take().is_some() {
            self.transcript.note("the link is cut");
            self.master.lose_link();
            let random = self.random();
            self.replica.lose_link(self.now, random);
            self.settle();
        }
    }

    pub fn write(&mut self, args: &[&str]) {
        self.master.write(args);
        self.settle();
    }

    /// Goes on to whatever comes next, but not past `end`.
    fn step(&mut self, end: Option<Duration>) {
        let times = [
            self.link.as_ref().and_then(Link::next_arrival),
            self.master.next_timeout(),
            self.replica.next_timeout(),
            end,
        ];
        let next = times.into_iter().flatten().min().expect("nothing will ever happen again");
        self.now = self.now.max(next);
        let random = self.random();
        self.master.handle_timeout(self.now);
        self.replica.handle_timeout(self.now, random);
        self.settle();
        self.deliver();
    }

    /// Brings over what has arrived, one piece in each direction.
    fn deliver(&mut self) {
        for side in [Side::Master, Side::Replica] {
            let Some(link) = &mut self.link else { return };
            if let Some(bytes) = link.arrive(self.now, side) {
                match side {
                    Side::Master => self.master.handle_bytes(self.now, &bytes, &mut self.transcript),
                    Side::Replica => {
                        let random = self.random();
                        self.replica.handle_bytes(self.now, &bytes, random, &mut self.transcript);
                    }
                }
                self.settle();
            }
            if self.link.as_ref().is_some_and(Link::is_broken) {
                self.cut();
            }
        }
    }

    /// Carries out what the machines want, until they want nothing more.
    fn settle(&mut self) {
        loop {
            self.master.pump(self.now, self.link.as_mut(), &mut self.transcript);
            if self.master.wants_close {
                self.master.wants_close = false;
                self.cut();
                continue;
            }
            match self.replica.pump(self.now, self.link.as_mut(), &mut self.transcript) {
                Next::Idle => return,
                Next::Again => {}
                Next::Close => {
                    if self.link.take().is_some() {
                        self.transcript.note("the replica closes the link");
                        self.master.lose_link();
                    }
                }
                Next::Dial => self.bring_up(),
            }
        }
    }

    fn bring_up(&mut self) {
        assert!(self.link.is_none(), "one link at a time");
        let plan = if self.plans.is_empty() { LinkPlan::default() } else { self.plans.remove(0) };
        let random = self.random();
        if plan.is_unreachable {
            self.transcript.note("the master cannot be reached");
            self.replica.lose_link(self.now, random);
            return;
        }
        self.links += 1;
        self.link = Some(Link::new(plan));
        self.master.accept();
        self.replica.handle_dialed(self.now);
    }

    fn random(&mut self) -> u64 {
        // xorshift64: any will do, as long as it is the same each time.
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed
    }
}
