//! One RDB into a keyspace: every version and encoding of the types we have; all else is refused by name and place.
//!
//! Everything here is hostile until proven otherwise: no number that the payload states is believed before the bytes
//! are there, and nothing panics. It reads no clock and drops no expired key; it decides nothing about the stream.

mod sets;

use std::borrow::Cow;
use std::io::Read;

use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions, Limits, StringForm};
use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};

use super::encodings::listpack::Listpack;
use super::encodings::ziplist::Ziplist;
use super::encodings::zipmap::Zipmap;
use super::encodings::{Element, Flaw};
use super::format::{
    CHECKSUM_SINCE, Dialect, MAGIC_BYTES, REDIS_VERSIONS, TYPES, VALKEY_VERSIONS, aux, opcode, type_name,
    type_word, value_type,
};
use super::source::{Source, Text, damaged};
use super::summary::{AUX_BYTES_MAX, AUX_FIELDS_MAX};
use super::{CheckEvent, DecodeOptions, RdbError, RdbSummary, StreamPosition};

mod lists;

/// Bytes of the longest string whose OBJECT ENCODING is `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;

/// Digits and sign of the longest 64-bit number.
const INT_BYTES_MAX: usize = 20;

pub(super) fn decode(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    options: DecodeOptions<'_>,
) -> Result<RdbSummary, RdbError> {
    read_all(input, keyspace, options, None)
}

/// The same without a keyspace: each key is dropped once it is read.
pub(super) fn check(input: &mut dyn Read, observer: Observer<'_>) -> Result<RdbSummary, RdbError> {
    let mut scratch = Keyspace::new(KeyspaceOptions { databases: 1, seed: HashSeed::new([0; 16]) });
    let options = DecodeOptions { skips_unsupported: true, ..DecodeOptions::default() };
    read_all(input, &mut scratch, options, Some(observer))
}

fn read_all<'a>(
    input: &'a mut dyn Read,
    keyspace: &'a mut Keyspace,
    options: DecodeOptions<'a>,
    observer: Option<Observer<'a>>,
) -> Result<RdbSummary, RdbError> {
    let mut source = Source::new(input);
    let (dialect, version) = read_magic(&mut source)?;
    let mut decoder = Decoder::new(source, keyspace, options, dialect);
    decoder.observer = observer;
    decoder.summary.version = version;
    decoder.summary.is_valkey = dialect == Dialect::Valkey;
    decoder.observe(|read| CheckEvent::Header { read, version, is_valkey: dialect == Dialect::Valkey });
    while decoder.read_item()? {}
    decoder.finish()
}

/// Reads one value, its type before it, into database 0 of `keyspace` under `key`, which is free; nothing else may
/// stand in `payload`.
pub(super) fn decode_value(
    payload: &[u8],
    dialect: Dialect,
    key: &[u8],
    keyspace: &mut Keyspace,
    limits: &Limits,
) -> Result<(), RdbError> {
    let mut input = payload;
    let options = DecodeOptions { limits: *limits, ..DecodeOptions::default() };
    let mut decoder = Decoder::new(Source::of_bytes(&mut input, payload.len()), keyspace, options, dialect);
    decoder.name.extend_from_slice(key);
    let code = decoder.source.byte()?;
    decoder.read_value(0, code)?;
    let end = decoder.source.position();
    if end < payload.len() as u64 {
        return Err(damaged(end, "more than one value"));
    }
    if decoder.summary.keys == 0 {
        return Err(damaged(end, "a collection without elements"));
    }
    Ok(())
}

fn read_magic(source: &mut Source<'_>) -> Result<(Dialect, u32), RdbError> {
    let magic: [u8; MAGIC_BYTES] = source.array()?;
    let (dialect, digits, versions) = match (magic.strip_prefix(b"REDIS"), magic.strip_prefix(b"VALKEY")) {
        (Some(digits), _) => (Dialect::Redis, digits, REDIS_VERSIONS),
        (_, Some(digits)) => (Dialect::Valkey, digits, VALKEY_VERSIONS),
        _ => return Err(damaged(0, format!("not an RDB: it begins with '{}'", magic.escape_ascii()))),
    };
    let digits_at = (MAGIC_BYTES - digits.len()) as u64;
    let number = |sum: Option<u32>, digit: &u8| {
        sum.filter(|_| digit.is_ascii_digit()).map(|sum| sum * 10 + u32::from(digit - b'0'))
    };
    let Some(version) = digits.iter().fold(Some(0), number) else {
        return Err(damaged(digits_at, format!("no version: '{}'", digits.escape_ascii())));
    };
    if !versions.contains(&version) {
        let what =
            format!("version {version} ({dialect:?}); {} to {} are known", versions.start(), versions.end());
        return Err(RdbError::Unsupported { at: digits_at, what });
    }
    Ok((dialect, version))
}

