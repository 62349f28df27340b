//! What a node tells the program that embeds it.

use std::sync::mpsc;

/// An event of a node's life.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// A client asked the node to leave (SHUTDOWN), or the embedder did; it is for the embedder to end it.
    ShutdownRequested {
        /// Replicas had their time already, or are not to get any.
        now: bool,
    },
    /// SHUTDOWN ABORT: a shutdown that waited for replicas was called off.
    ShutdownAborted,
    /// What was on disk is loaded, and clients are served. Only of a node whose start did not wait for it.
    Loaded,
    /// What is on disk cannot be loaded: nobody is served. Only of a node whose start did not wait for
    /// the load; it is for the embedder to end it.
    CannotLoad {
        /// Why, in words for the operator; several lines.
        reason: String,
    },
    /// The node became a replica (REPLICAOF host port) or a master (REPLICAOF NO ONE).
    RoleChanged {
        /// What it is now.
        is_replica: bool,
    },
    /// CONFIG SET loglevel: the program that embeds the node owns the log.
    LogLevelChanged {
        /// One of `debug`, `verbose`, `notice`, `warning`, `nothing`.
        loglevel: String,
    },
    /// CONFIG SET dir: the program that embeds the node owns the process.
    DirChanged {
        /// The directory's full name.
        dir: String,
    },
    /// A part of the node was lost in a panic: the node can no longer be trusted and has stopped serving.
    PartLost {
        /// The actor or thread.
        part: &'static str,
    },
}

/// Where a node's parts report.
#[derive(Clone, Debug)]
pub struct NodeEvents {
    sender: mpsc::Sender<NodeEvent>,
}

impl NodeEvents {
    /// A pair of ends.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<NodeEvent>) {
        let (sender, receiver) = mpsc::channel();
        (Self { sender }, receiver)
    }

    /// Reports an event; an embedder that no longer listens is not an error.
    pub fn report(&self, event: NodeEvent) {
        let _ = self.sender.send(event);
    }

    /// A guard that reports the loss of `part` if it is dropped by a panic.
    #[must_use]
    pub fn guard(&self, part: &'static str) -> PartGuard {
        PartGuard { part, events: self.clone() }
    }
}

/// Reports a part's loss when a panic drops it: actix restarts nothing, and a handler's panic kills only its actor,
/// which nobody would notice.
#[derive(Debug)]
pub struct PartGuard {
    part: &'static str,
    events: NodeEvents,
}

impl Drop for PartGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.events.report(NodeEvent::PartLost { part: self.part });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lost_in_a_panic_is_reported_and_an_orderly_end_is_not() {
        let (events, received) = NodeEvents::channel();
        drop(events.guard("orderly"));
        let guard = events.guard("broken");
        let outcome = std::thread::spawn(move || {
            let _guard = guard;
            panic!("on purpose");
        })
        .join();
        assert!(outcome.is_err());
        assert_eq!(received.try_iter().collect::<Vec<_>>(), [NodeEvent::PartLost { part: "broken" }]);
    }
}
