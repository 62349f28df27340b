//! Inner nodes: sixteen children by the next four bits of the path, with a count of the keys below each.

use std::sync::atomic::AtomicU32;

use super::node::{CHILDREN, NodePtr};

/// An inner node. The children come first, so that the one that a lookup needs shares no line with what it does not.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Inner {
    /// One reference to each.
    pub(super) children: [NodePtr; CHILDREN],
    /// Keys below each child.
    pub(super) counts: [u32; CHILDREN],
    /// Keys below all of them.
    pub(super) total: u64,
    /// Trees and inner nodes that refer to this one.
    pub(super) refs: AtomicU32,
}

impl Inner {
    pub(super) fn new(children: [NodePtr; CHILDREN], counts: [u32; CHILDREN]) -> Self {
        let total = counts.iter().map(|&count| u64::from(count)).sum();
        Self { children, counts, total, refs: AtomicU32::new(1) }
    }

    /// The same children and counts, with a count of references of its own.
    pub(super) fn copy(&self) -> Self {
        Self { children: self.children, counts: self.counts, total: self.total, refs: AtomicU32::new(1) }
    }

    /// One key more below `child`.
    #[inline]
    pub(super) fn count_added(&mut self, child: usize) {
        self.count_added_many(child, 1);
    }

    /// So many keys more below `child`.
    #[inline]
    pub(super) fn count_added_many(&mut self, child: usize, count: u32) {
        assert!(self.counts[child] <= u32::MAX - count, "below 2^32 keys under one child");
        self.counts[child] += count;
        self.total += u64::from(count);
    }

    /// One key less below `child`.
    #[inline]
    pub(super) fn count_removed(&mut self, child: usize) {
        assert!(self.counts[child] > 0, "the removed key was counted");
        self.counts[child] -= 1;
        self.total -= 1;
    }

    /// The child with the key of this rank, and the key's rank below that child.
    pub(super) fn child_by_rank(&self, mut rank: u64) -> (NodePtr, u64) {
        for (child, &count) in self.children.iter().zip(&self.counts) {
            if rank < u64::from(count) {
                return (*child, rank);
            }
            rank -= u64::from(count);
        }
        unreachable!("a rank below the total lies below one of the children")
    }
}
