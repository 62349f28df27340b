//! `Master`: lineage, and who follows us. Decides what each replica that asks will get; moves no byte.
//!
//! The decisions are `MasterCore`'s; this shell opens cursors, hands sessions to the links, and keeps INFO up to date.

mod bases;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, WrapFuture};
use rejoin_commands::node::status::{ReplicaStatus, RungStatus, SyncStatus};
use rejoin_persistence::{
    log::{Bookmark, LogHandle},
    rdb::RdbTarget,
    segment::StreamName,
};
use rejoin_protocol::{ByteCount, Epoch, NextOffset, Offset, ReplicaId, ReplicationId, UnixMillis};
use rejoin_replication::{
    AttachDecision, BaseTerms, Failover, FailoverAction, FullReason, Lineage, LogRange, MasterCore,
    ReplicaHello, Rung, Wanted,
};
use rejoin_transports::Endpoint;
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::Clock,
    events::PartGuard,
    live_settings::LiveSettingsReader,
    mailbox::{MAILBOX_MAX, WhenFull, tell},
    messages::{
        aof_sender::{FindBase, FindHistory, NoHistory},
        buffer_manager::{CloseCursor, OpenCursor},
        links::{LinksMessage, ServeReplica, SessionStart},
        master::{
            AbortFailover, AdoptLineage, AttachReplica, BaseAnswered, Demote, LiveSettingsChanged, Promote,
            ReplaceLineage, ReplicaLost, ReplicaProgress, ReplicaStalled, StartFailover, UpstreamDown,
        },
        shard::{MasterStatus, ShardMessage},
        snapshotter::{JoinSnapshot, SnapshotFeed},
    },
    shard::{log_files::stream_name_of, unix_now},
};

use bases::{AwaitingBase, Joining};

/// What the `Master` begins with.
pub struct MasterSeed {
    /// The stream's name.
    pub replid: ReplicationId,
    /// What CONFIG SET changes.
    pub settings: LiveSettingsReader,
    /// The node's clock.
    pub clock: Clock,
    /// Readers' end of the log.
    pub log: LogHandle,
    /// The links' inbox.
    pub links: mpsc::Sender<LinksMessage>,
    /// The shard's inbox.
    pub shard: mpsc::Sender<ShardMessage>,
    /// The `Snapshotter`.
    pub join: Recipient<JoinSnapshot>,
    /// The `AofSender`.
    pub find_history: Recipient<FindHistory>,
    /// The `AofSender`.
    pub find_base: Recipient<FindBase>,
    /// The `BufferManager`.
    pub open_cursor: Recipient<OpenCursor>,
    /// The `BufferManager`.
    pub close_cursor: Recipient<CloseCursor>,
    /// Reports our loss.
    pub guard: PartGuard,
}

/// Lineage, and who follows us.
pub struct Master {
    core: MasterCore,
    seed: MasterSeed,
    /// The log's number for the stream's name, as far as we have heard of it.
    name: u64,
    /// Replicas that want history, until the `AofSender` has answered.
    awaiting_history: BTreeMap<ReplicaId, AttachReplica>,
    /// Replicas that wait for their turn to join a snapshot; their sessions run already.
    awaiting_admission: BTreeMap<ReplicaId, Joining>,
    /// Replicas that may begin with a base, until the `AofSender` has answered; their sessions run already.
    awaiting_base: BTreeMap<ReplicaId, AwaitingBase>,
    /// Our own; set when we start.
    address: Option<Recipient<BaseAnswered>>,
    /// A failover that looks for its target, and its number.
    failover: Option<(u64, Failover)>,
}

impl Master {
    /// A master of the stream `seed.replid`.
    #[must_use]
    pub fn new(seed: MasterSeed) -> Self {
        let full_syncs_max = seed.settings.borrow().full_syncs_max;
        Self {
            core: MasterCore::new(Lineage::new(seed.replid), full_syncs_max),
            seed,
            name: 0,
            awaiting_history: BTreeMap::new(),
            awaiting_admission: BTreeMap::new(),
            awaiting_base: BTreeMap::new(),
            address: None,
            failover: None,
        }
    }

