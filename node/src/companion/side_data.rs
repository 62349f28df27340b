//! What a node's side data says of a log file: the place where checks of ours are added to those of Redis.

use std::{fs, io, path::Path};

use rejoin_actors::disk::FolderStorage;
use rejoin_persistence::segment::{SegmentFlaw, StoredSegment, side_path};

use super::console::Console;

/// Compares the file `name` in `folder` with the side data beside it, if there is any, and prints what it says. Returns
/// up to which byte the file may be what was written, if that is not all of it.
pub(super) fn check(folder: &Path, name: &str, console: &mut Console<'_>) -> Option<u64> {
    if !side_path(&folder.join(name)).exists() {
        return None;
    }
    let segment = match StoredSegment::open(&FolderStorage::new(folder.to_owned()), Path::new(name)) {
        Ok(segment) => segment,
        Err(flaw) => {
            console.line(format_args!("Side data: {flaw}"));
            return None;
        }
    };
    let mut reader = segment.read();
    let flaw = loop {
        match reader.next_piece() {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(flaw) => break Some(flaw),
        }
    };
    let (replid, start, stated) = (segment.head.stream.replid, segment.head.start, segment.stated.end);
    let (present, verified) = (segment.end_present(), reader.verified());
    console.line(format_args!(
        "Side data: {name} holds stream {replid} from offset {} to {}, checksums right up to {}",
        start.get(),
        stated.get(),
        verified.get()
    ));
    if present < stated {
        let lost = stated.since(present).get();
        console.line(format_args!("Side data: the last {lost} bytes that were written are not in the file"));
    } else if present > stated {
        let more = present.since(stated).get();
        console.line(format_args!("Side data: the file has {more} bytes that we did not write"));
    }
    let flaw = flaw?;
    console.line(format_args!("Side data: {flaw}"));
    match flaw {
        SegmentFlaw::Damaged { from, .. } => Some(from),
        _ => None,
    }
}

/// Takes the side data from a file that is about to be cut. The bytes to be cut may have been acknowledged, and replicas
/// may hold them: a node must not go on with the stream as if it had never had them. Without side data it takes the log
/// for a stranger's, and begins a new stream with what is in it.
pub(super) fn disown(file: &Path, console: &mut Console<'_>) -> io::Result<()> {
    match fs::remove_file(side_path(file)) {
        Ok(()) => {
            console.line("Side data: removed. A node that starts with this log begins a new stream");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
