//! What a request passes through: lookup, checks, execution, propagation. One engine per shard; it owns the keyspace,
//! the sessions and the turn's log bytes.

use rejoin_keyspace::{KeyHash, Keyspace, KeyspaceOptions};
use rejoin_protocol::{ClientId, DbIndex, Offset, UnixMillis};

use crate::{
    Call, Command, Effect, Settings,
    node::status::{NodeStatus, Stats},
    propagation::Propagation,
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
    /// Counters.
    pub stats: Stats,
    /// The time of the running turn.
    pub now: UnixMillis,
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
            sessions: Sessions::default(),
            watches: Watches::default(),
            effects: Vec::new(),
            role: Role::Master,
            status: NodeStatus::default(),
            stats: Stats::default(),
            now: UnixMillis::new(0),
            random_state: random_seed | 1,
        }
    }

    /// A random number: SplitMix64, for choosing among keys, not for secrets.
    pub fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random_state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Executes one request of `client`, whose replies go to its session's output. Unknown clients are ignored.
    pub fn execute(&mut self, client: ClientId, request: Request<'_>) {
        let Some(mut session) = self.sessions.take(client) else { return };
        self.dispatch(&mut session, request);
        self.sessions.put_back(session);
    }

    /// Runs a handler as (part of) a unit: stamps positions, takes back a failed reply, propagates what was changed.
    /// The caller begins and ends the unit.
    pub(crate) fn run(
        &mut self,
        session: &mut crate::Session,
        command: &'static Command,
        request: Request<'_>,
    ) -> Result<(), crate::Failure> {
        self.keyspace.set_position(self.log.position());
        let replied = session.out.len();
        let mut call = Call::new(self, session, command, request);
        let outcome = (command.handler)(&mut call);
        call.propagate_outcome();
        if let Err(failure) = &outcome {
            session.out.truncate(replied);
            session.reply().error(&failure.to_string());
        }
        outcome
    }

    /// Deletes keys whose time has come, at most `limit` of them per database, and logs each as DEL. Does nothing on
    /// a replica. Returns how many were deleted.
    pub fn expire_due(&mut self, limit: usize) -> usize {
        if self.role == Role::Replica {
            return 0;
        }
        let mut deleted = 0;
        for index in (0..self.keyspace.database_count()).map(DbIndex::new) {
            for _ in 0..limit {
                let Some(entry) = self.keyspace.database(index).first_expired(self.now) else { break };
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
        self.watches.key_changed(db, key);
    }
}

impl Engine {
    /// The checks before execution, then execution, queueing in MULTI, or refusal.
    fn dispatch(&mut self, session: &mut crate::Session, request: Request<'_>) {
        let _ = (session, request, &self.effects);
        todo!()
    }
}
