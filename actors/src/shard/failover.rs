//! FAILOVER as the shard carries it out: the place among masters and replicas changes here, the target is found by the
//! `Master`, and asked by the link upstream.

use std::{sync::Arc, time::Duration};

use rejoin_commands::{
    Role,
    node::{failover::FailoverRequest, status::FailoverState},
};
use rejoin_replication::{FailoverOrder, MasterAddress};

use crate::{
    messages::{links::FailoverFlag, master::StartFailover},
    shard::Shard,
};

impl Shard {
    /// FAILOVER: no client may write by now. Has the replicas tell how far they are, at once.
    pub(crate) fn start_failover(&mut self, request: FailoverRequest) {
        match &request.target {
            Some((host, port)) => tracing::info!("FAILOVER requested to {host}:{port}."),
            None => tracing::info!("FAILOVER requested to any replica."),
        }
        let offset = self.engine.ask_for_failover(&request);
        self.publish_log();
        self.hurry_getack();
        self.failovers_begun += 1;
        self.failover_target = request.target.clone();
        let order = FailoverOrder {
            target: request.target.map(|(host, port)| MasterAddress { host, port }),
            offset,
            timeout: request.timeout_millis.map(Duration::from_millis),
            is_forced: request.is_forced,
        };
        self.control.start_failover(StartFailover { failover: self.failovers_begun, order });
    }

    /// The target has everything, or its time is up: we follow it, and it is asked to take over.
    pub(crate) fn fail_over(&mut self, failover: u64, target: MasterAddress, is_forced: bool) {
        let is_wanted = self.engine.status.failover == FailoverState::WaitingForSync;
        if failover != self.failovers_begun || !is_wanted || self.engine.role == Role::Replica {
            return;
        }
        let MasterAddress { host, port } = target;
        if is_forced {
            tracing::info!("FAILOVER to {host}:{port} time out exceeded, failing over.");
        } else {
            tracing::info!("Failover target {host}:{port} is synced, failing over.");
        }
        self.engine.status.failover = FailoverState::InProgress;
        self.failover_target = Some((host.clone(), port));
        self.failover_flag = Arc::new(FailoverFlag::begin());
        self.follow(host, port);
    }

    /// The target has answered.
    pub(crate) fn note_failover_answer(&mut self, following: u64, is_accepted: bool) {
        if following != self.following || self.engine.status.failover != FailoverState::InProgress {
            return;
        }
        if is_accepted {
            self.end_failover();
        } else {
            self.abort_failover("Failover target rejected psync request");
        }
    }

    /// The `Master` found no target.
    pub(crate) fn note_failover_aborted(&mut self, failover: u64, reason: &'static str) {
        if failover == self.failovers_begun {
            self.abort_failover(reason);
        }
    }

    /// We stay the master, or become it again: under a new name then, since the target may have taken over after all.
    pub(crate) fn abort_failover(&mut self, reason: &'static str) {
        let state = self.engine.status.failover;
        if state == FailoverState::None {
            return;
        }
        match &self.failover_target {
            Some((host, port)) => tracing::info!("FAILOVER to {host}:{port} aborted: {reason}"),
            None => tracing::info!("FAILOVER to any replica aborted: {reason}"),
        }
        self.control.abort_failover();
        if state == FailoverState::InProgress {
            self.unfollow();
        }
        self.end_failover();
    }

    /// Clients that were held back go on.
    fn end_failover(&mut self) {
        self.failover_target = None;
        self.failover_flag.settle();
        self.engine.end_failover();
        self.requeue_held();
    }
}
