//! Reads requests (arrays of bulk strings, or inline lines) out of a growing buffer, without copying an argument.
//!
//! As in Redis, the byte after a `\r` is skipped without a look, and so are the two bytes after an argument. A line
//! with a NUL in it is an error here, where Redis would wait for the 64 KiB to fill. A request may be up to 4 GiB
//! long: ranges are 32-bit.

use memchr::memchr;
use thiserror::Error;

use super::inline::split_args;
use crate::number::parse_i64;

/// Where one argument lies, relative to the start of the slice given to [`RequestParser::parse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl ArgRange {
    /// The argument's bytes.
    #[inline]
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// Who sends the requests; decides about a few limits and errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestSource {
    /// An ordinary client, or one for whom no password is asked.
    #[default]
    Client,
    /// A client that still has to authenticate: ten arguments of 16 KiB at most, whatever the other limits say.
    Unauthenticated,
    /// Our master: only arrays of bulks (and the empty lines with which it keeps the link alive) are its stream.
    Master,
}

/// Limits on what one request may claim.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Arguments of one request at most (Redis: 2^31 - 1).
    pub args_max: u32,
    /// Bytes of one argument at most (`proto-max-bulk-len`).
    pub bulk_bytes_max: u32,
    /// Who sends; changes when a client authenticates.
    pub source: RequestSource,
}

impl RequestLimits {
    /// Arguments of one request at most before authentication.
    pub const UNAUTHENTICATED_ARGS_MAX: u32 = 10;
    /// Bytes of one argument at most before authentication.
    pub const UNAUTHENTICATED_BULK_BYTES_MAX: u32 = 16384;

    /// The default limits for a client that has to authenticate first.
    #[must_use]
    pub fn unauthenticated() -> Self {
        Self { source: RequestSource::Unauthenticated, ..Self::default() }
    }

    /// Arguments of one request at most, from this source.
    #[inline]
    fn args_max_now(&self) -> u32 {
        match self.source {
            RequestSource::Unauthenticated => self.args_max.min(Self::UNAUTHENTICATED_ARGS_MAX),
            RequestSource::Client | RequestSource::Master => self.args_max,
        }
    }

    /// Bytes of one argument at most, from this source.
    #[inline]
    fn bulk_bytes_max_now(&self) -> u32 {
        match self.source {
            RequestSource::Unauthenticated => self.bulk_bytes_max.min(Self::UNAUTHENTICATED_BULK_BYTES_MAX),
            RequestSource::Client | RequestSource::Master => self.bulk_bytes_max,
        }
    }

    /// The limits for our master's stream: arguments of any length, as a master may have been configured with more.
    #[must_use]
    pub fn master() -> Self {
        Self { source: RequestSource::Master, bulk_bytes_max: u32::MAX, ..Self::default() }
    }
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { args_max: i32::MAX as u32, bulk_bytes_max: 512 << 20, source: RequestSource::Client }
    }
}

/// Why a request cannot be read. `Display` is Redis' own text, without the leading `-ERR `.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestError {
    /// `*` with a bad count.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// `$` with a bad length.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// Something else than `$` where an argument begins.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedDollar(u8),
    /// A `*` line longer than 64 KiB.
    #[error("Protocol error: too big mbulk count string")]
    MultibulkCountTooLong,
    /// A `$` line longer than 64 KiB.
    #[error("Protocol error: too big bulk count string")]
    BulkCountTooLong,
    /// An inline line longer than 64 KiB.
    #[error("Protocol error: too big inline request")]
    InlineTooLong,
    /// An inline line with a quote left open.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// Too many arguments before authentication.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulk,
    /// Too long an argument before authentication.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulk,
    /// An inline request in our master's stream: what we read is no stream any more.
    #[error("Master using the inline protocol. Desync?")]
    InlineFromMaster,
}

impl RequestError {
    /// Appends the text as Redis sends it. It differs from `Display` where the text repeats a byte that is no ASCII.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        if let Self::ExpectedDollar(byte) = self {
            out.extend_from_slice(b"Protocol error: expected '$', got '");
            out.extend_from_slice(&[*byte, b'\'']);
        } else {
            out.extend_from_slice(self.to_string().as_bytes());
        }
    }
}

/// Bytes of a line (inline request, `*` line, `$` line) at most, its end not counted.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Bytes of an argument at least, `$0\r\n\r\n`: what one more argument can be believed for.
const ARG_BYTES_MIN: usize = 6;
/// Ranges that a parser keeps room for between requests; more is given back.
const PARTIAL_ARGS_KEPT: usize = 1024;

/// Reads one request after another; keeps its place in a request that has not wholly arrived, so that no byte is
/// looked at twice.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Where reading goes on; at the beginning between requests.
    place: Place,
    /// The arguments so far of a request that has not wholly arrived; empty between requests.
    partial: Vec<ArgRange>,
}

