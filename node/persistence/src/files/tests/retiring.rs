//! What becomes of files that are not live any more, also when a crash comes in between.

use super::*;

#[test]
fn a_set_that_began_anew_under_the_same_name_shares_nothing_with_the_one_before() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..40 {
        model.append(&mut files).unwrap();
    }
    rewrite(&mut files, &mut model).unwrap();
    let names = |folder: &str| -> Vec<String> {
        storage.list(Path::new(folder)).unwrap().into_iter().map(|file| file.name).collect()
    };
    let before = names("replhistory");
    assert!(before.len() > 3, "{before:?}");
    // A full sync, at an offset that the old set has passed, in the stream that it had.
    let place = StreamPlace { stream: stream(1), offset: Offset::new(150), db: DbIndex::new(0), chain: 0 };
    files.begin_again(place, Before::Base, NOW).unwrap();
    files.append(&unit(0), None, NOW).unwrap();
    files.sync_task(NOW).carry_out(&storage).unwrap();
    let (old, _) = restart(&storage.kill(), &model, model.acknowledged).unwrap();
    assert_eq!(old.end().get(), model.acknowledged, "a start loads the old data until the new is whole");
    assert_eq!(names("replhistory"), before);
    let mut other = Model::default();
    rewrite_beside(&mut files, &mut other, 0).unwrap();
    let kept = names("replhistory");
    let first = history::segment_path(Path::new(""), id(1), Offset::new(150)).display().to_string();
    assert_eq!(kept, [first.clone(), format!("{first}.side")]);
}

#[test]
fn a_crash_while_files_are_retired_costs_nothing_of_the_history() {
    let retire = |storage: &SimulatedStorage, last: Option<u64>| {
        let (mut files, mut model) = (begin(storage).unwrap(), Model::default());
        for _ in 0..40 {
            model.append(&mut files).unwrap();
        }
        let task = files.begin_base(1, NOW).unwrap();
        let bytes = write_base(storage, &task).unwrap();
        files.sync_task(NOW).carry_out(storage).unwrap();
        files.install_base(task, bytes).carry_out(storage).unwrap();
        let retired = files.base_installed();
        let before = storage.operations(None);
        if let Some(last) = last {
            storage.fail(Fault::crash().at(last));
        }
        let outcome = retired.carry_out(storage);
        assert_eq!(outcome.is_ok(), last.is_none());
        (storage.operations(None) - before, model)
    };
    let (count, _) = retire(&SimulatedStorage::new(), None);
    for last in 1..=count {
        let storage = SimulatedStorage::new();
        let (_, model) = retire(&storage, Some(last));
        let storage = storage.kill();
        let (files, _) = restart(&storage, &model, model.acknowledged).unwrap();
        files.strays().carry_out(&storage).unwrap();
        assert!(files.strays().is_empty(), "operation {last}");
        let mut cursor = reading::open(
            &storage,
            &["appendonlydir", "replhistory"].map(PathBuf::from),
            &stream(1),
            NextOffset::FIRST,
            Offset::new(model.acknowledged),
        )
        .unwrap();
        assert!(cursor.next_piece(Offset::new(model.acknowledged), 1 << 20).unwrap().is_some());
        for folder in ["appendonlydir", "replhistory"] {
            let listed = storage.list(Path::new(folder)).unwrap();
            for file in &listed {
                let Some(of) = file.name.strip_suffix(".side") else { continue };
                assert!(listed.iter().any(|file| file.name == of), "operation {last}: {listed:?}");
            }
        }
    }
}

#[test]
fn side_data_without_its_segment_goes() {
    let storage = SimulatedStorage::new();
    let mut files = begin(&storage).unwrap();
    let mut model = Model::default();
    for _ in 0..40 {
        model.append(&mut files).unwrap();
    }
    rewrite(&mut files, &mut model).unwrap();
    let listed = storage.list(Path::new("replhistory")).unwrap();
    let segment = listed.iter().find(|file| file.name.ends_with(".aof")).unwrap();
    storage.remove(&Path::new("replhistory").join(&segment.name)).unwrap();
    let bare = Path::new("appendonlydir/appendonly.aof.99.incr.aof.side");
    storage.open(bare, Open::Empty).unwrap().write_all_at(0, b"nobody's").unwrap();
    files.strays().carry_out(&storage).unwrap();
    assert!(storage.open(bare, Open::Existing).is_err());
    assert!(storage.open(&side_path(&Path::new("replhistory").join(&segment.name)), Open::Existing).is_err());
}
