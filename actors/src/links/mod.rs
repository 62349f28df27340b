//! The links thread: moves bytes between this node and other nodes, so that neither the shard nor the control plane
//! does.
//!
//! [`session`] feeds one replica from a snapshot and the log; [`upstream`] opens the link to our master, speaks until
//! the stream begins, and hands it to the shard; [`ticker`] notices that the log has grown, [`acks`] passes on
//! what replicas acknowledge.

pub mod acks;
pub(crate) mod file_payload;
pub(crate) mod loader;
pub(crate) mod log_reader;
pub mod run;
pub(crate) mod session;
pub mod ticker;
pub mod traffic;
pub(crate) mod upstream;
