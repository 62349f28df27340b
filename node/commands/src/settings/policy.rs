//! What goes when memory is short: `maxmemory-policy` and `maxmemory-clients` as types.

use rejoin_keyspace::AccessKind;

use super::value::parse_memory;

/// `maxmemory-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryPolicy {
    /// Nothing goes: what may take memory is refused.
    #[default]
    NoEviction,
    /// Keys that were not used for long.
    AllKeysLru,
    /// The same, of those with an expiry.
    VolatileLru,
    /// Keys that are rarely used.
    AllKeysLfu,
    /// The same, of those with an expiry.
    VolatileLfu,
    /// Any key.
    AllKeysRandom,
    /// Any key with an expiry.
    VolatileRandom,
    /// The key that expires first.
    VolatileTtl,
}

impl MemoryPolicy {
    const NAMES: &[(&'static str, Self)] = &[
        ("noeviction", Self::NoEviction),
        ("allkeys-lru", Self::AllKeysLru),
        ("volatile-lru", Self::VolatileLru),
        ("allkeys-lfu", Self::AllKeysLfu),
        ("volatile-lfu", Self::VolatileLfu),
        ("allkeys-random", Self::AllKeysRandom),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
    ];

    /// As redis.conf names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, policy)| *policy == self).map_or("noeviction", |(name, _)| name)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(other, _)| *other == name).map(|(_, policy)| *policy)
    }

    /// Whether uses of keys are counted, rather than when they were last used.
    #[inline]
    #[must_use]
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu)
    }

    /// What is worth saving of how keys are used; nothing where the policy does not look at it.
    #[must_use]
    pub fn clock(self, log_factor: u32, decay_minutes: u32) -> Option<AccessKind> {
        match self {
            Self::AllKeysLfu | Self::VolatileLfu => Some(AccessKind::Frequency { log_factor, decay_minutes }),
            Self::AllKeysLru | Self::VolatileLru => Some(AccessKind::Recency),
            _ => None,
        }
    }

    /// Whether only keys with an expiry may go.
    #[must_use]
    pub fn is_volatile(self) -> bool {
        matches!(self, Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl)
    }
}

/// `maxmemory-clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientsMemory {
    /// So many bytes; 0 is no limit.
    Bytes(u64),
    /// So many hundredths of `maxmemory`.
    Percent(u64),
}

/// Below this nobody could be served, nor take the setting back: a lower limit means this one, as in Redis.
const CLIENTS_MEMORY_MIN: u64 = 128 << 10;

impl ClientsMemory {
    /// The limit in bytes; `None` for none.
    #[must_use]
    pub fn limit(self, maxmemory: u64) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (u128::from(maxmemory) * u128::from(percent) / 100) as u64,
        };
        (bytes > 0).then_some(bytes.max(CLIENTS_MEMORY_MIN))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => parse_memory(text).map(Self::Bytes),
        }
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Bytes(bytes) => bytes.to_string(),
            Self::Percent(percent) => format!("{percent}%"),
        }
    }
}
