//! What a payload claims costs no memory: memory in use rises in proportion to the bytes that are really
//! there. Counted by the allocator, for every place at which a claim can be made.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use peak_alloc::PeakAlloc;
use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};
use rejoin_persistence::rdb::{DecodeOptions, check, decode};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The peak is the process's: one test at a time.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// The buffer of the reading end, the keyspace and what a few small keys take.
const BYTES_MAX: u64 = 600 * 1024;

/// Lengths and counts that nothing here can meet, in all the forms that they have.
const CLAIMS: [&[u8]; 6] = [
    b"\x7f\xff",
    b"\x80\x00\xff\xff\xff",
    b"\x80\xff\xff\xff\xff",
    b"\x81\x00\x00\x00\x00\xff\xff\xff\xff",
    b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\xc3\x05\x80\xff\xff\xff\xff",
];

/// Before each of these, a length or count is to come.
const BEFORE_CLAIMS: [&[u8]; 27] = [
    b"",
    b"\xfa",
    b"\xfa\x01a",
    b"\xf5",
    b"\xf7",
    b"\xf7\x01\x02\x01\x05",
    b"\xf3",
    b"\xfe",
    b"\xfb",
    b"\x00",
    b"\x00\x01k",
    b"\x00\x01k\xc3",
    b"\x00\x01k\xc3\x05",
    b"\x01\x01k",
    b"\x01\x01k\x02\x01a",
    b"\x02\x01k",
    b"\x03\x01k",
    b"\x04\x01k",
    b"\x05\x01k",
    b"\x07\x01k\x01\x05",
    b"\x0b\x01k",
    b"\x0e\x01k",
    b"\x0f\x01k",
    b"\x12\x01k",
    b"\x12\x01k\x01\x01",
    b"\x18\x01k\0\0\0\0\0\0\0\0",
    b"\x1b\x01k\0\0\0\0\0\0\0\0\0",
];

/// How far memory in use rose above where it was.
fn peak_of<R>(work: impl FnOnce() -> R) -> (R, u64) {
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    let result = work();
    (result, (ALLOCATOR.peak_usage() - before) as u64)
}

fn read(bytes: &[u8], options: &DecodeOptions<'_>) -> bool {
    let mut keyspace = Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([1; 16]) });
    decode(&mut &*bytes, &mut keyspace, options).is_ok()
}

#[test]
fn claims_cost_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let skipping = DecodeOptions { skips_unsupported: true, ..DecodeOptions::default() };
    for before in BEFORE_CLAIMS {
        for claim in CLAIMS {
            // What follows may be taken for anything.
            for rest in [[0_u8; 100], [1; 100], [0xff; 100]] {
                for magic in ["REDIS0015", "VALKEY080"] {
                    let bytes = [magic.as_bytes(), before, claim, &rest].concat();
                    let (is_ok, loaded) = peak_of(|| read(&bytes, &skipping));
                    let (_, checked) = peak_of(|| check(&mut bytes.as_slice(), &mut |_| {}).is_ok());
                    let place = || format!("{} {}", before.escape_ascii(), claim.escape_ascii());
                    assert!(!is_ok || rest[0] == 0xff, "{} is accepted", place());
                    assert!(loaded.max(checked) < BYTES_MAX, "{}: {loaded} and {checked} bytes", place());
                }
            }
        }
    }
}

#[test]
fn packed_values_that_lie_cost_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    // Sizes and counts in the headers of a ziplist, a listpack, an intset and a zipmap, each behind its type.
    let huge = [0xff, 0xff, 0xff, 0x7f];
    for (number, blob) in [
        (10, [&huge[..], &huge, b"\xfe\xff\x00\x01a\xff"].concat()),
        (13, [&b"\x10\0\0\0"[..], &huge, b"\xfe\xff\x00\x80\x7f\xff\xff\xff"].concat()),
        (16, [&b"\x0d\0\0\0\xfe\xff\xf0"[..], &huge, b"\x01\xff"].concat()),
        (17, [&huge[..], b"\xfe\xff\x01\x01\xff"].concat()),
        (20, [&b"\x0d\0\0\0\xfe\xff\xf0"[..], &huge, b"\x01\xff"].concat()),
        (11, [&b"\x08\0\0\0"[..], &huge, &[0; 16]].concat()),
        (9, [&b"\xfd\xfe"[..], &huge, b"abc"].concat()),
    ] {
        let bytes = [b"REDIS0012", &[number, 1, b'k', blob.len() as u8][..], &blob, &[0xff; 9]].concat();
        let (is_ok, allocated) = peak_of(|| read(&bytes, &DecodeOptions::default()));
        assert!(!is_ok && allocated < BYTES_MAX, "type {number}: {allocated} bytes");
    }
}

/// The most that compressed bytes can become is known before anything is allocated.
#[test]
fn compression_multiplies_by_no_more_than_it_can() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let bomb = [&b"\x00x"[..], &b"\xe0\xff\x00".repeat(10_000)].concat();
    let length = 1 + 264 * 10_000_u32;
    let string =
        [&b"\xc3\x80"[..], &(bomb.len() as u32).to_be_bytes(), &[0x80], &length.to_be_bytes(), &bomb]
            .concat();
    let bytes = [&b"REDIS0009\x00\x01k"[..], &string, b"\xff", &[0; 8]].concat();
    let (is_ok, allocated) = peak_of(|| read(&bytes, &DecodeOptions::default()));
    let length = u64::from(length);
    assert!(is_ok && (length..3 * length).contains(&allocated), "{allocated} bytes");
}
