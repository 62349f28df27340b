//! What a client sends. The body, which a test of the crate drives too, is in `rejoin_protocol::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_protocol::fuzzing::request(data));
