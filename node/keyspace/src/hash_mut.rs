//! Writing to a hash: packed while it is small, a tree of fields past the limits.

use crate::entry::{Kind, NewValue};
use crate::guard::Guard;
use crate::packed::{self, EncodedLen, Pairs};
use crate::tree::{Tree, WriteContext};
use crate::{Entry, HashLimits, HashView};

/// A hash to write to; accounts for itself when dropped, and is removed then if it has no field.
///
/// A set that is not of integers alone is written through it too: its members are fields with empty values.
#[derive(Debug)]
pub struct HashMut<'a> {
    guard: Guard<'a>,
    limits: HashLimits,
}

impl<'a> HashMut<'a> {
    pub(crate) fn new(guard: Guard<'a>, limits: HashLimits) -> Self {
        Self { guard, limits }
    }

    /// The hash as it stands.
    #[must_use]
    pub fn view(&self) -> HashView<'_> {
        HashView { entry: self.guard.entry() }
    }

    /// Where it stands, for what a set does besides.
    pub(crate) fn guard(&mut self) -> &mut Guard<'a> {
        &mut self.guard
    }

    /// Sets a field; whether it is new. Past the limits the hash becomes a tree, and never packed again.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        if self.view().is_packed() {
            if let Some(is_new) = self.set_packed(field, value) {
                return is_new;
            }
            self.become_tree();
        }
        self.set_in_tree(field, value)
    }

    /// Removes a field; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if self.view().is_packed() { self.remove_packed(field) } else { self.remove_in_tree(field) }
    }

    /// Sets a field of a packed hash, unless the hash would be past its limits.
    fn set_packed(&mut self, field: &[u8], value: &[u8]) -> Option<bool> {
        let piece_max = self.limits.value_bytes_max.min(packed::BYTES_MAX);
        if field.len().max(value.len()) > piece_max {
            return None;
        }
        let run = self.guard.entry().inline();
        let (field_len, value_len) = (EncodedLen::of(field), EncodedLen::of(value));
        if let Some(pair) = packed::find(run, field) {
            if pair.value == value {
                return Some(false);
            }
            let range = pair.value_range;
            if run.len() - range.len() + value_len.as_bytes().len() + value.len() > packed::BYTES_MAX {
                return None;
            }
            self.guard.write_own(|entry| entry.splice(range, &[value_len.as_bytes(), value]));
            return Some(false);
        }
        let (count, end) = (packed::count(run) + 1, run.len());
        let parts = [field_len.as_bytes(), field, value_len.as_bytes(), value];
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if count > self.limits.entries_max || end + added > packed::BYTES_MAX {
            return None;
        }
        self.guard.write_own(|entry| {
            entry.splice(end..end, &parts);
            set_count(entry, count);
        });
        Some(true)
    }

    fn remove_packed(&mut self, field: &[u8]) -> bool {
        let run = self.guard.entry().inline();
        let count = packed::count(run);
        let Some(pair) = packed::find(run, field) else { return false };
        let range = pair.range;
        self.guard.write_own(|entry| {
            entry.splice(range, &[]);
            set_count(entry, count - 1);
        });
        true
    }

    /// Moves the fields of a packed hash into a tree.
    pub(crate) fn become_tree(&mut self) {
        let kind = match self.guard.entry().kind() {
            Kind::SetPacked => Kind::SetTree,
            _ => Kind::HashTree,
        };
        let seed = self.guard.seed();
        let mut tree = Tree::new(seed);
        // The run is copied once: the tree's context and the entry belong to the same guard.
        let run = self.guard.entry().inline().to_vec();
        for pair in Pairs::new(&run) {
            tree.upsert(self.guard.context(), seed.hash(pair.field), pair.field, |_| {
                (Some(Entry::new(pair.field, None, NewValue::Bytes(Kind::Field, pair.value))), ())
            });
        }
        self.guard.write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(NewValue::Tree(kind, Box::new(tree)), expiry);
        });
    }

    fn set_in_tree(&mut self, field: &[u8], value: &[u8]) -> bool {
        let (replaced, is_new) = self.write_tree(|tree, context| {
            let hash = tree.seed().hash(field);
            let value = NewValue::Bytes(Kind::Field, value);
            let (_, outcome) = tree.upsert(context, hash, field, |entry| match entry {
                Some(entry) => (None, (entry.overwrite(value, None), false)),
                None => (Some(Entry::new(field, None, value)), (None, true)),
            });
            outcome
        });
        if let Some(replaced) = replaced {
            self.guard.context().count_copied(&replaced);
        }
        is_new
    }

    fn remove_in_tree(&mut self, field: &[u8]) -> bool {
        let hash = self.guard.seed().hash(field);
        if self.guard.entry().tree().get(hash, field).is_none() {
            return false;
        }
        let removed = self.write_tree(|tree, context| tree.remove(context, hash, field));
        if let Some(removed) = &removed {
            self.guard.context().count_copied(removed);
        }
        removed.is_some()
    }

    /// Writes to the tree of an entry that is made ours alone first: the tree's root is shared then, not copied.
    fn write_tree<R>(&mut self, write: impl FnOnce(&mut Tree, &mut WriteContext) -> R) -> R {
        self.guard.write_beyond(|entry, context| write(entry.tree_mut(), context))
    }
}

/// States how many pairs a packed run has. The entry must be unique.
pub(crate) fn set_count(entry: &mut Entry, count: usize) {
    entry.inline_mut()[..packed::COUNT_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
}
