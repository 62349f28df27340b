//! The one list of differences that are allowed, each with its reason.
//!
//! Review every line that is added here: against [`Oracle::Redis7`] it is a promise of compatibility that is not kept, and
//! against the later servers it is a difference between versions, where we do as 7.0 does. What Redis itself leaves open
//! (orders, random picks, ids) is not an exception; it belongs to `compare.rs`.

use super::Oracle;
use super::compare::upper;
use crate::client::Reply;

/// A difference that is let pass. It must leave the data of both servers equal.
struct Exception {
    oracles: &'static [Oracle],
    /// Command, and subcommand behind a blank where only that one is meant.
    command: &'static str,
    /// Which pairs of replies: the oracle's and the subject's.
    replies: fn(&Reply, &Reply) -> bool,
    reason: &'static str,
}

/// A command that does something else on this oracle, so that the data would differ: it is not sent to either server.
struct LeftOut {
    oracles: &'static [Oracle],
    command: &'static str,
    /// Which uses of it, given the arguments and whether they come inside MULTI.
    when: fn(&[Vec<u8>], bool) -> bool,
    reason: &'static str,
}

/// An event of keys that is not compared where this command was executed.
struct EventLeftOut {
    oracles: &'static [Oracle],
    command: &'static str,
    event: &'static str,
    reason: &'static str,
}

const EVENTS_LEFT_OUT: &[EventLeftOut] = &[
    EventLeftOut {
        oracles: &[Oracle::Redis7],
        command: "BITCOUNT",
        event: "keymiss",
        reason: "7.0 looks for the key before it reads the range; 7.2 and we the other way round",
    },
    EventLeftOut {
        oracles: &[Oracle::Redis7],
        command: "BITPOS",
        event: "keymiss",
        reason: "as for BITCOUNT",
    },
    EventLeftOut {
        oracles: ALL,
        command: "SORT",
        event: "keymiss",
        reason: "the members of a set are looked up in whatever order they lie",
    },
    EventLeftOut { oracles: ALL, command: "SORT_RO", event: "keymiss", reason: "as for SORT" },
];

const ALL: &[Oracle] = &[Oracle::Redis7, Oracle::Redis8, Oracle::Valkey9];
const LATER: &[Oracle] = &[Oracle::Redis8, Oracle::Valkey9];

/// A command that waits until a time.
const fn with_far_timeout(command: &'static str) -> Exception {
    Exception {
        oracles: &[Oracle::Redis7],
        command,
        replies: |expected, actual| {
            is_error(expected, "timeout is negative") && is_error(actual, "timeout is out of range")
        },
        reason: "7.0 lets a time that is far out of range wrap around; later servers and we say what is wrong",
    }
}