/// What AUX fields have said of the stream so far.
#[derive(Default)]
struct StatedPosition {
    selected: Option<DbIndex>,
    replid: Option<ReplicationId>,
    offset: Option<Offset>,
}

/// What a payload says of a key's use.
#[derive(Clone, Copy)]
enum Usage {
    /// Seconds since it was used.
    Idle(u32),
    /// The logarithmic count of uses.
    Frequency(u8),
}

/// Who is told what is read; there is one only in a check.
type Observer<'a> = &'a mut dyn FnMut(CheckEvent<'_>);

struct Decoder<'a> {
    source: Source<'a>,
    keyspace: &'a mut Keyspace,
    options: DecodeOptions<'a>,
    /// Nothing is kept, then.
    observer: Option<Observer<'a>>,
    dialect: Dialect,
    summary: RdbSummary,
    /// The database that the keys go to; changes with SELECTDB.
    selected: DbIndex,
    /// The expiry of the key that follows; cleared by that key.
    expiry: Option<UnixMillis>,
    /// What is known of the use of the key that follows; cleared by that key.
    usage: Option<Usage>,
    stated: StatedPosition,
    /// Keys by the number of their type.
    type_counts: [u64; TYPES],
    /// The key or AUX name being read; kept for its allocation.
    name: Vec<u8>,
    /// The field being read; kept for its allocation.
    field: Vec<u8>,
}

impl<'a> Decoder<'a> {
    fn new(
        source: Source<'a>,
        keyspace: &'a mut Keyspace,
        options: DecodeOptions<'a>,
        dialect: Dialect,
    ) -> Self {
        Self {
            source,
            keyspace,
            options,
            observer: None,
            dialect,
            summary: RdbSummary::default(),
            selected: DbIndex::default(),
            expiry: None,
            usage: None,
            stated: StatedPosition::default(),
            type_counts: [0; TYPES],
            name: Vec::new(),
            field: Vec::new(),
        }
    }
}

