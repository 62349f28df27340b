//! Lists against a deque: all operations in random order, with copies held that must stay as they were.

use std::collections::VecDeque;

use rejoin_protocol::{DbIndex, UnixMillis};

use super::*;
use crate::testing::Random;
use crate::{HashSeed, Key, Keyspace, KeyspaceOptions, Snapshot, Value};

type Model = VecDeque<Vec<u8>>;

const LIMITS: ListLimits = ListLimits { fill: -2 };

fn db() -> DbIndex {
    DbIndex::new(0)
}

fn keyspace() -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 1, seed: HashSeed::new([5; 16]) })
}

fn list(keyspace: &mut Keyspace, limits: ListLimits) -> ListMut<'_> {
    let key = keyspace.key(b"list");
    keyspace.database_mut(db()).list_mut(key, limits).unwrap()
}

fn key(keyspace: &Keyspace) -> Key<'static> {
    keyspace.key(b"list")
}

fn assert_is(view: ListView<'_>, model: &Model) {
    assert_eq!(view.len(), model.len());
    assert!(view.iter().eq(model.iter().map(Vec::as_slice)));
    if let Some(last) = model.len().checked_sub(1) {
        assert!(view.iter_back_from(last).eq(model.iter().rev().map(Vec::as_slice)));
    }
}

fn assert_image_is(image: Snapshot, model: &Model) {
    let mut seen = 0;
    for (_, database) in image.into_databases() {
        database.for_each(&mut |entry| {
            let Value::List(view) = entry.value() else { panic!() };
            assert_is(view, model);
            seen += 1;
        });
    }
    assert_eq!(seen, usize::from(!model.is_empty()));
}

/// Lengths around those at which something changes: of marks, of chunks, of everything.
fn element(random: &mut Random) -> Vec<u8> {
    let len = match random.below(100) {
        0 => 9000,
        1..5 => 1000 + random.below(3000),
        5..10 => 120 + random.below(20),
        10..40 => return random.below(100_000).to_string().into_bytes(),
        _ => random.below(30),
    };
    vec![random.below(256) as u8; len as usize]
}

fn step(keyspace: &mut Keyspace, model: &mut Model, random: &mut Random, grows: bool, limits: ListLimits) {
    let len = model.len() as u64;
    let mut list = list(keyspace, limits);
    let choice = random.below(100);
    if len == 0 || choice < if grows { 70 } else { 25 } {
        let index = match random.below(3) {
            0 => 0,
            1 => len,
            _ => random.below(len + 1),
        } as usize;
        let element = element(random);
        list.grow(element.len(), 1);
        list.insert(index, &element);
        model.insert(index, element);
    } else if choice < 80 {
        let index = random.below(len) as usize;
        let most = if random.below(20) == 0 { len } else { 3 };
        let count = (random.below(most) as usize + 1).min(model.len() - index);
        list.remove(index, count);
        list.shrink();
        model.drain(index..index + count);
    } else {
        let index = random.below(len) as usize;
        let element = element(random);
        list.grow(element.len(), 1);
        list.set(index, &element);
        assert_eq!(list.view().get(index), Some(element.as_slice()));
        model[index] = element;
    }
    drop(list);
    if random.below(3) == 0 && !model.is_empty() {
        let index = random.below(model.len() as u64) as usize;
        let entry = keyspace.database(db()).get(key(keyspace)).unwrap();
        let Value::List(view) = entry.value() else { panic!() };
        assert!(view.iter_from(index).take(20).eq(model.iter().skip(index).take(20).map(Vec::as_slice)));
        assert!(view.get(model.len()).is_none());
    }
}

fn run(seed: u64, limits: ListLimits, steps: usize) {
    let mut random = Random::new(seed);
    let (mut keyspace, mut model) = (keyspace(), Model::new());
    let mut held: Vec<(Snapshot, Model)> = Vec::new();
    for number in 0..steps {
        step(&mut keyspace, &mut model, &mut random, number % 2_000 < 1_400, limits);
        match random.below(60) {
            0 => held.push((keyspace.snapshot(), model.clone())),
            1..4 if !held.is_empty() => {
                let (image, model) = held.swap_remove(random.below(held.len() as u64) as usize);
                assert_image_is(image, &model);
            }
            _ => {}
        }
        if number % 100 == 0 {
            keyspace.database(db()).tree.check();
            let Some(entry) = keyspace.database(db()).get(key(&keyspace)) else { continue };
            if !entry.is_packed_list() {
                entry.list().check();
            }
            let Value::List(view) = entry.value() else { panic!() };
            assert_is(view, &model);
        }
    }
    held.into_iter().for_each(|(image, model)| assert_image_is(image, &model));
}

