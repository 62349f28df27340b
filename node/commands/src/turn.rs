//! One turn: the requests of many clients are decoded, their keys' places are touched together so that cache misses
//! overlap, and then they are executed, in the order of each client.
//!
//! The touch and the execution go in windows of a few dozen requests: more would push the first lines out of the
//! cache again before they are used.
//!
//! Held back, and still decoded when the turn is over, are the requests of clients that do not read their replies,
//! that are paused or wait for replicas, and those behind an effect that ends the turn.

use rejoin_keyspace::KeyHash;
use rejoin_protocol::{
    ByteCount, ClientId, DbIndex,
    resp::{ArgRange, RequestError, RequestLimits, RequestParser},
};
use smallvec::SmallVec;

use crate::{
    ApplyError, Command, Effect, Engine, Request, Session, apply,
    dispatch::{may_log, reply_error},
    session::Slot,
    table,
};

/// Requests touched together, then executed.
const WINDOW: usize = 32;
/// Requests decoded from one client before others get their turn.
const REQUESTS_PER_TURN_MAX: usize = 1024;
/// While a client has this much output that it does not read, none of its requests is executed.
pub const OUTPUT_BYTES_PAUSE: usize = 32 << 20;
/// Arguments for which executing a request allocates nothing; most have few, for which less has to be cleared.
const ARGS_MAX_INLINE: usize = 16;
const ARGS_MAX_FEW: usize = 4;
/// Buffer kept by a client that is quiet.
const QUIET_BUFFER_BYTES_MAX: usize = 64 << 10;

/// A decoded request: places in the buffer of its [`Input`].
#[derive(Clone, Copy, Debug)]
struct Decoded {
    begin: usize,
    end: usize,
    args_begin: u32,
    args_end: u32,
    command: Option<&'static Command>,
    first_key_hash: Option<KeyHash>,
}

/// What one client sent and what has not been executed of it.
#[derive(Debug)]
pub struct Input {
    client: ClientId,
    /// Where its session lay when last looked for.
    slot: Option<Slot>,
    buffer: Vec<u8>,
    /// Where the first request begins that is not decoded.
    undecoded: usize,
    parser: RequestParser,
    requests: Vec<Decoded>,
    /// The first of `requests` that is not executed.
    next: usize,
    /// Arguments of `requests`, each relative to its request's begin.
    ranges: Vec<ArgRange>,
    /// What made the rest of the buffer unreadable; set for good, so that nothing behind it is ever decoded.
    error: Option<RequestError>,
    /// The client has been told of the error.
    is_refused: bool,
    /// Lines that begin with `#` may stand between requests.
    has_annotations: bool,
}

impl Input {
    /// Nothing received yet.
    #[must_use]
    pub fn new(client: ClientId) -> Self {
        Self {
            client,
            slot: None,
            buffer: Vec::new(),
            undecoded: 0,
            parser: RequestParser::default(),
            requests: Vec::new(),
            next: 0,
            ranges: Vec::new(),
            error: None,
            is_refused: false,
            has_annotations: false,
        }
    }

    /// The same for the file of a log that stock Redis wrote: between requests there may be lines that begin with `#`, which
    /// say when what follows was written.
    #[must_use]
    pub fn of_file(client: ClientId) -> Self {
        Self { has_annotations: true, ..Self::new(client) }
    }

