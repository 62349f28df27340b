//! Filling a database in bulk: entries are made one at a time apart from it, collected, and put in place many at a time.
//!
//! A load of keys in the order of their hashes finds all places in the caches; of any other order, it is no slower
//! than key by key. Nothing is believed of the order, nor that keys are there once.

use std::sync::Arc;

use rejoin_protocol::UnixMillis;

use crate::access::UseStamp;
use crate::entry::{Kind, NewValue};
use crate::reaper::Reaper;
use crate::{Database, Entry, HashSeed, Key, KeyHash, StringForm};

/// Where a load makes entries, one at a time.
#[derive(Debug)]
pub struct Draft {
    /// Holds a collection while it is made; empty between calls.
    database: Database,
    /// What new entries note of their first use.
    access: UseStamp,
}

impl Draft {
    pub(crate) fn new(seed: HashSeed, access: UseStamp) -> Self {
        let mut database = Database::new(seed, Arc::new(Reaper::default()));
        database.context.access = access;
        Self { database, access }
    }

    /// A string.
    #[inline]
    #[must_use]
    pub fn string(&self, key: &[u8], bytes: &[u8], form: StringForm, expiry: Option<UnixMillis>) -> Entry {
        let kind = match form {
            StringForm::Embstr => Kind::Embstr,
            // Who knows that it is a number has it as one.
            StringForm::Raw | StringForm::Int => Kind::Raw,
        };
        self.entry(key, NewValue::Bytes(kind, bytes), expiry)
    }

    /// A string that is a number.
    #[must_use]
    pub fn int(&self, key: &[u8], value: i64, expiry: Option<UnixMillis>) -> Entry {
        self.entry(key, NewValue::Bytes(Kind::Int, &value.to_ne_bytes()), expiry)
    }

    #[inline]
    fn entry(&self, key: &[u8], value: NewValue<'_>, expiry: Option<UnixMillis>) -> Entry {
        let entry = Entry::new(key, expiry, value);
        self.access.mark_new(&entry);
        entry
    }

    /// A database of its own in which to make a collection; [`Self::take`] is to follow.
    pub fn database_mut(&mut self) -> &mut Database {
        &mut self.database
    }

    /// The collection that was made under `key`, if it has elements.
    pub fn take(&mut self, key: Key<'_>, expiry: Option<UnixMillis>) -> Option<Entry> {
        let Database { tree, context, .. } = &mut self.database;
        let entry = tree.remove(context, key.hash, key.bytes)?;
        Some(if expiry.is_some() { entry.copy_as(key.bytes, expiry) } else { entry })
    }
}

/// A key of a batch was there already.
#[derive(Debug)]
pub struct KeyExists {
    /// The place of its entry in the batch.
    pub place: usize,
    /// The entry.
    pub entry: Entry,
}

/// Entries on their way into one database.
#[derive(Debug)]
pub struct Batch {
    pub(crate) hashes: Vec<KeyHash>,
    /// As many.
    pub(crate) entries: Vec<Entry>,
    /// Whether no hash is less than the one before.
    pub(crate) is_in_order: bool,
}

impl Default for Batch {
    fn default() -> Self {
        Self { hashes: Vec::new(), entries: Vec::new(), is_in_order: true }
    }
}

impl Batch {
    /// Adds an entry, whose key has this hash under the database's seed.
    #[inline]
    pub fn push(&mut self, hash: KeyHash, entry: Entry) {
        self.is_in_order &= self.hashes.last().is_none_or(|last| *last <= hash);
        self.hashes.push(hash);
        self.entries.push(entry);
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Drops all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.hashes.clear();
        self.is_in_order = true;
    }
}

impl Database {
    /// Puts the entries of a batch and leaves it empty. Their keys are not there yet, and in the batch once.
    ///
    /// # Errors
    /// The first entry whose key is there already; the database is to be thrown away then.
    pub fn append(&mut self, batch: &mut Batch) -> Result<(), KeyExists> {
        for (hash, entry) in batch.hashes.iter().zip(&batch.entries) {
            let expiry = entry.expiry();
            if expiry.is_some() {
                self.expiries.change(*hash, None, expiry);
            }
        }
        let outcome = self.tree.append(&mut self.context, batch);
        batch.clear();
        outcome
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
