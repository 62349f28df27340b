//! The hash-prefix tree: what holds a database's keys, and the members of a large collection.
//!
//! Inner nodes branch by four bits of the hash; leaves are small tables (`leaf`) that split when they are full and
//! are merged again when few keys are left. A key's path depends on its hash alone. Nodes are counted references:
//! cloning a tree counts its root once more, and a write copies the nodes on its path that somebody else holds too,
//! never more. A copied leaf shares its entries; these are copied only if they are written.
//!
//! Invariants:
//! * a node with more than one reference is never written, but for the count itself; a unique node under a shared
//!   one counts as shared, because a write unshares from the root down;
//! * `len`, `bytes`, the counts in inner nodes and the leaves' digests are exact after every call;
//! * a leaf's `modified` is never earlier than the last write to any key that belongs there.
//!
//! All writes go through [`Tree::upsert`], [`Tree::update`], [`Tree::remove`] and, many at a time, [`Tree::append`]; `walk` reads, `drain` gives back,
//! `touch` prefetches.
#![allow(unsafe_code)]

mod append;
mod drain;
mod inner;
mod leaf;
mod node;
mod reshape;
mod touch;
mod walk;

#[cfg(test)]
mod check;

use std::fmt;
use std::ptr::NonNull;

pub(crate) use drain::drain;
pub(crate) use touch::{BATCH, prefetch_entry, touch};

use crate::access::UseStamp;
use crate::{Entry, HashSeed, KeyHash};
use inner::Inner;
use node::NodePtr;

/// The deepest leaf: past nine nibbles the path would reach into the tag. Leaves there grow instead of splitting.
const DEPTH_MAX: usize = 9;

/// More members than this, and dropping the tree is the reaper's to do.
const HEAVY: usize = 512;

/// What a write needs to know and keep besides the tree.
#[derive(Debug, Default)]
pub(crate) struct WriteContext {
    /// The stream position that leaves are stamped with.
    pub(crate) stamp: u64,
    /// What entries of the database that are written note of it.
    pub(crate) access: UseStamp,
    /// Bytes copied because somebody else held them; only grows.
    pub(crate) copied: usize,
}

impl WriteContext {
    /// Counts an entry that was replaced or removed as copied if somebody still holds it.
    pub(crate) fn count_copied(&mut self, replaced: &Entry) {
        if !replaced.is_unique() {
            self.copied += replaced.size();
        }
    }
}

/// A tree of entries.
pub(crate) struct Tree {
    /// A reference of our own.
    root: NodePtr,
    /// Entries.
    len: usize,
    /// Bytes of all nodes and entries.
    bytes: usize,
    /// The key of the hash, for leaves that split.
    seed: HashSeed,
}

// SAFETY: nodes are written only by the tree that holds them alone; their counts are atomics; entries are `Send`.
unsafe impl Send for Tree {}
// SAFETY: as above; nothing is written through a shared reference.
unsafe impl Sync for Tree {}

