//! Reads requests (arrays of bulk strings, or inline lines) out of a growing buffer, without copying an argument.
//!
//! SKELETON: signatures are fixed, bodies come.

use thiserror::Error;

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

/// Limits on what one request may claim.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// Arguments of one request at most (Redis: 2^31 - 1, and 10 before authentication).
    pub args_max: u32,
    /// Bytes of one argument at most (`proto-max-bulk-len`, and 16384 before authentication).
    pub bulk_bytes_max: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { args_max: i32::MAX as u32, bulk_bytes_max: 512 << 20 }
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
}

/// Reads one request after another; keeps its place in a request that has not wholly arrived, so that no byte is
/// looked at twice.
#[derive(Debug, Default)]
pub struct RequestParser {}

impl RequestParser {
    /// Reads the request that begins at `buf[0]`.
    ///
    /// `Ok(Some(len))`: the request is whole, took `len` bytes, and its arguments were appended to `args`
    /// (none for an empty line or `*0`). `Ok(None)`: more bytes are needed; call again with the same request at
    /// `buf[0]` and more bytes behind it (the buffer may have moved). After an error the connection is to be closed.
    /// Inline arguments are unquoted in place, which is why the buffer is mutable.
    pub fn parse(
        &mut self,
        buf: &mut [u8],
        limits: &RequestLimits,
        args: &mut Vec<ArgRange>,
    ) -> Result<Option<usize>, RequestError> {
        let _ = (buf, limits, args);
        todo!()
    }

    /// While a long argument is on its way: how many more bytes the request needs at least. For sizing reads.
    #[must_use]
    pub fn bytes_wanted(&self) -> usize {
        todo!()
    }
}
