//! The log's files under every failure that a disk can think of: each operation is once the last one, or fails once.
//! Whatever happens, what was acknowledged is found again, and the stream's bytes are those that were appended.

mod retiring;
mod rewinding;

use std::path::Path;

use rejoin_protocol::{ByteCount, ReplicationId};

use super::recover::{FoundLog, Increments, Replayed, Resumed, look};
use super::*;
use crate::segment::{SegmentFlaw, Standing, side_path};
use crate::storage::simulated::{Fault, SimulatedStorage, Verb};
use crate::storage::{Open, StoredFile};

const NOW: UnixMillis = UnixMillis::new(1_700_000_000_000);

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn stream(byte: u8) -> StreamName {
    StreamName { replid: id(byte), ancestors: Vec::new() }
}

fn options(storage: &SimulatedStorage) -> LogFilesOptions {
    LogFilesOptions {
        folder: PathBuf::from("appendonlydir"),
        name: "appendonly.aof".to_owned(),
        history: Some(PathBuf::from("replhistory")),
        segment_bytes: 400,
        boot: BootId(storage.boot_id()),
        is_followed: false,
    }
}

fn shared(storage: &SimulatedStorage) -> Arc<dyn Storage> {
    Arc::new(storage.clone())
}

/// The stream's unit number `number`: a few dozen bytes, each different.
fn unit(number: u64) -> Vec<u8> {
    format!("*1\r\n$4\r\n{number:04}\r\n{}", "x".repeat(number as usize % 30)).into_bytes()
}

/// What a test knows of the stream.
#[derive(Clone, Debug, Default)]
struct Model {
    bytes: Vec<u8>,
    borders: Vec<u64>,
    /// Borders that were acknowledged, and those that were synced before.
    acknowledged: u64,
    synced: u64,
}

impl Model {
    fn append(&mut self, files: &mut LogFiles) -> io::Result<()> {
        let unit = unit(self.borders.len() as u64);
        self.bytes.extend_from_slice(&unit);
        self.borders.push(self.bytes.len() as u64);
        let appended = files.append(&unit, Some(DbIndex::new(self.borders.len() as u32 % 3)), NOW);
        if appended.is_ok() {
            self.acknowledged = self.bytes.len() as u64;
        } else {
            self.bytes.truncate(self.bytes.len() - unit.len());
            self.borders.pop();
        }
        appended
    }

    fn sync(&mut self, files: &mut LogFiles) -> io::Result<()> {
        let task = files.sync_task(NOW);
        let outcome = task.carry_out(&**files.storage());
        match &outcome {
            Ok(()) => {
                self.synced = task.offset.get();
                files.note_synced(task.offset, NOW);
            }
            Err(_) => files.sync_failed(task),
        }
        outcome
    }

    /// The last border up to `end`.
    fn border_before(&self, end: u64) -> u64 {
        self.borders.iter().copied().filter(|border| *border <= end).max().unwrap_or(0)
    }
}

/// A base is a file that says where it stands.
fn write_base(storage: &dyn Storage, task: &BaseTask) -> io::Result<u64> {
    let file = storage.open(&task.written, Open::Empty)?;
    let text = format!("{}", task.offset.get()).into_bytes();
    file.write_all_at(0, &text)?;
    file.sync()?;
    Ok(text.len() as u64)
}

fn rewrite(files: &mut LogFiles, model: &mut Model) -> io::Result<()> {
    rewrite_beside(files, model, 20)
}

fn rewrite_beside(files: &mut LogFiles, model: &mut Model, appends: u32) -> io::Result<()> {
    let task = files.begin_base(1, NOW)?;
    let storage = files.storage().clone();
    let bytes = write_base(&*storage, &task)?;
    let sync = files.sync_task(NOW);
    let installation = files.install_base(task, bytes);
    let installed = sync.carry_out(&*storage).and_then(|()| {
        // The shard goes on meanwhile, with new segments, and syncs what it appends.
        for _ in 0..appends {
            model.append(files)?;
            files.sync_now().carry_out(&*storage)?;
            files.synced_now();
        }
        installation.carry_out(&*storage)
    });
    match installed {
        Ok(()) => files.base_installed().carry_out(&*storage),
        Err(error) => {
            files.base_failed();
            Err(error)
        }
    }
}

fn begin(storage: &SimulatedStorage) -> io::Result<LogFiles> {
    let place = StreamPlace { stream: stream(1), offset: Offset::ZERO, db: DbIndex::new(0), chain: 0 };
    LogFiles::begin(shared(storage), options(storage), place, &Manifest::default(), Before::Nothing, NOW)
}

