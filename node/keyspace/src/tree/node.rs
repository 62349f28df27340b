//! Pointers to nodes, what both kinds of node have in common, and their life and death.
//!
//! A node's address is a multiple of 64, so the pointer's lower six bits say what it points to: a lookup knows a
//! leaf's capacity, and by it the address of the slot, before it has read anything of the leaf.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use super::inner::Inner;
use super::leaf::{self, Leaf};
use super::touch::{prefetch, prefetch_entry};
use crate::size_class::size_class;

/// Nodes begin at multiples of this: a cache line.
pub(super) const LINE_BYTES: usize = 64;

/// Children of an inner node: one for each value of four bits.
pub(super) const CHILDREN: usize = 16;

/// The pointer's bits that are not address.
const MARKS: usize = LINE_BYTES - 1;

/// Marks of a pointer to an inner node. A pointer to a leaf has this bit clear and its lines less one below it.
const INNER: usize = 0x20;

/// Marks of a pointer to a leaf too large to say its lines in five bits: the header knows.
const LARGE_LEAF: usize = 0x21;

/// The most lines that the pointer itself can say.
pub(super) const MARKED_LINES_MAX: usize = 32;

/// More references than this are a leak that would wrap the count.
const REFS_MAX: u32 = u32::MAX / 2;

/// A pointer to a node with its marks. Plain data: who copies it says what becomes of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct NodePtr(NonNull<u8>);

impl NodePtr {
    fn new(base: NonNull<u8>, marks: usize) -> Self {
        Self(base.map_addr(|address| address | marks))
    }

    /// A new leaf of this many lines, without entries; one reference.
    pub(super) fn new_leaf(lines: usize) -> Self {
        let base = allocate(lines * LINE_BYTES);
        let marks = if lines <= MARKED_LINES_MAX { lines - 1 } else { LARGE_LEAF };
        let node = Self::new(base, marks);
        // SAFETY: freshly allocated, zeroed, and large enough for the header.
        unsafe { leaf::initialise(base, lines) }
        node
    }

    /// A new inner node; one reference. Takes over the references of its children.
    pub(super) fn new_inner(inner: Inner) -> Self {
        let base = allocate(size_of::<Inner>());
        // SAFETY: freshly allocated, aligned and large enough.
        unsafe { base.cast::<Inner>().write(inner) }
        Self::new(base, INNER)
    }

    #[inline]
    fn marks(self) -> usize {
        self.0.addr().get() & MARKS
    }

    #[inline]
    pub(super) fn is_inner(self) -> bool {
        self.marks() == INNER
    }

    #[inline]
    pub(super) fn base(self) -> *mut u8 {
        self.0.as_ptr().map_addr(|address| address & !MARKS)
    }

    /// # Safety
    /// It must be an inner node, alive for as long as the pointer is used.
    #[inline]
    pub(super) unsafe fn inner(self) -> *mut Inner {
        debug_assert!(self.is_inner());
        self.base().cast()
    }

    /// # Safety
    /// It must be a leaf, alive for as long as the result is used.
    #[inline]
    pub(super) unsafe fn leaf(self) -> Leaf {
        debug_assert!(!self.is_inner());
        if self.marks() < INNER {
            return Leaf::new(self.base(), leaf::capacity_of_lines(self.marks() + 1));
        }
        // SAFETY: a leaf, alive; its header knows its capacity.
        unsafe { Leaf::with_header_capacity(self.base()) }
    }

    /// # Safety
    /// The node must be alive.
    #[inline]
    unsafe fn refs<'a>(self) -> &'a AtomicU32 {
        let base = self.base();
        // SAFETY: both headers hold an atomic count at these places.
        unsafe { if self.is_inner() { &(*base.cast::<Inner>()).refs } else { &*base.cast::<AtomicU32>() } }
    }

    /// Where the reference count stands, for prefetching.
    #[inline]
    pub(super) fn refs_address(self) -> *const u8 {
        let offset = if self.is_inner() { std::mem::offset_of!(Inner, refs) } else { 0 };
        self.base().wrapping_add(offset)
    }

