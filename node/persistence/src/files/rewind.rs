//! The way back: which base and which segments lead to an offset that the stream has passed, and what the files do when the
//! node goes back there.
//!
//! In order: [`find`]; the caller rebuilds the data; [`lost::keep`](super::lost::keep) saves what is given up;
//! [`cut`] copies the segment in which the offset lies, up to it; then [`LogFiles::go_back`] where the live files reach
//! back so far, and [`forget_behind`] with [`LogFiles::begin_again_without`] where only the history does. Until the
//! manifest is replaced a start finds what was there before.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_protocol::{ByteCount, Offset, ReplicationId, UnixMillis};
use thiserror::Error;

use super::{Before, LogFiles, LogFlaw, Retired, StreamPlace, chained, publish::remove_segment};
use crate::{
    manifest::ManifestFile,
    segment::{SegmentHead, SegmentWriter, StoredSegment, StreamName, preamble, side_path},
    storage::Storage,
};

/// Bytes copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// A base that may lie on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseAt {
    /// Its path.
    pub path: PathBuf,
    /// The stream that it stands in.
    pub replid: ReplicationId,
    /// Where.
    pub offset: Offset,
}

/// What leads to an offset.
#[derive(Debug)]
pub struct Way {
    /// The base to begin with; `None` where the stream begins with no data.
    pub base: Option<BaseAt>,
    /// Where the base stands, or the empty stream begins.
    pub start: Offset,
    /// All segments from there to the stream's present end, the oldest first.
    pub segments: Vec<StoredSegment>,
}

/// Why there is no way. `Display` is for operators.
#[derive(Debug, Error)]
pub enum NoWay {
    /// There is no segment that ends where the stream does.
    #[error("no segment of the log ends at offset {end}, where we are")]
    NoLog {
        /// The stream's end.
        end: Offset,
    },
    /// The segments go back without a gap, but to no base that is old enough.
    #[error(
        "the log reaches back to offset {first} without a gap, and no base at or below {wanted} is kept there"
    )]
    NoBase {
        /// Where the oldest segment begins.
        first: Offset,
        /// The offset to go to.
        wanted: Offset,
    },
    /// The files.
    #[error(transparent)]
    Files(#[from] LogFlaw),
}

/// Where to look, and for what.
#[derive(Debug)]
pub struct Search<'a> {
    /// Folders with segments.
    pub folders: &'a [PathBuf],
    /// Bases, apart from those that history's names tell.
    pub bases: Vec<BaseAt>,
    /// The stream.
    pub stream: &'a StreamName,
    /// Its last byte.
    pub end: Offset,
    /// The offset to go to.
    pub wanted: Offset,
}

/// Finds the newest base at or below the wanted offset from which segments lead to the stream's end without a gap. Each is
/// followed by its place, by its stream's name, and by the chained checksum.
pub fn find(storage: &dyn Storage, search: Search<'_>) -> Result<Way, NoWay> {
    let Search { folders, mut bases, stream, end, wanted } = search;
    let all = chained::list(storage, folders).map_err(|(path, error)| LogFlaw::Io { path, error })?;
    let mut kept = Vec::new();
    for folder in folders {
        for listed in storage.list(folder).map_err(|error| LogFlaw::Io { path: folder.clone(), error })? {
            let path = folder.join(&listed.name);
            let base = super::history::parse_base(&listed.name);
            kept.extend(base.map(|(replid, offset)| BaseAt { path, replid, offset }));
        }
    }
    let is_usable =
        |base: &BaseAt| base.offset <= wanted && chained::shares(stream, base.replid, base.offset);
    bases.retain(is_usable);
    kept.retain(is_usable);
    let last = chained::newest(&all, stream)
        .filter(|last| last.summary.end_present == end && last.head().stream.replid == stream.replid);
    let mut earliest = last.ok_or(NoWay::NoLog { end })?;
    let mut segments = vec![StoredSegment::open(storage, &earliest.path).map_err(LogFlaw::from)?];
    loop {
        let first = earliest.head().start;
        // One whose name is all that tells of it may belong to what was given up: a segment on the way begins there.
        bases.extend(kept.iter().filter(|base| base.offset == first).cloned());
        let base = bases.iter().filter(|base| base.offset >= first).max_by_key(|base| base.offset);
        if let Some(base) = base {
            segments.reverse();
            return Ok(Way { base: Some(base.clone()), start: base.offset, segments });
        }
        // The one that begins there may hold nothing else.
        let begins_there = |head: &SegmentHead| {
            (head.start, head.chain) == (first, earliest.head().chain)
                && chained::shares(stream, head.stream.replid, first)
        };
        let begins_empty = earliest.head().begins_empty
            || all.iter().any(|found| found.head().begins_empty && begins_there(found.head()));
        if begins_empty && first <= wanted {
            segments.reverse();
            return Ok(Way { base: None, start: first, segments });
        }
        earliest =
            chained::before(storage, &all, stream, earliest.head()).ok_or(NoWay::NoBase { first, wanted })?;
        let mut segment = StoredSegment::open(storage, &earliest.path).map_err(LogFlaw::from)?;
        // Behind that it may hold what was given up.
        segment.bytes = segment.place(first);
        segments.push(segment);
    }
}

