//! What an operator writes. The body, which a test of the crate drives too, is in `rejoin::config::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin::config::fuzzing::configuration(data));
