//! Commands on the node: INFO, CONFIG, COMMAND, DEBUG, replication's commands, and what they tell of it.

pub(crate) mod cluster;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod debug;
pub mod failover;
mod help;
pub(crate) mod info;
pub(crate) mod latency;
pub mod loading;
pub mod log;
pub(crate) mod lolwut;
pub(crate) mod memory;
pub(crate) mod modules;
pub(crate) mod pause;
pub(crate) mod rates;
pub(crate) mod replication;
pub mod saving;
pub(crate) mod server;
pub(crate) mod slowlog;
pub mod status;
pub mod wait;

use crate::Command;
pub(crate) use help::reply_help;

/// The rows of this group.
pub(crate) const GROUPS: &[&[Command]] = &[
    cluster::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    debug::COMMANDS,
    failover::COMMANDS,
    info::COMMANDS,
    latency::COMMANDS,
    log::COMMANDS,
    lolwut::COMMANDS,
    memory::COMMANDS,
    modules::COMMANDS,
    replication::COMMANDS,
    saving::COMMANDS,
    server::COMMANDS,
    slowlog::COMMANDS,
    wait::COMMANDS,
];
