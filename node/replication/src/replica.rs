//! Our side as a replica: whom we follow, the state of the link, and what happens next. What the actor `Replica` runs.
//!
//! It speaks no protocol (an [`Upstream`](crate::Upstream) does, on the link) and holds no offsets of its own: what we
//! hold is asked for at the moment it matters. Everything that comes from a link or a load carries the epoch under
//! which it was begun; what comes late from an older one is ignored.
//!
//! Invariant: our data is given up ([`ReplicaAction::SwapIn`]) only after the payload is complete and the loader has
//! verified it. A broken link, a bad payload or another master before that drop the load, never the data.

use std::collections::VecDeque;
use std::time::Duration;

use rejoin_protocol::{ByteCount, Epoch, Offset, ReplicationId};

use crate::ladder::Wanted;
use crate::reconnect::{Backoff, BackoffSettings};
use crate::upstream::UpstreamEvent;

/// Where a master is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What we hold of which stream, up to the last border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The stream.
    pub replid: ReplicationId,
    /// The last byte.
    pub offset: Offset,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// How long a connection may take to come up (`repl-timeout`).
    pub dial_timeout: Duration,
    /// Pauses between attempts.
    pub backoff: BackoffSettings,
}

impl Default for ReplicaSettings {
    fn default() -> Self {
        Self { dial_timeout: Duration::from_secs(60), backoff: BackoffSettings::default() }
    }
}

/// The state of the link upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// We follow no one.
    None,
    /// Waiting for the next attempt.
    Connect,
    /// An attempt is under way.
    Connecting,
    /// The link is up, the master has not yet answered our PSYNC.
    Handshake,
    /// A full sync runs: payload or load.
    Sync,
    /// The stream flows.
    Connected,
}

impl LinkState {
    /// ROLE's word for it.
    #[must_use]
    pub fn role_name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }

    /// INFO's `master_link_status`.
    #[must_use]
    pub fn is_up(self) -> bool {
        self == Self::Connected
    }
}

/// What the actor is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaAction {
    /// Connect, and answer with [`ReplicaCore::handle_dialed`] or [`ReplicaCore::handle_link_lost`].
    Dial {
        /// Under which the link runs.
        epoch: Epoch,
        /// To whom.
        address: MasterAddress,
    },
    /// Close the link (or give up the attempt) of this epoch. Bytes past the last border are dropped.
    Close {
        /// The link's.
        epoch: Epoch,
    },
    /// Load the payload that begins aside; our data goes on serving.
    BeginLoad {
        /// The load's.
        epoch: Epoch,
        /// The payload's length, if known.
        length: Option<ByteCount>,
    },
    /// The load is in vain: drop what was loaded, keep our data.
    DropLoad {
        /// The load's.
        epoch: Epoch,
    },
    /// Put what was loaded in the place of our data, and the stream's name and offset with it
    /// ([`MasterCore::replace_lineage`](crate::MasterCore::replace_lineage)).
    SwapIn {
        /// The load's.
        epoch: Epoch,
        /// The stream's name; `None` after SYNC: make one up.
        replid: Option<ReplicationId>,
        /// The last byte of the stream that the data contains; zero after SYNC.
        offset: Offset,
    },
    /// The master continues what we hold under this name
    /// ([`MasterCore::adopt_lineage`](crate::MasterCore::adopt_lineage)).
    AdoptLineage {
        /// The stream's new name.
        replid: ReplicationId,
        /// The last byte that both names share.
        at: Offset,
    },
    /// Append and apply what comes on the link, the first byte being the one after `after`; begin a
    /// [`Follower`](crate::Follower).
    StartStreaming {
        /// The link's.
        epoch: Epoch,
        /// The last byte held.
        after: Offset,
    },
}

