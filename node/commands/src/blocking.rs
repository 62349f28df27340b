//! Waiting for keys: a command that finds nothing to take puts its client to sleep, and is executed anew when a key
//! that it names has become what it can use.
//!
//! A command asks for it with [`Call::wait_for_keys`] and says by a predicate which entries are worth another try, so
//! that nothing here knows of lists. Every change of a key comes by [`Engine::key_changed`]; after the command (or the
//! whole transaction) that made it, [`Engine::serve_blocked`] tries the clients again, in the order in which keys were
//! changed and, for each key, in the order in which clients began to wait. What a client then does is a unit of the log
//! of its own, behind the one that woke it.

use std::collections::VecDeque;

use hashbrown::HashMap;
use rejoin_keyspace::Entry;
use rejoin_protocol::{
    ClientId, DbIndex, UnixMillis,
    number::{LongDouble, parse_f64},
};
use smallvec::SmallVec;

use crate::{
    Call, Command, Engine, Failure, Request, Session, SessionKind,
    session::{ReplyMode, Waiting},
    watch::Watched,
};

/// What a client that waits for keys will do, and until when it waits.
#[derive(Debug)]
pub struct KeyWait {
    /// The command to execute again.
    command: &'static Command,
    /// Its arguments.
    args: Vec<Box<[u8]>>,
    /// The keys, in the database that is selected.
    keys: Vec<Box<[u8]>>,
    db: DbIndex,
    /// When it gets a null instead; `None` waits for ever.
    pub(crate) until: Option<UnixMillis>,
    /// Which entries it can use.
    wants: fn(&Entry) -> bool,
}

type Waiters = HashMap<(DbIndex, Box<[u8]>), Vec<ClientId>>;

/// Who waits for which keys.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// By key, in the order in which they came.
    waiters: Waiters,
    /// Keys with waiters that were changed, in that order, each once.
    changed: VecDeque<(DbIndex, Box<[u8]>)>,
    /// Clients are being tried again: they keep their places.
    is_serving: bool,
}

impl Blocked {
    /// A key was changed by anyone, and is there.
    #[cold]
    fn note(&mut self, db: DbIndex, key: &[u8]) {
        let is_new = || !self.changed.iter().any(|(other, bytes)| *other == db && **bytes == *key);
        if self.waiters.contains_key(&Watched(db, key)) && is_new() {
            self.changed.push_back((db, key.into()));
        }
    }

    /// A client that waited is being tried again.
    #[inline]
    pub(crate) fn is_serving(&self) -> bool {
        self.is_serving
    }

    /// A whole database was exchanged for another.
    pub(crate) fn database_changed(&mut self, db: DbIndex) {
        let keys: Vec<_> = self.waiters.keys().filter(|(other, _)| *other == db).cloned().collect();
        for (db, key) in keys {
            self.note(db, &key);
        }
    }

    fn register(&mut self, client: ClientId, wait: &KeyWait) {
        for key in &wait.keys {
            let clients = self.waiters.entry((wait.db, key.clone())).or_default();
            // A key may be named twice.
            if clients.last() != Some(&client) {
                clients.push(client);
            }
        }
    }

    fn forget(&mut self, client: ClientId, wait: &KeyWait) {
        for key in &wait.keys {
            if let Some(clients) = self.waiters.get_mut(&Watched(wait.db, key)) {
                clients.retain(|&other| other != client);
                if clients.is_empty() {
                    self.waiters.remove(&Watched(wait.db, key));
                }
            }
        }
    }
}

/// How a wait ends without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unblock {
    /// As if the time were up.
    Timeout,
    /// With an error, for CLIENT UNBLOCK.
    Asked,
    /// With an error, because this node is no longer a master.
    RoleLost,
    /// With an error, because there is no log any more whose sync it waits for.
    LogIsOff,
}

impl Unblock {
    fn error(self) -> Option<&'static str> {
        match self {
            Self::Timeout => None,
            Self::Asked => Some("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
            Self::LogIsOff => Some(crate::node::wait::LOG_IS_OFF),
            Self::RoleLost => Some(
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            ),
        }
    }
}

