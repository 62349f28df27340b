//! The world: machines, the network between them, clients, an operator, and what goes wrong; all from one seed.

use std::{collections::BTreeSet, time::Duration};

use rejoin_commands::{
    data::digest::digest_keyspace,
    settings::{Settings, SyncPolicy},
};
use rejoin_persistence::storage::simulated::{Fault as DiskFault, SimulatedStorage};
use rejoin_protocol::{ClientId, Offset, ReplicationId};

use super::{
    NodeId, Outcome,
    book::{Book, hex},
    chance::Chance,
    checks::{self, Death, Promise},
    client::Writer,
    faults::{Fault, Faults},
    network::{NetEvent, Network},
    node::{Defect, Node, Report, Setup},
    trace::Trace,
};

/// How long the nodes have to converge once the faults have stopped.
const CONVERGENCE_MAX: Duration = Duration::from_secs(60);
/// Steps of a run at most: a world that does not come to rest is a failure, too.
const STEPS_MAX: u64 = 2_000_000;
/// The client that the operator uses.
const OPERATOR: ClientId = ClientId::new(1);
/// Clients' ids begin here.
const FIRST_CLIENT: u64 = 10;
/// Steps between two comparisons of data at equal offsets.
const DIGEST_STEPS: u64 = 150;

/// A machine: a disk, and mostly a process.
struct Machine {
    storage: SimulatedStorage,
    process: Option<Node>,
    /// When a process is started again.
    starts_at: Option<Duration>,
    /// Whom its configuration says to follow.
    told: Option<NodeId>,
    death: Option<Death>,
    /// Names of streams that its processes gave.
    own_names: BTreeSet<ReplicationId>,
}

/// Something that the operator will do.
#[derive(Clone, Copy, Debug)]
enum Order {
    Promote(NodeId),
    Follow(NodeId, NodeId),
}

/// A client that waits for a replica to have its write on disk.
struct DurableWait {
    main: NodeId,
    place: super::book::Place,
}

pub(crate) struct World {
    now: Duration,
    chance: Chance,
    setup: Setup,
    net: Network,
    machines: Vec<Machine>,
    faults: Faults,
    next_fault: Duration,
    writers: Vec<Writer>,
    next_write: Duration,
    write_pause_millis: u64,
    /// Where clients write.
    main: NodeId,
    orders: Vec<(Duration, Order)>,
    waits: Vec<DurableWait>,
    promises: Vec<Promise>,
    book: Book,
    trace: Trace,
    outcome: Outcome,
    steps: u64,
    /// Every write has ended; the faults have, too.
    is_calm: bool,
}

type Checked = Result<(), String>;

impl World {
    pub(crate) fn new(seed: u64, planted: Option<Defect>, prints: Option<fn(&str)>) -> Self {
        let mut chance = Chance::new(seed);
        let setup = draw_setup(&mut chance, planted);
        let count = chance.pick(&[2, 3, 3, 4]);
        let faults = Faults::draw(&mut chance);
        let machine = |_| Machine {
            storage: SimulatedStorage::new(),
            process: None,
            starts_at: Some(Duration::ZERO),
            told: None,
            death: None,
            own_names: BTreeSet::new(),
        };
        let writers = (0..2).map(|_| Writer::new(chance.fork())).collect();
        let mut world = Self {
            now: Duration::ZERO,
            net: Network::new(chance.fork()),
            machines: (0..count).map(machine).collect(),
            next_fault: faults.next_pause(&mut chance),
            faults,
            writers,
            next_write: Duration::ZERO,
            write_pause_millis: chance.pick(&[5, 20, 20, 80]),
            main: 0,
            orders: Vec::new(),
            waits: Vec::new(),
            promises: Vec::new(),
            book: Book::default(),
            trace: Trace::new(prints),
            outcome: Outcome::default(),
            steps: 0,
            is_calm: false,
            setup,
            chance,
        };
        for node in 1..count {
            // Sometimes a chain.
            let master = if world.chance.one_in(3) { node - 1 } else { 0 };
            world.machines[node].told = Some(master);
        }
        world
    }

