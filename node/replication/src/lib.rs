//! Replication as state machines over offsets and bytes; pure.
//!
//! It opens no socket, reads no clock, draws no random number and knows no keyspace: bytes and events come in by
//! `handle_*`, what is to be done comes out by `poll_*`, time is a [`Duration`](std::time::Duration) since an
//! arbitrary start that the caller chooses once. That is why the whole protocol runs under virtual time in one test.
//!
//! Read in this order: [`lineage`] (which streams our bytes belong to), [`ladder`] (which resync a replica gets),
//! [`session`], [`master`] and [`failover`] (our side as a master), [`upstream`], [`rewind`], [`follower`] and [`replica`]
//! (our side as a replica), [`reconnect`] (how hard to try).
//!
//! Invariants: no buffer in here grows with what a peer sends (each has a named maximum); nothing a peer sends
//! panics; data is given up for a replacement only once that is complete and verified ([`replica`]).

pub mod excerpt;
pub mod failover;
pub mod follower;
pub mod ladder;
pub mod lineage;
pub mod master;
pub mod reconnect;
pub mod replica;
pub mod rewind;
pub mod session;
pub mod takeover;
pub mod upstream;

pub use excerpt::Excerpt;
pub use failover::{Failover, FailoverAction, FailoverOrder};
pub use follower::{FirstAck, Follower, FollowerError, FollowerSettings};
pub use ladder::{BaseOffer, BaseRefusal, BaseTerms, FullReason, LogRange, Resync, Wanted, decide_resync};
pub use lineage::{Ancestor, Lineage};
pub use master::{AttachDecision, MasterCore, ReplicaSummary, Rung, RungCount, SyncCounters};
pub use reconnect::{Backoff, BackoffSettings, FullSyncAdmission};
pub use replica::{LinkState, MasterAddress, Position, ReplicaAction, ReplicaCore, ReplicaSettings};
pub use rewind::{Divergence, MasterStream, Relation};
pub use session::{
    PayloadForm, ReplicaHello, ReplicaSession, SessionError, SessionEvent, SessionSettings, SessionState,
};
pub use takeover::Takeover;
pub use upstream::{
    Credentials, Taken, Upstream, UpstreamError, UpstreamEvent, UpstreamPhase, UpstreamSettings,
};
