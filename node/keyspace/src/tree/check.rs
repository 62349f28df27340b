//! Everything that a tree keeps incrementally, computed anew and compared: for tests.
#![allow(unsafe_code)]

use super::node::{CHILDREN, NodePtr};
use super::reshape::MERGE_COUNT;
use super::{DEPTH_MAX, Tree, leaf};
use crate::{Entry, HashSeed, KeyHash};

/// What the nodes of a subtree add up to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    len: usize,
    bytes: usize,
}

impl Tree {
    /// Panics at the first thing that is not as it should be. Trees inside entries are checked too.
    pub(crate) fn check(&self) {
        let sums = check_node(self.root, 0, 0, &self.seed);
        assert_eq!(sums, Sums { len: self.len, bytes: self.bytes });
    }
}

fn check_node(node: NodePtr, depth: usize, path: u64, seed: &HashSeed) -> Sums {
    // SAFETY: the caller borrows the tree.
    let mut sums = Sums { len: 0, bytes: unsafe { node.size() } };
    if !node.is_inner() {
        check_leaf(node, depth, path, seed, &mut sums);
        return sums;
    }
    // SAFETY: as above.
    let inner = unsafe { &*node.inner() };
    assert!(depth < DEPTH_MAX);
    assert!(inner.total > MERGE_COUNT, "{} keys below an inner node", inner.total);
    for child in 0..CHILDREN {
        let below = check_node(inner.children[child], depth + 1, path << 4 | child as u64, seed);
        assert_eq!(below.len, inner.counts[child] as usize);
        sums.len += below.len;
        sums.bytes += below.bytes;
    }
    assert_eq!(sums.len as u64, inner.total);
    sums
}

fn check_leaf(node: NodePtr, depth: usize, path: u64, seed: &HashSeed, sums: &mut Sums) {
    // SAFETY: the caller borrows the tree.
    let (leaf, header, slots) = unsafe { (node.leaf(), node.leaf().header(), node.leaf().slots()) };
    let mut digest = 0u64;
    for slot in slots {
        let Some(entry) = slot else { continue };
        let hash = seed.hash(entry.key());
        assert_eq!(entry.tag(), hash.tag());
        assert!(depth == 0 || hash.0 >> (64 - 4 * depth) == path, "{entry:?} stands where it belongs");
        assert_eq!(found(leaf, hash, entry), std::ptr::from_ref(entry), "a search finds this very slot");
        digest = digest.wrapping_add(hash.digest());
        sums.len += 1;
        sums.bytes += entry.bytes_used();
        if let Some(tree) = entry.large() {
            tree.check();
        }
        if entry.kind() == crate::entry::Kind::SortedTree {
            entry.sorted().check();
        }
    }
    assert_eq!(header.count as usize, sums.len);
    assert_eq!(header.digest, digest);
    assert!(sums.len <= leaf::count_max(leaf.capacity()));
}

fn found(leaf: leaf::Leaf, hash: KeyHash, entry: &Entry) -> *const Entry {
    // SAFETY: the caller borrows the tree.
    let slot = unsafe { leaf.find(hash.tag(), |other| other.key() == entry.key()) };
    slot.map_or(std::ptr::null(), |slot| slot.as_ptr().cast_const())
}
