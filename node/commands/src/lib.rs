//! The command table and its handlers, as pure code: the requests of one turn in, replies and log bytes out.
//!
//! It opens no socket, reads no clock and draws no random numbers of its own: time and seeds come as arguments, and
//! what must happen outside (closing a client, following a master, shutting down) leaves as an [`Effect`];
//! what a reply depends on (CONFIG SET, CONFIG REWRITE) is asked of a [`Host`] that the shard hands in.
//!
//! Read in this order: [`command`] (one static row per command), [`turn`] (decode, touch, execute), [`engine`] and
//! `dispatch` (what a request passes through), [`call`] (what a handler sees), [`propagation`] (what reaches the log),
//! [`apply`] (the master's stream), [`pubsub`] (messages), `observing` (counters, slow log), then the handlers: [`data`],
//! [`session`], [`node`].
//!
//! Invariants:
//! * a reply is written to the session's output only, and a write's log bytes to the engine's log only; who sends
//!   either, and when, is not decided here;
//! * what a write propagates is decided by its handler or taken verbatim, and always ends at a border;
//! * while the node follows a master, nothing is propagated but the master's own bytes.

pub mod apply;
pub mod blocking;
pub mod call;
pub mod command;
pub mod data;
pub(crate) mod dispatch;
pub mod effect;
pub mod engine;
mod eviction;
pub mod failure;
mod functions;
pub mod host;
pub mod node;
pub(crate) mod observing;
pub mod propagation;
pub mod pubsub;
pub mod session;
pub mod settings;
pub mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail loudly")]
mod tests;
pub mod turn;
pub mod watch;

pub use apply::ApplyError;
pub use call::Call;
pub use command::{Command, Flags, Handler, KeySpec};
pub use effect::Effect;
pub use engine::{Engine, Request, Role};
pub use failure::Failure;
pub use host::{Host, NotApplied};
pub use observing::{CommandTotals, MonotonicClock};
pub use session::{Session, SessionKind};
pub use settings::Settings;
pub use turn::{Applied, Input, TurnReport};
