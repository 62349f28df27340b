//! The history: segments that are not live any more, kept for replicas that come back late, and a base at or below the
//! oldest of them. What is kept, and what must go.
//!
//! Names say what a file is: `<replid>-<offset>.aof` is the segment of that stream that begins behind that offset,
//! `<replid>-<offset>.rdb` the base that stands there. Whatever else lies in the folder is left alone.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rejoin_protocol::{NextOffset, Offset, ReplicationId, UnixMillis};

use super::publish::remove_segment;
use crate::{
    segment::{StoredSegment, StreamName},
    storage::Storage,
};

/// Digits of an offset in a name, so that names sort as offsets do.
const OFFSET_DIGITS: usize = 20;
/// Of the room that files of the history have and could have, this share at most is theirs.
const FREE_SHARE_PERCENT: u64 = 50;

/// What may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// `repl-history-size`: bytes of all files; 0 keeps nothing.
    pub bytes_max: u64,
    /// `repl-history-age`: seconds since a segment was written last; 0 is no limit.
    pub seconds_max: u64,
    /// `repl-history-hard-size`: bytes beyond which even what a reader wants is given up; 0 is twice `bytes_max`.
    pub bytes_hard_max: u64,
}

impl HistoryLimits {
    /// Bytes beyond which even what a reader wants is given up.
    #[must_use]
    pub fn hard_max(&self) -> u64 {
        match self.bytes_hard_max {
            0 => self.bytes_max.saturating_mul(2),
            bytes => bytes.max(self.bytes_max),
        }
    }

    /// Whether what was written last at `written` is too old.
    pub(super) fn is_over_age(&self, written: UnixMillis, now: UnixMillis) -> bool {
        let age_max = i64::try_from(self.seconds_max.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.seconds_max > 0 && now.get().saturating_sub(written.get()) > age_max
    }
}

/// What a file of the history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    /// A segment; it was written last at this time.
    Segment(UnixMillis),
    /// A base.
    Base,
}

/// A file of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFile {
    /// Its path.
    pub path: PathBuf,
    /// Its stream.
    pub replid: ReplicationId,
    /// Where it begins, or stands.
    pub offset: Offset,
    /// Its length.
    pub bytes: u64,
    /// What it is.
    pub kind: HistoryKind,
}

/// What readers of the present stream have yet to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The first byte.
    pub from: NextOffset,
    /// The stream that they read.
    pub stream: Arc<StreamName>,
}

impl HistoryFile {
    /// Whether it has bytes that readers have yet to read.
    #[must_use]
    pub fn is_wanted(&self, wanted: Option<&Wanted>) -> bool {
        let Some(Wanted { from, stream }) = wanted.filter(|_| self.kind != HistoryKind::Base) else {
            return false;
        };
        let end = Offset::new(self.offset.get().saturating_add(self.bytes));
        stream
            .last_valid(self.replid)
            .is_some_and(|limit| limit.map_or(end, |limit| limit.min(end)).get() >= from.get())
    }
}

/// Where a segment of the history lies.
#[must_use]
pub fn segment_path(folder: &Path, replid: ReplicationId, start: Offset) -> PathBuf {
    path_of(folder, replid, start, "aof")
}

/// Where a base of the history lies.
#[must_use]
pub fn base_path(folder: &Path, replid: ReplicationId, at: Offset) -> PathBuf {
    path_of(folder, replid, at, "rdb")
}

fn path_of(folder: &Path, replid: ReplicationId, offset: Offset, ending: &str) -> PathBuf {
    folder.join(format!("{replid}-{:0width$}.{ending}", offset.get(), width = OFFSET_DIGITS))
}

/// The files of the history, the oldest first.
pub fn list(storage: &dyn Storage, folder: &Path) -> io::Result<Vec<HistoryFile>> {
    let mut files = Vec::new();
    for listed in storage.list(folder)? {
        let Some((replid, offset, is_segment)) = parse(&listed.name) else { continue };
        let path = folder.join(&listed.name);
        let kind = match is_segment.then(|| StoredSegment::open(storage, &path)) {
            None => HistoryKind::Base,
            Some(Ok(segment)) => HistoryKind::Segment(segment.written()),
            // Its side data is gone: nobody can be served from it.
            Some(Err(_)) => HistoryKind::Segment(UnixMillis::new(0)),
        };
        files.push(HistoryFile { path, replid, offset, bytes: listed.bytes, kind });
    }
    files.sort_by_key(|file| (written(file), file.offset));
    Ok(files)
}

