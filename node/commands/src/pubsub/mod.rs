//! Publish/subscribe: who listens to which channel, and how a message gets into the listeners' outputs.
//!
//! A message is encoded once and appended to each listener's output, whatever that client does at the moment; the shard
//! sends it in the same turn. Only the client that executes right now is out of reach: what it hears is kept until its
//! command is over, so that it never stands in the middle of a reply (as since Redis 7.2).
//!
//! Nothing is remembered for those who do not listen yet. A listener that does not read is closed at the limits of
//! `client-output-buffer-limit` (see [`crate::session::output`]).
//!
//! The commands stand in [`commands`], the events of keys in [`events`], MONITOR, which is one more listener, in
//! [`monitor`].

pub(crate) mod commands;
pub mod events;
pub(crate) mod monitor;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;
use rejoin_protocol::{
    ClientId,
    resp::{ReplyWriter, RespVersion},
};

use crate::{
    Command, Engine, Session,
    data::glob::{self, Case},
};

/// The rows of this group.
pub(crate) const GROUPS: &[&[Command]] = &[commands::COMMANDS, monitor::COMMANDS];

/// What can be subscribed to. Each has names of its own: a message to a shard channel reaches no plain channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// A channel, by its name.
    Channel,
    /// All channels whose names match.
    Pattern,
    /// A shard channel. Without a cluster all of them are here.
    ShardChannel,
}

/// What one client listens to.
#[derive(Debug, Default)]
pub struct Subscriptions {
    channels: BTreeSet<Arc<[u8]>>,
    patterns: BTreeSet<Arc<[u8]>>,
    shard_channels: BTreeSet<Arc<[u8]>>,
}

impl Subscriptions {
    fn of(&self, topic: Topic) -> &BTreeSet<Arc<[u8]>> {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
            Topic::ShardChannel => &self.shard_channels,
        }
    }

    fn of_mut(&mut self, topic: Topic) -> &mut BTreeSet<Arc<[u8]>> {
        match topic {
            Topic::Channel => &mut self.channels,
            Topic::Pattern => &mut self.patterns,
            Topic::ShardChannel => &mut self.shard_channels,
        }
    }

    /// How many of one kind.
    pub(crate) fn count(&self, topic: Topic) -> usize {
        self.of(topic).len()
    }

    fn is_empty(&self) -> bool {
        self.channels.is_empty() && self.patterns.is_empty() && self.shard_channels.is_empty()
    }
}

/// Who listens to what.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: HashMap<Arc<[u8]>, BTreeSet<ClientId>>,
    patterns: BTreeMap<Arc<[u8]>, BTreeSet<ClientId>>,
    shard_channels: HashMap<Arc<[u8]>, BTreeSet<ClientId>>,
    /// Who sees all commands.
    monitors: Vec<ClientId>,
    /// For clients whose commands are running.
    deferred: Vec<Deferred>,
    /// The message that is being delivered; empty between calls.
    encoded: Vec<u8>,
}

/// What a client hears of while its command runs.
#[derive(Debug)]
struct Deferred {
    client: ClientId,
    bytes: Vec<u8>,
    /// Where each message begins in `bytes`.
    begins: Vec<usize>,
}

impl PubSub {
    /// How many channels have listeners.
    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// How many different patterns have listeners.
    pub(crate) fn pattern_count(&self) -> usize {
        self.patterns.len()
    }

    /// How many shard channels have listeners.
    pub(crate) fn shard_channel_count(&self) -> usize {
        self.shard_channels.len()
    }

    fn has_listeners(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    fn exact(&self, topic: Topic) -> &HashMap<Arc<[u8]>, BTreeSet<ClientId>> {
        if topic == Topic::ShardChannel { &self.shard_channels } else { &self.channels }
    }

    fn add(&mut self, topic: Topic, name: Arc<[u8]>, client: ClientId) {
        let clients = match topic {
            Topic::Channel => self.channels.entry(name).or_default(),
            Topic::Pattern => self.patterns.entry(name).or_default(),
            Topic::ShardChannel => self.shard_channels.entry(name).or_default(),
        };
        clients.insert(client);
    }

    fn remove(&mut self, topic: Topic, name: &[u8], client: ClientId) {
        let clients = match topic {
            Topic::Channel => self.channels.get_mut(name),
            Topic::Pattern => self.patterns.get_mut(name),
            Topic::ShardChannel => self.shard_channels.get_mut(name),
        };
        let Some(clients) = clients else { return };
        clients.remove(&client);
        if clients.is_empty() {
            match topic {
                Topic::Channel => drop(self.channels.remove(name)),
                Topic::Pattern => drop(self.patterns.remove(name)),
                Topic::ShardChannel => drop(self.shard_channels.remove(name)),
            }
        }
    }

    /// Something is kept for a client whose command was running.
    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }
}