/// Everything that happens to a log in its life; stops at the first failure.
fn live(storage: &SimulatedStorage, model: &mut Model, syncs_all: bool) -> io::Result<()> {
    let mut files = begin(storage)?;
    for step in 0..60 {
        model.append(&mut files)?;
        if syncs_all {
            let task = files.sync_now();
            task.carry_out(storage)?;
            files.synced_now();
            model.synced = task.offset.get();
        } else if step % 7 == 6 {
            model.sync(&mut files)?;
        }
        if step == 25 || step == 40 {
            rewrite(&mut files, model)?;
            model.synced = model.acknowledged;
        }
        if step == 33 {
            files.rename_stream(StreamName { replid: id(2), ancestors: vec![(id(1), files.end())] }, NOW)?;
        }
    }
    files.close(NOW)
}

fn read(file: &dyn StoredFile) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

/// Loads what is there, as a start does: where the base stands, the bytes behind it, and how far they are verified.
fn load(storage: &SimulatedStorage, found: &FoundLog) -> Result<(u64, Vec<u8>, Offset), SegmentFlaw> {
    let base = found.base.as_ref().map_or(0, |(path, _)| {
        let bytes = read(&*storage.open(path, Open::Existing).unwrap());
        String::from_utf8(bytes).unwrap().parse().unwrap()
    });
    let Increments::Ours(segments) = &found.increments else {
        panic!("{:?} {:?}", found.increments, storage.list(Path::new("appendonlydir")))
    };
    assert_eq!(segments[0].head.start.get(), base, "the first increment begins where the base stands");
    let mut stream = Vec::new();
    let mut verified = Offset::ZERO;
    for segment in segments {
        assert_eq!(segment.head.start.get(), base + stream.len() as u64);
        let mut reader = segment.read();
        while let Some(piece) = reader.next_piece()? {
            stream.extend_from_slice(piece);
        }
        verified = reader.verified();
    }
    Ok((base, stream, verified))
}

/// Starts from what is there and checks it against the model; the files go on.
fn restart(storage: &SimulatedStorage, model: &Model, at_least: u64) -> Option<(LogFiles, Resumed)> {
    let Some(found) = look(storage, &options(storage)).unwrap() else {
        assert_eq!(at_least, 0, "what was acknowledged is gone");
        return None;
    };
    let (base, stream, verified) = load(storage, &found).unwrap();
    let end = base + stream.len() as u64;
    let border = model.border_before(end);
    assert!(border >= at_least, "{at_least} bytes were acknowledged, {border} are there");
    assert_eq!(stream[..(border - base) as usize], model.bytes[base as usize..border as usize]);
    let replayed = Replayed {
        border: Offset::new(border),
        verified: verified.min(Offset::new(border)),
        db: DbIndex::new(0),
    };
    Some(found.resume(shared(storage), options(storage), replayed, id(9), NOW).unwrap())
}

#[test]
fn a_life_without_failures_ends_where_it_should() {
    let storage = SimulatedStorage::new();
    let mut model = Model::default();
    live(&storage, &mut model, false).unwrap();
    let manifest = read(&*storage.open(&options(&storage).manifest_path(), Open::Existing).unwrap());
    let manifest = Manifest::parse(&manifest).unwrap();
    assert!(manifest.base.is_some() && manifest.increments.len() > 1, "{manifest:?}");
    let end = manifest.increments.last().unwrap().end_offset;
    assert_eq!(end, Some(model.acknowledged as i64), "Redis 8 comes up at our offset");
    let history = storage.list(Path::new("replhistory")).unwrap();
    assert!(history.iter().any(|file| file.name.ends_with(".aof")), "{history:?}");
    assert!(history.iter().any(|file| file.name.ends_with(".rdb")), "the first base: {history:?}");
    let limits = history::HistoryLimits { bytes_max: 1 << 20, seconds_max: 60, bytes_hard_max: 0 };
    let kept = history::trim(&storage, Path::new("replhistory"), limits, NOW, None).unwrap().files;
    assert_eq!(kept * 2, history.len() + 1, "each but the base has side data");
    let later = UnixMillis::new(NOW.get() + 61_000);
    history::trim(&storage, Path::new("replhistory"), limits, later, None).unwrap();
    assert_eq!(storage.list(Path::new("replhistory")).unwrap(), []);
    for found in [storage.kill(), storage.power_loss(1)] {
        let (files, resumed) = restart(&found, &model, model.acknowledged).unwrap();
        assert_eq!(
            (files.end().get(), resumed.is_renamed, resumed.bytes_cut),
            (model.acknowledged, false, 0)
        );
        assert_eq!(resumed.place.stream.replid, id(2));
        // From here on a power loss may take something, though nothing was written yet.
        drop(files);
        let (_, resumed) = restart(&found.power_loss(1), &model, model.acknowledged).unwrap();
        assert!(resumed.is_renamed);
    }
}

