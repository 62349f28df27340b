//! The index of a database's expiries: ordered records of twelve bytes in chunks, apart from the tree and from
//! snapshots.
//!
//! A record says when and, by parts of the hash, where: the key itself stands only in its entry. It may point to
//! several entries (equal expiry, path and tag): then it counts as many times. Chunks that only grow at their end stay
//! full, and one that is split in its middle fits its allocation to its contents, so that a record costs at most
//! 24 bytes in any order of inserts.

use std::collections::BTreeMap;
use std::ops::Bound;

use rejoin_protocol::UnixMillis;

use crate::KeyHash;
use crate::size_class::size_class;

/// Records of a full chunk: with twelve bytes each just a size class of the allocator.
const CHUNK_RECORDS: usize = 128;

/// A chunk with fewer records than this is put together with its neighbour.
const CHUNK_RECORDS_MIN: usize = 32;

/// The sum of records below which neighbours are put together.
const MERGED_RECORDS_MAX: usize = 96;

/// Expiries are kept as 48 bits; what is outside is taken for the nearest inside.
const MILLIS_MAX: i64 = (1 << 48) - 1;

/// Bytes that a chunk costs in the map, besides its records: key and vector in nodes that are about two thirds full.
const CHUNK_OVERHEAD_BYTES: usize = (size_of::<Record>() + size_of::<Chunk>()) * 3 / 2;

/// When a key expires, and the upper 32 bits of its path and its tag to find it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Record {
    /// The expiry's upper 32 bits of 48.
    upper: u32,
    /// The expiry's lower 16 bits, then the upper half of the path.
    middle: u32,
    /// The lower half of the path, then the tag.
    lower: u32,
}

impl Record {
    /// Not higher than any other.
    const MIN: Self = Self { upper: 0, middle: 0, lower: 0 };

    pub(crate) fn new(expiry: UnixMillis, hash: KeyHash) -> Self {
        let millis = clamp(expiry);
        let path = (hash.0 >> 32) as u32;
        Self {
            upper: (millis >> 16) as u32,
            middle: (millis as u32) << 16 | path >> 16,
            lower: path << 16 | u32::from(hash.tag()),
        }
    }

    /// The expiry, held to 48 bits.
    pub(crate) fn millis(self) -> u64 {
        u64::from(self.upper) << 16 | u64::from(self.middle >> 16)
    }

    /// The upper 32 bits of the path.
    pub(crate) fn path(self) -> u32 {
        self.middle << 16 | self.lower >> 16
    }

    /// The tag.
    pub(crate) fn tag(self) -> u16 {
        self.lower as u16
    }
}

/// An expiry held to what a record can say.
pub(crate) fn clamp(expiry: UnixMillis) -> u64 {
    expiry.get().clamp(0, MILLIS_MAX) as u64
}

/// A run of records.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<Record>,
    /// Where its key stands in [`Expiries::places`].
    place: u32,
}

/// All records of a database.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    /// Sorted records, each chunk under a key that is not higher than any of them and higher than all before. The
    /// first chunk is that of [`Record::MIN`] and stays, the others are never empty.
    chunks: BTreeMap<Record, Chunk>,
    /// The keys of all chunks in no order, for choosing one at random.
    places: Vec<Record>,
    /// Records that are there more than once, and how many times more.
    repeated: BTreeMap<Record, usize>,
    /// Records, each as many times as it counts.
    len: usize,
    /// Bytes of the chunks' allocations.
    chunk_bytes: usize,
    /// The sum of all expiries, for their mean.
    sum_millis: u128,
}

impl Expiries {
    /// How many records.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the index.
    pub(crate) fn bytes_used(&self) -> usize {
        let places = self.places.capacity() * size_of::<Record>();
        self.chunk_bytes + places + (self.chunks.len() + self.repeated.len()) * CHUNK_OVERHEAD_BYTES
    }

    /// The mean expiry.
    pub(crate) fn mean_millis(&self) -> Option<u64> {
        self.sum_millis.checked_div(self.len as u128).map(|mean| mean as u64)
    }

    /// How many records are due at `millis` or before. Costs a step for each chunk of them.
    pub(crate) fn due_len(&self, millis: u64) -> usize {
        let mut due = 0;
        for chunk in self.chunks.values() {
            match chunk.records.partition_point(|record| record.millis() <= millis) {
                all if all == chunk.records.len() => due += all,
                some => {
                    due += some;
                    break;
                }
            }
        }
        due + self
            .repeated
            .iter()
            .take_while(|(record, _)| record.millis() <= millis)
            .map(|(_, n)| n)
            .sum::<usize>()
    }

