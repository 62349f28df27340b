//! The master's view of one replica on a TCP link, from its SYNC or PSYNC to its end.
//!
//! It says the lines around payload and stream and reads what the replica answers. The payload and the log's bytes
//! never pass through it: the driver moves them, and asks when and from where.
//! It decides nothing about resyncs ([`MasterCore`](crate::MasterCore) does) and knows no snapshot.

use std::time::Duration;

use rejoin_protocol::psync::reply::{write_continue, write_full_resync};
use rejoin_protocol::psync::{EofMark, PayloadHead, ReplconfOption, ReplconfOptions};
use rejoin_protocol::resp::{ArgRange, RequestError, RequestLimits, RequestParser, encode_command};
use rejoin_protocol::{ByteCount, DbIndex, NextOffset, Offset, ReplicationId};
use thiserror::Error;

use crate::excerpt::Excerpt;

/// What a replica told of itself by REPLCONF before it asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaHello {
    /// The port on which it serves its own clients; 0 if it did not say.
    pub listening_port: u16,
    /// The address it wants to be shown with.
    pub ip_address: Option<String>,
    /// It understands `$EOF:` payloads.
    pub capa_eof: bool,
    /// It understands `+CONTINUE <id>`.
    pub capa_psync2: bool,
    /// It is a node of our kind: it reads whatever our own files hold.
    pub capa_rejoin: bool,
    /// It wants the snapshot only, no stream (redis-cli --rdb).
    pub rdb_only: bool,
    /// It wants a snapshot without keys (redis-cli --functions-rdb).
    pub rdb_without_data: bool,
    /// The version it stated (Valkey).
    pub version: Option<String>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// `repl-timeout`: silence (or a payload that does not move) for so long ends the session.
    pub repl_timeout: Duration,
    /// How often a newline keeps a waiting replica patient.
    pub keepalive_period: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { repl_timeout: Duration::from_secs(60), keepalive_period: Duration::from_secs(1) }
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// A snapshot is to come; newlines flow.
    WaitingForSnapshot,
    /// The driver sends the payload.
    SendingSnapshot,
    /// The payload went out as `$EOF:`; the stream starts at the first ACK.
    WaitingForFirstAck,
    /// The stream flows.
    Online,
    /// It wanted the snapshot only and has it; it will close the link.
    SnapshotSent,
}

impl SessionState {
    /// INFO's word for it. A replica that has its payload counts as online, as in Redis.
    #[must_use]
    pub fn info_name(self) -> &'static str {
        match self {
            Self::WaitingForSnapshot => "wait_bgsave",
            Self::SendingSnapshot => "send_bulk",
            Self::WaitingForFirstAck | Self::Online => "online",
            Self::SnapshotSent => "rdb_transmitted",
        }
    }
}

/// How the payload travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadForm {
    /// `$<len>`: the length is known before the first byte.
    Length(ByteCount),
    /// `$EOF:`, ended by this mark. Only for replicas with `capa eof`.
    Marked(EofMark),
}

/// What a session tells its driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// Send the stream from here.
    Online {
        /// The first byte to send.
        from: NextOffset,
    },
    /// The replica acknowledged.
    Acked {
        /// The last byte it has applied.
        offset: Offset,
        /// The last byte it has on disk, as far as it said (FACK).
        offset_fsynced: Offset,
    },
    /// The replica that wanted the snapshot only has it.
    SnapshotSent,
}

