//! FAILOVER from the master's side, until the target is asked to take over: waits until a replica has everything.
//!
//! Writes are stopped before it begins, and stay so: it knows one offset, the target, and a deadline. What the target
//! answers to `PSYNC ... FAILOVER` is the upstream link's affair ([`Upstream`](crate::Upstream)).

use std::time::Duration;

use rejoin_protocol::Offset;

use crate::master::ReplicaSummary;
use crate::replica::MasterAddress;
use crate::session::SessionState;

/// What is to be done about a failover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailoverAction {
    /// Follow `target` from now on, which takes over when we ask it to.
    Demote {
        /// Whom.
        target: MasterAddress,
        /// It does not have everything, but the time is up and FORCE was said.
        is_forced: bool,
    },
    /// Stay the master, for this reason.
    Abort {
        /// In Redis' words.
        reason: &'static str,
    },
}

/// What FAILOVER asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverOrder {
    /// Which replica; `None` for the first that has everything.
    pub target: Option<MasterAddress>,
    /// A replica that acknowledged this has everything.
    pub offset: Offset,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The target takes over as it is when the time is up; only with a target and a timeout.
    pub is_forced: bool,
}

/// A failover that waits for a replica to catch up. Over with its first action.
///
/// * `handle_*`: [`handle_replicas`](Self::handle_replicas), [`handle_timeout`](Self::handle_timeout).
/// * `poll_*`: [`poll_timeout`](Self::poll_timeout); actions are returned by the handlers.
#[derive(Debug)]
pub struct Failover {
    order: FailoverOrder,
    deadline: Option<Duration>,
}

impl Failover {
    /// Begins to wait.
    #[must_use]
    pub fn new(now: Duration, order: FailoverOrder) -> Self {
        let deadline = order.timeout.map(|timeout| now.saturating_add(timeout));
        Self { order, deadline }
    }

    /// Something is known of replicas. A target that is gone is waited for, as Redis does: it may come back.
    #[must_use]
    pub fn handle_replicas<'a>(
        &self,
        replicas: impl IntoIterator<Item = &'a ReplicaSummary>,
    ) -> Option<FailoverAction> {
        let caught_up = replicas.into_iter().find(|replica| {
            // Who did not say where it listens cannot be followed.
            replica.state == SessionState::Online
                && replica.port != 0
                && replica.offset_acked >= self.order.offset
                && self.order.target.as_ref().is_none_or(|target| is_at(target, replica))
        })?;
        let target = MasterAddress { host: caught_up.ip.clone(), port: caught_up.port };
        Some(FailoverAction::Demote { target, is_forced: false })
    }

    /// Time has passed.
    #[must_use]
    pub fn handle_timeout(&self, now: Duration) -> Option<FailoverAction> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        Some(match &self.order.target {
            Some(target) if self.order.is_forced => {
                FailoverAction::Demote { target: target.clone(), is_forced: true }
            }
            _ => FailoverAction::Abort { reason: "Replica never caught up before timeout" },
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadline
    }
}

fn is_at(address: &MasterAddress, replica: &ReplicaSummary) -> bool {
    address.host == replica.ip && address.port == replica.port
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rejoin_protocol::ReplicaId;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(port: u16) -> MasterAddress {
        MasterAddress { host: "10.0.0.2".to_owned(), port }
    }

    fn replica(port: u16, offset_acked: u64) -> ReplicaSummary {
        ReplicaSummary {
            id: ReplicaId::new(u64::from(port)),
            ip: "10.0.0.2".to_owned(),
            port,
            state: SessionState::Online,
            offset_acked: Offset::new(offset_acked),
            acked_at: Duration::ZERO,
        }
    }

    fn order(target: Option<u16>) -> FailoverOrder {
        FailoverOrder {
            target: target.map(address),
            offset: Offset::new(100),
            timeout: None,
            is_forced: false,
        }
    }

    fn demote(port: u16, is_forced: bool) -> Option<FailoverAction> {
        Some(FailoverAction::Demote { target: address(port), is_forced })
    }

    #[test]
    fn the_first_replica_that_has_everything_takes_over() {
        let failover = Failover::new(SECOND, order(None));
        assert_eq!(failover.handle_replicas(&[]), None);
        assert_eq!(failover.handle_replicas(&[replica(1, 99), replica(2, 50)]), None);
        assert_eq!(failover.handle_replicas(&[replica(1, 99), replica(2, 137)]), demote(2, false));
        assert_eq!((failover.poll_timeout(), failover.handle_timeout(Duration::MAX)), (None, None));
    }

    #[test]
    fn a_target_is_waited_for_whoever_else_is_there() {
        let failover = Failover::new(SECOND, order(Some(1)));
        assert_eq!(failover.handle_replicas(&[replica(2, 100)]), None);
        assert_eq!(failover.handle_replicas(&[replica(2, 100), replica(1, 100)]), demote(1, false));
    }

    #[test]
    fn who_gets_a_snapshot_has_nothing_yet() {
        let failover = Failover::new(SECOND, order(None));
        for state in [SessionState::WaitingForSnapshot, SessionState::SendingSnapshot] {
            assert_eq!(failover.handle_replicas(&[ReplicaSummary { state, ..replica(1, 100) }]), None);
        }
    }

    #[test]
    fn when_the_time_is_up_it_is_called_off_or_forced() {
        let timeout = Some(3 * SECOND);
        let patient = Failover::new(SECOND, FailoverOrder { timeout, ..order(None) });
        assert_eq!(patient.poll_timeout(), Some(4 * SECOND));
        assert_eq!(patient.handle_timeout(4 * SECOND - Duration::from_nanos(1)), None);
        let reason = "Replica never caught up before timeout";
        assert_eq!(patient.handle_timeout(4 * SECOND), Some(FailoverAction::Abort { reason }));
        let forced = Failover::new(SECOND, FailoverOrder { timeout, is_forced: true, ..order(Some(7)) });
        assert_eq!(forced.handle_timeout(4 * SECOND), demote(7, true));
        assert_eq!(forced.handle_replicas(&[replica(7, 100)]), demote(7, false), "in time after all");
    }
}
