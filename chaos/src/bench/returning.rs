//! An old master that comes back after a failover: its last writes never reached anybody, so its stream has parted from the
//! new master's. What it takes to bring it in step, in time and in bytes over the link.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::files::name_of;
use super::load::{pipelined, value_of};
use crate::console::say;
use crate::proxy::Proxy;
use crate::replication::{
    SyncCounters, ensure_same_data, follow, info, info_number, wait_for_equal_offsets, wait_for_link,
};
use crate::servers::{Binary, Server, ServerKind};

const VALUE_BYTES: usize = 100;
/// Writes of the old master that nobody has, and of the new one.
const WRITES_LOST: u64 = 10_000;
const WRITES_SINCE: u64 = 100_000;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Measures redis-server and the node, and prints them below each other.
pub(super) fn compare(node: &Binary, keys: u64) -> Result<()> {
    say(format_args!(
        "old master of {keys} keys returns after a failover: {WRITES_LOST} writes of its own were lost, {WRITES_SINCE} \
         came since"
    ));
    say(format_args!(
        "{:<12}{:>12}{:>16}{:>18}   {}",
        "", "link up s", "MB received", "MB written since", "resyncs of the new master"
    ));
    for binary in [Binary::stock(ServerKind::Redis70)?, node.clone()] {
        let figures = measure(&binary, keys).with_context(|| format!("measuring {binary}"))?;
        say(format_args!(
            "{:<12}{:>12.2}{:>16.1}{:>18.1}   {}",
            binary.to_string(),
            figures.seconds,
            figures.bytes_received as f64 / 1e6,
            figures.bytes_since as f64 / 1e6,
            figures.resyncs,
        ));
    }
    say("");
    Ok(())
}

struct Figures {
    seconds: f64,
    bytes_received: u64,
    bytes_since: u64,
    resyncs: SyncCounters,
}

fn measure(binary: &Binary, keys: u64) -> Result<Figures> {
    let settings: &[&str] = if binary.is_stock() {
        &["--appendonly", "no", "--save", "", "--repl-backlog-size", "64mb"]
    } else {
        &["--repl-backlog-size", "64mb", "--save", ""]
    };
    let old = Server::start(binary, settings)?;
    let new = Server::start(binary, settings)?;
    write(&old, 0, keys)?;
    follow(&new, old.port())?;
    wait_for_link(&new)?;
    wait_for_equal_offsets(&old, &new)?;
    let full_before = SyncCounters::of(&new)?.full;
    new.client()?.ask(&["REPLICAOF", "NO", "ONE"])?;
    write(&old, keys, WRITES_LOST)?;
    let promoted_at = info_number(&new, "replication", "master_repl_offset")?;
    write(&new, keys + WRITES_LOST, WRITES_SINCE)?;
    let bytes_since = info_number(&new, "replication", "master_repl_offset")? - promoted_at;

    let proxy = Proxy::start(new.port())?;
    let begun = Instant::now();
    follow(&old, proxy.port())?;
    loop {
        let fields = info(&old, "replication")?;
        if fields.get("role").is_some_and(|role| role == "slave")
            && fields.get("master_link_status").is_some_and(|status| status == "up")
        {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "not there after {PATIENCE:?}: {}", old.log_tail());
        thread::sleep(LOOK_PERIOD);
    }
    let seconds = begun.elapsed().as_secs_f64();
    ensure_same_data(&new, &old)?;
    let resyncs = SyncCounters::of(&new)?;
    let bytes_received = proxy.bytes_from_target();
    Ok(Figures {
        seconds,
        bytes_received,
        bytes_since,
        resyncs: SyncCounters { full: resyncs.full - full_before, ..resyncs },
    })
}

fn write(server: &Server, from: u64, count: u64) -> Result<()> {
    let value = value_of(VALUE_BYTES);
    let mut client = server.client()?;
    pipelined(&mut client, count, |client, n| {
        client.queue(&[&b"SET"[..], &name_of(from + n), &value]);
    })
}
