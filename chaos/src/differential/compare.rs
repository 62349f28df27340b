//! How two replies to the same command are compared: exactly, unless Redis itself leaves something open.

use std::collections::BTreeMap;

use crate::client::Reply;

/// What "the same reply" means for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// Equal to the byte, types included.
    Exact,
    /// An array, equal as a multiset.
    Elements,
    /// A map, or an array of names and values in turn, equal as a multiset of pairs.
    Pairs,
    /// A time that began to run on the two servers at slightly different moments, in milliseconds.
    TimeMs,
    /// The same in seconds.
    TimeSeconds,
    /// Of the same type and nothing more: ids, idle times, pages of a scan inside a transaction.
    Kind,
    /// HELLO: the same names, and equal values but for server, version, id and modules.
    Hello,
    /// A whole SCAN, HSCAN or the like, all pages of each server merged; the runner asks for the pages.
    Scan,
    /// RANDOMKEY: something that exists; the runner asks.
    RandomKey,
    /// HRANDFIELD and its kin: fields or members that exist, distinct or as many as asked for; the runner asks.
    RandomFields,
    /// SPOP: as many members on both sides; the runner puts them back.
    RandomPop,
}

/// Name (and where it matters subcommand) in capitals.
pub(super) fn upper(args: &[Vec<u8>], index: usize) -> String {
    args.get(index).map(|arg| String::from_utf8_lossy(arg).to_ascii_uppercase()).unwrap_or_default()
}

fn has(args: &[Vec<u8>], word: &str) -> bool {
    args.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
}

impl Comparison {
    pub(super) fn of(args: &[Vec<u8>]) -> Self {
        match upper(args, 0).as_str() {
            "KEYS" | "HKEYS" | "HVALS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" => Self::Elements,
            "HGETALL" => Self::Pairs,
            "TTL" | "EXPIRETIME" => Self::TimeSeconds,
            "PTTL" | "PEXPIRETIME" => Self::TimeMs,
            // Only a scan from the start has a result that does not depend on how cursors are made.
            "SCAN" if args.get(1).is_some_and(|cursor| cursor == b"0") => Self::Scan,
            "HSCAN" | "SSCAN" | "ZSCAN" if args.get(2).is_some_and(|cursor| cursor == b"0") => Self::Scan,
            "SCAN" | "HSCAN" | "SSCAN" | "ZSCAN" => Self::Kind,
            // Unsorted, a set comes as it lies.
            "SORT" | "SORT_RO" if has(args, "nosort") && has(args, "limit") => Self::Kind,
            "SORT" | "SORT_RO" if has(args, "nosort") => Self::Elements,
            "SPOP" => Self::RandomPop,
            "RANDOMKEY" => Self::RandomKey,
            "HRANDFIELD" | "SRANDMEMBER" | "ZRANDMEMBER" => Self::RandomFields,
            "HELLO" => Self::Hello,
            "CLIENT" if matches!(upper(args, 1).as_str(), "ID" | "INFO" | "LIST") => Self::Kind,
            "OBJECT" if matches!(upper(args, 1).as_str(), "REFCOUNT" | "IDLETIME") => Self::Kind,
            // Without names it tells how long everything took that came before.
            "LATENCY" if args.len() == 2 && upper(args, 1) == "HISTOGRAM" => Self::Kind,
            _ => Self::Exact,
        }
    }

    /// Whether the runner must ask more, which it cannot in a pipeline or a transaction.
    pub(super) fn needs_follow_up(self) -> bool {
        matches!(self, Self::Scan | Self::RandomKey | Self::RandomFields | Self::RandomPop)
    }

    /// What remains of it where the runner cannot ask.
    pub(super) fn without_follow_up(self) -> Self {
        if self.needs_follow_up() { Self::Kind } else { self }
    }

    /// Whether the replies are the same by this measure. `tolerance_ms` bounds how much later a command reached one
    /// server than the other.
    pub(super) fn holds(self, expected: &Reply, actual: &Reply, tolerance_ms: i64) -> bool {
        if expected == actual {
            return true;
        }
        match self {
            Self::Exact => false,
            Self::Elements => same_elements(expected, actual),
            Self::Pairs => same_pairs(expected, actual),
            Self::TimeMs => within(expected, actual, tolerance_ms),
            Self::TimeSeconds => within(expected, actual, 1 + tolerance_ms / 1000),
            Self::Kind | Self::Scan | Self::RandomKey | Self::RandomFields | Self::RandomPop => {
                same_kind(expected, actual)
            }
            Self::Hello => same_hello(expected, actual),
        }
    }
}

