//! A node for tests: an engine, two clients, and everything as text.

use rejoin_keyspace::{HashSeed, KeyspaceOptions};
use rejoin_protocol::{ClientId, DbIndex, Offset, UnixMillis, resp::RespVersion};

use crate::{Engine, Request, Role, Session, SessionKind, Settings};

/// The time at which every test begins, in milliseconds.
pub(super) const BEGIN: i64 = 1_000_000;

const CLIENT: ClientId = ClientId::new(1);
const OTHER: ClientId = ClientId::new(2);
const MASTER: ClientId = ClientId::new(3);

pub(super) struct Node {
    pub(super) engine: Engine,
}

impl Node {
    pub(super) fn new() -> Self {
        let options = KeyspaceOptions { databases: 16, seed: HashSeed::new(*b"sixteen bytes of") };
        let mut engine = Engine::new(Settings::default(), options, Offset::ZERO, 42);
        engine.now = UnixMillis::new(BEGIN);
        engine.log.set_selected(Some(DbIndex::new(0)));
        for id in [CLIENT, OTHER, MASTER] {
            engine.session_opened(Session::new(id, String::new(), String::new(), UnixMillis::new(BEGIN)));
        }
        engine.sessions.get_mut(MASTER).unwrap().kind = SessionKind::Master;
        Self { engine }
    }

    /// A node on which these commands have been executed.
    pub(super) fn with(commands: &[&str]) -> Self {
        let mut node = Self::new();
        for command in commands {
            node.run(command);
        }
        node.log();
        node
    }

    pub(super) fn become_replica(&mut self) {
        self.engine.role = Role::Replica;
        self.engine.settings.replica_read_only = false;
    }

    pub(super) fn pass_millis(&mut self, millis: i64) {
        self.engine.now = UnixMillis::new(self.engine.now.get() + millis);
    }

    pub(super) fn speak_resp3(&mut self) {
        self.engine.sessions.get_mut(CLIENT).unwrap().version = RespVersion::Three;
    }

    /// Executes a command of the first client; its reply as text.
    pub(super) fn run(&mut self, command: &str) -> String {
        self.run_as(CLIENT, command)
    }

    /// Executes a command of the second client.
    pub(super) fn run_other(&mut self, command: &str) -> String {
        self.run_as(OTHER, command)
    }

    /// Executes a command that came from this node's master.
    pub(super) fn apply(&mut self, command: &str) -> String {
        self.run_as(MASTER, command)
    }

    /// Executes a command of the first client; its reply as it stands on the wire.
    pub(super) fn raw(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.raw_as(CLIENT, args)
    }

    fn raw_as(&mut self, client: ClientId, args: &[&[u8]]) -> Vec<u8> {
        self.engine.execute(client, Request { args, raw: None, command: None, first_key_hash: None });
        std::mem::take(&mut self.engine.sessions.get_mut(client).unwrap().out)
    }

    fn run_as(&mut self, client: ClientId, command: &str) -> String {
        let words = words(command);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = self.raw_as(client, &args);
        let mut rest = reply.as_slice();
        let text = render(&mut rest);
        assert!(rest.is_empty(), "{command} answered twice: {}", reply.escape_ascii());
        text
    }

    /// What was logged since it was last asked for, one command behind the other.
    pub(super) fn log(&mut self) -> String {
        let bytes = self.engine.log.bytes().to_vec();
        self.engine.log.clear();
        let mut rest = bytes.as_slice();
        let mut commands = Vec::new();
        while !rest.is_empty() {
            commands.push(render(&mut rest).trim_matches(['[', ']']).replace(", ", " "));
        }
        commands.join("; ")
    }

    /// Executes `(command, reply, log)` one after the other.
    #[track_caller]
    pub(super) fn story(&mut self, steps: &[(&str, &str, &str)]) {
        for (command, reply, log) in steps {
            assert_eq!(self.run(command), *reply, "the reply to {command}");
            assert_eq!(self.log(), *log, "the log of {command}");
        }
    }

    /// Executes `(command, reply)` one after the other; none of them logs anything.
    #[track_caller]
    pub(super) fn reads(&mut self, steps: &[(&str, &str)]) {
        for (command, reply) in steps {
            self.story(&[(command, reply, "")]);
        }
    }
}

/// Splits at blanks; a word may stand between quotes to hold blanks or nothing.
fn words(command: &str) -> Vec<Vec<u8>> {
    let (mut words, mut rest) = (Vec::new(), command.trim_start());
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.as_bytes().to_vec());
        rest = after.trim_start();
    }
    words
}

/// One value off the front of `rest`, as text: strings as they are, nulls as `nil`, arrays in brackets.
fn render(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
    let (line, tail) = (String::from_utf8_lossy(&rest[..end]).into_owned(), &rest[end + 2..]);
    *rest = tail;
    let (kind, text) = line.split_at(1);
    match kind {
        "+" | ":" | "," => text.to_owned(),
        "-" => line,
        "_" => "nil".to_owned(),
        "$" | "*" | "%" | "~" | ">" if text == "-1" => "nil".to_owned(),
        "$" => {
            let len: usize = text.parse().unwrap();
            let value = rest[..len].escape_ascii().to_string();
            *rest = &rest[len + 2..];
            value
        }
        _ => {
            let per_element = if kind == "%" { 2 } else { 1 };
            let len: usize = text.parse().unwrap();
            let elements: Vec<_> = (0..len * per_element).map(|_| render(rest)).collect();
            let open = if kind == "%" { "%" } else { "" };
            format!("{open}[{}]", elements.join(", "))
        }
    }
}
