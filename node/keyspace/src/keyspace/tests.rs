//! A keyspace against plain maps: all operations in random order, with snapshots that must stay as they were, and
//! everything that is kept incrementally computed anew.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_protocol::{UnixMillis, number::parse_i64};

use super::*;
use crate::entry::INLINE_BYTES_MAX;
use crate::testing::Random;
use crate::{Entry, HashLimits, ScanCursor, SetForm, SetLimits, SortedSetLimits, StringForm, Value};

#[derive(Clone, Debug, PartialEq)]
enum Held {
    Int(i64),
    Str(Vec<u8>, StringForm),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    SortedSet(BTreeMap<Vec<u8>, i64>),
}

type Model = BTreeMap<Vec<u8>, (Held, Option<i64>)>;

fn held(entry: &Entry) -> (Held, Option<i64>) {
    let value = match entry.value() {
        Value::Int(value) => Held::Int(value),
        Value::Str(bytes, form) => Held::Str(bytes.to_vec(), form),
        Value::Hash(view) => {
            let fields: BTreeMap<_, _> = view.iter().map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
            assert_eq!(fields.len(), view.len());
            Held::Hash(fields)
        }
        Value::Set(view) => {
            let members: BTreeSet<_> = view.iter().map(|member| member.to_vec()).collect();
            assert_eq!(members.len(), view.len());
            Held::Set(members)
        }
        Value::SortedSet(view) => {
            let in_order: Vec<_> =
                view.iter().map(|(member, score)| (score as i64, member.to_vec())).collect();
            assert!(in_order.is_sorted() && in_order.len() == view.len());
            Held::SortedSet(in_order.into_iter().map(|(score, member)| (member, score)).collect())
        }
        Value::List(_) => unreachable!("lists have a model of their own"),
    };
    (value, entry.expiry().map(UnixMillis::get))
}

const DATABASES: u32 = 2;
const LIMITS: HashLimits = HashLimits { entries_max: 20, value_bytes_max: 40 };
const SORTED_LIMITS: SortedSetLimits = SortedSetLimits { entries_max: 20, value_bytes_max: 40 };

fn keyspace(seed: HashSeed) -> Keyspace {
    Keyspace::new(KeyspaceOptions { databases: DATABASES, seed })
}

struct World {
    keyspace: Keyspace,
    models: Vec<Model>,
    random: Random,
    position: u64,
    /// By database and prefix: the position of the last write.
    modified: Vec<BTreeMap<u16, u64>>,
    floors: Vec<u64>,
}

impl World {
    fn new(seed: HashSeed, random: u64) -> Self {
        Self {
            keyspace: keyspace(seed),
            models: vec![Model::new(); DATABASES as usize],
            random: Random::new(random),
            position: 1,
            modified: vec![BTreeMap::new(); DATABASES as usize],
            floors: vec![0; DATABASES as usize],
        }
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = match self.random.below(30) {
            0 => INLINE_BYTES_MAX as u64 + self.random.below(3_000),
            1..=5 => self.random.below(600),
            _ => self.random.below(60),
        };
        vec![self.random.below(256) as u8; len as usize]
    }

    fn expiry(&mut self) -> Option<i64> {
        match self.random.below(8) {
            0 => Some(-(self.random.below(100) as i64)),
            1 => Some(i64::MAX - self.random.below(3) as i64),
            2..=4 => Some(self.random.below(10_000) as i64),
            _ => None,
        }
    }

