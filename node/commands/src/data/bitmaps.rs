//! Strings as rows of bits, the first bit of a byte being its highest: single bits, counts, positions, operations.

use super::access::{as_string_or_missing, check_string_len, delete, inspect, put_string_raw, read_string};
use super::arguments::{integer, is};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

pub(super) const BAD_OFFSET: &str = "ERR bit offset is not an integer or out of range";
const BAD_BIT: &str = "ERR bit is not an integer or out of range";
const BAD_BIT_SOUGHT: &str = "ERR The bit argument must be 1 or 0.";

const READ: Command = Command {
    name: "",
    arity: -2,
    flags: Flags::READONLY,
    keys: KeySpec::ONE,
    element: 0,
    group: "bitmap",
    since: "2.6.0",
    summary: "",
    handler: bitcount,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command {
        name: "setbit",
        arity: 4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        since: "2.2.0",
        summary: "Sets or clears a bit of a string",
        handler: setbit,
        ..READ
    },
    Command {
        name: "getbit",
        arity: 3,
        flags: Flags::READONLY.union(Flags::FAST),
        since: "2.2.0",
        summary: "Answers a bit of a string",
        handler: getbit,
        ..READ
    },
    Command { name: "bitcount", summary: "Counts the bits that are set in a string", ..READ },
    Command {
        name: "bitpos",
        arity: -3,
        since: "2.8.7",
        summary: "Finds the first bit of a kind in a string",
        handler: bitpos,
        ..READ
    },
    Command {
        name: "bitop",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        keys: KeySpec { first: 2, last: -1, step: 1 },
        summary: "Combines strings bit by bit",
        handler: bitop,
        ..READ
    },
];

/// The offset of a bit whose byte a string may have.
pub(super) fn bit_offset(call: &Call<'_>, argument: &[u8]) -> Result<u64, Failure> {
    let offset = integer(argument).ok().and_then(|offset| u64::try_from(offset).ok());
    let limit = call.engine.settings.proto_bulk_bytes_max;
    offset.filter(|offset| offset >> 3 < limit).ok_or(Failure::text(BAD_OFFSET))
}

/// `SETBIT key offset value`
fn setbit(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let offset = bit_offset(call, call.args[2])?;
    let is_set = match integer(call.args[3]) {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(Failure::text(BAD_BIT)),
    };
    inspect(call, key, |entry, _| as_string_or_missing(entry))?;
    let (byte, mask) = ((offset >> 3) as usize, 0x80_u8 >> (offset & 7));
    check_string_len(call, byte as u64 + 1)?;
    let is_made = call.will_make(key);
    let (was_set, has_grown) = call.db_mut().edit_string(key, |bytes| {
        let has_grown = bytes.len() <= byte;
        if has_grown {
            bytes.resize(byte + 1, 0);
        }
        let was_set = bytes[byte] & mask != 0;
        if is_set {
            bytes[byte] |= mask;
        } else {
            bytes[byte] &= !mask;
        }
        (was_set, has_grown)
    });
    // What stays as it was is no change, to watchers and to the log.
    if has_grown || was_set != is_set {
        call.wrote(key, is_made, EventClasses::STRING, "setbit");
    }
    call.reply().integer(i64::from(was_set));
    Ok(())
}

/// `GETBIT key offset`
fn getbit(call: &mut Call<'_>) -> Result<(), Failure> {
    let offset = bit_offset(call, call.args[2])?;
    let bit = read_string(call, 1, |bytes, _| {
        let byte = bytes.and_then(|bytes| bytes.get((offset >> 3) as usize));
        byte.is_some_and(|byte| byte & (0x80 >> (offset & 7)) != 0)
    })?;
    call.reply().integer(i64::from(bit));
    Ok(())
}

/// What bits of a string of `len` bytes `[start [end [BYTE | BIT]]]` means: from the first up to, not including, the
/// second; and whether an end was given.
struct Stretch {
    begin: i64,
    end: i64,
    in_bits: bool,
    has_end: bool,
}

impl Stretch {
    fn parse(args: &[&[u8]]) -> Result<Self, Failure> {
        let mut stretch = Self { begin: 0, end: -1, in_bits: false, has_end: args.len() >= 2 };
        if let Some(begin) = args.first() {
            stretch.begin = integer(begin)?;
        }
        if let [_, end, unit @ ..] = args {
            stretch.in_bits = match unit {
                [] => false,
                [unit] if is(unit, "BIT") => true,
                [unit] if is(unit, "BYTE") => false,
                _ => return Err(Failure::Syntax),
            };
            stretch.end = integer(end)?;
        }
        Ok(stretch)
    }

    /// In bits of a string of so many bytes.
    fn within(&self, len: usize) -> std::ops::Range<u64> {
        let unit = if self.in_bits { 1 } else { 8 };
        let total = len as i64 * 8 / unit;
        let from_begin = |index: i64| if index < 0 { index.saturating_add(total).max(0) } else { index };
        let (begin, end) = (from_begin(self.begin), from_begin(self.end).min(total - 1));
        if begin > end { 0..0 } else { (begin * unit) as u64..((end + 1) * unit) as u64 }
    }
}

