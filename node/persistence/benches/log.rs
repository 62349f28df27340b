//! What the shard pays for the log: nanoseconds of CPU per append of 100 bytes with a publish after every 32, alone and with
//! 16 cursors that read on two other threads. Run with `cargo bench -p rejoin-persistence --bench log`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rejoin_persistence::log::HotLog;
use rejoin_protocol::{ByteCount, Offset};

const APPENDS: u64 = 20_000_000;
const APPENDS_PER_PUBLISH: u64 = 32;
const READER_THREADS: usize = 2;

fn main() {
    for cursors in [0, 16] {
        let (nanos, bytes_read) = run(cursors);
        let gigabytes = bytes_read as f64 / 1e9;
        println!(
            "{cursors:>2} cursors: {nanos:6.1} ns of CPU per append of 100 B, {gigabytes:.1} GB read meanwhile"
        );
    }
}

/// CPU time of this thread, so that other programs on the machine do not count; wall time where Linux does not tell.
fn cpu_nanos() -> u64 {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    let wall = BEGUN.get_or_init(Instant::now).elapsed().as_nanos() as u64;
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    statistics.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(wall)
}

fn run(cursors: usize) -> (f64, u64) {
    let mut log = HotLog::new(Offset::ZERO, ByteCount::new(16 << 20));
    let done = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..READER_THREADS.min(cursors))
        .map(|_| {
            let (handle, done) = (log.handle(), Arc::clone(&done));
            thread::spawn(move || {
                let open = || handle.open_cursor(handle.visible().next()).ok();
                let mut open_cursors: Vec<_> =
                    std::iter::repeat_with(open).flatten().take(cursors / READER_THREADS).collect();
                let mut read = 0;
                while !done.load(Ordering::Relaxed) {
                    for cursor in &mut open_cursors {
                        loop {
                            let count = black_box(cursor.readable().unwrap()).len();
                            cursor.consume(count);
                            read += count as u64;
                            if count == 0 {
                                break;
                            }
                        }
                    }
                    // As a feeder does: a look now and then, not a spin.
                    thread::sleep(Duration::from_micros(500));
                }
                read
            })
        })
        .collect();
    let command = [b'x'; 100];
    let begun = cpu_nanos();
    for number in 1..=APPENDS {
        log.append(black_box(&command));
        if number.is_multiple_of(APPENDS_PER_PUBLISH) {
            log.publish();
        }
    }
    let nanos = (cpu_nanos() - begun) as f64 / APPENDS as f64;
    done.store(true, Ordering::Relaxed);
    (nanos, threads.into_iter().map(|thread| thread.join().unwrap()).sum())
}
