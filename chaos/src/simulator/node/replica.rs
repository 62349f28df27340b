//! The node's side as a replica: what the actor `Replica`, the link upstream, the loader and the shard's apply loop do.

use std::time::Duration;

use rejoin_commands::{Effect, Input};
use rejoin_keyspace::{Keyspace, KeyspaceOptions};
use rejoin_persistence::rdb::{self, DecodeOptions};
use rejoin_protocol::{ByteCount, DbIndex, Epoch, Offset, ReplicationId, resp::RequestLimits};
use rejoin_replication::{
    BackoffSettings, Follower, FollowerSettings, MasterAddress, Position, ReplicaAction, ReplicaCore,
    ReplicaSettings, Taken, Takeover, Upstream, UpstreamEvent, UpstreamSettings,
};

use super::{
    Defect, MASTER_SESSION, Node, Peer, Report, hash_seed,
    master::{Mail, PORT_BASE},
};
use crate::simulator::{
    NodeId,
    network::{ConnId, Network},
};

/// The link to the master.
#[derive(Debug)]
struct Link {
    conn: ConnId,
    epoch: Epoch,
    /// Until the stream begins.
    upstream: Option<Upstream>,
    /// From then on.
    follower: Option<(Follower, Box<Input>)>,
    /// Read and not yet taken.
    input: Vec<u8>,
}

/// A payload that comes, or is being loaded.
#[derive(Debug)]
struct Load {
    epoch: Epoch,
    bytes: Vec<u8>,
    /// When it will have been loaded; set when it is whole.
    done_at: Option<Duration>,
    loaded: Option<(Keyspace, Option<DbIndex>)>,
}

#[derive(Debug)]
pub(super) struct ReplicaSide {
    core: ReplicaCore,
    /// The attempt that runs.
    dialing: Option<(Epoch, ConnId)>,
    link: Option<Link>,
    load: Option<Load>,
    master: Option<NodeId>,
}

impl Default for ReplicaSide {
    fn default() -> Self {
        let backoff = BackoffSettings { max: Duration::from_secs(2), ..BackoffSettings::default() };
        let settings = ReplicaSettings { dial_timeout: Duration::from_secs(3), backoff };
        Self { core: ReplicaCore::new(settings), dialing: None, link: None, load: None, master: None }
    }
}

impl ReplicaSide {
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        let link = self.link.as_ref().map(|link| {
            let upstream = link.upstream.as_ref().and_then(Upstream::poll_timeout);
            let follower = link.follower.as_ref().and_then(|(follower, _)| follower.poll_timeout());
            upstream.or(follower)
        });
        let load = self.load.as_ref().and_then(|load| load.done_at);
        [self.core.poll_timeout(), link.flatten(), load].into_iter().flatten().min()
    }
}

impl Node {
    /// Whom this node follows.
    pub(crate) fn master(&self) -> Option<NodeId> {
        self.replica.master
    }

    /// Whether the master's stream flows.
    pub(crate) fn is_streaming(&self) -> bool {
        self.replica.link.as_ref().is_some_and(|link| link.follower.is_some())
    }

    pub(super) fn follow_address(&mut self, now: Duration, master: NodeId) {
        self.replica.master = Some(master);
        self.replica.core.follow(now, MasterAddress { host: format!("n{master}"), port: 6379 });
    }

    pub(super) fn unfollow_address(&mut self) {
        self.replica.master = None;
        self.replica.core.unfollow();
    }

    /// What is due of attempts, timeouts and loads.
    pub(super) fn step_replica(&mut self, now: Duration, net: &mut Network) {
        let random = self.chance.next();
        self.replica.core.handle_timeout(now, random);
        self.carry_out_actions(now, net);
        if let Some(link) = &mut self.replica.link {
            let upstream = link.upstream.as_mut().and_then(|machine| machine.handle_timeout(now).err());
            let follower = link.follower.as_mut().and_then(|(machine, _)| machine.handle_timeout(now).err());
            let error = upstream.map(|error| error.to_string()).or(follower.map(|error| error.to_string()));
            if let Some(error) = error {
                self.drop_link(now, net, &error);
            }
        }
        if self.replica.load.as_ref().is_some_and(|load| load.done_at.is_some_and(|at| at <= now)) {
            self.finish_load(now, net);
        }
    }