#[test]
fn whatever_operation_is_the_last_all_that_was_acknowledged_is_found() {
    let whole = SimulatedStorage::new();
    live(&whole, &mut Model::default(), false).unwrap();
    for last in 0..whole.operations(None) {
        let storage = SimulatedStorage::new();
        let mut model = Model::default();
        storage.fail(Fault::crash().at(last + 1));
        let outcome = live(&storage, &mut model, false);
        assert!(outcome.is_err() || last + 1 == whole.operations(None), "operation {last}");
        let found = storage.kill();
        let Some((mut files, resumed)) = restart(&found, &model, model.acknowledged) else { continue };
        assert!(!resumed.is_renamed, "the machine was up all the time");
        // And the log goes on: the next start finds that, too.
        let mut model = Model { bytes: model.bytes[..files.end().get() as usize].to_vec(), ..model };
        model.borders.retain(|border| *border <= files.end().get());
        for _ in 0..3 {
            model.append(&mut files).unwrap();
        }
        drop(files);
        restart(&found.kill(), &model, model.acknowledged).unwrap();
    }
}

#[test]
fn after_a_power_loss_what_was_synced_is_there_and_the_stream_has_a_new_name() {
    let whole = SimulatedStorage::new();
    live(&whole, &mut Model::default(), false).unwrap();
    for (last, syncs_all) in (0..whole.operations(None)).flat_map(|last| [(last, false), (last, true)]) {
        let storage = SimulatedStorage::new();
        let mut model = Model::default();
        storage.fail(Fault::crash().at(last + 1));
        let _ = live(&storage, &mut model, syncs_all);
        for seed in 0..4 {
            let found = storage.power_loss(seed);
            let Some((files, resumed)) = restart(&found, &model, model.synced) else { continue };
            let name = &resumed.place.stream;
            if !resumed.is_renamed {
                assert!(last + 1 == whole.operations(None), "replicas may hold bytes that are lost here");
                continue;
            }
            assert_eq!(name.replid, id(9));
            let (_, last_valid) = name.ancestors[0];
            assert!(last_valid <= files.end());
            let first_wrong = last_valid.get() as usize;
            assert!(first_wrong <= model.bytes.len(), "an ancestor ends where our bytes do at the latest");
        }
    }
}

/// What a start does with files that nobody needs.
fn tidy(storage: &SimulatedStorage, files: &LogFiles) {
    files.strays().carry_out(storage).unwrap();
    let is_history = |file: &history::HistoryFile| matches!(file.kind, history::HistoryKind::Segment(_));
    let kept = history::list(storage, Path::new("replhistory")).unwrap_or_default();
    for file in kept.iter().filter(|file| is_history(file)) {
        assert!(file.offset < files.end(), "{} lies behind the end {}", file.path.display(), files.end());
    }
}

#[test]
fn what_a_power_loss_cut_off_is_no_history_and_does_not_come_back() {
    for (seed, appends) in (0..60).flat_map(|seed| [3, 25, 40].map(|appends| (seed, appends))) {
        let storage = SimulatedStorage::new();
        let mut model = Model::default();
        let mut files = begin(&storage).unwrap();
        for _ in 0..appends {
            model.append(&mut files).unwrap();
            if model.borders.len() == 20 {
                model.sync(&mut files).unwrap();
            }
        }
        drop(files);
        let first = storage.power_loss(seed);
        let Some((files, resumed)) = restart(&first, &model, model.synced) else { continue };
        tidy(&first, &files);
        let at = resumed.place.offset;
        drop(files);
        // Nothing was synced since. What is there is what was there, and no stranger's.
        let again = first.power_loss(seed + 1000);
        let (files, resumed) = restart(&again, &model, at.get()).unwrap();
        assert_eq!(resumed.place.offset, at, "seed {seed}, {appends} appends");
        tidy(&again, &files);
    }
}

