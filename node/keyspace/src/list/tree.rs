//! Large lists: a counted tree of chunks, each a run of elements. Nodes are shared by reference, so that a snapshot is
//! a clone of the root; a write copies what others hold of the one path that it takes, one chunk and a few inner nodes.
//!
//! Invariants, which the model test checks:
//! * a child's sum is what its node holds; no child is empty, and an inner node has at most [`CHILDREN_MAX`];
//! * a chunk is at most [`CHUNK_BYTES_MAX`] long unless it has a single element.

use std::ops::Range;
use std::sync::Arc;

use super::run::{self, Elements, Framed};
use crate::size_class::size_class;

/// A chunk's run at most, with its single exception.
const CHUNK_BYTES_MAX: usize = 8192;
/// Children of an inner node at most: to copy one counts as many references.
const CHILDREN_MAX: usize = 64;
/// More bytes than this, and dropping the tree is the reaper's to do.
const HEAVY_BYTES: usize = 256 << 10;
/// The two counts before what an `Arc` holds.
const ARC_BYTES: usize = 2 * size_of::<usize>();

/// What stands below a place in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    /// Elements.
    count: usize,
    /// Bytes that they would take in a listpack.
    listpack: usize,
    /// Bytes that they take in memory.
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Child {
    sum: Sum,
    node: Arc<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Chunk(Chunk),
    Inner(Vec<Child>),
}

#[derive(Clone, Debug, Default)]
struct Chunk {
    count: usize,
    listpack: usize,
    run: Vec<u8>,
}

/// A large list. Cloning it counts one reference.
#[derive(Clone, Debug)]
pub(crate) struct ListTree {
    root: Child,
}

impl ListTree {
    /// A tree of elements in their order.
    pub(super) fn from_elements<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut tree = Self { root: Child::new(Node::Chunk(Chunk::default())) };
        for element in elements {
            tree.insert(tree.len(), element, &mut 0);
        }
        tree
    }

    pub(super) fn len(&self) -> usize {
        self.root.sum.count
    }

    /// Bytes that the elements would take in a listpack.
    pub(super) fn listpack_bytes(&self) -> usize {
        self.root.sum.listpack
    }

    /// Bytes of all nodes.
    pub(crate) fn bytes_used(&self) -> usize {
        self.root.sum.bytes
    }

    /// Whether dropping it takes so long that it is the reaper's to do.
    pub(crate) fn is_heavy(&self) -> bool {
        self.bytes_used() > HEAVY_BYTES
    }

    /// The run of the chunk that has the element of this index, with the index at which it begins and its elements.
    pub(super) fn chunk_at(&self, index: usize) -> (&[u8], usize, usize) {
        assert!(index < self.len(), "element {index} of {}", self.len());
        let (mut child, mut begin) = (&self.root, 0);
        loop {
            match &*child.node {
                Node::Chunk(chunk) => return (&chunk.run, begin, chunk.count),
                Node::Inner(children) => {
                    let (place, before) = find(children, child.sum.count, index - begin);
                    child = &children[place];
                    begin += before;
                }
            }
        }
    }

    /// Puts an element before the one of this index. `copied` grows by the bytes of nodes that others held.
    pub(super) fn insert(&mut self, index: usize, element: &[u8], copied: &mut usize) {
        let behind = self.root.insert(index, element, copied);
        if !behind.is_empty() {
            let below = std::mem::replace(&mut self.root, Child::new(Node::Inner(Vec::new())));
            let mut children = vec![below];
            children.extend(behind);
            self.root = Child::new(Node::Inner(children));
        }
    }

    /// Puts another element in the place of the one of this index.
    pub(super) fn set(&mut self, index: usize, element: &[u8], copied: &mut usize) {
        if !self.root.replace(index, element, copied) {
            self.remove(index, 1, copied);
            self.insert(index, element, copied);
        }
    }

    /// Removes `count` elements from `index` on.
    pub(super) fn remove(&mut self, index: usize, count: usize, copied: &mut usize) {
        if count == 0 {
            return;
        }
        assert!(index + count <= self.len(), "{count} elements from {index} of {}", self.len());
        if count == self.len() {
            self.root = Child::new(Node::Chunk(Chunk::default()));
            return;
        }
        self.root.remove(index, count, copied);
        while let Node::Inner(children) = &*self.root.node
            && let [only] = children.as_slice()
        {
            self.root = only.clone();
        }
    }
}

