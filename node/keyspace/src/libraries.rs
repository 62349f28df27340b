//! Libraries of functions, by name: code that this node keeps and passes on, and cannot run.

use std::collections::BTreeMap;

/// Libraries by name, each with its code. They belong to the data: a snapshot has them, and other data brings others.
pub type Libraries = BTreeMap<Box<[u8]>, Box<[u8]>>;
