//! What is kept: the log's hot blocks, the files of log and snapshots, and the RDB codec.
//!
//! It does no I/O of its own: bytes come from and go to `std::io` traits and a [`storage::Storage`] that the caller
//! supplies. The log knows bytes, offsets and borders; only the RDB codec knows the keyspace.
//!
//! Read in this order: [`log`] (blocks, the writer, cursors), [`storage`] (what is asked of a disk), [`segment`] (a file
//! of the log and its side data), [`manifest`] (which files a log consists of), [`files`] (how they are written and found
//! again), [`aof`] (where a log file's commands end), [`rdb`] (encode a snapshot, decode a payload), [`rdb_file`] (a
//! snapshot as a file).

pub mod aof;
pub mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod log;
pub mod manifest;
pub mod rdb;
pub mod rdb_file;
pub mod segment;
pub mod storage;
