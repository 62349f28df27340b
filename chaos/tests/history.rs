//! Replicas that want what is no longer in memory: they get it out of the log's files, and no full sync.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rejoin_chaos::client::Client;
use rejoin_chaos::proxy::{Cut, Proxy};
use rejoin_chaos::replication::{
    SyncCounters, ensure_same_data, follow, wait_for_equal_offsets, wait_for_link, wait_for_link_loss,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind, Signal};
use rejoin_chaos::wait;

const APPENDONLY: &[&str] = &["--appendonly", "yes"];
const HISTORY_ALONE: &[&str] = &["--appendonly", "no", "--repl-history", "yes"];
const NO_FILES: &[&str] = &["--appendonly", "no", "--repl-history", "no"];

fn start(kind: ServerKind, options: &[&str]) -> Server {
    let binary = if kind == ServerKind::Node { Binary::node(None) } else { Binary::stock(kind) }.unwrap();
    Server::start(&binary, options).unwrap()
}

/// A master that holds little in memory, and whose segments are small.
fn master(files: &[&str]) -> Server {
    start(
        ServerKind::Node,
        &[files, &["--repl-backlog-size", "1mb", "--aof-segment-size", "4mb", "--save", ""]].concat(),
    )
}

/// Writes about `megabytes` over few keys, in transactions and databases too.
fn write(client: &mut Client, megabytes: usize, generation: u32) {
    for round in 0..megabytes * 4 {
        let mut count = 0;
        for n in 0..60 {
            let key = format!("key:{}", (round * 60 + n) % 997);
            client.queue(&["SET", &key, &format!("{generation}:{round}:{n}:{}", "v".repeat(4000))]);
            count += 1;
        }
        for command in [
            &["MULTI"] as &[&str],
            &["SELECT", ["3", "0"][round % 2]],
            &["INCR", "counter"],
            &["HSET", "hash", "field", &round.to_string()],
            &["EXEC"],
            &["SADD", "set", &format!("{generation}:{round}")],
        ] {
            client.queue(command);
            count += 1;
        }
        client.flush().unwrap();
        client.skip_replies(count).unwrap();
    }
}

/// Writes without a pause until told to stop.
fn write_on(port: u16) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = thread::spawn(move || {
        let mut client = Client::connect(port).unwrap();
        let mut generation = 100;
        while !stopped.load(Ordering::Relaxed) {
            write(&mut client, 1, generation);
            generation += 1;
        }
    });
    (stop, writer)
}

/// They hold the same, and since `before` the replica got a partial sync and nothing else.
fn ensure_rejoined(master: &Server, replica: &Server, before: SyncCounters) {
    ensure_same_data(master, replica).unwrap();
    let expected = SyncCounters { partial_ok: before.partial_ok + 1, ..before };
    let counters = SyncCounters::of(master).unwrap();
    assert_eq!(counters, expected, "{}\n{}", master.log_tail(), replica.log_tail());
    assert_eq!(before.full, 1, "{}\n{}", master.log_tail(), replica.log_tail());
}

/// The link of `replica` to `master`, up and then cut, and how often it was synchronized.
fn linked_and_cut(master: &Server, replica: &Server) -> (Proxy, SyncCounters) {
    let proxy = Proxy::start(master.port()).unwrap();
    follow(replica, proxy.port()).unwrap();
    wait_for_equal_offsets(master, replica).unwrap();
    proxy.cut(Cut::Refuse);
    wait_for_link_loss(replica).unwrap();
    (proxy, SyncCounters::of(master).unwrap())
}

fn away_for_longer_than_memory(files: &[&str], kind: ServerKind) {
    let master = master(files);
    let replica = start(kind, &[]);
    let mut client = master.client().unwrap();
    write(&mut client, 1, 0);
    let (proxy, before) = linked_and_cut(&master, &replica);
    write(&mut client, 24, 1);
    // Others write while it catches up.
    let (stop, writer) = write_on(master.port());
    proxy.restore();
    wait_for_link(&replica).unwrap();
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    ensure_rejoined(&master, &replica, before);
}

#[test]
fn stock_replicas_that_were_away_get_only_what_they_lack() {
    away_for_longer_than_memory(APPENDONLY, ServerKind::Redis70);
    away_for_longer_than_memory(HISTORY_ALONE, ServerKind::Redis82);
    away_for_longer_than_memory(APPENDONLY, ServerKind::Valkey91);
}

