//! A snapshot's encoding in a file without a name, out of which receivers are served at their own pace: those that read
//! slower than others, and all where the length has to be known before the first byte.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot};

use super::fan_out::CHUNK_BYTES;
use crate::{background, messages::snapshotter::SnapshotChunk};

/// The file, and who reads it. Its space is given back when the last of them is done.
pub(super) struct Spill {
    file: File,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Bytes in the file.
    written: u64,
    /// Whether all was written, once nothing more will be.
    is_whole: Option<bool>,
    readers: usize,
    /// Readers that have all that was written and wait for more.
    idle: usize,
}

impl Spill {
    /// A file in `dir` that nobody else can see.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("temp-repl-{}-{:016x}.rdb", std::process::id(), rand::random::<u64>()));
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        // The name is not needed any more, and nothing is left behind whatever happens.
        std::fs::remove_file(&path)?;
        Ok(Self { file, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Bytes in the file.
    pub(super) fn written(&self) -> u64 {
        self.lock().written
    }

    /// Whether anybody reads it.
    pub(super) fn is_wanted(&self) -> bool {
        self.lock().readers > 0
    }

    /// Whether somebody has read all that is there and waits for more.
    pub(super) fn has_idle_reader(&self) -> bool {
        self.lock().idle > 0
    }

    /// Adds bytes.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let at = self.written();
        self.file.write_all_at(bytes, at)?;
        self.lock().written = at + bytes.len() as u64;
        self.changed.notify_all();
        Ok(())
    }

    /// Where an encoding can be written to.
    pub(super) fn writer(&self) -> impl io::Write {
        Writer(self)
    }

    /// Nothing more is written.
    pub(super) fn end(&self, is_whole: bool) {
        self.lock().is_whole = Some(is_whole);
        self.changed.notify_all();
    }

    /// Serves one receiver from the byte `from` on, on a thread of its own.
    pub(super) fn serve(
        spill: &Arc<Self>,
        from: u64,
        chunks: mpsc::Sender<SnapshotChunk>,
        is_whole: oneshot::Sender<()>,
    ) {
        spill.lock().readers += 1;
        let own = Reading(Arc::clone(spill));
        let spawned = background::spawn("snapshot-file", move || own.run(from, &chunks, is_whole));
        if let Err(error) = spawned {
            // The receiver sees its channel close and ends its session.
            tracing::error!(%error, "no thread could be had to serve a snapshot from a file");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for bytes behind `at`: how many there are, or whether the end was reached in order.
    fn await_bytes(&self, at: u64) -> Result<u64, bool> {
        let mut state = self.lock();
        loop {
            match state.is_whole {
                _ if state.written > at => return Ok(state.written - at),
                Some(is_whole) => return Err(is_whole),
                None => {
                    state.idle += 1;
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                }
            }
        }
    }
}

struct Writer<'a>(&'a Spill);

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One who reads the file.
struct Reading(Arc<Spill>);

impl Reading {
    fn run(&self, from: u64, chunks: &mpsc::Sender<SnapshotChunk>, is_whole: oneshot::Sender<()>) {
        let mut at = from;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            match self.0.await_bytes(at) {
                Ok(count) => {
                    let count = usize::try_from(count).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                    if let Err(error) = self.0.file.read_exact_at(&mut buffer[..count], at) {
                        tracing::warn!(%error, "a snapshot cannot be read back from its file");
                        return;
                    }
                    at += count as u64;
                    if chunks.blocking_send(Arc::from(&buffer[..count])).is_err() {
                        return;
                    }
                }
                Err(true) => {
                    // First the word that it is whole, then the end of the pieces. It may be gone already.
                    let _ = is_whole.send(());
                    return;
                }
                Err(false) => return,
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.lock().readers -= 1;
    }
}
