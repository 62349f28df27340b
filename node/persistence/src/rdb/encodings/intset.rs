//! Intsets: Redis' packed sets of integers. Bytes of an integer (u32 LE: 2, 4 or 8), integers (u32 LE), the integers in
//! ascending order, little endian.

use super::{Bytes, Flaw, usize_of};

/// The integers of an intset, in order.
#[derive(Debug)]
pub(crate) struct Intset<'a> {
    bytes: Bytes<'a>,
    width: usize,
    /// The integer before; each must be greater.
    last: Option<i64>,
}

impl<'a> Intset<'a> {
    /// Checks the header.
    pub(crate) fn new(blob: &'a [u8]) -> Result<Self, Flaw> {
        let mut bytes = Bytes::new(blob);
        let width = usize_of(u32::from_le_bytes(bytes.array()?));
        if !matches!(width, 2 | 4 | 8) {
            return Err(Flaw { at: 0, what: "no integer has so many bytes" });
        }
        let count = usize_of(u32::from_le_bytes(bytes.array()?));
        if count.checked_mul(width) != Some(blob.len() - bytes.at) {
            return Err(Flaw { at: 4, what: "its header states another count" });
        }
        Ok(Self { bytes, width, last: None })
    }

    fn integer(&mut self) -> Result<i64, Flaw> {
        let value = match self.width {
            2 => i16::from_le_bytes(self.bytes.array()?).into(),
            4 => i32::from_le_bytes(self.bytes.array()?).into(),
            _ => i64::from_le_bytes(self.bytes.array()?),
        };
        if self.last.is_some_and(|last| last >= value) {
            return Err(self.bytes.flaw("its integers are not in order"));
        }
        self.last = Some(value);
        Ok(value)
    }
}

impl Iterator for Intset<'_> {
    type Item = Result<i64, Flaw>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.bytes.is_at_end()).then(|| self.integer())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn intset(width: u32, count: u32, body: &[u8]) -> Vec<u8> {
        [&width.to_le_bytes()[..], &count.to_le_bytes(), body].concat()
    }

    fn read(blob: &[u8]) -> Result<Vec<i64>, Flaw> {
        Intset::new(blob)?.collect()
    }

    #[test]
    fn every_width_is_read() {
        assert_eq!(read(&intset(2, 3, &[0, 0x80, 0xff, 0xff, 7, 0])).unwrap(), [-32_768, -1, 7]);
        assert_eq!(read(&intset(4, 1, &[0, 0, 1, 0])).unwrap(), [65_536]);
        let wide = [i64::MIN.to_le_bytes(), i64::MAX.to_le_bytes()].concat();
        assert_eq!(read(&intset(8, 2, &wide)).unwrap(), [i64::MIN, i64::MAX]);
        assert_eq!(read(&intset(2, 0, &[])).unwrap(), []);
    }

    #[test]
    fn damage_is_named() {
        assert!(read(&intset(3, 0, &[])).is_err(), "no such width");
        assert!(read(&intset(2, 2, &[1, 0])).is_err(), "wrong count");
        assert!(read(&intset(8, u32::MAX, &[1, 0])).is_err(), "hostile count");
        assert!(read(&intset(2, 2, &[1, 0, 1, 0])).is_err(), "the same integer twice");
        assert!(read(&[2, 0, 0]).is_err(), "cut in the header");
    }
}
