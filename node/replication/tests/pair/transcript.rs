//! What was said, as text for people: `master> ...`, `replica> ...`, and what happened in between.

use std::fmt;

use rejoin_protocol::resp::{ArgRange, RequestLimits, RequestParser};

#[derive(Default)]
pub struct Transcript {
    lines: Vec<String>,
}

impl Transcript {
    pub fn note(&mut self, text: &str) {
        self.lines.push(format!("# {text}"));
    }

    /// Lines of the conversation.
    pub fn master_says(&mut self, bytes: &[u8]) {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.trim_ascii_end();
            self.say(
                "master",
                if text.is_empty() { "(newline)".into() } else { text.escape_ascii().to_string() },
            );
        }
    }

    pub fn master_sends_payload(&mut self, len: usize) {
        self.say("master", format!("(payload of {len} bytes)"));
    }

    pub fn master_says_mark(&mut self, mark: &[u8]) {
        self.say("master", format!("{} (the mark)", mark.escape_ascii()));
    }

    /// Bytes of the stream: whole commands.
    pub fn master_streams(&mut self, bytes: &[u8]) {
        self.say_commands("master", bytes);
    }

    pub fn replica_says(&mut self, bytes: &[u8]) {
        self.say_commands("replica", bytes);
    }

    fn say_commands(&mut self, who: &str, bytes: &[u8]) {
        let (mut bytes, mut parser) = (bytes.to_vec(), RequestParser::default());
        while !bytes.is_empty() {
            let mut args: Vec<ArgRange> = Vec::new();
            let parsed = parser.parse(&mut bytes, &RequestLimits::default(), &mut args);
            let len = parsed.expect("RESP").expect("whole commands");
            let words: Vec<_> = args.iter().map(|arg| arg.of(&bytes).escape_ascii().to_string()).collect();
            self.say(who, if words.is_empty() { "(newline)".into() } else { words.join(" ") });
            bytes.drain(..len);
        }
    }

    fn say(&mut self, who: &str, what: String) {
        self.lines.push(format!("{who}> {what}"));
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
