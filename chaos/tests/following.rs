//! A stock replica follows the node through everything that the other checks send: differential programs and
//! redis-benchmark's whole list. It must end with the same data and never lose its place.

#![allow(clippy::unwrap_used)]

use std::process::Command;

use rejoin_chaos::differential::{Oracle, Pair, check_seed};
use rejoin_chaos::replication::{
    SyncCounters, digest, follow, info_number, wait_for_equal_offsets, wait_for_link,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait;

const STEPS: usize = 400;

/// Waits for equal digests: keys that were left with a short time to live still go, on the master first.
fn wait_for_same_data(master: &Server, replica: &Server) {
    wait::until("equal digests", || {
        wait_for_equal_offsets(master, replica)?;
        Ok(digest(&mut master.client()?)? == digest(&mut replica.client()?)?)
    })
    .unwrap();
    // DEBUG CHANGE-REPL-ID lets replicas come back: partially, however much was written meanwhile.
    assert_eq!(SyncCounters::of(master).unwrap().full, 1, "{}{}", replica.log_tail(), master.log_tail());
}

/// Every test that redis-benchmark runs when none is named.
fn run_benchmark(server: &Server) {
    let mut benchmark = Command::new("redis-benchmark");
    benchmark.args(["-h", "127.0.0.1", "-p", &server.port().to_string()]);
    benchmark.args(["--csv", "-n", "2000", "-P", "4", "-r", "1000", "-c", "10"]);
    let output = benchmark.output().unwrap();
    let rows = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{rows}{complaint}");
    assert!(!complaint.to_lowercase().contains("error"), "{complaint}");
    for test in ["PING_INLINE", "SET", "INCR", "SPOP", "ZPOPMIN", "LRANGE_600", "MSET (10 keys)"] {
        assert!(rows.contains(&format!("\"{test}")), "no row of {test} in {rows}{complaint}");
    }
}

fn follows_through_everything(kind: ServerKind, seeds: std::ops::Range<u64>) {
    let mut pair = Pair::start(Oracle::Redis7, &Binary::node(None).unwrap()).unwrap();
    let replica = Server::start(&Binary::stock(kind).unwrap(), &[]).unwrap();
    follow(&replica, pair.subject().port()).unwrap();
    wait_for_link(&replica).unwrap();
    for seed in seeds {
        if let Some(failure) = check_seed(&mut pair, seed, STEPS).unwrap() {
            panic!("{failure}");
        }
        wait_for_same_data(pair.subject(), &replica);
    }
    run_benchmark(pair.subject());
    wait_for_same_data(pair.subject(), &replica);
    let of_benchmark = pair.subject().client().unwrap().ask_integer(&["DBSIZE"]).unwrap();
    assert!(of_benchmark > 1_000, "{of_benchmark} keys");
    assert!(info_number(&replica, "replication", "slave_repl_offset").unwrap() > 1_000_000);
}

#[test]
fn redis_7_follows_differential_programs_and_the_whole_benchmark() {
    follows_through_everything(ServerKind::Redis70, 301..305);
}

#[test]
fn valkey_9_follows_differential_programs_and_the_whole_benchmark() {
    follows_through_everything(ServerKind::Valkey91, 311..315);
}

/// What is written right behind the change of the name must not reach the replica under the old one.
#[test]
fn a_new_name_of_the_stream_costs_no_full_sync() {
    let node = Server::start(&Binary::node(None).unwrap(), &[]).unwrap();
    let replica = Server::start(&Binary::stock(ServerKind::Redis70).unwrap(), &[]).unwrap();
    follow(&replica, node.port()).unwrap();
    wait_for_link(&replica).unwrap();
    let mut client = node.client().unwrap();
    const WRITES: usize = 200;
    for round in 1..=15 {
        for write in 0..WRITES {
            client.queue(&["SET", &format!("key:{write}"), &round.to_string()]);
            if write == WRITES / 2 {
                client.queue(&["DEBUG", "CHANGE-REPL-ID"]);
            }
        }
        client.flush().unwrap();
        client.skip_replies(WRITES + 1).unwrap();
        wait_for_same_data(&node, &replica);
        assert_eq!(SyncCounters::of(&node).unwrap().partial_ok, round, "{}", node.log_tail());
    }
}
