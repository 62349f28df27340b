//! Segments: the files of the log, each with side data that says which bytes of which stream it holds.
//!
//! A segment holds a preamble (the SELECT that whoever replays the file alone needs), then bytes of the stream and
//! nothing else: the byte after offset `o` stands at `preamble + o - start`. It is as long as what was written. It knows
//! bytes and offsets; which segments belong together is [`files`](crate::files)'s business.
//!
//! Invariants:
//! * the end in the side data is written before the bytes that it counts, and neither without the other is believed;
//! * an append is whole or was never there: what a failed one left behind is cut off before the next.

mod chain;
mod read;
mod side;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{ByteCount, DbIndex, Offset, UnixMillis};

pub use chain::Chain;
pub use read::{SegmentFlaw, SegmentReader, SegmentSummary, Standing, StoredSegment};
pub use side::{BootId, Mark, SegmentEnd, SegmentHead, SegmentState, StreamName};

use crate::storage::{Open, Storage, StoredFile};
use side::{END_ROWS, ENDS_AT, FOLLOWED_AT, MARKS_AT, ROW_BYTES, SYNCED_AT};

/// Bytes between two marks.
pub const MARK_EVERY_BYTES: u64 = 64 << 10;

/// What a segment's side data is called.
#[must_use]
pub fn side_path(segment: &Path) -> PathBuf {
    let mut name = segment.as_os_str().to_owned();
    name.push(".side");
    PathBuf::from(name)
}

/// The SELECT that a file begins with when its stream has `db` selected; nothing for database 0, where every replay begins.
#[must_use]
pub fn preamble(db: DbIndex) -> Vec<u8> {
    if db == DbIndex::new(0) {
        return Vec::new();
    }
    let number = db.get().to_string();
    format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len()).into_bytes()
}

/// The segment that is being written.
#[derive(Debug)]
pub struct SegmentWriter {
    file: Arc<dyn StoredFile>,
    side: Arc<dyn StoredFile>,
    head: SegmentHead,
    chain: Chain,
    /// The last byte written.
    end: Offset,
    /// The last mark's offset.
    marked: Offset,
    /// Where the next mark goes.
    marks_end: u64,
    /// Bytes of a failed append may stand behind the end.
    has_remains: bool,
    /// How often the end was written.
    turn: u64,
    /// In which row it was written last.
    row: usize,
    /// The row of the last end that was synced without a mark: it is not written over.
    kept_row: Option<usize>,
}

/// Both files of a segment, for whoever makes them survive a power loss.
#[derive(Clone, Debug)]
pub struct SegmentFiles {
    /// The segment.
    pub file: Arc<dyn StoredFile>,
    /// Its side data.
    pub side: Arc<dyn StoredFile>,
}

impl SegmentFiles {
    /// Makes what was written survive a power loss: the bytes first.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync()?;
        self.side.sync()
    }
}

impl SegmentWriter {
    /// Begins a segment in a new file; what stands at its path already is nobody's and is replaced.
    pub fn create(storage: &dyn Storage, path: &Path, mut head: SegmentHead) -> io::Result<Self> {
        let preamble = preamble(head.db);
        head.preamble = preamble.len() as u32;
        // The side data goes first: a segment without any is taken for a stranger's.
        let side = storage.open(&side_path(path), Open::Empty)?;
        side.write_all_at(0, &head.encode())?;
        let mut writer = Self {
            chain: Chain::from_value(head.chain),
            end: head.start,
            marked: head.start,
            marks_end: MARKS_AT,
            has_remains: false,
            turn: 0,
            row: 0,
            kept_row: None,
            file: side.clone(),
            side,
            head,
        };
        writer.write_end(SegmentState::Open)?;
        writer.file = storage.open(path, Open::Empty)?;
        writer.file.write_all_at(0, &preamble)?;
        Ok(writer)
    }

    /// Goes on with a segment that was read to its end, which `end` states: what stands behind it is cut off.
    pub fn reopen(
        storage: &dyn Storage,
        path: &Path,
        segment: &StoredSegment,
        end: SegmentEnd,
        boot: BootId,
    ) -> io::Result<Self> {
        let file = storage.open(path, Open::Existing)?;
        let side = storage.open(&side_path(path), Open::Existing)?;
        let head = SegmentHead { boot, ..segment.head.clone() };
        let kept = segment.marks.iter().take_while(|mark| mark.offset <= end.end).count();
        let mut writer = Self {
            chain: Chain::from_value(end.chain),
            end: end.end,
            marked: kept.checked_sub(1).map_or(head.start, |last| segment.marks[last].offset),
            marks_end: MARKS_AT + (kept * ROW_BYTES) as u64,
            has_remains: false,
            turn: segment.turn,
            row: segment.row,
            kept_row: None,
            file,
            side,
            head,
        };
        // First the file: one that is longer than was stated would look like a stranger's if the process ended in between.
        writer.file.write_all_at(0, &preamble(writer.head.db))?;
        writer.file.set_len(writer.bytes())?;
        writer.write_end(SegmentState::Open)?;
        // Nor may it bring back what is cut off here, or take what a killed process did not come to syncing: the one would
        // look like a stranger's, the other may be with replicas by then.
        writer.file.sync()?;
        writer.side.set_len(writer.marks_end)?;
        writer.side.write_all_at(0, &writer.head.encode())?;
        // A power loss must not bring back that the log ends here.
        writer.side.sync()?;
        Ok(writer)
    }