    /// Whose it is.
    #[must_use]
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// Where received bytes are appended; nothing else may be done to it.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes received and not executed.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        let executed = self.requests.get(self.next).map_or(self.undecoded, |request| request.begin);
        self.buffer.len() - executed
    }

    /// How many more bytes the request that is arriving needs at least; for sizing reads.
    #[must_use]
    pub fn bytes_wanted(&self) -> usize {
        self.parser.bytes_wanted()
    }

    /// Whether something is decoded and waits for execution (or an error waits for its reply).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.next < self.requests.len() || (self.error.is_some() && !self.is_refused)
    }

    /// Decodes what has arrived, a turn's worth at most. A client that is not authenticated gets one request at a
    /// time, since its limits may change with it.
    pub fn decode(&mut self, limits: &RequestLimits, authenticated: bool) {
        let requests_max = if authenticated { REQUESTS_PER_TURN_MAX } else { 1 };
        while self.requests.len() - self.next < requests_max && self.error.is_none() {
            let begin = self.undecoded;
            if begin == self.buffer.len() {
                return;
            }
            if self.has_annotations && self.buffer[begin] == b'#' {
                let Some(end) = self.buffer[begin..].iter().position(|&byte| byte == b'\n') else { return };
                self.undecoded += end + 1;
                continue;
            }
            let args_begin = self.ranges.len();
            match self.parser.parse(&mut self.buffer[begin..], limits, &mut self.ranges) {
                Ok(Some(len)) => {
                    self.undecoded = begin + len;
                    let args_end = self.ranges.len();
                    if args_end > args_begin {
                        self.requests.push(Decoded {
                            begin,
                            end: begin + len,
                            args_begin: args_begin as u32,
                            args_end: args_end as u32,
                            command: None,
                            first_key_hash: None,
                        });
                    }
                }
                Ok(None) => return,
                Err(error) => self.error = Some(error),
            }
        }
    }

    /// Gives back what was executed. The rest of the buffer is moved only when that is no more than was used up, so
    /// that a long pipeline is not copied once per turn.
    fn finish_turn(&mut self) {
        if self.next < self.requests.len() {
            return;
        }
        self.requests.clear();
        self.ranges.clear();
        self.next = 0;
        let left = self.buffer.len() - self.undecoded;
        if self.undecoded > 0 && left <= self.undecoded {
            self.buffer.copy_within(self.undecoded.., 0);
            self.buffer.truncate(left);
            self.undecoded = 0;
        }
        if left == 0 && self.buffer.capacity() > QUIET_BUFFER_BYTES_MAX {
            self.buffer.shrink_to(QUIET_BUFFER_BYTES_MAX);
        }
    }

    /// Takes out the bytes that were received and not executed: they belong to whoever takes the connection over.
    #[must_use]
    pub fn take_unexecuted(&mut self) -> Vec<u8> {
        let executed = self.requests.get(self.next).map_or(self.undecoded, |request| request.begin);
        let bytes = self.buffer.split_off(executed);
        *self = Self::new(self.client);
        bytes
    }

    #[inline]
    fn argument(&self, request: &Decoded, index: usize) -> Option<&[u8]> {
        let args = &self.ranges[request.args_begin as usize..request.args_end as usize];
        args.get(index).map(|range| range.of(&self.buffer[request.begin..]))
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnReport {
    /// Requests executed.
    pub executed: usize,
    /// Inputs that are left with decoded requests, held back or behind the turn's early end. Without an early end
    /// another turn helps only after something has changed: output was read, or [`Engine::paused_until`] has come.
    pub held_back: usize,
    /// An effect must be carried out before the rest is executed; then another turn is due at once.
    pub ended_early: bool,
}

/// What a turn of the master's stream did.
#[derive(Debug)]
pub struct Applied {
    /// Requests applied.
    pub executed: usize,
    /// The first command that could not be applied; nothing behind it was executed, nor will be.
    pub outcome: Result<(), ApplyError>,
}

/// A request of a window: which input, which of its requests.
type Place = (usize, usize);

impl Engine {
    /// Executes what `inputs` hold decoded, except what is held back. Replies stand in the sessions' outputs and log
    /// bytes in [`Engine::log`] afterwards; [`Engine::effects`] are for the caller to carry out.
    pub fn run_turn(&mut self, inputs: &mut [&mut Input]) -> TurnReport {
        self.turn_ended = false;
        self.set_access_clock();
        self.eviction.begin_turn();
        self.lapse_pause();
        let mut report = TurnReport::default();
        let mut window: SmallVec<[Place; WINDOW]> = SmallVec::new();
        for which in 0..inputs.len() {
            for request in inputs[which].next..inputs[which].requests.len() {
                window.push((which, request));
                if window.len() == WINDOW {
                    self.run_window(inputs, &window, &mut report);
                    window.clear();
                }
            }
        }
        self.run_window(inputs, &window, &mut report);
        for input in inputs.iter_mut() {
            input.finish_turn();
            self.refuse_broken(input);
            report.held_back += usize::from(input.is_ready());
        }
        self.ask_for_acks();
        report.ended_early = self.turn_ended;
        report
    }

    /// Executes what `input`, the master's stream, holds decoded. Whatever was applied is handed to `sink` in order,
    /// with whether its last byte is a border (outside MULTI): these bytes are the log.
    pub fn apply_turn(&mut self, input: &mut Input, sink: &mut dyn FnMut(&[u8], bool)) -> Applied {
        let Some((slot, mut session)) = self.take_session(input) else {
            return Applied { executed: 0, outcome: Err(apply::no_session()) };
        };
        self.set_access_clock();
        let mut applied = Applied { executed: 0, outcome: Ok(()) };
        while input.next < input.requests.len() && applied.outcome.is_ok() {
            let window: SmallVec<[Place; WINDOW]> = (input.next
                ..input.requests.len().min(input.next + WINDOW))
                .map(|request| (0, request))
                .collect();
            self.touch_window(&mut [&mut *input], &window, Some(session.db));
            self.begin_timing();
            let begin = input.requests[input.next].begin;
            let (mut border, mut end) = (begin, begin);
            for (_, request) in window {
                applied.outcome =
                    with_request(input, request, |request| self.apply_request(&mut session, request));
                if applied.outcome.is_err() {
                    break;
                }
                applied.executed += 1;
                input.next += 1;
                let request_end = input.requests[request].end;
                self.log.advance(ByteCount::of(request_end - end));
                end = request_end;
                if session.transaction.is_none() {
                    border = end;
                }
            }
            for (range, is_border) in [(begin..border, true), (border..end, false)] {
                if !range.is_empty() {
                    sink(&input.buffer[range], is_border);
                }
            }
        }
        session.last_active = self.now;
        session.out.clear();
        self.sessions.put_back(slot, session);
        self.serve_blocked();
        input.finish_turn();
        if applied.outcome.is_ok()
            && let Some(error) = &input.error
            && input.next == input.requests.len()
        {
            applied.outcome = Err(apply::garbled(error));
        }
        applied
    }

    fn take_session(&mut self, input: &mut Input) -> Option<(Slot, Box<Session>)> {
        let client = input.client;
        let slot = self.locate(input)?;
        Some((slot, self.sessions.take(slot, client)?))
    }

    /// The slot of an input's session, looked up by id only when it is not where it was.
    fn locate(&self, input: &mut Input) -> Option<Slot> {
        if let Some(slot) = input.slot
            && self.sessions.at(slot, input.client).is_some()
        {
            return Some(slot);
        }
        input.slot = self.sessions.slot_of(input.client);
        input.slot
    }

    fn run_window(&mut self, inputs: &mut [&mut Input], window: &[Place], report: &mut TurnReport) {
        if window.is_empty() || self.turn_ended {
            return;
        }
        self.touch_window(inputs, window, None);
        self.begin_timing();
        for requests in window.chunk_by(|a, b| a.0 == b.0) {
            let input = &mut *inputs[requests[0].0];
            let Some((slot, mut session)) = self.take_session(input) else { continue };
            for &(_, request) in requests {
                // A client that was held back stays at its first request that was not executed.
                if input.next != request || !self.may_execute(&session, &input.requests[request]) {
                    break;
                }
                input.next += 1;
                report.executed += 1;
                with_request(input, request, |request| self.dispatch(&mut session, request));
            }
            self.buffer_peaks.note(input.buffer.len(), session.out.len());
            self.sessions.put_back(slot, session);
        }
    }

    /// Looks up command rows and hashes first keys, and asks the keyspace to touch their places. `db` is the database
    /// of a session that is taken out.
    fn touch_window(&mut self, inputs: &mut [&mut Input], window: &[Place], db: Option<DbIndex>) {
        let mut keys: SmallVec<[(DbIndex, KeyHash); WINDOW]> = SmallVec::new();
        let mut elements: SmallVec<[(DbIndex, KeyHash, KeyHash); WINDOW]> = SmallVec::new();
        for requests in window.chunk_by(|a, b| a.0 == b.0) {
            let input = &mut *inputs[requests[0].0];
            let db = db.or_else(|| {
                let slot = self.locate(input)?;
                self.sessions.at(slot, input.client).map(|session| session.db)
            });
            for &(_, index) in requests {
                let (command, hash) = self.prepare(input, index);
                let request = &mut input.requests[index];
                (request.command, request.first_key_hash) = (command, hash);
                if let (Some(db), Some(hash)) = (db, hash) {
                    keys.push((db, hash));
                    elements.extend(self.element(input, index).map(|element| (db, hash, element)));
                }
            }
        }
        if keys.len() > 1 {
            self.keyspace.touch(&keys);
        }
        if elements.len() > 1 {
            self.keyspace.touch_elements(&elements);
        }
    }

    #[inline]
    fn prepare(&self, input: &Input, index: usize) -> (Option<&'static Command>, Option<KeyHash>) {
        let request = &input.requests[index];
        let Some(command) = input.argument(request, 0).and_then(table::lookup) else { return (None, None) };
        if command.keys.first <= 0 {
            return (Some(command), None);
        }
        let key = input.argument(request, command.keys.first as usize);
        (Some(command), key.map(|key| self.keyspace.seed().hash(key)))
    }

    /// The hash of the element of a collection that a request names.
    fn element(&self, input: &Input, index: usize) -> Option<KeyHash> {
        let request = &input.requests[index];
        let element = usize::from(request.command?.element);
        if element == 0 {
            return None;
        }
        Some(self.keyspace.seed().hash(input.argument(request, element)?))
    }

    #[inline]
    fn may_execute(&self, session: &Session, request: &Decoded) -> bool {
        session.is_open()
            && session.out.len() < OUTPUT_BYTES_PAUSE
            && !self.turn_ended
            && !(self.is_failing_over() && request.command.is_some_and(|command| may_log(session, command)))
            && self.pause.is_none_or(|pause| {
                // An unknown command is answered at once.
                pause.writes_only && !request.command.is_some_and(|command| may_log(session, command))
            })
    }

    /// When all that was well formed is executed, a client that broke the protocol hears of it and is closed.
    fn refuse_broken(&mut self, input: &mut Input) {
        if input.next < input.requests.len() {
            return;
        }
        let Some(error) = &input.error else { return };
        if std::mem::replace(&mut input.is_refused, true) {
            return;
        }
        if let Some(session) = self.sessions.get_mut(input.client)
            && !session.closing
        {
            let mut text = b"ERR ".to_vec();
            error.write_text(&mut text);
            reply_error(session, &text);
            session.closing = true;
            self.stats.count_error(b"-ERR Protocol error");
            self.ask(Effect::CloseClient { client: input.client, after_reply: true });
        }
    }
}

/// Calls `run` with a decoded request, its arguments gathered on the stack unless there are many.
#[inline]
fn with_request<R>(input: &Input, index: usize, run: impl FnOnce(Request<'_>) -> R) -> R {
    let request = &input.requests[index];
    let bytes = &input.buffer[request.begin..request.end];
    let ranges = &input.ranges[request.args_begin as usize..request.args_end as usize];
    let run = |args: &[&[u8]]| {
        let raw = (bytes[0] == b'*').then_some(bytes);
        run(Request { args, raw, command: request.command, first_key_hash: request.first_key_hash })
    };
    if ranges.len() <= ARGS_MAX_FEW {
        run(gather::<ARGS_MAX_FEW>(&mut [&[]; ARGS_MAX_FEW], ranges, bytes))
    } else if ranges.len() <= ARGS_MAX_INLINE {
        run(gather::<ARGS_MAX_INLINE>(&mut [&[]; ARGS_MAX_INLINE], ranges, bytes))
    } else {
        run(&ranges.iter().map(|range| range.of(bytes)).collect::<Vec<_>>())
    }
}

#[inline]
fn gather<'s, 'b, const N: usize>(
    args: &'s mut [&'b [u8]; N],
    ranges: &[ArgRange],
    bytes: &'b [u8],
) -> &'s [&'b [u8]] {
    for (arg, range) in args.iter_mut().zip(ranges) {
        *arg = range.of(bytes);
    }
    &args[..ranges.len()]
}