impl RequestParser {
    /// Reads the request that begins at `buf[0]`.
    ///
    /// `Ok(Some(len))`: the request is whole, took `len` bytes, and its arguments were appended to `args`
    /// (none for an empty line or `*0`). `Ok(None)`: more bytes are needed; call again with the same request at
    /// `buf[0]` and more bytes behind it (the buffer may have moved; `args` need not be the same). After an error the
    /// connection is to be closed; `args` is then as it was before.
    /// Inline arguments are unquoted in place, which is why the buffer is mutable.
    #[inline]
    pub fn parse(
        &mut self,
        buf: &mut [u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<Option<usize>, RequestError> {
        if self.place.at > 0 {
            return self.go_on(buf, limits, args);
        }
        match buf.first() {
            Some(b'*') => self.begin(buf, limits, args),
            Some(_) => self.inline(buf, limits, args),
            None => Ok(None),
        }
    }

    /// While a long argument is on its way: how many more bytes the request needs at least, else 0. For sizing reads.
    /// It is what the peer claims, up to the limit on arguments: read in steps, do not reserve it at once.
    #[must_use]
    pub fn bytes_wanted(&self) -> usize {
        self.place.wanted
    }

    /// Reads an array whose first byte is at hand. Whole ones, the usual case, leave `self` untouched.
    #[inline]
    fn begin(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<Option<usize>, RequestError> {
        let mut place = match short_number(buf) {
            Some((left, at)) if left <= limits.args_max_now() => Place { at, left, ..Place::default() },
            _ => match self.place.read_count(buf, limits)? {
                Some((left, at)) => Place { at, left, ..Place::default() },
                None => return Ok(None),
            },
        };
        self.place.scanned = 0;
        let kept = args.len();
        args.reserve((place.left as usize).min((buf.len() - place.at) / ARG_BYTES_MIN + 1));
        match place.read_args(buf, limits, args) {
            Ok(true) => Ok(Some(place.at)),
            Ok(false) => {
                self.partial.extend(args.drain(kept..));
                self.place = place;
                Ok(None)
            }
            Err(error) => {
                args.truncate(kept);
                Err(error)
            }
        }
    }

    /// Reads on in an array whose `*` line was read before.
    #[cold]
    fn go_on(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<Option<usize>, RequestError> {
        self.place.wanted = 0;
        if !self.place.read_args(buf, limits, &mut self.partial)? {
            return Ok(None);
        }
        let len = self.place.at;
        self.place = Place::default();
        args.append(&mut self.partial);
        self.partial.shrink_to(PARTIAL_ARGS_KEPT);
        Ok(Some(len))
    }

    #[cold]
    fn inline(
        &mut self,
        buf: &mut [u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<Option<usize>, RequestError> {
        let window = &buf[..buf.len().min(LINE_BYTES_MAX + 1)];
        let Some(end) = find(b'\n', window, &mut self.place.scanned) else {
            return if window.len() > LINE_BYTES_MAX { Err(RequestError::InlineTooLong) } else { Ok(None) };
        };
        self.place.scanned = 0;
        let line_end = if end > 0 && buf[end - 1] == b'\r' { end - 1 } else { end };
        if line_end > 0 && limits.source == RequestSource::Master {
            return Err(RequestError::InlineFromMaster);
        }
        split_args(&mut buf[..line_end], args).map_err(|_| RequestError::UnbalancedQuotes)?;
        Ok(Some(end + 1))
    }
}

/// A place inside a request.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The first byte not yet understood, counted from the request's first; 0 until the `*` line was read.
    at: usize,
    /// Bytes from `at` on that hold no line end.
    scanned: usize,
    /// Arguments still to come.
    left: u32,
    /// Length of the argument at `at`, once its `$` line was read.
    bulk: Option<u32>,
    /// Bytes that the argument at `at` still lacked when it was last looked at.
    wanted: usize,
}

impl Place {
    /// Reads the `*` line where it is not as usual: the number of arguments and where the first one begins; `None` if
    /// the line has not wholly arrived.
    #[cold]
    fn read_count(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
    ) -> Result<Option<(u32, usize)>, RequestError> {
        let Some((count, at)) = self.read_number(buf, RequestError::MultibulkCountTooLong)? else {
            return Ok(None);
        };
        match count {
            Some(count) if count <= i64::from(limits.args_max_now()) => Ok(Some((count.max(0) as u32, at))),
            Some(count) if count <= i64::from(limits.args_max) => Err(RequestError::UnauthenticatedMultibulk),
            _ => Err(RequestError::InvalidMultibulkLength),
        }
    }

    /// Appends the arguments from here on to `args`; `false` if not all of them have arrived.
    #[inline]
    fn read_args(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<bool, RequestError> {
        loop {
            if self.bulk.is_none() {
                self.read_plain_args(buf, limits, args);
            }
            if self.left == 0 {
                return Ok(true);
            }
            if !self.read_unusual_arg(buf, limits, args)? {
                return Ok(false);
            }
        }
    }

    /// Reads as many arguments as are whole and have a `$` line in the usual form. In local variables, as this loop is
    /// where requests spend their time.
    #[inline]
    fn read_plain_args(&mut self, buf: &[u8], limits: &RequestLimits, args: &mut Vec<ArgRange>) {
        let len_max = limits.bulk_bytes_max_now();
        let buf = &buf[..buf.len().min(u32::MAX as usize)];
        let (mut at, mut left) = (self.at, self.left);
        while left > 0 {
            let line = &buf[at..];
            let Some((len, head)) = short_number(line) else { break };
            let start = at + head;
            let end = start + len as usize;
            if line[0] != b'$' || len > len_max || end + 2 > buf.len() {
                break;
            }
            args.push(ArgRange { start: start as u32, end: end as u32 });
            at = end + 2;
            left -= 1;
        }
        if at > self.at {
            *self = Self { at, left, ..Self::default() };
        }
    }

    /// Reads an argument of which a part is still missing, or whose `$` line is long or wrong; `false` in the first case.
    #[cold]
    fn read_unusual_arg(
        &mut self,
        buf: &[u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<bool, RequestError> {
        let len = match self.bulk {
            Some(len) => len,
            None => match self.read_bulk_len(buf, limits)? {
                Some(len) => len,
                None => return Ok(false),
            },
        };
        let end = self.at + len as usize;
        if buf.len() < end + 2 {
            self.bulk = Some(len);
            self.wanted = end + 2 - buf.len();
            return Ok(false);
        }
        args.push(ArgRange { start: self.at as u32, end: end as u32 });
        *self = Self { at: end + 2, left: self.left - 1, ..Self::default() };
        Ok(true)
    }

    /// Reads the `$` line; `None` if it has not wholly arrived.
    fn read_bulk_len(&mut self, buf: &[u8], limits: &RequestLimits) -> Result<Option<u32>, RequestError> {
        let Some((len, at)) = self.read_number(buf, RequestError::BulkCountTooLong)? else {
            return Ok(None);
        };
        let kind = buf[self.at];
        if kind != b'$' {
            return Err(RequestError::ExpectedDollar(kind));
        }
        let len = match len {
            Some(len) if (0..=i64::from(limits.bulk_bytes_max)).contains(&len) => len as u32,
            _ => return Err(RequestError::InvalidBulkLength),
        };
        if len > limits.bulk_bytes_max_now() {
            return Err(RequestError::UnauthenticatedBulk);
        }
        if at + len as usize + 2 > u32::MAX as usize {
            return Err(RequestError::InvalidBulkLength);
        }
        self.at = at;
        Ok(Some(len))
    }

    /// Reads the number behind the first byte of the line at `at`: the number (`None` if it is none) and where the
    /// next line begins. `None` if the line has not wholly arrived.
    fn read_number(
        &mut self,
        buf: &[u8],
        too_long: RequestError,
    ) -> Result<Option<(Option<i64>, usize)>, RequestError> {
        let window = &buf[self.at..];
        let window = &window[..window.len().min(LINE_BYTES_MAX + 1)];
        match find(b'\r', window, &mut self.scanned) {
            Some(end) if self.at + end + 1 < buf.len() => {
                self.scanned = 0;
                // A `\r` that is itself the line's first byte leaves an empty text, which is no number either.
                Ok(Some((window.get(1..end).and_then(parse_i64), self.at + end + 2)))
            }
            Some(_) => Ok(None),
            None if window.len() > LINE_BYTES_MAX => Err(too_long),
            None => Ok(None),
        }
    }
}

/// Reads a line of any byte, one to nine digits without a leading zero, `\r` and one more byte: the number, and how
/// long all that is. What is not as plain, or stands in the last bytes of the buffer, is left to the slow way.
#[inline]
fn short_number(line: &[u8]) -> Option<(u32, usize)> {
    let &[_, first, second, third, _] = line.first_chunk()?;
    let (tens, ones) = (u32::from(first.wrapping_sub(b'0')), u32::from(second.wrapping_sub(b'0')));
    if tens > 9 {
        None
    } else if second == b'\r' {
        Some((tens, 4))
    } else if ones > 9 || tens == 0 {
        None
    } else if third == b'\r' {
        Some((tens * 10 + ones, 5))
    } else {
        longer_number(line)
    }
}

/// The same for three digits and more.
fn longer_number(line: &[u8]) -> Option<(u32, usize)> {
    const DIGITS_MAX: usize = 9;
    let end = line.iter().take(1 + DIGITS_MAX + 1).skip(1).position(|byte| !byte.is_ascii_digit())? + 1;
    let number = line[1..end].iter().fold(0, |sum, byte| sum * 10 + u32::from(byte - b'0'));
    (line[end] == b'\r' && line.len() > end + 1).then_some((number, end + 2))
}

/// Finds `byte`, beginning `scanned` bytes into `window`; remembers in `scanned` how far it is not.
fn find(byte: u8, window: &[u8], scanned: &mut usize) -> Option<usize> {
    let from = (*scanned).min(window.len());
    match memchr(byte, &window[from..]) {
        Some(at) => {
            *scanned = from + at;
            Some(from + at)
        }
        None => {
            *scanned = window.len();
            None
        }
    }
}

#[cfg(test)]
mod tests;
