//! What the parts of a node tell each other: one file per receiver. Plain data; wrappers of the pure crates' types.

pub mod aof_sender;
pub mod buffer_manager;
pub mod links;
pub mod master;
pub mod replica;
pub mod shard;
pub mod snapshotter;
