//! A client's session: what it selected, queued, watches and is owed. Its handlers stand beside it.
//!
//! SKELETON: fields are fixed, handlers come.

use std::collections::HashMap;

use rejoin_protocol::{
    ClientId, DbIndex, UnixMillis,
    resp::{ReplyWriter, RespVersion},
};

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
    /// What EXEC will run.
    pub queued: Vec<QueuedCommand>,
    /// A command was refused while queueing: EXEC will refuse all.
    pub failed: bool,
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
    /// It wants only the snapshot, not the stream (redis-cli --rdb).
    pub rdb_only: bool,
    /// The version it stated (Valkey).
    pub version: Option<String>,
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
    /// Replies not yet handed to the socket.
    pub out: Vec<u8>,
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
    /// When it connected.
    pub created: UnixMillis,
    /// When it last sent a command.
    pub last_active: UnixMillis,
    /// The full name of its last command (`client|list`).
    pub last_command: &'static str,
    /// Bytes of requests received and not yet executed, when last looked at.
    pub query_bytes: usize,
    /// It gave the password, or none is asked for.
    pub authenticated: bool,
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
}

impl Session {
    /// A client's session.
    #[must_use]
    pub fn new(id: ClientId, addr: String, laddr: String, now: UnixMillis) -> Self {
        Self { id, addr, laddr, created: now, last_active: now, ..Self::default() }
    }

    /// Where replies go.
    #[inline]
    pub fn reply(&mut self) -> ReplyWriter<'_> {
        ReplyWriter::new(&mut self.out, self.version)
    }
}

/// All sessions of the shard.
#[derive(Debug, Default)]
pub struct Sessions {
    by_id: HashMap<ClientId, Option<Box<Session>>>,
}

impl Sessions {
    /// Adds a session.
    pub fn insert(&mut self, session: Session) {
        self.by_id.insert(session.id, Some(Box::new(session)));
    }

    /// Forgets a session. Its watches are for the caller to release.
    pub fn remove(&mut self, id: ClientId) -> Option<Box<Session>> {
        self.by_id.remove(&id).flatten()
    }

    /// A session, unless it is the one that executes right now.
    #[must_use]
    pub fn get(&self, id: ClientId) -> Option<&Session> {
        self.by_id.get(&id)?.as_deref()
    }

    /// A session for writing, unless it is the one that executes right now.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Session> {
        self.by_id.get_mut(&id)?.as_deref_mut()
    }

    /// All but the one that executes right now, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.by_id.values().filter_map(Option::as_deref)
    }

    /// How many, the executing one included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn take(&mut self, id: ClientId) -> Option<Box<Session>> {
        self.by_id.get_mut(&id)?.take()
    }

    pub(crate) fn put_back(&mut self, session: Box<Session>) {
        // Absent when it was removed while it executed.
        if let Some(slot) = self.by_id.get_mut(&session.id) {
            *slot = Some(session);
        }
    }
}
