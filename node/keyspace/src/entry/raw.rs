//! The allocation behind an entry: a counted header, then expiry, key and value, in one piece.
//!
//! ```text
//! refs 4 | access 4 | key_len 4 | value_len 2 | kind 1 | flags 1 | [expiry 8] | key | value
//! ```
//!
//! The value is the bytes themselves, or an unaligned pointer to what is too large for that: a shared byte vector or
//! a tree. The key stands before the value, so that a lookup compares it in the line where the header is. There is
//! no capacity field: an allocation always has the size class of its contents, and a value that changes within the
//! class changes in place.
//!
//! Invariants:
//! * a handle owns one reference; only the holder of the only one writes (`&mut` alone is not enough), but for the
//!   access word;
//! * the upper 16 bits of a handle's pointer carry the tag of the key's hash while the handle stands in a leaf.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

use rejoin_protocol::UnixMillis;

use crate::size_class::size_class;
use crate::sorted::Sorted;
use crate::tree::Tree;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("slots keep a 16-bit tag above a 48-bit pointer");

/// Values longer than this stand in an allocation of their own, so that an entry that is copied stays cheap.
pub(crate) const INLINE_BYTES_MAX: usize = 4096;

/// The bits of a handle that are the pointer.
const ADDRESS: usize = (1 << 48) - 1;

const HEADER_BYTES: usize = size_of::<Header>();
const EXPIRY_BYTES: usize = size_of::<i64>();
const POINTER_BYTES: usize = size_of::<*mut u8>();
const FLAG_EXPIRY: u8 = 1;

/// More references than this are a leak that would wrap the count.
const REFS_MAX: u32 = u32::MAX / 2;

/// What stands in the value's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A string that is a number: eight bytes.
    Int,
    /// A short string set whole.
    Embstr,
    /// Any other string.
    Raw,
    /// A string out of line.
    RawLong,
    /// A hash as a packed run.
    HashPacked,
    /// A hash as a tree of fields.
    HashTree,
    /// The value of a field of a hash that is a tree.
    Field,
    /// Such a value out of line.
    FieldLong,
    /// A set of integers as a sorted run.
    SetInts,
    /// A set as a packed run.
    SetPacked,
    /// A set as a tree of members.
    SetTree,
    /// A sorted set as a packed run.
    SortedPacked,
    /// A sorted set as a tree of scores with their order.
    SortedTree,
    // Lists and streams go on from here.
}

/// How a kind stores its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storage {
    Inline,
    Long,
    Tree,
    Sorted,
}

impl Kind {
    const fn storage(self) -> Storage {
        match self {
            Self::Int | Self::Embstr | Self::Raw | Self::HashPacked | Self::Field => Storage::Inline,
            Self::SetInts | Self::SetPacked | Self::SortedPacked => Storage::Inline,
            Self::RawLong | Self::FieldLong => Storage::Long,
            Self::HashTree | Self::SetTree => Storage::Tree,
            Self::SortedTree => Storage::Sorted,
        }
    }

    /// Whether it stays inline at any length up to 64 KiB, because its holder watches over that.
    const fn is_run(self) -> bool {
        matches!(self, Self::HashPacked | Self::SetInts | Self::SetPacked | Self::SortedPacked)
    }

    /// The kind of the same value out of line.
    fn long(self) -> Self {
        match self {
            Self::Embstr | Self::Raw | Self::RawLong => Self::RawLong,
            Self::Field | Self::FieldLong => Self::FieldLong,
            _ => unreachable!("{self:?} is never out of line"),
        }
    }
}

/// A value on its way into an entry.
#[derive(Debug)]
pub(crate) enum NewValue<'a> {
    /// Bytes, copied inline or, when they are long, into a vector.
    Bytes(Kind, &'a [u8]),
    /// A vector, taken as it is.
    Long(Kind, Arc<Vec<u8>>),
    /// A tree, taken as it is.
    Tree(Kind, Box<Tree>),
    /// A large sorted set, taken as it is.
    Sorted(Box<Sorted>),
}

#[repr(C)]
struct Header {
    refs: AtomicU32,
    access: AtomicU32,
    key_len: u32,
    value_len: u16,
    kind: Kind,
    flags: u8,
}

/// A shared handle to one key with its value; cloning it counts a reference.
#[repr(transparent)]
pub struct Entry(NonNull<Header>);

