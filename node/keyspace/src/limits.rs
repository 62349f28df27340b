//! When small collections change their form: all of Redis' thresholds as one value, so that whoever makes collections
//! (commands, a load) is handed the configured ones together.

use crate::{HashLimits, ListLimits, SetLimits, SortedSetLimits};

/// All thresholds; the default is Redis' own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of hashes.
    pub hash: HashLimits,
    /// Of sets.
    pub set: SetLimits,
    /// Of sorted sets.
    pub sorted_set: SortedSetLimits,
    /// Of lists.
    pub list: ListLimits,
}