fn written(file: &HistoryFile) -> UnixMillis {
    match file.kind {
        HistoryKind::Segment(written) => written,
        HistoryKind::Base => UnixMillis::new(i64::MAX),
    }
}

fn parse(name: &str) -> Option<(ReplicationId, Offset, bool)> {
    let (stem, ending) = name.rsplit_once('.')?;
    let (replid, offset) = stem.split_once('-')?;
    let is_segment = match ending {
        "aof" => true,
        "rdb" => false,
        _ => return None,
    };
    let offset = offset.parse().ok().filter(|_| offset.len() == OFFSET_DIGITS)?;
    Some((ReplicationId::parse(replid.as_bytes())?, Offset::new(offset), is_segment))
}

/// Whether a segment of the history is called so.
pub(super) fn is_segment_name(name: &str) -> bool {
    parse(name).is_some_and(|(.., is_segment)| is_segment)
}

/// Reads the name of a base of the history.
pub(super) fn parse_base(name: &str) -> Option<(ReplicationId, Offset)> {
    parse(name).filter(|(.., is_segment)| !is_segment).map(|(replid, offset, _)| (replid, offset))
}

/// Which of `files`, the oldest first, must go. `free_bytes` is the room left on the disk; what is `wanted`
/// stays, up to the hard limit.
#[must_use]
pub fn surplus<'a>(
    files: &'a [HistoryFile],
    limits: HistoryLimits,
    now: UnixMillis,
    free_bytes: Option<u64>,
    wanted: Option<&Wanted>,
) -> Vec<&'a HistoryFile> {
    let mut bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let room = free_bytes.map_or(u64::MAX, |free| free.saturating_add(bytes) / 100 * FREE_SHARE_PERCENT);
    let (bytes_max, bytes_hard_max) = (limits.bytes_max.min(room), limits.hard_max().min(room));
    let mut surplus = Vec::new();
    let mut kept: Vec<&HistoryFile> = Vec::new();
    for file in files {
        let HistoryKind::Segment(written) = file.kind else { continue };
        let is_over = limits.is_over_age(written, now) || bytes > bytes_max;
        if is_over && (!file.is_wanted(wanted) || bytes > bytes_hard_max) {
            bytes = bytes.saturating_sub(file.bytes);
            surplus.push(file);
        } else {
            kept.push(file);
        }
    }
    surplus.extend(useless_bases(files, &kept));
    surplus
}

/// Bases from which no kept segment can be reached, or only after one that a later base spares.
fn useless_bases<'a>(files: &'a [HistoryFile], kept: &[&HistoryFile]) -> Vec<&'a HistoryFile> {
    let first_kept = |replid| kept.iter().filter(|file| file.replid == replid).map(|file| file.offset).min();
    let bases = || files.iter().filter(|file| file.kind == HistoryKind::Base);
    bases()
        .filter(|base| {
            let Some(first) = first_kept(base.replid) else { return true };
            let is_spared = |other: &HistoryFile| {
                other.replid == base.replid && other.offset > base.offset && other.offset <= first
            };
            bases().any(is_spared)
        })
        .collect()
}

/// What is left after a trim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Bytes of all files that are left.
    pub bytes: u64,
    /// How many they are.
    pub files: usize,
    /// The hard limit made something go that a reader wanted.
    pub took_from_reader: bool,
}

