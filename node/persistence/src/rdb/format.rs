//! The numbers of the RDB format: magics, opcodes, types, how lengths and integers are written; and our limits.
//!
//! Numbers and names only; `encode` and `decode` give them their meaning. Type 22 and opcode 243 mean different things
//! to Redis and to Valkey, so whoever names one says which [`Dialect`] wrote it.

/// Bytes of the magic with its version: `REDIS0011` or `VALKEY080`.
pub(super) const MAGIC_BYTES: usize = 9;

/// The versions under the magic `REDIS` that we read.
pub(super) const REDIS_VERSIONS: std::ops::RangeInclusive<u32> = 1..=15;

/// The versions under the magic `VALKEY` that we read.
pub(super) const VALKEY_VERSIONS: std::ops::RangeInclusive<u32> = 80..=81;

/// The first version with a checksum behind the end.
pub(super) const CHECKSUM_SINCE: u32 = 5;

/// What we write for readers that know AUX fields: all that strings, hashes and sets need, read by every Redis since 4.0.
pub(super) const VERSION_PSYNC2: u32 = 8;

/// The same with how keys are used (IDLE, FREQ).
pub(super) const VERSION_USAGE: u32 = 9;

/// The same with libraries of functions, which came with it (Redis 7.0).
pub(super) const VERSION_FUNCTIONS: u32 = 10;

/// What we write for all others: without AUX, RESIZEDB and lengths of 64 bits.
pub(super) const VERSION_PLAIN: u32 = 6;

/// Bytes of the longest string that we read. Redis' own limit is 512 MB, but configurable; lengths inside packed
/// values end here, too.
pub(super) const STRING_BYTES_MAX: u64 = u32::MAX as u64;

/// Who wrote a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Redis of any version, and Valkey up to version 11 of the format.
    Redis,
    /// Valkey since version 80.
    Valkey,
}

/// The opcodes, which stand where a type could.
pub(super) mod opcode {
    pub(crate) const KEY_META_OR_SLOT_IMPORT: u8 = 243;
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(crate) const FUNCTION2: u8 = 245;
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const FREQ: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const EXPIRETIME_MS: u8 = 252;
    pub(crate) const EXPIRETIME: u8 = 253;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EOF: u8 = 255;
}

/// The types of values that we read.
pub(super) mod value_type {
    pub(crate) const STRING: u8 = 0;
    pub(crate) const LIST: u8 = 1;
    pub(crate) const SET: u8 = 2;
    pub(crate) const ZSET: u8 = 3;
    pub(crate) const HASH: u8 = 4;
    pub(crate) const ZSET_2: u8 = 5;
    pub(crate) const HASH_ZIPMAP: u8 = 9;
    pub(crate) const LIST_ZIPLIST: u8 = 10;
    pub(crate) const SET_INTSET: u8 = 11;
    pub(crate) const ZSET_ZIPLIST: u8 = 12;
    pub(crate) const HASH_ZIPLIST: u8 = 13;
    pub(crate) const LIST_QUICKLIST: u8 = 14;
    pub(crate) const HASH_LISTPACK: u8 = 16;
    pub(crate) const ZSET_LISTPACK: u8 = 17;
    pub(crate) const LIST_QUICKLIST_2: u8 = 18;
    pub(crate) const SET_LISTPACK: u8 = 20;
    /// Redis' before 7.4 was released (with 23, packed), and Valkey's, which are not the same.
    pub(crate) const HASH_FIELD_EXPIRY_22: u8 = 22;
    pub(crate) const HASH_FIELD_EXPIRY: u8 = 24;
    pub(crate) const HASH_LISTPACK_EXPIRY: u8 = 25;
}

/// The types that can be passed over, besides those that we read.
pub(super) mod foreign_type {
    pub(crate) const MODULE_2: u8 = 7;
    pub(crate) const STREAM: u8 = 15;
    pub(crate) const STREAM_2: u8 = 19;
    pub(crate) const STREAM_3: u8 = 21;
    pub(crate) const STREAM_4: u8 = 26;
    pub(crate) const STREAM_5: u8 = 27;
}

