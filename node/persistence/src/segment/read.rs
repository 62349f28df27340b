//! Segments as they are found on disk: what their side data says, and their bytes, checked against it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{ByteCount, Offset, UnixMillis};
use thiserror::Error;

use super::{
    BootId, Chain, Mark, SegmentEnd, SegmentFiles, SegmentHead, SegmentState, preamble,
    side::{END_ROWS, ENDS_AT, EndRow, HEAD_BYTES, MARKS_AT, ROW_BYTES},
    side_path,
};
use crate::storage::{Open, Storage, StoredFile};

/// Bytes read at a time at most.
const PIECE_BYTES: usize = 256 << 10;
/// Marks that are read at most: those of 16 TB. Side data is not believed to be longer than that.
const MARKS_MAX: u64 = 256 << 20;

/// What is wrong with a segment.
#[derive(Debug, Error)]
pub enum SegmentFlaw {
    /// It cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has no side data, or somebody else's.
    #[error("{path} has no side data of ours")]
    NoSideData {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else has written to it.
    #[error("{path} holds {bytes} bytes where we wrote {written}")]
    Touched {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// What the side data says.
        written: u64,
    },
    /// Its bytes are not those that were written.
    #[error(
        "{path} is damaged between its bytes {from} and {to}: the chained checksum is {computed:016x}, not {stated:016x}"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The last place in the file up to which all is well.
        from: u64,
        /// The place at which it is known not to be.
        to: u64,
        /// What the side data says.
        stated: u64,
        /// What the bytes give.
        computed: u64,
    },
}

/// How a segment's length stands to what its side data says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Both say the same.
    Whole,
    /// The file is shorter: its last appends were lost.
    Torn,
    /// The file is longer, and the system has gone down since: its end may have been lost, or somebody wrote to it.
    Uncertain,
    /// The file is longer, so somebody else wrote to it.
    Touched,
}

/// A segment on disk.
#[derive(Clone, Debug)]
pub struct StoredSegment {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub head: SegmentHead,
    /// How far it goes, by its side data.
    pub stated: SegmentEnd,
    /// Its marks, those behind the stated end left out.
    pub marks: Vec<Mark>,
    /// Bytes of the file that are read.
    pub bytes: u64,
    /// The file's length.
    pub bytes_found: u64,
    /// Up to where it was known to survive a power loss.
    pub synced: Offset,
    /// Where it ended before, the latest first, as far as its side data still says.
    older: Vec<SegmentEnd>,
    /// How often its end was written.
    pub(super) turn: u64,
    /// In which row it was written last.
    pub(super) row: usize,
    file: Arc<dyn StoredFile>,
}