impl Entry {
    fn is_packed_list(&self) -> bool {
        self.kind() == Kind::ListPacked
    }
}

#[test]
fn lists_do_what_deques_do_and_copies_stay_as_they_were() {
    for (seed, fill) in [(1, -2), (2, -1), (3, -5), (4, 10), (5, 1)] {
        run(seed, ListLimits { fill }, 6_000);
    }
}

#[test]
fn a_list_is_large_past_eight_kilobytes_and_packed_again_below_half() {
    let mut keyspace = keyspace();
    let mut list = list(&mut keyspace, LIMITS);
    // 11 bytes each in a listpack, around which there are 7.
    let fits = (8192 - 7) / 11;
    for _ in 0..fits {
        list.grow(9, 1);
        list.push_back(b"nine byte");
    }
    assert!(list.view().is_packed());
    list.grow(10, 1);
    assert!(!list.view().is_packed(), "7 + {fits} * 11 + 10 bytes");
    let small = (4096 - 7) / 11;
    list.remove(0, fits - small - 1);
    list.shrink();
    assert!(!list.view().is_packed());
    list.remove(3, 1);
    list.shrink();
    assert!(list.view().is_packed());
    assert_eq!(list.view().len(), small);
}

#[test]
fn limits_may_count_elements() {
    let mut keyspace = keyspace();
    let mut list = list(&mut keyspace, ListLimits { fill: 4 });
    for _ in 0..4 {
        list.grow(1, 1);
        list.push_front(b"x");
    }
    assert!(list.view().is_packed());
    list.grow(1, 1);
    assert!(!list.view().is_packed());
    list.push_back(b"y");
    list.remove(0, 2);
    list.shrink();
    assert!(!list.view().is_packed(), "3 are more than half of 4");
    list.remove(0, 1);
    list.shrink();
    assert!(list.view().is_packed());
}

#[test]
fn an_empty_list_is_gone_and_an_expiry_with_it() {
    let mut keyspace = keyspace();
    list(&mut keyspace, LIMITS).push_back(b"only");
    let key = keyspace.key(b"list");
    assert!(keyspace.database_mut(db()).set_expiry(key, Some(UnixMillis::new(5))));
    list(&mut keyspace, LIMITS).remove(0, 1);
    assert_eq!((keyspace.database(db()).len(), keyspace.database(db()).volatile_len()), (0, 0));
    drop(list(&mut keyspace, LIMITS));
    assert_eq!(keyspace.database(db()).len(), 0, "opened and left empty");
}

#[test]
fn a_write_into_a_large_list_during_a_snapshot_copies_a_path() {
    let mut keyspace = keyspace();
    let mut model = Model::new();
    let mut writer = list(&mut keyspace, LIMITS);
    for number in 0..200_000 {
        let element = format!("element {number}").into_bytes();
        writer.grow(element.len(), 1);
        writer.push_back(&element);
        model.push_back(element);
    }
    drop(writer);
    let image = keyspace.snapshot();
    let mut writer = list(&mut keyspace, LIMITS);
    writer.set(100_000, b"other");
    writer.remove(0, 1);
    writer.push_back(b"last");
    drop(writer);
    // Three chunks of 8 KiB, and inner nodes of 64 references.
    assert!(keyspace.bytes_copied_for_snapshots() < 50_000, "{}", keyspace.bytes_copied_for_snapshots());
    assert_image_is(image, &model);
    keyspace.database(db()).tree.check();
}

#[test]
fn a_large_list_takes_little_more_than_its_elements() {
    let mut keyspace = keyspace();
    let mut writer = list(&mut keyspace, LIMITS);
    for _ in 0..100_000 {
        writer.push_back(&[b'v'; 100]);
    }
    drop(writer);
    let bytes = keyspace.database(db()).bytes_used();
    assert!(bytes < 100_000 * 108, "{bytes} bytes for elements of 100");
    let mut writer = list(&mut keyspace, LIMITS);
    writer.remove(10, 99_980);
    drop(writer);
    let bytes = keyspace.database(db()).bytes_used();
    assert!(bytes < 20_000, "{bytes} bytes for 20 elements");
}
