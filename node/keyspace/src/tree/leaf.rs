//! Leaves: a header of half a line and a table of slots in one allocation.
//!
//! A slot is a tagged handle (16 bits of the hash above a pointer) or empty. A search begins at the slot that the tag
//! scaled to the capacity gives, and goes on to the first empty slot (linear probing); what is removed is filled by
//! shifting back. Both need only the tags: a table grows, shrinks and heals without reading an entry. As the tag is
//! scaled and not masked, any capacity serves, and leaves come in exactly the allocator's size classes.
#![allow(unsafe_code)]

use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU32;

use super::node::LINE_BYTES;
use super::touch::prefetch_entry;
use crate::Entry;

const SLOT_BYTES: usize = size_of::<Option<Entry>>();
const SLOTS_PER_LINE: usize = LINE_BYTES / SLOT_BYTES;
const HEADER_SLOTS: usize = size_of::<Header>() / SLOT_BYTES;

/// The lines that leaves below the greatest depth have: the size classes of the allocator.
const LINES: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32];

/// The slots of the largest leaf that may still split.
pub(super) const SPLIT_CAPACITY: usize = capacity_of_lines(32);

/// The entries of such a leaf when it splits.
pub(super) const SPLIT_COUNT: usize = count_max(SPLIT_CAPACITY);

pub(super) const fn capacity_of_lines(lines: usize) -> usize {
    lines * SLOTS_PER_LINE - HEADER_SLOTS
}

pub(super) const fn lines_of_capacity(capacity: usize) -> usize {
    (capacity + HEADER_SLOTS) / SLOTS_PER_LINE
}

pub(super) const fn bytes_of_capacity(capacity: usize) -> usize {
    lines_of_capacity(capacity) * LINE_BYTES
}

/// How many entries a table of this capacity takes: three quarters, so that searches stay short.
pub(super) const fn count_max(capacity: usize) -> usize {
    capacity / 4 * 3
}

/// The fewest lines that take this many entries.
pub(super) fn lines_for_count(count: usize) -> usize {
    for lines in LINES {
        if count_max(capacity_of_lines(usize::from(lines))) >= count {
            return usize::from(lines);
        }
    }
    let mut lines = 2 * usize::from(LINES[LINES.len() - 1]);
    while count_max(capacity_of_lines(lines)) < count {
        lines *= 2;
    }
    lines
}

/// What stands before the slots.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Header {
    /// Trees and inner nodes that refer to this leaf.
    refs: AtomicU32,
    /// Entries in the table.
    pub(super) count: u32,
    /// The position of the last write to any key of this leaf, or of a leaf that it came from.
    pub(super) modified: u64,
    /// The sum of the keys' digests.
    pub(super) digest: u64,
    /// Slots; what the pointer says too, where it can.
    capacity: u32,
    _spare: u32,
}

/// Writes the header of a new leaf.
///
/// # Safety
/// `base` is the beginning of a zeroed allocation of that many lines.
pub(super) unsafe fn initialise(base: NonNull<u8>, lines: usize) {
    let capacity = capacity_of_lines(lines) as u32;
    // SAFETY: within the allocation, aligned; zeroed slots are empty ones.
    unsafe {
        base.cast::<Header>().write(Header {
            refs: AtomicU32::new(1),
            count: 0,
            modified: 0,
            digest: 0,
            capacity,
            _spare: 0,
        });
    }
}

/// A leaf that is known to be alive: where it is and how many slots it has. All methods lean on that; those that
/// write also on the caller being the only holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaf {
    header: *mut Header,
    capacity: usize,
}

impl Leaf {
    #[inline]
    pub(super) fn new(base: *mut u8, capacity: usize) -> Self {
        Self { header: base.cast(), capacity }
    }

    /// # Safety
    /// `base` is a leaf that is alive.
    pub(super) unsafe fn with_header_capacity(base: *mut u8) -> Self {
        let header = base.cast::<Header>();
        // SAFETY: as the caller says.
        Self { header, capacity: unsafe { (*header).capacity } as usize }
    }

    #[inline]
    pub(super) fn capacity(self) -> usize {
        self.capacity
    }

    /// # Safety
    /// The leaf is alive and not written while the reference is used.
    #[inline]
    pub(super) unsafe fn header<'a>(self) -> &'a Header {
        // SAFETY: as the caller says.
        unsafe { &*self.header }
    }

    /// # Safety
    /// The caller is the only holder, and uses nothing else of the header meanwhile.
    #[inline]
    pub(super) unsafe fn header_mut<'a>(self) -> &'a mut Header {
        // SAFETY: as the caller says.
        unsafe { &mut *self.header }
    }

    /// # Safety
    /// The leaf is alive and not written while the slots are used.
    #[inline]
    pub(super) unsafe fn slots<'a>(self) -> &'a [Option<Entry>] {
        // SAFETY: the slots follow the header.
        unsafe { std::slice::from_raw_parts(self.slot(0), self.capacity) }
    }

    /// # Safety
    /// The caller is the only holder, and uses nothing else of the slots meanwhile.
    #[inline]
    pub(super) unsafe fn slots_mut<'a>(self) -> &'a mut [Option<Entry>] {
        // SAFETY: the slots follow the header.
        unsafe { std::slice::from_raw_parts_mut(self.slot(0), self.capacity) }
    }

    #[inline]
    fn slot(self, index: usize) -> *mut Option<Entry> {
        debug_assert!(index < self.capacity);
        self.header.wrapping_add(1).cast::<Option<Entry>>().wrapping_add(index)
    }

