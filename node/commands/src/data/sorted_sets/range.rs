//! Walking over a part of a sorted set in order, answered, counted or stored: ZRANGE and its older kin.

use rejoin_keyspace::SortedSetView;

use super::super::access::read_sorted_set;
use super::super::arguments::{integer, is};
use super::bounds::{Bounds, BoundsKind, limit};
use super::{READ, Scored, store};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ROW: Command = Command { arity: -4, flags: Flags::READONLY, handler: zrange, ..READ };

pub(in crate::data) const COMMANDS: &[Command] = &[
    Command { name: "zrange", summary: "Answers members by rank, score or name", ..ROW },
    Command {
        name: "zrangestore",
        arity: -5,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: KeySpec::TWO,
        since: "6.2.0",
        summary: "Stores members by rank, score or name",
        handler: zrangestore,
        ..ROW
    },
    Command {
        name: "zrevrange",
        summary: "Answers members by rank, the last first",
        handler: zrevrange,
        ..ROW
    },
    Command {
        name: "zrangebyscore",
        since: "1.0.5",
        summary: "Answers members by score",
        handler: zrangebyscore,
        ..ROW
    },
    Command {
        name: "zrevrangebyscore",
        since: "2.2.0",
        summary: "Answers members by score, the last first",
        handler: zrevrangebyscore,
        ..ROW
    },
    Command {
        name: "zrangebylex",
        since: "2.8.9",
        summary: "Answers members of equal score by name",
        handler: zrangebylex,
        ..ROW
    },
    Command {
        name: "zrevrangebylex",
        since: "2.8.9",
        summary: "Answers members of equal score by name, the last first",
        handler: zrevrangebylex,
        ..ROW
    },
    Command {
        name: "zcount",
        arity: 4,
        flags: READ.flags,
        since: "2.0.0",
        summary: "Counts members by score",
        handler: zcount,
        ..ROW
    },
    Command {
        name: "zlexcount",
        arity: 4,
        flags: READ.flags,
        since: "2.8.9",
        summary: "Counts members of equal score by name",
        handler: zlexcount,
        ..ROW
    },
];

/// Members of a sorted set with their scores.
type Members<'s> = Box<dyn Iterator<Item = (&'s [u8], f64)> + 's>;

/// What a command of ZRANGE's kin asks for.
struct Request<'a> {
    bounds: Bounds<'a>,
    is_reverse: bool,
    offset: i64,
    /// Members at most; negative for all.
    count: i64,
    with_scores: bool,
}

/// What the command's name says; ZRANGE leaves it to options.
#[derive(Clone, Copy)]
enum Named {
    /// ZRANGE and, which answers no scores, ZRANGESTORE.
    ByOptions { stores: bool },
    /// An older command, for one kind of bounds and one direction.
    Fixed(BoundsKind, bool),
}

