//! MONITOR: a client that sees each command that is executed, whoever sent it, the master included.

use std::fmt::Write as _;

use smallvec::SmallVec;

use crate::{Call, Command, Engine, Failure, Flags, Session};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "monitor",
    1,
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE),
    "server",
    "1.0.0",
    "Shows each command that is executed from now on.",
    monitor,
)];

/// What is shown in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// MONITOR: answered once; who monitors already gets no further answer.
fn monitor(call: &mut Call<'_>) -> Result<(), Failure> {
    if !call.session.may_listen() || call.engine.must_not_wait {
        return Err(Failure::text("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if call.session.is_monitor {
        return Ok(());
    }
    call.session.is_monitor = true;
    call.session.listens = true;
    call.engine.pubsub.monitors.push(call.session.id);
    call.reply().ok();
    Ok(())
}

impl Engine {
    /// A command was executed: shows it to those who monitor, but for those of operators.
    #[inline]
    pub(crate) fn show_to_monitors(&mut self, session: &Session, command: &'static Command, args: &[&[u8]]) {
        if !self.pubsub.monitors.is_empty() && !command.flags.intersects(Flags::ADMIN | Flags::SKIP_MONITOR) {
            self.show(session, command, args);
        }
    }

    #[cold]
    fn show(&mut self, session: &Session, command: &'static Command, args: &[&[u8]]) {
        let (seconds, micros) =
            (self.now_micros.div_euclid(1_000_000), self.now_micros.rem_euclid(1_000_000));
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(line, "+{seconds}.{micros:06} [{} {}]", session.db, session.addr);
        for arg in redacted(command, args) {
            line.push(' ');
            push_quoted(&mut line, arg);
        }
        line.push_str("\r\n");
        for monitor in self.pubsub.monitors.clone() {
            self.deliver(monitor, line.as_bytes());
        }
    }
}

/// The arguments without what AUTH and HELLO AUTH give away.
fn redacted<'a>(command: &Command, args: &[&'a [u8]]) -> SmallVec<[&'a [u8]; 8]> {
    let mut shown: SmallVec<[&[u8]; 8]> = args.iter().copied().collect();
    let secret = match command.name {
        "auth" if args.len() <= 3 => 1..args.len(),
        "hello" => {
            let option = args.iter().skip(2).position(|arg| arg.eq_ignore_ascii_case(b"auth"));
            option.map_or(0..0, |at| at + 3..(at + 5).min(args.len()))
        }
        _ => 0..0,
    };
    shown.get_mut(secret).into_iter().flatten().for_each(|arg| *arg = REDACTED);
    shown
}

/// Appends bytes in quotes, with C's escapes.
fn push_quoted(line: &mut String, bytes: &[u8]) {
    line.push('"');
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                line.push('\\');
                line.push(byte.into());
            }
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            0x07 => line.push_str("\\a"),
            0x08 => line.push_str("\\b"),
            b' '..=b'~' => line.push(byte.into()),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
    line.push('"');
}