/// The link and the attempts to have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// We follow no one.
    None,
    /// The next attempt comes then.
    Waiting { retry_at: Duration },
    /// No attempt until the load of a payload that came whole has ended: what to ask for depends on it.
    AwaitingLoad,
    /// An attempt is given up then.
    Dialing { deadline: Duration },
    /// The master has not answered our PSYNC. `asked`: what we said we hold.
    Handshake { asked: Option<Position> },
    /// A payload comes, or is being loaded.
    Syncing,
    /// The stream flows.
    Streaming,
}

/// A payload that comes, or came whole and is not yet found good.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// The epoch of the link that brings it.
    epoch: Epoch,
    replid: Option<ReplicationId>,
    offset: Offset,
    length: Option<ByteCount>,
    /// Rises with input.
    bytes_read: ByteCount,
    /// The master said that it ends.
    is_whole: bool,
    /// The loader found it good.
    is_verified: bool,
}

/// Our side as a replica.
///
/// * Getters: [`master`](Self::master), [`link_state`](Self::link_state), [`down_since`](Self::down_since), ...
/// * `handle_*`: what became of a dial, a link, a load; time.
/// * Commands: [`follow`](Self::follow), [`unfollow`](Self::unfollow).
/// * `poll_*`: [`poll_action`](Self::poll_action), [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct ReplicaCore {
    settings: ReplicaSettings,
    /// Set by [`follow`](Self::follow), cleared by [`unfollow`](Self::unfollow).
    master: Option<MasterAddress>,
    link: Link,
    /// Rises with every attempt, and when we cease to follow.
    epoch: Epoch,
    backoff: Backoff,
    /// From BeginLoad to SwapIn or DropLoad.
    load: Option<Load>,
    /// Set when the link ceases to stream; cleared when it streams, and when we cease to follow.
    down_since: Option<Duration>,
    /// When the stream last began to flow.
    streaming_since: Duration,
    /// Set at each input.
    last_io: Duration,
    actions: VecDeque<ReplicaAction>,
}

impl ReplicaCore {
    /// Follows no one.
    #[must_use]
    pub fn new(settings: ReplicaSettings) -> Self {
        Self {
            settings,
            master: None,
            link: Link::None,
            epoch: Epoch::default(),
            backoff: Backoff::new(settings.backoff),
            load: None,
            down_since: None,
            streaming_since: Duration::ZERO,
            last_io: Duration::ZERO,
            actions: VecDeque::new(),
        }
    }

    /// Whom we follow.
    #[must_use]
    pub fn master(&self) -> Option<&MasterAddress> {
        self.master.as_ref()
    }

    /// The state of the link.
    #[must_use]
    pub fn link_state(&self) -> LinkState {
        match self.link {
            Link::None => LinkState::None,
            Link::Waiting { .. } => LinkState::Connect,
            Link::Dialing { .. } => LinkState::Connecting,
            Link::Handshake { .. } => LinkState::Handshake,
            Link::Syncing | Link::AwaitingLoad => LinkState::Sync,
            Link::Streaming => LinkState::Connected,
        }
    }

    /// The epoch of the present attempt or link.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the link went down; `None` while it is up, or if there was none up since we began to follow.
    #[must_use]
    pub fn down_since(&self) -> Option<Duration> {
        self.down_since
    }

    /// When something last came on the link.
    #[must_use]
    pub fn last_io(&self) -> Duration {
        self.last_io
    }

    /// Bytes of the running full sync read so far, and in all when known; `None` when none runs.
    #[must_use]
    pub fn sync_progress(&self) -> Option<(ByteCount, Option<ByteCount>)> {
        self.load.map(|load| (load.bytes_read, load.length))
    }

    /// REPLICAOF host port. The same master again is dialled anew as well: who asks has let the stream of before go.
    pub fn follow(&mut self, now: Duration, address: MasterAddress) {
        self.let_go();
        self.master = Some(address);
        self.backoff.handle_success();
        if self.link == Link::Streaming {
            self.down_since = Some(now);
        }
        self.dial(now);
    }

