//! What a request passes through: lookup, checks, execution, propagation. One engine per shard; it owns the keyspace,
//! the sessions and the turn's log bytes.

use rejoin_keyspace::{AccessKind, KeyHash, Keyspace, KeyspaceOptions};
use rejoin_protocol::{ClientId, DbIndex, Offset, UnixMillis};

use crate::{
    Call, Command, Effect, Failure, Flags, Host, Session, SessionKind, Settings,
    blocking::Blocked,
    dispatch::reply_error,
    eviction::Eviction,
    host::NoHost,
    node::{
        loading::Loading,
        pause::Pause,
        rates::{BufferPeaks, Rates},
        saving::Saving,
        status::{NodeStatus, Stats},
    },
    observing::{Observed, Outcome},
    propagation::Propagation,
    pubsub::{PubSub, events::EventClasses},
    session::Sessions,
    watch::Watches,
};

/// Whose writes this node takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Its clients'; it decides what expires.
    Master,
    /// Its master's alone; it appends nothing of its own.
    Replica,
}

/// One request, decoded and prepared.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The arguments, the name first. Never empty.
    pub args: &'a [&'a [u8]],
    /// The request as it stood on the wire, when that is canonical RESP: what a verbatim propagation logs.
    pub raw: Option<&'a [u8]>,
    /// Its row, when the touch phase has looked it up.
    pub command: Option<&'static Command>,
    /// The hash of its first key, when the touch phase has computed it.
    pub first_key_hash: Option<KeyHash>,
}

/// Everything that commands work on.
pub struct Engine {
    /// The data.
    pub keyspace: Keyspace,
    /// The log bytes of the running turn.
    pub log: Propagation,
    /// The settings.
    pub settings: Settings,
    /// The world outside, as far as commands wait for it.
    pub host: Box<dyn Host>,
    /// All client sessions.
    pub sessions: Sessions,
    /// Who watches which keys.
    pub watches: Watches,
    /// What the world outside is asked for; taken by the shard after the turn.
    pub effects: Vec<Effect>,
    /// Whose writes are taken; changed by the shard between turns.
    pub role: Role,
    /// What INFO and ROLE tell of replication and of the node; written by the shard between turns.
    pub status: NodeStatus,
    /// The data is being read from disk.
    pub loading: Option<Loading>,
    /// What is known of saves to disk.
    pub saving: Saving,
    /// Counters.
    pub stats: Stats,
    /// Who listens to which channels.
    pub(crate) pubsub: PubSub,
    /// The time of the running turn.
    pub now: UnixMillis,
    /// A shutdown waits for replicas; no client may write meanwhile.
    pub(crate) shutdown_is_pending: bool,
    /// The same in microseconds, for those who are shown it.
    pub now_micros: i64,
    /// CLIENT PAUSE; lapses by itself.
    pub(crate) pause: Option<Pause>,
    /// Clients that wait, for replicas or for keys, in the order in which they began to.
    pub(crate) waiting: Vec<ClientId>,
    /// Who waits for which keys.
    pub(crate) blocked: Blocked,
    /// Clients for [`Engine::take_woken`].
    pub(crate) woken: Vec<ClientId>,
    /// A client waits for replicas that should be asked how far they are.
    pub(crate) acks_wanted: bool,
    /// How many of those who wait do so for acknowledgements.
    pub(crate) ack_waits: usize,
    /// They were asked, and nobody was told to hurry.
    pub(crate) has_logged_getack: bool,
    /// EXEC is running, or a request without a turn: nothing may wait.
    pub(crate) must_not_wait: bool,
    /// EXEC is running.
    pub(crate) in_exec: bool,
    /// An effect must be carried out before anything else is executed; reset by each turn.
    pub(crate) turn_ended: bool,
    /// Which keys may go when memory is short, and how much was done for it.
    pub(crate) eviction: Eviction,
    /// What the instantaneous figures of INFO are made of.
    pub(crate) rates: Rates,
    /// The largest buffers of clients lately.
    pub(crate) buffer_peaks: BufferPeaks,
    /// What is counted and timed of each command.
    pub(crate) observed: Observed,
    /// State of the generator behind [`Engine::random`].
    random_state: u64,
}

impl Engine {
    /// An engine with an empty keyspace whose stream stands at `offset`. `random_seed` seeds RANDOMKEY and its like.
    #[must_use]
    pub fn new(settings: Settings, keyspace: KeyspaceOptions, offset: Offset, random_seed: u64) -> Self {
        Self {
            keyspace: Keyspace::new(keyspace),
            log: Propagation::new(offset),
            settings,
            host: Box::new(NoHost),
            sessions: Sessions::default(),
            watches: Watches::default(),
            effects: Vec::new(),
            role: Role::Master,
            status: NodeStatus::default(),
            loading: None,
            saving: Saving::default(),
            stats: Stats::default(),
            pubsub: PubSub::default(),
            now: UnixMillis::new(0),
            shutdown_is_pending: false,
            now_micros: 0,
            pause: None,
            waiting: Vec::new(),
            blocked: Blocked::default(),
            woken: Vec::new(),
            acks_wanted: false,
            ack_waits: 0,
            has_logged_getack: false,
            must_not_wait: false,
            in_exec: false,
            turn_ended: false,
            eviction: Eviction::default(),
            rates: Rates::default(),
            buffer_peaks: BufferPeaks::default(),
            observed: Observed::new(),
            random_state: random_seed | 1,
        }
    }

