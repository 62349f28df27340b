//! What the control plane and the links ask of the shard, between two turns.

use rejoin_commands::{Role, SessionKind};
use rejoin_keyspace::Keyspace;
use rejoin_persistence::rdb::StreamPosition;
use rejoin_protocol::{ByteCount, DbIndex, Offset, ReplicationId};
use rejoin_replication::Position;
use tokio::sync::mpsc;

use crate::{
    background,
    clock::Clock,
    messages::{
        master::{AdoptLineage, ReplaceLineage},
        shard::{MasterStatus, ShardMessage, SnapshotTaken},
    },
    shard::{Shard, SharedShard, connection::Close, effects, execute, unix_now, upstream},
};

/// Handles messages until the node stops.
pub(crate) async fn receive_until_stopped(
    shard: SharedShard,
    clock: Clock,
    mut inbox: mpsc::Receiver<ShardMessage>,
) {
    while let Some(message) = inbox.recv().await {
        match message {
            ShardMessage::TakeSnapshot { readers, answer } => {
                let shard = &mut *shard.borrow_mut();
                // What the log could not take has no place in the stream: no snapshot, and the replica comes back.
                if shard.publish_log() {
                    // Nobody waits any more: the snapshot was cancelled.
                    let _ = answer.send(shard.take_snapshot(readers));
                }
            }
            ShardMessage::SaveEnded(ended) => shard.borrow_mut().end_save(ended),
            ShardMessage::MasterStatus(status) => shard.borrow_mut().note_master_status(*status),
            ShardMessage::AcksMoved => {
                let shard = &mut *shard.borrow_mut();
                shard.note_acks();
                shard.answer_waiting();
            }
            ShardMessage::FailOver { failover, target, is_forced } => {
                shard.borrow_mut().fail_over(failover, target, is_forced);
            }
            ShardMessage::FailoverAborted { failover, reason } => {
                shard.borrow_mut().note_failover_aborted(failover, reason);
            }
            ShardMessage::FailoverAnswered { following, is_accepted } => {
                shard.borrow_mut().note_failover_answer(following, is_accepted);
            }
            ShardMessage::UpstreamStatus(status) => shard.borrow_mut().note_upstream_status(status),
            ShardMessage::Position { answer } => {
                let shard = shard.borrow();
                let _ = answer.send(shard.position().map(|position| (position, shard.lineage.clone())));
            }
            ShardMessage::AcceptsEmpty { answer } => {
                let _ = answer.send(shard.borrow().accepts_empty());
            }
            ShardMessage::PlanRewind { following, divergence, answer } => {
                let _ = answer.send(shard.borrow_mut().plan_rewind(following, *divergence));
            }
            ShardMessage::GoBack { following, rewound, answer } => {
                let _ = answer.send(shard.borrow_mut().go_back(following, *rewound));
            }
            ShardMessage::SwapIn { following, keyspace, replid, offset, selected, answer } => {
                let done = shard.borrow_mut().swap_in(following, *keyspace, replid, offset, selected);
                let _ = answer.send(done);
            }
            ShardMessage::AdoptLineage { following, replid, at } => {
                shard.borrow_mut().adopt_lineage(following, replid, at);
            }
            ShardMessage::StartStreaming(start) => {
                let is_wanted = shard.borrow().is_following(start.following);
                if is_wanted {
                    upstream::start_streaming(&shard, clock, *start);
                    // Also when nothing changed: the `Master` hears that our own master is there.
                    shard.borrow().tell_lineage();
                }
            }
            ShardMessage::Execute { args, answer } => {
                let asked = execute::in_process(&mut shard.borrow_mut(), &args);
                for effect in asked {
                    effects::carry_out(&shard, effect);
                }
                let _ = answer.send(execute::take_reply(&mut shard.borrow_mut()));
            }
            ShardMessage::HistoryKept { bytes, files } => shard.borrow_mut().note_history(bytes, files),
            ShardMessage::Disk(report) => shard.borrow_mut().note_disk_report(*report),
            ShardMessage::Drain { answer } => {
                let _ = answer.send(shard.borrow_mut().drain());
            }
            ShardMessage::ReplicasBehind { offset, answer } => {
                let _ = answer.send(shard.borrow().replicas_behind(offset));
            }
            ShardMessage::Shutdown { setting } => {
                let mut shard = shard.borrow_mut();
                let how = shard.departure(setting);
                shard.begin_shutdown(how);
            }
            ShardMessage::Stop => {
                let mut shard = shard.borrow_mut();
                shard.drain();
                shard.close_log_files();
                return;
            }
        }
    }
}