#[test]
fn a_process_that_ends_while_it_cuts_off_a_lost_append_leaves_no_strangers_log() {
    for (crash, second) in (1..6).flat_map(|crash| (1..40).map(move |second| (crash, second))) {
        let storage = SimulatedStorage::new();
        let mut model = Model::default();
        let mut files = begin(&storage).unwrap();
        model.append(&mut files).unwrap();
        storage.fail(Fault::crash().at(crash));
        while model.append(&mut files).is_ok() {}
        drop(files);
        let starting = storage.kill();
        starting.fail(Fault::crash().at(second));
        if let Ok(Some(found)) = look(&starting, &options(&starting))
            && let Ok((base, stream, verified)) = load(&starting, &found)
        {
            let border = Offset::new(model.border_before(base + stream.len() as u64));
            let replayed = Replayed { border, verified: verified.min(border), db: DbIndex::new(0) };
            let _ = found.resume(shared(&starting), options(&starting), replayed, id(9), NOW);
        }
        let (_, resumed) = restart(&starting.kill(), &model, model.acknowledged).unwrap();
        assert!(!resumed.is_renamed, "crashes at {crash} and {second}");
    }
}

#[test]
fn a_lost_append_whose_place_was_taken_is_no_damage() {
    for crash in 1..12 {
        let storage = SimulatedStorage::new();
        let mut model = Model::default();
        let mut files = begin(&storage).unwrap();
        model.append(&mut files).unwrap();
        storage.fail(Fault::crash().at(crash));
        while model.append(&mut files).is_ok() {}
        drop(files);
        let mut found = storage.kill();
        // Another one takes its place, and each process dies after one append.
        for number in 0..4 {
            let (mut files, _) = restart(&found, &model, model.acknowledged).unwrap();
            model.bytes.truncate(files.end().get() as usize);
            model.borders.retain(|border| *border <= files.end().get());
            let unit = format!("*1\r\n$9\r\nother {number:03}\r\n").into_bytes();
            files.append(&unit, None, NOW).unwrap();
            model.bytes.extend_from_slice(&unit);
            model.borders.push(model.bytes.len() as u64);
            model.acknowledged = model.bytes.len() as u64;
            drop(files);
            found = found.kill();
        }
    }
}

#[test]
fn an_append_that_fails_was_never_there_and_the_next_one_is_whole() {
    let whole = SimulatedStorage::new();
    let mut model = Model::default();
    let mut files = begin(&whole).unwrap();
    let begun = whole.operations(None);
    for _ in 0..20 {
        model.append(&mut files).unwrap();
    }
    for nth in 0..whole.operations(None) - begun {
        for fault in [Fault::error(io::ErrorKind::StorageFull), Fault::short_write(5)] {
            let storage = SimulatedStorage::new();
            let mut files = begin(&storage).unwrap();
            let mut model = Model::default();
            storage.fail(fault.at(nth + 1));
            let mut failures = 0;
            while model.borders.len() < 20 {
                failures += u32::from(model.append(&mut files).is_err());
                assert!(failures < 3);
                if failures == 1 && model.borders.len() % 5 == 0 {
                    // Killed right behind it, nothing is missing and nothing too much.
                    restart(&storage.kill(), &model, model.acknowledged).unwrap();
                }
            }
            drop(files);
            let (files, resumed) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
            assert_eq!((files.end().get(), resumed.bytes_cut), (model.acknowledged, 0), "operation {nth}");
        }
    }
}

#[test]
fn a_full_disk_stops_the_log_and_room_lets_it_go_on() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    storage.set_capacity(Some(6_000));
    while model.append(&mut files).is_ok() {}
    let stopped_at = model.acknowledged;
    assert!(stopped_at > 1_000);
    assert!(model.append(&mut files).is_err() && rewrite(&mut files, &mut model).is_err());
    restart(&storage.kill(), &model, stopped_at).unwrap();
    storage.set_capacity(None);
    for _ in 0..20 {
        model.append(&mut files).unwrap();
    }
    rewrite(&mut files, &mut model).unwrap();
    model.append(&mut files).unwrap();
    drop(files);
    let (files, _) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
    assert!(files.base_bytes() > 0);
}

