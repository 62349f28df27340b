//! One client connection: reads, decodes, and writes what the turn could not write at once.

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use rejoin_commands::{Input, Session};
use rejoin_protocol::{ClientId, resp::RequestLimits};
use rejoin_transports::client::ClientStream;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::shard::{Shard, SharedShard, admission::Names, unix_now};

/// Room made for one read; more while a long argument is on its way.
const READ_BYTES: usize = 16 << 10;
/// Room made for one read at most, whatever a request claims.
const READ_BYTES_MAX: usize = 1 << 20;
/// Bytes read from one client before the turn gets its chance.
const READ_PER_WAKE_BYTES_MAX: usize = 1 << 20;
/// Output buffer kept by a client that is quiet.
pub(crate) const QUIET_OUTPUT_BYTES_MAX: usize = 64 << 10;

/// What the shard keeps for one client besides its session.
pub(crate) struct Connection {
    pub(crate) client: ClientId,
    pub(crate) stream: ClientStream,
    /// Absent only while the turn has it.
    pub(crate) input: Option<Box<Input>>,
    /// Stands in the shard's list of connections with work.
    pub(crate) is_queued: bool,
    /// The client sends nothing more.
    pub(crate) is_at_end: bool,
    /// To be closed: at once, or once its output is sent.
    pub(crate) close: Option<Close>,
    /// What it is owed may not leave before the log is written.
    pub(crate) is_held: bool,
    /// Its task, to be woken when a turn has made room or output is left.
    pub(crate) waker: Option<Waker>,
}

/// How a connection is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// Whatever is left to send.
    Now,
    /// When the replies so far are sent.
    AfterReply,
}

impl Connection {
    pub(crate) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}

/// Takes a connection in; its task is [`serve`].
pub(crate) fn add(shard: &SharedShard, stream: ClientStream, names: Names) -> usize {
    let shard = &mut *shard.borrow_mut();
    let client = ClientId::new(shard.next_client);
    shard.next_client += 1;
    let mut session = Session::new(client, names.addr, names.laddr, unix_now());
    session.by_unix_socket = matches!(stream, ClientStream::Unix(_));
    session.authenticated = shard.engine.settings.requirepass.is_empty();
    shard.engine.sessions.insert(session);
    shard.engine.stats.connections_received += 1;
    let key = shard.connections.insert(Connection {
        client,
        stream,
        input: Some(Box::new(Input::new(client))),
        is_queued: false,
        is_at_end: false,
        close: None,
        is_held: false,
        waker: None,
    });
    shard.keys.insert(client, key);
    key
}

/// Serves one connection until it ends.
pub(crate) async fn serve(shard: SharedShard, key: usize, client: ClientId) {
    std::future::poll_fn(|context| shard.borrow_mut().poll_connection(key, client, context)).await;
    shard.borrow_mut().drop_connection(key, client);
}

impl Shard {
    /// Forgets a connection and its session.
    fn drop_connection(&mut self, key: usize, client: ClientId) {
        if self.connections.get(key).is_some_and(|connection| connection.client == client) {
            self.remove_connection(key);
            self.engine.session_closed(client);
        }
    }