impl Call<'_> {
    /// When a wait of `argument` seconds (0: for ever) from now is over.
    pub(crate) fn wait_deadline(&self, argument: &[u8]) -> Result<Option<UnixMillis>, Failure> {
        const OUT_OF_RANGE: &str = "ERR timeout is out of range";
        if LongDouble::parse(argument).is_none() {
            return Err(Failure::text("ERR timeout is not a float or out of range"));
        }
        // What only a long double can hold is far out of range, on either side.
        let seconds = parse_f64(argument).unwrap_or(match argument.first() {
            Some(b'-') => f64::NEG_INFINITY,
            _ => f64::INFINITY,
        });
        let millis = (seconds * 1000.0).ceil();
        if millis >= i64::MAX as f64 {
            return Err(Failure::text(OUT_OF_RANGE));
        }
        match millis as i64 {
            ..0 => Err(Failure::text("ERR timeout is negative")),
            0 => Ok(None),
            millis => {
                let at = self.now().get().checked_add(millis).ok_or(Failure::text(OUT_OF_RANGE))?;
                Ok(Some(UnixMillis::new(at)))
            }
        }
    }

    /// Puts the client to sleep until one of `keys` holds an entry that `wants` accepts, when the command is executed
    /// again; `false` where nothing may wait (MULTI, the master's stream), and the command answers at once.
    pub(crate) fn wait_for_keys(
        &mut self,
        keys: &[&[u8]],
        until: Option<UnixMillis>,
        wants: fn(&Entry) -> bool,
    ) -> bool {
        if self.engine.must_not_wait || self.session.kind == SessionKind::Master {
            return false;
        }
        let wait = KeyWait {
            command: self.command,
            args: self.args.iter().map(|arg| Box::from(*arg)).collect(),
            keys: keys.iter().map(|key| Box::from(*key)).collect(),
            db: self.session.db,
            until,
            wants,
        };
        if !self.engine.blocked.is_serving {
            self.engine.blocked.register(self.session.id, &wait);
            self.engine.waiting.push(self.session.id);
        }
        self.session.waiting = Some(Waiting::Keys(Box::new(wait)));
        true
    }
}

/// The reply that CLIENT REPLY SKIP meant has been left out.
pub(crate) fn end_skipping(session: &mut Session) {
    if session.reply_mode == ReplyMode::Skipping {
        session.reply_mode = ReplyMode::On;
    }
}

impl Engine {
    /// A key was changed: whoever watches it or waits for it is told.
    #[inline]
    pub(crate) fn key_changed(&mut self, db: DbIndex, key: &[u8]) {
        self.watches.key_changed(db, key);
        // A key that is gone serves nobody; when it comes again, it comes behind those that are there by now.
        if !self.blocked.waiters.is_empty()
            && self.keyspace.database(db).get(self.keyspace.key(key)).is_some()
        {
            self.blocked.note(db, key);
        }
    }

    /// Tries the clients again that wait for keys which were changed. To be called after each unit of the log.
    #[inline]
    pub(crate) fn serve_blocked(&mut self) {
        if !self.blocked.changed.is_empty() && !self.blocked.is_serving {
            self.serve_changed();
        }
    }

    #[cold]
    fn serve_changed(&mut self) {
        self.blocked.is_serving = true;
        let must_not_wait = std::mem::replace(&mut self.must_not_wait, false);
        while let Some(place) = self.blocked.changed.pop_front() {
            let clients = self.blocked.waiters.get(&place).cloned().unwrap_or_default();
            for client in clients {
                self.serve(client, &place.1);
            }
        }
        self.must_not_wait = must_not_wait;
        self.blocked.is_serving = false;
    }

    /// Executes the command of a client again, if `key` is now what it can use.
    fn serve(&mut self, client: ClientId, key: &[u8]) {
        let Some(slot) = self.sessions.slot_of(client) else { return };
        let Some(mut session) = self.sessions.take(slot, client) else { return };
        match session.waiting.take() {
            Some(Waiting::Keys(wait)) if self.is_wanted(&wait, key) => {
                self.execute_again(&mut session, &wait);
                match session.waiting {
                    // It waits on, in its old place and until its old deadline.
                    Some(_) => session.waiting = Some(Waiting::Keys(wait)),
                    None => {
                        self.blocked.forget(client, &wait);
                        self.waiting.retain(|&other| other != client);
                        self.wake(&mut session);
                    }
                }
            }
            waiting => session.waiting = waiting,
        }
        self.sessions.put_back(slot, session);
    }

