//! Reads a snapshot file into a keyspace of its own, on a thread of its own, while the node answers.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions, Limits};
use rejoin_persistence::{
    rdb::{self, RdbError, RdbSummary},
    storage::{Reader, StoredFile},
};
use rejoin_protocol::{DbIndex, UnixMillis};
use tokio::sync::oneshot;

use crate::shard::unix_now;

/// How a file is to be loaded.
pub(crate) struct LoadOptions {
    /// How many databases the node has.
    pub(crate) databases: u32,
    /// When its collections stop being packed.
    pub(crate) limits: Limits,
    /// Keys that have expired are left out: not on a replica, whose master deletes them.
    pub(crate) drops_expired: bool,
    /// Counts the bytes that were read.
    pub(crate) read: Arc<AtomicU64>,
}

/// What was loaded: whole and verified.
pub(crate) struct LoadedBase {
    pub(crate) keyspace: Keyspace,
    pub(crate) summary: RdbSummary,
    /// What was left out because it had expired.
    pub(crate) expired: Vec<(DbIndex, Box<[u8]>)>,
}

/// Begins to load `file`, from its beginning. A receiver that is dropped ends the load.
///
/// # Errors
/// The system gave no thread.
pub(crate) fn load_base(
    file: Arc<dyn StoredFile>,
    options: LoadOptions,
) -> io::Result<oneshot::Receiver<Result<LoadedBase, RdbError>>> {
    let (sender, done) = oneshot::channel();
    thread::Builder::new().name("loader".to_owned()).spawn(move || {
        let mut input = Input { file: Reader::new(file, 0), read: options.read.clone(), wanted: sender };
        let outcome = load(&mut input, &options);
        // Nobody waits any more: the node has stopped.
        let _ = input.wanted.send(outcome);
    })?;
    Ok(done)
}

fn load(input: &mut dyn Read, options: &LoadOptions) -> Result<LoadedBase, RdbError> {
    let seed = HashSeed::new(rand::random());
    let mut keyspace = Keyspace::new(KeyspaceOptions { databases: options.databases, seed });
    keyspace.access_mut().set(unix_now(), AccessKind::Recency);
    let summary = rdb::decode(input, &mut keyspace, &options.limits)?;
    let expired = if options.drops_expired { drop_expired(&mut keyspace, unix_now()) } else { Vec::new() };
    Ok(LoadedBase { keyspace, summary, expired })
}

fn drop_expired(keyspace: &mut Keyspace, now: UnixMillis) -> Vec<(DbIndex, Box<[u8]>)> {
    // Expired means past, not at, its time; the index says "at or before".
    let before_now = UnixMillis::new(now.get().saturating_sub(1));
    let mut expired = Vec::new();
    for db in (0..keyspace.database_count()).map(DbIndex::new) {
        while let Some(entry) = keyspace.database(db).first_expired(before_now) {
            let name: Box<[u8]> = entry.key().into();
            let key = keyspace.key(&name);
            keyspace.database_mut(db).remove(key);
            expired.push((db, name));
        }
    }
    expired
}

/// The file as the decoder reads it.
struct Input {
    file: Reader,
    read: Arc<AtomicU64>,
    wanted: oneshot::Sender<Result<LoadedBase, RdbError>>,
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.wanted.is_closed() {
            return Err(io::Error::other("nobody waits for it"));
        }
        let count = self.file.read(into)?;
        self.read.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}
