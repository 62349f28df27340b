//! One fixed-capacity piece of the stream, filled by a single writer while readers on other threads read what it has
//! published. The only file of the log with `unsafe` in it, and all of it behind safe calls.
//!
//! Invariants:
//! * a block has at most one [`BlockWriter`]; it is made together with the block, or from a block that nobody shares;
//! * bytes below `published` never change while the block is shared; only the writer touches those above;
//! * `published <= written <= capacity`, and `next` is linked only when the block is full and about to be published.
//!
//! It knows neither borders nor budgets: `writer` decides what is published and what is released.

#![expect(unsafe_code, reason = "the tail of a block is written while readers hold its published part")]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rejoin_protocol::{ByteCount, Offset};

/// Counts the memory of all blocks that are alive, whoever keeps them so.
#[derive(Debug, Default)]
pub(super) struct BlockMeter(AtomicU64);

impl BlockMeter {
    /// Bytes of all blocks alive.
    pub(super) fn bytes_alive(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A piece of the stream.
pub(super) struct Block {
    /// The last byte before this block. Changes only while nobody shares the block.
    start: Offset,
    /// The bytes: zeroed at first, so that every one of them is always initialised.
    bytes: Box<[UnsafeCell<u8>]>,
    /// How many bytes readers may see; grows only.
    published: AtomicUsize,
    /// The block that follows, once this one is full and published.
    next: OnceLock<Arc<Block>>,
    /// Counts this block as long as it is alive.
    meter: Arc<BlockMeter>,
}

// SAFETY: the bytes are the only part without synchronisation of its own. Those below `published` are immutable while
// the block is shared and are reached only after an Acquire load of `published` that pairs with the writer's Release
// store; those above are reached by the one `BlockWriter` alone, through `&mut` of it.
unsafe impl Sync for Block {}

impl Block {
    /// The last byte before this block.
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// The last byte that fits into it.
    #[inline]
    pub(super) fn end(&self) -> Offset {
        self.start.advance(ByteCount::of(self.bytes.len()))
    }

    /// The block that follows, if one was published.
    pub(super) fn next(&self) -> Option<&Arc<Block>> {
        self.next.get()
    }

    /// The bytes that readers may see.
    #[inline]
    pub(super) fn published(&self) -> &[u8] {
        let len = self.published.load(Ordering::Acquire);
        debug_assert!(len <= self.bytes.len());
        // SAFETY: `len <= capacity` (asserted by the writer where it stores it), all bytes are initialised, and
        // those below `len` are never written again while the block is shared. `UnsafeCell<u8>` has the layout of
        // `u8`. The Acquire load makes the writer's copies, which precede its Release store, visible here.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr().cast::<u8>(), len) }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the bytes nor the chain behind: both can be long.
        f.debug_struct("Block")
            .field("start", &self.start)
            .field("capacity", &self.bytes.len())
            .field("published", &self.published)
            .finish_non_exhaustive()
    }
}

impl Drop for Block {
    /// Takes the chain behind apart in a loop: dropped field by field, a chain of a million blocks would recurse a
    /// million calls deep.
    fn drop(&mut self) {
        self.meter.0.fetch_sub(self.bytes.len() as u64, Ordering::Relaxed);
        let mut next = self.next.take();
        while let Some(block) = next.and_then(Arc::into_inner) {
            let mut block = block;
            next = block.next.take();
        }
    }
}

/// The only writer of one block.
#[derive(Debug)]
pub(super) struct BlockWriter {
    block: Arc<Block>,
    /// How many bytes were written, published or not.
    written: usize,
}

impl BlockWriter {
    /// A new, empty block behind `start`.
    pub(super) fn new(start: Offset, capacity: usize, meter: &Arc<BlockMeter>) -> Self {
        assert!(capacity > 0, "a block without room would never be passed");
        meter.0.fetch_add(capacity as u64, Ordering::Relaxed);
        let block = Block {
            start,
            bytes: (0..capacity).map(|_| UnsafeCell::new(0)).collect(),
            published: AtomicUsize::new(0),
            next: OnceLock::new(),
            meter: Arc::clone(meter),
        };
        Self { block: Arc::new(block), written: 0 }
    }

    /// An old block made new behind `start`, if nobody else holds it; otherwise the block comes back.
    pub(super) fn reuse(mut block: Arc<Block>, start: Offset) -> Result<Self, Arc<Block>> {
        // `get_mut` synchronises with the drop of the last other reference: whatever a reader read, it read before.
        let Some(unique) = Arc::get_mut(&mut block) else { return Err(block) };
        unique.start = start;
        *unique.published.get_mut() = 0;
        let next = unique.next.take();
        // Usually not the last reference: what follows in the chain is still held by the log.
        drop(next);
        Ok(Self { block, written: 0 })
    }

    /// The block, to share.
    pub(super) fn block(&self) -> &Arc<Block> {
        &self.block
    }

    /// Gives up writing.
    pub(super) fn into_block(self) -> Arc<Block> {
        self.block
    }

    /// Copies as much of `bytes` as fits behind what was written; returns how much that is.
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) -> usize {
        let room = self.block.bytes.len() - self.written;
        let count = bytes.len().min(room);
        // SAFETY: `written + count <= capacity`, so the target lies within the allocation, whose pointer was derived
        // from the whole slice. Nobody reads there: `published <= written`, and this is the block's only writer. The
        // source cannot overlap: no `&[u8]` to unpublished bytes exists.
        unsafe {
            let target = UnsafeCell::raw_get(self.block.bytes.as_ptr()).add(self.written);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, count);
        }
        self.written += count;
        count
    }

