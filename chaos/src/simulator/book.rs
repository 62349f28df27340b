//! What the world knows of every stream: its bytes, and which stream it goes on from. No node has all of it.
//!
//! A stream is a replid. Every byte that any node makes visible is written down under its replid and offset, and must
//! be the one that stands there already: offsets never go back under one replid with other bytes.

use std::collections::BTreeMap;

use rejoin_protocol::{Offset, ReplicationId};

/// A place in a stream: the replid, and the last byte held.
pub(crate) type Place = (ReplicationId, Offset);

#[derive(Debug)]
struct Stream {
    /// The stream that it continues, and up to where.
    parent: Option<Place>,
    /// Its own bytes begin behind this.
    start: u64,
    bytes: Vec<u8>,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Book {
    streams: BTreeMap<ReplicationId, Stream>,
    /// The data's digest at places where somebody computed it.
    digests: BTreeMap<Place, [u8; 20]>,
}

impl Book {
    /// A stream begins: as a continuation of another, or from nothing at `start`.
    pub(crate) fn begin(&mut self, replid: ReplicationId, parent: Option<Place>, start: Offset) {
        let start = parent.map_or(start, |(_, at)| at).get();
        self.streams.entry(replid).or_insert(Stream { parent, start, bytes: Vec::new() });
    }

    /// Some node shows `bytes` behind `from` of the stream `replid`.
    pub(crate) fn note(&mut self, replid: ReplicationId, from: Offset, bytes: &[u8]) -> Result<(), String> {
        let Some(stream) = self.streams.get_mut(&replid) else {
            return Err(format!("bytes of the stream {replid}, which nobody has begun"));
        };
        if from.get() < stream.start {
            let count = usize::try_from(stream.start - from.get()).unwrap_or(usize::MAX).min(bytes.len());
            let (start, parent) = (Offset::new(stream.start), stream.parent);
            let Some((parent, _)) = parent else {
                return Err(format!(
                    "bytes behind {from} of the stream {replid}, which begins behind {start}"
                ));
            };
            self.note(parent, from, &bytes[..count])?;
            return if count < bytes.len() { self.note(replid, start, &bytes[count..]) } else { Ok(()) };
        }
        let at = usize::try_from(from.get() - stream.start).unwrap_or(usize::MAX);
        if at > stream.bytes.len() {
            let end = stream.start + stream.bytes.len() as u64;
            return Err(format!(
                "bytes behind {from} of the stream {replid}, which nobody had from {end} on"
            ));
        }
        let known = bytes.len().min(stream.bytes.len() - at);
        if let Some(first) = (0..known).find(|index| bytes[*index] != stream.bytes[at + index]) {
            let offset = from.get() + first as u64 + 1;
            return Err(format!("byte {offset} of the stream {replid} is not what it was"));
        }
        stream.bytes.extend_from_slice(&bytes[known..]);
        Ok(())
    }

    /// Whether what is held at `place` is a beginning of what is held at `whole`.
    pub(crate) fn is_beginning(&self, place: Place, whole: Place) -> bool {
        self.shared_with(place.0, whole).is_some_and(|shared| place.1 <= shared)
    }

    /// The last byte that the stream `replid` shares with what is held at `whole`.
    pub(crate) fn shared_with(&self, replid: ReplicationId, whole: Place) -> Option<Offset> {
        let (mut name, mut limit) = whole;
        loop {
            if name == replid {
                return Some(limit);
            }
            let (parent, at) = self.streams.get(&name)?.parent?;
            (name, limit) = (parent, limit.min(at));
        }
    }

    /// The data at `place`, as somebody has it: everybody who stands there must have the same.
    pub(crate) fn note_digest(&mut self, place: Place, digest: [u8; 20]) -> Result<(), String> {
        let place = self.oldest_name(place);
        let known = *self.digests.entry(place).or_insert(digest);
        if known == digest {
            return Ok(());
        }
        let [known, found] = [known, digest].map(|digest| hex(&digest));
        Err(format!("the data at offset {} of {} has digest {found}, elsewhere {known}", place.1, place.0))
    }

    /// The stream under which a place was reached first.
    pub(crate) fn oldest_name(&self, place: Place) -> Place {
        let (mut name, offset) = place;
        while let Some(Stream { parent: Some((parent, at)), .. }) = self.streams.get(&name)
            && offset <= *at
        {
            name = *parent;
        }
        (name, offset)
    }
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ReplicationId {
        ReplicationId::from_random([byte; 20])
    }

    #[test]
    fn a_byte_stays_what_it_was() {
        let mut book = Book::default();
        book.begin(id(1), None, Offset::ZERO);
        book.note(id(1), Offset::ZERO, b"abcdef").unwrap();
        book.note(id(1), Offset::new(3), b"defgh").unwrap();
        assert!(book.note(id(1), Offset::new(7), b"H").unwrap_err().contains("byte 8"));
        assert!(book.note(id(1), Offset::new(9), b"x").unwrap_err().contains("nobody had"));
    }

    #[test]
    fn a_stream_that_goes_on_from_another_shares_its_beginning() {
        let mut book = Book::default();
        book.begin(id(1), None, Offset::ZERO);
        book.note(id(1), Offset::ZERO, b"abcdef").unwrap();
        book.begin(id(2), Some((id(1), Offset::new(4))), Offset::ZERO);
        // A replica that lags gets shared bytes under the new name.
        book.note(id(2), Offset::new(2), b"cdXY").unwrap();
        assert!(book.note(id(2), Offset::new(2), b"cZ").is_err());
        let whole = (id(2), Offset::new(6));
        assert!(book.is_beginning((id(1), Offset::new(4)), whole));
        assert!(!book.is_beginning((id(1), Offset::new(5)), whole));
        assert!(!book.is_beginning((id(3), Offset::ZERO), whole));
        book.note_digest((id(1), Offset::new(4)), [1; 20]).unwrap();
        book.note_digest((id(2), Offset::new(4)), [1; 20]).unwrap();
        assert!(book.note_digest((id(2), Offset::new(4)), [2; 20]).is_err());
        book.note_digest((id(2), Offset::new(5)), [2; 20]).unwrap();
    }
}
