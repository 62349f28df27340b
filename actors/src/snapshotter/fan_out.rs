//! One encoding of a snapshot on its way to all who receive it: each piece is once in memory, however many they are.
//!
//! Receivers that keep pace share the pieces. One that holds the others up for too long goes on by itself: what it has not
//! been given yet is written to a file without a name, out of which it is served at its own pace ([`Spill`]). So a slow
//! receiver costs disk, neither memory nor the others' time; where there is nobody else to be held up it is waited for.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rejoin_protocol::{ReplicaId, psync::EofMark};
use rejoin_replication::PayloadForm;
use tokio::sync::{
    mpsc::{Sender, error::TrySendError},
    oneshot,
};

use super::spill::Spill;
use crate::messages::snapshotter::SnapshotChunk;

/// Bytes of one piece of an encoded snapshot.
pub(super) const CHUNK_BYTES: usize = 256 << 10;
/// Pieces on their way to one receiver at most.
pub(super) const CHUNKS_IN_FLIGHT_MAX: usize = 8;
/// How long one receiver may hold up the others in all.
const HELD_UP_MAX: Duration = Duration::from_secs(1);
/// Between two looks at whether those that are behind have room, where there are several receivers.
const LOOK_PERIOD: Duration = Duration::from_millis(1);

/// The end of a snapshot's way to one session.
pub(super) struct Receiver {
    pub(super) replica: ReplicaId,
    pub(super) form: oneshot::Sender<PayloadForm>,
    pub(super) chunks: Sender<SnapshotChunk>,
    pub(super) is_whole: oneshot::Sender<()>,
}

/// A receiver that keeps pace.
struct Live {
    replica: ReplicaId,
    chunks: Sender<SnapshotChunk>,
    is_whole: oneshot::Sender<()>,
    /// How long the others have had nothing to send because of it.
    held_up: Duration,
}

impl Live {
    /// Whether it has sent everything that it was given.
    fn is_idle(&self) -> bool {
        self.chunks.capacity() == self.chunks.max_capacity()
    }

    fn is_gone(&self) -> bool {
        self.chunks.is_closed()
    }
}

/// Sends one encoding to all its receivers.
pub(super) struct FanOut<'a> {
    live: Vec<Live>,
    spill: Option<Arc<Spill>>,
    /// Where a file for those that are slow would be made.
    dir: &'a Path,
    buffer: Vec<u8>,
}

