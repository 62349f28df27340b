use std::{collections::BTreeSet, io::ErrorKind};

use super::super::conformance::CHECKS;
use super::*;

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn open(storage: &SimulatedStorage, name: &str) -> Arc<dyn StoredFile> {
    storage.open(path(name), Open::Any).unwrap()
}

fn put(storage: &SimulatedStorage, name: &str, bytes: &[u8]) -> Arc<dyn StoredFile> {
    let file = open(storage, name);
    file.write_all_at(0, bytes).unwrap();
    file
}

fn content(storage: &SimulatedStorage, name: &str) -> Option<Vec<u8>> {
    let file = storage.open(path(name), Open::Existing).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    Some(bytes)
}

fn names(storage: &SimulatedStorage, folder: &str) -> Vec<String> {
    storage.list(path(folder)).unwrap().into_iter().map(|file| file.name).collect()
}

/// What power losses under many seeds leave.
fn outcomes<T: Ord>(storage: &SimulatedStorage, look: impl Fn(&SimulatedStorage) -> T) -> BTreeSet<T> {
    (0..400).map(|seed| look(&storage.power_loss(seed))).collect()
}

#[test]
fn it_behaves_as_any_storage() {
    for (what, check) in CHECKS {
        check(&SimulatedStorage::new()).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

#[test]
fn nothing_leads_out_of_it() {
    let storage = SimulatedStorage::new();
    for name in ["../a", "/a", "f/../../a"] {
        let refused = storage.open(path(name), Open::Any).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{name}");
    }
    assert_eq!(open(&storage, "a").set_len(1 << 40).unwrap_err().kind(), ErrorKind::FileTooLarge);
}

#[test]
fn failures_come_when_planned() {
    let storage = SimulatedStorage::new();
    let (a, b) = (open(&storage, "a"), open(&storage, "b"));
    storage.fail(Fault::error(ErrorKind::Other).on(Verb::Write).of("b").at(2).times(2));
    let outcomes: Vec<bool> =
        (0..5).map(|_| a.write_at(0, b"x").is_ok() && b.write_at(0, b"x").is_ok()).collect();
    assert_eq!(outcomes, [true, false, false, true, true]);
    assert_eq!((storage.failures(), storage.operations(Some(Verb::Write))), (2, 10));
    let before = storage.operations(None);
    storage.fail(Fault::error(ErrorKind::NotFound).at(3));
    assert!(a.len().is_ok() && storage.list(path("")).is_ok());
    assert_eq!(storage.rename(path("a"), path("c")).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(storage.rename(path("a"), path("c")).is_ok());
    assert_eq!(storage.operations(None), before + 4);
    storage.fail(Fault::error(ErrorKind::Other).forever());
    assert!(a.len().is_err() && a.sync().is_err());
    storage.stop_failing();
    assert!(a.len().is_ok());
}

#[test]
fn a_short_write_says_so() {
    let storage = SimulatedStorage::new();
    storage.fail(Fault::short_write(3).times(2));
    let file = open(&storage, "a");
    assert_eq!(file.write_at(0, b"abcdef").unwrap(), 3);
    file.write_all_at(3, b"defg").unwrap();
    assert_eq!(content(&storage, "a").unwrap(), b"abcdefg");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let storage = SimulatedStorage::new();
    put(&storage, "a", b"1234567");
    storage.set_capacity(Some(10));
    assert_eq!(storage.free_bytes(), Some(3));
    let b = open(&storage, "b");
    assert_eq!(b.write_at(0, b"abcdef").unwrap(), 3);
    assert_eq!(b.write_at(3, b"def").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(b.write_all_at(1, b"xyz").unwrap_err().kind(), ErrorKind::StorageFull);
    b.write_all_at(0, b"ABC").unwrap();
    storage.remove(path("a")).unwrap();
    b.write_all_at(3, b"DEF").unwrap();
    assert_eq!((storage.free_bytes(), content(&storage, "b").unwrap()), (Some(4), b"ABCDEF".to_vec()));
}

#[test]
fn a_crash_ends_everything_at_its_place() {
    let run = |nth| {
        let storage = SimulatedStorage::new();
        storage.fail(Fault::crash().at(nth));
        let act = || {
            let file = storage.open(path("a"), Open::New)?;
            file.write_all_at(0, b"abcd")?;
            file.sync()?;
            storage.rename(path("a"), path("b"))
        };
        assert_eq!(act().is_err(), storage.is_down());
        assert_eq!(storage.list(path("")).is_err(), storage.is_down(), "nothing is done after it");
        let after = storage.kill();
        (content(&after, "a"), content(&after, "b"))
    };
    assert_eq!(run(1), (None, None));
    assert_eq!(run(2), (Some(b"ab".to_vec()), None), "half a write");
    assert_eq!(run(3), (Some(b"abcd".to_vec()), None));
    assert_eq!(run(4), (Some(b"abcd".to_vec()), None));
    assert_eq!(run(6), (None, Some(b"abcd".to_vec())));
}

#[test]
fn a_killed_process_loses_nothing_and_touches_nothing_more() {
    let storage = SimulatedStorage::new();
    let file = put(&storage, "a", b"abc");
    let _lock = storage.lock_folder(path("")).unwrap();
    let after = storage.kill();
    assert!(storage.lock_folder(path("")).is_err() && after.lock_folder(path("")).is_ok());
    file.write_all_at(0, b"xyz").unwrap();
    assert_eq!((content(&after, "a").unwrap(), after.boots()), (b"abc".to_vec(), 0));
    // What was not synced still is not.
    let lost = outcomes(&after, |storage| (content(storage, "a"), storage.boots()));
    assert!(lost.contains(&(None, 1)) && lost.contains(&(Some(b"abc".to_vec()), 1)), "{lost:?}");
}

#[test]
fn what_is_synced_survives_a_power_loss() {
    let storage = SimulatedStorage::new();
    let bytes: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
    let file = put(&storage, "a", &bytes);
    file.sync().unwrap();
    storage.sync_folder(path("")).unwrap();
    file.write_all_at(100, b"in the first sector").unwrap();
    file.write_all_at(10_000, &[7; 3000]).unwrap();
    let mut torn = 0;
    for after in outcomes(&storage, |storage| content(storage, "a").unwrap()) {
        assert!((10_000..=13_000).contains(&after.len()));
        assert_eq!(&after[..100], &bytes[..100]);
        assert_eq!(&after[4096..9728], &bytes[4096..9728], "sectors that were not written stay");
        let is_new = after[100..].starts_with(b"in the first sector");
        assert!(is_new || after[..512] == bytes[..512], "a sector is old or new");
        let tail = &after[10_000..];
        assert!(tail.iter().all(|byte| [0, 7].contains(byte)));
        torn += usize::from(tail.contains(&0) && tail.contains(&7));
    }
    assert!(torn > 5, "{torn} torn tails");
    file.sync().unwrap();
    assert_eq!(outcomes(&storage, |storage| content(storage, "a").unwrap().len()), [13_000].into());
}

#[test]
fn a_cut_is_durable_only_when_synced() {
    let storage = SimulatedStorage::new();
    let file = put(&storage, "a", &[1; 2000]);
    file.sync().unwrap();
    storage.sync_folder(path("")).unwrap();
    file.set_len(10).unwrap();
    let lengths = outcomes(&storage, |storage| content(storage, "a").unwrap().len());
    assert!(lengths.contains(&10) && lengths.contains(&2000), "{lengths:?}");
    file.sync().unwrap();
    assert_eq!(outcomes(&storage, |storage| content(storage, "a").unwrap()), [vec![1; 10]].into());
}

#[test]
fn names_survive_when_their_folder_is_synced() {
    let storage = SimulatedStorage::new();
    put(&storage, "manifest", b"old").sync().unwrap();
    storage.sync_folder(path("")).unwrap();
    put(&storage, "temp", b"new").sync().unwrap();
    storage.rename(path("temp"), path("manifest")).unwrap();
    let seen = outcomes(&storage, |storage| (names(storage, "").join(" "), content(storage, "manifest")));
    let old_or_new = [
        ("manifest".to_owned(), Some(b"old".to_vec())),
        ("manifest temp".to_owned(), Some(b"old".to_vec())),
        ("manifest".to_owned(), Some(b"new".to_vec())),
    ];
    assert_eq!(seen, old_or_new.into());
    storage.sync_folder(path("")).unwrap();
    assert_eq!(outcomes(&storage, |storage| content(storage, "manifest")), [Some(b"new".to_vec())].into());
    storage.remove(path("manifest")).unwrap();
    assert_eq!(
        outcomes(&storage, |storage| content(storage, "manifest")),
        [None, Some(b"new".to_vec())].into()
    );
}

#[test]
fn a_move_between_folders_needs_both_synced_and_never_doubles_a_file() {
    let storage = SimulatedStorage::new();
    ["a", "b"].iter().for_each(|folder| storage.create_folder(path(folder)).unwrap());
    put(&storage, "a/x", b"x").sync().unwrap();
    ["", "a"].iter().for_each(|folder| storage.sync_folder(path(folder)).unwrap());
    let places = || outcomes(&storage, |storage| (names(storage, "a").len(), names(storage, "b").len()));
    storage.rename(path("a/x"), path("b/y")).unwrap();
    storage.rename(path("b/y"), path("b/z")).unwrap();
    assert_eq!(places(), [(1, 0), (0, 1)].into());
    storage.sync_folder(path("b")).unwrap();
    assert_eq!(places(), [(0, 1)].into(), "the second name is durable, and it is the file's only one");
}

#[test]
fn a_folder_that_is_lost_takes_its_files_along() {
    let storage = SimulatedStorage::new();
    storage.create_folder(path("f/g")).unwrap();
    put(&storage, "f/g/a", b"x").sync().unwrap();
    storage.sync_folder(path("f/g")).unwrap();
    let is_there = || outcomes(&storage, |storage| content(storage, "f/g/a").is_some());
    assert_eq!(is_there(), [false, true].into());
    storage.sync_folder(path("f")).unwrap();
    storage.sync_folder(path("")).unwrap();
    assert_eq!(is_there(), [true].into());
}

#[test]
fn a_failed_sync_forgets_what_a_later_one_does_not_make_good() {
    let storage = SimulatedStorage::new();
    let file = put(&storage, "a", &[1; 1024]);
    file.sync().unwrap();
    storage.sync_folder(path("")).unwrap();
    file.write_all_at(0, &[2; 1024]).unwrap();
    storage.fail(Fault::error(ErrorKind::Other).on(Verb::Sync));
    assert!(file.sync().is_err());
    file.write_all_at(512, &[3; 512]).unwrap();
    file.sync().unwrap();
    let seen = outcomes(&storage, |storage| {
        let bytes = content(storage, "a").unwrap();
        (bytes[0], bytes[1023])
    });
    assert_eq!(seen, [(1, 3), (2, 3)].into(), "what was written again is durable, the rest is not");
    assert_eq!(content(&storage, "a").unwrap()[0], 2, "the process sees what it wrote");
}

#[test]
fn the_same_seed_gives_the_same_image() {
    let storage = SimulatedStorage::new();
    storage.create_folder(path("f")).unwrap();
    for name in ["a", "f/b", "f/c"] {
        put(&storage, name, &[5; 5000]);
    }
    let look = |storage: &SimulatedStorage| ["a", "f/b", "f/c"].map(|name| content(storage, name));
    for seed in 0..50 {
        assert_eq!(look(&storage.power_loss(seed)), look(&storage.power_loss(seed)));
    }
    assert!(outcomes(&storage, look).len() > 50, "different seeds give different ones");
}

#[test]
fn files_that_nobody_can_reach_take_no_memory() {
    let storage = SimulatedStorage::new();
    for _ in 0..100 {
        put(&storage, "a", &[0; 1000]);
        storage.remove(path("a")).unwrap();
    }
    storage.sync_folder(path("")).unwrap();
    assert_eq!(storage.machine().disk.files_kept(), 0);
}

#[test]
fn whatever_happens_what_was_synced_is_there() {
    for seed in 0..200_u64 {
        let storage = SimulatedStorage::new();
        storage.create_folder(path("f")).unwrap();
        storage.sync_folder(path("")).unwrap();
        let file = open(&storage, "f/log");
        storage.sync_folder(path("f")).unwrap();
        let mut chance = seed;
        let (mut written, mut synced) = (Vec::new(), 0);
        for step in 0..30_u8 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if chance >> 62 == 0 {
                file.sync().unwrap();
                synced = written.len();
            } else {
                let bytes = vec![step + 1; (chance >> 52) as usize % 1500];
                file.write_all_at(written.len() as u64, &bytes).unwrap();
                written.extend_from_slice(&bytes);
            }
            let after = content(&storage.power_loss(seed ^ u64::from(step)), "f/log").unwrap();
            assert!(after.len() >= synced && after.len() <= written.len());
            assert_eq!(after[..synced], written[..synced], "seed {seed}, step {step}");
            let is_old_or_new = |(found, wrote): (&u8, &u8)| found == wrote || *found == 0;
            assert!(after[synced..].iter().zip(&written[synced..]).all(is_old_or_new));
        }
    }
}
