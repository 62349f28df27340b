//! Snapshots as files: how long SAVE takes and how long a start on its file, and what clients and memory feel of a BGSAVE
//! while others write.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::in_memory;
use super::load::{pipelined, value_of};
use super::table::median;
use crate::client::Client;
use crate::console::say;
use crate::servers::{Binary, Server};

const VALUE_BYTES: usize = 100;

/// Writes per second beside a BGSAVE, and how many of them are sent at once.
const WRITES_PER_SECOND: u32 = 20_000;
const WRITES_AT_ONCE: u32 = 20;

/// How long latencies are measured before a BGSAVE.
const BEFORE: Duration = Duration::from_secs(3);

/// How often it is looked whether a BGSAVE goes on, and how much memory there is.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// What both servers say when they have loaded a file.
const LOADED: &str = "DB loaded from disk: ";

/// Measures both servers and prints them below each other.
pub(super) fn compare(redis: &Binary, node: &Binary, keys: u64, rounds: u32) -> Result<()> {
    say(format_args!(
        "an RDB file of {keys} keys of 20 B with values of {VALUE_BYTES} B; median of {rounds}"
    ));
    say(format_args!(
        "{:<12}{:>12}{:>10}{:>10}{:>10}{:>14}{:>16}{:>10}{:>12}",
        "", "compressed", "MB", "save s", "load s", "p99.9 us", "beside BGSAVE", "ratio", "memory +%"
    ));
    for compression in ["yes", "no"] {
        for binary in [redis, node] {
            let figures = measure(binary, keys, rounds, compression)?;
            say(format_args!(
                "{:<12}{compression:>12}{:>10.0}{:>10.2}{:>10.2}{:>14.0}{:>16.0}{:>10.2}{:>12.1}",
                binary.to_string(),
                figures.megabytes,
                figures.save_seconds,
                figures.load_seconds,
                figures.before_micros,
                figures.beside_micros,
                figures.beside_micros / figures.before_micros,
                figures.growth_percent,
            ));
        }
    }
    say("");
    Ok(())
}

struct Figures {
    megabytes: f64,
    save_seconds: f64,
    load_seconds: f64,
    before_micros: f64,
    beside_micros: f64,
    growth_percent: f64,
}

fn measure(binary: &Binary, keys: u64, rounds: u32, compression: &str) -> Result<Figures> {
    let settings = [in_memory(binary), &["--rdbcompression", compression]].concat();
    let mut server = Server::start(binary, &settings)?;
    let mut client = server.client()?;
    let value = value_of(VALUE_BYTES);
    pipelined(&mut client, keys, |client, n| client.queue(&[&b"SET"[..], &name_of(n), &value]))?;
    let (mut saves, mut loads) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        let begun = Instant::now();
        client.ask(&["SAVE"])?;
        saves.push(begun.elapsed().as_secs_f64());
        // Each load is that of a fresh process, whose hash is another.
        server.restart()?;
        client = server.client()?;
        loads.push(seconds_of_load(&server)?);
    }
    let bytes = fs::metadata(server.dir().join("dump.rdb")).context("looking at the file")?.len();
    let beside = beside_a_save(&server, keys)?;
    Ok(Figures {
        megabytes: bytes as f64 / 1e6,
        save_seconds: median(saves),
        load_seconds: median(loads),
        ..beside
    })
}

pub(super) fn name_of(number: u64) -> Vec<u8> {
    format!("key:{number:016}").into_bytes()
}

/// What the server's log says of its last load.
fn seconds_of_load(server: &Server) -> Result<f64> {
    let log = fs::read_to_string(server.log_path()).context("reading the log")?;
    let (_, behind) = log.rsplit_once(LOADED).context("the log says nothing of a load")?;
    let number = behind.split(' ').next().unwrap_or_default();
    number.parse().with_context(|| format!("'{number}' is no number of seconds"))
}

/// A client's latencies and the server's memory before and during a BGSAVE, while another client writes.
fn beside_a_save(server: &Server, keys: u64) -> Result<Figures> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| write_steadily(server, keys, &stop));
        let measured = before_and_beside(server, keys);
        stop.store(true, Ordering::Relaxed);
        match writing.join() {
            Ok(written) => written.context("writing")?,
            Err(_) => bail!("the thread that writes panicked"),
        }
        measured
    })
}

fn before_and_beside(server: &Server, keys: u64) -> Result<Figures> {
    let (is_over, is_saved) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe(server, keys, &is_over));
        // Each look at the memory holds the process up a little: as often as later.
        let begun = Instant::now();
        while begun.elapsed() < BEFORE {
            memory_of_all(server)?;
            thread::sleep(LOOK_PERIOD);
        }
        is_over.store(true, Ordering::Relaxed);
        let before = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        let memory = memory_of_all(server)?;
        let mut client = server.client()?;
        client.ask(&["BGSAVE"])?;
        let probing = scope.spawn(|| probe(server, keys, &is_saved));
        let mut peak = memory;
        while is_saving(&mut client)? {
            peak = peak.max(memory_of_all(server)?);
            thread::sleep(LOOK_PERIOD);
        }
        is_saved.store(true, Ordering::Relaxed);
        let beside = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        Ok(Figures {
            megabytes: 0.0,
            save_seconds: 0.0,
            load_seconds: 0.0,
            before_micros: before,
            beside_micros: beside,
            growth_percent: (peak as f64 / memory as f64 - 1.0) * 100.0,
        })
    })
}

fn is_saving(client: &mut Client) -> Result<bool> {
    let info = client.ask_text(&["INFO", "persistence"])?;
    Ok(info.contains("rdb_bgsave_in_progress:1"))
}

/// The 99.9th percentile of single GETs until told to stop, in microseconds.
fn probe(server: &Server, keys: u64, stop: &AtomicBool) -> Result<f64> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut client = server.client()?;
    let mut nanos = Vec::new();
    while !stop.load(Ordering::Relaxed) || nanos.is_empty() {
        let key = name_of(random.random_range(0..keys));
        let asked = Instant::now();
        client.ask(&[&b"GET"[..], &key])?;
        nanos.push(asked.elapsed().as_nanos());
    }
    nanos.sort_unstable();
    Ok(nanos[(nanos.len() - 1) * 999 / 1000] as f64 / 1000.0)
}

pub(super) fn write_steadily(server: &Server, keys: u64, stop: &AtomicBool) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(2);
    let mut client = server.client()?;
    let value = value_of(VALUE_BYTES);
    let period = Duration::from_secs(1) * WRITES_AT_ONCE / WRITES_PER_SECOND;
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..WRITES_AT_ONCE {
            let key = name_of(random.random_range(0..keys));
            client.queue(&[&b"SET"[..], &key, &value]);
        }
        client.flush()?;
        client.skip_replies(usize::try_from(WRITES_AT_ONCE)?)?;
        // One that is late does not catch up: a stall is not followed by a flood.
        next = (next + period).max(Instant::now());
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// Bytes of the server and its children, what they share counted once.
pub(super) fn memory_of_all(server: &Server) -> Result<u64> {
    let path = format!("/proc/{0}/task/{0}/children", server.pid());
    let children = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let mut sum = proportional(server.pid()).context("reading the server's memory")?;
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        // It may have ended meanwhile.
        sum += proportional(child).unwrap_or(0);
    }
    Ok(sum)
}

fn proportional(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).context("no Pss line")?;
    Ok(line.split_whitespace().nth(1).context("no number behind Pss")?.parse::<u64>()? * 1024)
}
