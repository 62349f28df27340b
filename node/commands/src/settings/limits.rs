//! The thresholds of small collections as the keyspace takes them.

use rejoin_keyspace::{HashLimits, Limits, ListLimits, SetLimits, SortedSetLimits};

use super::Settings;

impl Settings {
    /// When hashes stop being packed.
    #[inline]
    pub(crate) fn hash_limits(&self) -> HashLimits {
        HashLimits {
            entries_max: self.hash_listpack_entries_max,
            value_bytes_max: self.hash_listpack_value_max,
        }
    }

    /// When sets change their form.
    #[inline]
    pub(crate) fn set_limits(&self) -> SetLimits {
        SetLimits {
            integers_max: self.set_intset_entries_max,
            packed: HashLimits {
                entries_max: self.set_listpack_entries_max,
                value_bytes_max: self.set_listpack_value_max,
            },
        }
    }

    /// When sorted sets stop being packed.
    #[inline]
    pub(crate) fn sorted_set_limits(&self) -> SortedSetLimits {
        SortedSetLimits {
            entries_max: self.zset_listpack_entries_max,
            value_bytes_max: self.zset_listpack_value_max,
        }
    }

    /// When lists stop being packed.
    #[inline]
    pub(crate) fn list_limits(&self) -> ListLimits {
        ListLimits { fill: self.list_listpack_size }
    }

    /// All of them, for a load.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            hash: self.hash_limits(),
            set: self.set_limits(),
            sorted_set: self.sorted_set_limits(),
            list: self.list_limits(),
        }
    }
}
