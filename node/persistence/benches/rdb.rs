//! What a save and a load cost: time per key of 20 bytes with a value of 100, for five million of them, in memory. Run
//! with `cargo bench -p rejoin-persistence --bench rdb`, or with another number of keys behind `--`.
//!
//! The yardstick is what redis-server needs for the same data on the same machine: `cargo bench-beside` has it.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal")]

use std::time::Instant;

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions, Limits, StringForm};
use rejoin_persistence::rdb::{
    DecodeOptions, EncodeOptions, LocalFile, Worker, check, decode, decode_with_workers, encode,
};
use rejoin_protocol::{DbIndex, UnixMillis};

/// As the node does.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u32 = 5_000_000;

const ROUNDS: u32 = 3;

const SEED: HashSeed = HashSeed::new([1; 16]);

fn main() {
    let keys = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(KEYS);
    let mut keyspace = empty(SEED);
    for number in 0..keys {
        let name = format!("key:{number:016}");
        let value: Vec<u8> = (b'a'..=b'z').cycle().skip(number as usize % 26).step_by(7).take(100).collect();
        let key = keyspace.key(name.as_bytes());
        keyspace.database_mut(DbIndex::new(0)).put_string(key, &value, StringForm::Raw, None);
    }
    let usage = Some(AccessKind::Recency);
    let file = LocalFile { created: UnixMillis::new(0), memory_used: 0, is_aof_base: false, usage: None };
    let plain = EncodeOptions::for_file(file, None);
    let variants = [
        ("plain", plain),
        ("with IDLE", EncodeOptions { file: Some(LocalFile { usage, ..file }), ..plain }),
        ("without checksum", EncodeOptions { omits_checksum: true, ..plain }),
        ("LZF", EncodeOptions { compresses: true, ..plain }),
    ];
    let mut bytes = Vec::with_capacity(keys as usize * 140);
    for (name, options) in variants.iter().rev() {
        for _ in 0..ROUNDS {
            bytes.clear();
            let snapshot = keyspace.snapshot();
            measure(keys, &format!("save, {name}"), || encode(snapshot, options, &mut bytes).unwrap());
        }
        println!("{:>30} {} bytes", "", bytes.len());
        load(keys, name, &bytes);
    }
    drop(keyspace);
    measure(keys, "check, plain", || check(&mut bytes.as_slice(), &mut |_| {}).unwrap());
}

fn empty(seed: HashSeed) -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 16, seed })
}

/// In the order of the hash, and in one that has nothing to do with it: what a file of another server is like.
fn load(keys: u32, name: &str, bytes: &[u8]) {
    let options = DecodeOptions::for_file(Limits::default());
    let foreign = DecodeOptions { adopts_seed: false, ..options };
    let mut run = |worker: Worker| drop(std::thread::spawn(worker));
    for _ in 0..ROUNDS {
        let mut keyspace = empty(HashSeed::new([2; 16]));
        measure(keys, &format!("load with 2 workers, {name}"), || {
            decode_with_workers(&mut &*bytes, &mut keyspace, &options, 2, &mut run).unwrap()
        });
    }
    for (order, options) in [("in order", options), ("in no order", foreign)] {
        for _ in 0..ROUNDS {
            let mut keyspace = empty(HashSeed::new([2; 16]));
            measure(keys, &format!("load {order}, {name}"), || {
                decode(&mut &*bytes, &mut keyspace, &options).unwrap()
            });
            assert_eq!(keyspace.database(DbIndex::new(0)).len(), keys as usize);
        }
    }
}

fn measure<R>(keys: u32, what: &str, work: impl FnOnce() -> R) -> R {
    let begun = Instant::now();
    let result = work();
    let seconds = begun.elapsed().as_secs_f64();
    println!("{what:>30} {:6.1} ns per key, {seconds:.2} s", seconds * 1e9 / f64::from(keys));
    result
}
