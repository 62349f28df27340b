//! Small hashes packed into a run of bytes: a count, then field and value by turns, each after its length.
//!
//! Only reading lives here, and the pieces that a writer puts together; the run itself stands inside an entry. The
//! form is ours alone and never leaves the process.

use std::ops::Range;

/// Bytes of the count that begins the run.
pub(crate) const COUNT_BYTES: usize = 2;

/// The longest run; a hash that would be longer becomes a tree whatever the limits say.
pub(crate) const BYTES_MAX: usize = u16::MAX as usize;

/// An empty run.
pub(crate) const EMPTY: [u8; COUNT_BYTES] = [0; COUNT_BYTES];

/// How many pairs.
pub(crate) fn count(run: &[u8]) -> usize {
    usize::from(u16::from_le_bytes([run[0], run[1]]))
}

/// One pair where it stands in its run.
#[derive(Debug)]
pub(crate) struct Pair<'a> {
    /// The field's bytes.
    pub(crate) field: &'a [u8],
    /// The value's bytes.
    pub(crate) value: &'a [u8],
    /// The pair as a whole.
    pub(crate) range: Range<usize>,
    /// The value with its length.
    pub(crate) value_range: Range<usize>,
}

/// Walks the pairs in the order in which they were inserted.
#[derive(Clone, Debug)]
pub(crate) struct Pairs<'a> {
    run: &'a [u8],
    at: usize,
}

impl<'a> Pairs<'a> {
    pub(crate) fn new(run: &'a [u8]) -> Self {
        Self { run, at: COUNT_BYTES }
    }

    fn piece(&mut self) -> &'a [u8] {
        let (len, begin) = decode_len(self.run, self.at);
        self.at = begin + len;
        &self.run[begin..self.at]
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        if self.at >= self.run.len() {
            return None;
        }
        let begin = self.at;
        let field = self.piece();
        let value_begin = self.at;
        let value = self.piece();
        Some(Pair { field, value, range: begin..self.at, value_range: value_begin..self.at })
    }
}

/// The pair of `field`.
pub(crate) fn find<'a>(run: &'a [u8], field: &[u8]) -> Option<Pair<'a>> {
    Pairs::new(run).find(|pair| pair.field == field)
}

/// A length as it is written: seven bits a byte, the lowest first, the top bit says that more follow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EncodedLen {
    bytes: [u8; 3],
    len: u8,
}

impl EncodedLen {
    /// Bytes of an encoded length at most.
    pub(crate) const BYTES_MAX: usize = 3;

    /// Encodes a length of at most [`BYTES_MAX`].
    pub(crate) fn of(piece: &[u8]) -> Self {
        assert!(piece.len() <= BYTES_MAX, "a packed piece is shorter than its run");
        let mut rest = piece.len();
        let mut encoded = Self { bytes: [0; 3], len: 0 };
        loop {
            let more = u8::from(rest > 0x7f) << 7;
            encoded.bytes[usize::from(encoded.len)] = (rest & 0x7f) as u8 | more;
            encoded.len += 1;
            rest >>= 7;
            if rest == 0 {
                return encoded;
            }
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The length at `at`, and where what it measures begins.
fn decode_len(run: &[u8], mut at: usize) -> (usize, usize) {
    let (mut len, mut shift) = (0, 0);
    loop {
        let byte = run[at];
        at += 1;
        len |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return (len, at);
        }
        shift += 7;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn lengths_survive_their_encoding() {
        for len in [0, 1, 127, 128, 300, 16_383, 16_384, BYTES_MAX] {
            let encoded = EncodedLen::of(&vec![0; len]);
            assert_eq!(decode_len(encoded.as_bytes(), 0), (len, encoded.as_bytes().len()));
        }
    }

    #[test]
    fn pairs_come_in_the_order_of_insertion() {
        let mut run = vec![2, 0];
        for piece in [b"a".as_slice(), b"1", b"", &[7; 200]] {
            run.extend_from_slice(EncodedLen::of(piece).as_bytes());
            run.extend_from_slice(piece);
        }
        assert_eq!(count(&run), 2);
        let pairs: Vec<_> = Pairs::new(&run).map(|pair| (pair.field, pair.value.len())).collect();
        assert_eq!(pairs, [(b"a".as_slice(), 1), (b"".as_slice(), 200)]);
        let pair = find(&run, b"").unwrap();
        assert_eq!(pair.range, 6..run.len());
        assert_eq!(pair.value_range, 7..run.len());
        assert!(find(&run, b"b").is_none());
    }
}
