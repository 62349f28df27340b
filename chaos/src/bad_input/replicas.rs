//! Replicas that misbehave. Each meets one defined outcome: a session that breaks the protocol is closed, one that is only
//! slow is not, and neither costs memory or keeps others waiting.

use std::io::{ErrorKind, Read};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::floods::Flood;
use crate::client::Client;
use crate::replication::info_number;
use crate::servers::Server;
use crate::wait;

const MB: u64 = 1 << 20;
/// A value that fills a stream quickly.
const LONG_VALUE_BYTES: usize = 100_000;
/// What is written while a replica does not read.
const WRITTEN_BYTES: usize = 100_000_000;
const FULL_SYNCS: usize = 1_000;

pub(super) const ALL: &[Flood] = &[
    Flood { name: "never reads while 100 MB are written", run: never_reads, memory_bound: 64 * MB },
    Flood { name: "asks for a thousand full syncs at once", run: a_thousand_syncs, memory_bound: 192 * MB },
    Flood {
        name: "acknowledges more than there is",
        run: |server| closed(server, &["REPLCONF", "ACK", "999999999999"]),
        memory_bound: 16 * MB,
    },
    Flood {
        name: "has more on disk than there is",
        run: |server| closed(server, &["REPLCONF", "ACK", "0", "FACK", "999999999999"]),
        memory_bound: 16 * MB,
    },
    Flood {
        name: "acknowledges no number",
        run: |server| closed(server, &["REPLCONF", "ACK", "much"]),
        memory_bound: 16 * MB,
    },
    Flood { name: "writes", run: |server| closed(server, &["SET", "marker", "gone"]), memory_bound: 16 * MB },
    Flood { name: "begins a command and never ends it", run: endless_command, memory_bound: 16 * MB },
    Flood { name: "asks again and again on one link", run: asks_again, memory_bound: 16 * MB },
    Flood { name: "leaves in the middle, 500 times", run: leaves, memory_bound: 64 * MB },
];

/// A replica that asked for everything and has said what begins the stream.
fn follower(server: &Server) -> Result<Client> {
    let mut replica = asking(server)?;
    wait_for_online(server, &mut replica)?;
    Ok(replica)
}

/// A replica that asked for everything.
fn asking(server: &Server) -> Result<Client> {
    let mut replica = server.client()?;
    replica.ask(&["REPLCONF", "listening-port", "7777"])?;
    replica.ask(&["REPLCONF", "capa", "eof", "capa", "psync2"])?;
    replica.queue(&["PSYNC", "?", "-1"]);
    replica.flush()?;
    Ok(replica)
}

fn wait_for_online(server: &Server, replica: &mut Client) -> Result<()> {
    wait::until("the replica to be online", || {
        replica.queue(&["REPLCONF", "ACK", "0"]);
        replica.flush()?;
        let text = server.client()?.ask_text(&["INFO", "replication"])?;
        Ok(text.contains("state=online"))
    })
}

fn wait_for_none(server: &Server) -> Result<()> {
    wait::until(
        "all replicas to be gone",
        || Ok(info_number(server, "replication", "connected_slaves")? == 0),
    )
}

/// Whether the server closes the connection of a replica that says this.
fn closed(server: &Server, says: &[&str]) -> Result<String> {
    let mut replica = follower(server)?;
    replica.queue(says);
    replica.flush()?;
    wait_for_close(&replica)?;
    wait_for_none(server)?;
    Ok("its session was closed".to_owned())
}

/// Reads until the server closes; keep-alives and the stream may come before.
fn wait_for_close(replica: &Client) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut stream = replica.stream();
    stream.set_read_timeout(Some(wait::DEADLINE)).context("setting the read timeout")?;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!("the server keeps the connection")
            }
            Err(error) => return Err(error).context("waiting for the server to close"),
        }
    }
}

fn never_reads(server: &Server) -> Result<String> {
    let replica = follower(server)?;
    let mut writer = server.client()?;
    writer.ask(&["CONFIG", "SET", "repl-backlog-size", "1mb"])?;
    let value = "v".repeat(LONG_VALUE_BYTES);
    for _ in 0..WRITTEN_BYTES / LONG_VALUE_BYTES {
        writer.ask(&["SET", "data:1", &value])?;
    }
    writer.ask(&["SET", "data:1", "x"])?;
    let held = info_number(server, "replication", "connected_slaves")?;
    ensure!(held == 1, "it was dropped for being slow");
    drop(replica);
    wait_for_none(server)?;
    Ok("kept, until it left".to_owned())
}

fn a_thousand_syncs(server: &Server) -> Result<String> {
    let before = info_number(server, "stats", "sync_full")?;
    let mut replicas = Vec::new();
    for _ in 0..FULL_SYNCS {
        replicas.push(asking(server)?);
    }
    wait::until("all to be known", || {
        Ok(info_number(server, "replication", "connected_slaves")? == FULL_SYNCS as u64)
    })?;
    let mut client = server.client()?;
    client.ask(&["SET", "data:1", "x"])?;
    // Each gets what it asked for in its turn, if it reads.
    let last = replicas.last_mut().context("there are some")?;
    last.stream().set_read_timeout(Some(wait::DEADLINE)).context("setting the read timeout")?;
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.starts_with(b"+FULLRESYNC") {
        let count = last.stream().read(&mut buffer).context("waiting for a full sync")?;
        ensure!(count > 0, "the last one was closed");
        seen.extend_from_slice(&buffer[..count]);
        let keepalives = seen.iter().take_while(|&&byte| byte == b'\n').count();
        seen.drain(..keepalives);
    }
    let begun = info_number(server, "stats", "sync_full")? - before;
    drop(replicas);
    wait_for_none(server)?;
    Ok(format!("{begun} full syncs were begun, the last one was served"))
}

fn endless_command(server: &Server) -> Result<String> {
    let mut replica = follower(server)?;
    replica.queue_raw(b"*30\r\n");
    // Refused while we send: that is the outcome.
    let sent = (0..30).try_for_each(|_| {
        replica.queue_raw(b"$1000000\r\n");
        replica.queue_raw(&[b'a'; 1_000_000]);
        replica.flush()
    });
    if sent.is_ok() {
        wait_for_close(&replica)?;
    }
    wait_for_none(server)?;
    Ok("its session was closed".to_owned())
}

fn asks_again(server: &Server) -> Result<String> {
    let mut replica = follower(server)?;
    for _ in 0..1_000 {
        replica.queue(&["PSYNC", "?", "-1"]);
    }
    // It may be closed by the first of them.
    let _ = replica.flush();
    wait_for_close(&replica)?;
    wait_for_none(server)?;
    Ok("its session was closed".to_owned())
}

fn leaves(server: &Server) -> Result<String> {
    for number in 0..500 {
        let mut replica = server.client()?;
        replica.ask(&["REPLCONF", "capa", "eof", "capa", "psync2"])?;
        replica.queue(&["PSYNC", "?", "-1"]);
        replica.flush()?;
        if number % 3 == 0 {
            let mut buffer = [0; 16];
            replica.stream().set_read_timeout(Some(Duration::from_secs(10))).context("a timeout")?;
            let _ = replica.stream().read(&mut buffer);
        }
    }
    wait_for_none(server)?;
    Ok("all sessions ended".to_owned())
}
