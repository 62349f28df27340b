//! Every kind of damage to payloads that hold everything: each has one defined outcome, and none costs memory.

use super::samples::{FOREIGN_OF_REDIS, FOREIGN_OF_VALKEY, KEYS, redis, valkey};
use super::{DecodeOptions, RdbError, decoded_with, empty_keyspace, fuzzing};
use crate::rdb::{CheckEvent, Skipped, check, decode};

const SKIPPING: fn() -> DecodeOptions<'static> =
    || DecodeOptions { skips_unsupported: true, ..DecodeOptions::default() };

fn samples() -> [(Vec<u8>, (u64, u64, u64)); 2] {
    [(redis(), FOREIGN_OF_REDIS), (valkey(), FOREIGN_OF_VALKEY)]
}

/// With zeros for a checksum, so that damage reaches the decoder's own checks.
fn unchecked(sample: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    let end = bytes.len();
    bytes[end - 8..].fill(0);
    bytes
}

/// The byte that an error names.
fn place_of(error: &RdbError) -> Option<u64> {
    match error {
        RdbError::Damaged { at, .. } | RdbError::Unsupported { at, .. } => Some(*at),
        RdbError::WrongChecksum { .. } | RdbError::Io(_) => None,
    }
}

#[test]
fn everything_is_read_or_passed_over() {
    for (bytes, (keys, functions, extras)) in samples() {
        let (summary, contents) = decoded_with(&bytes, &SKIPPING()).unwrap();
        assert_eq!((summary.keys, contents.len() as u64), (KEYS, KEYS));
        let Skipped { first, .. } = &summary.skipped;
        assert_eq!(first.as_ref().unwrap().1, "FUNCTION2, the library of functions 'mylib'");
        let skipped = (summary.skipped.keys, summary.skipped.functions, summary.skipped.extras);
        assert_eq!(skipped, (keys, functions, extras));
        assert_eq!(summary.expires, 2);
        assert_eq!(summary.types.values().sum::<u64>(), KEYS + keys);
        assert_eq!(summary.aux("redis-ver"), Some(&b"8.0.0"[..]));
        assert_eq!(summary.seed.unwrap().bytes(), [0x55; 16]);
        let refused = decoded_with(&bytes, &DecodeOptions::default()).unwrap_err();
        assert!(matches!(refused, RdbError::Unsupported { .. }), "{refused}");
    }
}

#[test]
fn a_check_tells_what_it_comes_across() {
    let mut told = Vec::new();
    let bytes = redis();
    let summary = check(&mut bytes.as_slice(), &mut |event| {
        told.push(match event {
            CheckEvent::Header { read, version, is_valkey } => format!("{read} {version} {is_valkey}"),
            CheckEvent::Aux { name, value, .. } => {
                format!("{} = {}", name.escape_ascii(), value.escape_ascii())
            }
            CheckEvent::Database { index, .. } => format!("database {index}"),
            CheckEvent::Extra { what, .. } => what.to_owned(),
            CheckEvent::Key { key, type_name, expiry, .. } => {
                format!("{type_name} {} {:?}", key.escape_ascii(), expiry.map(|at| at.get()))
            }
            CheckEvent::Value { is_supported, .. } => format!("{is_supported}"),
            CheckEvent::End { read, has_checksum } => format!("{read} {has_checksum}"),
        });
    });
    assert_eq!(summary.unwrap().bytes, bytes.len() as u64);
    assert_eq!(told[0], "9 15 false");
    for expected in [
        "redis-ver = 8.0.0",
        "repl-offset = 7",
        "FUNCTION2, the library of functions 'mylib'",
        "data of the module type 'ReJSON-RL'",
        "database 2",
        "string compressed Some(2000)",
        "set set Some(5)",
        "hash as zipmap zipmap None",
        "stream (fifth form) stream27 None",
    ] {
        assert!(told.iter().any(|told| told == expected), "{expected} in {told:#?}");
    }
    assert_eq!(told.iter().filter(|told| *told == "true").count() as u64, KEYS);
    assert_eq!(told.iter().filter(|told| *told == "false").count() as u64, FOREIGN_OF_REDIS.0);
    assert_eq!(*told.last().unwrap(), format!("{} true", bytes.len()));
}

