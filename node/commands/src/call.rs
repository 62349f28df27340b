//! What a handler sees: its arguments, its session, the engine, and the rules of expiry and propagation.

use rejoin_keyspace::{Database, Entry, Key, Value};
use rejoin_protocol::{DbIndex, UnixMillis, resp::ReplyWriter};

use crate::{Command, Engine, Failure, Request, Role, Session, SessionKind, pubsub::events::EventClasses};

/// How the running command reaches the log.
enum Outgoing {
    /// As it came, if it changed anything.
    Verbatim,
    /// As it came, although it changes nothing.
    Always,
    /// The handler has logged what is equivalent (or nothing at all).
    Done,
}

/// One command being executed.
pub struct Call<'a> {
    /// Everything that commands work on.
    pub engine: &'a mut Engine,
    /// Who asks.
    pub session: &'a mut Session,
    /// The row of the command.
    pub command: &'static Command,
    /// The arguments, the name first.
    pub args: &'a [&'a [u8]],
    request: Request<'a>,
    changes: u64,
    outgoing: Outgoing,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        engine: &'a mut Engine,
        session: &'a mut Session,
        command: &'static Command,
        request: Request<'a>,
    ) -> Self {
        Self {
            engine,
            session,
            command,
            args: request.args,
            request,
            changes: 0,
            outgoing: Outgoing::Verbatim,
        }
    }

    /// Where replies go.
    #[inline]
    pub fn reply(&mut self) -> ReplyWriter<'_> {
        self.session.reply()
    }

    /// The time of the turn.
    #[inline]
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.engine.now
    }

    /// The selected database's index.
    #[inline]
    #[must_use]
    pub fn db_index(&self) -> DbIndex {
        self.session.db
    }

    /// The selected database.
    #[inline]
    #[must_use]
    pub fn db(&self) -> &Database {
        self.engine.keyspace.database(self.session.db)
    }

    /// The selected database, for writing.
    #[inline]
    pub fn db_mut(&mut self) -> &mut Database {
        self.engine.keyspace.database_mut(self.session.db)
    }

    /// The argument at `index` as a key. Panics past the end: arity was checked.
    #[inline]
    #[must_use]
    pub fn key(&self, index: usize) -> Key<'a> {
        let bytes = self.args[index];
        match self.request.first_key_hash {
            Some(hash) if self.command.keys.first as usize == index => Key { bytes, hash },
            _ => self.engine.keyspace.key(bytes),
        }
    }

    /// Whether `expiry` has passed for this caller. The master's own stream sees expired keys as present: only the
    /// master decides what expires (INCR after the TTL, then PERSIST, must not start from nothing).
    #[inline]
    #[must_use]
    pub fn is_expired(&self, expiry: Option<UnixMillis>) -> bool {
        expiry.is_some_and(|at| at < self.engine.now) && self.session.kind != SessionKind::Master
    }

    /// Before `key` is read or written: if it has expired, a master deletes it and logs that; for a replica's client
    /// it is merely not there. Returns whether it is to be treated as missing.
    #[inline]
    pub fn expire_if_due(&mut self, db: DbIndex, key: Key<'_>) -> bool {
        let Some(entry) = self.engine.keyspace.database(db).get(key) else { return true };
        if !self.is_expired(entry.expiry()) {
            return false;
        }
        // During a pause, or a failover, the stream gets nothing of our own.
        if self.engine.role == Role::Master && !self.engine.is_paused() {
            self.engine.delete_expired(db, key.bytes);
        }
        true
    }

    /// The entry at `key` for reading: counts a hit or a miss.
    #[inline]
    pub fn lookup_read(&mut self, key: Key<'_>) -> Option<&Entry> {
        if self.expire_if_due(self.session.db, key) {
            self.engine.stats.keyspace_misses += 1;
            self.event(EventClasses::MISSED, "keymiss", key.bytes);
            return None;
        }
        self.engine.stats.keyspace_hits += 1;
        self.db().get(key)
    }

    /// The entry at `key` for a write that looks at it first: counts nothing.
    #[inline]
    pub fn lookup_write(&mut self, key: Key<'_>) -> Option<&Entry> {
        if self.expire_if_due(self.session.db, key) {
            return None;
        }
        self.db().get(key)
    }

    /// As [`Call::lookup_write`], and it must be a hash.
    pub fn require_hash_or_missing(&mut self, key: Key<'_>) -> Result<bool, Failure> {
        match self.lookup_write(key).map(Entry::value) {
            None => Ok(false),
            Some(Value::Hash(_)) => Ok(true),
            Some(_) => Err(Failure::WrongType),
        }
    }

    /// States that the command changed `key` of the selected database: it is dirty, and watchers are told.
    #[inline]
    pub fn changed(&mut self, key: Key<'_>) {
        self.changed_in(self.session.db, key.bytes);
    }

    /// As [`Call::changed`], in another database.
    #[inline]
    pub fn changed_in(&mut self, db: DbIndex, key: &[u8]) {
        self.changes += 1;
        self.engine.key_changed(db, key);
    }

    /// States a change that concerns no single key (FLUSHDB of an empty database, SWAPDB).
    pub fn changed_something(&mut self) {
        self.changes += 1;
    }

    /// States so many changes of keys that nobody needs to be told of one by one.
    pub(crate) fn changed_many(&mut self, count: u64) {
        self.changes += count;
    }

    /// Logs `args` in place of the command as it came; may be called several times.
    pub fn propagate(&mut self, args: &[&[u8]]) {
        self.outgoing = Outgoing::Done;
        if self.may_log() {
            self.engine.log.push(self.session.db, args);
        }
    }

    /// Logs nothing for this command, whatever it changed.
    pub fn propagate_nothing(&mut self) {
        self.outgoing = Outgoing::Done;
    }

    /// Logs this command as it came, although it changes nothing (PUBLISH).
    pub fn propagate_as_it_came(&mut self) {
        self.outgoing = Outgoing::Always;
    }

    fn may_log(&self) -> bool {
        // What is loaded is told by no stream: it has its place already.
        self.engine.role == Role::Master
            && self.session.kind != SessionKind::Master
            && self.engine.loading.is_none()
    }

    /// After the handler: logs the command as it came, if it changed anything and said nothing else.
    pub(crate) fn propagate_outcome(&mut self) {
        if self.changes == 0 && !matches!(self.outgoing, Outgoing::Always) {
            return;
        }
        self.engine.stats.changes_since_save += self.changes;
        if matches!(self.outgoing, Outgoing::Done) || !self.may_log() {
            return;
        }
        match self.request.raw {
            Some(raw) => self.engine.log.push_raw(self.session.db, raw),
            None => self.engine.log.push(self.session.db, self.args),
        }
    }
}