impl Engine {
    /// Sends a message to all who listen to a channel, and to those with a matching pattern where it is no shard channel;
    /// how many times it was delivered.
    pub(crate) fn publish(&mut self, topic: Topic, channel: &[u8], message: &[u8]) -> usize {
        let mut encoded = std::mem::take(&mut self.pubsub.encoded);
        let mut delivered = 0;
        if let Some(clients) = self.pubsub.exact(topic).get(channel) {
            let kind: &[u8] = if topic == Topic::ShardChannel { b"smessage" } else { b"message" };
            encode(&mut encoded, &[kind, channel, message]);
            let clients: smallvec::SmallVec<[ClientId; 8]> = clients.iter().copied().collect();
            delivered += clients.len();
            clients.into_iter().for_each(|client| self.deliver(client, &encoded));
        }
        if topic == Topic::Channel && !self.pubsub.patterns.is_empty() {
            let patterns = std::mem::take(&mut self.pubsub.patterns);
            for (pattern, clients) in &patterns {
                if glob::matches(pattern, channel, Case::Sensitive) {
                    encode(&mut encoded, &[b"pmessage", pattern, channel, message]);
                    delivered += clients.len();
                    clients.iter().for_each(|&client| self.deliver(client, &encoded));
                }
            }
            self.pubsub.patterns = patterns;
        }
        encoded.clear();
        encoded.shrink_to(ENCODED_BYTES_KEPT_MAX);
        self.pubsub.encoded = encoded;
        delivered
    }

    /// Appends a whole push message, written for RESP2, to a client's output.
    fn deliver(&mut self, client: ClientId, message: &[u8]) {
        let Some(session) = self.sessions.get_mut(client) else {
            self.defer(client, message);
            return;
        };
        session.hear(message, &self.settings.client_output_limits);
        if !std::mem::replace(&mut session.is_woken, true) {
            self.woken.push(client);
        }
    }

    /// Keeps a message for a client that is executing. Past the limit there is nothing to be kept: it will be closed.
    fn defer(&mut self, client: ClientId, message: &[u8]) {
        let deferred = &mut self.pubsub.deferred;
        let kept = match deferred.iter_mut().position(|kept| kept.client == client) {
            Some(place) => &mut deferred[place],
            None => {
                deferred.push(Deferred { client, bytes: Vec::new(), begins: Vec::new() });
                let last = deferred.len() - 1;
                &mut deferred[last]
            }
        };
        let hard = self.settings.client_output_limits.pubsub().hard_bytes;
        if hard == 0 || kept.bytes.len() as u64 <= hard {
            kept.begins.push(kept.bytes.len());
            kept.bytes.extend_from_slice(message);
        }
    }

    /// The command of `session` is over: what it heard of meanwhile follows its reply.
    #[cold]
    pub(crate) fn hear_deferred(&mut self, session: &mut Session) {
        let Some(place) = self.pubsub.deferred.iter().position(|kept| kept.client == session.id) else {
            return;
        };
        let kept = self.pubsub.deferred.swap_remove(place);
        let ends = kept.begins.iter().skip(1).copied().chain([kept.bytes.len()]);
        for (&begin, end) in kept.begins.iter().zip(ends) {
            session.hear(&kept.bytes[begin..end], &self.settings.client_output_limits);
        }
    }

    /// Ends all that a session listens to, without a word to it.
    pub(crate) fn stop_listening(&mut self, session: &mut Session) {
        if !std::mem::take(&mut session.listens) {
            return;
        }
        let subscriptions = session.subscriptions.take().unwrap_or_default();
        for topic in [Topic::Channel, Topic::Pattern, Topic::ShardChannel] {
            for name in subscriptions.of(topic) {
                self.pubsub.remove(topic, name, session.id);
            }
        }
        if std::mem::take(&mut session.is_monitor) {
            self.pubsub.monitors.retain(|&monitor| monitor != session.id);
        }
        self.pubsub.deferred.retain(|kept| kept.client != session.id);
    }
}

/// A message buffer larger than this is not kept.
const ENCODED_BYTES_KEPT_MAX: usize = 64 << 10;

/// Writes a push message for RESP2, where it is an array.
fn encode(out: &mut Vec<u8>, parts: &[&[u8]]) {
    out.clear();
    let mut writer = ReplyWriter::new(out, RespVersion::Two);
    writer.push(parts.len());
    parts.iter().for_each(|part| writer.bulk(part));
}
