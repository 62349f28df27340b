//! The master's stream: its bytes are applied, and enter the log as they are, at the master's offsets.
//!
//! The handshake and a full sync happen elsewhere (`links`); a stream arrives here when its next byte is the one
//! after ours.

use std::time::Duration;

use rejoin_commands::{Effect, Input, Session, SessionKind};
use rejoin_protocol::{ByteCount, ClientId, Epoch, Offset, resp::RequestLimits};
use rejoin_replication::{Follower, FollowerSettings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::AbortHandle,
};

use crate::{
    clock::Clock,
    messages::shard::StartStreaming,
    shard::{Shard, SharedShard, unix_now},
};

/// The session that the master's commands run in. It outlives links: after a partial resync the stream goes on in the
/// database that was selected before.
pub(crate) const MASTER_SESSION: ClientId = ClientId::new(0);
/// Room made for one read.
const READ_BYTES: usize = 256 << 10;
/// Room made for one read at most, whatever a request claims.
const READ_BYTES_MAX: usize = 4 << 20;

/// How often the log is tried again while it takes nothing.
const LOG_RETRY_PERIOD: Duration = Duration::from_millis(100);

/// Errors of a stream end up as words in a log line; nothing tells them apart.
type StreamOutcome = Result<(), Box<dyn std::error::Error>>;

/// The stream that runs.
#[derive(Debug)]
pub(crate) struct UpstreamStream {
    pub(crate) epoch: Epoch,
    task: AbortHandle,
}

impl UpstreamStream {
    pub(crate) fn stop(self) {
        self.task.abort();
    }
}

/// The session of the master's stream.
pub(crate) fn master_session() -> Session {
    let mut session = Session::new(MASTER_SESSION, "master".to_owned(), String::new(), unix_now());
    session.kind = SessionKind::Master;
    session.authenticated = true;
    session
}

/// Begins to follow `start`'s stream, in place of any older one.
pub(crate) fn start_streaming(shard: &SharedShard, clock: Clock, start: StartStreaming) {
    let epoch = start.epoch;
    let after = start.after;
    let task = tokio::task::spawn_local(follow(shard.clone(), clock, start)).abort_handle();
    let shard = &mut *shard.borrow_mut();
    shard.stop_upstream();
    if let Some(upstream) = &mut shard.engine.status.upstream {
        upstream.read_offset = after;
        let addr = format!("{}:{}", upstream.host, upstream.port);
        if let Some(session) = shard.engine.sessions.get_mut(MASTER_SESSION) {
            session.addr = addr;
        }
    }
    shard.upstream = Some(UpstreamStream { epoch, task });
}

async fn follow(shard: SharedShard, clock: Clock, start: StartStreaming) {
    let epoch = start.epoch;
    let reason = match follow_to_the_end(&shard, clock, start).await {
        Ok(()) => "the master closed the connection".to_owned(),
        Err(error) => error.to_string(),
    };
    let shard = &mut *shard.borrow_mut();
    if shard.upstream.as_ref().is_some_and(|upstream| upstream.epoch == epoch) {
        shard.upstream = None;
        shard.forget_tail();
        shard.control.upstream_lost(epoch, reason);
    }
}

