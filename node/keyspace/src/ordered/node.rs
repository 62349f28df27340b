//! Nodes of the counted B+tree, and what a write does to those on its path.

use std::sync::Arc;

use super::Item;
use crate::size_class::size_class;

/// Items of a leaf, and children of an inner node, at most.
pub(super) const COUNT_MAX: usize = 64;

/// A node with fewer than this is merged with a neighbour, if both fit into [`MERGED_MAX`].
const COUNT_SMALL: usize = COUNT_MAX / 4;

/// What a merged node may hold: below the most, so that the next insert does not split it again.
const MERGED_MAX: usize = COUNT_MAX * 3 / 4;

/// A node.
pub(super) enum Node<T: Item> {
    Leaf(Vec<T>),
    Inner(Vec<Child<T>>),
}

/// A child of an inner node.
pub(super) struct Child<T: Item> {
    pub(super) node: Arc<Node<T>>,
    /// Items below it.
    pub(super) len: usize,
    /// The mark of the first of them.
    pub(super) first: T::Mark,
}

/// What a write did to the memory of nodes.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) added: usize,
    pub(super) removed: usize,
    /// Bytes of nodes that were copied because somebody else held them.
    pub(super) copied: usize,
}

impl Tally {
    pub(super) fn exchange(&mut self, before: usize, after: usize) {
        self.removed += before;
        self.added += after;
    }
}

impl<T: Item> Clone for Child<T> {
    fn clone(&self) -> Self {
        Self { node: Arc::clone(&self.node), len: self.len, first: self.first.clone() }
    }
}

impl<T: Item> Clone for Node<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(items) => Self::Leaf(items.clone()),
            Self::Inner(children) => Self::Inner(children.clone()),
        }
    }
}

impl<T: Item> Child<T> {
    /// A child that holds `node`, which is not empty.
    pub(super) fn of(node: Arc<Node<T>>) -> Self {
        let (len, first) = (node.len(), node.first().clone());
        Self { node, len, first }
    }
}

impl<T: Item> Node<T> {
    /// Bytes of this node alone.
    pub(super) fn bytes(&self) -> usize {
        let held = match self {
            Self::Leaf(items) => items.capacity() * size_of::<T>(),
            Self::Inner(children) => children.capacity() * size_of::<Child<T>>(),
        };
        // The node stands behind two counts.
        let own = size_class(size_of::<Self>() + 16);
        if held == 0 { own } else { own + size_class(held) }
    }

    /// Items or children.
    fn count(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// Items below.
    fn len(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(children) => children.iter().map(|child| child.len).sum(),
        }
    }

    fn first(&self) -> &T::Mark {
        match self {
            Self::Leaf(items) => items[0].mark(),
            Self::Inner(children) => &children[0].first,
        }
    }
}

/// Makes a node ours alone.
fn own<'a, T: Item>(node: &'a mut Arc<Node<T>>, tally: &mut Tally) -> &'a mut Node<T> {
    if Arc::get_mut(node).is_none() {
        let before = node.bytes();
        tally.copied += before;
        *node = Arc::new(Node::clone(node));
        tally.exchange(before, node.bytes());
    }
    // Just made, or seen to be ours; the count can only have fallen meanwhile.
    Arc::make_mut(node)
}

/// Which child holds the item at `index`, and its index there.
pub(super) fn locate<T: Item>(children: &[Child<T>], mut index: usize) -> (usize, usize) {
    for (at, child) in children.iter().enumerate() {
        if index < child.len {
            return (at, index);
        }
        index -= child.len;
    }
    unreachable!("an index below the length lies below one of the children")
}

/// Which child takes a new item at `index`: between two, the left one.
fn locate_for_insert<T: Item>(children: &[Child<T>], mut index: usize) -> (usize, usize) {
    for (at, child) in children.iter().enumerate() {
        if index <= child.len {
            return (at, index);
        }
        index -= child.len;
    }
    unreachable!("an index up to the length lies at one of the children")
}

