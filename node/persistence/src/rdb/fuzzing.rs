//! Bodies for fuzzers: what must hold for any bytes whatsoever. A test of this crate drives them over mutated seeds.

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, Limits};

use super::{RdbTarget, decode, encode};

/// Decodes anything; what is accepted must survive being written and read again.
pub fn decode_rdb(bytes: &[u8]) {
    let options = KeyspaceOptions { databases: 16, seed: HashSeed::new([7; 16]) };
    let mut keyspace = Keyspace::new(options);
    let mut input = bytes;
    let Ok(summary) = decode(&mut input, &mut keyspace, &Limits::default()) else { return };
    assert!(summary.bytes <= bytes.len() as u64, "read more bytes than there are");
    let mut again = Vec::new();
    let target = RdbTarget { psync2: true };
    let written = encode(keyspace.snapshot(), summary.position, target, &mut again);
    assert!(matches!(written, Ok(written) if written == again.len() as u64), "cannot write it: {written:?}");
    let read = decode(&mut again.as_slice(), &mut Keyspace::new(options), &Limits::default());
    assert!(
        matches!(&read, Ok(read) if (read.keys, read.position) == (summary.keys, summary.position)),
        "{read:?} instead of {summary:?}"
    );
}
