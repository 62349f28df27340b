//! What the keyspace costs: batches against single lookups, snapshots, writes beside a snapshot, bytes per key.
//!
//! `cargo bench -p rejoin-keyspace` runs all parts; `-- batches`, `-- snapshots`, `-- collections` or `-- memory` one of
//! them. The node runs jemalloc with huge pages: set `_RJEM_MALLOC_CONF=thp:always` to measure as it does.

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rejoin_keyspace::{
    Database, HashLimits, HashSeed, Key, KeyHash, Keyspace, KeyspaceOptions, ListLimits, SetLimits,
    SortedSetLimits, StringForm, Value,
};
use rejoin_protocol::{DbIndex, NextOffset, UnixMillis};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEY_BYTES: usize = 20;
const VALUE_BYTES: usize = 64;
const BATCH: usize = 32;
const DB: DbIndex = DbIndex::new(0);

type KeyBytes = [u8; KEY_BYTES];

fn main() {
    let chosen: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    if let [part, count, kind] = chosen.as_slice()
        && part == "memory-of"
    {
        return memory_of(count.parse().unwrap_or(1), kind);
    }
    let runs = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    if runs("batches") {
        batches(1_000_000);
        batches(5_000_000);
    }
    if runs("snapshots") {
        snapshots(5_000_000, 1_000_000);
    }
    if runs("collections") {
        collections(1_000_000);
    }
    if runs("memory") {
        memory();
    }
}

#[expect(clippy::print_stdout, reason = "what a benchmark is for")]
fn report(line: &str) {
    println!("{line}");
}

/// A small generator: the numbers need no more than spread.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn key_bytes(number: usize) -> KeyBytes {
    let mut bytes = *b"key:0000000000000000";
    bytes[4..].copy_from_slice(format!("{number:016}").as_bytes());
    bytes
}

/// The keys of the given numbers in random order.
fn shuffled_keys(count: usize) -> Vec<KeyBytes> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut keys: Vec<KeyBytes> = (0..count).map(key_bytes).collect();
    for at in (1..count).rev() {
        keys.swap(at, (random.next() % (at as u64 + 1)) as usize);
    }
    keys
}

fn empty_keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new(*b"sixteen bytes ok") })
}

fn fill(count: usize, expiry: impl Fn(usize) -> Option<UnixMillis>) -> Keyspace {
    let mut keyspace = empty_keyspace();
    for (number, bytes) in shuffled_keys(count).iter().enumerate() {
        let key = keyspace.key(bytes);
        keyspace.database_mut(DB).put_string(key, &[b'v'; VALUE_BYTES], StringForm::Raw, expiry(number));
    }
    keyspace
}

fn read(database: &Database, key: Key<'_>, reply: &mut [u8; VALUE_BYTES]) {
    if let Some(Value::Str(bytes, _)) = database.get(key).map(rejoin_keyspace::Entry::value) {
        reply.copy_from_slice(bytes);
    }
    black_box(reply);
}

fn write(keyspace: &mut Keyspace, key: Key<'_>, position: u64) {
    keyspace.set_position(NextOffset::new(position));
    let value = black_box([b'w'; VALUE_BYTES]);
    keyspace.database_mut(DB).put_string(key, &value, StringForm::Raw, None);
}

/// Mean nanoseconds of CPU for each of `count` operations; the best of five rounds.
fn best_nanos(count: usize, mut round: impl FnMut()) -> f64 {
    let mut best = u64::MAX;
    for _ in 0..5 {
        let begin = thread_nanos();
        round();
        best = best.min(thread_nanos() - begin);
    }
    best as f64 / count as f64
}

/// Calls `execute` for each key, after a whole batch has been hashed and touched.
fn in_batches(keyspace: &mut Keyspace, keys: &[KeyBytes], mut execute: impl FnMut(&mut Keyspace, Key<'_>)) {
    let mut places = [(DB, keyspace.seed().hash(b"")); BATCH];
    for batch in keys.chunks(BATCH) {
        for (place, bytes) in places.iter_mut().zip(batch) {
            place.1 = keyspace.seed().hash(bytes);
        }
        keyspace.touch(&places[..batch.len()]);
        for ((_, hash), bytes) in places.iter().zip(batch) {
            execute(keyspace, Key { bytes, hash: *hash });
        }
    }
}

fn batches(count: usize) {
    let mut keyspace = fill(count, |_| None);
    let keys = shuffled_keys(count);
    let mut reply = [0; VALUE_BYTES];
    let hashing = best_nanos(count, || {
        for bytes in &keys {
            black_box::<KeyHash>(keyspace.seed().hash(bytes));
        }
    });
    let get_single = best_nanos(count, || {
        for bytes in &keys {
            let key = keyspace.key(bytes);
            read(keyspace.database(DB), key, &mut reply);
        }
    });
    let get_batch = best_nanos(count, || {
        in_batches(&mut keyspace, &keys, |keyspace, key| read(keyspace.database(DB), key, &mut reply));
    });
    let mut position = 0;
    let set_single = best_nanos(count, || {
        for bytes in &keys {
            position += 100;
            let key = keyspace.key(bytes);
            write(&mut keyspace, key, position);
        }
    });
    let set_batch = best_nanos(count, || {
        in_batches(&mut keyspace, &keys, |keyspace, key| {
            position += 100;
            write(keyspace, key, position);
        });
    });
    report(&format!("{count} random keys of {KEY_BYTES} B, values of {VALUE_BYTES} B; ns per operation"));
    report(&format!("  hash alone {hashing:.0}"));
    let line = |name: &str, single: f64, batch: f64| {
        report(&format!(
            "  {name}: one by one {single:.0}, batches of {BATCH} {batch:.0}, ratio {:.1}",
            single / batch
        ));
    };
    line("get", get_single, get_batch);
    line("set", set_single, set_batch);
}

/// Nanoseconds of CPU that this thread has used.
fn thread_nanos() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Runs `operation` many times and prints how its times in thread CPU are distributed.
fn distribution(name: &str, rounds: usize, mut operation: impl FnMut(usize)) {
    let mut nanos: Vec<u64> = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let begin = thread_nanos();
        operation(round);
        nanos.push(thread_nanos() - begin);
    }
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    report(&format!(
        "  {name}: p50 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} us",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    ));
}

