//! The codec as a whole: round trips, golden bytes, every encoding by hand, and every kind of damage.

mod damage;
mod files;
mod samples;

use std::collections::{BTreeMap, BTreeSet};

use rejoin_keyspace::{
    HashLimits, HashSeed, Keyspace, KeyspaceOptions, ListLimits, SetForm, SetLimits, SortedSetLimits,
    StringForm, Value,
};
use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};

use super::checksum::Checksum;
use super::encodings::ziplist::ziplist_of;
use super::{
    DecodeOptions, EncodeOptions, RdbError, RdbSummary, RdbTarget, StreamPosition, Worker, decode,
    decode_with_workers, encode, fuzzing,
};

const PSYNC2: RdbTarget = RdbTarget { psync2: true };

fn empty_keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([3; 16]) })
}

/// What a key holds, for comparison.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    Int(i64),
    Str(Vec<u8>, StringForm),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>, SetForm),
    /// Members with the bits of their scores, in order.
    SortedSet(Vec<(Vec<u8>, u64)>),
    List(Vec<Vec<u8>>),
}

type Contents = BTreeMap<(u32, Vec<u8>), (Option<i64>, Held)>;

fn contents(keyspace: &Keyspace) -> Contents {
    let mut all = Contents::new();
    for number in 0..keyspace.database_count() {
        for entry in keyspace.database(DbIndex::new(number)).iter() {
            let held = match entry.value() {
                Value::Int(value) => Held::Int(value),
                Value::Str(bytes, form) => Held::Str(bytes.to_vec(), form),
                Value::List(list) => Held::List(list.iter().map(<[u8]>::to_vec).collect()),
                Value::Hash(hash) => Held::Hash(hash.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect()),
                Value::Set(set) => Held::Set(set.iter().map(|member| member.to_vec()).collect(), set.form()),
                Value::SortedSet(set) => {
                    Held::SortedSet(set.iter().map(|(m, score)| (m.to_vec(), score.to_bits())).collect())
                }
            };
            let expiry = entry.expiry().map(UnixMillis::get);
            assert!(all.insert((number, entry.key().to_vec()), (expiry, held)).is_none());
        }
    }
    all
}

fn put_hash(keyspace: &mut Keyspace, key: &[u8], pairs: &[(&[u8], &[u8])], expiry: Option<UnixMillis>) {
    let key = keyspace.key(key);
    let database = keyspace.database_mut(DbIndex::new(0));
    let mut hash = database.hash_mut(key, HashLimits::default()).unwrap();
    for (field, value) in pairs {
        hash.set(field, value);
    }
    drop(hash);
    database.set_expiry(key, expiry);
}

fn put_str(keyspace: &mut Keyspace, database: u32, key: &[u8], value: &[u8], expiry: Option<i64>) {
    let key = keyspace.key(key);
    let form = if value.len() <= 44 { StringForm::Embstr } else { StringForm::Raw };
    let expiry = expiry.map(UnixMillis::new);
    keyspace.database_mut(DbIndex::new(database)).put_string(key, value, form, expiry);
}

fn put_int(keyspace: &mut Keyspace, key: &[u8], value: i64) {
    let key = keyspace.key(key);
    keyspace.database_mut(DbIndex::new(0)).put_int(key, value, None);
}

fn encoded(keyspace: &mut Keyspace, position: Option<StreamPosition>, target: RdbTarget) -> Vec<u8> {
    let mut out = Vec::new();
    let written =
        encode(keyspace.snapshot(), &EncodeOptions::for_target(target, position), &mut out).unwrap();
    assert_eq!(written, out.len() as u64);
    out
}

fn decoded(bytes: &[u8]) -> Result<(RdbSummary, Contents), RdbError> {
    decoded_with(bytes, &DecodeOptions::default())
}

/// Decodes on one thread and on several: the outcome must be the same.
fn decoded_with(mut bytes: &[u8], options: &DecodeOptions<'_>) -> Result<(RdbSummary, Contents), RdbError> {
    let (mut keyspace, mut other) = (empty_keyspace(), empty_keyspace());
    let mut run = |worker: Worker| drop(std::thread::spawn(worker));
    let on_several = decode_with_workers(&mut &*bytes, &mut other, options, 2, &mut run);
    let outcome = decode(&mut bytes, &mut keyspace, options);
    match (&outcome, &on_several) {
        (Ok(summary), Ok(on_several)) => {
            assert_eq!(summary, on_several);
            assert!(contents(&keyspace) == contents(&other), "other data on several threads");
        }
        (Err(_), Err(_)) => {}
        _ => panic!("{outcome:?} on one thread, {on_several:?} on several"),
    }
    Ok((outcome?, contents(&keyspace)))
}

