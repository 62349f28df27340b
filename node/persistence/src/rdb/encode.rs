//! A snapshot as one RDB, in plain encodings and the lowest version that the data needs: what we emit, any Redis can
//! read. Runs on a thread of its own; drops the snapshot behind itself, so that memory which only the snapshot held
//! is given back as it goes.

use std::io::Write;

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rejoin_keyspace::{AccessClock, AccessKind, DatabaseSnapshot, Entry, HashSeed, Snapshot, Value};
use rejoin_protocol::{DbIndex, UnixMillis, number::format_g17};

use super::format::{
    VERSION_FUNCTIONS, VERSION_PLAIN, VERSION_PSYNC2, VERSION_USAGE, aux, opcode, score_text, value_type,
};
use super::sink::Sink;
use super::{EncodeOptions, LocalFile, RdbError, RdbTarget};

/// The Redis whose behaviour we announce in the payload.
const REDIS_VERSION: &[u8] = b"7.2.4";

/// Keys between two notes of progress.
const PROGRESS_KEYS: u64 = 256;

pub(super) fn encode(
    snapshot: Snapshot,
    options: &EncodeOptions<'_>,
    out: &mut dyn Write,
) -> Result<u64, RdbError> {
    let target = options.target;
    let file = options.file.filter(|_| target.psync2);
    let usage = file.and_then(|file| Some(Usage::new(file.usage?, file.created)));
    let mut sink = Sink::new(out, target.psync2);
    if options.omits_checksum {
        sink.omit_checksum();
    }
    // Who knows no PSYNC2 knows no functions either.
    let has_functions = !snapshot.libraries().is_empty();
    let version = match (target.psync2, &usage) {
        (false, _) => VERSION_PLAIN,
        (true, _) if has_functions => VERSION_FUNCTIONS,
        (true, None) => VERSION_PSYNC2,
        (true, Some(_)) => VERSION_USAGE,
    };
    sink.bytes(format!("REDIS{version:04}").as_bytes());
    if target.psync2 {
        write_aux_fields(&mut sink, options, file, snapshot.seed())?;
        for code in snapshot.libraries().values() {
            sink.bytes(&[opcode::FUNCTION2]);
            sink.string(code)?;
        }
    }
    if options.compresses {
        sink.compress();
    }
    let mut progress = Progress { keys: 0, shown: options.progress };
    let databases = if options.omits_keys { Vec::new() } else { snapshot.into_databases() };
    for (index, database) in databases {
        write_database(&mut sink, index, database, target, usage.as_ref(), &mut progress)?;
    }
    progress.show();
    sink.bytes(&[opcode::EOF]);
    sink.finish()
}

/// What is noted of the use of keys.
struct Usage {
    kind: AccessKind,
    clock: AccessClock,
}

impl Usage {
    fn new(kind: AccessKind, now: UnixMillis) -> Self {
        let mut clock = AccessClock::default();
        clock.set(now, kind);
        Self { kind, clock }
    }

    fn write(&self, sink: &mut Sink<'_>, entry: &Entry) -> Result<(), RdbError> {
        match self.kind {
            AccessKind::Recency => {
                sink.bytes(&[opcode::IDLE]);
                sink.length(self.clock.idle_seconds(entry).into())
            }
            AccessKind::Frequency { .. } => {
                sink.bytes(&[opcode::FREQ, self.clock.uses(entry)]);
                Ok(())
            }
        }
    }
}

/// How many keys are written, shown to whoever looks.
struct Progress<'a> {
    keys: u64,
    shown: Option<&'a AtomicU64>,
}

impl Progress<'_> {
    #[inline]
    fn count(&mut self) {
        self.keys += 1;
        if self.keys.is_multiple_of(PROGRESS_KEYS) {
            self.show();
        }
    }

    fn show(&self) {
        if let Some(shown) = self.shown {
            shown.store(self.keys, Ordering::Relaxed);
        }
    }
}