fn set_field(keyspace: &mut Keyspace, name: &[u8], field: &[u8], value: &[u8]) {
    let key = keyspace.key(name);
    if let Some(mut hash) = keyspace.database_mut(DB).hash_mut(key, HashLimits::default()) {
        hash.set(field, value);
    }
}

fn snapshots(count: usize, fields: usize) {
    let mut keyspace = fill(count, |_| None);
    for field in shuffled_keys(fields) {
        set_field(&mut keyspace, b"large hash", &field, &[b'v'; VALUE_BYTES]);
    }
    let keys = shuffled_keys(count);
    let field_keys = shuffled_keys(fields);
    report(&format!("{count} keys and a hash of {fields} fields"));
    let mut begins: Vec<f64> = (0..100)
        .map(|_| {
            let begin = Instant::now();
            let image = keyspace.snapshot();
            let micros = begin.elapsed().as_nanos() as f64 / 1000.0;
            drop(image);
            micros
        })
        .collect();
    begins.sort_by(f64::total_cmp);
    report(&format!("  a snapshot begins in {:.2} us, at most {:.2} us", begins[50], begins[99]));
    distribution("the clock itself", 200_000, |_| {});
    let mut position = 0;
    let mut set = |keyspace: &mut Keyspace, round: usize| {
        position += 100;
        let key = keyspace.key(&keys[round]);
        write(keyspace, key, position);
    };
    let rounds = 200_000;
    distribution("SET, no snapshot", rounds, |round| set(&mut keyspace, round));
    distribution("HSET, no snapshot", rounds, |round| {
        set_field(&mut keyspace, b"large hash", &field_keys[round], &[b'w'; VALUE_BYTES]);
    });
    while_scanned(&mut keyspace, &mut |keyspace| {
        distribution("SET beside a snapshot", rounds, |round| set(keyspace, round));
        report(&format!("  copied: {} MB", keyspace.bytes_copied_for_snapshots() >> 20));
    });
    while_scanned(&mut keyspace, &mut |keyspace| {
        distribution("HSET beside a snapshot", rounds, |round| {
            set_field(keyspace, b"large hash", &field_keys[round], &[b'w'; VALUE_BYTES]);
        });
        report(&format!("  copied: {} MB", keyspace.bytes_copied_for_snapshots() >> 20));
    });
    let image = keyspace.snapshot();
    let begin = Instant::now();
    let mut entries = 0;
    for (_, database) in image.into_databases() {
        let walked = database.drain::<()>(&mut |_| {
            entries += 1;
            Ok(())
        });
        black_box(walked).unwrap_or_default();
    }
    let nanos = begin.elapsed().as_nanos() as f64 / f64::from(entries);
    report(&format!("  draining a snapshot: {nanos:.0} ns per entry"));
}

/// Calls `writes` while another thread walks a snapshot again and again, which is never given back until they are done.
fn while_scanned(keyspace: &mut Keyspace, writes: &mut dyn FnMut(&mut Keyspace)) {
    let image = keyspace.snapshot();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let databases = image.into_databases();
            let mut bytes = 0;
            while !done.load(Ordering::Relaxed) {
                for (_, database) in &databases {
                    database.for_each(&mut |entry| {
                        if !done.load(Ordering::Relaxed) {
                            bytes += entry.key().len() + scan_value(entry);
                        }
                    });
                }
            }
            black_box(bytes);
        });
        writes(keyspace);
        done.store(true, Ordering::Relaxed);
    });
}

