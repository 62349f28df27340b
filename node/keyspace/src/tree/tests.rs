//! Trees against std's map, under a good hash and under one that has only a few values.

use std::collections::BTreeMap;

use super::*;
use crate::ScanCursor;
use crate::entry::{Kind, NewValue};
use crate::testing::Random;

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

struct Pair {
    tree: Tree,
    model: Model,
    context: WriteContext,
}

impl Pair {
    fn new(seed: HashSeed) -> Self {
        Self {
            tree: Tree::new(seed),
            model: Model::new(),
            context: WriteContext { stamp: 1, ..WriteContext::default() },
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        let hash = self.tree.seed().hash(key);
        let new = NewValue::Bytes(Kind::Field, value);
        self.tree.upsert(&mut self.context, hash, key, |entry| match entry {
            Some(entry) => {
                entry.overwrite(new, None);
                (None, ())
            }
            None => (Some(Entry::new(key, None, new)), ()),
        });
        self.model.insert(key.to_vec(), value.to_vec());
    }

    fn remove(&mut self, key: &[u8]) {
        let hash = self.tree.seed().hash(key);
        let removed = self.tree.remove(&mut self.context, hash, key);
        let expected = self.model.remove(key);
        assert_eq!(removed.as_ref().map(Entry::field_value), expected.as_deref());
    }

    fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.tree.get(self.tree.seed().hash(key), key).map(Entry::field_value)
    }

    fn check(&self) {
        self.tree.check();
        assert_same(&self.tree, &self.model);
    }
}

fn contents(tree: &Tree) -> Model {
    tree.iter().map(|entry| (entry.key().to_vec(), entry.field_value().to_vec())).collect()
}

