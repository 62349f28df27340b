//! What every storage does alike: checks for tests, run on the simulated one here and on a real folder where that is.
//!
//! They look at what a process sees. What survives a power loss only the simulated storage can show.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    path::Path,
};

use super::{Listed, Open, Reader, Storage, Writer};

/// A check: fails or panics where an empty storage does not behave.
pub type Check = fn(&dyn Storage) -> io::Result<()>;

/// All checks, each for an empty storage of its own.
pub const CHECKS: &[(&str, Check)] = &[
    ("opening as asked", opening),
    ("reading and writing at places", places),
    ("lengths", lengths),
    ("renaming", renaming),
    ("removing", removing),
    ("folders", folders),
    ("locking folders", locks),
    ("what is no file", no_file),
    ("one reader after the other", streams),
];

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    storage.open(path(name), Open::Empty)?.write_all_at(0, bytes)
}

fn content(storage: &dyn Storage, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Reader::new(storage.open(path(name), Open::Existing)?, 0).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn listed(storage: &dyn Storage, folder: &str) -> io::Result<Vec<(String, u64)>> {
    let mut files = storage.list(path(folder))?;
    files.sort();
    Ok(files.into_iter().map(|Listed { name, bytes }| (name, bytes)).collect())
}

fn refused<T>(outcome: io::Result<T>) -> Option<ErrorKind> {
    outcome.err().map(|error| error.kind())
}

fn opening(storage: &dyn Storage) -> io::Result<()> {
    assert_eq!(refused(storage.open(path("a"), Open::Existing)), Some(ErrorKind::NotFound));
    assert_eq!(listed(storage, "")?, [], "what was refused leaves nothing behind");
    assert!(storage.open(path("a"), Open::New)?.is_empty()?);
    assert_eq!(refused(storage.open(path("a"), Open::New)), Some(ErrorKind::AlreadyExists));
    put(storage, "a", b"abc")?;
    assert_eq!(storage.open(path("a"), Open::Any)?.len()?, 3);
    assert_eq!(storage.open(path("./a"), Open::Existing)?.len()?, 3);
    assert_eq!(storage.open(path("a"), Open::Empty)?.len()?, 0);
    assert_eq!(storage.open(path("b"), Open::Any)?.len()?, 0);
    assert_eq!(refused(storage.open(path("no folder/a"), Open::Any)), Some(ErrorKind::NotFound));
    Ok(())
}

fn places(storage: &dyn Storage) -> io::Result<()> {
    let file = storage.open(path("a"), Open::New)?;
    let same = storage.open(path("a"), Open::Existing)?;
    file.write_all_at(0, b"0123456789")?;
    file.write_all_at(3, b"xyz")?;
    file.write_all_at(12, b"!")?;
    assert_eq!(file.write_at(40, b"")?, 0);
    assert_eq!(same.len()?, 13, "nothing written is no growth");
    let mut bytes = [1; 20];
    same.read_exact_at(0, &mut bytes[..13])?;
    assert_eq!(&bytes[..13], b"012xyz6789\0\0!", "a gap is zeros");
    assert_eq!(same.read_at(10, &mut bytes)?, 3);
    assert_eq!(same.read_at(13, &mut bytes)?, 0);
    assert_eq!(same.read_at(1_000, &mut bytes)?, 0);
    assert_eq!(refused(same.read_exact_at(10, &mut bytes[..4])), Some(ErrorKind::UnexpectedEof));
    same.write_all_at(0, b"A")?;
    assert_eq!(content(storage, "a")?, b"A12xyz6789\0\0!");
    file.sync()
}

fn lengths(storage: &dyn Storage) -> io::Result<()> {
    put(storage, "a", b"abcdef")?;
    let file = storage.open(path("a"), Open::Existing)?;
    file.set_len(2)?;
    file.set_len(4)?;
    assert_eq!(content(storage, "a")?, b"ab\0\0", "what was cut does not come back");
    file.set_len(0)?;
    assert!(file.is_empty()?);
    file.write_all_at(2, b"c")?;
    assert_eq!(content(storage, "a")?, b"\0\0c");
    Ok(())
}

fn renaming(storage: &dyn Storage) -> io::Result<()> {
    assert_eq!(refused(storage.rename(path("a"), path("b"))), Some(ErrorKind::NotFound));
    storage.create_folder(path("f"))?;
    storage.create_folder(path("g"))?;
    put(storage, "a", b"new")?;
    put(storage, "b", b"old!")?;
    let (new, old) = (storage.open(path("a"), Open::Existing)?, storage.open(path("b"), Open::Existing)?);
    storage.rename(path("a"), path("b"))?;
    assert_eq!(listed(storage, "")?, [("b".to_owned(), 3)]);
    assert_eq!((new.len()?, old.len()?), (3, 4), "who has it open goes on with the file, not with the name");
    new.write_all_at(3, b"er")?;
    storage.rename(path("b"), path("b"))?;
    storage.rename(path("b"), path("f/c"))?;
    assert_eq!(content(storage, "f/c")?, b"newer");
    assert_eq!(listed(storage, "")?, []);
    assert_eq!(refused(storage.rename(path("f/c"), path("no folder/c"))), Some(ErrorKind::NotFound));
    assert_eq!(refused(storage.rename(path("f/c"), path("g"))), Some(ErrorKind::IsADirectory));
    assert_eq!(listed(storage, "f")?, [("c".to_owned(), 5)]);
    Ok(())
}

fn removing(storage: &dyn Storage) -> io::Result<()> {
    assert_eq!(refused(storage.remove(path("a"))), Some(ErrorKind::NotFound));
    put(storage, "a", b"abc")?;
    let file = storage.open(path("a"), Open::Existing)?;
    storage.remove(path("a"))?;
    assert_eq!(listed(storage, "")?, []);
    put(storage, "a", b"another")?;
    let mut bytes = [0; 3];
    file.read_exact_at(0, &mut bytes)?;
    assert_eq!(&bytes, b"abc", "who has it open goes on reading it");
    file.write_all_at(0, b"x")?;
    file.sync()?;
    assert_eq!(content(storage, "a")?, b"another");
    Ok(())
}

fn folders(storage: &dyn Storage) -> io::Result<()> {
    assert_eq!(listed(storage, "f")?, [], "a folder that is not there has no files");
    assert_eq!(refused(storage.sync_folder(path("f"))), Some(ErrorKind::NotFound));
    storage.create_folder(path("f/g"))?;
    storage.create_folder(path("f/g"))?;
    put(storage, "f/a", b"1")?;
    put(storage, "f/g/a", b"22")?;
    put(storage, "a", b"333")?;
    assert_eq!(listed(storage, "")?, [("a".to_owned(), 3)]);
    assert_eq!(listed(storage, "f")?, [("a".to_owned(), 1)], "folders are left out");
    assert_eq!(listed(storage, "f/g/")?, [("a".to_owned(), 2)]);
    storage.sync_folder(path(""))?;
    storage.sync_folder(path("f"))?;
    storage.sync_folder(path("f/g"))
}

fn locks(storage: &dyn Storage) -> io::Result<()> {
    assert_eq!(refused(storage.lock_folder(path("f"))), Some(ErrorKind::NotFound));
    storage.create_folder(path("f"))?;
    storage.create_folder(path("g"))?;
    let lock = storage.lock_folder(path("f"))?;
    assert_eq!(refused(storage.lock_folder(path("f"))), Some(ErrorKind::WouldBlock));
    let other = storage.lock_folder(path("g"))?;
    put(storage, "f/a", b"locks keep out nobody but those who ask")?;
    drop(lock);
    drop(storage.lock_folder(path("f"))?);
    drop(other);
    Ok(())
}

fn no_file(storage: &dyn Storage) -> io::Result<()> {
    storage.create_folder(path("f"))?;
    put(storage, "a", b"")?;
    for how in [Open::Existing, Open::Any, Open::Empty] {
        assert_eq!(refused(storage.open(path("f"), how)), Some(ErrorKind::IsADirectory), "{how:?}");
        assert_eq!(refused(storage.open(path("a/b"), how)), Some(ErrorKind::NotADirectory), "{how:?}");
    }
    assert_eq!(refused(storage.open(path("f"), Open::New)), Some(ErrorKind::AlreadyExists));
    assert_eq!(refused(storage.remove(path("f"))), Some(ErrorKind::IsADirectory));
    assert_eq!(refused(storage.create_folder(path("a"))), Some(ErrorKind::AlreadyExists));
    assert_eq!(refused(storage.create_folder(path("a/b"))), Some(ErrorKind::NotADirectory));
    assert_eq!(refused(storage.list(path("a"))), Some(ErrorKind::NotADirectory));
    Ok(())
}

fn streams(storage: &dyn Storage) -> io::Result<()> {
    let mut writer = Writer::new(storage.open(path("a"), Open::New)?, 2);
    writer.write_all(b"one")?;
    writer.write_all(b"two")?;
    writer.flush()?;
    let mut text = String::new();
    Reader::new(storage.open(path("a"), Open::Existing)?, 4).read_to_string(&mut text)?;
    assert_eq!(text, "etwo");
    Ok(())
}
