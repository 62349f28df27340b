//! What operators and their tools find in the log of a sync: the lines that redis-server 7.0 writes on the same path, in
//! both roles; and what CONFIG SET changes of replication takes effect at once.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rejoin_chaos::replication::{follow, info, info_number, wait_for_equal_offsets, wait_for_link};
use rejoin_chaos::servers::{Binary, Server, ServerKind};
use rejoin_chaos::wait;
use rustix::process::Signal;

fn start(binary: &Binary) -> Server {
    Server::start(binary, &["--repl-diskless-sync-delay", "0"]).unwrap()
}

fn wait_for_online(master: &Server) {
    wait::until("the replica to be online", || {
        Ok(info(master, "replication")?.get("slave0").is_some_and(|line| line.contains("state=online")))
    })
    .unwrap();
}

fn wait_for_lines(server: &Server, lines: &[String]) {
    for line in lines {
        wait::until(&format!("'{line}' in the log of {}", server.binary()), || {
            Ok(std::fs::read_to_string(server.log_path())?.contains(line))
        })
        .unwrap();
    }
}

/// A full sync, a link that is cut, a hand-over, and a promotion.
fn every_path(binary: &Binary) {
    let (master, replica) = (start(binary), start(binary));
    let (at_master, at_replica) =
        (format!("127.0.0.1:{}", master.port()), format!("127.0.0.1:{}", replica.port()));
    let replid = info(&master, "replication").unwrap()["master_replid"].clone();
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);
    wait_for_lines(
        &master,
        &[
            format!("Replica {at_replica} asks for synchronization"),
            format!("Synchronization with replica {at_replica} succeeded"),
        ],
    );
    wait_for_lines(
        &replica,
        &[
            format!("REPLICAOF {at_master} enabled"),
            format!("Connecting to MASTER {at_master}"),
            "MASTER <-> REPLICA sync started".to_owned(),
            "Non blocking connect for SYNC fired the event.".to_owned(),
            "Full resync from master: ".to_owned(),
            "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to ".to_owned(),
            "MASTER <-> REPLICA sync: Finished with success".to_owned(),
        ],
    );
    // Somebody who follows another stream.
    let mut stranger = master.client().unwrap();
    stranger.queue(&["PSYNC", &"ab".repeat(20), "7"]);
    stranger.flush().unwrap();
    wait_for_lines(
        &master,
        &["Partial resynchronization not accepted: Replication ID mismatch (Replica asked for 'abab"
            .to_owned()],
    );

    master.client().unwrap().ask(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    wait_for_lines(
        &master,
        &[
            format!("Connection with replica {at_replica} lost."),
            format!("Partial resynchronization request from {at_replica} accepted. Sending "),
            " bytes of backlog starting from offset ".to_owned(),
        ],
    );
    wait_for_lines(
        &replica,
        &[
            "Connection with master lost.".to_owned(),
            "Trying a partial resynchronization (request ".to_owned(),
            "Successful partial resynchronization with master.".to_owned(),
            "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.".to_owned(),
        ],
    );
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);

    master.client().unwrap().ask(&["FAILOVER"]).unwrap();
    wait_for_link(&master).unwrap();
    let shown = info(&replica, "replication").unwrap();
    let offset = &shown["second_repl_offset"];
    assert_eq!(shown["role"], "master", "{shown:?} {}{}", replica.log_tail(), master.log_tail());
    wait_for_lines(
        &master,
        &[
            "FAILOVER requested to any replica.".to_owned(),
            format!("Failover target {at_replica} is synced, failing over."),
            "Master replication ID changed to ".to_owned(),
        ],
    );
    let replid = if binary.is_stock() { "".to_owned() } else { replid };
    wait_for_lines(
        &replica,
        &[
            "Failover request received for replid ".to_owned(),
            format!("Setting secondary replication ID to {replid}"),
            format!(", valid up to offset: {offset}. New replication ID is "),
            "MASTER MODE enabled (failover request from '".to_owned(),
        ],
    );
    wait_for_online(&replica);
    master.client().unwrap().ask(&["REPLICAOF", "NO", "ONE"]).unwrap();
    wait_for_lines(&master, &["MASTER MODE enabled (user request".to_owned()]);
}

