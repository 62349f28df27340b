//! A consistent, immutable, `Send` image of the keyspace.
//!
//! It holds references to the roots of the trees; what the keyspace writes meanwhile it writes to copies. It knows
//! nothing of the keyspace, nor the keyspace of it, but that it is alive.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use rejoin_protocol::DbIndex;

use crate::tree::{self, Tree};
use crate::{Entry, HashSeed};

/// Entries between two updates of the count of those that were drained.
const PROGRESS_STEP: u64 = 1024;

/// What a snapshot and its parts hold to show that they live.
#[derive(Debug)]
pub(crate) struct Alive;

/// An image of all databases at one moment; other threads encode and digest it.
#[derive(Debug)]
pub struct Snapshot {
    seed: HashSeed,
    databases: Vec<(DbIndex, DatabaseSnapshot)>,
    /// Entries drained, of all databases.
    drained: Arc<AtomicU64>,
}

impl Snapshot {
    pub(crate) fn new(seed: HashSeed, trees: Vec<(DbIndex, Tree, usize)>, alive: &Arc<Alive>) -> Self {
        let drained = Arc::new(AtomicU64::new(0));
        let image = |(index, tree, volatile_len)| {
            let (alive, drained) = (Arc::clone(alive), Arc::clone(&drained));
            (index, DatabaseSnapshot { tree, volatile_len, alive, drained })
        };
        Self { seed, databases: trees.into_iter().map(image).collect(), drained: Arc::clone(&drained) }
    }

    /// The key of the hash under which the trees stand.
    #[must_use]
    pub fn seed(&self) -> &HashSeed {
        &self.seed
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

    /// How many entries [`DatabaseSnapshot::drain`] has visited so far, in all databases; others may look at it while it
    /// runs.
    #[must_use]
    pub fn drained(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.drained)
    }
}

/// An image of one database.
#[derive(Debug)]
pub struct DatabaseSnapshot {
    tree: Tree,
    volatile_len: usize,
    alive: Arc<Alive>,
    /// Entries drained, of all databases.
    drained: Arc<AtomicU64>,
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
        let Self { tree, alive, drained, .. } = self;
        let mut visited = 0;
        let result = tree::drain(tree, &mut |entry: &Entry| {
            visited += 1;
            if visited == PROGRESS_STEP {
                drained.fetch_add(std::mem::take(&mut visited), Relaxed);
            }
            visit(entry)
        });
        drained.fetch_add(visited, Relaxed);
        drop(alive);
        result
    }

    /// Visits every entry in hash order, keeping the image.
    pub fn for_each(&self, visit: &mut dyn FnMut(&Entry)) {
        self.tree.iter().for_each(visit);
    }
}
