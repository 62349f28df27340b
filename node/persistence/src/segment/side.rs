//! A segment's side data: a small file beside it, ours alone, that says what stock Redis' format has no place for.
//!
//! ```text
//!     0  head: which stream, from where, written by whom          (HEAD_BYTES, rewritten when a start opens it again)
//!  1024  end: how long the segment is, and the chain there        (three rows; one is written before every append)
//!  1120  synced: up to where all of it had survived a power loss  (one row, same sector; a lower bound)
//!  1536  marks: offset, wall time and chain, about every 64 KiB and before each sync; only ever appended
//! ```
//!
//! Numbers are little endian. Head, end and each mark carry a checksum of their own. The end is written *before* the
//! bytes that it counts: a segment that is longer than its end says was written by somebody else, one that is shorter
//! lost its last append to a crash. Of the rows for the end the latest counts; the others vouch for what came before, so the
//! row of the last end that was synced is not written over before another one was.

use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};

use super::chain::checksum;

const MAGIC: &[u8; 8] = b"RJSIDE01";
/// Ancestors that fit into the head.
const ANCESTORS_MAX: usize = 16;
const REPLID_BYTES: usize = 40;
const ANCESTOR_BYTES: usize = REPLID_BYTES + 8;
const HEAD_FIXED_BYTES: usize = 8 + REPLID_BYTES + 8 + 4 + 4 + 8 + 8 + 16 + 4 + 4;
const HEAD_CHECKSUM_AT: usize = HEAD_FIXED_BYTES + ANCESTORS_MAX * ANCESTOR_BYTES;

/// Bytes of the head.
pub(super) const HEAD_BYTES: usize = 1024;
/// Where the rows for the end stand, in one sector.
pub(super) const ENDS_AT: u64 = HEAD_BYTES as u64;
/// How many they are.
pub(super) const END_ROWS: usize = 3;
/// Where it says what was synced: a mark.
pub(super) const SYNCED_AT: u64 = ENDS_AT + (END_ROWS * ROW_BYTES) as u64;
/// Bytes of an end, and of a mark.
pub(super) const ROW_BYTES: usize = 32;
/// Where the marks begin.
pub(super) const MARKS_AT: u64 = ENDS_AT + 512;

/// One run of the operating system, from power on to power off: what was written in the same run was lost by nobody but a
/// process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

/// Which stream a segment's bytes belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName {
    /// Its name.
    pub replid: ReplicationId,
    /// The streams that it continued, newest first, each with its last valid offset.
    pub ancestors: Vec<(ReplicationId, Offset)>,
}

impl StreamName {
    /// The last byte that it shares with `replid`: `Some(None)` is all of it, `None` nothing.
    #[must_use]
    pub fn last_valid(&self, replid: ReplicationId) -> Option<Option<Offset>> {
        if replid == self.replid {
            return Some(None);
        }
        self.ancestors.iter().find(|(id, _)| *id == replid).map(|(_, last_valid)| Some(*last_valid))
    }
}

/// What a segment is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// The stream.
    pub stream: StreamName,
    /// The last byte before its first.
    pub start: Offset,
    /// Bytes at the file's beginning that are not of the stream: the SELECT that stock Redis needs.
    pub preamble: u32,
    /// The database selected at `start`.
    pub db: DbIndex,
    /// The chained checksum at `start`.
    pub chain: u64,
    /// When it was begun.
    pub created: UnixMillis,
    /// In which run of the operating system it was opened for writing last.
    pub boot: BootId,
    /// Nothing lies before it: the data was empty.
    pub begins_empty: bool,
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    /// The last byte of the stream in it.
    pub end: Offset,
    /// The chained checksum there.
    pub chain: u64,
    /// Whether more may follow.
    pub state: SegmentState,
}

/// Whether more may follow in a segment, or in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// It is being written.
    Open,
    /// The log goes on in another segment.
    Sealed,
    /// The log ends here: the node ended in order, and everything was synced before.
    Closed,
}

impl SegmentState {
    const ALL: [(u64, Self); 3] = [(0, Self::Open), (1, Self::Sealed), (2, Self::Closed)];

    fn number(self) -> u64 {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or(0, |(number, _)| *number)
    }

