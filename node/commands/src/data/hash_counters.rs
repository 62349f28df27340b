//! Fields of hashes that are numbers: HINCRBY and HINCRBYFLOAT.

use rejoin_protocol::number::{LongDouble, parse_i64};

use super::{
    access::{as_hash, inspect},
    arguments::{float, integer},
    counters::{NOT_FINITE, OVERFLOW},
    hashes::set_field,
};
use crate::{Call, Command, Failure, Flags, KeySpec};

const ROW: Command = Command {
    name: "",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 2,
    group: "hash",
    since: "2.0.0",
    summary: "",
    handler: hincrby,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "hincrby", summary: "Adds an amount to a number in a field", ..ROW },
    Command {
        name: "hincrbyfloat",
        since: "2.6.0",
        summary: "Adds a fractional amount to a number in a field",
        handler: hincrbyfloat,
        ..ROW
    },
];

/// `HINCRBY key field amount`
fn hincrby(call: &mut Call<'_>) -> Result<(), Failure> {
    let amount = integer(call.args[3])?;
    let number = field_as(call, 0, parse_i64)?.ok_or(Failure::text("ERR hash value is not an integer"))?;
    let sum = number.checked_add(amount).ok_or(OVERFLOW)?;
    let key = call.key(1);
    set_field(call, key, call.args[2], itoa::Buffer::new().format(sum).as_bytes(), "hincrby")?;
    call.reply().integer(sum);
    Ok(())
}

/// `HINCRBYFLOAT key field amount`; logged as an HSET of the sum, so that no replica adds floats.
fn hincrbyfloat(call: &mut Call<'_>) -> Result<(), Failure> {
    let amount = float(call.args[3])?;
    if amount.is_infinite() {
        return Err(Failure::text("ERR value is NaN or Infinity"));
    }
    let number = field_as(call, LongDouble::ZERO, LongDouble::parse)?
        .ok_or(Failure::text("ERR hash value is not a float"))?;
    let sum = number.checked_add(amount).ok_or(NOT_FINITE)?.to_human_string();
    let (key, field) = (call.key(1), call.args[2]);
    set_field(call, key, field, sum.as_bytes(), "hincrbyfloat")?;
    call.reply().bulk(sum.as_bytes());
    call.propagate(&[b"HSET", key.bytes, field, sum.as_bytes()]);
    Ok(())
}

/// The field as a number: `missing` if it is not there, `None` if it is no number.
fn field_as<N>(call: &mut Call<'_>, missing: N, parse: fn(&[u8]) -> Option<N>) -> Result<Option<N>, Failure> {
    let (key, field) = (call.key(1), call.args[2]);
    inspect(call, key, |entry, reading| {
        let value = as_hash(entry)?.and_then(|hash| hash.get(reading.seed, field));
        Ok(value.map_or(Some(missing), parse))
    })
}