impl<'a> Request<'a> {
    /// Reads two bounds and the options behind them.
    fn parse(args: &'a [&'a [u8]], named: Named) -> Result<Self, Failure> {
        let (mut offset, mut count, mut with_scores) = (0, -1, false);
        let (mut kind, mut is_reverse) = match named {
            Named::ByOptions { .. } => (None, false),
            Named::Fixed(kind, is_reverse) => (Some(kind), is_reverse),
        };
        let is_open = matches!(named, Named::ByOptions { .. });
        let answers_scores = !matches!(named, Named::ByOptions { stores: true });
        let mut options = &args[2..];
        loop {
            options = match options {
                [] => break,
                [option, rest @ ..] if answers_scores && is(option, "WITHSCORES") => {
                    with_scores = true;
                    rest
                }
                [option, first, second, rest @ ..] if is(option, "LIMIT") => {
                    (offset, count) = (integer(first)?, integer(second)?);
                    rest
                }
                [option, rest @ ..] if is_open && !is_reverse && is(option, "REV") => {
                    is_reverse = true;
                    rest
                }
                [option, rest @ ..] if kind.is_none() && is(option, "BYLEX") => {
                    kind = Some(BoundsKind::Members);
                    rest
                }
                [option, rest @ ..] if kind.is_none() && is(option, "BYSCORE") => {
                    kind = Some(BoundsKind::Scores);
                    rest
                }
                _ => return Err(Failure::Syntax),
            };
        }
        let kind = kind.unwrap_or(BoundsKind::Ranks);
        if count != -1 && kind == BoundsKind::Ranks {
            return Err(Failure::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && kind == BoundsKind::Members {
            return Err(Failure::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        // Backwards the greater bound comes first, but for ranks, which count from the other end.
        let (min, max) =
            if is_reverse && kind != BoundsKind::Ranks { (args[1], args[0]) } else { (args[0], args[1]) };
        let bounds = Bounds::parse(kind, min, max)?;
        Ok(Self { bounds, is_reverse, offset, count, with_scores })
    }

    /// The members that are asked for, in order.
    fn members<'s>(&self, set: SortedSetView<'s>) -> (usize, Members<'s>) {
        let ranks = self.bounds.ranks(set, self.is_reverse);
        let ranks = match self.bounds {
            Bounds::Ranks(..) => ranks,
            _ => limit(ranks, self.offset, self.count, self.is_reverse),
        };
        let (len, members) = (ranks.len(), set.range(ranks));
        (len, if self.is_reverse { Box::new(members.rev()) } else { Box::new(members) })
    }
}

/// `ZRANGE key min max [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`
fn zrange(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::ByOptions { stores: false })
}

/// `ZREVRANGE key first last [WITHSCORES]`
fn zrevrange(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::Fixed(BoundsKind::Ranks, true))
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`
fn zrangebyscore(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::Fixed(BoundsKind::Scores, false))
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`
fn zrevrangebyscore(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::Fixed(BoundsKind::Scores, true))
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`
fn zrangebylex(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::Fixed(BoundsKind::Members, false))
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`
fn zrevrangebylex(call: &mut Call<'_>) -> Result<(), Failure> {
    answer(call, Named::Fixed(BoundsKind::Members, true))
}

fn answer(call: &mut Call<'_>, named: Named) -> Result<(), Failure> {
    let args = call.args;
    let request = Request::parse(&args[2..], named)?;
    read_sorted_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        let Some(set) = set else {
            reply.array(0);
            return Ok(());
        };
        let (count, members) = request.members(set);
        let mut scored = Scored::begin(&mut reply, count, request.with_scores);
        members.for_each(|(member, score)| scored.add(member, score));
        Ok(())
    })
}

/// `ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`
fn zrangestore(call: &mut Call<'_>) -> Result<(), Failure> {
    let (args, destination) = (call.args, call.key(1));
    let request = Request::parse(&args[3..], Named::ByOptions { stores: true })?;
    let members: Vec<_> = read_sorted_set(call, 2, |set, _| {
        let members = set.into_iter().flat_map(|set| request.members(set).1);
        Ok(members.map(|(member, score)| (member.to_vec(), score)).collect())
    })?;
    super::super::access::inspect(call, destination, |_, _| ());
    let expected = if matches!(request.bounds, Bounds::Ranks(..)) { members.len() } else { 0 };
    store(call, destination, &members, (expected, 0))
}

/// `ZCOUNT key min max`
fn zcount(call: &mut Call<'_>) -> Result<(), Failure> {
    count(call, BoundsKind::Scores)
}

/// `ZLEXCOUNT key min max`
fn zlexcount(call: &mut Call<'_>) -> Result<(), Failure> {
    count(call, BoundsKind::Members)
}

fn count(call: &mut Call<'_>, kind: BoundsKind) -> Result<(), Failure> {
    let bounds = Bounds::parse(kind, call.args[2], call.args[3])?;
    read_sorted_set(call, 1, |set, reading| {
        let count = set.map_or(0, |set| bounds.ranks(set, false).len());
        reading.session.reply().integer(count as i64);
        Ok(())
    })
}