    /// Moves one connection on as far as it goes; ready when it is over (or has left the shard).
    fn poll_connection(&mut self, key: usize, client: ClientId, context: &mut Context<'_>) -> Poll<()> {
        let Some(connection) = self.connections.get_mut(key) else { return Poll::Ready(()) };
        if connection.client != client || connection.close == Some(Close::Now) {
            return Poll::Ready(());
        }
        if !connection.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            connection.waker = Some(context.waker().clone());
        }
        if self.poll_send(key, context).is_err() {
            return Poll::Ready(());
        }
        let connection = &self.connections[key];
        let has_output = self.engine.sessions.get(client).is_some_and(|session| !session.out.is_empty())
            || !connection.stream.is_flushed();
        if connection.close.is_some() || connection.is_at_end {
            // What was executed is answered before the connection goes; an unreadable peer is not waited for.
            return if has_output || connection.is_queued { Poll::Pending } else { Poll::Ready(()) };
        }
        self.poll_receive(key, context)
    }

    /// Sends output that a turn could not, and lets a client that was held back go on once it has read enough.
    fn poll_send(&mut self, key: usize, context: &mut Context<'_>) -> std::io::Result<()> {
        let connection = &mut self.connections[key];
        if connection.is_held {
            return Ok(());
        }
        if !connection.stream.is_flushed()
            && let Poll::Ready(flushed) = Pin::new(&mut connection.stream).poll_flush(context)
        {
            flushed?;
        }
        let Some(session) = self.engine.sessions.get_mut(connection.client) else { return Ok(()) };
        if session.out.is_empty() {
            return Ok(());
        }
        while session.unsent_bytes() > 0 {
            let unsent = &session.out[session.sent..];
            match Pin::new(&mut connection.stream).poll_write(context, unsent) {
                Poll::Ready(Ok(count)) => {
                    session.sent += count;
                    self.engine.stats.writes_processed += 1;
                    self.engine.stats.net_output_bytes += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        session.sent = 0;
        session.out.clear();
        session.out.shrink_to(QUIET_OUTPUT_BYTES_MAX);
        self.queue_if_ready(key);
        Ok(())
    }

    /// Reads and decodes until the socket is empty or the client has had its share.
    fn poll_receive(&mut self, key: usize, context: &mut Context<'_>) -> Poll<()> {
        let mut received = 0;
        let outcome = loop {
            let connection = &mut self.connections[key];
            let Some(input) = connection.input.as_mut() else { break Poll::Pending };
            let wanted = input.bytes_wanted().clamp(READ_BYTES, READ_BYTES_MAX);
            let buffer = input.buffer_mut();
            if buffer.capacity() - buffer.len() < wanted {
                buffer.reserve(wanted);
            }
            match pin!(connection.stream.read_buf(buffer)).poll(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(_)) => break Poll::Ready(()),
                Poll::Ready(Ok(0)) => {
                    connection.is_at_end = true;
                    break if connection.is_queued || received > 0 { Poll::Pending } else { Poll::Ready(()) };
                }
                Poll::Ready(Ok(count)) => {
                    received += count;
                    self.engine.stats.reads_processed += 1;
                    let pending = input.pending_bytes() as u64;
                    if pending > self.engine.settings.client_query_buffer_bytes_max {
                        tracing::warn!(
                            client = %connection.client,
                            pending_bytes = pending,
                            "Closing client that reached max query buffer length"
                        );
                        return Poll::Ready(());
                    }
                    if received >= READ_PER_WAKE_BYTES_MAX {
                        // The socket may hold more: come back after the turn.
                        context.waker().wake_by_ref();
                        break Poll::Pending;
                    }
                }
            }
        };
        if received > 0 {
            self.engine.stats.net_input_bytes += received as u64;
            self.decode(key);
            self.queue_if_ready(key);
            if self.connections[key].is_at_end && !self.connections[key].is_queued {
                let unsent =
                    self.engine.sessions.get(self.connections[key].client).is_some_and(|s| !s.out.is_empty());
                return if unsent { Poll::Pending } else { Poll::Ready(()) };
            }
        }
        outcome
    }

    /// Decodes what a connection has received.
    pub(crate) fn decode(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        let Some(input) = connection.input.as_mut() else { return };
        let authenticated =
            self.engine.sessions.get(connection.client).is_none_or(|session| session.authenticated);
        let limits = if authenticated {
            let bulk_bytes_max = self.engine.settings.proto_bulk_bytes_max;
            RequestLimits {
                bulk_bytes_max: bulk_bytes_max.try_into().unwrap_or(u32::MAX),
                ..RequestLimits::default()
            }
        } else {
            RequestLimits::unauthenticated()
        };
        input.decode(&limits, authenticated);
    }

    /// Puts a connection with decoded requests into the next turn.
    pub(crate) fn queue_if_ready(&mut self, key: usize) {
        let connection = &mut self.connections[key];
        if connection.is_queued || !connection.input.as_ref().is_some_and(|input| input.is_ready()) {
            return;
        }
        connection.is_queued = true;
        self.ready.push(key);
        self.wake_flusher();
    }
}
