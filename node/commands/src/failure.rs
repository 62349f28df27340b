//! Error replies, in Redis' words.

use std::borrow::Cow;

use thiserror::Error;

use crate::dispatch;

/// Why a command was refused. `Display` is the whole reply after the `-`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// The arguments make no sense together.
    #[error("ERR syntax error")]
    Syntax,
    /// Not a 64-bit number, or too large a one.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// Not a floating-point number.
    #[error("ERR value is not a valid float")]
    NotAFloat,
    /// No such key, for commands that need one.
    #[error("ERR no such key")]
    NoSuchKey,
    /// An index that is out of range.
    #[error("ERR index out of range")]
    IndexOutOfRange,
    /// No such database.
    #[error("ERR DB index is out of range")]
    DatabaseOutOfRange,
    /// A relative or absolute expiry that cannot be.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// Too many or too few arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    WrongArity(String),
    /// Any other text, with its prefix.
    #[error("{0}")]
    Text(Cow<'static, str>),
    /// A text that repeats what the client sent, byte by byte.
    #[error("{}", String::from_utf8_lossy(.0))]
    Repeating(Vec<u8>),
}

impl Failure {
    /// A failure with a text of its own, prefix included.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    /// A failure that repeats an argument: the bytes as they came, up to a zero (C's idea of a string).
    pub fn repeating(before: &str, arg: &[u8], after: &str) -> Self {
        Self::Repeating([before.as_bytes(), dispatch::echoed(arg, usize::MAX), after.as_bytes()].concat())
    }

    /// The text, without the `-` before it.
    pub(crate) fn reply(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Repeating(text) => Cow::Borrowed(text),
            Self::Text(text) => Cow::Borrowed(text.as_bytes()),
            other => Cow::Owned(other.to_string().into_bytes()),
        }
    }
}
