//! One database: the tree of its keys, the index of its expiries, its counters.
//!
//! Nothing here deletes an expired key by itself or hides one: what is expired for whom is for the commands to say.
//! The stream position comes from the keyspace each time it hands out a database for writing.

use std::sync::Arc;

use rejoin_protocol::{NextOffset, UnixMillis};

use crate::entry::{Kind, NewValue};
use crate::expiries::{self, Expiries, Record};
use crate::guard::Guard;
use crate::hash_mut::HashMut;
use crate::reaper::Reaper;
use crate::set_mut::SetMut;
use crate::sorted_set_mut::SortedSetMut;
use crate::tree::{Tree, WriteContext};
use crate::{
    Entry, HashLimits, HashSeed, KeyHash, ListLimits, ListMut, SetLimits, SortedSetLimits, StringForm,
};

/// A scratch vector larger than this is not kept between edits.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

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
pub struct Database {
    /// All entries.
    pub(crate) tree: Tree,
    /// When and where the volatile ones expire; as many records as there are such entries.
    pub(crate) expiries: Expiries,
    /// The position that writes are stamped with, and what they copied.
    pub(crate) context: WriteContext,
    /// Rises when the whole database changes: no prefix was last modified before.
    floor: u64,
    /// Where large drops go; the keyspace's.
    reaper: Arc<Reaper>,
    /// For edits of short strings; empty between calls.
    scratch: Vec<u8>,
}

