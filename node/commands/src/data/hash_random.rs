//! HRANDFIELD: fields of a hash by chance.

use hashbrown::HashSet;
use rejoin_keyspace::HashView;
use rejoin_protocol::resp::{ReplyWriter, RespVersion};

use super::{
    access::read_hash,
    arguments::{integer_between, is},
    random::{DRAW_BELOW_ONE_IN, Draw, REPEATED_MAX},
};
use crate::{Call, Command, Failure, Flags, KeySpec};

const OUT_OF_RANGE: &str = "ERR value is out of range";

pub(super) const COMMANDS: &[Command] = &[Command {
    name: "hrandfield",
    arity: -2,
    flags: Flags::READONLY,
    keys: KeySpec::ONE,
    element: 0,
    group: "hash",
    since: "6.2.0",
    summary: "Answers fields of a hash by chance",
    handler: hrandfield,
    subcommands: &[],
    number: 0,
}];

/// `HRANDFIELD key [count [WITHVALUES]]`: a count below zero allows the same field several times.
fn hrandfield(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut draw = Draw::new(call);
    let (count, with_values) = match &call.args[2..] {
        [] => return one_field(call, draw),
        [count] => (integer_between(count, -i64::MAX, i64::MAX)?, false),
        [count, option] => {
            let count = integer_between(count, -i64::MAX, i64::MAX)?;
            if !is(option, "WITHVALUES") {
                return Err(Failure::Syntax);
            }
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(Failure::text(OUT_OF_RANGE));
            }
            (count, true)
        }
        [count, ..] => {
            integer_between(count, -i64::MAX, i64::MAX)?;
            return Err(Failure::Syntax);
        }
    };
    if count < 0 && count.unsigned_abs() > REPEATED_MAX {
        return Err(Failure::text(OUT_OF_RANGE));
    }
    read_hash(call, 1, |hash, reading| {
        let mut reply = reading.session.reply();
        match hash {
            None => reply.array(0),
            Some(hash) if count < 0 => {
                let mut pairs = Pairs::begin(&mut reply, count.unsigned_abs() as usize, with_values);
                for _ in 0..count.unsigned_abs() {
                    pairs.add(hash.random(draw.next()));
                }
            }
            Some(hash) => distinct_fields(hash, count as usize, with_values, &mut draw, &mut reply),
        }
        Ok(())
    })
}

fn one_field(call: &mut Call<'_>, mut draw: Draw) -> Result<(), Failure> {
    read_hash(call, 1, |hash, reading| {
        match hash.and_then(|hash| hash.random(draw.next())) {
            Some((field, _)) => reading.session.reply().bulk(field),
            None => reading.session.reply().null(),
        }
        Ok(())
    })
}

/// Writes fields, with their values or without.
struct Pairs<'r, 'w> {
    reply: &'r mut ReplyWriter<'w>,
    with_values: bool,
}

impl<'r, 'w> Pairs<'r, 'w> {
    /// Begins the reply: in RESP3 each pair is an array of its own, in RESP2 all is flat.
    fn begin(reply: &'r mut ReplyWriter<'w>, count: usize, with_values: bool) -> Self {
        let is_flat = reply.version() == RespVersion::Two;
        reply.array(if with_values && is_flat { 2 * count } else { count });
        Self { reply, with_values }
    }

    fn add(&mut self, pair: Option<(&[u8], &[u8])>) {
        // A hash in a database is never empty, so there is always a pair.
        let (field, value) = pair.unwrap_or_default();
        if self.with_values && self.reply.version() == RespVersion::Three {
            self.reply.array(2);
        }
        self.reply.bulk(field);
        if self.with_values {
            self.reply.bulk(value);
        }
    }
}

fn distinct_fields(
    hash: HashView<'_>,
    count: usize,
    with_values: bool,
    draw: &mut Draw,
    reply: &mut ReplyWriter<'_>,
) {
    let len = hash.len();
    let mut pairs = Pairs::begin(reply, count.min(len), with_values);
    if count >= len {
        hash.iter().for_each(|pair| pairs.add(Some(pair)));
    } else if !hash.is_packed() && count < len / DRAW_BELOW_ONE_IN {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let pair = hash.random(draw.next());
            if drawn.insert(pair.unwrap_or_default().0) {
                pairs.add(pair);
            }
        }
    } else {
        let mut all: Vec<_> = hash.iter().collect();
        for place in 0..count {
            all.swap(place, place + draw.below(len - place));
            pairs.add(Some(all[place]));
        }
    }
}