/// The bytes that hold a range of bits, with the bits outside of it set to those of `fill`.
fn masked(bytes: &[u8], bits: &std::ops::Range<u64>, fill: u8) -> impl Iterator<Item = u8> {
    let (first, last) = ((bits.start >> 3) as usize, (bits.end.saturating_sub(1) >> 3) as usize);
    let head = 0xff_u8 >> (bits.start & 7);
    let tail = 0xff_u8 << (7 - (bits.end.wrapping_sub(1) & 7));
    let taken = if bits.is_empty() { &[][..] } else { &bytes[first..=last] };
    let len = taken.len();
    taken.iter().enumerate().map(move |(at, byte)| {
        let mut mask = 0xff;
        if at == 0 {
            mask &= head;
        }
        if at + 1 == len {
            mask &= tail;
        }
        byte & mask | fill & !mask
    })
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
fn bitcount(call: &mut Call<'_>) -> Result<(), Failure> {
    let args = &call.args[2..];
    if args.len() == 1 || args.len() > 3 {
        return Err(Failure::Syntax);
    }
    // Both ends are read before the unit; for BITPOS the unit comes before the end.
    args.iter().take(2).try_for_each(|end| integer(end).map(drop))?;
    let stretch = Stretch::parse(args)?;
    // For BITPOS these two meet at the first byte where the string is short; Redis looks at it here only.
    let is_backwards = stretch.begin < 0 && stretch.end < 0 && stretch.begin > stretch.end;
    let count: u64 = read_string(call, 1, |bytes, _| {
        let bytes = bytes.filter(|_| !is_backwards).unwrap_or_default();
        masked(bytes, &stretch.within(bytes.len()), 0).map(|byte| u64::from(byte.count_ones())).sum()
    })?;
    call.reply().integer(count as i64);
    Ok(())
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
fn bitpos(call: &mut Call<'_>) -> Result<(), Failure> {
    let is_set = match integer(call.args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Failure::text(BAD_BIT_SOUGHT)),
    };
    let args = &call.args[3..];
    if args.len() > 3 {
        return Err(Failure::Syntax);
    }
    let stretch = Stretch::parse(args)?;
    let place = read_string(call, 1, |bytes, _| {
        // A missing string is zeros without end.
        let Some(bytes) = bytes else { return if is_set { -1 } else { 0 } };
        let bits = stretch.within(bytes.len());
        if bits.is_empty() {
            return -1;
        }
        let skipped = if is_set { 0x00 } else { 0xff };
        let found = masked(bytes, &bits, skipped).enumerate().find(|(_, byte)| *byte != skipped);
        match found {
            Some((at, byte)) => {
                let within = if is_set { byte.leading_zeros() } else { byte.leading_ones() };
                ((bits.start >> 3) as i64 + at as i64) * 8 + i64::from(within)
            }
            // Without an end, zeros follow the string.
            None if !is_set && !stretch.has_end => bits.end as i64,
            None => -1,
        }
    })?;
    call.reply().integer(place);
    Ok(())
}

/// `BITOP AND | OR | XOR | NOT destination key ...`
fn bitop(call: &mut Call<'_>) -> Result<(), Failure> {
    let operation: fn(u8, u8) -> u8 = match call.args[1] {
        name if is(name, "AND") => |one, other| one & other,
        name if is(name, "OR") => |one, other| one | other,
        name if is(name, "XOR") => |one, other| one ^ other,
        name if is(name, "NOT") => |one, _| !one,
        _ => return Err(Failure::Syntax),
    };
    let is_not = is(call.args[1], "NOT");
    if is_not && call.args.len() != 4 {
        return Err(Failure::text("ERR BITOP NOT must be called with a single source key."));
    }
    let mut sources = Vec::with_capacity(call.args.len() - 3);
    for index in 3..call.args.len() {
        sources.push(read_string(call, index, |bytes, _| bytes.unwrap_or_default().to_vec())?);
    }
    let len = sources.iter().map(Vec::len).max().unwrap_or(0);
    let mut sources = sources.into_iter();
    let mut result = sources.next().unwrap_or_default();
    result.resize(len, 0);
    if is_not {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    for source in sources {
        let padded = source.iter().copied().chain(std::iter::repeat(0));
        result.iter_mut().zip(padded).for_each(|(byte, other)| *byte = operation(*byte, other));
    }
    let key = call.key(2);
    if result.is_empty() {
        inspect(call, key, |_, _| ());
        delete(call, key);
    } else {
        let is_made = call.will_make(key);
        put_string_raw(call, key, &result);
        call.wrote(key, is_made, EventClasses::STRING, "set");
    }
    call.reply().integer(len as i64);
    Ok(())
}