    fn is_wanted(&self, wait: &KeyWait, key: &[u8]) -> bool {
        let entry = self.keyspace.database(wait.db).get(self.keyspace.key(key));
        entry.is_some_and(|entry| entry.expiry().is_none_or(|at| at >= self.now) && (wait.wants)(entry))
    }

    fn execute_again(&mut self, session: &mut Session, wait: &KeyWait) {
        let args: SmallVec<[&[u8]; 8]> = wait.args.iter().map(|arg| &**arg).collect();
        let request = Request { args: &args, raw: None, command: Some(wait.command), first_key_hash: None };
        let (replied, logged) = (session.out.len(), self.log.bytes().len());
        self.log.begin_unit();
        // A failure stands in the reply already.
        let _ = self.run(session, wait.command, request);
        self.log.end_unit();
        if self.log.bytes().len() != logged {
            session.last_write = self.log.offset();
        }
        if matches!(session.reply_mode, ReplyMode::Off | ReplyMode::Skipping) {
            session.out.truncate(replied);
        }
        if session.waiting.is_none() {
            end_skipping(session);
        }
        if self.pubsub.has_deferred() {
            self.hear_deferred(session);
        }
    }

    /// Notes that a client that does not execute right now has output, or may go on: the shard sees to it.
    pub(crate) fn wake(&mut self, session: &mut Session) {
        if !std::mem::replace(&mut session.is_woken, true) {
            self.woken.push(session.id);
        }
    }

    /// As [`Engine::wake`], by id.
    pub(crate) fn wake_client(&mut self, client: ClientId) {
        if let Some(session) = self.sessions.get_mut(client)
            && !std::mem::replace(&mut session.is_woken, true)
        {
            self.woken.push(client);
        }
    }

    /// Clients that have output, or may go on, through no request of their own; to be asked after whatever was executed,
    /// when its bytes are logged.
    pub fn take_woken(&mut self) -> Vec<ClientId> {
        let woken = std::mem::take(&mut self.woken);
        for &client in &woken {
            if let Some(session) = self.sessions.get_mut(client) {
                session.is_woken = false;
            }
        }
        woken
    }

    /// Ends a client's wait without what it waited for; whether it waited at all.
    pub(crate) fn unblock(&mut self, client: ClientId, how: Unblock) -> bool {
        let session = self.sessions.get_mut(client);
        // A shutdown is called off for all who asked for it, or not at all; and the disk always answers.
        let may_end = |waiting: &mut Waiting| !matches!(waiting, Waiting::Shutdown | Waiting::Disk);
        let Some(waiting) = session.and_then(|session| session.waiting.take_if(may_end)) else {
            return false;
        };
        self.waiting.retain(|&other| other != client);
        let held = match &waiting {
            Waiting::Keys(wait) => {
                self.blocked.forget(client, wait);
                None
            }
            Waiting::Acks(wait) => {
                self.ack_waits -= 1;
                Some(self.held(wait))
            }
            Waiting::Shutdown | Waiting::Disk => None,
        };
        if let Some(error) = how.error() {
            self.stats.count_error(format!("-{error}").as_bytes());
        }
        let Some(session) = self.sessions.get_mut(client) else { return false };
        match (how.error(), held) {
            _ if matches!(session.reply_mode, ReplyMode::Off | ReplyMode::Skipping) => {}
            (Some(error), _) => session.reply().error(error),
            (None, Some(held)) => held.reply(session.reply()),
            (None, None) => session.reply().null_array(),
        }
        end_skipping(session);
        true
    }

    /// This node follows a master from now on: what its clients wait for is no longer decided here.
    pub fn unblock_all(&mut self) -> Vec<ClientId> {
        let waiting = self.waiting.clone();
        waiting.into_iter().filter(|&client| self.unblock(client, Unblock::RoleLost)).collect()
    }

    /// A session that waits is gone.
    pub(crate) fn forget_waiting(&mut self, session: &mut Session) {
        self.waiting.retain(|&waiting| waiting != session.id);
        match session.waiting.take() {
            Some(Waiting::Keys(wait)) => self.blocked.forget(session.id, &wait),
            Some(Waiting::Acks(_)) => self.ack_waits -= 1,
            Some(Waiting::Shutdown | Waiting::Disk) | None => {}
        }
    }
}
