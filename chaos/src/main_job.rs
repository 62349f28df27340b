//! The main job on real input, with every step told: a master is written to by redis-benchmark and by redis-cli, its
//! replica's link is cut in the middle and restored, and both ends must hold the same data in the end, after one full
//! sync and no other. Once with the node as the master of a stock redis-server, once the other way round.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::console::say;
use crate::proxy::{Cut, Proxy};
use crate::replication::{self, SyncCounters, ensure_same_data, wait_for_equal_offsets, wait_for_link_loss};
use crate::servers::{Binary, Server, ServerKind};

/// Writes while the link is up; more than sockets hold, so that the replica has to keep up.
const REQUESTS_LINKED: u32 = 100_000;
/// Writes while the link is cut.
const REQUESTS_CUT: u32 = 3_000;

/// What the redis-cli session types, and what it must see.
const SESSION: &[(&str, &str)] = &[
    ("SET greeting \"hello, replica\"", "OK"),
    ("GET greeting", "\"hello, replica\""),
    ("APPEND greeting !", "(integer) 15"),
    ("EXPIRE greeting 3600", "(integer) 1"),
    ("HSET user:1 name Ada born 1815", "(integer) 2"),
    ("HINCRBY user:1 born 1", "(integer) 1816"),
    ("HGET user:1 born", "\"1816\""),
    ("INCRBYFLOAT ratio 0.25", "\"0.25\""),
    ("SELECT 1", "OK"),
    ("MULTI", "OK"),
    ("SET a 1", "QUEUED"),
    ("INCR a", "QUEUED"),
    ("EXEC", "1) OK 2) (integer) 2"),
    ("SELECT 0", "OK"),
    ("SET gone 1 PX 1", "OK"),
    ("DEL nothing", "(integer) 0"),
];

/// Does the job in both roles. Fails at the first thing that is not as it should be.
pub fn run(node: &Binary) -> Result<()> {
    let redis = Binary::stock(ServerKind::Redis70)?;
    let stock = Server::start(&redis, &[])?;
    one_role(&Server::start(node, &[])?, &stock)?;
    // A new pair: nothing of the first half may help the second.
    let stock = Server::start(&redis, &[])?;
    one_role(&stock, &Server::start(node, &[])?)
}

fn one_role(master: &Server, replica: &Server) -> Result<()> {
    replicate_and_compare(master, replica).with_context(|| {
        let tails =
            [master, replica].map(|server| format!("{}'s log ends:\n{}", server.binary(), server.log_tail()));
        tails.join("\n")
    })
}

fn replicate_and_compare(master: &Server, replica: &Server) -> Result<()> {
    say(format_args!("\nMaster: {}. Replica: {}.", master.binary(), replica.binary()));
    benchmark(master, REQUESTS_LINKED / 10)?;
    say("  wrote a first data set");

    let proxy = Proxy::start(master.port())?;
    replication::follow(replica, proxy.port())?;
    let offset = wait_for_equal_offsets(master, replica)?;
    say(format_args!(
        "  REPLICAOF: the replica is in sync at offset {offset}; {} KB came over",
        proxy_kb(&proxy)
    ));

    benchmark(master, REQUESTS_LINKED)?;
    say(format_args!("  redis-benchmark: {REQUESTS_LINKED} requests each of SET, INCR and HSET"));

    proxy.cut(Cut::Refuse);
    wait_for_link_loss(replica)?;
    let before = proxy.bytes_from_target();
    benchmark(master, REQUESTS_CUT)?;
    redis_cli_session(master)?;
    say(format_args!(
        "  link cut; meanwhile {REQUESTS_CUT} requests each and a redis-cli session of {} commands",
        SESSION.len()
    ));
    ensure!(proxy.bytes_from_target() == before, "bytes went through a link that is cut");
    proxy.restore();
    let offset = wait_for_equal_offsets(master, replica)?;
    say(format_args!(
        "  link restored; in sync again at offset {offset} after {} KB",
        (proxy.bytes_from_target() - before) / 1024
    ));

    benchmark(master, REQUESTS_LINKED)?;
    say(format_args!("  redis-benchmark: {REQUESTS_LINKED} requests each, over the restored link"));
    let (offset, digest) = ensure_same_data(master, replica)?;
    say(format_args!("  offsets equal: {offset}; digests equal: {digest}"));

    let counters = SyncCounters::of(master)?;
    say(format_args!("  master:  {counters}"));
    say(format_args!("  replica: {}", SyncCounters::of(replica)?));
    ensure!(counters.full == 1, "there were {} full syncs; one was needed", counters.full);
    ensure!(counters.partial_ok >= 1, "the link came back without a partial sync");
    Ok(())
}

fn proxy_kb(proxy: &Proxy) -> u64 {
    proxy.bytes_from_target() / 1024
}

fn benchmark(server: &Server, requests: u32) -> Result<()> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-q", "-h", "127.0.0.1", "-p", &server.port().to_string(), "-c", "50", "-P", "16"]);
    command.args(["-t", "set,incr,hset", "-d", "64", "-r", "100000", "-n", &requests.to_string()]);
    let output = command.output().context("running redis-benchmark: run .ci/install-test-servers")?;
    ensure!(output.status.success(), "redis-benchmark failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Types the session into redis-cli and compares what it prints.
fn redis_cli_session(server: &Server) -> Result<()> {
    let mut command = Command::new("redis-cli");
    command.args(["--no-raw", "-h", "127.0.0.1", "-p", &server.port().to_string()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("running redis-cli: run .ci/install-test-servers")?;
    let typed: String = SESSION.iter().map(|(line, _)| format!("{line}\n")).collect();
    // Dropped at the end of the statement, which is the end of redis-cli's input.
    child.stdin.take().context("redis-cli's input")?.write_all(typed.as_bytes()).context("typing")?;
    let output = child.wait_with_output().context("waiting for redis-cli")?;
    let printed = words(&String::from_utf8_lossy(&output.stdout));
    let expected = words(&SESSION.iter().map(|(_, answer)| *answer).collect::<Vec<_>>().join("\n"));
    ensure!(printed == expected, "redis-cli printed\n  {printed}\ninstead of\n  {expected}");
    Ok(())
}

/// Line breaks and indentation are redis-cli's own business.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
