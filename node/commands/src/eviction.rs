//! `maxmemory`: what goes when memory is short, and when nothing may go.
//!
//! Before a command is executed, keys are evicted until what the node uses is within the limit, a bounded number of
//! them; the shard's ticks go on with it. Candidates are sampled, each key with equal chance, and the best of several
//! rounds are remembered, as in Redis: with a few samples that comes near to the order of true LRU or LFU.
//!
//! What counts against the limit: the keyspace, the clients' buffers, and the log as far as Redis would have it in its
//! backlog. The rest of the log, which is there for replicas, does not count, nor do copies that snapshots hold.

use rejoin_keyspace::{Database, Entry};
use rejoin_protocol::DbIndex;

use crate::{
    Effect, Engine, Role, SessionKind, Settings, pubsub::events::EventClasses,
    session::client::memory as client_memory, settings::MemoryPolicy,
};

/// Candidates that are remembered.
const POOL_MAX: usize = 16;
/// Keys evicted for one command at least, if that many must go, whatever `maxmemory-eviction-tenacity` says.
const KEYS_PER_COMMAND_MIN: usize = 16;
/// Keys evicted for one command at most, for each step of tenacity up to 10; beyond, 15 % more with each.
const KEYS_PER_TENACITY: usize = 16;
/// Of one turn's commands together: so many times what one may take.
const COMMANDS_PER_TURN: usize = 4;

/// Whether there is room for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Memory is within its limit.
    Enough,
    /// More must go, but not now.
    Pending,
    /// Nothing more can go.
    Exhausted,
}

/// A key that may go.
#[derive(Debug)]
struct Candidate {
    /// How much rather than others.
    score: u64,
    db: DbIndex,
    key: Box<[u8]>,
}

/// What is kept between evictions.
#[derive(Debug, Default)]
pub(crate) struct Eviction {
    /// The best candidates seen, the best one last. Their keys may be gone or in use by now.
    pool: Vec<Candidate>,
    /// The database from which a random policy took last.
    last_db: u32,
    /// Keys evicted in this turn.
    evicted_in_turn: usize,
    /// Bytes of clients' buffers when last looked at.
    client_bytes: u64,
}

impl Eviction {
    pub(crate) fn begin_turn(&mut self) {
        self.evicted_in_turn = 0;
    }
}

impl Engine {
    /// Bytes of the log in memory.
    pub(crate) fn log_bytes(&self) -> u64 {
        self.log.offset().next().get().saturating_sub(self.status.hot_first.get())
    }

    /// Bytes of the log that count against `maxmemory`: Redis keeps a backlog only once it has had a replica, and what
    /// is longer than that is there for slow replicas.
    pub(crate) fn log_bytes_counted(&self) -> u64 {
        if self.status.replicas.is_empty() && self.role == Role::Master {
            return 0;
        }
        self.log_bytes().min(self.settings.repl_backlog_bytes)
    }

    /// Bytes that count against `maxmemory`.
    pub(crate) fn bytes_counted(&self) -> u64 {
        self.keyspace.bytes_used() as u64 + self.eviction.client_bytes + self.log_bytes_counted()
    }

    fn is_over_memory(&self) -> bool {
        self.settings.maxmemory_bytes > 0 && self.bytes_counted() > self.settings.maxmemory_bytes
    }

    /// Whether keys of ours are none of our business: the master evicts, and nothing goes while a pause is on.
    fn leaves_memory_alone(&self) -> bool {
        (self.role == Role::Replica && self.settings.replica_ignore_maxmemory)
            || self.is_paused()
            || self.loading.is_some()
    }

    /// Evicts keys until memory is within its limit, or for as long as one command may take.
    pub(crate) fn make_room(&mut self) -> Room {
        let per_command = keys_per_command(&self.settings);
        let per_turn = per_command.saturating_mul(COMMANDS_PER_TURN);
        let left = per_turn.saturating_sub(self.eviction.evicted_in_turn);
        self.evict(per_command.min(left).max(KEYS_PER_COMMAND_MIN))
    }

    /// As the clock ticks: evicts up to `keys_max` keys, and looks at what clients take. Returns whether more must go.
    pub fn tend_memory(&mut self, keys_max: usize) -> bool {
        self.settings.maxmemory_bytes > 0 && self.evict(keys_max) == Room::Pending
    }

    fn evict(&mut self, keys_max: usize) -> Room {
        if !self.is_over_memory() || self.leaves_memory_alone() {
            return Room::Enough;
        }
        if self.settings.maxmemory_policy == MemoryPolicy::NoEviction {
            return Room::Exhausted;
        }
        for _ in 0..keys_max {
            let Some((db, victim)) = self.choose_victim() else { return Room::Exhausted };
            self.evict_key(db, victim.key());
            self.eviction.evicted_in_turn += 1;
            if !self.is_over_memory() {
                return Room::Enough;
            }
        }
        Room::Pending
    }

    /// Deletes a key as a unit of its own. A replica that evicts does not tell its own replicas: its log is its master's.
    fn evict_key(&mut self, db: DbIndex, key: &[u8]) {
        self.log.begin_unit();
        self.keyspace.set_position(self.log.position());
        let hashed = self.keyspace.key(key);
        self.keyspace.database_mut(db).remove(hashed);
        if self.role == Role::Master {
            self.log.push(db, &[b"DEL", key]);
        }
        self.log.end_unit();
        self.stats.evicted_keys += 1;
        self.key_changed(db, key);
        self.notify(db, EventClasses::EVICTED, "evicted", key);
    }

