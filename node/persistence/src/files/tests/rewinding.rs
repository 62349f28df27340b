//! Going back: whatever operation on the disk is the last, or fails, a start finds the stream as it was, or as it is after.

use super::super::{
    history::HistoryKind,
    lost,
    rewind::{self, BaseAt, NoWay, Search},
};
use super::*;

fn folders() -> [PathBuf; 2] {
    ["appendonlydir", "replhistory"].map(PathBuf::from)
}

fn find(files: &LogFiles, storage: &SimulatedStorage, wanted: u64) -> Result<rewind::Way, NoWay> {
    let place = files.place();
    let search = Search {
        folders: &folders(),
        bases: files.base().into_iter().collect(),
        stream: &place.stream,
        end: place.offset,
        wanted: Offset::new(wanted),
    };
    rewind::find(storage, search)
}

/// The stream goes back to `at` and on as stream 5.
fn go_back(files: &mut LogFiles, storage: &SimulatedStorage, at: u64) -> Result<(), String> {
    let way = find(files, storage, at).map_err(|no| no.to_string())?;
    let (old, at) = (files.place(), Offset::new(at));
    let segment = way.segment_at(at).unwrap();
    let (replid, db) = (old.stream.replid, DbIndex::new(2));
    let folder = files.folder().to_owned();
    lost::keep(storage, &folder, (replid, db), &way.segments, at, old.offset)
        .map_err(|flaw| flaw.to_string())?;
    let is_whole = segment.end_present() == at && segment.head.start < at;
    let cut = match is_whole {
        true => None,
        false => Some(
            rewind::cut(storage, segment, at, &folder.join("temp-rewind-1.cut"))
                .map_err(|flaw| flaw.to_string())?,
        ),
    };
    let chain = segment.chain_at(at).map_err(|flaw| flaw.to_string())?;
    let stream = StreamName { replid: id(5), ancestors: vec![(replid, at)] };
    let place = StreamPlace { stream, offset: at, db, chain };
    let gone = files.go_back(place, cut.as_ref(), NOW).map_err(|flaw| flaw.to_string())?;
    gone.carry_out(storage).map_err(|error| error.to_string())
}

fn begun(storage: &SimulatedStorage) -> (LogFiles, Model) {
    let (mut files, mut model) = (begin(storage).unwrap(), Model::default());
    for _ in 0..40 {
        model.append(&mut files).unwrap();
    }
    model.sync(&mut files).unwrap();
    (files, model)
}

/// The model after it went back to its border number `border`.
fn gone_back(model: &Model, border: usize) -> Model {
    let mut model = model.clone();
    model.borders.truncate(border);
    let end = model.borders.last().copied().unwrap_or(0);
    model.bytes.truncate(end as usize);
    (model.acknowledged, model.synced) = (end, end);
    model
}

/// Borders in the first segment, inside others, at the end of one, and at the beginning of all.
fn targets(storage: &SimulatedStorage, model: &Model) -> Vec<usize> {
    let ends: Vec<u64> = storage
        .list(Path::new("appendonlydir"))
        .unwrap()
        .iter()
        .filter_map(|file| StoredSegment::open(storage, &Path::new("appendonlydir").join(&file.name)).ok())
        .map(|segment| segment.end_present().get())
        .collect();
    let at_an_end = model.borders.iter().position(|border| ends.contains(border)).unwrap() + 1;
    vec![0, 3, at_an_end, 20, 39]
}

#[test]
fn the_stream_goes_on_from_where_it_went_back_to() {
    let whole = SimulatedStorage::new();
    let (_, model) = begun(&whole);
    for border in targets(&whole, &model) {
        let storage = SimulatedStorage::new();
        let (mut files, model) = begun(&storage);
        let after = gone_back(&model, border);
        go_back(&mut files, &storage, after.acknowledged).unwrap();
        assert_eq!(files.end().get(), after.acknowledged);
        let tails = lost::list(&storage, Path::new("appendonlydir")).unwrap();
        assert_eq!(tails.len(), 1);
        assert_eq!((tails[0].replid, tails[0].from.get()), (id(1), after.acknowledged + 1));
        let kept = read(&*storage.open(&tails[0].path, Open::Existing).unwrap());
        let lost = &model.bytes[after.acknowledged as usize..];
        assert_eq!(kept, [b"*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n", lost].concat());
        // On, and back once more, over what the first time left.
        let mut model = after;
        for _ in 0..30 {
            model.append(&mut files).unwrap();
        }
        let again = gone_back(&model, border + 11);
        go_back(&mut files, &storage, again.acknowledged).unwrap();
        let mut model = again;
        for _ in 0..5 {
            model.append(&mut files).unwrap();
        }
        files.close(NOW).unwrap();
        let (files, resumed) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
        assert_eq!(files.end().get(), model.acknowledged);
        assert!(!resumed.is_renamed);
        assert_eq!(resumed.place.stream.replid, id(5));
        let strays = files.strays();
        assert!(strays.is_empty(), "{strays:?}");
    }
}

