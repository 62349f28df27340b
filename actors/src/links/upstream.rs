//! The link to our master until its stream begins: dial, handshake, payload; then the shard takes it over.

use std::{ops::Range, time::Duration};

use rejoin_protocol::{ByteCount, DbIndex, Epoch, Offset, ReplicationId};
use rejoin_replication::{
    Divergence, MasterAddress, MasterStream, Position, ReplicaAction, Taken, Upstream, UpstreamEvent,
    UpstreamPhase, UpstreamSettings, Wanted,
};
use rejoin_transports::{ByteStream, Endpoint, Lane};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

use crate::{
    disk::rewind,
    links::{
        loader::{Loaded, Loader, Piece},
        run::LinksContext,
    },
    mailbox::{WhenFull, tell},
    messages::{
        links::Introduction,
        replica::{LinkUp, SnapshotArrived, UpstreamProgress, UpstreamSaid, WentBack},
        shard::{ShardMessage, StartStreaming},
    },
    shard::log_files::rewinding::NoRewind,
};

/// Room made for one read.
const READ_BYTES: usize = 256 << 10;
/// Payload bytes between two reports of progress.
const PROGRESS_BYTES: u64 = 8 << 20;

/// The link to open.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Under which it runs.
    pub(crate) epoch: Epoch,
    /// To whom.
    pub(crate) address: MasterAddress,
    /// The shard's count of masters.
    pub(crate) following: u64,
    /// How to introduce ourselves.
    pub(crate) introduction: Introduction,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Runs the link until the shard has its stream; an error is why it was lost before.
pub(crate) async fn run(context: &LinksContext, link: Link) -> Outcome<()> {
    let endpoint = Endpoint::new(link.address.host.clone(), link.address.port);
    tracing::info!("Connecting to MASTER {endpoint}");
    tracing::info!("MASTER <-> REPLICA sync started");
    let mut dialled = context.transport.dial(&endpoint).await?;
    tracing::info!("Non blocking connect for SYNC fired the event.");
    let stream = dialled.open(Lane::Control)?;
    let (answer, position) = oneshot::channel();
    context.reports.shard.send(ShardMessage::Position { answer }).await?;
    let (position, lineage) = position.await?.unzip();
    let Some(wanted) = context.reports.link_up.send(LinkUp { epoch: link.epoch, position }).await? else {
        return Ok(());
    };
    match &wanted {
        Wanted::Continue { replid, from } => {
            tracing::info!("Trying a partial resynchronization (request {replid}:{from}).");
        }
        Wanted::Everything | Wanted::LegacySync => {
            tracing::info!("Partial resynchronization not possible (no cached master)");
        }
    }
    let settings = UpstreamSettings {
        repl_timeout: context.settings.borrow().repl_timeout,
        keepalive_period: Duration::from_secs(1),
        credentials: link.introduction.credentials.clone(),
        listening_port: link.introduction.listening_port,
        announce_ip: link.introduction.announce_ip.clone(),
        version: None,
        takeover: link.introduction.failover.takeover(),
    };
    let mut machine = Upstream::new(context.clock.now(), settings, wanted);
    if let Some(lineage) = lineage {
        machine = machine.with_lineage(lineage);
    }
    Conversation {
        context,
        link,
        stream,
        machine,
        position,
        input: Vec::new(),
        taken: 0,
        loading: None,
        unreported: 0,
    }
    .run()
    .await
}

/// A load and what the master said of it.
struct Loading {
    loader: Loader,
    loaded: Option<Loaded>,
}

struct Conversation<'a> {
    context: &'a LinksContext,
    link: Link,
    stream: Box<dyn ByteStream>,
    machine: Upstream,
    /// What we hold.
    position: Option<Position>,
    /// Bytes read.
    input: Vec<u8>,
    /// How many of them the machine has taken.
    taken: usize,
    loading: Option<Loading>,
    /// Payload bytes since the last report.
    unreported: u64,
}