#[test]
fn a_base_that_cannot_be_installed_leaves_what_was_live() {
    let whole = SimulatedStorage::new();
    let mut files = begin(&whole).unwrap();
    let mut model = Model::default();
    for _ in 0..30 {
        model.append(&mut files).unwrap();
    }
    let before = whole.operations(None);
    rewrite(&mut files, &mut model).unwrap();
    for nth in before..whole.operations(None) {
        let storage = SimulatedStorage::new();
        let mut files = begin(&storage).unwrap();
        let mut model = Model::default();
        for _ in 0..30 {
            model.append(&mut files).unwrap();
        }
        storage.fail(Fault::error(io::ErrorKind::StorageFull).at(nth - before + 1));
        let _ = rewrite(&mut files, &mut model);
        assert_eq!(storage.failures(), 1, "operation {nth}");
        model.append(&mut files).unwrap();
        restart(&storage.kill(), &model, model.acknowledged).unwrap();
        rewrite(&mut files, &mut model).unwrap();
        model.append(&mut files).unwrap();
        drop(files);
        restart(&storage.kill(), &model, model.acknowledged).unwrap();
    }
}

#[test]
fn another_stream_takes_over_with_its_first_base_and_not_before() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..20 {
        model.append(&mut files).unwrap();
    }
    let place = StreamPlace { stream: stream(5), offset: Offset::new(7_000), db: DbIndex::new(2), chain: 0 };
    files.begin_again(place, Before::Base, NOW).unwrap();
    files.append(&unit(0), None, NOW).unwrap();
    files.sync_task(NOW).carry_out(&storage).unwrap();
    // The old data is what a start loads until the new is whole.
    let (old, _) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
    assert_eq!(old.end().get(), model.acknowledged);
    rewrite_beside(&mut files, &mut model, 0).unwrap();
    let end = files.end();
    assert_eq!(end, Offset::new(7_000).advance(ByteCount::of(unit(0).len())));
    drop(files);
    let found = look(&storage.kill(), &options(&storage)).unwrap().unwrap();
    assert_eq!(found.start(), Some((id(5), end)));
    // Nothing of the old set lies among what is live.
    let live = storage.list(Path::new("appendonlydir")).unwrap();
    assert_eq!(live.len(), 4, "base, increment, its side data and the manifest: {live:?}");
}

#[test]
fn who_starts_as_a_master_behind_a_masters_bytes_takes_another_name() {
    let restarted = |files: LogFiles, storage: &SimulatedStorage, is_closed: bool, is_followed: bool| {
        if is_closed {
            files.close(NOW).unwrap()
        } else {
            drop(files)
        }
        let storage = storage.kill();
        let found = look(&storage, &options(&storage)).unwrap().unwrap();
        let (_, stream, verified) = load(&storage, &found).unwrap();
        let border = Offset::new(stream.len() as u64);
        let replayed = Replayed { border, verified, db: DbIndex::new(0) };
        let options = LogFilesOptions { is_followed, ..options(&storage) };
        let (files, resumed) = found.resume(shared(&storage), options, replayed, id(9), NOW).unwrap();
        assert_eq!(files.end(), border);
        (files, resumed, storage)
    };
    for is_closed in [false, true] {
        for appends in [0, 3, 60] {
            let storage = SimulatedStorage::new();
            let (mut files, mut model) = (begin(&storage).unwrap(), Model::default());
            model.append(&mut files).unwrap();
            files.set_followed(true).unwrap();
            for _ in 0..appends {
                model.append(&mut files).unwrap();
            }
            // As a replica it goes on as it was, and so does whoever starts again.
            let (files, resumed, storage) = restarted(files, &storage, is_closed, true);
            assert!(!resumed.is_renamed);
            let (files, resumed, storage) = restarted(files, &storage, is_closed, false);
            assert!(resumed.is_renamed);
            let shared_name = (id(1), Offset::new(model.acknowledged));
            let name = StreamName { replid: id(9), ancestors: vec![shared_name] };
            assert_eq!(resumed.place.stream, name);
            // From there on the bytes are its own.
            let (mut files, resumed, _) = restarted(files, &storage, is_closed, false);
            assert!(!resumed.is_renamed);
            assert_eq!(resumed.place.stream, name);
            model.append(&mut files).unwrap();
        }
    }
    // Who was promoted has a name of its own.
    let storage = SimulatedStorage::new();
    let (mut files, mut model) = (begin(&storage).unwrap(), Model::default());
    files.set_followed(true).unwrap();
    model.append(&mut files).unwrap();
    files.set_followed(false).unwrap();
    files.rename_stream(stream(4), NOW).unwrap();
    let (_, resumed, _) = restarted(files, &storage, false, false);
    assert_eq!((resumed.is_renamed, resumed.place.stream.replid), (false, id(4)));
}

