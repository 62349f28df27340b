//! A master's answers, as a replica reads them.

use thiserror::Error;

use super::excerpt;
use crate::number::parse_length;
use crate::{Offset, ReplicationId};

/// The answer to PING, AUTH or REPLCONF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandshakeReply {
    /// An empty line: the master is alive, the answer still comes.
    KeepAlive,
    /// `+...`.
    Accepted,
    /// `-...`: the error, escaped for a log. Whether that ends the handshake depends on what was asked.
    Refused(String),
    /// Neither: this is no Redis.
    Garbage(String),
}

impl HandshakeReply {
    /// Reads one line without its end.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        match line {
            [] => Self::KeepAlive,
            [b'+', ..] => Self::Accepted,
            [b'-', text @ ..] => Self::Refused(excerpt(text)),
            other => Self::Garbage(excerpt(other)),
        }
    }

    /// Whether this answer to the first PING allows to go on: a master that wants a password first refuses it.
    #[must_use]
    pub fn allows_auth(&self) -> bool {
        match self {
            Self::Accepted => true,
            Self::Refused(text) => ["NOAUTH", "NOPERM", "ERR operation not permitted"]
                .iter()
                .any(|prefix| text.starts_with(prefix)),
            Self::KeepAlive | Self::Garbage(_) => false,
        }
    }
}

/// The answer to PSYNC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PsyncReply {
    /// An empty line: the master is alive (it may be collecting replicas for one snapshot), the answer still comes.
    KeepAlive,
    /// `+FULLRESYNC id offset`: a snapshot follows, then the stream from `offset.next()` on.
    FullResync {
        /// The master's lineage from here on.
        id: ReplicationId,
        /// The offset that the snapshot stands for.
        offset: Offset,
    },
    /// `+CONTINUE [id]`: the stream follows from where it was asked for.
    Continue {
        /// The master's lineage, if it said so: a new one means that the old one ended where we are. Masters before
        /// PSYNC2, or that were not told of it, say nothing.
        id: Option<ReplicationId>,
    },
    /// `-NOMASTERLINK` or `-LOADING`: the master cannot say yet. Ask again later.
    TryLater(String),
    /// Another error: this master knows no PSYNC, or does not want it. SYNC is what is left.
    Refused(String),
}

/// An answer to PSYNC that cannot be understood: the master misbehaves, or speaks something newer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PsyncReplyError {
    /// The id is not 40 hexadecimal digits.
    #[error("the master named a replication id that is not 40 hexadecimal digits: {0}")]
    MalformedId(String),
    /// The offset is no decimal number from 0 to 2^63 - 1.
    #[error("the master named an offset that is no number: {0}")]
    MalformedOffset(String),
    /// Words are missing, or there are too many.
    #[error("the master's answer to PSYNC has the wrong number of words: {0}")]
    WrongWordCount(String),
    /// An answer that this grammar does not have.
    #[error("the master's answer to PSYNC is unknown: {0}")]
    Unknown(String),
}

impl PsyncReply {
    /// Reads one line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, PsyncReplyError> {
        if line.is_empty() {
            return Ok(Self::KeepAlive);
        }
        if let Some(text) = line.strip_prefix(b"-") {
            let later = text.starts_with(b"NOMASTERLINK") || text.starts_with(b"LOADING");
            return Ok(if later { Self::TryLater(excerpt(text)) } else { Self::Refused(excerpt(text)) });
        }
        let mut words = line.split(|byte| *byte == b' ');
        let name = words.next().unwrap_or_default();
        match (name, words.next(), words.next(), words.next()) {
            (b"+FULLRESYNC", Some(id), Some(offset), None) => {
                Ok(Self::FullResync { id: parse_id(id)?, offset: parse_offset(offset)? })
            }
            (b"+CONTINUE", None, ..) => Ok(Self::Continue { id: None }),
            (b"+CONTINUE", Some(id), None, _) => Ok(Self::Continue { id: Some(parse_id(id)?) }),
            (b"+FULLRESYNC" | b"+CONTINUE", ..) => Err(PsyncReplyError::WrongWordCount(excerpt(line))),
            _ => Err(PsyncReplyError::Unknown(excerpt(line))),
        }
    }
}

fn parse_id(text: &[u8]) -> Result<ReplicationId, PsyncReplyError> {
    ReplicationId::parse(text).ok_or_else(|| PsyncReplyError::MalformedId(excerpt(text)))
}

fn parse_offset(text: &[u8]) -> Result<Offset, PsyncReplyError> {
    parse_length(text).map(Offset::new).ok_or_else(|| PsyncReplyError::MalformedOffset(excerpt(text)))
}

/// `+FULLRESYNC id offset`, as a master says it.
pub fn write_full_resync(out: &mut Vec<u8>, id: ReplicationId, offset: Offset) {
    out.extend_from_slice(format!("+FULLRESYNC {id} {offset}\r\n").as_bytes());
}

