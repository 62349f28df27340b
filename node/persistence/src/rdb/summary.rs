//! What a decoded payload said of itself, and what was in it.

use std::collections::BTreeMap;

use rejoin_keyspace::HashSeed;

use super::StreamPosition;

/// AUX fields that are remembered at most; the others are read and forgotten.
pub(super) const AUX_FIELDS_MAX: usize = 64;

/// Bytes of name and value of an AUX field that is remembered, at most.
pub(super) const AUX_BYTES_MAX: usize = 1024;

/// What a decoded payload said of itself, and what was in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RdbSummary {
    /// Its version.
    pub version: u32,
    /// Whether its magic is Valkey's own.
    pub is_valkey: bool,
    /// Its place in a stream, when it states one.
    pub position: Option<StreamPosition>,
    /// The seed of the hash in whose order its keys stand, when it states one: it is a file of ours.
    pub seed: Option<HashSeed>,
    /// The first AUX fields in their order, numbers in decimal; those too long to be any that we know are left out.
    pub aux: Vec<(Vec<u8>, Vec<u8>)>,
    /// Keys read.
    pub keys: u64,
    /// Those of them that have an expiry.
    pub expires: u64,
    /// How many keys of each type, by the word that TYPE says; those passed over count too.
    pub types: BTreeMap<&'static str, u64>,
    /// Bytes read, trailer included.
    pub bytes: u64,
    /// FUNCTION2 payloads, opaque.
    pub functions: Vec<Vec<u8>>,
    /// What was passed over.
    pub skipped: Skipped,
}

impl RdbSummary {
    /// The value of an AUX field.
    #[must_use]
    pub fn aux(&self, name: &str) -> Option<&[u8]> {
        let field = self.aux.iter().find(|(own, _)| own == name.as_bytes());
        field.map(|(_, value)| value.as_slice())
    }
}

/// What a load passed over because we do not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Keys with values of types that we do not have.
    pub keys: u64,
    /// Libraries of functions.
    pub functions: u64,
    /// Other things: data of modules, metadata of keys, slot migrations.
    pub extras: u64,
    /// The first of all these: the byte where it begins, and what it is.
    pub first: Option<(u64, String)>,
}

impl Skipped {
    /// How many things in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.keys + self.functions + self.extras
    }
}
