//! ZRANDMEMBER: members of a sorted set by chance.

use super::super::access::read_sorted_set;
use super::super::arguments::{integer_between, is};
use super::super::random::{Draw, REPEATED_MAX, choose_distinct};
use super::{READ, Scored};
use crate::{Call, Command, Failure, Flags};

const OUT_OF_RANGE: &str = "ERR value is out of range";

pub(in crate::data) const COMMANDS: &[Command] = &[Command {
    name: "zrandmember",
    arity: -2,
    flags: Flags::READONLY,
    since: "6.2.0",
    summary: "Answers members of a sorted set by chance",
    handler: zrandmember,
    ..READ
}];

/// `ZRANDMEMBER key [count [WITHSCORES]]`: a count below zero allows the same member several times.
fn zrandmember(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut draw = Draw::new(call);
    let (count, with_scores) = match &call.args[2..] {
        [] => return one_member(call, draw),
        [count] => (integer_between(count, -i64::MAX, i64::MAX)?, false),
        [count, rest @ ..] => {
            let count = integer_between(count, -i64::MAX, i64::MAX)?;
            if rest.len() > 1 || !is(rest[0], "WITHSCORES") {
                return Err(Failure::Syntax);
            }
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(Failure::text(OUT_OF_RANGE));
            }
            (count, true)
        }
    };
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(Failure::text(OUT_OF_RANGE));
    }
    read_sorted_set(call, 1, |set, reading| {
        let mut reply = reading.session.reply();
        let Some(set) = set else {
            reply.array(0);
            return Ok(());
        };
        let wanted = count.unsigned_abs() as usize;
        if count < 0 {
            let mut scored = Scored::begin(&mut reply, wanted, with_scores);
            // A sorted set in a database is never empty, so there is always a member.
            let drawn = (0..wanted).filter_map(|_| set.random(draw.next()));
            drawn.for_each(|(member, score)| scored.add(member, score));
            return Ok(());
        }
        let count = wanted.min(set.len());
        let mut scored = Scored::begin(&mut reply, count, with_scores);
        if count == set.len() {
            set.iter().for_each(|(member, score)| scored.add(member, score));
            return Ok(());
        }
        choose_distinct(&mut draw, count, set.len(), |index| {
            // A number below the length chooses the member of that rank.
            if let Some((member, score)) = set.random(index as u64) {
                scored.add(member, score);
            }
        });
        Ok(())
    })
}

fn one_member(call: &mut Call<'_>, mut draw: Draw) -> Result<(), Failure> {
    read_sorted_set(call, 1, |set, reading| {
        match set.and_then(|set| set.random(draw.next())) {
            Some((member, _)) => reading.session.reply().bulk(member),
            None => reading.session.reply().null(),
        }
        Ok(())
    })
}
