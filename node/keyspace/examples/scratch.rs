#![allow(clippy::all, clippy::print_stdout, missing_docs)]
use rejoin_keyspace::*;
use rejoin_protocol::{DbIndex, NextOffset};
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
#[global_allocator]
static A: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
fn t() -> u64 {
    let n = clock_gettime(ClockId::ThreadCPUTime);
    n.tv_sec as u64 * 1_000_000_000 + n.tv_nsec as u64
}
fn main() {
    let n: usize = std::env::args().nth(1).map_or(1_000_000, |s| s.parse().unwrap());
    let batch: usize = std::env::args().nth(2).map_or(32, |s| s.parse().unwrap());
    let db = DbIndex::new(0);
    let mut keys: Vec<[u8; 20]> = (0..n)
        .map(|i| {
            let mut b = [b'k'; 20];
            b[4..].copy_from_slice(format!("{i:016}").as_bytes());
            b
        })
        .collect();
    let mut x = 88172645463325252u64;
    let mut shuffle = |keys: &mut Vec<[u8; 20]>| {
        for i in (1..n).rev() {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            keys.swap(i, (x % (i as u64 + 1)) as usize);
        }
    };
    shuffle(&mut keys);
    let mut ks = Keyspace::new(KeyspaceOptions { databases: 1, seed: HashSeed::new([3; 16]) });
    for k in &keys {
        let k = ks.key(k);
        ks.database_mut(db).put_string(k, &[b'v'; 64], StringForm::Raw, None);
    }
    shuffle(&mut keys);
    let hashes: Vec<(DbIndex, KeyHash)> = keys.iter().map(|k| (db, ks.seed().hash(k))).collect();
    let mut out = [0u8; 64];
    for round in 0..4 {
        let mode = round;
        let mut times = [0u64; 6];
        // touch only
        let b = t();
        for h in hashes.chunks(batch) {
            ks.touch(h);
        }
        times[0] = t() - b;
        let b = t();
        for h in hashes.chunks(batch) {
            ks.touch(h);
            ks.touch(h);
        }
        times[1] = t() - b;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            ks.touch(h);
            for (h, k) in h.iter().zip(k) {
                if let Some(Value::Str(v, _)) =
                    ks.database(db).get(Key { bytes: k, hash: h.1 }).map(Entry::value)
                {
                    out.copy_from_slice(v);
                }
                black_box(&mut out);
            }
        }
        times[2] = t() - b;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            ks.touch(h);
            for _ in 0..2 {
                for (h, k) in h.iter().zip(k) {
                    if let Some(Value::Str(v, _)) =
                        ks.database(db).get(Key { bytes: k, hash: h.1 }).map(Entry::value)
                    {
                        out.copy_from_slice(v);
                    }
                    black_box(&mut out);
                }
            }
        }
        times[3] = t() - b;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            for (h, k) in h.iter().zip(k) {
                if let Some(Value::Str(v, _)) =
                    ks.database(db).get(Key { bytes: k, hash: h.1 }).map(Entry::value)
                {
                    out.copy_from_slice(v);
                }
                black_box(&mut out);
            }
        }
        times[4] = t() - b;
        let b = t();
        let mut i = 0;
        for _ in 0..n {
            let k = &keys[i];
            let key = ks.key(k);
            let mut z = 0;
            if let Some(Value::Str(v, _)) = ks.database(db).get(key).map(Entry::value) {
                out.copy_from_slice(v);
                z = v[63];
            }
            black_box(&mut out);
            i += usize::from(black_box(z) | 1) & 1;
        }
        times[5] = t() - b;
        let mut pos = 0;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            ks.touch(h);
            for (h, k) in h.iter().zip(k) {
                pos += 1;
                ks.set_position(NextOffset::new(pos));
                ks.database_mut(db).put_string(
                    Key { bytes: k, hash: h.1 },
                    &black_box([b'w'; 64]),
                    StringForm::Raw,
                    None,
                );
            }
        }
        let s1 = t() - b;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            ks.touch(h);
            for _ in 0..2 {
                for (h, k) in h.iter().zip(k) {
                    pos += 1;
                    ks.set_position(NextOffset::new(pos));
                    ks.database_mut(db).put_string(
                        Key { bytes: k, hash: h.1 },
                        &black_box([b'w'; 64]),
                        StringForm::Raw,
                        None,
                    );
                }
            }
        }
        let s2 = t() - b;
        let b = t();
        for (h, k) in hashes.chunks(batch).zip(keys.chunks(batch)) {
            for (h, k) in h.iter().zip(k) {
                pos += 1;
                ks.set_position(NextOffset::new(pos));
                ks.database_mut(db).put_string(
                    Key { bytes: k, hash: h.1 },
                    &black_box([b'w'; 64]),
                    StringForm::Raw,
                    None,
                );
            }
        }
        let s3 = t() - b;
        let f = |x: u64| x as f64 / n as f64;
        println!(
            "{mode}: touch {:.0} again {:.0} | touch+get {:.0} again {:.0} | get {:.0} dep {:.0} | touch+set {:.0} again {:.0} | set {:.0}",
            f(times[0]),
            f(times[1]) - f(times[0]),
            f(times[2]),
            f(times[3]) - f(times[2]),
            f(times[4]),
            f(times[5]),
            f(s1),
            f(s2) - f(s1),
            f(s3)
        );
    }
}
