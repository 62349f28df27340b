//! The links' thread, from its start to its end.

use std::{cell::RefCell, collections::HashMap, io, rc::Rc, sync::Arc};

use rejoin_persistence::log::LogHandle;
use rejoin_protocol::{Epoch, Offset, ReplicaId};
use rejoin_transports::Transport;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, LocalSet},
};

use crate::{
    clock::Clock,
    control::LinksReports,
    events::NodeEvents,
    links::{
        acks::AckBoard,
        session::{self, SessionOrder},
        ticker::{self, TickerSignal},
        traffic::Traffic,
        upstream,
    },
    live_settings::LiveSettingsReader,
    mailbox::{WhenFull, tell},
    messages::{
        links::{LinksMessage, ServeReplica},
        master::ReplicaLost,
        replica::LinkLost,
    },
};

/// What the links thread begins with.
pub struct LinksSeed {
    /// How other nodes are reached.
    pub transport: Arc<dyn Transport>,
    /// Readers' end of the log.
    pub log: LogHandle,
    /// How the shard tells that the log has grown.
    pub ticker: Arc<TickerSignal>,
    /// Counts bytes to and from other nodes.
    pub traffic: Arc<Traffic>,
    /// What replicas acknowledge.
    pub acks: Arc<AckBoard>,
    /// What CONFIG SET changes.
    pub settings: LiveSettingsReader,
    /// The node's clock.
    pub clock: Clock,
    /// Where to report.
    pub reports: LinksReports,
    /// Where to report our loss.
    pub events: NodeEvents,
    /// Messages from the control plane.
    pub inbox: mpsc::Receiver<LinksMessage>,
}

/// What all tasks of the thread share.
#[derive(Clone)]
pub(crate) struct LinksContext {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) log: LogHandle,
    pub(crate) ticker: Arc<TickerSignal>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) acks: Arc<AckBoard>,
    pub(crate) settings: LiveSettingsReader,
    pub(crate) clock: Clock,
    pub(crate) reports: LinksReports,
    /// Changes when the log has grown.
    pub(crate) grown: watch::Sender<()>,
}

type Sessions = Rc<RefCell<HashMap<ReplicaId, mpsc::Sender<SessionOrder>>>>;

/// Runs the links on this thread until they are told to stop.
pub fn run(seed: LinksSeed) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let guard = seed.events.guard("links");
    let events = seed.events.clone();
    LocalSet::new().block_on(&runtime, async move {
        let _guard = guard;
        let context = LinksContext {
            transport: seed.transport,
            log: seed.log,
            ticker: seed.ticker,
            traffic: seed.traffic,
            acks: seed.acks,
            settings: seed.settings,
            clock: seed.clock,
            reports: seed.reports,
            grown: watch::Sender::new(()),
        };
        let ticker_guard = events.guard("ticker");
        let ticking = ticker::run(context.ticker.clone(), context.log.clone(), context.grown.clone());
        tokio::task::spawn_local(async move {
            let _guard = ticker_guard;
            ticking.await;
        });
        receive_until_stopped(&context, seed.inbox).await;
    });
    Ok(())
}

async fn receive_until_stopped(context: &LinksContext, mut inbox: mpsc::Receiver<LinksMessage>) {
    let sessions = Sessions::default();
    let mut upstream: Option<(Epoch, AbortHandle)> = None;
    while let Some(message) = inbox.recv().await {
        match message {
            LinksMessage::Serve(serve) => begin_session(context, &sessions, *serve),
            LinksMessage::Drop { replica, after, reason } => end_sessions(&sessions, replica, after, reason),
            LinksMessage::Dial { epoch, address, following, introduction } => {
                if let Some((_, older)) = upstream.take() {
                    older.abort();
                }
                let link = upstream::Link { epoch, address, following, introduction };
                upstream = Some((epoch, begin_upstream(context, link)));
            }
            LinksMessage::HangUp { epoch } => {
                if let Some((_, link)) = upstream.take_if(|(running, _)| *running == epoch) {
                    link.abort();
                }
            }
            LinksMessage::Stop => return,
        }
    }
}

fn begin_session(context: &LinksContext, sessions: &Sessions, serve: ServeReplica) {
    let replica = serve.replica;
    let (order, orders) = mpsc::channel(4);
    sessions.borrow_mut().insert(replica, order);
    let (context, sessions) = (context.clone(), sessions.clone());
    tokio::task::spawn_local(async move {
        // A panic in a session must not cost the other replicas theirs.
        let ended = tokio::task::spawn_local(session::serve(context.clone(), serve, orders)).await;
        let reason = ended.unwrap_or_else(|_| "its session failed on our side, which is a defect".to_owned());
        sessions.borrow_mut().remove(&replica);
        tell(&context.reports.lost, ReplicaLost { replica, reason }, WhenFull::Complain);
    });
}

fn end_sessions(
    sessions: &Sessions,
    replica: Option<ReplicaId>,
    after: Option<Offset>,
    reason: &'static str,
) {
    let sessions = sessions.borrow();
    for (_, order) in sessions.iter().filter(|(id, _)| replica.is_none_or(|wanted| wanted == **id)) {
        // Full: it has its orders already, and each of them ends it.
        let _ = order.try_send(SessionOrder::End { after, reason });
    }
}

fn begin_upstream(context: &LinksContext, link: upstream::Link) -> AbortHandle {
    let (epoch, context) = (link.epoch, context.clone());
    tokio::task::spawn_local(async move {
        if let Err(error) = upstream::run(&context, link).await {
            let lost = LinkLost { epoch, reason: error.to_string() };
            tell(&context.reports.link_lost, lost, WhenFull::Complain);
        }
    })
    .abort_handle()
}
