//! Our side as a master: lineage, who follows us, and what each who asks will get. What the actor `Master` runs.
//!
//! It holds no session machines (those live with the links) but a summary of each, and it moves no byte.
//! ACKs for WAIT are counted elsewhere; what comes here is for INFO, at the pace of acknowledgements.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rejoin_protocol::{ByteCount, Epoch, NextOffset, Offset, ReplicaId, ReplicationId};

use crate::ladder::{FullReason, LogRange, Resync, Wanted, decide_resync};
use crate::lineage::Lineage;
use crate::reconnect::FullSyncAdmission;
use crate::session::{ReplicaHello, SessionState};

/// Who follows us, as INFO shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaSummary {
    /// Its session.
    pub id: ReplicaId,
    /// Its address: announced, or the link's.
    pub ip: String,
    /// The port it serves on.
    pub port: u16,
    /// Where its session stands.
    pub state: SessionState,
    /// The last byte it acknowledged.
    pub offset_acked: Offset,
    /// When it last gave a sign of life.
    pub acked_at: Duration,
}

/// How a replica got in step: the rungs of the resync ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Out of memory.
    Continue,
    /// Out of retained files.
    History,
    /// We went back to a common offset and were continued from there; the only rung that is counted by the replica.
    Rewind,
    /// What differs, by digests.
    Delta,
    /// A base that was there, and the log since.
    Base,
    /// A snapshot taken for it.
    Snapshot,
}

/// What one rung has cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RungCount {
    /// Resyncs that took this rung.
    pub syncs: u64,
    /// Bytes that they moved: stream that was missing, or payload.
    pub bytes: ByteCount,
}

/// INFO's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncCounters {
    /// Full syncs begun.
    pub full: u64,
    /// Partial resyncs granted.
    pub partial_ok: u64,
    /// Partial resyncs refused.
    pub partial_err: u64,
    /// What each rung has cost, in the order of [`Rung`].
    pub rungs: [RungCount; 6],
}

impl SyncCounters {
    /// What `rung` has cost.
    #[must_use]
    pub fn of(&self, rung: Rung) -> RungCount {
        self.rungs[rung as usize]
    }

    /// A resync took `rung` and has moved `bytes` so far.
    fn count(&mut self, rung: Rung, bytes: ByteCount) {
        self.rungs[rung as usize].syncs += 1;
        self.add_bytes(rung, bytes);
    }

    fn add_bytes(&mut self, rung: Rung, bytes: ByteCount) {
        let counted = &mut self.rungs[rung as usize].bytes;
        *counted = ByteCount::new(counted.get().saturating_add(bytes.get()));
    }
}

/// What a replica that asked gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachDecision {
    /// Out of memory, from `from`: [`ReplicaSession::continuing`](crate::ReplicaSession::continuing).
    Continue {
        /// The first byte to send.
        from: NextOffset,
        /// Our stream's name, to be told.
        replid: ReplicationId,
    },
    /// Out of files: ask the AofSender, and if it refuses, [`MasterCore::handle_history_refused`].
    History {
        /// The first byte to send.
        from: NextOffset,
        /// Our stream's name, to be told.
        replid: ReplicationId,
    },
    /// A snapshot: [`ReplicaSession::full`](crate::ReplicaSession::full).
    Full {
        /// Why; its `Display` is the line to log.
        reason: FullReason,
        /// Whether to join a snapshot now. If not, [`MasterCore::poll_admitted`] will name it.
        admitted: bool,
    },
    /// Answer with this error (without the dash) and leave the connection a client's.
    NotNow {
        /// `NOMASTERLINK ...`
        error: &'static str,
    },
}

/// What a replica is told that asks for what we do not have yet, but may get from our own master.
const NO_MASTER_LINK: &str = "NOMASTERLINK Can't SYNC while not connected with my master";

/// On whose word the stream grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Ours.
    Master,
    /// Our master's; `in_step` while data and stream are his.
    Replica { in_step: bool },
}

/// One replica in the table.
#[derive(Debug)]
struct Attached {
    summary: ReplicaSummary,
    /// Its rung was history and has not been granted: counts as a partial resync once it is.
    awaits_history: bool,
    /// By which rung it is sent its payload.
    payload_rung: Option<Rung>,
}

