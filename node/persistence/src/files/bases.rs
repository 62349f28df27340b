//! Bases that a full sync can begin with: which of them lies in our folders and belongs to the present stream.
//!
//! Only bases of ours count: they state where in which stream they stand. What another server wrote states no such thing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{ByteCount, Offset};

use crate::{
    rdb::{self, RdbError, StreamPosition},
    segment::StreamName,
    storage::{Open, Reader, Storage, StoredFile},
};

/// A base on disk. It stays readable when it is removed.
#[derive(Clone, Debug)]
pub struct StoredBase {
    /// Where it lies, or lay.
    pub path: PathBuf,
    /// The file.
    pub file: Arc<dyn StoredFile>,
    /// How long it is.
    pub bytes: ByteCount,
    /// Where it stands.
    pub position: StreamPosition,
    /// The version of the format that it is written in.
    pub version: u32,
}

impl StoredBase {
    /// The newest base of `stream` (or of what it continued, as far as it shares that) in `folders`, not behind `until`.
    ///
    /// # Errors
    /// What a folder says. A file that cannot be read, or is no base of ours, is left out.
    pub fn find(
        storage: &dyn Storage,
        folders: &[PathBuf],
        stream: &StreamName,
        until: Offset,
    ) -> io::Result<Option<Self>> {
        let mut newest: Option<Self> = None;
        for folder in folders {
            for listed in storage.list(folder)? {
                // One that is being written has a name of its own.
                let is_base = listed.name.ends_with(".rdb") && !listed.name.starts_with("temp-");
                if !is_base {
                    continue;
                }
                let Ok(Some(base)) = Self::open(storage, &folder.join(&listed.name)) else { continue };
                let is_shared = shares(stream, base.position) && base.position.offset <= until;
                let is_newer =
                    newest.as_ref().is_none_or(|newest| newest.position.offset < base.position.offset);
                if is_shared && is_newer {
                    newest = Some(base);
                }
            }
        }
        Ok(newest)
    }

    /// Opens a file; `None` if it is no base of ours.
    fn open(storage: &dyn Storage, path: &Path) -> Result<Option<Self>, RdbError> {
        let file = storage.open(path, Open::Existing)?;
        let head = rdb::read_head(&mut Reader::new(Arc::clone(&file), 0))?;
        let bytes = ByteCount::new(file.len()?);
        let (Some(position), Some(_), false) = (head.position, head.seed, head.is_valkey) else {
            return Ok(None);
        };
        Ok(Some(Self { path: path.to_owned(), file, bytes, position, version: head.version }))
    }

    /// Whether its bytes are those that were written. Reads all of it: a stock replica that is sent a base with a wrong
    /// checksum ends its process.
    ///
    /// # Errors
    /// They are not, or cannot be read.
    pub fn verify(&self) -> Result<(), RdbError> {
        let mut input = Reader::new(Arc::clone(&self.file), 0);
        rdb::verify_checksum(&mut input, self.version, self.bytes.get())
    }
}

fn shares(stream: &StreamName, position: StreamPosition) -> bool {
    position.replid == stream.replid
        || stream
            .ancestors
            .iter()
            .any(|(replid, last_valid)| *replid == position.replid && position.offset <= *last_valid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};
    use rejoin_protocol::{DbIndex, ReplicationId, UnixMillis};

    use super::*;
    use crate::{
        rdb::{EncodeOptions, LocalFile, RdbTarget},
        storage::simulated::SimulatedStorage,
    };

    fn id(byte: u8) -> ReplicationId {
        ReplicationId::from_random([byte; 20])
    }

    /// We are stream 2, which continued stream 1 at 1000.
    fn stream() -> StreamName {
        StreamName { replid: id(2), ancestors: vec![(id(1), Offset::new(1000))] }
    }

    fn put(storage: &SimulatedStorage, path: &str, bytes: &[u8]) {
        storage.open(Path::new(path), Open::New).unwrap().write_all_at(0, bytes).unwrap();
    }

    fn base(replid: u8, offset: u64) -> Vec<u8> {
        let position =
            StreamPosition { replid: id(replid), offset: Offset::new(offset), selected: DbIndex::new(3) };
        let about = LocalFile {
            created: UnixMillis::new(1_700_000_000_000),
            memory_used: 1,
            is_aof_base: true,
            usage: None,
        };
        let options = EncodeOptions::for_file(about, Some(position));
        encoded(&options)
    }

    fn encoded(options: &EncodeOptions<'_>) -> Vec<u8> {
        let mut keyspace = Keyspace::new(KeyspaceOptions { databases: 16, seed: HashSeed::new([7; 16]) });
        let mut bytes = Vec::new();
        rdb::encode(keyspace.snapshot(), options, &mut bytes).unwrap();
        bytes
    }

    fn find(storage: &SimulatedStorage, until: u64) -> Option<(u64, String)> {
        let folders = [PathBuf::from("live"), PathBuf::from("old")];
        let found = StoredBase::find(storage, &folders, &stream(), Offset::new(until)).unwrap()?;
        found.verify().unwrap();
        Some((found.position.offset.get(), found.path.display().to_string()))
    }

    #[test]
    fn the_newest_base_of_the_stream_is_found() {
        let storage = SimulatedStorage::new();
        storage.create_folder(Path::new("live")).unwrap();
        storage.create_folder(Path::new("old")).unwrap();
        assert_eq!(find(&storage, 5000), None);
        put(&storage, "old/b.rdb", &base(1, 900));
        put(&storage, "old/a.rdb", &base(1, 1001));
        put(&storage, "old/c.rdb", &base(9, 4000));
        put(&storage, "old/d.rdb", b"REDIS0011\xfa");
        put(&storage, "live/log.1.incr.aof", b"*1\r\n");
        assert_eq!(find(&storage, 5000), Some((900, "old/b.rdb".to_owned())), "1001 is not shared");
        put(&storage, "live/log.2.base.rdb", &base(2, 3000));
        put(&storage, "live/temp-rewriteaof-bg-3.rdb", &base(2, 4000));
        assert_eq!(find(&storage, 5000), Some((3000, "live/log.2.base.rdb".to_owned())));
        assert_eq!(find(&storage, 2999), Some((900, "old/b.rdb".to_owned())), "not behind the border");
    }

    #[test]
    fn what_states_no_seed_is_not_ours() {
        let storage = SimulatedStorage::new();
        storage.create_folder(Path::new("live")).unwrap();
        storage.create_folder(Path::new("old")).unwrap();
        let position = StreamPosition { replid: id(2), offset: Offset::new(7), selected: DbIndex::new(0) };
        let options = EncodeOptions::for_target(RdbTarget { psync2: true }, Some(position));
        put(&storage, "live/log.1.base.rdb", &encoded(&options));
        assert_eq!(find(&storage, 5000), None);
    }

    #[test]
    fn damage_is_found() {
        let storage = SimulatedStorage::new();
        storage.create_folder(Path::new("live")).unwrap();
        let mut bytes = base(2, 3000);
        let place = bytes.len() - 12;
        bytes[place] ^= 1;
        put(&storage, "live/log.1.base.rdb", &bytes);
        let found = StoredBase::find(&storage, &[PathBuf::from("live")], &stream(), Offset::new(5000));
        let error = found.unwrap().unwrap().verify().unwrap_err();
        assert!(matches!(error, RdbError::WrongChecksum { .. }), "{error}");
    }
}
