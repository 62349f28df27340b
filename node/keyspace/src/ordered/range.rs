//! Walking over a range of indexes, from either end, leaf by leaf.

use super::{Item, Ordered};

/// The items of a range of indexes.
pub(crate) struct Range<'a, T: Item> {
    tree: &'a Ordered<T>,
    /// The indexes that are yet to be given.
    left: std::ops::Range<usize>,
    /// The leaf that the next items come from, with the index of its first one.
    front: (&'a [T], usize),
    /// The same for the other end.
    back: (&'a [T], usize),
}

impl<'a, T: Item> Range<'a, T> {
    pub(super) fn new(tree: &'a Ordered<T>, indexes: std::ops::Range<usize>) -> Self {
        Self { tree, left: indexes, front: (&[], 0), back: (&[], 0) }
    }
}

/// The item at `index` out of `leaf`, which is exchanged for the one that holds it.
fn item_at<'a, T: Item>(tree: &'a Ordered<T>, leaf: &mut (&'a [T], usize), index: usize) -> &'a T {
    if index < leaf.1 || index >= leaf.1 + leaf.0.len() {
        *leaf = tree.leaf_at(index);
    }
    &leaf.0[index - leaf.1]
}

impl<'a, T: Item> Iterator for Range<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        let index = self.left.next()?;
        Some(item_at(self.tree, &mut self.front, index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.left.size_hint()
    }
}

impl<'a, T: Item> DoubleEndedIterator for Range<'a, T> {
    fn next_back(&mut self) -> Option<&'a T> {
        let index = self.left.next_back()?;
        Some(item_at(self.tree, &mut self.back, index))
    }
}