#[test]
fn what_somebody_else_wrote_is_foreign() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..5 {
        model.append(&mut files).unwrap();
    }
    let last = options(&storage).folder.join(&files.manifest().increments[0].name);
    drop(files);
    let why = |storage: &SimulatedStorage| match look(storage, &options(storage)).unwrap().unwrap().increments
    {
        Increments::Foreign { why, .. } => why,
        Increments::Ours(_) => String::new(),
    };
    assert_eq!(why(&storage.kill()), "");
    let touched = storage.kill();
    let file = touched.open(&last, Open::Existing).unwrap();
    file.write_all_at(file.len().unwrap(), b"*1\r\n$4\r\nPING\r\n").unwrap();
    assert!(why(&touched).contains("bytes where we wrote"), "{}", why(&touched));
    let bare = storage.kill();
    bare.remove(&side_path(&last)).unwrap();
    assert!(why(&bare).contains("no side data"), "{}", why(&bare));
}

#[test]
fn every_flipped_byte_of_a_segment_is_placed() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..8 {
        model.append(&mut files).unwrap();
    }
    let last = options(&storage).folder.join(&files.manifest().increments[0].name);
    drop(files);
    for place in 0..model.acknowledged {
        let damaged = storage.kill();
        let file = damaged.open(&last, Open::Existing).unwrap();
        let mut byte = [0];
        file.read_exact_at(place, &mut byte).unwrap();
        file.write_all_at(place, &[byte[0] ^ 0x10]).unwrap();
        let found = look(&damaged, &options(&damaged)).unwrap().unwrap();
        match load(&damaged, &found) {
            Err(SegmentFlaw::Damaged { from, to, .. }) => assert!(from <= place && place < to),
            other => panic!("byte {place}: {other:?}"),
        }
    }
}

#[test]
fn every_shorter_file_is_cut_at_a_border() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..8 {
        model.append(&mut files).unwrap();
    }
    let last = options(&storage).folder.join(&files.manifest().increments[0].name);
    drop(files);
    for len in 0..model.acknowledged {
        let torn = storage.kill();
        torn.open(&last, Open::Existing).unwrap().set_len(len).unwrap();
        let found = look(&torn, &options(&torn)).unwrap().unwrap();
        let Increments::Ours(segments) = &found.increments else { panic!() };
        assert_eq!(segments[0].standing(options(&torn).boot), Standing::Torn);
        let (files, resumed) = restart(&torn, &model, 0).unwrap();
        assert_eq!(files.end().get(), model.border_before(len));
        // A killed process loses its last append; whoever lost more may have told replicas of it.
        let is_last_append = model.border_before(len) >= model.border_before(model.acknowledged - 1);
        assert_eq!(resumed.is_renamed, !is_last_append, "{len} of {}", model.acknowledged);
        assert_eq!(resumed.bytes_cut, len - files.end().get());
    }
}

#[test]
fn an_increment_that_is_missing_or_does_not_follow_is_told() {
    let storage = SimulatedStorage::new();
    let mut model = Model::default();
    let mut files = begin(&storage).unwrap();
    for _ in 0..60 {
        model.append(&mut files).unwrap();
    }
    model.sync(&mut files).unwrap();
    assert!(files.manifest().increments.len() > 2);
    let second = options(&storage).folder.join(&files.manifest().increments[1].name);
    drop(files);
    let missing = storage.kill();
    missing.remove(&second).unwrap();
    let error = look(&missing, &options(&missing)).unwrap_err().to_string();
    assert_eq!(error, "The AOF file appendonlydir/appendonly.aof.2.incr.aof doesn't exist");
    let short = storage.kill();
    short.open(&second, Open::Existing).unwrap().set_len(100).unwrap();
    let error = look(&short, &options(&short)).unwrap_err().to_string();
    assert!(error.contains("bytes are missing"), "{error}");
}

#[test]
fn a_sync_that_fails_is_told_and_its_files_are_asked_for_again() {
    let storage = SimulatedStorage::new();
    let mut model = Model::default();
    let mut files = begin(&storage).unwrap();
    model.append(&mut files).unwrap();
    storage.fail(Fault::error(io::ErrorKind::Other).on(Verb::Sync));
    assert!(model.sync(&mut files).is_err());
    assert!(files.sync_task(NOW).carry_out(&storage).is_ok());
    assert_eq!(storage.failures(), 1);
}