impl Database {
    pub(crate) fn new(seed: HashSeed, reaper: Arc<Reaper>) -> Self {
        Self {
            tree: Tree::new(seed),
            expiries: Expiries::default(),
            context: WriteContext::default(),
            floor: 0,
            reaper,
            scratch: Vec::new(),
        }
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn volatile_len(&self) -> usize {
        self.expiries.len()
    }

    /// How many keys have an expiry at or before `now` and are still there. Costs a step for each hundred of them.
    #[must_use]
    pub fn due_len(&self, now: UnixMillis) -> usize {
        self.expiries.due_len(expiries::clamp(now))
    }

    /// Mean milliseconds to live of volatile keys, estimated (INFO's avg_ttl): the mean expiry less `now`, so keys
    /// that are long expired but still there pull it down.
    #[must_use]
    pub fn average_ttl_millis(&self, now: UnixMillis) -> u64 {
        self.expiries.mean_millis().map_or(0, |mean| mean.saturating_sub(expiries::clamp(now)))
    }

    /// The entry at `key`, expired or not.
    #[inline]
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<&Entry> {
        self.tree.get(key.hash, key.bytes)
    }

    /// Puts a string, in place of whatever stood there. `form` is what OBJECT ENCODING will say; `Int` demands
    /// that `bytes` be the canonical decimal form of an i64 (panics otherwise).
    #[inline]
    pub fn put_string(&mut self, key: Key<'_>, bytes: &[u8], form: StringForm, expiry: Option<UnixMillis>) {
        match form {
            StringForm::Int => self.put_int(key, parse_int(bytes), expiry),
            StringForm::Embstr => self.put(key, NewValue::Bytes(Kind::Embstr, bytes), expiry),
            StringForm::Raw => self.put(key, NewValue::Bytes(Kind::Raw, bytes), expiry),
        }
    }

    /// Puts a string that is a number, in place of whatever stood there.
    pub fn put_int(&mut self, key: Key<'_>, value: i64, expiry: Option<UnixMillis>) {
        self.put(key, NewValue::Bytes(Kind::Int, &value.to_ne_bytes()), expiry);
    }

    #[inline]
    fn put(&mut self, key: Key<'_>, value: NewValue<'_>, expiry: Option<UnixMillis>) {
        let access = self.context.access;
        let (_, (replaced, expiry_before)) =
            self.tree.upsert(&mut self.context, key.hash, key.bytes, |entry| match entry {
                Some(entry) => {
                    let expiry_before = entry.expiry();
                    let replaced = entry.overwrite(value, expiry);
                    access.mark_replaced(entry);
                    (None, (replaced, expiry_before))
                }
                None => {
                    let entry = Entry::new(key.bytes, expiry, value);
                    access.mark_new(&entry);
                    (Some(entry), (None, None))
                }
            });
        self.expiries.change(key.hash, expiry_before, expiry);
        if let Some(replaced) = replaced {
            self.discard(replaced);
        }
    }

    /// Edits a string's bytes (created empty when the key is missing), growing in amortised steps; it is `Raw`
    /// afterwards and keeps its expiry. The entry must be a string (panics otherwise). Returns what `edit` returns.
    pub fn edit_string<R>(&mut self, key: Key<'_>, edit: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let scratch = &mut self.scratch;
        let access = self.context.access;
        let (_, (replaced, result)) =
            self.tree.upsert(&mut self.context, key.hash, key.bytes, |entry| match entry {
                Some(entry) => {
                    access.mark_used(entry);
                    (None, entry.edit_string(scratch, edit))
                }
                None => {
                    let (entry, result) = Entry::new_by_edit(key.bytes, scratch, edit);
                    access.mark_new(&entry);
                    (Some(entry), (None, result))
                }
            });
        if self.scratch.capacity() > SCRATCH_BYTES_MAX {
            self.scratch = Vec::new();
        }
        if let Some(replaced) = replaced {
            self.discard(replaced);
        }
        result
    }

    /// The hash at `key` for writing, created when the key is missing; `None` if the key holds another type.
    /// When the guard is dropped, an empty hash is removed and the bytes are accounted.
    pub fn hash_mut(&mut self, key: Key<'_>, limits: HashLimits) -> Option<HashMut<'_>> {
        let guard = self.guard(key, Entry::is_hash, || Entry::new_packed_hash(key.bytes))?;
        Some(HashMut::new(guard, limits))
    }

    /// The set at `key` for writing, created when the key is missing; `None` if the key holds another type. When the
    /// guard is dropped, an empty set is removed and the bytes are accounted.
    pub fn set_mut(&mut self, key: Key<'_>, limits: SetLimits) -> Option<SetMut<'_>> {
        let guard = self.guard(key, Entry::is_set, || Entry::new_int_set(key.bytes))?;
        Some(SetMut::new(guard, limits))
    }

    /// The sorted set at `key` for writing, under the same terms as [`Self::set_mut`].
    pub fn sorted_set_mut(&mut self, key: Key<'_>, limits: SortedSetLimits) -> Option<SortedSetMut<'_>> {
        let guard = self.guard(key, Entry::is_sorted_set, || Entry::new_packed_sorted_set(key.bytes))?;
        Some(SortedSetMut::new(guard, limits))
    }

    /// A guard over the entry at `key`, made by `new` when the key is missing; `None` if `is_it` refuses what is there.
    fn guard(
        &mut self,
        key: Key<'_>,
        is_it: fn(&Entry) -> bool,
        new: impl FnOnce() -> Entry,
    ) -> Option<Guard<'_>> {
        if self.get(key).is_some_and(|entry| !is_it(entry)) {
            return None;
        }
        let access = self.context.access;
        let (slot, ()) = self.tree.upsert(&mut self.context, key.hash, key.bytes, |entry| match entry {
            Some(entry) => {
                access.mark_used(entry);
                (None, ())
            }
            None => {
                let entry = new();
                access.mark_new(&entry);
                (Some(entry), ())
            }
        });
        let Self { context, expiries, reaper, .. } = self;
        Some(Guard::new(slot, context, expiries, reaper, key.hash))
    }

    /// The list at `key` for writing, under the same terms as [`Self::set_mut`].
    pub fn list_mut(&mut self, key: Key<'_>, limits: ListLimits) -> Option<ListMut<'_>> {
        let guard = self.guard(key, Entry::is_list, || Entry::new_packed_list(key.bytes))?;
        Some(ListMut::new(guard, limits))
    }

    /// Removes a key; whether it was there. A large value goes to the reaper.
    pub fn remove(&mut self, key: Key<'_>) -> bool {
        let Some(entry) = self.tree.remove(&mut self.context, key.hash, key.bytes) else { return false };
        self.expiries.change(key.hash, entry.expiry(), None);
        self.discard(entry);
        true
    }

    /// Puts `entry`'s value and expiry under `key` (RENAME, COPY, MOVE), in place of whatever stood there. A large
    /// value is shared, not copied.
    pub fn put_copy(&mut self, key: Key<'_>, entry: &Entry, expiry: Option<UnixMillis>) {
        let copy = entry.copy_as(key.bytes, expiry);
        let (_, replaced) = self.tree.upsert(&mut self.context, key.hash, key.bytes, |slot| match slot {
            Some(slot) => (None, Some(std::mem::replace(slot, copy))),
            None => (Some(copy), None),
        });
        self.expiries.change(key.hash, replaced.as_ref().and_then(Entry::expiry), expiry);
        if let Some(replaced) = replaced {
            self.discard(replaced);
        }
    }

    /// Sets or clears a key's expiry; whether the key was there.
    pub fn set_expiry(&mut self, key: Key<'_>, expiry: Option<UnixMillis>) -> bool {
        let written = self.tree.update(&mut self.context, key.hash, key.bytes, |entry| {
            let expiry_before = entry.expiry();
            if expiry_before == expiry || entry.set_expiry_in_place(expiry) {
                return (expiry_before, None);
            }
            let other = entry.copy_as(entry.key(), expiry);
            (expiry_before, Some(std::mem::replace(entry, other)))
        });
        let Some((expiry_before, replaced)) = written else { return false };
        self.expiries.change(key.hash, expiry_before, expiry);
        if let Some(replaced) = replaced {
            self.context.count_copied(&replaced);
        }
        true
    }

    /// A key whose expiry is at or before `now`, the earliest first; `None` when there is none.
    #[must_use]
    pub fn first_expired(&self, now: UnixMillis) -> Option<&Entry> {
        let limit = expiries::clamp(now);
        let due = self.expiries.iter().take_while(|record| record.millis() <= limit);
        // The first record's entry is it, but where expiries were held to 48 bits: only the entry knows then.
        due.into_iter().find_map(|record| self.entry_of(record, now.get()))
    }

    /// Visits about `count` entries from `cursor` on and returns where to go on; SCAN's guarantee holds: a key that
    /// is there from the first call to the last is visited at least once (here: exactly once).
    pub fn scan(&self, cursor: ScanCursor, count: usize, visit: &mut dyn FnMut(&Entry)) -> ScanCursor {
        self.tree.scan(cursor, count, &mut |entry| visit(entry))
    }

    /// All entries in hash order.
    pub fn iter(&self) -> Box<dyn Iterator<Item = &Entry> + '_> {
        Box::new(self.tree.iter())
    }

    /// The entry that the random number `rank` (any u64) chooses, each with equal chance.
    #[must_use]
    pub fn random(&self, rank: u64) -> Option<&Entry> {
        self.tree.random(rank)
    }

    /// The entry of a key with an expiry that `random` chooses, each with equal chance; `None` if there is none.
    #[must_use]
    pub fn random_volatile(&self, random: &mut dyn FnMut() -> u64) -> Option<&Entry> {
        let record = self.expiries.random(random)?;
        self.entry_of(record, i64::MAX)
    }

    /// The entry of the key that expires first, whether that time has come or not.
    #[must_use]
    pub fn first_to_expire(&self) -> Option<&Entry> {
        self.first_expired(UnixMillis::new(i64::MAX))
    }

    /// The entry that a record of the index stands for, if it expires at or before `limit`.
    fn entry_of(&self, record: Record, limit: i64) -> Option<&Entry> {
        self.tree.find_by_path(record.path(), record.tag(), &mut |entry| {
            let same =
                |expiry: UnixMillis| expiries::clamp(expiry) == record.millis() && expiry.get() <= limit;
            entry.expiry().is_some_and(same)
        })
    }

    /// Takes another seed. Only while there is no key.
    pub(crate) fn adopt_seed(&mut self, seed: HashSeed) {
        assert!(self.is_empty(), "keys stand where their hash says");
        self.tree = Tree::new(seed);
    }

    /// Drops every key; the tree goes to the reaper, and the floor of last-modified positions rises to `position`.
    pub fn clear(&mut self) {
        let empty = Tree::new(*self.tree.seed());
        self.reaper.drop_tree(std::mem::replace(&mut self.tree, empty));
        self.expiries = Expiries::default();
        self.raise_floor();
    }

    /// States that all prefixes were written at the current position.
    pub(crate) fn raise_floor(&mut self) {
        self.floor = self.floor.max(self.context.stamp);
    }

    /// Where the stream stood when a key of this 16-bit prefix was last written or removed (never too early).
    #[must_use]
    pub fn prefix_modified(&self, prefix: u16) -> NextOffset {
        NextOffset::new(self.tree.prefix_modified(prefix).max(self.floor))
    }

    /// The digest of the key set of this 16-bit prefix.
    #[must_use]
    pub fn prefix_digest(&self, prefix: u16) -> u64 {
        self.tree.prefix_digest(prefix)
    }

    /// Bytes of all entries, tables and the expiry index.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        self.tree.bytes_used() + self.expiries.bytes_used()
    }

    /// What the reaper, which all databases share, has to do and has done.
    pub(crate) fn drops(&self) -> (u64, u64) {
        self.reaper.counts()
    }

    /// Bytes of the expiry index alone.
    #[must_use]
    pub fn expiry_bytes_used(&self) -> usize {
        self.expiries.bytes_used()
    }

    /// The seed, for [`crate::HashView::get`] and for hashing further keys.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        self.tree.seed()
    }

    /// Drops an entry that left the tree.
    fn discard(&mut self, entry: Entry) {
        if !entry.is_unique() {
            self.context.copied += entry.bytes_used();
        }
        self.reaper.drop_entry(entry);
    }
}

impl Drop for Database {
    /// A keyspace that is replaced goes to its reaper.
    fn drop(&mut self) {
        let empty = Tree::new(*self.tree.seed());
        self.reaper.drop_tree(std::mem::replace(&mut self.tree, empty));
    }
}

#[expect(clippy::expect_used, reason = "the contract of `put_string`")]
fn parse_int(bytes: &[u8]) -> i64 {
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| text.parse().ok()).expect("the canonical decimal form of a number")
}
