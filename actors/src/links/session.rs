//! Feeds one replica: lines and payload by its session machine's word, then the log's bytes, straight from the
//! blocks.
//!
//! One piece of output is under way at a time; what the replica says and what the clock says is heard meanwhile.

use std::{sync::Arc, time::Duration};

use rejoin_persistence::{log::Bookmark, segment::StreamName};
use rejoin_protocol::{ByteCount, Offset, ReplicaId};
use rejoin_replication::{PayloadForm, ReplicaSession, SessionEvent, SessionSettings, SessionState};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use crate::{
    links::{acks::Ack, file_payload::FilePayload, log_reader::LogReader, run::LinksContext},
    mailbox::{Told, WhenFull, tell},
    master::shown_as,
    messages::{
        aof_sender::PayloadNews,
        buffer_manager::{CloseCursor, MoveCursor, OpenCursor},
        links::{ServeReplica, SessionStart},
        master::ReplicaProgress,
        snapshotter::{FeedPayload, SnapshotChunk, SnapshotFeed},
    },
    shard::unix_now,
};
use rejoin_transports::{ByteStream, Endpoint, file_socket::FileSocket};

/// How often it is looked whether the reader lags too far to read from memory.
const TEND_PERIOD: Duration = Duration::from_millis(100);
/// Looks between two reports of the reader's place.
const TENDS_PER_REPORT: u32 = 10;
/// What a replica may send before it is read.
const READ_BYTES: usize = 4 << 10;

/// What a session is told from outside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionOrder {
    /// End.
    End {
        /// Once everything up to here is sent; at once if `None`.
        after: Option<Offset>,
        /// Why.
        reason: &'static str,
    },
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Serves one replica until the session ends; returns why it did.
pub(crate) async fn serve(
    context: LinksContext,
    serve: ServeReplica,
    orders: mpsc::Receiver<SessionOrder>,
) -> String {
    let replica = serve.replica;
    let ended = match Feeding::begin(context.clone(), serve, orders) {
        Ok(None) => Ok("it was asked to come back later".to_owned()),
        Ok(Some(mut feeding)) => feeding.run().await,
        Err(error) => Err(error),
    };
    tell(&context.reports.close_cursor, CloseCursor { replica }, WhenFull::Complain);
    context.acks.forget(replica);
    ended.unwrap_or_else(|error| error.to_string())
}

/// A piece of output that is under way.
enum Outgoing {
    Lines(Vec<u8>),
    Chunk(SnapshotChunk),
}

