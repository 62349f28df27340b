//! Writing to a hash: packed while it is small, a tree of fields past the limits.

use std::fmt;

use crate::entry::{Kind, NewValue};
use crate::expiries::Expiries;
use crate::packed::{self, EncodedLen, Pairs};
use crate::reaper::Reaper;
use crate::tree::{OccupiedSlot, Tree, WriteContext};
use crate::{Entry, HashLimits, HashView, KeyHash};

/// A hash to write to; accounts for itself when dropped, and is removed then if it has no field.
pub struct HashMut<'a> {
    /// Where the entry stands; `None` only while it is dropped.
    slot: Option<OccupiedSlot<'a>>,
    context: &'a mut WriteContext,
    expiries: &'a mut Expiries,
    reaper: &'a Reaper,
    hash: KeyHash,
    limits: HashLimits,
}

impl<'a> HashMut<'a> {
    pub(crate) fn new(
        slot: OccupiedSlot<'a>,
        context: &'a mut WriteContext,
        expiries: &'a mut Expiries,
        reaper: &'a Reaper,
        hash: KeyHash,
        limits: HashLimits,
    ) -> Self {
        Self { slot: Some(slot), context, expiries, reaper, hash, limits }
    }

    /// The hash as it stands.
    #[must_use]
    pub fn view(&self) -> HashView<'_> {
        HashView { entry: self.slot().entry() }
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
        let run = self.slot().entry().inline();
        let (field_len, value_len) = (EncodedLen::of(field), EncodedLen::of(value));
        if let Some(pair) = packed::find(run, field) {
            if pair.value == value {
                return Some(false);
            }
            let range = pair.value_range;
            if run.len() - range.len() + value_len.as_bytes().len() + value.len() > packed::BYTES_MAX {
                return None;
            }
            self.write_own(|entry| entry.splice(range, &[value_len.as_bytes(), value]));
            return Some(false);
        }
        let (count, end) = (packed::count(run) + 1, run.len());
        let parts = [field_len.as_bytes(), field, value_len.as_bytes(), value];
        let added: usize = parts.iter().map(|part| part.len()).sum();
        if count > self.limits.entries_max || end + added > packed::BYTES_MAX {
            return None;
        }
        self.write_own(|entry| {
            entry.splice(end..end, &parts);
            set_count(entry, count);
        });
        Some(true)
    }

    fn remove_packed(&mut self, field: &[u8]) -> bool {
        let run = self.slot().entry().inline();
        let count = packed::count(run);
        let Some(pair) = packed::find(run, field) else { return false };
        let range = pair.range;
        self.write_own(|entry| {
            entry.splice(range, &[]);
            set_count(entry, count - 1);
        });
        true
    }

    /// Moves the fields of a packed hash into a tree.
    fn become_tree(&mut self) {
        let Self { slot, context, .. } = self;
        let slot = expect_slot(slot.as_ref());
        let seed = slot.seed();
        let mut tree = Tree::new(seed);
        for pair in Pairs::new(slot.entry().inline()) {
            tree.upsert(context, seed.hash(pair.field), pair.field, |_| {
                (Some(Entry::new(pair.field, None, NewValue::Bytes(Kind::Field, pair.value))), ())
            });
        }
        self.write_own(|entry| {
            let expiry = entry.expiry();
            entry.overwrite(NewValue::Tree(Kind::HashTree, Box::new(tree)), expiry);
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
            self.context.count_copied(&replaced);
        }
        is_new
    }

    fn remove_in_tree(&mut self, field: &[u8]) -> bool {
        let hash = self.slot().seed().hash(field);
        if self.slot().entry().tree().get(hash, field).is_none() {
            return false;
        }
        let removed = self.write_tree(|tree, context| tree.remove(context, hash, field));
        if let Some(removed) = &removed {
            self.context.count_copied(removed);
        }
        removed.is_some()
    }

    /// Writes to the tree of an entry that is made ours alone first: the tree's root is shared then, not copied.
    fn write_tree<R>(&mut self, write: impl FnOnce(&mut Tree, &mut WriteContext) -> R) -> R {
        let Self { slot, context, .. } = self;
        let slot = expect_slot(slot.as_mut());
        slot.write(|entry| {
            if !entry.is_unique() {
                context.copied += entry.size();
                *entry = entry.copy_as(entry.key(), entry.expiry());
            }
            write(entry.tree_mut(), context)
        })
    }

    /// Writes to the entry by means that replace it where it is shared.
    fn write_own(&mut self, write: impl FnOnce(&mut Entry)) {
        let slot = expect_slot(self.slot.as_mut());
        if !slot.entry().is_unique() {
            self.context.copied += slot.entry().size();
        }
        slot.write(write);
    }

    fn slot(&self) -> &OccupiedSlot<'a> {
        expect_slot(self.slot.as_ref())
    }
}

impl fmt::Debug for HashMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashMut").field("entry", self.slot().entry()).finish_non_exhaustive()
    }
}

impl Drop for HashMut<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if !(HashView { entry: slot.entry() }).is_empty() {
            return;
        }
        if let Some(entry) = slot.remove(self.context, self.hash) {
            self.expiries.change(self.hash, entry.expiry(), None);
            self.reaper.drop_entry(entry);
        }
    }
}

fn set_count(entry: &mut Entry, count: usize) {
    entry.inline_mut()[..packed::COUNT_BYTES].copy_from_slice(&(count as u16).to_le_bytes());
}

fn expect_slot<T>(slot: Option<T>) -> T {
    #[expect(clippy::expect_used, reason = "taken only while the guard is dropped")]
    slot.expect("a live guard has its slot")
}
