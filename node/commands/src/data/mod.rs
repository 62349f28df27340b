//! Commands on data: strings, keys of any type, hashes, sets, sorted sets, lists.
//!
//! A handler parses its arguments, looks a key up at most as often as it must ([`access`] joins the checks of expiry
//! and type with the lookup), replies, and states what it changed. What it logs is said at the handler wherever that
//! differs from the command as it came: expiries are logged as absolute times, results of float arithmetic as values,
//! so that replicas need neither our clock nor our floats.
//!
//! Each file lists its rows as `COMMANDS`; the command table gathers [`GROUPS`].

mod access;
pub(crate) mod arguments;
mod bitfields;
mod bitmaps;
mod counters;
mod databases;
pub mod digest;
mod dump;
mod existence;
mod expiry;
pub mod glob;
mod hash_counters;
mod hash_random;
mod hashes;
mod lcs;
mod list_blocking;
mod list_edits;
mod list_moves;
mod lists;
mod moving;
mod object;
mod random;
mod scan;
mod set;
mod set_algebra;
mod set_random;
mod sets;
mod sort;
mod sorted_sets;
mod strings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]
mod tests;

use crate::Command;
pub(crate) use object::{encoding_name, reference_count};

/// The rows of all commands on data, file by file.
pub const GROUPS: &[&[Command]] = &[
    set::COMMANDS,
    strings::COMMANDS,
    counters::COMMANDS,
    lcs::COMMANDS,
    existence::COMMANDS,
    expiry::COMMANDS,
    moving::COMMANDS,
    databases::COMMANDS,
    scan::COMMANDS,
    object::COMMANDS,
    hashes::COMMANDS,
    hash_counters::COMMANDS,
    hash_random::COMMANDS,
    sets::COMMANDS,
    set_algebra::COMMANDS,
    set_random::COMMANDS,
    sorted_sets::score::COMMANDS,
    sorted_sets::range::COMMANDS,
    sorted_sets::remove::COMMANDS,
    sorted_sets::pop::COMMANDS,
    sorted_sets::algebra::COMMANDS,
    sorted_sets::random::COMMANDS,
    lists::COMMANDS,
    list_edits::COMMANDS,
    list_moves::COMMANDS,
    list_blocking::COMMANDS,
    bitmaps::COMMANDS,
    bitfields::COMMANDS,
    dump::COMMANDS,
    sort::COMMANDS,
];
