//! Members and their scores, one by one: ZADD, ZINCRBY, ZSCORE, ZMSCORE, ZCARD, ZRANK, ZREVRANK.

use super::super::access::{read_sorted_set, sorted_set_limits};
use super::super::arguments::is;
use super::{READ, inspect_sorted_set, parse_score};
use crate::{Call, Command, Failure, Flags, pubsub::events::EventClasses};

const WRITE: Command = Command {
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    handler: zadd,
    ..READ
};

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command { name: "zadd", summary: "Adds members to a sorted set, or changes their scores", ..WRITE },
    Command {
        name: "zincrby",
        arity: 4,
        element: 3,
        summary: "Adds an amount to the score of a member",
        handler: zincrby,
        ..WRITE
    },
    Command { name: "zcard", summary: "Answers how many members a sorted set has", ..READ },
    Command {
        name: "zscore",
        arity: 3,
        element: 2,
        summary: "Answers the score of a member",
        handler: zscore,
        ..READ
    },
    Command {
        name: "zmscore",
        arity: -3,
        element: 2,
        since: "6.2.0",
        summary: "Answers the scores of several members",
        handler: zmscore,
        ..READ
    },
    Command {
        name: "zrank",
        arity: -3,
        element: 2,
        since: "2.0.0",
        summary: "Answers how many members stand before a member",
        handler: zrank,
        ..READ
    },
    Command {
        name: "zrevrank",
        arity: -3,
        element: 2,
        since: "2.0.0",
        summary: "Answers how many members stand behind a member",
        handler: zrevrank,
        ..READ
    },
];

/// The options of ZADD.
#[derive(Clone, Copy, Default)]
struct AddOptions {
    /// Only members that are not there.
    new_only: bool,
    /// Only members that are there.
    present_only: bool,
    /// Only to a greater score.
    greater_only: bool,
    /// Only to a lesser score.
    lesser_only: bool,
    /// Answers how many members changed rather than how many are new.
    counts_changed: bool,
    /// Adds to the score, and answers it.
    increments: bool,
}

