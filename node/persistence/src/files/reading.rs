//! Reading the stream out of its files: which segments hold it, live ones and history, and a cursor over them.
//!
//! It looks at the folders whenever a segment ends, since segments are moved and removed while they are read: one that is
//! open stays readable wherever it is moved to. Readers see no byte past the log's border, which they bring along: the
//! files may have more, and what is behind the border may still be taken back.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{ByteCount, NextOffset, Offset};
use thiserror::Error;

use super::chained::{self, Found};
use crate::{
    segment::{SegmentFlaw, SegmentState, SegmentSummary, StoredSegment, StreamName},
    storage::{Storage, StoredFile},
};

/// Why bytes cannot be read from files.
#[derive(Debug, Error)]
pub enum NotRetained {
    /// No segment has them, or a segment between them and the log's end is missing.
    #[error("wanted {wanted}, files have {first} on")]
    Missing {
        /// The byte wanted.
        wanted: NextOffset,
        /// The first byte from which on nothing is missing.
        first: NextOffset,
    },
    /// They are there, and they are not what was written.
    #[error(transparent)]
    Flawed(#[from] SegmentFlaw),
    /// The folders cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl NotRetained {
    /// Whether it may be that a segment was just being moved, file and side data one after the other.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Missing { .. } | Self::Flawed(SegmentFlaw::Io { .. } | SegmentFlaw::NoSideData { .. })
        )
    }
}

/// A segment of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    /// The last byte before its first.
    start: Offset,
    /// The last byte in it that is of our stream.
    end: Offset,
    /// More may be written to it.
    is_growing: bool,
}

/// The segments of a stream that lie in some folders and hang together up to the one that is being written, those of its
/// ancestors as far as it shares them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// By start.
    places: Vec<Place>,
}

impl Catalog {
    /// Looks at the folders. A file that is no segment of ours, or that goes away meanwhile, is left out.
    ///
    /// # Errors
    /// What a folder says.
    pub fn look(storage: &dyn Storage, folders: &[PathBuf], stream: &StreamName) -> io::Result<Self> {
        let all = chained::list(storage, folders).map_err(|(_, error)| error)?;
        let mut places = Vec::new();
        // Where what comes later begins: it lies there, and nowhere else.
        let mut next = None;
        for Found { path, summary } in chained::path(storage, &all, stream) {
            let SegmentSummary { head, stated, end_present } = summary;
            let bound = next.replace(head.start);
            let Some(limit) = stream.last_valid(head.stream.replid) else { continue };
            let is_growing = stated.state == SegmentState::Open && limit.is_none() && bound.is_none();
            // What grows may have more in the file than was stated when we read that; its readers stop at the border.
            let end = if is_growing { *end_present } else { stated.end.min(*end_present) };
            let end = [limit, bound].into_iter().flatten().fold(end, Offset::min);
            places.push(Place { path: path.clone(), start: head.start, end, is_growing });
        }
        places.sort_by_key(|place| place.start);
        Ok(Self { places })
    }

    /// The segment that holds the byte behind `offset`.
    fn holding(&self, offset: Offset) -> Option<&Place> {
        self.places.iter().find(|place| place.start <= offset && offset < place.end)
    }

    /// The first byte from which on everything up to `until` is there; the byte behind `until` if nothing is.
    #[must_use]
    pub fn first_retained(&self, until: Offset) -> NextOffset {
        let mut first = until;
        // A place that begins earlier and reaches `first` comes later in this order.
        for place in self.places.iter().rev() {
            if place.start < first && place.end >= first {
                first = place.start;
            }
        }
        first.next()
    }

    /// Opens the segment that holds the byte `from`. `until` was the log's border before the look.
    ///
    /// # Errors
    /// No segment does, or something between there and `until` is missing; or it cannot be read.
    pub fn open(
        &self,
        storage: &dyn Storage,
        from: NextOffset,
        until: Offset,
    ) -> Result<FileCursor, NotRetained> {
        let position = from.prior();
        let first = self.first_retained(until);
        let place = self
            .holding(position)
            .filter(|_| first.prior() <= position)
            .ok_or(NotRetained::Missing { wanted: from, first })?;
        let segment = StoredSegment::open(storage, &place.path)?;
        let end = (!place.is_growing).then_some(place.end);
        Ok(FileCursor { segment, end, position, checked: position })
    }
}

/// Opens the stream's files at `from`. Everything from there up to `until`, which was the log's border before, is there, or
/// it fails.
///
/// # Errors
/// See [`NotRetained`]; [`NotRetained::may_pass`] says whether another look may find more.
pub fn open(
    storage: &dyn Storage,
    folders: &[PathBuf],
    stream: &StreamName,
    from: NextOffset,
    until: Offset,
) -> Result<FileCursor, NotRetained> {
    Catalog::look(storage, folders, stream)?.open(storage, from, until)
}

/// A piece of the stream as it lies in a file.
#[derive(Clone, Debug)]
pub struct FilePiece {
    /// The file.
    pub file: Arc<dyn StoredFile>,
    /// Its place there.
    pub at: u64,
    /// Its length, never 0.
    pub bytes: u64,
}

/// A reader's place within one segment.
#[derive(Debug)]
pub struct FileCursor {
    segment: StoredSegment,
    /// The last byte in it that is of our stream; `None` while more is being written to it.
    end: Option<Offset>,
    /// The last byte read.
    position: Offset,
    /// Up to here the bytes are known to be what was written, or there is nothing yet to tell by.
    checked: Offset,
}

impl FileCursor {
    /// The byte it reads next.
    #[must_use]
    pub fn position(&self) -> NextOffset {
        self.position.next()
    }

    /// The file that it reads.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.segment.path
    }

    /// Up to `bytes_max` of what comes next, none of it past `border`, all of it found to be what was written; `None` at
    /// the border, or at the segment's end: [`FileCursor::is_at_end`] tells.
    ///
    /// # Errors
    /// The bytes are damaged, or cannot be read.
    pub fn next_piece(&mut self, border: Offset, bytes_max: u64) -> Result<Option<FilePiece>, SegmentFlaw> {
        let until = self.end.map_or(border, |end| end.min(border));
        if self.position >= until {
            return Ok(None);
        }
        let mut wanted = self.position.checked_advance(ByteCount::new(bytes_max)).unwrap_or(until).min(until);
        if self.end.is_none() {
            // The segment may have ended since we looked: then the file has no more than this.
            wanted = wanted.min(self.segment.end_now()?);
            if wanted <= self.position {
                self.end = Some(self.position);
                return Ok(None);
            }
        }
        if self.checked < wanted {
            self.checked = self.segment.check_between(self.checked, wanted, until)?;
        }
        Ok(Some(FilePiece {
            file: self.segment.file(),
            at: self.segment.place(self.position),
            bytes: wanted.since(self.position).get(),
        }))
    }

    /// Moves on by `bytes`, at most what [`FileCursor::next_piece`] gave.
    pub fn consume(&mut self, bytes: u64) {
        self.position = self.position.advance(ByteCount::new(bytes));
    }

    /// Whether the segment has no more: the next byte is in another one.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.end == Some(self.position)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
