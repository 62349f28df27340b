//! Files of our own: what they say of themselves, and how they are loaded.

use std::sync::atomic::{AtomicU64, Ordering};

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions};
use rejoin_protocol::{DbIndex, UnixMillis};

use super::{
    DecodeOptions, EncodeOptions, Worker, a_position, contents, decode, decode_with_workers, decoded,
    empty_keyspace, encode, put_hash, put_int, put_str, rdb, small_keyspace,
};
use crate::rdb::LocalFile;

const FILE: LocalFile = LocalFile {
    created: UnixMillis::new(1_700_000_000_999),
    memory_used: 123_456,
    is_aof_base: true,
    usage: None,
};

fn written(keyspace: &mut Keyspace, options: &EncodeOptions<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encode(keyspace.snapshot(), options, &mut out).unwrap();
    out
}

#[test]
fn a_file_says_more_of_itself() {
    let mut keyspace = empty_keyspace();
    put_int(&mut keyspace, b"n", 1);
    let parts: [&[u8]; 10] = [
        b"\xfa\x09redis-ver\x057.2.4",
        b"\xfa\x0aredis-bits\xc0\x40",
        b"\xfa\x05ctime\xc2\x00\xf1\x53\x65",
        b"\xfa\x08used-mem\xc2\x40\xe2\x01\x00",
        b"\xfa\x0erepl-stream-db\xc0\x03",
        b"\xfa\x07repl-id\x28abababababababababababababababababababab",
        b"\xfa\x0brepl-offset\x0d1234567890123",
        b"\xfa\x08aof-base\xc0\x01",
        b"\xfa\x10rejoin-hash-seed\x2003030303030303030303030303030303",
        b"\xfe\x00\xfb\x01\x00\x00\x01n\xc0\x01",
    ];
    let bytes = written(&mut keyspace, &EncodeOptions::for_file(FILE, Some(a_position())));
    let expected = rdb("REDIS0008", &parts);
    assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
    let (summary, _) = decoded(&bytes).unwrap();
    assert_eq!(summary.aux("ctime"), Some(&b"1700000000"[..]));
    assert_eq!(summary.aux("aof-base"), Some(&b"1"[..]));
    assert_eq!((summary.seed, summary.position), (Some(*keyspace.seed()), Some(a_position())));
}

#[test]
fn a_load_takes_up_the_seed_only_where_it_may() {
    let mut keyspace = small_keyspace();
    let before = contents(&keyspace);
    let bytes = written(&mut keyspace, &EncodeOptions::for_file(FILE, None));
    let other = HashSeed::new([8; 16]);
    for (adopts_seed, seed) in [(true, *keyspace.seed()), (false, other)] {
        let mut loaded = Keyspace::new(KeyspaceOptions { databases: 16, seed: other });
        let options = DecodeOptions { adopts_seed, ..DecodeOptions::default() };
        decode(&mut bytes.as_slice(), &mut loaded, &options).unwrap();
        assert_eq!(*loaded.seed(), seed);
        assert_eq!(contents(&loaded), before);
        let key = loaded.key(b"h");
        assert!(loaded.database(DbIndex::new(0)).get(key).is_some(), "found under the seed it has");
    }
}

/// A seed after the first key, and seeds that are none: the load goes on under the one it has.
#[test]
fn a_seed_out_of_place_is_only_a_note() {
    let seed = [&b"\xfa\x10rejoin-hash-seed\x20"[..], &[b'5'; 32]].concat();
    let options = DecodeOptions { adopts_seed: true, ..DecodeOptions::default() };
    for (parts, stated) in [
        ([b"\x00\x01k\x01v".as_slice(), &seed], true),
        ([b"\xfa\x10rejoin-hash-seed\x0355x", b"\x00\x01k\x01v"], false),
        ([b"\xfa\x10rejoin-hash-seed\x20+5+5+5+5+5+5+5+5+5+5+5+5+5+5+5+5", b"\x00\x01k\x01v"], false),
    ] {
        let mut loaded = empty_keyspace();
        let summary = decode(&mut rdb("REDIS0009", &parts).as_slice(), &mut loaded, &options).unwrap();
        assert_eq!((summary.seed.is_some(), summary.keys), (stated, 1));
        assert_eq!(loaded.seed(), empty_keyspace().seed());
        assert!(loaded.database(DbIndex::new(0)).get(loaded.key(b"k")).is_some());
    }
}

