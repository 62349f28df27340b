//! How handlers reach an entry: one lookup serves the check of expiry, the access clock and the value.
//!
//! An entry is handed to a closure instead of being returned: the expired entry must be deleted in the other branch,
//! and a borrow that may be returned cannot be given up for that. Most handlers can reply from inside the closure.

use rejoin_keyspace::{
    Entry, HashLimits, HashSeed, HashView, Key, ListLimits, ListView, SetLimits, SetView, SortedSetLimits,
    SortedSetView, StringForm, Value,
};
use rejoin_protocol::{DbIndex, UnixMillis, number::parse_i64};

use crate::{Call, Failure, Flags, Role, Session, pubsub::events::EventClasses};

/// Strings up to this length are reported as `embstr`.
pub(super) const EMBSTR_BYTES_MAX: usize = 44;
/// No decimal form of an i64 is longer than this.
const INT_BYTES_MAX: usize = 20;
/// What a string may not outgrow: the reply to the command that would make it so.
const STRING_TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

/// What a closure over an entry may use besides it.
pub(super) struct Reading<'a> {
    /// The seed that a hash's fields are looked up with.
    pub(super) seed: &'a HashSeed,
    /// Who asked; replies go there.
    pub(super) session: &'a mut Session,
}

/// Why a key is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Counts as a hit or a miss; a miss is an event.
    Read,
    /// Counts as a hit or a miss, and is no event.
    Ask,
    /// Counts nothing; an expired entry will not be in the way afterwards.
    Write,
}

/// Looks the argument at `index` up for reading; counts a hit or a miss.
#[inline]
pub(super) fn read<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    let key = call.key(index);
    with_live(call, call.session.db, key, Purpose::Read, body)
}

/// As [`read`], of any key.
#[inline]
pub(super) fn read_key<R>(
    call: &mut Call<'_>,
    key: Key<'_>,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    with_live(call, call.session.db, key, Purpose::Read, body)
}

/// As [`read`], for commands on what is known of a key (OBJECT): it is no event that there is none.
pub(super) fn ask<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    let key = call.key(index);
    with_live(call, call.session.db, key, Purpose::Ask, body)
}

/// Looks `key` up for a write that depends on what stands there. Afterwards no expired entry is left at `key`, except
/// for the stream of our own master, to which it counts as present.
#[inline]
pub(super) fn inspect<R>(
    call: &mut Call<'_>,
    key: Key<'_>,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    with_live(call, call.session.db, key, Purpose::Write, body)
}

/// As [`inspect`], in another database.
pub(super) fn inspect_in<R>(
    call: &mut Call<'_>,
    db: DbIndex,
    key: Key<'_>,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    with_live(call, db, key, Purpose::Write, body)
}

/// As [`read`], and it must be a hash or missing.
#[inline]
pub(super) fn read_hash<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<HashView<'_>>, Reading<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    read(call, index, |entry, reading| body(as_hash(entry)?, reading))
}

/// As [`read`], and it must be a set or missing.
#[inline]
pub(super) fn read_set<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<SetView<'_>>, Reading<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    read(call, index, |entry, reading| body(as_set(entry)?, reading))
}

/// As [`read`], and it must be a sorted set or missing.
#[inline]
pub(super) fn read_sorted_set<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<SortedSetView<'_>>, Reading<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    read(call, index, |entry, reading| body(as_sorted_set(entry)?, reading))
}

/// As [`read`], and it must be a list or missing.
#[inline]
pub(super) fn read_list<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<ListView<'_>>, Reading<'_>) -> Result<R, Failure>,
) -> Result<R, Failure> {
    read(call, index, |entry, reading| body(as_list(entry)?, reading))
}