impl Way {
    /// The segment in which `at` lies, or which ends or begins there.
    #[must_use]
    pub fn segment_at(&self, at: Offset) -> Option<&StoredSegment> {
        let begins_before = |segment: &&StoredSegment| segment.head.start < at && segment.end_present() >= at;
        let begins_there = |segment: &&StoredSegment| segment.head.start == at;
        self.segments.iter().find(begins_before).or_else(|| self.segments.iter().find(begins_there))
    }

    /// The stream's end up to `at`, `bytes_max` bytes at most.
    pub fn tail(&self, at: Offset, bytes_max: u64) -> Result<Vec<u8>, LogFlaw> {
        let Some(first) = self.segments.first() else { return Ok(Vec::new()) };
        let wanted = Offset::new(at.get().saturating_sub(bytes_max));
        let mut got = wanted.max(first.head.start);
        let mut tail = Vec::new();
        for segment in &self.segments {
            let to = segment.end_present().min(at);
            if got < to {
                tail.extend(segment.bytes_between(got, to)?);
                got = to;
            }
        }
        Ok(tail)
    }
}

/// A copy of a segment's beginning, not in its place yet.
#[derive(Clone, Debug)]
pub struct CutCopy {
    /// Where it is written.
    temporary: PathBuf,
    /// What it is a copy of.
    of: PathBuf,
    head: SegmentHead,
}

/// Copies `segment` up to `at` into `temporary`: sealed there, and safe from a power loss.
pub fn cut(
    storage: &dyn Storage,
    segment: &StoredSegment,
    at: Offset,
    temporary: &Path,
) -> Result<CutCopy, LogFlaw> {
    let failed = |error| LogFlaw::Io { path: temporary.to_owned(), error };
    let written = segment.written();
    let mut writer = SegmentWriter::create(storage, temporary, segment.head.clone()).map_err(failed)?;
    while writer.end() < at {
        let count = at.since(writer.end()).get().min(PIECE_BYTES);
        let until = writer.end().advance(ByteCount::new(count));
        let bytes = segment.bytes_between(writer.end(), until)?;
        writer.append(&bytes, written).map_err(failed)?;
    }
    if writer.chain() != segment.chain_at(at)? {
        return Err(failed(io::Error::other("the copy is not what was to be copied")));
    }
    writer.seal(written).and_then(|()| writer.files().sync()).map_err(failed)?;
    Ok(CutCopy { temporary: temporary.to_owned(), of: segment.path.clone(), head: segment.head.clone() })
}

impl CutCopy {
    /// Gives it a name of its own, in the place of a segment that has it.
    fn put(&self, storage: &dyn Storage, path: &Path) -> io::Result<()> {
        storage.rename(&side_path(&self.temporary), &side_path(path))?;
        storage.rename(&self.temporary, path)
    }

    /// It is not needed any more.
    pub fn discard(&self, storage: &dyn Storage) {
        let _ = remove_segment(storage, &self.temporary);
    }
}

/// Takes out of the history what lies behind `at` and is given up: whole segments, and the end of the one in `cut`.
pub fn forget_behind(
    storage: &dyn Storage,
    history: &Path,
    way: &Way,
    at: Offset,
    cut: Option<&CutCopy>,
) -> io::Result<()> {
    let in_history = |path: &Path| path.parent() == Some(history);
    for segment in way.segments.iter().filter(|segment| in_history(&segment.path)) {
        if segment.head.start >= at {
            remove_segment(storage, &segment.path)?;
        }
    }
    match cut {
        Some(cut) if in_history(&cut.of) => cut.put(storage, &cut.of),
        _ => Ok(()),
    }
}

impl LogFiles {
    /// Where the live files begin: their base stands there.
    #[must_use]
    pub fn start(&self) -> Option<Offset> {
        let first = self.manifest.increments.first()?;
        self.segment_of(first).ok().map(|segment| segment.head.start)
    }

    /// The live base.
    #[must_use]
    pub fn base(&self) -> Option<BaseAt> {
        let (base, first) = (self.manifest.base.as_ref()?, self.manifest.increments.first()?);
        let head = self.segment_of(first).ok()?.head;
        let path = self.options.folder.join(&base.name);
        Some(BaseAt { path, replid: head.stream.replid, offset: head.start })
    }

