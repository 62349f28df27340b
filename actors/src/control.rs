//! The control plane's thread, and how the rest of the node reaches it.

use std::{
    io,
    sync::{Arc, mpsc as std_mpsc},
    thread::JoinHandle,
};

use actix::{Actor, Arbiter, AsyncContext, Context, Recipient};
use rejoin_persistence::{log::LogHandle, storage::Storage};
use rejoin_protocol::{Epoch, ReplicationId};
use tokio::sync::mpsc;

use crate::{
    aof_sender::AofSender,
    buffer_manager::{BufferManager, BufferManagerSeed},
    clock::Clock,
    disk::HISTORY_FOLDER,
    events::NodeEvents,
    live_settings::LiveSettingsReader,
    mailbox::{WhenFull, tell},
    master::{Master, MasterSeed},
    messages::{
        buffer_manager::SetBudget,
        links::LinksMessage,
        master::{
            AbortFailover, AdoptLineage, AttachReplica, Demote, LiveSettingsChanged, Promote, ReplaceLineage,
            StartFailover, UpstreamDown,
        },
        replica::{FollowMaster, Introduce, LinkLost, Unfollow},
        shard::ShardMessage,
        snapshotter::{BeginSave, CancelSnapshots},
    },
    replica::Replica,
    snapshotter::Snapshotter,
};

/// What the control plane begins with.
pub struct ControlSeed {
    /// The stream's name.
    pub replid: ReplicationId,
    /// Readers' end of the log.
    pub log: LogHandle,
    /// The log's budgets.
    pub budget: SetBudget,
    /// Where files are kept.
    pub storage: Arc<dyn Storage>,
    /// `appenddirname`: where the log's live segments lie there.
    pub log_folder: std::path::PathBuf,
    /// What CONFIG SET changes.
    pub settings: LiveSettingsReader,
    /// Where snapshots for replicas without `capa eof` are put for a while.
    pub dir: std::path::PathBuf,
    /// The shard's inbox.
    pub shard: mpsc::Sender<ShardMessage>,
    /// The links' inbox.
    pub links: mpsc::Sender<LinksMessage>,
    /// The node's clock.
    pub clock: Clock,
    /// Where to report.
    pub events: NodeEvents,
}

/// The control plane as the shard sees it: what it may tell whom.
#[derive(Clone)]
pub struct ControlPlane {
    pub(crate) attach: Recipient<AttachReplica>,
    pub(crate) promote: Recipient<Promote>,
    pub(crate) demote: Recipient<Demote>,
    pub(crate) start_failover: Recipient<StartFailover>,
    pub(crate) abort_failover: Recipient<AbortFailover>,
    pub(crate) settings_changed: Recipient<LiveSettingsChanged>,
    pub(crate) adopt: Recipient<AdoptLineage>,
    pub(crate) replace: Recipient<ReplaceLineage>,
    pub(crate) upstream_down: Recipient<UpstreamDown>,
    pub(crate) follow: Recipient<FollowMaster>,
    pub(crate) introduce: Recipient<Introduce>,
    pub(crate) unfollow: Recipient<Unfollow>,
    pub(crate) link_lost: Recipient<LinkLost>,
    pub(crate) budget: Recipient<SetBudget>,
    pub(crate) cancel_snapshots: Recipient<CancelSnapshots>,
    pub(crate) begin_save: Recipient<BeginSave>,
    pub(crate) links: mpsc::Sender<LinksMessage>,
    /// What the links thread tells.
    pub(crate) for_links: LinksReports,
    stop: std_mpsc::Sender<()>,
}

