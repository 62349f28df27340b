//! The keyed hash of keys and fields: SipHash-1-3 under 128 bits that are random per lineage.

/// The 128-bit key of the hash; two nodes can compare their trees only under the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashSeed([u8; 16]);

impl HashSeed {
    /// A seed of 16 random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the base's side data and the hello of a link.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// The hash of a key.
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let _ = key;
        todo!()
    }
}

/// A key's 64-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u64);

impl KeyHash {
    /// The unit of chunks, digests and last-modified offsets: the top 16 bits.
    #[must_use]
    pub const fn prefix(self) -> u16 {
        (self.0 >> 48) as u16
    }
}
