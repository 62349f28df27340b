use rejoin_protocol::{DbIndex, ReplicationId, UnixMillis};

use super::*;
use crate::{
    files::{BaseTask, Before, LogFiles, LogFilesOptions, StreamPlace},
    manifest::Manifest,
    segment::{BootId, side_path},
    storage::{Open, simulated::SimulatedStorage},
};

const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

/// A log on a disk, and what was appended to it.
struct World {
    disk: SimulatedStorage,
    files: LogFiles,
    stream: StreamName,
    bytes: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let disk = SimulatedStorage::new();
        let stream = StreamName { replid: id(1), ancestors: Vec::new() };
        let options = LogFilesOptions {
            folder: PathBuf::from("appendonlydir"),
            name: "appendonly.aof".to_owned(),
            history: Some(PathBuf::from("replhistory")),
            segment_bytes: 3000,
            boot: BootId(disk.boot_id()),
        };
        let place =
            StreamPlace { stream: stream.clone(), offset: Offset::ZERO, db: DbIndex::new(0), chain: 0 };
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let files =
            LogFiles::begin(storage, options, place, &Manifest::default(), Before::Nothing, NOW).unwrap();
        Self { disk, files, stream, bytes: Vec::new() }
    }

    fn append(&mut self, times: u64) {
        for _ in 0..times {
            let number = self.bytes.len();
            let unit = format!("*1\r\n$4\r\n{number:08}\r\n{}", "x".repeat(number % 70));
            self.bytes.extend_from_slice(unit.as_bytes());
            self.files.append(unit.as_bytes(), Some(DbIndex::new(number as u32 % 12)), NOW).unwrap();
        }
    }

    fn border(&self) -> Offset {
        Offset::new(self.bytes.len() as u64)
    }

    fn rewrite(&mut self) {
        let task: BaseTask = self.files.begin_base(1, NOW).unwrap();
        self.disk.open(&task.written, Open::Empty).unwrap().write_all_at(0, b"base").unwrap();
        self.files.install_base(task, 4).carry_out(&self.disk).unwrap();
        self.files.base_installed().carry_out(&self.disk).unwrap();
    }

    fn rename(&mut self, byte: u8) {
        let mut ancestors = vec![(self.stream.replid, self.border())];
        ancestors.append(&mut self.stream.ancestors);
        self.stream = StreamName { replid: id(byte), ancestors };
        self.files.rename_stream(self.stream.clone(), NOW).unwrap();
    }

    fn folders() -> Vec<PathBuf> {
        vec![PathBuf::from("appendonlydir"), PathBuf::from("replhistory")]
    }

    fn open(&self, from: u64) -> Result<FileCursor, NotRetained> {
        open(&self.disk, &Self::folders(), &self.stream, NextOffset::new(from), self.border())
    }

    /// Everything from `from` on, in pieces of at most `bytes_max`.
    fn read(&self, from: u64, bytes_max: u64) -> Result<Vec<u8>, NotRetained> {
        let mut read = Vec::new();
        let mut from = from;
        while from <= self.border().get() {
            let mut cursor = self.open(from)?;
            while let Some(piece) = cursor.next_piece(self.border(), bytes_max)? {
                assert!(piece.bytes > 0 && piece.bytes <= bytes_max);
                let mut bytes = vec![0; piece.bytes as usize];
                piece.file.read_exact_at(piece.at, &mut bytes).unwrap();
                read.extend_from_slice(&bytes);
                cursor.consume(piece.bytes);
            }
            assert!(cursor.is_at_end() || cursor.position().prior() == self.border());
            assert!(cursor.position().get() > from, "no segment ends where it is opened");
            from = cursor.position().get();
        }
        Ok(read)
    }

    fn damage(&self, offset: u64) -> PathBuf {
        let cursor = self.open(offset).unwrap();
        let file = self.disk.open(cursor.path(), Open::Existing).unwrap();
        let at = cursor.segment.place(Offset::new(offset - 1));
        let mut byte = [0];
        file.read_exact_at(at, &mut byte).unwrap();
        file.write_all_at(at, &[byte[0] ^ 1]).unwrap();
        cursor.path().to_owned()
    }
}

#[test]
fn every_byte_is_found_whatever_became_of_its_segment() {
    let mut world = World::new();
    world.append(300);
    world.rewrite();
    world.append(200);
    world.rename(2);
    world.append(100);
    world.rewrite();
    world.rename(3);
    world.append(150);
    let all = world.bytes.len() as u64;
    for from in (1..=all).step_by(97).chain([1, all, all + 1]) {
        let read = world.read(from, 1 + from % 5000).unwrap();
        assert!(read == world.bytes[from as usize - 1..], "from {from}");
    }
    let catalog = Catalog::look(&world.disk, &World::folders(), &world.stream).unwrap();
    assert_eq!(catalog.first_retained(world.border()), NextOffset::FIRST);
}