/// The control plane as the links see it.
#[derive(Clone)]
pub struct LinksReports {
    pub(crate) progress: Recipient<crate::messages::master::ReplicaProgress>,
    pub(crate) lost: Recipient<crate::messages::master::ReplicaLost>,
    pub(crate) open_cursor: Recipient<crate::messages::buffer_manager::OpenCursor>,
    pub(crate) move_cursor: Recipient<crate::messages::buffer_manager::MoveCursor>,
    pub(crate) close_cursor: Recipient<crate::messages::buffer_manager::CloseCursor>,
    pub(crate) find_history: Recipient<crate::messages::aof_sender::FindHistory>,
    pub(crate) send_payload: Recipient<crate::messages::aof_sender::SendPayload>,
    pub(crate) send_history: Recipient<crate::messages::aof_sender::SendHistory>,
    pub(crate) link_up: Recipient<crate::messages::replica::LinkUp>,
    pub(crate) went_back: Recipient<crate::messages::replica::WentBack>,
    pub(crate) said: Recipient<crate::messages::replica::UpstreamSaid>,
    pub(crate) arrived: Recipient<crate::messages::replica::SnapshotArrived>,
    pub(crate) upstream_progress: Recipient<crate::messages::replica::UpstreamProgress>,
    pub(crate) link_lost: Recipient<LinkLost>,
    pub(crate) shard: mpsc::Sender<ShardMessage>,
}

impl ControlPlane {
    /// Starts the control plane on a thread of its own, and the `AofSender` on another.
    pub fn start(seed: ControlSeed) -> io::Result<(Self, JoinHandle<()>)> {
        let (started, when_started) = std_mpsc::channel();
        let (stop, when_stopped) = std_mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            let system = actix::System::new();
            system.block_on(async move {
                // Ignored: whoever started us is gone.
                let _ = started.send(wire(seed, stop));
            });
            let handle = actix::System::try_current();
            std::thread::spawn(move || {
                // Returns with an error when every handle is dropped, which is a way to stop, too.
                let _ = when_stopped.recv();
                if let Some(system) = handle {
                    system.stop();
                }
            });
            if let Err(error) = system.run() {
                tracing::error!(%error, "the control plane ended in an error");
            }
        })?;
        let plane = when_started.recv().map_err(|_| io::Error::other("the control plane did not start"))?;
        Ok((plane, thread))
    }

    /// Stops all actors.
    pub fn stop(&self) {
        tell(&self.cancel_snapshots, CancelSnapshots, WhenFull::Drop);
        let _ = self.stop.send(());
    }

    /// What the links thread needs.
    #[must_use]
    pub fn links_reports(&self) -> LinksReports {
        self.for_links.clone()
    }

    pub(crate) fn attach(&self, message: AttachReplica) {
        tell(&self.attach, message, WhenFull::Complain);
    }

    pub(crate) fn promote(&self, message: Promote) {
        tell(&self.promote, message, WhenFull::Complain);
    }

    pub(crate) fn start_failover(&self, message: StartFailover) {
        tell(&self.start_failover, message, WhenFull::Complain);
    }

    pub(crate) fn abort_failover(&self) {
        tell(&self.abort_failover, AbortFailover, WhenFull::Complain);
    }

    pub(crate) fn settings_changed(&self) {
        tell(&self.settings_changed, LiveSettingsChanged, WhenFull::Complain);
    }

    pub(crate) fn adopt_lineage(&self, message: AdoptLineage) {
        tell(&self.adopt, message, WhenFull::Complain);
    }

    pub(crate) fn replace_lineage(&self, message: ReplaceLineage) {
        tell(&self.replace, message, WhenFull::Complain);
    }

    pub(crate) fn follow(&self, message: FollowMaster) {
        tell(&self.demote, Demote, WhenFull::Complain);
        tell(&self.follow, message, WhenFull::Complain);
    }

    pub(crate) fn introduce(&self, message: Introduce) {
        tell(&self.introduce, message, WhenFull::Complain);
    }

    pub(crate) fn unfollow(&self) {
        tell(&self.unfollow, Unfollow, WhenFull::Complain);
    }

    pub(crate) fn upstream_lost(&self, epoch: Epoch, reason: String) {
        tell(&self.upstream_down, UpstreamDown, WhenFull::Complain);
        tell(&self.link_lost, LinkLost { epoch, reason }, WhenFull::Complain);
    }

    /// Whether the save will be begun.
    pub(crate) fn begin_save(&self, message: BeginSave) -> bool {
        tell(&self.begin_save, message, WhenFull::Complain)
    }

    pub(crate) fn set_budget(&self, message: SetBudget) {
        tell(&self.budget, message, WhenFull::Complain);
    }

    pub(crate) fn drop_replicas(&self, reason: &'static str) {
        if self.links.try_send(LinksMessage::Drop { replica: None, after: None, reason }).is_err() {
            tracing::error!(reason, "the links do not listen: replicas stay connected");
        }
    }
}

