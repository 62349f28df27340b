//! The chained checksum of a stream: CRC-64 of all its bytes from where it began, so that its value at an offset says
//! whether two nodes hold the same bytes up to there, however the bytes were cut into files.

use crc_fast::{CrcAlgorithm, Digest};

/// The checksum of a stream up to some offset.
#[derive(Clone, Debug)]
pub struct Chain(Digest);

impl Chain {
    /// Goes on from the value at some offset; 0 where a stream begins.
    #[must_use]
    pub fn from_value(value: u64) -> Self {
        Self(Digest::new_with_init_state(CrcAlgorithm::Crc64Redis, value))
    }

    /// Takes in the bytes that follow.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.update(bytes);
        }
    }

    /// Its value here.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

/// The checksum of a piece of side data, which is short.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_on_from_its_value() {
        let bytes: Vec<u8> = (0..10_000_u32).map(|number| (number * 7 % 251) as u8).collect();
        let mut whole = Chain::from_value(0);
        whole.update(&bytes);
        for cut in [0, 1, 17, 4096, 9_999, 10_000] {
            let mut first = Chain::from_value(0);
            first.update(&bytes[..cut]);
            let mut second = Chain::from_value(first.value());
            second.update(&bytes[cut..]);
            assert_eq!(second.value(), whole.value(), "cut at {cut}");
        }
    }
}
