//! What a save and a load cost: time per key of 20 bytes with a value of 100, for a million of them. Run with
//! `cargo bench -p rejoin-persistence --bench rdb`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal")]

use std::time::Instant;

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, StringForm};
use rejoin_persistence::rdb::{DecodeOptions, EncodeOptions, RdbTarget, decode, encode};
use rejoin_protocol::DbIndex;

const KEYS: u32 = 1_000_000;

fn main() {
    let options = KeyspaceOptions { databases: 16, seed: HashSeed::new([1; 16]) };
    let mut keyspace = Keyspace::new(options);
    for number in 0..KEYS {
        let name = format!("key:{number:016}");
        let key = keyspace.key(name.as_bytes());
        keyspace.database_mut(DbIndex::new(0)).put_string(key, &[b'x'; 100], StringForm::Raw, None);
    }
    let mut bytes = Vec::with_capacity(200 << 20);
    for _ in 0..3 {
        bytes.clear();
        let snapshot = keyspace.snapshot();
        let begun = Instant::now();
        encode(snapshot, &EncodeOptions::for_target(RdbTarget { psync2: true }, None), &mut bytes).unwrap();
        report("encode", begun, bytes.len());
        let mut loaded = Keyspace::new(options);
        let begun = Instant::now();
        decode(&mut bytes.as_slice(), &mut loaded, &DecodeOptions::default()).unwrap();
        report("decode", begun, bytes.len());
    }
}

fn report(what: &str, begun: Instant, bytes: usize) {
    let seconds = begun.elapsed().as_secs_f64();
    let (nanos, speed) = (seconds * 1e9 / f64::from(KEYS), bytes as f64 / 1e6 / seconds);
    println!("{what}: {nanos:6.1} ns per key, {speed:6.0} MB/s");
}
