//! What nodes and clients say to each other, as pure code: identifiers, RESP, the PSYNC grammar.
//!
//! It does no I/O, reads no clock and knows neither data nor log. Everything that a peer wrote is parsed here,
//! with a limit on every length; nothing in this crate panics on any input, and nothing is allocated because a peer
//! announced it: only because it arrived.
//!
//! Read in this order: [`ids`] (the types that every other crate speaks in), [`resp`] (requests in, replies out),
//! [`psync`] (what masters and replicas say on a TCP link), [`number`] (numbers as Redis reads and writes them).

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod number;
pub mod psync;
pub mod resp;

pub use ids::{
    ByteCount, ClientId, DbIndex, Epoch, LinkId, NextOffset, Offset, ReplicaId, ReplicationId, SnapshotId,
    UnixMillis,
};