/// Our side as a master.
///
/// * Getters: [`lineage`](Self::lineage), [`replicas`](Self::replicas), [`counters`](Self::counters), ...
/// * `handle_*`: replicas that ask, acknowledge, go; what resyncs cost; the link upstream of a chained node.
/// * Commands: [`promote`](Self::promote), [`demote`](Self::demote), [`adopt_lineage`](Self::adopt_lineage),
///   [`replace_lineage`](Self::replace_lineage). They name the sessions that are to be closed, which stay in the table
///   until [`handle_lost`](Self::handle_lost).
/// * `poll_*`: [`poll_admitted`](Self::poll_admitted).
#[derive(Debug)]
pub struct MasterCore {
    /// Changed by commands.
    lineage: Lineage,
    /// Changed by commands and [`handle_upstream`](Self::handle_upstream).
    role: Role,
    /// Rises with each change of role or lineage.
    epoch: Epoch,
    /// From [`handle_attach`](Self::handle_attach) to [`handle_lost`](Self::handle_lost).
    replicas: BTreeMap<ReplicaId, Attached>,
    admission: FullSyncAdmission,
    /// Got a token after having waited, and were not yet polled.
    admitted: VecDeque<ReplicaId>,
    /// Rise with decisions.
    counters: SyncCounters,
}

impl MasterCore {
    /// A master of the stream `lineage`, with at most `full_syncs_max` full syncs at a time.
    #[must_use]
    pub fn new(lineage: Lineage, full_syncs_max: usize) -> Self {
        Self {
            lineage,
            role: Role::Master,
            epoch: Epoch::default(),
            replicas: BTreeMap::new(),
            admission: FullSyncAdmission::new(full_syncs_max),
            admitted: VecDeque::new(),
            counters: SyncCounters::default(),
        }
    }

