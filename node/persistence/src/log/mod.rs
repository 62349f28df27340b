//! The hot log: the end of the replication stream, in memory, as blocks shared by reference.
//!
//! One writer (the shard) appends through [`HotLog`]; any number of [`Cursor`]s on any thread read. Appending and
//! reading take no lock; opening a cursor takes one that the writer takes only when a block begins or is released.
//! It knows bytes, offsets and borders, neither commands nor files.
//!
//! Invariants:
//! * `first_held <= visible + 1 <= appended + 1`, and readers never see a byte past `visible`;
//! * what is visible ends at a border: the writer says where one is by [`HotLog::publish`];
//! * a cursor that was opened under one name of the stream sees no byte of the next name ([`HotLog::begin_name`]);
//! * the log itself holds at least the budget once that much was written, and less than a block more;
//! * a block that was released lives as long as a cursor reads it or one before it: [`LogHandle::bytes_pinned`].

mod block;
mod bookmark;
mod cursor;
mod writer;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rejoin_protocol::{ByteCount, NextOffset, Offset};
use thiserror::Error;

use block::{Block, BlockMeter};
pub use bookmark::Bookmark;
pub use cursor::{Cursor, CursorEnd};
pub use writer::{BLOCK_BYTES, HotLog};

/// A number on cache lines of its own: the border is stored at every publish and polled by every reader, and
/// must not drag its neighbours along. 128 bytes, because lines are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLine(AtomicU64);

/// What the writer, the handles and the cursors of one log share.
#[derive(Debug)]
struct Shared {
    /// The last visible byte. Stored (Release) by the writer after everything that makes the bytes reachable.
    visible: OwnLine,
    /// Counts restarts. Stored before the first `visible` of the new stream, so that whoever loads that `visible`
    /// with Acquire sees that its cursor belongs to an old one.
    generation: AtomicU64,
    /// Counts names of the stream. Stored before the first `visible` under the new name, as `generation` is.
    name: AtomicU64,
    /// Where the last few names ended, the oldest first.
    name_ends: Mutex<VecDeque<(u64, Offset)>>,
    /// The last byte before the first held. Stored by the writer when it releases blocks.
    before_first: AtomicU64,
    /// The first byte that a reader still wants, in memory or in files; `u64::MAX` when nobody reads. Stored by handles.
    wanted_from: AtomicU64,
    /// The memory budget. Stored by handles, read by the writer at each publish.
    budget: AtomicU64,
    /// Memory of the blocks that the writer keeps: published, not yet published and spare ones.
    bytes_kept: AtomicU64,
    /// Memory of all blocks, those that only cursors keep included.
    meter: Arc<BlockMeter>,
    /// The published blocks in order; never empty. Changed by the writer at block changes alone.
    blocks: Mutex<VecDeque<Arc<Block>>>,
}

impl Shared {
    fn visible(&self) -> Offset {
        Offset::new(self.visible.0.load(Ordering::Acquire))
    }

    fn before_first(&self) -> Offset {
        Offset::new(self.before_first.load(Ordering::Acquire))
    }

    /// The last byte of a name that is not the present one; `None` when it ended too long ago.
    fn end_of_name(&self, name: u64) -> Option<Offset> {
        let ends = self.name_ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().find(|(ended, _)| *ended == name).map(|(_, end)| *end)
    }

    /// The last byte that a reader at `position` of this generation and name may see. The order of the loads matters: a
    /// border of a newer stream brings the newer generation with it, and one of a newer name that name.
    fn border(&self, (generation, name): (u64, u64), position: Offset) -> Result<Offset, CursorEnd> {
        let visible = self.visible();
        if self.generation.load(Ordering::Acquire) != generation {
            return Err(CursorEnd::LogRestarted);
        }
        if self.name.load(Ordering::Acquire) != name {
            let end = self.end_of_name(name).unwrap_or(position);
            return Ok(visible.min(end).max(position));
        }
        Ok(visible)
    }

    /// The published blocks. A panic elsewhere cannot leave them half changed, so a poisoned lock is taken over.
    fn blocks(&self) -> MutexGuard<'_, VecDeque<Arc<Block>>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shared view of the log: what is held, and cursors into it. Cheap to clone, `Send + Sync`.
#[derive(Clone, Debug)]
pub struct LogHandle {
    shared: Arc<Shared>,
}

impl LogHandle {
    /// The last visible byte.
    #[must_use]
    pub fn visible(&self) -> Offset {
        self.shared.visible()
    }

    /// The first byte still held. With nothing held it is the byte after [`LogHandle::visible`].
    #[must_use]
    pub fn first_held(&self) -> NextOffset {
        self.shared.before_first().next()
    }

