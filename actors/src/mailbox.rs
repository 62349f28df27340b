//! Fire and forget between threads and actors, with a stated policy.
//!
//! actix bounds a mailbox only for `try_send`; `do_send` queues without end. So whoever does not wait for an answer
//! goes through [`tell`], and a full mailbox is an event of its own instead of memory.

use actix::{Message, Recipient, dev::SendError};

/// Messages that wait for an actor at most: actors get events, not commands, so a full mailbox means that its
/// owner hangs.
pub const MAILBOX_MAX: usize = 1024;

/// What to do when the receiver's mailbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The message is one of a series, and a later one says the same (progress, status): drop it.
    Drop,
    /// The message may not be lost: log an error. What hangs on it is closed by its sender's own timeout.
    Complain,
}

/// What was told last, where the same is not told twice.
#[derive(Debug, Default)]
pub struct Told<T>(Option<T>);

impl<T: PartialEq> Told<T> {
    /// Nothing was told.
    #[must_use]
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Has `now` told, unless it was told last. `tell` says whether it was taken; what was not is told again by the next
    /// call.
    pub fn update(&mut self, now: T, tell: impl FnOnce(&T) -> bool) {
        if self.0.as_ref() != Some(&now) && tell(&now) {
            self.0 = Some(now);
        }
    }
}

/// Sends without waiting; whether the message was taken. A receiver that is gone takes nothing: the node is stopping.
pub fn tell<M>(to: &Recipient<M>, message: M, when_full: WhenFull) -> bool
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    match to.try_send(message) {
        Ok(()) => true,
        Err(SendError::Closed(_)) => false,
        Err(SendError::Full(_)) => {
            if when_full == WhenFull::Complain {
                tracing::error!(
                    message = std::any::type_name::<M>(),
                    waiting_max = MAILBOX_MAX,
                    "a mailbox is full: its actor hangs"
                );
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_taken_is_told_again() {
        let (mut told, mut taken) = (Told::nothing(), Vec::new());
        told.update("online", |_| false);
        told.update("online", |news| {
            taken.push(*news);
            true
        });
        told.update("online", |_| panic!("it was told"));
        told.update("gone", |_| false);
        told.update("online", |_| panic!("it is what was told last"));
        assert_eq!(taken, ["online"]);
    }
}
