//! The flusher: runs one turn for all connections that have work.

use std::task::Poll;

use rejoin_commands::Input;
use smallvec::SmallVec;

use crate::shard::{Shard, SharedShard, connection::Close, effects, unix_now};

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
        self.engine.now = unix_now();
        let mut ready = std::mem::take(&mut self.ready);
        let mut inputs: SmallVec<[Box<Input>; 64]> = SmallVec::new();
        ready.retain(|&key| {
            let Some(connection) = self.connections.get_mut(key) else { return false };
            connection.is_queued = false;
            let Some(input) = connection.input.take() else { return false };
            inputs.push(input);
            true
        });
        let report = {
            let mut refs: SmallVec<[&mut Input; 64]> = inputs.iter_mut().map(|input| &mut **input).collect();
            self.engine.run_turn(&mut refs)
        };
        self.publish_log();
        let woken = self.engine.take_woken();
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

    /// After the turn: writes a client's replies, and queues it again if it has more. What is held back is looked at again
    /// when its output drains, when WAIT is answered, and at the next tick.
    fn finish_connection(&mut self, key: usize, input: Box<Input>) {
        let connection = &mut self.connections[key];
        let is_held = input.is_ready();
        connection.input = Some(input);
        let mut must_wake = connection.is_at_end;
        if let Some(session) = self.engine.sessions.get_mut(connection.client)
            && !session.out.is_empty()
        {
            match connection.stream.try_write(&session.out[connection.sent..]) {
                Ok(count) => {
                    must_wake |= !connection.stream.is_flushed();
                    self.engine.stats.writes_processed += 1;
                    self.engine.stats.net_output_bytes += count as u64;
                    connection.sent += count;
                    if connection.sent == session.out.len() {
                        connection.sent = 0;
                        session.out.clear();
                        if session.out.capacity() > 64 << 10 {
                            session.out.shrink_to(64 << 10);
                        }
                    } else {
                        must_wake = true;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => must_wake = true,
                Err(_) => {
                    connection.close = Some(Close::Now);
                    must_wake = true;
                }
            }
        }
        if must_wake {
            connection.wake();
        }
        if !is_held {
            // More may have arrived than one turn takes.
            self.decode(key);
            self.queue_if_ready(key);
        }
    }
}
