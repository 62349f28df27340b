//! `AofSender`: sends the stream out of the log's files, on a thread of its own, to replicas that want what is no longer in
//! memory; by sendfile on plain sockets, read ahead for all others.
//!
//! Each transfer reads from its own place at its replica's pace: a slow one costs reads of the disk, and nobody waits for
//! it. The shard has no part in it. At the hot end a transfer hands over a cursor: from the byte behind the last one sent,
//! so there is neither a gap nor a repetition.

mod bases;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseFuture, WrapFuture};
use rejoin_persistence::{
    files::reading::{self, FileCursor, FilePiece, NotRetained},
    log::{Bookmark, Cursor, LogHandle},
    segment::StreamName,
    storage::Storage,
};
use rejoin_protocol::{ByteCount, Offset, ReplicaId};
use rejoin_transports::file_socket::FileSender;
use tokio::sync::mpsc;

use crate::{
    events::PartGuard,
    mailbox::MAILBOX_MAX,
    messages::aof_sender::{FindHistory, HistoryNews, HistoryWay, NoHistory, SendHistory},
};

/// Bytes of a file that are sent in one go at most.
const PIECE_BYTES: u64 = 1 << 20;
/// Looks for a segment that is perhaps being moved, after the first.
const LOOKS_MAX: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Bytes of a piece that is read for a session to send.
const READ_BYTES: u64 = 256 << 10;

/// Sends the stream out of files.
pub struct AofSender {
    source: Arc<Source>,
    _guard: PartGuard,
}

/// Where the stream lies.
struct Source {
    storage: Arc<dyn Storage>,
    folders: Vec<PathBuf>,
    log: LogHandle,
    verified: bases::Verified,
}

impl Source {
    async fn open(&self, stream: &StreamName, at: &Bookmark) -> Result<FileCursor, HistoryError> {
        let mut looks = 0;
        loop {
            // The border comes before the look: what is visible now is in the files that will be seen.
            let border = at.border()?;
            match reading::open(&*self.storage, &self.folders, stream, at.position(), border) {
                Err(error) if error.may_pass() && looks < LOOKS_MAX => {}
                opened => return Ok(opened?),
            }
            looks += 1;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn find(&self, wanted: &FindHistory) -> Result<(), NoHistory> {
        let found = match self.open(&wanted.stream, &wanted.at).await {
            // The first piece is checked here, so that damage there leads to another rung at once.
            Ok(mut cursor) => wanted
                .at
                .border()
                .map_err(HistoryError::from)
                .and_then(|border| Ok(cursor.next_piece(border, PIECE_BYTES)?)),
            Err(error) => Err(error),
        };
        let Err(error) = found else { return Ok(()) };
        let first = match &error {
            HistoryError::NotRetained(NotRetained::Missing { first, .. }) => *first,
            _ => self.log.first_held(),
        };
        Err(NoHistory { first, reason: error.to_string() })
    }
}

/// Why files do not serve.
#[derive(Debug, thiserror::Error)]
enum HistoryError {
    #[error(transparent)]
    NotRetained(#[from] NotRetained),
    #[error(transparent)]
    LogEnd(#[from] rejoin_persistence::log::CursorEnd),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("nobody listens any more")]
    Cancelled,
}

impl From<rejoin_persistence::segment::SegmentFlaw> for HistoryError {
    fn from(flaw: rejoin_persistence::segment::SegmentFlaw) -> Self {
        Self::NotRetained(flaw.into())
    }
}

impl AofSender {
    /// A sender that reads what lies in `folders`.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>, folders: Vec<PathBuf>, log: LogHandle, guard: PartGuard) -> Self {
        Self {
            source: Arc::new(Source { storage, folders, log, verified: bases::Verified::default() }),
            _guard: guard,
        }
    }
}

impl Actor for AofSender {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MAX);
    }
}

impl Handler<FindHistory> for AofSender {
    type Result = ResponseFuture<Result<(), NoHistory>>;

    fn handle(&mut self, wanted: FindHistory, _: &mut Self::Context) -> Self::Result {
        let source = self.source.clone();
        Box::pin(async move { source.find(&wanted).await })
    }
}

impl Handler<SendHistory> for AofSender {
    type Result = ();