    /// Runs the world to its end. The outcome names what was broken, if anything was.
    pub(crate) fn run(mut self) -> Outcome {
        let broken = self.run_to_the_end().err();
        self.outcome.broken = broken;
        self.outcome.checksum = self.trace.checksum();
        self.outcome.virtual_time = self.now;
        self.outcome.steps = self.steps;
        if self.outcome.broken.is_some() {
            self.outcome.last_lines = self.trace.last_lines();
        }
        self.outcome
    }

    fn run_to_the_end(&mut self) -> Checked {
        let end = self.faults.end;
        while self.now < end {
            self.step(end)?;
        }
        self.calm_down();
        let deadline = self.now + CONVERGENCE_MAX;
        while !self.has_converged() {
            if self.now >= deadline {
                return Err(format!(
                    "no convergence {CONVERGENCE_MAX:?} after the faults stopped: {}",
                    self.states()
                ));
            }
            self.step(deadline)?;
        }
        self.note("world", "has converged");
        self.check_equality()?;
        self.restart_all()
    }

    /// Goes on to whatever comes next.
    fn step(&mut self, end: Duration) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err("the world does not come to rest".to_owned());
        }
        let machines = self.machines.iter().map(|machine| {
            machine.process.as_ref().map(Node::next_timeout).into_iter().chain(machine.starts_at).min()
        });
        let orders = self.orders.iter().map(|(at, _)| Some(*at)).min().flatten();
        let own = [self.net.next_arrival(), orders, Some(end)];
        let active = [Some(self.next_fault), Some(self.next_write)].map(|at| at.filter(|_| !self.is_calm));
        let next = machines.chain(own).chain(active).flatten().min().unwrap_or(end);
        self.now = self.now.max(next);
        self.start_machines()?;
        self.carry_out_orders()?;
        self.deliver()?;
        for id in 0..self.machines.len() {
            if self.machines[id].process.as_ref().is_some_and(|node| node.next_timeout() <= self.now) {
                self.with_node(id, |node, now, net| node.step(now, net))?;
            }
        }
        if !self.is_calm && self.now >= self.next_write {
            self.write()?;
        }
        if !self.is_calm && self.now >= self.next_fault {
            self.next_fault = self.now + self.faults.next_pause(&mut self.chance);
            let fault = self.faults.next_kind(&mut self.chance);
            self.strike(fault)?;
        }
        if self.steps.is_multiple_of(DIGEST_STEPS) {
            self.check_digests()?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> Checked {
        let Some((to, conn, event)) = self.net.poll(self.now) else { return Ok(()) };
        if self.machines[to].process.is_none() {
            if let NetEvent::Accepted = event {
                self.net.answer(self.now, conn, false);
            }
            return Ok(());
        }
        self.with_node(to, |node, now, net| node.handle(now, net, conn, event))
    }

    /// Lets a node do something, and looks at what came of it.
    fn with_node(&mut self, id: NodeId, act: impl FnOnce(&mut Node, Duration, &mut Network)) -> Checked {
        let Some(node) = &mut self.machines[id].process else { return Ok(()) };
        act(node, self.now, &mut self.net);
        let reports = std::mem::take(&mut node.reports);
        for report in reports {
            self.hear(id, report)?;
        }
        let is_failed = self.machines[id].process.as_ref().is_some_and(|node| node.is_failed);
        if is_failed || self.machines[id].storage.is_down() {
            self.note(&format!("n{id}"), "ends in the middle of an operation of its disk");
            self.end_process(id, false)?;
        }
        Ok(())
    }

    fn hear(&mut self, id: NodeId, report: Report) -> Checked {
        let who = format!("n{id}");
        match report {
            Report::Said(line) => self.note(&who, &line),
            Report::Named { replid, parent, start, is_own } => {
                if is_own {
                    self.machines[id].own_names.insert(replid);
                }
                self.book.begin(replid, parent, start);
            }
            Report::Shown { replid, from, bytes } => {
                self.note(&who, &format!("shows {} bytes behind {from}", bytes.len()));
                self.book.note(replid, from, &bytes).map_err(|error| format!("{who}: {error}"))?;
            }
            Report::Decided { by, wanted, retained_from, knows, rung: Some(rung) } => {
                let why = checks::check_rung(&self.book, by, wanted, retained_from, &knows, &rung)
                    .map_err(|error| format!("{who}: {error}"))?;
                self.note(&who, &format!("oracle: {why}"));
                *self.outcome.rungs.entry(why).or_default() += 1;
            }
            Report::Decided { .. } => *self.outcome.rungs.entry("put off").or_default() += 1,
            Report::SaidAck { offset, durable } => {
                self.note(&who, &format!("acknowledges {offset}, durable {durable}"));
                if let Some(node) = &self.machines[id].process {
                    checks::check_ack(node, offset)?;
                }
            }
            Report::GotAck { replica, offset, durable } => self.hear_ack(id, replica, offset, durable),
            Report::DataReplaced => self.check_digest(id)?,
        }
        Ok(())
    }

    /// WAITAOF is answered when one replica has the write on disk.
    fn hear_ack(&mut self, main: NodeId, replica: NodeId, offset: Offset, durable: Offset) {
        self.note(&format!("n{main}"), &format!("hears from n{replica}: {offset}, durable {durable}"));
        let Some(node) = &self.machines[main].process else { return };
        if main != self.main || node.is_replica() {
            return;
        }
        let current = node.lineage.current();
        let promises = &mut self.promises;
        let mut kept = 0;
        self.waits.retain(|wait| {
            let is_met = wait.main == main && wait.place.0 == current && wait.place.1 <= durable;
            if is_met {
                promises.push(Promise { place: wait.place, holders: vec![replica] });
                kept += 1;
            }
            !is_met
        });
        // Whoever has the last of them has those before.
        for promise in &mut self.promises {
            if promise.place.0 == current && promise.place.1 <= durable && !promise.holders.contains(&replica)
            {
                promise.holders.push(replica);
            }
        }
        self.outcome.promises += kept;
    }

    /// A client writes something, to the master that it knows.
    fn write(&mut self) -> Checked {
        self.next_write = self.now + self.chance.millis(0, self.write_pause_millis * 2);
        let which = self.chance.below(self.writers.len() as u64) as usize;
        // Some clients have not heard of the failover yet.
        let to = if self.chance.one_in(8) {
            self.chance.below(self.machines.len() as u64) as usize
        } else {
            self.main
        };
        let requests = self.writers[which].requests();
        let client = ClientId::new(FIRST_CLIENT + which as u64);
        self.with_node(to, |node, now, net| {
            let replies = node.request(now, client, &requests);
            node.step(now, net);
            let _ = replies;
        })?;
        self.outcome.writes += 1;
        let Some(node) = &self.machines[to].process else { return Ok(()) };
        if to == self.main && !node.is_replica() && self.chance.one_in(3) {
            self.waits.push(DurableWait { main: to, place: node.place() });
        }
        Ok(())
    }

    fn strike(&mut self, fault: Fault) -> Checked {
        let victim = self.chance.below(self.machines.len() as u64) as usize;
        match fault {
            Fault::Cut | Fault::Silence | Fault::Stall => {
                let open = self.net.open();
                if open.is_empty() {
                    return Ok(());
                }
                let conn = self.chance.pick(&open);
                self.note("fault", &format!("{fault:?} of connection {conn}"));
                match fault {
                    Fault::Cut => self.net.cut(self.now, conn),
                    Fault::Silence => self.net.fall_silent(conn),
                    _ => self.net.stall(conn, self.chance.millis(10, 3000)),
                }
            }
            Fault::Part => {
                let other = self.chance.below(self.machines.len() as u64) as usize;
                if other != victim {
                    let until = self.now + self.chance.millis(100, 6000);
                    self.note("fault", &format!("n{victim} and n{other} are apart"));
                    self.net.part(self.now, victim, other, until);
                }
            }
            Fault::Kill if self.machines[victim].process.is_some() => {
                self.note("fault", &format!("n{victim} is killed"));
                self.end_process(victim, false)?;
            }
            Fault::Crash => {
                let nth = self.chance.between(1, 60);
                self.note("fault", &format!("n{victim} will end at operation {nth} of its disk"));
                self.machines[victim].storage.fail(DiskFault::crash().at(nth));
            }
            Fault::PowerLoss if self.machines[victim].process.is_some() => {
                self.note("fault", &format!("n{victim} loses power"));
                self.end_process(victim, true)?;
            }
            Fault::Failover => self.fail_over()?,
            Fault::Regroup => self.regroup(victim)?,
            Fault::Rewrite => {
                self.with_node(victim, |node, now, net| {
                    node.request(now, OPERATOR, b"BGREWRITEAOF\r\n");
                    node.step(now, net);
                })?;
            }
            Fault::Kill | Fault::PowerLoss => {}
        }
        Ok(())
    }

    fn end_process(&mut self, id: NodeId, is_power_loss: bool) -> Checked {
        let most = self.chance.pick(&[200, 500, 1000, 5000]);
        let restart_in = self.chance.millis(0, most);
        let seed = self.chance.next();
        let machine = &mut self.machines[id];
        let Some(node) = machine.process.take() else { return Ok(()) };
        machine.death = Some(Death {
            is_power_loss,
            is_crash: node.is_failed || machine.storage.is_down(),
            place: node.place(),
            is_recoverable: node.is_recoverable(),
            syncs_always: self.setup.settings.log.sync == SyncPolicy::Always,
            durable: node.durable(),
        });
        drop(node);
        machine.storage =
            if is_power_loss { machine.storage.power_loss(seed) } else { machine.storage.kill() };
        machine.starts_at = Some(self.now + restart_in);
        self.net.node_ended(self.now, id, is_power_loss);
        Ok(())
    }

    fn start_machines(&mut self) -> Checked {
        for id in 0..self.machines.len() {
            if self.machines[id].starts_at.is_some_and(|at| at <= self.now) {
                self.start_machine(id)?;
            }
        }
        Ok(())
    }

    fn start_machine(&mut self, id: NodeId) -> Checked {
        self.machines[id].starts_at = None;
        let storage = self.machines[id].storage.clone();
        self.net.node_began(id);
        let is_replica = self.machines[id].told.is_some();
        let started = Node::start(id, self.now, &storage, &self.setup, is_replica, &mut self.chance);
        let node = match started {
            Ok(node) => node,
            Err(_) if storage.is_down() => {
                // It was killed while it started.
                self.note(&format!("n{id}"), "ends while it starts");
                self.machines[id].storage = storage.kill();
                self.machines[id].starts_at = Some(self.now + Duration::from_millis(50));
                if let Some(death) = &mut self.machines[id].death {
                    death.is_crash = true;
                }
                return Ok(());
            }
            Err(error) => return Err(format!("n{id} {error}")),
        };
        let (found, told, death) = (node.place(), self.machines[id].told, self.machines[id].death.take());
        self.machines[id].process = Some(node);
        self.with_node(id, |_, _, _| {})?;
        if let Some(death) = death {
            checks::check_start(&self.book, &death, found).map_err(|error| format!("n{id}: {error}"))?;
            self.outcome.restarts += 1;
            if id == self.main && death.is_power_loss {
                // The others will be told by it what there is: what it lost is nobody's any more.
                checks::check_promises(&self.book, &mut self.promises, found, |_| false)?;
            }
        }
        match told {
            Some(master) => self.with_node(id, |node, now, net| node.follow(now, net, master)),
            // Two that write under one name would be the end of all.
            None if self.is_name_of_another(id, found.0) => {
                Err(format!("n{id} starts as a master under {}, which is another's name", found.0))
            }
            None => Ok(()),
        }
    }

    fn is_name_of_another(&self, id: NodeId, replid: ReplicationId) -> bool {
        let mut others = self.machines.iter().enumerate().filter(|(other, _)| *other != id);
        others.any(|(_, machine)| machine.own_names.contains(&replid))
    }

    /// The operator promotes a replica, and tells the others, one after the other, whom to follow.
    fn fail_over(&mut self) -> Checked {
        let is_candidate =
            |id: &NodeId| self.machines[*id].process.as_ref().is_some_and(|node| node.is_replica());
        let candidates: Vec<NodeId> = (0..self.machines.len()).filter(is_candidate).collect();
        if candidates.is_empty() || self.orders.iter().any(|(_, order)| matches!(order, Order::Promote(_))) {
            return Ok(());
        }
        let new = self.chance.pick(&candidates);
        self.note("fault", &format!("failover from n{} to n{new}", self.main));
        let mut at = self.now;
        self.orders.retain(|(_, order)| !matches!(order, Order::Follow(..)));
        self.orders.push((at, Order::Promote(new)));
        let mut placed = vec![new];
        for id in (0..self.machines.len()).filter(|id| *id != new) {
            at += self.chance.millis(0, 1500);
            let master = if self.chance.one_in(3) { self.chance.pick(&placed) } else { new };
            self.orders.push((at, Order::Follow(id, master)));
            placed.push(id);
        }
        Ok(())
    }

    /// A replica is told to follow another node that does not follow it.
    fn regroup(&mut self, replica: NodeId) -> Checked {
        let other = self.chance.below(self.machines.len() as u64) as usize;
        let mut above = Some(other);
        for _ in 0..self.machines.len() {
            if above == Some(replica) || replica == self.main {
                return Ok(());
            }
            above = above.and_then(|id| self.machines[id].told);
        }
        if self.orders.is_empty() {
            self.orders.push((self.now, Order::Follow(replica, other)));
        }
        Ok(())
    }

    fn carry_out_orders(&mut self) -> Checked {
        while let Some(place) = self.orders.iter().position(|(at, _)| *at <= self.now) {
            let (_, order) = self.orders.remove(place);
            match order {
                Order::Promote(new) => self.promote(new)?,
                Order::Follow(replica, master) => {
                    self.machines[replica].told = Some(master);
                    self.with_node(replica, |node, now, net| {
                        if node.master() != Some(master) {
                            node.follow(now, net, master);
                        }
                    })?;
                }
            }
        }
        Ok(())
    }

    fn promote(&mut self, new: NodeId) -> Checked {
        self.with_node(new, |node, now, net| node.promote(now, net))?;
        if self.machines[new].process.is_none() {
            // Its configuration still says whom it followed. Nobody is told of a failover that did not happen.
            self.orders.clear();
            return Ok(());
        }
        self.machines[new].told = None;
        self.main = new;
        self.waits.clear();
        self.outcome.failovers += 1;
        let Some(node) = &self.machines[new].process else { return Ok(()) };
        let place = node.place();
        checks::check_promises(&self.book, &mut self.promises, place, |one| one.holders.contains(&new))
    }

    /// The faults stop: all run, all reach each other, and the topology is a tree.
    fn calm_down(&mut self) {
        self.note("world", "faults stop");
        self.is_calm = true;
        self.net.heal();
        for id in 0..self.machines.len() {
            self.machines[id].storage.stop_failing();
            if self.machines[id].process.is_none() {
                self.machines[id].starts_at = Some(self.now);
            }
            if id != self.main {
                let told = self.machines[id].told.filter(|_| self.leads_to_main(id)).unwrap_or(self.main);
                self.orders.push((self.now, Order::Follow(id, told)));
            }
        }
    }

    fn leads_to_main(&self, id: NodeId) -> bool {
        let mut above = Some(id);
        for _ in 0..=self.machines.len() {
            if above == Some(self.main) {
                return true;
            }
            above = above.and_then(|id| self.machines[id].told);
        }
        false
    }

    /// All follow, have everything, and the masters know.
    fn has_converged(&self) -> bool {
        let Some(main) = &self.machines[self.main].process else { return false };
        let place = main.place();
        self.orders.is_empty()
            && self.machines.iter().enumerate().all(|(id, machine)| {
                let Some(node) = &machine.process else { return false };
                let is_in_place = id == self.main || (node.is_streaming() && node.is_replica());
                is_in_place && node.place() == place && node.is_at_border() && node.is_recoverable()
            })
    }

    fn states(&self) -> String {
        let state = |(id, machine): (usize, &Machine)| match &machine.process {
            None => format!("n{id} is down"),
            Some(node) => format!("n{id} at {:?}, follows {:?}", node.place(), node.master()),
        };
        self.machines.iter().enumerate().map(state).collect::<Vec<_>>().join("; ")
    }

    /// Wherever somebody stands at a border, everybody who stands there has the same data.
    fn check_digests(&mut self) -> Checked {
        (0..self.machines.len()).try_for_each(|id| self.check_digest(id))
    }

    fn check_digest(&mut self, id: NodeId) -> Checked {
        let Some(node) = self.machines[id].process.as_ref().filter(|node| node.is_at_border()) else {
            return Ok(());
        };
        let digest = digest_keyspace(&node.engine.keyspace);
        let place = node.place();
        self.note(&format!("n{id}"), &format!("digest {} at {}", hex(&digest[..4]), place.1));
        self.book.note_digest(place, digest).map_err(|error| format!("n{id}: {error}"))
    }

    fn check_equality(&mut self) -> Checked {
        self.check_digests()?;
        if let Some(main) = &self.machines[self.main].process {
            let place = main.place();
            checks::check_promises(&self.book, &mut self.promises, place, |_| true)?;
        }
        for (id, machine) in self.machines.iter().enumerate() {
            let Some(node) = &machine.process else { continue };
            for (replid, from, bytes) in node.stored_bytes()? {
                let at = format!("n{id}, on disk");
                self.book.note(replid, from, &bytes).map_err(|error| format!("{at}: {error}"))?;
            }
            self.outcome.full_syncs += node.counters().full;
        }
        Ok(())
    }

    /// In the end every process is killed once more: what it finds must be what it had.
    fn restart_all(&mut self) -> Checked {
        for id in 0..self.machines.len() {
            self.end_process(id, false)?;
            self.start_machine(id)?;
            self.check_digest(id)?;
        }
        Ok(())
    }

    fn note(&mut self, who: &str, what: &str) {
        self.trace.line(self.now, &who, what);
    }
}

fn draw_setup(chance: &mut Chance, planted: Option<Defect>) -> Setup {
    let mut settings = Settings {
        databases: 4,
        repl_timeout_seconds: chance.pick(&[2, 4]),
        repl_ping_period_seconds: 1,
        repl_backlog_bytes: chance.pick(&[300, 2_000, 20_000, 1 << 20]),
        ..Settings::default()
    };
    let log = &mut settings.log;
    log.sync = chance.pick(&[SyncPolicy::EverySecond, SyncPolicy::EverySecond, SyncPolicy::Always]);
    log.segment_bytes = chance.pick(&[1_500, 6_000, 1 << 20]);
    log.rewrite_bytes_min = chance.pick(&[4_000, 1 << 30]);
    log.keeps_history = chance.one_in(2);
    Setup { settings, block_bytes: chance.pick(&[64, 700, 4096]), planted }
}