/// As [`read`], and it must be a string or missing.
#[inline]
pub(super) fn read_string<R>(
    call: &mut Call<'_>,
    index: usize,
    body: impl FnOnce(Option<&[u8]>, Reading<'_>) -> R,
) -> Result<R, Failure> {
    read(call, index, |entry, reading| {
        let Some(entry) = entry else { return Ok(body(None, reading)) };
        let mut digits = itoa::Buffer::new();
        Ok(body(Some(string_bytes(entry.value(), &mut digits)?), reading))
    })
}

#[inline]
fn with_live<R>(
    call: &mut Call<'_>,
    db: DbIndex,
    key: Key<'_>,
    purpose: Purpose,
    body: impl FnOnce(Option<&Entry>, Reading<'_>) -> R,
) -> R {
    let found = match call.engine.keyspace.database(db).get(key) {
        Some(entry) if call.is_expired(entry.expiry()) => {
            take_expired_away(call, db, key, purpose);
            None
        }
        found => found,
    };
    if purpose != Purpose::Write {
        match found {
            Some(_) => call.engine.stats.keyspace_hits += 1,
            None => {
                call.engine.stats.keyspace_misses += 1;
                if purpose == Purpose::Read {
                    call.engine.notify(db, EventClasses::MISSED, "keymiss", key.bytes);
                }
                return body(
                    None,
                    Reading { seed: call.engine.keyspace.seed(), session: &mut *call.session },
                );
            }
        }
    }
    if let Some(entry) = found
        && !call.command.flags.contains(Flags::NO_TOUCH)
        && !call.session.no_touch
    {
        call.engine.keyspace.access().touch(entry);
    }
    body(found, Reading { seed: call.engine.keyspace.seed(), session: &mut *call.session })
}

/// Deletes an expired entry where that is ours to decide. On a replica it only seems gone, unless a client of a
/// writable replica is about to write over it.
#[cold]
fn take_expired_away(call: &mut Call<'_>, db: DbIndex, key: Key<'_>, purpose: Purpose) {
    call.expire_if_due(db, key);
    if purpose == Purpose::Write && call.engine.role == Role::Replica {
        call.engine.keyspace.database_mut(db).remove(key);
    }
}

/// Before a write that does not look first (HSET, DEL): takes an expired entry away. Costs a lookup only where
/// anything can expire at all, or where uses are counted.
#[inline]
pub(super) fn take_away_if_expired(call: &mut Call<'_>, key: Key<'_>) {
    if call.db().volatile_len() > 0 || call.engine.keyspace.access().counts_uses() {
        inspect(call, key, |_, _| ());
    }
}

/// A string's bytes; `digits` holds those of a number.
#[inline]
pub(super) fn string_bytes<'b>(value: Value<'b>, digits: &'b mut itoa::Buffer) -> Result<&'b [u8], Failure> {
    match value {
        Value::Int(n) => Ok(digits.format(n).as_bytes()),
        Value::Str(bytes, _) => Ok(bytes),
        _ => Err(Failure::WrongType),
    }
}

/// The entry as a hash, if there is one.
#[inline]
pub(super) fn as_hash(entry: Option<&Entry>) -> Result<Option<HashView<'_>>, Failure> {
    match entry.map(Entry::value) {
        None => Ok(None),
        Some(Value::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Failure::WrongType),
    }
}

/// The value of a field, if the entry is a hash and has it.
pub(super) fn hash_value<'a>(entry: &'a Entry, seed: &HashSeed, field: &[u8]) -> Option<&'a [u8]> {
    match entry.value() {
        Value::Hash(hash) => hash.get(seed, field),
        _ => None,
    }
}

/// The entry as a set, if there is one.
#[inline]
pub(super) fn as_set(entry: Option<&Entry>) -> Result<Option<SetView<'_>>, Failure> {
    match entry.map(Entry::value) {
        None => Ok(None),
        Some(Value::Set(set)) => Ok(Some(set)),
        Some(_) => Err(Failure::WrongType),
    }
}

/// The entry as a list, if there is one.
#[inline]
pub(super) fn as_list(entry: Option<&Entry>) -> Result<Option<ListView<'_>>, Failure> {
    match entry.map(Entry::value) {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(_) => Err(Failure::WrongType),
    }
}