impl<'a> FanOut<'a> {
    /// Announces payloads that end with a mark.
    pub(super) fn begin(receivers: Vec<Receiver>, dir: &'a Path) -> Self {
        let announced = receivers.into_iter().map(|Receiver { replica, form, chunks, is_whole }| {
            // Nobody listens any more: noticed with the first piece.
            let _ = form.send(PayloadForm::Marked(EofMark::from_random(rand::random())));
            Live { replica, chunks, is_whole, held_up: Duration::ZERO }
        });
        Self { live: announced.collect(), spill: None, dir, buffer: Vec::with_capacity(CHUNK_BYTES) }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let chunk: SnapshotChunk = Arc::from(bytes);
        let mut behind = self.offer(&chunk);
        let is_only = self.live.len() == 1 && !self.serves_from_file();
        if let ([one], true) = (behind.as_slice(), is_only) {
            let live = &self.live[*one];
            // Closed: it is gone, as the next piece finds out.
            let _ = live.chunks.blocking_send(chunk.clone());
            behind.clear();
        }
        while !behind.is_empty() {
            let waited = Instant::now();
            thread::sleep(LOOK_PERIOD);
            let is_live_idle =
                self.live.iter().enumerate().any(|(at, live)| !behind.contains(&at) && live.is_idle());
            let is_somebody_idle =
                is_live_idle || self.spill.as_ref().is_some_and(|spill| spill.has_idle_reader());
            behind.retain(|&at| {
                let live = &mut self.live[at];
                if is_somebody_idle {
                    live.held_up += waited.elapsed();
                }
                matches!(live.chunks.try_send(chunk.clone()), Err(TrySendError::Full(_)))
            });
            self.spill_slow(&mut behind);
        }
        // Whoever left the ranks just now begins with this piece.
        self.write_spilled(&chunk);
        self.live.retain(|live| {
            if live.is_gone() {
                tracing::debug!(replica = %live.replica, "a receiver of a snapshot is gone");
            }
            !live.is_gone()
        });
        if self.live.is_empty() && !self.serves_from_file() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "all receivers are gone"));
        }
        Ok(())
    }

    /// Whether some go on by themselves, who are held up as well by whoever does not read.
    fn serves_from_file(&self) -> bool {
        self.spill.as_ref().is_some_and(|spill| spill.is_wanted())
    }

    /// Gives a piece to all that have room; returns the places of those that have none.
    fn offer(&self, chunk: &SnapshotChunk) -> Vec<usize> {
        let is_full = |live: &Live| matches!(live.chunks.try_send(chunk.clone()), Err(TrySendError::Full(_)));
        self.live.iter().enumerate().filter(|(_, live)| is_full(live)).map(|(at, _)| at).collect()
    }

    fn write_spilled(&mut self, chunk: &SnapshotChunk) {
        if let Some(spill) = &self.spill
            && let Err(error) = spill.write(chunk)
        {
            tracing::warn!(%error, "replicas that read slower than others lose their snapshot");
            spill.end(false);
            self.spill = None;
        }
    }

    /// Lets those go on by themselves that have held up the others for too long.
    fn spill_slow(&mut self, behind: &mut Vec<usize>) {
        let is_slow = |live: &Live| live.held_up > HELD_UP_MAX;
        if !behind.iter().any(|&at| is_slow(&self.live[at])) {
            return;
        }
        let spill = match self.spill.clone().map_or_else(|| Spill::create(self.dir).map(Arc::new), Ok) {
            Ok(spill) => spill,
            Err(error) => {
                // They stay, and are waited for.
                tracing::warn!(%error, "replicas wait for others that read slower: no file could be made for those");
                behind.iter().for_each(|&at| self.live[at].held_up = Duration::ZERO);
                return;
            }
        };
        behind.sort_unstable();
        let mut staying = Vec::new();
        // The last place first: removing it moves none that is still to be looked at.
        for at in std::mem::take(behind).into_iter().rev() {
            if !is_slow(&self.live[at]) {
                staying.push(at);
                continue;
            }
            let Live { replica, chunks, is_whole, .. } = self.live.remove(at);
            staying.iter_mut().for_each(|stays| *stays -= 1);
            tracing::info!(%replica, "replica reads slower than others that share its snapshot: it is served from a file");
            Spill::serve(&spill, spill.written(), chunks, is_whole);
        }
        *behind = staying;
        self.spill = Some(spill);
    }

    /// Everything was encoded without an error.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.send(&rest)?;
        }
        for live in self.live.drain(..) {
            // First the word that it is whole, then the end of the pieces: who sees the end looks for the word.
            let _ = live.is_whole.send(());
        }
        if let Some(spill) = self.spill.take() {
            spill.end(true);
        }
        Ok(())
    }
}

impl Drop for FanOut<'_> {
    /// What is not whole is given up: those who still wait for the rest see that nothing more comes.
    fn drop(&mut self) {
        if let Some(spill) = self.spill.take() {
            spill.end(false);
        }
    }
}