/// What a start finds is one of the two.
fn ensure_old_or_new(found: &SimulatedStorage, old: &Model, new: &Model, is_renamed: bool) {
    let look = look(found, &options(found)).unwrap().unwrap();
    let (base, stream, _) = load(found, &look).unwrap();
    let end = base + stream.len() as u64;
    let is_new = look.start().is_some() && end == new.acknowledged;
    let model = if is_new { new } else { old };
    let (_, resumed) = restart(found, model, model.acknowledged).unwrap();
    let replid = resumed.place.stream.replid;
    match is_renamed {
        true => assert_eq!(replid, id(9)),
        false => assert_eq!(replid, if is_new { id(5) } else { id(1) }),
    }
}

#[test]
fn a_crash_on_the_way_leaves_the_old_state_or_the_new_one() {
    let whole = SimulatedStorage::new();
    let (_, model) = begun(&whole);
    for border in targets(&whole, &model) {
        let storage = SimulatedStorage::new();
        let (mut files, model) = begun(&storage);
        let before = storage.operations(None);
        let new = gone_back(&model, border);
        go_back(&mut files, &storage, new.acknowledged).unwrap();
        let count = storage.operations(None) - before;
        assert!(count > 10);
        for last in 1..=count {
            let storage = SimulatedStorage::new();
            let (mut files, model) = begun(&storage);
            storage.fail(Fault::crash().at(last));
            let _ = go_back(&mut files, &storage, new.acknowledged);
            drop(files);
            ensure_old_or_new(&storage.kill(), &model, &new, false);
            for seed in 0..3 {
                ensure_old_or_new(&storage.power_loss(seed), &model, &new, true);
            }
        }
    }
}

#[test]
fn an_operation_that_fails_leaves_everything_as_it_was() {
    let storage = SimulatedStorage::new();
    let (mut files, model) = begun(&storage);
    let before = storage.operations(None);
    let new = gone_back(&model, 20);
    go_back(&mut files, &storage, new.acknowledged).unwrap();
    for nth in 1..=storage.operations(None) - before {
        let storage = SimulatedStorage::new();
        let (mut files, mut model) = begun(&storage);
        storage.fail(Fault::error(io::ErrorKind::StorageFull).at(nth));
        if go_back(&mut files, &storage, new.acknowledged).is_ok() || files.end().get() == new.acknowledged {
            // It failed where it does no harm: when the old files were removed.
            continue;
        }
        for _ in 0..15 {
            model.append(&mut files).unwrap();
        }
        files.close(NOW).unwrap();
        let (files, resumed) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
        assert_eq!(
            (files.end().get(), resumed.place.stream.replid),
            (model.acknowledged, id(1)),
            "operation {nth}"
        );
    }
}

#[test]
fn the_newest_base_that_is_old_enough_is_found_in_the_history_too() {
    let storage = SimulatedStorage::new();
    let (mut files, mut model) = begun(&storage);
    let first = model.acknowledged;
    rewrite(&mut files, &mut model).unwrap();
    let second = model.acknowledged;
    rewrite(&mut files, &mut model).unwrap();
    let at = |wanted: u64| find(&files, &storage, wanted).unwrap();
    let base_of = |way: &rewind::Way| way.base.as_ref().map(|base: &BaseAt| base.offset.get());
    assert_eq!(base_of(&at(model.acknowledged)), Some(second));
    assert_eq!(base_of(&at(second)), Some(second));
    assert_eq!(base_of(&at(second - 1)), Some(first));
    assert_eq!(base_of(&at(first - 1)), None, "the stream began empty");
    let way = at(first - 1);
    let mut bytes = Vec::new();
    for segment in &way.segments {
        bytes.extend(segment.bytes_between(segment.head.start, segment.end_present()).unwrap());
    }
    assert_eq!(bytes, model.bytes);
    assert_eq!(
        way.tail(Offset::new(second), 100).unwrap(),
        model.bytes[second as usize - 100..second as usize]
    );
    assert_eq!(way.tail(Offset::new(50), 100).unwrap(), model.bytes[..50], "no more than there is");

    // Without one segment there is no way past it.
    let gap = &way.segments[1];
    storage.remove(&gap.path).unwrap();
    let no = find(&files, &storage, first - 1).unwrap_err().to_string();
    let after = gap.end_present();
    assert_eq!(
        no,
        format!(
            "the log reaches back to offset {after} without a gap, and no base at or below {} is kept there",
            first - 1
        )
    );
}

