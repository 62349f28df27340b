//! The counted B+tree against a plain vector, with clones that must stay as they were, and everything that is kept
//! incrementally computed anew.

use std::sync::Arc;

use super::node::{COUNT_MAX, Node};
use super::{Item, Ordered};
use crate::testing::Random;

impl Item for u64 {
    type Mark = u64;

    fn mark(&self) -> &u64 {
        self
    }
}

impl<T: Item<Mark: PartialEq + std::fmt::Debug>> Ordered<T> {
    /// Panics at the first thing that is not as it should be.
    pub(crate) fn check(&self) {
        let mut depths = Vec::new();
        let (len, bytes) = check_node(&self.root, 0, &mut depths);
        assert_eq!((len, bytes), (self.len, self.bytes));
        depths.dedup();
        assert_eq!(depths.len(), 1, "all leaves stand at one depth");
    }
}

fn check_node<T: Item<Mark: PartialEq + std::fmt::Debug>>(
    node: &Arc<Node<T>>,
    depth: usize,
    depths: &mut Vec<usize>,
) -> (usize, usize) {
    match &**node {
        Node::Leaf(items) => {
            depths.push(depth);
            assert!(items.len() <= COUNT_MAX && (depth == 0 || !items.is_empty()));
            (items.len(), node.bytes())
        }
        Node::Inner(children) => {
            assert!((1..=COUNT_MAX).contains(&children.len()) && (depth > 0 || children.len() > 1));
            let (mut len, mut bytes) = (0, node.bytes());
            for child in children {
                let below = check_node(&child.node, depth + 1, depths);
                assert_eq!(below.0, child.len);
                assert_eq!(first(&child.node), child.first);
                len += below.0;
                bytes += below.1;
            }
            (len, bytes)
        }
    }
}

fn first<T: Item>(node: &Node<T>) -> T::Mark {
    match node {
        Node::Leaf(items) => items[0].mark().clone(),
        Node::Inner(children) => first(&children[0].node),
    }
}

fn contents(tree: &Ordered<u64>) -> Vec<u64> {
    tree.range(0..tree.len()).copied().collect()
}

/// Inserts and removals at random places, `grows` of ten of them inserts.
fn churn(tree: &mut Ordered<u64>, model: &mut Vec<u64>, random: &mut Random, steps: u64, grows: u64) {
    for _ in 0..steps {
        let value = random.below(1 << 30);
        if random.below(10) < grows || model.is_empty() {
            let index = random.below(model.len() as u64 + 1) as usize;
            tree.insert(index, value);
            model.insert(index, value);
        } else {
            let index = random.below(model.len() as u64) as usize;
            if random.below(4) == 0 {
                assert_eq!(tree.replace(index, value).0, std::mem::replace(&mut model[index], value));
            } else {
                assert_eq!(tree.remove(index).0, model.remove(index));
            }
        }
    }
}

#[test]
fn it_stays_equal_to_a_vector_while_clones_stay_as_they_were() {
    let mut random = Random::new(5);
    let (mut tree, mut model) = (Ordered::new(), Vec::new());
    let mut images = Vec::new();
    for grows in [9, 9, 5, 2, 7, 0, 3] {
        churn(&mut tree, &mut model, &mut random, 4_000, grows);
        tree.check();
        assert_eq!(contents(&tree), model);
        for _ in 0..100 {
            let index = random.below(model.len() as u64 + 3) as usize;
            assert_eq!(tree.get(index), model.get(index));
            let end = random.below(model.len() as u64 + 1) as usize;
            let range = index.min(end)..end;
            assert!(tree.range(range.clone()).rev().eq(model[range].iter().rev()));
        }
        images.push((tree.clone(), model.clone()));
    }
    for (image, model) in images {
        let sent = std::thread::spawn(move || (contents(&image), image));
        let (seen, image) = sent.join().unwrap();
        assert_eq!(seen, model);
        image.check();
    }
    churn(&mut tree, &mut model, &mut random, 200, 0);
    while tree.len() > 0 {
        tree.remove(tree.len() / 2);
    }
    tree.check();
    assert_eq!(tree.bytes_used(), Ordered::<u64>::new().bytes_used());
}

#[test]
fn ordered_items_are_found_by_order() {
    let mut random = Random::new(6);
    let (mut tree, mut model) = (Ordered::<u64>::new(), std::collections::BTreeSet::new());
    for _ in 0..20_000 {
        let value = random.below(3_000);
        let index = tree.partition_point(|other| *other < value);
        if random.below(3) > 0 && model.insert(value) {
            tree.insert(index, value);
        } else if model.remove(&value) {
            assert_eq!(tree.remove(index).0, value);
        }
    }
    tree.check();
    assert!(tree.range(0..tree.len()).eq(model.iter()));
    for value in 0..3_001 {
        assert_eq!(tree.partition_point(|other| *other < value), model.range(..value).count());
    }
}

#[test]
fn what_grows_at_its_end_is_stored_densely() {
    let mut tree = Ordered::<u64>::new();
    for value in 0..64_000 {
        tree.insert(tree.len(), value);
    }
    tree.check();
    assert!(tree.bytes_used() < 64_000 * 10, "{} bytes", tree.bytes_used());
}

#[test]
fn a_write_under_a_clone_copies_a_path() {
    let mut tree = Ordered::<u64>::new();
    for value in 0..100_000 {
        tree.insert(tree.len(), value);
    }
    let image = tree.clone();
    let copied = tree.insert(50_000, 7);
    assert!(copied > 0 && copied < 16_384, "{copied} bytes copied");
    assert_eq!(tree.insert(50_000, 8), 0, "the path is ours now");
    assert_eq!((image.len(), tree.len()), (100_000, 100_002));
    image.check();
    tree.check();
}