/// Why a session ends.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SessionError {
    /// Nothing came for too long.
    #[error("replica timed out while {}: nothing for {silent_for:?}", state.info_name())]
    TimedOut {
        /// Where it stood.
        state: SessionState,
        /// How long nothing came.
        silent_for: Duration,
    },
    /// It acknowledged bytes that do not exist.
    #[error("replica acknowledged {acked}, but the stream ends at {visible}")]
    AckBeyondEnd {
        /// What it said.
        acked: Offset,
        /// The last byte it can have.
        visible: Offset,
    },
    /// It sent an ACK that is none.
    #[error("replica sent an unreadable REPLCONF ACK: {0}")]
    UnreadableAck(Excerpt),
    /// It sent what no replica sends.
    #[error("replica sent an unexpected command: {0}")]
    UnexpectedCommand(Excerpt),
    /// It began a command that no replica sends and does not end it.
    #[error("replica sent {INPUT_BYTES_MAX} bytes without ending a command: {0}")]
    CommandTooLong(Excerpt),
    /// It does not speak RESP.
    #[error("replica broke the protocol ({reason}): {came}")]
    Unreadable {
        /// The parser's word.
        #[source]
        reason: RequestError,
        /// What came.
        came: Excerpt,
    },
    /// Our fault: the payload's length was not the one announced.
    #[error("payload of {announced} bytes announced, {sent} sent")]
    PayloadLength {
        /// What the header said.
        announced: ByteCount,
        /// What went out.
        sent: ByteCount,
    },
    /// It is to be told the stream's database in bytes that its offset would count, and has too few for that.
    #[error(
        "the stream is too short, at {offset}, for a replica without psync2 to be told its database {db}"
    )]
    StreamTooShort {
        /// Where its snapshot was taken.
        offset: Offset,
        /// What the stream has selected there.
        db: DbIndex,
    },
}

/// The master's view of one replica.
///
/// * Getters: [`state`](Self::state), [`may_send_stream`](Self::may_send_stream),
///   [`stream_from`](Self::stream_from), [`offset_acked`](Self::offset_acked), [`acked_at`](Self::acked_at), ...
/// * `handle_*`: bytes from the replica, the progress of its snapshot, time.
/// * Commands: [`set_repl_timeout`](Self::set_repl_timeout).
/// * `poll_*`: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
///
/// What [`poll_transmit`](Self::poll_transmit) returns goes out before payload or stream bytes that the driver sends
/// after the call that made it. After an error the link is to be closed.
#[derive(Debug)]
pub struct ReplicaSession {
    settings: SessionSettings,
    hello: ReplicaHello,
    /// Asked by SYNC: no `+FULLRESYNC`, and no ACK to wait for once it is online.
    legacy: bool,
    state: SessionState,
    /// Set when the snapshot was taken, or at once for a session that continues.
    stream_from: Option<NextOffset>,
    /// Set before the snapshot; goes out before the stream's first byte, and is no part of it.
    preamble: Vec<u8>,
    /// Set when the payload begins.
    form: Option<PayloadForm>,
    /// Rises while the payload is sent.
    payload_bytes_sent: ByteCount,
    /// Rises with ACKs, up to the end of our stream.
    offset_acked: Offset,
    /// Rises with FACKs.
    offset_fsynced: Offset,
    /// The last sign of life; while a snapshot is sent, the last time the payload moved.
    last_sign: Duration,
    /// When the next newline is due, while it waits.
    next_keepalive: Duration,
    /// What the replica sent and is not yet a whole command.
    input: Vec<u8>,
    parser: RequestParser,
    /// What waits to be sent.
    out: Vec<u8>,
    /// What waits to be polled: each kind at most once.
    online_unpolled: bool,
    acked_unpolled: bool,
    snapshot_sent_unpolled: bool,
}

/// Bytes of a command on its way that are kept at most.
pub const INPUT_BYTES_MAX: usize = 64 << 10;

/// What a replica may send: commands of a few short arguments.
fn input_limits() -> RequestLimits {
    RequestLimits { args_max: 32, bulk_bytes_max: 1024, ..RequestLimits::default() }
}

impl ReplicaSession {
    /// A session that goes on with the stream: `+CONTINUE`, then bytes from `from`, at once.
    /// `replid` is our stream's name, which replicas with `capa psync2` are told.
    #[must_use]
    pub fn continuing(
        now: Duration,
        settings: SessionSettings,
        hello: ReplicaHello,
        replid: ReplicationId,
        from: NextOffset,
    ) -> Self {
        let mut session = Self::new(now, settings, hello);
        write_continue(&mut session.out, session.hello.capa_psync2.then_some(replid));
        session.stream_from = Some(from);
        session.offset_acked = from.prior();
        session.become_online(now);
        session
    }