impl Clone for Tree {
    /// The same contents, shared: a reference to the root, at any size.
    fn clone(&self) -> Self {
        // SAFETY: our reference keeps the root alive.
        unsafe { self.root.retain() }
        Self { root: self.root, ..*self }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and the tree is gone.
        unsafe { self.root.release() }
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tree").field("len", &self.len).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// The way down to a leaf: the inner nodes passed, all of them ours alone.
struct Path {
    inners: [*mut Inner; DEPTH_MAX],
    depth: usize,
    /// Where the pointer to the leaf stands: in the last inner node, or in the tree.
    leaf_at: *mut NodePtr,
}

impl Path {
    fn push(&mut self, inner: *mut Inner, child: usize) {
        self.inners[self.depth] = inner;
        self.depth += 1;
        // SAFETY: the caller passes an inner node of a path that it owns.
        self.leaf_at = unsafe { &raw mut (*inner).children[child] };
    }
}

impl Tree {
    /// An empty tree.
    pub(crate) fn new(seed: HashSeed) -> Self {
        let root = NodePtr::new_leaf(1);
        // SAFETY: just made.
        let bytes = unsafe { root.size() };
        Self { root, len: 0, bytes, seed }
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all nodes and entries; what is shared with a snapshot counts in full, what only a snapshot holds
    /// does not.
    pub(crate) fn bytes_used(&self) -> usize {
        self.bytes
    }

    /// The key of the hash.
    pub(crate) fn seed(&self) -> &HashSeed {
        &self.seed
    }

    /// Whether dropping it takes so long that it is the reaper's to do.
    pub(crate) fn is_heavy(&self) -> bool {
        self.len > HEAVY
    }

    pub(self) fn root(&self) -> NodePtr {
        self.root
    }

    /// The entry of a key.
    #[inline]
    pub(crate) fn get(&self, hash: KeyHash, key: &[u8]) -> Option<&Entry> {
        self.find(hash, |entry| entry.key() == key)
    }

    /// An entry with the tag of `hash`: most probably its key's, for hints only.
    #[inline]
    pub(crate) fn candidate(&self, hash: KeyHash) -> Option<&Entry> {
        self.find(hash, |_| true)
    }

    /// The first entry with the tag of `hash` that `is_it` accepts.
    #[inline]
    fn find(&self, hash: KeyHash, is_it: impl FnMut(&Entry) -> bool) -> Option<&Entry> {
        let mut node = self.root;
        let mut depth = 0;
        // SAFETY: we borrow the tree, so its nodes are alive and unchanged, and the entry lives as long as the
        // borrow.
        unsafe {
            while node.is_inner() {
                node = (*node.inner()).children[hash.nibble(depth)];
                depth += 1;
            }
            node.leaf().find(hash.tag(), is_it).map(|slot| &*slot.as_ptr())
        }
    }

    /// Writes the entry of a key. `write` gets the entry that is there, to change or replace it, or `None`: then it
    /// must return the new one. Returns the slot and what `write` returned besides.
    #[inline]
    pub(crate) fn upsert<R>(
        &mut self,
        context: &mut WriteContext,
        hash: KeyHash,
        key: &[u8],
        write: impl FnOnce(Option<&mut Entry>) -> (Option<Entry>, R),
    ) -> (OccupiedSlot<'_>, R) {
        let mut path = self.path_for_write(context, hash);
        // SAFETY: the path is ours alone down to the leaf.
        unsafe {
            let leaf = (*path.leaf_at).leaf();
            let header = leaf.header_mut();
            header.modified = header.modified.max(context.stamp);
            if let Some(slot) = leaf.find(hash.tag(), |entry| entry.key() == key) {
                let entry = &mut *slot.as_ptr();
                let bytes_before = entry.bytes_used();
                let (_, result) = write(Some(entry));
                entry.set_tag(hash.tag());
                let mut slot = OccupiedSlot { tree: self, entry: slot, bytes_before };
                slot.account();
                return (slot, result);
            }
            let (entry, result) = write(None);
            #[expect(clippy::expect_used, reason = "the contract of `write`")]
            let entry = entry.expect("a missing key needs a new entry");
            let slot = self.insert(&mut path, hash, entry);
            let bytes_before = slot.as_ref().bytes_used();
            (OccupiedSlot { tree: self, entry: slot, bytes_before }, result)
        }
    }

    /// Writes the entry of a key that is there; otherwise nothing is touched and the answer is `None`.
    pub(crate) fn update<R>(
        &mut self,
        context: &mut WriteContext,
        hash: KeyHash,
        key: &[u8],
        write: impl FnOnce(&mut Entry) -> R,
    ) -> Option<R> {
        self.get(hash, key)?;
        let (_, result) = self.upsert(context, hash, key, |entry| (None, entry.map(write)));
        result
    }

    /// Removes a key and returns its entry; where the key is missing nothing is touched.
    pub(crate) fn remove(&mut self, context: &mut WriteContext, hash: KeyHash, key: &[u8]) -> Option<Entry> {
        self.get(hash, key)?;
        let mut path = self.path_for_write(context, hash);
        // SAFETY: the path is ours alone down to the leaf.
        let entry = unsafe {
            let leaf = (*path.leaf_at).leaf();
            let slot = leaf.find(hash.tag(), |entry| entry.key() == key)?;
            let entry = leaf.take(slot);
            let header = leaf.header_mut();
            header.count -= 1;
            header.digest = header.digest.wrapping_sub(hash.digest());
            header.modified = header.modified.max(context.stamp);
            entry
        };
        self.len -= 1;
        self.bytes -= entry.bytes_used();
        for (depth, inner) in path.inners[..path.depth].iter().enumerate() {
            // SAFETY: as above.
            unsafe { (**inner).count_removed(hash.nibble(depth)) }
        }
        // SAFETY: as above; the path is not used afterwards.
        unsafe { self.shrink_after_removal(&mut path, hash) }
        Some(entry)
    }

    /// Goes down to the leaf of a hash and makes every node on the way ours alone.
    #[inline]
    fn path_for_write(&mut self, context: &mut WriteContext, hash: KeyHash) -> Path {
        let mut path =
            Path { inners: [std::ptr::null_mut(); DEPTH_MAX], depth: 0, leaf_at: &raw mut self.root };
        // SAFETY: `leaf_at` stands in the tree or in a node that was just made ours; we borrow the tree mutably.
        unsafe {
            context.copied += NodePtr::unshare(path.leaf_at);
            while (*path.leaf_at).is_inner() {
                let inner = (*path.leaf_at).inner();
                path.push(inner, hash.nibble(path.depth));
                context.copied += NodePtr::unshare(path.leaf_at);
            }
        }
        path
    }

    /// Puts a new entry into the leaf of a path.
    ///
    /// # Safety
    /// The path is the hash's, ours alone, and the key is not there.
    unsafe fn insert(&mut self, path: &mut Path, hash: KeyHash, mut entry: Entry) -> NonNull<Entry> {
        entry.set_tag(hash.tag());
        self.len += 1;
        self.bytes += entry.bytes_used();
        // SAFETY: as the caller says; room is made first.
        unsafe {
            if (*path.leaf_at).leaf().is_full() {
                self.make_room(path, hash);
            }
            for (depth, inner) in path.inners[..path.depth].iter().enumerate() {
                (**inner).count_added(hash.nibble(depth));
            }
            let leaf = (*path.leaf_at).leaf();
            let header = leaf.header_mut();
            header.count += 1;
            header.digest = header.digest.wrapping_add(hash.digest());
            leaf.place(entry)
        }
    }
}

/// A taken slot of a tree that is borrowed for writing; the node is ours alone, the entry perhaps not.
#[derive(Debug)]
pub(crate) struct OccupiedSlot<'a> {
    tree: &'a mut Tree,
    /// Stays where it is as long as the tree is not written but by this slot.
    entry: NonNull<Entry>,
    /// The entry's bytes when they were last accounted.
    bytes_before: usize,
}

impl OccupiedSlot<'_> {
    /// The entry.
    pub(crate) fn entry(&self) -> &Entry {
        // SAFETY: we borrow the tree, whose slots do not move meanwhile.
        unsafe { self.entry.as_ref() }
    }

    /// Changes or replaces the entry, whose key must stay; the bytes are accounted.
    pub(crate) fn write<R>(&mut self, write: impl FnOnce(&mut Entry) -> R) -> R {
        // SAFETY: we borrow the tree mutably, whose slots do not move meanwhile.
        let entry = unsafe { self.entry.as_mut() };
        let tag = entry.tag();
        let result = write(entry);
        entry.set_tag(tag);
        self.account();
        result
    }

    /// The key of the hash.
    pub(crate) fn seed(&self) -> HashSeed {
        self.tree.seed
    }

    /// Removes the entry from its tree.
    pub(crate) fn remove(self, context: &mut WriteContext, hash: KeyHash) -> Option<Entry> {
        let entry = self.entry().clone();
        self.tree.remove(context, hash, entry.key())
    }

    fn account(&mut self) {
        let bytes = self.entry().bytes_used();
        self.tree.bytes = self.tree.bytes + bytes - self.bytes_before;
        self.bytes_before = bytes;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
