//! Memory per key, and per member of collections: growth of the resident set while keys are loaded, divided by
//! their number.

use anyhow::{Result, ensure};

use super::in_memory;
use super::load::{pipelined, value_of};
use crate::client::Client;
use crate::console::say;
use crate::servers::{Binary, Server};

const VALUE_BYTES: usize = 64;

/// Measures both servers, freshly started for each case, and prints bytes per key.
pub(super) fn compare(redis: &Binary, node: &Binary, keys: u64) -> Result<()> {
    say(format_args!("memory per key, {keys} keys of 20 B with values of {VALUE_BYTES} B"));
    say(format_args!("{:<14}{:>12}{:>12}{:>12}", "", "redis B", "node B", "node/redis"));
    for (label, has_ttl) in [("without TTL", false), ("with TTL", true)] {
        let of_redis = bytes_per_key(redis, keys, has_ttl)?;
        let of_node = bytes_per_key(node, keys, has_ttl)?;
        say(format_args!("{label:<14}{of_redis:>12.1}{of_node:>12.1}{:>12.2}", of_node / of_redis));
    }
    say("");
    compare_collections(redis, node, keys)
}

/// Writes that fill the log, which the node keeps from the start and redis-server from its first replica on: it is no
/// part of what a key takes.
const FILLING_WRITES: u64 = 20_000;

/// Starts a server for one measurement.
fn start(binary: &Binary) -> Result<Server> {
    let server = Server::start(binary, &[in_memory(binary), &["--repl-backlog-size", "1mb"]].concat())?;
    let mut client = server.client()?;
    pipelined(&mut client, FILLING_WRITES, |client, _| {
        client.queue(&[&b"SET"[..], b"filling", &value_of(VALUE_BYTES)]);
    })?;
    client.ask(&["DEL", "filling"])?;
    Ok(server)
}

/// Members of a small collection.
const SMALL_MEMBERS: u64 = 10;

/// Adds one member to a collection, given its key, the member and its number.
type Add = fn(&mut Client, &str, &str, u64);

/// The same members in many collections and in a single one.
fn compare_collections(redis: &Binary, node: &Binary, members: u64) -> Result<()> {
    let kinds: [(&str, Add); 4] = [
        ("hash, 20 B field, 64 B value", |client, key, member, _| {
            client.queue(&[&b"HSET"[..], key.as_bytes(), member.as_bytes(), &value_of(VALUE_BYTES)]);
        }),
        ("set, 20 B", |client, key, member, _| client.queue(&["SADD", key, member])),
        ("sorted set, 20 B", |client, key, member, n| client.queue(&["ZADD", key, &n.to_string(), member])),
        ("list, 20 B", |client, key, member, _| client.queue(&["RPUSH", key, member])),
    ];
    say(format_args!("memory per member, {members} members, in collections of {SMALL_MEMBERS} and in one"));
    say(format_args!("{:<38}{:>12}{:>12}{:>12}", "", "redis B", "node B", "node/redis"));
    for (name, add) in kinds {
        for (label, each) in [("small", SMALL_MEMBERS), ("large", members)] {
            let of_redis = bytes_per_member(redis, members, each, add)?;
            let of_node = bytes_per_member(node, members, each, add)?;
            let name = format!("{name}, {label}");
            say(format_args!("{name:<38}{of_redis:>12.1}{of_node:>12.1}{:>12.2}", of_node / of_redis));
        }
    }
    say("");
    Ok(())
}

fn bytes_per_member(binary: &Binary, members: u64, each: u64, add: Add) -> Result<f64> {
    let server = start(binary)?;
    let mut client = server.client()?;
    let before = server.memory()?.resident;
    pipelined(&mut client, members, |client, n| {
        add(client, &format!("key:{:016}", n / each), &format!("member:{n:013}"), n);
    })?;
    let grown = server.memory()?.resident.saturating_sub(before);
    Ok(grown as f64 / members as f64)
}

fn bytes_per_key(binary: &Binary, keys: u64, has_ttl: bool) -> Result<f64> {
    let server = start(binary)?;
    let mut client = server.client()?;
    let value = value_of(VALUE_BYTES);
    let before = server.memory()?.resident;
    pipelined(&mut client, keys, |client, n| {
        let key = format!("key:{n:016}");
        let plain: [&[u8]; 5] = [b"SET", key.as_bytes(), &value, b"EX", b"1000000"];
        client.queue(if has_ttl { &plain } else { &plain[..3] });
    })?;
    let stored = client.ask_integer(&["DBSIZE"])?;
    ensure!(u64::try_from(stored) == Ok(keys), "{binary} holds {stored} keys after {keys} were loaded");
    let grown = server.memory()?.resident.saturating_sub(before);
    Ok(grown as f64 / keys as f64)
}
