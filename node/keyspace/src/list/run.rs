//! Elements of a list one behind the other in a run of bytes: each between two marks of its length, so that the run
//! can be walked from either end.
//!
//! Only reading lives here, and the pieces that a writer puts together. The form is ours alone and never leaves the
//! process; [`listpack_bytes`] says how long an element would be in Redis' form, which its limits are about.

use rejoin_protocol::number::parse_i64;

/// Digits and sign of the longest 64-bit number.
const INT_BYTES_MAX: usize = 20;

/// A length as it stands around an element: seven bits a byte, the lowest first, the top bit says that more follow. In
/// front of the element it is read forwards; behind it stands the same in reverse, to be read backwards.
#[derive(Clone, Copy, Debug)]
struct Mark {
    bytes: [u8; 5],
    len: u8,
}

impl Mark {
    fn of(element: &[u8]) -> Self {
        assert!(u32::try_from(element.len()).is_ok(), "an element has less than 4 GiB");
        let (mut rest, mut mark) = (element.len(), Self { bytes: [0; 5], len: 0 });
        loop {
            let more = u8::from(rest > 0x7f) << 7;
            mark.bytes[usize::from(mark.len)] = (rest & 0x7f) as u8 | more;
            mark.len += 1;
            rest >>= 7;
            if rest == 0 {
                return mark;
            }
        }
    }

    fn reversed(mut self) -> Self {
        self.bytes[..usize::from(self.len)].reverse();
        self
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// An element with its marks, ready to be put into a run.
#[derive(Debug)]
pub(super) struct Framed<'a> {
    front: Mark,
    element: &'a [u8],
    back: Mark,
}

impl<'a> Framed<'a> {
    pub(super) fn new(element: &'a [u8]) -> Self {
        let front = Mark::of(element);
        Self { front, element, back: front.reversed() }
    }

    pub(super) fn len(&self) -> usize {
        self.element.len() + 2 * usize::from(self.front.len)
    }

    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [self.front.as_bytes(), self.element, self.back.as_bytes()]
    }
}

/// Walks elements from both ends.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    run: &'a [u8],
}

impl<'a> Elements<'a> {
    /// The elements of a run, or of a part of one that begins and ends between elements.
    pub(super) fn new(run: &'a [u8]) -> Self {
        Self { run }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, mark) = read_mark(self.run.iter())?;
        let (element, rest) = self.run[mark..].split_at(len);
        self.run = &rest[mark..];
        Some(element)
    }
}

impl<'a> DoubleEndedIterator for Elements<'a> {
    fn next_back(&mut self) -> Option<&'a [u8]> {
        let (len, mark) = read_mark(self.run.iter().rev())?;
        let (rest, element) = self.run[..self.run.len() - mark].split_at(self.run.len() - mark - len);
        self.run = &rest[..rest.len() - mark];
        Some(element)
    }
}

/// The length that a mark states and the mark's own; `None` where nothing is left.
#[inline]
fn read_mark<'a>(bytes: impl Iterator<Item = &'a u8>) -> Option<(usize, usize)> {
    let (mut len, mut mark) = (0, 0);
    for byte in bytes {
        len |= usize::from(byte & 0x7f) << (7 * mark);
        mark += 1;
        if byte & 0x80 == 0 {
            return Some((len, mark));
        }
    }
    None
}

/// Where the element of this index begins in a run of `count` elements; the run's end for the index behind the last.
pub(super) fn position(run: &[u8], count: usize, index: usize) -> usize {
    assert!(index <= count, "element {index} of {count}");
    let mut elements = Elements::new(run);
    if index <= count / 2 {
        elements.by_ref().take(index).for_each(drop);
        return run.len() - elements.run.len();
    }
    elements.by_ref().rev().take(count - index).for_each(drop);
    elements.run.len()
}

/// Bytes that this element would take in a listpack.
pub(super) fn listpack_bytes(element: &[u8]) -> usize {
    let number = if element.len() <= INT_BYTES_MAX { parse_i64(element) } else { None };
    let encoded = match number {
        Some(0..=127) => 1,
        Some(-4096..=4095) => 2,
        Some(number) if i16::try_from(number).is_ok() => 3,
        Some(-8_388_608..=8_388_607) => 4,
        Some(number) if i32::try_from(number).is_ok() => 5,
        Some(_) => 9,
        None => match element.len() {
            len @ 0..64 => 1 + len,
            len @ 64..4096 => 2 + len,
            len => 5 + len,
        },
    };
    let back = match encoded {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    encoded + back
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_walked_from_both_ends() {
        let pieces: [&[u8]; 6] = [b"a", b"", &[7; 127], &[8; 128], &[9; 20_000], b"z"];
        let mut run = Vec::new();
        for piece in pieces {
            let framed = Framed::new(piece);
            let begin = run.len();
            framed.parts().iter().for_each(|part| run.extend_from_slice(part));
            assert_eq!(run.len() - begin, framed.len());
        }
        assert!(Elements::new(&run).eq(pieces));
        assert!(Elements::new(&run).rev().eq(pieces.into_iter().rev()));
        for index in 0..=pieces.len() {
            let at = position(&run, pieces.len(), index);
            assert!(Elements::new(&run[..at]).eq(pieces[..index].iter().copied()), "up to {index}");
            assert!(Elements::new(&run[at..]).eq(pieces[index..].iter().copied()), "from {index}");
        }
    }

    #[test]
    fn listpacks_hold_numbers_in_few_bytes() {
        let sizes = [
            ("0", 2),
            ("127", 2),
            ("-1", 3),
            ("4095", 3),
            ("4096", 4),
            ("32768", 5),
            ("8388608", 6),
            ("2147483648", 10),
            ("01", 4),
            ("", 2),
            ("hello", 7),
        ];
        for (text, bytes) in sizes {
            assert_eq!(listpack_bytes(text.as_bytes()), bytes, "{text}");
        }
        assert_eq!(listpack_bytes(&[b'x'; 63]), 65);
        assert_eq!(listpack_bytes(&[b'x'; 64]), 67);
        assert_eq!(listpack_bytes(&[b'x'; 126]), 130);
        assert_eq!(listpack_bytes(&[b'x'; 5000]), 5007);
    }
}
