//! One client in one line, as CLIENT LIST and CLIENT INFO show it.

use std::fmt::Write as _;

use rejoin_protocol::resp::RespVersion;

use crate::{Engine, Failure, Session, SessionKind, pubsub::Topic, table};

/// What CLIENT LIST TYPE and CLIENT KILL TYPE tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl ClientKind {
    pub(super) fn parse(text: &[u8]) -> Result<Self, Failure> {
        match text.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"master" => Ok(Self::Master),
            b"replica" | b"slave" => Ok(Self::Replica),
            b"pubsub" => Ok(Self::Pubsub),
            _ => Err(Failure::repeating("ERR Unknown client type '", text, "'")),
        }
    }

    pub(super) fn of(session: &Session) -> Self {
        match session.kind {
            SessionKind::Master => Self::Master,
            SessionKind::Client if session.attaching => Self::Replica,
            SessionKind::Client if session.subscriptions.is_some() => Self::Pubsub,
            SessionKind::Client => Self::Normal,
        }
    }
}

/// Redis has a buffer of this size for each client, and a list of such pieces for what does not fit. We have one buffer, and
/// show what is beyond this as that list.
const REPLY_BUFFER_BYTES: usize = 16 << 10;

/// Appends the fields of Redis 7.2. What we do not have (file descriptors, reply lists) is shown as nothing.
pub(crate) fn describe(engine: &Engine, session: &Session, out: &mut Vec<u8>) {
    let seconds_since = |then: i64| engine.now.get().saturating_sub(then).max(0) / 1000;
    let mut text = String::new();
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a string does not fail.
        let _ = write!(text, "{name}={value} ");
    };
    let transaction = session.transaction.as_deref();
    let queued_bytes = transaction.map_or(0, |transaction| transaction.bytes);
    field("id", &session.id);
    field("addr", &session.addr);
    field("laddr", &session.laddr);
    field("fd", &-1);
    field("name", &String::from_utf8_lossy(&session.name));
    field("age", &seconds_since(session.created.get()));
    field("idle", &seconds_since(session.last_active.get()));
    field("flags", &flags(engine, session));
    field("db", &session.db);
    for (name, topic) in [("sub", Topic::Channel), ("psub", Topic::Pattern), ("ssub", Topic::ShardChannel)] {
        field(name, &session.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.count(topic)));
    }
    field("multi", &transaction.map_or(-1, |transaction| transaction.queued.len() as i64));
    field("qbuf", &session.query_bytes);
    field("qbuf-free", &0);
    field("argv-mem", &0);
    field("multi-mem", &queued_bytes);
    let (buffer, unsent) = (session.out.capacity(), session.unsent_bytes());
    field("rbs", &buffer.min(REPLY_BUFFER_BYTES));
    field("rbp", &buffer.min(REPLY_BUFFER_BYTES));
    field("obl", &unsent.min(REPLY_BUFFER_BYTES));
    field("oll", &unsent.saturating_sub(REPLY_BUFFER_BYTES).div_ceil(REPLY_BUFFER_BYTES));
    field("omem", &buffer.saturating_sub(REPLY_BUFFER_BYTES));
    field("tot-mem", &memory(session));
    field("events", &"r");
    field("cmd", &session.last_command.map_or("NULL", table::full_name));
    field("user", &"default");
    field("redir", &-1);
    field("resp", &if session.version == RespVersion::Three { 3 } else { 2 });
    field("lib-name", &String::from_utf8_lossy(&session.lib_name));
    field("lib-ver", &String::from_utf8_lossy(&session.lib_ver));
    out.extend_from_slice(text.trim_end_matches(' ').as_bytes());
}

/// Bytes that a client occupies, about.
pub(crate) fn memory(session: &Session) -> u64 {
    let queued = session.transaction.as_ref().map_or(0, |transaction| transaction.bytes);
    (size_of::<Session>() + session.out.capacity() + session.query_bytes) as u64 + queued
}

fn flags(engine: &Engine, session: &Session) -> String {
    let mut flags = String::new();
    for (flag, is_set) in [
        ('O', session.is_monitor),
        ('S', session.attaching),
        ('M', session.kind == SessionKind::Master),
        ('P', session.subscriptions.is_some()),
        ('x', session.transaction.is_some()),
        ('b', session.waiting.is_some()),
        ('d', engine.watches.is_broken(session.id)),
        ('c', session.closing),
        ('U', session.by_unix_socket),
        ('e', session.no_evict),
        ('T', session.no_touch),
    ] {
        if is_set {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}