    /// The folder of what is live.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.options.folder
    }

    fn segment_of(&self, file: &ManifestFile) -> Result<StoredSegment, LogFlaw> {
        Ok(StoredSegment::open(&*self.storage, &self.options.folder.join(&file.name))?)
    }

    /// The node goes back to `place`, which lies in the live files: what they hold behind it is given up, and `cut` takes the
    /// place of the segment in which it lies, unless one ends there. After an error everything is as it was; so it is for
    /// a start that comes before this returns.
    pub fn go_back(
        &mut self,
        place: StreamPlace,
        cut: Option<&CutCopy>,
        now: UnixMillis,
    ) -> Result<Retired, LogFlaw> {
        let path = self.options.manifest_path();
        let failed = |error| LogFlaw::Io { path: path.clone(), error };
        if self.replaced.is_some() || self.awaits_base {
            return Err(failed(io::Error::other("a base is being put in its place")));
        }
        let bound = cut.map_or(place.offset, |cut| cut.head.start);
        let mut manifest = self.manifest.clone();
        let mut kept = Vec::new();
        let mut end = None;
        for file in &self.manifest.increments {
            let segment = self.segment_of(file)?;
            if segment.head.start < bound {
                end = Some(segment.end_present());
                kept.push(file.clone());
            }
        }
        if end.is_some_and(|end| end != bound) || (end.is_none() && cut.is_none()) {
            return Err(failed(io::Error::other("the live files do not reach back to it")));
        }
        let given_up: Vec<ManifestFile> = self.manifest.increments[kept.len()..].to_vec();
        let kept_count = kept.len();
        let mut made = Vec::new();
        let outcome = self.put_in_place(&mut manifest, kept, &place, cut, now, &mut made);
        let writer = match outcome {
            Ok(writer) => writer,
            Err(error) => {
                for path in made {
                    let _ = remove_segment(&*self.storage, &path);
                }
                return Err(failed(error));
            }
        };
        let sealed = &manifest.increments[..manifest.increments.len() - 1];
        debug_assert_eq!(sealed.len(), kept_count + usize::from(cut.is_some()));
        self.sealed_bytes = self.bytes_of(sealed);
        self.manifest = manifest;
        self.writer = writer;
        (self.stream, self.db) = (place.stream, place.db);
        (self.is_renamed, self.is_unpublished) = (false, false);
        let files = given_up.iter().map(|file| self.options.folder.join(&file.name)).collect();
        Ok(Retired { files, ..Retired::default() })
    }

    fn put_in_place(
        &self,
        manifest: &mut crate::manifest::Manifest,
        kept: Vec<ManifestFile>,
        place: &StreamPlace,
        cut: Option<&CutCopy>,
        now: UnixMillis,
        made: &mut Vec<PathBuf>,
    ) -> io::Result<SegmentWriter> {
        let (storage, options) = (&*self.storage, &self.options);
        let mut seq = Self::free_increment_seq(storage, options, manifest)?;
        manifest.increments = kept;
        if let Some(cut) = cut {
            let preamble_bytes = u64::from(cut.head.preamble);
            let file = ManifestFile::increment(&options.name, seq, cut.head.start.get(), preamble_bytes);
            let path = options.folder.join(&file.name);
            made.push(path.clone());
            cut.put(storage, &path)?;
            manifest.increments.push(file);
            seq = Self::free_increment_seq(storage, options, manifest)?;
        }
        let preamble_bytes = preamble(place.db).len() as u64;
        let file = ManifestFile::increment(&options.name, seq, place.offset.get(), preamble_bytes);
        let head = SegmentHead {
            stream: place.stream.clone(),
            start: place.offset,
            preamble: 0,
            db: place.db,
            chain: place.chain,
            created: now,
            boot: options.boot,
            begins_empty: false,
        };
        let path = options.folder.join(&file.name);
        made.push(path.clone());
        let writer = SegmentWriter::create(storage, &path, head)?;
        writer.files().sync()?;
        manifest.increments.push(file);
        manifest.history.clear();
        super::Publication {
            folder: options.folder.clone(),
            name: options.name.clone(),
            manifest: manifest.write(),
        }
        .carry_out(storage)?;
        Ok(writer)
    }

    /// The node goes back to `place`, which lies before the live files: new ones begin there, and with their first base
    /// those that are live now go for good. Until then they are what a start would load.
    pub fn begin_again_without(&mut self, place: StreamPlace, now: UnixMillis) -> io::Result<()> {
        self.begin_again(place, Before::Base, now)?;
        self.doomed.append(&mut self.orphans);
        // The history goes on where it was cut.
        self.severed = None;
        Ok(())
    }
}