    /// REPLICAOF NO ONE.
    pub fn unfollow(&mut self) {
        self.let_go();
        self.master = None;
        self.link = Link::None;
        self.down_since = None;
        self.begin_epoch();
    }

    /// The link is up. `position`: what we hold now (after a restart, what was recovered), `None` for nothing worth
    /// continuing. Returns what to ask for: make an [`Upstream`](crate::Upstream) with it. `None`: too late, close.
    pub fn handle_dialed(
        &mut self,
        now: Duration,
        epoch: Epoch,
        position: Option<Position>,
    ) -> Option<Wanted> {
        if epoch != self.epoch || !matches!(self.link, Link::Dialing { .. }) {
            return None;
        }
        self.last_io = now;
        self.link = Link::Handshake { asked: position };
        Some(match position {
            Some(Position { replid, offset }) => Wanted::Continue { replid, from: offset.next() },
            None => Wanted::Everything,
        })
    }

    /// The link told that our stream has parted from the master's ([`UpstreamEvent::Diverged`]), and what was to be done
    /// about it is done: we hold `position` now. Returns what to ask for
    /// ([`Upstream::handle_rewound`](crate::Upstream::handle_rewound)). `None`: too late, close.
    pub fn handle_rewound(&mut self, now: Duration, epoch: Epoch, position: Position) -> Option<Wanted> {
        if epoch != self.epoch || !matches!(self.link, Link::Handshake { .. }) {
            return None;
        }
        self.last_io = now;
        self.link = Link::Handshake { asked: Some(position) };
        Some(Wanted::Continue { replid: position.replid, from: position.offset.next() })
    }

    /// The master told something.
    pub fn handle_event(&mut self, now: Duration, epoch: Epoch, event: &UpstreamEvent) {
        if epoch != self.epoch {
            return;
        }
        self.last_io = now;
        match (self.link, event) {
            (Link::Handshake { asked: Some(held) }, UpstreamEvent::Continue { replid }) => {
                if let Some(replid) = replid.filter(|replid| *replid != held.replid) {
                    self.actions.push_back(ReplicaAction::AdoptLineage { replid, at: held.offset });
                }
                self.become_streaming(now, held.offset);
            }
            (Link::Handshake { .. }, UpstreamEvent::FullSync { replid, offset, length }) => {
                self.begin_load(*replid, offset.unwrap_or(Offset::ZERO), *length);
            }
            (Link::Syncing, UpstreamEvent::PayloadEnd) => {
                if let Some(load) = &mut self.load {
                    load.is_whole = true;
                }
                self.swap_in_if_ready(now);
            }
            // An `Upstream` does not say such things in such an order.
            _ => {}
        }
    }

    /// Bytes came: `payload` of them of a payload.
    pub fn handle_io(&mut self, now: Duration, epoch: Epoch, payload: ByteCount) {
        if epoch != self.epoch {
            return;
        }
        self.last_io = now;
        if let Some(load) = &mut self.load {
            load.bytes_read = ByteCount::new(load.bytes_read.get().saturating_add(payload.get()));
        }
    }

    /// The loader found the payload good to its end.
    pub fn handle_load_verified(&mut self, now: Duration, epoch: Epoch) {
        if let Some(load) = self.load.as_mut().filter(|load| load.epoch == epoch) {
            load.is_verified = true;
            self.swap_in_if_ready(now);
        }
    }

    /// The loader refuses the payload. `random` spreads the retries.
    pub fn handle_load_failed(&mut self, now: Duration, epoch: Epoch, random: u64) {
        if self.load.is_none_or(|load| load.epoch != epoch) {
            return;
        }
        self.drop_load();
        if self.link == Link::Syncing {
            self.actions.push_back(ReplicaAction::Close { epoch });
        }
        self.retry_later(now, random);
    }