impl Shard {
    /// Clones the roots at a border, and opens the log there for those who will read on.
    pub(crate) fn take_snapshot(&mut self, readers: usize) -> SnapshotTaken {
        self.publish_log();
        let offset = self.visible();
        let selected = self.selected_db();
        let unsaid_db = if self.engine.role == Role::Master && readers > 0 {
            // Replicas that understand no AUX fields learn the database from the first write.
            self.engine.log.set_selected(None);
            DbIndex::new(0)
        } else {
            // Our master's stream is not ours to add to.
            selected
        };
        let handle = self.log.handle();
        // The byte after the last visible one is always held.
        let cursors = (0..readers).filter_map(|_| handle.open_cursor(offset.next()).ok()).collect();
        SnapshotTaken {
            snapshot: self.engine.keyspace.snapshot(),
            position: StreamPosition { replid: self.lineage.current(), offset, selected },
            unsaid_db,
            cursors,
        }
    }

    fn note_master_status(&mut self, status: MasterStatus) {
        let told = &mut self.engine.status;
        let older = std::mem::replace(&mut told.replicas, status.replicas);
        told.syncs.add_since(&self.syncs_told, &status.syncs);
        self.syncs_told = status.syncs;
        for replica in older {
            self.engine.note_ack(replica.id, replica.offset, replica.offset_durable, replica.acked_at);
        }
        self.merge_acks();
        self.answer_waiting();
    }

    /// What replicas have acknowledged since we last looked.
    pub(crate) fn note_acks(&mut self) {
        if self.acks.take_news() {
            self.merge_acks();
        }
    }

    fn merge_acks(&mut self) {
        for (replica, ack) in self.acks.all() {
            self.engine.note_ack(replica, ack.offset, ack.durable, ack.at);
        }
    }

    /// After a turn: has replicas' links send what asks for acknowledgements, and tell us at once what comes.
    pub(crate) fn tend_acks(&mut self) {
        self.hurry_getack();
        let awaits = self.engine.waits_for_acks();
        if awaits != self.awaits_acks {
            self.awaits_acks = awaits;
            self.acks.set_awaited(awaits);
            self.note_acks();
        }
        if awaits {
            self.note_durable();
            self.answer_waiting();
        }
    }

    /// A request for acknowledgements goes out at once.
    pub(crate) fn hurry_getack(&mut self) {
        if self.engine.take_logged_getack() {
            self.ticker.hurry();
        }
    }

    /// A master that lost its data does not take ours with it.
    fn accepts_empty(&self) -> Result<(), String> {
        let keyspace = &self.engine.keyspace;
        if keyspace.is_empty() || self.engine.settings.replica_allows_empty_master {
            return Ok(());
        }
        let databases = (0..keyspace.database_count()).map(DbIndex::new);
        let keys: usize = databases.map(|db| keyspace.database(db).len()).sum();
        Err(format!(
            "the master's data set is empty, while ours has {keys} keys: it may have lost its data. If it is meant to be \
             empty, 'CONFIG SET replica-allow-empty-master yes' lets it empty this replica, too; if not, restore it from \
             here"
        ))
    }