    /// Sets the memory budget; takes effect at the next publish.
    pub fn set_budget(&self, budget: ByteCount) {
        self.shared.budget.store(budget.get(), Ordering::Relaxed);
    }

    /// The memory budget.
    #[must_use]
    pub fn budget(&self) -> ByteCount {
        ByteCount::new(self.shared.budget.load(Ordering::Relaxed))
    }

    /// Notes the first byte that a reader still wants, wherever it lies; `None` when nobody reads.
    pub fn set_wanted_from(&self, first: Option<NextOffset>) {
        self.shared.wanted_from.store(first.map_or(u64::MAX, NextOffset::get), Ordering::Release);
    }

    /// The first byte that a reader still wants: what files have of it is not to be removed.
    #[must_use]
    pub fn wanted_from(&self) -> Option<NextOffset> {
        let first = self.shared.wanted_from.load(Ordering::Acquire);
        (first != u64::MAX).then(|| NextOffset::new(first))
    }

    /// Visible bytes of the stream that the log holds (INFO's `repl_backlog_histlen`).
    #[must_use]
    pub fn bytes_held(&self) -> ByteCount {
        // The later number is loaded last: the first byte only moves towards the border.
        let before_first = self.shared.before_first();
        self.shared.visible().since(before_first)
    }

    /// Memory of all blocks alive, in whole blocks: held, being filled, kept for reuse, and pinned.
    #[must_use]
    pub fn bytes_allocated(&self) -> ByteCount {
        ByteCount::new(self.shared.meter.bytes_alive())
    }

    /// Memory of blocks that the log has released and that only slow cursors keep alive. Near enough for operators:
    /// the numbers behind it are read one after the other.
    #[must_use]
    pub fn bytes_pinned(&self) -> ByteCount {
        let alive = self.shared.meter.bytes_alive();
        ByteCount::new(alive.saturating_sub(self.shared.bytes_kept.load(Ordering::Relaxed)))
    }

    /// A cursor at `at`, which must lie within what is held or be the byte after the last: Redis' rule for PSYNC,
    /// `first_held <= at <= visible + 1`. Wanting byte 0 is the same as wanting byte 1.
    pub fn open_cursor(&self, at: NextOffset) -> Result<Cursor, NotHeld> {
        self.open_cursor_under(self.shared.name.load(Ordering::Acquire), at)
    }

    /// As [`LogHandle::open_cursor`], for a reader that knows the stream by a name of [`HotLog::begin_name`], 0 being the
    /// first: it sees nothing of later names.
    pub fn open_cursor_under(&self, name: u64, at: NextOffset) -> Result<Cursor, NotHeld> {
        self.open_cursor_in(name, None, at)
    }

    /// A place in the stream under one of its names, whether memory reaches so far or not.
    #[must_use]
    pub fn bookmark_under(&self, name: u64, at: NextOffset) -> Bookmark {
        let generation = self.shared.generation.load(Ordering::Acquire);
        Bookmark::new(Arc::clone(&self.shared), (generation, name), at.prior())
    }

    /// As [`LogHandle::open_cursor_under`]; a reader that knows the log's stream by its number gets none in another.
    fn open_cursor_in(
        &self,
        name: u64,
        generation_wanted: Option<u64>,
        at: NextOffset,
    ) -> Result<Cursor, NotHeld> {
        let blocks = self.shared.blocks();
        // Under the lock the first block stays held and no restart happens; the border may move on meanwhile.
        let (visible, before_first) = (self.shared.visible(), self.shared.before_first());
        let generation = self.shared.generation.load(Ordering::Acquire);
        let is_another = generation_wanted.is_some_and(|wanted| wanted != generation);
        let position = at.prior();
        if is_another || position < before_first || position > visible {
            return Err(NotHeld { wanted: at, first: before_first.next(), visible });
        }
        let after = blocks.partition_point(|block| block.start() <= position);
        let block = after.checked_sub(1).and_then(|place| blocks.get(place));
        #[expect(
            clippy::expect_used,
            reason = "the first block starts at `before_first`, which was compared above"
        )]
        let block = Arc::clone(block.expect("a held position lies in a block"));
        Ok(Cursor::new(Arc::clone(&self.shared), (generation, name), block, position))
    }
}

/// The wanted byte is not in memory.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("wanted {wanted}, have {first}..={visible}")]
pub struct NotHeld {
    /// What was asked for.
    pub wanted: NextOffset,
    /// The first byte held.
    pub first: NextOffset,
    /// The last visible byte.
    pub visible: Offset,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
