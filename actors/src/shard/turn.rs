//! The flusher: runs one turn for all connections that have work.

use std::task::Poll;

use rejoin_commands::{Engine, Input, Session};
use rejoin_protocol::ClientId;
use smallvec::SmallVec;

use crate::shard::{
    Shard, SharedShard,
    connection::{Close, QUIET_OUTPUT_BYTES_MAX},
    effects,
};

/// Runs turns whenever there is work, for ever.
pub(crate) async fn flush_forever(shard: SharedShard) {
    loop {
        std::future::poll_fn(|context| {
            let shard = &mut *shard.borrow_mut();
            if shard.flusher_is_woken {
                shard.flusher_is_woken = false;
                return Poll::Ready(());
            }
            if !shard.flusher.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                shard.flusher = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
        let (asked, ended_early) = {
            let shard = &mut *shard.borrow_mut();
            let ended_early = shard.run_turn();
            (std::mem::take(&mut shard.engine.effects), ended_early)
        };
        for effect in asked {
            effects::carry_out(&shard, effect);
        }
        if ended_early {
            shard.borrow_mut().requeue_held();
        }
        // With more work waiting, sockets and clocks still get their turn in between.
        tokio::task::yield_now().await;
    }
}

impl Shard {
    /// Executes, logs, replies: in this order. Whether effects must be carried out before the rest is executed.
    fn run_turn(&mut self) -> bool {
        self.set_clock();
        let mut ready = std::mem::take(&mut self.ready);
        let mut inputs: SmallVec<[Box<Input>; 64]> = SmallVec::new();
        ready.retain(|&key| {
            let Some(connection) = self.connections.get_mut(key) else { return false };
            connection.is_queued = false;
            let Some(input) = connection.input.take() else { return false };
            inputs.push(input);
            true
        });
        // What could not be logged before is no affair of this turn's clients.
        let waiting = self.engine.log.bytes().len();
        let report = {
            let mut refs: SmallVec<[&mut Input; 64]> = inputs.iter_mut().map(|input| &mut **input).collect();
            self.engine.run_turn(&mut refs)
        };
        let has_logged = self.engine.log.bytes().len() > waiting;
        let is_published = self.publish_log();
        if self.awaits_acks || self.engine.waits_for_acks() {
            self.tend_acks();
        }
        self.save_after_flush();
        let woken = self.engine.take_woken();
        if has_logged && !is_published {
            self.hold_back(&ready, &woken);
        }
        for (&key, input) in ready.iter().zip(inputs) {
            self.finish_connection(key, input);
        }
        ready.clear();
        if self.ready.is_empty() {
            self.ready = ready;
        }
        self.wake(&woken);
        report.ended_early
    }

    /// The turn could not be logged: whoever may have been told of it hears nothing until it is.
    #[cold]
    fn hold_back(&mut self, ready: &[usize], woken: &[ClientId]) {
        for &key in ready {
            self.connections[key].is_held = true;
        }
        for &client in woken {
            if let Some(key) = self.connection_of(client) {
                self.connections[key].is_held = true;
            }
        }
    }

    /// After the turn: writes a client's replies, and queues it again if it has more. What is held back is looked at again
    /// when its output drains, when WAIT is answered, and at the next tick.
    fn finish_connection(&mut self, key: usize, input: Box<Input>) {
        let connection = &mut self.connections[key];
        let is_held = input.is_ready();
        connection.input = Some(input);
        if connection.is_at_end {
            connection.wake();
        }
        self.send_output(key);
        if !is_held {
            // More may have arrived than one turn takes.
            self.decode(key);
            self.queue_if_ready(key);
        }
    }

    /// Writes what a client is owed, as far as its socket takes it; its task sees to the rest.
    pub(crate) fn send_output(&mut self, key: usize) {
        let client = self.connections[key].client;
        let is_owed = |session: &Session| !session.out.is_empty();
        if !self.engine.sessions.get(client).is_some_and(is_owed) || self.close_if_over_limit(key) {
            return;
        }
        let connection = &mut self.connections[key];
        if connection.is_held {
            return;
        }
        let Some(session) = self.engine.sessions.get_mut(client) else { return };
        match connection.stream.try_write(&session.out[session.sent..]) {
            Ok(count) => {
                self.engine.stats.writes_processed += 1;
                self.engine.stats.net_output_bytes += count as u64;
                session.sent += count;
                if session.unsent_bytes() == 0 {
                    session.sent = 0;
                    session.out.clear();
                    if session.out.capacity() > QUIET_OUTPUT_BYTES_MAX {
                        session.out.shrink_to(QUIET_OUTPUT_BYTES_MAX);
                    }
                    if connection.close.is_none() && connection.stream.is_flushed() {
                        return;
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => connection.close = Some(Close::Now),
        }
        connection.wake();
    }

    /// Closes a connection whose client is owed more than `client-output-buffer-limit` allows; whether it is.
    pub(crate) fn close_if_over_limit(&mut self, key: usize) -> bool {
        let connection = &mut self.connections[key];
        let Engine { sessions, settings, now, .. } = &mut self.engine;
        let Some(session) = sessions.get_mut(connection.client) else { return false };
        if !session.check_output(&settings.client_output_limits, *now) {
            return false;
        }
        if connection.close != Some(Close::Now) {
            connection.close = Some(Close::Now);
            connection.wake();
            let client = self.engine.note_overflow(connection.client);
            tracing::warn!(
                "Client {client} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
        }
        true
    }
}