    fn step(&mut self, keys: u64) {
        let index = self.random.below(u64::from(DATABASES)) as usize;
        let db = DbIndex::new(index as u32);
        let name = format!("key:{}", self.random.below(keys)).into_bytes();
        let key = self.keyspace.key(&name);
        self.position += self.random.below(50);
        self.keyspace.set_position(NextOffset::new(self.position));
        let expiry = self.expiry();
        let until = expiry.map(UnixMillis::new);
        let bytes = self.bytes();
        let model = &mut self.models[index];
        let database = self.keyspace.database_mut(db);
        let mut written = true;
        match self.random.below(24) {
            16..=19 => written = write_set(database, model, key, &mut self.random, &bytes),
            20..=23 => written = write_sorted_set(database, model, key, &mut self.random, &bytes),
            0..=2 => {
                let form = if bytes.len() <= 44 { StringForm::Embstr } else { StringForm::Raw };
                database.put_string(key, &bytes, form, until);
                model.insert(name.clone(), (Held::Str(bytes, form), expiry));
            }
            3 => {
                let value = self.random.below(1 << 40) as i64 - (1 << 39);
                database.put_string(key, value.to_string().as_bytes(), StringForm::Int, until);
                model.insert(name.clone(), (Held::Int(value), expiry));
            }
            4 | 5 => {
                let had = model.get(&name).cloned();
                let mut expected = match &had {
                    Some((Held::Hash(_) | Held::Set(_) | Held::SortedSet(_), _)) => return,
                    Some((Held::Int(value), _)) => value.to_string().into_bytes(),
                    Some((Held::Str(bytes, _), _)) => bytes.clone(),
                    None => Vec::new(),
                };
                let truncated = self.random.below(4) == 0;
                let edit = |edited: &mut Vec<u8>| {
                    edited.extend_from_slice(&bytes);
                    if truncated {
                        edited.truncate(10);
                    }
                    edited.len()
                };
                assert_eq!(database.edit_string(key, edit), edit(&mut expected));
                let expiry = had.and_then(|(_, expiry)| expiry);
                model.insert(name.clone(), (Held::Str(expected, StringForm::Raw), expiry));
            }
            6..=10 => written = write_hash(database, model, key, &mut self.random, &bytes),
            11 | 12 => {
                written = database.remove(key);
                assert_eq!(written, model.remove(&name).is_some());
            }
            13 => {
                written = database.set_expiry(key, until);
                assert_eq!(written, model.get_mut(&name).map(|held| held.1 = expiry).is_some());
            }
            14 => {
                let Some((from, (value, _))) = model.iter().next().map(|(k, v)| (k.clone(), v.clone()))
                else {
                    return;
                };
                let entry = self.keyspace.database(db).get(self.keyspace.key(&from)).unwrap().clone();
                self.keyspace.database_mut(db).put_copy(key, &entry, until);
                model.insert(name.clone(), (value, expiry));
            }
            _ => {
                let found = database.first_expired(UnixMillis::new(5_000)).map(|entry| entry.key().to_vec());
                let earliest = model.values().filter_map(|held| held.1).min();
                let earliest = earliest.filter(|expiry| *expiry <= 5_000);
                let clamped = |expiry: i64| expiry.max(0);
                let found_expiry = found.as_ref().map(|key| model[key].1.unwrap());
                assert_eq!(found_expiry.map(clamped), earliest.map(clamped));
                return;
            }
        }
        if written {
            self.modified[index].insert(key.hash.prefix(), self.position);
        }
    }

    fn check(&mut self) {
        for index in 0..DATABASES as usize {
            let database = self.keyspace.database(DbIndex::new(index as u32));
            let model = &self.models[index];
            database.tree.check();
            let contents: Model = database.iter().map(|entry| (entry.key().to_vec(), held(entry))).collect();
            assert_eq!(&contents, model);
            assert_eq!(database.len(), model.len());
            assert_eq!(database.volatile_len(), model.values().filter(|held| held.1.is_some()).count());
            for (prefix, position) in &self.modified[index] {
                assert!(database.prefix_modified(*prefix).get() >= (*position).max(self.floors[index]));
            }
            let mut digests: BTreeMap<u16, u64> = BTreeMap::new();
            for key in model.keys() {
                let hash = self.keyspace.seed().hash(key);
                let digest = digests.entry(hash.prefix()).or_default();
                *digest = digest.wrapping_add(hash.digest());
            }
            for prefix in (0..=u16::MAX).step_by(997).chain(digests.keys().copied()) {
                assert_eq!(database.prefix_digest(prefix), digests.get(&prefix).copied().unwrap_or(0));
            }
        }
    }

    fn clear(&mut self, index: usize) {
        self.position += 1;
        self.keyspace.set_position(NextOffset::new(self.position));
        self.keyspace.database_mut(DbIndex::new(index as u32)).clear();
        self.models[index].clear();
        self.floors[index] = self.position;
    }

    fn swap(&mut self) {
        self.position += 1;
        self.keyspace.set_position(NextOffset::new(self.position));
        self.keyspace.swap(DbIndex::new(0), DbIndex::new(1));
        self.models.swap(0, 1);
        self.modified.swap(0, 1);
        self.floors = vec![self.position; 2];
    }
}

