//! Loads a full sync's payload into a keyspace of its own, on threads of its own, as it arrives.

use std::{
    io::{self, Read},
    ops::Range,
};

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions, Limits};
use rejoin_persistence::rdb::{self, DecodeOptions, RdbError, RdbSummary};

use tokio::sync::{mpsc, oneshot};

use crate::{background, disk::load::decoding_workers, shard::unix_now};

/// Pieces of payload that wait for the loader at most; beyond that the master is not read.
const PIECES_WAITING_MAX: usize = 8;

/// What was loaded: whole and verified.
pub(crate) struct Loaded {
    pub(crate) keyspace: Keyspace,
    pub(crate) summary: RdbSummary,
}

/// A piece of payload: a part of what was read from the link, where it lies.
pub(crate) struct Piece {
    /// What was held back of the piece before, if anything: it comes first.
    pub(crate) held: Vec<u8>,
    /// What was read.
    pub(crate) input: Vec<u8>,
    /// The part of it that is payload.
    pub(crate) part: Range<usize>,
}

/// A load that runs. Dropping it ends the load, and what was loaded is dropped on its thread.
pub(crate) struct Loader {
    pieces: Option<mpsc::Sender<Piece>>,
    done: oneshot::Receiver<Result<Loaded, String>>,
}

impl Loader {
    /// Begins a load into a new keyspace of `databases`, whose collections keep to `limits`.
    pub(crate) fn begin(databases: u32, limits: Limits) -> io::Result<Self> {
        let (pieces, incoming) = mpsc::channel(PIECES_WAITING_MAX);
        let (done_sender, done) = oneshot::channel();
        background::spawn("loader", move || {
            let options = KeyspaceOptions { databases, seed: HashSeed::new(rand::random()) };
            let mut keyspace = Keyspace::new(options);
            keyspace.access_mut().set(unix_now(), AccessKind::Recency);
            let mut payload = Payload { incoming, piece: Vec::new(), unread: 0..0, next: None };
            let outcome = load(&mut payload, &mut keyspace, limits)
                .map(|summary| Loaded { keyspace, summary })
                .map_err(|error| error.to_string());
            // Nobody waits any more: the link was lost, and the load with it.
            let _ = done_sender.send(outcome);
        })?;
        Ok(Self { pieces: Some(pieces), done })
    }

    /// Hands over a piece; waits while the loader is behind. A loader that has given up takes nothing and says so at
    /// [`Loader::finish`].
    pub(crate) async fn push(&mut self, piece: Piece) {
        if let Some(pieces) = &self.pieces {
            let _ = pieces.send(piece).await;
        }
    }

    /// Whether the loader has given up before the end of the payload.
    pub(crate) fn has_failed(&self) -> bool {
        self.pieces.as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    /// The payload is complete: waits for the loader's verdict.
    pub(crate) async fn finish(&mut self) -> Result<Loaded, String> {
        self.pieces = None;
        (&mut self.done)
            .await
            .unwrap_or_else(|_| Err("the loader failed on our side, which is a defect".to_owned()))
    }
}

/// On several threads where there are processors for them: clearing the memory that a load fills takes as long as decoding.
fn load(payload: &mut Payload, keyspace: &mut Keyspace, limits: Limits) -> Result<RdbSummary, RdbError> {
    let options = DecodeOptions::for_link(limits);
    let workers = decoding_workers();
    if workers == 0 {
        return rdb::decode(payload, keyspace, &options);
    }
    let mut run = |worker: rdb::Worker| {
        // Where there is no thread to be had, the others do its part.
        let _ = background::spawn("load-worker", worker);
    };
    rdb::decode_with_workers(payload, keyspace, &options, workers, &mut run)
}

/// The payload as the decoder reads it.
struct Payload {
    incoming: mpsc::Receiver<Piece>,
    piece: Vec<u8>,
    /// The part of `piece` that is still to be read.
    unread: Range<usize>,
    /// What comes behind it.
    next: Option<(Vec<u8>, Range<usize>)>,
}

impl Read for Payload {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.unread.is_empty() {
            (self.piece, self.unread) = match self.next.take() {
                Some(next) => next,
                None => match self.incoming.blocking_recv() {
                    Some(Piece { held, input, part }) => {
                        self.next = Some((input, part));
                        let all = 0..held.len();
                        (held, all)
                    }
                    None => return Ok(0),
                },
            };
        }
        let count = into.len().min(self.unread.len());
        let from = self.unread.start;
        into[..count].copy_from_slice(&self.piece[from..from + count]);
        self.unread.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_in_order_with_what_was_held_back() {
        let (pieces, incoming) = mpsc::channel(PIECES_WAITING_MAX);
        let piece =
            |held: &[u8], input: &[u8], part| Piece { held: held.to_vec(), input: input.to_vec(), part };
        for piece in [
            piece(b"", b"+OK one", 4..7),
            piece(b"", b"nothing", 3..3),
            piece(b" and", b" two", 0..4),
            piece(b"", b"", 0..0),
            piece(b"!", b"", 0..0),
        ] {
            assert!(pieces.try_send(piece).is_ok());
        }
        drop(pieces);
        let mut payload = Payload { incoming, piece: Vec::new(), unread: 0..0, next: None };
        let mut text = String::new();
        assert_eq!(payload.read_to_string(&mut text).ok(), Some(12));
        assert_eq!(text, "one and two!");
    }
}