struct Feeding {
    context: LinksContext,
    replica: ReplicaId,
    /// Its address, for operators.
    shown_as: Endpoint,
    session: ReplicaSession,
    reader: ReadHalf<Box<dyn ByteStream>>,
    writer: WriteHalf<Box<dyn ByteStream>>,
    orders: mpsc::Receiver<SessionOrder>,
    /// The session ends when the cursor has reached this.
    end: Option<(Offset, &'static str)>,
    grown: watch::Receiver<()>,
    /// Until the snapshot is taken.
    awaited: Option<oneshot::Receiver<SnapshotFeed>>,
    /// From then until the payload is out.
    feed: Option<Payload>,
    /// The log, from where this replica reads it; once that is known.
    log: Option<LogReader>,
    /// What a reader of the log needs, until there is one.
    log_seed: Option<LogSeed>,
    outgoing: Option<(Outgoing, usize)>,
    /// What was last told to the `Master`.
    reported: Told<(SessionState, Offset)>,
    next_tend: Instant,
    /// Looks since the place was reported.
    tends: u32,
    /// Bytes of the payload that the `Master` was told of.
    payload_told: ByteCount,
}

struct LogSeed {
    stream: Arc<StreamName>,
    socket: Option<FileSocket>,
}

enum Payload {
    /// As it is encoded.
    Encoded {
        /// Until it is known.
        form: Option<oneshot::Receiver<PayloadForm>>,
        chunks: mpsc::Receiver<SnapshotChunk>,
        is_whole: oneshot::Receiver<()>,
    },
    /// A base that was there.
    File(FilePayload),
}

/// What a session waits for besides its socket and the clock.
enum Awaited {
    Snapshot(Option<SnapshotFeed>),
    Form(Option<PayloadForm>),
    Chunk(Option<SnapshotChunk>),
    File(Option<PayloadNews>),
    Grown,
}

impl Feeding {
    /// `None`: the replica was refused, which is being told to it.
    fn begin(
        context: LinksContext,
        serve: ServeReplica,
        orders: mpsc::Receiver<SessionOrder>,
    ) -> Outcome<Option<Self>> {
        let stream = serve.stream.attach()?;
        let shown_as = shown_as(&serve.hello, &serve.peer);
        let log_seed = Some(LogSeed { stream: serve.sent_stream, socket: stream.file_socket()? });
        let (reader, mut writer) = tokio::io::split(stream);
        let now = context.clock.now();
        let settings = SessionSettings {
            repl_timeout: context.settings.borrow().repl_timeout,
            ..SessionSettings::default()
        };
        let (session, awaited, at) = match serve.start {
            SessionStart::Continue { replid, from } => {
                let session = ReplicaSession::continuing(now, settings, serve.hello, replid, from.position());
                (session, None, Some(from))
            }
            SessionStart::Full { is_legacy, snapshot } => {
                (ReplicaSession::full(now, settings, serve.hello, is_legacy), Some(snapshot), None)
            }
            SessionStart::Refuse { error } => {
                tokio::task::spawn_local(async move {
                    // It may be gone already; there is nobody else to tell.
                    let _ = writer.write_all(format!("-{error}\r\n").as_bytes()).await;
                    let _ = writer.shutdown().await;
                });
                return Ok(None);
            }
        };
        let grown = context.grown.subscribe();
        context.ticker.session_begun();
        let mut feeding = Self {
            replica: serve.replica,
            shown_as,
            session,
            reader,
            writer,
            orders,
            end: None,
            grown,
            awaited,
            feed: None,
            log: None,
            log_seed,
            outgoing: (!serve.unsent.is_empty()).then_some((Outgoing::Lines(serve.unsent), 0)),
            reported: Told::nothing(),
            next_tend: Instant::now() + TEND_PERIOD,
            tends: 0,
            payload_told: ByteCount::ZERO,
            context,
        };
        if let Some(at) = at {
            feeding.open_log(at);
        }
        feeding.hear(&serve.received)?;
        Ok(Some(feeding))
    }

    async fn run(&mut self) -> Outcome<String> {
        let mut input = Vec::with_capacity(READ_BYTES);
        let mut growing = self.context.grown.subscribe();
        let mut settings = self.context.settings.clone();
        loop {
            self.handle_events();
            self.next_outgoing();
            if let Some(reason) = self.is_done() {
                return Ok(reason);
            }
            if self.outgoing.is_none()
                && let Some(Payload::File(file)) = &mut self.feed
            {
                // The lines before it are out.
                file.begin(self.replica, &self.context.reports);
            }
            let has_output = self.outgoing.is_some() || self.has_log_bytes()?;
            let timeout = self.session.poll_timeout();
            let clock = self.context.clock;
            tokio::select! {
                order = self.orders.recv() => match order {
                    Some(SessionOrder::End { after: Some(after), reason }) if self.log.is_some() => {
                        self.end = Some((after, reason));
                    }
                    Some(SessionOrder::End { reason, .. }) => return Ok(reason.to_owned()),
                    None => return Ok("the node is stopping".to_owned()),
                },
                received = self.reader.read_buf(&mut input) => {
                    let received = received?;
                    self.context.traffic.add_received(received);
                    if received == 0 {
                        return Ok("it closed the connection".to_owned());
                    }
                    self.hear(&input)?;
                    input.clear();
                }
                sent = send_some(&mut self.writer, &mut self.outgoing, &mut self.log), if has_output => {
                    let sent = sent?;
                    self.context.traffic.add_sent(sent.bytes);
                    if sent.is_payload {
                        self.session.handle_payload_sent(clock.now(), ByteCount::of(sent.bytes));
                    }
                }
                awaited = await_more(&mut self.awaited, &mut self.feed, &mut self.grown), if !has_output => {
                    self.handle_awaited(awaited)?;
                }
                // The log grows while the replica takes nothing: what it has yet to read shall not pile up in memory.
                Ok(()) = growing.changed(), if has_output => {
                    if let Some(log) = &mut self.log {
                        log.tend();
                    }
                }
                // An error would mean that the shard is gone, and with it the node.
                Ok(()) = settings.changed() => {
                    self.session.set_repl_timeout(settings.borrow_and_update().repl_timeout);
                }
                () = clock.sleep_until(timeout) => self.session.handle_timeout(clock.now())?,
                () = tokio::time::sleep_until(self.next_tend) => self.tend_log(),
            }
        }
    }

