//! An RDB file. The body, which a test of the crate drives too, is in `rejoin_persistence::rdb::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_persistence::rdb::fuzzing::decode_rdb(data));
