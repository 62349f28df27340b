//! The data: databases of keys in a hash-prefix tree that is shared by reference, so that a snapshot is the clone of
//! a root.
//!
//! It knows no commands, no log and no clock: the position in the stream and the time come as arguments.
//!
//! Read in this order: [`hash`] (which bits of a key's hash choose what), [`entry`] (a key and its value in one
//! allocation), `tree` (leaves and inner nodes), [`database`] and [`keyspace`] (what commands use), [`snapshot`],
//! `bulk` (a load), `ordered` (the counted B+tree behind large sorted sets). Unsafe code stands in `entry/raw.rs` and below `tree/` only.
//!
//! Invariants:
//! * an entry that a snapshot can see is never changed, but for its access clock (a relaxed atomic);
//! * a tree's count, bytes, digest and last-modified positions are exact after every call;
//! * a key's place in the order of SCAN and of snapshots depends on its hash alone.

mod access;
mod bulk;
pub mod database;
pub mod entry;
mod expiries;
mod guard;
pub mod hash;
mod hash_mut;
pub mod hashes;
mod int_set;
pub mod keyspace;
mod libraries;
mod limits;
pub mod list;
mod ordered;
mod packed;
mod reaper;
mod set_mut;
pub mod sets;
mod size_class;
pub mod snapshot;
mod sorted;
mod sorted_set_mut;
pub mod sorted_sets;
#[cfg(test)]
mod testing;
mod tree;

pub use access::{AccessClock, AccessKind};
pub use bulk::{Batch, Draft, KeyExists};
pub use database::{Database, Key, ScanCursor};
pub use entry::{Entry, StringForm, Value};
pub use hash::{HashSeed, KeyHash};
pub use hash_mut::HashMut;
pub use hashes::{HashLimits, HashView};
pub use keyspace::{Keyspace, KeyspaceOptions};
pub use libraries::Libraries;
pub use limits::Limits;
pub use list::{ListLimits, ListMut, ListView};
pub use set_mut::SetMut;
pub use sets::{Member, SetForm, SetLimits, SetView};
pub use snapshot::{DatabaseSnapshot, Snapshot};
pub use sorted_set_mut::SortedSetMut;
pub use sorted_sets::{SortedSetLimits, SortedSetView};
