//! How a tree follows its number of keys: leaves that grow, split, shrink and merge.
#![allow(unsafe_code)]

use super::inner::Inner;
use super::leaf::{self, Leaf, SPLIT_CAPACITY, SPLIT_COUNT};
use super::node::{CHILDREN, NodePtr};
use super::touch::prefetch_entry;
use super::{DEPTH_MAX, Path, Tree};
use crate::{HashSeed, KeyHash};

/// An inner node with this many keys or fewer becomes a leaf again: a third of what made it split, so that a key
/// that comes and goes does not split and merge at each turn.
pub(super) const MERGE_COUNT: u64 = 64;

impl Tree {
    /// Makes room for one more entry below a path: a larger table, or a split and the way down to the new leaf.
    ///
    /// # Safety
    /// The path is the hash's and ours alone.
    #[cold]
    pub(super) unsafe fn make_room(&mut self, path: &mut Path, hash: KeyHash) {
        // SAFETY: as the caller says; each step leaves a path of the same kind.
        unsafe {
            loop {
                let leaf = (*path.leaf_at).leaf();
                if !leaf.is_full() {
                    return;
                }
                if leaf.capacity() < SPLIT_CAPACITY || path.depth == DEPTH_MAX {
                    let count = leaf.header().count as usize;
                    self.resize(path.leaf_at, leaf::lines_for_count(count + 1));
                } else {
                    let inner = self.split(path.leaf_at, path.depth);
                    path.push(inner, hash.nibble(path.depth));
                }
            }
        }
    }

    /// Gives the leaf at `at` a table of another size.
    ///
    /// # Safety
    /// The leaf is ours alone, and its entries fit.
    pub(super) unsafe fn resize(&mut self, at: *mut NodePtr, lines: usize) {
        // SAFETY: as the caller says; the old leaf is left without entries.
        unsafe {
            let old = *at;
            let new = NodePtr::new_leaf(lines);
            old.leaf().move_into(new.leaf());
            self.bytes = self.bytes + new.size() - old.size();
            *at = new;
            old.deallocate();
        }
    }

    /// Puts an inner node with sixteen leaves in place of the leaf at `at`, which stands at `depth`.
    ///
    /// # Safety
    /// The leaf is ours alone and of the largest capacity below the greatest depth.
    pub(super) unsafe fn split(&mut self, at: *mut NodePtr, depth: usize) -> *mut Inner {
        // SAFETY: as the caller says; the old leaf is left without entries.
        unsafe {
            let old = *at;
            assert_eq!(old.leaf().capacity(), SPLIT_CAPACITY, "the array below has a place for each slot");
            let mut hashes = [KeyHash(0); SPLIT_CAPACITY];
            let counts = count_children(old.leaf(), &self.seed, depth, &mut hashes);
            // Leaves begin with room for a fifth more, so that the next inserts do not resize all of them at once; but
            // none is larger than what may split again.
            let room = |count: u32| (count as usize * 6 / 5).min(SPLIT_COUNT);
            let children = counts.map(|count| NodePtr::new_leaf(leaf::lines_for_count(room(count))));
            distribute(old.leaf(), children, depth, &hashes);
            let inner = NodePtr::new_inner(Inner::new(children, counts));
            self.bytes = self.bytes + inner.size() - old.size();
            self.bytes += children.iter().map(|child| child.size()).sum::<usize>();
            *at = inner;
            old.deallocate();
            inner.inner()
        }
    }