impl Decoder<'_> {
    /// Reads an opcode or a key with its value; whether more follows.
    fn read_item(&mut self) -> Result<bool, RdbError> {
        let at = self.source.position();
        let code = self.source.byte()?;
        match code {
            opcode::EOF => return Ok(false),
            opcode::AUX => self.read_aux(at)?,
            opcode::SELECT_DB => self.select_database(at)?,
            // How large the tables will be is no news to a tree that splits.
            opcode::RESIZE_DB => self.skip_lengths(2)?,
            opcode::SLOT_INFO => self.skip_lengths(3)?,
            opcode::EXPIRETIME_MS => {
                let millis = i64::from_le_bytes(self.source.array()?);
                // Redis' way to say that there is none.
                self.expiry = (millis != -1).then_some(UnixMillis::new(millis));
            }
            opcode::EXPIRETIME => {
                let seconds = i32::from_le_bytes(self.source.array()?);
                self.expiry = Some(UnixMillis::new(i64::from(seconds) * 1000));
            }
            opcode::IDLE => {
                let seconds = self.source.length()?;
                self.usage = Some(Usage::Idle(u32::try_from(seconds).unwrap_or(u32::MAX)));
            }
            opcode::FREQ => self.usage = Some(Usage::Frequency(self.source.byte()?)),
            opcode::FUNCTION2 => {
                let library = self.source.string()?.into_bytes().into_owned();
                self.summary.functions.push(library);
            }
            opcode::FUNCTION_PRE_GA => return Err(unsupported(at, "FUNCTION of a release candidate of 7.0")),
            opcode::MODULE_AUX => {
                let module = module_name(self.source.length()?);
                return Err(unsupported(at, format!("data of the module type '{module}'")));
            }
            opcode::KEY_META_OR_SLOT_IMPORT => {
                let what = match self.dialect {
                    Dialect::Redis => "KEY_META (metadata of a key)",
                    Dialect::Valkey => "SLOT_IMPORT (a slot migration under way)",
                };
                return Err(unsupported(at, what));
            }
            value if is_ours(value) => {
                let key_at = self.source.position();
                self.read_name()?;
                self.observe_key(value);
                let (keys_before, expires) = (self.summary.keys, self.expiry.is_some());
                self.read_value(key_at, value)?;
                if self.summary.keys > keys_before {
                    self.summary.expires += u64::from(expires);
                    self.type_counts[usize::from(value)] += 1;
                }
                if let Some(usage) = self.usage.take() {
                    self.note_usage(usage);
                }
                if self.observer.is_some() {
                    self.drop_key();
                }
            }
            other => return Err(self.refuse_type(at, other)),
        }
        Ok(true)
    }

    fn observe_key(&mut self, number: u8) {
        let Some(observer) = &mut self.observer else { return };
        observer(CheckEvent::Key {
            read: self.source.position(),
            key: &self.name,
            type_number: number,
            type_name: type_name(number, self.dialect).unwrap_or_default(),
            expiry: self.expiry,
        });
    }

    fn drop_key(&mut self) {
        let key = self.keyspace.key(&self.name);
        self.keyspace.database_mut(self.selected).remove(key);
        self.observe(|read| CheckEvent::Value { read, is_supported: true });
    }

    fn note_usage(&self, usage: Usage) {
        let key = self.keyspace.key(&self.name);
        let Some(entry) = self.keyspace.database(self.selected).get(key) else { return };
        match usage {
            Usage::Idle(seconds) => self.keyspace.access().set_idle_seconds(entry, seconds),
            Usage::Frequency(count) => self.keyspace.access().set_uses(entry, count),
        }
    }

    /// Reads the value of the type `code`, for the key that was read before it and stood at `at`.
    fn read_value(&mut self, at: u64, code: u8) -> Result<(), RdbError> {
        match code {
            value_type::STRING => self.read_string(at),
            value_type::HASH
            | value_type::HASH_ZIPMAP
            | value_type::HASH_ZIPLIST
            | value_type::HASH_LISTPACK => self.read_hash(at, code),
            value_type::SET | value_type::SET_INTSET | value_type::SET_LISTPACK => self.read_set(at, code),
            value_type::ZSET | value_type::ZSET_2 | value_type::ZSET_ZIPLIST | value_type::ZSET_LISTPACK => {
                self.read_sorted_set(at, code)
            }
            value_type::LIST
            | value_type::LIST_ZIPLIST
            | value_type::LIST_QUICKLIST
            | value_type::LIST_QUICKLIST_2 => self.read_list(at, code),
            other => Err(self.refuse_type(at, other)),
        }
    }

    fn finish(mut self) -> Result<RdbSummary, RdbError> {
        let mut has_checksum = false;
        if self.summary.version >= CHECKSUM_SINCE {
            let computed = self.source.checksum();
            let stated = u64::from_le_bytes(self.source.array()?);
            // Zero is written by servers whose checksums are switched off.
            has_checksum = stated != 0;
            if has_checksum && stated != computed {
                return Err(RdbError::WrongChecksum { stated, computed });
            }
        }
        for (count, number) in self.type_counts.into_iter().zip(0..).filter(|(count, _)| *count > 0) {
            *self.summary.types.entry(type_word(number, self.dialect)).or_default() += count;
        }
        self.summary.bytes = self.source.position();
        self.observe(|read| CheckEvent::End { read, has_checksum });
        if let StatedPosition { selected: Some(selected), replid: Some(replid), offset: Some(offset) } =
            self.stated
        {
            self.summary.position = Some(StreamPosition { replid, offset, selected });
        }
        Ok(self.summary)
    }

    /// AUX fields are notes: unknown ones are passed over, and so is a position that does not make sense, but for a
    /// database that does not exist: the stream would go on in it.
    fn read_aux(&mut self, at: u64) -> Result<(), RdbError> {
        self.name.clear();
        self.name.extend_from_slice(&self.source.string()?.into_bytes());
        let value = self.source.string()?.into_bytes().into_owned();
        if let Some(observer) = &mut self.observer {
            observer(CheckEvent::Aux { read: self.source.position(), name: &self.name, value: &value });
        }
        if self.summary.aux.len() < AUX_FIELDS_MAX && self.name.len() + value.len() <= AUX_BYTES_MAX {
            self.summary.aux.push((self.name.clone(), value.clone()));
        }
        match self.name.as_slice() {
            aux::STREAM_DB if self.observer.is_none() => {
                let number = number(&value);
                self.stated.selected = number.map(|number| self.existing_database(at, number)).transpose()?;
            }
            aux::REPLICATION_ID => self.stated.replid = ReplicationId::parse(&value),
            aux::REPLICATION_OFFSET => self.stated.offset = number(&value).map(Offset::new),
            _ => {}
        }
        Ok(())
    }

    fn existing_database(&self, at: u64, number: u64) -> Result<DbIndex, RdbError> {
        let count = self.keyspace.database_count();
        match u32::try_from(number) {
            Ok(number) if number < count => Ok(DbIndex::new(number)),
            _ => Err(damaged(at, format!("database {number}, but there are {count}"))),
        }
    }

    fn select_database(&mut self, at: u64) -> Result<(), RdbError> {
        let number = self.source.length()?;
        self.observe(|read| CheckEvent::Database { read, index: number });
        // A check has one database for all.
        if self.observer.is_none() {
            self.selected = self.existing_database(at, number)?;
        }
        Ok(())
    }

    fn observe<'e>(&mut self, event: impl FnOnce(u64) -> CheckEvent<'e>) {
        if let Some(observer) = &mut self.observer {
            observer(event(self.source.position()));
        }
    }

    fn skip_lengths(&mut self, count: usize) -> Result<(), RdbError> {
        for _ in 0..count {
            self.source.length()?;
        }
        Ok(())
    }

    fn read_name(&mut self) -> Result<(), RdbError> {
        self.name.clear();
        self.name.extend_from_slice(&self.source.string()?.into_bytes());
        Ok(())
    }

    fn read_string(&mut self, at: u64) -> Result<(), RdbError> {
        let text = self.source.string()?;
        let key = self.keyspace.key(&self.name);
        let database = self.keyspace.database_mut(self.selected);
        let keys_before = database.len();
        let expiry = self.expiry.take();
        match text {
            Text::Int(value) => database.put_int(key, value, expiry),
            Text::Bytes(bytes) => match canonical_int(&bytes) {
                Some(value) => database.put_int(key, value, expiry),
                None if bytes.len() <= EMBSTR_BYTES_MAX => {
                    database.put_string(key, &bytes, StringForm::Embstr, expiry);
                }
                None => database.put_string(key, &bytes, StringForm::Raw, expiry),
            },
        }
        if database.len() == keys_before {
            return Err(self.duplicate_key(at));
        }
        self.summary.keys += 1;
        Ok(())
    }

    fn read_hash(&mut self, at: u64, code: u8) -> Result<(), RdbError> {
        let key = self.keyspace.key(&self.name);
        let database = self.keyspace.database_mut(self.selected);
        if database.get(key).is_some() {
            return Err(self.duplicate_key(at));
        }
        let expiry = self.expiry.take();
        let mut limits = self.options.limits.hash;
        if code != value_type::HASH {
            // As in Redis, only the number of fields decides whether what came packed stays so.
            limits.value_bytes_max = usize::MAX;
        }
        let Some(mut hash) = database.hash_mut(key, limits) else {
            return Err(self.duplicate_key(at));
        };
        let put = &mut |field: &[u8], value: &[u8]| hash.set(field, value);
        let fields_at = self.source.position();
        let fields = match code {
            value_type::HASH => read_plain_fields(&mut self.source, &mut self.field, put)?,
            _ => {
                let blob = self.source.string()?.into_bytes();
                read_packed_fields(fields_at, code, &blob, put)?
            }
        };
        drop(hash);
        // Old Redis' let empty hashes slip into files; newer ones pass over them, as the guard just did.
        if fields > 0 {
            if expiry.is_some() {
                database.set_expiry(key, expiry);
            }
            self.summary.keys += 1;
        }
        Ok(())
    }

    fn read_list(&mut self, at: u64, code: u8) -> Result<(), RdbError> {
        let key = self.keyspace.key(&self.name);
        let database = self.keyspace.database_mut(self.selected);
        if database.get(key).is_some() {
            return Err(self.duplicate_key(at));
        }
        let expiry = self.expiry.take();
        let Some(mut list) = database.list_mut(key, self.options.limits.list) else {
            return Err(self.duplicate_key(at));
        };
        let is_one_run = lists::read(&mut self.source, code, &mut |element| list.push_back(element))?;
        if is_one_run {
            list.settle()
        } else {
            list.become_tree()
        }
        let is_empty = list.view().is_empty();
        drop(list);
        if !is_empty {
            if expiry.is_some() {
                database.set_expiry(key, expiry);
            }
            self.summary.keys += 1;
        }
        Ok(())
    }

    fn duplicate_key(&self, at: u64) -> RdbError {
        damaged(at, format!("the key '{}' for the second time", self.name.escape_ascii()))
    }

    /// The error for a type that we do not have. The name of a module stands behind the key.
    fn refuse_type(&mut self, at: u64, number: u8) -> RdbError {
        let Some(name) = type_name(number, self.dialect) else {
            return damaged(at, format!("no type or opcode has the number {number}"));
        };
        if number == value_type::MODULE_2
            && self.read_name().is_ok()
            && let Ok(id) = self.source.length()
        {
            return unsupported(
                at,
                format!("type {number}, a value of the module type '{}'", module_name(id)),
            );
        }
        unsupported(at, format!("type {number}, {name}"))
    }
}