fn assert_same(tree: &Tree, model: &Model) {
    assert_eq!(tree.len(), model.len());
    assert_eq!(&contents(tree), model);
    assert_eq!(tree.iter_leaves().count(), model.len());
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn value(random: &mut Random) -> Vec<u8> {
    let len = if random.below(50) == 0 { 5000 } else { random.below(100) };
    vec![random.below(256) as u8; len as usize]
}

/// Grows to about `keys` keys and shrinks again, with clones taken and dropped at random moments: each must stay as
/// it was.
fn churn(seed: HashSeed, keys: u64, rounds: u64) {
    let mut random = Random::new(keys);
    let mut pair = Pair::new(seed);
    let mut clones: Vec<(Tree, Model)> = Vec::new();
    for round in 0..rounds {
        let grows = round % (rounds / 2) < rounds / 4;
        let key = key(random.below(keys));
        match random.below(10) {
            0 => assert_eq!(pair.get(&key), pair.model.get(&key).map(Vec::as_slice)),
            1..=7 if grows => pair.put(&key, &value(&mut random)),
            8 if !grows => pair.put(&key, &value(&mut random)),
            _ => pair.remove(&key),
        }
        if round % (rounds / 16) == 0 {
            pair.check();
            clones.push((pair.tree.clone(), pair.model.clone()));
        }
        if clones.len() > 3 {
            let (tree, model) = clones.swap_remove(random.below(4) as usize);
            tree.check();
            assert_same(&tree, &model);
        }
    }
    for key in pair.model.keys().cloned().collect::<Vec<_>>() {
        pair.remove(&key);
    }
    pair.check();
    assert_eq!(
        pair.tree.bytes_used(),
        Tree::new(seed).bytes_used(),
        "an emptied tree is as small as a new one"
    );
    for (tree, model) in clones {
        tree.check();
        assert_same(&tree, &model);
    }
}

#[test]
fn it_stays_equal_to_a_map_with_few_keys() {
    churn(HashSeed::new([1; 16]), 300, 20_000);
}

#[test]
fn it_stays_equal_to_a_map_with_many_keys() {
    churn(HashSeed::new([2; 16]), 20_000, 80_000);
}

#[test]
fn it_stays_equal_to_a_map_at_full_depth_with_equal_tags() {
    churn(HashSeed::WEAK, 3_000, 20_000);
}

#[test]
fn the_iterator_keeps_hash_order_and_ranks_choose_each_entry_once() {
    let mut pair = Pair::new(HashSeed::new([3; 16]));
    (0..5_000).for_each(|number| pair.put(&key(number), b""));
    let hashes: Vec<_> = pair.tree.iter().map(|entry| pair.tree.seed().hash(entry.key())).collect();
    assert!(hashes.is_sorted());
    let mut chosen: Vec<_> = (0..5_000).filter_map(|rank| pair.tree.random(rank)).map(Entry::key).collect();
    chosen.sort_unstable();
    chosen.dedup();
    assert_eq!(chosen.len(), 5_000);
    assert!(Tree::new(HashSeed::new([3; 16])).random(7).is_none());
}

/// Walks the tree by SCAN while `change` writes between the calls, and asserts that what stayed was seen once.
fn scan_while(seed: HashSeed, before: u64, count: usize, change: impl Fn(&mut Pair, u64)) {
    let mut pair = Pair::new(seed);
    (0..before).for_each(|number| pair.put(&key(number), b"v"));
    let stays: Vec<_> = (0..before).step_by(7).map(key).collect();
    let mut seen: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let (mut cursor, mut call) = (ScanCursor::START, 0);
    loop {
        let mut visited = 0;
        cursor = pair.tree.scan(cursor, count, &mut |entry| {
            *seen.entry(entry.key().to_vec()).or_default() += 1;
            visited += 1;
        });
        assert!(seed == HashSeed::WEAK || visited <= count, "{visited} for a count of {count}");
        if cursor == ScanCursor::START {
            break;
        }
        if call < 60 {
            change(&mut pair, call);
            call += 1;
        }
    }
    for key in stays {
        assert_eq!(seen.get(&key), Some(&1), "{}", key.escape_ascii());
    }
    pair.check();
}

#[test]
fn a_scan_sees_once_whatever_stays_while_leaves_split() {
    for seed in [HashSeed::new([4; 16]), HashSeed::WEAK] {
        scan_while(seed, 700, 10, |pair, call| {
            (0..100).for_each(|number| pair.put(&key(10_000 + call * 100 + number), b"w"));
        });
    }
}

#[test]
fn a_scan_sees_once_whatever_stays_while_leaves_merge() {
    for seed in [HashSeed::new([5; 16]), HashSeed::WEAK] {
        scan_while(seed, 6_000, 10, |pair, call| {
            let numbers = (call * 60..call * 60 + 60).map(|number| number % 6_000);
            numbers.filter(|number| number % 7 != 0).for_each(|number| pair.remove(&key(number)));
        });
    }
}

#[test]
fn a_scan_takes_any_cursor() {
    let mut pair = Pair::new(HashSeed::new([6; 16]));
    (0..100).for_each(|number| pair.put(&key(number), b""));
    for position in [1 << 48, u64::MAX, (1 << 48) - 1] {
        let next = pair.tree.scan(ScanCursor::new(position), 10, &mut |_| panic!("nothing is there"));
        assert_eq!(next, ScanCursor::START);
    }
    let mut seen = 0;
    assert_eq!(pair.tree.scan(ScanCursor::START, usize::MAX, &mut |_| seen += 1), ScanCursor::START);
    assert_eq!(seen, 100);
}

#[test]
fn a_drain_visits_in_order_and_ends_at_an_error() {
    let mut pair = Pair::new(HashSeed::new([7; 16]));
    (0..3_000).for_each(|number| pair.put(&key(number), b"v"));
    let expected: Vec<_> = pair.tree.iter().map(|entry| entry.key().to_vec()).collect();
    let mut seen = Vec::new();
    let drained = drain::<()>(pair.tree.clone(), &mut |entry| {
        seen.push(entry.key().to_vec());
        Ok(())
    });
    assert_eq!((drained, &seen), (Ok(()), &expected));
    let mut left = 1_000;
    let stopped = drain(pair.tree.clone(), &mut |_| {
        left -= 1;
        if left == 0 { Err("enough") } else { Ok(()) }
    });
    assert_eq!(stopped, Err("enough"));
    pair.check();
    // All clones are gone without a trace: nothing is copied any more.
    let copied = pair.context.copied;
    (0..3_000).for_each(|number| pair.put(&key(number), b"w"));
    assert_eq!(pair.context.copied, copied);
}

#[test]
fn a_write_below_a_clone_copies_a_path_and_no_more() {
    let mut pair = Pair::new(HashSeed::new([8; 16]));
    (0..20_000).for_each(|number| pair.put(&key(number), b"v"));
    let clone = pair.tree.clone();
    let before = pair.context.copied;
    pair.put(&key(5), b"w");
    let copied = pair.context.copied - before;
    assert!((1..6_000).contains(&copied), "{copied} bytes copied for one write");
    pair.put(&key(5), b"x");
    assert_eq!(pair.context.copied - before, copied, "the second write finds its own path");
    assert_eq!(clone.get(clone.seed().hash(&key(5)), &key(5)).map(Entry::field_value), Some(b"v".as_slice()));
    clone.check();
}

#[test]
fn many_clones_are_read_and_dropped_by_other_threads() {
    let mut pair = Pair::new(HashSeed::new([9; 16]));
    (0..2_000).for_each(|number| pair.put(&key(number), b"0"));
    std::thread::scope(|scope| {
        for round in 0..20u8 {
            let (tree, model) = (pair.tree.clone(), pair.model.clone());
            scope.spawn(move || {
                let mut contents = Model::new();
                let drained = drain::<()>(tree, &mut |entry| {
                    contents.insert(entry.key().to_vec(), entry.field_value().to_vec());
                    Ok(())
                });
                assert_eq!((drained, contents), (Ok(()), model));
            });
            (0..2_000).step_by(3).for_each(|number| pair.put(&key(number), &[round; 70]));
            (0..500).for_each(|number| pair.remove(&key(u64::from(round) * 100 + number)));
        }
    });
    pair.check();
}

#[test]
fn touching_reads_any_shape() {
    for seed in [HashSeed::new([10; 16]), HashSeed::WEAK] {
        let mut pair = Pair::new(seed);
        for number in 0..1_000 {
            pair.put(&key(number), b"v");
            touch((0..40).map(|other| (&pair.tree, seed.hash(&key(number + other)))));
        }
    }
}