    /// Where the search for a tag begins.
    #[inline]
    pub(super) fn home(self, tag: u16) -> usize {
        (usize::from(tag) * self.capacity) >> 16
    }

    /// The address of the slot where the search for a tag begins.
    #[inline]
    pub(super) fn home_address(self, tag: u16) -> *const u8 {
        self.slot(self.home(tag)).cast_const().cast()
    }

    #[inline]
    fn after(self, index: usize) -> usize {
        if index + 1 == self.capacity { 0 } else { index + 1 }
    }

    /// Whether one more entry needs a larger table.
    ///
    /// # Safety
    /// The leaf is alive.
    #[inline]
    pub(super) unsafe fn is_full(self) -> bool {
        // SAFETY: as the caller says.
        unsafe { self.header() }.count as usize >= count_max(self.capacity)
    }

    /// The first slot from the tag's home on that is taken by this tag and that `is_it` accepts.
    ///
    /// # Safety
    /// The leaf is alive and not written while the search goes on.
    #[inline]
    pub(super) unsafe fn find(
        self,
        tag: u16,
        mut is_it: impl FnMut(&Entry) -> bool,
    ) -> Option<NonNull<Entry>> {
        let mut index = self.home(tag);
        loop {
            let slot = self.slot(index);
            // SAFETY: within the table; the load is below 1, so that an empty slot ends the search.
            let entry = unsafe { (*slot).as_ref()? };
            if entry.tag() == tag && is_it(entry) {
                return NonNull::new(slot.cast());
            }
            index = self.after(index);
        }
    }

    /// Puts a tagged entry into the first free slot; counts nothing.
    ///
    /// # Safety
    /// The caller is the only holder, the table has a free slot, and the key is not in it.
    #[inline]
    pub(super) unsafe fn place(self, entry: Entry) -> NonNull<Entry> {
        let mut index = self.home(entry.tag());
        // SAFETY: within the table, ours alone; what is overwritten is an empty slot.
        unsafe {
            while (*self.slot(index)).is_some() {
                index = self.after(index);
            }
            let slot = self.slot(index);
            slot.write(Some(entry));
            NonNull::new_unchecked(slot.cast())
        }
    }

    /// Takes an entry out of its slot and closes the gap; counts nothing.
    ///
    /// # Safety
    /// The caller is the only holder, and `slot` is a taken slot of this table.
    pub(super) unsafe fn take(self, slot: NonNull<Entry>) -> Entry {
        // SAFETY: slots and entries have the same form, and the pointer lies in our table; all indexes do too.
        unsafe {
            let taken = slot.read();
            let mut hole = slot.as_ptr().cast::<Option<Entry>>().offset_from(self.slot(0)) as usize;
            let mut index = self.after(hole);
            while let Some(entry) = &*self.slot(index) {
                let from_home = self.distance(self.home(entry.tag()), index);
                if from_home >= self.distance(hole, index) {
                    ptr::copy_nonoverlapping(self.slot(index), self.slot(hole), 1);
                    hole = index;
                }
                index = self.after(index);
            }
            self.slot(hole).write(None);
            taken
        }
    }

    /// How many steps a search goes from one index to another.
    fn distance(self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.capacity - from }
    }

    /// Copies all but the reference count into another leaf, counting each entry once more.
    ///
    /// # Safety
    /// Both are alive, `to` is the caller's alone, without entries, and has the same capacity.
    pub(super) unsafe fn copy_into(self, to: Self) {
        // SAFETY: as the caller says; each pointer that is copied has been counted before.
        unsafe {
            let slots = self.slots();
            slots.iter().flatten().for_each(prefetch_entry);
            slots.iter().flatten().for_each(|entry| std::mem::forget(entry.clone()));
            ptr::copy_nonoverlapping(self.slot(0), to.slot(0), self.capacity);
            to.inherit(self);
        }
    }

    /// Moves all entries and the header's contents into another leaf; this one is left to be deallocated.
    ///
    /// # Safety
    /// Both are the caller's alone, and `to` has room and no entries.
    pub(super) unsafe fn move_into(self, to: Self) {
        // SAFETY: as the caller says; the entries are moved, and this leaf is only deallocated afterwards.
        unsafe {
            for slot in self.slots_mut() {
                if let Some(entry) = slot.take() {
                    to.place(entry);
                }
            }
            to.inherit(self);
        }
    }

    unsafe fn inherit(self, from: Self) {
        // SAFETY: two leaves, the first ours alone: the caller sees to it.
        unsafe {
            let (own, other) = (self.header_mut(), from.header());
            (own.count, own.modified, own.digest) = (other.count, other.modified, other.digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_fill_their_size_classes() {
        for lines in LINES.map(usize::from) {
            let capacity = capacity_of_lines(lines);
            assert_eq!(lines_of_capacity(capacity), lines);
            assert_eq!(crate::size_class::size_class(bytes_of_capacity(capacity)), lines * LINE_BYTES);
            assert!(count_max(capacity) < capacity);
        }
        assert_eq!((SPLIT_CAPACITY, SPLIT_COUNT), (252, 189));
        assert_eq!(lines_for_count(0), 1);
        assert_eq!(lines_for_count(3), 1);
        assert_eq!(lines_for_count(4), 2);
        assert_eq!(lines_for_count(189), 32);
        assert_eq!(lines_for_count(190), 64);
    }
}
