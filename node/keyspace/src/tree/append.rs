//! Putting many new entries into a tree at once.
//!
//! Entries that come in the order of their hashes fill one leaf after the other: a leaf is looked up once, gets its
//! final size at once, and everything happens in the caches. The order is for speed alone: entries in any other order end up in the
//! same places, and each is compared with what is there.
#![allow(unsafe_code)]

use super::leaf::{self, SPLIT_CAPACITY, SPLIT_COUNT};
use super::{BATCH, DEPTH_MAX, Path, Tree, WriteContext, touch};
use crate::hash::NIBBLE_BITS;
use crate::{Batch, Entry, KeyExists, KeyHash};

impl Tree {
    /// Puts the entries of a batch. Ends at the first whose key is there already: those before it are in the tree then,
    /// and those behind it are dropped.
    pub(crate) fn append(&mut self, context: &mut WriteContext, batch: &mut Batch) -> Result<(), KeyExists> {
        let mut entries = batch.entries.drain(..);
        let mut begin = 0;
        // In order the places are in the caches as it is; otherwise their misses are made to overlap.
        let step = if batch.is_in_order { batch.hashes.len().max(1) } else { BATCH };
        for hashes in batch.hashes.chunks(step) {
            if !batch.is_in_order {
                touch(hashes.iter().map(|&hash| (&*self, hash)));
            }
            let mut at = 0;
            while let Some(&first) = hashes.get(at) {
                // SAFETY: the path is ours alone, and stays so while it is led further down.
                at += unsafe {
                    let mut path = self.path_for_write(context, first);
                    let run = self.make_room_for_run(&mut path, &hashes[at..]);
                    self.fill(&mut path, &hashes[at..at + run], &mut entries, context.stamp).map_err(
                        |KeyExists { place, entry }| KeyExists { place: begin + at + place, entry },
                    )?;
                    run
                };
            }
            begin += hashes.len();
        }
        Ok(())
    }

    /// Leads the path of the first hash down to a leaf with room for it and for all that follow it there; returns how
    /// many these are.
    ///
    /// # Safety
    /// The path is the first hash's and ours alone.
    unsafe fn make_room_for_run(&mut self, path: &mut Path, hashes: &[KeyHash]) -> usize {
        let first = hashes[0];
        let mut run = hashes.len();
        // SAFETY: as the caller says; each step leaves a path of the same kind.
        unsafe {
            loop {
                run = hashes[..run].iter().take_while(|hash| first.shares_path(**hash, path.depth)).count();
                let leaf = (*path.leaf_at).leaf();
                let count = leaf.header().count as usize + run;
                if count <= leaf::count_max(leaf.capacity()) {
                    return run;
                }
                if count <= SPLIT_COUNT || path.depth == DEPTH_MAX {
                    self.resize(path.leaf_at, leaf::lines_for_count(count));
                    return run;
                }
                if leaf.capacity() < SPLIT_CAPACITY {
                    self.resize(path.leaf_at, leaf::lines_for_count(SPLIT_COUNT));
                }
                let inner = self.split(path.leaf_at, path.depth);
                path.push(inner, first.nibble(path.depth));
            }
        }
    }

    /// Puts the next entries into the leaf of a path, up to one whose key is there already.
    ///
    /// # Safety
    /// The path is ours alone and that of all the hashes, which are the entries'; its leaf has room.
    unsafe fn fill(
        &mut self,
        path: &mut Path,
        hashes: &[KeyHash],
        entries: &mut impl Iterator<Item = Entry>,
        stamp: u64,
    ) -> Result<(), KeyExists> {
        // SAFETY: as the caller says.
        let leaf = unsafe { (*path.leaf_at).leaf() };
        let (mut bytes, mut digest, mut placed) = (0, 0_u64, 0);
        let mut outcome = Ok(());
        for (hash, mut entry) in hashes.iter().zip(entries) {
            // SAFETY: as above.
            unsafe {
                if leaf.find(hash.tag(), |other| other.key() == entry.key()).is_some() {
                    outcome = Err(KeyExists { place: placed, entry });
                    break;
                }
                entry.set_tag(hash.tag());
                bytes += entry.bytes_used();
                digest = digest.wrapping_add(hash.digest());
                leaf.place(entry);
            }
            placed += 1;
        }
        // SAFETY: as above.
        let header = unsafe { leaf.header_mut() };
        header.count += placed as u32;
        header.digest = header.digest.wrapping_add(digest);
        header.modified = header.modified.max(stamp);
        self.len += placed;
        self.bytes += bytes;
        for (depth, inner) in path.inners[..path.depth].iter().enumerate() {
            // SAFETY: as above.
            unsafe { (**inner).count_added_many(hashes[0].nibble(depth), placed as u32) }
        }
        outcome
    }
}

impl KeyHash {
    /// Whether both paths are the same down to a node at `depth`.
    fn shares_path(self, other: Self, depth: usize) -> bool {
        let bits = NIBBLE_BITS * depth as u32;
        (self.0 ^ other.0).checked_shr(u64::BITS - bits).unwrap_or(0) == 0
    }
}
