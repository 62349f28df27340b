//! How fast the scanner walks through a log of SETs, in pieces of 256 KiB. Run with
//! `cargo bench -p rejoin-persistence --bench aof`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal")]

use std::time::Instant;

use rejoin_persistence::aof::Scanner;
use rejoin_protocol::resp::encode_command;

const LOG_BYTES: usize = 256 << 20;
const PIECE_BYTES: usize = 256 << 10;

fn main() {
    for value_bytes in [8, 64, 100, 1000, 100_000] {
        let mut log = Vec::with_capacity(LOG_BYTES + 2 * value_bytes);
        let mut number: u64 = 0;
        while log.len() < LOG_BYTES {
            let key = format!("key:{number:016}");
            let value = vec![b'v'; value_bytes];
            encode_command(&mut log, &[&b"SET"[..], key.as_bytes(), &value]);
            number += 1;
        }
        let mut best = f64::MAX;
        for _ in 0..3 {
            let mut scanner = Scanner::new(0);
            let begun = Instant::now();
            log.chunks(PIECE_BYTES).for_each(|piece| scanner.push(piece).unwrap());
            best = best.min(begun.elapsed().as_secs_f64());
            assert_eq!((scanner.commands(), scanner.border()), (number, log.len() as u64));
        }
        let speed = log.len() as f64 / best / 1e9;
        let nanos = best * 1e9 / number as f64;
        println!("SET of {value_bytes:>6} B: {speed:6.2} GB/s, {nanos:8.1} ns a command");
    }
}
