//! Listpacks: Redis' packed lists since 7.0. Bytes in all (u32 LE), elements (u16 LE, 65535 = unknown), the elements,
//! 0xFF; each element ends with its own length, seven bits to a byte, to be walked backwards.

use super::{Bytes, Element, Flaw, int24, usize_of};

/// The byte behind the last element.
const END: u8 = 0xff;

/// The count in the header that says that it must be found by walking.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The elements of a listpack, in order.
#[derive(Debug)]
pub(crate) struct Listpack<'a> {
    bytes: Bytes<'a>,
    /// What the header states.
    stated: u16,
    /// Elements given.
    given: usize,
    /// Whether the end or a flaw was given.
    ended: bool,
}

impl<'a> Listpack<'a> {
    /// Checks the header.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, Flaw> {
        let mut bytes = Bytes::new(blob);
        if usize_of(u32::from_le_bytes(bytes.array()?)) != blob.len() {
            return Err(Flaw { at: 0, what: "its header states another length" });
        }
        let stated = u16::from_le_bytes(bytes.array()?);
        Ok(Self { bytes, stated, given: 0, ended: false })
    }

    fn element(&mut self) -> Result<Option<Element<'a>>, Flaw> {
        let bytes = &mut self.bytes;
        let begin = bytes.at;
        let first = bytes.byte()?;
        let element = match first {
            0x00..=0x7f => Element::Int(first.into()),
            0x80..=0xbf => Element::Bytes(bytes.take(usize::from(first & 0x3f))?),
            0xc0..=0xdf => {
                let value = i32::from(first & 0x1f) << 8 | i32::from(bytes.byte()?);
                // 13 bits, the highest of them the sign.
                Element::Int((value << 19 >> 19).into())
            }
            0xe0..=0xef => {
                let length = usize::from(first & 0x0f) << 8 | usize::from(bytes.byte()?);
                Element::Bytes(bytes.take(length)?)
            }
            0xf0 => {
                let length = usize_of(u32::from_le_bytes(bytes.array()?));
                Element::Bytes(bytes.take(length)?)
            }
            0xf1 => Element::Int(i16::from_le_bytes(bytes.array()?).into()),
            0xf2 => Element::Int(int24(bytes.array()?)),
            0xf3 => Element::Int(i32::from_le_bytes(bytes.array()?).into()),
            0xf4 => Element::Int(i64::from_le_bytes(bytes.array()?)),
            END => return self.finish().map(|()| None),
            _ => return Err(Flaw { at: begin, what: "no element begins with this byte" }),
        };
        self.check_back_length(self.bytes.at - begin)?;
        self.given += 1;
        Ok(Some(element))
    }

    /// The element's length behind it, the most significant seven bits first, all bytes but the first marked.
    fn check_back_length(&mut self, length: usize) -> Result<(), Flaw> {
        // The limits are Redis' own, the second to fourth of them one short of what the bits could hold.
        let count = match length {
            0..=127 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        };
        let at = self.bytes.at;
        for (place, byte) in self.bytes.take(count)?.iter().enumerate() {
            let seven = (length >> (7 * (count - 1 - place)) & 0x7f) as u8;
            let mark = if place == 0 { 0 } else { 0x80 };
            if *byte != seven | mark {
                return Err(Flaw { at, what: "an element's length behind it is wrong" });
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Flaw> {
        if !self.bytes.is_at_end() {
            return Err(self.bytes.flaw("something follows its end"));
        }
        if self.stated != COUNT_UNKNOWN && usize::from(self.stated) != self.given {
            return Err(self.bytes.flaw("its header states another count"));
        }
        Ok(())
    }
}

impl<'a> Iterator for Listpack<'a> {
    type Item = Result<Element<'a>, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let element = self.element().transpose();
        self.ended = !matches!(element, Some(Ok(_)));
        element
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn listpack(count: u16, elements: &[&[u8]]) -> Vec<u8> {
        let body = elements.concat();
        let mut blob = (body.len() as u32 + 7).to_le_bytes().to_vec();
        blob.extend_from_slice(&count.to_le_bytes());
        blob.extend_from_slice(&body);
        blob.push(END);
        blob
    }

    fn read(blob: &[u8]) -> Result<Vec<Element<'_>>, Flaw> {
        Listpack::new(blob)?.collect()
    }

    #[test]
    fn every_encoding_is_read() {
        let text = [b'x'; 5000];
        let long = [&[0xe3, 0xe8][..], &text[..1000], &[0x07, 0xea]].concat();
        let longer = [&[0xf0, 0x88, 0x13, 0, 0][..], &text, &[0x27, 0x8d]].concat();
        let blob = listpack(
            12,
            &[
                &[0x00, 1],
                &[0x7f, 1],
                &[0x82, b'h', b'i', 3],
                &[0xdf, 0xff, 2],
                &[0xd0, 0x00, 2],
                &[0xcf, 0xff, 2],
                &long,
                &longer,
                &[0xf1, 0x00, 0x80, 3],
                &[0xf2, 0xff, 0xff, 0xff, 4],
                &[0xf3, 0x00, 0x00, 0x00, 0x80, 5],
                &[0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80, 9],
            ],
        );
        let expected = [
            Element::Int(0),
            Element::Int(127),
            Element::Bytes(b"hi"),
            Element::Int(-1),
            Element::Int(-4096),
            Element::Int(4095),
            Element::Bytes(&text[..1000]),
            Element::Bytes(&text),
            Element::Int(-32_768),
            Element::Int(-1),
            Element::Int(i32::MIN.into()),
            Element::Int(i64::MIN),
        ];
        assert_eq!(read(&blob).unwrap(), expected);
    }

    #[test]
    fn damage_is_named() {
        let good = listpack(2, &[&[0x81, b'a', 2], &[0x05, 1]]);
        assert_eq!(read(&good).unwrap(), [Element::Bytes(b"a"), Element::Int(5)]);
        assert!(read(&listpack(COUNT_UNKNOWN, &[&[0x05, 1]])).is_ok());
        assert!(read(&listpack(3, &[&[0x05, 1]])).is_err(), "wrong count");
        assert!(read(&listpack(1, &[&[0x05, 2]])).is_err(), "wrong back length");
        assert!(read(&listpack(1, &[&[0xf5, 1]])).is_err(), "no such encoding");
        assert!(read(&listpack(1, &[&[0xf0, 0xff, 0xff, 0xff, 0xff, 1]])).is_err(), "hostile length");
        assert!(read(&listpack(1, &[&[0x05, 1], &[END]])).is_err(), "bytes behind the end");
        for cut in 0..good.len() {
            assert!(read(&good[..cut]).is_err(), "cut at {cut}");
        }
    }
}
