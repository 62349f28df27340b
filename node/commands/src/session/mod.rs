//! A client's session: what it selected, queued, watches and is owed. The handlers that work on it stand beside it:
//! [`connection`], [`client`], [`transactions`].

pub(crate) mod client;
pub(crate) mod connection;
mod output;
mod sessions;
pub(crate) mod transactions;

use rejoin_protocol::{
    ClientId, DbIndex, Offset, UnixMillis,
    resp::{ReplyWriter, RespVersion},
};

pub use sessions::Sessions;
pub(crate) use sessions::Slot;

use crate::{Command, blocking::KeyWait, node::wait::AckWait, pubsub::Subscriptions};

/// The rows of this group.
pub(crate) const GROUPS: &[&[Command]] = &[connection::COMMANDS, client::COMMANDS, transactions::COMMANDS];

/// Who is behind a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// A client.
    #[default]
    Client,
    /// The master that this node follows: its commands are applied, never answered.
    Master,
}

/// Which replies a client wants (CLIENT REPLY).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// All.
    #[default]
    On,
    /// None.
    Off,
    /// Not the next command's.
    SkipNext,
    /// Not the running command's.
    Skipping,
}

/// A command queued in MULTI.
#[derive(Debug)]
pub struct QueuedCommand {
    /// Its row.
    pub command: &'static crate::Command,
    /// Its arguments, the name first.
    pub args: Vec<Box<[u8]>>,
}

/// A transaction that was begun.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Where the log stood at its MULTI; for the master's stream, which is acknowledged up to here.
    pub begun_at: Offset,
    /// What EXEC will run.
    pub queued: Vec<QueuedCommand>,
    /// A command was refused while queueing: EXEC will refuse all.
    pub failed: bool,
    /// Bytes of the queued arguments.
    pub bytes: u64,
    /// A queued command may write.
    pub writes: bool,
    /// A queued command sends messages, which are logged but change no data.
    pub publishes: bool,
    /// A queued command may take memory.
    pub denies_oom: bool,
}

/// What a replica told of itself by REPLCONF before it asked for the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaHello {
    /// The port on which it serves its own clients.
    pub listening_port: u16,
    /// The address it wants to be shown with.
    pub ip_address: Option<String>,
    /// It understands `$EOF:` payloads.
    pub capa_eof: bool,
    /// It understands PSYNC2.
    pub capa_psync2: bool,
    /// It is a node of our kind.
    pub capa_rejoin: bool,
    /// It wants only the snapshot, not the stream (redis-cli --rdb).
    pub rdb_only: bool,
    /// It wants a snapshot without keys (redis-cli --functions-rdb).
    pub rdb_without_data: bool,
    /// The version it stated (Valkey).
    pub version: Option<String>,
}

/// What a client waits for.
#[derive(Debug)]
pub enum Waiting {
    /// WAIT, WAITAOF.
    Acks(AckWait),
    /// Something to take from a key.
    Keys(Box<KeyWait>),
    /// SHUTDOWN: the end, or that it is called off.
    Shutdown,
    /// SAVE, DEBUG RELOAD: what comes of it.
    Disk,
}

impl Waiting {
    /// When it is over at the latest.
    pub(crate) fn until(&self) -> Option<UnixMillis> {
        match self {
            Self::Acks(wait) => wait.until,
            Self::Keys(wait) => wait.until,
            Self::Shutdown | Self::Disk => None,
        }
    }
}

/// One client.
#[derive(Debug, Default)]
pub struct Session {
    /// Its id.
    pub id: ClientId,
    /// Who is behind it.
    pub kind: SessionKind,
    /// The selected database.
    pub db: DbIndex,
    /// The protocol version it speaks.
    pub version: RespVersion,
    /// Replies and messages; the socket has taken the first `sent` bytes.
    pub out: Vec<u8>,
    /// Bytes of `out` that are sent; moved by the shard.
    pub sent: usize,
    /// Which replies it wants.
    pub reply_mode: ReplyMode,
    /// CLIENT SETNAME.
    pub name: Box<[u8]>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Box<[u8]>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: Box<[u8]>,
    /// Its address, `ip:port`.
    pub addr: String,
    /// Our address that it reached.
    pub laddr: String,
    /// It came by a unix socket.
    pub by_unix_socket: bool,
    /// When it connected.
    pub created: UnixMillis,
    /// When it last sent a command.
    pub last_active: UnixMillis,
    /// Its last command's row; [`crate::table::full_name`] is how it is shown.
    pub last_command: Option<&'static Command>,
    /// Bytes of requests received and not yet executed, when last looked at.
    pub query_bytes: usize,
    /// It gave the password, or none is asked for.
    pub authenticated: bool,
    /// It gets messages: it has subscriptions, or monitors.
    pub(crate) listens: bool,
    /// It sees all commands (MONITOR).
    pub(crate) is_monitor: bool,
    /// What it listens to; never empty.
    pub(crate) subscriptions: Option<Box<Subscriptions>>,
    /// It is to be closed because it does not read what it is owed.
    pub(crate) is_over_limit: bool,
    /// Since when its output is over its soft limit.
    pub(crate) over_soft_since: Option<UnixMillis>,
    /// The transaction it has begun.
    pub transaction: Option<Box<Transaction>>,
    /// The keys it watches.
    pub watching: Vec<(DbIndex, Box<[u8]>)>,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// What it said by REPLCONF.
    pub replica_hello: ReplicaHello,
    /// It asked to be closed, or is to be: no further request is executed.
    pub closing: bool,
    /// It asked for the stream (PSYNC, SYNC) and leaves the shard: no further request is executed here, and what it
    /// has sent behind that request goes with it.
    pub attaching: bool,
    /// The stream's offset behind its last write: what WAIT waits for.
    pub last_write: Offset,
    /// It waits: no request is executed until that is answered.
    pub waiting: Option<Waiting>,
    /// It stands in the list that [`crate::Engine::take_woken`] gives.
    pub(crate) is_woken: bool,
}

impl Session {
    /// A client's session.
    #[must_use]
    pub fn new(id: ClientId, addr: String, laddr: String, now: UnixMillis) -> Self {
        Self { id, addr, laddr, created: now, last_active: now, ..Self::default() }
    }

    /// Whether a request of it may be executed now, output apart.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.closing && !self.attaching && self.waiting.is_none()
    }

    /// Whether it is sent messages, so that its own silence means nothing.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.listens
    }

    /// The address without its port.
    #[must_use]
    pub fn ip(&self) -> &str {
        self.addr.rsplit_once(':').map_or("", |(ip, _)| ip.trim_matches(['[', ']']))
    }

    /// Whether the client is on this machine, as Redis tells it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.by_unix_socket || matches!(self.ip(), "127.0.0.1" | "::1")
    }

    /// Where replies go.
    #[inline]
    pub fn reply(&mut self) -> ReplyWriter<'_> {
        ReplyWriter::new(&mut self.out, self.version)
    }
}
