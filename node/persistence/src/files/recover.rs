//! What a start finds in the log's folder: whose it is, what is loaded in which order, and where the stream goes on.
//!
//! A log is ours when every increment has side data that matches it and each begins where the one before ends. Anything
//! else is foreign: stock Redis wrote it, or touched it. It is loaded, but its bytes are no stream: a new stream begins
//! with what was loaded.
//!
//! In order: [`look`]; the caller loads the base and replays the increments, by [`FoundLog::base`] and
//! [`FoundLog::increments`]; then [`FoundLog::resume`] for a log of ours, or [`LogFiles::begin`] for a foreign one.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};
use thiserror::Error;

use super::{LogFiles, LogFilesOptions, StreamPlace};
use crate::{
    manifest::{LegacyState, MANIFEST_BYTES_MAX, Manifest, ManifestError, ManifestFile},
    segment::{SegmentEnd, SegmentFlaw, SegmentState, SegmentWriter, Standing, StoredSegment, StreamName},
    storage::{Open, Storage, StoredFile},
};

/// Why a log cannot be loaded.
#[derive(Debug, Error)]
pub enum LogFlaw {
    /// The manifest.
    #[error("{path}: {error}")]
    Manifest {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        error: ManifestError,
    },
    /// A file cannot be read.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The manifest names a file that is not there.
    #[error("The AOF file {path} doesn't exist")]
    Missing {
        /// Which.
        path: PathBuf,
    },
    /// A segment.
    #[error(transparent)]
    Segment(#[from] SegmentFlaw),
    /// Bytes of the stream are missing between two segments.
    #[error("{path} begins at offset {start}, but what comes before it ends at {end}: {} bytes are missing", start.since(*end).get())]
    Gap {
        /// The later segment.
        path: PathBuf,
        /// Where it begins.
        start: Offset,
        /// Where the one before ends.
        end: Offset,
    },
}

/// A log that was found.
#[derive(Debug)]
pub struct FoundLog {
    manifest: Manifest,
    bytes_lost: u64,
    /// Segments behind the place where a power loss has cut the log.
    cut: Vec<PathBuf>,
    /// The base, with its length.
    pub base: Option<(PathBuf, u64)>,
    /// The increments, in order.
    pub increments: Increments,
}

/// The increments of a log.
#[derive(Debug)]
pub enum Increments {
    /// Segments of ours.
    Ours(Vec<StoredSegment>),
    /// Files of somebody else's, with their lengths.
    Foreign {
        /// The files.
        files: Vec<(PathBuf, u64)>,
        /// Why they are not ours.
        why: String,
    },
}

/// Where a stream goes on after a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// The stream.
    pub place: StreamPlace,
    /// The stream goes on under a new name: its end may be lost, or it is a master's, and none is followed any more.
    pub is_renamed: bool,
    /// The system did not go down since it was written, and nobody cut anything off: all of it is there.
    pub is_end_safe: bool,
    /// Bytes that were cut off: an append that was lost, or the beginning of a command.
    pub bytes_cut: u64,
}

/// What the manifest on disk names; nothing if there is none or it cannot be read. For a log that begins anew.
#[must_use]
pub fn names_in_use(storage: &dyn Storage, options: &LogFilesOptions) -> Manifest {
    read_manifest(storage, options).ok().flatten().unwrap_or_default()
}

/// Looks at the log's folder. `None` when there is no log.
pub fn look(storage: &dyn Storage, options: &LogFilesOptions) -> Result<Option<FoundLog>, LogFlaw> {
    let Some(mut manifest) = read_manifest(storage, options)? else { return Ok(None) };
    if manifest.is_empty() {
        return Ok(None);
    }
    let path_of = |file: &ManifestFile| options.folder.join(&file.name);
    drop_unborn(storage, &mut manifest.increments, &path_of);
    if manifest.is_empty() {
        return Ok(None);
    }
    adopt_unnamed(storage, options, &mut manifest);
    let base = manifest.base.as_ref().map(|file| with_length(storage, path_of(file))).transpose()?;
    let files = manifest
        .increments
        .iter()
        .map(|file| with_length(storage, path_of(file)))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes_found: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    let mut cut = Vec::new();
    let increments = match segments_of_ours(storage, options, &files)? {
        Ok(segments) => {
            cut = manifest.increments.split_off(segments.len()).iter().map(path_of).collect();
            Increments::Ours(segments)
        }
        Err(why) => Increments::Foreign { files, why },
    };
    let bytes_kept: u64 = match &increments {
        Increments::Ours(segments) => segments.iter().map(|segment| segment.bytes).sum(),
        Increments::Foreign { .. } => bytes_found,
    };
    let bytes_lost = bytes_found.saturating_sub(bytes_kept);
    Ok(Some(FoundLog { manifest, bytes_lost, cut, base, increments }))
}

