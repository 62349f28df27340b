//! Prefetching: asking for cache lines before they are needed, so that their misses overlap.
//!
//! Nothing here changes or decides anything; where there is no such instruction the hints are nothing at all.
#![allow(unsafe_code)]

use super::Tree;
use super::node::NodePtr;
use crate::{Entry, KeyHash};

/// How many keys go down together: enough to cover the latency of memory, few enough for the core's miss buffers.
pub(crate) const BATCH: usize = 32;

/// Asks for the line at `address`, which need not be valid. It comes into the second cache: the first has too few
/// buffers for misses under way, and a batch that waits for them takes a quarter (reads) to a half (writes) longer.
#[inline(always)]
pub(super) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint; it never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(address.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Asks for an entry's header with the beginning of its key.
#[inline(always)]
pub(crate) fn prefetch_entry(entry: &Entry) {
    prefetch(entry.address());
}

/// Inner nodes above this depth stay in the caches by themselves: 273 of them, all in use all the time.
const WARM_DEPTH: usize = 3;

/// Goes down for up to [`BATCH`] keys together, one level at a time, and asks for each next level's lines.
pub(crate) fn touch<'a>(places: impl Iterator<Item = (&'a Tree, KeyHash)>) {
    let mut nodes = [std::mem::MaybeUninit::<(NodePtr, KeyHash)>::uninit(); BATCH];
    let mut count = 0;
    let mut is_deeper = false;
    for (tree, hash) in places.take(BATCH) {
        let mut node = tree.root();
        let mut depth = 0;
        while node.is_inner() && depth < WARM_DEPTH {
            // SAFETY: the trees are borrowed for the call, so their nodes are alive and unchanged.
            node = unsafe { (*node.inner()).children[hash.nibble(depth)] };
            depth += 1;
        }
        prefetch_node(node, hash, depth);
        is_deeper |= node.is_inner();
        nodes[count].write((node, hash));
        count += 1;
    }
    // SAFETY: that many have been written.
    let nodes = unsafe { nodes[..count].assume_init_mut() };
    let mut depth = WARM_DEPTH;
    while is_deeper {
        is_deeper = descend(nodes, depth);
        depth += 1;
    }
    for (node, hash) in nodes {
        prefetch_candidates(*node, *hash);
    }
}

/// Goes one level down wherever there is an inner node still; whether there are more below.
fn descend(nodes: &mut [(NodePtr, KeyHash)], depth: usize) -> bool {
    let mut is_deeper = false;
    for (node, hash) in nodes {
        if node.is_inner() {
            // SAFETY: the trees are borrowed for the call.
            *node = unsafe { (*node.inner()).children[hash.nibble(depth)] };
            prefetch_node(*node, *hash, depth + 1);
            is_deeper |= node.is_inner();
        }
    }
    is_deeper
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
            let address = entry.address();
            prefetch(address);
            prefetch(address.wrapping_add(64));
            // Entries begin at multiples of 16: one of a hundred bytes, where most are, reaches here into a third line.
            if address.addr() & 63 > 16 {
                prefetch(address.wrapping_add(128));
            }
            true
        });
    }
}
