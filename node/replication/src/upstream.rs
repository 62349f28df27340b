//! Our side of a TCP link to a master: handshake, resync, payload, up to the first byte of the stream.
//!
//! It keeps no input: the driver's buffer is read in place, payload bytes are named, not copied. It does not load,
//! apply or acknowledge: a [`Follower`](crate::Follower) takes over at the stream.
//!
//! The order of things: PING, AUTH and all REPLCONFs go out in one piece (a server of any version answers a pipeline
//! in order), PSYNC once all of them are answered, so that a master which wants a password is told from one that knows
//! no PSYNC; SYNC where PSYNC is refused. A refused REPLCONF is no obstacle, as ever since Redis 2.8.
//!
//! Who holds something says so with [`Upstream::with_lineage`]: then the master is asked by INFO which stream it has, in the
//! same piece. Where ours has parted from it ([`UpstreamEvent::Diverged`]), the conversation rests until the driver has
//! gone back to the last common byte, or could not ([`Upstream::handle_rewound`]).

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_protocol::psync::handshake::{
    PING, SYNC, write_auth, write_capabilities, write_ip_address, write_listening_port, write_psync,
    write_version,
};
use rejoin_protocol::psync::{
    Capability, EofScanner, HandshakeReply, LINE_BYTES_MAX, PayloadHead, PayloadHeadError, PsyncReply,
    take_line,
};
use rejoin_protocol::resp::encode_command;
use rejoin_protocol::{ByteCount, Offset, ReplicationId};
use thiserror::Error;

use crate::excerpt::Excerpt;
use crate::follower::FirstAck;
use crate::ladder::Wanted;
use crate::lineage::Lineage;
use crate::rewind::{Divergence, MasterStream, Relation, relate};
use crate::takeover::{Question, Refusal, Takeover};

/// What a master's answer to INFO may have; stock servers say 500 bytes, and 100 for each replica.
const INFO_BYTES_MAX: usize = 256 << 10;

/// `masteruser` and `masterauth`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, if not the default one (AUTH with two arguments, Redis 6).
    pub user: Option<String>,
    /// The password.
    pub password: Vec<u8>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What we tell a master of ourselves, and how long it may take.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// `repl-timeout`: silence for so long ends the link, in every phase.
    pub repl_timeout: Duration,
    /// How often a newline tells a master that we are still loading.
    pub keepalive_period: Duration,
    /// How to authenticate, if at all.
    pub credentials: Option<Credentials>,
    /// The port on which we serve clients.
    pub listening_port: u16,
    /// `replica-announce-ip`.
    pub announce_ip: Option<String>,
    /// What we tell a Valkey master (`REPLCONF version`); `None` gets the RDB version that all can read.
    pub version: Option<String>,
    /// FAILOVER: whether the one we ask is our replica, and is to take over.
    pub takeover: Takeover,
}

/// Where the conversation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamPhase {
    /// PING is unanswered.
    Ping,
    /// AUTH is unanswered.
    Auth,
    /// A REPLCONF is unanswered.
    Replconf,
    /// INFO is unanswered.
    Info,
    /// The driver goes back to where our stream parted from the master's.
    Rewinding,
    /// PSYNC is unanswered.
    Psync,
    /// The payload is to come.
    PayloadHeader,
    /// The payload comes.
    Payload,
    /// The payload is complete; the driver loads.
    Loading,
    /// What comes is the stream.
    Stream,
}

/// What a master tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamEvent {
    /// `+CONTINUE [id]`: the stream goes on where we asked.
    Continue {
        /// The master's name for it, if it told one.
        replid: Option<ReplicationId>,
    },
    /// A payload begins. After a fallback to SYNC neither replid nor offset is known: the driver then makes up a
    /// replid and counts the stream from zero, and the next sync is a full one again.
    FullSync {
        /// The stream's name.
        replid: Option<ReplicationId>,
        /// The last byte of the stream that the payload contains.
        offset: Option<Offset>,
        /// The payload's length; `None` for `$EOF:`.
        length: Option<ByteCount>,
    },
    /// The payload is complete (not yet verified).
    PayloadEnd,
    /// The master's stream was compared with ours, and it is not what we hold that goes on: for the log. PSYNC is asked
    /// all the same.
    Compared {
        /// How they stand to each other.
        relation: Relation,
        /// What the master told.
        master: MasterStream,
    },
    /// Our stream has parted from the master's. PSYNC waits for [`Upstream::handle_rewound`].
    Diverged {
        /// Where.
        divergence: Divergence,
        /// What the master told.
        master: MasterStream,
    },
}