impl Write for FanOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.is_empty() && bytes.len() >= CHUNK_BYTES {
            self.send(bytes)?;
            return Ok(bytes.len());
        }
        let count = bytes.len().min(CHUNK_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == CHUNK_BYTES {
            let mut full = std::mem::take(&mut self.buffer);
            self.send(&full)?;
            full.clear();
            self.buffer = full;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Session {
        chunks: mpsc::Receiver<SnapshotChunk>,
        is_whole: oneshot::Receiver<()>,
    }

    impl Session {
        fn new(replica: u64) -> (Receiver, Self) {
            let (form, _) = oneshot::channel();
            let (sender, chunks) = mpsc::channel(CHUNKS_IN_FLIGHT_MAX);
            let (whole_sender, is_whole) = oneshot::channel();
            let replica = ReplicaId::new(replica);
            (Receiver { replica, form, chunks: sender, is_whole: whole_sender }, Self { chunks, is_whole })
        }

        /// All that comes, and whether it was whole.
        fn read(mut self) -> (Vec<u8>, bool) {
            let mut all = Vec::new();
            while let Some(chunk) = self.chunks.blocking_recv() {
                all.extend_from_slice(&chunk);
            }
            (all, self.is_whole.try_recv().is_ok())
        }
    }

    fn payload(chunks: usize) -> Vec<u8> {
        (0..CHUNK_BYTES * chunks / 4 + 7).flat_map(|n| (n as u32).to_le_bytes()).collect()
    }

    /// In pieces, as an encoder does.
    fn write(fan_out: &mut FanOut<'_>, content: &[u8]) -> io::Result<()> {
        content.chunks(CHUNK_BYTES / 2).try_for_each(|piece| fan_out.write_all(piece))
    }

    #[test]
    fn one_that_does_not_read_holds_nobody_up_and_misses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let content = payload(3 * CHUNKS_IN_FLIGHT_MAX);
        let (receivers, mut sessions): (Vec<_>, Vec<_>) = (1..=4).map(Session::new).unzip();
        let mut fan_out = FanOut::begin(receivers, dir.path());
        let late = sessions.split_off(2);
        let (done, outcomes) = std::sync::mpsc::channel();
        thread::scope(|scope| {
            for session in sessions {
                let done = done.clone();
                scope.spawn(move || done.send(session.read()).unwrap());
            }
            scope.spawn(|| {
                write(&mut fan_out, &content).unwrap();
                fan_out.finish().unwrap();
            });
            // Two have everything before the other two have read a single byte.
            for _ in 0..2 {
                assert!(outcomes.recv().unwrap() == (content.clone(), true));
            }
            for session in late {
                assert!(session.read() == (content.clone(), true));
            }
        });
        assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "no file is left behind");
    }

    #[test]
    fn who_stops_later_does_not_hold_up_those_that_are_served_from_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let content = payload(8 * CHUNKS_IN_FLIGHT_MAX);
        let (receivers, mut sessions): (Vec<_>, Vec<_>) = (1..=2).map(Session::new).unzip();
        let mut fan_out = FanOut::begin(receivers, dir.path());
        let (slow, mut stopping) = (sessions.pop().unwrap(), sessions.pop().unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                write(&mut fan_out, &content).unwrap();
                fan_out.finish().unwrap();
            });
            // It reads until the other one, which has not read at all, is left to a file; then it stops, too.
            let mut begun = Vec::new();
            while begun.len() < content.len() / 2 {
                begun.extend_from_slice(&stopping.chunks.blocking_recv().unwrap());
            }
            assert!(slow.read() == (content.clone(), true));
            let (rest, is_whole) = stopping.read();
            begun.extend_from_slice(&rest);
            assert!((begun, is_whole) == (content.clone(), true));
        });
    }

    #[test]
    fn what_is_given_up_is_whole_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let content = payload(2 * CHUNKS_IN_FLIGHT_MAX);
        let (receivers, mut sessions): (Vec<_>, Vec<_>) = (1..=2).map(Session::new).unzip();
        let mut fan_out = FanOut::begin(receivers, dir.path());
        let late = sessions.pop().unwrap();
        thread::scope(|scope| {
            let reading = scope.spawn(|| sessions.pop().unwrap().read());
            write(&mut fan_out, &content).unwrap();
            drop(fan_out);
            assert!(!reading.join().unwrap().1);
            assert!(!late.read().1);
        });
    }

    #[test]
    fn it_ends_when_nobody_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let (receivers, sessions): (Vec<_>, Vec<_>) = (1..=3).map(Session::new).unzip();
        let mut fan_out = FanOut::begin(receivers, dir.path());
        write(&mut fan_out, &payload(1)).unwrap();
        drop(sessions);
        assert!(write(&mut fan_out, &payload(2)).is_err());
    }
}
