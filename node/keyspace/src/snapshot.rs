//! A consistent, immutable, `Send` image of the keyspace.
//!
//! It holds references to the roots of the trees; what the keyspace writes meanwhile it writes to copies. It knows
//! nothing of the keyspace, nor the keyspace of it, but that it is alive.

use std::sync::Arc;

use rejoin_protocol::DbIndex;

use crate::libraries::Libraries;
use crate::tree::{self, Tree};
use crate::{Entry, HashSeed};

/// What a snapshot and its parts hold to show that they live.
#[derive(Debug)]
pub(crate) struct Alive;

/// An image of all databases at one moment; other threads encode and digest it.
#[derive(Debug)]
pub struct Snapshot {
    seed: HashSeed,
    databases: Vec<(DbIndex, DatabaseSnapshot)>,
    libraries: Arc<Libraries>,
}

impl Snapshot {
    pub(crate) fn new(
        seed: HashSeed,
        trees: Vec<(DbIndex, Tree, usize)>,
        libraries: Arc<Libraries>,
        alive: &Arc<Alive>,
    ) -> Self {
        let image = |(index, tree, volatile_len)| {
            (index, DatabaseSnapshot { tree, volatile_len, alive: Arc::clone(alive) })
        };
        Self { seed, databases: trees.into_iter().map(image).collect(), libraries }
    }

    /// The key of the hash under which the trees stand.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        &self.seed
    }

    /// The libraries of functions.
    #[must_use]
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Takes the databases that have keys, by index, to be walked and dropped one after the other.
    #[must_use]
    pub fn into_databases(self) -> Vec<(DbIndex, DatabaseSnapshot)> {
        self.databases
    }

    /// Keys in all databases.
    #[must_use]
    pub fn len(&self) -> usize {
        self.databases.iter().map(|(_, database)| database.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An image of one database.
#[derive(Debug)]
pub struct DatabaseSnapshot {
    tree: Tree,
    volatile_len: usize,
    alive: Arc<Alive>,
}

impl DatabaseSnapshot {
    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys with an expiry.
    #[must_use]
    pub fn volatile_len(&self) -> usize {
        self.volatile_len
    }

    /// Visits every entry in hash order and drops each leaf behind it, so that memory held only by this image is
    /// given back as it goes. Stops at the first error of `visit`.
    pub fn drain<E>(self, visit: &mut dyn FnMut(&Entry) -> Result<(), E>) -> Result<(), E> {
        let Self { tree, alive, .. } = self;
        let result = tree::drain(tree, visit);
        drop(alive);
        result
    }

    /// Visits every entry in hash order, keeping the image.
    pub fn for_each(&self, visit: &mut dyn FnMut(&Entry)) {
        self.tree.iter().for_each(visit);
    }
}
