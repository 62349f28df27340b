//! TLS with what stock programs speak: redis-cli as client, redis-server as replica and as master.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rejoin_chaos::client::Client;
use rejoin_chaos::proxy::{Cut, Proxy};
use rejoin_chaos::replication::{
    SyncCounters, ensure_same_data, wait_for_equal_offsets, wait_for_link, wait_for_link_loss,
};
use rejoin_chaos::servers::{Binary, Server, ServerKind, free_port};

/// An authority in `dir`, and certificates that it vouches for.
fn certificates(dir: &Path, names: &[&str]) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join("ca.crt"), certificate.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![format!("{name}.example")]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        fs::write(dir.join(format!("{name}.crt")), params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn file(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

struct TlsServer {
    server: Server,
    tls_port: u16,
}

/// A server with a plain port for the test and an encrypted one for what is tested.
fn start(kind: ServerKind, dir: &Path, more: &[&str]) -> TlsServer {
    let binary = if kind == ServerKind::Node { Binary::node(None) } else { Binary::stock(kind) }.unwrap();
    let tls_port = free_port().unwrap();
    let (port, crt, key, ca) =
        (tls_port.to_string(), file(dir, "node.crt"), file(dir, "node.key"), file(dir, "ca.crt"));
    let options = [
        &["--tls-port", &port, "--tls-cert-file", &crt, "--tls-key-file", &key, "--tls-ca-cert-file", &ca],
        more,
    ]
    .concat();
    TlsServer { server: Server::start(&binary, &options).unwrap(), tls_port }
}

/// What redis-cli prints, by TLS with these options.
fn cli(dir: &Path, port: u16, options: &[&str], command: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--tls", "--cacert", &file(dir, "ca.crt")])
        .args(options)
        .args(command)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn with_certificate(dir: &Path, name: &str) -> [String; 4] {
    ["--cert".into(), file(dir, &format!("{name}.crt")), "--key".into(), file(dir, &format!("{name}.key"))]
}

#[test]
fn redis_cli_speaks_with_the_node_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node", "client", "other"]);
    let node = start(ServerKind::Node, dir.path(), &[]);
    let own = with_certificate(dir.path(), "client");
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let at = node.tls_port;
    assert_eq!(cli(dir.path(), at, &own, &["PING"]), "PONG\n");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let mut plain = node.server.client().unwrap();
        plain.ask(&["CONFIG", "SET", "tls-protocols", version]).unwrap();
        assert_eq!(cli(dir.path(), at, &own, &["PING"]), "PONG\n", "{version}");
    }
    // A reply far larger than any buffer on the way.
    let mut plain = node.server.client().unwrap();
    plain.ask(&["CONFIG", "SET", "tls-protocols", ""]).unwrap();
    plain.ask(&["SET", "large", &"x".repeat(20 << 20)]).unwrap();
    assert_eq!(cli(dir.path(), at, &own, &["GET", "large"]).len(), (20 << 20) + 1);
    assert!(cli(dir.path(), at, &own, &["CLIENT", "LIST"]).contains(&format!(" laddr=127.0.0.1:{at} ")));

    // Without a certificate, and then with `tls-auth-clients` otherwise.
    assert!(cli(dir.path(), at, &[], &["PING"]).contains("Error"));
    for (auth, answer) in [("optional", true), ("no", true), ("yes", false)] {
        plain.ask(&["CONFIG", "SET", "tls-auth-clients", auth]).unwrap();
        assert_eq!(cli(dir.path(), at, &[], &["PING"]) == "PONG\n", answer, "{auth}");
    }
    // One who does not speak TLS is let go, and nobody else is harmed.
    let mut garbage = Client::connect(at).unwrap();
    assert!(garbage.call(&["PING"]).is_err());
    assert_eq!(cli(dir.path(), at, &own, &["PING"]), "PONG\n");
}

#[test]
fn certificates_and_ports_change_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node", "other"]);
    let node = start(ServerKind::Node, dir.path(), &["--tls-auth-clients", "no"]);
    let mut plain = node.server.client().unwrap();
    let shown = || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{}", node.tls_port)])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let can_show = Command::new("openssl").arg("version").output().is_ok();
    if can_show {
        assert!(shown().contains("CN = node") || shown().contains("CN=node"), "{}", shown());
    }
    // Not the key of this certificate: nothing changes.
    let (crt, key) = (file(dir.path(), "other.crt"), file(dir.path(), "other.key"));
    assert_eq!(
        plain.call(&["CONFIG", "SET", "tls-cert-file", &crt]).unwrap().to_string(),
        "-ERR CONFIG SET failed (possibly related to argument 'tls-cert-file') - Unable to update TLS configuration. \
         Check server logs."
    );
    assert_eq!(cli(dir.path(), node.tls_port, &[], &["PING"]), "PONG\n");
    plain.ask(&["CONFIG", "SET", "tls-cert-file", &crt, "tls-key-file", &key]).unwrap();
    assert_eq!(cli(dir.path(), node.tls_port, &[], &["PING"]), "PONG\n");
    if can_show {
        assert!(shown().contains("CN = other") || shown().contains("CN=other"), "{}", shown());
    }
    // The encrypted port closes and opens again.
    plain.ask(&["CONFIG", "SET", "tls-port", "0"]).unwrap();
    assert!(cli(dir.path(), node.tls_port, &[], &["PING"]).contains("refused"));
    plain.ask(&["CONFIG", "SET", "tls-port", &node.tls_port.to_string()]).unwrap();
    assert_eq!(cli(dir.path(), node.tls_port, &[], &["PING"]), "PONG\n");
}

