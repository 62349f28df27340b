//! A full sync between two servers of one kind, while others write: how long until the replica's link is up, and what
//! another client and the memory of the master feel of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::files::{memory_of_all, name_of, write_steadily};
use super::in_memory;
use super::load::{pipelined, value_of};
use super::table::median;
use crate::console::say;
use crate::replication::{SyncCounters, follow, info};
use crate::servers::{Binary, Server, ServerKind};

const VALUE_BYTES: usize = 100;

/// How long latencies are measured before a full sync.
const BEFORE: Duration = Duration::from_secs(2);

/// How often it is looked whether the link is up.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// How often the master's memory is looked at, which holds it up a little.
const MEMORY_PERIOD: Duration = Duration::from_millis(100);

/// From one look of the probe to the next.
const PROBE_PERIOD: Duration = Duration::from_millis(1);

/// How long a full sync may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures the node and the stock servers that are there, and prints them below each other, with the node's share of
/// the best stock time.
pub(super) fn compare(node: &Binary, keys: u64, rounds: u32, replicas: usize) -> Result<()> {
    say(format_args!(
        "full sync of {keys} keys of 20 B with values of {VALUE_BYTES} B to {replicas} replica(s) that arrive at once, \
         beside 20 k writes/s; median of {rounds}"
    ));
    say(format_args!(
        "{:<12}{:>12}{:>14}{:>14}{:>14}{:>14}{:>12}{:>12}",
        "", "link up s", "p99.9 us", "p99.9 syncing", "max us", "max syncing", "memory +%", "snapshots"
    ));
    let mut best_stock: Option<f64> = None;
    let stock = [ServerKind::Redis70, ServerKind::Valkey91].into_iter().map(Binary::stock);
    for binary in stock.filter_map(Result::ok).chain([node.clone()]) {
        let runs = (0..rounds.max(1))
            .map(|_| measure(&binary, keys, replicas))
            .collect::<Result<Vec<Figures>>>()
            .with_context(|| format!("measuring {binary}"))?;
        let figure = |of: fn(&Figures) -> f64| median(runs.iter().map(of).collect());
        let seconds = figure(|run| run.seconds);
        say(format_args!(
            "{:<12}{:>12.2}{:>14.0}{:>14.0}{:>14.0}{:>14.0}{:>12.1}{:>12.0}",
            binary.to_string(),
            seconds,
            figure(|run| run.before.p999),
            figure(|run| run.beside.p999),
            figure(|run| run.before.max),
            figure(|run| run.beside.max),
            figure(|run| run.growth_percent),
            figure(|run| run.snapshots),
        ));
        if binary.is_stock() {
            best_stock = Some(best_stock.map_or(seconds, |best| best.min(seconds)));
        } else if let Some(best) = best_stock {
            say(format_args!("share of the best stock time: {:.2}", seconds / best));
        }
    }
    say("");
    Ok(())
}

struct Figures {
    seconds: f64,
    before: Latencies,
    beside: Latencies,
    growth_percent: f64,
    /// How often the data was encoded, as far as the log tells.
    snapshots: f64,
}

/// In microseconds.
struct Latencies {
    p999: f64,
    max: f64,
}

fn measure(binary: &Binary, keys: u64, replicas: usize) -> Result<Figures> {
    let settings = [in_memory(binary), &["--repl-diskless-sync", "yes"]].concat();
    let master = Server::start(binary, &settings)?;
    let value = value_of(VALUE_BYTES);
    pipelined(&mut master.client()?, keys, |client, n| client.queue(&[&b"SET"[..], &name_of(n), &value]))?;
    let replicas =
        (0..replicas).map(|_| Server::start(binary, &settings)).collect::<Result<Vec<Server>>>()?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| write_steadily(&master, keys, &stop));
        let measured = before_and_beside(&master, &replicas, keys);
        stop.store(true, Ordering::Relaxed);
        match writing.join() {
            Ok(written) => written.context("writing")?,
            Err(_) => bail!("the thread that writes panicked"),
        }
        measured
    })
}

fn before_and_beside(master: &Server, replicas: &[Server], keys: u64) -> Result<Figures> {
    let (is_over, is_up) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe(master, keys, &is_over));
        let begun = Instant::now();
        while begun.elapsed() < BEFORE {
            memory_of_all(master)?;
            thread::sleep(MEMORY_PERIOD);
        }
        is_over.store(true, Ordering::Relaxed);
        let before = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        let memory = memory_of_all(master)?;
        let probing = scope.spawn(|| probe(master, keys, &is_up));
        let looking = scope.spawn(|| peak_memory(master, &is_up));
        let seconds = seconds_to_link_up(master, replicas);
        is_up.store(true, Ordering::Relaxed);
        let beside = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        let peak = looking.join().map_err(|_| anyhow::anyhow!("the look at memory panicked"))??;
        Ok(Figures {
            seconds: seconds?,
            before,
            beside,
            growth_percent: (peak as f64 / memory as f64 - 1.0) * 100.0,
            snapshots: snapshots_of(master)?,
        })
    })
}

/// Until the links of all are up.
fn seconds_to_link_up(master: &Server, replicas: &[Server]) -> Result<f64> {
    let begun = Instant::now();
    for replica in replicas {
        follow(replica, master.port())?;
    }
    for replica in replicas {
        loop {
            let fields = info(replica, "replication")?;
            if fields.get("master_link_status").is_some_and(|status| status == "up") {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "no link after {PATIENCE:?}: {}", replica.log_tail());
            thread::sleep(LOOK_PERIOD);
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let counters = SyncCounters::of(master)?;
    ensure!(counters.full == replicas.len() as u64, "expected one full sync for each replica: {counters}");
    Ok(seconds)
}

/// How many snapshots were begun, by what both say of it in their logs.
fn snapshots_of(master: &Server) -> Result<f64> {
    let log = std::fs::read_to_string(master.log_path()).context("reading the log")?;
    let said = ["Starting snapshot for SYNC", "Starting BGSAVE for SYNC"];
    Ok(said.iter().map(|words| log.matches(words).count()).sum::<usize>() as f64)
}

/// Single GETs, one in each millisecond, until told to stop: it looks, and is no load of its own.
fn probe(server: &Server, keys: u64, stop: &AtomicBool) -> Result<Latencies> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut client = server.client()?;
    let mut nanos = Vec::new();
    while !stop.load(Ordering::Relaxed) || nanos.is_empty() {
        let key = name_of(random.random_range(0..keys));
        let asked = Instant::now();
        client.ask(&[&b"GET"[..], &key])?;
        let took = asked.elapsed();
        nanos.push(took.as_nanos());
        thread::sleep(PROBE_PERIOD.saturating_sub(took));
    }
    nanos.sort_unstable();
    let micros = |at: usize| nanos[at] as f64 / 1000.0;
    Ok(Latencies { p999: micros((nanos.len() - 1) * 999 / 1000), max: micros(nanos.len() - 1) })
}

fn peak_memory(server: &Server, stop: &AtomicBool) -> Result<u64> {
    let mut peak = memory_of_all(server)?;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(MEMORY_PERIOD);
        peak = peak.max(memory_of_all(server)?);
    }
    Ok(peak)
}
