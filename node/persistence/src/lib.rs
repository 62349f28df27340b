//! What is kept: the log's hot blocks, the files of log and snapshots, and the RDB codec.
//!
//! It does no I/O of its own: bytes come from and go to `std::io` traits and a [`storage::Storage`] that the caller
//! supplies. The log knows bytes, offsets and borders; only the RDB codec knows the keyspace.
//!
//! Read in this order: [`log`] (blocks, the writer, cursors), [`storage`] (what is asked of a disk), [`manifest`] (which
//! files a log consists of), [`rdb`] (encode a snapshot, decode a payload).

pub mod files;
pub mod log;
pub mod manifest;
pub mod rdb;
pub mod segment;
pub mod storage;
