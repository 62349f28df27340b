//! List values: packed into their entry while small, a tree of chunks when large. Reading stands here, [`write`] writes.
//!
//! A packed list is a run of elements ([`run`]) behind a small header, a large one a [`tree`].

mod run;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
mod tree;
mod write;

use crate::Entry;
use crate::entry::{Kind, NewValue};
use run::Elements;
pub(crate) use tree::ListTree;
pub use write::ListMut;

/// Bytes before the run of a packed list: elements (u16), then bytes that they would take in a listpack (u32).
const HEADER_BYTES: usize = 6;
/// Bytes of a listpack around its elements.
const LISTPACK_BYTES: usize = 7;
/// A listpack at most where the limit is a number of elements.
const SAFE_BYTES_MAX: usize = 8192;

/// When a list stops being packed: Redis' `list-max-listpack-size`. A packed list also never exceeds 64 KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// Elements at most where positive; -1 to -5 for 4, 8, 16, 32 or 64 KiB.
    pub fill: i32,
}

impl Default for ListLimits {
    fn default() -> Self {
        Self { fill: -2 }
    }
}

impl ListLimits {
    /// Whether a listpack of so many bytes and elements is too large.
    fn exceeds(self, bytes: usize, count: usize) -> bool {
        bytes > self.bytes_max() || self.count_max().is_some_and(|max| count > max)
    }

    /// Whether a list is so small that it is packed again: half of the limits, so that it does not turn to and fro.
    fn is_small(self, bytes: usize, count: usize) -> bool {
        match self.count_max() {
            Some(max) => bytes <= SAFE_BYTES_MAX && count <= max / 2,
            None => bytes <= self.bytes_max() / 2,
        }
    }

    fn count_max(self) -> Option<usize> {
        usize::try_from(self.fill).ok().map(|count| count.max(1))
    }

    fn bytes_max(self) -> usize {
        match self.fill {
            0.. => SAFE_BYTES_MAX,
            -1 => 4 << 10,
            -2 => 8 << 10,
            -3 => 16 << 10,
            -4 => 32 << 10,
            _ => 64 << 10,
        }
    }
}

/// A list to read from.
#[derive(Clone, Copy, Debug)]
pub struct ListView<'a> {
    pub(crate) entry: &'a Entry,
}

impl<'a> ListView<'a> {
    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.is_packed() { header(self.entry.inline()).0 } else { self.entry.list().len() }
    }

    /// Whether it has no element (never so for a list that stands in a database).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is packed (OBJECT ENCODING: listpack) rather than a tree (quicklist).
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.entry.kind() == Kind::ListPacked
    }

    /// The element of this index.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.iter_from(index).next()
    }

    /// All elements, the first one first.
    #[must_use]
    pub fn iter(&self) -> ListIter<'a> {
        self.iter_from(0)
    }

    /// The elements from this index to the last; none if there is no such index.
    #[must_use]
    pub fn iter_from(&self, index: usize) -> ListIter<'a> {
        let left = self.len().saturating_sub(index);
        let mut iter =
            ListIter { list: *self, next: index, left, is_backward: false, elements: Elements::new(&[]) };
        if left > 0 {
            let (run, begin, count) = self.chunk_at(index);
            iter.elements = Elements::new(&run[run::position(run, count, index - begin)..]);
        }
        iter
    }

    /// The elements from this index back to the first; none if there is no such index.
    #[must_use]
    pub fn iter_back_from(&self, index: usize) -> ListIter<'a> {
        let left = if index < self.len() { index + 1 } else { 0 };
        let mut iter =
            ListIter { list: *self, next: index, left, is_backward: true, elements: Elements::new(&[]) };
        if left > 0 {
            let (run, begin, count) = self.chunk_at(index);
            iter.elements = Elements::new(&run[..run::position(run, count, index - begin + 1)]);
        }
        iter
    }

    /// The run that has the element of this index, the index at which it begins, and its elements.
    fn chunk_at(&self, index: usize) -> (&'a [u8], usize, usize) {
        if !self.is_packed() {
            return self.entry.list().chunk_at(index);
        }
        let value = self.entry.inline();
        (&value[HEADER_BYTES..], 0, header(value).0)
    }
}

/// Elements of a list in one direction.
#[derive(Clone, Debug)]
pub struct ListIter<'a> {
    list: ListView<'a>,
    /// The index of the next element, while any is left.
    next: usize,
    /// How many are left.
    left: usize,
    is_backward: bool,
    /// What is left of the chunk.
    elements: Elements<'a>,
}

impl<'a> Iterator for ListIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let mut element = if self.is_backward { self.elements.next_back() } else { self.elements.next() };
        if element.is_none() {
            self.elements = Elements::new(self.list.chunk_at(self.next).0);
            element = if self.is_backward { self.elements.next_back() } else { self.elements.next() };
        }
        self.next = if self.is_backward { self.next.wrapping_sub(1) } else { self.next + 1 };
        element
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for ListIter<'_> {}

/// Elements of a packed list, and bytes that they would take in a listpack.
fn header(value: &[u8]) -> (usize, usize) {
    let count = u16::from_le_bytes([value[0], value[1]]);
    let listpack = u32::from_le_bytes([value[2], value[3], value[4], value[5]]);
    (usize::from(count), listpack as usize)
}

fn header_of(count: usize, listpack: usize) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..2].copy_from_slice(&(count as u16).to_le_bytes());
    header[2..].copy_from_slice(&(listpack as u32).to_le_bytes());
    header
}

impl Entry {
    /// A packed list without elements.
    pub(crate) fn new_packed_list(key: &[u8]) -> Self {
        Self::new(key, None, NewValue::Bytes(Kind::ListPacked, &header_of(0, 0)))
    }

    /// Whether the value is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind(), Kind::ListPacked | Kind::ListTree)
    }
}
