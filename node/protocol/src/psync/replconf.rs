//! REPLCONF as a master receives it: `REPLCONF option value [option value ...]`.
//!
//! Options take effect one by one: those before a wrong one stay, so they are handed out one by one as well. ACK and
//! GETACK end the command and are never answered; after the others comes one `+OK`.

use thiserror::Error;

use super::excerpt;
use crate::Offset;
use crate::number::{parse_i64, parse_length};
use crate::resp::split_args;

/// What a replica can do, as it tells its master. Unknown ones are ignored, never refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// It finds the end of a snapshot by its mark (`$EOF:`).
    Eof,
    /// It understands `+CONTINUE id`, and with it a change of lineage.
    Psync2,
    /// It is a node of our kind: it reads whatever our own files hold. Stock masters pass over it.
    Rejoin,
}

impl Capability {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eof => "eof",
            Self::Psync2 => "psync2",
            Self::Rejoin => "rejoin",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        [Self::Eof, Self::Psync2, Self::Rejoin]
            .into_iter()
            .find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))
    }
}

/// One option of REPLCONF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplconfOption<'a> {
    /// The port that the replica says it listens on. Any number, as in Redis: it is only shown to others.
    ListeningPort(i64),
    /// The address that the replica wants to be shown by; at most 255 bytes of anything.
    IpAddress(&'a [u8]),
    /// A capability, or `None` for one that is unknown.
    Capa(Option<Capability>),
    /// `rdb-only 1`: a snapshot is wanted but no stream behind it (redis-cli --rdb).
    RdbOnly(bool),
    /// `rdb-filter-only`: a snapshot without data, with functions if so named (redis-cli --functions-rdb).
    RdbFilterOnly {
        /// Whether functions are wanted.
        functions: bool,
    },
    /// The version of a Valkey replica: major, minor, patch.
    Version([u8; 3]),
    /// What the replica has applied, and what of it is safe on its disk if it tracks that. Not answered.
    Ack {
        /// Applied up to here.
        offset: Offset,
        /// Durable up to here.
        durable: Option<Offset>,
    },
    /// An ACK whose number is none. Ignored by Redis, and not answered either.
    MalformedAck,
    /// The master asks for an ACK at once. Not answered.
    GetAck,
}

impl ReplconfOption<'_> {
    /// Whether the command ends here, without an answer.
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Ack { .. } | Self::MalformedAck | Self::GetAck)
    }
}

/// Why REPLCONF is refused. `Display` is Redis' own text without the leading `-ERR `, a peer's bytes escaped.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReplconfError {
    /// An option without its value.
    #[error("syntax error")]
    MissingValue,
    /// Neither Redis nor Valkey has this option.
    #[error("Unrecognized REPLCONF option: {}", excerpt(.0))]
    Unrecognized(Vec<u8>),
    /// A number that is none.
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    /// `rdb-only` is 0 or 1.
    #[error("value is out of range, value must between 0 and 1")]
    NotABoolean,
    /// An address of 256 bytes or more.
    #[error("REPLCONF ip-address provided by replica instance is too long: {0} bytes")]
    AddressTooLong(usize),
    /// Filters with an open quote.
    #[error("Missing rdb-filter-only values")]
    MalformedFilters,
    /// A filter other than `functions`.
    #[error("Unsupported rdb-filter-only option: {}", excerpt(.0))]
    UnsupportedFilter(Vec<u8>),
    /// A version that is not of the form x.y.z.
    #[error("Unrecognized version format: {}", excerpt(.0))]
    MalformedVersion(Vec<u8>),
}

impl ReplconfError {
    /// Appends the text as Redis sends it: a peer's bytes as they came.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        let (text, bytes): (&[u8], &[u8]) = match self {
            Self::Unrecognized(name) => (b"Unrecognized REPLCONF option: ", name),
            Self::UnsupportedFilter(name) => (b"Unsupported rdb-filter-only option: ", name),
            Self::MalformedVersion(version) => (b"Unrecognized version format: ", version),
            other => return out.extend_from_slice(other.to_string().as_bytes()),
        };
        out.extend_from_slice(text);
        out.extend_from_slice(bytes);
    }
}

