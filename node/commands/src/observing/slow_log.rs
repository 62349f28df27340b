//! The slow log: the last commands that took longer than `slowlog-log-slower-than`, shortened to what a person reads.

use std::collections::VecDeque;

use rejoin_protocol::UnixMillis;

use crate::{Command, Session, Settings};

/// Arguments that an entry keeps; the last tells how many more there were (Redis' number).
const ARGS_MAX: usize = 32;
/// Bytes that an entry keeps of each argument (Redis' number).
const ARG_BYTES_MAX: usize = 128;

/// One slow command.
#[derive(Debug)]
pub(crate) struct SlowEntry {
    /// Counts entries, and is never used again.
    pub(crate) id: u64,
    /// When it ended, in seconds since the Unix epoch.
    pub(crate) at_seconds: i64,
    /// How long it took.
    pub(crate) micros: u64,
    /// Its arguments, shortened.
    pub(crate) args: Vec<Vec<u8>>,
    /// The client's address.
    pub(crate) addr: String,
    /// The client's name.
    pub(crate) name: Box<[u8]>,
}

/// All entries, the newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    entries: VecDeque<SlowEntry>,
    next_id: u64,
}

impl SlowLog {
    /// Adds an entry and drops the oldest past `max`.
    pub(crate) fn add(
        &mut self,
        session: &Session,
        command: &Command,
        args: &[&[u8]],
        now: UnixMillis,
        micros: u64,
        max: usize,
    ) {
        self.entries.push_front(SlowEntry {
            id: self.next_id,
            at_seconds: now.get().div_euclid(1000),
            micros,
            args: shortened(&without_secrets(command, args)),
            addr: session.addr.clone(),
            name: session.name.clone(),
        });
        self.next_id += 1;
        self.entries.truncate(max);
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Drops all entries; numbers go on.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

fn shortened(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut short: Vec<Vec<u8>> = args[..kept]
        .iter()
        .map(|arg| match arg.len().checked_sub(ARG_BYTES_MAX) {
            None | Some(0) => arg.to_vec(),
            Some(more) => [&arg[..ARG_BYTES_MAX], format!("... ({more} more bytes)").as_bytes()].concat(),
        })
        .collect();
    if kept < args.len() {
        short.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    short
}

/// The arguments with what nobody may read later put out of sight: passwords.
fn without_secrets<'a>(command: &Command, args: &[&'a [u8]]) -> Vec<&'a [u8]> {
    const HIDDEN: &[u8] = b"(redacted)";
    let mut shown = args.to_vec();
    let is = |arg: &[u8], word: &str| arg.eq_ignore_ascii_case(word.as_bytes());
    match command.name {
        "auth" => shown[1..].fill(HIDDEN),
        "hello" => {
            if let Some(at) = args.iter().position(|arg| is(arg, "auth")) {
                shown.iter_mut().skip(at + 1).take(2).for_each(|arg| *arg = HIDDEN);
            }
        }
        "set" if is(args[0], "config") => {
            for at in (2..args.len().saturating_sub(1)).step_by(2) {
                if Settings::canonical_name(args[at]).is_some_and(is_secret) {
                    shown[at + 1] = HIDDEN;
                }
            }
        }
        _ => {}
    }
    shown
}

/// Settings whose values are not to be shown.
fn is_secret(name: &str) -> bool {
    matches!(
        name,
        "requirepass" | "masterauth" | "masteruser" | "tls-key-file-pass" | "tls-client-key-file-pass"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use crate::table;

    fn text(args: &[Vec<u8>]) -> Vec<String> {
        args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect()
    }

    #[test]
    fn many_and_long_arguments_are_shortened_as_redis_does() {
        let long = [b'x'; 130];
        let short = text(&shortened(&[b"SET", b"k", &long]));
        assert_eq!(short[2], format!("{}... (2 more bytes)", "x".repeat(128)));
        assert_eq!(text(&shortened(&[&long[..128]])), ["x".repeat(128)]);
        assert_eq!(shortened(&[b"a".as_slice(); 32]).len(), 32);
        let short = text(&shortened(&[b"a".as_slice(); 40]));
        assert_eq!((short.len(), short[31].as_str()), (32, "... (9 more arguments)"));
    }

    #[test]
    fn passwords_are_not_kept() {
        let shown = |words: &[&str]| {
            let args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let mut command = table::lookup(args[0]).unwrap();
            command = table::subcommand(command, args[1]).unwrap_or(command);
            let shown: Vec<_> = without_secrets(command, &args).into_iter().map(<[u8]>::to_vec).collect();
            text(&shown).join(" ")
        };
        assert_eq!(shown(&["AUTH", "me", "secret"]), "AUTH (redacted) (redacted)");
        assert_eq!(shown(&["HELLO", "3", "AUTH", "me", "secret"]), "HELLO 3 AUTH (redacted) (redacted)");
        assert_eq!(
            shown(&["CONFIG", "SET", "hz", "20", "requirepass", "secret"]),
            "CONFIG SET hz 20 requirepass (redacted)"
        );
        assert_eq!(shown(&["SET", "requirepass", "seen"]), "SET requirepass seen");
    }
}