    /// The connection that was asked for is there.
    pub(super) fn handle_dialed(&mut self, now: Duration, net: &mut Network, conn: ConnId) {
        let Some((epoch, _)) = self.replica.dialing.take_if(|(_, dialing)| *dialing == conn) else {
            return net.close(now, conn, self.id);
        };
        let position = self.position();
        let Some(wanted) = self.replica.core.handle_dialed(now, epoch, position) else {
            self.peers.remove(&conn);
            return net.close(now, conn, self.id);
        };
        let settings = UpstreamSettings {
            repl_timeout: self.repl_timeout(),
            keepalive_period: Duration::from_secs(1),
            credentials: None,
            listening_port: PORT_BASE + self.id as u16,
            announce_ip: None,
            version: None,
            takeover: Takeover::No,
        };
        let upstream = Some(Upstream::new(now, settings, wanted));
        self.replica.link = Some(Link { conn, epoch, upstream, follower: None, input: Vec::new() });
    }

    /// What this node holds, for a master to continue.
    fn position(&self) -> Option<Position> {
        let offset = self.visible().advance(ByteCount::of(self.unwritten.len()));
        (self.has_masters_stream || offset > Offset::ZERO)
            .then_some(Position { replid: self.lineage.current(), offset })
    }

    pub(super) fn handle_masters_bytes(
        &mut self,
        now: Duration,
        net: &mut Network,
        conn: ConnId,
        bytes: &[u8],
    ) {
        let Some(link) = self.replica.link.as_mut().filter(|link| link.conn == conn) else { return };
        if let Some((follower, input)) = &mut link.follower {
            follower.handle_io(now);
            input.buffer_mut().extend_from_slice(bytes);
            self.replica.core.handle_io(now, link.epoch, ByteCount::ZERO);
            return self.apply(now, net);
        }
        link.input.extend_from_slice(bytes);
        self.converse(now, net);
    }

    /// Takes what has come of handshake and payload.
    fn converse(&mut self, now: Duration, net: &mut Network) {
        loop {
            let Some(link) = &mut self.replica.link else { return };
            let Some(upstream) = &mut link.upstream else { return };
            let taken = match upstream.handle_bytes(now, &link.input) {
                Ok(Taken::Conversation(0) | Taken::Stream) => return self.handle_upstream_events(now, net),
                Ok(Taken::Conversation(taken)) => taken,
                Ok(Taken::Payload { held, chunk, taken }) => {
                    if let Some(load) = &mut self.replica.load {
                        load.bytes.extend_from_slice(held);
                        load.bytes.extend_from_slice(chunk);
                    }
                    let count = ByteCount::of(held.len() + chunk.len());
                    self.replica.core.handle_io(now, link.epoch, count);
                    taken
                }
                Err(error) => return self.drop_link(now, net, &error.to_string()),
            };
            link.input.drain(..taken);
            let is_drained = link.input.is_empty();
            self.handle_upstream_events(now, net);
            if is_drained {
                return;
            }
        }
    }

    fn handle_upstream_events(&mut self, now: Duration, net: &mut Network) {
        loop {
            let Some(link) = &mut self.replica.link else { return };
            let Some(event) = link.upstream.as_mut().and_then(Upstream::poll_event) else { return };
            let epoch = link.epoch;
            self.say(format!("is told {event:?}"));
            self.replica.core.handle_event(now, epoch, &event);
            self.carry_out_actions(now, net);
            if event == UpstreamEvent::PayloadEnd {
                let done_at = now + self.chance.millis(0, 600);
                if let Some(load) = self.replica.load.as_mut().filter(|load| load.epoch == epoch) {
                    load.done_at = Some(done_at);
                }
            }
        }
    }

    fn finish_load(&mut self, now: Duration, net: &mut Network) {
        let random = self.chance.next();
        let seed = hash_seed(&mut self.chance);
        let Some(load) = &mut self.replica.load else { return };
        load.done_at = None;
        let options = KeyspaceOptions { databases: self.setup.settings.databases, seed };
        let mut keyspace = Keyspace::new(options);
        let limits = self.engine.settings.limits();
        let epoch = load.epoch;
        match rdb::decode(&mut &*load.bytes, &mut keyspace, &DecodeOptions::for_link(limits)) {
            Ok(summary) => {
                load.loaded = Some((keyspace, summary.position.map(|position| position.selected)));
                self.replica.core.handle_load_verified(now, epoch);
            }
            Err(error) => {
                self.say(format!("refuses a payload: {error}"));
                self.replica.core.handle_load_failed(now, epoch, random);
            }
        }
        self.carry_out_actions(now, net);
    }

