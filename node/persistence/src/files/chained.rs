//! Which segments hang together: the one that is being written, the one that ends where it begins, and so on.
//!
//! A name and an offset say too little: a master that was put back to an older state goes on under its name with other
//! bytes, and a replica of it has segments of both. What counts is the chained checksum where two segments meet, which
//! begins anew with each set of files. For readers ([`reading`](super::reading)), for bases
//! ([`bases`](super::bases)), and for going back ([`rewind`](super::rewind)).

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_protocol::{Offset, ReplicationId};

use crate::{
    segment::{SegmentHead, SegmentState, SegmentSummary, StoredSegment, StreamName},
    storage::Storage,
};

/// What files are called that are not in their place yet, or are no part of the log.
const NO_SEGMENTS: [&str; 2] = ["temp-", "lost-"];

/// A segment that lies in some folder, by what it says of itself.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) summary: SegmentSummary,
}

impl Found {
    pub(super) fn head(&self) -> &SegmentHead {
        &self.summary.head
    }

    /// Whether its bytes up to `at` lead to what follows with the chained checksum `chain`.
    fn leads_to(&self, storage: &dyn Storage, at: Offset, chain: u64) -> bool {
        if self.head().start >= at || self.summary.end_present < at {
            return false;
        }
        if self.summary.stated.end == at {
            return self.summary.stated.chain == chain;
        }
        // Behind that it may hold what was given up.
        let found = StoredSegment::open(storage, &self.path).and_then(|segment| segment.chain_at(at));
        found.is_ok_and(|found| found == chain)
    }
}

/// All segments in `folders`. A file that is none of ours, or that goes away meanwhile, is left out.
///
/// # Errors
/// What a folder says, with its path.
pub(super) fn list(storage: &dyn Storage, folders: &[PathBuf]) -> Result<Vec<Found>, (PathBuf, io::Error)> {
    let mut all = Vec::new();
    for folder in folders {
        for listed in storage.list(folder).map_err(|error| (folder.clone(), error))? {
            let is_segment = Path::new(&listed.name).extension().is_some_and(|ending| ending == "aof")
                && !NO_SEGMENTS.iter().any(|no| listed.name.starts_with(no));
            let path = folder.join(&listed.name);
            if let Some(summary) =
                is_segment.then(|| SegmentSummary::read(storage, &path)).and_then(Result::ok)
            {
                all.push(Found { path, summary });
            }
        }
    }
    Ok(all)
}

/// The segment in which `stream` is being written, or was written last. What goes on in a stream that continued it counts
/// as well: it may have been given another name since it was asked for.
pub(super) fn newest<'a>(all: &'a [Found], stream: &StreamName) -> Option<&'a Found> {
    let rank = |found: &Found| {
        let own = &found.head().stream;
        let is_open = found.summary.stated.state == SegmentState::Open;
        match (own.replid == stream.replid, is_open) {
            (true, true) => Some(3),
            (false, true) if own.last_valid(stream.replid).is_some() => Some(2),
            (true, false) => Some(1),
            _ => stream.last_valid(own.replid).map(|_| 0),
        }
    };
    all.iter()
        .filter_map(|found| Some((rank(found)?, found)))
        .max_by_key(|(rank, found)| (*rank, found.head().created.get(), found.head().start))
        .map(|(_, found)| found)
}

/// The segment that leads to the one that begins as `later` says, in a stream that is called `stream`.
pub(super) fn before<'a>(
    storage: &dyn Storage,
    all: &'a [Found],
    stream: &StreamName,
    later: &SegmentHead,
) -> Option<&'a Found> {
    all.iter().find(|found| {
        shares(stream, found.head().stream.replid, later.start)
            && found.leads_to(storage, later.start, later.chain)
    })
}

/// The segments that hang together up to the one that is being written, the latest first.
pub(super) fn path<'a>(storage: &dyn Storage, all: &'a [Found], stream: &StreamName) -> Vec<&'a Found> {
    let mut path: Vec<&Found> = newest(all, stream).into_iter().collect();
    // By the names that the last of them knows, which may be later ones than those that were asked for.
    let names = path.first().map(|last| &last.head().stream).filter(|own| own.replid != stream.replid);
    let names = names.filter(|own| own.last_valid(stream.replid).is_some()).unwrap_or(stream);
    while let Some(earlier) = path.last().and_then(|earliest| before(storage, all, names, earliest.head())) {
        path.push(earlier);
    }
    path
}

/// Whether `replid` stands for the stream's bytes up to `offset`.
pub(super) fn shares(stream: &StreamName, replid: ReplicationId, offset: Offset) -> bool {
    stream.last_valid(replid).is_some_and(|last| last.is_none_or(|last| offset <= last))
}
