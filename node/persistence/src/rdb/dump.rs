//! One value as a payload of its own: what DUMP gives and RESTORE takes. Behind the value, in the form that it has in
//! an RDB, stand the version of the format (u16) and the checksum of all before it (u64), both little endian.

use rejoin_keyspace::{Entry, Keyspace, Limits};
use thiserror::Error;

use super::checksum::Checksum;
use super::format::{Dialect, REDIS_VERSIONS, VALKEY_VERSIONS};
use super::{RdbError, decode, encode};

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Why a payload is not restored.
#[derive(Debug, Error)]
pub enum DumpError {
    /// It is too short for what stands behind the value, or that says another version or checksum.
    #[error("version or checksum are wrong")]
    Footer,
    /// The value is damaged, or none that we have.
    #[error("{0}")]
    Value(RdbError),
}

/// Appends an entry's value as a payload: in plain encodings and the lowest version, for any Redis since 4.0.
pub fn dump(entry: &Entry, out: &mut Vec<u8>) -> Result<(), RdbError> {
    encode::encode_value(entry, out)
}

/// Reads a payload of any origin into database 0 of `keyspace` (empty before) under `key`. After an error the keyspace
/// must be thrown away.
pub fn restore(
    payload: &[u8],
    key: &[u8],
    keyspace: &mut Keyspace,
    limits: &Limits,
) -> Result<(), DumpError> {
    let (value, dialect) = verify(payload)?;
    decode::decode_value(value, dialect, key, keyspace, limits).map_err(DumpError::Value)
}

/// The value of a payload whose footer is right.
fn verify(payload: &[u8]) -> Result<(&[u8], Dialect), DumpError> {
    let at = payload.len().checked_sub(VERSION_BYTES + CHECKSUM_BYTES).ok_or(DumpError::Footer)?;
    let (value, footer) = payload.split_at(at);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let dialect = match u32::from(version) {
        version if REDIS_VERSIONS.contains(&version) => Dialect::Redis,
        version if VALKEY_VERSIONS.contains(&version) => Dialect::Valkey,
        _ => return Err(DumpError::Footer),
    };
    let mut checksum = Checksum::new();
    checksum.update(&payload[..at + VERSION_BYTES]);
    if footer[VERSION_BYTES..] != checksum.value().to_le_bytes() {
        return Err(DumpError::Footer);
    }
    Ok((value, dialect))
}
