//! A key, its metadata and its value in one allocation, shared by reference between leaves.
//!
//! SKELETON: signatures are fixed, bodies come.

use rejoin_protocol::UnixMillis;

use crate::HashView;

/// How a string is held, as OBJECT ENCODING tells it; Redis decides it when the value is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringForm {
    /// The decimal form of a 64-bit number.
    Int,
    /// At most 44 bytes, set whole.
    Embstr,
    /// Longer, or edited in place (APPEND, SETRANGE).
    Raw,
}

/// What an entry holds.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string that is a number.
    Int(i64),
    /// Any other string.
    Str(&'a [u8], StringForm),
    /// A hash.
    Hash(HashView<'a>),
}

/// A shared handle to one key with its value; cloning it counts a reference.
#[derive(Clone, Debug)]
pub struct Entry {}

impl Entry {
    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        todo!()
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        todo!()
    }

    /// When it expires, if it does.
    #[must_use]
    pub fn expiry(&self) -> Option<UnixMillis> {
        todo!()
    }

    /// Bytes that this entry and its value occupy in memory, allocations rounded as the allocator rounds them.
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        todo!()
    }

    /// The access word (LRU clock or LFU counter; the caller gives it its meaning).
    #[must_use]
    pub fn access(&self) -> u32 {
        todo!()
    }

    /// Sets the access word; the only thing in a shared entry that changes.
    pub fn set_access(&self, word: u32) {
        let _ = word;
        todo!()
    }
}