#[test]
fn segments_that_were_given_up_are_no_way() {
    let storage = SimulatedStorage::new();
    let (mut files, model) = begun(&storage);
    // A copy of all segments as they were, as if their removal had failed.
    let copies: Vec<(PathBuf, Vec<u8>)> = storage
        .list(Path::new("appendonlydir"))
        .unwrap()
        .into_iter()
        .map(|file| Path::new("appendonlydir").join(file.name))
        .map(|path| (path.clone(), read(&*storage.open(&path, Open::Existing).unwrap())))
        .collect();
    let mut new = gone_back(&model, 20);
    go_back(&mut files, &storage, new.acknowledged).unwrap();
    storage.create_folder(Path::new("replhistory")).unwrap();
    for (path, bytes) in copies {
        let to = Path::new("replhistory").join(path.file_name().unwrap());
        storage.open(&to, Open::Empty).unwrap().write_all_at(0, &bytes).unwrap();
    }
    for number in 0..20 {
        let unit = unit(900 + number);
        new.bytes.extend_from_slice(&unit);
        files.append(&unit, None, NOW).unwrap();
    }
    let way = find(&files, &storage, new.bytes.len() as u64).unwrap();
    let mut bytes = Vec::new();
    for segment in &way.segments {
        bytes.extend(segment.bytes_between(segment.head.start, segment.end_present()).unwrap());
    }
    assert_eq!(bytes, new.bytes);
}

#[test]
fn what_is_given_up_leaves_neither_bases_nor_segments_in_the_history() {
    for border in [3, 20, 40] {
        let storage = SimulatedStorage::new();
        let (mut files, mut model) = begun(&storage);
        rewrite(&mut files, &mut model).unwrap();
        rewrite(&mut files, &mut model).unwrap();
        rewrite(&mut files, &mut model).unwrap();
        let after = gone_back(&model, border);
        let at = Offset::new(after.acknowledged);
        let way = find(&files, &storage, at.get()).unwrap();
        let segment = way.segment_at(at).unwrap();
        let cut = (segment.end_present() != at).then(|| {
            rewind::cut(&storage, segment, at, Path::new("appendonlydir/temp-rewind-1.cut")).unwrap()
        });
        let chain = segment.chain_at(at).unwrap();
        rewind::forget_behind(&storage, Path::new("replhistory"), &way, at, cut.as_ref()).unwrap();
        // The master was put back to an older state: the stream goes on under the name that it had.
        let place = StreamPlace { stream: stream(1), offset: at, db: DbIndex::new(0), chain };
        files.begin_again_without(place, NOW).unwrap();
        let mut model = after;
        for _ in 0..10 {
            model.append(&mut files).unwrap();
        }
        rewrite(&mut files, &mut model).unwrap();
        for file in history::list(&storage, Path::new("replhistory")).unwrap() {
            assert!(file.kind != HistoryKind::Base || file.offset <= at, "{file:?}");
        }
        let end = Offset::new(model.acknowledged);
        let (mut read_bytes, mut from) = (Vec::new(), NextOffset::FIRST);
        while from.prior() < end {
            let mut cursor = reading::open(&storage, &folders(), &stream(1), from, end).unwrap();
            while let Some(piece) = cursor.next_piece(end, 100).unwrap() {
                let mut bytes = vec![0; piece.bytes as usize];
                piece.file.read_exact_at(piece.at, &mut bytes).unwrap();
                read_bytes.extend_from_slice(&bytes);
                cursor.consume(piece.bytes);
            }
            from = cursor.position();
        }
        assert_eq!(read_bytes, model.bytes);
    }
}