async fn follow_to_the_end(shard: &SharedShard, clock: Clock, start: StartStreaming) -> StreamOutcome {
    let mut stream = start.stream.attach()?;
    let mut live_settings = shard.borrow().live_settings.subscribe();
    let repl_timeout = live_settings.borrow_and_update().repl_timeout;
    let settings = FollowerSettings { repl_timeout, ack_period: Duration::from_secs(1) };
    let durable_moved = shard.borrow().durable_moved.clone();
    let mut follower = Follower::new(clock.now(), settings, start.after, start.first_ack);
    let mut input = Input::new(MASTER_SESSION);
    input.buffer_mut().extend_from_slice(&start.received);
    loop {
        apply(shard, &mut input, &mut follower)?;
        let repl_timeout = live_settings.borrow().repl_timeout;
        while let Some(bytes) = follower.poll_transmit() {
            tokio::time::timeout(repl_timeout, stream.write_all(&bytes))
                .await
                .map_err(|_| "the master does not read what we acknowledge")??;
            shard.borrow_mut().engine.stats.net_repl_output_bytes += bytes.len() as u64;
        }
        let room = input.bytes_wanted().clamp(READ_BYTES, READ_BYTES_MAX);
        input.buffer_mut().reserve(room);
        tokio::select! {
            // What the log does not take is not added to.
            () = tokio::time::sleep(LOG_RETRY_PERIOD), if !shard.borrow().unwritten.is_empty() => {
                let shard = &mut *shard.borrow_mut();
                shard.publish_log();
                follower.handle_applied(shard.log_handle.visible());
            }
            received = stream.read_buf(input.buffer_mut()), if shard.borrow().unwritten.is_empty() => {
                let received = received?;
                if received == 0 {
                    return Ok(());
                }
                follower.handle_io(clock.now());
                shard.borrow_mut().note_upstream_io(received);
            }
            () = durable_moved.notified() => {}
            // An error would mean that the shard is gone, and with it the node.
            Ok(()) = live_settings.changed() => {
                follower.set_repl_timeout(live_settings.borrow_and_update().repl_timeout);
            }
            () = clock.sleep_until(follower.poll_timeout()) => follower.handle_timeout(clock.now())?,
        }
    }
}

/// Applies and logs all whole commands that have arrived.
fn apply(shard: &SharedShard, input: &mut Input, follower: &mut Follower) -> StreamOutcome {
    let shard = &mut *shard.borrow_mut();
    let limits = RequestLimits::master();
    shard.set_clock();
    shard.note_durable();
    follower.handle_durable(shard.engine.status.log.offset_durable);
    loop {
        input.decode(&limits, true);
        if !input.is_ready() {
            break;
        }
        let Shard { engine, unwritten, tail, .. } = shard;
        let applied = engine.apply_turn(input, &mut |bytes, at_border| {
            if at_border && tail.is_empty() {
                unwritten.extend_from_slice(bytes);
                return;
            }
            tail.extend_from_slice(bytes);
            if at_border {
                unwritten.append(tail);
            }
        });
        shard.publish_log();
        shard.save_after_flush();
        shard.wake_woken();
        follower.handle_applied(shard.log_handle.visible());
        shard.note_durable();
        follower.handle_durable(shard.engine.status.log.offset_durable);
        if let Some(upstream) = &mut shard.engine.status.upstream {
            upstream.read_offset = shard.engine.log.offset();
        }
        for effect in std::mem::take(&mut shard.engine.effects) {
            if let Effect::AckMaster { offset } = effect {
                follower.handle_getack(offset);
            }
        }
        applied.outcome.map_err(|error| {
            let at = shard.log_handle.visible();
            tracing::error!(offset = %at, %error, "the master's stream stops here: the data up to this offset goes on serving");
            format!("{error} at offset {at}")
        })?;
    }
    Ok(())
}

impl Shard {
    /// Ends the stream from the master, if one runs; what came of an unfinished transaction is discarded.
    pub(crate) fn stop_upstream(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.stop();
            self.forget_tail();
        }
    }

    /// Closes the link to the master; it is taken up again.
    pub(crate) fn drop_upstream(&mut self, reason: &'static str) {
        if let Some(UpstreamStream { epoch, .. }) = self.upstream {
            self.stop_upstream();
            self.control.upstream_lost(epoch, reason.to_owned());
        }
    }

    /// Discards what lies behind the last border: bytes of the log, and the transaction that they began.
    pub(crate) fn forget_tail(&mut self) {
        self.tail.clear();
        let selected = self.engine.log.selected();
        let applied = self.visible().advance(ByteCount::of(self.unwritten.len()));
        self.engine.log.restart(applied, selected);
        if let Some(session) = self.engine.sessions.get_mut(MASTER_SESSION) {
            session.transaction = None;
        }
    }

    fn note_upstream_io(&mut self, received: usize) {
        self.engine.stats.net_repl_input_bytes += received as u64;
        if let Some(upstream) = &mut self.engine.status.upstream {
            upstream.last_io = unix_now();
        }
    }

    /// The last byte that is visible to readers of the log.
    pub(crate) fn visible(&self) -> Offset {
        self.log_handle.visible()
    }
}