// SAFETY: the contents change only through the only handle; the counts and the access word are atomics; vectors and
// trees are themselves `Send` and `Sync`.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Clone for Entry {
    #[inline]
    fn clone(&self) -> Self {
        if self.header().refs.fetch_add(1, Ordering::Relaxed) > REFS_MAX {
            std::process::abort();
        }
        Self(self.0)
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        if self.header().refs.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: this was the last reference.
            unsafe { self.free() }
        }
    }
}

impl Entry {
    /// A new entry; its access word is 0.
    pub(crate) fn new(key: &[u8], expiry: Option<UnixMillis>, value: NewValue<'_>) -> Self {
        match value {
            NewValue::Bytes(kind, bytes) if bytes.len() > INLINE_BYTES_MAX && !kind.is_run() => {
                Self::new(key, expiry, NewValue::Long(kind, Arc::new(bytes.to_vec())))
            }
            NewValue::Bytes(kind, bytes) => Self::with_inline(kind, key, expiry, &[bytes]),
            NewValue::Long(kind, bytes) => {
                Self::with_pointer(kind.long(), key, expiry, Arc::into_raw(bytes).cast_mut().cast())
            }
            NewValue::Tree(kind, tree) => Self::with_pointer(kind, key, expiry, Box::into_raw(tree).cast()),
            NewValue::Sorted(sorted) => {
                Self::with_pointer(Kind::SortedTree, key, expiry, Box::into_raw(sorted).cast())
            }
        }
    }

