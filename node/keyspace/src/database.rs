//! One database: the tree of its keys, the index of its expiries, its counters.
//!
//! Nothing here deletes an expired key by itself or hides one: what is expired for whom is for the commands to say.
//!
//! SKELETON: signatures are fixed, bodies come.

use rejoin_protocol::{NextOffset, UnixMillis};

use crate::{Entry, HashLimits, HashSeed, HashView, KeyHash, StringForm};

/// A key with its hash, computed once per command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key's bytes.
    pub bytes: &'a [u8],
    /// Its hash under the keyspace's seed.
    pub hash: KeyHash,
}

/// A place in the order of hashes: 0 begins, and 0 returned means the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanCursor(u64);

impl ScanCursor {
    /// The beginning, and the end.
    pub const START: Self = Self(0);

    /// A cursor as a client sent it back.
    #[must_use]
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// The number to send to the client.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// One database.
#[derive(Debug)]
pub struct Database {}

impl Database {
    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn volatile_len(&self) -> usize {
        todo!()
    }

    /// Mean milliseconds to live of volatile keys, estimated (INFO's avg_ttl).
    #[must_use]
    pub fn average_ttl_millis(&self, now: UnixMillis) -> u64 {
        let _ = now;
        todo!()
    }

    /// The entry at `key`, expired or not.
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<&Entry> {
        let _ = key;
        todo!()
    }

    /// Puts a string, in place of whatever stood there. `form` is what OBJECT ENCODING will say; `Int` demands
    /// that `bytes` be the canonical decimal form of an i64.
    pub fn put_string(&mut self, key: Key<'_>, bytes: &[u8], form: StringForm, expiry: Option<UnixMillis>) {
        let _ = (key, bytes, form, expiry);
        todo!()
    }

    /// Puts a string that is a number, in place of whatever stood there.
    pub fn put_int(&mut self, key: Key<'_>, value: i64, expiry: Option<UnixMillis>) {
        let _ = (key, value, expiry);
        todo!()
    }

    /// Edits a string's bytes (created empty when the key is missing), growing in amortised steps; it is `Raw`
    /// afterwards and keeps its expiry. The entry must be a string (panics otherwise). Returns what `edit` returns.
    pub fn edit_string<R>(&mut self, key: Key<'_>, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let _ = (key, edit);
        todo!()
    }

    /// The hash at `key` for writing, created when the key is missing; `None` if the key holds another type.
    /// When the guard is dropped, an empty hash is removed and the bytes are accounted.
    pub fn hash_mut(&mut self, key: Key<'_>, limits: HashLimits) -> Option<HashMut<'_>> {
        let _ = (key, limits);
        todo!()
    }

    /// Removes a key; whether it was there. A large value goes to the reaper.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let _ = key;
        todo!()
    }

    /// Puts `entry`'s value and expiry under `key` (RENAME, COPY, MOVE), in place of whatever stood there. The value
    /// is shared, not copied.
    pub fn put_copy(&mut self, key: Key<'_>, entry: &Entry, expiry: Option<UnixMillis>) {
        let _ = (key, entry, expiry);
        todo!()
    }

    /// Sets or clears a key's expiry; whether the key was there.
    pub fn set_expiry(&mut self, key: Key<'_>, expiry: Option<UnixMillis>) -> bool {
        let _ = (key, expiry);
        todo!()
    }

    /// A key whose expiry is at or before `now`, the earliest first; `None` when there is none.
    #[must_use]
    pub fn first_expired(&self, now: UnixMillis) -> Option<&Entry> {
        let _ = now;
        todo!()
    }

    /// Visits about `count` entries from `cursor` on and returns where to go on; SCAN's guarantee holds: a key that
    /// is there from the first call to the last is visited at least once (here: exactly once).
    pub fn scan(&self, cursor: ScanCursor, count: usize, visit: &mut dyn FnMut(&Entry)) -> ScanCursor {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// All entries in hash order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Entry> + '_> {
        todo!()
    }

    /// The entry that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<&Entry> {
        let _ = rank;
        todo!()
    }

    /// Drops every key; the tree goes to the reaper, and the floor of last-modified positions rises to `position`.
    pub fn clear(&mut self) {
        todo!()
    }

    /// Where the stream stood when a key of this 16-bit prefix was last written or removed (never too early).
    #[must_use]
    pub fn prefix_modified(&self, prefix: u16) -> NextOffset {
        let _ = prefix;
        todo!()
    }

    /// The digest of the key set of this 16-bit prefix.
    #[must_use]
    pub fn prefix_digest(&self, prefix: u16) -> u64 {
        let _ = prefix;
        todo!()
    }

    /// Bytes of all entries, tables and the expiry index.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        todo!()
    }

    /// The seed, for [`HashView::get`] and for hashing further keys.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        todo!()
    }
}

/// A hash to write to; accounts for itself when dropped.
pub struct HashMut<'a> {
    database: &'a mut Database,
}

impl HashMut<'_> {
    /// The hash as it stands.
    #[must_use]
    pub fn view(&self) -> HashView<'_> {
        let _ = &self.database;
        todo!()
    }

    /// Sets a field; whether it is new. Past the limits the hash becomes a tree, and never packed again.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let _ = (field, value);
        todo!()
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let _ = field;
        todo!()
    }
}
