//! A consistent, immutable, `Send` image of the keyspace.
//!
//! SKELETON: signatures are fixed, bodies come.

use rejoin_protocol::DbIndex;

use crate::{Entry, HashSeed};

/// An image of all databases at one moment; other threads encode and digest it.
#[derive(Debug)]
pub struct Snapshot {}

impl Snapshot {
    /// The key of the hash under which the trees stand.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        todo!()
    }

    /// Takes the databases that have keys, by index, to be walked and dropped one after the other.
    #[must_use]
    pub fn into_databases(self) -> Vec<(DbIndex, DatabaseSnapshot)> {
        todo!()
    }

    /// Keys in all databases.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image of one database.
#[derive(Debug)]
pub struct DatabaseSnapshot {}

impl DatabaseSnapshot {
    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys with an expiry.
    #[must_use]
    pub fn volatile_len(&self) -> usize {
        todo!()
    }

    /// Visits every entry in hash order and drops each leaf behind it, so that memory held only by this image is
    /// given back as it goes. Stops at the first error of `visit`.
    pub fn drain<E>(self, visit: &mut dyn FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        let _ = visit;
        todo!()
    }

    /// Visits every entry in hash order, keeping the image.
    pub fn for_each(&self, visit: &mut dyn FnMut(&Entry)) {
        let _ = visit;
        todo!()
    }
}
