//! What a payload says of itself before its first key, and whether its bytes are those that were written: for who hands
//! it on without reading it.

use std::io::Read;

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};

use super::checksum::Checksum;
use super::decode::Decoder;
use super::format::{CHECKSUM_SINCE, Dialect};
use super::source::{Source, damaged};
use super::{DecodeOptions, RdbError, StreamPosition};

/// Bytes read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// Bytes of the checksum at the end.
const TRAILER_BYTES: u64 = 8;

/// What stands before the first key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdbHead {
    /// Its version.
    pub version: u32,
    /// Whether its magic is Valkey's own.
    pub is_valkey: bool,
    /// Its place in a stream, when it states one.
    pub position: Option<StreamPosition>,
    /// The seed of the hash in whose order its keys stand: it is a file of ours.
    pub seed: Option<HashSeed>,
}

/// Reads a payload's version and AUX fields. Reads ahead.
///
/// # Errors
/// It is no RDB that we know, or ends there.
pub fn read_head(input: &mut dyn Read) -> Result<RdbHead, RdbError> {
    let mut scratch = Keyspace::new(KeyspaceOptions { databases: 1, seed: HashSeed::new([0; 16]) });
    let mut source = Source::new(input);
    let (dialect, version) = super::decode::read_magic(&mut source)?;
    // Nothing is kept: the database that is selected need not be one of the scratch's.
    let mut ignore = |_: super::CheckEvent<'_>| {};
    let mut decoder = Decoder::new(source, &mut scratch, DecodeOptions::default(), dialect);
    let (position, seed) = decoder.read_notes(&mut ignore)?;
    Ok(RdbHead { version, is_valkey: dialect == Dialect::Valkey, position, seed })
}

/// Reads a payload of `bytes` to its end and compares its checksum. One that has none passes.
///
/// # Errors
/// [`RdbError::WrongChecksum`], or that it ends earlier.
pub fn verify_checksum(input: &mut dyn Read, version: u32, bytes: u64) -> Result<(), RdbError> {
    if version < CHECKSUM_SINCE {
        return Ok(());
    }
    let Some(summed) = bytes.checked_sub(TRAILER_BYTES) else {
        return Err(damaged(0, format!("{bytes} bytes are too few for a checksum")));
    };
    let mut checksum = Checksum::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = summed;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        input.read_exact(&mut piece[..part])?;
        checksum.update(&piece[..part]);
        left -= part as u64;
    }
    let mut trailer = [0; TRAILER_BYTES as usize];
    input.read_exact(&mut trailer)?;
    let (stated, computed) = (u64::from_le_bytes(trailer), checksum.value());
    if stated != 0 && stated != computed {
        return Err(RdbError::WrongChecksum { stated, computed });
    }
    Ok(())
}
