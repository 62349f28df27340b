//! PSYNC as a master receives it.

use thiserror::Error;

use crate::number::parse_i64;
use crate::{NextOffset, ReplicationId};

/// `PSYNC id offset [FAILOVER]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PsyncRequest {
    /// The lineage to be continued; `None` for `?` and for everything else that is no id and so can match none.
    pub id: Option<ReplicationId>,
    /// The first byte wanted; `None` for a negative number, which no stream has.
    pub next: Option<NextOffset>,
    /// The master that sends this wants us, its replica, to take over.
    pub failover: bool,
}

/// Why PSYNC is refused. `Display` is Redis' own text without the leading `-ERR `.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PsyncRequestError {
    /// Not two arguments or more.
    #[error("wrong number of arguments for 'psync' command")]
    WrongArity,
    /// The offset is no number.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
}

impl PsyncRequest {
    /// Reads the arguments without the command's name. A third one that is not FAILOVER, and all further ones, are
    /// ignored as in Redis.
    pub fn parse<A: AsRef<[u8]>>(args: &[A]) -> Result<Self, PsyncRequestError> {
        let [id, offset, more @ ..] = args else { return Err(PsyncRequestError::WrongArity) };
        let offset = parse_i64(offset.as_ref()).ok_or(PsyncRequestError::NotAnInteger)?;
        Ok(Self {
            id: ReplicationId::parse(id.as_ref()),
            next: u64::try_from(offset).ok().map(NextOffset::new),
            failover: more.first().is_some_and(|word| word.as_ref().eq_ignore_ascii_case(b"failover")),
        })
    }

    /// What is asked for, if it can be continued at all.
    #[must_use]
    pub fn from(&self) -> Option<(ReplicationId, NextOffset)> {
        self.id.zip(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_stock_replicas_and_worse() {
        let id = ReplicationId::from_random([0xab; 20]);
        let parse = |args: &[&str]| PsyncRequest::parse(args);
        let asks = |id, next: Option<u64>, failover| {
            Ok(PsyncRequest { id, next: next.map(NextOffset::new), failover })
        };
        assert_eq!(parse(&["?", "-1"]), asks(None, None, false));
        assert_eq!(parse(&[id.as_str(), "501"]), asks(Some(id), Some(501), false));
        assert_eq!(parse(&[id.as_str(), "501", "failover"]), asks(Some(id), Some(501), true));
        assert_eq!(parse(&["zz", "0", "foo", "bar"]), asks(None, Some(0), false));
        assert_eq!(parse(&["?"]), Err(PsyncRequestError::WrongArity));
        assert_eq!(parse(&["?", "x"]), Err(PsyncRequestError::NotAnInteger));
        assert_eq!(parse(&[id.as_str(), "9223372036854775808"]), Err(PsyncRequestError::NotAnInteger));
    }

    #[test]
    fn only_an_id_with_a_position_can_be_continued() {
        let id = ReplicationId::from_random([1; 20]);
        let from = |args: &[&str]| PsyncRequest::parse(args).ok().and_then(|request| request.from());
        assert_eq!(from(&[id.as_str(), "7"]), Some((id, NextOffset::new(7))));
        assert_eq!(from(&[id.as_str(), "-7"]), None);
        assert_eq!(from(&["?", "7"]), None);
    }
}