    /// The log is read from here on; it keeps what is there, in memory or in files.
    fn open_log(&mut self, at: Bookmark) {
        let Some(LogSeed { stream, socket }) = self.log_seed.take() else { return };
        let opened = OpenCursor { replica: self.replica, stream: stream.clone(), at: at.position() };
        tell(&self.context.reports.open_cursor, opened, WhenFull::Complain);
        let (log, reports) = (self.context.log.clone(), self.context.reports.clone());
        self.log = Some(LogReader::new(self.replica, stream, log, reports, socket, at));
    }

    fn hear(&mut self, bytes: &[u8]) -> Outcome<()> {
        if !bytes.is_empty() {
            // What it can have been sent ends where our reading does.
            let visible = self.context.log.visible();
            self.session.handle_bytes(self.context.clock.now(), bytes, visible)?;
        }
        Ok(())
    }

    fn handle_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                SessionEvent::Online { from } => {
                    tracing::info!(
                        replica = %self.replica, %from, "Synchronization with replica {} succeeded", self.shown_as
                    );
                }
                SessionEvent::SnapshotSent => {
                    tracing::info!(replica = %self.replica, "snapshot sent to a replica that wanted only that");
                }
                SessionEvent::Acked { offset, offset_fsynced } => {
                    let ack = Ack { offset, durable: offset_fsynced, at: unix_now() };
                    self.context.acks.note(self.replica, ack, &self.context.reports.shard);
                }
            }
        }
        let now = (self.session.state(), self.session.offset_acked());
        let sent = self.session.payload_bytes_sent();
        let payload = ByteCount::new(sent.get() - self.payload_told.get());
        self.reported.update(now, |&(state, offset_acked)| {
            let progress = ReplicaProgress { replica: self.replica, state, offset_acked, payload };
            let is_taken = tell(&self.context.reports.progress, progress, WhenFull::Drop);
            if is_taken {
                self.payload_told = sent;
            }
            is_taken
        });
    }

    fn next_outgoing(&mut self) {
        if self.outgoing.is_none()
            && let Some(lines) = self.session.poll_transmit()
        {
            self.outgoing = Some((Outgoing::Lines(lines), 0));
        }
    }

    fn is_done(&self) -> Option<String> {
        let (after, reason) = self.end?;
        let reached = self.log.as_ref().is_none_or(|log| log.position().prior() >= after);
        (reached && self.outgoing.is_none()).then(|| reason.to_owned())
    }

    fn has_log_bytes(&mut self) -> Outcome<bool> {
        if !self.session.may_send_stream() {
            return Ok(false);
        }
        match &mut self.log {
            // What is new from here on will be noticed again: first mark as seen, then look.
            Some(log) => {
                self.grown.borrow_and_update();
                log.has_bytes()
            }
            None => Ok(false),
        }
    }

    fn handle_awaited(&mut self, awaited: Awaited) -> Outcome<()> {
        let now = self.context.clock.now();
        match awaited {
            Awaited::Snapshot(Some(feed)) => {
                self.awaited = None;
                self.session.handle_stream_database(feed.position.offset, feed.unsaid_db)?;
                self.session.handle_snapshot_taken(now, feed.position.replid, feed.position.offset);
                self.feed = Some(match feed.payload {
                    FeedPayload::Encoded { form, chunks, is_whole } => {
                        Payload::Encoded { form: Some(form), chunks, is_whole }
                    }
                    FeedPayload::File { file, bytes } => {
                        self.session.handle_payload_begin(now, PayloadForm::Length(bytes));
                        let socket = self.log_seed.as_ref().and_then(|seed| seed.socket.as_ref());
                        let socket = socket.map(FileSocket::try_clone).transpose()?;
                        Payload::File(FilePayload::new(file, bytes, socket))
                    }
                });
                self.open_log(feed.at);
                drop(feed.held);
            }
            Awaited::Form(Some(known)) => {
                self.session.handle_payload_begin(now, known);
                if let Some(Payload::Encoded { form, .. }) = &mut self.feed {
                    *form = None;
                }
            }
            Awaited::Chunk(Some(chunk)) => self.outgoing = Some((Outgoing::Chunk(chunk), 0)),
            Awaited::Chunk(None) => {
                let Some(Payload::Encoded { mut is_whole, .. }) = self.feed.take() else { return Ok(()) };
                if is_whole.try_recv().is_err() {
                    return Err("its snapshot ended in an error".into());
                }
                self.session.handle_payload_end(now)?;
            }
            Awaited::File(Some(PayloadNews::Piece(piece))) => {
                self.outgoing = Some((Outgoing::Chunk(piece.into()), 0));
            }
            Awaited::File(Some(PayloadNews::Sent)) => {
                self.count_payload();
                self.feed = None;
                self.session.handle_payload_end(now)?;
            }
            Awaited::File(Some(PayloadNews::Failed(reason))) => {
                return Err(format!("its base cannot be sent: {reason}").into());
            }
            Awaited::File(None) => return Err("its base is not sent any more".into()),
            Awaited::Snapshot(None) | Awaited::Form(None) => {
                return Err("its snapshot could not be taken".into());
            }
            Awaited::Grown => {}
        }
        Ok(())
    }

    /// Counts what was sent of a payload past this session.
    fn count_payload(&mut self) {
        if let Some(Payload::File(file)) = &mut self.feed {
            let bytes = file.take_sent_elsewhere();
            if bytes > 0 {
                self.context.traffic.add_sent(bytes);
                self.session.handle_payload_sent(self.context.clock.now(), ByteCount::of(bytes));
            }
        }
    }

    fn tend_log(&mut self) {
        self.count_payload();
        self.next_tend = Instant::now() + TEND_PERIOD;
        self.tends += 1;
        let Some(log) = &mut self.log else { return };
        log.tend();
        self.context.traffic.add_sent(log.take_sent_elsewhere());
        if self.tends >= TENDS_PER_REPORT {
            self.tends = 0;
            let (at, holds_memory) = (log.position(), log.holds_memory());
            let moved = MoveCursor { replica: self.replica, at, holds_memory };
            tell(&self.context.reports.move_cursor, moved, WhenFull::Drop);
        }
    }
}

