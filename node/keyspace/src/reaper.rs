//! The thread that drops what is large, so that the shard does not pause for it.
//!
//! It belongs to one keyspace, is started at the first large drop, and ends by itself after the last of what it was
//! given when the keyspace is gone. Where no thread can be started, things are dropped in place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use crate::Entry;
use crate::tree::Tree;

/// What is to be dropped.
enum Garbage {
    Tree(Tree),
    #[expect(dead_code, reason = "held only to be dropped")]
    Entry(Entry),
}

impl Garbage {
    /// How many keys or values it is.
    fn objects(&self) -> u64 {
        match self {
            Self::Tree(tree) => tree.len() as u64,
            Self::Entry(_) => 1,
        }
    }
}

/// How many keys and values were given to the thread, and how many it has dropped.
#[derive(Debug, Default)]
struct Counts {
    given: AtomicU64,
    dropped: AtomicU64,
}

/// A handle to the thread.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// Set at the first use; `None` inside means that no thread could be started.
    sender: OnceLock<Option<Sender<Garbage>>>,
    counts: Arc<Counts>,
}

impl Reaper {
    /// Keys and values that wait to be dropped, and those that were.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let dropped = self.counts.dropped.load(Ordering::Relaxed);
        (self.counts.given.load(Ordering::Relaxed).saturating_sub(dropped), dropped)
    }

    /// Drops a tree, here if it is small.
    pub(crate) fn drop_tree(&self, tree: Tree) {
        if tree.is_heavy() {
            self.send(Garbage::Tree(tree));
        }
    }

    /// Drops an entry, here unless it is the last holder of something large.
    #[inline]
    pub(crate) fn drop_entry(&self, entry: Entry) {
        if entry.is_heavy() {
            self.send(Garbage::Entry(entry));
        }
    }

    #[cold]
    fn send(&self, garbage: Garbage) {
        if let Some(sender) = self.sender.get_or_init(|| start(Arc::clone(&self.counts))) {
            self.counts.given.fetch_add(garbage.objects(), Ordering::Relaxed);
            // A thread that is gone gives the garbage back, and it is dropped here.
            let _ = sender.send(garbage);
        }
    }
}

fn start(counts: Arc<Counts>) -> Option<Sender<Garbage>> {
    let (sender, receiver) = channel::<Garbage>();
    let thread = thread::Builder::new().name("reaper".into());
    let started = thread.spawn(move || {
        for garbage in receiver {
            let objects = garbage.objects();
            drop(garbage);
            counts.dropped.fetch_add(objects, Ordering::Relaxed);
        }
    });
    started.is_ok().then_some(sender)
}
