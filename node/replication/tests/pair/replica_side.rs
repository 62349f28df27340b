//! The smallest driver of [`ReplicaCore`], [`Upstream`] and [`Follower`]: a node that loads payloads aside and applies
//! the stream command by command.

use std::time::Duration;

use rejoin_protocol::psync::LINE_BYTES_MAX;
use rejoin_protocol::resp::{ArgRange, RequestLimits, RequestParser};
use rejoin_protocol::{ByteCount, Epoch, Offset};
use rejoin_replication::{
    FirstAck, Follower, FollowerSettings, MasterAddress, Position, ReplicaAction, ReplicaCore,
    ReplicaSettings, Taken, Takeover, Upstream, UpstreamPhase, UpstreamSettings,
};

use super::link::{Link, Side};
use super::transcript::Transcript;
use super::{data_of, id};

/// What the pair is to do for the replica.
pub enum Next {
    Idle,
    Again,
    Close,
    Dial,
}

/// A payload that is loaded aside.
struct Loader {
    epoch: Epoch,
    bytes: Vec<u8>,
    /// Set when all of it came: loading takes a while.
    done_at: Option<Duration>,
}

pub struct ReplicaSide {
    pub core: ReplicaCore,
    pub settings: UpstreamSettings,
    pub upstream: Option<Upstream>,
    pub follower: Option<Follower>,
    /// Every byte of the stream that it holds: loaded or applied.
    pub data: Vec<u8>,
    pub held: Option<Position>,
    pub loading_takes: Duration,
    /// Every error that ended a link.
    pub errors: Vec<String>,
    /// Payloads put in place.
    pub swaps: u64,
    loader: Option<Loader>,
    /// An error ended the link, which is still to be closed.
    wants_close: bool,
    /// Read and not yet taken.
    input: Vec<u8>,
    parser: RequestParser,
    epoch: Epoch,
}

impl ReplicaSide {
    pub fn new() -> Self {
        Self {
            core: ReplicaCore::new(ReplicaSettings::default()),
            settings: UpstreamSettings {
                repl_timeout: Duration::from_secs(60),
                keepalive_period: Duration::from_secs(1),
                credentials: None,
                listening_port: 7001,
                announce_ip: None,
                version: None,
                takeover: Takeover::No,
            },
            upstream: None,
            follower: None,
            data: Vec::new(),
            held: None,
            loading_takes: Duration::from_millis(1500),
            errors: Vec::new(),
            swaps: 0,
            loader: None,
            wants_close: false,
            input: Vec::new(),
            parser: RequestParser::default(),
            epoch: Epoch::default(),
        }
    }

    pub fn follow(&mut self, now: Duration) {
        self.core.follow(now, MasterAddress { host: "192.0.2.1".into(), port: 6379 });
    }

    pub fn handle_dialed(&mut self, now: Duration) {
        let wanted =
            self.core.handle_dialed(now, self.epoch, self.held).expect("the attempt is the present one");
        self.upstream = Some(Upstream::new(now, self.settings.clone(), wanted));
    }

    pub fn lose_link(&mut self, now: Duration, random: u64) {
        self.forget_link();
        self.core.handle_link_lost(now, self.epoch, random);
    }

    pub fn next_timeout(&self) -> Option<Duration> {
        let times = [
            self.core.poll_timeout(),
            self.upstream.as_ref().and_then(Upstream::poll_timeout),
            self.follower.as_ref().and_then(Follower::poll_timeout),
            self.loader.as_ref().and_then(|loader| loader.done_at),
        ];
        times.into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Duration, random: u64) {
        self.core.handle_timeout(now, random);
        let upstream = self.upstream.as_mut().and_then(|upstream| upstream.handle_timeout(now).err());
        let follower = self.follower.as_mut().and_then(|follower| follower.handle_timeout(now).err());
        if let Some(error) = upstream.map(|e| e.to_string()).or(follower.map(|e| e.to_string())) {
            self.fail(now, random, error);
        }
        if let Some(loader) = &mut self.loader
            && loader.done_at.is_some_and(|at| now >= at)
        {
            loader.done_at = None;
            let epoch = loader.epoch;
            match data_of(&loader.bytes) {
                Some(_) => self.core.handle_load_verified(now, epoch),
                None => self.core.handle_load_failed(now, epoch, random),
            }
        }
    }