/// What was sent.
struct Sent {
    bytes: usize,
    /// Of a snapshot, rather than of lines or of the log.
    is_payload: bool,
}

/// Sends part of the piece that is under way, or else of the log.
async fn send_some(
    writer: &mut WriteHalf<Box<dyn ByteStream>>,
    outgoing: &mut Option<(Outgoing, usize)>,
    log: &mut Option<LogReader>,
) -> Outcome<Sent> {
    if let Some((piece, sent)) = outgoing {
        let bytes: &[u8] = match piece {
            Outgoing::Lines(lines) => lines,
            Outgoing::Chunk(chunk) => chunk,
        };
        let count = writer.write(&bytes[*sent..]).await?;
        if count == 0 {
            return Err("it takes no more bytes".into());
        }
        *sent += count;
        let is_complete = *sent == bytes.len();
        let is_payload = matches!(piece, Outgoing::Chunk(_));
        if is_complete {
            *outgoing = None;
        }
        return Ok(Sent { bytes: count, is_payload });
    }
    let Some(log) = log else { return Ok(Sent { bytes: 0, is_payload: false }) };
    Ok(Sent { bytes: log.send_some(writer).await?, is_payload: false })
}

/// The next thing to send, or the news that the log has grown.
async fn await_more(
    awaited: &mut Option<oneshot::Receiver<SnapshotFeed>>,
    feed: &mut Option<Payload>,
    grown: &mut watch::Receiver<()>,
) -> Awaited {
    if let Some(snapshot) = awaited {
        return Awaited::Snapshot(snapshot.await.ok());
    }
    match feed {
        Some(Payload::Encoded { form: Some(form), .. }) => Awaited::Form(form.await.ok()),
        Some(Payload::Encoded { chunks, .. }) => Awaited::Chunk(chunks.recv().await),
        Some(Payload::File(file)) => Awaited::File(file.next().await),
        None => {
            // An error would mean that the ticker is gone, and with it the node.
            if grown.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            Awaited::Grown
        }
    }
}
