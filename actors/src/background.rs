//! Threads whose work can wait: encoding and loading snapshots, dropping old data.

use std::{io, thread};

/// Added to the niceness of such a thread. On a machine with few cores the scheduler would otherwise let it finish its
/// slice of milliseconds before the shard, which answers clients, runs again.
const NICENESS: i32 = 5;

/// Drops what is large on a thread of its own.
pub(crate) fn reap(old: impl Send + 'static) {
    // Dropping millions of keys takes its time; nobody needs to wait for it.
    if let Err(error) = spawn("reaper", move || drop(old)) {
        tracing::warn!(%error, "no thread could be had to drop the old data");
    }
}

/// Starts a thread that gives way to all others.
pub(crate) fn spawn(name: impl Into<String>, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let run = move || {
        // On Linux the priority is the thread's own. Where it cannot be had the work is done all the same.
        let _ = rustix::process::nice(NICENESS);
        work();
    };
    thread::Builder::new().name(name.into()).spawn(run).map(drop)
}
