//! Prefetching: asking for cache lines before they are needed, so that their misses overlap.
//!
//! Nothing here changes or decides anything; where there is no such instruction the hints are nothing at all.
#![allow(unsafe_code)]

use super::Tree;
use super::node::NodePtr;
use crate::{Entry, KeyHash};

/// How many keys go down together: enough to cover the latency of memory, few enough for the core's miss buffers.
pub(crate) const BATCH: usize = 32;

/// Asks for the line at `address`, which need not be valid.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Asks for an entry's header with the beginning of its key.
#[inline(always)]
pub(super) fn prefetch_entry(entry: &Entry) {
    prefetch(entry.address());
}

/// Goes down for up to [`BATCH`] keys together, one level at a time, and asks for each next level's lines.
pub(crate) fn touch<'a>(places: impl Iterator<Item = (&'a Tree, KeyHash)>) {
    let mut nodes = [None::<NodePtr>; BATCH];
    let mut hashes = [KeyHash(0); BATCH];
    let mut count = 0;
    for (tree, hash) in places.take(BATCH) {
        let root = tree.root();
        prefetch_node(root, hash, 0);
        nodes[count] = Some(root);
        hashes[count] = hash;
        count += 1;
    }
    let (nodes, hashes) = (&mut nodes[..count], &hashes[..count]);
    descend(nodes, hashes);
    for (node, hash) in nodes.iter().zip(hashes) {
        if let Some(node) = node {
            prefetch_candidates(*node, *hash);
        }
    }
}

fn descend(nodes: &mut [Option<NodePtr>], hashes: &[KeyHash]) {
    let mut depth = 0;
    let mut is_deeper = true;
    while is_deeper {
        is_deeper = false;
        for (node, hash) in nodes.iter_mut().zip(hashes) {
            if let Some(inner) = node.filter(|node| node.is_inner()) {
                // SAFETY: the trees are borrowed for the call, so their nodes are alive and unchanged.
                let child = unsafe { (*inner.inner()).children[hash.nibble(depth)] };
                prefetch_node(child, *hash, depth + 1);
                *node = Some(child);
                is_deeper = true;
            }
        }
        depth += 1;
    }
}

/// Asks for what the next step reads of a node: the child's pointer or the slot, and for writers the header.
#[inline(always)]
fn prefetch_node(node: NodePtr, hash: KeyHash, depth: usize) {
    if node.is_inner() {
        prefetch(node.base().wrapping_add(hash.nibble(depth) * size_of::<NodePtr>()));
        prefetch(node.refs_address());
    } else {
        prefetch(node.base());
        // SAFETY: the trees are borrowed for the call. (A leaf too large to be marked has its header read here: rare.)
        prefetch(unsafe { node.leaf() }.home_address(hash.tag()));
    }
}

/// Asks for the lines of the entries that may be the key's.
#[inline(always)]
fn prefetch_candidates(node: NodePtr, hash: KeyHash) {
    // SAFETY: the trees are borrowed for the call; the descent ended at a leaf.
    unsafe {
        node.leaf().find(hash.tag(), |entry| {
            prefetch(entry.address());
            prefetch(entry.address().wrapping_add(64));
            false
        });
    }
}
