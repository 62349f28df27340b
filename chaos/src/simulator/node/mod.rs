//! One process: the shard's part, the master's and the replica's, as the shipped node puts the same machines together,
//! with a poll in the place of threads and mailboxes.
//!
//! What another thread does there takes a while here: the control plane hears of changes in order, but late ([`master`]);
//! the disk's thread carries out one thing after the other ([`disk`]); snapshots and loads take their time. What the
//! world must know of it is reported ([`Report`]).

mod disk;
mod master;
mod replica;
mod start;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rejoin_commands::{Effect, Engine, Input, Role, Session, Settings};
use rejoin_keyspace::HashSeed;
use rejoin_persistence::{
    log::{HotLog, LogHandle},
    segment::StreamName,
    storage::simulated::SimulatedStorage,
};
use rejoin_protocol::{
    ByteCount, ClientId, DbIndex, NextOffset, Offset, ReplicaId, ReplicationId, UnixMillis,
    resp::RequestLimits,
};
use rejoin_replication::{Lineage, Resync, Wanted};

use super::{
    NodeId,
    book::Place,
    chance::Chance,
    network::{ConnId, NetEvent, Network},
};
use disk::DiskSide;
use master::MasterSide;
use replica::ReplicaSide;

/// The session of the master's stream.
const MASTER_SESSION: ClientId = ClientId::new(0);
/// Sessions of connections begin here; those below are the world's clients.
const FIRST_CONNECTION: u64 = 1000;
/// Between two ticks of the shard.
const TICK: Duration = Duration::from_millis(100);
/// Keys that one tick expires at most.
const EXPIRE_STEP: usize = 16;
/// The wall clock when the world begins.
const WALL_AT_BEGIN: i64 = 1_700_000_000_000;
const PING: &[u8] = b"*1\r\n$4\r\nping\r\n";

/// A defect that is built in on purpose, to see that the simulator finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Replicas may have bytes before the log's file has them.
    VisibleBeforeWritten,
    /// A replica of an ancestor may continue some bytes behind the last that is shared. (One byte alone would never show:
    /// replicas stand at borders.)
    AncestorTooFar,
    /// What has arrived is acknowledged, whether it is applied or not.
    AckBeforeApplied,
    /// What is written is acknowledged as synced.
    DurableBeforeSynced,
    /// After a power loss the stream keeps its name.
    NameKeptAfterPowerLoss,
    /// A replica that asks for what is in memory gets a snapshot once in a while.
    NeedlessFullSync,
}

/// How all nodes of a world are set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) settings: Settings,
    /// Capacity of a block of the log in memory.
    pub(crate) block_bytes: usize,
    pub(crate) planted: Option<Defect>,
}

/// What the world must know.
#[derive(Debug)]
pub(crate) enum Report {
    /// A line for the trace.
    Said(String),
    /// A stream begins.
    Named { replid: ReplicationId, parent: Option<Place>, start: Offset, is_own: bool },
    /// Bytes became visible.
    Shown { replid: ReplicationId, from: Offset, bytes: Vec<u8> },
    /// A replica asked, and this was decided.
    Decided {
        by: Place,
        wanted: Wanted,
        /// From there on the stream is in memory and files, as the world sees it; only where that matters.
        retained_from: Offset,
        /// Ancestors of its stream, each with the last byte shared.
        knows: Vec<Place>,
        rung: Option<Resync>,
    },
    /// This node acknowledged to its master.
    SaidAck { offset: Offset, durable: Offset },
    /// A replica of this node acknowledged.
    GotAck { replica: NodeId, offset: Offset, durable: Offset },
    /// Data was loaded or swapped in.
    DataReplaced,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
enum Peer {
    /// Not a replica yet.
    Client(ClientId),
    /// It asked for the stream; what it said since waits.
    Attaching(Vec<u8>),
    /// A replica.
    Replica(ReplicaId),
    /// Our master.
    Master,
}

/// One process.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) engine: Engine,
    pub(crate) lineage: Lineage,
    pub(crate) reports: Vec<Report>,
    /// A write to the disk failed: the process is at its end.
    pub(crate) is_failed: bool,
    chance: Chance,
    setup: Setup,
    storage: Arc<SimulatedStorage>,
    log: HotLog,
    log_handle: LogHandle,
    disk: DiskSide,
    master: MasterSide,
    replica: ReplicaSide,
    /// Applied bytes of the master's stream, up to a border, that are not in the file.
    unwritten: Vec<u8>,
    /// The same behind the last border.
    tail: Vec<u8>,
    has_masters_stream: bool,
    inputs: BTreeMap<ClientId, Box<Input>>,
    peers: BTreeMap<ConnId, Peer>,
    next_tick: Duration,
    last_ping: Duration,
}

