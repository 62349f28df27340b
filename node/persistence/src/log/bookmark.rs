//! A reader's place in the log without a hold on its memory, for readers that lag: what lies there may be on disk alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rejoin_protocol::{ByteCount, NextOffset, Offset};

use super::{Cursor, CursorEnd, LogHandle, NotHeld, Shared};

/// A place in the log that keeps nothing alive. It knows, as a [`Cursor`] does, which stream it reads and by which name.
#[derive(Clone, Debug)]
pub struct Bookmark {
    shared: Arc<Shared>,
    /// Which of the log's streams it reads.
    generation: u64,
    /// By which of its names it knows that stream.
    name: u64,
    /// The last byte consumed.
    position: Offset,
}

impl Bookmark {
    pub(super) fn new(shared: Arc<Shared>, (generation, name): (u64, u64), position: Offset) -> Self {
        Self { shared, generation, name, position }
    }

    /// The byte it reads next.
    #[must_use]
    pub fn position(&self) -> NextOffset {
        self.position.next()
    }

    /// The last byte that a reader under this name may see.
    ///
    /// # Errors
    /// The log began anew elsewhere.
    pub fn border(&self) -> Result<Offset, CursorEnd> {
        self.shared.border((self.generation, self.name), self.position)
    }

    /// How many visible bytes lie before it; none once the log was restarted.
    #[must_use]
    pub fn lag(&self) -> ByteCount {
        self.border().map_or(ByteCount::ZERO, |border| border.since(self.position))
    }

    /// Whether the stream goes on under another name, and all that this one shares with it was read.
    #[must_use]
    pub fn is_at_end_of_name(&self) -> bool {
        self.shared.name.load(Ordering::Acquire) != self.name
            && self.border().is_ok_and(|border| border == self.position)
    }

    /// Moves on by `count` bytes, which were read elsewhere.
    pub fn advance(&mut self, count: ByteCount) {
        self.position = self.position.advance(count);
    }

    /// A cursor at this place, if memory reaches so far.
    ///
    /// # Errors
    /// [`NotHeld`] with the numbers; also when the log began anew elsewhere.
    pub fn open_cursor(&self) -> Result<Cursor, NotHeld> {
        LogHandle { shared: Arc::clone(&self.shared) }.open_cursor_in(
            self.name,
            Some(self.generation),
            self.position(),
        )
    }
}
