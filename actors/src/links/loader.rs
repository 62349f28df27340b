//! Loads a full sync's payload into a keyspace of its own, on a thread of its own, as it arrives.

use std::io::{self, Read};

use rejoin_keyspace::{AccessKind, HashSeed, Keyspace, KeyspaceOptions, Limits};
use rejoin_persistence::rdb::{self, DecodeOptions, RdbSummary};

use tokio::sync::{mpsc, oneshot};

use crate::{background, shard::unix_now};

/// Pieces of payload that wait for the loader at most; beyond that the master is not read.
const PIECES_WAITING_MAX: usize = 8;

/// What was loaded: whole and verified.
pub(crate) struct Loaded {
    pub(crate) keyspace: Keyspace,
    pub(crate) summary: RdbSummary,
}

/// A load that runs. Dropping it ends the load, and what was loaded is dropped on its thread.
pub(crate) struct Loader {
    pieces: Option<mpsc::Sender<Vec<u8>>>,
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
            let mut payload = Payload { incoming, piece: Vec::new(), read: 0 };
            let outcome = rdb::decode(&mut payload, &mut keyspace, &DecodeOptions::for_link(limits))
                .map(|summary| Loaded { keyspace, summary })
                .map_err(|error| error.to_string());
            // Nobody waits any more: the link was lost, and the load with it.
            let _ = done_sender.send(outcome);
        })?;
        Ok(Self { pieces: Some(pieces), done })
    }

    /// Hands over a piece; waits while the loader is behind. A loader that has given up takes nothing and says so at
    /// [`Loader::finish`].
    pub(crate) async fn push(&mut self, piece: Vec<u8>) {
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

/// The payload as the decoder reads it.
struct Payload {
    incoming: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

impl Read for Payload {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            match self.incoming.blocking_recv() {
                Some(piece) => {
                    self.piece = piece;
                    self.read = 0;
                }
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len() - self.read);
        into[..count].copy_from_slice(&self.piece[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }
}