impl Node {
    /// A process around an engine that has loaded what there was.
    fn new(
        id: NodeId,
        engine: Engine,
        storage: Arc<SimulatedStorage>,
        disk: DiskSide,
        setup: &Setup,
        chance: &mut Chance,
    ) -> Self {
        let mut chance = chance.fork();
        let replid = chance.replid();
        let budget = ByteCount::new(setup.settings.repl_backlog_bytes);
        let log = HotLog::with_block_bytes(Offset::ZERO, budget, setup.block_bytes);
        Self {
            id,
            engine,
            lineage: Lineage::new(replid),
            reports: Vec::new(),
            is_failed: false,
            log_handle: log.handle(),
            log,
            disk,
            master: MasterSide::new(replid, chance.fork()),
            replica: ReplicaSide::default(),
            unwritten: Vec::new(),
            tail: Vec::new(),
            has_masters_stream: false,
            inputs: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_tick: Duration::ZERO,
            last_ping: Duration::ZERO,
            chance,
            setup: setup.clone(),
            storage,
        }
    }

    /// The last byte that replicas may have.
    pub(crate) fn visible(&self) -> Offset {
        self.log_handle.visible()
    }

    /// Where the stream stands.
    pub(crate) fn place(&self) -> Place {
        (self.lineage.current(), self.visible())
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.engine.role == Role::Replica
    }

    /// Where nothing that was applied waits to be shown: data and stream belong together.
    pub(crate) fn is_at_border(&self) -> bool {
        self.unwritten.is_empty() && self.engine.log.offset() == self.visible()
    }

    /// When something is due.
    pub(crate) fn next_timeout(&self) -> Duration {
        [self.disk.next_timeout(), self.master.next_timeout(), self.replica.next_timeout()]
            .into_iter()
            .flatten()
            .fold(self.next_tick, Duration::min)
    }

    /// Does what is due, and sends what there is to send.
    pub(crate) fn step(&mut self, now: Duration, net: &mut Network) {
        self.set_clock(now);
        self.step_disk(now);
        self.step_replica(now, net);
        if now >= self.next_tick {
            self.tick(now);
        }
        self.step_master(now, net);
        self.pump_replica(now, net);
        self.pump_sessions(now, net);
    }

    /// Something arrived.
    pub(crate) fn handle(&mut self, now: Duration, net: &mut Network, conn: ConnId, event: NetEvent) {
        self.set_clock(now);
        match event {
            NetEvent::Accepted => self.accept(now, net, conn),
            NetEvent::Dialed => self.handle_dialed(now, net, conn),
            NetEvent::Refused | NetEvent::Closed => self.handle_closed(now, net, conn),
            NetEvent::Bytes(bytes) => self.handle_bytes(now, net, conn, &bytes),
        }
        self.step(now, net);
    }

    fn handle_bytes(&mut self, now: Duration, net: &mut Network, conn: ConnId, bytes: &[u8]) {
        match self.peers.get_mut(&conn) {
            Some(Peer::Master) => self.handle_masters_bytes(now, net, conn, bytes),
            Some(Peer::Replica(replica)) => {
                let replica = *replica;
                self.handle_replicas_bytes(now, net, replica, bytes);
            }
            Some(Peer::Attaching(waiting)) => waiting.extend_from_slice(bytes),
            Some(Peer::Client(client)) => {
                let client = *client;
                let reply = self.request(now, client, bytes);
                net.send(now, conn, self.id, &reply);
            }
            None => {}
        }
    }

