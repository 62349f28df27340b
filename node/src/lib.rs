//! Rejoin: a Redis-compatible node whose replicas rejoin with what they have.
//!
//! [`Node::start`] runs a whole node inside a program: master, replica or both, several in one process. It brings its
//! own threads, installs no signal handler, no logger and no allocator, and keeps no state outside of itself.
//!
//! ```no_run
//! use rejoin::{Node, NodeOptions, Settings};
//!
//! let settings = Settings { port: 0, bind: vec!["127.0.0.1".to_owned()], ..Settings::default() };
//! let (node, _events) = Node::start(NodeOptions::new(settings))?;
//! assert_eq!(node.execute(["SET", "greeting", "hello"])?, b"+OK\r\n");
//! println!("redis-cli -p {}", node.addresses()[0].port());
//! node.shutdown(false)?;
//! # Ok::<(), rejoin::NodeError>(())
//! ```
//!
//! Read in this order: [`boot`] (what a node consists of and how it starts and stops), [`config`] (where settings come
//! from), then `docs/ARCHITECTURE.md`.

pub mod boot;
pub mod config;

pub use boot::{Node, NodeError, NodeOptions};
pub use rejoin_actors::{
    events::NodeEvent,
    shard::{metrics::MetricsRecorder, run::CannotServe},
};
pub use rejoin_commands::{
    Settings,
    settings::{LogSettings, SavePoints, SyncPolicy},
};
pub use rejoin_transports::{Endpoint, Transport};