impl AddOptions {
    /// Reads what stands before the scores; returns the rest, which are pairs.
    fn parse<'a, 'b>(increments: bool, mut args: &'b [&'a [u8]]) -> Result<(Self, &'b [&'a [u8]]), Failure> {
        let mut options = Self { increments, ..Self::default() };
        while let [option, rest @ ..] = args {
            let flag = match option {
                option if is(option, "NX") => &mut options.new_only,
                option if is(option, "XX") => &mut options.present_only,
                option if is(option, "CH") => &mut options.counts_changed,
                option if is(option, "INCR") => &mut options.increments,
                option if is(option, "GT") => &mut options.greater_only,
                option if is(option, "LT") => &mut options.lesser_only,
                _ => break,
            };
            *flag = true;
            args = rest;
        }
        if args.is_empty() || !args.len().is_multiple_of(2) {
            return Err(Failure::Syntax);
        }
        options.check(args.len() / 2)?;
        Ok((options, args))
    }

    fn check(&self, pairs: usize) -> Result<(), Failure> {
        if self.new_only && self.present_only {
            return Err(Failure::text("ERR XX and NX options at the same time are not compatible"));
        }
        let exclusive = [self.greater_only, self.lesser_only, self.new_only];
        if exclusive.into_iter().filter(|option| *option).count() > 1 {
            return Err(Failure::text("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increments && pairs > 1 {
            return Err(Failure::text("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that a member is to have, `None` if it is to stay as it is.
    fn score(&self, had: Option<f64>, given: f64) -> Result<Option<f64>, Failure> {
        let Some(had) = had else { return Ok((!self.present_only).then_some(given)) };
        if self.new_only {
            return Ok(None);
        }
        let score = if self.increments { had + given } else { given };
        if score.is_nan() {
            return Err(Failure::text("ERR resulting score is not a number (NaN)"));
        }
        let is_refused = (self.lesser_only && score >= had) || (self.greater_only && score <= had);
        Ok((!is_refused).then_some(score))
    }
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member ...`
fn zadd(call: &mut Call<'_>) -> Result<(), Failure> {
    add(call, false)
}

/// `ZINCRBY key amount member`
fn zincrby(call: &mut Call<'_>) -> Result<(), Failure> {
    add(call, true)
}

fn add(call: &mut Call<'_>, increments: bool) -> Result<(), Failure> {
    let args = call.args;
    let (options, pairs) = AddOptions::parse(increments, &args[2..])?;
    let scores = pairs.chunks_exact(2).map(|pair| parse_score(pair[0])).collect::<Result<Vec<_>, _>>()?;
    let members = pairs.chunks_exact(2).map(|pair| pair[1]);
    let key = call.key(1);
    let is_there = inspect_sorted_set(call, key, |_| ())?.is_some();
    let (mut added, mut updated, mut last, mut is_made) = (0, 0, None, false);
    if is_there || !options.present_only {
        let limits = sorted_set_limits(call);
        is_made = call.will_make(key);
        let mut set = call.db_mut().sorted_set_mut(key, limits).ok_or(Failure::WrongType)?;
        set.expect(scores.len(), pairs[1].len());
        for (given, member) in scores.into_iter().zip(members) {
            let had = set.view().score(member);
            last = options.score(had, given)?;
            let Some(score) = last else { continue };
            if had != Some(score) {
                set.set(member, score);
                added += i64::from(had.is_none());
                updated += i64::from(had.is_some());
            }
        }
    }
    if added + updated > 0 {
        let event = if options.increments { "zincr" } else { "zadd" };
        call.wrote(key, is_made, EventClasses::SORTED_SET, event);
    }
    match last {
        Some(score) if options.increments => call.reply().double(score),
        None if options.increments => call.reply().null(),
        _ => call.reply().integer(if options.counts_changed { added + updated } else { added }),
    }
    Ok(())
}

/// `ZCARD key`
pub(super) fn zcard(call: &mut Call<'_>) -> Result<(), Failure> {
    read_sorted_set(call, 1, |set, reading| {
        reading.session.reply().integer(set.map_or(0, |set| set.len()) as i64);
        Ok(())
    })
}

/// `ZSCORE key member`
fn zscore(call: &mut Call<'_>) -> Result<(), Failure> {
    let member = call.args[2];
    read_sorted_set(call, 1, |set, reading| {
        match set.and_then(|set| set.score(member)) {
            Some(score) => reading.session.reply().double(score),
            None => reading.session.reply().null(),
        }
        Ok(())
    })
}

/// `ZMSCORE key member ...`
fn zmscore(call: &mut Call<'_>) -> Result<(), Failure> {
    let members = &call.args[2..];
    read_sorted_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        reply.array(members.len());
        for member in members {
            match set.and_then(|set| set.score(member)) {
                Some(score) => reply.double(score),
                None => reply.null(),
            }
        }
        Ok(())
    })
}

/// `ZRANK key member [WITHSCORE]`
fn zrank(call: &mut Call<'_>) -> Result<(), Failure> {
    answer_rank(call, |rank, _| rank)
}

/// `ZREVRANK key member [WITHSCORE]`
fn zrevrank(call: &mut Call<'_>) -> Result<(), Failure> {
    answer_rank(call, |rank, len| len - 1 - rank)
}

fn answer_rank(call: &mut Call<'_>, from_end: fn(usize, usize) -> usize) -> Result<(), Failure> {
    let member = call.args[2];
    let with_score = match &call.args[3..] {
        [] => false,
        [option] if is(option, "WITHSCORE") => true,
        [_] => return Err(Failure::Syntax),
        _ => return Err(Failure::WrongArity(call.command.name.to_owned())),
    };
    read_sorted_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        match set.and_then(|set| set.rank(member).map(|(rank, score)| (from_end(rank, set.len()), score))) {
            None if with_score => reply.null_array(),
            None => reply.null(),
            Some((rank, score)) => {
                if with_score {
                    reply.array(2);
                }
                reply.integer(rank as i64);
                if with_score {
                    reply.double(score);
                }
            }
        }
        Ok(())
    })
}