fn with_length(storage: &dyn Storage, path: PathBuf) -> Result<(PathBuf, u64), LogFlaw> {
    let length = storage.open(&path, Open::Existing).and_then(|file| file.len());
    match length {
        Ok(length) => Ok((path, length)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(LogFlaw::Missing { path }),
        Err(error) => Err(LogFlaw::Io { path, error }),
    }
}

/// The manifest; that of a log from before Redis 7.0 is made, and its file moved, as Redis does.
fn read_manifest(storage: &dyn Storage, options: &LogFilesOptions) -> Result<Option<Manifest>, LogFlaw> {
    let path = options.manifest_path();
    let failed = |error| LogFlaw::Io { path: path.clone(), error };
    let manifest = match storage.open(&path, Open::Existing) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
        Ok(file) => {
            let bytes = read_whole(&*file).map_err(failed)?;
            let parsed = Manifest::parse(&bytes);
            Some(parsed.map_err(|error| LogFlaw::Manifest { path: path.clone(), error })?)
        }
    };
    let beside = PathBuf::from(&options.name);
    let within = options.folder.join(&options.name);
    let is_there = |path: &Path| storage.open(path, Open::Existing).is_ok();
    let legacy = LegacyState {
        append_file_name: &options.name,
        is_beside_folder: is_there(&beside),
        is_in_folder: is_there(&within),
        manifest: manifest.as_ref(),
    };
    let Some(moved) = legacy.manifest_before_move() else { return Ok(manifest) };
    storage.create_folder(&options.folder).map_err(failed)?;
    super::Publication {
        folder: options.folder.clone(),
        name: options.name.clone(),
        manifest: moved.write(),
    }
    .carry_out(storage)
    .and_then(|()| storage.rename(&beside, &within))
    .map_err(failed)?;
    Ok(Some(moved))
}

