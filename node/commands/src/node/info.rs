//! INFO: sections of `name:value` lines, by Redis' names as far as we have the numbers.

pub(in crate::node) mod memory;
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
pub(in crate::node) struct Source<'a> {
    pub(in crate::node) engine: &'a Engine,
    /// The session that asks: it is not among the engine's while it executes.
    pub(in crate::node) asking: &'a Session,
}

impl<'a> Source<'a> {
    fn sessions(&self) -> impl Iterator<Item = &'a Session> {
        let engine = self.engine;
        engine.sessions.iter().chain(std::iter::once(self.asking)).filter(|session| engine.is_shown(session))
    }
}

/// Collects the lines of a section.
pub(in crate::node) struct Lines<'a>(&'a mut String);

impl Lines<'_> {
    pub(in crate::node) fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write as _;
        // Writing to a string does not fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

struct Section {
    /// The name to ask for.
    name: &'static str,
    /// The title above its lines.
    title: &'static str,
    /// Shown when no section is asked for.
    is_default: bool,
    lines: fn(&Source<'_>, &mut Lines<'_>),
}

const fn section(
    name: &'static str,
    title: &'static str,
    is_default: bool,
    lines: fn(&Source<'_>, &mut Lines<'_>),
) -> Section {
    Section { name, title, is_default, lines }
}

/// In the order in which they are shown, whatever the order in which they are asked for.
const SECTIONS: &[Section] = &[
    section("server", "Server", true, sections::server),
    section("clients", "Clients", true, sections::clients),
    section("memory", "Memory", true, memory::memory),
    section("persistence", "Persistence", true, sections::persistence),
    section("stats", "Stats", true, sections::stats),
    section("replication", "Replication", true, replication::replication),
    section("cpu", "CPU", true, sections::cpu),
    // There are none.
    section("modules", "Modules", true, |_, _| {}),
    section("commandstats", "Commandstats", false, sections::commandstats),
    section("errorstats", "Errorstats", true, sections::errorstats),
    section("latencystats", "Latencystats", false, sections::latencystats),
    section("cluster", "Cluster", true, sections::cluster),
    section("keyspace", "Keyspace", true, sections::keyspace),
];

/// INFO [section ...]: several may be named; unknown ones are left out.
fn info(call: &mut Call<'_>) -> Result<(), Failure> {
    let wanted = &call.args[1..];
    let is_named = |name: &str| wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes()));
    let (all, default) =
        (is_named("all") || is_named("everything"), wanted.is_empty() || is_named("default"));
    let is_wanted = |section: &&Section| all || (default && section.is_default) || is_named(section.name);
    let source = Source { engine: call.engine, asking: call.session };
    let mut text = String::with_capacity(4096);
    for section in SECTIONS.iter().filter(is_wanted) {
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str("# ");
        text.push_str(section.title);
        text.push_str("\r\n");
        (section.lines)(&source, &mut Lines(&mut text));
    }
    call.reply().verbatim(text.as_bytes());
    Ok(())
}