    /// Takes the turn's time into the clock that tells entries when they are used.
    #[inline]
    pub(crate) fn set_access_clock(&mut self) {
        let settings = &self.settings;
        let kind = match settings.maxmemory_policy.is_lfu() {
            true => AccessKind::Frequency {
                log_factor: settings.lfu_log_factor,
                decay_minutes: settings.lfu_decay_minutes,
            },
            false => AccessKind::Recency,
        };
        self.keyspace.access_mut().set(self.now, kind);
    }

    /// A random number: SplitMix64, for choosing among keys, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random_state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Takes in a new client. It counts as authenticated if no password is asked for at this moment.
    pub fn session_opened(&mut self, mut session: Session) {
        session.authenticated = self.settings.requirepass.is_empty();
        self.stats.connections_received += 1;
        self.sessions.insert(session);
    }

    /// Forgets a client and whatever it held. To be called when its connection has gone, or has become a replica's.
    pub fn session_closed(&mut self, id: ClientId) -> Option<Box<Session>> {
        let mut session = self.sessions.remove(id)?;
        self.end_transaction(&mut session);
        self.forget_waiting(&mut session);
        self.stop_listening(&mut session);
        Some(session)
    }

    /// Asks the world outside for something; see [`Effect::ends_turn`].
    pub fn ask(&mut self, effect: Effect) {
        self.turn_ended |= effect.ends_turn();
        self.effects.push(effect);
    }

    /// Whether operators see a session: those that the shard keeps for itself have no address of ours, and the master's
    /// counts only while it is followed.
    pub(crate) fn is_shown(&self, session: &Session) -> bool {
        match session.kind {
            SessionKind::Client => !session.laddr.is_empty(),
            SessionKind::Master => self.role == Role::Replica,
        }
    }

    /// Runs a handler as (part of) a unit: stamps positions, takes back a failed reply, propagates what was changed, and
    /// counts all that. The caller begins and ends the unit.
    pub(crate) fn run(
        &mut self,
        session: &mut Session,
        command: &'static Command,
        request: Request<'_>,
    ) -> Result<(), Failure> {
        self.keyspace.set_position(self.log.position());
        let (begin, is_again) = (self.observed.lap(), self.blocked.is_serving());
        self.keyspace.access_mut().set_quiet(session.no_touch || command.flags.contains(Flags::NO_TOUCH));
        let replied = session.out.len();
        let mut call = Call::new(self, session, command, request);
        let outcome = (command.handler)(&mut call);
        call.propagate_outcome();
        if let Err(failure) = &outcome {
            session.out.truncate(replied);
            reply_error(session, &failure.reply());
            self.stats.count_error(&session.out[replied..]);
        }
        self.observe(session, command, request, Outcome { begin, is_again, failed: outcome.is_err() });
        outcome
    }

    /// Deletes keys whose time has come, at most `limit` of them per database, and logs each as DEL. Does nothing on
    /// a replica. Returns how many were deleted.
    pub fn expire_due(&mut self, limit: usize) -> usize {
        if self.role == Role::Replica
            || !self.settings.active_expire
            || self.is_paused()
            || self.loading.is_some()
        {
            return 0;
        }
        // Expired means past, not at, its time; the index says "at or before".
        let before_now = UnixMillis::new(self.now.get().saturating_sub(1));
        let mut deleted = 0;
        for index in (0..self.keyspace.database_count()).map(DbIndex::new) {
            for _ in 0..limit {
                let Some(entry) = self.keyspace.database(index).first_expired(before_now) else { break };
                let entry = entry.clone();
                self.log.begin_unit();
                self.delete_expired(index, entry.key());
                self.log.end_unit();
                deleted += 1;
            }
        }
        deleted
    }

    /// Deletes one expired key and logs it in the running unit.
    pub(crate) fn delete_expired(&mut self, db: DbIndex, key: &[u8]) {
        self.keyspace.set_position(self.log.position());
        let hashed = self.keyspace.key(key);
        self.keyspace.database_mut(db).remove(hashed);
        self.log.push(db, &[b"DEL", key]);
        self.stats.expired_keys += 1;
        self.notify(db, EventClasses::EXPIRED, "expired", key);
        self.key_changed(db, key);
    }
}
