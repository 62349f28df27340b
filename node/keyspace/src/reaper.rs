//! The thread that drops what is large, so that the shard does not pause for it.
//!
//! It belongs to one keyspace, is started at the first large drop, and ends by itself after the last of what it was
//! given when the keyspace is gone. Where no thread can be started, things are dropped in place.

use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::Entry;
use crate::tree::Tree;

/// What is to be dropped.
#[expect(dead_code, reason = "held only to be dropped")]
enum Garbage {
    Tree(Tree),
    Entry(Entry),
}

/// A handle to the thread.
#[derive(Debug, Default)]
pub(crate) struct Reaper {
    /// Set at the first use; `None` inside means that no thread could be started.
    sender: OnceLock<Option<Sender<Garbage>>>,
}

impl Reaper {
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
        if let Some(sender) = self.sender.get_or_init(start) {
            // A thread that is gone gives the garbage back, and it is dropped here.
            let _ = sender.send(garbage);
        }
    }
}

fn start() -> Option<Sender<Garbage>> {
    let (sender, receiver) = channel::<Garbage>();
    let thread = thread::Builder::new().name("reaper".into());
    let started = thread.spawn(move || receiver.into_iter().for_each(drop));
    started.is_ok().then_some(sender)
}