    /// Our streams.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// Counts changes of role and lineage.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether we follow a master ourselves.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        self.role != Role::Master
    }

    /// Who follows us.
    pub fn replicas(&self) -> impl Iterator<Item = &ReplicaSummary> {
        self.replicas.values().map(|attached| &attached.summary)
    }

    /// INFO's counters.
    #[must_use]
    pub fn counters(&self) -> SyncCounters {
        self.counters
    }

    /// A resync took `rung`; `bytes` are those that are known to be needed by now.
    pub fn handle_rung_taken(&mut self, rung: Rung, bytes: ByteCount) {
        self.counters.count(rung, bytes);
    }

    /// A payload is to be sent by `rung`.
    pub fn handle_payload_begin(&mut self, id: ReplicaId, rung: Rung) {
        self.counters.count(rung, ByteCount::ZERO);
        if let Some(attached) = self.replicas.get_mut(&id) {
            attached.payload_rung = Some(rung);
        }
    }

    /// `bytes` more of a payload went out.
    pub fn handle_payload_sent(&mut self, id: ReplicaId, bytes: ByteCount) {
        if let Some(rung) = self.replicas.get(&id).and_then(|attached| attached.payload_rung) {
            self.counters.add_bytes(rung, bytes);
        }
    }

    /// A replica asks. `peer_ip` is the link's address, shown unless it announced another.
    pub fn handle_attach(
        &mut self,
        now: Duration,
        id: ReplicaId,
        peer_ip: &str,
        hello: &ReplicaHello,
        wanted: Wanted,
        log: LogRange,
    ) -> AttachDecision {
        // Who asks again on the same link begins anew.
        self.handle_lost(id);
        let rung = decide_resync(&self.lineage, log, wanted);
        if let Resync::Full { reason } = &rung
            && let Some(error) = self.put_off(reason)
        {
            return AttachDecision::NotNow { error };
        }
        let state = match rung {
            Resync::Full { .. } => SessionState::WaitingForSnapshot,
            Resync::Continue { .. } | Resync::History { .. } => SessionState::Online,
        };
        let offset_acked = match rung {
            Resync::Continue { from } | Resync::History { from } => from.prior(),
            Resync::Full { .. } => Offset::ZERO,
        };
        let ip = hello.ip_address.clone().unwrap_or_else(|| peer_ip.to_owned());
        let summary =
            ReplicaSummary { id, ip, port: hello.listening_port, state, offset_acked, acked_at: now };
        let awaits_history = matches!(rung, Resync::History { .. });
        self.replicas.insert(id, Attached { summary, awaits_history, payload_rung: None });
        self.grant(id, rung)
    }

    /// The bytes that [`AttachDecision::History`] promised can be had, and are on their way.
    pub fn handle_history_granted(&mut self, id: ReplicaId) {
        if let Some(attached) = self.replicas.get_mut(&id)
            && std::mem::take(&mut attached.awaits_history)
        {
            self.counters.partial_ok += 1;
        }
    }

    /// The bytes that [`AttachDecision::History`] promised cannot be had: what it gets instead.
    /// `None`: the replica is gone.
    pub fn handle_history_refused(
        &mut self,
        id: ReplicaId,
        from: NextOffset,
        log: LogRange,
    ) -> Option<AttachDecision> {
        let attached = self.replicas.get_mut(&id)?;
        attached.awaits_history = false;
        attached.summary.state = SessionState::WaitingForSnapshot;
        attached.summary.offset_acked = Offset::ZERO;
        let reason = FullReason::HistoryRefused { from, have: log };
        if let Some(error) = self.put_off(&reason) {
            self.handle_lost(id);
            return Some(AttachDecision::NotNow { error });
        }
        Some(self.grant(id, Resync::Full { reason }))
    }

    /// A session changed its state. Reaching the end of its payload gives back its token.
    pub fn handle_state(&mut self, id: ReplicaId, state: SessionState) {
        let Some(attached) = self.replicas.get_mut(&id) else { return };
        attached.summary.state = state;
        match state {
            SessionState::WaitingForSnapshot => {}
            SessionState::SendingSnapshot => self.admission.close(id),
            _ => self.release(id),
        }
    }

    /// A replica acknowledged.
    pub fn handle_ack(&mut self, now: Duration, id: ReplicaId, offset: Offset) {
        if let Some(attached) = self.replicas.get_mut(&id) {
            attached.summary.offset_acked = attached.summary.offset_acked.max(offset);
            attached.summary.acked_at = now;
        }
    }

    /// A replica is gone. Returns what was known of it.
    pub fn handle_lost(&mut self, id: ReplicaId) -> Option<ReplicaSummary> {
        let attached = self.replicas.remove(&id)?;
        self.release(id);
        Some(attached.summary)
    }

    /// The link to our own master came up (data and stream are in step) or went down. Of no account to a master.
    pub fn handle_upstream(&mut self, now_in_step: bool) {
        if let Role::Replica { in_step } = &mut self.role {
            *in_step = now_in_step;
        }
    }

    /// We become a master: the stream goes on from `at` as `new_id`. Close these once they were sent all up to `at`.
    #[must_use]
    pub fn promote(&mut self, new_id: ReplicationId, at: Offset) -> Vec<ReplicaId> {
        self.role = Role::Master;
        self.lineage.shift(new_id, at);
        self.begin_epoch();
        self.attached()
    }

    /// We become a replica. Those who follow us stay until our master's answer tells what we hold.
    pub fn demote(&mut self) {
        self.role = Role::Replica { in_step: false };
        self.begin_epoch();
    }

    /// Our master continued us at `at` as `replid`. Close these once they were sent all up to `at`: none, if the name
    /// is the one we had.
    #[must_use]
    pub fn adopt_lineage(&mut self, replid: ReplicationId, at: Offset) -> Vec<ReplicaId> {
        if !self.lineage.adopt(replid, at) {
            return Vec::new();
        }
        self.begin_epoch();
        self.attached()
    }

    /// Our data was replaced by a full sync. Close these at once: what they hold is not what we hold.
    #[must_use]
    pub fn replace_lineage(&mut self, lineage: Lineage) -> Vec<ReplicaId> {
        self.lineage = lineage;
        self.begin_epoch();
        self.attached()
    }

    /// `repl-max-concurrent-full-syncs` was changed. Those that run go on.
    pub fn set_full_syncs_max(&mut self, max: usize) {
        self.admitted.extend(self.admission.set_max(max));
    }

    /// Who may join a snapshot now, after having waited.
    pub fn poll_admitted(&mut self) -> Option<ReplicaId> {
        self.admitted.pop_front()
    }

    /// Whether a full sync is to wait for our own master, and in which words. What lies past our end on a lineage that
    /// we share is probably on its way to us; and no one gets a snapshot of data that is about to be replaced.
    fn put_off(&self, reason: &FullReason) -> Option<&'static str> {
        let is_ahead = matches!(reason, FullReason::TooNew { .. });
        match self.role {
            Role::Replica { in_step } if is_ahead || !in_step => Some(NO_MASTER_LINK),
            _ => None,
        }
    }

    /// Counts a decision and puts it into words.
    fn grant(&mut self, id: ReplicaId, rung: Resync) -> AttachDecision {
        let replid = self.lineage.current();
        match rung {
            Resync::Continue { from } => {
                self.counters.partial_ok += 1;
                AttachDecision::Continue { from, replid }
            }
            Resync::History { from } => AttachDecision::History { from, replid },
            Resync::Full { reason } => {
                self.counters.full += 1;
                self.counters.partial_err += u64::from(reason.is_refusal());
                AttachDecision::Full { reason, admitted: self.admission.request(id) }
            }
        }
    }

    /// Gives back a token, and passes it on.
    fn release(&mut self, id: ReplicaId) {
        self.admitted.retain(|&admitted| admitted != id);
        self.admitted.extend(self.admission.release(id));
    }

    fn attached(&self) -> Vec<ReplicaId> {
        self.replicas.keys().copied().collect()
    }

    fn begin_epoch(&mut self) {
        self.epoch = Epoch::new(self.epoch.get() + 1);
    }
}

#[cfg(test)]
mod tests;
