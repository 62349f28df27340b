//! Looking an RDB over without keeping it, as redis-check-rdb does: each key is decoded as a load would decode it, and
//! dropped.

use std::io::Read;

use rejoin_protocol::UnixMillis;

use super::{RdbError, RdbSummary, decode};

/// What the look-over comes across, in the order of the payload. `read` is how many bytes were read before: where the
/// next item begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckEvent<'a> {
    /// The magic was read.
    Header {
        /// Bytes read.
        read: u64,
        /// The version under the magic.
        version: u32,
        /// The magic is Valkey's own.
        is_valkey: bool,
    },
    /// An AUX field.
    Aux {
        /// Bytes read.
        read: u64,
        /// Its name.
        name: &'a [u8],
        /// Its value, a number in decimal.
        value: &'a [u8],
    },
    /// The keys that follow belong to another database.
    Database {
        /// Bytes read.
        read: u64,
        /// Its number.
        index: u64,
    },
    /// Something that is no key and that a load may refuse: a function, data of a module.
    Extra {
        /// Bytes read.
        read: u64,
        /// What it is.
        what: &'a str,
    },
    /// A key; its value is yet to be read. After an error it is the key that was being read, unless
    /// [`CheckEvent::Value`] came since.
    Key {
        /// Bytes read.
        read: u64,
        /// The key.
        key: &'a [u8],
        /// The number of its type.
        type_number: u8,
        /// The type's name.
        type_name: &'static str,
        /// When it expires.
        expiry: Option<UnixMillis>,
    },
    /// The value of that key was read.
    Value {
        /// Bytes read.
        read: u64,
        /// Whether we have the type; otherwise the value was only passed over.
        is_supported: bool,
    },
    /// The end was reached, and the checksum is right or there is none.
    End {
        /// Bytes read.
        read: u64,
        /// Whether there was a checksum to compare.
        has_checksum: bool,
    },
}

/// Reads an RDB to its end and tells `observer` what is in it. What we do not have is passed over and counted; a database
/// may have any number; a key that is there twice is not noticed.
///
/// # Errors
/// The first thing that is wrong, as [`super::decode`] would say it.
pub fn check(input: &mut dyn Read, observer: &mut dyn FnMut(CheckEvent<'_>)) -> Result<RdbSummary, RdbError> {
    decode::check(input, observer)
}
