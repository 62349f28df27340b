//! Reading a tree in the order of hashes: SCAN, iteration, choice by rank, and what prefixes add up to.
//!
//! Leaves stand in the order of their paths; within a leaf the slots are in the order of tags, so the keys are hashed
//! once more and sorted. A position in the order is the upper 48 bits of the hash: a cursor stays good whatever
//! splits and merges happen between two calls.
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::inner::Inner;
use super::leaf::Leaf;
use super::node::{CHILDREN, NodePtr};
use super::touch::prefetch_entry;
use super::{DEPTH_MAX, Tree};
use crate::hash::{NIBBLE_BITS, POSITIONS};
use crate::{Entry, HashSeed, KeyHash, ScanCursor};

/// The nibbles of a 16-bit prefix.
const PREFIX_DEPTH: usize = 4;

/// The nibbles of the 32 bits of path that an expiry record keeps.
const RECORD_DEPTH: usize = 8;

impl Tree {
    /// Visits about `count` entries from a cursor on; those of equal position always together.
    pub(crate) fn scan<'a>(
        &'a self,
        cursor: ScanCursor,
        count: usize,
        visit: &mut dyn FnMut(&'a Entry),
    ) -> ScanCursor {
        let begin = cursor.get();
        if begin >= POSITIONS {
            return ScanCursor::START;
        }
        let mut order = Vec::new();
        let mut left = count.max(1);
        let mut last = None;
        for slots in Leaves::from(self, begin) {
            // Entries of equal position share their path, and so their leaf: the last one's are all behind us.
            if left == 0
                && let Some(last) = last
            {
                return ScanCursor::new(last + 1);
            }
            slots.iter().flatten().for_each(prefetch_entry);
            sort_leaf(slots, &self.seed, &mut order);
            for &(hash, index) in &order {
                let position = KeyHash(hash).position();
                if position < begin {
                    continue;
                }
                if left == 0 && last != Some(position) {
                    return ScanCursor::new(position);
                }
                if let Some(entry) = &slots[index as usize] {
                    visit(entry);
                }
                left = left.saturating_sub(1);
                last = Some(position);
            }
        }
        ScanCursor::START
    }

    /// All entries in the order of their hashes.
    pub(crate) fn iter(&self) -> Iter<'_> {
        Iter { leaves: Leaves::from(self, 0), seed: self.seed, slots: &[], order: Vec::new(), next: 0 }
    }

    /// All entries, leaf by leaf, in no order within a leaf: nothing is hashed.
    pub(crate) fn iter_leaves(&self) -> impl Iterator<Item = &Entry> {
        Leaves::from(self, 0).flat_map(|slots| {
            slots.iter().flatten().for_each(prefetch_entry);
            slots.iter().flatten()
        })
    }

    /// The entry that a random number chooses, each with equal chance.
    pub(crate) fn random(&self, rank: u64) -> Option<&Entry> {
        let mut rank = rank.checked_rem(self.len as u64)?;
        let mut node = self.root;
        // SAFETY: we borrow the tree.
        unsafe {
            while node.is_inner() {
                (node, rank) = (*node.inner()).child_by_rank(rank);
            }
            node.leaf().slots().iter().flatten().nth(rank as usize)
        }
    }

    /// An entry with these upper 32 bits of path, this tag, and what `is_it` demands. Others that `is_it` accepts may
    /// be returned in its place, if they share leaf and tag.
    pub(crate) fn find_by_path(
        &self,
        path: u32,
        tag: u16,
        is_it: &mut dyn FnMut(&Entry) -> bool,
    ) -> Option<&Entry> {
        let (node, _) = self.subtree(u64::from(path) << 32, RECORD_DEPTH);
        leaves_below(node).find_map(|leaf| {
            // SAFETY: we borrow the tree.
            unsafe { leaf.find(tag, &mut *is_it).map(|slot| &*slot.as_ptr()) }
        })
    }

    /// The position of the last write below a prefix.
    pub(crate) fn prefix_modified(&self, prefix: u16) -> u64 {
        let (node, _) = self.subtree(u64::from(prefix) << 48, PREFIX_DEPTH);
        // SAFETY: we borrow the tree.
        leaves_below(node).map(|leaf| unsafe { leaf.header() }.modified).max().unwrap_or(0)
    }

    /// The digest of the keys of a prefix.
    pub(crate) fn prefix_digest(&self, prefix: u16) -> u64 {
        let (node, depth) = self.subtree(u64::from(prefix) << 48, PREFIX_DEPTH);
        let add = |sum: u64, part: u64| sum.wrapping_add(part);
        // SAFETY: we borrow the tree.
        unsafe {
            if depth == PREFIX_DEPTH {
                return leaves_below(node).map(|leaf| leaf.header().digest).fold(0, add);
            }
            // One leaf holds several prefixes: pick out this one's keys.
            let entries = node.leaf().slots().iter().flatten();
            let hashes = entries.map(|entry| self.seed.hash(entry.key()));
            hashes.filter(|hash| hash.prefix() == prefix).map(KeyHash::digest).fold(0, add)
        }
    }

    /// The node at `depth` on the path of a hash, or the leaf above it; with its own depth.
    fn subtree(&self, hash: u64, depth: usize) -> (NodePtr, usize) {
        let (mut node, mut at) = (self.root, 0);
        while at < depth && node.is_inner() {
            // SAFETY: we borrow the tree.
            node = unsafe { (*node.inner()).children[KeyHash(hash).nibble(at)] };
            at += 1;
        }
        (node, at)
    }
}