/// The options of one REPLCONF, in order; ends after the first error, ACK or GETACK.
#[derive(Clone, Debug)]
pub struct ReplconfOptions<'a, A> {
    args: &'a [A],
}

impl<'a, A: AsRef<[u8]>> ReplconfOptions<'a, A> {
    /// The options in `args`, the arguments without the command's name. An odd number of them refuses all of it.
    pub fn new(args: &'a [A]) -> Result<Self, ReplconfError> {
        if args.len().is_multiple_of(2) { Ok(Self { args }) } else { Err(ReplconfError::MissingValue) }
    }
}

impl<'a, A: AsRef<[u8]>> Iterator for ReplconfOptions<'a, A> {
    type Item = Result<ReplconfOption<'a>, ReplconfError>;

    fn next(&mut self) -> Option<Self::Item> {
        let [name, value, rest @ ..] = self.args else { return None };
        self.args = rest;
        let option = parse_option(name.as_ref(), value.as_ref(), rest);
        if option.as_ref().is_ok_and(ReplconfOption::is_unanswered) || option.is_err() {
            self.args = &[];
        }
        Some(option)
    }
}

fn parse_option<'a, A: AsRef<[u8]>>(
    name: &[u8],
    value: &'a [u8],
    rest: &[A],
) -> Result<ReplconfOption<'a>, ReplconfError> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    if is("ack") {
        Ok(parse_ack(value, rest))
    } else if is("getack") {
        Ok(ReplconfOption::GetAck)
    } else if is("listening-port") {
        parse_i64(value).map(ReplconfOption::ListeningPort).ok_or(ReplconfError::NotAnInteger)
    } else if is("ip-address") {
        const ADDRESS_BYTES_MAX: usize = 255;
        if value.len() > ADDRESS_BYTES_MAX {
            return Err(ReplconfError::AddressTooLong(value.len()));
        }
        Ok(ReplconfOption::IpAddress(value))
    } else if is("capa") {
        Ok(ReplconfOption::Capa(Capability::parse(value)))
    } else if is("rdb-only") {
        match parse_i64(value).ok_or(ReplconfError::NotAnInteger)? {
            n @ (0 | 1) => Ok(ReplconfOption::RdbOnly(n == 1)),
            _ => Err(ReplconfError::NotABoolean),
        }
    } else if is("rdb-filter-only") {
        parse_filters(value)
    } else if is("version") {
        parse_version(value)
            .map(ReplconfOption::Version)
            .ok_or_else(|| ReplconfError::MalformedVersion(value.to_vec()))
    } else {
        Err(ReplconfError::Unrecognized(name.to_vec()))
    }
}

fn parse_ack<A: AsRef<[u8]>>(value: &[u8], rest: &[A]) -> ReplconfOption<'static> {
    let Some(offset) = parse_length(value).map(Offset::new) else { return ReplconfOption::MalformedAck };
    let durable = match rest {
        [name, value, ..] if name.as_ref().eq_ignore_ascii_case(b"fack") => {
            parse_length(value.as_ref()).map(Offset::new)
        }
        _ => None,
    };
    ReplconfOption::Ack { offset, durable }
}

fn parse_filters(value: &[u8]) -> Result<ReplconfOption<'static>, ReplconfError> {
    let (mut text, mut words) = (value.to_vec(), Vec::new());
    split_args(&mut text, &mut words).map_err(|_| ReplconfError::MalformedFilters)?;
    match words.iter().map(|word| word.of(&text)).find(|word| !word.eq_ignore_ascii_case(b"functions")) {
        Some(other) => Err(ReplconfError::UnsupportedFilter(other.to_vec())),
        None => Ok(ReplconfOption::RdbFilterOnly { functions: !words.is_empty() }),
    }
}

