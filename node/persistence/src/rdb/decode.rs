//! One RDB into a keyspace: every version and encoding of the types we have; all else is refused by name and place.
//!
//! Everything here is hostile until proven otherwise: no number that the payload states is believed before the bytes
//! are there, and nothing panics. It reads no clock and drops no expired key; it decides nothing about the stream.

mod hashes;
mod lists;
mod notes;
mod sets;
mod skip;
mod workers;

pub use skip::library_name;

use std::io::Read;
use std::sync::atomic::Ordering;

use rejoin_keyspace::{
    Batch, Draft, Entry, HashSeed, Key, KeyExists, Keyspace, KeyspaceOptions, Limits, StringForm,
};
use rejoin_protocol::{DbIndex, UnixMillis};

use super::format::{
    CHECKSUM_SINCE, Dialect, MAGIC_BYTES, REDIS_VERSIONS, TYPES, VALKEY_VERSIONS, opcode, type_name,
    type_word, value_type,
};
use super::source::{Source, Text, damaged};
use super::{CheckEvent, DecodeOptions, RdbError, RdbSummary, StreamPosition};
pub use workers::Worker;
use workers::Workers;

/// Bytes of the longest string whose OBJECT ENCODING is `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;

/// Entries that are collected before they are put in place: few enough for the caches.
const BATCH_KEYS: usize = 512;

/// Digits and sign of the longest 64-bit number.
const INT_BYTES_MAX: usize = 20;

pub(super) fn decode(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    options: DecodeOptions<'_>,
) -> Result<RdbSummary, RdbError> {
    read_all(input, keyspace, options, None, None)
}

/// The same with so many workers besides, which `run` is to run on threads of their own.
pub(super) fn decode_with_workers(
    input: &mut dyn Read,
    keyspace: &mut Keyspace,
    options: DecodeOptions<'_>,
    workers: usize,
    run: &mut dyn FnMut(Worker),
) -> Result<RdbSummary, RdbError> {
    read_all(input, keyspace, options, None, Some(Workers::start(workers, run)))
}

/// The same without a keyspace: each key is dropped once it is read.
pub(super) fn check(input: &mut dyn Read, observer: Observer<'_>) -> Result<RdbSummary, RdbError> {
    let mut scratch = Keyspace::new(KeyspaceOptions { databases: 1, seed: HashSeed::new([0; 16]) });
    let options = DecodeOptions { skips_unsupported: true, ..DecodeOptions::default() };
    read_all(input, &mut scratch, options, Some(observer), None)
}

fn read_all<'a>(
    input: &'a mut dyn Read,
    keyspace: &'a mut Keyspace,
    options: DecodeOptions<'a>,
    observer: Option<Observer<'a>>,
    workers: Option<Workers>,
) -> Result<RdbSummary, RdbError> {
    let mut source = Source::new(input);
    let (dialect, version) = read_magic(&mut source)?;
    let mut decoder = Decoder::new(source, keyspace, options, dialect);
    decoder.observer = observer;
    decoder.workers = workers;
    decoder.summary.version = version;
    decoder.summary.is_valkey = dialect == Dialect::Valkey;
    decoder.observe(|read| CheckEvent::Header { read, version, is_valkey: dialect == Dialect::Valkey });
    let outcome = decoder.read_items();
    // Of two things that are wrong, the one that stands before the other.
    decoder.await_workers()?;
    decoder.flush()?;
    outcome?;
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
    if !is_ours(code) {
        return Err(decoder.unsupported_type(0, code));
    }
    decoder.read_value(0, 0, code)?;
    let end = decoder.source.position();
    if end < payload.len() as u64 {
        return Err(damaged(end, "more than one value"));
    }
    if decoder.summary.keys == 0 {
        return Err(damaged(end, "a collection without elements"));
    }
    decoder.flush()
}

