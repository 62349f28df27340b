//! Batches against key-by-key puts: the same tree in the end, whatever the order, and duplicates are named.

use rejoin_protocol::{DbIndex, UnixMillis};

use super::Batch;
use crate::testing::Random;
use crate::{Entry, HashLimits, HashSeed, Key, Keyspace, KeyspaceOptions, SetLimits, StringForm, Value};

const DATABASE: DbIndex = DbIndex::new(0);

fn keyspace(seed: HashSeed) -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: 2, seed })
}

fn name(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

fn expiry(number: u64) -> Option<UnixMillis> {
    number.is_multiple_of(3).then(|| UnixMillis::new(1000 + number as i64))
}

/// Loads keys in the order given, in batches of random size, with ordinary writes between them.
fn loaded(seed: HashSeed, order: &[u64], random: &mut Random) -> Keyspace {
    let mut keyspace = keyspace(seed);
    let draft = keyspace.draft();
    let mut batch = Batch::default();
    let mut limit = 1;
    for &number in order {
        let name = name(number);
        let key = keyspace.key(&name);
        batch.push(key.hash, draft.string(&name, &number.to_le_bytes(), StringForm::Raw, expiry(number)));
        if batch.len() >= limit {
            keyspace.database_mut(DATABASE).append(&mut batch).unwrap();
            keyspace.database(DATABASE).tree.check();
            limit = 1 + random.below(700) as usize;
            let other = format!("other:{}", random.below(50));
            let other = keyspace.key(other.as_bytes());
            keyspace.database_mut(DATABASE).put_int(other, 1, None);
            keyspace.database_mut(DATABASE).remove(other);
        }
    }
    keyspace.database_mut(DATABASE).append(&mut batch).unwrap();
    assert!(batch.is_empty());
    keyspace
}

fn assert_holds(keyspace: &Keyspace, count: u64) {
    let database = keyspace.database(DATABASE);
    database.tree.check();
    assert_eq!(database.len() as u64, count);
    for number in 0..count {
        let name = name(number);
        let entry = database.get(keyspace.key(&name)).unwrap();
        assert!(matches!(entry.value(), Value::Str(bytes, StringForm::Raw) if bytes == number.to_le_bytes()));
        assert_eq!(entry.expiry(), expiry(number));
    }
    let volatile = (0..count).filter(|number| expiry(*number).is_some()).count();
    assert_eq!(database.volatile_len(), volatile);
    let first = database.first_to_expire().map(Entry::key);
    assert_eq!(first, (count > 0).then_some(&b"key:0"[..]));
}

fn in_hash_order(seed: HashSeed, count: u64) -> Vec<u64> {
    let mut order: Vec<u64> = (0..count).collect();
    order.sort_by_key(|number| seed.hash(&name(*number)));
    order
}

#[test]
fn any_order_gives_the_same_tree() {
    let mut random = Random::new(1);
    for count in [0, 1, 5, 200, 3_000, 20_000] {
        let seed = HashSeed::new([count as u8; 16]);
        let sorted = in_hash_order(seed, count);
        let mut shuffled = sorted.clone();
        for place in (1..shuffled.len()).rev() {
            shuffled.swap(place, random.below(place as u64 + 1) as usize);
        }
        // In order but for a few that were moved.
        let mut nearly = sorted.clone();
        for _ in 0..count / 100 {
            let (a, b) = (random.below(count) as usize, random.below(count) as usize);
            nearly.swap(a, b);
        }
        let mut digests = Vec::new();
        for order in [sorted, shuffled, nearly] {
            let keyspace = loaded(seed, &order, &mut random);
            assert_holds(&keyspace, count);
            let digest = |prefix| keyspace.database(DATABASE).prefix_digest(prefix);
            digests.push((0..=u16::MAX).step_by(257).map(digest).collect::<Vec<_>>());
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]));
    }
}

#[test]
fn keys_that_share_their_whole_path_are_kept_apart() {
    let mut random = Random::new(2);
    let order = in_hash_order(HashSeed::WEAK, 2_000);
    assert_holds(&loaded(HashSeed::WEAK, &order, &mut random), 2_000);
}

