//! The data: databases of keys in a hash-prefix tree that is shared by reference, so that a snapshot is the clone of
//! a root.
//!
//! It knows no commands, no log and no clock: the position in the stream and the time come as arguments.
//!
//! Read in this order: [`hash`] (which bits of a key's hash choose what), [`entry`] (a key and its value in one
//! allocation), `tree` (leaves and inner nodes), [`database`] and [`keyspace`] (what commands use), [`snapshot`].
//! Unsafe code stands in `entry/raw.rs` and below `tree/` only.
//!
//! Invariants:
//! * an entry that a snapshot can see is never changed, but for its access clock (a relaxed atomic);
//! * a tree's count, bytes, digest and last-modified positions are exact after every call;
//! * a key's place in the order of SCAN and of snapshots depends on its hash alone.

pub mod database;
pub mod entry;
mod expiries;
pub mod hash;
mod hash_mut;
pub mod hashes;
pub mod keyspace;
pub mod list;
mod packed;
mod reaper;
mod size_class;
pub mod snapshot;
#[cfg(test)]
mod testing;
mod tree;

pub use database::{Database, Key, ScanCursor};
pub use entry::{Entry, StringForm, Value};
pub use hash::{HashSeed, KeyHash};
pub use hash_mut::HashMut;
pub use hashes::{HashLimits, HashView};
pub use keyspace::{Keyspace, KeyspaceOptions};
pub use list::{ListLimits, ListMut, ListView};
pub use snapshot::{DatabaseSnapshot, Snapshot};
