//! The identifiers and quantities of replication, each a type of its own.
//!
//! Redis' "+1" lives in [`Offset::next`] and [`NextOffset::prior`] and nowhere else. There is no `From<u64>`: codecs
//! say `new`, everyone else computes. Arithmetic is checked: an overflow of our own counting is a defect and panics,
//! while peers' numbers go through the `checked_` forms.

use std::fmt;

/// The last byte of the replication stream that someone holds: the count of bytes from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(u64);

impl Offset {
    /// Nothing held yet.
    pub const ZERO: Self = Self(0);

    /// An offset as a peer, a file or a counter stated it.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The plain number, for codecs, INFO and logs.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first byte not held: what a replica that holds `self` asks for.
    #[must_use]
    #[expect(clippy::expect_used, reason = "our own counting cannot get there")]
    pub const fn next(self) -> NextOffset {
        NextOffset(self.0.checked_add(1).expect("stream offsets stay below 2^64 - 1"))
    }

    /// The offset `bytes` further on. Panics past 2^64: our own counting cannot reach it.
    #[must_use]
    #[expect(clippy::expect_used, reason = "our own counting cannot get there")]
    pub const fn advance(self, bytes: ByteCount) -> Self {
        Self(self.0.checked_add(bytes.0).expect("stream offsets stay below 2^64"))
    }

    /// The offset `bytes` further on, or `None` past 2^64: for numbers that a peer stated.
    #[must_use]
    pub const fn checked_advance(self, bytes: ByteCount) -> Option<Self> {
        match self.0.checked_add(bytes.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// How many bytes lie between `earlier` and `self`; zero when `earlier` is in fact later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> ByteCount {
        ByteCount(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first byte of the replication stream that someone wants: one past the [`Offset`] held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextOffset(u64);

impl NextOffset {
    /// The first byte of a stream.
    pub const FIRST: Self = Self(1);

    /// A wanted byte as a peer or a file stated it.
    #[must_use]
    pub const fn new(position: u64) -> Self {
        Self(position)
    }

    /// The plain number, for codecs, INFO and logs.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What someone who wants `self` holds. Wanting byte 0 is Redis' way to say the same as wanting byte 1.
    #[must_use]
    pub const fn prior(self) -> Offset {
        Offset(self.0.saturating_sub(1))
    }

    /// The wanted byte after `bytes` more have come.
    #[must_use]
    #[expect(clippy::expect_used, reason = "our own counting cannot get there")]
    pub const fn advance(self, bytes: ByteCount) -> Self {
        Self(self.0.checked_add(bytes.0).expect("stream offsets stay below 2^64"))
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteCount(u64);

impl ByteCount {
    /// No bytes.
    pub const ZERO: Self = Self(0);

    /// `count` bytes.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The length of something in memory.
    #[must_use]
    pub const fn of(len: usize) -> Self {
        Self(len as u64)
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of one stream of writes: 40 hexadecimal digits, kept in lower case, compared regardless of case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicationId([u8; 40]);

impl ReplicationId {
    /// Redis' placeholder for "no such id": forty zeros, as `master_replid2` shows it.
    pub const NONE: Self = Self([b'0'; 40]);

    /// An id out of 20 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 20]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(text)
    }

    /// Reads 40 hexadecimal digits of either case; anything else is `None`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut id: [u8; 40] = text.try_into().ok()?;
        if !id.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        id.make_ascii_lowercase();
        Some(Self(id))
    }

    /// The 40 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Milliseconds since the Unix epoch; negative before it, as Redis allows for expiry times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(i64);

impl UnixMillis {
    /// A point in time.
    #[must_use]
    pub const fn new(millis: i64) -> Self {
        Self(millis)
    }

    /// The plain number of milliseconds.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

macro_rules! plain_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            /// The id with this number.
            #[must_use]
            pub const fn new(number: $inner) -> Self {
                Self(number)
            }

            /// The plain number.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

plain_id! {
    /// The number of a database, as SELECT names it. Whether it exists is the keyspace's to say.
    DbIndex(u32)
}
plain_id! {
    /// A client connection, unique over the life of a node; what CLIENT ID answers.
    ClientId(u64)
}
plain_id! {
    /// A pipe to another node, unique over the life of a node.
    LinkId(u64)
}
plain_id! {
    /// A replica's session at its master, unique over the life of a node.
    ReplicaId(u64)
}
plain_id! {
    /// A snapshot of the keyspace, unique over the life of a node.
    SnapshotId(u64)
}
plain_id! {
    /// A count of changes of role or lineage: what was begun in an older epoch no longer counts.
    Epoch(u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_wanted_is_one_past_the_byte_held() {
        assert_eq!(Offset::new(500).next(), NextOffset::new(501));
        assert_eq!(NextOffset::new(501).prior(), Offset::new(500));
        assert_eq!(NextOffset::new(0).prior(), Offset::ZERO);
    }

    #[test]
    fn distances_do_not_go_negative() {
        assert_eq!(Offset::new(7).since(Offset::new(9)), ByteCount::ZERO);
        assert_eq!(Offset::new(9).since(Offset::new(7)), ByteCount::new(2));
        assert_eq!(Offset::new(u64::MAX).checked_advance(ByteCount::new(1)), None);
    }

    #[test]
    fn replication_ids_are_forty_hex_digits_of_either_case() {
        let id = ReplicationId::from_random([0xab; 20]);
        assert_eq!(id.as_str(), "ab".repeat(20));
        assert_eq!(ReplicationId::parse("AB".repeat(20).as_bytes()), Some(id));
        assert_eq!(ReplicationId::parse(b"?"), None);
        assert_eq!(ReplicationId::parse("zz".repeat(20).as_bytes()), None);
    }
}
