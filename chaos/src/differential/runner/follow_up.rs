//! Judging replies that Redis leaves open, by asking both servers more.

use std::collections::BTreeSet;

use anyhow::{Context, Result};

use super::{Run, Sent, Stop, differs};
use crate::client::{Client, Reply};
use crate::differential::compare::{Comparison, upper};

/// A scan that needs more pages than this does not end.
const PAGES_MAX: usize = 100_000;

impl Run<'_> {
    /// Called with replies that are alike at first sight, outside of transactions and pipelines.
    pub(super) fn follow_up(
        &mut self,
        connection: usize,
        command: &Sent,
        comparison: Comparison,
        expected: &Reply,
        actual: &Reply,
    ) -> Result<(), Stop> {
        let both = &mut self.connections[connection];
        let is_same = match comparison {
            Comparison::Scan => {
                let all_expected = scan_to_end(&mut both.oracle, &command.args, expected)?;
                let all_actual = scan_to_end(&mut both.subject, &command.args, actual)?;
                all_expected == all_actual
            }
            Comparison::RandomKey => both_exist(both, expected, actual)?,
            Comparison::RandomPop => {
                put_back(&mut both.oracle, &command.args[1], expected)?;
                put_back(&mut both.subject, &command.args[1], actual)?;
                expected == actual
                    || size(expected).is_some() && size(expected) == size(actual)
                    || expected.bytes().is_some() && actual.bytes().is_some()
            }
            Comparison::RandomFields => {
                let key: &[u8] = &command.args[1];
                let (all, _) = match upper(&command.args, 0).as_str() {
                    "SRANDMEMBER" => both.call(&[b"SMEMBERS", key])?,
                    "ZRANDMEMBER" => both.call(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])?,
                    _ => both.call(&[b"HGETALL", key])?,
                };
                random_fields_hold(&command.args, &all, expected)
                    && random_fields_hold(&command.args, &all, actual)
                    && size(expected) == size(actual)
            }
            _ => true,
        };
        if is_same { Ok(()) } else { Err(differs(command, expected, actual)) }
    }
}

/// Adds what SPOP took out to the set again: each server drew others.
fn put_back(client: &mut Client, key: &[u8], popped: &Reply) -> Result<()> {
    let members: Vec<&[u8]> = match popped.elements() {
        Some(elements) => elements.iter().filter_map(Reply::bytes).collect(),
        None => popped.bytes().into_iter().collect(),
    };
    if !members.is_empty() {
        let mut command = vec![&b"SADD"[..], key];
        command.extend(members);
        client.call(&command)?;
    }
    Ok(())
}

/// All that a scan returns, without repetitions: names for SCAN, names with their values for HSCAN.
fn scan_to_end(client: &mut Client, args: &[Vec<u8>], first: &Reply) -> Result<BTreeSet<String>> {
    let (cursor_at, stride) = match upper(args, 0).as_str() {
        "SCAN" => (1, 1),
        "SSCAN" => (2, 1),
        _ => (2, 2),
    };
    let mut found = BTreeSet::new();
    let mut args = args.to_vec();
    let mut page = first.clone();
    for _ in 0..PAGES_MAX {
        let (cursor, items) = match page.elements() {
            Some([cursor, items]) => (cursor.bytes(), items.elements()),
            _ => (None, None),
        };
        let (cursor, items) = cursor.zip(items).with_context(|| format!("not a page of a scan: {page}"))?;
        found.extend(items.chunks(stride).map(|item| format!("{item:?}")));
        if cursor == b"0" {
            return Ok(found);
        }
        args[cursor_at] = cursor.to_vec();
        page = client.call(&args)?;
    }
    anyhow::bail!("a scan did not end within {PAGES_MAX} pages")
}

/// Nothing on both sides, or on each side a key that the other one has too.
fn both_exist(both: &mut super::Both, expected: &Reply, actual: &Reply) -> Result<bool> {
    let (Some(expected), Some(actual)) = (expected.bytes(), actual.bytes()) else {
        return Ok(expected == actual);
    };
    let counts = both.call(&[&b"EXISTS"[..], expected, actual])?;
    Ok(counts == (Reply::Integer(2), Reply::Integer(2)))
}

/// Whether each field or member is there (with its value or score, if that was asked for), and none twice unless the count
/// allows it.
fn random_fields_hold(args: &[Vec<u8>], all: &Reply, reply: &Reply) -> bool {
    let is_of_set = upper(args, 0) == "SRANDMEMBER";
    let Some(pairs) = pairs_of(all, is_of_set) else { return false };
    let Some(elements) = reply.elements() else {
        return match reply.bytes() {
            Some(field) => pairs.iter().any(|(own, _)| own == field),
            None => reply.is_null(),
        };
    };
    let with_values = args.len() > 3;
    let mut seen = BTreeSet::new();
    let mut flat = Vec::new();
    for element in elements {
        match element.elements() {
            Some(pair) => flat.extend(pair.iter().filter_map(payload)),
            None => flat.extend(payload(element)),
        }
    }
    let is_distinct = args.get(2).is_none_or(|count| !count.starts_with(b"-"));
    flat.chunks(if with_values { 2 } else { 1 }).all(|item| {
        let known = pairs.iter().find(|(field, _)| field == item[0]);
        let value_fits = |value: &Vec<u8>| item.get(1).is_none_or(|own| own == value);
        known.is_some_and(|(_, value)| value_fits(value)) && (seen.insert(item[0]) || !is_distinct)
    })
}

/// The bytes of a string or a score.
fn payload(reply: &Reply) -> Option<&[u8]> {
    match reply {
        Reply::Double(text) => Some(text.as_bytes()),
        _ => reply.bytes(),
    }
}

/// Names with their values, whatever the version of the protocol; members of sets without any.
fn pairs_of(reply: &Reply, is_of_set: bool) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    if is_of_set {
        return reply.elements()?.iter().map(|member| Some((member.bytes()?.to_vec(), Vec::new()))).collect();
    }
    let flat: Vec<&Reply> = match reply {
        Reply::Map(pairs) => pairs.iter().flat_map(|(field, value)| [field, value]).collect(),
        Reply::Array(elements) => elements
            .iter()
            .flat_map(|element| element.elements().map_or(vec![element], |pair| pair.iter().collect()))
            .collect(),
        _ => return None,
    };
    let pairs =
        flat.chunks_exact(2).map(|pair| Some((payload(pair[0])?.to_vec(), payload(pair[1])?.to_vec())));
    pairs.collect()
}

fn size(reply: &Reply) -> Option<(usize, bool)> {
    let elements = reply.elements()?;
    Some((elements.len(), elements.first().is_some_and(|first| first.elements().is_some())))
}
