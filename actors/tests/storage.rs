//! A folder of the file system beside the simulated storage: the same checks hold for both.

use std::{io, path::Path, sync::Arc};

use rejoin_actors::disk::FolderStorage;
use rejoin_persistence::storage::{
    Open, Storage, StoredFile, conformance::CHECKS, simulated::SimulatedStorage,
};

#[test]
fn a_real_folder_behaves_as_any_storage() -> io::Result<()> {
    for (what, check) in CHECKS {
        let folder = tempfile::tempdir()?;
        let checked = check(&FolderStorage::new(folder.path().to_owned()));
        checked.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))?;
    }
    Ok(())
}

/// A small generator (xorshift), so that every run tests the same operations and a failure comes back.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// Files that a storage has open, by the order in which they were opened.
struct Subject<'a> {
    storage: &'a dyn Storage,
    open: Vec<Arc<dyn StoredFile>>,
}

impl Subject<'_> {
    /// Does what `random` chooses; what came of it, as text.
    fn act(&mut self, random: &mut Random) -> String {
        const FILES: [&str; 6] = ["a", "b", "f/a", "f/b", "f/g/c", "a/x"];
        // None of them is a file too: a real folder would rename folders, which nobody asks of a storage.
        const FOLDERS: [&str; 4] = ["", "f", "f/g", "h"];
        let said = |outcome: io::Result<String>| outcome.unwrap_or_else(|error| error.kind().to_string());
        let (one, other) = (Path::new(random.of(&FILES)), Path::new(random.of(&FILES)));
        let folder = Path::new(random.of(&FOLDERS));
        let (chosen, at, bytes) = (random.below(8), random.below(3000), random.below(1500));
        let file = self.open.get(chosen as usize);
        match random.below(11) {
            0 | 1 => {
                let how = random.of(&[Open::Existing, Open::New, Open::Any, Open::Empty]);
                let opened = self.storage.open(one, how);
                let text =
                    said(opened.as_ref().map(|_| "opened".to_owned()).map_err(|error| error.kind().into()));
                if let (Ok(file), true) = (opened, self.open.len() < 8) {
                    self.open.push(file);
                }
                format!("open {one:?} {how:?}: {text}")
            }
            2 => format!(
                "rename {one:?} {other:?}: {}",
                said(self.storage.rename(one, other).map(|()| String::new()))
            ),
            3 => format!("remove {one:?}: {}", said(self.storage.remove(one).map(|()| String::new()))),
            4 => format!(
                "folder {folder:?}: {}",
                said(self.storage.create_folder(folder).map(|()| String::new()))
            ),
            5 => {
                let listed = self.storage.list(folder).map(|mut files| {
                    files.sort();
                    format!("{files:?}")
                });
                format!("list {folder:?}: {}", said(listed))
            }
            6 | 7 => {
                let bytes = vec![at as u8; bytes as usize];
                let written = file.map(|file| said(file.write_at(at, &bytes).map(|count| count.to_string())));
                format!("write {chosen} {at} {}: {written:?}", bytes.len())
            }
            8 => {
                let mut into = vec![0; bytes as usize];
                let read = file.map(|file| said(file.read_at(at, &mut into).map(|count| count.to_string())));
                format!("read {chosen} {at}: {read:?} {into:?}")
            }
            9 => {
                let set = file.map(|file| said(file.set_len(at).map(|()| String::new())));
                format!("set_len {chosen} {at}: {set:?}")
            }
            _ => {
                let len =
                    file.map(|file| said(file.sync().and_then(|()| file.len()).map(|len| len.to_string())));
                format!("sync {chosen}: {len:?}")
            }
        }
    }
}

#[test]
fn a_real_folder_and_the_simulated_one_answer_alike() -> io::Result<()> {
    for seed in 1..20 {
        let folder = tempfile::tempdir()?;
        let (real, simulated) = (FolderStorage::new(folder.path().to_owned()), SimulatedStorage::new());
        let mut real = Subject { storage: &real, open: Vec::new() };
        let mut simulated = Subject { storage: &simulated, open: Vec::new() };
        let (mut one, mut other) = (Random(seed), Random(seed));
        for step in 0..400 {
            let (wanted, found) = (real.act(&mut one), simulated.act(&mut other));
            assert_eq!(found, wanted, "seed {seed}, step {step}");
        }
    }
    Ok(())
}
