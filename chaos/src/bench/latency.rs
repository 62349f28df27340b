//! What a client feels of a snapshot: latencies of single SETs, alone and while replicas take full syncs one after
//! another.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::table::median;
use super::{in_memory, load};
use crate::console::say;
use crate::servers::{Binary, Server};

const VALUE_BYTES: usize = 64;
/// A replica over a link of about 32 MB/s: it reads this much, then rests.
const REPLICA_READ_BYTES: usize = 64 << 10;
const REPLICA_REST: Duration = Duration::from_millis(2);
/// How long a full sync may give nothing.
const REPLICA_PATIENCE: Duration = Duration::from_secs(30);

/// Measures both servers, and prints p99.9 with full syncs as a ratio to p99.9 without.
pub(super) fn compare(redis: &Binary, node: &Binary, keys: u64, rounds: u32, seconds: f64) -> Result<()> {
    say(format_args!("one client's SETs of {VALUE_BYTES} B, {keys} keys; median of {rounds} pairs of runs"));
    say(format_args!(
        "{:<12}{:>12}{:>12}{:>14}{:>14}{:>16}{:>12}",
        "", "p50 us", "p99.9 us", "p50 syncing", "p99.9 syncing", "p99.9 ratio", "full syncs"
    ));
    for binary in [redis, node] {
        let server =
            Server::start(binary, &[in_memory(binary), &["--repl-diskless-sync-delay", "0"]].concat())?;
        load::preload(&server, &["set".to_owned()], keys, VALUE_BYTES)?;
        let (mut alone, mut beside, mut syncs) = (Vec::new(), Vec::new(), 0);
        for round in 0..rounds.max(1) {
            let length = Duration::from_secs_f64(seconds);
            alone.push(latencies(&server, keys, length, u64::from(round))?);
            let (measured, done) = beside_full_syncs(&server, keys, length, u64::from(round))?;
            beside.push(measured);
            syncs += done;
        }
        let figure = |runs: &[Latencies], of: fn(&Latencies) -> f64| median(runs.iter().map(of).collect());
        let ratios = alone.iter().zip(&beside).map(|(alone, beside)| beside.p999 / alone.p999).collect();
        say(format_args!(
            "{:<12}{:>12.0}{:>12.0}{:>14.0}{:>14.0}{:>16.2}{:>12}",
            binary.to_string(),
            figure(&alone, |run| run.p50),
            figure(&alone, |run| run.p999),
            figure(&beside, |run| run.p50),
            figure(&beside, |run| run.p999),
            median(ratios),
            syncs,
        ));
    }
    say("");
    Ok(())
}

/// In microseconds.
struct Latencies {
    p50: f64,
    p999: f64,
}

/// One SET at a time for `length`.
fn latencies(server: &Server, keys: u64, length: Duration, seed: u64) -> Result<Latencies> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut client = server.client()?;
    let value = load::value_of(VALUE_BYTES);
    let mut nanos = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < length {
        let key = format!("key:{:012}", random.random_range(0..keys));
        let asked = Instant::now();
        client.ask(&[&b"SET"[..], key.as_bytes(), &value])?;
        nanos.push(asked.elapsed().as_nanos());
    }
    nanos.sort_unstable();
    let at = |share: f64| nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    Ok(Latencies { p50: at(0.5), p999: at(0.999) })
}

/// The same while a replica takes one full sync after another; how many there were.
fn beside_full_syncs(server: &Server, keys: u64, length: Duration, seed: u64) -> Result<(Latencies, u64)> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let syncing = scope.spawn(|| full_syncs(server.port(), &stop));
        let measured = latencies(server, keys, length, seed);
        stop.store(true, Ordering::Relaxed);
        let syncs = match syncing.join() {
            Ok(syncs) => syncs.context("taking full syncs")?,
            Err(_) => bail!("the thread that takes full syncs panicked"),
        };
        ensure!(syncs > 0, "no full sync began while latencies were measured");
        Ok((measured?, syncs))
    })
}

/// Takes full syncs until told to stop; how many began.
fn full_syncs(port: u16, stop: &AtomicBool) -> Result<u64> {
    let mut begun = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(REPLICA_PATIENCE))?;
        // One after the other: redis-server refuses a PSYNC that comes while a reply is on its way.
        stream.write_all(b"REPLCONF capa eof capa psync2\r\n")?;
        let mut ok = [0; 5];
        stream.read_exact(&mut ok)?;
        ensure!(&ok == b"+OK\r\n", "REPLCONF was refused");
        stream.write_all(b"PSYNC ? -1\r\n")?;
        if take_payload(&mut stream, stop)? {
            begun += 1;
        }
    }
    Ok(begun)
}

/// Reads a payload to its end, slowly; whether it has begun.
fn take_payload(stream: &mut TcpStream, stop: &AtomicBool) -> Result<bool> {
    const EOF: &[u8] = b"$EOF:";
    const MARK_BYTES: usize = 40;
    let mut chunk = vec![0; REPLICA_READ_BYTES];
    let mut tail: Vec<u8> = Vec::new();
    let mut mark: Option<Vec<u8>> = None;
    while !stop.load(Ordering::Relaxed) {
        let count = stream.read(&mut chunk).context("reading the payload")?;
        ensure!(count > 0, "the server ended the full sync");
        tail.extend_from_slice(&chunk[..count]);
        if mark.is_none() {
            let at = tail.windows(EOF.len()).position(|window| window == EOF).map(|at| at + EOF.len());
            if let Some(found) = at.and_then(|at| tail.get(at..at + MARK_BYTES)) {
                mark = Some(found.to_vec());
                tail.clear();
            }
        } else if mark.as_ref().is_some_and(|mark| tail.windows(MARK_BYTES).any(|window| window == mark)) {
            return Ok(true);
        }
        let surplus = tail.len().saturating_sub(2 * MARK_BYTES);
        tail.drain(..surplus);
        thread::sleep(REPLICA_REST);
    }
    Ok(mark.is_some())
}
