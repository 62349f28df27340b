//! Two nodes in one process: a master that serves clients, and a replica that follows it over TCP.
//!
//! Shows how to start, use and stop nodes from a program. Run it with
//! `cargo run -p rejoin-examples --bin master_and_replica`; it ends by itself.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rejoin::{LogSettings, Node, NodeOptions, SavePoints, Settings};

fn main() -> Result<()> {
    let (master, _master_events) = Node::start(NodeOptions::new(on_a_free_port()))?;
    let address = master.addresses().first().copied().context("the master listens nowhere")?;
    println!("master serves at {address}; redis-cli -p {} works", address.port());

    // Data that exists before the replica comes reaches it in a snapshot, taken without a fork ...
    master.execute(["SET", "planet", "earth"])?;
    master.execute(["HSET", "moon", "name", "luna", "km", "384400"])?;

    let settings =
        Settings { replicaof: Some((address.ip().to_string(), address.port())), ..on_a_free_port() };
    let (replica, _replica_events) = Node::start(NodeOptions::new(settings))?;
    wait_until("the replica has the snapshot", || Ok(replica.execute(["DBSIZE"])? == b":2\r\n"))?;

    // ... and later writes reach it through the log.
    master.execute(["INCRBY", "visits", "41"])?;
    master.execute(["INCR", "visits"])?;
    wait_until("the replica has caught up", || Ok(replica.offset() == master.offset()))?;
    let visits = replica.execute(["GET", "visits"])?;
    println!("on the replica, visits = {}", String::from_utf8_lossy(&visits).replace("\r\n", " "));
    ensure!(visits == b"$2\r\n42\r\n", "the replica has something else: {visits:?}");

    let refused = replica.execute(["SET", "planet", "mars"])?;
    println!("a write to the replica: {}", String::from_utf8_lossy(&refused).trim_end());
    ensure!(refused.starts_with(b"-READONLY"), "the replica took a write");

    replica.shutdown(true)?;
    master.shutdown(false)?;
    println!("both have ended");
    Ok(())
}

/// Both nodes are gone with this process, and so is their data: without these two each keeps its log and its dump in `dir`.
fn on_a_free_port() -> Settings {
    Settings {
        port: 0,
        bind: vec!["127.0.0.1".to_owned()],
        log: LogSettings::off(),
        save_points: SavePoints::none(),
        ..Settings::default()
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so()? {
        ensure!(Instant::now() < deadline, "gave up waiting: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    println!("{what}");
    Ok(())
}