    fn log_range(&self) -> LogRange {
        // The first byte is read before the last: what is released in between makes the range too generous at its
        // beginning, which opening the cursor notices.
        let first = self.seed.log.first_held();
        // How far back the files reach, the `AofSender` says when it is asked.
        LogRange { first, first_retained: NextOffset::FIRST, visible: self.seed.log.visible() }
    }

    fn attach(&mut self, attach: AttachReplica, context: &mut Context<Self>) {
        let (now, log) = (self.seed.clock.now(), self.log_range());
        let decision = self.core.handle_attach(
            now,
            attach.replica,
            &attach.peer.host,
            &attach.hello,
            attach.wanted,
            log,
        );
        self.carry_out(attach, decision, context);
    }

    fn carry_out(&mut self, attach: AttachReplica, decision: AttachDecision, context: &mut Context<Self>) {
        match decision {
            AttachDecision::Continue { from, replid } => self.continue_stream(attach, from, replid, context),
            AttachDecision::History { from, .. } => self.find_history(attach, from, context),
            AttachDecision::Full { reason, admitted } => self.begin_full_sync(attach, reason, admitted),
            AttachDecision::NotNow { error } => {
                tracing::info!(
                    replica = %attach.replica, peer = %attach.peer, error, "replica is asked to come back later"
                );
                self.serve(attach, SessionStart::Refuse { error });
            }
        }
    }

    fn continue_stream(
        &mut self,
        attach: AttachReplica,
        from: NextOffset,
        replid: ReplicationId,
        context: &mut Context<Self>,
    ) {
        match self.seed.log.open_cursor_under(self.name, from) {
            Ok(cursor) => {
                let bytes = cursor.lag();
                self.core.handle_rung_taken(Rung::Continue, bytes);
                tell_partial(&attach, from, bytes, "memory");
                // The session opens its own; should memory move on before, it goes on from files.
                self.serve(attach, SessionStart::Continue { replid, from: cursor.bookmark() });
            }
            // Released since we looked.
            Err(_) => self.find_history(attach, from, context),
        }
    }

    /// Asks whether files hold what memory does not, and keeps them from being removed meanwhile.
    fn find_history(&mut self, attach: AttachReplica, from: NextOffset, context: &mut Context<Self>) {
        let replica = attach.replica;
        let at = self.seed.log.bookmark_under(self.name, from);
        tell(
            &self.seed.open_cursor,
            OpenCursor { replica, stream: self.stream(), at: from },
            WhenFull::Complain,
        );
        let asked = self.seed.find_history.send(FindHistory { stream: self.stream(), at: at.clone() });
        self.awaiting_history.insert(replica, attach);
        let epoch = self.core.epoch();
        context.spawn(asked.into_actor(self).map(move |answer, master, context| {
            let answer = answer.unwrap_or_else(|error| {
                Err(NoHistory { first: master.seed.log.first_held(), reason: error.to_string() })
            });
            master.history_answered(replica, epoch, at, answer, context);
            master.settle();
        }));
    }

    fn history_answered(
        &mut self,
        replica: ReplicaId,
        asked_in: Epoch,
        at: Bookmark,
        answer: Result<(), NoHistory>,
        context: &mut Context<Self>,
    ) {
        // The replica is gone.
        let Some(attach) = self.awaiting_history.remove(&replica) else { return };
        if asked_in != self.core.epoch() {
            // Our lineage is another one by now: decided anew.
            return self.attach(attach, context);
        }
        let from = at.position();
        match answer {
            Ok(()) => {
                tell_partial(&attach, from, at.lag(), "files");
                self.core.handle_history_granted(replica);
                self.core.handle_rung_taken(Rung::History, at.lag());
                let replid = self.core.lineage().current();
                self.serve(attach, SessionStart::Continue { replid, from: at });
            }
            Err(NoHistory { first, reason }) => {
                tell(&self.seed.close_cursor, CloseCursor { replica }, WhenFull::Complain);
                tracing::info!(%replica, peer = %attach.peer, %from, reason, "Files do not hold what the replica wants");
                let log =
                    LogRange { first_retained: first.min(self.seed.log.first_held()), ..self.log_range() };
                if let Some(decision) = self.core.handle_history_refused(replica, from, log) {
                    self.carry_out(attach, decision, context);
                }
            }
        }
    }

