//! The writing end of the log: appends, borders, and the release of old blocks.
//!
//! Blocks that no border has reached yet hang on nothing that readers can see. So a discarded tail needs no unlinking,
//! however many blocks it spans, and its blocks are filled again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rejoin_protocol::{ByteCount, Offset};

use super::block::{Block, BlockMeter, BlockWriter};
use super::{LogHandle, OwnLine, Shared};

/// Bytes of one block.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// Blocks kept for reuse; what is released beyond is given back to the allocator.
const SPARE_BLOCKS_MAX: usize = 4;

/// Blocks that one publish releases beyond as many as it adds, so that a budget that was cut from gigabytes does not
/// stall the shard; the rest goes with the publishes that follow.
const EXTRA_RELEASES_PER_PUBLISH_MAX: usize = 32;

/// Ends of earlier names that are remembered. A cursor under an older one has nothing to read any more.
const NAME_ENDS_MAX: usize = 64;

/// The writing end; owned by the shard.
#[derive(Debug)]
pub struct HotLog {
    shared: Arc<Shared>,
    /// Capacity of each block.
    block_bytes: usize,
    /// The block that is being filled.
    tail: BlockWriter,
    /// Full blocks before `tail` since the last border, in order, not linked to their next ones yet. The first of
    /// them is published in part and known to readers, as `tail` is when this is empty.
    unlinked: Vec<BlockWriter>,
    /// Blocks for reuse.
    spare: Vec<Arc<Block>>,
    /// The last byte appended.
    appended: Offset,
    /// The last visible byte; what `shared.visible` says, on the writer's own cache line.
    visible: Offset,
    /// The last byte of the first held block: decides when it may go. Changes when a block is released.
    first_end: Offset,
}

impl HotLog {
    /// A log whose stream stands at `start`, and that keeps about `budget` bytes in memory.
    #[must_use]
    pub fn new(start: Offset, budget: ByteCount) -> Self {
        Self::with_block_bytes(start, budget, BLOCK_BYTES)
    }

    /// As [`HotLog::new`], with blocks of another capacity: for tests and simulation, where little data is to fill many.
    #[must_use]
    pub fn with_block_bytes(start: Offset, budget: ByteCount, block_bytes: usize) -> Self {
        let meter = Arc::new(BlockMeter::default());
        let tail = BlockWriter::new(start, block_bytes, &meter);
        let first_end = tail.block().end();
        let shared = Shared {
            visible: OwnLine(AtomicU64::new(start.get())),
            generation: AtomicU64::new(0),
            name: AtomicU64::new(0),
            name_ends: Mutex::default(),
            before_first: AtomicU64::new(start.get()),
            wanted_from: AtomicU64::new(u64::MAX),
            budget: AtomicU64::new(budget.get()),
            bytes_kept: AtomicU64::new(block_bytes as u64),
            meter,
            blocks: Mutex::new(VecDeque::from([Arc::clone(tail.block())])),
        };
        Self {
            shared: Arc::new(shared),
            block_bytes,
            tail,
            unlinked: Vec::new(),
            spare: Vec::new(),
            appended: start,
            visible: start,
            first_end,
        }
    }