fn write_hash(
    database: &mut Database,
    model: &mut Model,
    key: Key<'_>,
    random: &mut Random,
    bytes: &[u8],
) -> bool {
    let fields = match model.get_mut(key.bytes) {
        Some((Held::Hash(fields), _)) => fields,
        Some(_) => {
            assert!(database.hash_mut(key, LIMITS).is_none());
            return false;
        }
        None => match &mut model.entry(key.bytes.to_vec()).or_insert((Held::Hash(BTreeMap::new()), None)).0 {
            Held::Hash(fields) => fields,
            other => panic!("{other:?}"),
        },
    };
    let mut hash = database.hash_mut(key, LIMITS).unwrap();
    for _ in 0..random.below(12) {
        let field = format!("field:{}", random.below(60)).into_bytes();
        if random.below(5) == 0 {
            assert_eq!(hash.remove(&field), fields.remove(&field).is_some());
        } else {
            let len_max = if random.below(40) == 0 { 9_000 } else { 50 };
            let value = &bytes[..bytes.len().min(random.below(len_max) as usize)];
            assert_eq!(hash.set(&field, value), fields.insert(field, value.to_vec()).is_none());
        }
    }
    if random.below(20) == 0 {
        for field in std::mem::take(fields).into_keys() {
            assert!(hash.remove(&field));
        }
    }
    if fields.is_empty() {
        model.remove(key.bytes);
    }
    true
}

const SET_LIMITS: SetLimits = SetLimits { integers_max: 30, packed: LIMITS };

fn write_set(
    database: &mut Database,
    model: &mut Model,
    key: Key<'_>,
    random: &mut Random,
    bytes: &[u8],
) -> bool {
    let members = match &mut model.entry(key.bytes.to_vec()).or_insert((Held::Set(BTreeSet::new()), None)).0 {
        Held::Set(members) => members,
        _ => {
            assert!(database.set_mut(key, SET_LIMITS).is_none());
            return false;
        }
    };
    let mut set = database.set_mut(key, SET_LIMITS).unwrap();
    let kinds = 1 + random.below(2);
    for _ in 0..random.below(12) {
        let number = random.below(60) as i64 * [1, 1_000, -100_000, i64::MAX / 60][random.below(4) as usize];
        let member = match random.below(8 * kinds) {
            0..=7 => number.to_string().into_bytes(),
            8 => bytes[..bytes.len().min(random.below(9_000) as usize)].to_vec(),
            _ => format!("member:{}", number % 60).into_bytes(),
        };
        if random.below(4) == 0 {
            assert_eq!(set.remove(&member), members.remove(&member));
        } else {
            assert_eq!(set.add(&member), members.insert(member.clone()));
            assert!(parse_i64(&member).is_some() || set.view().form() != SetForm::Integers);
        }
        assert_eq!(set.view().len(), members.len());
    }
    if random.below(15) == 0 {
        for member in std::mem::take(members) {
            assert!(set.remove(&member));
        }
    }
    drop(set);
    let seed = *database.seed();
    if let Some(Value::Set(view)) = database.get(key).map(Entry::value) {
        assert!(members.iter().all(|member| view.contains(&seed, member)));
        assert!(!view.contains(&seed, b"none") && !view.contains(&seed, b"007"));
        assert!(members.contains(&*view.random(random.below(u64::MAX)).unwrap()));
    }
    if members.is_empty() {
        model.remove(key.bytes);
    }
    true
}

