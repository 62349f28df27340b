//! The shard's clock: active expiry, PINGs into the stream, idle clients.

use std::time::{Duration, Instant};

use rejoin_commands::Role;
use rejoin_protocol::{ClientId, DbIndex};

use crate::shard::{Shard, SharedShard, connection::Close, effects, process};

/// Keys that one step of active expiry deletes at most, per database.
const EXPIRE_STEP_KEYS_MAX: usize = 64;
/// Time that active expiry takes of one tick at most.
const EXPIRE_BUDGET: Duration = Duration::from_millis(5);
/// Keys that one step of eviction deletes at most.
const EVICT_STEP_KEYS_MAX: usize = 64;
/// Time that eviction takes of one tick at most.
const EVICT_BUDGET: Duration = Duration::from_millis(10);
/// How often the operating system is asked about this process.
const PROCESS_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Ticks `hz` times a second.
pub(crate) async fn tick_forever(shard: SharedShard) {
    let mut last_ping = Instant::now();
    let mut last_look = None;
    loop {
        let period = {
            let shard = shard.borrow();
            Duration::from_millis(1000 / u64::from(shard.engine.settings.hz.clamp(1, 500)))
        };
        tokio::time::sleep(period).await;
        let asked = {
            let mut shard = shard.borrow_mut();
            shard.set_clock();
            shard.account(&mut last_look);
            shard.expire();
            shard.evict();
            shard.ping_replicas(&mut last_ping);
            shard.publish_log();
            shard.tend_log();
            shard.release_held();
            shard.close_idle_clients();
            shard.close_slow_readers();
            shard.note_acks();
            shard.note_durable();
            shard.tend_acks();
            shard.answer_waiting();
            shard.go_on_with_shutdown();
            shard.tend_saves();
            shard.requeue_held();
            std::mem::take(&mut shard.engine.effects)
        };
        for effect in asked {
            effects::carry_out(&shard, effect);
        }
    }
}

impl Shard {
    /// Brings up to date what INFO tells and no command changes.
    fn account(&mut self, last_look: &mut Option<Instant>) {
        let (received, sent) = self.traffic.take();
        self.engine.stats.net_repl_input_bytes += received;
        self.engine.stats.net_repl_output_bytes += sent;
        self.engine.sample_rates();
        self.engine.status.log_memory_bytes = self.log_handle.bytes_allocated().get();
        if last_look.is_none_or(|at| at.elapsed() >= PROCESS_LOOK_PERIOD) {
            *last_look = Some(Instant::now());
            process::look(&mut self.engine.status.process);
            if let Some(metrics) = &mut self.metrics {
                metrics.update(&self.engine);
            }
        }
    }

    /// Deletes what has expired, for a bounded time: what is left is hidden from readers anyway.
    fn expire(&mut self) {
        if !self.engine.settings.active_expire {
            return;
        }
        let begun = Instant::now();
        let mut is_cut = false;
        while !is_cut && self.engine.expire_due(EXPIRE_STEP_KEYS_MAX) > 0 {
            self.publish_log();
            is_cut = begun.elapsed() >= EXPIRE_BUDGET;
        }
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.engine.note_expire_cycle(nanos, is_cut);
    }

    /// Evicts what is over `maxmemory`, for a bounded time, and clients over `maxmemory-clients`.
    fn evict(&mut self) {
        self.engine.tend_clients();
        let begun = Instant::now();
        while self.engine.tend_memory(EVICT_STEP_KEYS_MAX) && begun.elapsed() < EVICT_BUDGET {
            self.publish_log();
        }
    }

    /// Puts a PING into the stream, so that replicas see a living master: it takes an offset like any command. Where the
    /// log cannot be written nobody would see it.
    fn ping_replicas(&mut self, last_ping: &mut Instant) {
        let period = Duration::from_secs(self.engine.settings.repl_ping_period_seconds.max(1));
        if last_ping.elapsed() < period
            || self.engine.role != Role::Master
            || self.engine.is_failing_over()
            || self.is_saved_for_good
            || self.engine.status.log.write_error.is_some()
            || self.engine.status.replicas.is_empty()
        {
            return;
        }
        *last_ping = Instant::now();
        self.engine.log.begin_unit();
        let db = self.engine.log.selected().unwrap_or(DbIndex::new(0));
        self.engine.log.push_raw(db, b"*1\r\n$4\r\nping\r\n");
        self.engine.log.end_unit();
    }

    fn close_idle_clients(&mut self) {
        let timeout_millis =
            i64::try_from(self.engine.settings.timeout_seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        if timeout_millis == 0 {
            return;
        }
        let now = self.engine.now.get();
        for (_, connection) in &mut self.connections {
            let Some(session) = self.engine.sessions.get(connection.client) else { continue };
            // Who waits is not idle, nor who listens; replicas are not here any more.
            if !session.listens()
                && session.waiting.is_none()
                && now - session.last_active.get() > timeout_millis
            {
                tracing::debug!(client = %connection.client, "Closing idle client");
                connection.close = Some(Close::Now);
                connection.wake();
            }
        }
    }

    /// Clients that read too slowly for what they are sent: a soft limit runs out without anything happening.
    fn close_slow_readers(&mut self) {
        let is_owed =
            |client| self.engine.sessions.get(client).is_some_and(|session| session.unsent_bytes() > 0);
        let owed: Vec<usize> =
            self.connections.iter().filter(|(_, c)| is_owed(c.client)).map(|(key, _)| key).collect();
        for key in owed {
            self.close_if_over_limit(key);
        }
    }

    /// Clients whose wait is over get their answer and go on.
    pub(crate) fn answer_waiting(&mut self) {
        let answered = self.engine.answer_waiting();
        self.wake(&answered);
        self.wake_woken();
    }

    /// After something was executed that is logged by now: clients that it gave output, or lets go on.
    pub(crate) fn wake_woken(&mut self) {
        let woken = self.engine.take_woken();
        self.wake(&woken);
    }

    /// Sends clients their output, and lets them go on.
    pub(crate) fn wake(&mut self, clients: &[ClientId]) {
        for &client in clients {
            if let Some(key) = self.connection_of(client) {
                self.send_output(key);
                self.queue_if_ready(key);
            }
        }
    }

    /// Clients that were held back (CLIENT PAUSE, unread output) are looked at again.
    pub(crate) fn requeue_held(&mut self) {
        let held: Vec<usize> = self
            .connections
            .iter()
            .filter(|(_, c)| !c.is_queued && c.input.as_ref().is_some_and(|input| input.is_ready()))
            .map(|(key, _)| key)
            .collect();
        for key in held {
            self.queue_if_ready(key);
        }
    }
}