#[test]
fn a_check_names_the_key_that_was_being_read() {
    let bytes = redis();
    let cut = bytes.windows(6).position(|window| window == b"intset").unwrap() + 12;
    let (mut reading, mut values) = (None, 0);
    let error = check(&mut &bytes[..cut], &mut |event| match event {
        CheckEvent::Key { key, type_number, .. } => reading = Some((key.to_vec(), type_number)),
        CheckEvent::Value { .. } => {
            reading = None;
            values += 1;
        }
        _ => {}
    });
    assert_eq!(place_of(&error.unwrap_err()), Some(cut as u64));
    assert_eq!((reading, values), (Some((b"intset".to_vec(), 11)), 10));
}

/// A checksum notices every single byte, whatever is done to it.
#[test]
fn every_flipped_byte_is_noticed() {
    for (good, _) in samples() {
        let options = SKIPPING();
        for place in 0..good.len() {
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff, 0x55]) {
                let mut bad = good.clone();
                bad[place] ^= flip;
                let outcome = decode(&mut bad.as_slice(), &mut empty_keyspace(), &options);
                let error = outcome.expect_err("noticed");
                let is_in_it = place_of(&error).is_none_or(|at| at <= good.len() as u64);
                assert!(is_in_it, "byte {place} ^ {flip:#04x}: {error}");
            }
        }
    }
}

/// Without a checksum, damage is an error with its place, or gives other data that is as good as any: it can be written
/// and read again.
#[test]
fn every_flipped_byte_without_checksum_is_an_error_or_other_data() {
    for (good, _) in samples() {
        let good = unchecked(&good);
        let (mut refused, mut read) = (0, 0);
        for place in 0..good.len() - 8 {
            for flip in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                let mut bad = good.clone();
                bad[place] ^= flip;
                fuzzing::decode_rdb(&bad);
                match decode(&mut bad.as_slice(), &mut empty_keyspace(), &SKIPPING()) {
                    Ok(_) => read += 1,
                    Err(error) => {
                        // What was made an end is followed by what is no checksum.
                        let is_end = matches!(error, RdbError::WrongChecksum { .. });
                        let is_in_it = place_of(&error).is_some_and(|at| at <= good.len() as u64);
                        assert!(is_end || is_in_it, "{place} ^ {flip:#04x}: {error}");
                        refused += 1;
                    }
                }
            }
        }
        assert!(refused > 1000 && read > 1000, "{refused} refused, {read} read");
    }
}

#[test]
fn every_prefix_is_refused_where_it_ends() {
    for (good, _) in samples() {
        for length in 0..good.len() {
            let outcome = decode(&mut &good[..length], &mut empty_keyspace(), &SKIPPING());
            let error = outcome.expect_err("cut short");
            assert!(matches!(error, RdbError::Damaged { .. }), "{length} bytes: {error}");
            assert!(place_of(&error).is_some_and(|at| at <= length as u64), "{length} bytes: {error}");
            assert!(check(&mut &good[..length], &mut |_| {}).is_err());
        }
    }
}

/// What follows each byte is replaced by a length of four or eight bytes that nothing can meet.
#[test]
fn hostile_lengths_anywhere_are_refused() {
    for (good, _) in samples() {
        let good = unchecked(&good);
        for place in 9..good.len() {
            for claim in
                [&b"\x80\xff\xff\xff\xff"[..], b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff", b"\x80\x10\0\0\0"]
            {
                let bad = [&good[..place], claim, &good[place..]].concat();
                fuzzing::decode_rdb(&bad);
            }
        }
    }
}

#[test]
fn values_of_restore_survive_any_damage() {
    for (good, _) in samples() {
        for begin in 9..good.len() {
            for end in [begin + 1, begin + 20, begin + 90, good.len() - 9] {
                if begin < end && end < good.len() {
                    fuzzing::restore_value(&good[begin..end]);
                }
            }
        }
    }
    fuzzing::lzf_both_ways(&redis());
}