#[test]
fn a_replica_of_our_own_kind_gets_only_what_it_lacks() {
    away_for_longer_than_memory(APPENDONLY, ServerKind::Node);
    away_for_longer_than_memory(HISTORY_ALONE, ServerKind::Node);
}

#[test]
fn what_was_rewritten_since_is_history_and_serves() {
    let master = master(APPENDONLY);
    let replica = start(ServerKind::Redis70, &[]);
    let mut client = master.client().unwrap();
    let (proxy, before) = linked_and_cut(&master, &replica);
    for generation in 0..3 {
        write(&mut client, 6, generation);
        client.ask(&["BGREWRITEAOF"]).unwrap();
        wait::until("the rewrite to end", || {
            let info = client.ask_text(&["INFO", "persistence"])?;
            Ok(info.contains("aof_rewrite_in_progress:0") && info.contains("aof_last_bgrewrite_status:ok"))
        })
        .unwrap();
    }
    proxy.restore();
    ensure_rejoined(&master, &replica, before);
}

#[test]
fn a_master_that_was_killed_serves_from_its_files() {
    let mut master = master(APPENDONLY);
    let replica = start(ServerKind::Redis70, &[]);
    let (proxy, _) = linked_and_cut(&master, &replica);
    write(&mut master.client().unwrap(), 8, 1);
    master.crash_and_restart().unwrap();
    proxy.restore();
    ensure_same_data(&master, &replica).unwrap();
    let counters = SyncCounters::of(&master).unwrap();
    assert_eq!(counters, SyncCounters { full: 0, partial_ok: 1, partial_err: 0 }, "{}", master.log_tail());
}

#[test]
fn a_replica_that_does_not_read_is_kept_and_costs_no_memory() {
    let master = master(APPENDONLY);
    let replicas = [ServerKind::Redis70, ServerKind::Node].map(|kind| start(kind, &[]));
    for replica in &replicas {
        follow(replica, master.port()).unwrap();
        wait_for_equal_offsets(&master, replica).unwrap();
    }
    let mut client = master.client().unwrap();
    write(&mut client, 8, 0);
    let before = master.memory().unwrap();
    for replica in &replicas {
        replica.signal(Signal::STOP).unwrap();
    }
    write(&mut client, 120, 1);
    let after = master.memory().unwrap();
    for replica in &replicas {
        replica.signal(Signal::CONT).unwrap();
    }
    for replica in &replicas {
        ensure_same_data(&master, replica).unwrap();
    }
    let counters = SyncCounters::of(&master).unwrap();
    assert_eq!((counters.full, counters.partial_ok), (2, 0), "nobody was dropped: {}", master.log_tail());
    let grown = after.resident.saturating_sub(before.resident);
    assert!(grown < 60 << 20, "120 MB were written past two replicas, memory grew by {grown}");
}

#[test]
fn without_files_the_next_rung_is_taken_and_the_numbers_are_told() {
    let master = master(NO_FILES);
    let replica = start(ServerKind::Redis70, &[]);
    let (proxy, before) = linked_and_cut(&master, &replica);
    write(&mut master.client().unwrap(), 4, 1);
    proxy.restore();
    ensure_same_data(&master, &replica).unwrap();
    let counters = SyncCounters::of(&master).unwrap();
    let expected = SyncCounters { full: 2, partial_ok: 0, partial_err: before.partial_err + 1 };
    assert_eq!(counters, expected);
    assert!(master.log_tail().contains("partial resync refused: wanted"), "{}", master.log_tail());
}

#[test]
fn damaged_history_is_not_sent() {
    let master = master(APPENDONLY);
    let replica = start(ServerKind::Redis70, &[]);
    let mut client = master.client().unwrap();
    let (proxy, _) = linked_and_cut(&master, &replica);
    write(&mut client, 12, 1);
    let oldest = std::fs::read_dir(master.dir().join("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "aof"))
        .min()
        .unwrap();
    let mut bytes = std::fs::read(&oldest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&oldest, bytes).unwrap();
    proxy.restore();
    ensure_same_data(&master, &replica).unwrap();
    let log = std::fs::read_to_string(master.log_path()).unwrap();
    assert!(log.contains("is damaged between its bytes"), "{log}");
    assert_eq!(SyncCounters::of(&master).unwrap().full, 2, "{log}");
}
