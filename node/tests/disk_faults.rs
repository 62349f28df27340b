//! A node on a disk that fails: what was acknowledged is kept as `appendfsync` promises, what cannot be kept is not
//! acknowledged, and when the disk is well again the node goes on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rejoin::{LogSettings, Node, NodeOptions, Settings, SyncPolicy};
use rejoin_persistence::storage::simulated::{Fault, SimulatedStorage, Verb};

/// For what must happen and takes as long as the machine takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(storage: &SimulatedStorage, sync: SyncPolicy) -> Node {
    let settings = Settings {
        port: 0,
        bind: vec!["127.0.0.1".to_owned()],
        enable_debug_command: "yes".to_owned(),
        log: LogSettings { sync, segment_bytes: 20_000, ..LogSettings::default() },
        ..Settings::default()
    };
    let options = NodeOptions { storage: Some(Arc::new(storage.clone())), ..NodeOptions::new(settings) };
    Node::start(options).unwrap().0
}

/// A client's connection; requests and replies are lines.
struct Client(TcpStream);

impl Client {
    fn new(node: &Node) -> Self {
        let stream = TcpStream::connect(node.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, line: &str) {
        self.0.write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn receive(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.receive()
    }

    /// Whether nothing has come.
    fn has_no_reply(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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

fn replid(node: &Node) -> String {
    let info = String::from_utf8(node.execute(["INFO", "replication"]).unwrap()).unwrap();
    info.lines().find_map(|line| line.strip_prefix("master_replid:")).unwrap().to_owned()
}

/// Whether keys 0 to `count` have their values.
fn assert_keys(node: &Node, count: u64) {
    for number in 0..count {
        let value = node.execute(["GET".to_owned(), format!("key:{number}")]).unwrap();
        let text = number.to_string();
        assert_eq!(value, format!("${}\r\n{text}\r\n", text.len()).into_bytes(), "key {number}");
    }
}

#[test]
fn a_full_disk_holds_back_what_it_cannot_keep() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::EverySecond);
    let (mut writer, mut other) = (Client::new(&node), Client::new(&node));
    assert_eq!(writer.ask("SET key:0 0"), "+OK");
    storage.set_capacity(Some(6_000));
    let mut acknowledged = 1;
    loop {
        writer.send(&format!("SET key:{acknowledged} {acknowledged}"));
        wait_until("a reply, or the log cannot be written", || {
            !writer.has_no_reply() || info(&node, "aof_last_write_status:err")
        });
        if writer.has_no_reply() {
            break;
        }
        assert_eq!(writer.receive(), "+OK");
        acknowledged += 1;
    }
    assert!(acknowledged > 10);
    let refusal = "-MISCONF Errors writing to the AOF file: ";
    assert!(other.ask("SET other 1").starts_with(refusal), "no write is taken");
    assert_eq!(other.ask("GET key:0"), "$1");
    assert_eq!(other.receive(), "0");
    assert!(other.ask("PING").starts_with(refusal), "monitors are told");
    assert!(writer.has_no_reply(), "what is not kept is not acknowledged");
    // Killed here, the node comes back with what was acknowledged and with nothing else.
    let found = start(&storage.kill(), SyncPolicy::EverySecond);
    assert_keys(&found, acknowledged);
    assert_eq!(found.execute(["DBSIZE"]).unwrap(), format!(":{acknowledged}\r\n").into_bytes());
    assert_eq!(replid(&found), replid(&node));
    storage.set_capacity(None);
    assert_eq!(writer.receive(), "+OK", "with room the log goes on, and the reply comes");
    wait_until("writes are taken", || other.ask("SET other 1") == "+OK");
    drop(node);
    assert_keys(&start(&storage.kill(), SyncPolicy::EverySecond), acknowledged + 1);
}

/// `field` of INFO.
fn number(node: &Node, field: &str) -> u64 {
    let info = String::from_utf8(node.execute(["INFO", "everything"]).unwrap()).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap().trim_end().parse().unwrap()
}

/// Asks as a replica's handshake does: from the byte `from` on. The first line of the answer.
fn replicate(node: &Node, from: u64) -> (Client, String) {
    let mut replica = Client::new(node);
    assert_eq!(replica.ask("PING"), "+PONG", "a handshake begins with it");
    assert_eq!(replica.ask("REPLCONF capa psync2"), "+OK");
    let answer = replica.ask(&format!("PSYNC {} {from}", replid(node)));
    (replica, answer)
}

#[test]
fn while_the_disk_is_full_replicas_see_what_is_kept_and_may_come_back() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::EverySecond);
    let mut writer = Client::new(&node);
    assert_eq!(writer.ask("CONFIG SET repl-ping-replica-period 1"), "+OK");
    assert_eq!(writer.ask("SET key:0 0"), "+OK");
    let begin = number(&node, "master_repl_offset");
    let (mut replica, answer) = replicate(&node, begin + 1);
    assert!(answer.starts_with("+CONTINUE"), "{answer}");
    storage.set_capacity(Some(0));
    writer.send("SET key:1 1");
    wait_until("the log cannot be written", || info(&node, "aof_last_write_status:err"));
    // Long enough for pings, if there were some.
    let since = number(&node, "uptime_in_seconds");
    wait_until("time passes", || number(&node, "uptime_in_seconds") >= since + 3);
    let end = number(&node, "master_repl_offset");
    assert!(writer.has_no_reply());
    // All that is shown can be had, and who lost its link has it again.
    let mut stream = vec![0; usize::try_from(end - begin).unwrap()];
    replica.0.read_exact(&mut stream).unwrap();
    assert!(replica.has_no_reply(), "more than INFO says");
    assert!(!String::from_utf8_lossy(&stream).contains("key:1"));
    let role = String::from_utf8(node.execute(["ROLE"]).unwrap()).unwrap();
    assert!(role.contains(&format!(":{end}\r\n")), "{role}");
    let (mut again, answer) = replicate(&node, end + 1);
    assert!(answer.starts_with("+CONTINUE"), "{answer}");
    storage.set_capacity(None);
    assert_eq!(writer.receive(), "+OK");
    for replica in [&mut replica, &mut again] {
        // No ping had queued up before the write.
        let write = "*3\r\n$3\r\nSET\r\n$5\r\nkey:1\r\n$1\r\n1\r\n";
        let mut stream = vec![0; write.len()];
        replica.0.read_exact(&mut stream).unwrap();
        assert_eq!(String::from_utf8_lossy(&stream), write);
    }
}

