//! BITFIELD: a string as an array of whole numbers of any width, signed or not.

use super::access::{as_string_or_missing, check_string_len, inspect, read_string};
use super::arguments::{integer, is};
use super::bitmaps::BAD_OFFSET;
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const BAD_TYPE: &str =
    "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";

const ROW: Command = Command {
    name: "bitfield",
    arity: -2,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: KeySpec::ONE,
    element: 0,
    group: "bitmap",
    since: "3.2.0",
    summary: "Reads and writes numbers of any width within a string",
    handler: bitfield,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    ROW,
    Command {
        name: "bitfield_ro",
        flags: Flags::READONLY.union(Flags::FAST),
        since: "6.0.0",
        summary: "Reads numbers of any width within a string",
        handler: bitfield_ro,
        ..ROW
    },
];

/// What happens to a number that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

/// A number's place and form.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    width: u32,
    is_signed: bool,
}

impl Place {
    /// The last byte that it touches.
    fn end(self) -> usize {
        ((self.offset + u64::from(self.width) - 1) >> 3) as usize + 1
    }

    fn read(self, bytes: &[u8]) -> i64 {
        let bit = |at: u64| bytes.get((at >> 3) as usize).is_some_and(|byte| byte & (0x80 >> (at & 7)) != 0);
        let bits = self.offset..self.offset + u64::from(self.width);
        let raw = bits.fold(0_u64, |raw, at| raw << 1 | u64::from(bit(at)));
        if self.is_signed && self.width < 64 {
            let unused = 64 - self.width;
            return (raw << unused) as i64 >> unused;
        }
        raw as i64
    }

    fn write(self, bytes: &mut [u8], value: i64) {
        for number in 0..self.width {
            let at = self.offset + u64::from(number);
            let mask = 0x80_u8 >> (at & 7);
            let is_set = value as u64 >> (self.width - 1 - number) & 1 == 1;
            let byte = &mut bytes[(at >> 3) as usize];
            *byte = if is_set { *byte | mask } else { *byte & !mask };
        }
    }

    /// The number that SET means by an argument.
    fn as_set(self, value: i64) -> i128 {
        if !self.is_signed {
            // A negative number stands for the large one of the same bits.
            return i128::from(value as u64);
        }
        let most = i64::MAX >> (64 - self.width);
        if self.width < 64 && most.checked_sub(value).is_none() {
            // Redis' distance to the largest number wraps around here: it takes the number for one that is too large.
            // Adding a multiple of the modulus changes nothing but that.
            return i128::from(value) + (1 << 64);
        }
        i128::from(value)
    }

