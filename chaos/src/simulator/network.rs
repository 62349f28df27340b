//! The network in memory: connections that delay, cut at any byte, fall silent, or cannot be had.
//!
//! A connection has two directions. What is sent arrives in order, in pieces of any size; a window bounds what is under
//! way, so that a slow reader makes a slow sender. The ends learn of a cut when the last byte before it has arrived; of
//! silence they learn by their timeouts only.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use super::{NodeId, chance::Chance};

pub(crate) type ConnId = u64;

/// Bytes under way in one direction at most, as far as a sender asks.
const WINDOWS: [usize; 4] = [600, 4 << 10, 64 << 10, 1 << 20];

/// What arrives at an end of a connection.
#[derive(Clone, Debug)]
pub(crate) enum NetEvent {
    /// Somebody connected.
    Accepted,
    /// The connection that was asked for is there.
    Dialed,
    /// It cannot be had.
    Refused,
    Bytes(Vec<u8>),
    /// The other end is gone.
    Closed,
}

/// One direction of a connection.
#[derive(Debug)]
struct Direction {
    to: NodeId,
    events: VecDeque<(Duration, NetEvent)>,
    /// Bytes in `events`.
    in_flight: usize,
    /// Nothing arrives before.
    last_arrival: Duration,
    /// The end that reads it has closed, or it was cut: nothing is taken any more.
    is_shut: bool,
}

#[derive(Debug)]
struct Connection {
    /// Towards who dialed, and towards who accepted.
    directions: [Direction; 2],
    latency: Duration,
    jitter_micros: u64,
    piece_max: usize,
    window: usize,
    /// Nothing arrives any more.
    is_silent: bool,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Network {
    chance: Chance,
    connections: BTreeMap<ConnId, Connection>,
    next_id: ConnId,
    /// Pairs that cannot reach each other, until then.
    apart: BTreeMap<(NodeId, NodeId), Duration>,
    /// Nodes whose machine is down: nobody answers.
    dark: BTreeSet<NodeId>,
}

impl Network {
    pub(crate) fn new(chance: Chance) -> Self {
        Self {
            chance,
            connections: BTreeMap::new(),
            next_id: 1,
            apart: BTreeMap::new(),
            dark: BTreeSet::new(),
        }
    }

    /// Asks for a connection; what comes of it arrives as an event.
    pub(crate) fn dial(&mut self, now: Duration, from: NodeId, to: NodeId) -> ConnId {
        let id = self.next_id;
        self.next_id += 1;
        let direction = |to| Direction {
            to,
            events: VecDeque::new(),
            in_flight: 0,
            last_arrival: Duration::ZERO,
            is_shut: false,
        };
        let connection = Connection {
            directions: [direction(from), direction(to)],
            latency: self.chance.millis(0, 20),
            jitter_micros: self.chance.pick(&[0, 300, 5000]),
            piece_max: self.chance.pick(&[1, 13, 100, 1500, 1500, 64 << 10, 64 << 10]),
            window: self.chance.pick(&WINDOWS),
            is_silent: false,
        };
        let latency = connection.latency;
        self.connections.insert(id, connection);
        if self.dark.contains(&to) {
            // Nobody says no.
        } else if self.are_apart(now, from, to) {
            self.arrive(id, 0, now + latency * 2, NetEvent::Refused);
        } else {
            self.arrive(id, 1, now + latency, NetEvent::Accepted);
        }
        id
    }

    /// The answer to [`NetEvent::Accepted`]: whether somebody listens.
    pub(crate) fn answer(&mut self, now: Duration, id: ConnId, is_accepted: bool) {
        let Some(connection) = self.connections.get(&id) else { return };
        let at = now + connection.latency;
        self.arrive(id, 0, at, if is_accepted { NetEvent::Dialed } else { NetEvent::Refused });
    }

    /// How many bytes `from` may send without waiting.
    pub(crate) fn room(&self, id: ConnId, from: NodeId) -> usize {
        let Some(connection) = self.connections.get(&id) else { return 0 };
        let direction = &connection.directions[connection.towards_peer_of(from)];
        if direction.is_shut { 0 } else { connection.window.saturating_sub(direction.in_flight) }
    }

    pub(crate) fn send(&mut self, now: Duration, id: ConnId, from: NodeId, bytes: &[u8]) {
        let Some(connection) = self.connections.get(&id) else { return };
        let (which, latency) = (connection.towards_peer_of(from), connection.latency);
        let (jitter, piece_max) = (connection.jitter_micros, connection.piece_max);
        let mut rest = bytes;
        while !rest.is_empty() {
            // Tiny pieces of something large would cost the run's time and show nothing new.
            let most = if rest.len() > 400 { piece_max.max(rest.len() / 20) } else { piece_max };
            let count = (self.chance.between(1, most as u64) as usize).min(rest.len());
            let delay = latency + Duration::from_micros(self.chance.below(jitter + 1));
            self.arrive(id, which, now + delay, NetEvent::Bytes(rest[..count].to_vec()));
            rest = &rest[count..];
        }
    }

    /// `from` closes its end: the other one hears of it behind all that was sent.
    pub(crate) fn close(&mut self, now: Duration, id: ConnId, from: NodeId) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (towards_peer, latency) = (connection.towards_peer_of(from), connection.latency);
        let own = &mut connection.directions[1 - towards_peer];
        own.is_shut = true;
        own.events.clear();
        own.in_flight = 0;
        self.arrive(id, towards_peer, now + latency, NetEvent::Closed);
        self.forget_if_done(id);
    }