    fn with_inline(kind: Kind, key: &[u8], expiry: Option<UnixMillis>, parts: &[&[u8]]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        let entry = Self::allocate(kind, key, expiry, len);
        let mut to = entry.value_ptr();
        for part in parts {
            // SAFETY: the allocation has room for the sum of the parts, and is ours alone.
            unsafe {
                ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
        }
        entry
    }

    fn with_pointer(kind: Kind, key: &[u8], expiry: Option<UnixMillis>, pointer: *mut u8) -> Self {
        let entry = Self::allocate(kind, key, expiry, POINTER_BYTES);
        entry.write_pointer(pointer);
        entry
    }

    /// An entry whose value is yet to be written.
    fn allocate(kind: Kind, key: &[u8], expiry: Option<UnixMillis>, value_len: usize) -> Self {
        let header = Header {
            refs: AtomicU32::new(1),
            access: AtomicU32::new(0),
            key_len: u32::try_from(key.len()).unwrap_or_else(|_| panic!("a key of {} bytes", key.len())),
            value_len: u16::try_from(value_len).unwrap_or_else(|_| panic!("{value_len} bytes inline")),
            kind,
            flags: if expiry.is_some() { FLAG_EXPIRY } else { 0 },
        };
        let key_at = HEADER_BYTES + expiry.map_or(0, |_| EXPIRY_BYTES);
        let layout = layout(key_at + key.len() + value_len);
        // SAFETY: the layout is never empty; all writes stay within the size that it was computed from.
        unsafe {
            let Some(base) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            assert!(base.addr().get() <= ADDRESS, "the allocator's addresses have 48 bits");
            base.cast::<Header>().write(header);
            if let Some(expiry) = expiry {
                base.add(HEADER_BYTES).cast::<i64>().write(expiry.get());
            }
            ptr::copy_nonoverlapping(key.as_ptr(), base.add(key_at).as_ptr(), key.len());
            Self(base.cast())
        }
    }

    /// The same value under another key or expiry: inline bytes are copied, anything larger is shared.
    pub(crate) fn copy_as(&self, key: &[u8], expiry: Option<UnixMillis>) -> Self {
        let kind = self.kind();
        let copy = match kind.storage() {
            Storage::Inline => Self::with_inline(kind, key, expiry, &[self.inline()]),
            Storage::Long => {
                // SAFETY: the pointer came from `Arc::into_raw` and our own reference is alive.
                let shared = unsafe {
                    Arc::increment_strong_count(self.pointer().cast::<Vec<u8>>());
                    Arc::from_raw(self.pointer().cast::<Vec<u8>>())
                };
                Self::new(key, expiry, NewValue::Long(kind, shared))
            }
            Storage::Tree => Self::new(key, expiry, NewValue::Tree(kind, Box::new(self.tree().clone()))),
            Storage::Sorted => Self::new(key, expiry, NewValue::Sorted(Box::new(self.sorted().clone()))),
        };
        copy.set_access(self.access());
        copy
    }

    /// Puts another value and expiry in place of what stands here: in place when nobody else sees this entry and the
    /// size class stays. Otherwise a new allocation takes the place, and the old one is returned.
    #[inline]
    pub(crate) fn overwrite(&mut self, value: NewValue<'_>, expiry: Option<UnixMillis>) -> Option<Self> {
        if let NewValue::Bytes(kind, bytes) = &value
            && (self.overwrite_inline(*kind, bytes, expiry) || self.overwrite_long(*kind, bytes, expiry))
        {
            return None;
        }
        let new = Self::new(self.key(), expiry, value);
        new.set_access(self.access());
        Some(std::mem::replace(self, new))
    }

    #[inline]
    fn overwrite_inline(&mut self, kind: Kind, bytes: &[u8], expiry: Option<UnixMillis>) -> bool {
        let key_end = self.value_offset();
        let fits = bytes.len() <= INLINE_BYTES_MAX
            && self.kind().storage() == Storage::Inline
            && self.has_expiry() == expiry.is_some()
            && size_class(key_end + bytes.len()) == self.size()
            && self.is_unique();
        if fits {
            let base = self.base();
            // SAFETY: unique, and the new value ends within the same allocation.
            unsafe {
                ptr::copy_nonoverlapping(bytes.as_ptr(), base.add(key_end), bytes.len());
                let header = self.header_ptr();
                (*header).kind = kind;
                (*header).value_len = bytes.len() as u16;
                if let Some(expiry) = expiry {
                    base.add(HEADER_BYTES).cast::<i64>().write(expiry.get());
                }
            }
        }
        fits
    }

    /// Long bytes over long bytes: the vector is used again if it is ours and neither too small nor far too large.
    fn overwrite_long(&mut self, kind: Kind, bytes: &[u8], expiry: Option<UnixMillis>) -> bool {
        if bytes.len() <= INLINE_BYTES_MAX || kind.is_run() {
            return false;
        }
        if self.kind() != kind.long() || !self.is_unique() {
            return false;
        }
        if !self.set_expiry_in_place(expiry) {
            return false;
        }
        // SAFETY: unique; the vector is borrowed only for as long as `self`, unless it is shared with another entry.
        let mut shared = ManuallyDrop::new(unsafe { Arc::from_raw(self.pointer().cast::<Vec<u8>>()) });
        let Some(vec) = Arc::get_mut(&mut shared) else { return false };
        if vec.capacity() < bytes.len() || vec.capacity() / 2 > bytes.len() {
            return false;
        }
        vec.clear();
        vec.extend_from_slice(bytes);
        true
    }

    /// Changes the expiry without moving anything; `false` if that cannot be done.
    pub(crate) fn set_expiry_in_place(&mut self, expiry: Option<UnixMillis>) -> bool {
        if self.has_expiry() != expiry.is_some() || !self.is_unique() {
            return false;
        }
        if let Some(expiry) = expiry {
            // SAFETY: unique, and the flag says that the expiry has its place.
            unsafe { self.base().add(HEADER_BYTES).cast::<i64>().write(expiry.get()) }
        }
        true
    }

    /// Replaces a range of the inline bytes by `parts`; in place or in a new allocation, as with
    /// [`Self::overwrite`]. The entry is unique afterwards.
    pub(crate) fn splice(&mut self, range: Range<usize>, parts: &[&[u8]]) {
        let old = self.inline();
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let len = old.len() - range.len() + added;
        if size_class(self.value_offset() + len) != self.size() || !self.is_unique() {
            let mut pieces: [&[u8]; 8] = [&[]; 8];
            pieces[0] = &old[..range.start];
            pieces[1..=parts.len()].copy_from_slice(parts);
            pieces[7] = &old[range.end..];
            let new = Self::with_inline(self.kind(), self.key(), self.expiry(), &pieces);
            new.set_access(self.access());
            *self = new;
            return;
        }
        let value = self.value_ptr();
        let tail = old.len() - range.end;
        // SAFETY: unique, and both the moved tail and the parts end within the same allocation.
        unsafe {
            ptr::copy(value.add(range.end), value.add(range.start + added), tail);
            let mut to = value.add(range.start);
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
            (*self.header_ptr()).value_len = len as u16;
        }
    }

    /// The inline bytes for writing. The entry must be unique.
    pub(crate) fn inline_mut(&mut self) -> &mut [u8] {
        assert!(self.is_unique() && self.kind().storage() == Storage::Inline, "only the owner writes");
        // SAFETY: unique, inline, and borrowed mutably for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.value_ptr(), usize::from(self.header().value_len)) }
    }

    /// The vector of a long value for writing; copied first if another entry shares it. The entry must be unique.
    pub(crate) fn long_mut(&mut self) -> &mut Vec<u8> {
        assert!(self.is_unique() && self.kind().storage() == Storage::Long, "only the owner writes");
        // SAFETY: the pointer came from `Arc::into_raw`; the reference moves into `shared` and back out of it before
        // anything can unwind between.
        unsafe {
            let mut shared = ManuallyDrop::new(Arc::from_raw(self.pointer().cast::<Vec<u8>>()));
            if Arc::get_mut(&mut shared).is_none() {
                let own = Arc::new(Vec::clone(&shared));
                self.write_pointer(Arc::into_raw(own).cast_mut().cast());
                drop(ManuallyDrop::into_inner(shared));
            }
            &mut *self.pointer().cast::<Vec<u8>>()
        }
    }

    /// The tree for writing. The entry must be unique.
    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        assert!(self.is_unique() && self.kind().storage() == Storage::Tree, "only the owner writes");
        // SAFETY: unique, and the pointer came from `Box::into_raw`.
        unsafe { &mut *self.pointer().cast::<Tree>() }
    }