fn write_sorted_set(
    database: &mut Database,
    model: &mut Model,
    key: Key<'_>,
    random: &mut Random,
    bytes: &[u8],
) -> bool {
    let new = (Held::SortedSet(BTreeMap::new()), None);
    let Held::SortedSet(scores) = &mut model.entry(key.bytes.to_vec()).or_insert(new).0 else {
        assert!(database.sorted_set_mut(key, SORTED_LIMITS).is_none());
        return false;
    };
    let mut set = database.sorted_set_mut(key, SORTED_LIMITS).unwrap();
    for _ in 0..random.below(20) {
        let member = match random.below(60) {
            0 => bytes[..bytes.len().min(random.below(9_000) as usize)].to_vec(),
            number => format!("member:{number}").into_bytes(),
        };
        if random.below(4) == 0 {
            assert_eq!(set.remove(&member).map(|score| score as i64), scores.remove(&member));
        } else {
            let score = random.below(20) as i64 - 10;
            let had = set.set(&member, score as f64);
            assert_eq!(had.map(|score| score as i64), scores.insert(member, score));
        }
        assert_eq!(set.view().len(), scores.len());
    }
    if random.below(15) == 0 {
        for member in std::mem::take(scores).into_keys() {
            assert!(set.remove(&member).is_some());
        }
    }
    drop(set);
    let in_order: BTreeSet<_> = scores.iter().map(|(member, score)| (*score, member.clone())).collect();
    if let Some(Value::SortedSet(view)) = database.get(key).map(Entry::value) {
        for (rank, (score, member)) in in_order.iter().enumerate() {
            assert_eq!(view.rank(member), Some((rank, *score as f64)));
        }
        let from = random.below(in_order.len() as u64 + 1) as usize;
        let backwards =
            view.range(from..view.len()).rev().map(|(member, score)| (score as i64, member.to_vec()));
        assert!(backwards.eq(in_order.iter().skip(from).rev().cloned()));
        let least = random.below(22) as i64 - 11;
        let below = view.count_while(|_, score| score < least as f64);
        assert_eq!(below, in_order.iter().filter(|(score, _)| *score < least).count());
        assert!(view.random(random.below(u64::MAX)).is_some_and(|(member, _)| scores.contains_key(member)));
    }
    if scores.is_empty() {
        model.remove(key.bytes);
    }
    true
}

fn image_contents(image: Snapshot) -> BTreeMap<DbIndex, Model> {
    let mut contents = BTreeMap::new();
    for (index, database) in image.into_databases() {
        let mut model = Model::new();
        let mut order = Vec::new();
        database.for_each(&mut |entry| order.push(entry.key().to_vec()));
        let (len, volatile_len) = (database.len(), database.volatile_len());
        database
            .drain::<()>(&mut |entry| {
                model.insert(entry.key().to_vec(), held(entry));
                Ok(())
            })
            .unwrap();
        assert_eq!((len, order.len()), (model.len(), model.len()));
        assert_eq!(volatile_len, model.values().filter(|held| held.1.is_some()).count());
        contents.insert(index, model);
    }
    contents
}

fn frozen(models: &[Model]) -> BTreeMap<DbIndex, Model> {
    let models = models.iter().zip(0..).map(|(model, index)| (DbIndex::new(index), model.clone()));
    models.filter(|(_, model)| !model.is_empty()).collect()
}

fn run(seed: HashSeed, random: u64, keys: u64, rounds: u64) {
    let mut world = World::new(seed, random);
    let mut images = Vec::new();
    for round in 1..=rounds {
        world.step(keys);
        if round % (rounds / 20) == 0 {
            world.check();
            images.push((world.keyspace.snapshot(), frozen(&world.models)));
            if images.len() > 3 {
                let (image, model) = images.swap_remove(world.random.below(4) as usize);
                assert_eq!(image_contents(image), model);
            }
        }
        if round % (rounds / 3) == 0 {
            match world.random.below(2) {
                0 => world.swap(),
                _ => world.clear((round % 2) as usize),
            }
            world.check();
        }
    }
    for (image, model) in images {
        assert_eq!(std::thread::spawn(move || image_contents(image)).join().unwrap(), model);
    }
    world.check();
    for index in 0..DATABASES as usize {
        let names: Vec<_> = world.models[index].keys().cloned().collect();
        for name in names {
            let key = world.keyspace.key(&name);
            assert!(world.keyspace.database_mut(DbIndex::new(index as u32)).remove(key));
        }
        let database = world.keyspace.database(DbIndex::new(index as u32));
        let empty = keyspace(seed).database(DbIndex::new(0)).tree.bytes_used();
        assert_eq!((database.len(), database.volatile_len(), database.tree.bytes_used()), (0, 0, empty));
    }
}

#[test]
fn it_stays_equal_to_plain_maps_with_few_keys() {
    run(HashSeed::new([1; 16]), 11, 30, 6_000);
}

#[test]
fn it_stays_equal_to_plain_maps_with_many_keys() {
    run(HashSeed::new([2; 16]), 12, 3_000, 20_000);
}

#[test]
fn it_stays_equal_to_plain_maps_under_a_hash_of_few_values() {
    run(HashSeed::WEAK, 13, 1_000, 8_000);
}

fn db0() -> DbIndex {
    DbIndex::new(0)
}

