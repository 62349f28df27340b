//! Strings that are numbers: INCR and its relatives.

use rejoin_keyspace::{Key, Value};
use rejoin_protocol::{
    UnixMillis,
    number::{LongDouble, parse_i64},
};

use super::{
    access::{inspect, is_string, text_form},
    arguments::{float, integer},
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

pub(super) const OVERFLOW: Failure =
    Failure::Text(std::borrow::Cow::Borrowed("ERR increment or decrement would overflow"));
pub(super) const NOT_FINITE: Failure =
    Failure::Text(std::borrow::Cow::Borrowed("ERR increment would produce NaN or Infinity"));

const ROW: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 0,
    group: "string",
    since: "1.0.0",
    summary: "",
    handler: incr,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "incr", summary: "Adds one to a number", ..ROW },
    Command { name: "decr", summary: "Takes one off a number", handler: decr, ..ROW },
    Command { name: "incrby", arity: 3, summary: "Adds an amount to a number", handler: incrby, ..ROW },
    Command { name: "decrby", arity: 3, summary: "Takes an amount off a number", handler: decrby, ..ROW },
    Command {
        name: "incrbyfloat",
        arity: 3,
        since: "2.6.0",
        summary: "Adds a fractional amount to a number",
        handler: incrbyfloat,
        ..ROW
    },
];

/// `INCR key`
fn incr(call: &mut Call<'_>) -> Result<(), Failure> {
    add(call, 1)
}

/// `DECR key`
fn decr(call: &mut Call<'_>) -> Result<(), Failure> {
    add(call, -1)
}

/// `INCRBY key amount`
fn incrby(call: &mut Call<'_>) -> Result<(), Failure> {
    let amount = integer(call.args[2])?;
    add(call, amount)
}

/// `DECRBY key amount`
fn decrby(call: &mut Call<'_>) -> Result<(), Failure> {
    let amount = integer(call.args[2])?;
    let negated = amount.checked_neg().ok_or(Failure::text("ERR decrement would overflow"))?;
    add(call, negated)
}

fn add(call: &mut Call<'_>, amount: i64) -> Result<(), Failure> {
    let key = call.key(1);
    let (number, expiry) = number_at(call, key, |value| match value {
        None => Some(0),
        Some(Value::Int(n)) => Some(n),
        Some(Value::Str(bytes, _)) => parse_i64(bytes),
        Some(_) => None,
    })?
    .ok_or(Failure::NotAnInteger)?;
    let sum = number.checked_add(amount).ok_or(OVERFLOW)?;
    let is_made = call.will_make(key);
    call.db_mut().put_int(key, sum, expiry);
    call.wrote(key, is_made, EventClasses::STRING, "incrby");
    call.reply().integer(sum);
    Ok(())
}

/// What `parse` makes of the string at `key` (or of its absence), with the key's expiry.
fn number_at<N>(
    call: &mut Call<'_>,
    key: Key<'_>,
    parse: impl FnOnce(Option<Value<'_>>) -> Option<N>,
) -> Result<Option<(N, Option<UnixMillis>)>, Failure> {
    inspect(call, key, |entry, _| {
        let value = entry.map(rejoin_keyspace::Entry::value);
        if value.is_some_and(|value| !is_string(value)) {
            return Err(Failure::WrongType);
        }
        Ok(parse(value).map(|number| (number, entry.and_then(rejoin_keyspace::Entry::expiry))))
    })
}

/// `INCRBYFLOAT key amount`; logged as a SET of the sum, so that no replica adds floats.
fn incrbyfloat(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let (number, expiry) = number_at(call, key, |value| match value {
        None => Some(LongDouble::ZERO),
        Some(Value::Int(n)) => Some(LongDouble::from_integer(n)),
        Some(Value::Str(bytes, _)) => LongDouble::parse(bytes),
        Some(_) => None,
    })?
    .ok_or(Failure::NotAFloat)?;
    let sum = number.checked_add(float(call.args[2])?).ok_or(NOT_FINITE)?.to_human_string();
    let text = sum.as_bytes();
    // Held as text even where it is a whole number, as Redis does.
    let is_made = call.will_make(key);
    call.db_mut().put_string(key, text, text_form(text), expiry);
    call.wrote(key, is_made, EventClasses::STRING, "incrbyfloat");
    call.reply().bulk(text);
    call.propagate(&[b"SET", key.bytes, text, b"KEEPTTL"]);
    Ok(())
}