    /// The large sorted set for writing. The entry must be unique.
    pub(crate) fn sorted_mut(&mut self) -> &mut Sorted {
        assert!(self.is_unique() && self.kind().storage() == Storage::Sorted, "only the owner writes");
        // SAFETY: unique, and the pointer came from `Box::into_raw`.
        unsafe { &mut *self.pointer().cast::<Sorted>() }
    }

    /// Whether nobody else holds this entry: only then may it change.
    #[inline]
    pub(crate) fn is_unique(&self) -> bool {
        self.header().refs.load(Ordering::Acquire) == 1
    }

    /// What the value is.
    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        self.header().kind
    }

    /// The bytes of an inline value.
    #[inline]
    pub(crate) fn inline(&self) -> &[u8] {
        debug_assert!(self.kind().storage() == Storage::Inline);
        // SAFETY: the value's bytes were written when the entry was made.
        unsafe { std::slice::from_raw_parts(self.value_ptr(), usize::from(self.header().value_len)) }
    }

    /// The vector of a long value.
    pub(crate) fn long(&self) -> &Vec<u8> {
        assert!(self.kind().storage() == Storage::Long, "a long value");
        // SAFETY: the pointer came from `Arc::into_raw` and this entry keeps its reference.
        unsafe { &*self.pointer().cast::<Vec<u8>>() }
    }

    /// The tree of a collection.
    pub(crate) fn tree(&self) -> &Tree {
        assert!(self.kind().storage() == Storage::Tree, "a tree");
        // SAFETY: the pointer came from `Box::into_raw` and this entry owns it.
        unsafe { &*self.pointer().cast::<Tree>() }
    }

    /// A large sorted set.
    pub(crate) fn sorted(&self) -> &Sorted {
        assert!(self.kind().storage() == Storage::Sorted, "a large sorted set");
        // SAFETY: the pointer came from `Box::into_raw` and this entry owns it.
        unsafe { &*self.pointer().cast::<Sorted>() }
    }

    /// The key's bytes.
    #[inline]
    #[must_use]
    pub fn key(&self) -> &[u8] {
        let key_len = self.header().key_len as usize;
        // SAFETY: the key's bytes were written when the entry was made and never change.
        unsafe { std::slice::from_raw_parts(self.base().add(self.key_offset()), key_len) }
    }

    /// When it expires, if it does.
    #[inline]
    #[must_use]
    pub fn expiry(&self) -> Option<UnixMillis> {
        // SAFETY: the flag says that the expiry has its place behind the header.
        self.has_expiry()
            .then(|| UnixMillis::new(unsafe { self.base().add(HEADER_BYTES).cast::<i64>().read() }))
    }

    /// The access word (LRU clock or LFU counter; the caller gives it its meaning).
    #[must_use]
    pub fn access(&self) -> u32 {
        self.header().access.load(Ordering::Relaxed)
    }

    /// Sets the access word; the only thing in a shared entry that changes.
    pub fn set_access(&self, word: u32) {
        self.header().access.store(word, Ordering::Relaxed);
    }

    /// The tag that the handle carries.
    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        (self.0.addr().get() >> 48) as u16
    }

    /// Gives the handle its tag.
    #[inline]
    pub(crate) fn set_tag(&mut self, tag: u16) {
        let tagged = self.header_ptr().map_addr(|address| address | usize::from(tag) << 48);
        // SAFETY: the address part is not null.
        self.0 = unsafe { NonNull::new_unchecked(tagged) };
    }

    /// Where the allocation begins, for prefetching.
    #[inline]
    pub(crate) fn address(&self) -> *const u8 {
        self.base()
    }

    /// Bytes of this entry's own allocation.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        size_class(self.value_offset() + usize::from(self.header().value_len))
    }

    /// Bytes of this entry's allocations and all that they point to.
    #[inline]
    #[must_use]
    pub fn bytes_used(&self) -> usize {
        let beyond = match self.kind().storage() {
            Storage::Inline => 0,
            // The vector stands behind two counts in one allocation, its bytes in another.
            Storage::Long => size_class(size_of::<Vec<u8>>() + 16) + size_class(self.long().capacity()),
            Storage::Tree => size_class(size_of::<Tree>()) + self.tree().bytes_used(),
            Storage::Sorted => size_class(size_of::<Sorted>()) + self.sorted().bytes_used(),
        };
        self.size() + beyond
    }

    #[inline]
    fn has_expiry(&self) -> bool {
        self.header().flags & FLAG_EXPIRY != 0
    }

    #[inline]
    fn header_ptr(&self) -> *mut Header {
        self.0.as_ptr().map_addr(|address| address & ADDRESS)
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: the reference that this handle owns keeps the allocation alive.
        unsafe { &*self.header_ptr() }
    }

    #[inline]
    fn base(&self) -> *mut u8 {
        self.header_ptr().cast()
    }

    #[inline]
    fn key_offset(&self) -> usize {
        HEADER_BYTES + usize::from(self.header().flags & FLAG_EXPIRY) * EXPIRY_BYTES
    }

    #[inline]
    fn value_offset(&self) -> usize {
        self.key_offset() + self.header().key_len as usize
    }

    #[inline]
    fn value_ptr(&self) -> *mut u8 {
        // SAFETY: the value begins within the allocation or just at its end.
        unsafe { self.base().add(self.value_offset()) }
    }

    fn pointer(&self) -> *mut u8 {
        // SAFETY: called only for kinds whose value is a pointer.
        unsafe { self.value_ptr().cast::<*mut u8>().read_unaligned() }
    }

    fn write_pointer(&self, pointer: *mut u8) {
        // SAFETY: called only for kinds whose value is a pointer, by the owner.
        unsafe { self.value_ptr().cast::<*mut u8>().write_unaligned(pointer) }
    }

    /// Drops the value and gives the allocation back.
    ///
    /// # Safety
    /// No reference is left, and nothing uses the entry afterwards.
    unsafe fn free(&mut self) {
        let layout = layout(self.value_offset() + usize::from(self.header().value_len));
        // SAFETY: each pointer is given back to what it came from; the layout is that of the allocation, which
        // always has the class of its contents.
        unsafe {
            match self.kind().storage() {
                Storage::Inline => {}
                Storage::Long => drop(Arc::from_raw(self.pointer().cast::<Vec<u8>>())),
                Storage::Tree => drop(Box::from_raw(self.pointer().cast::<Tree>())),
                Storage::Sorted => drop(Box::from_raw(self.pointer().cast::<Sorted>())),
            }
            dealloc(self.base(), layout);
        }
    }
}

/// The allocation for contents of this many bytes.
#[inline]
fn layout(bytes: usize) -> Layout {
    match Layout::from_size_align(size_class(bytes), align_of::<Header>().max(align_of::<i64>())) {
        Ok(layout) => layout,
        Err(_) => unreachable!("an entry is far smaller than the address space"),
    }
}