    /// Appends bytes of the stream, all of them or, after an error, none.
    pub fn append(&mut self, bytes: &[u8], now: UnixMillis) -> io::Result<()> {
        if self.has_remains {
            self.file.set_len(self.bytes())?;
            self.has_remains = false;
        }
        let (before, at) = ((self.end, self.chain.clone()), self.bytes());
        self.chain.update(bytes);
        self.end = self.end.advance(ByteCount::of(bytes.len()));
        let written = self.write_end(SegmentState::Open).and_then(|()| self.file.write_all_at(at, bytes));
        if let Err(error) = written {
            (self.end, self.chain) = before;
            self.has_remains = true;
            // Mended at once where that is possible: who reads the files sees what was acknowledged and no more.
            if self.file.set_len(at).is_ok() {
                self.has_remains = false;
            }
            // A failure leaves the end too far, which reads as an append that was lost: so it was.
            let _ = self.write_end(SegmentState::Open);
            return Err(error);
        }
        if self.end.since(self.marked).get() >= MARK_EVERY_BYTES {
            // Without its mark a damage is placed less exactly; the append stands.
            let _ = self.mark(now);
        }
        Ok(())
    }

    /// Marks the present end, unless nothing was written since the last mark.
    pub fn mark(&mut self, now: UnixMillis) -> io::Result<()> {
        if self.marked == self.end {
            return Ok(());
        }
        let mark = Mark { offset: self.end, wall: now, chain: self.chain.value() };
        self.side.write_all_at(self.marks_end, &mark.encode())?;
        self.marks_end += ROW_BYTES as u64;
        self.marked = self.end;
        Ok(())
    }

    /// Notes that everything up to `offset` survives a power loss: what is wrong before it is damage, not loss.
    pub fn note_synced(&self, offset: Offset, now: UnixMillis) -> io::Result<()> {
        if offset <= self.head.start {
            return Ok(());
        }
        let synced = Mark { offset, wall: now, chain: 0 };
        self.side.write_all_at(SYNCED_AT, &synced.encode())
    }

    /// States that the log goes on in another segment.
    pub fn seal(&mut self, now: UnixMillis) -> io::Result<()> {
        self.mark(now)?;
        self.write_end(SegmentState::Sealed)
    }

    /// States that the log ends here, once all of it is safe.
    pub fn close(&mut self) -> io::Result<()> {
        self.write_end(SegmentState::Closed)?;
        self.side.sync()
    }

    /// States that the stream goes on elsewhere: to a start it looks as if the machine had gone down.
    pub(crate) fn abandon(&mut self) -> io::Result<()> {
        self.head.boot = BootId([0; 16]);
        self.side.write_all_at(0, &self.head.encode())
    }

    /// Notes that what is appended from here on comes from a master.
    pub(crate) fn note_followed(&mut self) -> io::Result<()> {
        if self.head.is_followed {
            return Ok(());
        }
        // Not in the head: a process that ends in between would leave none.
        let since = Mark { offset: self.end, wall: UnixMillis::new(0), chain: self.chain.value() };
        self.side.write_all_at(FOLLOWED_AT, &since.encode())?;
        self.head.is_followed = true;
        Ok(())
    }

    fn write_end(&mut self, state: SegmentState) -> io::Result<()> {
        let end = SegmentEnd { end: self.end, chain: self.chain.value(), state };
        self.turn += 1;
        // One of the other two is always left.
        self.row = (1..END_ROWS)
            .map(|step| (self.row + step) % END_ROWS)
            .find(|row| Some(*row) != self.kept_row)
            .unwrap_or_default();
        self.side.write_all_at(ENDS_AT + (self.row * ROW_BYTES) as u64, &end.encode(self.turn))
    }

    /// The present end was synced: its row vouches for it until another one's does.
    pub fn keep_end(&mut self) {
        self.kept_row = Some(self.row);
    }

    /// What it is.
    #[must_use]
    pub fn head(&self) -> &SegmentHead {
        &self.head
    }

    /// The last byte written.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The chained checksum at its end.
    #[must_use]
    pub fn chain(&self) -> u64 {
        self.chain.value()
    }

    /// The file's length, preamble included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.head.preamble) + self.end.since(self.head.start).get()
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> SegmentFiles {
        SegmentFiles { file: self.file.clone(), side: self.side.clone() }
    }
}
