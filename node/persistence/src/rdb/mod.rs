//! Redis' snapshot format, both ways: plain encodings out, so that any Redis can read what we emit; every encoding of
//! the types we have in, from whatever Redis or Valkey wrote it.
//!
//! It does no I/O of its own, reads no clock and decides nothing about streams: a position is passed through.
//!
//! Read in this order: `format` (the numbers), [`encode`] and `sink`, [`decode`] and `source`, `encodings` (packed
//! values).

mod check;
mod checksum;
mod decode;
pub mod dump;
mod encode;
mod encodings;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod options;
mod sink;
mod source;
mod summary;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::io::{Read, Write};

use rejoin_keyspace::{Keyspace, Snapshot};
use thiserror::Error;

pub use check::{CheckEvent, check};
pub use decode::{Worker, library_name};
pub use head::{RdbHead, read_head, verify_checksum};
pub use options::{DecodeOptions, EncodeOptions, LocalFile, RdbTarget, StreamPosition};
pub use summary::{RdbSummary, Skipped};

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

/// The libraries in the payload of FUNCTION DUMP: opcodes as in an RDB, the version in two bytes, a checksum in eight.
///
/// # Errors
/// What is wrong with it.
pub fn decode_functions(payload: &[u8]) -> Result<rejoin_keyspace::Libraries, RdbError> {
    let damaged = |what: &str| RdbError::Damaged { at: payload.len() as u64, what: what.to_owned() };
    let Some((covered, stated)) = payload.split_last_chunk::<8>() else {
        return Err(damaged("a payload of functions that ends before its checksum"));
    };
    let Some((body, version)) = covered.split_last_chunk::<2>() else {
        return Err(damaged("a payload of functions that ends before its version"));
    };
    let mut checksum = checksum::Checksum::new();
    checksum.update(covered);
    let (stated, computed) = (u64::from_le_bytes(*stated), checksum.value());
    if stated != 0 && stated != computed {
        return Err(RdbError::WrongChecksum { stated, computed });
    }
    let magic = format!("REDIS{:04}", u16::from_le_bytes(*version));
    let file = [magic.as_bytes(), body, &[format::opcode::EOF], &[0; 8]].concat();
    let options =
        rejoin_keyspace::KeyspaceOptions { databases: 1, seed: rejoin_keyspace::HashSeed::new([0; 16]) };
    let mut keyspace = Keyspace::new(options);
    decode(
        &mut file.as_slice(),
        &mut keyspace,
        &DecodeOptions { keeps_functions: true, ..DecodeOptions::default() },
    )?;
    Ok(std::mem::take(keyspace.libraries_mut()))
}

/// Writes a snapshot as one RDB and drops it leaf by leaf. Returns the bytes written.
///
/// The version is the lowest that the data and the options need: 8 with AUX fields for readers that know PSYNC2, 10 where there
/// are functions, 6
/// without any (and so without a position) for all others. Output comes in pieces of about 256 KiB and is flushed at the
/// end. An error of `out` ends it at once; the rest of the snapshot is dropped.
pub fn encode(snapshot: Snapshot, options: &EncodeOptions<'_>, out: &mut dyn Write) -> Result<u64, RdbError> {
    encode::encode(snapshot, options, out)
}

/// Reads one RDB to its end into `keyspace` (empty before), verifying its checksum. Collections take the form that
/// Redis would give them under the limits; one that the payload holds packed stays so, however long its elements are.
/// Expired keys are kept: who may drop them is for the caller to say.
///
/// `input` ends with the payload, or the caller can seek: it is read ahead in large pieces, and what follows the
/// payload is neither looked at nor given back ([`RdbSummary::bytes`] says where it begins). After an error the
/// keyspace holds what was read before it, and must be thrown away.
pub fn decode(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    options: &DecodeOptions<'_>,
) -> Result<RdbSummary, RdbError> {
    decode::decode(input, keyspace, *options)
}

/// The same on several threads: `run` is given so many workers, each to be run to its end on a thread of its own; they end
/// when this does. The outcome is the same, but that of several things that are wrong another may be named. Where `run`
/// cannot run a worker it drops it, and the others or the calling thread do its part.
pub fn decode_with_workers(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    options: &DecodeOptions<'_>,
    workers: usize,
    run: &mut dyn FnMut(Worker),
) -> Result<RdbSummary, RdbError> {
    decode::decode_with_workers(input, keyspace, *options, workers, run)
}