fn fill(server: &Server, generation: &str) {
    let mut client = server.client().unwrap();
    for n in 0..2000 {
        client.queue(&["SET", &format!("{generation}:{n}"), &"v".repeat(n)]);
        client.queue(&["RPUSH", &format!("{generation}:list"), &n.to_string()]);
    }
    client.flush().unwrap();
    for _ in 0..4000 {
        client.read_reply().unwrap();
    }
}

/// `replica` follows `master` by TLS through a full sync, a stream and, after a cut, a partial resync.
fn replicate(master: &TlsServer, replica: &TlsServer) {
    fill(&master.server, "before");
    let mut client = replica.server.client().unwrap();
    client.ask(&["REPLICAOF", "127.0.0.1", &master.tls_port.to_string()]).unwrap();
    wait_for_equal_offsets(&master.server, &replica.server).unwrap();
    fill(&master.server, "after");
    wait_for_equal_offsets(&master.server, &replica.server).unwrap();
    ensure_same_data(&master.server, &replica.server).unwrap();
    let mut at_master = master.server.client().unwrap();
    let before = SyncCounters::of(&master.server).unwrap();
    at_master.ask(&["CLIENT", "KILL", "TYPE", "replica"]).unwrap();
    fill(&master.server, "later");
    wait_for_link(&replica.server).unwrap();
    wait_for_equal_offsets(&master.server, &replica.server).unwrap();
    ensure_same_data(&master.server, &replica.server).unwrap();
    let after = SyncCounters::of(&master.server).unwrap();
    assert_eq!((after.full, after.partial_ok), (before.full, before.partial_ok + 1));
}

const ENCRYPTED: &[&str] = &["--tls-replication", "yes"];

/// What no longer fits into memory is read from files and encrypted on the way.
#[test]
fn history_is_sent_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node"]);
    let files = ["--appendonly", "yes", "--repl-backlog-size", "1mb", "--aof-segment-size", "4mb"];
    let master = start(ServerKind::Node, dir.path(), &[ENCRYPTED, &files].concat());
    for kind in [ServerKind::Redis70, ServerKind::Node] {
        let replica = start(kind, dir.path(), ENCRYPTED);
        let proxy = Proxy::start(master.tls_port).unwrap();
        replica.server.client().unwrap().ask(&["REPLICAOF", "127.0.0.1", &proxy.port().to_string()]).unwrap();
        wait_for_equal_offsets(&master.server, &replica.server).unwrap();
        proxy.cut(Cut::Refuse);
        wait_for_link_loss(&replica.server).unwrap();
        let before = SyncCounters::of(&master.server).unwrap();
        let mut client = master.server.client().unwrap();
        for n in 0..600 {
            client.ask(&["SET", &format!("{n}"), &format!("{n}").repeat(10_000)]).unwrap();
        }
        proxy.restore();
        ensure_same_data(&master.server, &replica.server).unwrap();
        let after = SyncCounters::of(&master.server).unwrap();
        assert_eq!((after.full, after.partial_ok), (before.full, before.partial_ok + 1));
    }
}

#[test]
fn a_stock_replica_follows_the_node_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node"]);
    let master = start(ServerKind::Node, dir.path(), ENCRYPTED);
    replicate(&master, &start(ServerKind::Redis70, dir.path(), ENCRYPTED));
}

#[test]
fn the_node_follows_a_stock_master_by_tls() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node"]);
    let master = start(ServerKind::Redis70, dir.path(), ENCRYPTED);
    replicate(&master, &start(ServerKind::Node, dir.path(), ENCRYPTED));
}

#[test]
fn two_nodes_follow_each_other_by_tls_and_the_setting_changes_live() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node"]);
    let (master, replica) =
        (start(ServerKind::Node, dir.path(), &[]), start(ServerKind::Node, dir.path(), &[]));
    let mut client = replica.server.client().unwrap();
    client.ask(&["CONFIG", "SET", "tls-replication", "yes"]).unwrap();
    replicate(&master, &replica);
    client.ask(&["CONFIG", "SET", "tls-replication", "no"]).unwrap();
    client.ask(&["REPLICAOF", "127.0.0.1", &master.server.port().to_string()]).unwrap();
    wait_for_equal_offsets(&master.server, &replica.server).unwrap();
    ensure_same_data(&master.server, &replica.server).unwrap();
}

#[test]
fn hostile_handshakes_harm_nobody() {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path(), &["node"]);
    let mut node = start(ServerKind::Node, dir.path(), &["--tls-auth-clients", "no"]);
    let mut silent: Vec<TcpStream> = Vec::new();
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\xff\xff\x01\x00\xff\xff"] {
        for _ in 0..50 {
            let mut stream = TcpStream::connect(("127.0.0.1", node.tls_port)).unwrap();
            stream.write_all(begin).unwrap();
            silent.push(stream);
        }
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"*1\r\n$4\r\nPING\r\n", &[0x16; 4096], &[0xff; 4096]] {
        let mut stream = TcpStream::connect(("127.0.0.1", node.tls_port)).unwrap();
        let _ = stream.write_all(garbage);
        // At most an alert, and the end.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 100, "{answer:?}");
    }
    assert_eq!(cli(dir.path(), node.tls_port, &[], &["PING"]), "PONG\n");
    // Those who began and fell silent count as clients, and are let go in time.
    let mut plain = node.server.client().unwrap();
    plain.ask(&["CONFIG", "SET", "maxclients", "100"]).unwrap();
    let mut refused = TcpStream::connect(("127.0.0.1", node.server.port())).unwrap();
    let mut text = String::new();
    refused.read_to_string(&mut text).unwrap();
    assert_eq!(text, "-ERR max number of clients reached\r\n");
    for stream in &mut silent {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert_eq!(cli(dir.path(), node.tls_port, &[], &["PING"]), "PONG\n");
    assert!(node.server.is_alive() && node.server.memory().unwrap().resident_peak < 500 << 20);
}