/// One write into a large collection: which member of it, and a number that differs each time.
type CollectionWrite = fn(&mut Keyspace, Key<'_>, &KeyBytes, usize);

/// Single writes into a set, a sorted set and a list of `count` members, without and beside a snapshot.
fn collections(count: usize) {
    let members = shuffled_keys(count);
    let parts: [(&str, CollectionWrite, CollectionWrite); 3] = [
        ("SADD, SREM", add_to_set, exchange_in_set),
        ("ZADD", set_score, set_score),
        ("LSET", push_to_list, set_in_list),
    ];
    for (name, fill, write) in parts {
        let mut keyspace = empty_keyspace();
        let key = keyspace.key(b"large");
        for (number, member) in members.iter().enumerate() {
            fill(&mut keyspace, key, member, number);
        }
        let rounds = 200_000;
        let mut number = count;
        let mut write_all = |keyspace: &mut Keyspace, label: &str| {
            distribution(label, rounds, |round| {
                number += 1;
                keyspace.set_position(NextOffset::new(number as u64));
                write(keyspace, key, &members[round], number);
            });
        };
        report(&format!("a collection of {count} members"));
        write_all(&mut keyspace, &format!("{name}, no snapshot"));
        while_scanned(&mut keyspace, &mut |keyspace| {
            write_all(keyspace, &format!("{name} beside a snapshot"));
            report(&format!("  copied: {} MB", keyspace.bytes_copied_for_snapshots() >> 20));
        });
    }
}

fn add_to_set(keyspace: &mut Keyspace, key: Key<'_>, member: &KeyBytes, _: usize) {
    if let Some(mut set) = keyspace.database_mut(DB).set_mut(key, SetLimits::default()) {
        set.add(member);
    }
}

/// Takes a member out, or puts it back.
fn exchange_in_set(keyspace: &mut Keyspace, key: Key<'_>, member: &KeyBytes, _: usize) {
    if let Some(mut set) = keyspace.database_mut(DB).set_mut(key, SetLimits::default())
        && !set.remove(member)
    {
        set.add(member);
    }
}

/// Gives a member a score far from the one it had.
fn set_score(keyspace: &mut Keyspace, key: Key<'_>, member: &KeyBytes, number: usize) {
    let score = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    if let Some(mut set) = keyspace.database_mut(DB).sorted_set_mut(key, SortedSetLimits::default()) {
        set.set(member, score as f64);
    }
}

fn push_to_list(keyspace: &mut Keyspace, key: Key<'_>, element: &KeyBytes, _: usize) {
    if let Some(mut list) = keyspace.database_mut(DB).list_mut(key, ListLimits::default()) {
        list.push_back(element);
        list.settle();
    }
}

/// Exchanges an element anywhere.
fn set_in_list(keyspace: &mut Keyspace, key: Key<'_>, element: &KeyBytes, number: usize) {
    if let Some(mut list) = keyspace.database_mut(DB).list_mut(key, ListLimits::default()) {
        let place = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
        list.set(place as usize % list.view().len(), element);
    }
}

fn scan_value(entry: &rejoin_keyspace::Entry) -> usize {
    match entry.value() {
        Value::Int(value) => value as usize & 1,
        Value::Str(bytes, _) => usize::from(bytes[bytes.len() / 2]),
        Value::List(view) => view.len(),
        Value::Hash(view) => view.iter().map(|(field, value)| field.len() + usize::from(value[0])).sum(),
        Value::Set(view) => view.iter().map(|member| member.len()).sum(),
        Value::SortedSet(view) => {
            view.iter().map(|(member, score)| member.len() + usize::from(score > 0.0)).sum()
        }
    }
}

/// Bytes of this process in memory.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Each count and kind of expiry in a process of its own, so that none inherits another's heap.
fn memory() {
    report(&format!("bytes per key ({KEY_BYTES} B key, {VALUE_BYTES} B value)"));
    let Ok(program) = std::env::current_exe() else { return };
    for count in [500_000, 700_000, 1_000_000, 1_400_000, 2_000_000, 3_000_000, 5_000_000] {
        for kind in ["none", "rising", "scattered"] {
            let run = Command::new(&program).args(["memory-of", &count.to_string(), kind]).status();
            assert!(run.is_ok_and(|status| status.success()), "the measuring process failed");
        }
    }
}

fn memory_of(count: usize, kind: &str) {
    let expiry = |number: usize| match kind {
        "rising" => Some(UnixMillis::new(1_700_000_000_000 + number as i64)),
        "scattered" => {
            let scattered = (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
            Some(UnixMillis::new(1_700_000_000_000 + scattered as i64))
        }
        _ => None,
    };
    let keys = shuffled_keys(count);
    let before = resident_bytes();
    let mut keyspace = empty_keyspace();
    for (number, bytes) in keys.iter().enumerate() {
        let key = keyspace.key(bytes);
        keyspace.database_mut(DB).put_string(key, &[b'v'; VALUE_BYTES], StringForm::Raw, expiry(number));
    }
    let resident = resident_bytes().saturating_sub(before) as f64 / count as f64;
    let counted = keyspace.bytes_used() as f64 / count as f64;
    let index = keyspace.database(DB).expiry_bytes_used() as f64 / count as f64;
    report(&format!(
        "  {count} keys, expiries {kind}: counted {counted:.1}, resident {resident:.1}, the index {index:.1}"
    ));
}