/// The child that has the element of this index out of `count`, and how many stand before that child. Looked for from
/// the nearer end: lists are worked on at their ends.
fn find(children: &[Child], count: usize, index: usize) -> (usize, usize) {
    assert!(index < count, "element {index} of {count}");
    if index >= count / 2 {
        let mut before = count;
        for (place, child) in children.iter().enumerate().rev() {
            before -= child.sum.count;
            if index >= before {
                return (place, before);
            }
        }
    }
    let mut before = 0;
    for (place, child) in children.iter().enumerate() {
        if index < before + child.sum.count {
            return (place, before);
        }
        before += child.sum.count;
    }
    unreachable!("element {index} of {before}")
}

/// The child that takes a new element before the one of this index out of `count`: of two it could stand in, the
/// emptier.
fn find_for_insert(children: &[Child], count: usize, index: usize) -> (usize, usize) {
    if index == count
        && let Some(last) = children.last()
    {
        return (children.len() - 1, count - last.sum.count);
    }
    let mut before = 0;
    for (place, child) in children.iter().enumerate() {
        let end = before + child.sum.count;
        if index < end || place + 1 == children.len() {
            return (place, before);
        }
        if index == end {
            let is_next_emptier = children[place + 1].sum.listpack < child.sum.listpack;
            return if is_next_emptier { (place + 1, end) } else { (place, before) };
        }
        before = end;
    }
    unreachable!("an inner node has children")
}

/// The node for writing: copied first if others hold it.
fn own<'n>(node: &'n mut Arc<Node>, copied: &mut usize) -> &'n mut Node {
    if Arc::strong_count(node) > 1 {
        *copied += node.own_bytes();
    }
    Arc::make_mut(node)
}

impl Child {
    fn new(node: Node) -> Self {
        Self { sum: node.sum(), node: Arc::new(node) }
    }

    /// Inserts; what no longer fits is returned, to stand behind this child.
    fn insert(&mut self, index: usize, element: &[u8], copied: &mut usize) -> Vec<Self> {
        let own_before = self.node.own_bytes();
        let behind = match own(&mut self.node, copied) {
            Node::Chunk(chunk) => chunk.insert_or_split(index, element),
            Node::Inner(children) => {
                let (place, before) = find_for_insert(children, self.sum.count, index);
                let child = &mut children[place];
                let child_before = child.sum;
                let new = child.insert(index - before, element, copied);
                if new.is_empty() {
                    let child_after = child.sum;
                    self.child_changed(own_before, child_before, child_after);
                    return Vec::new();
                }
                let is_append = place + 1 == children.len();
                children.splice(place + 1..place + 1, new);
                if children.len() <= CHILDREN_MAX {
                    Vec::new()
                } else {
                    // What is appended to at its end stays full.
                    let at = if is_append { CHILDREN_MAX } else { children.len() / 2 };
                    let rest = children.split_off(at);
                    vec![Self::new(Node::Inner(rest))]
                }
            }
        };
        self.sum = self.node.sum();
        behind
    }

    /// Replaces an element where it stands, if its chunk has room for that.
    fn replace(&mut self, index: usize, element: &[u8], copied: &mut usize) -> bool {
        if let Node::Chunk(chunk) = &*self.node
            && !chunk.may_replace(index, element)
        {
            return false;
        }
        let own_before = self.node.own_bytes();
        match own(&mut self.node, copied) {
            Node::Chunk(chunk) => {
                chunk.replace(index, element);
                self.sum = self.node.sum();
                true
            }
            Node::Inner(children) => {
                let (place, before) = find(children, self.sum.count, index);
                let child = &mut children[place];
                let child_before = child.sum;
                let is_replaced = child.replace(index - before, element, copied);
                let child_after = child.sum;
                self.child_changed(own_before, child_before, child_after);
                is_replaced
            }
        }
    }

    /// Removes some, not all, of its elements.
    fn remove(&mut self, index: usize, count: usize, copied: &mut usize) {
        let own_before = self.node.own_bytes();
        match own(&mut self.node, copied) {
            Node::Chunk(chunk) => chunk.remove(index, count),
            Node::Inner(children) => {
                let (place, before) = find(children, self.sum.count, index);
                let child = &mut children[place];
                // The end of a long list is eaten up a few elements at a time: no neighbour is looked at for that.
                let is_within = index + count - before < child.sum.count;
                if is_within && count <= child.sum.count / 2 && child.is_large() {
                    let child_before = child.sum;
                    child.remove(index - before, count, copied);
                    let child_after = child.sum;
                    return self.child_changed(own_before, child_before, child_after);
                }
                remove_among(children, (place, before), index..index + count, copied);
            }
        }
        self.sum = self.node.sum();
    }

