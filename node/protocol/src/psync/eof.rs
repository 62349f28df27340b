//! Finds the mark that ends a snapshot of unknown length, in a stream that arrives in chunks.
//!
//! Bytes that may turn out to be the beginning of the mark are held back: at most 39. They need no buffer, because what
//! is held back is by definition the beginning of the mark. The first place where the mark stands ends the payload.

use memchr::memmem::Finder;

use super::EofMark;

const MARK: usize = EofMark::BYTES;

/// Looks for the mark in one chunk after another.
#[derive(Debug)]
pub struct EofScanner {
    mark: EofMark,
    finder: Finder<'static>,
    /// How many bytes of the mark the payload so far ends with; they are held back. Always less than the mark's length.
    held: usize,
    /// Set by the chunk that completes the mark.
    finished: bool,
}

/// What one chunk brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EofScan<'a> {
    /// Payload first: bytes held back from earlier chunks.
    pub held: &'a [u8],
    /// Payload next: bytes of this chunk.
    pub payload: &'a [u8],
    /// Whether the mark was complete in this chunk: the payload ends here.
    pub finished: bool,
    /// What stands behind the mark; empty unless finished.
    pub rest: &'a [u8],
}

impl EofScanner {
    /// A scanner for a payload that ends with `mark`.
    #[must_use]
    pub fn new(mark: EofMark) -> Self {
        Self { mark, finder: Finder::new(mark.as_bytes()).into_owned(), held: 0, finished: false }
    }

    /// Whether the mark has been seen.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Takes the next bytes of the stream. After the end everything is `rest`.
    pub fn push<'a>(&'a mut self, chunk: &'a [u8]) -> EofScan<'a> {
        if self.finished {
            return EofScan { held: &[], payload: &[], finished: true, rest: chunk };
        }
        let held = self.held;
        if let Some(start) = self.find_across(chunk) {
            return self.finish(start, &chunk[..0], &chunk[start + MARK - held..]);
        }
        if let Some(start) = self.finder.find(chunk) {
            return self.finish(held, &chunk[..start], &chunk[start + MARK..]);
        }
        self.held = self.mark_begun_at_the_end_of(chunk);
        let payload = held + chunk.len() - self.held;
        // What is held back now may reach into what was held back before.
        let (released, payload) =
            if payload >= held { (held, &chunk[..payload - held]) } else { (payload, &chunk[..0]) };
        EofScan { held: &self.mark.as_bytes()[..released], payload, finished: false, rest: &[] }
    }

    fn finish<'a>(&'a mut self, released: usize, payload: &'a [u8], rest: &'a [u8]) -> EofScan<'a> {
        self.finished = true;
        self.held = 0;
        EofScan { held: &self.mark.as_bytes()[..released], payload, finished: true, rest }
    }

    /// Where the mark begins among the bytes held back, if it ends in `chunk`.
    fn find_across(&self, chunk: &[u8]) -> Option<usize> {
        if self.held == 0 {
            return None;
        }
        let mut window = [0; 2 * MARK];
        let window = self.around_the_border(chunk, &mut window);
        self.finder.find(window).filter(|start| *start < self.held)
    }

    /// The bytes held back and the first ones of `chunk`.
    fn around_the_border<'a>(&self, chunk: &[u8], window: &'a mut [u8; 2 * MARK]) -> &'a [u8] {
        let taken = chunk.len().min(MARK);
        window[..self.held].copy_from_slice(&self.mark.as_bytes()[..self.held]);
        window[self.held..self.held + taken].copy_from_slice(&chunk[..taken]);
        &window[..self.held + taken]
    }

    /// How many bytes of the mark stand at the end of everything up to and with `chunk`.
    fn mark_begun_at_the_end_of(&self, chunk: &[u8]) -> usize {
        let mut window = [0; 2 * MARK];
        let tail = match chunk.len().checked_sub(MARK - 1) {
            Some(start) => &chunk[start..],
            None => self.around_the_border(chunk, &mut window),
        };
        let longest = tail.len().min(MARK - 1);
        (1..=longest).rev().find(|len| tail.ends_with(&self.mark.as_bytes()[..*len])).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `stream` in the given pieces: payload, and what stood behind the mark if it was found.
    fn scan(mark: EofMark, pieces: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut scanner = EofScanner::new(mark);
        let (mut payload, mut rest, mut taken) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let scan = scanner.push(piece);
            payload.extend_from_slice(scan.held);
            payload.extend_from_slice(scan.payload);
            rest.extend_from_slice(scan.rest);
            taken += piece.len();
            assert!(scan.finished || scan.rest.is_empty());
            let finished = scan.finished;
            assert!(finished || taken - payload.len() < MARK, "at most 39 bytes are held back");
            assert_eq!(finished, scanner.is_finished());
        }
        (payload, scanner.is_finished().then_some(rest))
    }

    /// Marks that overlap themselves are the hard ones; Redis' are random.
    fn marks() -> Vec<EofMark> {
        let mut nearly = [b'a'; MARK];
        nearly[MARK - 1] = b'b';
        let mut periodic = [b'a'; MARK];
        periodic.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = b'b');
        vec![
            EofMark::from_random([0x5c; 20]),
            EofMark::new([b'a'; MARK]),
            EofMark::new(nearly),
            EofMark::new(periodic),
        ]
    }

    #[test]
    fn every_split_in_three() {
        for mark in marks() {
            let bytes = mark.as_bytes();
            // False beginnings of several lengths before the mark, one right before it.
            let before = [&b"REDIS"[..], &bytes[..20], b"xx", &bytes[..39], b"y", &bytes[..7]].concat();
            let stream = [&before[..], bytes, b"*1\r\n"].concat();
            let whole = scan(mark, &[&stream]);
            let end = stream.windows(MARK).position(|window| window == bytes).unwrap_or(0);
            assert_eq!(whole, (stream[..end].to_vec(), Some(stream[end + MARK..].to_vec())));
            for first in 0..=stream.len() {
                for second in first..=stream.len() {
                    let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
                    assert_eq!(scan(mark, &pieces), whole, "{mark:?} cut at {first} and {second}");
                }
            }
            let by_bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(scan(mark, &by_bytes), whole);
        }
    }

    #[test]
    fn a_stream_without_the_mark_is_payload_but_for_its_end() {
        let mark = EofMark::from_random([1; 20]);
        let (payload, rest) = scan(mark, &[b"abc", &mark.as_bytes()[..39]]);
        assert_eq!((payload.as_slice(), rest), (&b"abc"[..], None));
    }

    proptest! {
        #[test]
        fn any_pieces_of_a_stream_full_of_false_marks(
            choice in 0usize..4,
            parts in prop::collection::vec((0usize..40, prop::collection::vec(prop::sample::select(b"ab5c".to_vec()), 0..4)), 0..12),
            cuts in prop::collection::vec(1usize..60, 0..30),
        ) {
            let mark = marks()[choice];
            let mut stream = Vec::new();
            for (begun, noise) in &parts {
                stream.extend_from_slice(&mark.as_bytes()[..*begun]);
                stream.extend_from_slice(noise);
            }
            stream.extend_from_slice(mark.as_bytes());
            stream.extend_from_slice(b"behind");
            let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
            for cut in cuts {
                let (piece, later) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            pieces.push(rest);
            prop_assert_eq!(scan(mark, &pieces), scan(mark, &[&stream]));
        }
    }
}
