//! What is kept: the log's hot blocks and the RDB codec. Segments and the manifest join them here.
//!
//! It does no I/O of its own: bytes come from and go to `std::io` traits that the caller supplies. The log knows
//! bytes, offsets and borders; only the RDB codec knows the keyspace.
//!
//! Read in this order: [`log`] (blocks, the writer, cursors), [`rdb`] (encode a snapshot, decode a payload).

pub mod log;
pub mod rdb;