const EXCEPTIONS: &[Exception] = &[
    with_far_timeout("BLPOP"),
    with_far_timeout("BRPOP"),
    with_far_timeout("BLMOVE"),
    with_far_timeout("BRPOPLPUSH"),
    with_far_timeout("BLMPOP"),
    Exception {
        oracles: &[Oracle::Redis7],
        command: "DEBUG HTSTATS",
        replies: |expected, _| {
            is_error(expected, "unknown subcommand or wrong number of arguments for 'HTSTATS'")
        },
        reason: "7.0 takes no word behind the database; 7.2 and we look for `full` there",
    },
    Exception {
        oracles: &[Oracle::Valkey9],
        command: "READONLY",
        replies: |_, actual| is_error(actual, "cluster support disabled"),
        reason: "since Valkey 9 a server outside a cluster has a use for it; Redis refuses it, and so do we",
    },
    Exception {
        oracles: &[Oracle::Valkey9],
        command: "READWRITE",
        replies: |_, actual| is_error(actual, "cluster support disabled"),
        reason: "as for READONLY",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "BITCOUNT",
        replies: |expected, actual| *expected == Reply::Integer(0) && is_bad_range(actual),
        reason: "7.0 looks for the key before it reads the range; 7.2, later servers and we the other way round",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "BITPOS",
        replies: |expected, actual| matches!(expected, Reply::Integer(-1 | 0)) && is_bad_range(actual),
        reason: "as for BITCOUNT",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "BITCOUNT",
        replies: |expected, actual| is_error(expected, "WRONGTYPE") && is_bad_range(actual),
        reason: "as above: two errors, of which the other one comes first",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "BITPOS",
        replies: |expected, actual| is_error(expected, "WRONGTYPE") && is_bad_range(actual),
        reason: "as above",
    },
    Exception {
        oracles: &[Oracle::Valkey9],
        command: "BITCOUNT",
        replies: |expected, actual| {
            is_error(expected, "syntax error") && is_error(actual, "value is not an integer")
        },
        reason: "Valkey 9 reads the unit before the end; Redis and we the other way round",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "OBJECT ENCODING",
        replies: |expected, actual| {
            expected.bytes() == Some(b"quicklist") && actual.bytes() == Some(b"listpack")
        },
        reason: "7.0 has no small encoding of lists; 7.2, later servers and we have",
    },
    Exception {
        oracles: ALL,
        command: "OBJECT HELP",
        replies: |expected, actual| expected.elements().is_some() && actual.elements().is_some(),
        reason: "help is for people: its words differ between versions, and ours are our own",
    },
    Exception {
        oracles: LATER,
        command: "SCAN",
        replies: |expected, actual| {
            is_error(expected, "invalid cursor") != is_error(actual, "invalid cursor")
        },
        reason: "7.0 reads cursors with strtoul (\"\" and \"-1\" are cursors, \" 0\" is not); later servers differ",
    },
    Exception {
        oracles: LATER,
        command: "SCAN",
        replies: |expected, actual| is_error(expected, "unknown type name") && actual.elements().is_some(),
        reason: "7.0 takes the name of an unknown type and finds nothing; later servers refuse it",
    },
    Exception {
        oracles: LATER,
        command: "HSCAN",
        replies: |expected, actual| {
            is_error(expected, "invalid cursor") != is_error(actual, "invalid cursor")
        },
        reason: "as for SCAN",
    },
    Exception {
        oracles: LATER,
        command: "SSCAN",
        replies: |expected, actual| {
            is_error(expected, "invalid cursor") != is_error(actual, "invalid cursor")
        },
        reason: "as for SCAN",
    },
    Exception {
        oracles: LATER,
        command: "ZSCAN",
        replies: |expected, actual| {
            is_error(expected, "invalid cursor") != is_error(actual, "invalid cursor")
        },
        reason: "as for SCAN",
    },
    Exception {
        oracles: &[Oracle::Redis7],
        command: "OBJECT ENCODING",
        replies: |expected, actual| {
            expected.bytes() == Some(b"hashtable") && actual.bytes() == Some(b"listpack")
        },
        reason: "small sets are packed since 7.2",
    },
    Exception {
        oracles: ALL,
        command: "SORT",
        replies: |expected, actual| is_error(expected, "One or more scores") && !actual.is_error(),
        reason: "Redis looks at errno without clearing it: a number that was too large for another command makes it \
                 refuse; and for Valkey 9 an element that is empty is no number, not zero",
    },
    Exception {
        oracles: ALL,
        command: "SORT_RO",
        replies: |expected, actual| is_error(expected, "One or more scores") && !actual.is_error(),
        reason: "as for SORT",
    },
    Exception {
        oracles: LATER,
        command: "GETEX",
        replies: |expected, actual| {
            (is_error(expected, "value is not an integer") || is_error(expected, "invalid expire time"))
                && (actual.is_null() || is_error(actual, "WRONGTYPE"))
        },
        reason: "7.0 looks for the key before it reads the time; later servers do it the other way round",
    },
    Exception {
        oracles: LATER,
        command: "OBJECT ENCODING",
        replies: |expected, actual| is_short_or_raw(expected) && is_short_or_raw(actual),
        reason: "later servers store the key in the same allocation: it decides too whether a value is embstr or raw",
    },
];

