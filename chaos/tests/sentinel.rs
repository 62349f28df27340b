//! Stock Sentinels watch two nodes: they find each other through the nodes' channels, and fail over when the master hangs.

#![allow(clippy::unwrap_used)]

use std::process::{Child, Command, Stdio};

use rejoin_chaos::client::Client;
use rejoin_chaos::replication::ensure_same_data;
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
