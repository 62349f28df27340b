//! What the caller of the codec chooses: who reads what is written, what is believed of what is read.

use std::sync::atomic::AtomicU64;

use rejoin_keyspace::{AccessKind, Limits};
use rejoin_protocol::{DbIndex, Offset, ReplicationId, UnixMillis};

/// Where the stream stood when a snapshot was taken; what Redis keeps in AUX fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The stream's name.
    pub replid: ReplicationId,
    /// The last byte that the snapshot contains.
    pub offset: Offset,
    /// The database that the stream has selected there.
    pub selected: DbIndex,
}

/// Who will read what is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RdbTarget {
    /// The reader knows PSYNC2: AUX fields may be written, versions from 8 on.
    pub psync2: bool,
}

/// What a file of our own says besides its data. Any Redis passes over what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// When the snapshot was taken (`ctime`, in whole seconds).
    pub created: UnixMillis,
    /// Bytes of memory in use then (`used-mem`).
    pub memory_used: u64,
    /// It is the base of a log (`aof-base`).
    pub is_aof_base: bool,
    /// How recently or how often keys were used goes along (IDLE or FREQ, version 9), as Redis has it when
    /// `maxmemory-policy` is one that asks for it.
    pub usage: Option<AccessKind>,
}

/// How a snapshot is written.
#[derive(Clone, Copy, Debug)]
pub struct EncodeOptions<'a> {
    /// Who will read it.
    pub target: RdbTarget,
    /// The place in the stream that it belongs to; written for readers that know PSYNC2.
    pub position: Option<StreamPosition>,
    /// It goes into a file of ours (`target.psync2` must be set): it says more of itself, among it the seed of the
    /// hash in whose order its keys stand, so that a load can take up both.
    pub file: Option<LocalFile>,
    /// A node of our kind may be among the readers (`target.psync2` must be set): the seed of the hash in whose order the
    /// keys stand goes along, as in a file of ours.
    pub states_seed: bool,
    /// No keys are written: the reader wants only what else there is.
    pub omits_keys: bool,
    /// Strings of more than 20 bytes are compressed where that makes them shorter (`rdbcompression`).
    pub compresses: bool,
    /// A checksum of zeros, which means that there is none (`rdbchecksum no`).
    pub omits_checksum: bool,
    /// Set, from time to time, to the number of keys written so far.
    pub progress: Option<&'a AtomicU64>,
}

impl EncodeOptions<'_> {
    /// For a reader over a link: nothing but the data and its position.
    #[must_use]
    pub const fn for_target(target: RdbTarget, position: Option<StreamPosition>) -> Self {
        Self {
            target,
            position,
            file: None,
            states_seed: false,
            omits_keys: false,
            compresses: false,
            omits_checksum: false,
            progress: None,
        }
    }

    /// For a file of our own.
    #[must_use]
    pub const fn for_file(file: LocalFile, position: Option<StreamPosition>) -> Self {
        let target = RdbTarget { psync2: true };
        Self { file: Some(file), states_seed: true, ..Self::for_target(target, position) }
    }
}

/// How a payload is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecodeOptions<'a> {
    /// Which form collections take.
    pub limits: Limits,
    /// Values of types that we do not have (streams, modules, hashes with fields that expire), functions and data of modules are passed over, and counted
    /// in [`super::RdbSummary::skipped`], instead of being refused (`rdb-skip-unsupported`).
    pub skips_unsupported: bool,
    /// Functions are kept in the keyspace's libraries, unread, instead of being refused; [`super::RdbSummary::functions`] has
    /// them too.
    pub keeps_functions: bool,
    /// The payload is a file of ours, or comes from the master that we follow: the seed of the hash that it states becomes
    /// the keyspace's, if that is empty, and the keys arrive in the order in which it keeps them. Never to be set for
    /// what anyone else sends: who chooses the seed can choose keys that all fall into one leaf.
    pub adopts_seed: bool,
    /// Set, from time to time, to the number of keys read so far.
    pub progress: Option<&'a AtomicU64>,
}

impl DecodeOptions<'_> {
    /// For what arrives over a link from a master.
    #[must_use]
    pub fn for_link(limits: Limits) -> Self {
        Self { limits, keeps_functions: true, adopts_seed: true, ..Self::default() }
    }

    /// For a file on our own disk.
    #[must_use]
    pub fn for_file(limits: Limits) -> Self {
        Self { limits, adopts_seed: true, keeps_functions: true, ..Self::default() }
    }
}