    fn carry_out_actions(&mut self, now: Duration, net: &mut Network) {
        while let Some(action) = self.replica.core.poll_action() {
            match action {
                ReplicaAction::Dial { epoch, .. } => {
                    let Some(master) = self.replica.master else { continue };
                    let conn = net.dial(now, self.id, master);
                    self.peers.insert(conn, Peer::Master);
                    self.replica.dialing = Some((epoch, conn));
                }
                ReplicaAction::Close { epoch } => self.hang_up(now, net, epoch),
                ReplicaAction::BeginLoad { epoch, .. } => {
                    self.replica.load = Some(Load { epoch, bytes: Vec::new(), done_at: None, loaded: None });
                }
                ReplicaAction::DropLoad { .. } => self.replica.load = None,
                ReplicaAction::SwapIn { replid, offset, .. } => self.swap_in(now, net, replid, offset),
                ReplicaAction::AdoptLineage { replid, at } => self.adopt_lineage(now, replid, at),
                ReplicaAction::StartStreaming { after, .. } => self.start_streaming(now, net, after),
            }
        }
    }

    fn swap_in(&mut self, now: Duration, net: &mut Network, replid: Option<ReplicationId>, offset: Offset) {
        let Some((keyspace, selected)) = self.replica.load.take().and_then(|load| load.loaded) else {
            return;
        };
        self.stop_stream(net, now);
        self.engine.replace_keyspace(keyspace);
        self.has_masters_stream = replid.is_some();
        let replid = replid.unwrap_or_else(|| self.chance.replid());
        self.reports.push(Report::Named { replid, parent: None, start: offset, is_own: false });
        self.lineage.replace(replid);
        self.engine.status.replid = replid;
        self.unwritten.clear();
        let name = self.log.restart(offset);
        self.engine.log.restart(offset, None);
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.db = selected.unwrap_or(DbIndex::new(0));
            session.transaction = None;
        }
        self.say(format!("swaps in the data of {replid} at {offset}"));
        self.reports.push(Report::DataReplaced);
        self.restart_log_files(now);
        self.tell_master(now, Mail::Replace { lineage: self.lineage.clone(), name });
    }

    fn adopt_lineage(&mut self, now: Duration, replid: ReplicationId, at: Offset) {
        let parent = Some((self.lineage.current(), at));
        if !self.lineage.adopt(replid, at) {
            return;
        }
        // The world knows where the master's stream began; this says no more than that it exists.
        self.reports.push(Report::Named { replid, parent, start: at, is_own: false });
        self.engine.status.replid = replid;
        self.rename_log();
        let name = self.log.begin_name();
        self.tell_master(now, Mail::Adopt { replid, at, name });
    }

    fn start_streaming(&mut self, now: Duration, net: &mut Network, after: Offset) {
        let repl_timeout = self.repl_timeout();
        let Some(link) = &mut self.replica.link else { return };
        let Some(upstream) = link.upstream.take() else { return };
        let settings = FollowerSettings { repl_timeout, ack_period: Duration::from_secs(1) };
        let follower = Follower::new(now, settings, after, upstream.first_ack());
        let mut input = Box::new(Input::new(MASTER_SESSION));
        input.buffer_mut().append(&mut link.input);
        link.follower = Some((follower, input));
        assert_eq!(after, self.visible(), "the stream goes on where the log ends");
        let (replid, at, name) = (self.lineage.current(), self.visible(), self.log.name());
        self.tell_master(now, Mail::Adopt { replid, at, name });
        self.apply(now, net);
    }

    /// Applies and logs all whole commands that have arrived.
    fn apply(&mut self, now: Duration, net: &mut Network) {
        loop {
            let Some(Link { follower: Some((_, input)), .. }) = &mut self.replica.link else { return };
            input.decode(&RequestLimits::master(), true);
            if !input.is_ready() {
                return;
            }
            let (unwritten, tail) = (&mut self.unwritten, &mut self.tail);
            let applied = self.engine.apply_turn(input, &mut |bytes, at_border| {
                if at_border && tail.is_empty() {
                    unwritten.extend_from_slice(bytes);
                    return;
                }
                tail.extend_from_slice(bytes);
                if at_border {
                    unwritten.append(tail);
                }
            });
            self.publish_log(now);
            let getacks: Vec<Offset> = std::mem::take(&mut self.engine.effects)
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::AckMaster { offset } => Some(offset),
                    _ => None,
                })
                .collect();
            self.note_applied();
            if let Some(Link { follower: Some((follower, _)), .. }) = &mut self.replica.link {
                getacks.into_iter().for_each(|offset| follower.handle_getack(offset));
            }
            if let Err(error) = applied.outcome {
                let at = self.visible();
                return self.drop_link(now, net, &format!("{error} at offset {at}"));
            }
            if self.is_failed {
                return;
            }
        }
    }

    fn note_applied(&mut self) {
        let (visible, durable) = (self.visible(), self.durable());
        let is_early = self.setup.planted == Some(Defect::AckBeforeApplied);
        let Some(Link { follower: Some((follower, input)), .. }) = &mut self.replica.link else { return };
        let arrived = if is_early { input.pending_bytes() } else { 0 };
        follower.handle_applied(visible.advance(ByteCount::of(arrived)));
        follower.handle_durable(durable.map(|durable| durable.min(visible)));
    }

    /// Sends the master what there is for it.
    pub(super) fn pump_replica(&mut self, now: Duration, net: &mut Network) {
        self.note_applied();
        self.carry_out_actions(now, net);
        let id = self.id;
        let Some(link) = &mut self.replica.link else { return };
        while let Some(lines) = link.upstream.as_mut().and_then(Upstream::poll_transmit) {
            net.send(now, link.conn, id, &lines);
        }
        if let Some((follower, _)) = &mut link.follower {
            let offset = follower.offset_applied();
            let mut has_said = false;
            while let Some(lines) = follower.poll_transmit() {
                net.send(now, link.conn, id, &lines);
                has_said = true;
            }
            if has_said {
                let durable = self.durable().unwrap_or_default().min(offset);
                self.reports.push(Report::SaidAck { offset, durable });
            }
        }
    }

    /// The connection to the master is gone; `conn`, if only that one is meant.
    pub(super) fn lose_master(&mut self, now: Duration, conn: Option<ConnId>, reason: &str) {
        let random = self.chance.next();
        let was_streaming = self.is_streaming();
        let (present, epoch) = match (&self.replica.link, &self.replica.dialing) {
            (Some(link), _) => (link.conn, link.epoch),
            (None, Some((epoch, conn))) => (*conn, *epoch),
            (None, None) => return,
        };
        if conn.is_some_and(|conn| conn != present) {
            return;
        }
        self.say(format!("lost its master: {reason}"));
        (self.replica.link, self.replica.dialing) = (None, None);
        if was_streaming {
            self.forget_tail();
            self.tell_master(now, Mail::UpstreamDown);
        }
        self.replica.core.handle_link_lost(now, epoch, random);
    }

    /// Closes the connection to the master; it is taken up again.
    fn drop_link(&mut self, now: Duration, net: &mut Network, reason: &str) {
        if let Some(link) = &self.replica.link {
            net.close(now, link.conn, self.id);
            self.peers.remove(&link.conn);
        }
        self.lose_master(now, None, reason);
        self.carry_out_actions(now, net);
    }

    /// The core wants a link, or an attempt, closed.
    fn hang_up(&mut self, now: Duration, net: &mut Network, epoch: Epoch) {
        if let Some((_, conn)) = self.replica.dialing.take_if(|(dialing, _)| *dialing == epoch) {
            net.close(now, conn, self.id);
            self.peers.remove(&conn);
        }
        if self.replica.link.as_ref().is_some_and(|link| link.epoch == epoch) {
            self.stop_stream(net, now);
            if let Some(link) = self.replica.link.take() {
                net.close(now, link.conn, self.id);
                self.peers.remove(&link.conn);
            }
        }
    }

    /// Ends the stream from the master, if one runs; what came of an unfinished transaction is discarded.
    pub(super) fn stop_upstream(&mut self, now: Duration, net: &mut Network) {
        if self.is_streaming()
            && let Some(link) = self.replica.link.take()
        {
            net.close(now, link.conn, self.id);
            self.peers.remove(&link.conn);
            self.forget_tail();
        }
    }

    /// As [`Self::stop_upstream`], where the link stays: a payload came over it.
    fn stop_stream(&mut self, _: &mut Network, _: Duration) {
        if self.is_streaming() {
            self.forget_tail();
        }
    }
}
