//! INFO: sections of `name:value` lines, by Redis' names as far as we have the numbers.

mod memory;
mod replication;
mod sections;

use crate::{Call, Command, Engine, Failure, Flags, Session};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "info",
    -1,
    Flags::LOADING.union(Flags::STALE),
    "server",
    "1.0.0",
    "Tells how the node is, in sections.",
    info,
)];

/// What a section is made of.
struct Source<'a> {
    engine: &'a Engine,
    /// The session that asks: it is not among the engine's while it executes.
    asking: &'a Session,
}

impl<'a> Source<'a> {
    fn sessions(&self) -> impl Iterator<Item = &'a Session> {
        let engine = self.engine;
        engine.sessions.iter().chain(std::iter::once(self.asking)).filter(|session| engine.is_shown(session))
    }
}

/// Collects the lines of a section.
struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

type Section = (&'static str, &'static str, fn(&Source<'_>, &mut Lines<'_>));

/// Name to ask for, title, lines; in the order in which they are shown.
const SECTIONS: &[Section] = &[
    ("server", "Server", sections::server),
    ("clients", "Clients", sections::clients),
    ("memory", "Memory", memory::memory),
    ("persistence", "Persistence", sections::persistence),
    ("stats", "Stats", sections::stats),
    ("replication", "Replication", replication::replication),
    ("cpu", "CPU", sections::cpu),
    ("errorstats", "Errorstats", sections::errorstats),
    ("cluster", "Cluster", sections::cluster),
    ("keyspace", "Keyspace", sections::keyspace),
];

/// INFO [section ...]: several may be named; unknown ones are left out.
fn info(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = &call.args[1..];
    let is_wanted = |name: &str| {
        wanted.is_empty()
            || wanted.iter().any(|wanted| {
                [name, "default", "all", "everything"]
                    .iter()
                    .any(|name| wanted.eq_ignore_ascii_case(name.as_bytes()))
            })
    };
    let source = Source { engine: call.engine, asking: call.session };
    let mut text = String::with_capacity(4096);
    for (name, title, lines) in SECTIONS.iter().filter(|(name, ..)| is_wanted(name)) {
        debug_assert!(name.eq_ignore_ascii_case(title));
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(title);
        text.push_str("\r\n");
        lines(&source, &mut Lines(&mut text));
    }
    call.reply().verbatim(text.as_bytes());
    Ok(())
}
