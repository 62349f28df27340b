//! Ziplists: Redis' packed lists before 7.0. Bytes in all (u32 LE), place of the last entry (u32 LE), entries (u16 LE,
//! 65535 = unknown), the entries, 0xFF; each entry begins with the length of the one before it.

use super::{Bytes, Element, Flaw, int24, usize_of};

/// The byte behind the last entry.
const END: u8 = 0xff;

/// A previous length of this value stands in the four bytes that follow.
const PREVIOUS_IS_LONG: u8 = 0xfe;

/// The count in the header that says that it must be found by walking.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The entries of a ziplist, in order.
#[derive(Debug)]
pub(crate) struct Ziplist<'a> {
    bytes: Bytes<'a>,
    /// Where the header says that the last entry begins.
    stated_last: usize,
    /// How many entries it states.
    stated: u16,
    /// Where the entry given last begins.
    last: usize,
    /// Its length.
    previous: usize,
    /// Entries given.
    given: usize,
    /// Whether the end or a flaw was given.
    ended: bool,
}

impl<'a> Ziplist<'a> {
    /// Checks the header.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, Flaw> {
        let mut bytes = Bytes::new(blob);
        if usize_of(u32::from_le_bytes(bytes.array()?)) != blob.len() {
            return Err(Flaw { at: 0, what: "its header states another length" });
        }
        let stated_last = usize_of(u32::from_le_bytes(bytes.array()?));
        let stated = u16::from_le_bytes(bytes.array()?);
        let last = bytes.at;
        Ok(Self { bytes, stated_last, stated, last, previous: 0, given: 0, ended: false })
    }

    fn entry(&mut self) -> Result<Option<Element<'a>>, Flaw> {
        if self.bytes.peek() == Some(END) {
            self.bytes.byte()?;
            return self.finish().map(|()| None);
        }
        let begin = self.bytes.at;
        let previous = match self.bytes.byte()? {
            PREVIOUS_IS_LONG => usize_of(u32::from_le_bytes(self.bytes.array()?)),
            short => short.into(),
        };
        if previous != self.previous {
            return Err(Flaw { at: begin, what: "it states another length of the entry before" });
        }
        let element = self.content()?;
        (self.last, self.previous) = (begin, self.bytes.at - begin);
        self.given += 1;
        Ok(Some(element))
    }

    fn content(&mut self) -> Result<Element<'a>, Flaw> {
        let bytes = &mut self.bytes;
        let at = bytes.at;
        let first = bytes.byte()?;
        Ok(match first {
            0x00..=0x3f => Element::Bytes(bytes.take(first.into())?),
            0x40..=0x7f => {
                let length = usize::from(first & 0x3f) << 8 | usize::from(bytes.byte()?);
                Element::Bytes(bytes.take(length)?)
            }
            // Here, alone, the length is big endian.
            0x80 => {
                let length = usize_of(u32::from_be_bytes(bytes.array()?));
                Element::Bytes(bytes.take(length)?)
            }
            0xc0 => Element::Int(i16::from_le_bytes(bytes.array()?).into()),
            0xd0 => Element::Int(i32::from_le_bytes(bytes.array()?).into()),
            0xe0 => Element::Int(i64::from_le_bytes(bytes.array()?)),
            0xf0 => Element::Int(int24(bytes.array()?)),
            0xfe => Element::Int(i8::from_le_bytes(bytes.array()?).into()),
            // Numbers from 0 to 12, stored as 1 to 13.
            0xf1..=0xfd => Element::Int(i64::from(first & 0x0f) - 1),
            _ => return Err(Flaw { at, what: "no entry is encoded by this byte" }),
        })
    }

    fn finish(&mut self) -> Result<(), Flaw> {
        if !self.bytes.is_at_end() {
            return Err(self.bytes.flaw("something follows its end"));
        }
        if self.stated != COUNT_UNKNOWN && usize::from(self.stated) != self.given {
            return Err(self.bytes.flaw("its header states another count"));
        }
        if self.stated_last != self.last {
            return Err(self.bytes.flaw("its header states another place of the last entry"));
        }
        Ok(())
    }
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Result<Element<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        entry
    }
}

/// Builds a ziplist out of the encoded contents of its entries.
#[cfg(test)]
pub(crate) fn ziplist_of(contents: &[&[u8]]) -> Vec<u8> {
    let (mut body, mut last, mut previous) = (Vec::new(), 10, 0_usize);
    for content in contents {
        last = 10 + body.len();
        match u8::try_from(previous) {
            Ok(short) if short < PREVIOUS_IS_LONG => body.push(short),
            _ => {
                body.push(PREVIOUS_IS_LONG);
                body.extend_from_slice(&(previous as u32).to_le_bytes());
            }
        }
        body.extend_from_slice(content);
        previous = 10 + body.len() - last;
    }
    let mut blob = (body.len() as u32 + 11).to_le_bytes().to_vec();
    blob.extend_from_slice(&(last as u32).to_le_bytes());
    blob.extend_from_slice(&(contents.len() as u16).to_le_bytes());
    blob.extend_from_slice(&body);
    blob.push(END);
    blob
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(blob: &[u8]) -> Result<Vec<Element<'_>>, Flaw> {
        Ziplist::new(blob)?.collect()
    }

    #[test]
    fn every_encoding_is_read() {
        let text = [b'x'; 20_000];
        let medium = [&[0x41, 0x2c][..], &text[..300]].concat();
        let long = [&[0x80, 0, 0, 0x4e, 0x20][..], &text].concat();
        let blob = ziplist_of(&[
            &[0x02, b'h', b'i'],
            &medium,
            &long,
            &[0xc0, 0x00, 0x80],
            &[0xd0, 0, 0, 0, 0x80],
            &[0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            &[0xf0, 0x00, 0x00, 0x80],
            &[0xfe, 0x80],
            &[0xf1],
            &[0xfd],
        ]);
        let expected = [
            Element::Bytes(b"hi"),
            Element::Bytes(&text[..300]),
            Element::Bytes(&text),
            Element::Int(-32_768),
            Element::Int(i32::MIN.into()),
            Element::Int(i64::MIN),
            Element::Int(-8_388_608),
            Element::Int(-128),
            Element::Int(0),
            Element::Int(12),
        ];
        assert_eq!(read(&blob).unwrap(), expected);
        assert_eq!(read(&ziplist_of(&[])).unwrap(), []);
    }

    #[test]
    fn damage_is_named() {
        let good = ziplist_of(&[&[0x01, b'a'], &[0xf3]]);
        assert_eq!(read(&good).unwrap(), [Element::Bytes(b"a"), Element::Int(2)]);
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
        for (place, what) in
            [(0, "length"), (4, "last"), (8, "count"), (10, "before"), (11, "encoding"), (13, "before")]
        {
            let mut bad = good.clone();
            bad[place] ^= 0x90;
            assert!(read(&bad).is_err(), "{what}");
        }
        assert!(read(&ziplist_of(&[&[0x80, 0xff, 0xff, 0xff, 0xff]])).is_err(), "hostile length");
        let mut behind = good;
        behind.push(END);
        behind[0] += 1;
        assert!(read(&behind).is_err(), "bytes behind the end");
    }
}
