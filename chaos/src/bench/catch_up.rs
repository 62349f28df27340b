//! A replica that was away: how fast it catches up once it is back, and which resync that took. Both servers of a pair are
//! of one kind.
//!
//! The replica is stopped (SIGSTOP) and its link closed by the master, so nothing stands between the two that would cost
//! time of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rustix::process::Signal;

use super::load::{pipelined, value_of};
use crate::console::say;
use crate::replication::{SyncCounters, follow, info, info_number, wait_for_equal_offsets};
use crate::servers::{Binary, Server, ServerKind};

const VALUE_BYTES: usize = 64;

/// Keys that the writes go to.
const KEYS: u64 = 1_000_000;

/// How long a replica may take to catch up.
const PATIENCE: Duration = Duration::from_secs(600);

const LOOK_PERIOD: Duration = Duration::from_millis(10);

/// How long latencies are measured before the replica comes back.
const BEFORE: Duration = Duration::from_secs(2);

/// What is written while a replica is away.
#[derive(Clone, Copy)]
pub(super) struct Absence {
    /// Bytes of the stream.
    pub(super) bytes: u64,
    /// `repl-backlog-size`.
    pub(super) backlog: &'static str,
    /// What it is to show.
    pub(super) title: &'static str,
}

/// Measures the node beside redis-server and prints both.
pub(super) fn compare(node: &Binary, absence: Absence, on_disk: bool) -> Result<()> {
    say(format_args!(
        "{}: {} MB of SETs of {VALUE_BYTES} B written meanwhile, repl-backlog-size {}",
        absence.title,
        absence.bytes / 1_000_000,
        absence.backlog
    ));
    say(format_args!(
        "{:<12}{:>10}{:>12}{:>14}{:>18}   {}",
        "", "seconds", "MB/s", "p99.9 us", "p99.9 catching up", "resyncs"
    ));
    let mut rates = Vec::new();
    for binary in [Binary::stock(ServerKind::Redis70)?, node.clone()] {
        let figures = measure(&binary, absence, on_disk).with_context(|| format!("measuring {binary}"))?;
        let rate = absence.bytes as f64 / 1e6 / figures.seconds;
        say(format_args!(
            "{:<12}{:>10.2}{:>12.0}{:>14.0}{:>18.0}   {}",
            binary.to_string(),
            figures.seconds,
            rate,
            figures.before_micros,
            figures.beside_micros,
            figures.resyncs,
        ));
        rates.push(rate);
    }
    if let [stock, own] = rates.as_slice() {
        say(format_args!("the node's rate as a multiple of redis-server's: {:.2}", own / stock));
    }
    say("");
    Ok(())
}

struct Figures {
    seconds: f64,
    before_micros: f64,
    beside_micros: f64,
    resyncs: SyncCounters,
}

fn measure(binary: &Binary, absence: Absence, on_disk: bool) -> Result<Figures> {
    let own: &[&str] = match (binary.is_stock(), on_disk) {
        (true, _) => &["--appendonly", "no"],
        (false, true) => &["--appendonly", "no", "--repl-history", "yes"],
        (false, false) => &["--appendonly", "no", "--repl-history", "no"],
    };
    let settings = [own, &["--repl-backlog-size", absence.backlog]].concat();
    let master = Server::start(binary, &settings)?;
    let replica = Server::start(binary, &settings)?;
    follow(&replica, master.port())?;
    wait_for_equal_offsets(&master, &replica)?;
    replica.signal(Signal::STOP)?;
    master.client()?.ask(&["CLIENT", "KILL", "TYPE", "replica"])?;
    write(&master, absence.bytes)?;
    let (is_over, is_back) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let probing = scope.spawn(|| probe(&master, &is_over));
        thread::sleep(BEFORE);
        is_over.store(true, Ordering::Relaxed);
        let before_micros = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        let probing = scope.spawn(|| probe(&master, &is_back));
        let seconds = catch_up(&master, &replica);
        is_back.store(true, Ordering::Relaxed);
        let beside_micros = probing.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        Ok(Figures { seconds: seconds?, before_micros, beside_micros, resyncs: SyncCounters::of(&master)? })
    })
}

/// Random SETs until the stream is longer by so many bytes.
fn write(master: &Server, bytes: u64) -> Result<()> {
    const AT_ONCE: u64 = 100_000;
    let mut random = SmallRng::seed_from_u64(3);
    let mut client = master.client()?;
    let value = value_of(VALUE_BYTES);
    let offset = || info_number(master, "replication", "master_repl_offset");
    let end = offset()? + bytes;
    while offset()? < end {
        pipelined(&mut client, AT_ONCE, |client, _| {
            let key = format!("key:{:012}", random.random_range(0..KEYS));
            client.queue(&[&b"SET"[..], key.as_bytes(), &value]);
        })?;
    }
    Ok(())
}

/// Lets the replica go on; how long until it has what the master has.
fn catch_up(master: &Server, replica: &Server) -> Result<f64> {
    let end = info_number(master, "replication", "master_repl_offset")?;
    let begun = Instant::now();
    replica.signal(Signal::CONT)?;
    loop {
        let fields = info(replica, "replication")?;
        let offset = fields.get("slave_repl_offset").and_then(|offset| offset.parse::<u64>().ok());
        if offset.is_some_and(|offset| offset >= end)
            && fields.get("master_link_status").is_some_and(|status| status == "up")
        {
            return Ok(begun.elapsed().as_secs_f64());
        }
        ensure!(begun.elapsed() < PATIENCE, "not there after {PATIENCE:?}: {}", replica.log_tail());
        thread::sleep(LOOK_PERIOD);
    }
}

/// The 99.9th percentile of single GETs until told to stop, in microseconds.
fn probe(server: &Server, stop: &AtomicBool) -> Result<f64> {
    let mut random = SmallRng::seed_from_u64(4);
    let mut client = server.client()?;
    let mut nanos = Vec::new();
    while !stop.load(Ordering::Relaxed) || nanos.is_empty() {
        let key = format!("key:{:012}", random.random_range(0..KEYS));
        let asked = Instant::now();
        client.ask(&["GET", &key])?;
        nanos.push(asked.elapsed().as_nanos());
    }
    nanos.sort_unstable();
    Ok(nanos[(nanos.len() - 1) * 999 / 1000] as f64 / 1000.0)
}
