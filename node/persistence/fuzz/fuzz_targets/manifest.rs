//! The manifest of a log. The body, which a test of the crate drives too, is in `rejoin_persistence::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_persistence::fuzzing::manifest(data));