/// A command with scores.
const fn with_plain_scores(command: &'static str) -> LeftOut {
    LeftOut {
        oracles: LATER,
        command,
        when: |args, _| {
            args.iter().skip(2).any(|arg| {
                let digits = arg.strip_prefix(b"(").unwrap_or(arg);
                let digits = digits.strip_prefix(b"-").or(digits.strip_prefix(b"+")).unwrap_or(digits);
                digits.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"0x"))
                    || digits.first().is_none_or(u8::is_ascii_whitespace)
            })
        },
        reason: "7.0 and 7.2 read scores as C does: hexadecimal, empty and with blanks first; later servers do not",
    }
}

const LEFT_OUT: &[LeftOut] = &[
    with_plain_scores("ZADD"),
    with_plain_scores("ZINCRBY"),
    with_plain_scores("ZCOUNT"),
    with_plain_scores("ZRANGE"),
    with_plain_scores("ZRANGESTORE"),
    with_plain_scores("ZRANGEBYSCORE"),
    with_plain_scores("ZREVRANGEBYSCORE"),
    with_plain_scores("ZREMRANGEBYSCORE"),
    with_plain_scores("ZUNION"),
    with_plain_scores("ZUNIONSTORE"),
    with_plain_scores("ZINTER"),
    with_plain_scores("ZINTERSTORE"),
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "BITCOUNT",
        when: |args, _| args.len() == 3,
        reason: "Valkey 9 counts from a start alone; for Redis that is a syntax error",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "LREM",
        when: |args, _| args.get(2).is_some_and(|count| count == b"-9223372036854775808"),
        reason: "7.0 takes the count that has no opposite; 7.2, later servers and we refuse it",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "LSET",
        when: |args, _| args.get(2).is_some_and(|index| index.len() > 9),
        reason: "7.0 takes the index as it is; 7.2 and later servers cut it to 32 bits, and so do we",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "LPOS",
        when: |args, _| args.iter().skip(3).any(|arg| arg == b"-9223372036854775808"),
        reason: "as for LREM, with the rank",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZRANGE",
        when: |args, _| has_negative_offset(args),
        reason: "7.0 finds nothing behind a negative offset; Valkey 9 takes it for a place in large sorted sets",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZRANGESTORE",
        when: |args, _| has_negative_offset(args),
        reason: "as for ZRANGE",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZRANGEBYSCORE",
        when: |args, _| has_negative_offset(args),
        reason: "as for ZRANGE",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZREVRANGEBYSCORE",
        when: |args, _| has_negative_offset(args),
        reason: "as for ZRANGE",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZRANGEBYLEX",
        when: |args, _| has_negative_offset(args),
        reason: "as for ZRANGE",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "ZREVRANGEBYLEX",
        when: |args, _| has_negative_offset(args),
        reason: "as for ZRANGE",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "ZRANK",
        when: |args, _| args.len() > 3,
        reason: "WITHSCORE came with 7.2: for 7.0 it is an argument too many, which aborts a transaction",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "ZREVRANK",
        when: |args, _| args.len() > 3,
        reason: "as for ZRANK",
    },
    LeftOut {
        oracles: ALL,
        command: "SPOP",
        when: |args, in_multi| in_multi && args.get(2).is_none_or(|count| count != b"100000"),
        reason: "each server draws others; outside of transactions the runner puts them back",
    },
    LeftOut {
        oracles: ALL,
        command: "SORT",
        when: |args, _| {
            let has = |word: &[u8]| args.iter().any(|arg| arg.eq_ignore_ascii_case(word));
            has(b"STORE") && !has(b"nosort") && !has(b"ALPHA")
        },
        reason: "where Redis refuses by the exception above, it stores nothing",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "MULTI",
        when: |_, in_multi| in_multi,
        reason: "an error that aborts the transaction on Valkey 9; in 7.0 the transaction goes on",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "WATCH",
        when: |_, in_multi| in_multi,
        reason: "as for MULTI",
    },
    LeftOut {
        oracles: LATER,
        command: "CLIENT REPLY",
        when: |_, in_multi| in_multi,
        reason: "later servers refuse it inside MULTI",
    },
    LeftOut {
        oracles: &[Oracle::Redis7],
        command: "HELLO",
        when: |args, _| args.len() > 4 || (args.len() > 2 && upper(args, 2) != "SETNAME"),
        reason: "7.0 sets the name before it sees that an option behind it is wrong; later servers and we do not",
    },
    LeftOut {
        oracles: &[Oracle::Redis8],
        command: "HELLO",
        when: |args, _| args.iter().skip(2).any(|arg| arg.eq_ignore_ascii_case(b"AUTH")),
        reason: "Redis 8.2.3 loses the reply to a wrong password that is not the first command of what it has read",
    },
    LeftOut {
        oracles: LATER,
        command: "HELLO",
        when: |args, _| args.iter().skip(3).any(|arg| arg.contains(&0)),
        reason: "for later servers a name ends at a zero, and what follows is lost; 7.0 and we refuse it",
    },
    LeftOut {
        oracles: LATER,
        command: "CLIENT SETNAME",
        when: |args, _| args.iter().skip(2).any(|arg| arg.contains(&0)),
        reason: "as for HELLO",
    },
    LeftOut {
        oracles: &[Oracle::Valkey9],
        command: "SET",
        when: |args, _| (3..args.len()).any(|at| matches!(upper(args, at).as_str(), "EXAT" | "PXAT")),
        reason: "if the time has passed, 7.0 stores the key and a WATCH sees it; Valkey 9 stores nothing",
    },
];