/// The entry as a sorted set, if there is one.
#[inline]
pub(super) fn as_sorted_set(entry: Option<&Entry>) -> Result<Option<SortedSetView<'_>>, Failure> {
    match entry.map(Entry::value) {
        None => Ok(None),
        Some(Value::SortedSet(set)) => Ok(Some(set)),
        Some(_) => Err(Failure::WrongType),
    }
}

/// Refuses an entry that is no string.
pub(super) fn as_string_or_missing(entry: Option<&Entry>) -> Result<(), Failure> {
    if entry.is_some_and(|entry| !is_string(entry.value())) {
        return Err(Failure::WrongType);
    }
    Ok(())
}

/// Whether a value is a string, numbers included.
pub(super) fn is_string(value: Value<'_>) -> bool {
    matches!(value, Value::Int(_) | Value::Str(..))
}

/// Replies with a string's value.
#[inline]
pub(super) fn reply_string(session: &mut Session, value: Value<'_>) -> Result<(), Failure> {
    match value {
        Value::Int(n) => session.reply().bulk_integer(n),
        Value::Str(bytes, _) => session.reply().bulk(bytes),
        _ => return Err(Failure::WrongType),
    }
    Ok(())
}

/// Puts a string in the form that Redis would choose for it, in place of whatever stood there.
#[inline]
pub(super) fn put_string(call: &mut Call<'_>, key: Key<'_>, bytes: &[u8], expiry: Option<UnixMillis>) {
    let access = call.engine.keyspace.access();
    if access.counts_uses()
        && !call.session.no_touch
        && let Some(entry) = call.db().get(key)
    {
        access.touch(entry);
    }
    let number = if bytes.len() <= INT_BYTES_MAX { parse_i64(bytes) } else { None };
    match number {
        Some(n) => call.db_mut().put_int(key, n, expiry),
        None => call.db_mut().put_string(key, bytes, text_form(bytes), expiry),
    }
}

/// Puts a string that is never taken for a number, in place of whatever stood there.
pub(super) fn put_string_raw(call: &mut Call<'_>, key: Key<'_>, bytes: &[u8]) {
    call.db_mut().put_string(key, bytes, StringForm::Raw, None);
}

/// The form of a string that is not to be held as a number.
#[inline]
pub(super) fn text_form(bytes: &[u8]) -> StringForm {
    if bytes.len() <= EMBSTR_BYTES_MAX { StringForm::Embstr } else { StringForm::Raw }
}

/// Refuses a string of `len` bytes if clients could not be sent it.
pub(super) fn check_string_len(call: &Call<'_>, len: u64) -> Result<(), Failure> {
    if len > call.engine.settings.proto_bulk_bytes_max {
        return Err(Failure::text(STRING_TOO_LONG));
    }
    Ok(())
}

/// When hashes stop being packed.
#[inline]
pub(super) fn hash_limits(call: &Call<'_>) -> HashLimits {
    call.engine.settings.hash_limits()
}

/// When sets change their form.
#[inline]
pub(super) fn set_limits(call: &Call<'_>) -> SetLimits {
    call.engine.settings.set_limits()
}

/// When sorted sets stop being packed.
#[inline]
pub(super) fn sorted_set_limits(call: &Call<'_>) -> SortedSetLimits {
    call.engine.settings.sorted_set_limits()
}

/// Deletes what stands at `key` and states it, if anything does: what a STORE command with an empty result leaves.
pub(super) fn delete(call: &mut Call<'_>, key: Key<'_>) {
    if call.db_mut().remove(key) {
        call.changed(key);
        call.event(EventClasses::GENERIC, "del", key.bytes);
    }
}

/// When lists stop being packed.
#[inline]
pub(super) fn list_limits(call: &Call<'_>) -> ListLimits {
    call.engine.settings.list_limits()
}
