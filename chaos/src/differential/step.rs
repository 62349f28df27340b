//! One step of a generated program, and how it is shown to people.

use crate::console::quoted;

/// An argument. Points in time are kept relative, so that a program can be run again later and still mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Unix time in milliseconds, counted from the start of the run; far enough away not to pass meanwhile.
    UnixMs(i64),
    /// The same in seconds.
    UnixSeconds(i64),
    /// Unix time in milliseconds, so many after the step is run: it passes during the run, and the runner sees to it
    /// that no command is under way on either server while it does.
    SoonMs(u32),
}

impl Arg {
    /// Text as an argument.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Bytes(text.into().into_bytes())
    }

    /// Whether a pattern named a placeholder that nobody knows.
    #[cfg(test)]
    pub(super) fn is_unknown_placeholder(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.starts_with(b"<no placeholder"))
    }
}

/// How a command is put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An array of bulk strings.
    Array,
    /// One line, arguments in quotes.
    Inline,
}

/// One step of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A command on one of the program's connections.
    Command {
        /// Index of the connection.
        connection: usize,
        /// Name and arguments.
        args: Vec<Arg>,
        /// How it is sent.
        form: Form,
        /// Sent together with the step before it, if that is on the same connection.
        is_pipelined: bool,
    },
    /// Wait until all deadlines set so far have passed.
    PassDeadlines,
}

impl Step {
    /// The step as a line that can be read and, its times apart, typed into redis-cli.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::PassDeadlines => "(wait until all deadlines have passed)".to_owned(),
            Self::Command { connection, args, form, is_pipelined } => {
                let mut line = format!("c{connection}> ");
                line.push_str(&args.iter().map(shown_arg).collect::<Vec<_>>().join(" "));
                if *form == Form::Inline {
                    line.push_str("   (inline)");
                }
                if *is_pipelined {
                    line.push_str("   (pipelined)");
                }
                line
            }
        }
    }
}

fn shown_arg(arg: &Arg) -> String {
    match arg {
        Arg::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text)
                if (1..=100).contains(&text.len())
                    && text.chars().all(|c| c.is_ascii_graphic() && c != '"') =>
            {
                text.to_owned()
            }
            _ => quoted(bytes),
        },
        Arg::UnixMs(offset) => format!("<start {offset:+} ms>"),
        Arg::UnixSeconds(offset) => format!("<start {offset:+} s, in seconds>"),
        Arg::SoonMs(after) => format!("<now +{after} ms>"),
    }
}

/// A command as one inline line. Every byte that could mean something is escaped.
pub(super) fn encode_inline(out: &mut Vec<u8>, args: &[Vec<u8>]) {
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let is_plain = !arg.is_empty() && arg.iter().all(u8::is_ascii_alphanumeric);
        if is_plain {
            out.extend_from_slice(arg);
            continue;
        }
        out.push(b'"');
        for byte in arg {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(*byte),
                _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
            }
        }
        out.push(b'"');
    }
    out.extend_from_slice(b"\r\n");
}
