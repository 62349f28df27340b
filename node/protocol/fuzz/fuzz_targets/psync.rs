//! What masters and replicas say on a link. The body, which a test of the crate drives too, is in `rejoin_protocol::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rejoin_protocol::fuzzing::psync(data));