fn put(keyspace: &mut Keyspace, name: &str, value: &[u8], expiry: Option<i64>) {
    let key = keyspace.key(name.as_bytes());
    keyspace.database_mut(db0()).put_string(key, value, StringForm::Raw, expiry.map(UnixMillis::new));
}

#[test]
fn expired_keys_come_the_earliest_first_and_any_expiry_works() {
    let mut keyspace = keyspace(HashSeed::new([3; 16]));
    let expiries = [i64::MAX, 300, -7, 0, 200, (1 << 48) + 5, 100, i64::MIN];
    for (number, expiry) in expiries.into_iter().enumerate() {
        put(&mut keyspace, &format!("k{number}"), b"v", Some(expiry));
    }
    put(&mut keyspace, "stays", b"v", None);
    let mut order = Vec::new();
    for now in [250, 1 << 49, i64::MAX] {
        while let Some(entry) = keyspace.database(db0()).first_expired(UnixMillis::new(now)) {
            let (name, expiry) = (entry.key().to_vec(), entry.expiry().unwrap().get());
            assert!(expiry <= now);
            order.push(expiry.max(0));
            let key = keyspace.key(&name);
            assert!(keyspace.database_mut(db0()).remove(key));
        }
        order.push(-1);
    }
    assert_eq!(order, [0, 0, 0, 100, 200, -1, 300, (1 << 48) + 5, -1, i64::MAX, -1]);
    assert_eq!((keyspace.database(db0()).len(), keyspace.database(db0()).volatile_len()), (1, 0));
}

#[test]
fn the_mean_time_to_live_follows_the_expiries() {
    let mut keyspace = keyspace(HashSeed::new([4; 16]));
    assert_eq!(keyspace.database(db0()).average_ttl_millis(UnixMillis::new(0)), 0);
    for number in 0..100 {
        put(&mut keyspace, &format!("k{number}"), b"v", Some(1_000 + number * 10));
    }
    assert_eq!(keyspace.database(db0()).average_ttl_millis(UnixMillis::new(1_000)), 495);
}

#[test]
fn copies_for_snapshots_are_counted_while_one_lives() {
    let mut keyspace = keyspace(HashSeed::new([5; 16]));
    (0..5_000).for_each(|number| put(&mut keyspace, &format!("k{number}"), &[1; 64], None));
    assert_eq!(keyspace.bytes_copied_for_snapshots(), 0);
    let first = keyspace.snapshot();
    let live_bytes = keyspace.bytes_used();
    put(&mut keyspace, "k1", &[2; 64], None);
    let once = keyspace.bytes_copied_for_snapshots();
    assert!((80..10_000).contains(&once), "{once}");
    let second = keyspace.snapshot();
    put(&mut keyspace, "k2", &[2; 64], None);
    assert!(keyspace.bytes_copied_for_snapshots() > once);
    drop(first);
    assert!((80..10_000).contains(&keyspace.bytes_copied_for_snapshots()), "since the second began");
    assert_eq!(keyspace.bytes_used(), live_bytes, "copies for snapshots are no live data");
    drop(second);
    assert_eq!(keyspace.bytes_copied_for_snapshots(), 0);
}

#[test]
fn a_prefix_keeps_its_position_through_splits_removals_and_floors() {
    let mut keyspace = keyspace(HashSeed::new([6; 16]));
    keyspace.set_position(NextOffset::new(10));
    put(&mut keyspace, "early", b"v", None);
    let prefix = keyspace.key(b"early").hash.prefix();
    keyspace.set_position(NextOffset::new(20));
    (0..150_000).for_each(|number| put(&mut keyspace, &format!("k{number}"), b"v", None));
    assert_eq!(keyspace.database(db0()).prefix_modified(prefix), NextOffset::new(20));
    keyspace.set_position(NextOffset::new(30));
    let key = keyspace.key(b"early");
    assert!(keyspace.database_mut(db0()).remove(key));
    assert_eq!(keyspace.database(db0()).prefix_modified(prefix), NextOffset::new(30));
    let untouched = prefix.wrapping_add(0x8000);
    assert_eq!(keyspace.database(db0()).prefix_modified(untouched), NextOffset::new(20));
    keyspace.set_position(NextOffset::new(40));
    assert!(!keyspace.database_mut(db0()).remove(key), "what is not there is not written");
    assert_eq!(keyspace.database(db0()).prefix_modified(prefix), NextOffset::new(30));
    keyspace.swap(db0(), DbIndex::new(1));
    assert_eq!(keyspace.database(db0()).prefix_modified(untouched), NextOffset::new(40));
    assert_eq!(keyspace.database(DbIndex::new(1)).prefix_modified(untouched), NextOffset::new(40));
    keyspace.set_position(NextOffset::new(50));
    keyspace.database_mut(DbIndex::new(1)).clear();
    assert_eq!(keyspace.database(DbIndex::new(1)).prefix_modified(untouched), NextOffset::new(50));
}

