//! The promise of WAITAOF: what a replica acknowledged as on its disk (FACK) is there after it has lost its power and
//! was promoted. Two nodes in this process over loopback, the replica on a simulated disk.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rejoin::{LogSettings, Node, NodeOptions, Settings, SyncPolicy};
use rejoin_persistence::storage::{
    Storage,
    simulated::{Fault, SimulatedStorage, Verb},
};

/// For what must happen and takes as long as the machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(storage: &SimulatedStorage, sync: SyncPolicy, is_on: bool, master: Option<u16>) -> Node {
    let settings = Settings {
        port: 0,
        bind: vec!["127.0.0.1".to_owned()],
        replicaof: master.map(|port| ("127.0.0.1".to_owned(), port)),
        log: LogSettings { sync, is_on, segment_bytes: 20_000, ..LogSettings::default() },
        ..Settings::default()
    };
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    Node::start(NodeOptions { storage: Some(storage), ..NodeOptions::new(settings) }).unwrap().0
}

fn port(node: &Node) -> u16 {
    node.addresses()[0].port()
}

/// A client's connection; requests are lines.
struct Client(BufReader<TcpStream>);

impl Client {
    fn new(node: &Node) -> Self {
        let stream = TcpStream::connect(node.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.line()
    }

    /// WAITAOF: whether it is on disk here, and on how many replicas.
    fn waitaof(&mut self, arguments: &str) -> (String, String) {
        assert_eq!(self.ask(&format!("WAITAOF {arguments}")), "*2");
        (self.line(), self.line())
    }
}

fn info(node: &Node, line: &str) -> bool {
    String::from_utf8(node.execute(["INFO", "everything"]).unwrap()).unwrap().contains(line)
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Whether keys 0 to `count` have their values.
fn assert_keys(node: &Node, count: u64, what: &str) {
    for number in 0..count {
        let value = node.execute(["GET".to_owned(), format!("key:{number}")]).unwrap();
        let text = number.to_string();
        assert_eq!(value, format!("${}\r\n{text}\r\n", text.len()).into_bytes(), "key {number}, {what}");
    }
}

fn survives_power_loss_and_promotion(sync: SyncPolicy, rounds: u64) {
    let master = start(&SimulatedStorage::new(), SyncPolicy::EverySecond, true, None);
    let disk = SimulatedStorage::new();
    let replica = start(&disk, sync, true, Some(port(&master)));
    let mut client = Client::new(&master);
    // Something for the full sync to carry, and for the base to hold.
    for number in 0..50 {
        assert_eq!(client.ask(&format!("SET key:{number} {number}")), "+OK");
    }
    let mut written = 50;
    for round in 0..rounds {
        for _ in 0..20 {
            assert_eq!(client.ask(&format!("SET key:{written} {written}")), "+OK");
            written += 1;
        }
        assert_eq!(client.waitaof("0 1 0").1, ":1");
        let acknowledged = written;
        // What is written behind it may be lost; it must not take anything with it.
        for _ in 0..3 {
            assert_eq!(client.ask(&format!("SET key:{written} {written}")), "+OK");
            written += 1;
        }
        if round % 3 == 2 {
            replica.execute(["BGREWRITEAOF"]).unwrap();
        }
        for seed in 0..4 {
            let found = start(&disk.power_loss(round * 100 + seed), sync, true, None);
            assert!(found.execute(["ROLE"]).unwrap().starts_with(b"*3\r\n$6\r\nmaster"), "promoted");
            assert_keys(&found, acknowledged, &format!("round {round}, seed {seed}"));
        }
    }
    drop(replica);
}

#[test]
fn what_is_acknowledged_survives_under_everysec() {
    survives_power_loss_and_promotion(SyncPolicy::EverySecond, 4);
}

#[test]
fn what_is_acknowledged_survives_under_always() {
    survives_power_loss_and_promotion(SyncPolicy::Always, 8);
}

#[test]
fn here_and_there() {
    let disk = SimulatedStorage::new();
    let master = start(&disk, SyncPolicy::Always, true, None);
    let mut client = Client::new(&master);
    assert_eq!(client.ask("SET key:0 0"), "+OK");
    assert_eq!(
        client.waitaof("1 0 0"),
        (":1".to_owned(), ":0".to_owned()),
        "synced before it was acknowledged"
    );
    let replica = start(&SimulatedStorage::new(), SyncPolicy::EverySecond, true, Some(port(&master)));
    assert_eq!(client.ask("SET key:1 1"), "+OK");
    assert_eq!(client.waitaof("1 1 0"), (":1".to_owned(), ":1".to_owned()));
    assert_keys(&start(&disk.power_loss(1), SyncPolicy::Always, true, None), 2, "here");
    drop(replica);
}

#[test]
fn a_replica_without_a_log_acknowledges_nothing_as_on_disk() {
    let master = start(&SimulatedStorage::new(), SyncPolicy::EverySecond, true, None);
    let replica = start(&SimulatedStorage::new(), SyncPolicy::EverySecond, false, Some(port(&master)));
    let mut client = Client::new(&master);
    assert_eq!(client.ask("SET key:0 0"), "+OK");
    assert_eq!(client.ask("WAIT 1 0"), ":1");
    assert_eq!(client.waitaof("0 1 300").1, ":0");
    // With a log, and the base under it, it does.
    replica.execute(["CONFIG", "SET", "appendonly", "yes"]).unwrap();
    assert_eq!(client.waitaof("0 1 0").1, ":1");
    assert_eq!(client.waitaof("1 0 0").0, ":1");
    master.execute(["CONFIG", "SET", "appendonly", "no"]).unwrap();
    let refused = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    assert_eq!(client.ask("WAITAOF 1 0 0"), refused);
}

#[test]
fn a_replica_whose_disk_fails_stops_to_acknowledge() {
    let master = start(&SimulatedStorage::new(), SyncPolicy::EverySecond, true, None);
    let disk = SimulatedStorage::new();
    let replica = start(&disk, SyncPolicy::EverySecond, true, Some(port(&master)));
    let mut client = Client::new(&master);
    assert_eq!(client.ask("SET key:0 0"), "+OK");
    assert_eq!(client.waitaof("0 1 0").1, ":1");
    disk.fail(Fault::error(std::io::ErrorKind::Other).on(Verb::Sync).forever());
    assert_eq!(client.ask("SET key:1 1"), "+OK");
    wait_until("the sync fails", || info(&replica, "aof_last_write_status:err"));
    assert_eq!(client.waitaof("0 1 200").1, ":0");
}
