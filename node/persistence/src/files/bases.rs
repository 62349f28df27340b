//! Bases that a full sync can begin with: which of them lies in our folders and belongs to the present stream.
//!
//! Only bases of ours count: they state where in which stream they stand. What another server wrote states no such thing.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{ByteCount, Offset};

use super::chained;
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
    /// The newest base of `stream` (or of what it continued, as far as it shares that) in `folders`, not behind `until`,
    /// from which segments lead to the one that is being written.
    ///
    /// # Errors
    /// What a folder says. A file that cannot be read, or is no base of ours, is left out.
    pub fn find(
        storage: &dyn Storage,
        folders: &[PathBuf],
        stream: &StreamName,
        until: Offset,
    ) -> io::Result<Option<Self>> {
        let all = chained::list(storage, folders).map_err(|(_, error)| error)?;
        // A name and an offset do not tell a base of a stream that was given up: what follows it must be there.
        let path = chained::path(storage, &all, stream);
        let is_followed = |at: StreamPosition| path.iter().any(|found| found.head().start == at.offset);
        let mut newest: Option<Self> = None;
        for folder in folders {
            for listed in storage.list(folder)? {
                // One that is being written has a name of its own.
                let is_base = listed.name.ends_with(".rdb") && !listed.name.starts_with("temp-");
                if !is_base {
                    continue;
                }
                let Ok(Some(base)) = Self::open(storage, &folder.join(&listed.name)) else { continue };
                let at = base.position;
                let is_shared = chained::shares(stream, at.replid, at.offset) && at.offset <= until;
                let is_newer =
                    newest.as_ref().is_none_or(|newest| newest.position.offset < base.position.offset);
                if is_shared && is_newer && is_followed(at) {
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rejoin_keyspace::{HashSeed, Keyspace, KeyspaceOptions};
    use rejoin_protocol::{DbIndex, ReplicationId, UnixMillis};

    use super::*;
    use crate::{
        rdb::{EncodeOptions, LocalFile, RdbTarget},
        segment::{BootId, SegmentHead, SegmentWriter},
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

    /// Segments that hang together: of stream 1 up to 900 and 1000, of stream 2 up to 3000 and on.
    fn put_segments(storage: &SimulatedStorage) {
        let mut chain = 0;
        for (number, (replid, start, end)) in
            [(1, 0, 900), (1, 900, 1000), (2, 1000, 3000), (2, 3000, 5000)].into_iter().enumerate()
        {
            put_segment(storage, &format!("live/log.{number}.incr.aof"), (replid, start, end), &mut chain);
        }
    }

    fn put_segment(
        storage: &SimulatedStorage,
        path: &str,
        (replid, start, end): (u8, u64, u64),
        chain: &mut u64,
    ) {
        let now = UnixMillis::new(1_700_000_000_000);
        let head = SegmentHead {
            stream: if replid == 2 {
                stream()
            } else {
                StreamName { replid: id(replid), ancestors: Vec::new() }
            },
            start: Offset::new(start),
            preamble: 0,
            db: DbIndex::new(0),
            chain: *chain,
            created: now,
            boot: BootId([0; 16]),
            begins_empty: false,
        };
        let mut writer = SegmentWriter::create(storage, Path::new(path), head).unwrap();
        writer.append(&vec![b'x'; (end - start) as usize], now).unwrap();
        if end < 5000 {
            writer.seal(now).unwrap();
        }
        *chain = writer.chain();
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
        assert_eq!(find(&storage, 5000), None, "nothing follows any of them");
        put_segments(&storage);
        assert_eq!(find(&storage, 5000), Some((900, "old/b.rdb".to_owned())), "1001 is not shared");
        put(&storage, "live/log.2.base.rdb", &base(2, 3000));
        put(&storage, "live/temp-rewriteaof-bg-3.rdb", &base(2, 4000));
        assert_eq!(find(&storage, 5000), Some((3000, "live/log.2.base.rdb".to_owned())));
        assert_eq!(find(&storage, 2999), Some((900, "old/b.rdb".to_owned())), "not behind the border");
        // What the stream's master lost when it was put back to an older state: same name, other bytes.
        put_segment(&storage, "old/f.aof", (2, 1500, 4000), &mut 77);
        put(&storage, "old/e.rdb", &base(2, 4000));
        put(&storage, "old/g.rdb", &base(2, 1500));
        assert_eq!(find(&storage, 5000), Some((3000, "live/log.2.base.rdb".to_owned())));
        assert_eq!(find(&storage, 2999), Some((900, "old/b.rdb".to_owned())));
    }

    #[test]
    fn what_states_no_seed_is_not_ours() {
        let storage = SimulatedStorage::new();
        storage.create_folder(Path::new("live")).unwrap();
        storage.create_folder(Path::new("old")).unwrap();
        let position = StreamPosition { replid: id(2), offset: Offset::new(7), selected: DbIndex::new(0) };
        let options = EncodeOptions::for_target(RdbTarget { psync2: true }, Some(position));
        put_segments(&storage);
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
        put_segments(&storage);
        let found = StoredBase::find(&storage, &[PathBuf::from("live")], &stream(), Offset::new(5000));
        let error = found.unwrap().unwrap().verify().unwrap_err();
        assert!(matches!(error, RdbError::WrongChecksum { .. }), "{error}");
    }
}