/// Keys in any order, in more than one batch, with a seed that is stated or not; and a key that is there twice, within a
/// batch and far apart.
#[test]
fn the_order_of_keys_is_not_trusted() {
    let mut keyspace = empty_keyspace();
    let mut parts: Vec<Vec<u8>> = (0..3000).map(|n| format!("\0\x08key:{n:04}\x01v").into_bytes()).collect();
    for number in 0..3000 {
        put_str(&mut keyspace, 0, format!("key:{number:04}").as_bytes(), b"v", None);
    }
    parts.insert(0, [&b"\xfa\x10rejoin-hash-seed\x20"[..], &[b'0'; 32]].concat());
    let slices = |parts: &[Vec<u8>]| rdb("REDIS0009", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let options = DecodeOptions { adopts_seed: true, ..DecodeOptions::default() };
    for adopts_seed in [true, false] {
        let mut loaded = empty_keyspace();
        let options = DecodeOptions { adopts_seed, ..options };
        decode(&mut slices(&parts).as_slice(), &mut loaded, &options).unwrap();
        assert_eq!(contents(&loaded), contents(&keyspace));
    }
    for place in [2, 700, 2999] {
        let mut twice = parts.clone();
        twice.insert(place, b"\0\x08key:0000\x01w".to_vec());
        // Damage behind it, which is come across first, is not what is told.
        twice.insert(place + 3, b"\xfe\x3f".to_vec());
        let outcome = decode(&mut slices(&twice).as_slice(), &mut empty_keyspace(), &options);
        let at = 9 + 51 + (place - 1) * 12 + 1;
        assert_eq!(
            outcome.unwrap_err().to_string(),
            format!("bad RDB at byte {at}: the key 'key:0000' for the second time")
        );
    }
}

#[test]
fn strings_are_compressed_where_that_makes_them_shorter() {
    let mut keyspace = empty_keyspace();
    let noise: Vec<u8> = (0..=255).collect();
    put_str(&mut keyspace, 0, b"short", &[b'x'; 20], None);
    put_str(&mut keyspace, 0, b"long", &[b'x'; 21], None);
    put_str(&mut keyspace, 0, b"noise", &noise, None);
    put_str(&mut keyspace, 0, b"huge", &[b'y'; 700_000], None);
    put_str(&mut keyspace, 0, &[b'k'; 100], b"a long key", None);
    put_hash(&mut keyspace, b"hash", &[(&[b'f'; 40], &[b'v'; 40])], None);
    let before = contents(&keyspace);
    let plain = EncodeOptions::for_file(FILE, None);
    let bytes = written(&mut keyspace, &EncodeOptions { compresses: true, ..plain });
    let (_, after) = decoded(&bytes).unwrap();
    assert_eq!(after, before);
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(holds(&[&b"\x05short\x14"[..], &[b'x'; 20]].concat()), "20 bytes stay as they are");
    assert!(holds(b"\x04long\xc3\x05\x15\x00x\xe0\x0b\x00"), "21 are worth it");
    assert!(holds(&[&b"\x05noise\x41\x00"[..], &noise].concat()), "what gets no shorter stays");
    assert!(bytes.len() < 20_000, "{}", bytes.len());
    assert!(written(&mut keyspace, &plain).len() > 700_000);
}

#[test]
fn a_checksum_may_be_left_out() {
    let mut keyspace = small_keyspace();
    let options = EncodeOptions { omits_checksum: true, ..EncodeOptions::for_file(FILE, None) };
    let bytes = written(&mut keyspace, &options);
    assert_eq!(bytes[bytes.len() - 8..], [0; 8]);
    assert_eq!(decoded(&bytes).unwrap().1, contents(&keyspace));
}

#[test]
fn how_keys_are_used_goes_along() {
    let frequency = AccessKind::Frequency { log_factor: 10, decay_minutes: 1 };
    let key_of = |keyspace: &Keyspace| keyspace.key(b"k").hash;
    for (kind, opcode) in [(AccessKind::Recency, 0xf8), (frequency, 0xf9)] {
        let mut keyspace = empty_keyspace();
        keyspace.access_mut().set(FILE.created, kind);
        put_str(&mut keyspace, 0, b"k", b"v", Some(77));
        let entry = keyspace.database(DbIndex::new(0)).get(keyspace.key(b"k")).unwrap();
        match kind {
            AccessKind::Recency => keyspace.access().set_idle_seconds(entry, 40),
            AccessKind::Frequency { .. } => keyspace.access().set_uses(entry, 40),
        }
        let file = LocalFile { usage: Some(kind), ..FILE };
        let bytes = written(&mut keyspace, &EncodeOptions::for_file(file, None));
        assert!(bytes.starts_with(b"REDIS0009"));
        let tail = [&b"\xfc\x4d\0\0\0\0\0\0\0"[..], &[opcode], b"\x28\x00\x01k\x01v\xff"].concat();
        assert_eq!(bytes[bytes.len() - 8 - tail.len()..bytes.len() - 8], tail);
        let mut loaded = empty_keyspace();
        loaded.access_mut().set(FILE.created, kind);
        decode(&mut bytes.as_slice(), &mut loaded, &DecodeOptions::default()).unwrap();
        assert_eq!(key_of(&loaded), key_of(&keyspace));
        let entry = loaded.database(DbIndex::new(0)).get(loaded.key(b"k")).unwrap();
        let known = match kind {
            AccessKind::Recency => loaded.access().idle_seconds(entry),
            AccessKind::Frequency { .. } => loaded.access().uses(entry).into(),
        };
        assert_eq!(known, 40);
    }
}

#[test]
fn progress_is_shown_on_the_way_and_at_the_end() {
    let mut keyspace = empty_keyspace();
    for number in 0..2000 {
        put_int(&mut keyspace, format!("key:{number}").as_bytes(), number);
    }
    let shown = AtomicU64::new(0);
    /// Notes what is shown while it is written to.
    struct Watching<'a>(&'a AtomicU64, Vec<u64>);
    impl std::io::Read for Watching<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.1.push(self.0.load(Ordering::Relaxed));
            let count = into.len().min(1000);
            into[..count].fill(0);
            Ok(count)
        }
    }
    let options = EncodeOptions { progress: Some(&shown), ..EncodeOptions::for_file(FILE, None) };
    let bytes = written(&mut keyspace, &options);
    assert_eq!(shown.load(Ordering::Relaxed), 2000);
    let load = DecodeOptions { progress: Some(&shown), ..DecodeOptions::default() };
    shown.store(0, Ordering::Relaxed);
    // Behind the payload's beginning come zeros: strings with empty keys, the second of which is one too many.
    let mut input = std::io::Read::chain(&bytes[..bytes.len() - 9], Watching(&shown, Vec::new()));
    assert!(decode(&mut input, &mut empty_keyspace(), &load).is_err());
    let watched = input.into_inner().1.1;
    assert!(watched.first().is_some_and(|keys| (1..=2000).contains(keys)), "{watched:?}");
}