/// Why this difference may pass, if it may.
pub(super) fn reason_to_pass(
    oracle: Oracle,
    args: &[Vec<u8>],
    expected: &Reply,
    actual: &Reply,
) -> Option<&'static str> {
    let found = EXCEPTIONS.iter().find(|exception| {
        exception.oracles.contains(&oracle)
            && is_command(args, exception.command)
            && (exception.replies)(expected, actual)
    });
    found.map(|exception| exception.reason)
}

/// The name of an event that is not compared after this command, and why, if there is one.
pub(super) fn event_to_pass(oracle: Oracle, args: &[Vec<u8>]) -> Option<(&'static str, &'static str)> {
    let found = EVENTS_LEFT_OUT
        .iter()
        .find(|left_out| left_out.oracles.contains(&oracle) && is_command(args, left_out.command));
    found.map(|left_out| (left_out.event, left_out.reason))
}

/// Why this command is not compared with this oracle inside (`in_multi`) or outside of a transaction, if so.
pub(super) fn reason_to_leave_out(oracle: Oracle, args: &[Vec<u8>], in_multi: bool) -> Option<&'static str> {
    let found = LEFT_OUT.iter().find(|left_out| {
        left_out.oracles.contains(&oracle)
            && is_command(args, left_out.command)
            && (left_out.when)(args, in_multi)
    });
    found.map(|left_out| left_out.reason)
}

/// `named` is a command, or command and subcommand with a blank between them.
fn is_command(args: &[Vec<u8>], named: &str) -> bool {
    match named.split_once(' ') {
        Some((command, subcommand)) => upper(args, 0) == command && upper(args, 1) == subcommand,
        None => upper(args, 0) == named,
    }
}

fn is_error(reply: &Reply, part: &str) -> bool {
    matches!(reply, Reply::Error(text) if text.contains(part))
}

/// What is said of a range of bits that makes no sense.
fn is_bad_range(reply: &Reply) -> bool {
    is_error(reply, "value is not an integer") || is_error(reply, "syntax error")
}

fn has_negative_offset(args: &[Vec<u8>]) -> bool {
    args.windows(2).any(|pair| pair[0].eq_ignore_ascii_case(b"LIMIT") && pair[1].starts_with(b"-"))
}

fn is_short_or_raw(reply: &Reply) -> bool {
    matches!(reply.bytes(), Some(b"embstr" | b"raw"))
}
