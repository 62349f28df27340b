//! Entries: what they hold, when they change in place, and what they weigh.

use rejoin_protocol::UnixMillis;

use super::*;
use crate::size_class::size_class;

fn string(key: &[u8], value: &[u8], expiry: Option<i64>) -> Entry {
    Entry::new(key, expiry.map(UnixMillis::new), NewValue::Bytes(Kind::Raw, value))
}

fn bytes(entry: &Entry) -> &[u8] {
    match entry.value() {
        Value::Str(bytes, _) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_keeps_key_value_and_expiry_of_any_size() {
    for key_len in [0, 1, 20, 300, 70_000] {
        for value_len in [0, 1, 64, 4_096, 4_097, 100_000] {
            for expiry in [None, Some(-1), Some(i64::MAX)] {
                let (key, value) = (vec![b'k'; key_len], vec![b'v'; value_len]);
                let mut entry = string(&key, &value, expiry);
                entry.set_tag(0xbeef);
                assert_eq!(entry.key(), key);
                assert_eq!(bytes(&entry), value);
                assert_eq!(entry.expiry(), expiry.map(UnixMillis::new));
                assert_eq!(entry.tag(), 0xbeef);
            }
        }
    }
}

#[test]
fn a_key_of_20_and_a_value_of_64_bytes_take_112() {
    assert_eq!(string(&[b'k'; 20], &[b'v'; 64], None).bytes_used(), 112);
    assert_eq!(string(&[b'k'; 20], &[b'v'; 64], Some(1)).bytes_used(), 112);
}

#[test]
fn numbers_survive() {
    for value in [0, -1, i64::MIN, i64::MAX] {
        let entry = Entry::new(b"n", None, NewValue::Bytes(Kind::Int, &value.to_ne_bytes()));
        assert!(matches!(entry.value(), Value::Int(held) if held == value));
    }
}

#[test]
fn a_value_of_the_same_class_changes_in_place_and_keeps_the_access_word() {
    let mut entry = string(b"key", b"0123456789", Some(5));
    entry.set_access(77);
    let address = entry.address();
    assert!(entry.overwrite(NewValue::Bytes(Kind::Embstr, b"987654"), Some(UnixMillis::new(6))).is_none());
    assert_eq!((entry.address(), bytes(&entry), entry.access()), (address, b"987654".as_slice(), 77));
    assert_eq!(entry.expiry(), Some(UnixMillis::new(6)));
    // Another class, no expiry: another allocation, the same word.
    assert!(entry.overwrite(NewValue::Bytes(Kind::Raw, &[1; 100]), None).is_some());
    assert_eq!((bytes(&entry), entry.access(), entry.expiry()), ([1; 100].as_slice(), 77, None));
}

#[test]
fn a_shared_entry_is_replaced_and_not_changed() {
    let mut entry = string(b"key", b"before", None);
    let seen = entry.clone();
    let replaced = entry.overwrite(NewValue::Bytes(Kind::Raw, b"after!"), None);
    assert!(replaced.is_some_and(|replaced| replaced.address() == seen.address()));
    assert_eq!((bytes(&seen), bytes(&entry)), (b"before".as_slice(), b"after!".as_slice()));
    assert!(!{ entry.clone() }.set_expiry_in_place(None), "not even an expiry");
}

#[test]
fn long_values_are_shared_by_copies_and_edited_apart() {
    let mut scratch = Vec::new();
    let mut entry = string(b"key", &[b'x'; 10_000], None);
    let copy = entry.copy_as(b"other", Some(UnixMillis::new(9)));
    assert_eq!(bytes(&copy).as_ptr(), bytes(&entry).as_ptr(), "one vector");
    let (_, len) = entry.edit_string(&mut scratch, |bytes| {
        bytes.push(b'y');
        bytes.len()
    });
    assert_eq!((len, bytes(&entry).len(), bytes(&copy).len()), (10_001, 10_001, 10_000));
    assert_eq!((copy.key(), copy.expiry()), (b"other".as_slice(), Some(UnixMillis::new(9))));
}

#[test]
fn appending_to_a_long_value_is_amortised() {
    let mut scratch = Vec::new();
    let mut entry = string(b"key", &[b'x'; 5_000], None);
    let mut moves = 0;
    for _ in 0..100_000 {
        let before = bytes(&entry).as_ptr();
        entry.edit_string(&mut scratch, |bytes| bytes.push(b'y'));
        moves += u32::from(bytes(&entry).as_ptr() != before);
    }
    assert!(moves < 10, "{moves} moves");
    assert_eq!(entry.bytes_used(), 32 + 48 + size_class(entry.long().capacity()));
    // Cut short it comes back into the entry.
    entry.edit_string(&mut scratch, |bytes| bytes.truncate(3));
    assert_eq!((bytes(&entry), entry.bytes_used()), (b"xxx".as_slice(), 32));
}

#[test]
fn long_over_long_uses_the_vector_again() {
    let mut entry = string(b"key", &[b'x'; 9_000], None);
    let address = bytes(&entry).as_ptr();
    assert!(entry.overwrite(NewValue::Bytes(Kind::Raw, &[b'y'; 8_000]), None).is_none());
    assert_eq!((bytes(&entry).as_ptr(), bytes(&entry)), (address, [b'y'; 8_000].as_slice()));
    let seen = entry.clone();
    assert!(entry.overwrite(NewValue::Bytes(Kind::Raw, &[b'z'; 8_500]), None).is_some());
    assert_eq!((bytes(&seen)[0], bytes(&entry)[0]), (b'y', b'z'));
}

#[test]
fn pieces_are_spliced_in_place_and_out_of_place() {
    let mut model = b"0123456789".to_vec();
    let mut entry = Entry::new(b"k", None, NewValue::Bytes(Kind::HashPacked, &model));
    let splices: [(std::ops::Range<usize>, &[&[u8]]); 5] =
        [(2..4, &[b"ab", b"c"]), (0..0, &[&[7; 200]]), (5..100, &[]), (1..2, &[b"", b"xyz"]), (0..50, &[])];
    for shared in [false, true] {
        for (range, parts) in splices.clone() {
            let range = range.start.min(model.len())..range.end.min(model.len());
            let seen = shared.then(|| (entry.clone(), model.clone()));
            entry.splice(range.clone(), parts);
            model.splice(range, parts.concat());
            assert_eq!(entry.inline(), model);
            assert!(seen.is_none_or(|(entry, model)| entry.inline() == model));
        }
    }
}