    /// A session that waits for a snapshot. `legacy`: it asked by SYNC, gets no `+FULLRESYNC`, and sends no ACKs.
    #[must_use]
    pub fn full(now: Duration, settings: SessionSettings, hello: ReplicaHello, legacy: bool) -> Self {
        Self { legacy, ..Self::new(now, settings, hello) }
    }

    fn new(now: Duration, settings: SessionSettings, hello: ReplicaHello) -> Self {
        Self {
            settings,
            hello,
            legacy: false,
            state: SessionState::WaitingForSnapshot,
            stream_from: None,
            preamble: Vec::new(),
            form: None,
            payload_bytes_sent: ByteCount::ZERO,
            offset_acked: Offset::ZERO,
            offset_fsynced: Offset::ZERO,
            last_sign: now,
            next_keepalive: now + settings.keepalive_period,
            input: Vec::new(),
            parser: RequestParser::default(),
            out: Vec::new(),
            online_unpolled: false,
            acked_unpolled: false,
            snapshot_sent_unpolled: false,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// What the replica told of itself.
    #[must_use]
    pub fn hello(&self) -> &ReplicaHello {
        &self.hello
    }

    /// Whether log bytes may be sent now.
    #[must_use]
    pub fn may_send_stream(&self) -> bool {
        self.state == SessionState::Online
    }

    /// The first log byte to send, once it is known: as soon as the snapshot was taken. The log is to keep it.
    #[must_use]
    pub fn stream_from(&self) -> Option<NextOffset> {
        self.stream_from
    }

    /// The last byte it acknowledged as applied.
    #[must_use]
    pub fn offset_acked(&self) -> Offset {
        self.offset_acked
    }

    /// The last byte it acknowledged as on disk (FACK); zero if it never did.
    #[must_use]
    pub fn offset_fsynced(&self) -> Offset {
        self.offset_fsynced
    }

    /// When it last gave a sign of life: an ACK, a newline while it loads, a payload that moves.
    #[must_use]
    pub fn acked_at(&self) -> Duration {
        self.last_sign
    }

    /// Bytes of the payload sent so far.
    #[must_use]
    pub fn payload_bytes_sent(&self) -> ByteCount {
        self.payload_bytes_sent
    }

    /// `repl-timeout` was changed.
    pub fn set_repl_timeout(&mut self, repl_timeout: Duration) {
        self.settings.repl_timeout = repl_timeout;
    }

    /// The stream goes on behind `offset` in the database `db` without saying so, since it is another master's. A replica
    /// that cannot find that in its payload (no `capa psync2`) is sent a SELECT between payload and stream. Valid before
    /// [`handle_snapshot_taken`](Self::handle_snapshot_taken).
    pub fn handle_stream_database(&mut self, offset: Offset, db: DbIndex) -> Result<(), SessionError> {
        assert!(self.stream_from.is_none(), "the database comes before the snapshot");
        if self.hello.capa_psync2 || self.hello.rdb_only || db == DbIndex::new(0) {
            return Ok(());
        }
        encode_command(&mut self.preamble, &["SELECT", &db.get().to_string()]);
        // Who asked by SYNC counts no offset.
        if !self.legacy && offset.get() < self.preamble.len() as u64 {
            return Err(SessionError::StreamTooShort { offset, db });
        }
        Ok(())
    }

    /// The snapshot was taken: at `offset`, of the stream `replid`. Says `+FULLRESYNC`.
    /// Valid once, in [`SessionState::WaitingForSnapshot`].
    pub fn handle_snapshot_taken(&mut self, now: Duration, replid: ReplicationId, offset: Offset) {
        assert_eq!(
            self.state,
            SessionState::WaitingForSnapshot,
            "a snapshot for a session that waits for none"
        );
        assert!(self.stream_from.is_none(), "a second snapshot for one session");
        self.last_sign = now;
        self.stream_from = Some(offset.next());
        if self.legacy {
            return;
        }
        match offset.get().checked_sub(self.preamble.len() as u64).map(Offset::new) {
            // It will count the preamble: of 500 announced and 23 sent comes 523, where we are. Until it has read all of it
            // its offset names a place in the midst of other commands. Therefore it may not come back by our stream's
            // name: under one that nobody has it gets everything anew.
            Some(announced) if announced != offset => {
                write_full_resync(&mut self.out, ReplicationId::NONE, announced);
            }
            _ => write_full_resync(&mut self.out, replid, offset),
        }
    }

    /// The payload is about to be sent in `form`. Says `$...`. Valid once, after
    /// [`handle_snapshot_taken`](Self::handle_snapshot_taken).
    pub fn handle_payload_begin(&mut self, now: Duration, form: PayloadForm) {
        assert_eq!(self.state, SessionState::WaitingForSnapshot, "a payload begins once");
        assert!(self.stream_from.is_some(), "a payload begins after its snapshot was taken");
        let head = match form {
            PayloadForm::Length(length) => PayloadHead::Length(length),
            PayloadForm::Marked(mark) => {
                assert!(self.hello.capa_eof, "only a replica with `capa eof` finds a payload's mark");
                PayloadHead::UntilMark(mark)
            }
        };
        head.write(&mut self.out);
        self.form = Some(form);
        self.state = SessionState::SendingSnapshot;
        self.last_sign = now;
    }

    /// The socket took `bytes` more of the payload.
    pub fn handle_payload_sent(&mut self, now: Duration, bytes: ByteCount) {
        self.payload_bytes_sent = ByteCount::new(self.payload_bytes_sent.get().saturating_add(bytes.get()));
        self.last_sign = now;
    }

    /// The payload is out. Says the mark, if there is one.
    pub fn handle_payload_end(&mut self, now: Duration) -> Result<(), SessionError> {
        assert_eq!(self.state, SessionState::SendingSnapshot, "a payload ends after it began");
        self.last_sign = now;
        let sent = self.payload_bytes_sent;
        let marked = match self.form {
            Some(PayloadForm::Length(announced)) if announced != sent => {
                return Err(SessionError::PayloadLength { announced, sent });
            }
            Some(PayloadForm::Marked(mark)) => {
                self.out.extend_from_slice(mark.as_bytes());
                true
            }
            _ => false,
        };
        if self.hello.rdb_only {
            self.state = SessionState::SnapshotSent;
            self.snapshot_sent_unpolled = true;
        } else if marked {
            self.state = SessionState::WaitingForFirstAck;
        } else {
            self.become_online(now);
        }
        Ok(())
    }

    /// Bytes from the replica. `visible`: the last byte of our stream that it can have been sent.
    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8], visible: Offset) -> Result<(), SessionError> {
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        let mut args = Vec::new();
        let mut taken = 0;
        loop {
            args.clear();
            let unread = &mut input[taken..];
            match self.parser.parse(unread, &input_limits(), &mut args) {
                Ok(Some(len)) => {
                    self.handle_command(now, unread, &args, visible)?;
                    taken += len;
                }
                Ok(None) if unread.len() > INPUT_BYTES_MAX => {
                    return Err(SessionError::CommandTooLong(Excerpt::of(unread)));
                }
                Ok(None) => break,
                Err(reason) => return Err(SessionError::Unreadable { reason, came: Excerpt::of(unread) }),
            }
        }
        input.drain(..taken);
        self.input = input;
        Ok(())
    }