impl StoredSegment {
    /// Looks at a segment: its side data and its length.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<Self, SegmentFlaw> {
        let failed = |error| SegmentFlaw::Io { path: path.to_owned(), error };
        let Found { file, side, head, ends, synced } = Found::open(storage, path)?;
        let EndRow { end: stated, turn, row } = ends[0];
        let older: Vec<SegmentEnd> =
            ends.iter().map(|row| row.end).filter(|end| end.end < stated.end).collect();
        let marks = read_marks(&*side, &head, stated).map_err(failed)?;
        let bytes = file.len().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            head,
            stated,
            marks,
            bytes,
            bytes_found: bytes,
            synced,
            older,
            turn,
            row,
            file,
        })
    }

    /// The segment itself, for whoever sends it.
    pub(crate) fn file(&self) -> Arc<dyn StoredFile> {
        Arc::clone(&self.file)
    }

    /// The last byte of the stream that the file has by now.
    pub(crate) fn end_now(&self) -> Result<Offset, SegmentFlaw> {
        let bytes = self
            .file
            .len()
            .map_err(|error| SegmentFlaw::Io { path: self.path.clone(), error })?
            .saturating_sub(u64::from(self.head.preamble));
        Ok(self.head.start.checked_advance(ByteCount::new(bytes)).unwrap_or(self.head.start))
    }

    /// Makes sure that the bytes behind `from` up to `to` are what was written, by the checksums that are known up to
    /// `limit`. Up to where that holds: at least `to`, where nothing tells otherwise.
    pub(crate) fn check_between(
        &self,
        from: Offset,
        to: Offset,
        limit: Offset,
    ) -> Result<Offset, SegmentFlaw> {
        let (mut good, value) = self.known_before(from);
        let mut chain = Chain::from_value(value);
        while good < to {
            let Some((at, stated)) = self.next_check(good).filter(|(at, _)| *at <= limit) else {
                return Ok(to);
            };
            self.sum_up(&mut chain, good, at)?;
            if chain.value() != stated {
                return Err(self.damaged(good, at, stated, chain.value()));
            }
            good = at;
        }
        Ok(good)
    }

    /// The last place at or before `offset` at which the chained checksum is known, and what it is there.
    fn known_before(&self, offset: Offset) -> (Offset, u64) {
        let before = self.marks.iter().rev().find(|mark| mark.offset <= offset);
        before.map_or((self.head.start, self.head.chain), |mark| (mark.offset, mark.chain))
    }

    fn damaged(&self, from: Offset, to: Offset, stated: u64, computed: u64) -> SegmentFlaw {
        let (from, to) = (self.place(from), self.place(to));
        SegmentFlaw::Damaged { path: self.path.clone(), from, to, stated, computed }
    }

    /// The bytes of the stream behind `from` up to `to`, which it has.
    pub fn bytes_between(&self, from: Offset, to: Offset) -> Result<Vec<u8>, SegmentFlaw> {
        let mut bytes = vec![0; usize::try_from(to.since(from).get()).unwrap_or(0)];
        self.file
            .read_exact_at(self.place(from), &mut bytes)
            .map_err(|error| SegmentFlaw::Io { path: self.path.clone(), error })?;
        Ok(bytes)
    }

    /// Its files, for whoever syncs them.
    pub fn files(&self, storage: &dyn Storage) -> io::Result<SegmentFiles> {
        let side = storage.open(&side_path(&self.path), Open::Existing)?;
        Ok(SegmentFiles { file: self.file.clone(), side })
    }

    /// Where it ended before the last append: a process that is killed loses nothing before that.
    #[must_use]
    pub fn end_kept(&self) -> Offset {
        self.older.first().map_or(self.stated.end, |older| older.end)
    }

    /// When something was written to it last, as far as its marks tell.
    #[must_use]
    pub fn written(&self) -> UnixMillis {
        self.marks.last().map_or(self.head.created, |mark| mark.wall)
    }

    /// Where the byte behind `offset` stands in the file.
    #[must_use]
    pub fn place(&self, offset: Offset) -> u64 {
        u64::from(self.head.preamble) + offset.since(self.head.start).get()
    }

    /// The last byte of the stream that the file has.
    #[must_use]
    pub fn end_present(&self) -> Offset {
        let bytes = self.bytes.saturating_sub(u64::from(self.head.preamble));
        self.head.start.checked_advance(ByteCount::new(bytes)).unwrap_or(self.head.start)
    }

    /// How its length stands to what its side data says, in the run `boot` of the operating system.
    #[must_use]
    pub fn standing(&self, boot: BootId) -> Standing {
        match self.bytes.cmp(&self.place(self.stated.end)) {
            std::cmp::Ordering::Equal => Standing::Whole,
            std::cmp::Ordering::Less => Standing::Torn,
            std::cmp::Ordering::Greater
                if self.stated.state != SegmentState::Open || self.head.boot == boot =>
            {
                Standing::Touched
            }
            std::cmp::Ordering::Greater => Standing::Uncertain,
        }
    }

    /// The first place behind `offset` at which the chained checksum is known, and what it is there.
    fn next_check(&self, offset: Offset) -> Option<(Offset, u64)> {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        let ends = self.older.iter().chain([&self.stated]).map(|end| (end.end, end.chain));
        let mark = self.marks.get(after).map(|mark| (mark.offset, mark.chain));
        mark.into_iter().chain(ends).filter(|(at, _)| *at > offset).min_by_key(|(at, _)| *at)
    }

    /// The last place at which the bytes are known to be right, from what was synced on: what a power loss has left.
    pub fn verified(&self) -> Result<Offset, SegmentFlaw> {
        let end = self.end_present();
        if self.synced <= self.head.start && !self.has_preamble()? {
            return Ok(self.head.start);
        }
        let (mut good, value) = self.known_before(self.synced.min(end));
        let mut chain = Chain::from_value(value);
        while let Some((at, value)) = self.next_check(good).filter(|(at, _)| *at <= end) {
            self.sum_up(&mut chain, good, at)?;
            if chain.value() != value {
                break;
            }
            good = at;
        }
        Ok(good)
    }

    /// Whether it begins as it was begun.
    pub(crate) fn has_preamble(&self) -> Result<bool, SegmentFlaw> {
        let wanted = preamble(self.head.db);
        let mut found = vec![0; wanted.len()];
        match self.file.read_exact_at(0, &mut found) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                Err(SegmentFlaw::Io { path: self.path.clone(), error })
            }
            read => Ok(read.is_ok() && found == wanted && wanted.len() == self.head.preamble as usize),
        }
    }

    /// Takes the bytes behind `from` up to `to` into the chain.
    fn sum_up(&self, chain: &mut Chain, from: Offset, to: Offset) -> Result<(), SegmentFlaw> {
        let mut position = from;
        let mut buffer = vec![0; PIECE_BYTES];
        while position < to {
            let count = usize::try_from(to.since(position).get()).unwrap_or(usize::MAX).min(PIECE_BYTES);
            self.file
                .read_exact_at(self.place(position), &mut buffer[..count])
                .map_err(|error| SegmentFlaw::Io { path: self.path.clone(), error })?;
            chain.update(&buffer[..count]);
            position = position.advance(ByteCount::of(count));
        }
        Ok(())
    }

    /// Its bytes, from the first of the stream on.
    #[must_use]
    pub fn read(&self) -> SegmentReader<'_> {
        SegmentReader {
            segment: self,
            chain: Chain::from_value(self.head.chain),
            at: self.head.start,
            good: self.head.start,
            buffer: Vec::new(),
        }
    }

    /// The chained checksum at `at`, computed from the last mark before it.
    pub fn chain_at(&self, at: Offset) -> Result<u64, SegmentFlaw> {
        let (position, value) = self.known_before(at);
        let mut chain = Chain::from_value(value);
        self.sum_up(&mut chain, position, at)?;
        Ok(chain.value())
    }
}

