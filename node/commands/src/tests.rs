//! The whole path of a request, as a client sees it: bytes in, replies and log bytes out.

mod applying;
mod blocking;
mod clients;
mod configuring;
mod connections;
mod debugging;
mod describing;
mod dispatching;
mod evicting;
mod listening;
mod monitoring;
mod notifying;
mod observing;
mod replicating;
mod saving;
mod transactions;
mod turns;

use rejoin_keyspace::{HashSeed, KeyspaceOptions};
use rejoin_protocol::{
    ClientId, Offset, UnixMillis,
    resp::{RequestLimits, encode_command},
};

use crate::{Effect, Engine, Input, Session, Settings, TurnReport};

/// An engine with clients that are numbered from 1.
struct Node {
    engine: Engine,
    inputs: Vec<Input>,
}

impl Node {
    fn new() -> Self {
        Self::with(Settings { enable_debug_command: "yes".to_owned(), ..Settings::default() })
    }

    fn with(settings: Settings) -> Self {
        let options = KeyspaceOptions { databases: settings.databases, seed: HashSeed::new([7; 16]) };
        let mut engine = Engine::new(settings, options, Offset::ZERO, 1);
        engine.now = UnixMillis::new(1_000_000);
        engine.status.tcp_port = 6379;
        let mut node = Self { engine, inputs: Vec::new() };
        for _ in 0..3 {
            node.connect();
        }
        node
    }

    fn connect(&mut self) -> usize {
        let number = self.inputs.len() + 1;
        let id = ClientId::new(number as u64);
        let addr = format!("127.0.0.1:{}", 50_000 + number);
        self.engine.session_opened(Session::new(id, addr, "127.0.0.1:6379".to_owned(), self.engine.now));
        self.inputs.push(Input::new(id));
        number
    }

    fn session(&mut self, client: usize) -> &mut Session {
        self.engine.sessions.get_mut(ClientId::new(client as u64)).unwrap()
    }

    /// Bytes arrive from a client; nothing is executed.
    fn receive(&mut self, client: usize, bytes: &[u8]) {
        let authenticated = self.session(client).authenticated;
        let input = &mut self.inputs[client - 1];
        input.buffer_mut().extend_from_slice(bytes);
        let limits = if authenticated { RequestLimits::default() } else { RequestLimits::unauthenticated() };
        input.decode(&limits, authenticated);
    }

    fn turn(&mut self) -> TurnReport {
        let mut inputs: Vec<&mut Input> = self.inputs.iter_mut().collect();
        self.engine.run_turn(&mut inputs)
    }

    /// Executes turns until nothing moves, and returns what the client was replied: lines separated by blanks.
    fn replies(&mut self, client: usize) -> String {
        while self.turn().executed > 0 {}
        let out = std::mem::take(&mut self.session(client).out);
        String::from_utf8_lossy(&out).replace("\r\n", " ").trim_end().to_owned()
    }

    /// A client sends a command, word by word, and gets its replies.
    fn send(&mut self, client: usize, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.send_args(client, &words)
    }

    fn send_args(&mut self, client: usize, args: &[impl AsRef<[u8]>]) -> String {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, args);
        self.receive(client, &bytes);
        self.replies(client)
    }

    /// What was logged since the last look: words, without the lengths.
    fn logged(&mut self) -> String {
        let text = words(self.engine.log.bytes());
        self.engine.log.clear();
        text
    }

    fn effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.engine.effects)
    }
}

/// The arguments of commands in RESP; commands separated by `; `.
fn words(resp: &[u8]) -> String {
    let text = String::from_utf8_lossy(resp);
    let mut commands = String::new();
    for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('$')) {
        if line.starts_with('*') && line.len() > 1 {
            if !commands.is_empty() {
                commands.push_str("; ");
            }
        } else {
            if !commands.is_empty() && !commands.ends_with("; ") {
                commands.push(' ');
            }
            commands.push_str(line);
        }
    }
    commands
}

/// Sends each command by client 1 and compares its reply.
fn check(node: &mut Node, expectations: &[(&str, &str)]) {
    for (command, reply) in expectations {
        assert_eq!(node.send(1, command), *reply, "{command}");
    }
}