#[test]
fn a_hash_leaves_its_packed_form_at_its_limits_and_never_returns() {
    let mut keyspace = keyspace(HashSeed::new([7; 16]));
    let key = keyspace.key(b"h");
    let seed = *keyspace.seed();
    let limits = HashLimits { entries_max: 128, value_bytes_max: 64 };
    let mut hash = keyspace.database_mut(db0()).hash_mut(key, limits).unwrap();
    (0..128).for_each(|number| assert!(hash.set(format!("f{number}").as_bytes(), &[b'v'; 64])));
    assert!(hash.view().is_packed());
    assert!(!hash.set(b"f7", b"other"));
    assert!(hash.view().is_packed());
    let fields: Vec<_> = hash.view().iter().map(|(field, _)| field.to_vec()).take(2).collect();
    assert_eq!(fields, [b"f0", b"f1"]);
    assert!(hash.set(b"one more", b""));
    assert!(!hash.view().is_packed());
    (0..128).for_each(|number| assert!(hash.remove(format!("f{number}").as_bytes())));
    assert!(!hash.view().is_packed());
    assert_eq!((hash.view().len(), hash.view().get(&seed, b"one more")), (1, Some(b"".as_slice())));
    assert_eq!(hash.view().random(5), Some((b"one more".as_slice(), b"".as_slice())));
    drop(hash);
    let other = keyspace.key(b"long");
    let mut hash = keyspace.database_mut(db0()).hash_mut(other, limits).unwrap();
    hash.set(b"f", &[b'v'; 64]);
    assert!(hash.view().is_packed());
    hash.set(b"f", &[b'v'; 65]);
    assert!(!hash.view().is_packed());
    drop(hash);
    assert_eq!(keyspace.database(db0()).len(), 2);
    let mut hash = keyspace.database_mut(db0()).hash_mut(other, limits).unwrap();
    assert!(hash.remove(b"f"));
    drop(hash);
    assert_eq!(keyspace.database(db0()).len(), 1, "a hash without fields is gone");
    let Some(Value::Hash(view)) = keyspace.database(db0()).get(key).map(Entry::value) else { panic!() };
    let mut seen = 0;
    assert_eq!(view.scan(ScanCursor::START, 10, &mut |_, _| seen += 1), ScanCursor::START);
    assert_eq!(seen, 1);
}

#[test]
fn a_write_into_a_large_hash_during_a_snapshot_copies_a_path() {
    let mut keyspace = keyspace(HashSeed::new([8; 16]));
    let key = keyspace.key(b"h");
    let mut hash = keyspace.database_mut(db0()).hash_mut(key, HashLimits::default()).unwrap();
    (0..20_000).for_each(|number| assert!(hash.set(format!("f{number}").as_bytes(), b"value")));
    drop(hash);
    let image = keyspace.snapshot();
    let mut hash = keyspace.database_mut(db0()).hash_mut(key, HashLimits::default()).unwrap();
    assert!(!hash.set(b"f77", b"other"));
    assert!(hash.remove(b"f78"));
    drop(hash);
    assert!(keyspace.bytes_copied_for_snapshots() < 15_000, "{}", keyspace.bytes_copied_for_snapshots());
    let (_, database) = image.into_databases().remove(0);
    let seed = *keyspace.seed();
    database.for_each(&mut |entry| {
        let Value::Hash(view) = entry.value() else { panic!() };
        assert_eq!((view.len(), view.get(&seed, b"f77")), (20_000, Some(b"value".as_slice())));
    });
    keyspace.database(db0()).tree.check();
}