pub(super) fn read_magic(source: &mut Source<'_>) -> Result<(Dialect, u32), RdbError> {
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

pub(super) struct Decoder<'a> {
    source: Source<'a>,
    keyspace: &'a mut Keyspace,
    options: DecodeOptions<'a>,
    /// Nothing is kept, then.
    observer: Option<Observer<'a>>,
    /// Those who make the entries, if it is not this one.
    workers: Option<Workers>,
    /// The batch is for somebody else to put in place.
    keeps_batch: bool,
    dialect: Dialect,
    summary: RdbSummary,
    /// The database that the keys go to; changes with SELECTDB.
    selected: DbIndex,
    /// The expiry of the key that follows; cleared by that key.
    expiry: Option<UnixMillis>,
    /// What is known of the use of the key that follows; cleared by that key.
    usage: Option<Usage>,
    stated: notes::StatedPosition,
    /// Keys by the number of their type.
    type_counts: [u64; TYPES],
    /// Where entries are made.
    draft: Draft,
    /// Entries for the selected database that are not in it yet.
    batch: Batch,
    /// Where the keys of the batch stand.
    places: Vec<u64>,
    /// The key or AUX name being read; kept for its allocation.
    name: Vec<u8>,
    /// The field being read; kept for its allocation.
    field: Vec<u8>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(
        source: Source<'a>,
        keyspace: &'a mut Keyspace,
        options: DecodeOptions<'a>,
        dialect: Dialect,
    ) -> Self {
        Self {
            source,
            draft: keyspace.draft(),
            keyspace,
            options,
            observer: None,
            workers: None,
            keeps_batch: false,
            dialect,
            summary: RdbSummary::default(),
            selected: DbIndex::default(),
            expiry: None,
            usage: None,
            stated: notes::StatedPosition::default(),
            type_counts: [0; TYPES],
            batch: Batch::default(),
            places: Vec::new(),
            name: Vec::new(),
            field: Vec::new(),
        }
    }
}

impl<'a> Decoder<'a> {
    /// Reads AUX fields up to what else there is: the position and the seed that they state.
    pub(super) fn read_notes(
        &mut self,
        observer: Observer<'a>,
    ) -> Result<(Option<StreamPosition>, Option<HashSeed>), RdbError> {
        self.observer = Some(observer);
        loop {
            let at = self.source.position();
            if self.source.byte()? != opcode::AUX {
                return Ok((self.stated.position(), self.summary.seed));
            }
            self.read_aux(at)?;
        }
    }
}