    /// Time has passed: keep-alives, or the end.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), SessionError> {
        if self.state == SessionState::WaitingForSnapshot {
            // One newline at a time: a replica that does not read is not to cost memory.
            if now >= self.next_keepalive && self.out.is_empty() {
                PayloadHead::KeepAlive.write(&mut self.out);
            }
            if now >= self.next_keepalive {
                self.next_keepalive = now + self.settings.keepalive_period;
            }
        }
        match self.deadline() {
            Some(deadline) if now >= deadline => Err(SessionError::TimedOut {
                state: self.state,
                silent_for: now.saturating_sub(self.last_sign),
            }),
            _ => Ok(()),
        }
    }

    /// Bytes for the replica.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// What happened. Acknowledgements that were not polled are told as one, the latest.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        if std::mem::take(&mut self.snapshot_sent_unpolled) {
            return Some(SessionEvent::SnapshotSent);
        }
        if std::mem::take(&mut self.online_unpolled) {
            return self.stream_from.map(|from| SessionEvent::Online { from });
        }
        std::mem::take(&mut self.acked_unpolled)
            .then_some(SessionEvent::Acked { offset: self.offset_acked, offset_fsynced: self.offset_fsynced })
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            SessionState::WaitingForSnapshot => Some(self.next_keepalive),
            _ => self.deadline(),
        }
    }

    /// When silence is too long. Who waits for us has none (newlines find a dead link); who came by SYNC never
    /// acknowledges a stream.
    fn deadline(&self) -> Option<Duration> {
        match self.state {
            SessionState::WaitingForSnapshot => None,
            SessionState::Online if self.legacy => None,
            _ => Some(self.last_sign + self.settings.repl_timeout),
        }
    }

    fn become_online(&mut self, now: Duration) {
        self.state = SessionState::Online;
        self.out.append(&mut self.preamble);
        self.last_sign = now;
        self.online_unpolled = true;
    }

    fn handle_command(
        &mut self,
        now: Duration,
        input: &[u8],
        args: &[ArgRange],
        visible: Offset,
    ) -> Result<(), SessionError> {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.of(input)).collect();
        let Some((name, options)) = args.split_first() else {
            // An empty line: it loads and asks for patience.
            self.handle_sign_of_life(now);
            return Ok(());
        };
        if name.eq_ignore_ascii_case(b"PING") {
            self.handle_sign_of_life(now);
            return Ok(());
        }
        if !name.eq_ignore_ascii_case(b"REPLCONF") {
            return Err(SessionError::UnexpectedCommand(Excerpt::of(&args.join(&b' '))));
        }
        // Other options come too late to matter, and none is answered here.
        for option in ReplconfOptions::new(options).into_iter().flatten().flatten() {
            match option {
                ReplconfOption::Ack { offset, durable } => self.handle_ack(now, offset, durable, visible)?,
                ReplconfOption::MalformedAck => {
                    return Err(SessionError::UnreadableAck(Excerpt::of(&args.join(&b' '))));
                }
                _ => self.handle_sign_of_life(now),
            }
        }
        Ok(())
    }

    /// While the payload is sent only its progress counts: a replica may talk and yet not read.
    fn handle_sign_of_life(&mut self, now: Duration) {
        if self.state != SessionState::SendingSnapshot {
            self.last_sign = now;
        }
    }

    fn handle_ack(
        &mut self,
        now: Duration,
        offset: Offset,
        durable: Option<Offset>,
        visible: Offset,
    ) -> Result<(), SessionError> {
        if let Some(acked) = [Some(offset), durable].into_iter().flatten().find(|acked| *acked > visible) {
            return Err(SessionError::AckBeyondEnd { acked, visible });
        }
        self.handle_sign_of_life(now);
        if self.state == SessionState::WaitingForFirstAck {
            self.become_online(now);
        }
        if self.state == SessionState::Online {
            // An older offset is no news: redis-cli --replica says `ACK 0` to start the stream.
            self.offset_acked = self.offset_acked.max(offset);
            self.offset_fsynced = self.offset_fsynced.max(durable.unwrap_or_default());
            self.acked_unpolled = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
