//! A counted B+tree: a sequence of items with access by index, and by order where the items have one.
//!
//! Nodes are shared by reference: cloning a tree counts its root once more, and a write copies the nodes on its path
//! that somebody else holds too, never more. It does not order anything by itself: the caller inserts at an index that
//! it has found with [`Ordered::partition_point`], or at any index where there is no order.
//!
//! Invariants:
//! * a node with more than one reference is never written;
//! * the lengths in inner nodes are exact, no node but an empty root is empty, and all leaves stand at one depth;
//! * the mark of a child is that of its first item.

mod node;
mod range;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;

use std::fmt;
use std::sync::Arc;

use node::{Child, Node, Tally};
pub(crate) use range::Range;

/// What a tree holds.
pub(crate) trait Item: Clone {
    /// What inner nodes remember of a child's first item, to search by; `()` where nobody searches.
    type Mark: Clone;

    /// The mark of this item.
    fn mark(&self) -> &Self::Mark;
}

/// A sequence of items.
pub(crate) struct Ordered<T: Item> {
    root: Arc<Node<T>>,
    /// Items.
    len: usize,
    /// Bytes of all nodes; what items point to is theirs to count.
    bytes: usize,
}

impl<T: Item> Clone for Ordered<T> {
    /// The same contents, shared: a reference to the root, at any size.
    fn clone(&self) -> Self {
        Self { root: Arc::clone(&self.root), ..*self }
    }
}

impl<T: Item> fmt::Debug for Ordered<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ordered").field("len", &self.len).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl<T: Item> Ordered<T> {
    /// An empty tree.
    pub(crate) fn new() -> Self {
        let root = Node::Leaf(Vec::new());
        let bytes = root.bytes();
        Self { root: Arc::new(root), len: 0, bytes }
    }

    /// How many items.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all nodes; what is shared with a clone counts in full.
    pub(crate) fn bytes_used(&self) -> usize {
        self.bytes
    }

    /// The item at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let (leaf, begin) = self.leaf_at(index);
        leaf.get(index - begin)
    }

    /// How many items stand together with the one at `index`.
    pub(crate) fn leaf_len(&self, index: usize) -> usize {
        self.leaf_at(index).0.len()
    }

    /// How many items stand before the first one whose mark `is_before` denies. All items that it affirms must stand
    /// before all others.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&T::Mark) -> bool) -> usize {
        let (mut node, mut rank) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return rank + items.partition_point(|item| is_before(item.mark())),
                Node::Inner(children) => {
                    // The last child that begins before: what is sought stands in it or just behind.
                    let at = children.partition_point(|child| is_before(&child.first)).saturating_sub(1);
                    rank += children[..at].iter().map(|child| child.len).sum::<usize>();
                    node = &children[at].node;
                }
            }
        }
    }

    /// The items of a range of indexes, from either end. Panics when it reaches past the end.
    pub(crate) fn range(&self, indexes: std::ops::Range<usize>) -> Range<'_, T> {
        assert!(indexes.start <= indexes.end && indexes.end <= self.len, "a range within the sequence");
        Range::new(self, indexes)
    }

    /// Puts `item` before the one at `index`, or at the end. Returns the bytes that were copied because somebody else
    /// held them; so do the other writes.
    pub(crate) fn insert(&mut self, index: usize, item: T) -> usize {
        assert!(index <= self.len, "an index within the sequence or at its end");
        let mut tally = Tally::default();
        if let Some(sibling) = node::insert(&mut self.root, index, item, &mut tally) {
            let first = Child::of(Arc::clone(&self.root));
            let root = Node::Inner(vec![first, Child::of(Arc::new(sibling))]);
            tally.added += root.bytes();
            self.root = Arc::new(root);
        }
        self.len += 1;
        self.account(&tally)
    }

    /// Takes the item at `index` out.
    pub(crate) fn remove(&mut self, index: usize) -> (T, usize) {
        assert!(index < self.len, "an index within the sequence");
        let mut tally = Tally::default();
        let item = node::remove(&mut self.root, index, &mut tally);
        self.len -= 1;
        self.lower_root(&mut tally);
        (item, self.account(&tally))
    }

    /// Puts another item in the place of the one at `index`.
    pub(crate) fn replace(&mut self, index: usize, item: T) -> (T, usize) {
        assert!(index < self.len, "an index within the sequence");
        let mut tally = Tally::default();
        let item = node::replace(&mut self.root, index, item, &mut tally);
        (item, self.account(&tally))
    }

    /// Takes away inner nodes above a single child.
    fn lower_root(&mut self, tally: &mut Tally) {
        if self.len == 0 {
            let empty = Node::Leaf(Vec::new());
            tally.exchange(self.root.bytes(), empty.bytes());
            self.root = Arc::new(empty);
            return;
        }
        while let Node::Inner(children) = &*self.root
            && let [only] = children.as_slice()
        {
            tally.removed += self.root.bytes();
            self.root = Arc::clone(&only.node);
        }
    }

    fn account(&mut self, tally: &Tally) -> usize {
        self.bytes = self.bytes + tally.added - tally.removed;
        tally.copied
    }

    /// The leaf that holds `index`, and the index of its first item.
    fn leaf_at(&self, index: usize) -> (&[T], usize) {
        let (mut node, mut begin) = (&*self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => return (items, begin),
                Node::Inner(children) => {
                    let (at, within) = node::locate(children, index - begin);
                    begin = index - within;
                    node = &children[at].node;
                }
            }
        }
    }
}
