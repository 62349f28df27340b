//! Runs a node: the shard's data plane, the five actors of the control plane, the links between nodes.
//!
//! Threads: `shard` ([`shard`]: clients, keyspace, log; no actor in it), `control` (an actix System with [`master`],
//! [`replica`], [`snapshotter`], [`buffer_manager`]), an arbiter of its own for [`aof_sender`], `links` ([`links`]:
//! bytes to and from other nodes), and one more for each snapshot or load while it runs. The node's `boot.rs` starts
//! them; [`control`] wires the actors, and nobody looks anyone up.
//!
//! # Who tells what to whom
//!
//! Every mailbox and inbox is bounded ([`mailbox::MAILBOX_MAX`], [`messages::shard::SHARD_INBOX_MAX`],
//! [`messages::links::LINKS_INBOX_MAX`]). *Complain*: a full mailbox is logged as an error, and the sender's own
//! timeout mends what is lost. *Drop*: a later message says the same. *Wait*: the sender waits; it is never the shard.
//!
//! | From | To | Message | When full |
//! |---|---|---|---|
//! | shard | `Master` | `StartFailover`, `AbortFailover`, `LiveSettingsChanged`, `AttachReplica`, `Promote`, `Demote`, `AdoptLineage`, `ReplaceLineage`, `UpstreamDown` | complain |
//! | shard | `Replica` | `FollowMaster`, `Introduce`, `Unfollow`, `LinkLost` | complain |
//! | shard | `BufferManager` | `SetBudget` | complain |
//! | shard | thread `disk` | `DiskTask` | a sync is due again later, a base fails |
//! | thread `disk` | shard | `DiskReport` | wait |
//! | `BufferManager` | shard | `HistoryKept` | drop |
//! | shard | `Snapshotter` | `BeginSave` | the save fails |
//! | `Master` | links | `Serve`, `Drop` | complain |
//! | `Master` | `Snapshotter` | `JoinSnapshot` | complain |
//! | `Master` | `AofSender` | `FindHistory`, `FindBase` | wait |
//! | `Master` | `Master` | `BaseAnswered` | complain |
//! | `Master` | `BufferManager` | `OpenCursor`, `CloseCursor` | complain |
//! | `Master` | shard | `MasterStatus`: drop; `FailOver`, `FailoverAborted`: complain | |
//! | `AofSender` | links (session) | `HistoryNews`, `PayloadNews` | wait |
//! | `BufferManager` | `Master` | `ReplicaStalled` | complain |
//! | history thread | `BufferManager` | `HistoryTrimmed` | complain |
//! | `Snapshotter` | shard | `TakeSnapshot` | wait |
//! | save thread | shard | `SaveEnded` | wait |
//! | snapshot thread | `Snapshotter` | `SnapshotEnded` | complain |
//! | snapshot thread | links (session) | chunks, at most a few in flight | wait |
//! | `Replica` | links | `Dial`, `HangUp` | complain |
//! | `Replica` | shard | `UpstreamStatus` | drop |
//! | links (session) | `Master` | `ReplicaProgress`: drop; `ReplicaLost`: complain | |
//! | links (session) | `BufferManager` | `OpenCursor`, `CloseCursor`: complain; `MoveCursor`: drop | |
//! | links (session) | `AofSender` | `FindHistory`: wait; `SendHistory`, `SendPayload`: complain | |
//! | links (upstream) | `Replica` | `LinkUp`, `WentBack`, `UpstreamSaid`, `SnapshotArrived`: wait; `UpstreamProgress`: drop; `LinkLost`: complain | |
//! | links (session) | shard | `AcksMoved` | drop |
//! | links (upstream) | shard | `FailoverAnswered`, `Position`, `PlanRewind`, `GoBack`, `AcceptsEmpty`, `SwapIn`, `AdoptLineage`, `StartStreaming` | wait |
//!
//! A part lost in a panic is reported as [`events::NodeEvent::PartLost`]: nothing restarts silently.

pub mod aof_sender;
mod background;
pub mod buffer_manager;
pub mod clock;
pub mod control;
pub mod disk;
pub mod events;
pub mod links;
pub mod live_settings;
pub mod mailbox;
pub mod master;
pub mod messages;
pub mod replica;
pub mod shard;
pub mod snapshotter;

/// What the system says of an error, without its number: as redis-server logs it and replies.
pub(crate) fn words_of(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.clone(), |(words, _)| words.to_owned())
}