/// In the order of Redis; what describes a file is for files of our own alone, the seed of the hash above all.
fn write_aux_fields(
    sink: &mut Sink<'_>,
    options: &EncodeOptions<'_>,
    file: Option<LocalFile>,
    seed: &HashSeed,
) -> Result<(), RdbError> {
    write_aux(sink, aux::REDIS_VERSION, |sink| sink.string(REDIS_VERSION))?;
    write_aux(sink, aux::REDIS_BITS, |sink| sink.integer(64))?;
    if let Some(file) = file {
        write_aux(sink, aux::CREATED, |sink| sink.integer(file.created.get().div_euclid(1000)))?;
        let memory = i64::try_from(file.memory_used).unwrap_or(i64::MAX);
        write_aux(sink, aux::MEMORY_USED, |sink| sink.integer(memory))?;
    }
    if let Some(position) = options.position {
        write_aux(sink, aux::STREAM_DB, |sink| sink.integer(position.selected.get().into()))?;
        write_aux(sink, aux::REPLICATION_ID, |sink| sink.string(position.replid.as_str().as_bytes()))?;
        let offset = position.offset.get();
        write_aux(sink, aux::REPLICATION_OFFSET, |sink| {
            sink.string(itoa::Buffer::new().format(offset).as_bytes())
        })?;
    }
    if let Some(file) = file {
        write_aux(sink, aux::AOF_BASE, |sink| sink.integer(file.is_aof_base.into()))?;
    }
    if options.states_seed {
        write_aux(sink, aux::HASH_SEED, |sink| sink.string(hexadecimal(&seed.bytes()).as_bytes()))?;
    }
    Ok(())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn write_aux(
    sink: &mut Sink<'_>,
    name: &[u8],
    value: impl FnOnce(&mut Sink<'_>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    sink.bytes(&[opcode::AUX]);
    sink.string(name)?;
    value(sink)
}

fn write_database(
    sink: &mut Sink<'_>,
    index: DbIndex,
    database: DatabaseSnapshot,
    target: RdbTarget,
    usage: Option<&Usage>,
    progress: &mut Progress<'_>,
) -> Result<(), RdbError> {
    sink.bytes(&[opcode::SELECT_DB]);
    sink.length(index.get().into())?;
    if target.psync2 {
        sink.bytes(&[opcode::RESIZE_DB]);
        sink.length(database.len() as u64)?;
        sink.length(database.volatile_len() as u64)?;
    }
    database.drain(&mut |entry| {
        if let Some(expiry) = entry.expiry() {
            sink.bytes(&[opcode::EXPIRETIME_MS]);
            sink.bytes(&expiry_on_the_wire(expiry).to_le_bytes());
        }
        if let Some(usage) = usage {
            usage.write(sink, entry)?;
        }
        progress.count();
        write_typed(sink, entry, Some(entry.key()), target)
    })
}

/// A value behind its type, as DUMP gives it: followed by the version and the checksum.
pub(super) fn encode_value(entry: &Entry, out: &mut Vec<u8>) -> Result<(), RdbError> {
    let mut sink = Sink::small(out);
    write_typed(&mut sink, entry, None, RdbTarget { psync2: true })?;
    sink.bytes(&(VERSION_PSYNC2 as u16).to_le_bytes());
    sink.finish()?;
    Ok(())
}

/// Type, key (where one is wanted) and value.
fn write_typed(
    sink: &mut Sink<'_>,
    entry: &Entry,
    key: Option<&[u8]>,
    target: RdbTarget,
) -> Result<(), RdbError> {
    let begin = |sink: &mut Sink<'_>, code: u8| {
        sink.bytes(&[code]);
        key.map_or(Ok(()), |key| sink.string(key))
    };
    match entry.value() {
        Value::Int(value) => {
            begin(sink, value_type::STRING)?;
            sink.integer(value)
        }
        Value::Str(bytes, _) => {
            begin(sink, value_type::STRING)?;
            sink.string(bytes)
        }
        Value::List(list) => {
            begin(sink, value_type::LIST)?;
            assert!(!list.is_empty(), "a list in a database has elements");
            sink.length(list.len() as u64)?;
            list.iter().try_for_each(|element| sink.string(element))
        }
        Value::Hash(hash) => {
            begin(sink, value_type::HASH)?;
            // A count of 0 would make Redis drop the key or refuse the file; the keyspace keeps no empty hash.
            assert!(!hash.is_empty(), "a hash in a database has fields");
            sink.length(hash.len() as u64)?;
            for (field, value) in hash.iter() {
                sink.string(field)?;
                sink.string(value)?;
            }
            Ok(())
        }
        Value::Set(set) => {
            begin(sink, value_type::SET)?;
            assert!(!set.is_empty(), "a set in a database has members");
            sink.length(set.len() as u64)?;
            set.iter().try_for_each(|member| sink.string(&member))
        }
        Value::SortedSet(set) => {
            begin(sink, if target.psync2 { value_type::ZSET_2 } else { value_type::ZSET })?;
            assert!(!set.is_empty(), "a sorted set in a database has members");
            sink.length(set.len() as u64)?;
            // The highest first: Redis puts each in front of the ones before, where its search ends at once.
            for (member, score) in set.iter().rev() {
                sink.string(member)?;
                if target.psync2 {
                    sink.bytes(&score.to_le_bytes());
                } else {
                    write_text_score(sink, score);
                }
            }
            Ok(())
        }
    }
}

/// A score as readers before version 8 of the format know it: a byte for the length, or in place of it, and text.
fn write_text_score(sink: &mut Sink<'_>, score: f64) {
    if score.is_infinite() {
        let infinity = if score > 0.0 { score_text::INFINITY } else { score_text::NEGATIVE_INFINITY };
        return sink.bytes(&[infinity]);
    }
    let text = format_g17(score);
    sink.bytes(&[text.len() as u8]);
    sink.bytes(text.as_bytes());
}

/// -1 means "no expiry" to Redis; the millisecond before it is as long past.
fn expiry_on_the_wire(expiry: UnixMillis) -> i64 {
    match expiry.get() {
        -1 => -2,
        millis => millis,
    }
}
