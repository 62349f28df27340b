//! What the guards over collections have in common: the place of an entry that is being written, and what happens when
//! the writing ends.

use std::fmt;

use crate::expiries::Expiries;
use crate::reaper::Reaper;
use crate::tree::{OccupiedSlot, WriteContext};
use crate::{Entry, HashSeed, KeyHash};

/// The place of a collection that is written to. When it is dropped, a collection without elements is removed.
pub(crate) struct Guard<'a> {
    /// Where the entry stands; `None` only while it is dropped.
    slot: Option<OccupiedSlot<'a>>,
    context: &'a mut WriteContext,
    expiries: &'a mut Expiries,
    reaper: &'a Reaper,
    hash: KeyHash,
}

impl<'a> Guard<'a> {
    pub(crate) fn new(
        slot: OccupiedSlot<'a>,
        context: &'a mut WriteContext,
        expiries: &'a mut Expiries,
        reaper: &'a Reaper,
        hash: KeyHash,
    ) -> Self {
        Self { slot: Some(slot), context, expiries, reaper, hash }
    }

    /// The entry as it stands.
    pub(crate) fn entry(&self) -> &Entry {
        self.slot().entry()
    }

    /// The key of the hash.
    pub(crate) fn seed(&self) -> HashSeed {
        self.slot().seed()
    }

    /// What writes to trees within the entry must keep.
    pub(crate) fn context(&mut self) -> &mut WriteContext {
        self.context
    }

    /// Writes to the entry by means that replace it where it is shared.
    pub(crate) fn write_own(&mut self, write: impl FnOnce(&mut Entry)) {
        let slot = expect_slot(self.slot.as_mut());
        if !slot.entry().is_unique() {
            self.context.copied += slot.entry().size();
        }
        slot.write(write);
    }

    /// Writes to what the entry points to, after making the entry ours alone: what it points to is shared then, not
    /// copied.
    pub(crate) fn write_beyond<R>(&mut self, write: impl FnOnce(&mut Entry, &mut WriteContext) -> R) -> R {
        let Self { slot, context, .. } = self;
        expect_slot(slot.as_mut()).write(|entry| {
            if !entry.is_unique() {
                context.copied += entry.size();
                *entry = entry.copy_as(entry.key(), entry.expiry());
            }
            write(entry, context)
        })
    }

    fn slot(&self) -> &OccupiedSlot<'a> {
        expect_slot(self.slot.as_ref())
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("entry", self.entry()).finish_non_exhaustive()
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if slot.entry().element_count() > 0 {
            return;
        }
        if let Some(entry) = slot.remove(self.context, self.hash) {
            self.expiries.change(self.hash, entry.expiry(), None);
            self.reaper.drop_entry(entry);
        }
    }
}

fn expect_slot<T>(slot: Option<T>) -> T {
    #[expect(clippy::expect_used, reason = "taken only while the guard is dropped")]
    slot.expect("a live guard has its slot")
}