/// What a look at a segment's files finds.
struct Found {
    file: Arc<dyn StoredFile>,
    side: Arc<dyn StoredFile>,
    head: SegmentHead,
    /// Never empty, the latest first.
    ends: Vec<EndRow>,
    synced: Offset,
}

impl Found {
    fn open(storage: &dyn Storage, path: &Path) -> Result<Self, SegmentFlaw> {
        let failed = |error| SegmentFlaw::Io { path: path.to_owned(), error };
        let foreign = || SegmentFlaw::NoSideData { path: path.to_owned() };
        let file = storage.open(path, Open::Existing).map_err(failed)?;
        let side = match storage.open(&side_path(path), Open::Existing) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(foreign()),
            side => side.map_err(failed)?,
        };
        let mut head = [0; HEAD_BYTES];
        match side.read_exact_at(0, &mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(foreign()),
            read => read.map_err(failed)?,
        }
        // Rows that were not written yet are zeros.
        let mut rows = [0; (END_ROWS + 1) * ROW_BYTES];
        let present = side.len().map_err(failed)?.saturating_sub(ENDS_AT).min(rows.len() as u64) as usize;
        side.read_exact_at(ENDS_AT, &mut rows[..present]).map_err(failed)?;
        let head = SegmentHead::decode(&head).ok_or_else(foreign)?;
        let ends = SegmentEnd::decode(&rows);
        if ends.first().ok_or_else(foreign)?.end.end < head.start {
            return Err(foreign());
        }
        let synced = Mark::decode(&rows[END_ROWS * ROW_BYTES..]).map_or(head.start, |mark| mark.offset);
        Ok(Self { file, side, head, ends, synced })
    }
}

impl SegmentHead {
    /// Reads the head out of side data alone; `None` where there is none of ours.
    pub(crate) fn read(storage: &dyn Storage, side: &Path) -> Option<Self> {
        let mut head = [0; HEAD_BYTES];
        storage.open(side, Open::Existing).ok()?.read_exact_at(0, &mut head).ok()?;
        Self::decode(&head)
    }
}

