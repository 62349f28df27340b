//! A key, its metadata and its value in one allocation, shared by reference between leaves.
//!
//! The layout and everything unsafe about it is in `raw`; this file says what the contents mean.

mod raw;

use std::fmt;
use std::sync::Arc;

use crate::tree::Tree;
use crate::{HashView, ListView, SetView, SortedSetView};
pub use raw::Entry;
pub(crate) use raw::{INLINE_BYTES_MAX, Kind, NewValue};

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
    /// A set.
    Set(SetView<'a>),
    /// A sorted set.
    SortedSet(SortedSetView<'a>),
    /// A list.
    List(ListView<'a>),
}

impl Entry {
    /// The value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self.kind() {
            Kind::Int => Value::Int(self.int()),
            Kind::Embstr => Value::Str(self.inline(), StringForm::Embstr),
            Kind::Raw | Kind::Field => Value::Str(self.inline(), StringForm::Raw),
            Kind::RawLong | Kind::FieldLong => Value::Str(self.long(), StringForm::Raw),
            Kind::HashPacked | Kind::HashTree => Value::Hash(HashView { entry: self }),
            Kind::SetInts | Kind::SetPacked | Kind::SetTree => Value::Set(SetView { entry: self }),
            Kind::SortedPacked | Kind::SortedTree => Value::SortedSet(SortedSetView { entry: self }),
            Kind::ListPacked | Kind::ListTree => Value::List(ListView { entry: self }),
        }
    }

    /// The value of a field of a hash that is a tree.
    pub(crate) fn field_value(&self) -> &[u8] {
        match self.kind() {
            Kind::FieldLong => self.long(),
            kind => {
                debug_assert_eq!(kind, Kind::Field);
                self.inline()
            }
        }
    }

    /// Whether dropping it takes so long that it is the reaper's to do.
    pub(crate) fn is_heavy(&self) -> bool {
        let is_heavy = match self.kind() {
            Kind::ListTree => self.list().is_heavy(),
            _ => self.large().is_some_and(Tree::is_heavy),
        };
        is_heavy && self.is_unique()
    }

    /// The tree of a large collection.
    #[inline]
    pub(crate) fn large(&self) -> Option<&Tree> {
        match self.kind() {
            Kind::HashTree | Kind::SetTree => Some(self.tree()),
            Kind::SortedTree => Some(self.sorted().scores()),
            _ => None,
        }
    }

    /// How many elements a collection has; 1 for what is none.
    pub(crate) fn element_count(&self) -> usize {
        match self.value() {
            Value::Int(_) | Value::Str(..) => 1,
            Value::Hash(hash) => hash.len(),
            Value::Set(set) => set.len(),
            Value::SortedSet(set) => set.len(),
            Value::List(list) => list.len(),
        }
    }

    /// Edits a string's bytes; it is `Raw` afterwards. `scratch` serves short values, which are edited outside and
    /// copied back. Returns an allocation that was replaced, and what `edit` returned.
    pub(crate) fn edit_string<R>(
        &mut self,
        scratch: &mut Vec<u8>,
        edit: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> (Option<Self>, R) {
        match self.kind() {
            Kind::RawLong => {
                let replaced = (!self.is_unique()).then(|| {
                    let own = self.copy_as(self.key(), self.expiry());
                    std::mem::replace(self, own)
                });
                let bytes = self.long_mut();
                let result = edit(bytes);
                if bytes.len() > INLINE_BYTES_MAX {
                    return (replaced, result);
                }
                let short = std::mem::take(bytes);
                let emptied = self.overwrite(NewValue::Bytes(Kind::Raw, &short), self.expiry());
                (replaced.or(emptied), result)
            }
            Kind::Int | Kind::Embstr | Kind::Raw => {
                scratch.clear();
                match self.kind() {
                    Kind::Int => scratch.extend_from_slice(itoa::Buffer::new().format(self.int()).as_bytes()),
                    _ => scratch.extend_from_slice(self.inline()),
                }
                let result = edit(scratch);
                (self.overwrite(edited_value(scratch), self.expiry()), result)
            }
            kind => panic!("{kind:?} is not a string: the command checks types first"),
        }
    }

    /// A new string out of an edit of nothing.
    pub(crate) fn new_by_edit<R>(
        key: &[u8],
        scratch: &mut Vec<u8>,
        edit: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> (Self, R) {
        scratch.clear();
        let result = edit(scratch);
        (Self::new(key, None, edited_value(scratch)), result)
    }

    fn int(&self) -> i64 {
        i64::from_ne_bytes(self.inline().try_into().unwrap_or_default())
    }
}

/// What was edited in `scratch` as a value: short bytes are copied, a long vector is taken with its spare room.
fn edited_value(scratch: &mut Vec<u8>) -> NewValue<'_> {
    if scratch.len() <= INLINE_BYTES_MAX {
        return NewValue::Bytes(Kind::Raw, scratch);
    }
    let mut bytes = std::mem::take(scratch);
    bytes.shrink_to(bytes.len() + bytes.len() / 4);
    NewValue::Long(Kind::Raw, Arc::new(bytes))
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("kind", &self.kind())
            .field("expiry", &self.expiry())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