/// Starts the actors and tells each whom it may talk to; nowhere else.
fn wire(seed: ControlSeed, stop: std_mpsc::Sender<()>) -> ControlPlane {
    let snapshotter = Snapshotter::new(
        seed.settings.clone(),
        seed.dir,
        seed.shard.clone(),
        seed.events.guard("Snapshotter"),
    )
    .start();
    let (storage, log) = (seed.storage.clone(), seed.log.clone());
    let folders = vec![seed.log_folder, HISTORY_FOLDER.into()];
    let guard = seed.events.guard("AofSender");
    let aof_sender = AofSender::start_in_arbiter(&Arbiter::new().handle(), move |_| {
        AofSender::new(storage, folders, log, guard)
    });
    let mut buffers = None;
    let master = Master::create(|context: &mut Context<Master>| {
        let manager = BufferManager::new(BufferManagerSeed {
            log: seed.log.clone(),
            budget: seed.budget,
            storage: seed.storage,
            shard: seed.shard.clone(),
            stalled: context.address().recipient(),
            guard: seed.events.guard("BufferManager"),
        })
        .start();
        buffers = Some(manager.clone());
        Master::new(MasterSeed {
            replid: seed.replid,
            settings: seed.settings,
            clock: seed.clock,
            log: seed.log.clone(),
            links: seed.links.clone(),
            shard: seed.shard.clone(),
            join: snapshotter.clone().recipient(),
            find_history: aof_sender.clone().recipient(),
            find_base: aof_sender.clone().recipient(),
            open_cursor: manager.clone().recipient(),
            close_cursor: manager.recipient(),
            guard: seed.events.guard("Master"),
        })
    });
    #[expect(clippy::expect_used, reason = "`create` calls its closure before it returns")]
    let buffers = buffers.expect("the manager was started with the master");
    let replica =
        Replica::new(seed.clock, seed.links.clone(), seed.shard.clone(), seed.events.guard("Replica"))
            .start();
    let for_links = LinksReports {
        progress: master.clone().recipient(),
        lost: master.clone().recipient(),
        open_cursor: buffers.clone().recipient(),
        move_cursor: buffers.clone().recipient(),
        close_cursor: buffers.clone().recipient(),
        find_history: aof_sender.clone().recipient(),
        send_history: aof_sender.clone().recipient(),
        send_payload: aof_sender.recipient(),
        link_up: replica.clone().recipient(),
        said: replica.clone().recipient(),
        went_back: replica.clone().recipient(),
        arrived: replica.clone().recipient(),
        upstream_progress: replica.clone().recipient(),
        link_lost: replica.clone().recipient(),
        shard: seed.shard,
    };
    ControlPlane {
        attach: master.clone().recipient(),
        promote: master.clone().recipient(),
        demote: master.clone().recipient(),
        start_failover: master.clone().recipient(),
        abort_failover: master.clone().recipient(),
        settings_changed: master.clone().recipient(),
        adopt: master.clone().recipient(),
        replace: master.clone().recipient(),
        upstream_down: master.recipient(),
        follow: replica.clone().recipient(),
        introduce: replica.clone().recipient(),
        unfollow: replica.clone().recipient(),
        link_lost: replica.recipient(),
        budget: buffers.recipient(),
        cancel_snapshots: snapshotter.clone().recipient(),
        begin_save: snapshotter.recipient(),
        links: seed.links,
        for_links,
        stop,
    }
}
