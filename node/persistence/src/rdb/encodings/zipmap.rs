//! Zipmaps: small hashes before 2.6. Pairs (a byte, 254 and up = unknown), then for each pair the length and bytes of
//! its field, the length of its value, how many bytes are free behind it, its bytes, the free ones; 0xFF.

use super::{Bytes, Element, Flaw, usize_of};

/// The byte behind the last pair.
const END: u8 = 0xff;

/// A length of this value stands in the four bytes that follow; counts from here on are unknown.
const LONG: u8 = 0xfe;

/// The fields and values of a zipmap, by turns.
#[derive(Debug)]
pub(crate) struct Zipmap<'a> {
    bytes: Bytes<'a>,
    /// How many pairs it states.
    stated: u8,
    /// Fields and values given.
    given: usize,
    /// Whether the end or a flaw was given.
    ended: bool,
}

impl<'a> Zipmap<'a> {
    /// Checks the header.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, Flaw> {
        let mut bytes = Bytes::new(blob);
        let stated = bytes.byte()?;
        Ok(Self { bytes, stated, given: 0, ended: false })
    }

    fn text(&mut self) -> Result<Option<Element<'a>>, Flaw> {
        let is_value = !self.given.is_multiple_of(2);
        let at = self.bytes.at;
        let length = match self.bytes.byte()? {
            END if is_value => return Err(Flaw { at, what: "a field without a value" }),
            END => return self.finish().map(|()| None),
            LONG => usize_of(u32::from_le_bytes(self.bytes.array()?)),
            short => short.into(),
        };
        let free = if is_value { self.bytes.byte()? } else { 0 };
        let text = self.bytes.take(length)?;
        self.bytes.take(free.into())?;
        self.given += 1;
        Ok(Some(Element::Bytes(text)))
    }

    fn finish(&self) -> Result<(), Flaw> {
        if !self.bytes.is_at_end() {
            return Err(self.bytes.flaw("something follows its end"));
        }
        if self.stated < LONG && usize::from(self.stated) != self.given / 2 {
            return Err(self.bytes.flaw("its header states another count"));
        }
        Ok(())
    }
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Result<Element<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let text = self.text().transpose();
        self.ended = !matches!(text, Some(Ok(_)));
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(blob: &[u8]) -> Result<Vec<Element<'_>>, Flaw> {
        Zipmap::new(blob)?.collect()
    }

    #[test]
    fn pairs_are_read_and_free_bytes_are_not() {
        let blob = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02worldXX\xff";
        let expected = [b"foo".as_slice(), b"bar", b"hello", b"world"].map(Element::Bytes);
        assert_eq!(read(blob).unwrap(), expected);
        let long = [b"\x01\x01f\xfe\x2c\x01\x00\x00\x00".as_slice(), &[b'v'; 300], b"\xff"].concat();
        assert_eq!(read(&long).unwrap(), [Element::Bytes(b"f"), Element::Bytes(&[b'v'; 300])]);
    }

    #[test]
    fn damage_is_named() {
        let good = b"\x01\x03foo\x03\x00bar\xff";
        assert!(read(good).is_ok());
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(read(b"\x02\x03foo\x03\x00bar\xff").is_err(), "wrong count");
        assert!(read(b"\x01\x03foo\xff").is_err(), "no value");
        assert!(read(b"\x01\x03foo\x03\x00bar\xffx").is_err(), "bytes behind the end");
        assert!(read(b"\x01\xfe\xff\xff\xff\xfffoo").is_err(), "hostile length");
    }
}
