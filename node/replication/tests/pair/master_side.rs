//! The smallest driver of [`MasterCore`] and [`ReplicaSession`]: a node that serves clients, keeps a log, and makes a
//! payload out of it after a while.

use std::time::Duration;

use rejoin_protocol::psync::{Capability, EofMark, PsyncRequest, ReplconfOption, ReplconfOptions};
use rejoin_protocol::resp::{ArgRange, RequestLimits, RequestParser, encode_command};
use rejoin_protocol::{ByteCount, NextOffset, Offset, ReplicaId, ReplicationId};
use rejoin_replication::{
    AttachDecision, Lineage, LogRange, MasterCore, PayloadForm, ReplicaHello, ReplicaSession, SessionEvent,
    SessionSettings, Wanted,
};

use super::link::{Link, Side};
use super::payload_of;
use super::transcript::Transcript;

/// What the master can do.
pub struct Abilities {
    pub password: Option<&'static str>,
    pub knows_psync: bool,
    /// It sends `$EOF:` to those who can take it.
    pub is_diskless: bool,
    pub is_loading: bool,
    /// From asking to the snapshot.
    pub snapshot_after: Duration,
    /// From the snapshot to the payload (a file is written first).
    pub payload_after: Duration,
}

/// A full sync on its way.
#[derive(Default)]
struct Snapshot {
    taken_at: Option<Duration>,
    begins_at: Option<Duration>,
    payload: Vec<u8>,
}

pub struct MasterSide {
    pub core: MasterCore,
    /// All that was ever written: byte 1 is at index 0.
    pub stream: Vec<u8>,
    /// The first byte that the log still has.
    pub hot_first: NextOffset,
    pub abilities: Abilities,
    /// The link is to be closed: set by errors, and by tests.
    pub wants_close: bool,
    /// The last error of a session.
    pub last_error: Option<String>,
    /// Payload bytes of a defective master: replaces what would be sent.
    pub payload_override: Option<Vec<u8>>,
    /// Who is on the link, before it is a replica.
    client: Client,
    replica: Option<(ReplicaId, ReplicaSession)>,
    snapshot: Snapshot,
    cursor: Offset,
    links: u64,
}

#[derive(Default)]
struct Client {
    input: Vec<u8>,
    parser: RequestParser,
    authenticated: bool,
    hello: ReplicaHello,
    out: Vec<u8>,
}

impl MasterSide {
    pub fn new(replid: ReplicationId) -> Self {
        Self {
            core: MasterCore::new(Lineage::new(replid), 1),
            stream: Vec::new(),
            hot_first: NextOffset::FIRST,
            abilities: Abilities {
                password: None,
                knows_psync: true,
                is_diskless: true,
                is_loading: false,
                snapshot_after: Duration::from_millis(2500),
                payload_after: Duration::ZERO,
            },
            wants_close: false,
            last_error: None,
            payload_override: None,
            client: Client::default(),
            replica: None,
            snapshot: Snapshot::default(),
            cursor: Offset::ZERO,
            links: 0,
        }
    }

    pub fn visible(&self) -> Offset {
        Offset::new(self.stream.len() as u64)
    }

    pub fn session(&self) -> Option<&ReplicaSession> {
        self.replica.as_ref().map(|(_, session)| session)
    }

    pub fn write(&mut self, args: &[&str]) {
        encode_command(&mut self.stream, args);
    }

    /// The log forgets all but its last `bytes`.
    pub fn forget_all_but(&mut self, bytes: u64) {
        self.hot_first = Offset::new(self.visible().get() - bytes).next();
    }

    pub fn accept(&mut self) {
        self.links += 1;
        self.client = Client::default();
    }

    pub fn lose_link(&mut self) {
        if let Some((id, _)) = self.replica.take() {
            self.core.handle_lost(id);
        }
        self.snapshot = Snapshot::default();
    }