    /// Appends bytes behind the last one. They are invisible until [`HotLog::publish`]. The memory budget does not
    /// bound an unpublished tail: who appends a transaction bounds its size.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.appended = self.appended.advance(ByteCount::of(bytes.len()));
        let count = self.tail.append(bytes);
        if count < bytes.len() {
            self.append_to_new_blocks(&bytes[count..]);
        }
    }

    #[cold]
    fn append_to_new_blocks(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let next = self.new_block(self.tail.block().end());
            self.unlinked.push(std::mem::replace(&mut self.tail, next));
            let count = self.tail.append(bytes);
            bytes = &bytes[count..];
        }
        self.record_kept();
    }

    /// Everything appended so far ends at a border: makes it visible to cursors, and releases the oldest blocks past
    /// the budget (cursors that still read them keep them alive).
    #[inline]
    pub fn publish(&mut self) {
        let blocks_added = self.unlinked.len();
        if self.visible != self.appended {
            if blocks_added > 0 {
                self.publish_new_blocks();
            }
            self.tail.publish();
            self.visible = self.appended;
            self.shared.visible.0.store(self.visible.get(), Ordering::Release);
        }
        if self.first_block_is_due() {
            self.release_blocks(blocks_added.saturating_add(EXTRA_RELEASES_PER_PUBLISH_MAX));
        }
    }

    /// Links and publishes the full blocks, and enters all new ones into the index.
    #[cold]
    fn publish_new_blocks(&mut self) {
        let followers = self.unlinked.iter().skip(1).chain([&self.tail]);
        for (writer, next) in self.unlinked.iter().zip(followers.clone()) {
            writer.link(next.block());
            writer.publish();
        }
        self.shared.blocks().extend(followers.map(|writer| Arc::clone(writer.block())));
        self.unlinked.clear();
        self.record_kept();
    }

    /// Discards what was appended since the last border.
    pub fn discard_invisible(&mut self) {
        let mut tails = std::mem::take(&mut self.unlinked).into_iter();
        if let Some(first) = tails.next() {
            let last = std::mem::replace(&mut self.tail, first);
            for writer in tails.chain([last]) {
                self.keep_spare(writer.into_block());
            }
            self.record_kept();
        }
        self.tail.cut_back();
        self.appended = self.visible;
    }

    /// The stream goes on under another name behind what is visible now. Who follows it by the old name is to hold no
    /// byte of the new one, or it could not say where it stands: cursors that are open end here. Returns the number of
    /// the new name.
    pub fn begin_name(&mut self) -> u64 {
        let ended = self.shared.name.load(Ordering::Relaxed);
        let mut ends = self.shared.name_ends.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() == NAME_ENDS_MAX {
            ends.pop_front();
        }
        ends.push_back((ended, self.visible));
        self.shared.name.store(ended + 1, Ordering::Release);
        ended + 1
    }

    /// The number of the stream's present name.
    #[must_use]
    pub fn name(&self) -> u64 {
        self.shared.name.load(Ordering::Relaxed)
    }

    /// The last byte appended, visible or not.
    #[must_use]
    pub fn appended(&self) -> Offset {
        self.appended
    }

    /// Starts over at another place in the stream (a full sync was loaded): all blocks are released, and cursors end
    /// with [`CursorEnd::LogRestarted`](super::CursorEnd::LogRestarted). Frees the blocks here and now, which takes
    /// about a microsecond for each. Returns the number of the new stream's name: a cursor that is opened under an
    /// earlier one sees nothing.
    pub fn restart(&mut self, at: Offset) -> u64 {
        self.discard_invisible();
        self.tail = self.new_block(at);
        let fresh = VecDeque::from([Arc::clone(self.tail.block())]);
        (self.appended, self.visible, self.first_end) = (at, at, self.tail.block().end());
        let old = {
            let mut blocks = self.shared.blocks();
            // Before the border: see `Cursor::border`. Within the lock: an opener sees all of it or nothing.
            self.shared.generation.fetch_add(1, Ordering::Release);
            // Where earlier names ended was said of another stream's offsets.
            self.shared.name_ends.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.shared.name.fetch_add(1, Ordering::Release);
            self.shared.before_first.store(at.get(), Ordering::Release);
            self.shared.visible.0.store(at.get(), Ordering::Release);
            std::mem::replace(&mut *blocks, fresh)
        };
        drop(old);
        self.record_kept();
        self.shared.name.load(Ordering::Relaxed)
    }

    /// A handle for other threads.
    #[must_use]
    pub fn handle(&self) -> LogHandle {
        LogHandle { shared: Arc::clone(&self.shared) }
    }

    /// Whether the budget is met without the first block. It is never the one being filled.
    fn first_block_is_due(&self) -> bool {
        self.first_end <= self.visible
            && self.visible.since(self.first_end).get() >= self.shared.budget.load(Ordering::Relaxed)
    }

    #[cold]
    fn release_blocks(&mut self, count_max: usize) {
        let shared = Arc::clone(&self.shared);
        for _ in 0..count_max {
            if !self.first_block_is_due() {
                break;
            }
            let mut blocks = shared.blocks();
            // The last one stays: the next block is linked to it, and cursors are opened at its end.
            if blocks.len() < 2 {
                break;
            }
            let released = blocks.pop_front();
            if let Some(first) = blocks.front() {
                shared.before_first.store(first.start().get(), Ordering::Release);
                self.first_end = first.end();
            }
            drop(blocks);
            if let Some(block) = released {
                self.keep_spare(block);
            }
        }
        self.record_kept();
    }

    /// An empty block behind `start`: a spare one if there is one.
    fn new_block(&mut self, start: Offset) -> BlockWriter {
        while let Some(block) = self.spare.pop() {
            if let Ok(writer) = BlockWriter::reuse(block, start) {
                return writer;
            }
        }
        BlockWriter::new(start, self.block_bytes, &self.shared.meter)
    }

    /// Keeps a block for reuse if nobody else holds it and there are not enough yet.
    fn keep_spare(&mut self, block: Arc<Block>) {
        if self.spare.len() < SPARE_BLOCKS_MAX
            && let Ok(writer) = BlockWriter::reuse(block, Offset::ZERO)
        {
            self.spare.push(writer.into_block());
        }
    }

    /// Tells handles how much memory the log itself keeps.
    fn record_kept(&self) {
        let blocks = self.shared.blocks().len() + self.unlinked.len() + self.spare.len();
        let bytes = blocks.saturating_mul(self.block_bytes) as u64;
        self.shared.bytes_kept.store(bytes, Ordering::Relaxed);
    }
}