    pub fn handle_bytes(&mut self, now: Duration, bytes: &[u8], random: u64, transcript: &mut Transcript) {
        self.input.extend_from_slice(bytes);
        if self.follower.is_some() {
            self.core.handle_io(now, self.epoch, ByteCount::ZERO);
            self.apply(now);
            return;
        }
        while let Some(upstream) = &mut self.upstream {
            let taken = match upstream.handle_bytes(now, &self.input) {
                Ok(Taken::Conversation(0) | Taken::Stream) => break,
                Ok(Taken::Conversation(taken)) => taken,
                Ok(Taken::Payload { held, chunk, taken }) => {
                    let loader = self.loader.as_mut().expect("a payload is announced first");
                    loader.bytes.extend_from_slice(held);
                    loader.bytes.extend_from_slice(chunk);
                    self.core.handle_io(now, self.epoch, ByteCount::of(held.len() + chunk.len()));
                    taken
                }
                Err(error) => {
                    transcript.note(&format!("the replica logs: {error}"));
                    self.fail(now, random, error.to_string());
                    break;
                }
            };
            self.input.drain(..taken);
            self.carry_over_events(now);
            if self.input.is_empty() {
                break;
            }
        }
        let waits = self.upstream.as_ref().is_none_or(|upstream| upstream.phase() == UpstreamPhase::Loading);
        assert!(waits || self.input.len() <= LINE_BYTES_MAX + 1, "the driver's buffer is bounded");
    }

    /// Sends what is to be sent, and carries out the next action.
    pub fn pump(&mut self, now: Duration, link: Option<&mut Link>, transcript: &mut Transcript) -> Next {
        if std::mem::take(&mut self.wants_close) {
            return Next::Close;
        }
        if let Some(link) = link {
            let lines = self.upstream.as_mut().and_then(Upstream::poll_transmit);
            let acks = self.follower.as_mut().and_then(Follower::poll_transmit);
            for bytes in [lines, acks].into_iter().flatten() {
                transcript.replica_says(&bytes);
                link.send(now, Side::Master, &bytes);
            }
        }
        let Some(action) = self.core.poll_action() else { return Next::Idle };
        match action {
            ReplicaAction::Dial { epoch, .. } => {
                self.epoch = epoch;
                return Next::Dial;
            }
            ReplicaAction::Close { epoch } => {
                assert_eq!(epoch, self.epoch);
                self.forget_link();
                return Next::Close;
            }
            ReplicaAction::BeginLoad { epoch, .. } => unreachable!("{epoch}: carried out with the event"),
            ReplicaAction::DropLoad { .. } => {
                transcript.note("the replica drops the load and keeps its data");
                self.loader = None;
            }
            ReplicaAction::SwapIn { replid, offset, .. } => {
                let loader = self.loader.take().expect("a load to swap in");
                self.data = data_of(&loader.bytes).expect("only verified data is swapped in");
                // After SYNC the stream has no name, and counts from zero here.
                self.held = Some(Position { replid: replid.unwrap_or(id(0xc)), offset });
                self.swaps += 1;
                transcript.note(&format!("the replica swaps in the data set of offset {offset}"));
            }
            ReplicaAction::AdoptLineage { replid, at } => {
                let held = self.held.as_mut().expect("a lineage to continue");
                assert_eq!(held.offset, at);
                held.replid = replid;
                transcript.note(&format!("the replica adopts the lineage {replid} at {at}"));
            }
            ReplicaAction::StartStreaming { after, .. } => {
                assert_eq!(self.held.map(|held| held.offset), Some(after));
                let first_ack =
                    self.upstream.take().map_or(FirstAck::Periodic, |upstream| upstream.first_ack());
                self.follower = Some(Follower::new(now, FollowerSettings::default(), after, first_ack));
                self.apply(now);
            }
        }
        Next::Again
    }

    fn carry_over_events(&mut self, now: Duration) {
        while let Some(event) = self.upstream.as_mut().and_then(Upstream::poll_event) {
            self.core.handle_event(now, self.epoch, &event);
            if let rejoin_replication::UpstreamEvent::FullSync { .. } = event {
                let begin = self.core.poll_action();
                let Some(ReplicaAction::BeginLoad { epoch, .. }) = begin else { panic!("{begin:?}") };
                self.loader = Some(Loader { epoch, bytes: Vec::new(), done_at: None });
            }
            if event == rejoin_replication::UpstreamEvent::PayloadEnd {
                let done_at = now + self.loading_takes;
                self.loader.as_mut().expect("a payload that ends has begun").done_at = Some(done_at);
            }
        }
    }

    /// Applies all whole commands.
    fn apply(&mut self, now: Duration) {
        let (Some(held), Some(follower)) = (&mut self.held, &mut self.follower) else { return };
        if !self.input.is_empty() {
            follower.handle_io(now);
        }
        let mut args: Vec<ArgRange> = Vec::new();
        loop {
            args.clear();
            let parsed = self.parser.parse(&mut self.input, &RequestLimits::master(), &mut args);
            let Some(len) = parsed.expect("our own master speaks RESP") else { return };
            let before = held.offset;
            let is_getack = args.get(1).is_some_and(|arg| arg.of(&self.input) == b"GETACK");
            self.data.extend(self.input.drain(..len));
            held.offset = Offset::new(before.get() + len as u64);
            follower.handle_applied(held.offset);
            if is_getack {
                follower.handle_getack(before);
            }
        }
    }

    fn fail(&mut self, now: Duration, random: u64, error: String) {
        self.errors.push(error);
        self.lose_link(now, random);
        self.wants_close = true;
    }

    fn forget_link(&mut self) {
        self.upstream = None;
        self.follower = None;
        self.input.clear();
        self.parser = RequestParser::default();
    }
}