    fn of(number: u64) -> Option<Self> {
        Self::ALL.iter().find(|(own, _)| *own == number).map(|(_, state)| *state)
    }
}

/// A place within a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last byte of the stream before it.
    pub offset: Offset,
    /// When it was written.
    pub wall: UnixMillis,
    /// The chained checksum there.
    pub chain: u64,
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.stream.replid.as_str().as_bytes());
        out.extend_from_slice(&self.start.get().to_le_bytes());
        out.extend_from_slice(&self.preamble.to_le_bytes());
        out.extend_from_slice(&self.db.get().to_le_bytes());
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&self.created.get().to_le_bytes());
        out.extend_from_slice(&self.boot.0);
        out.extend_from_slice(&u32::from(self.begins_empty).to_le_bytes());
        let ancestors = &self.stream.ancestors[..self.stream.ancestors.len().min(ANCESTORS_MAX)];
        out.extend_from_slice(&(ancestors.len() as u32).to_le_bytes());
        for (replid, last_valid) in ancestors {
            out.extend_from_slice(replid.as_str().as_bytes());
            out.extend_from_slice(&last_valid.get().to_le_bytes());
        }
        out.resize(HEAD_CHECKSUM_AT, 0);
        let sum = checksum(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out.resize(HEAD_BYTES, 0);
        out
    }

    /// `None` for whatever is no head of ours.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes.get(..HEAD_CHECKSUM_AT)?);
        let stated = bytes.get(HEAD_CHECKSUM_AT..HEAD_CHECKSUM_AT + 8)?;
        if checksum(fields.0).to_le_bytes() != stated || fields.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let replid = fields.replid()?;
        let start = Offset::new(fields.number()?);
        let preamble = u32::from_le_bytes(fields.array()?);
        let db = DbIndex::new(u32::from_le_bytes(fields.array()?));
        let chain = fields.number()?;
        let created = UnixMillis::new(fields.number()?.cast_signed());
        let boot = BootId(fields.array()?);
        let begins_empty = u32::from_le_bytes(fields.array()?) != 0;
        let count = u32::from_le_bytes(fields.array()?);
        let ancestors = (0..count.min(ANCESTORS_MAX as u32))
            .map(|_| Some((fields.replid()?, Offset::new(fields.number()?))))
            .collect::<Option<Vec<_>>>()?;
        Some(Self {
            stream: StreamName { replid, ancestors },
            start,
            preamble,
            db,
            chain,
            created,
            boot,
            begins_empty,
        })
    }
}

impl SegmentEnd {
    /// The `turn`-th end that is written.
    pub(super) fn encode(&self, turn: u64) -> [u8; ROW_BYTES] {
        encode_row([self.end.get(), self.chain, turn << 2 | self.state.number()])
    }

    /// The rows, the latest first, each with its turn and its number; what is no end of ours is left out, and so is the
    /// end of an append that was lost: one behind an end that was written later.
    pub(super) fn decode(rows: &[u8]) -> Vec<EndRow> {
        let row = |(row, bytes): (usize, &[u8])| {
            let [end, chain, turn] = decode_row(bytes)?;
            let end = Self { end: Offset::new(end), chain, state: SegmentState::of(turn & 3)? };
            Some(EndRow { end, turn: turn >> 2, row })
        };
        let mut rows: Vec<EndRow> =
            rows.chunks(ROW_BYTES).take(END_ROWS).enumerate().filter_map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.turn));
        let mut lowest = Offset::new(u64::MAX);
        rows.retain(|row| {
            let is_kept = row.end.end <= lowest;
            lowest = lowest.min(row.end.end);
            is_kept
        });
        rows
    }
}

/// A row that states an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndRow {
    pub(super) end: SegmentEnd,
    /// How many were written before it.
    pub(super) turn: u64,
    /// Which row it is.
    pub(super) row: usize,
}

impl Mark {
    pub(super) fn encode(&self) -> [u8; ROW_BYTES] {
        encode_row([self.offset.get(), self.wall.get().cast_unsigned(), self.chain])
    }

    /// `None` for whatever is no mark of ours.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [offset, wall, chain] = decode_row(bytes)?;
        Some(Self { offset: Offset::new(offset), wall: UnixMillis::new(wall.cast_signed()), chain })
    }
}