    fn handle_closed(&mut self, now: Duration, net: &mut Network, conn: ConnId) {
        match self.peers.remove(&conn) {
            Some(Peer::Master) => self.lose_master(now, Some(conn), "the master closed the connection"),
            Some(Peer::Replica(replica)) => self.lose_session(now, net, replica, "it closed the connection"),
            Some(Peer::Client(client)) => {
                self.inputs.remove(&client);
                self.engine.session_closed(client);
            }
            Some(Peer::Attaching(_)) => self.lose_session(now, net, ReplicaId::new(conn), "it is gone"),
            None => {}
        }
    }

    fn accept(&mut self, now: Duration, net: &mut Network, conn: ConnId) {
        net.answer(now, conn, true);
        let client = ClientId::new(FIRST_CONNECTION + conn);
        self.open_session(client);
        self.peers.insert(conn, Peer::Client(client));
    }

    fn open_session(&mut self, client: ClientId) {
        let address = format!("192.0.2.{}:{}", client.get() % 250, 1024 + client.get() % 60_000);
        let session = Session::new(client, address, "192.0.2.1:6379".to_owned(), self.engine.now);
        self.engine.session_opened(session);
        self.inputs.insert(client, Box::new(Input::new(client)));
    }

    /// One turn (or as many as it takes) for what a client sent; its replies. Nothing, if it waits.
    pub(crate) fn request(&mut self, now: Duration, client: ClientId, bytes: &[u8]) -> Vec<u8> {
        self.set_clock(now);
        if !self.inputs.contains_key(&client) {
            self.open_session(client);
        }
        if let Some(input) = self.inputs.get_mut(&client) {
            input.buffer_mut().extend_from_slice(bytes);
        }
        while self.turn(now, client) {}
        self.take_replies(client)
    }

    /// What a client is owed and was not given.
    pub(crate) fn take_replies(&mut self, client: ClientId) -> Vec<u8> {
        if self.is_failed {
            // What could not be logged is told to nobody.
            return Vec::new();
        }
        self.engine.sessions.get_mut(client).map(|one| std::mem::take(&mut one.out)).unwrap_or_default()
    }

    /// Executes, logs: in this order. Whether there is more.
    fn turn(&mut self, now: Duration, client: ClientId) -> bool {
        let Some(mut input) = self.inputs.remove(&client) else { return false };
        input.decode(&RequestLimits::default(), true);
        let report = self.engine.run_turn(&mut [&mut *input]);
        let has_more = input.is_ready() && report.held_back > 0;
        self.inputs.insert(client, input);
        self.publish_log(now);
        let asked = std::mem::take(&mut self.engine.effects);
        let has_asked = !asked.is_empty();
        for effect in asked {
            self.carry_out(now, effect);
        }
        self.engine.take_woken();
        has_more && (report.executed > 0 || has_asked) && !self.is_failed
    }

    fn carry_out(&mut self, now: Duration, effect: Effect) {
        match effect {
            Effect::AttachReplica { client, wanted } => self.attach_replica(now, client, wanted),
            Effect::RewriteLog => self.begin_base(now),
            _ => {}
        }
    }

    fn set_clock(&mut self, now: Duration) {
        self.engine.now = wall_at(now);
        self.engine.now_micros = self.engine.now.get() * 1000;
    }

    fn tick(&mut self, now: Duration) {
        self.next_tick = now + TICK;
        self.engine.expire_due(EXPIRE_STEP);
        let period = Duration::from_secs(self.setup.settings.repl_ping_period_seconds);
        if now.saturating_sub(self.last_ping) >= period
            && !self.is_replica()
            && !self.engine.status.replicas.is_empty()
        {
            self.last_ping = now;
            self.engine.log.begin_unit();
            let db = self.engine.log.selected().unwrap_or(DbIndex::new(0));
            self.engine.log.push_raw(db, PING);
            self.engine.log.end_unit();
        }
        self.publish_log(now);
        self.tend_log(now);
        self.engine.answer_waiting();
        self.engine.effects.clear();
    }