    fn stream(&self) -> Arc<StreamName> {
        Arc::new(stream_name_of(self.core.lineage()))
    }

    fn begin_full_sync(&mut self, attach: AttachReplica, reason: FullReason, admitted: bool) {
        let replica = attach.replica;
        self.tell_refusal(&attach, &reason);
        tracing::info!(
            %replica, %reason, admitted,
            "Full resync requested by replica {}", shown_as(&attach.hello, &attach.peer)
        );
        let terms = BaseTerms::of(self.core.lineage(), attach.wanted, &attach.hello);
        let (deliver, snapshot) = oneshot::channel::<SnapshotFeed>();
        let join = JoinSnapshot {
            replica,
            target: target_of(&attach.hello),
            knows_seed: attach.hello.capa_rejoin,
            omits_keys: attach.hello.rdb_without_data,
            capa_eof: attach.hello.capa_eof,
            deliver,
        };
        let is_legacy = attach.wanted == Wanted::LegacySync;
        self.serve(attach, SessionStart::Full { is_legacy, snapshot });
        let joining = Joining { join, terms };
        if admitted {
            self.begin_payload(joining);
        } else {
            self.awaiting_admission.insert(replica, joining);
        }
    }

    /// Why a partial resync was refused, in Redis' words; our own numbers follow.
    fn tell_refusal(&self, attach: &AttachReplica, reason: &FullReason) {
        let name = shown_as(&attach.hello, &attach.peer);
        match reason {
            FullReason::UnknownReplid { wanted, current, .. } => {
                let second = self.core.lineage().second().map_or(ReplicationId::NONE, |(second, _)| second);
                tracing::info!(
                    "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{wanted}', my \
                     replication IDs are '{current}' and '{second}')"
                );
            }
            FullReason::Diverged { from, last_valid, .. } => tracing::info!(
                "Partial resynchronization not accepted: Requested offset for second ID was {from}, but I can reply up to {}",
                last_valid.next()
            ),
            FullReason::TooOld { from, .. } | FullReason::HistoryRefused { from, .. } => tracing::info!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica request was: {from})."
            ),
            FullReason::TooNew { from, .. } => {
                tracing::info!(
                    "Unable to partial resync with replica {name} for lack of backlog (Replica request was: {from})."
                );
                tracing::warn!(
                    "Warning: replica {name} tried to PSYNC with an offset that is greater than the master replication \
                     offset."
                );
            }
            FullReason::LegacySync | FullReason::Asked => {}
        }
    }

    fn serve(&mut self, attach: AttachReplica, start: SessionStart) {
        let AttachReplica { replica, peer, hello, stream, unsent, received, .. } = attach;
        let sent_stream = self.stream();
        let serve = ServeReplica { replica, peer, hello, stream, unsent, received, sent_stream, start };
        if self.seed.links.try_send(LinksMessage::Serve(Box::new(serve))).is_err() {
            tracing::error!(%replica, "the links do not listen: a replica was turned away");
            tell(&self.seed.close_cursor, CloseCursor { replica }, WhenFull::Complain);
            self.core.handle_lost(replica);
        }
    }

    /// Whether a replica may take our place by now, or none will.
    fn look_for_target(&mut self) {
        let Some((failover, machine)) = &self.failover else { return };
        let failover = *failover;
        let decided = machine
            .handle_replicas(self.core.replicas())
            .or_else(|| machine.handle_timeout(self.seed.clock.now()));
        let message = match decided {
            None => return,
            Some(FailoverAction::Demote { target, is_forced }) => {
                ShardMessage::FailOver { failover, target, is_forced }
            }
            Some(FailoverAction::Abort { reason }) => ShardMessage::FailoverAborted { failover, reason },
        };
        self.failover = None;
        if self.seed.shard.try_send(message).is_err() {
            tracing::error!(failover, "the shard does not listen: FAILOVER ABORT ends the failover");
        }
    }

    /// After every message: lets waiting replicas join, and tells INFO.
    fn settle(&mut self) {
        self.look_for_target();
        while let Some(replica) = self.core.poll_admitted() {
            if let Some(joining) = self.awaiting_admission.remove(&replica) {
                self.begin_payload(joining);
            }
        }
        let now = (unix_now(), self.seed.clock.now());
        let counters = self.core.counters();
        let status = MasterStatus {
            replicas: self
                .core
                .replicas()
                .map(|replica| ReplicaStatus {
                    id: replica.id,
                    ip: replica.ip.clone(),
                    port: replica.port,
                    state: replica.state.info_name(),
                    offset: replica.offset_acked,
                    offset_durable: Offset::ZERO,
                    acked_at: wall_time(now, replica.acked_at),
                })
                .collect(),
            syncs: SyncStatus {
                full: counters.full,
                partial_ok: counters.partial_ok,
                partial_err: counters.partial_err,
                rungs: counters.rungs.map(|rung| RungStatus { syncs: rung.syncs, bytes: rung.bytes.get() }),
            },
        };
        // A later status says the same; the shard's inbox is only full while it is busy.
        let _ = self.seed.shard.try_send(ShardMessage::MasterStatus(Box::new(status)));
    }

    /// Ends sessions that must learn a new replid, once they have all that they share with it.
    fn close(&mut self, replicas: Vec<ReplicaId>, after: Option<Offset>, reason: &'static str) {
        for replica in replicas {
            let message = LinksMessage::Drop { replica: Some(replica), after, reason };
            if self.seed.links.try_send(message).is_err() {
                tracing::error!(%replica, reason, "the links do not listen: a session stays open");
            }
        }
    }
}

