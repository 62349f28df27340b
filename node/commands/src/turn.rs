//! One turn: the requests of many clients are decoded, their keys' places are touched together so that cache misses
//! overlap, and then they are executed, in the order of each client.
//!
//! The touch and the execution go in windows of a few dozen requests: more would push the first lines out of the
//! cache again before they are used.

use rejoin_keyspace::KeyHash;
use rejoin_protocol::{
    ClientId, DbIndex,
    resp::{ArgRange, RequestError, RequestLimits, RequestParser},
};
use smallvec::SmallVec;

use crate::{Command, Engine, Request, table};

/// Requests touched together, then executed.
const WINDOW: usize = 32;
/// Requests decoded from one client before others get their turn.
const REQUESTS_PER_TURN_MAX: usize = 1024;
/// While a client has this much output that it does not read, none of its requests is executed.
pub const OUTPUT_BYTES_PAUSE: usize = 32 << 20;
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
    buffer: Vec<u8>,
    /// Where the first request begins that is not decoded.
    undecoded: usize,
    parser: RequestParser,
    requests: Vec<Decoded>,
    /// The first of `requests` that is not executed.
    next: usize,
    /// Arguments of `requests`, each relative to its request's begin.
    ranges: Vec<ArgRange>,
    error: Option<RequestError>,
}

impl Input {
    /// Nothing received yet.
    #[must_use]
    pub fn new(client: ClientId) -> Self {
        Self {
            client,
            buffer: Vec::new(),
            undecoded: 0,
            parser: RequestParser::default(),
            requests: Vec::new(),
            next: 0,
            ranges: Vec::new(),
            error: None,
        }
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
        self.next < self.requests.len() || self.error.is_some()
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

    /// Gives back what was executed; whether something decoded is left.
    fn finish_turn(&mut self) {
        if self.next < self.requests.len() {
            return;
        }
        self.requests.clear();
        self.ranges.clear();
        self.next = 0;
        let left = self.buffer.len() - self.undecoded;
        self.buffer.copy_within(self.undecoded.., 0);
        self.buffer.truncate(left);
        self.undecoded = 0;
        if left == 0 && self.buffer.capacity() > QUIET_BUFFER_BYTES_MAX {
            self.buffer.shrink_to(QUIET_BUFFER_BYTES_MAX);
        }
    }

    fn first_argument(&self, request: &Decoded, index: usize) -> Option<&[u8]> {
        let args = &self.ranges[request.args_begin as usize..request.args_end as usize];
        args.get(index).map(|range| range.of(&self.buffer[request.begin..]))
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnReport {
    /// Requests executed.
    pub executed: usize,
}

impl Engine {
    /// Executes what `inputs` hold decoded, except for clients that do not read their replies. Replies stand in the
    /// sessions' outputs and log bytes in [`Engine::log`] afterwards.
    pub fn run_turn(&mut self, inputs: &mut [&mut Input]) -> TurnReport {
        let mut report = TurnReport::default();
        let mut window: SmallVec<[(usize, usize); WINDOW]> = SmallVec::new();
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
        }
        report
    }

    fn run_window(&mut self, inputs: &mut [&mut Input], window: &[(usize, usize)], report: &mut TurnReport) {
        self.touch_window(inputs, window);
        for &(which, request) in window {
            let input = &mut *inputs[which];
            // A client that was held back stays at its first request that was not executed.
            if input.next != request || !self.may_execute(input.client) {
                continue;
            }
            input.next += 1;
            report.executed += 1;
            self.execute_decoded(input, request);
        }
    }

    /// Looks up command rows and hashes first keys, and asks the keyspace to touch their places.
    fn touch_window(&mut self, inputs: &mut [&mut Input], window: &[(usize, usize)]) {
        let mut places: SmallVec<[(DbIndex, KeyHash); WINDOW]> = SmallVec::new();
        let mut of = (ClientId::default(), DbIndex::default());
        for &(which, index) in window {
            let input = &mut *inputs[which];
            if of.0 != input.client {
                of = (input.client, self.sessions.get(input.client).map_or(DbIndex::default(), |session| session.db));
            }
            let mut request = input.requests[index];
            request.command = input.first_argument(&request, 0).and_then(table::lookup);
            request.first_key_hash = request
                .command
                .filter(|command| command.keys.first > 0)
                .and_then(|command| input.first_argument(&request, command.keys.first as usize))
                .map(|key| self.keyspace.seed().hash(key));
            if let Some(hash) = request.first_key_hash {
                places.push((of.1, hash));
            }
            input.requests[index] = request;
        }
        if places.len() > 1 {
            self.keyspace.touch(&places);
        }
    }

    fn may_execute(&self, client: ClientId) -> bool {
        self.sessions
            .get(client)
            .is_some_and(|session| !session.closing && session.out.len() < OUTPUT_BYTES_PAUSE)
    }

    fn execute_decoded(&mut self, input: &Input, index: usize) {
        let request = &input.requests[index];
        let bytes = &input.buffer[request.begin..request.end];
        let args: SmallVec<[&[u8]; 16]> = input.ranges[request.args_begin as usize..request.args_end as usize]
            .iter()
            .map(|range| range.of(bytes))
            .collect();
        let is_canonical = bytes[0] == b'*';
        self.execute(
            input.client,
            Request {
                args: &args,
                raw: is_canonical.then_some(bytes),
                command: request.command,
                first_key_hash: request.first_key_hash,
            },
        );
    }

    /// When all that was well formed is executed, a client that broke the protocol hears of it and is closed.
    fn refuse_broken(&mut self, input: &mut Input) {
        if input.next < input.requests.len() {
            return;
        }
        let Some(error) = input.error.take() else { return };
        if let Some(session) = self.sessions.get_mut(input.client)
            && !session.closing
        {
            session.reply().error(&format!("ERR {error}"));
            session.closing = true;
            self.stats.error_replies += 1;
            self.effects.push(crate::Effect::CloseClient { client: input.client, after_reply: true });
        }
    }
}
