//! What monitoring sees: the metrics that redis_exporter (Debian's prometheus-redis-exporter) makes of the node, and the
//! names in INFO, against those of redis-server 7.0.15.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{follow, wait_for_equal_offsets};
use rejoin_chaos::servers::{Binary, Server, ServerKind};

const EXPORTER: &str = "prometheus-redis-exporter";
const DEADLINE: Duration = Duration::from_secs(10);
/// Metrics and fields that redis-server shows and the node does not, each with its reason. None so far.
const MISSING: &[&str] = &[];

/// A running exporter; killed when dropped.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The names of all metrics that the exporter makes of a server.
fn metrics(server: &Server) -> BTreeSet<String> {
    let port = free_port();
    let child = Command::new(EXPORTER)
        .args(["-redis.addr", &format!("redis://127.0.0.1:{}", server.port())])
        .args(["-web.listen-address", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus-redis-exporter is not installed: run .ci/install-test-servers");
    let _exporter = Exporter(child);
    let begun = Instant::now();
    let text = loop {
        match scrape(port) {
            Ok(text) => break text,
            Err(error) => assert!(begun.elapsed() < DEADLINE, "the exporter does not answer: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(text.contains("\nredis_up 1\n"), "the exporter did not reach {}: {text}", server.binary());
    let lines = text.lines().filter(|line| line.starts_with("redis_"));
    lines.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect()
}

fn scrape(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The names in INFO of a server, but for those that stand for one command, error, database or replica.
fn info_fields(client: &mut Client) -> BTreeSet<String> {
    let text = client.ask_text(&["INFO", "everything"]).unwrap();
    let names = text.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.to_owned());
    names
        .filter(|name| !name.starts_with("cmdstat_") && !name.starts_with("latency_percentiles_usec_"))
        .collect()
}

/// A master with a replica of its own kind and some of everything that metrics tell of.
fn pair(binary: &Binary) -> (Server, Server) {
    let master = Server::start(binary, &["--latency-monitor-threshold", "1"]).unwrap();
    let replica = Server::start(binary, &[]).unwrap();
    follow(&replica, master.port()).unwrap();
    for server in [&master, &replica] {
        let mut client = server.client().unwrap();
        client.ask(&["DEBUG", "SLEEP", "0.02"]).unwrap();
        client.call(&["NOSUCHCOMMAND"]).unwrap();
    }
    let mut client = master.client().unwrap();
    client.ask(&["SET", "volatile", "value", "EX", "1000"]).unwrap();
    client.ask(&["LPUSH", "list", "element"]).unwrap();
    wait_for_equal_offsets(&master, &replica).unwrap();
    (master, replica)
}

fn ensure_none_missing(what: &str, stock: &BTreeSet<String>, ours: &BTreeSet<String>) {
    let missing: Vec<&String> =
        stock.difference(ours).filter(|name| !MISSING.contains(&name.as_str())).collect();
    assert!(stock.len() > 50, "{what}: redis-server shows only {stock:?}");
    assert!(missing.is_empty(), "{what}: redis-server shows what the node does not: {missing:?}");
}

#[test]
fn monitoring_misses_nothing_that_redis_7_shows() {
    let (stock, stock_replica) = pair(&Binary::stock(ServerKind::Redis70).unwrap());
    let (ours, our_replica) = pair(&Binary::node(None).unwrap());
    for (role, stock, ours) in [("master", &stock, &ours), ("replica", &stock_replica, &our_replica)] {
        ensure_none_missing(&format!("metrics of a {role}"), &metrics(stock), &metrics(ours));
        let fields = |server: &Server| info_fields(&mut server.client().unwrap());
        ensure_none_missing(&format!("INFO of a {role}"), &fields(stock), &fields(ours));
    }
}

#[test]
fn the_node_tells_its_metrics_by_itself() {
    let port = free_port();
    let options = ["--metrics-port", &port.to_string(), "--log-format", "json"];
    let node = Server::start(&Binary::node(None).unwrap(), &options).unwrap();
    let mut client = node.client().unwrap();
    for _ in 0..3 {
        client.ask(&["SET", "key", "value"]).unwrap();
    }
    client.call(&["LPUSH", "key", "element"]).unwrap();
    // They are brought up to date once a second.
    let begun = Instant::now();
    let wanted = [
        "\nrejoin_command_calls_total{command=\"set\"} 3\n",
        "\nrejoin_command_failures_total{command=\"lpush\"} 1\n",
        "\nrejoin_errors_total{error=\"WRONGTYPE\"} 1\n",
        "\nrejoin_keys{db=\"0\"} 1\n",
        "\nrejoin_is_master 1\n",
    ];
    loop {
        let text = scrape(port).unwrap();
        let missing: Vec<_> = wanted.iter().filter(|line| !text.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{missing:?} not in {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = std::fs::read_to_string(node.log_path()).unwrap();
    assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
    assert!(log.contains("\"message\":\"Ready to accept connections tcp\""), "{log}");
}