fn encode_row(numbers: [u64; 3]) -> [u8; ROW_BYTES] {
    let mut row = [0; ROW_BYTES];
    for (place, number) in row.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let sum = row_checksum(&row);
    row[24..].copy_from_slice(&sum.to_le_bytes());
    row
}

fn decode_row(bytes: &[u8]) -> Option<[u64; 3]> {
    let mut fields = Fields(bytes.get(..ROW_BYTES)?);
    let numbers = [fields.number()?, fields.number()?, fields.number()?];
    (fields.number()? == row_checksum(bytes)).then_some(numbers)
}

/// Salted: the checksum of zeros is zero, and a row that was never written must not be one.
fn row_checksum(row: &[u8]) -> u64 {
    checksum(&row[..24]) ^ u64::from_le_bytes(*MAGIC)
}

/// Bytes that are taken apart from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn replid(&mut self) -> Option<ReplicationId> {
        ReplicationId::parse(self.take(REPLID_BYTES)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head() -> SegmentHead {
        let id = |byte| ReplicationId::from_random([byte; 20]);
        SegmentHead {
            stream: StreamName {
                replid: id(1),
                ancestors: vec![(id(2), Offset::new(70)), (id(3), Offset::ZERO)],
            },
            start: Offset::new(1 << 40),
            preamble: 23,
            db: DbIndex::new(5),
            chain: 0x0123_4567_89ab_cdef,
            created: UnixMillis::new(1_700_000_000_123),
            boot: BootId([9; 16]),
            begins_empty: true,
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(SegmentHead::decode(&head().encode()), Some(head()));
        let end = SegmentEnd { end: Offset::new(77), chain: 5, state: SegmentState::Sealed };
        assert_eq!(SegmentEnd::decode(&end.encode(8)), [EndRow { end, turn: 8, row: 0 }]);
        let mark = Mark { offset: Offset::new(77), wall: UnixMillis::new(-3), chain: 5 };
        assert_eq!(Mark::decode(&mark.encode()), Some(mark));
    }

    #[test]
    fn every_flipped_bit_and_every_prefix_is_noticed() {
        let whole = head().encode();
        for bit in 0..(HEAD_CHECKSUM_AT + 8) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHead::decode(&bytes), None, "bit {bit}");
        }
        for len in 0..HEAD_CHECKSUM_AT + 8 {
            assert_eq!(SegmentHead::decode(&whole[..len]), None);
        }
        let end = |end| SegmentEnd { end: Offset::new(end), chain: 5, state: SegmentState::Closed };
        let all = [end(70).encode(4), end(77).encode(6), end(75).encode(5)].concat();
        let row = |offset, turn, row| EndRow { end: end(offset), turn, row };
        let sound = [row(77, 6, 1), row(75, 5, 2), row(70, 4, 0)];
        assert_eq!(SegmentEnd::decode(&all), sound);
        for bit in 0..all.len() * 8 {
            let mut rows = all.clone();
            rows[bit / 8] ^= 1 << (bit % 8);
            let left = sound.iter().filter(|row| row.row != bit / 8 / ROW_BYTES);
            assert!(SegmentEnd::decode(&rows).iter().eq(left), "bit {bit}");
        }
        assert_eq!(SegmentEnd::decode(&[0; END_ROWS * ROW_BYTES]), []);
        assert_eq!(Mark::decode(&[0; ROW_BYTES]), None, "a hole is no mark");
    }

    #[test]
    fn the_end_of_a_lost_append_is_none() {
        let end = |end| SegmentEnd { end: Offset::new(end), chain: 5, state: SegmentState::Open };
        // Byte 78 was lost, the log went on from 70, and has other bytes by now.
        let rows = [end(78).encode(4), end(70).encode(5), end(90).encode(6)].concat();
        let ends: Vec<u64> = SegmentEnd::decode(&rows).iter().map(|row| row.end.end.get()).collect();
        assert_eq!(ends, [90, 70]);
    }

    #[test]
    fn an_end_at_the_very_beginning_is_one() {
        let end = SegmentEnd { end: Offset::ZERO, chain: 0, state: SegmentState::Open };
        assert_eq!(SegmentEnd::decode(&end.encode(0)), [EndRow { end, turn: 0, row: 0 }]);
    }
}