/// Removes what must go.
pub fn trim(
    storage: &dyn Storage,
    folder: &Path,
    limits: HistoryLimits,
    now: UnixMillis,
    wanted: Option<&Wanted>,
) -> io::Result<Trimmed> {
    let files = list(storage, folder)?;
    let surplus = surplus(&files, limits, now, storage.free_bytes(), wanted);
    for file in &surplus {
        remove_segment(storage, &file.path)?;
    }
    let bytes_gone: u64 = surplus.iter().map(|file| file.bytes).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let took_from_reader = surplus.iter().any(|file| file.is_wanted(wanted));
    Ok(Trimmed { bytes: bytes - bytes_gone, files: files.len() - surplus.len(), took_from_reader })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;
    const LIMITS: HistoryLimits =
        HistoryLimits { bytes_max: 1000, seconds_max: 3 * 60 * 60, bytes_hard_max: 0 };

    fn id(byte: u8) -> ReplicationId {
        ReplicationId::from_random([byte; 20])
    }

    fn segment(stream: u8, start: u64, hours: i64) -> HistoryFile {
        let (replid, offset) = (id(stream), Offset::new(start));
        let kind = HistoryKind::Segment(UnixMillis::new(hours * HOUR));
        HistoryFile { path: segment_path(Path::new("h"), replid, offset), replid, offset, bytes: 100, kind }
    }

    fn base(stream: u8, at: u64) -> HistoryFile {
        let (replid, offset) = (id(stream), Offset::new(at));
        let path = base_path(Path::new("h"), replid, offset);
        HistoryFile { path, replid, offset, bytes: 50, kind: HistoryKind::Base }
    }

    fn gone(files: &[HistoryFile], limits: HistoryLimits, hours: i64, free: Option<u64>) -> Vec<u64> {
        let now = UnixMillis::new(hours * HOUR);
        let mut gone: Vec<u64> =
            surplus(files, limits, now, free, None).iter().map(|file| file.offset.get()).collect();
        gone.sort_unstable();
        gone
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        let path = segment_path(Path::new("h"), id(1), Offset::new(123));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse(name), Some((id(1), Offset::new(123), true)));
        for other in ["x", "appendonly.aof.1.incr.aof", "x.side", &format!("{}-12.aof", id(1))] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn the_oldest_go_by_bytes_by_age_and_by_the_room_on_the_disk() {
        let files: Vec<_> = (0..12).map(|number| segment(1, number * 100, number as i64)).collect();
        assert_eq!(gone(&files, LIMITS, 2, None), [0, 100], "1200 bytes, 1000 at most");
        assert_eq!(gone(&files[..4], LIMITS, 5, None), [0, 100], "more than three hours ago");
        assert_eq!(gone(&files[..4], LIMITS, 0, Some(200)), [0], "half of 600 bytes");
        let none = HistoryLimits { bytes_max: 0, seconds_max: 0, bytes_hard_max: 0 };
        assert_eq!(gone(&files, none, 0, None).len(), 12);
    }

    #[test]
    fn what_is_being_read_stays_up_to_the_hard_limit() {
        let files = [segment(1, 0, 0), segment(1, 100, 0), segment(1, 200, 0), segment(1, 300, 9)];
        let gone = |wanted_from: u64, bytes_hard_max| {
            let limits = HistoryLimits { bytes_max: 100, seconds_max: 3600, bytes_hard_max };
            let stream = Arc::new(StreamName { replid: id(1), ancestors: vec![(id(2), Offset::new(60))] });
            let wanted = Wanted { from: NextOffset::new(wanted_from), stream };
            let files = [&files[..], &[segment(2, 0, 0), segment(3, 500, 0)]].concat();
            surplus(&files, limits, UnixMillis::new(9 * HOUR), None, Some(&wanted)).len()
        };
        // The last two are of an ancestor, up to its 60, and of nobody.
        assert_eq!(gone(301, 500), 3 + 2);
        assert_eq!(gone(300, 500), 2 + 2);
        assert_eq!(gone(150, 500), 1 + 2);
        assert_eq!(gone(60, 600), 1, "the ancestor's is wanted, too");
        assert_eq!(gone(1, 250), 4 + 1, "600 bytes, 250 at most");
        assert_eq!(gone(1, 0), 4 + 1, "twice the soft limit");
    }

    #[test]
    fn one_base_stays_at_or_below_the_oldest_segment() {
        let files =
            [segment(1, 300, 9), segment(1, 400, 9), base(1, 100), base(1, 300), base(1, 400), base(2, 0)];
        // The one at 400 is not below the oldest, but the next oldest segment will need it.
        assert_eq!(gone(&files, LIMITS, 9, None), [0, 100]);
        assert_eq!(
            gone(&files[2..], LIMITS, 9, None),
            [0, 100, 300, 400],
            "without segments a base is of no use"
        );
    }
}