/// What the first bytes of the input were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// So many bytes of conversation. Zero: more input is needed.
    Conversation(usize),
    /// Payload for the loader: first `held`, then `chunk`.
    Payload {
        /// Bytes taken earlier, that could have been the beginning of the mark and were not.
        held: &'a [u8],
        /// Bytes of this input.
        chunk: &'a [u8],
        /// How many bytes of the input were taken.
        taken: usize,
    },
    /// Nothing was taken: the input is stream from here on, for good.
    Stream,
}

/// Why the link is to be closed. Every error names the phase and what came.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UpstreamError {
    /// Nothing came for too long.
    #[error("master timed out in phase {phase:?}: nothing for {silent_for:?}")]
    TimedOut {
        /// Where it stood.
        phase: UpstreamPhase,
        /// How long nothing came.
        silent_for: Duration,
    },
    /// The master cannot serve replicas just now (-LOADING, -NOMASTERLINK, -MASTERDOWN, -BUSY).
    #[error("master asks to try again later in phase {phase:?}: {said}")]
    TryLater {
        /// Where it stood.
        phase: UpstreamPhase,
        /// What it said.
        said: String,
    },
    /// The master does not let us in: a matter of configuration.
    #[error("master refused us in phase {phase:?}: {said}")]
    Refused {
        /// Where it stood.
        phase: UpstreamPhase,
        /// What it said.
        said: String,
    },
    /// It took our place, and is to be asked as a master from now on: it does not have all that we hold, or had taken our
    /// place before this link asked.
    #[error("it took over from us, and is asked as our master now: {said}")]
    TookOver {
        /// What it said.
        said: String,
    },
    /// An error in place of the payload.
    #[error("master gave up the full sync: {said}")]
    Aborted {
        /// What it said.
        said: String,
    },
    /// Not the protocol.
    #[error("master broke the protocol in phase {phase:?}: {reason}")]
    Unreadable {
        /// Where it stood.
        phase: UpstreamPhase,
        /// What is wrong with what came.
        reason: String,
    },
    /// A line without an end.
    #[error("master sent a line of more than {LINE_BYTES_MAX} bytes in phase {phase:?}: {came}")]
    LineTooLong {
        /// Where it stood.
        phase: UpstreamPhase,
        /// What came.
        came: Excerpt,
    },
}

/// How the payload's end is known.
#[derive(Debug)]
enum PayloadEnd {
    /// So many bytes are still to come.
    After(u64),
    /// It is marked.
    Marked(Box<EofScanner>),
}

/// Our side of a link to a master.
///
/// * Getters: [`phase`](Self::phase), [`payload_bytes_read`](Self::payload_bytes_read),
///   [`first_ack`](Self::first_ack), [`takes_over`](Self::takes_over).
/// * `handle_*`: [`handle_bytes`](Self::handle_bytes), [`handle_timeout`](Self::handle_timeout).
/// * Commands: none.
/// * `poll_*`: [`poll_transmit`](Self::poll_transmit), [`poll_event`](Self::poll_event),
///   [`poll_timeout`](Self::poll_timeout).
///
/// After each `handle_bytes`: hand over the payload bytes that it named, then poll events and transmits.
/// After an error the link is to be closed; what [`takes_over`](Self::takes_over) says counts then as well.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    wanted: Wanted,
    /// Of what we hold, where the master is asked for its own.
    lineage: Option<Lineage>,
    /// What came of the answer to INFO.
    info: Vec<u8>,
    /// Bytes of it that are still to come, its last line's end included; `None` before its head.
    info_left: Option<usize>,
    phase: UpstreamPhase,
    /// FAILOVER's.
    question: Question,
    /// Phases whose answers are outstanding behind the current one; shrinks as they come.
    unanswered: VecDeque<UpstreamPhase>,
    /// What `+FULLRESYNC` said.
    stream: Option<(ReplicationId, Offset)>,
    /// Set by the payload's head.
    payload_end: PayloadEnd,
    payload_bytes_read: ByteCount,
    /// Set with the answer that decides it.
    first_ack: FirstAck,
    /// Set at each input.
    last_io: Duration,
    /// When the next newline is due while we load.
    next_keepalive: Duration,
    /// What waits to be sent.
    out: Vec<u8>,
    /// At most what INFO told, a FullSync and its PayloadEnd, or a Continue.
    events: VecDeque<UpstreamEvent>,
}

