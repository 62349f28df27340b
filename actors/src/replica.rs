//! `Replica`: whom we follow, and the link upstream from this side.
//!
//! The decisions are `ReplicaCore`'s; the links thread opens links and speaks, the shard applies the stream.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, MessageResult, SpawnHandle};
use rejoin_commands::node::status::UpstreamStatus;
use rejoin_protocol::{Offset, UnixMillis};
use rejoin_replication::{
    LinkState, MasterAddress, ReplicaAction, ReplicaCore, ReplicaSettings, UpstreamEvent, Wanted,
};
use tokio::sync::mpsc;

use crate::{
    clock::Clock,
    events::PartGuard,
    mailbox::MAILBOX_MAX,
    messages::{
        links::{Introduction, LinksMessage},
        replica::{
            FollowMaster, Introduce, LinkLost, LinkUp, SnapshotArrived, Unfollow, UpstreamProgress,
            UpstreamSaid, WentBack,
        },
        shard::ShardMessage,
    },
    shard::unix_now,
};

/// Whom we follow.
pub struct Replica {
    core: ReplicaCore,
    clock: Clock,
    links: mpsc::Sender<LinksMessage>,
    shard: mpsc::Sender<ShardMessage>,
    /// What came with the last `FollowMaster`.
    current: Option<(u64, Introduction)>,
    /// The timer that runs, if one does.
    timer: Option<SpawnHandle>,
    _guard: PartGuard,
}

impl Replica {
    /// Follows no one.
    #[must_use]
    pub fn new(
        clock: Clock,
        links: mpsc::Sender<LinksMessage>,
        shard: mpsc::Sender<ShardMessage>,
        guard: PartGuard,
    ) -> Self {
        let core = ReplicaCore::new(ReplicaSettings::default());
        Self { core, clock, links, shard, current: None, timer: None, _guard: guard }
    }

    /// After every message: carries out what is ours to do, returns what the link is to do, sets the timer, and tells
    /// INFO.
    fn settle(&mut self, context: &mut Context<Self>) -> Vec<ReplicaAction> {
        let mut for_the_link = Vec::new();
        while let Some(action) = self.core.poll_action() {
            match action {
                ReplicaAction::Dial { epoch, address } => {
                    let Some((following, introduction)) = self.current.clone() else { continue };
                    self.tell_links(LinksMessage::Dial { epoch, address, following, introduction });
                }
                ReplicaAction::Close { epoch } => self.tell_links(LinksMessage::HangUp { epoch }),
                action => for_the_link.push(action),
            }
        }
        if let Some(timer) = self.timer.take() {
            context.cancel_future(timer);
        }
        if let Some(at) = self.core.poll_timeout() {
            let wait = at.saturating_sub(self.clock.now());
            self.timer = Some(context.run_later(wait, |replica, context| {
                replica.timer = None;
                replica.core.handle_timeout(replica.clock.now(), rand::random());
                replica.settle(context);
            }));
        }
        let _ = self.shard.try_send(ShardMessage::UpstreamStatus(self.status()));
        for_the_link
    }

    fn tell_links(&self, message: LinksMessage) {
        if self.links.try_send(message).is_err() {
            tracing::error!("the links do not listen: the link to the master cannot be changed");
        }
    }

    /// FAILOVER that gets nowhere: no client may write meanwhile, so operators are told with every attempt.
    fn tell_of_failover(&self) {
        let is_unanswered =
            self.current.as_ref().is_some_and(|(_, introduction)| introduction.failover.is_unanswered());
        if let Some(MasterAddress { host, port }) = self.core.master().filter(|_| is_unanswered) {
            tracing::warn!(
                "FAILOVER to {host}:{port} is in progress, and it has not answered: it is asked again, and writes wait. \
                 FAILOVER ABORT makes this node a master again; the target may have become one, too."
            );
        }
    }

    fn status(&self) -> Option<UpstreamStatus> {
        let master = self.core.master()?;
        let (read, total) = self.core.sync_progress().unwrap_or_default();
        Some(UpstreamStatus {
            host: master.host.clone(),
            port: master.port,
            state: self.core.link_state().role_name(),
            last_io: self.wall_time(self.core.last_io()),
            down_since: self.core.down_since().map(|since| self.wall_time(since)),
            sync_read_bytes: read.get(),
            sync_total_bytes: total.map(|bytes| bytes.get()),
            read_offset: Offset::ZERO,
        })
    }