/// Many pieces over several databases, values of all sizes; workers that run, none that run, and one that cannot be had.
#[test]
fn several_threads_load_what_one_loads() {
    let mut keyspace = empty_keyspace();
    for number in 0..30_000_u32 {
        let value = vec![b'v'; (number % 97) as usize];
        let expiry = number.is_multiple_of(5).then_some(1_000_000 + i64::from(number));
        put_str(&mut keyspace, number % 3, format!("key:{number}").as_bytes(), &value, expiry);
    }
    put_str(&mut keyspace, 2, b"larger than a piece", &vec![b'x'; 900_000], None);
    let before = contents(&keyspace);
    let file = LocalFile { usage: Some(AccessKind::Recency), ..FILE };
    for compresses in [false, true] {
        let written_as = EncodeOptions { compresses, ..EncodeOptions::for_file(file, None) };
        let bytes = written(&mut keyspace, &written_as);
        let mut runs = [0, 0, 0];
        for (way, ran) in runs.iter_mut().enumerate() {
            let shown = AtomicU64::new(0);
            let options = DecodeOptions { adopts_seed: true, progress: Some(&shown), ..Default::default() };
            let mut loaded = Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([8; 16]) });
            let mut run = |worker: Worker| {
                *ran += 1;
                match (way, *ran) {
                    (0, _) | (1, 1) => drop(std::thread::spawn(worker)),
                    _ => drop(worker),
                }
            };
            let summary =
                decode_with_workers(&mut bytes.as_slice(), &mut loaded, &options, 2, &mut run).unwrap();
            assert_eq!((summary.keys, summary.expires), (30_001, 6_000));
            assert_eq!(shown.load(Ordering::Relaxed), 30_001);
            assert_eq!(loaded.seed(), keyspace.seed());
            assert!(contents(&loaded) == before);
        }
        assert_eq!(runs, [2, 2, 2]);
    }
}

/// Of damage in several pieces, the first is told, and by its place in the whole.
#[test]
fn several_threads_name_the_first_thing_that_is_wrong() {
    let mut parts: Vec<Vec<u8>> =
        (0..20_000).map(|n| format!("\0\x09key:{n:05}\x01v").into_bytes()).collect();
    parts[6_000] = b"\x0b\x09key:06000\x01v".to_vec();
    parts[15_000] = b"\x00\x09key:00000\x01v".to_vec();
    parts[19_000] = b"\x63".to_vec();
    let bytes = rdb("REDIS0009", &parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let mut run = |worker: Worker| drop(std::thread::spawn(worker));
    let options = DecodeOptions::default();
    let outcome = decode_with_workers(&mut bytes.as_slice(), &mut empty_keyspace(), &options, 2, &mut run);
    let at = 9 + 6_000 * 13 + 11;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        format!("bad RDB at byte {at}: a set as intset, its byte 0: it ends too early")
    );
}
