//! The line before a snapshot's bytes: how long it is, or how its end will look.

use std::fmt;

use thiserror::Error;

use super::excerpt;
use crate::ByteCount;
use crate::number::parse_length;

/// The 40 bytes that end a snapshot of unknown length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EofMark([u8; Self::BYTES]);

impl EofMark {
    /// The length of a mark.
    pub const BYTES: usize = 40;

    /// A mark out of random bytes, in hexadecimal digits as Redis makes them.
    #[must_use]
    pub fn from_random(bytes: [u8; 20]) -> Self {
        let id = crate::ReplicationId::from_random(bytes);
        let mut mark = [0; Self::BYTES];
        mark.copy_from_slice(id.as_str().as_bytes());
        Self(mark)
    }

    /// A mark as the master stated it: any 40 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for EofMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The line before a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadHead {
    /// An empty line: the snapshot is still being made.
    KeepAlive,
    /// `$len`: so many bytes follow, and nothing behind them but the stream.
    Length(ByteCount),
    /// `$EOF:mark`: bytes follow until the mark.
    UntilMark(EofMark),
}

/// A line before a snapshot that cannot be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PayloadHeadError {
    /// `-...`: the master could not make the snapshot.
    #[error("the master aborted the synchronisation: {0}")]
    Aborted(String),
    /// A length that is no number from 0 to 2^63 - 1.
    #[error("the master announced a snapshot of a length that is no number: {0}")]
    MalformedLength(String),
    /// A length of 2^63 or more.
    #[error("the master announced a snapshot of 2^63 bytes or more: {0}")]
    LengthTooLarge(String),
    /// `$EOF:` with something else than 40 bytes behind it.
    #[error("the master announced an end mark that is not 40 bytes long: {0}")]
    MalformedMark(String),
    /// `$ENDOFF:`, by which Valkey begins a second channel that was not asked for.
    #[error("the master sends its snapshot for a second channel, which was not asked for: {0}")]
    SecondChannel(String),
    /// Not a payload's head at all.
    #[error("the master sent something else where a snapshot should begin: {0}")]
    Unknown(String),
}

impl PayloadHead {
    /// Reads one line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, PayloadHeadError> {
        let text = match line {
            [] => return Ok(Self::KeepAlive),
            [b'-', text @ ..] => return Err(PayloadHeadError::Aborted(excerpt(text))),
            [b'$', text @ ..] => text,
            other => return Err(PayloadHeadError::Unknown(excerpt(other))),
        };
        if let Some(mark) = text.strip_prefix(b"EOF:") {
            let mark = mark.try_into().map_err(|_| PayloadHeadError::MalformedMark(excerpt(mark)))?;
            return Ok(Self::UntilMark(EofMark(mark)));
        }
        if text.starts_with(b"ENDOFF:") {
            return Err(PayloadHeadError::SecondChannel(excerpt(line)));
        }
        match parse_length(text) {
            Some(len) => Ok(Self::Length(ByteCount::new(len))),
            None if text.len() > 18 && text.iter().all(u8::is_ascii_digit) => {
                Err(PayloadHeadError::LengthTooLarge(excerpt(text)))
            }
            None => Err(PayloadHeadError::MalformedLength(excerpt(text))),
        }
    }

    /// Appends the line as a master sends it, its end included.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::KeepAlive => out.push(b'\n'),
            Self::Length(len) => out.extend_from_slice(format!("${len}\r\n").as_bytes()),
            Self::UntilMark(mark) => {
                out.extend_from_slice(b"$EOF:");
                out.extend_from_slice(&mark.0);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::psync::take_line;

    #[test]
    fn heads_survive_the_way() {
        for head in [
            PayloadHead::KeepAlive,
            PayloadHead::Length(ByteCount::ZERO),
            PayloadHead::Length(ByteCount::new(i64::MAX as u64)),
            PayloadHead::UntilMark(EofMark::from_random([7; 20])),
        ] {
            let mut out = Vec::new();
            head.write(&mut out);
            let (line, len) = take_line(&out).unwrap().unwrap();
            assert_eq!((PayloadHead::parse(line), len), (Ok(head), out.len()));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use PayloadHeadError::*;
        let table = [
            ("-ERR no disk", Aborted("ERR no disk".into())),
            ("$", MalformedLength(String::new())),
            ("$-1", MalformedLength("-1".into())),
            ("$5x", MalformedLength("5x".into())),
            ("$005", MalformedLength("005".into())),
            ("$9223372036854775808", LengthTooLarge("9223372036854775808".into())),
            ("$99999999999999999999999", LengthTooLarge("99999999999999999999999".into())),
            ("$EOF:abc", MalformedMark("abc".into())),
            ("$ENDOFF:5 a 0 7", SecondChannel("$ENDOFF:5 a 0 7".into())),
            ("REDIS0010", Unknown("REDIS0010".into())),
            ("+CONTINUE", Unknown("+CONTINUE".into())),
        ];
        for (line, error) in table {
            assert_eq!(PayloadHead::parse(line.as_bytes()), Err(error), "{line}");
        }
        assert!(matches!(PayloadHead::parse(&[&b"$EOF:"[..], &[b'a'; 41]].concat()), Err(MalformedMark(_))));
    }
}
