//! Drives real server processes, the node's and stock ones, and checks what they do.
//!
//! Nothing here links the node's processes: it is started as a process, by the same command line that an operator uses, and is
//! told apart from a stock server only by its binary. So every check can be tried with a stock server in the node's
//! place, and one that fails there is wrong itself.
//!
//! - [`servers`]: finds, starts and stops servers; reads their CPU time and memory.
//! - [`client`]: a small blocking RESP client.
//! - [`proxy`]: a TCP proxy whose connections can be cut and restored.
//! - [`replication`]: attaches replicas, waits for them, compares both ends.
//! - [`differential`]: generated command sequences, run on two servers and compared.
//! - [`bench`]: throughput, CPU per operation and memory per key beside redis-server, as ratios.
//! - [`bad_input`]: hostile clients and masters.
//! - [`simulator`]: no process at all: the node's pure machines in worlds made from seeds, under virtual time.
//! - [`main_job`]: the main job on real input, in both roles.

pub mod bad_input;
pub mod bench;
pub mod client;
pub mod console;
pub mod differential;
pub mod main_job;
pub mod proxy;
pub mod replication;
pub mod servers;
pub mod simulator;
pub mod wait;
