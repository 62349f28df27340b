//! The node's side as a master: what the actor `Master`, the links' sessions and the snapshotter do.
//!
//! The `Master` hears of changes in the order in which the shard made them, but late, and what it orders reaches the
//! sessions later still: that is what the names of the stream ([`HotLog::begin_name`]) are for.
//!
//! [`HotLog::begin_name`]: rejoin_persistence::log::HotLog::begin_name

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rejoin_commands::{Role, effect::WantedStream, node::status::ReplicaStatus};
use rejoin_keyspace::Snapshot;
use rejoin_persistence::{
    files::reading::{self, FileCursor},
    log::{Bookmark, Cursor},
    rdb::{self, EncodeOptions, RdbTarget, StreamPosition},
};
use rejoin_protocol::{ByteCount, ClientId, NextOffset, Offset, ReplicaId, ReplicationId, psync::EofMark};
use rejoin_replication::{
    Ancestor, AttachDecision, Lineage, LogRange, MasterCore, PayloadForm, ReplicaHello, ReplicaSession,
    Resync, SessionEvent, SessionSettings, Wanted,
};

use super::{Defect, FIRST_CONNECTION, Node, Peer, Report, before, stream_name_of};
use crate::simulator::{
    NodeId,
    chance::Chance,
    network::{ConnId, Network},
};

/// Full syncs at a time.
const FULL_SYNCS_MAX: usize = 2;
/// Of [`Defect::AncestorTooFar`].
const ANCESTOR_BYTES_TOO_FAR: u64 = 300;
/// Replicas tell the port on which they serve: here it says which node they are.
pub(super) const PORT_BASE: u16 = 7000;

/// What the shard tells the `Master`.
#[derive(Debug)]
pub(super) enum Mail {
    Attach { replica: ReplicaId, hello: ReplicaHello, wanted: Wanted },
    Promote { replid: ReplicationId, at: Offset, name: u64 },
    Demote,
    Adopt { replid: ReplicationId, at: Offset, name: u64 },
    Replace { lineage: Lineage, name: u64 },
    UpstreamDown,
}

/// A full sync on its way to one replica.
#[derive(Debug)]
enum Payload {
    /// Waits for its turn.
    NotAdmitted,
    /// The snapshot is taken then.
    Gathering(Duration),
    /// It is encoded by then.
    Encoding(Duration, Box<(Snapshot, StreamPosition)>),
    /// It is being sent: the bytes, and how many of them went.
    Sending(Vec<u8>, usize),
    Sent,
}

/// One replica's session.
#[derive(Debug)]
struct Feeding {
    node: NodeId,
    session: ReplicaSession,
    reader: Option<Reader>,
    payload: Payload,
    /// The session ends when the cursor has reached this.
    end: Option<Offset>,
}

/// From where a session reads the stream.
#[derive(Debug)]
enum Reader {
    Memory(Cursor),
    /// What memory has no more; from each segment on, memory is tried first.
    Files(Bookmark, Box<FileCursor>),
}

impl Reader {
    /// The last byte that was read.
    fn position(&self) -> Offset {
        match self {
            Self::Memory(cursor) => before(cursor.position()),
            Self::Files(bookmark, _) => before(bookmark.position()),
        }
    }
}

#[derive(Debug)]
pub(super) struct MasterSide {
    core: MasterCore,
    /// The log's number for the stream's name, as far as the `Master` has heard.
    name: u64,
    chance: Chance,
    mail: VecDeque<(Duration, Mail)>,
    /// Ends of sessions, ordered and not yet carried out.
    orders: VecDeque<(Duration, ReplicaId, Option<Offset>)>,
    sessions: BTreeMap<ReplicaId, Feeding>,
}