/// The address of a replica as operators are shown it: what it announced, or else the link's.
pub(crate) fn shown_as(hello: &ReplicaHello, peer: &Endpoint) -> Endpoint {
    let host = hello.ip_address.clone().unwrap_or_else(|| peer.host.clone());
    Endpoint::new(host, if hello.listening_port == 0 { peer.port } else { hello.listening_port })
}

fn tell_partial(attach: &AttachReplica, from: NextOffset, bytes: ByteCount, source: &'static str) {
    tracing::info!(
        replica = %attach.replica, source,
        "Partial resynchronization request from {} accepted. Sending {} bytes of backlog starting from offset {from}.",
        shown_as(&attach.hello, &attach.peer),
        bytes.get()
    );
}

/// The wall time of `at` on the node's clock, given both clocks' present.
fn wall_time((wall, clock): (UnixMillis, Duration), at: Duration) -> UnixMillis {
    let ago = i64::try_from(clock.saturating_sub(at).as_millis()).unwrap_or(i64::MAX);
    UnixMillis::new(wall.get().saturating_sub(ago))
}

fn target_of(hello: &ReplicaHello) -> RdbTarget {
    RdbTarget { psync2: hello.capa_psync2 || hello.rdb_only }
}

impl Actor for Master {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.address = Some(context.address().recipient());
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<AttachReplica> for Master {
    type Result = ();

    fn handle(&mut self, attach: AttachReplica, context: &mut Self::Context) {
        self.attach(attach, context);
        self.settle();
    }
}

impl Handler<ReplicaProgress> for Master {
    type Result = ();

