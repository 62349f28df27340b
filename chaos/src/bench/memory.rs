//! Memory per key: growth of the resident set while keys are loaded, divided by their number.

use anyhow::{Result, ensure};

use super::load::{pipelined, value_of};
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
    Ok(())
}

fn bytes_per_key(binary: &Binary, keys: u64, has_ttl: bool) -> Result<f64> {
    // The default: redis-server takes no backlog before its first replica comes, the node's log runs from the start.
    let server = Server::start(binary, &["--repl-backlog-size", "1mb"])?;
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
