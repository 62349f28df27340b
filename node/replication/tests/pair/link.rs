//! A byte pipe with latency, pieces of any size, and an end at any byte.

use std::collections::VecDeque;
use std::time::Duration;

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Master,
    Replica,
}

/// What will become of a link.
#[derive(Clone, Debug)]
pub struct LinkPlan {
    pub latency: Duration,
    /// Bytes of a piece at most.
    pub piece_max: usize,
    /// Pieces towards the replica also end before these bytes of the link.
    pub borders: Vec<u64>,
    /// The link breaks when so many bytes came to this side.
    pub break_after: Option<(Side, u64)>,
    /// From then on nothing comes over, and no one is told.
    pub silent_from: Option<Duration>,
    pub is_unreachable: bool,
}

impl Default for LinkPlan {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(5),
            piece_max: usize::MAX,
            borders: Vec::new(),
            break_after: None,
            silent_from: None,
            is_unreachable: false,
        }
    }
}

#[derive(Default)]
struct Direction {
    /// Sent, each with the time of its arrival.
    pieces: VecDeque<(Duration, Vec<u8>)>,
    arrived: u64,
}

pub struct Link {
    plan: LinkPlan,
    to_master: Direction,
    to_replica: Direction,
}

impl Link {
    pub fn new(plan: LinkPlan) -> Self {
        Self { plan, to_master: Direction::default(), to_replica: Direction::default() }
    }

    pub fn send(&mut self, now: Duration, to: Side, bytes: &[u8]) {
        let at = now + self.plan.latency;
        if !bytes.is_empty() && self.plan.silent_from.is_none_or(|from| now < from) {
            self.direction(to).pieces.push_back((at, bytes.to_vec()));
        }
    }

    pub fn next_arrival(&self) -> Option<Duration> {
        let fronts = [self.to_master.pieces.front(), self.to_replica.pieces.front()];
        fronts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// The next piece for `side`, if its time has come.
    pub fn arrive(&mut self, now: Duration, side: Side) -> Option<Vec<u8>> {
        let plan = self.plan.clone();
        let direction = self.direction(side);
        let (at, bytes) = direction.pieces.front_mut()?;
        if *at > now {
            return None;
        }
        let mut len = bytes.len().min(plan.piece_max);
        let mut limit = |border: u64| {
            if border > direction.arrived {
                len = len.min(usize::try_from(border - direction.arrived).unwrap());
            }
        };
        if side == Side::Replica {
            plan.borders.iter().for_each(|border| limit(*border));
        }
        if let Some((broken_side, after)) = plan.break_after
            && broken_side == side
        {
            limit(after);
        }
        let piece: Vec<u8> = bytes.drain(..len).collect();
        if bytes.is_empty() {
            direction.pieces.pop_front();
        }
        direction.arrived += len as u64;
        Some(piece)
    }

    pub fn is_broken(&self) -> bool {
        match self.plan.break_after {
            Some((Side::Master, after)) => self.to_master.arrived >= after,
            Some((Side::Replica, after)) => self.to_replica.arrived >= after,
            None => false,
        }
    }

    /// Bytes that came to `side` so far.
    pub fn arrived(&self, side: Side) -> u64 {
        match side {
            Side::Master => self.to_master.arrived,
            Side::Replica => self.to_replica.arrived,
        }
    }

    fn direction(&mut self, to: Side) -> &mut Direction {
        match to {
            Side::Master => &mut self.to_master,
            Side::Replica => &mut self.to_replica,
        }
    }
}