    /// Whether nothing fits any more.
    pub(super) fn is_full(&self) -> bool {
        self.written == self.block.bytes.len()
    }

    /// Lets readers see everything written.
    #[inline]
    pub(super) fn publish(&self) {
        assert!(self.written <= self.block.bytes.len(), "a block holds no more than its capacity");
        self.block.published.store(self.written, Ordering::Release);
    }

    /// Forgets what was written but not published.
    pub(super) fn cut_back(&mut self) {
        // Only this writer stores it, so its own last store is what it loads.
        self.written = self.block.published.load(Ordering::Relaxed);
    }

    /// States which block follows this full one.
    pub(super) fn link(&self, next: &Arc<Block>) {
        assert!(self.is_full(), "only a full block has a next one");
        assert_eq!(self.block.end(), next.start(), "blocks follow each other without a gap");
        let linked = self.block.next.set(Arc::clone(next));
        assert!(linked.is_ok(), "a block is linked once");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn chain(meter: &Arc<BlockMeter>, count: u64) -> Arc<Block> {
        let mut last = BlockWriter::new(Offset::ZERO, 1, meter);
        let first = Arc::clone(last.block());
        for start in 1..count {
            last.append(b"x");
            let next = BlockWriter::new(Offset::new(start), 1, meter);
            last.link(next.block());
            last = next;
        }
        first
    }

    #[test]
    fn readers_see_what_is_published_and_no_more() {
        let meter = Arc::default();
        let mut writer = BlockWriter::new(Offset::new(10), 8, &meter);
        assert_eq!(writer.append(b"abc"), 3);
        assert_eq!(writer.block().published(), b"");
        writer.publish();
        assert_eq!(writer.append(b"defgh!"), 5);
        assert_eq!(writer.block().published(), b"abc");
        writer.cut_back();
        assert_eq!(writer.append(b"DE"), 2);
        writer.publish();
        assert_eq!(writer.block().published(), b"abcDE");
        assert_eq!(writer.block().end(), Offset::new(18));
    }

    #[test]
    fn a_chain_of_a_million_blocks_is_dropped_without_recursion() {
        let meter = Arc::default();
        let first = chain(&meter, if cfg!(miri) { 200 } else { 1_000_000 });
        assert!(meter.bytes_alive() > 0);
        drop(first);
        assert_eq!(meter.bytes_alive(), 0);
    }

    #[test]
    fn a_block_is_reused_only_when_nobody_holds_it() {
        let meter = Arc::default();
        let mut writer = BlockWriter::new(Offset::ZERO, 4, &meter);
        writer.append(b"abcd");
        writer.publish();
        let held = Arc::clone(writer.block());
        let block = BlockWriter::reuse(writer.into_block(), Offset::new(9)).unwrap_err();
        assert_eq!(held.published(), b"abcd");
        drop(held);
        let writer = BlockWriter::reuse(block, Offset::new(9)).unwrap();
        assert_eq!(writer.block().published(), b"");
        assert_eq!(writer.block().start(), Offset::new(9));
        assert_eq!(meter.bytes_alive(), 4);
    }
}