fn a_position() -> StreamPosition {
    let replid = ReplicationId::from_random([0xab; 20]);
    StreamPosition { replid, offset: Offset::new(1_234_567_890_123), selected: DbIndex::new(3) }
}

/// A payload by hand: magic, parts, EOF, checksum.
fn rdb(magic: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [magic.as_bytes(), &parts.concat(), &[0xff]].concat();
    let mut sum = Checksum::new();
    sum.update(&bytes);
    bytes.extend_from_slice(&sum.value().to_le_bytes());
    bytes
}

/// A string by hand.
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80];
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
    out
}

fn small_keyspace() -> Keyspace {
    let mut keyspace = empty_keyspace();
    put_str(&mut keyspace, 0, b"k", b"v", None);
    put_int(&mut keyspace, b"n", -300);
    put_str(&mut keyspace, 2, b"t", b"w", Some(0x0102_0304_0506));
    put_hash(&mut keyspace, b"h", &[(b"f", b"1"), (b"g", b"22")], Some(UnixMillis::new(5)));
    keyspace
}

#[test]
fn a_small_payload_is_written_byte_for_byte() {
    let mut keyspace = empty_keyspace();
    put_int(&mut keyspace, b"n", 300);
    put_str(&mut keyspace, 2, b"t", b"w", Some(0x0102_0304_0506));
    let parts: [&[u8]; 10] = [
        b"\xfa\x09redis-ver\x057.2.4",
        b"\xfa\x0aredis-bits\xc0\x40",
        b"\xfa\x0erepl-stream-db\xc0\x03",
        b"\xfa\x07repl-id\x28abababababababababababababababababababab",
        b"\xfa\x0brepl-offset\x0d1234567890123",
        b"\xfe\x00\xfb\x01\x00",
        b"\x00\x01n\xc1\x2c\x01",
        b"\xfe\x02\xfb\x01\x01",
        b"\xfc\x06\x05\x04\x03\x02\x01\x00\x00",
        b"\x00\x01t\x01w",
    ];
    let expected = rdb("REDIS0008", &parts);
    assert_eq!(
        encoded(&mut keyspace, Some(a_position()), PSYNC2).escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

#[test]
fn readers_without_psync2_get_version_6_and_no_aux() {
    let mut keyspace = empty_keyspace();
    put_hash(&mut keyspace, b"h", &[(b"f", b"v")], None);
    let bytes = encoded(&mut keyspace, Some(a_position()), RdbTarget::default());
    assert_eq!(bytes, rdb("REDIS0006", &[b"\xfe\x00", b"\x04\x01h\x01\x01f\x01v"]));
    assert_eq!(encoded(&mut empty_keyspace(), None, RdbTarget::default()), rdb("REDIS0006", &[]));
}

#[test]
fn what_is_written_is_read() {
    let mut keyspace = small_keyspace();
    let before = contents(&keyspace);
    let bytes = encoded(&mut keyspace, Some(a_position()), PSYNC2);
    let (summary, after) = decoded(&bytes).unwrap();
    assert_eq!(after, before);
    assert_eq!((summary.version, summary.keys, summary.expires), (8, 4, 2));
    assert_eq!((summary.position, summary.bytes), (Some(a_position()), bytes.len() as u64));
    assert_eq!(summary.types.into_iter().collect::<Vec<_>>(), [("hash", 1), ("string", 3)]);
    assert_eq!(contents(&keyspace), before, "the keyspace itself is untouched");
}

#[test]
fn generated_data_of_every_form_survives() {
    let mut keyspace = empty_keyspace();
    let mut state = 42_u64;
    let mut random = |bound: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for number in 0..3000_u64 {
        let key = format!("key:{number}:{}", "x".repeat(random(60) as usize));
        let value: Vec<u8> = (0..random(100)).map(|_| b'a' + random(26) as u8).collect();
        let database = random(16) as u32;
        let expiry = (random(3) == 0).then(|| random(1 << 40) as i64 - 5000);
        match random(6) {
            4 => {
                let key = keyspace.key(key.as_bytes());
                let database = keyspace.database_mut(DbIndex::new(database));
                let mut set = database.set_mut(key, SetLimits::default()).unwrap();
                let prefix = if random(2) == 0 { "" } else { "m" };
                for member in 0..=random(200) {
                    set.add(format!("{prefix}{}", member << random(20)).as_bytes());
                }
                drop(set);
                database.set_expiry(key, expiry.map(UnixMillis::new));
            }
            5 => {
                let key = keyspace.key(key.as_bytes());
                let database = keyspace.database_mut(DbIndex::new(database));
                let mut set = database.sorted_set_mut(key, SortedSetLimits::default()).unwrap();
                for member in 0..=random(200) {
                    let score = f64::from_bits(random(u64::MAX >> 33) << 33 | random(1 << 31));
                    set.set(format!("m{member}").as_bytes(), if score.is_nan() { 0.5 } else { score });
                }
                drop(set);
                database.set_expiry(key, expiry.map(UnixMillis::new));
            }
            0 => {
                let key = keyspace.key(key.as_bytes());
                let value = (random(1 << 30) as i64) << random(34);
                let sign = if random(2) == 0 { 1 } else { -1 };
                let expiry = expiry.map(UnixMillis::new);
                keyspace.database_mut(DbIndex::new(database)).put_int(key, sign * value, expiry);
            }
            1 => {
                let key = keyspace.key(key.as_bytes());
                let database = keyspace.database_mut(DbIndex::new(database));
                let mut hash = database.hash_mut(key, HashLimits::default()).unwrap();
                for field in 0..=random(200) {
                    hash.set(format!("field{field}").as_bytes(), &value);
                }
                drop(hash);
                database.set_expiry(key, expiry.map(UnixMillis::new));
            }
            _ => put_str(&mut keyspace, database, key.as_bytes(), &value, expiry),
        }
    }
    for (number, length) in [44, 45, 65_535, 65_536, 300_000, 1_000_000].into_iter().enumerate() {
        put_str(&mut keyspace, 0, format!("long{number}").as_bytes(), &vec![b'y'; length], None);
    }
    for value in [0, 127, 128, -129, 32_768, -32_769, 1 << 31, i64::MAX, i64::MIN] {
        put_int(&mut keyspace, format!("int{value}").as_bytes(), value);
    }
    put_str(&mut keyspace, 0, b"", b"", None);
    put_str(&mut keyspace, 0, b"binary\0\r\n\xff", b"\0\xff", None);
    let before = contents(&keyspace);
    for target in [PSYNC2, RdbTarget::default()] {
        let (summary, after) = decoded(&encoded(&mut keyspace, None, target)).unwrap();
        assert_eq!(summary.keys, before.len() as u64);
        assert!(after == before, "not what was written");
    }
}

#[test]
fn an_expiry_that_redis_would_take_for_none_is_moved_by_a_millisecond() {
    let mut keyspace = empty_keyspace();
    put_str(&mut keyspace, 0, b"k", b"v", Some(-1));
    let (_, after) = decoded(&encoded(&mut keyspace, None, PSYNC2)).unwrap();
    assert_eq!(after[&(0, b"k".to_vec())].0, Some(-2));
}

#[test]
fn strings_that_are_numbers_are_held_as_numbers() {
    let ints = ["0", "-1", "9223372036854775807", "-9223372036854775808", "12345678901"];
    let others =
        ["", "-", "-0", "007", "+1", "1.0", " 1", "9223372036854775808", "99999999999999999999", "1a"];
    let part =
        |value: &str| [&[0][..], &text(format!("k{value}").as_bytes()), &text(value.as_bytes())].concat();
    let parts: Vec<Vec<u8>> = ints.iter().chain(&others).map(|value| part(value)).collect();
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let (_, after) = decoded(&rdb("REDIS0009", &parts)).unwrap();
    for value in ints {
        assert_eq!(after[&(0, format!("k{value}").into_bytes())].1, Held::Int(value.parse().unwrap()));
    }
    for value in others {
        let expected = Held::Str(value.as_bytes().to_vec(), StringForm::Embstr);
        assert_eq!(after[&(0, format!("k{value}").into_bytes())].1, expected);
    }
    let long = text(&[b'x'; 45]);
    let (_, after) = decoded(&rdb("REDIS0009", &[b"\x00\x01k", &long])).unwrap();
    assert_eq!(after[&(0, b"k".to_vec())].1, Held::Str(vec![b'x'; 45], StringForm::Raw));
}

#[test]
fn compressed_strings_are_read() {
    let value = b"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc";
    let compressed = lzf::compress(value).unwrap();
    let string = [&[0xc3, compressed.len() as u8, value.len() as u8][..], &compressed].concat();
    let (_, after) = decoded(&rdb("REDIS0009", &[b"\x00\x01k", &string])).unwrap();
    assert_eq!(after[&(0, b"k".to_vec())].1, Held::Str(value.to_vec(), StringForm::Raw));
    // Four gigabytes claimed, three bytes given.
    let bomb = b"\x00\x01k\xc3\x03\x80\xff\xff\xff\xff\x01ab";
    assert!(matches!(decoded(&rdb("REDIS0009", &[bomb])), Err(RdbError::Damaged { at: 12, .. })));
}

fn a_hash(pairs: &[(&str, &str)]) -> Held {
    Held::Hash(pairs.iter().map(|(f, v)| (f.as_bytes().to_vec(), v.as_bytes().to_vec())).collect())
}

#[test]
fn packed_hashes_are_read() {
    let zipmap = text(b"\x02\x01f\x02\x00v1\x01g\x02\x01v2X\xff");
    let ziplist = text(&ziplist_of(&[b"\x01f", b"\x02v1", b"\xf2", b"\xfe\x80"]));
    let listpack = text(b"\x13\0\0\0\x04\0\x81f\x02\x82v1\x03\x01\x01\xdf\x80\x02\xff");
    for (kind, blob, expected) in [
        (9, zipmap, [("f", "v1"), ("g", "v2")]),
        (13, ziplist, [("f", "v1"), ("1", "-128")]),
        (16, listpack, [("f", "v1"), ("1", "-128")]),
    ] {
        let expiry = b"\xfc\x05\0\0\0\0\0\0\0";
        let (summary, after) = decoded(&rdb("REDIS0010", &[expiry, &[kind], b"\x01k", &blob])).unwrap();
        assert_eq!(after[&(0, b"k".to_vec())], (Some(5), a_hash(&expected)), "type {kind}");
        assert_eq!(summary.keys, 1);
    }
}

fn a_list(elements: &[&str]) -> Held {
    Held::List(elements.iter().map(|element| element.as_bytes().to_vec()).collect())
}

#[test]
fn lists_of_every_form_are_read() {
    let ziplist = text(&ziplist_of(&[b"\x01a", b"\xf2", b"\xfe\x80"]));
    let listpack = text(b"\x0f\0\0\0\x03\0\x81a\x02\x01\x01\xdf\x80\x02\xff");
    let plain = [&b"\x03\x01a\xc0\x01"[..], b"\xc0\x80"].concat();
    for (kind, blob, expected) in [
        (1, plain, ["a", "1", "-128"].as_slice()),
        (10, ziplist.clone(), &["a", "1", "-128"]),
        (14, [b"\x02", &ziplist[..], &ziplist].concat(), &["a", "1", "-128", "a", "1", "-128"]),
        (18, [b"\x02\x02", &listpack[..], b"\x01\x03xyz"].concat(), &["a", "1", "-128", "xyz"]),
    ] {
        let expiry = b"\xfc\x05\0\0\0\0\0\0\0";
        let (summary, after) = decoded(&rdb("REDIS0010", &[expiry, &[kind], b"\x01k", &blob])).unwrap();
        assert_eq!(after[&(0, b"k".to_vec())], (Some(5), a_list(expected)), "type {kind}");
        assert_eq!(summary.keys, 1);
    }
    let error = decoded(&rdb("REDIS0010", &[b"\x12\x01k\x01\x03\x01a"])).unwrap_err();
    assert_eq!(error.to_string(), "bad RDB at byte 13: a list with a node of the form 3");
    let (summary, _) = decoded(&rdb("REDIS0010", &[b"\xfc\x05\0\0\0\0\0\0\0\x01\x01k\x00"])).unwrap();
    assert_eq!(summary.keys, 0, "an empty list is passed over");
}

#[test]
fn lists_come_back_as_they_went() {
    let mut keyspace = empty_keyspace();
    for (name, count) in [("one", 1), ("packed", 100), ("large", 5000)] {
        let key = keyspace.key(name.as_bytes());
        let mut list = keyspace.database_mut(DbIndex::new(1)).list_mut(key, ListLimits::default()).unwrap();
        for number in 0..count {
            list.grow(0, 1);
            list.push_back(format!("{number} {}", "x".repeat(number % 100)).as_bytes());
        }
    }
    let before = contents(&keyspace);
    let mut bytes = Vec::new();
    encode(keyspace.snapshot(), &EncodeOptions::for_target(PSYNC2, None), &mut bytes).unwrap();
    assert_eq!(decoded(&bytes).unwrap().1, before);
}

#[test]
fn packed_sets_are_read() {
    let set = |members: &[&str], form| {
        Held::Set(members.iter().map(|member| member.as_bytes().to_vec()).collect(), form)
    };
    let scores = |members: &[(&str, f64)]| {
        let scored = members.iter().map(|(member, score)| (member.as_bytes().to_vec(), score.to_bits()));
        Held::SortedSet(scored.collect())
    };
    let intset = text(b"\x02\0\0\0\x03\0\0\0\xff\xff\x01\0\x02\0");
    let listpack = text(b"\x13\0\0\0\x04\0\x81f\x02\x82v1\x03\x01\x01\xdf\x80\x02\xff");
    let ziplist = text(&ziplist_of(&[b"\x01f", b"\x031.5", b"\x01g", b"\xfe\x80"]));
    let scored = text(b"\x12\0\0\0\x04\0\x81f\x02\x01\x01\x81g\x02\xdf\x80\x02\xff");
    let infinities = [&b"\x04\x01a\xfe\x01b\xff\x01c\x031.5\x01d\x01"[..], b"0"].concat();
    let doubles = [&b"\x01\x01a"[..], &2.5f64.to_le_bytes()].concat();
    for (kind, body, expected) in [
        (2, b"\x02\x01a\xc0\x07".to_vec(), set(&["a", "7"], SetForm::Packed)),
        (2, b"\x02\x011\xc0\x07".to_vec(), set(&["1", "7"], SetForm::Integers)),
        (11, intset, set(&["-1", "1", "2"], SetForm::Integers)),
        (20, listpack, set(&["f", "v1", "1", "-128"], SetForm::Packed)),
        (12, ziplist, scores(&[("g", -128.0), ("f", 1.5)])),
        (17, scored, scores(&[("g", -128.0), ("f", 1.0)])),
        (3, infinities, scores(&[("b", f64::NEG_INFINITY), ("d", 0.0), ("c", 1.5), ("a", f64::INFINITY)])),
        (5, doubles, scores(&[("a", 2.5)])),
    ] {
        let expiry = b"\xfc\x05\0\0\0\0\0\0\0";
        let (summary, after) = decoded(&rdb("REDIS0011", &[expiry, &[kind], b"\x01k", &body])).unwrap();
        assert_eq!(after[&(0, b"k".to_vec())], (Some(5), expected), "type {kind}");
        assert_eq!(summary.keys, 1);
    }
}

#[test]
fn damaged_sets_are_refused_with_their_place() {
    let nan = [&b"\x05\x01k\x01\x01a"[..], &f64::NAN.to_le_bytes()].concat();
    let odd = [&b"\x11\x01k"[..], &text(b"\x0a\0\0\0\x01\0\x81f\x02\xff")].concat();
    for (part, what) in [
        (&b"\x02\x01k\x02\x01a\x01a"[..], "the member 'a' for the second time"),
        (b"\x05\x01k\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\0\0", "the member 'a' for the second time"),
        (b"\x03\x01k\x01\x01a\x03abc", "no score: 'abc'"),
        (b"\x03\x01k\x01\x01a\xfd", "the member 'a' has no number as its score"),
        (&nan, "the member 'a' has no number as its score"),
        (&odd, "a sorted set as listpack: a member without a score"),
        (b"\x0b\x01k\x08\x03\0\0\0\0\0\0\0", "a set as intset, its byte 0: no integer has so many bytes"),
        (b"\x02\x01k\x01\x01a\x03\x01k\x01\x01a\x011", "the key 'k' for the second time"),
    ] {
        let error = decoded(&rdb("REDIS0011", &[part])).unwrap_err().to_string();
        assert!(error.starts_with("bad RDB at byte ") && error.ends_with(what), "{error}");
    }
}

#[test]
fn empty_hashes_of_old_servers_are_passed_over() {
    for part in [
        &b"\x04\x01k\x00"[..],
        b"\x0d\x01k\x0b\x0b\0\0\0\x0a\0\0\0\0\0\xff",
        b"\x10\x01k\x07\x07\0\0\0\0\0\xff",
    ] {
        let (summary, after) =
            decoded(&rdb("REDIS0010", &[b"\xfc\x05\0\0\0\0\0\0\0", part, b"\x00\x01a\x01b"])).unwrap();
        assert_eq!(summary.keys, 1);
        assert_eq!(after[&(0, b"a".to_vec())].0, None, "the expiry went with the hash");
    }
}

#[test]
fn every_opcode_is_read_or_passed_over() {
    let parts: [&[u8]; 9] = [
        b"\xfa\x03foo\x03bar",
        b"\xf5\x07library",
        b"\xfe\x01\xfb\x05\x02",
        b"\xf4\x01\x02\x03",
        b"\xfd\x02\0\0\0\xf9\x07\x00\x01a\x01A",
        b"\xfc\xff\xff\xff\xff\xff\xff\xff\xff\x00\x01b\x01B",
        b"\xfe\x0f",
        b"\xf8\x40\xff\x00\x01c\x01C",
        b"\xf5\x07another",
    ];
    for magic in ["REDIS0011", "REDIS0015", "VALKEY080", "VALKEY081"] {
        let options = DecodeOptions { keeps_functions: true, ..DecodeOptions::default() };
        let (summary, after) = decoded_with(&rdb(magic, &parts), &options).unwrap();
        assert_eq!(summary.functions, [b"library".to_vec(), b"another".to_vec()]);
        assert_eq!(after[&(1, b"a".to_vec())].0, Some(2000));
        assert_eq!(after[&(1, b"b".to_vec())].0, None);
        assert_eq!(after[&(15, b"c".to_vec())].0, None);
    }
}

#[test]
fn old_versions_have_no_checksum_and_zero_means_unchecked() {
    let body = b"\xfe\x00\x00\x01k\x01v\xff";
    let old = [b"REDIS0001".as_slice(), body].concat();
    let (summary, after) = decoded(&old).unwrap();
    assert_eq!((summary.version, summary.bytes, after.len()), (1, old.len() as u64, 1));
    assert!(decoded(&[b"REDIS0005".as_slice(), body].concat()).is_err());
    let unchecked = [b"REDIS0009".as_slice(), body, &[0; 8]].concat();
    assert!(decoded(&unchecked).is_ok());
    let wrong = [b"REDIS0009".as_slice(), body, &[1; 8]].concat();
    assert!(matches!(decoded(&wrong), Err(RdbError::WrongChecksum { stated: 0x0101_0101_0101_0101, .. })));
}

#[test]
fn what_follows_the_payload_is_not_looked_at() {
    let payload = rdb("REDIS0009", &[b"\x00\x01k\x01v"]);
    let with_log = [payload.as_slice(), b"*1\r\n$4\r\nPING\r\n"].concat();
    assert_eq!(decoded(&with_log).unwrap().0.bytes, payload.len() as u64);
}

#[test]
fn a_position_counts_only_when_it_is_whole() {
    let id = [b"\xfa\x07repl-id".as_slice(), &text(&[b'A'; 40])].concat();
    let (db, offset) = (b"\xfa\x0erepl-stream-db\x012".as_slice(), b"\xfa\x0brepl-offset\xc0\x07".as_slice());
    let position = |parts: &[&[u8]]| decoded(&rdb("REDIS0009", parts)).unwrap().0.position;
    let replid = ReplicationId::parse(&[b'a'; 40]).unwrap();
    let whole = StreamPosition { replid, offset: Offset::new(7), selected: DbIndex::new(2) };
    assert_eq!(position(&[db, &id, offset]), Some(whole));
    assert_eq!(position(&[&id, offset]), None);
    assert_eq!(position(&[db, offset]), None);
    assert_eq!(position(&[db, &id, b"\xfa\x0brepl-offset\x02-1"]), None);
    let error = decoded(&rdb("REDIS0009", &[b"\xfa\x0erepl-stream-db\x0216"])).unwrap_err();
    assert_eq!(error.to_string(), "bad RDB at byte 9: database 16, but there are 16");
}

#[test]
fn what_we_do_not_have_is_refused_by_name_and_place() {
    let module = b"\x07\x03doc\x81\x45\xe2\x52\x38\xdf\x91\x2c\x03";
    let expiring_24 = [&b"\x18\x01k"[..], &[9; 8], b"\x02\x00\x01f\x01v\x01\x01g\x01v"].concat();
    let cases: [(&str, &[u8], &str); 13] = [
        ("REDIS0011", b"\x15\x01k\x00", "type 21, stream (third form), key 'k'"),
        ("REDIS0009", module, "type 7, a value of the module type 'ReJSON-RL', key 'doc'"),
        ("REDIS0012", &expiring_24, "type 24, a hash with 1 fields that expire, key 'k'"),
        ("REDIS0012", b"\x16\x01k\x01\x07\x01f\x01v", "type 22, a hash with 1 fields that expire, key 'k'"),
        (
            "VALKEY080",
            b"\x16\x01k\x01\x01f\x01v\x07\0\0\0\0\0\0\0",
            "type 22, a hash with 1 fields that expire, key 'k'",
        ),
        (
            "REDIS0012",
            b"\x17\x01k\x0d\x0d\0\0\0\x03\0\x01\x01\x02\x01\x03\x01\xff",
            "type 23, a hash with 1 fields that expire, key 'k'",
        ),
        ("REDIS0013", b"\xf3\x01k\x00", "KEY_META (metadata of a key)"),
        ("VALKEY080", b"\xf3\x01k\x00", "SLOT_IMPORT (a slot migration under way)"),
        ("REDIS0010", b"\xf6\x01k\x00", "FUNCTION of a release candidate of 7.0"),
        ("REDIS0010", b"\xf5\x12#!lua name=mylib\n;", "FUNCTION2, the library of functions 'mylib'"),
        ("REDIS0010", b"\xf7\x81\x45\xe2\x52\x38\xdf\x91\x2c\x03\x00", "data of the module type 'ReJSON-RL'"),
        ("REDIS0015", b"\x21\x01k\x00", "type 33, rate limit (GCRA), key 'k'"),
        ("REDIS0003", b"\x06\x01k\x00", "type 6, module value (before 4.0 GA), key 'k'"),
    ];
    for (magic, part, what) in cases {
        let error = decoded(&rdb(magic, &[part])).unwrap_err();
        assert_eq!(error.to_string(), format!("unsupported in RDB at byte 9: {what}"));
    }
    let error = decoded(&rdb("REDIS0016", &[])).unwrap_err();
    assert_eq!(error.to_string(), "unsupported in RDB at byte 5: version 16 (Redis); 1 to 15 are known");
    assert!(matches!(decoded(&rdb("VALKEY079", &[])), Err(RdbError::Unsupported { at: 6, .. })));
    assert!(matches!(decoded(&rdb("REDIS00x1", &[])), Err(RdbError::Damaged { at: 5, .. })));
    assert!(matches!(decoded(&rdb("PEDIS0001", &[])), Err(RdbError::Damaged { at: 0, .. })));
}

#[test]
fn nonsense_is_refused_with_its_place() {
    let cases: [(&[u8], &str); 10] = [
        (b"\x63\x01k\x00", "byte 9: no type or opcode has the number 99"),
        (b"\xfe\x10", "byte 9: database 16, but there are 16"),
        (b"\xfe\xc0\x01", "byte 10: an encoded string (0) instead of a length"),
        (b"\x00\x01k\xc4", "byte 12: no string encoding has the number 4"),
        (b"\x00\x01k\x82", "byte 12: no length begins with 0x82"),
        (b"\x00\x01k\x01v\x00\x01k\x01w", "byte 15: the key 'k' for the second time"),
        (b"\x00\x01k\x01v\x04\x01k\x01\x01f\x01v", "byte 15: the key 'k' for the second time"),
        (b"\x04\x01k\x01\x01f\x01v\x00\x01k\x01w", "byte 18: the key 'k' for the second time"),
        (b"\x04\x01k\x02\x01f\x01v\x01f\x01w", "byte 17: the field 'f' for the second time"),
        (b"\x09\x01k\x04\x01\x01f\xff", "byte 12: a hash as zipmap, its byte 3: a field without a value"),
    ];
    for (part, what) in cases {
        let error = decoded(&rdb("REDIS0009", &[part])).unwrap_err();
        assert_eq!(error.to_string(), format!("bad RDB at {what}"));
    }
}

#[test]
fn an_endless_claim_ends_with_the_input() {
    for part in [
        &b"\x04\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x00\x80\xff\xff\xff\xff",
        b"\x00\x01k\x81\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\xf5\x80\xff\xff\xff\xfe",
    ] {
        assert!(matches!(decoded(&rdb("REDIS0009", &[part])), Err(RdbError::Damaged { .. })));
    }
}

#[test]
fn every_flipped_byte_is_noticed_or_harmless() {
    let mut keyspace = small_keyspace();
    let before = contents(&keyspace);
    let good = encoded(&mut keyspace, Some(a_position()), PSYNC2);
    for place in 0..good.len() {
        for flip in 1..=255 {
            let mut bad = good.clone();
            bad[place] ^= flip;
            if let Ok((summary, after)) = decoded(&bad) {
                // Only a version without checksum gets here, with all bytes but that digit as they were.
                assert!(summary.version < 5 && place == 8, "byte {place} flipped by {flip:#04x}");
                assert_eq!(after, before);
            }
        }
    }
}

#[test]
fn every_prefix_is_refused() {
    let mut keyspace = small_keyspace();
    let good = encoded(&mut keyspace, Some(a_position()), PSYNC2);
    for length in 0..good.len() {
        assert!(matches!(decoded(&good[..length]), Err(RdbError::Damaged { .. })), "{length} bytes");
    }
}

/// An input that gives one byte at a time, and an interruption before each.
struct Trickle<'a>(&'a [u8], bool);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let count = self.0.len().min(1).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn a_trickling_input_is_as_good_as_any() {
    let mut keyspace = small_keyspace();
    let good = encoded(&mut keyspace, None, PSYNC2);
    let mut after = empty_keyspace();
    decode(&mut Trickle(&good, false), &mut after, &DecodeOptions::default()).unwrap();
    assert_eq!(contents(&after), contents(&keyspace));
}

/// An output that fails after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        if count == 0 { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_output_that_fails_ends_the_encoding() {
    let mut keyspace = small_keyspace();
    put_str(&mut keyspace, 0, b"large", &[0; 400_000], None);
    for room in [0, 10, 300_000, 400_000] {
        let result = encode(keyspace.snapshot(), &EncodeOptions::for_target(PSYNC2, None), &mut Full(room));
        assert!(
            matches!(result, Err(RdbError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull)
        );
    }
}

/// The fuzz target over mutated seeds: always the same ones, so that a failure comes again.
#[test]
fn mutated_payloads_never_panic() {
    let mut keyspace = small_keyspace();
    let compressed = lzf::compress(&[b'z'; 200]).unwrap();
    let string = [&[0xc3, compressed.len() as u8, 0x40, 200][..], &compressed].concat();
    let seeds = [
        encoded(&mut keyspace, Some(a_position()), PSYNC2),
        rdb(
            "REDIS0010",
            &[b"\x10\x01k", &text(b"\x13\0\0\0\x04\0\x81f\x02\x82v1\x03\x01\x01\xdf\x80\x02\xff")],
        ),
        rdb("REDIS0009", &[b"\x0d\x01k", &text(&ziplist_of(&[b"\x01f", b"\x02v1", b"\xf2", b"\xfe\x80"]))]),
        rdb("REDIS0002", &[b"\x09\x01k", &text(b"\x02\x01f\x02\x00v1\x01g\x02\x01v2X\xff")]),
        rdb("REDIS0011", &[b"\x0b\x01k", &text(b"\x02\0\0\0\x03\0\0\0\xff\xff\x01\0\x02\0")]),
        rdb(
            "REDIS0011",
            &[b"\x11\x01k", &text(b"\x12\0\0\0\x04\0\x81f\x02\x01\x01\x81g\x02\xdf\x80\x02\xff")],
        ),
        rdb("REDIS0007", &[b"\x02\x01s\x02\x01a\xc0\x07", b"\x03\x01z\x02\x01a\xfe\x01c\x031.5"]),
        rdb("VALKEY080", &[b"\x00\x01k", &string, b"\xf5\x03lib\xf4\x01\x02\x03\xf8\x01\xf9\x01"]),
    ];
    let mut state = 7_u64;
    let mut random = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random(4) {
            let place = random(bytes.len());
            match random(5) {
                0 => bytes[place] ^= 1 << random(8),
                1 => bytes[place] = [0x00, 0x3f, 0x40, 0x80, 0x81, 0xc3, 0xfe, 0xff][random(8)],
                2 => drop(bytes.remove(place)),
                3 => bytes.insert(place, random(256) as u8),
                _ => bytes.truncate(place.max(12)),
            }
        }
        // A zero checksum lets damage through to the decoder's own checks.
        if random(2) == 0 && bytes.len() > 20 {
            let from = bytes.len() - 8;
            bytes[from..].fill(0);
        }
        fuzzing::decode_rdb(&bytes);
    }
}
