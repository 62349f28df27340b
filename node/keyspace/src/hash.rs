//! The keyed hash of keys and fields: SipHash-1-3 under 128 bits that are random per lineage.
//!
//! Which bits choose what (bit 63 is the highest):
//!
//! | Bits | Choose |
//! |---|---|
//! | 63..28 | the path in the tree, four at a time from the top; the upper 16 of them are the *prefix* |
//! | 63..16 | the place in the order of SCAN and of snapshots |
//! | 15..0 | the tag in a leaf's slot, and by it the slot where the search begins |
//!
//! Path and tag share no bit: within a leaf all paths are alike, and a tag drawn from them would tell nothing.

mod siphash;

/// How many path bits one inner node consumes.
pub(crate) const NIBBLE_BITS: u32 = 4;

/// The number of places in the order of hashes.
pub(crate) const POSITIONS: u64 = 1 << 48;

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

    /// The hash of a key: its plain bytes, with nothing before or after them.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let hash = siphash::siphash_1_3(&self.0, key);
        #[cfg(test)]
        if self.0 == Self::WEAK.0 {
            return KeyHash(hash & 0x1000_0000_4000_e003);
        }
        KeyHash(hash)
    }

    /// A seed under which only a few hashes exist, so that tests reach full depth, equal tags and equal places.
    #[cfg(test)]
    pub(crate) const WEAK: Self = Self(*b"a weak test seed");
}

/// A key's 64-bit hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub(crate) u64);

impl KeyHash {
    /// The unit of chunks, digests and last-modified offsets: the top 16 bits.
    #[must_use]
    pub const fn prefix(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// The place in the order of SCAN and of snapshots, below [`POSITIONS`].
    pub(crate) const fn position(self) -> u64 {
        self.0 >> 16
    }

    /// What a slot remembers of the hash.
    pub(crate) const fn tag(self) -> u16 {
        self.0 as u16
    }

    /// Which child of an inner node at `depth` the path takes.
    #[inline]
    pub(crate) const fn nibble(self, depth: usize) -> usize {
        ((self.0 >> (60 - NIBBLE_BITS * depth as u32)) & 15) as usize
    }

    /// This key's part in the digest of a key set: the hash mixed once more, so that sums of near hashes spread.
    pub(crate) const fn digest(self) -> u64 {
        let mut mixed = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