/// What a segment says of itself, without its marks.
#[derive(Clone, Debug)]
pub struct SegmentSummary {
    /// What it is.
    pub head: SegmentHead,
    /// How far it goes, by its side data.
    pub stated: SegmentEnd,
    /// The last byte of the stream that the file has.
    pub end_present: Offset,
}

impl SegmentSummary {
    /// Looks at a segment.
    ///
    /// # Errors
    /// It is none of ours, or cannot be read.
    pub fn read(storage: &dyn Storage, path: &Path) -> Result<Self, SegmentFlaw> {
        let Found { file, head, ends, .. } = Found::open(storage, path)?;
        let bytes = file.len().map_err(|error| SegmentFlaw::Io { path: path.to_owned(), error })?;
        let bytes = bytes.saturating_sub(u64::from(head.preamble));
        let end_present = head.start.checked_advance(ByteCount::new(bytes)).unwrap_or(head.start);
        Ok(Self { stated: ends[0].end, head, end_present })
    }
}

/// The marks in order, up to the first that is none or that lies where it cannot.
fn read_marks(side: &dyn StoredFile, head: &SegmentHead, stated: SegmentEnd) -> io::Result<Vec<Mark>> {
    let bytes = side.len()?.saturating_sub(MARKS_AT);
    let count = (bytes / ROW_BYTES as u64).min(MARKS_MAX);
    let mut marks: Vec<Mark> = Vec::new();
    let mut buffer = vec![0; ROW_BYTES * 1024];
    let mut read = 0;
    while read < count {
        let rows = (count - read).min(1024);
        let piece = &mut buffer[..rows as usize * ROW_BYTES];
        side.read_exact_at(MARKS_AT + read * ROW_BYTES as u64, piece)?;
        for row in piece.chunks_exact(ROW_BYTES) {
            let last = marks.last().map_or(head.start, |mark| mark.offset);
            match Mark::decode(row) {
                Some(mark) if mark.offset > last && mark.offset <= stated.end => marks.push(mark),
                _ => return Ok(marks),
            }
        }
        read += rows;
    }
    Ok(marks)
}

/// A segment's bytes, piece by piece, each checked as soon as a mark is reached.
#[derive(Debug)]
pub struct SegmentReader<'a> {
    segment: &'a StoredSegment,
    chain: Chain,
    /// The last byte given.
    at: Offset,
    /// The last byte known to be right.
    good: Offset,
    buffer: Vec<u8>,
}

impl SegmentReader<'_> {
    /// The next piece, `None` at the file's end.
    pub fn next_piece(&mut self) -> Result<Option<&[u8]>, SegmentFlaw> {
        let segment = self.segment;
        let failed = |error| SegmentFlaw::Io { path: segment.path.clone(), error };
        let end = segment.end_present();
        if self.at >= end {
            return Ok(None);
        }
        // One without a byte behind it may have been made just before a power loss: it is written again.
        if self.at == segment.head.start && !segment.has_preamble()? {
            return Err(SegmentFlaw::Damaged {
                path: segment.path.clone(),
                from: 0,
                to: preamble(segment.head.db).len() as u64,
                stated: 0,
                computed: 0,
            });
        }
        let check = segment.next_check(self.at);
        let until = check.map_or(end, |(at, _)| at.min(end));
        let count = usize::try_from(until.since(self.at).get()).unwrap_or(usize::MAX).min(PIECE_BYTES);
        self.buffer.resize(count, 0);
        segment.file.read_exact_at(segment.place(self.at), &mut self.buffer).map_err(failed)?;
        self.chain.update(&self.buffer);
        self.at = self.at.advance(ByteCount::of(count));
        if let Some((_, value)) = check.filter(|(at, _)| *at == self.at) {
            if self.chain.value() != value {
                return Err(segment.damaged(self.good, self.at, value, self.chain.value()));
            }
            self.good = self.at;
        }
        Ok(Some(&self.buffer))
    }

    /// The last byte of the stream that was given.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.at
    }

    /// The last byte that is known to be what was written.
    #[must_use]
    pub fn verified(&self) -> Offset {
        self.good
    }
}