impl Upstream {
    /// The link is up. [`Wanted::LegacySync`] skips PSYNC.
    #[must_use]
    pub fn new(now: Duration, settings: UpstreamSettings, wanted: Wanted) -> Self {
        let mut upstream = Self {
            next_keepalive: now + settings.keepalive_period,
            question: Question::new(settings.takeover),
            settings,
            wanted,
            lineage: None,
            info: Vec::new(),
            info_left: None,
            phase: UpstreamPhase::Ping,
            unanswered: VecDeque::new(),
            stream: None,
            payload_end: PayloadEnd::After(0),
            payload_bytes_read: ByteCount::ZERO,
            first_ack: FirstAck::Periodic,
            last_io: now,
            out: Vec::new(),
            events: VecDeque::new(),
        };
        upstream.introduce();
        upstream
    }

    /// Asks the master for its stream before PSYNC, and compares it with `ours`: what we hold, where that is something.
    /// To be called before anything was transmitted.
    #[must_use]
    pub fn with_lineage(mut self, ours: Lineage) -> Self {
        if matches!(self.wanted, Wanted::Continue { .. }) {
            encode_command(&mut self.out, &["INFO", "replication"]);
            self.unanswered.insert(self.unanswered.len().saturating_sub(1), UpstreamPhase::Info);
            self.lineage = Some(ours);
        }
        self
    }

    /// After [`UpstreamEvent::Diverged`]: what to ask for now, whether we went back or could not.
    pub fn handle_rewound(&mut self, now: Duration, wanted: Wanted) {
        assert_eq!(self.phase, UpstreamPhase::Rewinding, "there was nothing to go back for");
        self.last_io = now;
        self.wanted = wanted;
        self.phase = UpstreamPhase::Psync;
        self.ask();
    }

    /// Where the conversation stands.
    #[must_use]
    pub fn phase(&self) -> UpstreamPhase {
        self.phase
    }

    /// Bytes of the payload that came so far.
    #[must_use]
    pub fn payload_bytes_read(&self) -> ByteCount {
        self.payload_bytes_read
    }

    /// How a [`Follower`](crate::Follower) of this link is to acknowledge first; known once the stream begins.
    #[must_use]
    pub fn first_ack(&self) -> FirstAck {
        self.first_ack
    }

    /// FAILOVER: whether the one we ask took our place; `None` while it has not told, or was not asked.
    #[must_use]
    pub fn takes_over(&self) -> Option<bool> {
        self.question.answer()
    }