    /// Whether only one tree holds the node: only then may it be written.
    ///
    /// # Safety
    /// The node must be alive.
    #[inline]
    pub(super) unsafe fn is_unique(self) -> bool {
        // SAFETY: alive, says the caller.
        unsafe { self.refs() }.load(Ordering::Acquire) == 1
    }

    /// Counts one more reference.
    ///
    /// # Safety
    /// The node must be alive.
    pub(super) unsafe fn retain(self) {
        // SAFETY: alive, says the caller.
        if unsafe { self.refs() }.fetch_add(1, Ordering::Relaxed) > REFS_MAX {
            std::process::abort();
        }
    }

    /// Gives one reference back, and with the last one the node and all that only it holds.
    ///
    /// # Safety
    /// The caller owns the reference and does not use it afterwards.
    pub(super) unsafe fn release(self) {
        // SAFETY: alive by the caller's reference; freed only behind the last one.
        unsafe {
            if self.refs().fetch_sub(1, Ordering::Release) == 1 {
                fence(Ordering::Acquire);
                self.free();
            }
        }
    }

    /// # Safety
    /// No reference is left.
    unsafe fn free(self) {
        // SAFETY: the node is ours alone, and so are its references to children or entries.
        unsafe {
            if self.is_inner() {
                let children = (*self.inner()).children;
                children.iter().for_each(|child| prefetch(child.refs_address()));
                children.into_iter().for_each(|child| child.release());
            } else {
                let slots = self.leaf().slots_mut();
                slots.iter().flatten().for_each(prefetch_entry);
                slots.iter_mut().for_each(|slot| drop(slot.take()));
            }
            self.deallocate();
        }
    }

    /// Gives the node's memory back, and nothing that it refers to.
    ///
    /// # Safety
    /// No reference is left, and what the node held has been moved elsewhere.
    pub(super) unsafe fn deallocate(self) {
        // SAFETY: `size` is what it was allocated with.
        unsafe { dealloc(self.base(), layout(self.size())) }
    }

    /// Bytes of the node's own allocation.
    ///
    /// # Safety
    /// The node must be alive.
    pub(super) unsafe fn size(self) -> usize {
        if self.is_inner() {
            return size_class(size_of::<Inner>());
        }
        // SAFETY: a leaf, alive.
        size_class(leaf::bytes_of_capacity(unsafe { self.leaf() }.capacity()))
    }

    /// Makes the node at `at` one that only this tree holds, copying it if need be; returns the bytes copied.
    ///
    /// # Safety
    /// `at` holds a reference of the caller's own to a node that is alive, in a place that the caller may write.
    #[inline]
    pub(super) unsafe fn unshare(at: *mut Self) -> usize {
        // SAFETY: as the caller says.
        unsafe { if (*at).is_unique() { 0 } else { Self::copy_shared(at) } }
    }

    #[cold]
    unsafe fn copy_shared(at: *mut Self) -> usize {
        // SAFETY: the old node stays alive by our reference until its children or entries are counted once more.
        unsafe {
            let old = *at;
            let copy = if old.is_inner() {
                let from = &*old.inner();
                from.children.iter().for_each(|child| prefetch(child.refs_address()));
                from.children.iter().for_each(|child| child.retain());
                Self::new_inner(from.copy())
            } else {
                let from = old.leaf();
                let copy = Self::new_leaf(leaf::lines_of_capacity(from.capacity()));
                from.copy_into(copy.leaf());
                copy
            };
            *at = copy;
            old.release();
            copy.size()
        }
    }
}

fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(size_class(bytes), LINE_BYTES) {
        Ok(layout) => layout,
        Err(_) => unreachable!("a node is far smaller than the address space"),
    }
}

fn allocate(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    // SAFETY: the layout is not empty.
    let base = unsafe { alloc_zeroed(layout) };
    NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout))
}