    fn handle(&mut self, order: SendHistory, context: &mut Self::Context) {
        let SendHistory { replica, stream, at, way, sent, news } = order;
        let source = self.source.clone();
        let sending = async move {
            let begun = Instant::now();
            let from = at.position();
            tracing::info!(%replica, %from, bytes = at.lag().get(), "Sending history from files to replica");
            let mut transfer = Transfer { source, stream, at, sent, news: news.clone() };
            let ended = tokio::select! {
                ended = transfer.run(way) => ended,
                () = news.closed() => Err(HistoryError::Cancelled),
            };
            report(replica, from.prior(), &transfer.at, begun, &ended);
            let told = match ended {
                Ok(Ended::InMemory(cursor)) => HistoryNews::Reached(cursor),
                Ok(Ended::AtEndOfName) => HistoryNews::EndOfName(transfer.at),
                Err(error) => HistoryNews::Failed(error.to_string()),
            };
            // Nobody listens any more: the session has ended.
            let _ = news.send(told).await;
        };
        context.spawn(sending.into_actor(self).map(|(), _, _| ()));
    }
}

fn report(
    replica: ReplicaId,
    from: Offset,
    at: &Bookmark,
    begun: Instant,
    ended: &Result<Ended, HistoryError>,
) {
    let (bytes, took_millis) = (at.position().prior().since(from).get(), begun.elapsed().as_millis() as u64);
    let to = at.position().prior();
    match ended {
        Ok(_) => {
            tracing::info!(%replica, %to, bytes, took_millis, "History sent to replica: memory takes over")
        }
        Err(HistoryError::Cancelled) => {
            tracing::info!(%replica, %to, bytes, took_millis, "History is not sent on: the replica is gone");
        }
        Err(error) => tracing::warn!(%replica, %to, bytes, took_millis, %error, "History cannot be sent on"),
    }
}

/// How a transfer ends well.
enum Ended {
    /// Memory takes over.
    InMemory(Cursor),
    /// The stream has another name from here on.
    AtEndOfName,
}

struct Transfer {
    source: Arc<Source>,
    stream: Arc<StreamName>,
    at: Bookmark,
    sent: Arc<std::sync::atomic::AtomicU64>,
    news: mpsc::Sender<HistoryNews>,
}

impl Transfer {
    async fn run(&mut self, way: HistoryWay) -> Result<Ended, HistoryError> {
        let sender = match way {
            HistoryWay::Socket(socket) => Some(socket.attach()?),
            HistoryWay::Pieces => None,
        };
        loop {
            if let Some(ended) = self.end() {
                return Ok(ended);
            }
            let mut segment = self.source.open(&self.stream, &self.at).await?;
            if let Some(ended) = self.send_segment(&mut segment, sender.as_ref()).await? {
                return Ok(ended);
            }
        }
    }

    /// Sends until the segment has no more, or until it is time to hand over.
    async fn send_segment(
        &mut self,
        segment: &mut FileCursor,
        sender: Option<&FileSender>,
    ) -> Result<Option<Ended>, HistoryError> {
        loop {
            if let Some(ended) = self.end() {
                return Ok(Some(ended));
            }
            let bytes_max = if sender.is_some() { PIECE_BYTES } else { READ_BYTES };
            let Some(piece) = segment.next_piece(self.at.border()?, bytes_max)? else { return Ok(None) };
            let count = self.send_piece(&piece, sender).await?;
            segment.consume(count);
            self.at.advance(ByteCount::new(count));
        }
    }

    async fn send_piece(
        &mut self,
        piece: &FilePiece,
        sender: Option<&FileSender>,
    ) -> Result<u64, HistoryError> {
        if let Some(sender) = sender
            && let Some(file) = piece.file.as_fd()
        {
            let count = sender.send(file, piece.at, piece.bytes).await?;
            if count == 0 {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            self.sent.fetch_add(count, Ordering::Release);
            return Ok(count);
        }
        let mut bytes = vec![0; usize::try_from(piece.bytes.min(READ_BYTES)).unwrap_or_default()];
        piece.file.read_exact_at(piece.at, &mut bytes)?;
        let count = bytes.len() as u64;
        self.news.send(HistoryNews::Piece(bytes)).await.map_err(|_| HistoryError::Cancelled)?;
        Ok(count)
    }

    /// Whether files are not needed any more: memory has what comes next and some more, so that the reader does not fall out
    /// of it at once.
    fn end(&self) -> Option<Ended> {
        if self.at.is_at_end_of_name() {
            return Some(Ended::AtEndOfName);
        }
        if self.at.lag().get() > self.source.log.budget().get() / 2 {
            return None;
        }
        self.at.open_cursor().ok().map(Ended::InMemory)
    }
}