/// `+CONTINUE id`, as a master says it; `+CONTINUE` to replicas without the capability `psync2`.
pub fn write_continue(out: &mut Vec<u8>, id: Option<ReplicationId>) {
    match id {
        Some(id) => out.extend_from_slice(format!("+CONTINUE {id}\r\n").as_bytes()),
        None => out.extend_from_slice(b"+CONTINUE\r\n"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::psync::take_line;

    const ID: &str = "41bf1d3da4c5e376b51485a86a5bdd24a531c847";

    fn id() -> ReplicationId {
        ReplicationId::parse(ID.as_bytes()).unwrap()
    }

    #[test]
    fn answers_of_every_kind() {
        let table = [
            (String::new(), PsyncReply::KeepAlive),
            (format!("+FULLRESYNC {ID} 0"), PsyncReply::FullResync { id: id(), offset: Offset::ZERO }),
            (
                format!("+FULLRESYNC {} 9223372036854775807", ID.to_uppercase()),
                PsyncReply::FullResync { id: id(), offset: Offset::new(i64::MAX as u64) },
            ),
            ("+CONTINUE".into(), PsyncReply::Continue { id: None }),
            (format!("+CONTINUE {ID}"), PsyncReply::Continue { id: Some(id()) }),
            (
                "-NOMASTERLINK Can't SYNC while not connected with my master".into(),
                PsyncReply::TryLater("NOMASTERLINK Can\\'t SYNC while not connected with my master".into()),
            ),
            ("-LOADING Redis is loading".into(), PsyncReply::TryLater("LOADING Redis is loading".into())),
            ("-ERR unknown command".into(), PsyncReply::Refused("ERR unknown command".into())),
            ("-".into(), PsyncReply::Refused(String::new())),
        ];
        for (line, reply) in table {
            assert_eq!(PsyncReply::parse(line.as_bytes()), Ok(reply), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        use PsyncReplyError::*;
        let table = [
            ("+FULLRESYNC abc 1".into(), MalformedId("abc".into())),
            (format!("+FULLRESYNC {} 1", "g".repeat(40)), MalformedId("g".repeat(40))),
            (format!("+FULLRESYNC {ID} x"), MalformedOffset("x".into())),
            (format!("+FULLRESYNC {ID} -1"), MalformedOffset("-1".into())),
            (format!("+FULLRESYNC {ID} 9223372036854775808"), MalformedOffset("9223372036854775808".into())),
            (format!("+FULLRESYNC {ID} "), MalformedOffset(String::new())),
            (format!("+FULLRESYNC {ID}"), WrongWordCount(format!("+FULLRESYNC {ID}"))),
            ("+FULLRESYNC".into(), WrongWordCount("+FULLRESYNC".into())),
            (format!("+FULLRESYNC {ID} 1 2"), WrongWordCount(format!("+FULLRESYNC {ID} 1 2"))),
            ("+CONTINUE x".into(), MalformedId("x".into())),
            ("+CONTINUE ".into(), MalformedId(String::new())),
            (format!("+CONTINUE {ID} x"), WrongWordCount(format!("+CONTINUE {ID} x"))),
            ("+CONTINUED".into(), Unknown("+CONTINUED".into())),
            ("+RDBCHANNELSYNC 5".into(), Unknown("+RDBCHANNELSYNC 5".into())),
            ("+DUALCHANNELSYNC".into(), Unknown("+DUALCHANNELSYNC".into())),
            ("$5".into(), Unknown("$5".into())),
            ("HTTP/1.1 400 Bad Request".into(), Unknown("HTTP/1.1 400 Bad Request".into())),
        ];
        for (line, error) in table {
            assert_eq!(PsyncReply::parse(line.as_bytes()), Err(error), "{line}");
        }
    }

    #[test]
    fn what_a_master_writes_a_replica_reads() {
        let mut out = Vec::new();
        write_full_resync(&mut out, id(), Offset::new(500));
        let (line, len) = take_line(&out).unwrap().unwrap();
        assert_eq!(
            PsyncReply::parse(line),
            Ok(PsyncReply::FullResync { id: id(), offset: Offset::new(500) })
        );
        assert_eq!(len, out.len());
        for id in [None, Some(id())] {
            out.clear();
            write_continue(&mut out, id);
            assert_eq!(
                PsyncReply::parse(take_line(&out).unwrap().unwrap().0),
                Ok(PsyncReply::Continue { id })
            );
        }
    }

    #[test]
    fn a_ping_may_be_refused_for_want_of_a_password() {
        let allows = |line: &[u8]| HandshakeReply::parse(line).allows_auth();
        assert!(allows(b"+PONG"));
        assert!(allows(b"+whatever"));
        assert!(allows(b"-NOAUTH Authentication required."));
        assert!(allows(b"-NOPERM this user has no permissions"));
        assert!(allows(b"-ERR operation not permitted"));
        assert!(!allows(b"-ERR max number of clients reached"));
        assert!(!allows(b"HTTP/1.1 200 OK"));
        assert_eq!(HandshakeReply::parse(b""), HandshakeReply::KeepAlive);
    }
}