    fn wall_time(&self, at: Duration) -> UnixMillis {
        let ago = i64::try_from(self.clock.now().saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
        UnixMillis::new(unix_now().get().saturating_sub(ago))
    }
}

/// What the master said, in Redis' words.
fn tell_operators(event: &UpstreamEvent) {
    match event {
        UpstreamEvent::Continue { replid } => {
            tracing::info!("Successful partial resynchronization with master.");
            if let Some(replid) = replid {
                tracing::info!(%replid, "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.");
            }
        }
        UpstreamEvent::FullSync { replid, offset, length } => {
            if let (Some(replid), Some(offset)) = (replid, offset) {
                tracing::info!("Full resync from master: {replid}:{offset}");
            }
            match length {
                Some(length) => {
                    tracing::info!("MASTER <-> REPLICA sync: receiving {length} bytes from master to parser");
                }
                None => {
                    tracing::info!(
                        "MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser"
                    );
                }
            }
        }
        // The link says what it makes of them.
        UpstreamEvent::PayloadEnd | UpstreamEvent::Compared { .. } | UpstreamEvent::Diverged { .. } => {}
    }
}

impl Actor for Replica {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<FollowMaster> for Replica {
    type Result = ();

    fn handle(&mut self, message: FollowMaster, context: &mut Self::Context) {
        self.current = Some((message.following, message.introduction));
        self.core.follow(self.clock.now(), MasterAddress { host: message.host, port: message.port });
        self.settle(context);
    }
}

impl Handler<Introduce> for Replica {
    type Result = ();

    fn handle(&mut self, message: Introduce, _: &mut Self::Context) {
        if let Some((_, introduction)) = &mut self.current {
            *introduction = message.introduction;
        }
    }
}

impl Handler<Unfollow> for Replica {
    type Result = ();

    fn handle(&mut self, _: Unfollow, context: &mut Self::Context) {
        self.core.unfollow();
        self.current = None;
        self.settle(context);
    }
}

impl Handler<LinkUp> for Replica {
    type Result = MessageResult<LinkUp>;

    fn handle(&mut self, up: LinkUp, context: &mut Self::Context) -> Self::Result {
        let wanted: Option<Wanted> = self.core.handle_dialed(self.clock.now(), up.epoch, up.position);
        self.settle(context);
        MessageResult(wanted)
    }
}

impl Handler<WentBack> for Replica {
    type Result = MessageResult<WentBack>;

    fn handle(&mut self, went: WentBack, context: &mut Self::Context) -> Self::Result {
        let wanted = self.core.handle_rewound(self.clock.now(), went.epoch, went.position);
        self.settle(context);
        MessageResult(wanted)
    }
}

impl Handler<UpstreamSaid> for Replica {
    type Result = MessageResult<UpstreamSaid>;

    fn handle(&mut self, said: UpstreamSaid, context: &mut Self::Context) -> Self::Result {
        tell_operators(&said.event);
        self.core.handle_event(self.clock.now(), said.epoch, &said.event);
        MessageResult(self.settle(context))
    }
}

impl Handler<SnapshotArrived> for Replica {
    type Result = MessageResult<SnapshotArrived>;

    fn handle(&mut self, arrived: SnapshotArrived, context: &mut Self::Context) -> Self::Result {
        let now = self.clock.now();
        if arrived.is_good {
            self.core.handle_load_verified(now, arrived.epoch);
        } else {
            self.core.handle_load_failed(now, arrived.epoch, rand::random());
        }
        MessageResult(self.settle(context))
    }
}

impl Handler<UpstreamProgress> for Replica {
    type Result = ();

    fn handle(&mut self, progress: UpstreamProgress, context: &mut Self::Context) {
        self.core.handle_io(self.clock.now(), progress.epoch, progress.payload);
        self.settle(context);
    }
}

impl Handler<LinkLost> for Replica {
    type Result = ();

    fn handle(&mut self, lost: LinkLost, context: &mut Self::Context) {
        if lost.epoch == self.core.epoch() && self.core.link_state() != LinkState::None {
            tracing::warn!(epoch = %lost.epoch, reason = lost.reason, "Connection with master lost.");
            self.tell_of_failover();
        }
        self.core.handle_link_lost(self.clock.now(), lost.epoch, rand::random());
        self.settle(context);
    }
}
