//! FAILOVER under writes: for how long nobody takes a write, from the last one that the old master acknowledged to the
//! first one that the new master did.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::median;
use crate::console::say;
use crate::replication::{follow, info, wait_for_link};
use crate::servers::{Binary, Server};
use crate::wait;

/// Writes sent together, each millisecond: 20,000 a second.
const WRITES_PER_BATCH: u64 = 20;
const BATCH_PERIOD: Duration = Duration::from_millis(1);
/// How often the other server is tried until it takes writes.
const TRY_PERIOD: Duration = Duration::from_micros(200);
/// Keys that the writers use.
const KEYS: u64 = 100_000;

/// Measures pairs of each kind, one hand-over of the one and then one of the other, and prints them.
pub(super) fn compare(redis: &Binary, node: &Binary, rounds: u32) -> Result<()> {
    say(format_args!(
        "FAILOVER at 20,000 writes/s: no write is acknowledged for so many ms; {rounds} hand-overs"
    ));
    let pairs = [Pair::start(redis)?, Pair::start(node)?];
    let mut gaps = [Vec::new(), Vec::new()];
    for round in 0..rounds.max(1) {
        for (pair, gaps) in pairs.iter().zip(&mut gaps) {
            gaps.push(pair.hand_over(round)?.as_secs_f64() * 1000.0);
        }
    }
    say(format_args!("{:<12}{:>10}{:>10}{:>10}", "", "least", "median", "most"));
    for (binary, gaps) in [redis, node].into_iter().zip(gaps) {
        let least = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = gaps.iter().copied().fold(0.0, f64::max);
        say(format_args!("{:<12}{least:>10.1}{:>10.1}{most:>10.1}", binary.to_string(), median(gaps)));
    }
    say("");
    Ok(())
}

/// A master and its replica, of one kind; they change places.
struct Pair([Server; 2]);

impl Pair {
    fn start(binary: &Binary) -> Result<Self> {
        let start = || Server::start(binary, &["--save", "", "--repl-diskless-sync-delay", "0"]);
        let pair = Self([start()?, start()?]);
        follow(&pair.0[1], pair.0[0].port())?;
        wait_for_link(&pair.0[1])?;
        Ok(pair)
    }

    fn hand_over(&self, round: u32) -> Result<Duration> {
        let [a, b] = &self.0;
        let (old, new) = if round.is_multiple_of(2) { (a, b) } else { (b, a) };
        wait::until("the replica to be online", || {
            Ok(info(old, "replication")?.get("slave0").is_some_and(|line| line.contains("state=online")))
        })?;
        let (last, first) = (Mutex::new(None), Mutex::new(None));
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| write_until_refused(old, &last));
            // The replica's clock of acknowledgements is met at another phase each time.
            thread::sleep(Duration::from_millis(700 + u64::from(round) * 137 % 1000));
            let prober = scope.spawn(|| write_when_taken(new, &first, &is_over));
            old.client()?.ask(&["FAILOVER"])?;
            let taken = wait::until("the new master to take writes", || Ok(is_over.load(Ordering::Relaxed)));
            is_over.store(true, Ordering::Relaxed);
            taken?;
            wait_for_link(old)?;
            writer.join().map_err(|_| anyhow::anyhow!("the writer failed"))??;
            prober.join().map_err(|_| anyhow::anyhow!("the prober failed"))?
        })?;
        let at = |moment: Mutex<Option<Instant>>| moment.into_inner().ok().flatten();
        let last = at(last).context("the old master took no write")?;
        let first = at(first).context("the new master took no write")?;
        Ok(first.saturating_duration_since(last))
    }
}

/// Writes at a steady rate; notes when the last write was acknowledged.
fn write_until_refused(server: &Server, last: &Mutex<Option<Instant>>) -> Result<()> {
    let mut client = server.client()?;
    let mut number = 0;
    let mut next = Instant::now();
    loop {
        for _ in 0..WRITES_PER_BATCH {
            number += 1;
            client.queue(&["SET", &format!("key:{}", number % KEYS), "0123456789abcdef0123456789abcdef"]);
        }
        client.flush()?;
        for _ in 0..WRITES_PER_BATCH {
            if !client.read_reply()?.is_simple("OK") {
                return Ok(());
            }
            note(last);
        }
        next += BATCH_PERIOD;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Tries to write until it is let; notes when that was.
fn write_when_taken(server: &Server, first: &Mutex<Option<Instant>>, is_over: &AtomicBool) -> Result<()> {
    let mut client = server.client()?;
    while !is_over.load(Ordering::Relaxed) {
        if client.call(&["SET", "probe", "x"])?.is_simple("OK") {
            note(first);
            is_over.store(true, Ordering::Relaxed);
        }
        thread::sleep(TRY_PERIOD);
    }
    Ok(())
}

fn note(moment: &Mutex<Option<Instant>>) {
    if let Ok(mut moment) = moment.lock() {
        *moment = Some(Instant::now());
    }
}
