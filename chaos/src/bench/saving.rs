//! What BGSAVE costs: latencies of a probe before and during it while others write, memory, how long it takes; and how long
//! a start from its file does.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::load;
use super::table::median;
use crate::console::say;
use crate::replication::info_number;
use crate::servers::{Binary, Server};
use crate::wait;

const VALUE_BYTES: usize = 100;
/// What others write meanwhile.
const WRITES_PER_SECOND: u32 = 20_000;
const WRITE_PERIOD: Duration = Duration::from_millis(1);
/// Between two looks at the memory: each stops the process for a moment.
const MEMORY_PERIOD: Duration = Duration::from_millis(200);
const POLL_PERIOD: Duration = Duration::from_millis(20);

/// One BGSAVE.
struct Saved {
    p999_before_us: f64,
    p999_during_us: f64,
    worst_during_us: f64,
    seconds: f64,
    /// Memory at its peak as a share of that before.
    memory_ratio: f64,
}

/// Measures both servers and prints a line for each.
pub(super) fn compare(redis: &Binary, node: &Binary, keys: u64, rounds: u32) -> Result<()> {
    say(format_args!(
        "BGSAVE of {keys} keys of {VALUE_BYTES} B beside {WRITES_PER_SECOND} writes/s; median of {rounds}"
    ));
    say(format_args!(
        "{:<12}{:>14}{:>14}{:>10}{:>14}{:>10}{:>12}{:>12}{:>10}{:>10}",
        "",
        "p99.9 before",
        "p99.9 during",
        "ratio",
        "worst during",
        "save s",
        "memory peak",
        "memory MB",
        "file MB",
        "load s"
    ));
    for binary in [redis, node] {
        let mut server = Server::start(binary, &["--appendonly", "no"])?;
        load::preload(&server, &["set".to_owned()], keys, VALUE_BYTES)?;
        let memory = memory_of(server.pid())?;
        let mut saves = Vec::new();
        for round in 0..rounds.max(1) {
            saves.push(save_once(&server, keys, u64::from(round))?);
        }
        let file_bytes = fs::metadata(server.dir().join("dump.rdb")).context("looking at the file")?.len();
        let load_seconds = time_load(&mut server)?;
        let figure = |of: fn(&Saved) -> f64| median(saves.iter().map(of).collect());
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        say(format_args!(
            "{:<12}{:>14.0}{:>14.0}{:>10.2}{:>14.0}{:>10.2}{:>12.2}{:>12.0}{:>10.0}{:>10.2}",
            binary.to_string(),
            figure(|save| save.p999_before_us),
            figure(|save| save.p999_during_us),
            figure(|save| save.p999_during_us / save.p999_before_us),
            figure(|save| save.worst_during_us),
            figure(|save| save.seconds),
            figure(|save| save.memory_ratio),
            megabytes(memory),
            megabytes(file_bytes),
            load_seconds,
        ));
    }
    say("");
    Ok(())
}

fn save_once(server: &Server, keys: u64, seed: u64) -> Result<Saved> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| write_steadily(server, keys, seed, &stop));
        let outcome = measure(server, keys, seed);
        stop.store(true, Ordering::Relaxed);
        let written = writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?;
        written.context("writing")?;
        outcome
    })
}

fn measure(server: &Server, keys: u64, seed: u64) -> Result<Saved> {
    // As long as a save takes, so that both meet as many of the machine's own hiccups.
    let before = probe(server, keys, seed, || Ok(false), Duration::from_secs(3))?;
    let memory_before = memory_of(server.pid())?;
    let done = AtomicBool::new(false);
    let begun = Instant::now();
    server.client()?.ask(&["BGSAVE"])?;
    let (during, seconds, peak) = thread::scope(|scope| {
        let ended = scope.spawn(|| {
            let outcome = until_saved(server);
            done.store(true, Ordering::Relaxed);
            outcome.map(|()| begun.elapsed().as_secs_f64())
        });
        let peak = scope.spawn(|| peak_memory(server.pid(), &done));
        let is_done = || Ok(done.load(Ordering::Relaxed));
        let during = probe(server, keys, seed + 1000, is_done, wait::DEADLINE);
        let seconds = ended.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
        let peak = peak.join().map_err(|_| anyhow::anyhow!("the watcher of memory panicked"))?;
        anyhow::Ok((during?, seconds?, peak?))
    })?;
    Ok(Saved {
        p999_before_us: at(&before, 0.999),
        p999_during_us: at(&during, 0.999),
        worst_during_us: at(&during, 1.0),
        seconds,
        memory_ratio: peak.max(memory_before) as f64 / memory_before as f64,
    })
}