#[test]
fn the_lines_that_are_looked_for_are_those_of_redis() {
    every_path(&Binary::stock(ServerKind::Redis70).unwrap());
}

#[test]
fn the_node_writes_them_too() {
    every_path(&Binary::node(None).unwrap());
}

#[test]
fn the_stock_limit_of_replicas_is_told_to_be_none() {
    let node = Binary::node(None).unwrap();
    let server = Server::start(&node, &["--client-output-buffer-limit", "replica 256mb 64mb 60"]).unwrap();
    let replica = start(&node);
    follow(&replica, server.port()).unwrap();
    let told =
        "client-output-buffer-limit replica has its stock default, which counts as no limit".to_owned();
    wait_for_lines(&server, &[told]);
}

/// A replica that has hung is given up after `repl-timeout`, and a master that has is, too; as it was set last.
#[test]
fn a_timeout_that_is_set_holds_for_links_that_are_up() {
    let node = Binary::node(None).unwrap();
    let (master, replica) = (start(&node), start(&node));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);
    for server in [&master, &replica] {
        server.client().unwrap().ask(&["CONFIG", "SET", "repl-timeout", "2"]).unwrap();
    }
    replica.signal(Signal::STOP).unwrap();
    wait::until("the master to give the replica up", || {
        Ok(info_number(&master, "replication", "connected_slaves")? == 0)
    })
    .unwrap();
    replica.signal(Signal::CONT).unwrap();
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);
    master.signal(Signal::STOP).unwrap();
    wait::until("the replica to give the master up", || {
        Ok(info(&replica, "replication")?["master_link_status"] == "down")
    })
    .unwrap();
    master.signal(Signal::CONT).unwrap();
    wait_for_link(&replica).unwrap();
}

/// A master without writes puts a PING into the stream as often as it is told; a link stays up by it.
#[test]
fn pings_come_as_often_as_is_set() {
    let node = Binary::node(None).unwrap();
    let (master, replica) = (start(&node), start(&node));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);
    let before = info_number(&master, "replication", "master_repl_offset").unwrap();
    master.client().unwrap().ask(&["CONFIG", "SET", "repl-ping-replica-period", "1"]).unwrap();
    wait::until("three PINGs", || {
        Ok(info_number(&master, "replication", "master_repl_offset")? >= before + 3 * 14)
    })
    .unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
}

/// The master's password changes: the next handshake says the new one.
#[test]
fn a_password_that_is_set_is_said_in_the_next_handshake() {
    let node = Binary::node(None).unwrap();
    let (master, replica) = (start(&node), start(&node));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    master.client().unwrap().ask(&["CONFIG", "SET", "requirepass", "secret"]).unwrap();
    let mut operator = master.client().unwrap();
    operator.ask(&["AUTH", "secret"]).unwrap();
    operator.ask(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    wait_for_lines(&replica, &["NOAUTH".to_owned()]);
    replica.client().unwrap().ask(&["CONFIG", "SET", "masterauth", "secret"]).unwrap();
    wait_for_link(&replica).unwrap();
}

/// WAIT is answered by a round trip, not by the clock of acknowledgements.
#[test]
fn wait_is_a_round_trip() {
    let node = Binary::node(None).unwrap();
    let (master, replica) = (start(&node), start(&node));
    follow(&replica, master.port()).unwrap();
    wait_for_link(&replica).unwrap();
    wait_for_online(&master);
    let mut client = master.client().unwrap();
    let begun = std::time::Instant::now();
    for number in 0..100 {
        client.ask(&["SET", "k", &number.to_string()]).unwrap();
        assert_eq!(client.ask_integer(&["WAIT", "1", "0"]).unwrap(), 1);
    }
    // A hundred that each waited for the clock would take a hundred seconds, or ten by the shard's ticks.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
