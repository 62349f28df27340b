//! Commands as text against an engine with two clients: what they answer, and what they log.
//!
//! Each expectation was seen on a real server; the broad comparison beside one lives with the chaos experiments.

mod bitmap_commands;
mod dumps;
mod expiries;
mod hash_commands;
mod key_commands;
mod list_commands;
mod node;
mod replicas;
mod set_commands;
mod sorted_set_commands;
mod sorting;
mod string_commands;
mod watching;
