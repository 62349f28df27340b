//! Finds what differs when two digests do: key by key, for the report.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::client::{Client, Reply};
use crate::console::quoted;
use crate::differential::generate::DATABASES;
use crate::differential::pair::Both;

/// The first key that is not the same on both servers, as each shows it; `None` if no difference can be seen this way.
pub(super) fn first_difference(both: &mut Both) -> Result<Option<(String, String)>> {
    for db in DATABASES {
        both.call(&["SELECT", &db.to_string()])?;
        let mut keys = all_keys(&mut both.oracle)?;
        keys.extend(all_keys(&mut both.subject)?);
        for key in keys {
            let expected = contents(&mut both.oracle, &key)?;
            let actual = contents(&mut both.subject, &key)?;
            if expected != actual {
                let place = format!("db {db} key {}", quoted(&key));
                return Ok(Some((format!("{place}: {expected}"), format!("{place}: {actual}"))));
            }
        }
    }
    Ok(None)
}

fn all_keys(client: &mut Client) -> Result<BTreeSet<Vec<u8>>> {
    let reply = client.call(&["KEYS", "*"])?;
    Ok(reply.elements().unwrap_or_default().iter().filter_map(Reply::bytes).map(<[u8]>::to_vec).collect())
}

/// Type, value and whether it expires: what the digest covers.
fn contents(client: &mut Client, key: &[u8]) -> Result<String> {
    let kind = client.call(&[&b"TYPE"[..], key])?;
    let expires = match client.call(&[&b"PTTL"[..], key])? {
        Reply::Integer(-1) => "no expiry",
        _ => "expires",
    };
    let value = match kind.text().unwrap_or_default().as_str() {
        "hash" => {
            let flat = client.call(&[&b"HGETALL"[..], key])?;
            let mut pairs: Vec<String> =
                flat.elements().unwrap_or_default().chunks(2).map(|pair| format!("{pair:?}")).collect();
            pairs.sort();
            pairs.join(", ")
        }
        "set" => {
            let all = client.call(&[&b"SMEMBERS"[..], key])?;
            let mut members: Vec<String> =
                all.elements().unwrap_or_default().iter().map(ToString::to_string).collect();
            members.sort();
            members.join(", ")
        }
        "zset" => client.call(&[&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"])?.to_string(),
        "list" => client.call(&[&b"LRANGE"[..], key, b"0", b"-1"])?.to_string(),
        _ => client.call(&[&b"GET"[..], key])?.to_string(),
    };
    Ok(format!("{kind} ({expires}) {value}"))
}
