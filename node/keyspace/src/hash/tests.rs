//! The hash is part of what two nodes agree on: fixed vectors keep it from drifting.

use siphasher::sip::SipHasher13;

use super::*;

fn seed() -> HashSeed {
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = index as u8;
    }
    HashSeed::new(bytes)
}

#[test]
fn the_hash_is_siphash_1_3_of_the_plain_bytes() {
    let text: Vec<u8> = (0..100).map(|index| (index * 7) as u8).collect();
    for len in 0..=text.len() {
        let key = &text[..len];
        let expected = SipHasher13::new_with_key(&seed().bytes()).hash(key);
        assert_eq!(seed().hash(key).0, expected, "{len} bytes");
    }
}

#[test]
fn vectors_stay_what_they_are() {
    let vectors: [(&[u8], u64); 4] = [
        (b"", 0xabac_0158_050f_c4dc),
        (b"\x00", 0xc9f4_9bf3_7d57_ca93),
        (b"\x00\x01\x02\x03\x04\x05\x06\x07", 0x3690_9511_8d29_9a8e),
        (b"key:000000000001", 0x300f_0a27_054b_9afb),
    ];
    for (key, hash) in vectors {
        assert_eq!(seed().hash(key).0, hash, "{key:?}");
    }
}

#[test]
fn prefix_path_and_tag_come_from_different_bits() {
    let hash = KeyHash(0x0123_4567_89ab_cdef);
    assert_eq!(hash.prefix(), 0x0123);
    assert_eq!((0..9).map(|depth| hash.nibble(depth)).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(hash.tag(), 0xcdef);
    assert_eq!(hash.position(), 0x0123_4567_89ab);
}
