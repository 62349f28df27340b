//! How a session reads the log: from memory while its replica keeps up, from files while it does not.
//!
//! A reader that lags holds memory that the log has given up. So it is looked at now and then, and one that lags too far
//! lets go of memory, if files can serve it; from then on the `AofSender` sends for it until it has caught up.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rejoin_persistence::{
    log::{Bookmark, Cursor, LogHandle},
    segment::StreamName,
};
use rejoin_protocol::{ByteCount, NextOffset, Offset, ReplicaId};
use rejoin_transports::file_socket::FileSocket;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    sync::{mpsc, oneshot},
};

use crate::{
    control::LinksReports,
    mailbox::{WhenFull, tell},
    messages::aof_sender::{FindHistory, HistoryNews, HistoryWay, SendHistory},
};

/// A reader may lag so far in memory, or twice the log's budget if that is more. Readers that lag share that memory.
const LAG_IN_MEMORY_MAX: u64 = 8 << 20;
/// How long after files could not serve they are asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Pieces of files that wait to be sent at most.
const PIECES_WAITING_MAX: usize = 4;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A session's place in the log.
pub(crate) struct LogReader {
    replica: ReplicaId,
    stream: Arc<StreamName>,
    log: LogHandle,
    reports: LinksReports,
    /// A second handle on the connection, where it is a plain socket.
    socket: Option<FileSocket>,
    place: Place,
    /// Whether files can serve: the answer that is awaited.
    asked: Option<oneshot::Receiver<bool>>,
    /// They could not.
    refused_at: Option<Instant>,
}

enum Place {
    Memory(Cursor),
    Files(Bookmark),
    /// The `AofSender` sends.
    Sending(Sending),
}

struct Sending {
    news: mpsc::Receiver<HistoryNews>,
    /// The last byte sent, by whomever.
    sent: Arc<AtomicU64>,
    /// A piece that is under way, and how much of it was sent.
    piece: Option<(Vec<u8>, usize)>,
    /// Up to where bytes were counted.
    counted: Offset,
}

impl LogReader {
    /// A reader of `stream` at `at`; from memory if that reaches so far.
    pub(crate) fn new(
        replica: ReplicaId,
        stream: Arc<StreamName>,
        log: LogHandle,
        reports: LinksReports,
        socket: Option<FileSocket>,
        at: Bookmark,
    ) -> Self {
        let place = at.open_cursor().map_or(Place::Files(at), Place::Memory);
        Self { replica, stream, log, reports, socket, place, asked: None, refused_at: None }
    }

    /// The byte that is sent next.
    pub(crate) fn position(&self) -> NextOffset {
        match &self.place {
            Place::Memory(cursor) => cursor.position(),
            Place::Files(at) => at.position(),
            Place::Sending(sending) => Offset::new(sending.sent.load(Ordering::Acquire)).next(),
        }
    }

    /// Whether memory is kept for it that the log has given up.
    pub(crate) fn holds_memory(&self) -> bool {
        matches!(&self.place, Place::Memory(cursor) if cursor.is_behind_memory())
    }