    /// Cuts a connection: of what is under way in each direction, a part of any length still arrives.
    pub(crate) fn cut(&mut self, now: Duration, id: ConnId) {
        for which in 0..2 {
            let Some(connection) = self.connections.get_mut(&id) else { return };
            let direction = &mut connection.directions[which];
            let mut left = self.chance.below(direction.in_flight as u64 + 1) as usize;
            let mut kept = VecDeque::new();
            for (at, event) in std::mem::take(&mut direction.events) {
                let NetEvent::Bytes(mut bytes) = event else {
                    kept.push_back((at, event));
                    continue;
                };
                bytes.truncate(left);
                left -= bytes.len();
                if !bytes.is_empty() {
                    kept.push_back((at, NetEvent::Bytes(bytes)));
                }
            }
            direction.events = kept;
            let at = now + self.chance.millis(0, 50);
            self.arrive(id, which, at, NetEvent::Closed);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.directions[which].is_shut = true;
            }
        }
    }

    /// Nothing arrives over a connection any more, and no one is told.
    pub(crate) fn fall_silent(&mut self, id: ConnId) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_silent = true;
            for direction in &mut connection.directions {
                direction.events.clear();
            }
        }
    }

    /// Whatever is under way arrives so much later.
    pub(crate) fn stall(&mut self, id: ConnId, by: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            for direction in &mut connection.directions {
                direction.last_arrival += by;
                direction.events.iter_mut().for_each(|(at, _)| *at += by);
            }
        }
    }

    /// Two nodes cannot reach each other until then; what connects them falls silent, or is cut.
    pub(crate) fn part(&mut self, now: Duration, one: NodeId, other: NodeId, until: Duration) {
        self.apart.insert((one.min(other), one.max(other)), until);
        for id in self.between(one, other) {
            if self.chance.one_in(2) { self.fall_silent(id) } else { self.cut(now, id) }
        }
    }

    /// All may reach each other again. Connections that fell silent stay so.
    pub(crate) fn heal(&mut self) {
        self.apart.clear();
    }

    /// A process has ended; with its machine (`goes_dark`), nobody tells the others.
    pub(crate) fn node_ended(&mut self, now: Duration, node: NodeId, goes_dark: bool) {
        if goes_dark {
            self.dark.insert(node);
        }
        let of_node = |connection: &Connection| connection.directions.iter().any(|one| one.to == node);
        let ids: Vec<ConnId> =
            self.connections.iter().filter(|(_, one)| of_node(one)).map(|(id, _)| *id).collect();
        for id in ids {
            if goes_dark { self.fall_silent(id) } else { self.close(now, id, node) }
        }
    }

    pub(crate) fn node_began(&mut self, node: NodeId) {
        self.dark.remove(&node);
    }

    /// The connections that are open.
    pub(crate) fn open(&self) -> Vec<ConnId> {
        self.connections.iter().filter(|(_, one)| !one.is_silent).map(|(id, _)| *id).collect()
    }

    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        self.fronts().map(|(at, ..)| at).min()
    }

    /// What arrives next, if its time has come.
    pub(crate) fn poll(&mut self, now: Duration) -> Option<(NodeId, ConnId, NetEvent)> {
        let (at, id, which) = self.fronts().min()?;
        if at > now {
            return None;
        }
        let direction = &mut self.connections.get_mut(&id)?.directions[which];
        let (_, event) = direction.events.pop_front()?;
        let to = direction.to;
        match &event {
            NetEvent::Bytes(bytes) => direction.in_flight -= bytes.len(),
            NetEvent::Closed | NetEvent::Refused => {
                direction.is_shut = true;
                // What the other end has not read by then it may still read; answers lead nowhere.
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.directions[1 - which].is_shut = true;
                }
                self.forget_if_done(id);
            }
            NetEvent::Accepted | NetEvent::Dialed => {}
        }
        Some((to, id, event))
    }

    fn fronts(&self) -> impl Iterator<Item = (Duration, ConnId, usize)> {
        self.connections.iter().flat_map(|(id, connection)| {
            let front = |which: usize| connection.directions[which].events.front();
            (0..2).filter_map(move |which| front(which).map(|(at, _)| (*at, *id, which)))
        })
    }

    fn arrive(&mut self, id: ConnId, which: usize, at: Duration, event: NetEvent) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let direction = &mut connection.directions[which];
        if connection.is_silent || direction.is_shut {
            return;
        }
        direction.last_arrival = direction.last_arrival.max(at);
        if let NetEvent::Bytes(bytes) = &event {
            direction.in_flight += bytes.len();
        }
        direction.events.push_back((direction.last_arrival, event));
    }

    fn forget_if_done(&mut self, id: ConnId) {
        let is_done =
            |one: &Connection| one.directions.iter().all(|one| one.is_shut && one.events.is_empty());
        if self.connections.get(&id).is_some_and(is_done) {
            self.connections.remove(&id);
        }
    }

    fn between(&self, one: NodeId, other: NodeId) -> Vec<ConnId> {
        let joins = |connection: &Connection| {
            let ends = [connection.directions[0].to, connection.directions[1].to];
            ends == [one, other] || ends == [other, one]
        };
        self.connections.iter().filter(|(_, connection)| joins(connection)).map(|(id, _)| *id).collect()
    }

    fn are_apart(&self, now: Duration, one: NodeId, other: NodeId) -> bool {
        self.apart.get(&(one.min(other), one.max(other))).is_some_and(|until| now < *until)
    }
}

impl Connection {
    fn towards_peer_of(&self, node: NodeId) -> usize {
        usize::from(self.directions[0].to == node)
    }
}
