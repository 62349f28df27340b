//! The packed forms in which Redis stores strings and small hashes inside an RDB, as readers over one blob.
//!
//! Each is an iterator of `Result<Element, Flaw>`; hostile bytes give a [`Flaw`], never a panic, and no reader
//! allocates on a claim. They know neither the keyspace nor the file around them.

pub(super) mod intset;
pub(super) mod listpack;
pub(super) mod lzf;
pub(super) mod ziplist;
pub(super) mod zipmap;

use std::borrow::Cow;

/// One element of a packed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A string that is a number, in binary.
    Int(i64),
}

impl<'a> Element<'a> {
    /// The bytes, numbers in decimal.
    pub(super) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Element::Bytes(bytes) => Cow::Borrowed(bytes),
            Element::Int(value) => Cow::Owned(itoa::Buffer::new().format(value).as_bytes().to_vec()),
        }
    }
}

/// What is wrong with a packed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The byte within the blob.
    pub(super) at: usize,
    /// What was found there.
    pub(super) what: &'static str,
}

impl Flaw {
    /// The flaw in a sentence, for a blob of some kind.
    pub(super) fn within(self, kind: &str) -> String {
        format!("{kind}, its byte {}: {}", self.at, self.what)
    }
}

/// Bytes read from front to back.
#[derive(Clone, Debug)]
struct Bytes<'a> {
    all: &'a [u8],
    /// The next byte to give.
    at: usize,
}

impl<'a> Bytes<'a> {
    fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    fn flaw(&self, what: &'static str) -> Flaw {
        Flaw { at: self.at, what }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Flaw> {
        let end = self.at.checked_add(count);
        match end.and_then(|end| self.all.get(self.at..end)) {
            Some(bytes) => {
                self.at += count;
                Ok(bytes)
            }
            None => Err(self.flaw("it ends too early")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8, Flaw> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.all.get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at == self.all.len()
    }
}

/// A signed number of 24 bits, little endian.
fn int24(bytes: [u8; 3]) -> i64 {
    let [low, middle, high] = bytes;
    (i32::from_le_bytes([0, low, middle, high]) >> 8).into()
}

/// A 32-bit length as one of memory. Where `usize` is smaller, the largest: no blob is that long.
fn usize_of(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