    /// Whether it is so large that it is not to be merged even when it loses half.
    fn is_large(&self) -> bool {
        match &*self.node {
            Node::Chunk(chunk) => chunk.run.len() > CHUNK_BYTES_MAX / 2,
            Node::Inner(children) => children.len() > CHILDREN_MAX / 2,
        }
    }

    /// Keeps the sum when one child has changed and the others stand as they stood.
    fn child_changed(&mut self, own_before: usize, before: Sum, after: Sum) {
        self.sum.count = self.sum.count - before.count + after.count;
        self.sum.listpack = self.sum.listpack - before.listpack + after.listpack;
        self.sum.bytes = self.sum.bytes - before.bytes - own_before + after.bytes + self.node.own_bytes();
    }
}

/// Removes elements, of which the first stands in the child at `first` with so many before it.
fn remove_among(
    children: &mut Vec<Child>,
    (first, before): (usize, usize),
    elements: Range<usize>,
    copied: &mut usize,
) {
    let (mut place, mut begin) = (first, before);
    while place < children.len() && begin < elements.end {
        let child = &mut children[place];
        let child_end = begin + child.sum.count;
        let (from, to) = (elements.start.max(begin), elements.end.min(child_end));
        if (from, to) == (begin, child_end) {
            // Gone below, with its neighbours, in one move.
            child.sum.count = 0;
        } else {
            child.remove(from - begin, to - from, copied);
        }
        (place, begin) = (place + 1, child_end);
    }
    children.retain(|child| child.sum.count > 0);
    // Only what stands around the gap can have become small enough.
    for place in (first.saturating_sub(1)..=first + 1).rev() {
        merge(children, place, copied);
    }
}

/// Makes one of two small neighbours.
fn merge(children: &mut Vec<Child>, place: usize, copied: &mut usize) {
    let Some(pair) = children.get(place..place + 2) else { return };
    let may_merge = match (&*pair[0].node, &*pair[1].node) {
        (Node::Chunk(left), Node::Chunk(right)) => left.run.len() + right.run.len() <= CHUNK_BYTES_MAX / 2,
        (Node::Inner(left), Node::Inner(right)) => left.len() + right.len() <= CHILDREN_MAX / 2,
        _ => false,
    };
    if !may_merge {
        return;
    }
    let right = children.remove(place + 1);
    let left = &mut children[place];
    match (own(&mut left.node, copied), &*right.node) {
        (Node::Chunk(left), Node::Chunk(right)) => left.append(right),
        (Node::Inner(left), Node::Inner(right)) => left.extend(right.iter().cloned()),
        _ => unreachable!("siblings stand at one depth"),
    }
    left.sum = left.node.sum();
}

impl Node {
    /// Bytes of this node's own allocations.
    fn own_bytes(&self) -> usize {
        let beyond = match self {
            Self::Chunk(chunk) => chunk.run.capacity(),
            Self::Inner(children) => children.capacity() * size_of::<Child>(),
        };
        size_class(ARC_BYTES + size_of::<Self>()) + if beyond == 0 { 0 } else { size_class(beyond) }
    }

    fn sum(&self) -> Sum {
        let mut sum = Sum { bytes: self.own_bytes(), ..Sum::default() };
        match self {
            Self::Chunk(chunk) => (sum.count, sum.listpack) = (chunk.count, chunk.listpack),
            Self::Inner(children) => {
                for child in children {
                    sum.count += child.sum.count;
                    sum.listpack += child.sum.listpack;
                    sum.bytes += child.sum.bytes;
                }
            }
        }
        sum
    }
}

impl Chunk {
    fn of(run: &[u8]) -> Self {
        let mut chunk = Self::default();
        chunk.reserve(run.len());
        chunk.run.extend_from_slice(run);
        for element in Elements::new(run) {
            chunk.count += 1;
            chunk.listpack += run::listpack_bytes(element);
        }
        chunk
    }

    fn has_room(&self, framed: &Framed<'_>) -> bool {
        self.count == 0 || self.run.len() + framed.len() <= CHUNK_BYTES_MAX
    }

