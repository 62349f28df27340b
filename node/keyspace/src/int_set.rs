//! Sets of integers as a sorted run: a byte that says how many bytes an integer has (2, 4 or 8: what the widest that was
//! ever in it needs), then the integers in order.
//!
//! Only reading lives here, and the pieces that a writer puts together; the run itself stands inside an entry. The form
//! is ours alone and never leaves the process.

use std::ops::Range;

/// Bytes before the first integer.
const HEAD_BYTES: usize = 1;

/// The longest run; a set that would be longer becomes a tree whatever the limits say.
const BYTES_MAX: usize = u16::MAX as usize;

/// An empty run.
pub(crate) const EMPTY: [u8; HEAD_BYTES] = [2];

/// How many integers.
pub(crate) fn count(run: &[u8]) -> usize {
    (run.len() - HEAD_BYTES) / width(run)
}

fn width(run: &[u8]) -> usize {
    usize::from(run[0])
}

/// The integer of this rank, if there are so many.
pub(crate) fn get(run: &[u8], rank: usize) -> Option<i64> {
    let bytes = run.get(range(run, rank))?;
    Some(match *bytes {
        [a, b] => i16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
        _ => i64::from_le_bytes(bytes.try_into().ok()?),
    })
}

/// Where the integer of this rank stands in the run.
pub(crate) fn range(run: &[u8], rank: usize) -> Range<usize> {
    let begin = HEAD_BYTES + rank * width(run);
    begin..begin + width(run)
}

/// The integers in order.
pub(crate) fn iter(run: &[u8]) -> impl DoubleEndedIterator<Item = i64> + '_ {
    (0..count(run)).filter_map(|rank| get(run, rank))
}

/// The rank of `value`, or the one that it would have.
pub(crate) fn search(run: &[u8], value: i64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, count(run));
    while low < high {
        let middle = low.midpoint(high);
        match get(run, middle) {
            Some(held) if held < value => low = middle + 1,
            Some(held) if held == value => return Ok(middle),
            _ => high = middle,
        }
    }
    Err(low)
}

/// What an insert needs.
pub(crate) enum Insert {
    /// These first bytes of the number at this place of the run.
    Piece([u8; 8], usize, usize),
    /// Another run, with wider integers.
    Run(Vec<u8>),
    /// No run is that long.
    TooLong,
}

/// How to put `value`, which is not there, at its rank.
pub(crate) fn insert(run: &[u8], value: i64, rank: usize) -> Insert {
    let needed = width_of(value);
    let wide = needed.max(width(run));
    if HEAD_BYTES + (count(run) + 1) * wide > BYTES_MAX {
        return Insert::TooLong;
    }
    if wide == width(run) {
        return Insert::Piece(value.to_le_bytes(), wide, HEAD_BYTES + rank * wide);
    }
    let mut wider = vec![wide as u8];
    let all = iter(run).take(rank).chain([value]).chain(iter(run).skip(rank));
    all.for_each(|value| wider.extend_from_slice(&value.to_le_bytes()[..wide]));
    Insert::Run(wider)
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        2
    } else if i32::try_from(value).is_ok() {
        4
    } else {
        8
    }
}
