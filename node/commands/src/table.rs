//! The static table of all commands, and the lookup by name.
//!
//! SKELETON.

use crate::Command;

/// The row of the command called `name`, in any case.
#[must_use]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let _ = name;
    todo!()
}