    /// Tells INFO the stream's name and those that it continued, together: a replica goes by them.
    pub(crate) fn show_lineage(&mut self) {
        let told = &mut self.engine.status;
        told.replid = self.lineage.current();
        (told.replid2, told.second_offset) = match self.lineage.second() {
            Some((replid, from)) => (replid, Some(from)),
            None => (ReplicationId::NONE, None),
        };
        told.ancestors =
            self.lineage.ancestors().iter().map(|ancestor| (ancestor.replid, ancestor.last_valid)).collect();
    }

    fn note_upstream_status(&mut self, status: Option<rejoin_commands::node::status::UpstreamStatus>) {
        if self.engine.role == Role::Replica
            && let Some(mut status) = status
        {
            status.read_offset = self.offset();
            if status.state == "connected" {
                status.last_io = unix_now();
            }
            self.engine.status.upstream = Some(status);
        }
    }

    /// What this node holds, for a master to continue; nothing if it never held anything. Offset zero of a master's
    /// stream is a place too: a full sync from a master that nobody followed before ends there.
    fn position(&self) -> Option<Position> {
        // What was applied and waits for the log is not to be sent again.
        let offset = self.visible().advance(ByteCount::of(self.unwritten.len()));
        // Who is to take our place holds it, and be it nothing.
        (self.has_masters_stream || offset > Offset::ZERO || self.engine.is_failing_over())
            .then_some(Position { replid: self.lineage.current(), offset })
    }

    pub(super) fn is_following(&self, following: u64) -> bool {
        self.engine.role == Role::Replica && self.following == following
    }

    /// Puts loaded data in the place of ours, at once, and the stream's place with it.
    fn swap_in(
        &mut self,
        following: u64,
        keyspace: Keyspace,
        replid: Option<ReplicationId>,
        offset: Offset,
        selected: Option<DbIndex>,
    ) -> bool {
        if !self.is_following(following) {
            return false;
        }
        self.stop_upstream();
        background::reap(self.engine.replace_keyspace(keyspace));
        self.has_masters_stream = replid.is_some();
        let replid = replid.unwrap_or_else(|| ReplicationId::from_random((self.random_id)()));
        self.lineage.replace(replid);
        self.show_lineage();
        self.unwritten.clear();
        let name = self.log.restart(offset);
        self.engine.log.restart(offset, None);
        if let Some(session) = self.engine.sessions.get_mut(upstream::MASTER_SESSION) {
            session.db = selected.unwrap_or(DbIndex::new(0));
            session.transaction = None;
            debug_assert_eq!(session.kind, SessionKind::Master);
        }
        self.restart_log_files();
        self.control.replace_lineage(ReplaceLineage { lineage: self.lineage.clone(), name });
        true
    }

    fn adopt_lineage(&mut self, following: u64, replid: ReplicationId, at: Offset) {
        if !self.is_following(following) || !self.lineage.adopt(replid, at) {
            return;
        }
        tracing::info!("Master replication ID changed to {replid}");
        self.show_lineage();
        self.rename_log();
        let name = self.log.begin_name();
        self.control.adopt_lineage(AdoptLineage { replid, at, name });
    }

    fn tell_lineage(&self) {
        let (replid, at, name) = (self.lineage.current(), self.visible(), self.log.name());
        self.control.adopt_lineage(AdoptLineage { replid, at, name });
    }

    /// Lets go of all clients; what was executed is published, and replicas are asked how far they are.
    fn drain(&mut self) -> Offset {
        if !self.stopping {
            self.stopping = true;
            self.stop_upstream();
            self.publish_log();
            for (_, connection) in &mut self.connections {
                connection.close = Some(Close::Now);
                connection.wake();
            }
        }
        let offset = self.visible();
        let has_replicas = !self.engine.status.replicas.is_empty();
        if self.engine.role == Role::Master && has_replicas && !self.is_saved_for_good {
            self.ask_replicas();
        }
        offset
    }
}
