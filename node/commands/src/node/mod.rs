//! Commands on the node: INFO, CONFIG, COMMAND, DEBUG, replication's commands.

pub mod status;