    /// Bytes that were sent past the session since the last call.
    pub(crate) fn take_sent_elsewhere(&mut self) -> usize {
        let Place::Sending(sending) = &mut self.place else { return 0 };
        let sent = Offset::new(sending.sent.load(Ordering::Acquire));
        let bytes = sent.since(sending.counted).get();
        sending.counted = sent;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Whether [`LogReader::send_some`] has something to do.
    pub(crate) fn has_bytes(&mut self) -> Outcome<bool> {
        match &mut self.place {
            Place::Memory(cursor) => Ok(!cursor.readable()?.is_empty()),
            Place::Files(at) => {
                at.border()?;
                Ok(!at.is_at_end_of_name())
            }
            Place::Sending(_) => Ok(true),
        }
    }

    /// Sends some bytes, or waits for those who do. How many it has written itself. May be dropped at any time.
    pub(crate) async fn send_some(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> Outcome<usize> {
        match &mut self.place {
            Place::Memory(cursor) => {
                let count = writer.write(cursor.readable()?).await?;
                cursor.consume(count);
                Ok(count)
            }
            Place::Files(at) => {
                let at = at.clone();
                self.read_on(at)?;
                Ok(0)
            }
            Place::Sending(sending) => {
                if let Some((piece, sent)) = &mut sending.piece {
                    let count = writer.write(&piece[*sent..]).await?;
                    if count == 0 {
                        return Err("it takes no more bytes".into());
                    }
                    *sent += count;
                    if *sent == piece.len() {
                        sending.piece = None;
                    }
                    sending.counted = sending.counted.advance(ByteCount::of(count));
                    sending.sent.store(sending.counted.get(), Ordering::Release);
                    return Ok(count);
                }
                let news = sending.news.recv().await;
                self.hear(news)?;
                Ok(0)
            }
        }
    }

    /// Goes on from memory if that reaches back to here, else has the files sent.
    fn read_on(&mut self, at: Bookmark) -> Outcome<()> {
        if let Ok(cursor) = at.open_cursor() {
            self.place = Place::Memory(cursor);
            return Ok(());
        }
        let way = match &self.socket {
            Some(socket) => HistoryWay::Socket(socket.try_clone()?),
            None => HistoryWay::Pieces,
        };
        let (sender, news) = mpsc::channel(PIECES_WAITING_MAX);
        let last = at.position().prior();
        let sent = Arc::new(AtomicU64::new(last.get()));
        let order = SendHistory {
            replica: self.replica,
            stream: self.stream.clone(),
            at,
            way,
            sent: sent.clone(),
            news: sender,
        };
        // Not taken: the news end at once, and the session with them.
        tell(&self.reports.send_history, order, WhenFull::Complain);
        self.place = Place::Sending(Sending { news, sent, piece: None, counted: last });
        Ok(())
    }

    fn hear(&mut self, news: Option<HistoryNews>) -> Outcome<()> {
        match news {
            Some(HistoryNews::Piece(piece)) => {
                if let Place::Sending(sending) = &mut self.place {
                    sending.piece = Some((piece, 0));
                }
            }
            Some(HistoryNews::Reached(cursor)) => self.place = Place::Memory(cursor),
            Some(HistoryNews::EndOfName(at)) => self.place = Place::Files(at),
            Some(HistoryNews::Failed(reason)) => {
                return Err(format!("history cannot be sent: {reason}").into());
            }
            None => return Err("history is not sent any more".into()),
        }
        Ok(())
    }

    /// Now and then: a reader that lags too far lets go of memory, once files are known to serve it.
    pub(crate) fn tend(&mut self) {
        let Place::Memory(cursor) = &self.place else { return };
        if let Some(answer) = &mut self.asked {
            match answer.try_recv() {
                Ok(true) if cursor.is_behind_memory() => self.place = Place::Files(cursor.bookmark()),
                Ok(true) => {}
                Err(oneshot::error::TryRecvError::Empty) => return,
                Ok(false) | Err(_) => self.refused_at = Some(Instant::now()),
            }
            self.asked = None;
            return;
        }
        let lag_max = LAG_IN_MEMORY_MAX.max(self.log.budget().get().saturating_mul(2));
        let may_ask = self.refused_at.is_none_or(|at| at.elapsed() >= ASK_AGAIN_AFTER);
        if !may_ask || !cursor.is_behind_memory() || cursor.lag().get() <= lag_max {
            return;
        }
        let (answer, asked) = oneshot::channel();
        self.asked = Some(asked);
        let find = self
            .reports
            .find_history
            .send(FindHistory { stream: self.stream.clone(), at: cursor.bookmark() });
        tokio::task::spawn_local(async move {
            // The session may have ended meanwhile.
            let _ = answer.send(matches!(find.await, Ok(Ok(()))));
        });
    }
}
