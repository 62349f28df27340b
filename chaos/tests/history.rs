//! Replicas that want what is no longer in memory: they get it out of the log's files, and no full sync.

#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rejoin_chaos::client::Client;
use rejoin_chaos::proxy::{Cut, Proxy};
use rejoin_chaos::replication::{
    SyncCounters, ensure_same_data, follow, info, info_number, wait_for_equal_offsets, wait_for_link,
    wait_for_link_loss,
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
        rewrite(&mut client);
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
    for replica in &replicas {
        replica.signal(Signal::STOP).unwrap();
    }
    write(&mut client, 120, 1);
    wait::until("what the replicas have yet to read to be in files alone", || {
        Ok(info_number(&master, "memory", "mem_total_replication_buffers")? < 16 << 20)
    })
    .unwrap();
    for replica in &replicas {
        replica.signal(Signal::CONT).unwrap();
    }
    for replica in &replicas {
        ensure_same_data(&master, replica).unwrap();
    }
    let counters = SyncCounters::of(&master).unwrap();
    assert_eq!((counters.full, counters.partial_ok), (2, 0), "nobody was dropped: {}", master.log_tail());
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

/// A replica that asks to continue from the end, and reads no more than the answer.
fn attach_stuck(master: &Server, offset: u64) -> TcpStream {
    let replid = info(master, "replication").unwrap()["master_replid"].clone();
    let mut stream = TcpStream::connect(("127.0.0.1", master.port())).unwrap();
    let next = offset + 1;
    write!(stream, "REPLCONF capa eof capa psync2\r\nPSYNC {replid} {next}\r\n").unwrap();
    let mut answer = vec![0; "+OK\r\n+CONTINUE 0123456789012345678901234567890123456789\r\n".len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer.starts_with(b"+OK\r\n+CONTINUE "), "{}", String::from_utf8_lossy(&answer));
    stream
}

/// Reads `count` bytes of the stream; the last of them.
fn read_on(stream: &mut TcpStream, count: u64) -> Vec<u8> {
    let mut left = count;
    let mut last = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let room = buffer.len().min(left as usize);
        let read = stream.read(&mut buffer[..room]).unwrap();
        assert!(read > 0, "dropped with {left} bytes left");
        left -= read as u64;
        last.extend_from_slice(&buffer[..read]);
        last.drain(..last.len().saturating_sub(100_000));
    }
    last
}

fn rewrite(client: &mut Client) {
    client.ask(&["BGREWRITEAOF"]).unwrap();
    wait::until("the rewrite to end", || {
        let info = client.ask_text(&["INFO", "persistence"])?;
        Ok(info.contains("aof_rewrite_in_progress:0") && info.contains("aof_last_bgrewrite_status:ok"))
    })
    .unwrap();
}

#[test]
fn what_a_replica_has_yet_to_read_is_kept_up_to_the_hard_size() {
    let master = master(&[APPENDONLY, &["--repl-history-size", "4mb"]].concat());
    let mut client = master.client().unwrap();
    write(&mut client, 1, 0);
    let offset = |server: &Server| info_number(server, "replication", "master_repl_offset").unwrap();
    let begin = offset(&master);
    client.ask(&["CONFIG", "SET", "repl-history-hard-size", "1gb"]).unwrap();
    let mut stuck = attach_stuck(&master, begin);
    for generation in 0..3 {
        write(&mut client, 8, generation);
        rewrite(&mut client);
    }
    // Has the limits applied now; what is told then was left by it.
    client.ask(&["CONFIG", "SET", "repl-history-size", "3mb"]).unwrap();
    wait::until("the history to be looked at", || {
        Ok(info_number(&master, "persistence", "repl_history_bytes")? > 16 << 20)
    })
    .unwrap();
    read_on(&mut stuck, offset(&master) - begin);

    let _lagging = attach_stuck(&master, offset(&master));
    for generation in 0..3 {
        write(&mut client, 8, generation);
        rewrite(&mut client);
    }
    client.ask(&["CONFIG", "SET", "repl-history-hard-size", "5mb"]).unwrap();
    wait::until("the slowest to be given up", || {
        Ok(info_number(&master, "replication", "connected_slaves")? < 2)
    })
    .unwrap();
    let log = std::fs::read_to_string(master.log_path()).unwrap();
    let line = log.lines().find(|line| line.contains("limit=repl-history-hard-size")).unwrap();
    assert!(line.contains("lag_bytes=") && line.contains("lag_bytes_max=5242880"), "{line}");
}

#[test]
fn sixteen_replicas_that_lag_at_different_places_cost_no_memory_and_none_is_dropped() {
    let master = master(APPENDONLY);
    let mut client = master.client().unwrap();
    let mut stuck = Vec::new();
    write(&mut client, 1, 0);
    for generation in 0..16 {
        let offset = info_number(&master, "replication", "master_repl_offset").unwrap();
        stuck.push((attach_stuck(&master, offset), offset));
        write(&mut client, 5, generation);
    }
    write(&mut client, 20, 17);
    wait::until("what the replicas have yet to read to be in files alone", || {
        Ok(info_number(&master, "memory", "mem_total_replication_buffers")? < 16 << 20)
    })
    .unwrap();
    assert_eq!(info_number(&master, "replication", "connected_slaves").unwrap(), 16);
    // Each of them gets every byte that it has yet to read: the streams end alike.
    let end = info_number(&master, "replication", "master_repl_offset").unwrap();
    let mut tails = Vec::new();
    for (stream, offset) in &mut stuck {
        tails.push(read_on(stream, end - *offset));
    }
    assert!(tails.windows(2).all(|pair| pair[0] == pair[1]) && tails[0].len() == 100_000);
}

#[test]
fn the_example_shows_a_chain_whose_link_was_cut() {
    let root = rejoin_chaos::servers::workspace_root();
    let output = Command::new(root.join("examples/away_for_500_mb.sh"))
        .arg("30")
        .env("REJOIN_SERVER", Binary::node(None).unwrap().path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Successful partial resynchronization with master"), "{text}");
}