/// Inserts below a node; returns what became of its right half if it had to be split.
pub(super) fn insert<T: Item>(
    node: &mut Arc<Node<T>>,
    index: usize,
    item: T,
    tally: &mut Tally,
) -> Option<Node<T>> {
    let node = own(node, tally);
    let before = node.bytes();
    let sibling = match node {
        Node::Leaf(items) => insert_splitting(items, index, item).map(Node::Leaf),
        Node::Inner(children) => {
            let (at, within) = locate_for_insert(children, index);
            let child = &mut children[at];
            let split = insert(&mut child.node, within, item, tally);
            child.len += 1;
            if within == 0 {
                child.first = child.node.first().clone();
            }
            match split {
                Some(right) => {
                    let right = Child::of(Arc::new(right));
                    child.len -= right.len;
                    insert_splitting(children, at + 1, right).map(Node::Inner)
                }
                None => None,
            }
        }
    };
    tally.exchange(before, node.bytes());
    if let Some(sibling) = &sibling {
        tally.added += sibling.bytes();
    }
    sibling
}

/// Inserts into a full or not full vector of at most [`COUNT_MAX`]; returns the right half after a split.
fn insert_splitting<E>(elements: &mut Vec<E>, index: usize, element: E) -> Option<Vec<E>> {
    if elements.len() < COUNT_MAX {
        insert_growing(elements, index, element);
        return None;
    }
    // What grows at its end leaves full nodes behind.
    let at = if index == elements.len() { index } else { COUNT_MAX / 2 };
    let mut right = elements.split_off(at);
    if index < at || (index == at && at < COUNT_MAX) {
        insert_growing(elements, index, element);
    } else {
        insert_growing(&mut right, index - at, element);
    }
    Some(right)
}

/// Inserts, growing by a half at a time and never past what a node may hold.
fn insert_growing<E>(elements: &mut Vec<E>, index: usize, element: E) {
    if elements.len() == elements.capacity() {
        let wanted = (elements.len() + (elements.len() / 2).max(4)).min(COUNT_MAX);
        elements.reserve_exact(wanted - elements.len());
    }
    elements.insert(index, element);
}

/// Removes below a node, which is left empty if that was its last item.
pub(super) fn remove<T: Item>(node: &mut Arc<Node<T>>, index: usize, tally: &mut Tally) -> T {
    let node = own(node, tally);
    let before = node.bytes();
    let item = match node {
        Node::Leaf(items) => {
            let item = items.remove(index);
            if items.capacity() > 2 * items.len() + 8 {
                items.shrink_to(items.len() + items.len() / 4);
            }
            item
        }
        Node::Inner(children) => {
            let (at, within) = locate(children, index);
            let child = &mut children[at];
            let item = remove(&mut child.node, within, tally);
            child.len -= 1;
            if child.len == 0 {
                tally.removed += child.node.bytes();
                children.remove(at);
            } else {
                if within == 0 {
                    child.first = child.node.first().clone();
                }
                if child.node.count() < COUNT_SMALL {
                    merge_with_neighbour(children, at, tally);
                }
            }
            item
        }
    };
    tally.exchange(before, node.bytes());
    item
}

/// Merges a small child with the one before or behind it, if they fit into one node.
fn merge_with_neighbour<T: Item>(children: &mut Vec<Child<T>>, at: usize, tally: &mut Tally) {
    let left = at.saturating_sub(1);
    let Some(right) = children.get(left + 1) else { return };
    if children[left].node.count() + right.node.count() > MERGED_MAX {
        return;
    }
    let right = children.remove(left + 1);
    tally.removed += right.node.bytes();
    let left = &mut children[left];
    left.len += right.len;
    let node = own(&mut left.node, tally);
    let before = node.bytes();
    match (&mut *node, Arc::unwrap_or_clone(right.node)) {
        (Node::Leaf(items), Node::Leaf(more)) => append(items, more),
        (Node::Inner(children), Node::Inner(more)) => append(children, more),
        _ => unreachable!("all leaves stand at one depth"),
    }
    tally.exchange(before, node.bytes());
}

fn append<E>(elements: &mut Vec<E>, more: Vec<E>) {
    elements.reserve_exact(more.len());
    elements.extend(more);
}

/// Puts another item in the place of one.
pub(super) fn replace<T: Item>(node: &mut Arc<Node<T>>, index: usize, item: T, tally: &mut Tally) -> T {
    match own(node, tally) {
        Node::Leaf(items) => std::mem::replace(&mut items[index], item),
        Node::Inner(children) => {
            let (at, within) = locate(children, index);
            let child = &mut children[at];
            let old = replace(&mut child.node, within, item, tally);
            if within == 0 {
                child.first = child.node.first().clone();
            }
            old
        }
    }
}