    /// The dial failed, or the link closed or was in error (close it). `random` spreads the retries.
    pub fn handle_link_lost(&mut self, now: Duration, epoch: Epoch, random: u64) {
        if epoch != self.epoch || !self.has_link() {
            return;
        }
        if self.link == Link::Streaming {
            self.down_since = Some(now);
            // A stream that breaks at once (a command that cannot be applied) is no success: it would break again.
            if now.saturating_sub(self.streaming_since) >= self.settings.backoff.max {
                self.backoff.handle_success();
            }
        }
        if self.load.is_some_and(|load| load.is_whole) {
            // All of it came: worth more than another full sync.
            self.link = Link::AwaitingLoad;
            return;
        }
        self.drop_load();
        self.retry_later(now, random);
    }

    /// Time has passed: the next attempt, or the end of one. `random` spreads the retries.
    pub fn handle_timeout(&mut self, now: Duration, random: u64) {
        match self.link {
            Link::Waiting { retry_at } if now >= retry_at => self.dial(now),
            Link::Dialing { deadline } if now >= deadline => {
                self.actions.push_back(ReplicaAction::Close { epoch: self.epoch });
                self.retry_later(now, random);
            }
            _ => {}
        }
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<ReplicaAction> {
        self.actions.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.link {
            Link::Waiting { retry_at } => Some(retry_at),
            Link::Dialing { deadline } => Some(deadline),
            _ => None,
        }
    }

    /// Whether there is a link or an attempt to be closed.
    fn has_link(&self) -> bool {
        !matches!(self.link, Link::None | Link::Waiting { .. } | Link::AwaitingLoad)
    }

    /// Ends what runs for the master that we follow no more.
    fn let_go(&mut self) {
        if self.has_link() {
            self.actions.push_back(ReplicaAction::Close { epoch: self.epoch });
        }
        self.drop_load();
    }

    fn dial(&mut self, now: Duration) {
        let Some(address) = self.master.clone() else { return };
        self.begin_epoch();
        self.link = Link::Dialing { deadline: now + self.settings.dial_timeout };
        self.actions.push_back(ReplicaAction::Dial { epoch: self.epoch, address });
    }

    fn retry_later(&mut self, now: Duration, random: u64) {
        self.link = Link::Waiting { retry_at: now + self.backoff.handle_failure(random) };
    }

    fn begin_load(&mut self, replid: Option<ReplicationId>, offset: Offset, length: Option<ByteCount>) {
        let epoch = self.epoch;
        self.load = Some(Load {
            epoch,
            replid,
            offset,
            length,
            bytes_read: ByteCount::ZERO,
            is_whole: false,
            is_verified: false,
        });
        self.link = Link::Syncing;
        self.actions.push_back(ReplicaAction::BeginLoad { epoch, length });
    }

    fn drop_load(&mut self) {
        if let Some(load) = self.load.take() {
            self.actions.push_back(ReplicaAction::DropLoad { epoch: load.epoch });
        }
    }

    /// The one place where our data gives way: to a payload that is whole and verified.
    fn swap_in_if_ready(&mut self, now: Duration) {
        let Some(load) = self.load.filter(|load| load.is_whole && load.is_verified) else { return };
        self.load = None;
        self.actions.push_back(ReplicaAction::SwapIn {
            epoch: load.epoch,
            replid: load.replid,
            offset: load.offset,
        });
        if self.link == Link::Syncing {
            self.become_streaming(now, load.offset);
        } else {
            self.dial(now);
        }
    }

    fn become_streaming(&mut self, now: Duration, after: Offset) {
        self.link = Link::Streaming;
        self.down_since = None;
        self.streaming_since = now;
        self.actions.push_back(ReplicaAction::StartStreaming { epoch: self.epoch, after });
    }

    fn begin_epoch(&mut self) {
        self.epoch = Epoch::new(self.epoch.get() + 1);
    }
}

#[cfg(test)]
mod tests;