/// Whether it is the type of a value that we have.
fn is_ours(code: u8) -> bool {
    use value_type::*;
    matches!(code, STRING | LIST..=HASH | ZSET_2 | HASH_ZIPMAP..=LIST_QUICKLIST | HASH_LISTPACK..=LIST_QUICKLIST_2)
        || code == SET_LISTPACK
}

/// Reads a count, fields and values; returns the count.
fn read_plain_fields(
    source: &mut Source<'_>,
    field: &mut Vec<u8>,
    put: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<u64, RdbError> {
    let count = source.length()?;
    for _ in 0..count {
        let at = source.position();
        field.clear();
        field.extend_from_slice(&source.string()?.into_bytes());
        let value = source.string()?.into_bytes();
        if !put(field, &value) {
            return Err(damaged(at, format!("the field '{}' for the second time", field.escape_ascii())));
        }
    }
    Ok(count)
}

/// Reads the pairs of a packed hash whose string began at `at`; returns their count.
fn read_packed_fields(
    at: u64,
    code: u8,
    blob: &[u8],
    put: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<u64, RdbError> {
    let flawed = |kind: &'static str| move |flaw: Flaw| damaged(at, flaw.within(kind));
    match code {
        value_type::HASH_ZIPMAP => {
            let kind = "a hash as zipmap";
            put_pairs(at, kind, Zipmap::new(blob).map_err(flawed(kind))?, put)
        }
        value_type::HASH_ZIPLIST => {
            let kind = "a hash as ziplist";
            put_pairs(at, kind, Ziplist::new(blob).map_err(flawed(kind))?, put)
        }
        _ => {
            let kind = "a hash as listpack";
            put_pairs(at, kind, Listpack::new(blob).map_err(flawed(kind))?, put)
        }
    }
}

fn put_pairs<'a>(
    at: u64,
    kind: &'static str,
    elements: impl Iterator<Item = Result<Element<'a>, Flaw>>,
    put: &mut dyn FnMut(&[u8], &[u8]) -> bool,
) -> Result<u64, RdbError> {
    let mut texts = elements.map(|element| element.map(Element::into_bytes));
    let mut next = || -> Result<Option<Cow<'a, [u8]>>, RdbError> {
        texts.next().transpose().map_err(|flaw| damaged(at, flaw.within(kind)))
    };
    let mut count = 0;
    while let Some(field) = next()? {
        let Some(value) = next()? else {
            return Err(damaged(at, format!("{kind}: a field without a value")));
        };
        if !put(&field, &value) {
            let what = format!("{kind}: the field '{}' for the second time", field.escape_ascii());
            return Err(damaged(at, what));
        }
        count += 1;
    }
    Ok(count)
}

/// The number that `bytes` are the only decimal form of. Redis holds such strings as numbers.
fn canonical_int(bytes: &[u8]) -> Option<i64> {
    if bytes.is_empty() || bytes.len() > INT_BYTES_MAX {
        return None;
    }
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let is_canonical = match digits {
        [b'0'] => bytes.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_canonical { std::str::from_utf8(bytes).ok()?.parse().ok() } else { None }
}

/// An unsigned number in an AUX field.
fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// A module type's name, nine characters of six bits above ten bits of version.
fn module_name(id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).rev().map(|place| char::from(CHARACTERS[(id >> (10 + 6 * place) & 63) as usize])).collect()
}

fn unsupported(at: u64, what: impl Into<String>) -> RdbError {
    RdbError::Unsupported { at, what: what.into() }
}
