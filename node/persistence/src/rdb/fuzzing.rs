//! Bodies for fuzzers: what must hold for any bytes whatsoever. A test of this crate drives them over mutated seeds.

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};

use super::{DecodeOptions, EncodeOptions, RdbTarget, decode, encode};

/// Decodes anything; what is accepted must survive being written and read again.
pub fn decode_rdb(bytes: &[u8]) {
    let empty = KeyspaceOptions { databases: 16, seed: HashSeed::new([7; 16]) };
    let mut keyspace = Keyspace::new(empty);
    let mut input = bytes;
    let Ok(summary) = decode(&mut input, &mut keyspace, &DecodeOptions::default()) else { return };
    assert!(summary.bytes <= bytes.len() as u64, "read more bytes than there are");
    let mut again = Vec::new();
    let options = EncodeOptions::for_target(RdbTarget { psync2: true }, summary.position);
    let written = encode(keyspace.snapshot(), &options, &mut again);
    assert!(matches!(written, Ok(written) if written == again.len() as u64), "cannot write it: {written:?}");
    let read = decode(&mut again.as_slice(), &mut Keyspace::new(empty), &DecodeOptions::default());
    assert!(
        matches!(&read, Ok(read) if (read.keys, read.position) == (summary.keys, summary.position)),
        "{read:?} instead of {summary:?}"
    );
}