    /// All records, the earliest first, each once.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record> {
        self.chunks.values().flat_map(|chunk| &chunk.records).copied()
    }

    /// Changes a key's expiry.
    pub(crate) fn change(&mut self, hash: KeyHash, from: Option<UnixMillis>, to: Option<UnixMillis>) {
        if from != to {
            if let Some(expiry) = from {
                self.remove(Record::new(expiry, hash));
            }
            if let Some(expiry) = to {
                self.insert(Record::new(expiry, hash));
            }
        }
    }

    /// A record, each with equal chance.
    pub(crate) fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Record> {
        if self.len == 0 {
            return None;
        }
        // A chunk is refused the more often the fewer records it has, so that all records are equal; a third of the
        // room at least is in use, so this ends soon.
        loop {
            let place = random() % self.places.len() as u64;
            let chunk = self.chunks.get(&self.places[place as usize])?;
            let at = random() % CHUNK_RECORDS as u64;
            if let Some(record) = chunk.records.get(at as usize) {
                return Some(*record);
            }
        }
    }

    fn add_chunk(&mut self, key: Record, records: Vec<Record>) {
        let place = self.places.len() as u32;
        self.places.push(key);
        self.chunks.insert(key, Chunk { records, place });
    }

    fn remove_chunk(&mut self, key: Record) -> Option<Vec<Record>> {
        let chunk = self.chunks.remove(&key)?;
        self.places.swap_remove(chunk.place as usize);
        if let Some(moved) = self.places.get(chunk.place as usize)
            && let Some(moved) = self.chunks.get_mut(moved)
        {
            moved.place = chunk.place;
        }
        Some(chunk.records)
    }

    fn insert(&mut self, record: Record) {
        self.len += 1;
        self.sum_millis += u128::from(record.millis());
        if self.chunks.is_empty() {
            self.add_chunk(Record::MIN, Vec::new());
        }
        if !self.insert_into_chunk(record) && !self.insert_into_chunk(record) {
            unreachable!("a chunk that was split has room");
        }
    }

    /// Inserts a record where it belongs, unless the chunk has to be split there: then it splits it instead.
    fn insert_into_chunk(&mut self, record: Record) -> bool {
        let Some((_, Chunk { records: chunk, .. })) = self.chunks.range_mut(..=record).next_back() else {
            unreachable!("the first chunk's key is not higher than any record");
        };
        let Err(at) = chunk.binary_search(&record) else {
            *self.repeated.entry(record).or_default() += 1;
            return true;
        };
        if chunk.len() < CHUNK_RECORDS {
            self.chunk_bytes -= bytes_of(chunk);
            if chunk.len() == chunk.capacity() {
                chunk.reserve_exact(capacity_for(chunk.len() + 1) - chunk.len());
            }
            chunk.insert(at, record);
            self.chunk_bytes += bytes_of(chunk);
            return true;
        }
        // Expiries mostly come in rising runs: a run that has filled its chunk goes on in a new one.
        let upper = if at == CHUNK_RECORDS { vec![record] } else { chunk[CHUNK_RECORDS / 2..].to_vec() };
        if at < CHUNK_RECORDS {
            self.chunk_bytes -= bytes_of(chunk);
            chunk.truncate(CHUNK_RECORDS / 2);
            chunk.shrink_to(capacity_for(CHUNK_RECORDS / 2));
            self.chunk_bytes += bytes_of(chunk);
        }
        self.chunk_bytes += bytes_of(&upper);
        self.add_chunk(upper[0], upper);
        at == CHUNK_RECORDS
    }

    fn remove(&mut self, record: Record) {
        self.len -= 1;
        self.sum_millis -= u128::from(record.millis());
        if let Some(times) = self.repeated.get_mut(&record) {
            *times -= 1;
            if *times == 0 {
                self.repeated.remove(&record);
            }
            return;
        }
        let Some((&key, Chunk { records: chunk, .. })) = self.chunks.range_mut(..=record).next_back() else {
            unreachable!("a record that is removed was inserted");
        };
        #[expect(clippy::expect_used, reason = "the database removes only what it inserted")]
        let at = chunk.binary_search(&record).expect("a record that is removed was inserted");
        self.chunk_bytes -= bytes_of(chunk);
        chunk.remove(at);
        if chunk.len() < chunk.capacity() / 2 {
            chunk.shrink_to(capacity_for(chunk.len()));
        }
        self.chunk_bytes += bytes_of(chunk);
        if chunk.len() < CHUNK_RECORDS_MIN {
            self.join_small(key);
        }
    }

    /// Drops a chunk that is empty, or takes the next one into it if both are small.
    fn join_small(&mut self, key: Record) {
        let chunk = &self.chunks[&key].records;
        let len = chunk.len();
        if len == 0 && key != Record::MIN {
            self.chunk_bytes -= bytes_of(chunk);
            self.remove_chunk(key);
            return;
        }
        let next = self.chunks.range((Bound::Excluded(key), Bound::Unbounded)).next();
        let Some((&next_key, next)) = next else { return };
        if len + next.records.len() > MERGED_RECORDS_MAX {
            return;
        }
        let Some(next) = self.remove_chunk(next_key) else { return };
        let Some(Chunk { records: chunk, .. }) = self.chunks.get_mut(&key) else { return };
        self.chunk_bytes -= bytes_of(chunk) + bytes_of(&next);
        chunk.reserve_exact(capacity_for(len + next.len()) - len);
        chunk.extend_from_slice(&next);
        self.chunk_bytes += bytes_of(chunk);
    }
}

/// Bytes of a chunk's allocation.
fn bytes_of(chunk: &Vec<Record>) -> usize {
    if chunk.capacity() == 0 { 0 } else { size_class(chunk.capacity() * size_of::<Record>()) }
}

/// How many records the allocation holds that is made for `records`.
fn capacity_for(records: usize) -> usize {
    size_class(records * size_of::<Record>()) / size_of::<Record>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests;