fn until_saved(server: &Server) -> Result<()> {
    while info_number(server, "persistence", "rdb_bgsave_in_progress")? == 1 {
        thread::sleep(POLL_PERIOD);
    }
    Ok(())
}

/// One SET at a time until it is over; sorted nanoseconds.
fn probe(
    server: &Server,
    keys: u64,
    seed: u64,
    is_over: impl Fn() -> Result<bool>,
    longest: Duration,
) -> Result<Vec<u128>> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut client = server.client()?;
    let value = load::value_of(VALUE_BYTES);
    let mut nanos = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < longest && !is_over()? {
        let key = format!("key:{:012}", random.random_range(0..keys));
        let asked = Instant::now();
        client.ask(&[&b"SET"[..], key.as_bytes(), &value])?;
        nanos.push(asked.elapsed().as_nanos());
    }
    ensure!(!nanos.is_empty(), "it was over before anything was asked");
    nanos.sort_unstable();
    Ok(nanos)
}

/// A share of sorted latencies, in microseconds.
fn at(nanos: &[u128], share: f64) -> f64 {
    nanos[((nanos.len() - 1) as f64 * share) as usize] as f64 / 1000.0
}

/// Writes as many keys each millisecond as make the rate; what is late is caught up.
fn write_steadily(server: &Server, keys: u64, seed: u64, stop: &AtomicBool) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
    let mut client = server.client()?;
    let value = load::value_of(VALUE_BYTES);
    let (begun, mut written) = (Instant::now(), 0_u64);
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * f64::from(WRITES_PER_SECOND)) as u64;
        let count = due.saturating_sub(written).min(1_000);
        for _ in 0..count {
            let key = format!("key:{:012}", random.random_range(0..keys));
            client.queue(&[&b"SET"[..], key.as_bytes(), &value]);
        }
        client.flush()?;
        client.skip_replies(count as usize)?;
        written += count;
        thread::sleep(WRITE_PERIOD);
    }
    Ok(())
}

/// The most that the process and its children together had.
fn peak_memory(pid: u32, done: &AtomicBool) -> Result<u64> {
    let mut peak = 0;
    while !done.load(Ordering::Relaxed) {
        peak = peak.max(memory_of(pid)?);
        thread::sleep(MEMORY_PERIOD);
    }
    Ok(peak)
}

/// Proportional memory of a process and its children: what a fork shares counts once.
fn memory_of(pid: u32) -> Result<u64> {
    let mut bytes = proportional(pid).context("reading the memory of a server")?;
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
        // One that has ended meanwhile has none.
        bytes += proportional(child).unwrap_or(0);
    }
    Ok(bytes)
}

fn proportional(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).context("no Pss")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kibibytes * 1024)
}

/// Ends the server without saving and starts it again; what it says that the load took.
fn time_load(server: &mut Server) -> Result<f64> {
    // The connection closes instead of a reply.
    let _ = server.client()?.call(&["SHUTDOWN", "NOSAVE"]);
    server.restart()?;
    let log = server.log_tail();
    let said = log.lines().rev().find_map(|line| line.split_once("DB loaded from disk: "));
    let (_, seconds) = said.context("it does not say how long the load took")?;
    seconds.trim_end_matches(" seconds").parse().context("reading how long the load took")
}