    /// `value` as it fits here; `None` if it does not and must not be bent.
    fn fit(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (least, most) = if self.is_signed {
            (-(1_i128 << (self.width - 1)), (1_i128 << (self.width - 1)) - 1)
        } else {
            (0, (1_i128 << self.width) - 1)
        };
        if (least..=most).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Fail => None,
            Overflow::Saturate => Some(value.clamp(least, most) as i64),
            Overflow::Wrap => {
                let modulus = 1_i128 << self.width;
                let wrapped = value.rem_euclid(modulus);
                Some(if wrapped > most { wrapped - modulus } else { wrapped } as i64)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

type Operation = (Place, Action);

fn parse(call: &Call<'_>, mut args: &[&[u8]]) -> Result<Vec<Operation>, Failure> {
    let (mut operations, mut overflow) = (Vec::new(), Overflow::Wrap);
    loop {
        args = match args {
            [] => return Ok(operations),
            [name, form, offset, rest @ ..] if is(name, "GET") => {
                operations.push((place(call, form, offset)?, Action::Get));
                rest
            }
            [name, form, offset, value, rest @ ..] if is(name, "SET") || is(name, "INCRBY") => {
                let place = place(call, form, offset)?;
                let value = integer(value)?;
                let is_set = is(name, "SET");
                let action = if is_set { Action::Set(value, overflow) } else { Action::Add(value, overflow) };
                operations.push((place, action));
                rest
            }
            [name, how, rest @ ..] if is(name, "OVERFLOW") => {
                overflow = match how {
                    how if is(how, "WRAP") => Overflow::Wrap,
                    how if is(how, "SAT") => Overflow::Saturate,
                    how if is(how, "FAIL") => Overflow::Fail,
                    _ => return Err(Failure::text("ERR Invalid OVERFLOW type specified")),
                };
                rest
            }
            _ => return Err(Failure::Syntax),
        };
    }
}

fn place(call: &Call<'_>, form: &[u8], offset: &[u8]) -> Result<Place, Failure> {
    let (is_signed, width) = match form {
        [b'i', width @ ..] => (true, width),
        [b'u', width @ ..] => (false, width),
        _ => return Err(Failure::text(BAD_TYPE)),
    };
    let most = if is_signed { 64 } else { 63 };
    let width = integer(width).ok().and_then(|width| u32::try_from(width).ok());
    let width = width.filter(|width| (1..=most).contains(width)).ok_or(Failure::text(BAD_TYPE))?;
    let (digits, unit) = match offset {
        [b'#', digits @ ..] => (digits, u64::from(width)),
        digits => (digits, 1),
    };
    let offset = integer(digits).ok().and_then(|offset| u64::try_from(offset).ok());
    let offset = offset.and_then(|offset| offset.checked_mul(unit));
    let limit = call.engine.settings.proto_bulk_bytes_max;
    let offset = offset.filter(|offset| offset >> 3 < limit).ok_or(Failure::text(BAD_OFFSET))?;
    Ok(Place { offset, width, is_signed })
}

/// `BITFIELD key [GET type offset | [OVERFLOW WRAP | SAT | FAIL] SET | INCRBY type offset value] ...`
fn bitfield(call: &mut Call<'_>) -> Result<(), Failure> {
    let operations = parse(call, &call.args[2..])?;
    if operations.iter().all(|(_, action)| matches!(action, Action::Get)) {
        return get_all(call, &operations);
    }
    let key = call.key(1);
    inspect(call, key, |entry, _| as_string_or_missing(entry))?;
    let writes = operations.iter().filter(|(_, action)| !matches!(action, Action::Get));
    let len = writes.map(|(place, _)| place.end()).max().unwrap_or(0);
    check_string_len(call, len as u64)?;
    let is_made = call.will_make(key);
    let (replies, changes) = call.db_mut().edit_string(key, |bytes| {
        let has_grown = bytes.len() < len;
        if has_grown {
            bytes.resize(len, 0);
        }
        execute(bytes, &operations, has_grown)
    });
    // The string is made even where an overflow then writes nothing.
    if is_made {
        call.event(EventClasses::NEW, "new", key.bytes);
    }
    if changes > 0 {
        call.wrote(key, false, EventClasses::STRING, "setbit");
    }
    reply_all(call, &replies);
    Ok(())
}

/// The replies, and how many numbers were changed: in a string that has just grown, all that were written.
fn execute(bytes: &mut [u8], operations: &[Operation], has_grown: bool) -> (Vec<Option<i64>>, usize) {
    let mut changes = 0;
    let replies = operations.iter().map(|&(place, action)| {
        let old = place.read(bytes);
        let (fitted, reply) = match action {
            Action::Get => return Some(old),
            Action::Set(value, overflow) => {
                let fitted = place.fit(place.as_set(value), overflow);
                (fitted, fitted.map(|_| old))
            }
            Action::Add(value, overflow) => {
                let fitted = place.fit(i128::from(old) + i128::from(value), overflow);
                (fitted, fitted)
            }
        };
        if let Some(value) = fitted {
            place.write(bytes, value);
            changes += usize::from(has_grown || value != old);
        }
        reply
    });
    (replies.collect(), changes)
}

/// `BITFIELD_RO key [GET type offset] ...`
fn bitfield_ro(call: &mut Call<'_>) -> Result<(), Failure> {
    let operations = parse(call, &call.args[2..])?;
    if operations.iter().any(|(_, action)| !matches!(action, Action::Get)) {
        return Err(Failure::text("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    get_all(call, &operations)
}

fn get_all(call: &mut Call<'_>, operations: &[Operation]) -> Result<(), Failure> {
    let replies: Vec<_> = read_string(call, 1, |bytes, _| {
        let bytes = bytes.unwrap_or_default();
        operations.iter().map(|(place, _)| Some(place.read(bytes))).collect()
    })?;
    reply_all(call, &replies);
    Ok(())
}

fn reply_all(call: &mut Call<'_>, replies: &[Option<i64>]) {
    let mut reply = call.reply();
    reply.array(replies.len());
    for number in replies {
        match number {
            Some(number) => reply.integer(*number),
            None => reply.null(),
        }
    }
}