#[test]
fn a_key_that_is_there_already_is_named() {
    let mut keyspace = keyspace(HashSeed::new([5; 16]));
    let order = in_hash_order(*keyspace.seed(), 500);
    let draft = keyspace.draft();
    let entry = |number: u64| draft.string(&name(number), b"v", StringForm::Embstr, None);
    // Twice in one batch.
    let mut batch = Batch::default();
    for number in order[..300].iter().chain(&order[299..]) {
        batch.push(keyspace.seed().hash(&name(*number)), entry(*number));
    }
    let twice = keyspace.database_mut(DATABASE).append(&mut batch).unwrap_err();
    assert_eq!((twice.place, twice.entry.key()), (300, &name(order[299])[..]));
    keyspace.database(DATABASE).tree.check();
    // In the tree, and the batch out of order.
    keyspace.database_mut(DATABASE).clear();
    let there = name(order[77]);
    let key = keyspace.key(&there);
    keyspace.database_mut(DATABASE).put_int(key, 1, None);
    for number in order.iter().rev() {
        batch.push(keyspace.seed().hash(&name(*number)), entry(*number));
    }
    let twice = keyspace.database_mut(DATABASE).append(&mut batch).unwrap_err();
    assert_eq!((twice.place, twice.entry.key()), (422, &there[..]));
    assert!(batch.is_empty());
}

#[test]
fn a_running_snapshot_is_not_disturbed() {
    let mut random = Random::new(3);
    let seed = HashSeed::new([6; 16]);
    let mut keyspace = loaded(seed, &in_hash_order(seed, 1_000), &mut random);
    let snapshot = keyspace.snapshot();
    let draft = keyspace.draft();
    let mut batch = Batch::default();
    for number in 1_000..5_000 {
        let name = name(number);
        batch.push(
            seed.hash(&name),
            draft.string(&name, &number.to_le_bytes(), StringForm::Raw, expiry(number)),
        );
    }
    keyspace.database_mut(DATABASE).append(&mut batch).unwrap();
    assert_holds(&keyspace, 5_000);
    let mut seen = 0;
    for (_, database) in snapshot.into_databases() {
        database.for_each(&mut |_| seen += 1);
    }
    assert_eq!(seen, 1_000);
}

#[test]
fn collections_are_made_apart() {
    let mut keyspace = keyspace(HashSeed::new([7; 16]));
    let mut draft = keyspace.draft();
    let mut batch = Batch::default();
    for (number, fields) in [(0, 3), (1, 1_000), (2, 0)] {
        let name = name(number);
        let key: Key<'_> = keyspace.key(&name);
        let mut hash = draft.database_mut().hash_mut(key, HashLimits::default()).unwrap();
        for field in 0..fields {
            hash.set(&field_name(field), b"value");
        }
        drop(hash);
        match draft.take(key, expiry(number)) {
            Some(entry) => batch.push(key.hash, entry),
            None => assert_eq!(fields, 0, "only what is empty is nothing"),
        }
    }
    let key = keyspace.key(b"set");
    draft.database_mut().set_mut(key, SetLimits::default()).unwrap().add(b"member");
    batch.push(key.hash, draft.take(key, None).unwrap());
    keyspace.database_mut(DATABASE).append(&mut batch).unwrap();
    let database = keyspace.database(DATABASE);
    database.tree.check();
    assert_eq!((database.len(), database.volatile_len()), (3, 1));
    let large = name(1);
    let Value::Hash(hash) = database.get(keyspace.key(&large)).unwrap().value() else { panic!("no hash") };
    assert_eq!(hash.len(), 1_000);
    for field in 0..1_000 {
        assert_eq!(hash.get(database.seed(), &field_name(field)), Some(&b"value"[..]));
    }
}

fn field_name(number: u64) -> Vec<u8> {
    format!("field:{number}").into_bytes()
}

#[test]
fn a_seed_is_adopted_only_while_there_is_nothing() {
    let mut keyspace = keyspace(HashSeed::new([8; 16]));
    let other = HashSeed::new([9; 16]);
    assert!(keyspace.adopt_seed(other));
    assert_eq!(*keyspace.seed(), other);
    let key = keyspace.key(b"k");
    keyspace.database_mut(DATABASE).put_int(key, 1, None);
    assert!(keyspace.database(DATABASE).get(keyspace.key(b"k")).is_some());
    assert!(!keyspace.adopt_seed(HashSeed::new([8; 16])));
    assert_eq!(*keyspace.seed(), other);
}
