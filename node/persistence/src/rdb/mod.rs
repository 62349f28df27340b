//! Redis' snapshot format, both ways: plain encodings out, so that any Redis can read what we emit; every encoding of
//! the types we have in, from whatever Redis or Valkey wrote it.
//!
//! It does no I/O of its own, reads no clock and decides nothing about streams: a position is passed through.
//!
//! Read in this order: `format` (the numbers), [`encode`] and `sink`, [`decode`] and `source`, `encodings` (packed
//! values).

mod checksum;
mod decode;
pub mod dump;
mod encode;
mod encodings;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod sink;
mod source;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::io::{Read, Write};

use rejoin_keyspace::{Keyspace, Limits, Snapshot};
use rejoin_protocol::{DbIndex, Offset, ReplicationId};
use thiserror::Error;

/// Where the stream stood when a snapshot was taken; what Redis keeps in AUX fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The stream's name.
    pub replid: ReplicationId,
    /// The last byte that the snapshot contains.
    pub offset: Offset,
    /// The database that the stream has selected there.
    pub selected: DbIndex,
}

/// Who will read what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdbTarget {
    /// The reader knows PSYNC2: AUX fields may be written, versions from 8 on.
    pub psync2: bool,
}

/// What a decoded payload said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdbSummary {
    /// Its version.
    pub version: u32,
    /// Its place in a stream, when it states one.
    pub position: Option<StreamPosition>,
    /// Keys read.
    pub keys: u64,
    /// Bytes read, trailer included.
    pub bytes: u64,
    /// FUNCTION2 payloads, opaque.
    pub functions: Vec<Vec<u8>>,
}

/// Why a payload cannot be read; every variant that concerns a place names it.
#[derive(Debug, Error)]
pub enum RdbError {
    /// Reading or writing failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Its checksum does not match its bytes.
    #[error("wrong RDB checksum: stated {stated:016x}, computed {computed:016x}")]
    WrongChecksum {
        /// The trailer.
        stated: u64,
        /// What the bytes give.
        computed: u64,
    },
    /// It is damaged or hostile.
    #[error("bad RDB at byte {at}: {what}")]
    Damaged {
        /// The byte.
        at: u64,
        /// What was found there.
        what: String,
    },
    /// It holds something that we do not have.
    #[error("unsupported in RDB at byte {at}: {what}")]
    Unsupported {
        /// The byte.
        at: u64,
        /// The type or opcode by name.
        what: String,
    },
}

/// Writes a snapshot as one RDB and drops it leaf by leaf. Returns the bytes written.
///
/// The version is the lowest that the data needs: 8 with AUX fields for readers that know PSYNC2, 6 without any (and so
/// without `position`) for all others. Output comes in pieces of about 256 KiB and is flushed at the end. An error of
/// `out` ends it at once; the rest of the snapshot is dropped.
pub fn encode(
    snapshot: Snapshot,
    position: Option<StreamPosition>,
    target: RdbTarget,
    out: &mut dyn Write,
) -> Result<u64, RdbError> {
    encode::encode(snapshot, position, target, out)
}

/// Reads one RDB to its end into `keyspace` (empty before), verifying its checksum. Collections take the form that
/// Redis would give them under `limits`; one that the payload holds packed stays so, however long its elements are. Expired keys are kept: who may
/// drop them is for the caller to say.
///
/// `input` ends with the payload, or the caller can seek: it is read ahead in large pieces, and what follows the
/// payload is neither looked at nor given back ([`RdbSummary::bytes`] says where it begins). After an error the
/// keyspace holds what was read before it, and must be thrown away.
pub fn decode(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    limits: &Limits,
) -> Result<RdbSummary, RdbError> {
    decode::decode(input, keyspace, limits)
}
