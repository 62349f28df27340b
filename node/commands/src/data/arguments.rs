//! Arguments that several commands read alike.

use rejoin_protocol::{
    DbIndex,
    number::{LongDouble, parse_i64},
};

use crate::{Call, Failure};

/// Whether an argument is this option, in any case.
#[inline]
pub(crate) fn is(argument: &[u8], option: &str) -> bool {
    argument.eq_ignore_ascii_case(option.as_bytes())
}

/// A 64-bit number.
#[inline]
pub(crate) fn integer(argument: &[u8]) -> Result<i64, Failure> {
    parse_i64(argument).ok_or(Failure::NotAnInteger)
}

/// A number between `min` and `max`, refused in Redis' words.
pub(crate) fn integer_between(argument: &[u8], min: i64, max: i64) -> Result<i64, Failure> {
    let number = integer(argument)?;
    if number < min || number > max {
        return Err(Failure::text(format!("ERR value is out of range, value must between {min} and {max}")));
    }
    Ok(number)
}

/// How many elements to take: 0 or more, refused in Redis' words whatever is wrong.
pub(crate) fn element_count(argument: &[u8]) -> Result<usize, Failure> {
    let count = parse_i64(argument).and_then(|count| usize::try_from(count).ok());
    count.ok_or(Failure::text("ERR value is out of range, must be positive"))
}

/// A float, refused in the words of an argument.
pub(crate) fn float(argument: &[u8]) -> Result<LongDouble, Failure> {
    LongDouble::parse(argument).ok_or(Failure::NotAFloat)
}

/// A database that exists.
pub(crate) fn database(call: &Call<'_>, argument: &[u8]) -> Result<DbIndex, Failure> {
    existing_database(call, integer_between(argument, i64::from(i32::MIN), i64::from(i32::MAX))?)
}

/// The database of this number, if it exists.
pub(crate) fn existing_database(call: &Call<'_>, number: i64) -> Result<DbIndex, Failure> {
    match u32::try_from(number) {
        Ok(index) if index < call.engine.keyspace.database_count() => Ok(DbIndex::new(index)),
        _ => Err(Failure::DatabaseOutOfRange),
    }
}

/// A decimal number written into `digits`, as bytes.
pub(crate) fn decimal(digits: &mut itoa::Buffer, number: i64) -> &[u8] {
    digits.format(number).as_bytes()
}
