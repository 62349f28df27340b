//! Reads a snapshot file into a keyspace of its own, on a thread of its own, while the node answers.

use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions, Limits};
use rejoin_persistence::{
    rdb::{self, DecodeOptions, RdbError, RdbSummary},
    storage::{Reader, StoredFile},
};
use rejoin_protocol::{DbIndex, UnixMillis};
use tokio::sync::oneshot;

use crate::shard::unix_now;

/// Between two lines of the log that say how far a load is.
const PROGRESS_PERIOD: Duration = Duration::from_secs(5);

/// Threads that decode besides the one that reads, at most; fewer where there are fewer processors.
const WORKERS_MAX: usize = 4;

/// How a file is to be loaded.
pub(crate) struct LoadOptions {
    /// How many databases the node has.
    pub(crate) databases: u32,
    /// When its collections stop being packed.
    pub(crate) limits: Limits,
    /// What we do not have is passed over.
    pub(crate) skips_unsupported: bool,
    /// Keys that have expired are left out: not on a replica, whose master deletes them, nor where a log follows.
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

/// Loads a snapshot file from its beginning, and says now and then how far it is. When this is dropped the load ends.
///
/// # Errors
/// What is wrong with it, and at which byte.
pub(crate) async fn load_base(
    file: Arc<dyn StoredFile>,
    name: &Path,
    options: LoadOptions,
) -> Result<LoadedBase, String> {
    let wrong = |reason: String| format!("{}: {reason}", name.display());
    let total = file.len().map_err(|error| wrong(crate::words_of(&error)))?;
    let (read, before) = (options.read.clone(), options.read.load(Relaxed));
    let mut done = begin(file, options).map_err(|error| wrong(crate::words_of(&error)))?;
    loop {
        match tokio::time::timeout(PROGRESS_PERIOD, &mut done).await {
            Ok(Ok(Ok(base))) => {
                tell_skipped(name, &base.summary);
                return Ok(base);
            }
            Ok(Ok(Err(error))) => return Err(wrong(error.to_string())),
            Ok(Err(_)) => return Err(wrong("the loader failed on our side, which is a defect".to_owned())),
            Err(_) => {
                let bytes = read.load(Relaxed) - before;
                let percent = bytes as f64 * 100.0 / total.max(1) as f64;
                tracing::info!("Loading {}: {percent:.0}% ({bytes} of {total} bytes)", name.display());
            }
        }
    }
}

/// Loads a snapshot file from its beginning, on this thread.
///
/// # Errors
/// What is wrong with it, and at which byte.
pub(crate) fn load_here(file: Arc<dyn StoredFile>, options: &LoadOptions) -> Result<LoadedBase, RdbError> {
    load(&mut Reader::new(file, 0), options)
}

fn tell_skipped(name: &Path, summary: &RdbSummary) {
    if let Some((at, what)) = &summary.skipped.first {
        let count = summary.skipped.total();
        tracing::warn!(
            "{}: {count} things passed over that are not supported, the first at byte {at}: {what}",
            name.display()
        );
    }
}

/// How many threads are to decode besides the one that reads: none where there is but one processor.
pub(crate) fn decoding_workers() -> usize {
    match thread::available_parallelism().map_or(1, usize::from) {
        1 => 0,
        processors => processors.min(WORKERS_MAX),
    }
}

type Loaded = Result<LoadedBase, RdbError>;

fn begin(file: Arc<dyn StoredFile>, options: LoadOptions) -> io::Result<oneshot::Receiver<Loaded>> {
    let (wanted, done) = oneshot::channel();
    thread::Builder::new().name("loader".to_owned()).spawn(move || {
        let mut input = Input { file: Reader::new(file, 0), read: options.read.clone(), wanted };
        let outcome = load(&mut input, &options);
        // Nobody waits any more: the node has stopped.
        let _ = input.wanted.send(outcome);
    })?;
    Ok(done)
}

fn load(input: &mut dyn Read, options: &LoadOptions) -> Loaded {
    let seed = HashSeed::new(rand::random());
    let mut keyspace = Keyspace::new(KeyspaceOptions { databases: options.databases, seed });
    keyspace.access_mut().set(unix_now(), AccessKind::Recency);
    let skips_unsupported = options.skips_unsupported;
    let decoding = DecodeOptions { skips_unsupported, ..DecodeOptions::for_file(options.limits) };
    let workers = decoding_workers();
    let summary = if workers == 0 {
        rdb::decode(input, &mut keyspace, &decoding)?
    } else {
        let mut run = |worker: rdb::Worker| {
            // Where there is no thread to be had, the others do its part.
            let _ = thread::Builder::new().name("load-worker".to_owned()).spawn(worker);
        };
        rdb::decode_with_workers(input, &mut keyspace, &decoding, workers, &mut run)?
    };
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
    wanted: oneshot::Sender<Loaded>,
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