fn parse_version(text: &[u8]) -> Option<[u8; 3]> {
    let mut parts = text.split(|byte| *byte == b'.').map(|part| u8::try_from(parse_i64(part)?).ok());
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn options<'a>(args: &'a [&'a [u8]]) -> Vec<Result<ReplconfOption<'a>, ReplconfError>> {
        ReplconfOptions::new(args).map_or_else(|error| vec![Err(error)], Iterator::collect)
    }

    #[test]
    fn the_options_of_stock_replicas() {
        use ReplconfOption::*;
        type Case<'a> = (&'a [&'a [u8]], &'a [ReplconfOption<'a>]);
        let table: &[Case<'_>] = &[
            (&[], &[]),
            (&[b"listening-port", b"6379"], &[ListeningPort(6379)]),
            (&[b"listening-port", b"-5"], &[ListeningPort(-5)]),
            (&[b"ip-address", b"10.0.0.1"], &[IpAddress(b"10.0.0.1")]),
            (
                &[b"CAPA", b"EOF", b"capa", b"psync2"],
                &[Capa(Some(Capability::Eof)), Capa(Some(Capability::Psync2))],
            ),
            (&[b"capa", b"rdb-channel-repl"], &[Capa(None)]),
            (&[b"rdb-only", b"1"], &[RdbOnly(true)]),
            (&[b"rdb-filter-only", b"functions"], &[RdbFilterOnly { functions: true }]),
            (&[b"rdb-filter-only", b""], &[RdbFilterOnly { functions: false }]),
            (&[b"version", b"9.1.2"], &[Version([9, 1, 2])]),
            (&[b"ACK", b"14"], &[Ack { offset: Offset::new(14), durable: None }]),
            (
                &[b"ACK", b"14", b"FACK", b"9"],
                &[Ack { offset: Offset::new(14), durable: Some(Offset::new(9)) }],
            ),
            (&[b"ACK", b"x"], &[MalformedAck]),
            (&[b"GETACK", b"*"], &[GetAck]),
            (&[b"GETACK", b"*", b"nonsense", b"1"], &[GetAck]),
        ];
        for (args, expected) in table {
            assert_eq!(options(args), expected.iter().map(|option| Ok(*option)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn refusals_in_redis_words() {
        // As a redis-server 7.0.15 answered them (version: Valkey).
        let long = [b'a'; 256];
        let table: &[(&[&[u8]], &[u8])] = &[
            (&[b"capa"], b"syntax error"),
            (&[b"foo", b"1"], b"Unrecognized REPLCONF option: foo"),
            (&[b"f\xffo", b"1"], b"Unrecognized REPLCONF option: f\xffo"),
            (&[b"listening-port", b"x"], b"value is not an integer or out of range"),
            (&[b"listening-port", b"9223372036854775808"], b"value is not an integer or out of range"),
            (
                &[b"ip-address", &long],
                b"REPLCONF ip-address provided by replica instance is too long: 256 bytes",
            ),
            (&[b"rdb-only", b"2"], b"value is out of range, value must between 0 and 1"),
            (&[b"rdb-only", b"x"], b"value is not an integer or out of range"),
            (&[b"rdb-filter-only", b"a b"], b"Unsupported rdb-filter-only option: a"),
            (&[b"rdb-filter-only", b"\"a"], b"Missing rdb-filter-only values"),
            (&[b"version", b"9.1"], b"Unrecognized version format: 9.1"),
            (&[b"version", b"9.1.2.3"], b"Unrecognized version format: 9.1.2.3"),
            (&[b"version", b"9.1.256"], b"Unrecognized version format: 9.1.256"),
        ];
        for (args, text) in table {
            let mut sent = Vec::new();
            options(args).pop().unwrap().unwrap_err().write_text(&mut sent);
            assert_eq!(sent, *text);
        }
        assert_eq!(
            ReplconfError::Unrecognized(b"f\xff".to_vec()).to_string(),
            "Unrecognized REPLCONF option: f\\xff"
        );
    }

    #[test]
    fn options_before_a_wrong_one_count_and_none_after() {
        let args: &[&[u8]] = &[b"capa", b"eof", b"foo", b"1", b"capa", b"psync2"];
        let found = options(args);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], Ok(ReplconfOption::Capa(Some(Capability::Eof))));
        assert_eq!(found[1], Err(ReplconfError::Unrecognized(b"foo".to_vec())));
    }
}