/// What a module's data consists of.
pub(super) mod module_opcode {
    pub(crate) const EOF: u64 = 0;
    pub(crate) const SIGNED: u64 = 1;
    pub(crate) const UNSIGNED: u64 = 2;
    pub(crate) const FLOAT: u64 = 3;
    pub(crate) const DOUBLE: u64 = 4;
    pub(crate) const STRING: u64 = 5;
}

/// Lengths of a score as text that are no lengths.
pub(super) mod score_text {
    pub(crate) const NAN: u8 = 253;
    pub(crate) const INFINITY: u8 = 254;
    pub(crate) const NEGATIVE_INFINITY: u8 = 255;
}

/// The name of a type of values, `None` for numbers that nobody has given one.
pub(super) fn type_name(number: u8, dialect: Dialect) -> Option<&'static str> {
    Some(match number {
        0 => "string",
        1 => "list",
        2 => "set",
        3 => "sorted set (text scores)",
        4 => "hash",
        5 => "sorted set",
        6 => "module value (before 4.0 GA)",
        7 => "module value",
        9 => "hash as zipmap",
        10 => "list as ziplist",
        11 => "set as intset",
        12 => "sorted set as ziplist",
        13 => "hash as ziplist",
        14 => "list as quicklist of ziplists",
        15 => "stream",
        16 => "hash as listpack",
        17 => "sorted set as listpack",
        18 => "list as quicklist",
        19 => "stream (second form)",
        20 => "set as listpack",
        21 => "stream (third form)",
        22 if dialect == Dialect::Valkey => "hash with field expiry (Valkey)",
        22 => "hash with field expiry (before 7.4 GA)",
        23 => "hash with field expiry as listpack (before 7.4 GA)",
        24 => "hash with field expiry",
        25 => "hash with field expiry as listpack",
        26 => "stream (fourth form)",
        27 => "stream (fifth form)",
        28 => "array",
        29..=32 => "compact hash",
        33 => "rate limit (GCRA)",
        _ => return None,
    })
}

/// One more than the highest number of a type.
pub(super) const TYPES: usize = 34;

/// What TYPE says of a key of the type that has a name.
pub(super) fn type_word(number: u8, dialect: Dialect) -> &'static str {
    match number {
        0 => "string",
        1 | 10 | 14 | 18 => "list",
        2 | 11 | 20 => "set",
        3 | 5 | 12 | 17 => "zset",
        4 | 9 | 13 | 16 | 22..=25 | 29..=32 => "hash",
        6 | 7 => "module",
        15 | 19 | 21 | 26 | 27 => "stream",
        _ => type_name(number, dialect).unwrap_or("unknown"),
    }
}

/// How the first byte of a length says what follows.
pub(super) mod length {
    /// A length of 32 bits follows, big endian.
    pub(crate) const LONG: u8 = 0x80;
    /// A length of 64 bits follows, big endian.
    pub(crate) const LONGER: u8 = 0x81;
    /// The top two bits of a length of 14 bits.
    pub(crate) const MEDIUM: u8 = 0x40;
    /// The top two bits of a string in a special encoding, which the lower six name.
    pub(crate) const SPECIAL: u8 = 0xc0;
}

/// The special encodings of strings.
pub(super) mod special {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const LZF: u8 = 3;
}

/// The AUX fields that we write or read.
pub(super) mod aux {
    pub(crate) const REDIS_VERSION: &[u8] = b"redis-ver";
    pub(crate) const REDIS_BITS: &[u8] = b"redis-bits";
    pub(crate) const STREAM_DB: &[u8] = b"repl-stream-db";
    pub(crate) const REPLICATION_ID: &[u8] = b"repl-id";
    pub(crate) const REPLICATION_OFFSET: &[u8] = b"repl-offset";
    pub(crate) const CREATED: &[u8] = b"ctime";
    pub(crate) const MEMORY_USED: &[u8] = b"used-mem";
    pub(crate) const AOF_BASE: &[u8] = b"aof-base";
    /// Ours: the seed of the hash in whose order the keys stand, in hexadecimal.
    pub(crate) const HASH_SEED: &[u8] = b"rejoin-hash-seed";
}
