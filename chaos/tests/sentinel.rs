//! Stock Sentinels watch nodes: they find each other through the nodes' channels, and fail over when the master hangs or
//! dies. A master that died with writes which nobody received rejoins without a full sync.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::{
    SyncCounters, ensure_same_data, info, info_number, wait_for_equal_offsets, wait_for_link,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind, free_port};
use rejoin_chaos::wait::until;
use rustix::process::Signal;

/// A Sentinel needs its configuration as a file, which it rewrites.
struct Sentinel {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Sentinel {
    fn start(master_port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        let file = dir.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nlogfile {}\nsentinel monitor watched 127.0.0.1 {master_port} 2\n\
             sentinel down-after-milliseconds watched 1000\nsentinel failover-timeout watched 5000\n",
            dir.path().display(),
            dir.path().join("log").display()
        );
        std::fs::write(&file, text).unwrap();
        let binary = Binary::stock(ServerKind::Redis70).unwrap();
        let child = Command::new(binary.path())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, _dir: dir }
    }

    fn says(&self, master_field: &str, value: &str) -> anyhow::Result<bool> {
        let reply = Client::connect(self.port)?.ask(&["SENTINEL", "MASTER", "watched"])?;
        let fields = reply.elements().unwrap_or_default();
        Ok(fields.chunks(2).any(|pair| {
            pair[0].bytes() == Some(master_field.as_bytes()) && pair[1].bytes() == Some(value.as_bytes())
        }))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_role(server: &Server, role: &str) -> anyhow::Result<bool> {
    Ok(server.client()?.ask_text(&["INFO", "replication"])?.contains(&format!("role:{role}\r\n")))
}

fn is_linked(server: &Server) -> anyhow::Result<bool> {
    Ok(server.client()?.ask_text(&["INFO", "replication"])?.contains("master_link_status:up\r\n"))
}

#[test]
fn sentinels_fail_over_from_one_node_to_another_and_take_the_old_master_back() {
    let node = Binary::node(None).unwrap();
    let first = Server::start(&node, &[]).unwrap();
    let master = format!("127.0.0.1 {}", first.port());
    let second = Server::start(&node, &["--replicaof", &master]).unwrap();
    until("the replica's link", || is_linked(&second)).unwrap();
    first.client().unwrap().ask(&["SET", "before", "1"]).unwrap();

    let sentinels = [Sentinel::start(first.port()), Sentinel::start(first.port())];
    for sentinel in &sentinels {
        until("a Sentinel that knows the replica", || sentinel.says("num-slaves", "1")).unwrap();
        // They introduce themselves to each other by PUBLISH on the nodes they watch.
        until("a Sentinel that knows the other", || sentinel.says("num-other-sentinels", "1")).unwrap();
    }

    first.signal(Signal::STOP).unwrap();
    until("the replica's promotion", || has_role(&second, "master")).unwrap();
    let mut client = second.client().unwrap();
    assert_eq!(client.ask_text(&["GET", "before"]).unwrap(), "1");
    client.ask(&["SET", "after", "2"]).unwrap();
    let promoted = second.port().to_string();
    for sentinel in &sentinels {
        until("all Sentinels' agreement", || sentinel.says("port", &promoted)).unwrap();
    }

    first.signal(Signal::CONT).unwrap();
    until("the old master's demotion", || has_role(&first, "slave")).unwrap();
    until("the old master's link", || is_linked(&first)).unwrap();
    until("the same data", || Ok(first.client()?.ask_integer(&["EXISTS", "after"])? == 1)).unwrap();
    ensure_same_data(&second, &first).unwrap();
}

/// Writes as long as somebody takes it.
fn load(port: u16, goes_on: &Arc<AtomicBool>) -> thread::JoinHandle<u64> {
    let goes_on = Arc::clone(goes_on);
    thread::spawn(move || {
        let Ok(mut client) = Client::connect(port) else { return 0 };
        let mut written = 0;
        while goes_on.load(Ordering::Relaxed) {
            if client.ask(&["SET", &format!("load:{}", written % 5_000), &written.to_string()]).is_err() {
                break;
            }
            written += 1;
        }
        written
    })
}

/// The master is killed under load, with writes that neither replica got. `promoted` is the replica that Sentinel prefers.
fn old_master_rejoins(chosen: ServerKind) {
    let node = Binary::node(None).unwrap();
    let stock = Binary::stock(ServerKind::Redis70).unwrap();
    let mut old = Server::start(&node, &[]).unwrap();
    let master = format!("127.0.0.1 {}", old.port());
    let start = |binary: &Binary, is_chosen: bool| {
        let priority = if is_chosen { "10" } else { "100" };
        Server::start(binary, &["--replicaof", &master, "--replica-priority", priority]).unwrap()
    };
    let is_stock = chosen != ServerKind::Node;
    let (promoted, other) = match is_stock {
        true => (start(&stock, true), start(&node, false)),
        false => (start(&node, true), start(&stock, false)),
    };
    let replicas = [&promoted, &other];
    for replica in replicas {
        wait_for_link(replica).unwrap();
    }
    let sentinels = [Sentinel::start(old.port()), Sentinel::start(old.port())];
    for sentinel in &sentinels {
        until("a Sentinel that knows the replicas", || sentinel.says("num-slaves", "2")).unwrap();
        until("a Sentinel that knows the other", || sentinel.says("num-other-sentinels", "1")).unwrap();
    }
    let goes_on = Arc::new(AtomicBool::new(true));
    let writer = load(old.port(), &goes_on);
    let offset = info_number(&old, "replication", "master_repl_offset").unwrap();
    until("some load", || Ok(info_number(&old, "replication", "master_repl_offset")? > offset + 100_000))
        .unwrap();
    goes_on.store(false, Ordering::Relaxed);
    assert!(writer.join().unwrap() > 0);
    for replica in replicas {
        wait_for_equal_offsets(&old, replica).unwrap();
    }

    // Stopped, they cannot come back; so what is written from here on is the old master's alone.
    for replica in replicas {
        replica.signal(Signal::STOP).unwrap();
    }
    let mut client = old.client().unwrap();
    client.ask(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    until("the replicas' loss", || {
        Ok(info(&old, "replication")?.get("connected_slaves").is_some_and(|count| count == "0"))
    })
    .unwrap();
    client.ask(&["SET", "orphaned", "1"]).unwrap();
    goes_on.store(true, Ordering::Relaxed);
    let writer = load(old.port(), &goes_on);
    let offset = info_number(&old, "replication", "master_repl_offset").unwrap();
    until("more load", || Ok(info_number(&old, "replication", "master_repl_offset")? > offset + 10_000))
        .unwrap();
    old.signal(Signal::KILL).unwrap();
    assert!(writer.join().unwrap() > 0);
    for replica in replicas {
        replica.signal(Signal::CONT).unwrap();
    }

    until("the promotion of the preferred replica", || has_role(&promoted, "master")).unwrap();
    let mut writer = promoted.client().unwrap();
    for n in 0..500 {
        writer.ask(&["SET", &format!("after:{n}"), "1"]).unwrap();
    }
    until("the other replica's change of master", || {
        let port = promoted.port().to_string();
        Ok(info(&other, "replication")?.get("master_port").is_some_and(|own| *own == port)
            && is_linked(&other)?)
    })
    .unwrap();
    let before = SyncCounters::of(&promoted).unwrap();
    assert_eq!(before.full, 0, "the other replica continued: {}", promoted.log_tail());

    old.crash_and_restart().unwrap();
    until("the old master's demotion", || has_role(&old, "slave")).unwrap();
    wait_for_link(&old).unwrap();
    let log = old.log_tail();
    ensure_same_data(&promoted, &old).unwrap();
    ensure_same_data(&promoted, &other).unwrap();
    let after = SyncCounters::of(&promoted).unwrap();
    assert_eq!(after.full, before.full, "{log}{}", promoted.log_tail());
    assert_eq!(info_number(&old, "replication", "sync_rewinds").unwrap(), 1, "{log}");
    assert_eq!(info_number(&old, "replication", "lost_tails").unwrap(), 1, "{log}");
    assert_eq!(old.client().unwrap().ask_integer(&["EXISTS", "orphaned", "after:499"]).unwrap(), 1);
}

#[test]
fn a_killed_master_rejoins_a_stock_server_without_a_full_sync() {
    old_master_rejoins(ServerKind::Redis70);
}

#[test]
fn a_killed_master_rejoins_a_node_without_a_full_sync() {
    old_master_rejoins(ServerKind::Node);
}
