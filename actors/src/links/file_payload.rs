//! A payload that lies in a file, on its way to one replica: the `AofSender` sends it, straight into the socket or in
//! pieces for the session to send.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use rejoin_persistence::storage::StoredFile;
use rejoin_protocol::{ByteCount, ReplicaId};
use rejoin_transports::file_socket::FileSocket;
use tokio::sync::mpsc;

use crate::{
    control::LinksReports,
    mailbox::{WhenFull, tell},
    messages::aof_sender::{HistoryWay, PayloadNews, SendPayload},
};

/// Pieces of the file that wait to be sent at most.
const PIECES_WAITING_MAX: usize = 4;

/// A payload in a file.
pub(crate) struct FilePayload {
    file: Arc<dyn StoredFile>,
    bytes: ByteCount,
    /// A second handle on the connection, where it is a plain socket.
    socket: Option<FileSocket>,
    news: Option<mpsc::Receiver<PayloadNews>>,
    /// Bytes sent past the session, and how many of them it knows of.
    sent: Arc<AtomicU64>,
    counted: u64,
}

impl FilePayload {
    pub(crate) fn new(file: Arc<dyn StoredFile>, bytes: ByteCount, socket: Option<FileSocket>) -> Self {
        Self { file, bytes, socket, news: None, sent: Arc::default(), counted: 0 }
    }

    /// Has it sent, once. Nothing else may be written before [`FilePayload::next`] says that it was.
    pub(crate) fn begin(&mut self, replica: ReplicaId, reports: &LinksReports) {
        if self.news.is_some() {
            return;
        }
        let way = self.socket.take().map_or(HistoryWay::Pieces, HistoryWay::Socket);
        let (sender, news) = mpsc::channel(PIECES_WAITING_MAX);
        let (file, bytes, sent) = (self.file.clone(), self.bytes, self.sent.clone());
        // Not taken: the news end at once, and the session with them.
        tell(
            &reports.send_payload,
            SendPayload { replica, file, bytes, way, sent, news: sender },
            WhenFull::Complain,
        );
        self.news = Some(news);
    }

    /// What is told next; `None` when nothing more comes. May be dropped at any time.
    pub(crate) async fn next(&mut self) -> Option<PayloadNews> {
        match &mut self.news {
            Some(news) => news.recv().await,
            // It has not begun: the lines before it are being sent.
            None => std::future::pending().await,
        }
    }

    /// Bytes that were sent past the session since the last call.
    pub(crate) fn take_sent_elsewhere(&mut self) -> usize {
        let sent = self.sent.load(Ordering::Acquire);
        let bytes = sent - self.counted;
        self.counted = sent;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }
}