    /// The entry that is to go next; `None` when there is none that may.
    fn choose_victim(&mut self) -> Option<(DbIndex, Entry)> {
        match self.settings.maxmemory_policy {
            MemoryPolicy::NoEviction => None,
            MemoryPolicy::AllKeysRandom | MemoryPolicy::VolatileRandom => self.choose_any(),
            MemoryPolicy::VolatileTtl => self.choose_first_to_expire(),
            MemoryPolicy::AllKeysLru
            | MemoryPolicy::VolatileLru
            | MemoryPolicy::AllKeysLfu
            | MemoryPolicy::VolatileLfu => self.choose_least_used(),
        }
    }

    /// Any key of the next database that has some.
    fn choose_any(&mut self) -> Option<(DbIndex, Entry)> {
        let count = self.keyspace.database_count();
        for _ in 0..count {
            self.eviction.last_db = (self.eviction.last_db + 1) % count;
            let db = DbIndex::new(self.eviction.last_db);
            if let Some(entry) = self.sample(db) {
                return Some((db, entry));
            }
        }
        None
    }

    fn choose_first_to_expire(&self) -> Option<(DbIndex, Entry)> {
        let databases = (0..self.keyspace.database_count()).map(DbIndex::new);
        let first = databases.filter_map(|db| Some((db, self.keyspace.database(db).first_to_expire()?)));
        first.min_by_key(|(_, entry)| entry.expiry()).map(|(db, entry)| (db, entry.clone()))
    }

    /// The best candidate out of the pool, after some more of each database were looked at.
    fn choose_least_used(&mut self) -> Option<(DbIndex, Entry)> {
        loop {
            let mut has_any = false;
            for db in (0..self.keyspace.database_count()).map(DbIndex::new) {
                for _ in 0..self.settings.maxmemory_samples {
                    let Some(entry) = self.sample(db) else { break };
                    has_any = true;
                    self.consider(db, &entry);
                }
            }
            if !has_any {
                self.eviction.pool.clear();
                return None;
            }
            while let Some(Candidate { score, db, key }) = self.eviction.pool.pop() {
                // It may have been used, or be another one under the same name.
                if let Some(entry) = self.keyspace.database(db).get(self.keyspace.key(&key))
                    && self.may_go(entry)
                    && self.score(entry) >= score
                {
                    return Some((db, entry.clone()));
                }
            }
        }
    }

    /// A random key of those that the policy may take.
    fn sample(&mut self, db: DbIndex) -> Option<Entry> {
        let rank = self.random();
        let is_volatile = self.settings.maxmemory_policy.is_volatile();
        let mut state = rank;
        let database: &Database = self.keyspace.database(db);
        let entry = if is_volatile {
            database.random_volatile(&mut || {
                // An xorshift out of the engine's generator, which is borrowed here.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state >> 16
            })
        } else {
            database.random(rank)
        };
        entry.cloned()
    }

    fn may_go(&self, entry: &Entry) -> bool {
        !self.settings.maxmemory_policy.is_volatile() || entry.expiry().is_some()
    }

    /// How much rather than others an entry goes.
    fn score(&self, entry: &Entry) -> u64 {
        let access = self.keyspace.access();
        match self.settings.maxmemory_policy.is_lfu() {
            true => u64::from(u8::MAX - access.uses(entry)),
            false => u64::from(access.idle_seconds(entry)),
        }
    }

    /// Puts an entry into the pool, if it is better than the worst there.
    fn consider(&mut self, db: DbIndex, entry: &Entry) {
        let score = self.score(entry);
        let pool = &mut self.eviction.pool;
        let at = pool.partition_point(|other| other.score < score);
        if pool.len() == POOL_MAX && at == 0 {
            return;
        }
        if pool[at..].iter().take_while(|other| other.score == score).any(|other| *other.key == *entry.key())
        {
            return;
        }
        pool.insert(at, Candidate { score, db, key: entry.key().into() });
        if pool.len() > POOL_MAX {
            pool.remove(0);
        }
    }

    /// Looks at what clients take: notes it for `maxmemory`, and closes the largest where it is more than
    /// `maxmemory-clients` allows. Neither the master nor clients that are protected (CLIENT NO-EVICT) are closed.
    pub fn tend_clients(&mut self) {
        let bytes: u64 = self.sessions.iter().map(client_memory).sum();
        self.eviction.client_bytes = bytes;
        let Some(limit) = self.settings.maxmemory_clients.limit(self.settings.maxmemory_bytes) else {
            return;
        };
        let may_close = |session: &&crate::Session| {
            session.kind == SessionKind::Client && !session.no_evict && !session.closing
        };
        let mut clients: Vec<_> = self
            .sessions
            .iter()
            .filter(may_close)
            .map(|session| (client_memory(session), session.id))
            .collect();
        let mut bytes: u64 = clients.iter().map(|(bytes, _)| bytes).sum();
        clients.sort_unstable();
        while bytes > limit
            && let Some((own, client)) = clients.pop()
        {
            bytes -= own;
            if let Some(session) = self.sessions.get_mut(client) {
                session.closing = true;
                self.stats.evicted_clients += 1;
                self.ask(Effect::CloseClient { client, after_reply: false });
            }
        }
    }
}

/// Keys that may be evicted for one command.
fn keys_per_command(settings: &Settings) -> usize {
    match settings.maxmemory_tenacity {
        100.. => usize::MAX,
        tenacity => {
            let linear = KEYS_PER_TENACITY * tenacity.min(10) as usize;
            let further = 1.15_f64.powi(tenacity.saturating_sub(10) as i32);
            ((linear as f64 * further) as usize).max(KEYS_PER_COMMAND_MIN)
        }
    }
}