impl Conversation<'_> {
    async fn run(mut self) -> Outcome<()> {
        loop {
            while let Some(bytes) = self.machine.poll_transmit() {
                if self.machine.phase() == UpstreamPhase::Psync {
                    self.link.introduction.failover.note_asked();
                }
                self.stream.write_all(&bytes).await?;
                self.context.traffic.add_sent(bytes.len());
            }
            let clock = self.context.clock;
            self.input.reserve(READ_BYTES);
            tokio::select! {
                received = self.stream.read_buf(&mut self.input) => {
                    let received = received?;
                    self.context.traffic.add_received(received);
                    if received == 0 {
                        return Err("the master closed the connection".into());
                    }
                }
                () = clock.sleep_until(self.machine.poll_timeout()) => {
                    self.machine.handle_timeout(clock.now())?;
                    continue;
                }
            }
            if self.take_input().await? {
                return Ok(());
            }
        }
    }

    /// Takes what has arrived; whether the stream was handed over.
    async fn take_input(&mut self) -> Outcome<bool> {
        while self.taken < self.input.len() {
            let now = self.context.clock.now();
            let taken = match self.machine.handle_bytes(now, &self.input[self.taken..]) {
                Ok(taken) => taken,
                Err(error) => {
                    self.tell_failover().await?;
                    return Err(error.into());
                }
            };
            match taken {
                Taken::Conversation(0) | Taken::Stream => break,
                Taken::Conversation(count) => self.taken += count,
                Taken::Payload { held, chunk, taken } => {
                    let (held, part) = (held.to_vec(), self.taken..self.taken + chunk.len());
                    self.taken += taken;
                    let piece = self.take_piece(held, part);
                    self.load(piece).await?;
                }
            }
            // Before anything of ours is given up.
            self.tell_failover().await?;
            if self.handle_events().await? {
                return Ok(true);
            }
        }
        let is_handed_over = self.handle_events().await?;
        self.input.drain(..std::mem::take(&mut self.taken));
        Ok(is_handed_over)
    }

    /// FAILOVER: what the one whom we asked to take over has answered, once.
    async fn tell_failover(&mut self) -> Outcome<()> {
        let Some(is_accepted) = self.machine.takes_over() else { return Ok(()) };
        if self.link.introduction.failover.is_unanswered() {
            // A link that is given up while it waits has told nothing.
            let permit = self.context.reports.shard.reserve().await?;
            if self.link.introduction.failover.settle() {
                permit.send(ShardMessage::FailoverAnswered { following: self.link.following, is_accepted });
            }
        }
        Ok(())
    }

    /// Payload as the loader wants it. What was read goes along as it is where nothing else stands behind the payload:
    /// it is not copied.
    fn take_piece(&mut self, held: Vec<u8>, part: Range<usize>) -> Piece {
        if self.taken == self.input.len() {
            self.taken = 0;
            return Piece { held, part, input: std::mem::take(&mut self.input) };
        }
        let input = self.input[part].to_vec();
        Piece { held, part: 0..input.len(), input }
    }

    async fn load(&mut self, piece: Piece) -> Outcome<()> {
        if piece.held.is_empty() && piece.part.is_empty() {
            return Ok(());
        }
        let Some(loading) = &mut self.loading else { return Err("payload without a load".into()) };
        self.unreported += (piece.held.len() + piece.part.len()) as u64;
        loading.loader.push(piece).await;
        if loading.loader.has_failed() {
            return self.fail_load().await;
        }
        if self.unreported >= PROGRESS_BYTES {
            self.report_progress();
        }
        Ok(())
    }

    /// The loader has given up: says why, and ends the link.
    async fn fail_load(&mut self) -> Outcome<()> {
        let Some(mut loading) = self.loading.take() else { return Ok(()) };
        let reason = loading.loader.finish().await.err().unwrap_or_default();
        tracing::error!(reason, "Failed trying to load the MASTER synchronization DB: our data is kept");
        let arrived = SnapshotArrived { epoch: self.link.epoch, is_good: false };
        self.context.reports.arrived.send(arrived).await?;
        Err(format!("payload refused: {reason}").into())
    }

    fn report_progress(&mut self) {
        let payload = ByteCount::new(std::mem::take(&mut self.unreported));
        let progress = UpstreamProgress { epoch: self.link.epoch, payload };
        tell(&self.context.reports.upstream_progress, progress, WhenFull::Drop);
    }

    async fn handle_events(&mut self) -> Outcome<bool> {
        while let Some(event) = self.machine.poll_event() {
            let event = match event {
                UpstreamEvent::Diverged { divergence, master } => {
                    self.go_back(divergence, &master).await?;
                    continue;
                }
                UpstreamEvent::Compared { relation, master } => {
                    let (replid, offset) = (master.lineage.current(), master.offset);
                    tracing::info!("The master is at {replid}:{offset}: {relation}. A full sync is likely");
                    continue;
                }
                event => event,
            };
            let is_end = event == UpstreamEvent::PayloadEnd;
            let said = UpstreamSaid { epoch: self.link.epoch, event };
            let actions = self.context.reports.said.send(said).await?;
            if self.carry_out(actions).await? {
                return Ok(true);
            }
            if is_end && self.finish_load().await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Our stream has parted from the master's: goes back to where it did, if the files allow it, and asks for what
    /// follows.
    async fn go_back(&mut self, divergence: Divergence, master: &MasterStream) -> Outcome<()> {
        tracing::warn!(
            "Our stream has parted from the master's, which is at {}:{}: {divergence}",
            master.lineage.current(),
            master.offset
        );
        let held = self.position.ok_or("nothing is held, but the streams have parted")?;
        let position = match self.try_go_back(divergence).await? {
            Ok(position) => position,
            Err(NoRewind::NotNow(reason)) => return Err(format!("cannot go back now: {reason}").into()),
            Err(NoRewind::Never(reason)) => {
                tracing::warn!("Going back is not possible: {reason}. The next rung is a full sync");
                held
            }
        };
        let went = WentBack { epoch: self.link.epoch, position };
        let Some(wanted) = self.context.reports.went_back.send(went).await? else {
            return Err("another master is followed by now".into());
        };
        self.position = Some(position);
        if let Wanted::Continue { replid, from } = wanted {
            tracing::info!("Trying a partial resynchronization (request {replid}:{from}).");
        }
        self.machine.handle_rewound(self.context.clock.now(), wanted);
        Ok(())
    }

    async fn try_go_back(&self, divergence: Divergence) -> Outcome<Result<Position, NoRewind>> {
        let following = self.link.following;
        let (answer, plan) = oneshot::channel();
        let ask = ShardMessage::PlanRewind { following, divergence: Box::new(divergence), answer };
        self.context.reports.shard.send(ask).await?;
        let plan = match plan.await? {
            Ok(plan) => plan,
            Err(no) => return Ok(Err(no)),
        };
        let rewound = match rewind::begin(plan)?.await {
            Ok(Ok(rewound)) => rewound,
            Ok(Err(reason)) => return Ok(Err(NoRewind::Never(reason))),
            Err(_) => return Ok(Err(NoRewind::Never("it failed on our side, which is a defect".to_owned()))),
        };
        let (answer, done) = oneshot::channel();
        let put = ShardMessage::GoBack { following, rewound: Box::new(rewound), answer };
        self.context.reports.shard.send(put).await?;
        Ok(done.await?)
    }

    async fn finish_load(&mut self) -> Outcome<bool> {
        self.report_progress();
        let Some(loading) = &mut self.loading else { return Ok(false) };
        tracing::info!("MASTER <-> REPLICA sync: payload complete, verifying");
        let machine = &mut self.machine;
        let clock = self.context.clock;
        let verdict = loop {
            tokio::select! {
                verdict = loading.loader.finish() => break verdict,
                () = clock.sleep_until(machine.poll_timeout()) => {
                    machine.handle_timeout(clock.now())?;
                    while let Some(bytes) = machine.poll_transmit() {
                        self.stream.write_all(&bytes).await?;
                    }
                }
            }
        };
        let verdict = match verdict {
            Ok(loaded) if loaded.keyspace.is_empty() => self.ask_for_empty().await?.map(|()| loaded),
            verdict => verdict,
        };
        match verdict {
            Ok(loaded) => {
                let Some(loading) = &mut self.loading else { return Ok(false) };
                loading.loaded = Some(loaded);
                let arrived = SnapshotArrived { epoch: self.link.epoch, is_good: true };
                let actions = self.context.reports.arrived.send(arrived).await?;
                self.carry_out(actions).await
            }
            Err(reason) => {
                tracing::error!(
                    reason,
                    "Failed trying to load the MASTER synchronization DB: our data is kept"
                );
                let arrived = SnapshotArrived { epoch: self.link.epoch, is_good: false };
                self.context.reports.arrived.send(arrived).await?;
                Err(format!("payload refused: {reason}").into())
            }
        }
    }

    /// Whether a payload without keys may take the place of our data, or why not.
    async fn ask_for_empty(&self) -> Outcome<Result<(), String>> {
        let (answer, accepted) = oneshot::channel();
        self.context.reports.shard.send(ShardMessage::AcceptsEmpty { answer }).await?;
        Ok(accepted.await?)
    }

    /// Carries out what the `Replica` decided; whether the stream was handed over.
    async fn carry_out(&mut self, actions: Vec<ReplicaAction>) -> Outcome<bool> {
        for action in actions {
            match action {
                ReplicaAction::BeginLoad { .. } => {
                    let loader = Loader::begin(
                        self.link.introduction.databases,
                        *self.link.introduction.limits.borrow(),
                    )?;
                    self.loading = Some(Loading { loader, loaded: None });
                }
                ReplicaAction::DropLoad { .. } => self.loading = None,
                ReplicaAction::SwapIn { replid, offset, .. } => self.swap_in(replid, offset).await?,
                ReplicaAction::AdoptLineage { replid, at } => {
                    let message = ShardMessage::AdoptLineage { following: self.link.following, replid, at };
                    self.context.reports.shard.send(message).await?;
                }
                ReplicaAction::StartStreaming { after, .. } => {
                    self.hand_over(after).await?;
                    return Ok(true);
                }
                // The actor's own.
                ReplicaAction::Dial { .. } | ReplicaAction::Close { .. } => {}
            }
        }
        Ok(false)
    }

    async fn swap_in(&mut self, replid: Option<ReplicationId>, offset: Offset) -> Outcome<()> {
        let Some(Loaded { keyspace, summary }) = self.loading.take().and_then(|loading| loading.loaded)
        else {
            return Err("nothing was loaded".into());
        };
        tracing::info!(
            keys = summary.keys, bytes = summary.bytes, version = summary.version, %offset,
            "MASTER <-> REPLICA sync: Finished with success"
        );
        let selected: Option<DbIndex> = summary.position.map(|position| position.selected);
        let (answer, done) = oneshot::channel();
        let message = ShardMessage::SwapIn {
            following: self.link.following,
            keyspace: Box::new(keyspace),
            replid,
            offset,
            selected,
            answer,
        };
        self.context.reports.shard.send(message).await?;
        if done.await? { Ok(()) } else { Err("another master is followed by now".into()) }
    }

    /// The shard takes the stream; what was read of it already goes along.
    async fn hand_over(&mut self, after: Offset) -> Outcome<()> {
        let (placeholder, _) = tokio::io::duplex(1);
        let stream = std::mem::replace(&mut self.stream, Box::new(placeholder));
        let start = StartStreaming {
            following: self.link.following,
            epoch: self.link.epoch,
            stream: stream.detach()?,
            received: self.input.split_off(std::mem::take(&mut self.taken)),
            after,
            first_ack: self.machine.first_ack(),
        };
        self.context.reports.shard.send(ShardMessage::StartStreaming(Box::new(start))).await?;
        Ok(())
    }
}