    fn insert_or_split(&mut self, index: usize, element: &[u8]) -> Vec<Child> {
        let framed = Framed::new(element);
        if self.has_room(&framed) {
            self.insert(index, element, &framed);
            return Vec::new();
        }
        let mut alone = Self::default();
        let at = run::position(&self.run, self.count, index);
        if index == 0 {
            alone.insert(0, element, &framed);
            let rest = std::mem::replace(self, alone);
            return vec![Child::new(Node::Chunk(rest))];
        }
        if index == self.count {
            alone.insert(0, element, &framed);
            return vec![Child::new(Node::Chunk(alone))];
        }
        let mut right = Self::of(&self.run[at..]);
        *self = Self::of(&self.run[..at]);
        if self.has_room(&framed) {
            self.insert(self.count, element, &framed);
        } else if right.has_room(&framed) {
            right.insert(0, element, &framed);
        } else {
            alone.insert(0, element, &framed);
            return vec![Child::new(Node::Chunk(alone)), Child::new(Node::Chunk(right))];
        }
        vec![Child::new(Node::Chunk(right))]
    }

    /// `framed` is the element with its marks.
    fn insert(&mut self, index: usize, element: &[u8], framed: &Framed<'_>) {
        let at = run::position(&self.run, self.count, index);
        self.splice(at, 0, framed);
        self.count += 1;
        self.listpack += run::listpack_bytes(element);
    }

    fn may_replace(&self, index: usize, element: &[u8]) -> bool {
        let new = Framed::new(element).len();
        let Some(old) = self.element(index) else { return false };
        self.count == 1 || self.run.len() - Framed::new(old).len() + new <= CHUNK_BYTES_MAX
    }

    fn replace(&mut self, index: usize, element: &[u8]) {
        let Some(old) = self.element(index) else { return };
        let (old_len, old_listpack) = (Framed::new(old).len(), run::listpack_bytes(old));
        let at = run::position(&self.run, self.count, index);
        self.splice(at, old_len, &Framed::new(element));
        self.listpack = self.listpack - old_listpack + run::listpack_bytes(element);
    }

    fn element(&self, index: usize) -> Option<&[u8]> {
        Elements::new(&self.run[run::position(&self.run, self.count, index)..]).next()
    }

    fn remove(&mut self, index: usize, count: usize) {
        let begin = run::position(&self.run, self.count, index);
        let end = run::position(&self.run, self.count, index + count);
        self.listpack -= Elements::new(&self.run[begin..end]).map(run::listpack_bytes).sum::<usize>();
        self.count -= count;
        self.run.drain(begin..end);
        let class = size_class(self.run.len());
        if self.run.capacity() > 2 * class {
            self.run.shrink_to(class);
        }
    }

    fn append(&mut self, other: &Self) {
        self.reserve(other.run.len());
        self.run.extend_from_slice(&other.run);
        self.count += other.count;
        self.listpack += other.listpack;
    }

    /// Replaces `removed` bytes at `at` by an element.
    fn splice(&mut self, at: usize, removed: usize, framed: &Framed<'_>) {
        let (old_len, added) = (self.run.len(), framed.len());
        self.reserve(added.saturating_sub(removed));
        if added > removed {
            self.run.resize(old_len + added - removed, 0);
        }
        self.run.copy_within(at + removed..old_len, at + added);
        self.run.truncate(old_len + added - removed);
        let mut to = at;
        for part in framed.parts() {
            self.run[to..to + part.len()].copy_from_slice(part);
            to += part.len();
        }
    }

    /// Makes room for `more` bytes, in steps of the allocator's classes: four for each doubling.
    fn reserve(&mut self, more: usize) {
        let len = self.run.len() + more;
        if len > self.run.capacity() {
            self.run.reserve_exact(size_class(len) - self.run.len());
        }
    }
}

#[cfg(test)]
impl ListTree {
    /// Checks the invariants of the whole tree.
    pub(super) fn check(&self) {
        assert_eq!(check(&self.root, true), self.root.sum);
    }
}

#[cfg(test)]
fn check(child: &Child, is_root: bool) -> Sum {
    assert!(is_root || child.sum.count > 0, "an empty child");
    match &*child.node {
        Node::Chunk(chunk) => {
            let elements: Vec<_> = Elements::new(&chunk.run).collect();
            assert_eq!(elements.len(), chunk.count);
            assert!(chunk.run.len() <= CHUNK_BYTES_MAX || chunk.count == 1, "{} bytes", chunk.run.len());
            assert_eq!(elements.into_iter().map(run::listpack_bytes).sum::<usize>(), chunk.listpack);
        }
        Node::Inner(children) => {
            assert!((1..=CHILDREN_MAX).contains(&children.len()), "{} children", children.len());
            children.iter().for_each(|child| assert_eq!(check(child, false), child.sum));
        }
    }
    child.node.sum()
}