#[test]
fn a_reader_goes_on_while_the_segment_grows_and_is_moved() {
    let mut world = World::new();
    world.append(10);
    let mut cursor = world.open(1).unwrap();
    let mut read = Vec::new();
    for round in 0..60 {
        let border = world.border();
        loop {
            match cursor.next_piece(border, 700).unwrap() {
                Some(piece) => {
                    let mut bytes = vec![0; piece.bytes as usize];
                    piece.file.read_exact_at(piece.at, &mut bytes).unwrap();
                    read.extend_from_slice(&bytes);
                    cursor.consume(piece.bytes);
                }
                None if cursor.position().prior() == border => break,
                None => {
                    assert!(cursor.is_at_end());
                    cursor = world.open(cursor.position().get()).unwrap();
                }
            }
        }
        // What is behind the border was not shown.
        assert_eq!(read.len() as u64, border.get());
        world.append(round % 9);
        if round % 20 == 19 {
            world.rewrite();
        }
    }
    assert!(world.bytes.starts_with(&read) && read.len() > 10_000);
}

#[test]
fn what_an_ancestor_wrote_behind_the_parting_is_not_ours() {
    let mut world = World::new();
    world.append(20);
    let shared = world.border();
    // The other node wrote on under the old name, and we have its segment, too.
    let head = crate::segment::SegmentHead {
        stream: StreamName { replid: id(1), ancestors: Vec::new() },
        start: shared,
        preamble: 0,
        db: DbIndex::new(0),
        chain: 0,
        created: NOW,
        boot: BootId(world.disk.boot_id()),
        begins_empty: false,
    };
    world.disk.create_folder(Path::new("replhistory")).unwrap();
    let path = crate::files::history::segment_path(Path::new("replhistory"), id(1), shared);
    let mut other = crate::segment::SegmentWriter::create(&world.disk, &path, head).unwrap();
    other.append(&[b'?'; 5000], NOW).unwrap();
    world.rename(2);
    world.append(200);
    assert!(world.read(1, 4096).unwrap() == world.bytes);
}

#[test]
fn what_is_missing_is_named() {
    let mut world = World::new();
    world.append(300);
    world.rewrite();
    world.append(10);
    let catalog = Catalog::look(&world.disk, &World::folders(), &world.stream).unwrap();
    let second = catalog.places[1].clone();
    world.disk.remove(&second.path).unwrap();
    let error = world.open(1).unwrap_err();
    let first = second.end.next();
    assert_eq!(error.to_string(), format!("wanted 1, files have {first} on"));
    assert!(world.read(first.get(), 9999).unwrap() == world.bytes[second.end.get() as usize..]);
    let other = StreamName { replid: id(9), ancestors: Vec::new() };
    let error = open(&world.disk, &World::folders(), &other, NextOffset::FIRST, world.border()).unwrap_err();
    assert_eq!(error.to_string(), format!("wanted 1, files have {} on", world.border().next()));
}

#[test]
fn damage_is_found_before_it_is_shown() {
    for damaged in [1, 1000, 7777] {
        let mut world = World::new();
        world.append(300);
        world.rename(2);
        let path = world.damage(damaged);
        let error = world.read(damaged, 500).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()) && error.contains("is damaged between"), "{error}");
        assert!(world.read(1, 500).is_err());
    }
}

#[test]
fn a_segment_without_its_side_data_is_not_believed() {
    let mut world = World::new();
    world.append(300);
    let path = world.open(1).unwrap().path().to_owned();
    world.disk.remove(&side_path(&path)).unwrap();
    assert!(matches!(world.open(1), Err(NotRetained::Missing { .. })));
}

#[test]
fn a_stream_that_was_given_up_is_not_read_under_the_name_that_it_shares() {
    // The master was put back to an older state, and goes on under its name with other bytes.
    for (restored, has_base) in [(0, false), (0, true), (5000, false), (5000, true), (9000, true)] {
        let mut world = World::new();
        world.append(300);
        world.rewrite();
        world.append(250);
        let reached = world.border();
        let place = StreamPlace {
            stream: world.stream.clone(),
            offset: Offset::new(restored),
            db: DbIndex::new(0),
            chain: 0,
        };
        world.files.begin_again(place, Before::Base, NOW).unwrap();
        world.bytes.truncate(restored as usize);
        let first = restored + 1;
        for step in 0..8 {
            for _ in 0..30 {
                let (number, at) = (world.bytes.len(), world.bytes.len() as u32);
                let unit = format!("*1\r\n$4\r\n{number:08}\r\n{}", "?".repeat(number % 50));
                world.bytes.extend_from_slice(unit.as_bytes());
                world.files.append(unit.as_bytes(), Some(DbIndex::new(at % 12)), NOW).unwrap();
            }
            if has_base && step % 3 == 1 {
                world.rewrite();
            }
            assert!(world.read(first, 700).unwrap() == world.bytes[restored as usize..]);
            let missing = world.open(restored.max(1));
            assert_eq!(missing.is_err(), restored > 0, "what came before went with its data");
        }
        assert!(reached.get() > 12_000);
        // Nothing of it is left where it could be mistaken: neither segments nor bases.
        let live = world.disk.list(Path::new("appendonlydir")).unwrap();
        let kept = world.disk.list(Path::new("replhistory")).unwrap();
        let is_dead = |name: &str| {
            let offset = name.split_once('-').and_then(|(_, rest)| rest.split_once('.'));
            offset.is_some_and(|(offset, _)| offset.parse::<u64>().unwrap() < restored)
        };
        assert!(!has_base || !kept.iter().any(|file| is_dead(&file.name)), "{kept:?}");
        assert!(!live.is_empty());
    }
}
