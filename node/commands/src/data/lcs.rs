//! LCS: the longest common subsequence of two strings.

use super::{
    access::read_string,
    arguments::{integer, is},
};
use crate::{Call, Command, Failure, Flags, KeySpec};

const NOT_STRINGS: &str = "ERR The specified keys must contain string values";
const LEN_AND_IDX: &str = "ERR If you want both the length and indexes, please just use IDX.";
const TABLE_TOO_LARGE: &str = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "lcs",
    arity: -3,
    flags: Flags::READONLY,
    keys: KeySpec::TWO,
    element: 0,
    group: "string",
    since: "7.0.0",
    summary: "Answers the longest common subsequence of two strings",
    handler: lcs,
    subcommands: &[],
    number: 0,
}];

#[derive(Default)]
struct Options {
    len_only: bool,
    with_indexes: bool,
    with_match_len: bool,
    match_len_min: usize,
}

impl Options {
    fn parse(mut args: &[&[u8]]) -> Result<Self, Failure> {
        let mut options = Self::default();
        loop {
            args = match args {
                [] => break,
                [option, rest @ ..] if is(option, "LEN") => {
                    options.len_only = true;
                    rest
                }
                [option, rest @ ..] if is(option, "IDX") => {
                    options.with_indexes = true;
                    rest
                }
                [option, rest @ ..] if is(option, "WITHMATCHLEN") => {
                    options.with_match_len = true;
                    rest
                }
                [option, len, rest @ ..] if is(option, "MINMATCHLEN") => {
                    options.match_len_min = usize::try_from(integer(len)?).unwrap_or(0);
                    rest
                }
                _ => return Err(Failure::Syntax),
            };
        }
        if options.len_only && options.with_indexes {
            return Err(Failure::text(LEN_AND_IDX));
        }
        Ok(options)
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`
fn lcs(call: &mut Call<'_>) -> Result<(), Failure> {
    let copy = |bytes: Option<&[u8]>, _: super::access::Reading<'_>| bytes.unwrap_or_default().to_vec();
    let not_strings = |_| Failure::text(NOT_STRINGS);
    // Both keys are looked up, whatever the first holds.
    let (a, b) = (read_string(call, 1, copy), read_string(call, 2, copy));
    let (a, b) = (a.map_err(not_strings)?, b.map_err(not_strings)?);
    let options = Options::parse(&call.args[3..])?;
    let table_bytes = (a.len() as u128 + 1) * (b.len() as u128 + 1) * size_of::<u32>() as u128;
    if table_bytes > u128::from(call.engine.settings.proto_bulk_bytes_max) {
        return Err(Failure::text(TABLE_TOO_LARGE));
    }
    let lengths = Lengths::of(&a, &b);
    if options.len_only {
        call.reply().integer(i64::from(lengths.at(a.len(), b.len())));
    } else if options.with_indexes {
        reply_indexes(call, &lengths, &a, &b, &options);
    } else {
        let runs = lengths.runs(&a, &b);
        let subsequence: Vec<u8> =
            runs.iter().rev().flat_map(|run| &a[run.a_start..run.a_start + run.len]).copied().collect();
        call.reply().bulk(&subsequence);
    }
    Ok(())
}

/// The lengths of the longest common subsequences of all pairs of prefixes.
struct Lengths {
    cells: Vec<u32>,
    columns: usize,
}

/// Bytes that stand in both strings one behind the other and belong to the subsequence.
struct Run {
    a_start: usize,
    b_start: usize,
    len: usize,
}

impl Lengths {
    fn of(a: &[u8], b: &[u8]) -> Self {
        let columns = b.len() + 1;
        let mut lengths = Self { cells: vec![0; (a.len() + 1) * columns], columns };
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                lengths.cells[(i + 1) * columns + j + 1] = if x == y {
                    lengths.at(i, j) + 1
                } else {
                    lengths.at(i, j + 1).max(lengths.at(i + 1, j))
                };
            }
        }
        lengths
    }

    /// For the first `i` bytes of one string and the first `j` of the other.
    fn at(&self, i: usize, j: usize) -> u32 {
        self.cells[i * self.columns + j]
    }

    /// The runs of one longest subsequence, from the end to the beginning. Where several are longest, it is the one
    /// that Redis finds: a tie shortens the second string.
    fn runs(&self, a: &[u8], b: &[u8]) -> Vec<Run> {
        let (mut i, mut j) = (a.len(), b.len());
        let mut runs = Vec::new();
        let mut len = 0;
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                (i, j, len) = (i - 1, j - 1, len + 1);
                continue;
            }
            if len > 0 {
                runs.push(Run { a_start: i, b_start: j, len });
                len = 0;
            }
            if self.at(i - 1, j) > self.at(i, j - 1) { i -= 1 } else { j -= 1 }
        }
        if len > 0 {
            runs.push(Run { a_start: i, b_start: j, len });
        }
        runs
    }
}

fn reply_indexes(call: &mut Call<'_>, lengths: &Lengths, a: &[u8], b: &[u8], options: &Options) {
    let runs = lengths.runs(a, b);
    let shown = || runs.iter().filter(|run| run.len >= options.match_len_min);
    let mut reply = call.reply();
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(shown().count());
    for run in shown() {
        reply.array(if options.with_match_len { 3 } else { 2 });
        for start in [run.a_start, run.b_start] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + run.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(run.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(i64::from(lengths.at(a.len(), b.len())));
}
