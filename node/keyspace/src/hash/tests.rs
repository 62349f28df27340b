//! The hash is part of what two nodes agree on: fixed vectors keep it from drifting.

use super::*;

fn seed() -> HashSeed {
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = index as u8;
    }
    HashSeed::new(bytes)
}

/// SipHash-1-3 written out once more, plainly, so that the library is checked by something that is not it.
fn siphash_1_3(key: [u8; 16], bytes: &[u8]) -> u64 {
    fn round(v: &mut [u64; 4]) {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    }
    let half = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().unwrap());
    let (k0, k1) = (half(0), half(8));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().unwrap());
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    let mut last = [0; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    last[7] = bytes.len() as u8;
    let word = u64::from_le_bytes(last);
    v[3] ^= word;
    round(&mut v);
    v[0] ^= word;
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[test]
fn the_hash_is_siphash_1_3_of_the_plain_bytes() {
    let text: Vec<u8> = (0..100).map(|index| (index * 7) as u8).collect();
    for len in 0..text.len() {
        let key = &text[..len];
        assert_eq!(seed().hash(key).0, siphash_1_3(seed().bytes(), key), "{len} bytes");
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