    /// REPLICAOF.
    pub(crate) fn follow(&mut self, now: Duration, net: &mut Network, master: NodeId) {
        self.stop_upstream(now, net);
        self.unwritten.extend_from_slice(self.engine.log.bytes());
        self.engine.log.clear();
        self.select_as_stream_does();
        self.engine.role = Role::Replica;
        self.is_failed |= self.disk.files.set_followed(true).is_err();
        self.engine.unblock_all();
        self.tell_master(now, master::Mail::Demote);
        self.follow_address(now, master);
        self.say(format!("follows n{master} from {}", self.visible()));
        self.step(now, net);
    }

    /// REPLICAOF NO ONE.
    pub(crate) fn promote(&mut self, now: Duration, net: &mut Network) {
        if !self.is_replica() {
            return;
        }
        self.stop_upstream(now, net);
        self.engine.role = Role::Master;
        self.is_failed |= self.disk.files.set_followed(false).is_err();
        self.unfollow_address();
        self.shift_lineage(now);
        self.say(format!("is promoted at {}, and goes on as {}", self.visible(), self.lineage.current()));
        self.step(now, net);
    }

    /// The stream continues under a new name; its first write selects its database anew.
    fn shift_lineage(&mut self, now: Duration) {
        let (replid, at) = (self.chance.replid(), self.visible());
        self.reports.push(Report::Named { replid, parent: Some(self.place()), start: at, is_own: true });
        self.lineage.shift(replid, at);
        self.engine.status.replid = replid;
        self.engine.log.set_selected(None);
        let name = self.log.begin_name();
        self.rename_log();
        self.tell_master(now, master::Mail::Promote { replid, at, name });
    }

    /// What lies behind the last border is discarded, with the transaction that it began.
    fn forget_tail(&mut self) {
        self.tail.clear();
        let selected = self.engine.log.selected();
        let applied = self.visible().advance(ByteCount::of(self.unwritten.len()));
        self.engine.log.restart(applied, selected);
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.transaction = None;
        }
    }

    /// Who follows goes on in the database that the stream has selected, whoever wrote it.
    fn select_as_stream_does(&mut self) {
        let selected = self.engine.log.selected().filter(|_| !self.is_replica());
        if let Some((session, db)) = self.engine.sessions.get_mut(MASTER_SESSION).zip(selected) {
            session.db = db;
        }
    }

    fn masters_db(&self) -> DbIndex {
        self.engine.sessions.get(MASTER_SESSION).map_or(DbIndex::new(0), |session| session.db)
    }

    fn selected_db(&self) -> DbIndex {
        match self.engine.role {
            Role::Master => self.engine.log.selected().unwrap_or(DbIndex::new(0)),
            Role::Replica => self.masters_db(),
        }
    }

    fn say(&mut self, line: String) {
        self.reports.push(Report::Said(line));
    }
}

fn hash_seed(chance: &mut Chance) -> HashSeed {
    let mut seed = [0; 16];
    seed.copy_from_slice(&chance.bytes()[..16]);
    HashSeed::new(seed)
}

fn wall_at(now: Duration) -> UnixMillis {
    UnixMillis::new(WALL_AT_BEGIN + i64::try_from(now.as_millis()).unwrap_or(i64::MAX / 2))
}

fn stream_name_of(lineage: &Lineage) -> StreamName {
    let ancestors = lineage.ancestors().iter().map(|one| (one.replid, one.last_valid)).collect();
    StreamName { replid: lineage.current(), ancestors }
}

/// A cursor's place in words that a session understands.
fn before(next: NextOffset) -> Offset {
    next.prior()
}