#[test]
fn after_a_sync_that_failed_nothing_is_acknowledged_before_a_new_base_is_safe() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::Always);
    let (mut writer, mut other) = (Client::new(&node), Client::new(&node));
    for number in 0..5 {
        assert_eq!(writer.ask(&format!("SET key:{number} {number}")), "+OK");
    }
    // The segment cannot be synced, nor can a base for some time.
    storage.fail(Fault::error(io::ErrorKind::Other).on(Verb::Sync).of("incr.aof"));
    storage.fail(Fault::error(io::ErrorKind::Other).on(Verb::Open).of("temp-rewriteaof").forever());
    writer.send("SET key:5 5");
    wait_until("a base was tried", || info(&node, "aof_last_bgrewrite_status:err"));
    assert!(writer.has_no_reply());
    assert!(other.ask("INCR other").starts_with("-MISCONF"));
    for seed in 0..8 {
        assert_keys(&start(&storage.power_loss(seed), SyncPolicy::Always), 5);
    }
    storage.stop_failing();
    assert_eq!(writer.receive(), "+OK");
    wait_until("writes are taken", || other.ask("SET other 1") == "+OK");
    assert!(info(&node, "aof_last_bgrewrite_status:ok"));
    for seed in 0..8 {
        let found = start(&storage.power_loss(seed), SyncPolicy::Always);
        assert_keys(&found, 6);
        assert_eq!(found.execute(["GET", "other"]).unwrap(), b"$1\r\n1\r\n");
    }
}

#[test]
fn a_power_loss_takes_nothing_that_was_acknowledged_as_synced() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::Always);
    let mut writer = Client::new(&node);
    let mut acknowledged = 0;
    for seed in 0..40 {
        for _ in 0..seed % 7 + 3 {
            assert_eq!(writer.ask(&format!("SET key:{acknowledged} {acknowledged}")), "+OK");
            acknowledged += 1;
        }
        if seed % 10 == 5 {
            assert_eq!(writer.ask("BGREWRITEAOF"), "+Background append only file rewriting started");
        }
        let found = start(&storage.power_loss(seed), SyncPolicy::Always);
        assert_keys(&found, acknowledged);
        assert_ne!(replid(&found), replid(&node), "replicas may know more than what is left");
        assert!(info(&found, &format!("master_replid2:{}", replid(&node))), "seed {seed}");
        wait_until("the rewrite has ended", || info(&node, "aof_rewrite_in_progress:0"));
    }
}

#[test]
fn under_everysec_a_power_loss_takes_what_was_not_synced_and_no_more() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::EverySecond);
    let mut writer = Client::new(&node);
    for number in 0..500 {
        assert_eq!(writer.ask(&format!("SET key:{number} {number}")), "+OK");
    }
    let offset = node.offset().get();
    wait_until("all of it is synced", || info(&node, &format!("aof_fsynced_offset:{offset}")));
    for number in 500..600 {
        assert_eq!(writer.ask(&format!("SET key:{number} {number}")), "+OK");
    }
    for seed in 0..20 {
        let found = start(&storage.power_loss(seed), SyncPolicy::EverySecond);
        assert_keys(&found, 500);
        assert_ne!(replid(&found), replid(&node));
        // What came later is there up to some key, and nothing behind it.
        let size = String::from_utf8(found.execute(["DBSIZE"]).unwrap()).unwrap();
        let size: u64 = size.trim_start_matches(':').trim_end().parse().unwrap();
        assert!((500..=600).contains(&size));
        assert_keys(&found, size);
    }
}

#[test]
fn a_name_that_the_disk_did_not_take_is_taken_when_there_is_room() {
    let storage = SimulatedStorage::new();
    let node = start(&storage, SyncPolicy::EverySecond);
    let mut client = Client::new(&node);
    assert_eq!(client.ask("SET key:0 0"), "+OK");
    storage.set_capacity(Some(0));
    assert_eq!(client.ask("DEBUG CHANGE-REPL-ID"), "+OK");
    wait_until("the log cannot be written", || info(&node, "aof_last_write_status:err"));
    assert!(client.ask("SET key:1 1").starts_with("-MISCONF"));
    storage.set_capacity(None);
    wait_until("writes are taken", || client.ask("SET key:1 1") == "+OK");
    let found = start(&storage.kill(), SyncPolicy::EverySecond);
    assert_keys(&found, 2);
    assert_eq!(replid(&found), replid(&node));
}

#[test]
fn a_second_node_on_the_same_files_does_not_start() {
    let storage = SimulatedStorage::new();
    let first = start(&storage, SyncPolicy::EverySecond);
    let settings = Settings { port: 0, bind: vec!["127.0.0.1".to_owned()], ..Settings::default() };
    let options =
        || NodeOptions { storage: Some(Arc::new(storage.clone())), ..NodeOptions::new(settings.clone()) };
    let error = Node::start(options()).err().expect("the files are another node's").to_string();
    assert!(error.contains("Another node keeps its log"), "{error}");
    drop(first);
    assert!(Node::start(options()).is_ok());
}
