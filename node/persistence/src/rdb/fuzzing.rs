//! Bodies for fuzzers: what must hold for any bytes whatsoever. Tests of this crate drive them over mutated seeds.

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, Limits};
use rejoin_protocol::DbIndex;

use super::checksum::Checksum;
use super::dump::{dump, restore};
use super::encodings::lzf;
use super::{
    CheckEvent, DecodeOptions, EncodeOptions, LocalFile, RdbSummary, RdbTarget, check, decode,
    decode_with_workers, encode,
};

/// The version of the payloads that [`restore_value`] makes: it has all types that we read.
const DUMP_VERSION: u16 = 12;

fn empty_keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([7; 16]) })
}

/// Decodes anything, refusing what we do not have and passing over it; what is accepted must survive being written and
/// read again, and a check must say the same of it.
pub fn decode_rdb(bytes: &[u8]) {
    let strict = DecodeOptions { adopts_seed: true, ..DecodeOptions::default() };
    let lax = DecodeOptions { skips_unsupported: true, ..strict };
    let refused = decode_and_write(bytes, &strict);
    let passed = decode_and_write(bytes, &lax);
    match (&refused, &passed) {
        (Some(refused), Some(passed)) => assert_eq!((refused.keys, passed.skipped.total()), (passed.keys, 0)),
        (Some(refused), None) => panic!("{refused:?} is accepted only when it must be whole"),
        (None, _) => {}
    }
    if let Some(passed) = passed {
        let (mut begun, mut ended) = (0_u64, 0_u64);
        let mut observer = |event: CheckEvent<'_>| match event {
            CheckEvent::Key { .. } => begun += 1,
            CheckEvent::Value { .. } => ended += 1,
            _ => {}
        };
        let checked = check(&mut &*bytes, &mut observer);
        assert!(
            matches!(&checked, Ok(checked) if (checked.keys, checked.expires, checked.bytes, &checked.types)
                == (passed.keys, passed.expires, passed.bytes, &passed.types)),
            "{checked:?} instead of {passed:?}"
        );
        assert_eq!(begun, ended, "every key has a value");
    }
}

fn decode_and_write(bytes: &[u8], options: &DecodeOptions<'_>) -> Option<RdbSummary> {
    let mut keyspace = empty_keyspace();
    let outcome = decode(&mut &*bytes, &mut keyspace, options).ok();
    let mut other = empty_keyspace();
    let in_pieces = decode_with_workers(&mut &*bytes, &mut other, options, 0, &mut |_| {}).ok();
    assert_eq!(outcome, in_pieces, "passing over a value ends where reading it does");
    assert_eq!(lengths(&keyspace), lengths(&other));
    let summary = outcome?;
    assert!(summary.bytes <= bytes.len() as u64, "read more bytes than there are");
    let file = LocalFile {
        created: Default::default(),
        memory_used: 1,
        is_aof_base: false,
        usage: Some(Default::default()),
    };
    let ours = EncodeOptions { compresses: true, ..EncodeOptions::for_file(file, summary.position) };
    let theirs = EncodeOptions::for_target(RdbTarget { psync2: false }, None);
    for written in [ours, theirs] {
        let mut again = Vec::new();
        let outcome = encode(keyspace.snapshot(), &written, &mut again);
        assert!(matches!(outcome, Ok(bytes) if bytes == again.len() as u64), "cannot write it: {outcome:?}");
        let mut reread = empty_keyspace();
        let outcome = decode(&mut again.as_slice(), &mut reread, options);
        assert!(
            matches!(&outcome, Ok(read) if (read.keys, read.expires, read.position)
                == (summary.keys, summary.expires, written.position)),
            "{outcome:?} instead of {summary:?}"
        );
        assert_eq!(lengths(&reread), lengths(&keyspace));
    }
    Some(summary)
}

fn lengths(keyspace: &Keyspace) -> Vec<(usize, usize)> {
    let databases = (0..keyspace.database_count()).map(|index| keyspace.database(DbIndex::new(index)));
    databases.map(|database| (database.len(), database.volatile_len())).collect()
}

/// Restores a value under a right footer; what is accepted must survive being dumped and restored again.
pub fn restore_value(value: &[u8]) {
    let mut payload = [value, &DUMP_VERSION.to_le_bytes()].concat();
    let mut checksum = Checksum::new();
    checksum.update(&payload);
    payload.extend_from_slice(&checksum.value().to_le_bytes());
    let mut keyspace = empty_keyspace();
    if restore(&payload, b"key", &mut keyspace, &Limits::default()).is_err() {
        return;
    }
    let Some(entry) = keyspace.database(DbIndex::new(0)).get(keyspace.key(b"key")) else {
        panic!("restored, but not there");
    };
    let mut dumped = Vec::new();
    assert!(dump(entry, &mut dumped).is_ok());
    assert!(restore(&dumped, b"key", &mut empty_keyspace(), &Limits::default()).is_ok());
}

/// Decompresses anything, and gives back what it compressed.
pub fn lzf_both_ways(bytes: &[u8]) {
    let mut output = Vec::new();
    if let Some((length, compressed)) = bytes.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length));
        assert!(lzf::decompress(compressed, length, &mut output).is_err() || output.len() == length);
    }
    let mut compressor = lzf::Compressor::new();
    if let Some(compressed) = compressor.compress(bytes, bytes.len()) {
        assert!(compressed.len() < bytes.len());
        assert!(lzf::decompress(compressed, bytes.len(), &mut output).is_ok() && output == bytes);
    }
}