#[test]
fn large_drops_go_to_the_reaper_and_the_keyspace_may_go_first() {
    let mut keyspace = keyspace(HashSeed::new([9; 16]));
    (0..2_000).for_each(|number| put(&mut keyspace, &format!("k{number}"), b"v", None));
    let key = keyspace.key(b"h");
    let mut hash = keyspace.database_mut(db0()).hash_mut(key, HashLimits::default()).unwrap();
    (0..2_000).for_each(|number| assert!(hash.set(format!("f{number}").as_bytes(), b"value")));
    drop(hash);
    put(&mut keyspace, "h", b"a string", None);
    keyspace.database_mut(db0()).clear();
    (0..2_000).for_each(|number| put(&mut keyspace, &format!("k{number}"), b"v", None));
    let image = keyspace.snapshot();
    drop(keyspace);
    assert_eq!(image.len(), 2_000);
    assert_eq!(image_contents(image)[&db0()].len(), 2_000);
}

#[test]
fn sets_and_sorted_sets_change_their_form_where_redis_does() {
    let mut keyspace = keyspace(HashSeed::new([9; 16]));
    let key = keyspace.key(b"set");
    let mut set = keyspace.database_mut(db0()).set_mut(key, SetLimits::default()).unwrap();
    let mut last = SetForm::Integers;
    // Long enough that neither the integers nor their text would fit where short strings do.
    for number in (0..=512).map(|number| number * 10_000_000_019_i64) {
        assert_eq!(set.view().form(), SetForm::Integers, "{number}");
        set.add(number.to_string().as_bytes());
        last = set.view().form();
    }
    assert_eq!((last, set.view().len()), (SetForm::Tree, 513));
    drop(set);
    let key = keyspace.key(b"packed");
    let mut set = keyspace.database_mut(db0()).set_mut(key, SetLimits::default()).unwrap();
    set.add(b"1");
    for number in 0..127 {
        set.add(format!("m{number}").as_bytes());
        assert_eq!(set.view().form(), SetForm::Packed);
    }
    assert!(!set.add(b"1") && set.view().form() == SetForm::Packed);
    set.add(b"one more");
    assert_eq!((set.view().form(), set.view().len()), (SetForm::Tree, 129));
    drop(set);
    let key = keyspace.key(b"long");
    let mut set = keyspace.database_mut(db0()).set_mut(key, SetLimits::default()).unwrap();
    set.add(&[b'x'; 64]);
    assert_eq!(set.view().form(), SetForm::Packed);
    set.add(&[b'x'; 65]);
    assert_eq!(set.view().form(), SetForm::Tree);
    drop(set);
    let key = keyspace.key(b"sorted");
    let mut sorted = keyspace.database_mut(db0()).sorted_set_mut(key, SortedSetLimits::default()).unwrap();
    for number in 0..128 {
        sorted.set(number.to_string().as_bytes(), f64::from(number));
        assert!(sorted.view().is_packed());
    }
    sorted.set(b"128", 0.5);
    assert!(!sorted.view().is_packed());
    sorted.set(b"0", 1.0);
    assert_eq!(sorted.view().rank(b"0"), Some((1, 1.0)));
    drop(sorted);
    keyspace.database(db0()).tree.check();
}

#[test]
fn a_write_to_a_large_sorted_set_under_a_snapshot_copies_a_path() {
    let mut keyspace = keyspace(HashSeed::new([8; 16]));
    let key = keyspace.key(b"sorted");
    let mut sorted = keyspace.database_mut(db0()).sorted_set_mut(key, SortedSetLimits::default()).unwrap();
    for number in 0..50_000 {
        sorted.set(format!("member:{number}").as_bytes(), f64::from(number % 1_000));
    }
    drop(sorted);
    let before = keyspace.database(db0()).bytes_used();
    let image = keyspace.snapshot();
    keyspace
        .database_mut(db0())
        .sorted_set_mut(key, SortedSetLimits::default())
        .unwrap()
        .set(b"member:7", 500.5);
    let copied = keyspace.bytes_copied_for_snapshots();
    assert!(copied > 0 && copied < 40_000, "{copied} bytes copied");
    assert!(keyspace.database(db0()).bytes_used().abs_diff(before) < 4_096);
    keyspace.database(db0()).tree.check();
    let (_, image) = image.into_databases().remove(0);
    image.for_each(&mut |entry| {
        let Value::SortedSet(view) = entry.value() else { panic!("{entry:?}") };
        assert_eq!((view.len(), view.score(b"member:7")), (50_000, Some(7.0)));
    });
}
