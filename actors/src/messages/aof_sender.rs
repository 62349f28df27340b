//! What the `AofSender` actor is told, and what it tells the sessions that it sends for.

use std::sync::{Arc, atomic::AtomicU64};

use actix::Message;
use rejoin_persistence::{
    files::bases::StoredBase,
    log::{Bookmark, Cursor},
    segment::StreamName,
    storage::StoredFile,
};
use rejoin_protocol::{ByteCount, NextOffset, ReplicaId};
use rejoin_replication::BaseTerms;
use rejoin_transports::file_socket::FileSocket;
use tokio::sync::mpsc;

/// Do files hold the stream from here up to its end? Answered. From the `Master`, for a replica that wants what is no
/// longer in memory, and from a session whose replica lags.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<(), NoHistory>")]
pub struct FindHistory {
    /// The stream and those that it continued.
    pub stream: Arc<StreamName>,
    /// The place.
    pub at: Bookmark,
}

/// Files do not hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHistory {
    /// The first byte from which on they do.
    pub first: NextOffset,
    /// Why, in words for the log.
    pub reason: String,
}

/// Send the stream from here on until memory takes over. From a session, which writes nothing meanwhile.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendHistory {
    /// For whom.
    pub replica: ReplicaId,
    /// The stream and those that it continued.
    pub stream: Arc<StreamName>,
    /// The place.
    pub at: Bookmark,
    /// How.
    pub way: HistoryWay,
    /// How far it has come: the last byte sent.
    pub sent: Arc<AtomicU64>,
    /// Where the session hears of it. Nobody listening any more cancels it.
    pub news: mpsc::Sender<HistoryNews>,
}

/// How history travels.
#[derive(Debug)]
pub enum HistoryWay {
    /// Straight from the files into this socket.
    Socket(FileSocket),
    /// In pieces, read ahead, which the session sends.
    Pieces,
}

/// What a session hears while history is sent for it.
#[derive(Debug)]
pub enum HistoryNews {
    /// The next bytes, where they travel in pieces.
    Piece(Vec<u8>),
    /// Everything up to here was sent or told, and memory goes on from here.
    Reached(Cursor),
    /// The stream goes on under another name: this is the end of what both share.
    EndOfName(Bookmark),
    /// It cannot go on; why, in words for the log.
    Failed(String),
}

/// Is there a base on disk that a full sync can begin with, and the log since? Answered; in words for the log if not. From
/// the `Master`.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<FoundBase, String>")]
pub struct FindBase {
    /// The stream and those that it continued.
    pub stream: Arc<StreamName>,
    /// The log's number for the stream's name.
    pub name: u64,
    /// What the base must be like.
    pub terms: BaseTerms,
}

/// A base, whole and verified.
#[derive(Debug)]
pub struct FoundBase {
    /// Where it lies and stands.
    pub base: StoredBase,
    /// The log since.
    pub from: Bookmark,
}

/// Send this file. From a session, which writes nothing meanwhile.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SendPayload {
    /// For whom.
    pub replica: ReplicaId,
    /// The file.
    pub file: Arc<dyn StoredFile>,
    /// Its length.
    pub bytes: ByteCount,
    /// How.
    pub way: HistoryWay,
    /// Bytes that went straight into the socket.
    pub sent: Arc<AtomicU64>,
    /// Where the session hears of it. Nobody listening any more cancels it.
    pub news: mpsc::Sender<PayloadNews>,
}

/// What a session hears while a file is sent for it.
#[derive(Debug)]
pub enum PayloadNews {
    /// The next bytes, where they travel in pieces.
    Piece(Vec<u8>),
    /// All of it was sent or told.
    Sent,
    /// It cannot go on; why, in words for the log.
    Failed(String),
}