    fn handle(&mut self, progress: ReplicaProgress, _: &mut Self::Context) {
        self.core.handle_payload_sent(progress.replica, progress.payload);
        self.core.handle_state(progress.replica, progress.state);
        self.core.handle_ack(self.seed.clock.now(), progress.replica, progress.offset_acked);
        self.settle();
    }
}

impl Handler<ReplicaLost> for Master {
    type Result = ();

    fn handle(&mut self, lost: ReplicaLost, _: &mut Self::Context) {
        let replica = lost.replica;
        if let Some(summary) = self.core.handle_lost(replica) {
            tracing::info!(
                %replica, offset_acked = %summary.offset_acked, reason = lost.reason,
                "Connection with replica {}:{} lost.", summary.ip, summary.port
            );
        }
        self.awaiting_admission.remove(&replica);
        self.awaiting_base.remove(&replica);
        self.awaiting_history.remove(&replica);
        self.settle();
    }
}

impl Handler<ReplicaStalled> for Master {
    type Result = ();

    fn handle(&mut self, stalled: ReplicaStalled, _: &mut Self::Context) {
        tracing::warn!(
            replica = %stalled.replica, lag_bytes = stalled.lag_bytes, lag_bytes_max = stalled.lag_bytes_max,
            limit = stalled.limit, "replica lags further than a limit allows and is dropped; raise the limit to keep it"
        );
        self.close(vec![stalled.replica], None, "it lagged further than a limit allows");
    }
}

impl Handler<Promote> for Master {
    type Result = ();

    fn handle(&mut self, promoted: Promote, _: &mut Self::Context) {
        self.name = promoted.name;
        let to_close = self.core.promote(promoted.replid, promoted.at);
        self.close(to_close, Some(promoted.at), "the stream goes on under a new replid");
        self.settle();
    }
}

impl Handler<StartFailover> for Master {
    type Result = ();

    fn handle(&mut self, started: StartFailover, context: &mut Self::Context) {
        let now = self.seed.clock.now();
        let machine = Failover::new(now, started.order);
        if let Some(at) = machine.poll_timeout() {
            // One that was called off meanwhile finds nothing, or a later one whose time is not up.
            context.run_later(at.saturating_sub(now), |master, _| master.look_for_target());
        }
        self.failover = Some((started.failover, machine));
        self.look_for_target();
    }
}

impl Handler<AbortFailover> for Master {
    type Result = ();

    fn handle(&mut self, _: AbortFailover, _: &mut Self::Context) {
        self.failover = None;
    }
}

impl Handler<LiveSettingsChanged> for Master {
    type Result = ();

    fn handle(&mut self, _: LiveSettingsChanged, _: &mut Self::Context) {
        let full_syncs_max = self.seed.settings.borrow().full_syncs_max;
        self.core.set_full_syncs_max(full_syncs_max);
        self.settle();
    }
}

impl Handler<Demote> for Master {
    type Result = ();

    fn handle(&mut self, _: Demote, _: &mut Self::Context) {
        self.core.demote();
        self.settle();
    }
}

impl Handler<AdoptLineage> for Master {
    type Result = ();

    fn handle(&mut self, adopted: AdoptLineage, _: &mut Self::Context) {
        self.name = adopted.name;
        let to_close = self.core.adopt_lineage(adopted.replid, adopted.at);
        self.close(to_close, Some(adopted.at), "the master's stream goes on under a new replid");
        self.core.handle_upstream(true);
        self.settle();
    }
}

impl Handler<ReplaceLineage> for Master {
    type Result = ();

    fn handle(&mut self, replaced: ReplaceLineage, _: &mut Self::Context) {
        self.name = replaced.name;
        let to_close = self.core.replace_lineage(replaced.lineage);
        self.close(to_close, None, "our data was replaced by a full sync");
        self.core.handle_upstream(true);
        self.settle();
    }
}

impl Handler<UpstreamDown> for Master {
    type Result = ();

    fn handle(&mut self, _: UpstreamDown, _: &mut Self::Context) {
        self.core.handle_upstream(false);
        self.settle();
    }
}