    /// Takes a beginning of `input`, the bytes read and not yet taken. The driver keeps the rest and calls again,
    /// with more bytes behind it if nothing was taken (at most `LINE_BYTES_MAX` bytes and a line's end are left so).
    pub fn handle_bytes<'a>(
        &'a mut self,
        now: Duration,
        input: &'a [u8],
    ) -> Result<Taken<'a>, UpstreamError> {
        self.last_io = now;
        match self.phase {
            UpstreamPhase::Payload => Ok(self.take_payload(input)),
            UpstreamPhase::Loading | UpstreamPhase::Stream => Ok(Taken::Stream),
            UpstreamPhase::Rewinding => Ok(Taken::Conversation(0)),
            UpstreamPhase::Info => self.take_info(input),
            _ => self.take_answer(input),
        }
    }

    /// Time has passed: keep-alives, or the end.
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), UpstreamError> {
        match self.phase {
            UpstreamPhase::Stream | UpstreamPhase::Rewinding => {}
            UpstreamPhase::Loading => {
                if now >= self.next_keepalive {
                    self.next_keepalive = now + self.settings.keepalive_period;
                    // One at a time: a master that does not read is not to cost memory.
                    if self.out.is_empty() {
                        PayloadHead::KeepAlive.write(&mut self.out);
                    }
                }
            }
            phase => {
                let silent_for = now.saturating_sub(self.last_io);
                if silent_for >= self.settings.repl_timeout {
                    return Err(UpstreamError::TimedOut { phase, silent_for });
                }
            }
        }
        Ok(())
    }

    /// Bytes for the master.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        (!self.out.is_empty()).then(|| std::mem::take(&mut self.out))
    }

    /// What happened.
    pub fn poll_event(&mut self) -> Option<UpstreamEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` once the stream flows.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.phase {
            UpstreamPhase::Stream | UpstreamPhase::Rewinding => None,
            UpstreamPhase::Loading => Some(self.next_keepalive),
            _ => Some(self.last_io + self.settings.repl_timeout),
        }
    }

    /// Says all that comes before PSYNC.
    fn introduce(&mut self) {
        let (out, settings) = (&mut self.out, &self.settings);
        out.extend_from_slice(PING);
        if let Some(credentials) = &settings.credentials {
            write_auth(out, credentials.user.as_deref().map(str::as_bytes), &credentials.password);
            self.unanswered.push_back(UpstreamPhase::Auth);
        }
        write_listening_port(out, settings.listening_port);
        self.unanswered.push_back(UpstreamPhase::Replconf);
        if let Some(address) = &settings.announce_ip {
            write_ip_address(out, address.as_bytes());
            self.unanswered.push_back(UpstreamPhase::Replconf);
        }
        write_capabilities(out, &[Capability::Eof, Capability::Psync2, Capability::Rejoin]);
        self.unanswered.push_back(UpstreamPhase::Replconf);
        if let Some(version) = &settings.version {
            write_version(out, version);
            self.unanswered.push_back(UpstreamPhase::Replconf);
        }
        self.unanswered.push_back(UpstreamPhase::Psync);
    }

    /// Takes one line of the conversation.
    fn take_answer<'a>(&'a mut self, input: &[u8]) -> Result<Taken<'a>, UpstreamError> {
        let phase = self.phase;
        let line = take_line(input).map_err(|_| UpstreamError::LineTooLong {
            phase,
            came: Excerpt::of(&input[..input.len().min(LINE_BYTES_MAX)]),
        })?;
        let Some((line, taken)) = line else { return Ok(Taken::Conversation(0)) };
        match phase {
            UpstreamPhase::Psync => self.handle_psync_answer(line)?,
            UpstreamPhase::PayloadHeader => self.handle_payload_head(line)?,
            _ => self.handle_greeting_answer(line)?,
        }
        Ok(Taken::Conversation(taken))
    }

    /// The answer to PING, AUTH or a REPLCONF.
    fn handle_greeting_answer(&mut self, line: &[u8]) -> Result<(), UpstreamError> {
        let phase = self.phase;
        let answer = HandshakeReply::parse(line);
        let allowed = match phase {
            UpstreamPhase::Ping => answer.allows_auth(),
            UpstreamPhase::Auth => answer == HandshakeReply::Accepted,
            _ => true,
        };
        match answer {
            HandshakeReply::KeepAlive => return Ok(()),
            HandshakeReply::Refused(said) if !allowed => return Err(refusal(phase, said)),
            HandshakeReply::Garbage(came) => {
                return Err(UpstreamError::Unreadable {
                    phase,
                    reason: format!("no answer of a Redis: {came}"),
                });
            }
            HandshakeReply::Accepted | HandshakeReply::Refused(_) => {}
        }
        self.become_next();
        Ok(())
    }

    fn become_next(&mut self) {
        if let Some(next) = self.unanswered.pop_front() {
            self.phase = next;
        }
        if self.phase == UpstreamPhase::Psync {
            self.ask();
        }
    }

    /// Takes a piece of the answer to INFO. An error, or what tells no stream, is no obstacle.
    fn take_info<'a>(&'a mut self, input: &[u8]) -> Result<Taken<'a>, UpstreamError> {
        let phase = self.phase;
        let Some(left) = self.info_left else {
            let line = take_line(input).map_err(|_| UpstreamError::LineTooLong {
                phase,
                came: Excerpt::of(&input[..input.len().min(LINE_BYTES_MAX)]),
            })?;
            let Some((line, taken)) = line else { return Ok(Taken::Conversation(0)) };
            let length = line.strip_prefix(b"$").map(|length| std::str::from_utf8(length).unwrap_or("?"));
            match length.map(|length| (length, length.parse::<usize>())) {
                Some((_, Ok(length))) if length <= INFO_BYTES_MAX => self.info_left = Some(length + 2),
                Some(("-1", _)) => self.compare()?,
                Some((length, _)) => {
                    let reason = format!("an answer to INFO of {length} bytes, {INFO_BYTES_MAX} at most");
                    return Err(UpstreamError::Unreadable { phase, reason });
                }
                // A line to keep the link alive.
                None if line.is_empty() => {}
                None => self.compare()?,
            }
            return Ok(Taken::Conversation(taken));
        };
        let taken = left.min(input.len());
        self.info.extend_from_slice(&input[..taken]);
        self.info_left = Some(left - taken);
        if taken == left {
            self.compare()?;
        }
        Ok(Taken::Conversation(taken))
    }

    /// All of the master's answer to INFO is here: how our stream stands to its.
    fn compare(&mut self) -> Result<(), UpstreamError> {
        let master = MasterStream::parse(&std::mem::take(&mut self.info));
        let (Some(ours), Some(master), Wanted::Continue { from, .. }) =
            (self.lineage.take(), master, self.wanted)
        else {
            self.become_next();
            return Ok(());
        };
        self.question.handle_stream(&ours, &master);
        match relate(&ours, from.prior(), &master) {
            // Who is to take our place is asked for it, however far it is.
            Relation::Diverged(_) | Relation::Behind { .. } if self.question.is_open() => {}
            Relation::Diverged(divergence) => {
                self.unanswered.clear();
                self.phase = UpstreamPhase::Rewinding;
                self.events.push_back(UpstreamEvent::Diverged { divergence, master });
                return Ok(());
            }
            Relation::Behind { master } => {
                let said = format!("it is at {master} of our stream, and we are at {}", from.prior());
                return Err(UpstreamError::TryLater { phase: self.phase, said });
            }
            // The master knows what we hold by another name than we do, perhaps.
            Relation::Beginning { name } => self.wanted = Wanted::Continue { replid: name, from },
            relation => self.events.push_back(UpstreamEvent::Compared { relation, master }),
        }
        self.become_next();
        Ok(())
    }

    /// Says PSYNC, or SYNC where that is all that is wanted.
    fn ask(&mut self) {
        match self.wanted {
            Wanted::LegacySync => self.fall_back_to_sync(),
            Wanted::Everything => write_psync(&mut self.out, None, false),
            Wanted::Continue { replid, from } => {
                write_psync(&mut self.out, Some((replid, from)), self.question.is_open());
            }
        }
    }

    fn fall_back_to_sync(&mut self) {
        self.out.extend_from_slice(SYNC);
        self.phase = UpstreamPhase::PayloadHeader;
    }

    fn handle_psync_answer(&mut self, line: &[u8]) -> Result<(), UpstreamError> {
        let phase = self.phase;
        let answer = PsyncReply::parse(line)
            .map_err(|error| UpstreamError::Unreadable { phase, reason: error.to_string() })?;
        match answer {
            PsyncReply::KeepAlive => {}
            // What we hold and it does not have is not to be lost unseen: the next link compares the streams.
            PsyncReply::FullResync { id, offset }
                if self.question.is_open() && matches!(self.wanted, Wanted::Continue { .. }) =>
            {
                self.question.handle_accepted();
                return Err(UpstreamError::TookOver { said: format!("+FULLRESYNC {id} {offset}") });
            }
            PsyncReply::FullResync { id, offset } => {
                self.question.handle_accepted();
                self.stream = Some((id, offset));
                self.phase = UpstreamPhase::PayloadHeader;
            }
            PsyncReply::Continue { id } => {
                if !matches!(self.wanted, Wanted::Continue { .. }) {
                    let reason = "+CONTINUE, although we asked for everything".to_owned();
                    return Err(UpstreamError::Unreadable { phase, reason });
                }
                self.question.handle_accepted();
                // Who names no stream continues the one that was asked for.
                let asked = match self.wanted {
                    Wanted::Continue { replid, .. } => Some(replid),
                    Wanted::Everything | Wanted::LegacySync => None,
                };
                self.events.push_back(UpstreamEvent::Continue { replid: id.or(asked) });
                self.phase = UpstreamPhase::Stream;
            }
            PsyncReply::TryLater(said) | PsyncReply::Refused(said) if self.question.is_open() => {
                let is_temporary = is_temporary(&said);
                return Err(match self.question.handle_refused(&said, is_temporary) {
                    Refusal::Meant => refusal(phase, said),
                    Refusal::TookOver => UpstreamError::TookOver { said },
                    Refusal::Unclear => UpstreamError::TryLater { phase, said },
                });
            }
            PsyncReply::TryLater(said) => return Err(UpstreamError::TryLater { phase, said }),
            PsyncReply::Refused(said) if is_temporary(&said) || is_about_permission(&said) => {
                return Err(refusal(phase, said));
            }
            PsyncReply::Refused(_) => self.fall_back_to_sync(),
        }
        Ok(())
    }

    fn handle_payload_head(&mut self, line: &[u8]) -> Result<(), UpstreamError> {
        let phase = self.phase;
        let head = PayloadHead::parse(line).map_err(|error| match error {
            PayloadHeadError::Aborted(said) if is_temporary(&said) => UpstreamError::TryLater { phase, said },
            PayloadHeadError::Aborted(said) => UpstreamError::Aborted { said },
            other => UpstreamError::Unreadable { phase, reason: other.to_string() },
        })?;
        let length = match head {
            PayloadHead::KeepAlive => return Ok(()),
            PayloadHead::Length(ByteCount::ZERO) => {
                return Err(UpstreamError::Unreadable { phase, reason: "a payload of no bytes".to_owned() });
            }
            PayloadHead::Length(length) => {
                self.payload_end = PayloadEnd::After(length.get());
                self.first_ack = if self.stream.is_some() { FirstAck::Periodic } else { FirstAck::Never };
                Some(length)
            }
            PayloadHead::UntilMark(mark) => {
                self.payload_end = PayloadEnd::Marked(Box::new(EofScanner::new(mark)));
                // Even after SYNC: who marks a payload's end waits for an ACK before the stream.
                self.first_ack = FirstAck::AtOnce;
                None
            }
        };
        let (replid, offset) = self.stream.unzip();
        self.events.push_back(UpstreamEvent::FullSync { replid, offset, length });
        self.phase = UpstreamPhase::Payload;
        Ok(())
    }

    fn take_payload<'a>(&'a mut self, input: &'a [u8]) -> Taken<'a> {
        let (held, chunk, taken, is_whole): (&[u8], &[u8], usize, bool) = match &mut self.payload_end {
            PayloadEnd::After(left) => {
                let taken = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= taken as u64;
                (&[], &input[..taken], taken, *left == 0)
            }
            PayloadEnd::Marked(scanner) => {
                let scan = scanner.push(input);
                (scan.held, scan.payload, input.len() - scan.rest.len(), scan.finished)
            }
        };
        let bytes = (held.len() + chunk.len()) as u64;
        self.payload_bytes_read = ByteCount::new(self.payload_bytes_read.get() + bytes);
        if is_whole {
            self.phase = UpstreamPhase::Loading;
            self.next_keepalive = self.last_io + self.settings.keepalive_period;
            self.events.push_back(UpstreamEvent::PayloadEnd);
        }
        Taken::Payload { held, chunk, taken }
    }
}

/// What a `-` line means where it ends the handshake.
fn refusal(phase: UpstreamPhase, said: String) -> UpstreamError {
    if is_temporary(&said) {
        UpstreamError::TryLater { phase, said }
    } else {
        UpstreamError::Refused { phase, said }
    }
}

/// Errors that pass by themselves.
fn is_temporary(said: &str) -> bool {
    ["LOADING", "NOMASTERLINK", "MASTERDOWN", "BUSY"].iter().any(|prefix| said.starts_with(prefix))
}

/// Errors that SYNC would only repeat.
fn is_about_permission(said: &str) -> bool {
    ["NOAUTH", "NOPERM", "ERR operation not permitted"].iter().any(|prefix| said.starts_with(prefix))
}
