//! Choosing by chance: HRANDFIELD, SPOP, SRANDMEMBER, ZRANDMEMBER.

use hashbrown::HashSet;

use crate::Call;

/// Elements answered with repetition at most; past it a reply could not be held in memory anyway.
pub(super) const REPEATED_MAX: u64 = 1 << 27;
/// Where fewer than one in so many is wanted, drawing until enough are distinct is cheaper than shuffling all.
pub(super) const DRAW_BELOW_ONE_IN: usize = 3;

/// A generator for one command, seeded from the engine's: the keyspace is borrowed while it is drawn from.
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(call: &mut Call<'_>) -> Self {
        Self(call.engine.random() | 1)
    }

    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, which is not 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

/// Chooses `count` of `len` things, each at most once, and hands their indexes to `take` in the order of the draw. `count`
/// is at most `len`.
pub(super) fn choose_distinct(draw: &mut Draw, count: usize, len: usize, mut take: impl FnMut(usize)) {
    if count < len / DRAW_BELOW_ONE_IN {
        let mut drawn = HashSet::with_capacity(count);
        while drawn.len() < count {
            let index = draw.below(len);
            if drawn.insert(index) {
                take(index);
            }
        }
        return;
    }
    let mut all: Vec<usize> = (0..len).collect();
    for place in 0..count {
        all.swap(place, place + draw.below(len - place));
        take(all[place]);
    }
}