impl MasterSide {
    pub(super) fn new(replid: ReplicationId, chance: Chance) -> Self {
        Self {
            core: MasterCore::new(Lineage::new(replid), FULL_SYNCS_MAX),
            name: 0,
            chance,
            mail: VecDeque::new(),
            orders: VecDeque::new(),
            sessions: BTreeMap::new(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let mail = self.mail.front().map(|(at, _)| *at);
        let orders = self.orders.front().map(|(at, ..)| *at);
        let sessions = self.sessions.values().flat_map(|feeding| {
            let payload = match feeding.payload {
                Payload::Gathering(at) | Payload::Encoding(at, _) => Some(at),
                _ => None,
            };
            [feeding.session.poll_timeout(), payload]
        });
        [mail, orders].into_iter().chain(sessions).flatten().min()
    }
}

impl Node {
    pub(crate) fn counters(&self) -> rejoin_replication::SyncCounters {
        self.master.core.counters()
    }

    pub(super) fn tell_master(&mut self, now: Duration, mail: Mail) {
        let delay = self.master.chance.pick(&[Duration::ZERO, Duration::ZERO, Duration::from_micros(700)]);
        let last = self.master.mail.back().map_or(Duration::ZERO, |(at, _)| *at);
        self.master.mail.push_back(((now + delay).max(last), mail));
    }

    /// A client turned out to be a replica: its connection leaves the shard.
    pub(super) fn attach_replica(&mut self, now: Duration, client: ClientId, wanted: WantedStream) {
        let conn = client.get() - FIRST_CONNECTION;
        let Some(mut input) = self.inputs.remove(&client) else { return };
        let received = input.take_unexecuted();
        let Some(session) = self.engine.session_closed(client) else { return };
        let said = session.replica_hello.clone();
        let hello = ReplicaHello {
            listening_port: said.listening_port,
            ip_address: said.ip_address,
            capa_eof: said.capa_eof,
            capa_psync2: said.capa_psync2,
            capa_rejoin: said.capa_rejoin,
            rdb_only: said.rdb_only,
            rdb_without_data: said.rdb_without_data,
            version: said.version,
        };
        let wanted = match wanted {
            WantedStream::Sync => Wanted::LegacySync,
            WantedStream::Psync { replid: Some(replid), from: Some(from), .. } => {
                Wanted::Continue { replid, from }
            }
            WantedStream::Psync { .. } => Wanted::Everything,
        };
        self.peers.insert(conn, Peer::Attaching(received));
        self.tell_master(now, Mail::Attach { replica: ReplicaId::new(conn), hello, wanted });
    }

    /// The mail and the orders whose time has come, and payloads.
    pub(super) fn step_master(&mut self, now: Duration, net: &mut Network) {
        while let Some((_, mail)) = self.master.mail.pop_front_if(|(at, _)| *at <= now) {
            self.handle_mail(now, net, mail);
            self.settle_master(now);
        }
        while let Some((_, replica, after)) = self.master.orders.pop_front_if(|(at, ..)| *at <= now) {
            let Some(feeding) = self.master.sessions.get_mut(&replica) else { continue };
            match after.filter(|_| feeding.reader.is_some()) {
                Some(after) => feeding.end = Some(after),
                None => self.end_session(now, net, replica, "the lineage changed"),
            }
        }
        for replica in self.replicas() {
            self.step_payload(now, replica);
        }
    }

    fn handle_mail(&mut self, now: Duration, net: &mut Network, mail: Mail) {
        match mail {
            Mail::Attach { replica, hello, wanted } => self.decide(now, net, replica, hello, wanted),
            Mail::Promote { replid, at, name } => {
                self.master.name = name;
                let to_close = self.master.core.promote(replid, at);
                self.order_end(now, to_close, Some(at));
            }
            Mail::Demote => self.master.core.demote(),
            Mail::Adopt { replid, at, name } => {
                self.master.name = name;
                let to_close = self.master.core.adopt_lineage(replid, at);
                self.order_end(now, to_close, Some(at));
                self.master.core.handle_upstream(true);
            }
            Mail::Replace { lineage, name } => {
                self.master.name = name;
                let to_close = self.master.core.replace_lineage(lineage);
                self.order_end(now, to_close, None);
                self.master.core.handle_upstream(true);
            }
            Mail::UpstreamDown => self.master.core.handle_upstream(false),
        }
    }

    fn order_end(&mut self, now: Duration, replicas: Vec<ReplicaId>, after: Option<Offset>) {
        for replica in replicas {
            let at = now + self.master.chance.pick(&[Duration::ZERO, Duration::from_micros(900)]);
            let last = self.master.orders.back().map_or(Duration::ZERO, |(at, ..)| *at);
            self.master.orders.push_back((at.max(last), replica, after));
        }
    }

    fn decide(
        &mut self,
        now: Duration,
        net: &mut Network,
        replica: ReplicaId,
        hello: ReplicaHello,
        wanted: Wanted,
    ) {
        let Some(Peer::Attaching(_)) = self.peers.get(&replica.get()) else { return };
        let (first, visible) = (self.log_handle.first_held(), self.visible());
        // How far back the files reach is known when they are looked at.
        let log = LogRange { first, first_retained: NextOffset::FIRST, visible };
        let decision =
            self.with_planted(|core| core.handle_attach(now, replica, "192.0.2.9", &hello, wanted, log));
        let decision = self.plant_full_sync(decision, now, replica, &hello, log);
        let (decision, reader) = self.find_bytes(replica, decision, log);
        let rung = match &decision {
            AttachDecision::Continue { from, .. } => Some(Resync::Continue { from: *from }),
            AttachDecision::History { from, .. } => Some(Resync::History { from: *from }),
            AttachDecision::Full { reason, .. } => Some(Resync::Full { reason: *reason }),
            AttachDecision::NotNow { .. } => None,
        };
        let lineage = self.master.core.lineage();
        let by = (lineage.current(), self.visible());
        let knows = lineage.ancestors().iter().map(|one| (one.replid, one.last_valid)).collect();
        self.say(format!("decides on n{}: {wanted:?} gets {decision:?}", node_of(&hello)));
        let retained_from = match &rung {
            Some(Resync::Full { .. }) => self.retained_from(),
            _ => Offset::ZERO,
        };
        self.reports.push(Report::Decided { by, wanted, retained_from, knows, rung });
        self.begin_session(now, net, replica, hello, wanted, (decision, reader));
    }

    /// A reader at what was granted, from memory or else from files; or what is decided where neither has it.
    fn find_bytes(
        &mut self,
        replica: ReplicaId,
        decision: AttachDecision,
        log: LogRange,
    ) -> (AttachDecision, Option<Reader>) {
        let (from, replid, is_history) = match decision {
            AttachDecision::Continue { from, replid } => (from, replid, false),
            AttachDecision::History { from, replid } => (from, replid, true),
            other => return (other, None),
        };
        let bookmark = self.log_handle.bookmark_under(self.master.name, from);
        match self.open_reader(bookmark) {
            Ok(reader) => {
                if is_history {
                    self.master.core.handle_history_granted(replica);
                }
                let granted = match reader {
                    Reader::Memory(_) => AttachDecision::Continue { from, replid },
                    Reader::Files(..) => AttachDecision::History { from, replid },
                };
                (granted, Some(reader))
            }
            Err(reason) => {
                self.say(format!("has no byte {from} in its files: {reason}"));
                let log = LogRange { first_retained: log.first, ..log };
                let refused = self.master.core.handle_history_refused(replica, from, log);
                (refused.unwrap_or(AttachDecision::NotNow { error: "ERR the replica is gone" }), None)
            }
        }
    }

    fn open_reader(&self, bookmark: Bookmark) -> Result<Reader, String> {
        if let Ok(cursor) = bookmark.open_cursor() {
            return Ok(Reader::Memory(cursor));
        }
        let until = bookmark.border().map_err(|error| error.to_string())?;
        let stream = stream_name_of(self.master.core.lineage());
        let folders = self.folders();
        let cursor = reading::open(&*self.storage, &folders, &stream, bookmark.position(), until);
        cursor.map(|cursor| Reader::Files(bookmark, Box::new(cursor))).map_err(|error| error.to_string())
    }

    /// The core, or one with a defect in it.
    fn with_planted<T>(&mut self, ask: impl FnOnce(&mut MasterCore) -> T) -> T {
        if self.setup.planted != Some(Defect::AncestorTooFar) {
            return ask(&mut self.master.core);
        }
        let lineage = self.master.core.lineage().clone();
        let further = |one: &Ancestor| Ancestor {
            last_valid: one.last_valid.advance(ByteCount::new(ANCESTOR_BYTES_TOO_FAR)),
            replid: one.replid,
        };
        let wrong = Lineage::restore(lineage.current(), lineage.ancestors().iter().map(further).collect());
        let _ = self.master.core.replace_lineage(wrong);
        let answer = ask(&mut self.master.core);
        let _ = self.master.core.replace_lineage(lineage);
        answer
    }

    fn plant_full_sync(
        &mut self,
        decision: AttachDecision,
        now: Duration,
        replica: ReplicaId,
        hello: &ReplicaHello,
        log: LogRange,
    ) -> AttachDecision {
        let is_wanted = self.setup.planted == Some(Defect::NeedlessFullSync)
            && matches!(decision, AttachDecision::Continue { .. });
        if is_wanted && self.chance.one_in(5) {
            return self.master.core.handle_attach(now, replica, "", hello, Wanted::Everything, log);
        }
        decision
    }

    fn begin_session(
        &mut self,
        now: Duration,
        net: &mut Network,
        replica: ReplicaId,
        hello: ReplicaHello,
        wanted: Wanted,
        (decision, reader): (AttachDecision, Option<Reader>),
    ) {
        let conn: ConnId = replica.get();
        let settings = SessionSettings { repl_timeout: self.repl_timeout(), ..SessionSettings::default() };
        let node = node_of(&hello);
        let (session, payload) = match decision {
            AttachDecision::Continue { from, replid } | AttachDecision::History { from, replid } => {
                (ReplicaSession::continuing(now, settings, hello, replid, from), Payload::Sent)
            }
            AttachDecision::Full { admitted, .. } => {
                let is_legacy = wanted == Wanted::LegacySync;
                let payload = if admitted {
                    Payload::Gathering(now + self.chance.millis(0, 300))
                } else {
                    Payload::NotAdmitted
                };
                (ReplicaSession::full(now, settings, hello, is_legacy), payload)
            }
            AttachDecision::NotNow { error } => {
                net.send(now, conn, self.id, format!("-{error}\r\n").as_bytes());
                net.close(now, conn, self.id);
                self.peers.remove(&conn);
                return;
            }
        };
        let feeding = Feeding { node, session, reader, payload, end: None };
        self.master.sessions.insert(replica, feeding);
        let waiting = self.peers.insert(conn, Peer::Replica(replica));
        if let Some(Peer::Attaching(received)) = waiting
            && !received.is_empty()
        {
            self.handle_replicas_bytes(now, net, replica, &received);
        }
    }

    /// A full sync goes on: its snapshot is taken, its payload begins.
    fn step_payload(&mut self, now: Duration, replica: ReplicaId) {
        let Some(feeding) = self.master.sessions.get_mut(&replica) else { return };
        match &feeding.payload {
            Payload::Gathering(at) if *at <= now => {
                self.publish_log(now);
                if self.is_failed {
                    return;
                }
                let offset = self.visible();
                let position =
                    StreamPosition { replid: self.lineage.current(), offset, selected: self.selected_db() };
                if self.engine.role == Role::Master {
                    self.engine.log.set_selected(None);
                }
                let snapshot = self.engine.keyspace.snapshot();
                let done_at = now + self.chance.millis(0, 500);
                let cursor = self.log_handle.open_cursor(offset.next()).ok();
                let Some(feeding) = self.master.sessions.get_mut(&replica) else { return };
                feeding.session.handle_snapshot_taken(now, position.replid, offset);
                feeding.reader = cursor.map(Reader::Memory);
                feeding.payload = Payload::Encoding(done_at, Box::new((snapshot, position)));
            }
            Payload::Encoding(at, _) if *at <= now => self.begin_payload(now, replica),
            _ => {}
        }
    }

    fn begin_payload(&mut self, now: Duration, replica: ReplicaId) {
        let is_diskless = self.chance.one_in(2);
        let mark = EofMark::from_random(self.chance.bytes());
        let Some(feeding) = self.master.sessions.get_mut(&replica) else { return };
        let Payload::Encoding(_, taken) = std::mem::replace(&mut feeding.payload, Payload::Sent) else {
            return;
        };
        let (snapshot, position) = *taken;
        let target = RdbTarget { psync2: feeding.session.hello().capa_psync2 };
        let mut bytes = Vec::new();
        let encoded = rdb::encode(snapshot, &EncodeOptions::for_target(target, Some(position)), &mut bytes);
        assert!(encoded.is_ok(), "memory takes everything");
        let form = match is_diskless && feeding.session.hello().capa_eof {
            true => PayloadForm::Marked(mark),
            false => PayloadForm::Length(ByteCount::of(bytes.len())),
        };
        feeding.session.handle_payload_begin(now, form);
        feeding.payload = Payload::Sending(bytes, 0);
    }

    pub(super) fn handle_replicas_bytes(
        &mut self,
        now: Duration,
        net: &mut Network,
        replica: ReplicaId,
        bytes: &[u8],
    ) {
        let visible = self.visible();
        let Some(feeding) = self.master.sessions.get_mut(&replica) else { return };
        if let Err(error) = feeding.session.handle_bytes(now, bytes, visible) {
            self.end_session(now, net, replica, &error.to_string());
        }
    }

    /// Sends each replica what there is for it, and carries on what it said.
    pub(super) fn pump_sessions(&mut self, now: Duration, net: &mut Network) {
        for replica in self.replicas() {
            self.handle_session_events(now, replica);
            if let Err(reason) = self.feed(now, net, replica) {
                self.end_session(now, net, replica, &reason);
            }
        }
        self.settle_master(now);
    }

    fn handle_session_events(&mut self, now: Duration, replica: ReplicaId) {
        let Some(feeding) = self.master.sessions.get_mut(&replica) else { return };
        while let Some(event) = feeding.session.poll_event() {
            if let SessionEvent::Acked { offset, offset_fsynced } = event {
                let node = feeding.node;
                let report = Report::GotAck { replica: node, offset, durable: offset_fsynced };
                self.reports.push(report);
            }
        }
        let (state, acked) = (feeding.session.state(), feeding.session.offset_acked());
        self.master.core.handle_state(replica, state);
        self.master.core.handle_ack(now, replica, acked);
    }

    fn feed(&mut self, now: Duration, net: &mut Network, replica: ReplicaId) -> Result<(), String> {
        let (id, conn) = (self.id, replica.get());
        let Some(feeding) = self.master.sessions.get_mut(&replica) else { return Ok(()) };
        feeding.session.handle_timeout(now).map_err(|error| error.to_string())?;
        let send_lines = |session: &mut ReplicaSession, net: &mut Network| {
            while let Some(lines) = session.poll_transmit() {
                net.send(now, conn, id, &lines);
            }
        };
        send_lines(&mut feeding.session, net);
        if let Payload::Sending(bytes, sent) = &mut feeding.payload {
            let count = net.room(conn, id).min(bytes.len() - *sent);
            net.send(now, conn, id, &bytes[*sent..*sent + count]);
            if count > 0 {
                feeding.session.handle_payload_sent(now, ByteCount::of(count));
            }
            *sent += count;
            if *sent == bytes.len() {
                feeding.payload = Payload::Sent;
                feeding.session.handle_payload_end(now).map_err(|error| error.to_string())?;
            }
        }
        send_lines(&mut feeding.session, net);
        let may_send = feeding.session.may_send_stream();
        if may_send && let Some(reader) = feeding.reader.take() {
            let reader = self.send_stream(now, net, conn, reader)?;
            if let Some(feeding) = self.master.sessions.get_mut(&replica) {
                feeding.reader = Some(reader);
            }
        }
        let Some(feeding) = self.master.sessions.get(&replica) else { return Ok(()) };
        let is_at_end = feeding
            .end
            .is_some_and(|end| feeding.reader.as_ref().is_none_or(|reader| reader.position() >= end));
        if is_at_end { Err("the stream goes on under another name".to_owned()) } else { Ok(()) }
    }

    /// Sends what the connection takes of the stream. Where the reader stands afterwards.
    fn send_stream(
        &self,
        now: Duration,
        net: &mut Network,
        conn: ConnId,
        mut reader: Reader,
    ) -> Result<Reader, String> {
        loop {
            let room = net.room(conn, self.id);
            match &mut reader {
                Reader::Memory(cursor) => {
                    let bytes = cursor.readable().map_err(|error| error.to_string())?;
                    let count = room.min(bytes.len());
                    if count == 0 {
                        return Ok(reader);
                    }
                    net.send(now, conn, self.id, &bytes[..count]);
                    cursor.consume(count);
                }
                Reader::Files(bookmark, cursor) => {
                    let border = bookmark.border().map_err(|error| error.to_string())?;
                    if room == 0 {
                        return Ok(reader);
                    }
                    match cursor.next_piece(border, room as u64).map_err(|error| error.to_string())? {
                        Some(piece) => {
                            let mut bytes = vec![0; usize::try_from(piece.bytes).unwrap_or(0)];
                            piece
                                .file
                                .read_exact_at(piece.at, &mut bytes)
                                .map_err(|error| error.to_string())?;
                            net.send(now, conn, self.id, &bytes);
                            cursor.consume(piece.bytes);
                            bookmark.advance(ByteCount::new(piece.bytes));
                        }
                        None if cursor.is_at_end() => reader = self.open_reader(bookmark.clone())?,
                        None => match bookmark.open_cursor() {
                            Ok(cursor) => reader = Reader::Memory(cursor),
                            Err(_) => return Ok(reader),
                        },
                    }
                }
            }
        }
    }

    fn end_session(&mut self, now: Duration, net: &mut Network, replica: ReplicaId, reason: &str) {
        net.close(now, replica.get(), self.id);
        self.peers.remove(&replica.get());
        self.lose_session(now, net, replica, reason);
    }

    pub(super) fn lose_session(&mut self, now: Duration, _: &mut Network, replica: ReplicaId, reason: &str) {
        let feeding = self.master.sessions.remove(&replica);
        if let Some(feeding) = feeding {
            self.say(format!("loses replica n{}: {reason}", feeding.node));
        }
        self.master.core.handle_lost(replica);
        self.settle_master(now);
    }

    /// After every message: lets waiting replicas join, and tells INFO.
    fn settle_master(&mut self, now: Duration) {
        while let Some(replica) = self.master.core.poll_admitted() {
            let at = now + self.chance.millis(0, 300);
            if let Some(feeding) = self.master.sessions.get_mut(&replica) {
                feeding.payload = Payload::Gathering(at);
            }
        }
        let durable = |id: &ReplicaId| self.master.sessions.get(id).map(|one| one.session.offset_fsynced());
        let replicas = self.master.core.replicas().map(|replica| ReplicaStatus {
            id: replica.id,
            offset_durable: durable(&replica.id).unwrap_or_default(),
            ip: replica.ip.clone(),
            port: replica.port,
            state: replica.state.info_name(),
            offset: replica.offset_acked,
            acked_at: self.engine.now,
        });
        self.engine.status.replicas = replicas.collect();
        self.engine.answer_waiting();
    }

    fn replicas(&self) -> Vec<ReplicaId> {
        self.master.sessions.keys().copied().collect()
    }

    pub(super) fn repl_timeout(&self) -> Duration {
        Duration::from_secs(self.setup.settings.repl_timeout_seconds)
    }
}

fn node_of(hello: &ReplicaHello) -> NodeId {
    usize::from(hello.listening_port.saturating_sub(PORT_BASE))
}