impl Decoder<'_> {
    fn read_items(&mut self) -> Result<(), RdbError> {
        while self.read_item()? {}
        Ok(())
    }

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
            opcode::FUNCTION2 => self.read_function(at)?,
            opcode::FUNCTION_PRE_GA => return Err(unsupported(at, "FUNCTION of a release candidate of 7.0")),
            opcode::MODULE_AUX => self.read_module_data(at)?,
            opcode::KEY_META_OR_SLOT_IMPORT => self.read_key_meta_or_slot_import(at)?,
            number => self.read_key(at, number)?,
        }
        Ok(true)
    }

    fn select_database(&mut self, at: u64) -> Result<(), RdbError> {
        let number = self.source.length()?;
        self.observe(|read| CheckEvent::Database { read, index: number });
        // A check has one database for all.
        if self.observer.is_none() {
            self.await_workers()?;
            self.flush()?;
            self.selected = self.existing_database(at, number)?;
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

    fn observe<'e>(&mut self, event: impl FnOnce(u64) -> CheckEvent<'e>) {
        if let Some(observer) = &mut self.observer {
            observer(event(self.source.position()));
        }
    }

    fn read_name(&mut self) -> Result<(), RdbError> {
        self.name.clear();
        match self.source.string()? {
            Text::Bytes(bytes) => self.name.extend_from_slice(&bytes),
            Text::Int(value) => self.name.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        }
        Ok(())
    }

    /// Reads the key and the value of a type whose number stood at `at`.
    fn read_key(&mut self, at: u64, number: u8) -> Result<(), RdbError> {
        let Some(type_name) = type_name(number, self.dialect) else {
            return Err(damaged(at, format!("no type or opcode has the number {number}")));
        };
        if is_ours(number) && self.workers.is_some() {
            return self.scan_key(at, number);
        }
        let key_at = self.source.position();
        if !is_ours(number) && !self.options.skips_unsupported {
            return Err(self.unsupported_type(at, number));
        }
        self.read_name()?;
        if let Some(observer) = &mut self.observer {
            observer(CheckEvent::Key {
                read: self.source.position(),
                key: &self.name,
                type_number: number,
                type_name,
                expiry: self.expiry,
            });
        }
        let skipped_before = self.summary.skipped.keys;
        if is_ours(number) {
            self.read_value(at, key_at, number)?;
        } else {
            self.skip_value(at, number)?;
        }
        let is_supported = self.summary.skipped.keys == skipped_before;
        self.observe(|read| CheckEvent::Value { read, is_supported });
        Ok(())
    }

    /// Reads the value of a type that we have, for the key that was read before it and stood at `key_at`; the type
    /// stood at `at`.
    fn read_value(&mut self, at: u64, key_at: u64, number: u8) -> Result<(), RdbError> {
        let (expiry, usage) = (self.expiry.take(), self.usage.take());
        // The name is lent to the key while the value is read.
        let name = std::mem::take(&mut self.name);
        let key = self.keyspace.key(&name);
        let entry = match number {
            value_type::STRING => self.read_string(key, expiry).map(Some),
            value_type::LIST
            | value_type::LIST_ZIPLIST
            | value_type::LIST_QUICKLIST
            | value_type::LIST_QUICKLIST_2 => self.read_list(key, number, expiry),
            value_type::SET | value_type::SET_INTSET | value_type::SET_LISTPACK => {
                self.read_set(key, number, expiry)
            }
            value_type::ZSET | value_type::ZSET_2 | value_type::ZSET_ZIPLIST | value_type::ZSET_LISTPACK => {
                self.read_sorted_set(key, number, expiry)
            }
            _ => self.read_hash(key, at, number, expiry),
        };
        let hash = key.hash;
        self.name = name;
        // Old Redis' let empty collections slip into files; newer ones pass over them.
        let Some(entry) = entry? else { return Ok(()) };
        match usage {
            Some(Usage::Idle(seconds)) => self.keyspace.access().set_idle_seconds(&entry, seconds),
            Some(Usage::Frequency(count)) => self.keyspace.access().set_uses(&entry, count),
            None => {}
        }
        self.summary.keys += 1;
        self.summary.expires += u64::from(expiry.is_some());
        self.type_counts[usize::from(number)] += 1;
        if self.observer.is_none() {
            self.batch.push(hash, entry);
            self.places.push(key_at);
            if self.batch.len() == BATCH_KEYS && !self.keeps_batch {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Puts the entries that were collected into their database.
    fn flush(&mut self) -> Result<(), RdbError> {
        if let Some(progress) = self.options.progress {
            progress.store(self.summary.keys, Ordering::Relaxed);
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let outcome = self.keyspace.database_mut(self.selected).append(&mut self.batch);
        let twice = outcome.map_err(|KeyExists { place, entry }| {
            let what = format!("the key '{}' for the second time", entry.key().escape_ascii());
            damaged(self.places.get(place).copied().unwrap_or_default(), what)
        });
        self.places.clear();
        twice
    }

    fn read_string(&mut self, key: Key<'_>, expiry: Option<UnixMillis>) -> Result<Entry, RdbError> {
        let draft = &self.draft;
        Ok(match self.source.string()? {
            Text::Int(value) => draft.int(key.bytes, value, expiry),
            Text::Bytes(bytes) => match canonical_int(&bytes) {
                Some(value) => draft.int(key.bytes, value, expiry),
                None if bytes.len() <= EMBSTR_BYTES_MAX => {
                    draft.string(key.bytes, &bytes, StringForm::Embstr, expiry)
                }
                None => draft.string(key.bytes, &bytes, StringForm::Raw, expiry),
            },
        })
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
        self.summary.position = self.stated.position();
        Ok(self.summary)
    }
}

/// Whether it is the type of a value that we have. Of the hashes whose fields may expire, the value tells.
fn is_ours(code: u8) -> bool {
    use value_type::*;
    matches!(code, STRING | LIST..=HASH | ZSET_2 | HASH_ZIPMAP..=LIST_QUICKLIST | HASH_LISTPACK..=LIST_QUICKLIST_2)
        || matches!(code, SET_LISTPACK | HASH_FIELD_EXPIRY_22..=HASH_LISTPACK_EXPIRY)
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

fn unsupported(at: u64, what: impl Into<String>) -> RdbError {
    RdbError::Unsupported { at, what: what.into() }
}
