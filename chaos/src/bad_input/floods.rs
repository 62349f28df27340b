//! Much of something, or half of it and silence. Each has a bound for what the server's memory may grow by meanwhile.

use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::{Client, encode_command};
use crate::servers::Server;

const MB: u64 = 1 << 20;
/// proto-max-bulk-len of Redis: the longest argument that is accepted.
const ARGUMENT_MAX: usize = 512 << 20;

/// A flood and its bound.
pub(super) struct Flood {
    pub(super) name: &'static str,
    /// Runs it; returns what was seen.
    pub(super) run: fn(&Server) -> Result<String>,
    /// What the resident set may grow by while it runs.
    pub(super) memory_bound: u64,
}

pub(super) const ALL: &[Flood] = &[
    Flood { name: "12 MB of arrays in arrays", run: nested_arrays, memory_bound: 32 * MB },
    Flood { name: "500 clients with half a command each", run: half_commands, memory_bound: 64 * MB },
    Flood {
        name: "100 clients that announce 512 MB and stop",
        run: announced_arguments,
        memory_bound: 64 * MB,
    },
    Flood { name: "100 clients that announce 1 M arguments", run: announced_arrays, memory_bound: 64 * MB },
    Flood { name: "1 M pipelined commands, never read", run: never_reads, memory_bound: 192 * MB },
    Flood { name: "2,000 connections that come and go", run: come_and_go, memory_bound: 32 * MB },
    Flood { name: "an argument of 512 MB", run: largest_argument, memory_bound: 1400 * MB },
];

fn nested_arrays(server: &Server) -> Result<String> {
    let bytes = b"*1\r\n".repeat(3 << 20);
    let sent = send_until_refused(server, &bytes, Duration::from_secs(10))?;
    Ok(format!("{} of {} bytes taken", sent, bytes.len()))
}

fn half_commands(server: &Server) -> Result<String> {
    let mut clients = Vec::new();
    for n in 0..500 {
        let mut client = server.client()?;
        let whole = format!("*2\r\n$4\r\nECHO\r\n$5\r\n{n:05}\r\n").into_bytes();
        let (first, rest) = whole.split_at(n % whole.len());
        client.queue_raw(first);
        client.flush()?;
        clients.push((client, rest.to_vec(), format!("{n:05}")));
    }
    for (client, rest, expected) in &mut clients {
        client.queue_raw(rest);
        client.flush()?;
        let reply = client.read_reply()?;
        ensure!(reply.bytes() == Some(expected.as_bytes()), "the other half was answered with {reply}");
    }
    Ok("all answered when the other half came".to_owned())
}

fn announced_arguments(server: &Server) -> Result<String> {
    hold_open(server, 100, format!("*2\r\n$4\r\nECHO\r\n${ARGUMENT_MAX}\r\nx").as_bytes())
}

fn announced_arrays(server: &Server) -> Result<String> {
    hold_open(server, 100, b"*1000000\r\n$4\r\nMGET\r\n$1\r\nx\r\n")
}

/// Opens connections that send `bytes` and nothing more, and lets the server live with them for a while.
fn hold_open(server: &Server, count: usize, bytes: &[u8]) -> Result<String> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = server.client()?;
        client.queue_raw(bytes);
        client.flush()?;
        clients.push(client);
    }
    // Two turns of another client say that the server has read what was sent before.
    let mut other = server.client()?;
    for _ in 0..2 {
        other.ask(&["PING"])?;
    }
    Ok(format!("{count} held"))
}

fn never_reads(server: &Server) -> Result<String> {
    let mut client = server.client()?;
    client.ask(&["SET", "never-read", &"v".repeat(1000)])?;
    let mut one = Vec::new();
    encode_command(&mut one, &["GET", "never-read"]);
    let bytes = one.repeat(1_000_000);
    let sent = send_until_refused(server, &bytes, Duration::from_secs(10))?;
    client.ask(&["DEL", "never-read"])?;
    Ok(format!("{} of {} requests taken", sent / one.len(), bytes.len() / one.len()))
}

fn come_and_go(server: &Server) -> Result<String> {
    for n in 0..2_000_u32 {
        let mut client = server.client()?;
        match n % 3 {
            0 => client.queue_raw(b"*1\r\n$4\r\nPI"),
            1 => client.queue(&["GET", "marker"]),
            _ => {}
        }
        client.flush()?;
    }
    Ok("all taken".to_owned())
}

fn largest_argument(server: &Server) -> Result<String> {
    let mut client = server.client()?;
    let value = vec![b'x'; ARGUMENT_MAX];
    let reply = client.call(&[&b"SET"[..], b"large", &value])?;
    drop(value);
    ensure!(reply.is_simple("OK"), "SET of 512 MB was answered with {reply}");
    let length = client.ask_integer(&["STRLEN", "large"])?;
    ensure!(usize::try_from(length) == Ok(ARGUMENT_MAX), "{length} bytes arrived");
    client.ask(&["DEL", "large"])?;
    Ok("stored and deleted".to_owned())
}

/// Sends without reading a single reply, until all is sent, the server closes, or it has taken nothing for two seconds.
/// Returns how many bytes it took.
fn send_until_refused(server: &Server, bytes: &[u8], give_up_after: Duration) -> Result<usize> {
    const STALL: Duration = Duration::from_secs(2);
    let client = Client::connect(server.port())?;
    let mut stream = client.stream();
    stream.set_write_timeout(Some(STALL)).context("setting the write timeout")?;
    let give_up_at = Instant::now() + give_up_after;
    let mut sent = 0;
    while sent < bytes.len() && Instant::now() < give_up_at {
        let end = bytes.len().min(sent + 64 * 1024);
        match stream.write(&bytes[sent..end]) {
            Ok(count) => sent += count,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => break,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => break,
                _ => bail!("sending: {error}"),
            },
        }
    }
    // Still connected, still not reading: this is when a server without bounds grows.
    server.client()?.ask(&["PING"])?;
    Ok(sent)
}
