//! What can be wrong with an append-only file.

use thiserror::Error;

/// What is wrong and where.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("at byte {at}: {flaw}")]
pub struct AofError {
    /// Where the line or the argument begins that is wrong, in bytes from the file's beginning.
    pub at: u64,
    /// What is wrong with it.
    pub flaw: AofFlaw,
    /// The file ends too early, and what is there might be the beginning of something right.
    pub is_torn: bool,
}

/// What is wrong, in the words of redis-check-aof where it has some.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum AofFlaw {
    /// Neither a command nor an annotation begins; redis-check-aof says only "format error".
    #[error("Expected prefix '*' or '#', got: '{}'", .got.escape_ascii())]
    Format {
        /// What stands there.
        got: u8,
    },
    /// No argument begins.
    #[error("Expected prefix '$', got: '{}'", .got.escape_ascii())]
    Prefix {
        /// What stands there.
        got: u8,
    },
    /// A line or an argument does not end where it should.
    #[error("Expected \\r\\n, got: {:02x}{:02x}", .got[0], .got[1])]
    LineEnd {
        /// What stands there; zeros past the end of the file, and past a line's end.
        got: [u8; 2],
    },
    /// An argument of a negative length, or one above all that is possible.
    #[error("Expected to read string of {bytes} bytes, which is not in the suitable range")]
    Length {
        /// The length.
        bytes: i64,
    },
    /// A command without arguments. redis-check-aof passes over it, a server refuses to load it.
    #[error("Expected at least one argument, got: {count}")]
    Count {
        /// How many it claims.
        count: i64,
    },
    /// The file ends within an argument.
    #[error("Expected to read {wanted} bytes, got {got} bytes")]
    Short {
        /// The argument with its end.
        wanted: u64,
        /// What there is of it.
        got: u64,
    },
    /// The file ends between two arguments; redis-check-aof says nothing.
    #[error("Expected {count} more arguments, got none")]
    MissingArguments {
        /// How many.
        count: u64,
    },
    /// MULTI within MULTI.
    #[error("Unexpected MULTI")]
    UnexpectedMulti,
    /// EXEC without MULTI.
    #[error("Unexpected EXEC")]
    UnexpectedExec,
    /// The file ends within a transaction.
    #[error("Reached EOF before reading EXEC for MULTI")]
    OpenMulti,
    /// The file ends within an annotation. To redis-check-aof that is a whole one.
    #[error("Reached EOF before the end of an annotation")]
    AnnotationTorn,
    /// An annotation of more than [`super::ANNOTATION_BYTES_MAX`]; to redis-check-aof a "format error" after it.
    #[error("Expected an annotation of at most {} bytes", super::ANNOTATION_BYTES_MAX)]
    AnnotationTooLong,
    /// `#TS:` without a number. Only [`super::Scanner::until`] looks at it.
    #[error("Invalid timestamp annotation")]
    Timestamp,
}