/// The reply of EXEC: each element must satisfy `is_same` with the command that was queued.
pub(super) fn same_transaction(
    queued: &[Vec<Vec<u8>>],
    expected: &Reply,
    actual: &Reply,
    mut is_same: impl FnMut(&[Vec<u8>], &Reply, &Reply) -> bool,
) -> bool {
    match (expected, actual) {
        (Reply::Array(expected), Reply::Array(actual)) => {
            expected.len() == actual.len()
                && expected.len() == queued.len()
                && queued
                    .iter()
                    .zip(expected.iter().zip(actual))
                    .all(|(args, (one, other))| is_same(args, one, other))
        }
        _ => expected == actual,
    }
}

fn same_elements(expected: &Reply, actual: &Reply) -> bool {
    if std::mem::discriminant(expected) != std::mem::discriminant(actual) {
        return false;
    }
    let (Some(expected), Some(actual)) = (expected.elements(), actual.elements()) else { return false };
    counted(expected.iter()) == counted(actual.iter())
}

fn same_pairs(expected: &Reply, actual: &Reply) -> bool {
    match (expected, actual) {
        (Reply::Map(expected), Reply::Map(actual)) => counted(expected.iter()) == counted(actual.iter()),
        (Reply::Array(expected), Reply::Array(actual)) => {
            expected.len() % 2 == 0 && counted(expected.chunks(2)) == counted(actual.chunks(2))
        }
        _ => false,
    }
}

/// How often each item occurs. Items are told apart by how they are printed in full.
fn counted<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for item in items {
        *counts.entry(format!("{item:?}")).or_default() += 1;
    }
    counts
}

/// Negative numbers are answers ("no such key"), not times.
fn within(expected: &Reply, actual: &Reply, tolerance: i64) -> bool {
    let (Reply::Integer(expected), Reply::Integer(actual)) = (expected, actual) else { return false };
    *expected >= 0 && *actual >= 0 && expected.abs_diff(*actual) <= tolerance.unsigned_abs()
}

fn same_kind(expected: &Reply, actual: &Reply) -> bool {
    std::mem::discriminant(expected) == std::mem::discriminant(actual) && !expected.is_error()
}

fn same_hello(expected: &Reply, actual: &Reply) -> bool {
    let open = |name: &Reply| {
        ["server", "version", "id", "modules"].iter().any(|open| name.bytes() == Some(open.as_bytes()))
    };
    let (Some(expected), Some(actual)) = (hello_fields(expected), hello_fields(actual)) else { return false };
    expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|((name, value), (other_name, other_value))| {
            name == other_name && (value == other_value || (open(name) && same_kind(value, other_value)))
        })
}

fn hello_fields(reply: &Reply) -> Option<Vec<(Reply, Reply)>> {
    match reply {
        Reply::Map(pairs) => Some(pairs.clone()),
        Reply::Array(flat) if flat.len() % 2 == 0 => {
            Some(flat.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulks(texts: &[&str]) -> Reply {
        Reply::Array(texts.iter().map(|text| Reply::Bulk(text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn order_counts_only_where_redis_keeps_it() {
        assert!(Comparison::Elements.holds(&bulks(&["a", "b", "b"]), &bulks(&["b", "a", "b"]), 0));
        assert!(!Comparison::Elements.holds(&bulks(&["a", "b", "b"]), &bulks(&["a", "a", "b"]), 0));
        assert!(Comparison::Pairs.holds(&bulks(&["a", "1", "b", "2"]), &bulks(&["b", "2", "a", "1"]), 0));
        assert!(!Comparison::Pairs.holds(&bulks(&["a", "1", "b", "2"]), &bulks(&["a", "2", "b", "1"]), 0));
        assert!(!Comparison::Exact.holds(&bulks(&["a", "b"]), &bulks(&["b", "a"]), 0));
    }

    #[test]
    fn how_long_commands_took_is_not_compared_and_those_that_never_came_are() {
        let histogram = |names: &[&str]| {
            let words = ["LATENCY", "histogram"].iter().chain(names).map(|word| word.as_bytes().to_vec());
            Comparison::of(&words.collect::<Vec<_>>())
        };
        assert_eq!(histogram(&[]), Comparison::Kind);
        assert_eq!(histogram(&["nosuch"]), Comparison::Exact);
    }

    #[test]
    fn times_have_a_tolerance_and_answers_have_none() {
        assert!(Comparison::TimeMs.holds(&Reply::Integer(1000), &Reply::Integer(998), 2));
        assert!(!Comparison::TimeMs.holds(&Reply::Integer(1000), &Reply::Integer(990), 2));
        assert!(!Comparison::TimeMs.holds(&Reply::Integer(-1), &Reply::Integer(-2), 2));
        assert!(!Comparison::Kind.holds(&Reply::Error("ERR a".into()), &Reply::Error("ERR b".into()), 0));
    }
}
