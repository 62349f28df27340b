//! A reader's place in the log.
//!
//! A cursor holds the block that it reads and, through the links, all blocks behind it; the last cursor to leave a
//! released block frees it, on the reader's thread. It never waits and never wakes anyone: it is polled.

use std::sync::Arc;

use rejoin_protocol::{ByteCount, NextOffset, Offset};
use thiserror::Error;

use super::block::Block;
use super::{Bookmark, Shared};

/// Why a cursor yields nothing any more.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CursorEnd {
    /// The log began anew at another place in the stream.
    #[error("the log was restarted at another offset")]
    LogRestarted,
}

/// A reader's place in the log. Holding one keeps the blocks from its place on alive.
#[derive(Debug)]
pub struct Cursor {
    shared: Arc<Shared>,
    /// Which of the log's streams it reads.
    generation: u64,
    /// By which of its names it knows that stream.
    name: u64,
    /// The block that holds the byte after `position`; the one before it while that byte does not exist yet.
    block: Arc<Block>,
    /// The last byte consumed.
    position: Offset,
    /// What `readable` last gave and was not consumed since.
    offered: usize,
}

impl Cursor {
    pub(super) fn new(
        shared: Arc<Shared>,
        (generation, name): (u64, u64),
        block: Arc<Block>,
        position: Offset,
    ) -> Self {
        assert!(block.start() <= position && position <= block.end(), "a cursor stands in its block");
        Self { shared, generation, name, block, position, offered: 0 }
    }

    /// The byte it reads next.
    #[must_use]
    pub fn position(&self) -> NextOffset {
        self.position.next()
    }

    /// How many visible bytes lie before it; none once the log was restarted.
    #[must_use]
    pub fn lag(&self) -> ByteCount {
        self.border().map_or(ByteCount::ZERO, |visible| visible.since(self.position))
    }

    /// The visible bytes at its place, as far as one block holds them; empty when it has caught up.
    pub fn readable(&mut self) -> Result<&[u8], CursorEnd> {
        self.offered = 0;
        let visible = self.border()?;
        if self.position == self.block.end() {
            match self.block.next() {
                Some(next) => self.block = Arc::clone(next),
                None => return Ok(&[]),
            }
        }
        let from = usize_of(self.position.since(self.block.start()));
        // The block may have published more than this border: what lies past it is not ours to show yet.
        let to = usize_of(visible.min(self.block.end()).since(self.block.start()));
        let bytes = self.block.published().get(from..to).unwrap_or(&[]);
        assert_eq!(bytes.len(), to - from, "what is visible was published before");
        self.offered = bytes.len();
        Ok(bytes)
    }

    /// Moves on by `count` bytes, at most what [`Cursor::readable`] gave (panics past that).
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.offered, "consumed {count} bytes of {} offered", self.offered);
        self.offered -= count;
        self.position = self.position.advance(ByteCount::of(count));
    }

    fn border(&self) -> Result<Offset, CursorEnd> {
        self.shared.border((self.generation, self.name), self.position)
    }

    /// Whether the log has released what it reads next, so that memory lives for this cursor and others that lag alone.
    #[must_use]
    pub fn is_behind_memory(&self) -> bool {
        self.position < self.shared.before_first()
    }

    /// The same place without a hold on memory.
    #[must_use]
    pub fn bookmark(&self) -> Bookmark {
        Bookmark::new(Arc::clone(&self.shared), (self.generation, self.name), self.position)
    }
}

/// A distance within one block.
fn usize_of(count: ByteCount) -> usize {
    // A block is a slice in memory, so distances within it fit; a larger number makes the `get` above fail.
    usize::try_from(count.get()).unwrap_or(usize::MAX)
}