    pub fn next_timeout(&self) -> Option<Duration> {
        let session = self.session().and_then(ReplicaSession::poll_timeout);
        [session, self.snapshot.taken_at, self.snapshot.begins_at].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        if self.snapshot.taken_at.is_some_and(|at| now >= at) {
            self.take_snapshot(now);
        }
        if self.snapshot.begins_at.is_some_and(|at| now >= at) {
            self.snapshot.begins_at = None;
            self.begin_payload(now);
        }
        if let Some((_, session)) = &mut self.replica
            && let Err(error) = session.handle_timeout(now)
        {
            self.fail(error.to_string());
        }
    }

    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8], transcript: &mut Transcript) {
        if self.replica.is_none() {
            self.client.input.extend_from_slice(bytes);
            while self.replica.is_none() && self.handle_request(now, transcript) {}
            if self.replica.is_some() {
                let rest = std::mem::take(&mut self.client.input);
                self.handle_replica_bytes(now, &rest);
            }
        } else {
            self.handle_replica_bytes(now, bytes);
        }
    }

    /// Sends what is to be sent.
    pub fn pump(&mut self, now: Duration, link: Option<&mut Link>, transcript: &mut Transcript) {
        let Some(link) = link else { return };
        let answers = std::mem::take(&mut self.client.out);
        transcript.master_says(&answers);
        link.send(now, Side::Replica, &answers);
        let Some((id, session)) = &mut self.replica else { return };
        if let Some(lines) = session.poll_transmit() {
            transcript.master_says(&lines);
            link.send(now, Side::Replica, &lines);
        }
        let payload = std::mem::take(&mut self.snapshot.payload);
        if !payload.is_empty() {
            transcript.master_sends_payload(payload.len());
            for piece in payload.chunks(100) {
                link.send(now, Side::Replica, piece);
                session.handle_payload_sent(now, ByteCount::of(piece.len()));
            }
            session.handle_payload_end(now).unwrap();
            if let Some(mark) = session.poll_transmit() {
                transcript.master_says_mark(&mark);
                link.send(now, Side::Replica, &mark);
            }
        }
        while let Some(event) = session.poll_event() {
            match event {
                SessionEvent::Online { from } => self.cursor = from.prior(),
                SessionEvent::Acked { offset, .. } => self.core.handle_ack(now, *id, offset),
                SessionEvent::SnapshotSent => {
                    transcript.note("the master has sent the snapshot that was asked for")
                }
            }
        }
        self.core.handle_state(*id, session.state());
        if session.may_send_stream() {
            let from = usize::try_from(self.cursor.get()).unwrap();
            let bytes = &self.stream[from..];
            transcript.master_streams(bytes);
            link.send(now, Side::Replica, bytes);
            self.cursor = Offset::new(self.stream.len() as u64);
        }
    }

    fn handle_replica_bytes(&mut self, now: Duration, bytes: &[u8]) {
        let visible = self.visible();
        let Some((_, session)) = &mut self.replica else { return };
        if let Err(error) = session.handle_bytes(now, bytes, visible) {
            self.fail(error.to_string());
        }
    }

    fn fail(&mut self, error: String) {
        self.last_error = Some(error);
        self.wants_close = true;
    }

    /// Serves one request of a client; `false` if none is whole.
    fn handle_request(&mut self, now: Duration, transcript: &mut Transcript) -> bool {
        let mut args: Vec<ArgRange> = Vec::new();
        let parsed = self.client.parser.parse(&mut self.client.input, &RequestLimits::default(), &mut args);
        let Some(len) = parsed.expect("our own replica speaks RESP") else { return false };
        let request: Vec<u8> = self.client.input.drain(..len).collect();
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.of(&request)).collect();
        let Some((name, rest)) = args.split_first() else { return true };
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        if self.abilities.password.is_some() && !self.client.authenticated && name != "AUTH" {
            self.answer("-NOAUTH Authentication required.");
            return true;
        }
        match name.as_str() {
            "PING" => self.answer("+PONG"),
            "AUTH" => {
                self.client.authenticated =
                    rest.last().copied() == self.abilities.password.map(str::as_bytes);
                self.answer(if self.client.authenticated { "+OK" } else { "-WRONGPASS invalid password" });
            }
            "REPLCONF" if !self.abilities.knows_psync => self.answer("-ERR unknown command 'REPLCONF'"),
            "REPLCONF" => self.handle_replconf(rest),
            "PSYNC" if self.abilities.is_loading => self.answer("-LOADING the dataset is being loaded"),
            "PSYNC" if !self.abilities.knows_psync => self.answer("-ERR unknown command 'PSYNC'"),
            "PSYNC" => self.attach(now, Wanted::from(&PsyncRequest::parse(rest).unwrap()), transcript),
            "SYNC" => self.attach(now, Wanted::LegacySync, transcript),
            other => panic!("our own replica said {other}"),
        }
        true
    }

    fn handle_replconf(&mut self, rest: &[&[u8]]) {
        for option in ReplconfOptions::new(rest).unwrap() {
            match option.unwrap() {
                ReplconfOption::ListeningPort(port) => {
                    self.client.hello.listening_port = port.try_into().unwrap()
                }
                ReplconfOption::Capa(Some(Capability::Eof)) => self.client.hello.capa_eof = true,
                ReplconfOption::Capa(Some(Capability::Psync2)) => self.client.hello.capa_psync2 = true,
                ReplconfOption::RdbOnly(only) => self.client.hello.rdb_only = only,
                _ => {}
            }
        }
        self.answer("+OK");
    }

    fn answer(&mut self, line: &str) {
        self.client.out.extend_from_slice(line.as_bytes());
        self.client.out.extend_from_slice(b"\r\n");
    }

    fn attach(&mut self, now: Duration, wanted: Wanted, transcript: &mut Transcript) {
        let id = ReplicaId::new(self.links);
        let hello = self.client.hello.clone();
        let log = LogRange::hot_only(self.hot_first, self.visible());
        let settings = SessionSettings::default();
        match self.core.handle_attach(now, id, "192.0.2.7", &hello, wanted, log) {
            AttachDecision::Continue { from, replid } => {
                self.replica = Some((id, ReplicaSession::continuing(now, settings, hello, replid, from)));
            }
            AttachDecision::Full { reason, admitted } => {
                assert!(admitted, "one replica, one token");
                transcript.note(&format!("the master logs: {reason}"));
                let legacy = wanted == Wanted::LegacySync;
                self.replica = Some((id, ReplicaSession::full(now, settings, hello, legacy)));
                self.snapshot.taken_at = Some(now + self.abilities.snapshot_after);
            }
            AttachDecision::NotNow { error } => self.answer(&format!("-{error}")),
            AttachDecision::History { .. } => unreachable!("this log has no history"),
        }
    }

    fn take_snapshot(&mut self, now: Duration) {
        self.snapshot.taken_at = None;
        self.snapshot.begins_at = Some(now + self.abilities.payload_after);
        let (replid, visible) = (self.core.lineage().current(), self.visible());
        if let Some((_, session)) = &mut self.replica {
            session.handle_snapshot_taken(now, replid, visible);
        }
    }

    fn begin_payload(&mut self, now: Duration) {
        let Some((_, session)) = &mut self.replica else { return };
        let taken_at = usize::try_from(session.stream_from().unwrap().prior().get()).unwrap();
        let payload = self.payload_override.take().unwrap_or_else(|| payload_of(&self.stream[..taken_at]));
        let form = if self.abilities.is_diskless && session.hello().capa_eof {
            PayloadForm::Marked(EofMark::from_random([0xe0; 20]))
        } else {
            PayloadForm::Length(ByteCount::of(payload.len()))
        };
        session.handle_payload_begin(now, form);
        self.snapshot.payload = payload;
    }
}
