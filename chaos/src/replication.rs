//! What checks of replication need: attach a replica, wait until it has caught up, compare both ends.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;
use crate::servers::Server;
use crate::wait;

/// The lines of INFO (all sections, or one) by their names.
pub fn info(server: &Server, section: &str) -> Result<BTreeMap<String, String>> {
    let text = server.client()?.ask_text(&["INFO", section])?;
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// A number from INFO.
pub fn info_number(server: &Server, section: &str, field: &str) -> Result<u64> {
    let fields = info(server, section)?;
    let value = fields.get(field).with_context(|| format!("INFO {section} has no {field}"))?;
    value.parse().with_context(|| format!("{field} is not a number: {value}"))
}

/// How replicas were brought up to date by a master since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncCounters {
    /// Full syncs.
    pub full: u64,
    /// Partial syncs granted.
    pub partial_ok: u64,
    /// Partial syncs refused.
    pub partial_err: u64,
}

impl SyncCounters {
    /// Reads them from INFO.
    pub fn of(master: &Server) -> Result<Self> {
        let number = |field| info_number(master, "stats", field);
        Ok(Self {
            full: number("sync_full")?,
            partial_ok: number("sync_partial_ok")?,
            partial_err: number("sync_partial_err")?,
        })
    }
}

impl fmt::Display for SyncCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sync_full={} sync_partial_ok={} sync_partial_err={}",
            self.full, self.partial_ok, self.partial_err
        )
    }
}

/// Tells `replica` to follow whatever answers on `port`: a master or a proxy before it.
pub fn follow(replica: &Server, port: u16) -> Result<()> {
    replica.client()?.ask(&["REPLICAOF", "127.0.0.1", &port.to_string()])?;
    Ok(())
}

/// Waits until the replica's link is up, that is, until it has loaded its master's data set.
pub fn wait_for_link(replica: &Server) -> Result<()> {
    let up = |fields: BTreeMap<String, String>| {
        let is = |name: &str, value: &str| fields.get(name).is_some_and(|own| own == value);
        is("role", "slave") && is("master_link_status", "up")
    };
    wait::until(&format!("the link of {} to its master to be up", replica.binary()), || {
        Ok(up(info(replica, "replication")?))
    })
    .with_context(|| format!("the end of its log:\n{}", replica.log_tail()))
}

/// Waits until the replica's link is seen to be down.
pub fn wait_for_link_loss(replica: &Server) -> Result<()> {
    wait::until(&format!("{} to notice that its link is cut", replica.binary()), || {
        Ok(info(replica, "replication")?.get("master_link_status").is_some_and(|status| status == "down"))
    })
}

/// Waits until the replica has applied all that the master has, by their offsets, and returns that offset. The master
/// must not be written to meanwhile.
pub fn wait_for_equal_offsets(master: &Server, replica: &Server) -> Result<u64> {
    wait_for_link(replica)?;
    wait::until_some(&format!("{} to reach the offset of {}", replica.binary(), master.binary()), || {
        let behind = info_number(replica, "replication", "slave_repl_offset")?;
        let ahead = info_number(master, "replication", "master_repl_offset")?;
        if behind != ahead {
            bail!("master at {ahead}, replica at {behind}");
        }
        Ok(Some(ahead))
    })
}

/// DEBUG DIGEST: forty digits that are equal where the data sets are.
pub fn digest(client: &mut Client) -> Result<String> {
    client.ask_text(&["DEBUG", "DIGEST"])
}

/// Waits for equal offsets, then insists on equal replids and digests. Returns offset and digest, for a report.
pub fn ensure_same_data(master: &Server, replica: &Server) -> Result<(u64, String)> {
    let offset = wait_for_equal_offsets(master, replica)?;
    let replid =
        |server| -> Result<Option<String>> { Ok(info(server, "replication")?.remove("master_replid")) };
    let (of_master, of_replica) = (replid(master)?, replid(replica)?);
    ensure!(of_master == of_replica, "replids differ: {of_master:?} and {of_replica:?}");
    let own = digest(&mut master.client()?)?;
    let other = digest(&mut replica.client()?)?;
    ensure!(
        own == other,
        "digests differ at offset {offset}: {} has {own}, {} has {other}",
        master.binary(),
        replica.binary()
    );
    Ok((offset, own))
}
