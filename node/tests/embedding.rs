//! Nodes inside a program: several in one process, started, linked, used and stopped through the public interface.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use rejoin::{CannotServe, LogSettings, Node, NodeError, NodeEvent, NodeOptions, SavePoints, Settings};

/// For what must happen and takes as long as the machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings {
        port: 0,
        bind: vec!["127.0.0.1".to_owned()],
        enable_debug_command: "yes".to_owned(),
        repl_diskless_sync_delay_seconds: 0,
        log: LogSettings::off(),
        save_points: SavePoints::none(),
        ..Settings::default()
    }
}

fn start() -> (Node, Receiver<NodeEvent>) {
    Node::start(NodeOptions::new(settings())).unwrap()
}

fn address(node: &Node) -> SocketAddr {
    node.addresses()[0]
}

fn ask(node: &Node, command: &str) -> String {
    String::from_utf8(node.execute(command.split(' ')).unwrap()).unwrap()
}

fn follow(replica: &Node, master: &Node) {
    let port = address(master).port();
    assert_eq!(ask(replica, &format!("REPLICAOF 127.0.0.1 {port}")), "+OK\r\n");
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn wait_until_equal(replica: &Node, master: &Node) {
    wait_until("the replica is in sync", || {
        ask(replica, "INFO replication").contains("master_link_status:up")
            && replica.offset() == master.offset()
    });
    assert_eq!(ask(replica, "DEBUG DIGEST"), ask(master, "DEBUG DIGEST"));
}

fn counter(node: &Node, name: &str) -> u64 {
    let info = ask(node, "INFO stats");
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn a_node_serves_its_program_and_clients_alike() {
    let (node, _events) = start();
    assert_eq!(ask(&node, "SET k v"), "+OK\r\n");
    let mut client = TcpStream::connect(address(&node)).unwrap();
    client.write_all(b"GET k\r\nINCR n\r\n").unwrap();
    let mut replies = [0; 11];
    client.read_exact(&mut replies).unwrap();
    assert_eq!(&replies, b"$1\r\nv\r\n:1\r\n");
    assert_eq!(ask(&node, "GET n"), "$1\r\n1\r\n");
    node.shutdown(false).unwrap();
    assert_eq!(client.read(&mut replies).unwrap_or(0), 0, "a node that has ended holds no connection");
}

#[test]
fn a_chain_of_three_rejoins_after_a_promotion_without_a_full_sync() {
    let ((first, _a), (second, _b), (third, _c)) = (start(), start(), start());
    ask(&first, "MSET a 1 b 2");
    ask(&first, "HSET h f v g w");
    follow(&second, &first);
    wait_until_equal(&second, &first);
    follow(&third, &second);
    wait_until_equal(&third, &second);
    ask(&first, "INCRBY a 41");
    wait_until_equal(&second, &first);
    wait_until_equal(&third, &first);

    // The middle one takes over; the others hold its history and lack nothing of it.
    assert_eq!(ask(&second, "REPLICAOF NO ONE"), "+OK\r\n");
    ask(&second, "SET after promotion");
    follow(&first, &second);
    wait_until_equal(&first, &second);
    wait_until_equal(&third, &second);
    assert_eq!(ask(&first, "GET after"), "$9\r\npromotion\r\n");
    assert_eq!((counter(&first, "sync_full"), counter(&second, "sync_full")), (1, 1));
    assert!(counter(&second, "sync_partial_ok") >= 1, "{}", ask(&second, "INFO stats"));
    for node in [third, first, second] {
        node.shutdown(true).unwrap();
    }
}

#[test]
fn a_replica_that_is_gone_for_a_while_gets_what_it_lacks() {
    let ((master, _a), (replica, _b)) = (start(), start());
    follow(&replica, &master);
    wait_until_equal(&replica, &master);
    for round in 0..5 {
        ask(&master, "CLIENT KILL TYPE replica");
        ask(&master, &format!("SET round {round}"));
        wait_until_equal(&replica, &master);
    }
    assert_eq!(counter(&master, "sync_full"), 1);
    replica.shutdown(true).unwrap();
    master.shutdown(true).unwrap();
}

#[test]
fn a_write_that_wait_confirmed_is_on_the_replica() {
    let ((master, _a), (replica, _b)) = (start(), start());
    follow(&replica, &master);
    wait_until_equal(&replica, &master);
    // WAIT belongs to the connection that wrote.
    let mut client = TcpStream::connect(address(&master)).unwrap();
    client.write_all(b"SET k confirmed\r\nWAIT 1 0\r\n").unwrap();
    let mut replies = [0; 9];
    client.read_exact(&mut replies).unwrap();
    assert_eq!(&replies, b"+OK\r\n:1\r\n");
    assert_eq!(ask(&replica, "GET k"), "$9\r\nconfirmed\r\n");
}

#[test]
fn shutdown_waits_for_replicas_and_shutdown_by_a_client_is_reported() {
    let ((master, events), (replica, _b)) = (start(), start());
    follow(&replica, &master);
    wait_until_equal(&replica, &master);
    for number in 0..1000 {
        ask(&master, &format!("SET k{number} v"));
    }
    let mut client = TcpStream::connect(address(&master)).unwrap();
    client.write_all(b"SHUTDOWN\r\n").unwrap();
    assert_eq!(
        events.recv_timeout(PATIENCE).unwrap(),
        NodeEvent::ShutdownRequested { now: true },
        "they had their time"
    );
    let offset = master.offset();
    master.shutdown(false).unwrap();
    assert!(replica.offset() >= offset, "the last writes were sent before the end");
    assert_eq!(ask(&replica, "DBSIZE"), ":1000\r\n");
}

#[test]
fn changes_of_role_and_of_the_log_level_are_events() {
    let ((master, _a), (replica, events)) = (start(), start());
    follow(&replica, &master);
    ask(&replica, "CONFIG SET loglevel debug");
    ask(&replica, "REPLICAOF NO ONE");
    let told: Vec<NodeEvent> = (0..3).map(|_| events.recv_timeout(PATIENCE).unwrap()).collect();
    let expected = [
        NodeEvent::RoleChanged { is_replica: true },
        NodeEvent::LogLevelChanged { loglevel: "debug".to_owned() },
        NodeEvent::RoleChanged { is_replica: false },
    ];
    assert_eq!(told, expected);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let refused = Node::start(NodeOptions::new(Settings { port, ..settings() })).err().expect("in use");
    assert!(matches!(refused, NodeError::CannotServe(_)));
    assert!(refused.to_string().contains(&format!("127.0.0.1:{port}")), "{refused}");
}

#[test]
fn a_node_that_is_dropped_lets_go_of_its_port() {
    let (node, _events) = start();
    let at = address(&node);
    drop(node);
    let again = Settings { port: at.port(), ..settings() };
    let (node, _events) = Node::start(NodeOptions::new(again)).unwrap();
    assert_eq!(address(&node), at);
}

#[test]
fn each_node_has_a_recorder_of_its_own() {
    let start = |_| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let options = NodeOptions { recorder: Some(Arc::new(recorder)), ..NodeOptions::new(settings()) };
        (Node::start(options).unwrap(), handle)
    };
    let [((one, _), of_one), ((two, _), of_two)] = [(); 2].map(start);
    for _ in 0..3 {
        ask(&one, "SET key value");
    }
    ask(&two, "SET key value");
    let calls = |count: u32| format!("rejoin_command_calls_total{{command=\"set\"}} {count}\n");
    wait_until("the metrics are brought up to date", || {
        of_one.render().contains(&calls(3)) && of_two.render().contains(&calls(1))
    });
    // What the node forgets, the recorder does not.
    ask(&one, "CONFIG RESETSTAT");
    ask(&one, "SET key value");
    wait_until("the counter goes on", || of_one.render().contains(&calls(4)));
}

fn settings_in(dir: &std::path::Path) -> Settings {
    Settings { dir: dir.to_string_lossy().into_owned(), ..settings() }
}

#[test]
fn a_node_begins_with_the_dump_of_the_last_one() {
    let dir = tempfile::tempdir().unwrap();
    let (node, _events) = Node::start(NodeOptions::new(settings_in(dir.path()))).unwrap();
    ask(&node, "DEBUG POPULATE 1000");
    assert_eq!(ask(&node, "SAVE"), "+OK\r\n");
    assert_eq!(ask(&node, "DEBUG RELOAD"), "+OK\r\n");
    let digest = ask(&node, "DEBUG DIGEST");
    assert_eq!(ask(&node, "SET later 1"), "+OK\r\n");
    node.shutdown(true).unwrap();

    let (node, events) = Node::start(NodeOptions::new(settings_in(dir.path()))).unwrap();
    assert_eq!(ask(&node, "DEBUG DIGEST"), digest, "a shutdown from within saves nothing");
    assert_eq!(ask(&node, "BGSAVE"), "+Background saving started\r\n");
    wait_until("the save", || ask(&node, "INFO persistence").contains("rdb_bgsave_in_progress:0"));
    assert_eq!(events.try_iter().count(), 0, "who waited for the load needs not be told of it");
    node.shutdown(true).unwrap();

    let options = NodeOptions { waits_for_load: false, ..NodeOptions::new(settings_in(dir.path())) };
    let (node, events) = Node::start(options).unwrap();
    assert_eq!(events.recv_timeout(PATIENCE).unwrap(), NodeEvent::Loaded);
    assert_eq!(ask(&node, "DEBUG DIGEST"), digest);
    node.shutdown(true).unwrap();
}

#[test]
fn a_node_whose_dump_cannot_be_loaded_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("dump.rdb"), "REDIS0011~ is no type of anything").unwrap();
    let error = Node::start(NodeOptions::new(settings_in(dir.path()))).err().expect("it is broken");
    let NodeError::CannotServe(CannotServe::Data(reason)) = error else { panic!("{error}") };
    assert!(reason.contains("dump.rdb: ") && reason.contains(" at byte 9: "), "{reason}");

    let options = NodeOptions { waits_for_load: false, ..NodeOptions::new(settings_in(dir.path())) };
    let (node, events) = Node::start(options).unwrap();
    let event = events.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(&event, NodeEvent::CannotLoad { reason } if reason.contains("dump.rdb")), "{event:?}");
    assert!(ask(&node, "GET a").starts_with("-LOADING "));
    node.shutdown(true).unwrap();
}
