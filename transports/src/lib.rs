//! Moves bytes between nodes: a [`Transport`] dials and listens, a [`Link`] carries lanes. And what a client's
//! connection is ([`client`], [`unix`], [`tls`]).
//!
//! It knows tokio and sockets; it knows no replication, no data and no actors, and nothing above knows which
//! transport it runs on. On [`tcp`] and [`memory`] all lanes share one ordered stream, in the PSYNC grammar; a
//! multiplexed transport gives every lane a stream of its own.
//!
//! Invariants:
//! * a link belongs to nobody's runtime until it is attached: [`Link::detach`] and [`DetachedStream::attach`] move it
//!   between threads without losing a byte;
//! * nothing here buffers: what is not read stays with the sender.

pub mod client;
pub mod file_socket;
pub mod memory;
pub mod tcp;
pub mod tls;
pub mod unix;

use std::{fmt, future::Future, io, pin::Pin};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

use file_socket::FileSocket;

/// A future that a transport returns.
pub type TransportFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, TransportError>> + Send + 'a>>;

/// Where a node is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Host name or address; a plain name on the in-memory transport.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// An endpoint.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// One kind of traffic on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Handshake and decisions.
    Control,
    /// Signs of life, with time and offset.
    Heartbeat,
    /// The replication stream.
    Commands,
    /// Offsets applied and durable.
    Acknowledgements,
    /// Pieces of a snapshot; several may be open at once.
    Snapshot(u8),
    /// The replication stream's past, from disk.
    History,
}

/// How a link carries its lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// All in one ordered stream.
    Shared,
    /// Each in a stream of its own.
    Separate,
}

/// An ordered stream of bytes in both directions, attached to the runtime that polls it.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Takes the stream off its runtime, to be attached to another.
    fn detach(self: Box<Self>) -> io::Result<Box<dyn DetachedStream>>;

    /// A second handle on the socket that bytes of files can be sent by, on any thread; `None` where bytes pass through
    /// more than a plain socket.
    ///
    /// # Errors
    /// The system has no more handles.
    fn file_socket(&self) -> io::Result<Option<FileSocket>> {
        Ok(None)
    }
}

/// A stream that belongs to no runtime.
pub trait DetachedStream: Send {
    /// Attaches the stream to the runtime of the calling thread.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn ByteStream>>;
}

/// A pipe to another node.
pub trait Link: Send {
    /// Who is at the other end, for logs.
    fn peer(&self) -> &Endpoint;

    /// How lanes are carried.
    fn lanes(&self) -> Lanes;

    /// Opens a lane. On a link with shared lanes the first call takes the one stream, whichever lane it names, and
    /// every further call fails with [`TransportError::LaneTaken`].
    fn open(&mut self, lane: Lane) -> Result<Box<dyn ByteStream>, TransportError>;
}

/// Accepts links.
pub trait Listener: Send {
    /// Where it listens.
    fn endpoint(&self) -> Endpoint;

    /// The next link.
    fn accept(&mut self) -> TransportFuture<'_, Box<dyn Link>>;
}

/// A way to reach other nodes.
pub trait Transport: Send + Sync {
    /// Its name, for logs and settings.
    fn name(&self) -> &'static str;

    /// Opens a link to `to`.
    fn dial<'a>(&'a self, to: &'a Endpoint) -> TransportFuture<'a, Box<dyn Link>>;

    /// Accepts links at `at`; port 0 picks a free one.
    fn listen<'a>(&'a self, at: &'a Endpoint) -> TransportFuture<'a, Box<dyn Listener>>;
}

/// Why bytes cannot be moved.
#[derive(Debug, Error)]
pub enum TransportError {
    /// The peer cannot be reached.
    #[error("cannot connect to {to}: {source}")]
    Unreachable {
        /// Whom.
        to: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The endpoint cannot be listened on.
    #[error("cannot listen on {at}: {source}")]
    CannotListen {
        /// Where.
        at: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The link broke.
    #[error("link broke: {0}")]
    Broken(#[from] io::Error),
    /// The one stream of a link with shared lanes is in use.
    #[error("lane {0:?} was asked for, but the link's only stream is taken")]
    LaneTaken(Lane),
}
