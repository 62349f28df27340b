//! Fills servers with the keys that redis-benchmark's requests name.

use anyhow::Result;

use super::redis_benchmark::Workload;

use crate::client::Client;
use crate::servers::Server;

/// Commands sent before their replies are read. Their replies are short, so neither side ever waits for the other.
const AT_ONCE: u64 = 1_000;

/// Elements of the list that ranges are read from.
const LRANGE_ELEMENTS: u64 = 1_000;

/// All keys, counters and hash fields that the tests can name, each once.
pub(super) fn preload(server: &Server, tests: &[String], keys: u64, size: usize) -> Result<()> {
    let mut client = server.client()?;
    let value = value_of(size);
    let has = |test: &str| tests.iter().any(|own| own == test);
    if has("get") || has("set") || has("mset") {
        pipelined(&mut client, keys, |client, n| {
            client.queue(&[&b"SET"[..], format!("key:{n:012}").as_bytes(), &value]);
        })?;
    }
    if has("incr") {
        // Past the small integers that redis-server shares between keys.
        pipelined(&mut client, keys, |client, n| {
            client.queue(&["SET", &format!("counter:{n:012}"), "100000"]);
        })?;
    }
    if has("hset") {
        pipelined(&mut client, keys, |client, n| {
            client.queue(&[&b"HSET"[..], b"myhash", format!("element:{n:012}").as_bytes(), &value]);
        })?;
    }
    if has("sadd") {
        fill_set(&mut client, keys)?;
    }
    if has("zadd") {
        fill_sorted_set(&mut client, keys)?;
    }
    Ok(())
}

/// What a test needs before each of its measurements: elements to take away, or a list of known length.
pub(super) fn prepare(server: &Server, workload: &Workload, operations: u64) -> Result<()> {
    let mut client = server.client()?;
    match workload.test.as_str() {
        "lpush" | "rpush" => {
            client.ask(&["DEL", "mylist"])?;
        }
        "lpop" | "rpop" => fill_list(&mut client, operations, workload.size)?,
        test if test.starts_with("lrange") => fill_list(&mut client, LRANGE_ELEMENTS, workload.size)?,
        "spop" => {
            client.ask(&["DEL", "myset"])?;
            fill_set(&mut client, operations)?;
        }
        "zpopmin" => {
            client.ask(&["DEL", "myzset"])?;
            fill_sorted_set(&mut client, operations)?;
        }
        _ => {}
    }
    Ok(())
}

fn fill_list(client: &mut Client, count: u64, size: usize) -> Result<()> {
    let value = value_of(size);
    client.ask(&["DEL", "mylist"])?;
    pipelined(client, count, |client, _| client.queue(&[&b"RPUSH"[..], b"mylist", &value]))
}

fn fill_set(client: &mut Client, count: u64) -> Result<()> {
    pipelined(client, count, |client, n| client.queue(&["SADD", "myset", &format!("element:{n:012}")]))
}

fn fill_sorted_set(client: &mut Client, count: u64) -> Result<()> {
    pipelined(client, count, |client, n| {
        client.queue(&["ZADD", "myzset", &n.to_string(), &format!("element:{n:012}")]);
    })
}

/// Calls `queue` for every number below `count` and sends what it queues; no reply may be an error.
pub(super) fn pipelined(
    client: &mut Client,
    count: u64,
    mut queue: impl FnMut(&mut Client, u64),
) -> Result<()> {
    let mut done = 0;
    while done < count {
        let end = count.min(done + AT_ONCE);
        for n in done..end {
            queue(client, n);
        }
        client.flush()?;
        client.skip_replies(usize::try_from(end - done)?)?;
        done = end;
    }
    Ok(())
}

/// Bytes that look like text and do not compress to nothing.
pub(super) fn value_of(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().step_by(7).take(size).collect()
}
