//! Walking a tree to its end while giving back each part that has been passed.
#![allow(unsafe_code)]

use super::Tree;
use super::node::NodePtr;
use super::touch::prefetch_entry;
use super::walk::sort_leaf;
use crate::{Entry, HashSeed};

/// References to subtrees that are yet to be visited, the next one last.
struct Remaining(Vec<NodePtr>);

impl Drop for Remaining {
    fn drop(&mut self) {
        for node in self.0.drain(..) {
            // SAFETY: each is a reference of our own.
            unsafe { node.release() }
        }
    }
}

/// Visits all entries in hash order. A leaf is given back before the next one is read, an inner node as soon as its
/// children are counted: what only this tree held is freed as the walk goes on. Ends at the first error.
pub(crate) fn drain<E>(tree: Tree, visit: &mut dyn FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
    // SAFETY: counted for `remaining`; the tree's own reference goes with it below.
    unsafe { tree.root().retain() }
    let mut remaining = Remaining(vec![tree.root()]);
    let seed = *tree.seed();
    drop(tree);
    let mut hashes = Vec::new();
    while let Some(node) = remaining.0.pop() {
        // SAFETY: a reference of our own, given back once.
        unsafe {
            if node.is_inner() {
                remaining.0.extend((*node.inner()).children.iter().rev());
                (*node.inner()).children.iter().for_each(|child| child.retain());
                node.release();
            } else {
                let leaf = Owned(node);
                visit_leaf(&leaf, &seed, &mut hashes, visit)?;
            }
        }
    }
    Ok(())
}

/// A reference of our own to a leaf.
struct Owned(NodePtr);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: a reference of our own.
        unsafe { self.0.release() }
    }
}

fn visit_leaf<E>(
    leaf: &Owned,
    seed: &HashSeed,
    order: &mut Vec<(u64, u32)>,
    visit: &mut dyn FnMut(&Entry) -> Result<(), E>,
) -> Result<(), E> {
    // SAFETY: our reference keeps the leaf alive, and as long as there is one nobody writes to it: a tree that holds
    // it alone with us would find two references.
    let slots = unsafe { leaf.0.leaf().slots() };
    slots.iter().flatten().for_each(prefetch_entry);
    sort_leaf(slots, seed, order);
    for &(_, index) in order.iter() {
        if let Some(entry) = &slots[index as usize] {
            visit(entry)?;
        }
    }
    Ok(())
}