fn read_whole(file: &dyn StoredFile) -> io::Result<Vec<u8>> {
    let length = file.len()?;
    if length > MANIFEST_BYTES_MAX {
        let text = format!("it has {length} bytes, {MANIFEST_BYTES_MAX} at most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Drops the last increments as long as they are empty and have no side data: a power loss came when they were made.
fn drop_unborn(
    storage: &dyn Storage,
    increments: &mut Vec<ManifestFile>,
    path_of: &dyn Fn(&ManifestFile) -> PathBuf,
) {
    while let Some(path) = increments.last().map(path_of) {
        let is_empty = storage.open(&path, Open::Existing).and_then(|file| file.is_empty()).unwrap_or(false);
        let has_none = matches!(StoredSegment::open(storage, &path), Err(SegmentFlaw::NoSideData { .. }));
        if !(is_empty && has_none) {
            return;
        }
        increments.pop();
    }
}

/// Segments that follow the last one named and that no manifest names yet: the process ended in between.
fn adopt_unnamed(storage: &dyn Storage, options: &LogFilesOptions, manifest: &mut Manifest) {
    while let Some(last) = manifest.increments.last() {
        let next = ManifestFile::increment(&options.name, last.seq.saturating_add(1), 0, 0);
        let open = |file: &ManifestFile| StoredSegment::open(storage, &options.folder.join(&file.name));
        let (Ok(before), Ok(after)) = (open(last), open(&next)) else { return };
        let follows = after.head.start == before.stated.end && after.head.chain == before.stated.chain;
        if !(before.stated.state == SegmentState::Sealed && follows) {
            return;
        }
        let preamble = u64::from(after.head.preamble);
        manifest.increments.push(ManifestFile::increment(
            &options.name,
            next.seq,
            after.head.start.get(),
            preamble,
        ));
    }
}

/// The segments, or why they are not ours.
fn segments_of_ours(
    storage: &dyn Storage,
    options: &LogFilesOptions,
    files: &[(PathBuf, u64)],
) -> Result<Result<Vec<StoredSegment>, String>, LogFlaw> {
    let mut segments: Vec<StoredSegment> = Vec::new();
    for (path, _) in files {
        let segment = match StoredSegment::open(storage, path) {
            Err(flaw @ SegmentFlaw::NoSideData { .. }) => return Ok(Err(flaw.to_string())),
            segment => segment?,
        };
        if segment.standing(options.boot) == Standing::Touched {
            let written = segment.place(segment.stated.end);
            let touched = SegmentFlaw::Touched { path: path.clone(), bytes: segment.bytes, written };
            return Ok(Err(touched.to_string()));
        }
        segments.push(segment);
    }
    if segments.is_empty() {
        return Ok(Err("there is no increment of ours".to_owned()));
    }
    lose_what_was_not_safe(options, &mut segments)?;
    // What was appended behind the last border that survived is gone, and segments behind it with it.
    let torn = segments.iter().position(|segment| segment.standing(options.boot) == Standing::Torn);
    if let Some(torn) = torn {
        let end = segments[torn].end_present();
        if let Some(later) = segments[torn + 1..].iter().find(|later| later.end_present() > later.head.start)
        {
            return Err(LogFlaw::Gap { path: later.path.clone(), start: later.head.start, end });
        }
        segments.truncate(torn + 1);
    }
    for pair in segments.windows(2) {
        let (end, start) = (pair[0].end_present(), pair[1].head.start);
        if end < start {
            return Err(LogFlaw::Gap { path: pair[1].path.clone(), start, end });
        }
        if end > start || pair[0].stated.chain != pair[1].head.chain {
            return Ok(Err(format!("{} does not follow the segment before it", pair[1].path.display())));
        }
    }
    Ok(Ok(segments))
}

/// After a power loss what was not synced may be there, or zeros, or nothing: only what the side data vouches for counts.
fn lose_what_was_not_safe(
    options: &LogFilesOptions,
    segments: &mut Vec<StoredSegment>,
) -> Result<(), LogFlaw> {
    let is_safe = segments
        .last()
        .is_none_or(|last| last.head.boot == options.boot || last.stated.state == SegmentState::Closed);
    if is_safe {
        return Ok(());
    }
    for number in 0..segments.len() {
        let segment = &mut segments[number];
        let verified = segment.verified()?;
        let is_begun = segment.synced > segment.head.start || segment.has_preamble()?;
        if verified == segment.end_present() && verified == segment.stated.end && is_begun {
            continue;
        }
        segment.bytes = segment.place(verified);
        if verified < segment.synced
            || segments[number + 1..].iter().any(|later| later.synced > later.head.start)
        {
            // Not what a power loss takes. Whoever replays it will find out where it is damaged.
            segments[number].bytes = segments[number].bytes_found;
            continue;
        }
        segments.truncate(number + 1);
        break;
    }
    Ok(())
}

impl FoundLog {
    /// Bytes to load.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let increments: u64 = match &self.increments {
            Increments::Ours(segments) => segments.iter().map(|segment| segment.bytes).sum(),
            Increments::Foreign { files, .. } => files.iter().map(|(_, bytes)| bytes).sum(),
        };
        increments + self.base.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    /// Whether everything behind `offset` of the stream `replid` is in the increments, so that data that stands there can
    /// be brought up to their end.
    #[must_use]
    pub fn continues(&self, replid: ReplicationId, offset: Offset) -> bool {
        let Increments::Ours(segments) = &self.increments else { return false };
        let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return false };
        let stream = &last.head.stream;
        let is_ancestor =
            |(ancestor, last_valid): &(ReplicationId, Offset)| *ancestor == replid && offset <= *last_valid;
        let is_ours = stream.replid == replid || stream.ancestors.iter().any(is_ancestor);
        is_ours && first.head.start <= offset && offset <= last.end_present()
    }

    /// What the manifest says is live.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The end of the stream up to `border`, `bytes_max` bytes at most, as far as the increments have it: what replicas that
    /// were there before will ask for.
    pub fn tail(&self, border: Offset, bytes_max: u64) -> Result<Vec<u8>, LogFlaw> {
        let Increments::Ours(segments) = &self.increments else { return Ok(Vec::new()) };
        let wanted = Offset::new(border.get().saturating_sub(bytes_max));
        let mut tail = Vec::new();
        for segment in segments {
            let (from, to) = (segment.head.start.max(wanted), segment.end_present().min(border));
            if from < to {
                tail.extend(segment.bytes_between(from, to)?);
            }
        }
        Ok(tail)
    }

    /// Whether nothing lies before the first increment.
    #[must_use]
    pub fn begins_empty(&self) -> bool {
        match &self.increments {
            Increments::Ours(segments) => segments.first().is_some_and(|first| first.head.begins_empty),
            Increments::Foreign { .. } => false,
        }
    }

    /// Bytes that a power loss took, or made worthless.
    #[must_use]
    pub fn bytes_lost(&self) -> u64 {
        self.bytes_lost
    }

    /// Where the first increment begins: a base of ours stands there.
    #[must_use]
    pub fn start(&self) -> Option<(ReplicationId, Offset)> {
        match &self.increments {
            Increments::Ours(segments) => {
                segments.first().map(|first| (first.head.stream.replid, first.head.start))
            }
            Increments::Foreign { .. } => None,
        }
    }

    /// Goes on with a log of ours that was replayed up to `border`, where `db` is selected; `verified` is the last byte
    /// that is known to be as it was written. What lies behind the border is cut off. After a power loss, and where the
    /// bytes are a master's that is not followed any more, the stream goes on as `new_replid`.
    ///
    /// # Panics
    /// With a foreign log.
    pub fn resume(
        self,
        storage: Arc<dyn Storage>,
        options: LogFilesOptions,
        replayed: Replayed,
        new_replid: ReplicationId,
        now: UnixMillis,
    ) -> Result<(LogFiles, Resumed), LogFlaw> {
        let Increments::Ours(segments) = self.increments else { panic!("a foreign log has no stream") };
        #[expect(clippy::expect_used, reason = "`look` calls a log without increments foreign")]
        let last = segments.last().expect("a log of ours has a segment");
        let Replayed { border, verified, db } = replayed;
        let chain = last.chain_at(border)?;
        let bytes_cut = last.bytes_found.saturating_sub(last.place(border));
        let failed = |error| LogFlaw::Io { path: last.path.clone(), error };
        let end = SegmentEnd { end: border, chain, state: SegmentState::Open };
        let is_closed = last.stated.state == SegmentState::Closed && border == last.stated.end;
        // Somebody may have cut off more than a killed process loses.
        let is_killed = last.head.boot == options.boot && border >= last.end_kept();
        let is_safe = (is_closed && verified == border) || is_killed;
        // Its master goes on under the name that the log has.
        let is_masters = last.head.is_followed && !options.is_followed;
        let writer = SegmentWriter::reopen(&*storage, &last.path, last, end, options.boot).map_err(failed)?;
        let mut manifest = self.manifest;
        manifest.history.clear();
        let last_file = manifest.increments.last_mut();
        let was_closed = last_file.and_then(|last| last.end_offset.take()).is_some();
        let sealed_bytes = segments[..segments.len() - 1].iter().map(|segment| segment.bytes).sum();
        let base_bytes = self.base.as_ref().map_or(0, |(_, bytes)| *bytes);
        let stream = last.head.stream.clone();
        let place = StreamPlace { stream: stream.clone(), offset: border, db, chain };
        let sizes = (base_bytes, sealed_bytes);
        // A process that was killed may not have come to syncing them.
        let sealed = &segments[..segments.len() - 1];
        let unsynced = sealed
            .iter()
            .map(|segment| segment.files(&*storage))
            .collect::<io::Result<Vec<_>>>()
            .map_err(failed)?;
        let mut files = LogFiles::resume(storage.clone(), options, manifest, writer, place, sizes, unsynced);
        // What a killed process did not come to syncing is shown from here on, under `always` too: names as well as bytes.
        let sync = files.sync_now();
        if let Err(error) = sync.carry_out(&*storage) {
            files.sync_failed(sync);
            // Redis 8 would believe an end that the file has outgrown; and no manifest may name what is gone.
            if was_closed || !self.cut.is_empty() {
                return Err(failed(error));
            }
        }
        // They are no history, and the segments to come may have their names.
        self.cut
            .iter()
            .try_for_each(|path| super::publish::remove_segment(&*storage, path))
            .map_err(failed)?;
        if !is_safe || is_masters {
            let shared = if is_safe { border } else { verified.min(border) };
            let mut ancestors = stream.ancestors;
            for (_, last_valid) in &mut ancestors {
                *last_valid = (*last_valid).min(shared);
            }
            ancestors.insert(0, (stream.replid, shared));
            files.rename_stream(StreamName { replid: new_replid, ancestors }, now).map_err(failed)?;
        }
        let is_renamed = !is_safe || is_masters;
        let resumed = Resumed { place: files.place(), is_renamed, is_end_safe: is_safe, bytes_cut };
        Ok((files, resumed))
    }
}

/// How far the increments of a log of ours were replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The last byte of the last whole command outside MULTI.
    pub border: Offset,
    /// The last byte that is known to be what was written ([`crate::segment::SegmentReader::verified`]).
    pub verified: Offset,
    /// The database selected at the border.
    pub db: DbIndex,
}