    /// After a removal: merges inner nodes on the path that few keys are left below, or shrinks the leaf's table.
    ///
    /// # Safety
    /// The path is the hash's and ours alone; it is not used afterwards.
    #[inline]
    pub(super) unsafe fn shrink_after_removal(&mut self, path: &mut Path, hash: KeyHash) {
        // SAFETY: as the caller says.
        unsafe {
            let mut merge_depth = path.depth;
            while merge_depth > 0 && (*path.inners[merge_depth - 1]).total <= MERGE_COUNT {
                merge_depth -= 1;
            }
            if merge_depth < path.depth {
                let at = match merge_depth {
                    0 => &raw mut self.root,
                    _ => {
                        let parent = path.inners[merge_depth - 1];
                        &raw mut (*parent).children[hash.nibble(merge_depth - 1)]
                    }
                };
                self.merge(at);
                return;
            }
            let leaf = (*path.leaf_at).leaf();
            let count = leaf.header().count as usize;
            // A quarter of what it could take: half of the room is given back.
            let lines = leaf::lines_for_count(count * 3 / 2);
            if count < leaf::count_max(leaf.capacity()) / 4
                && lines < leaf::lines_of_capacity(leaf.capacity())
            {
                self.resize(path.leaf_at, lines);
            }
        }
    }

    /// Puts one leaf in place of the inner node at `at` and all below it.
    ///
    /// # Safety
    /// The inner node is ours alone; nodes below it need not be.
    #[cold]
    unsafe fn merge(&mut self, at: *mut NodePtr) {
        // SAFETY: as the caller says; the inner node's references are given back one by one, then its memory.
        unsafe {
            let old = *at;
            let total = (*old.inner()).total as usize;
            let merged = NodePtr::new_leaf(leaf::lines_for_count(total * 5 / 4));
            self.bytes = self.bytes + merged.size() - old.size();
            for child in (*old.inner()).children {
                self.gather(child, merged.leaf());
            }
            *at = merged;
            old.deallocate();
        }
    }

    /// Moves or, where somebody else holds them too, copies the entries below `node` into a leaf, and gives the
    /// reference to `node` back.
    ///
    /// # Safety
    /// The caller owns the reference; `to` is its own and has room.
    unsafe fn gather(&mut self, node: NodePtr, to: Leaf) {
        // SAFETY: as the caller says. A node that others hold may lose them meanwhile: it is released, not freed.
        unsafe {
            self.bytes -= node.size();
            if node.is_inner() {
                let children = (*node.inner()).children;
                children.iter().for_each(|child| child.retain());
                node.release();
                children.into_iter().for_each(|child| self.gather(child, to));
                return;
            }
            let from = node.leaf().header();
            let header = to.header_mut();
            header.count += from.count;
            header.modified = header.modified.max(from.modified);
            header.digest = header.digest.wrapping_add(from.digest);
            for entry in node.leaf().slots().iter().flatten() {
                to.place(entry.clone());
            }
            node.release();
        }
    }
}

/// Hashes all keys of a leaf and counts them by child.
///
/// # Safety
/// The leaf is alive and not written meanwhile.
unsafe fn count_children(
    leaf: Leaf,
    seed: &HashSeed,
    depth: usize,
    hashes: &mut [KeyHash; SPLIT_CAPACITY],
) -> [u32; CHILDREN] {
    let mut counts = [0; CHILDREN];
    // SAFETY: as the caller says.
    let slots = unsafe { leaf.slots() };
    slots.iter().flatten().for_each(prefetch_entry);
    for (slot, hash) in slots.iter().zip(hashes) {
        if let Some(entry) = slot {
            *hash = seed.hash(entry.key());
            counts[hash.nibble(depth)] += 1;
        }
    }
    counts
}

/// Moves the entries of a leaf into its children, each with its part of the digest; all inherit the position.
///
/// # Safety
/// All leaves are the caller's alone; the children have room.
unsafe fn distribute(leaf: Leaf, children: [NodePtr; CHILDREN], depth: usize, hashes: &[KeyHash]) {
    // SAFETY: as the caller says.
    unsafe {
        let modified = leaf.header().modified;
        for child in children {
            child.leaf().header_mut().modified = modified;
        }
        for (slot, hash) in leaf.slots_mut().iter_mut().zip(hashes) {
            if let Some(entry) = slot.take() {
                let child = children[hash.nibble(depth)].leaf();
                let header = child.header_mut();
                header.count += 1;
                header.digest = header.digest.wrapping_add(hash.digest());
                child.place(entry);
            }
        }
    }
}
