//! Lost tails: the end of a stream that a node has gone back on, kept beside the log, for whoever wants to know what it was
//! or to write it anew. A file of commands: one SELECT, then the stream's bytes as they were. Nothing reads it by itself,
//! and nothing removes it.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_protocol::{ByteCount, DbIndex, NextOffset, Offset, ReplicationId};

use super::recover::LogFlaw;
use crate::{
    segment::StoredSegment,
    storage::{Open, Storage},
};

/// Bytes copied at a time.
const PIECE_BYTES: u64 = 1 << 20;

/// A tail that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostTail {
    /// Where.
    pub path: PathBuf,
    /// The stream that it was the end of.
    pub replid: ReplicationId,
    /// Its first byte.
    pub from: NextOffset,
    /// Its last byte.
    pub to: Offset,
    /// The file's length.
    pub bytes: u64,
}

/// What the tail of `replid` behind `after` up to `to` is called.
fn name_of(replid: ReplicationId, after: Offset, to: Offset) -> String {
    format!("lost-{replid}-{}-{to}.aof", after.next())
}

/// Reads such a name.
#[must_use]
pub fn parse_name(name: &str) -> Option<(ReplicationId, NextOffset, Offset)> {
    let mut parts = name.strip_prefix("lost-")?.strip_suffix(".aof")?.splitn(3, '-');
    let replid = ReplicationId::parse(parts.next()?.as_bytes())?;
    let from = parts.next()?.parse().ok().filter(|&from| from > 0)?;
    let to = parts.next()?.parse().ok().filter(|&to| to >= from)?;
    Some((replid, NextOffset::new(from), Offset::new(to)))
}

/// Keeps the bytes of `replid` behind `after`, where `db` is selected, up to `to`. `segments`, the oldest first, hold them.
/// The file survives a power loss when this returns.
pub fn keep(
    storage: &dyn Storage,
    folder: &Path,
    (replid, db): (ReplicationId, DbIndex),
    segments: &[StoredSegment],
    after: Offset,
    to: Offset,
) -> Result<LostTail, LogFlaw> {
    let name = name_of(replid, after, to);
    let (temporary, path) = (folder.join(format!("temp-{name}")), folder.join(&name));
    let failed = |error: io::Error| LogFlaw::Io { path: path.clone(), error };
    let file = storage.open(&temporary, Open::Empty).map_err(failed)?;
    let number = db.get().to_string();
    let select = format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len());
    file.write_all_at(0, select.as_bytes()).map_err(failed)?;
    let (mut at, mut place) = (after, select.len() as u64);
    for segment in segments {
        let end = segment.end_present().min(to);
        while at >= segment.head.start && at < end {
            let until = at.advance(ByteCount::new(end.since(at).get().min(PIECE_BYTES)));
            let bytes = segment.bytes_between(at, until)?;
            file.write_all_at(place, &bytes).map_err(failed)?;
            (at, place) = (until, place + bytes.len() as u64);
        }
    }
    if at != to {
        return Err(LogFlaw::Gap { path, start: to, end: at });
    }
    file.sync().map_err(failed)?;
    storage.rename(&temporary, &path).and_then(|()| storage.sync_folder(folder)).map_err(failed)?;
    Ok(LostTail { path, replid, from: after.next(), to, bytes: place })
}

/// The tails that are kept in a folder, by name.
pub fn list(storage: &dyn Storage, folder: &Path) -> io::Result<Vec<LostTail>> {
    let mut tails: Vec<LostTail> = storage
        .list(folder)?
        .into_iter()
        .filter_map(|listed| {
            let (replid, from, to) = parse_name(&listed.name)?;
            Some(LostTail { path: folder.join(&listed.name), replid, from, to, bytes: listed.bytes })
        })
        .collect();
    tails.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(tails)
}