/// The order of a leaf's entries by their hashes: hash and index of the slot.
pub(super) fn sort_leaf(slots: &[Option<Entry>], seed: &HashSeed, order: &mut Vec<(u64, u32)>) {
    order.clear();
    for (slot, index) in slots.iter().zip(0..) {
        if let Some(entry) = slot {
            order.push((seed.hash(entry.key()).0, index));
        }
    }
    order.sort_unstable();
}

/// The leaves of a subtree in order.
fn leaves_below(node: NodePtr) -> impl Iterator<Item = Leaf> {
    let mut stack = vec![node];
    std::iter::from_fn(move || {
        loop {
            let node = stack.pop()?;
            // SAFETY: private to this file, whose callers borrow the tree for as long as the iterator lives.
            unsafe {
                if !node.is_inner() {
                    return Some(node.leaf());
                }
                stack.extend((*node.inner()).children.iter().rev());
            }
        }
    })
}

/// The leaves of a tree in order, beginning with the one where a position belongs.
struct Leaves<'a> {
    /// Inner nodes on the way, each with the child to go to next.
    stack: [(*const Inner, usize); DEPTH_MAX],
    depth: usize,
    next: Option<NodePtr>,
    tree: PhantomData<&'a Tree>,
}

// SAFETY: it only reads the tree that it borrows, and a tree is `Sync`.
unsafe impl Send for Leaves<'_> {}

impl<'a> Leaves<'a> {
    fn from(tree: &'a Tree, position: u64) -> Self {
        let hash = KeyHash(position << (u64::BITS - POSITIONS.ilog2()));
        let mut leaves =
            Self { stack: [(std::ptr::null(), 0); DEPTH_MAX], depth: 0, next: None, tree: PhantomData };
        let mut node = tree.root;
        while node.is_inner() {
            node = leaves.enter(node, hash.nibble(leaves.depth));
        }
        leaves.next = Some(node);
        leaves
    }

    /// Remembers where to go on in an inner node and goes to one of its children.
    fn enter(&mut self, node: NodePtr, child: usize) -> NodePtr {
        // SAFETY: the tree is borrowed for `'a`.
        let inner = unsafe { &*node.inner() };
        self.stack[self.depth] = (inner, child + 1);
        self.depth += 1;
        inner.children[child]
    }

    fn advance(&mut self) -> Option<NodePtr> {
        while self.depth > 0 {
            let (inner, child) = self.stack[self.depth - 1];
            if child < CHILDREN {
                self.stack[self.depth - 1].1 += 1;
                // SAFETY: the tree is borrowed for `'a`.
                let mut node = unsafe { (*inner).children[child] };
                while node.is_inner() {
                    node = self.enter(node, 0);
                }
                return Some(node);
            }
            self.depth -= 1;
        }
        None
    }
}

impl<'a> Iterator for Leaves<'a> {
    type Item = &'a [Option<Entry>];

    fn next(&mut self) -> Option<Self::Item> {
        let node = self.next.take()?;
        self.next = self.advance();
        // SAFETY: the tree is borrowed for `'a`.
        Some(unsafe { node.leaf().slots() })
    }
}

/// All entries of a tree in the order of their hashes.
pub(crate) struct Iter<'a> {
    leaves: Leaves<'a>,
    seed: HashSeed,
    slots: &'a [Option<Entry>],
    /// The order of `slots`.
    order: Vec<(u64, u32)>,
    /// The next in `order`.
    next: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        while self.next == self.order.len() {
            self.slots = self.leaves.next()?;
            self.slots.iter().flatten().for_each(prefetch_entry);
            sort_leaf(self.slots, &self.seed, &mut self.order);
            self.next = 0;
        }
        let (_, index) = self.order[self.next];
        self.next += 1;
        self.slots[index as usize].as_ref()
    }
}

// The paths above take whole nibbles.
const _: () = assert!(PREFIX_DEPTH * NIBBLE_BITS as usize == 16 && RECORD_DEPTH * NIBBLE_BITS as usize == 32);
