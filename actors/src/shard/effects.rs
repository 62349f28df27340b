//! Carries out what a turn asked of the world outside.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rejoin_commands::{
    Effect, Role, Settings, effect::WantedStream, node::status::UpstreamStatus, session::ReplicaHello as Said,
};
use rejoin_protocol::{ClientId, ReplicaId, ReplicationId};
use rejoin_replication::{Credentials, ReplicaHello, Wanted};
use rejoin_transports::Endpoint;

use crate::{
    disk::FolderStorage,
    events::NodeEvent,
    live_settings::LiveSettings,
    master::shown_as,
    messages::{
        buffer_manager::SetBudget,
        links::Introduction,
        master::{AttachReplica, Promote},
        replica::{FollowMaster, Introduce},
    },
    shard::{Shard, SharedShard, connection::Close, unix_now, upstream::MASTER_SESSION},
};

/// Between two warnings of clients that speak HTTP.
const HTTP_WARNING_PERIOD: Duration = Duration::from_secs(60);

/// Carries out one effect.
pub(crate) fn carry_out(shard: &SharedShard, effect: Effect) {
    if let Effect::Sleep { millis } = effect {
        // DEBUG SLEEP is there to make the node hang.
        std::thread::sleep(Duration::from_millis(millis));
        return;
    }
    let shard = &mut *shard.borrow_mut();
    match effect {
        Effect::CloseClient { client, after_reply } => shard.close_client(client, after_reply),
        Effect::Follow { host, port } => shard.follow(host, port),
        Effect::Unfollow => {
            shard.unfollow();
            tracing::info!("MASTER MODE enabled (user request)");
        }
        Effect::AttachReplica { client, wanted } => shard.attach_replica(client, wanted),
        Effect::StartFailover { request } => shard.start_failover(request),
        Effect::AbortFailover => shard.abort_failover("Failover manually aborted"),
        Effect::Shutdown { how } => shard.begin_shutdown(how),
        Effect::SaveInBackground => shard.save_in_background(),
        Effect::Save { client } => shard.save_for(client),
        Effect::Reload { client, saves } => shard.reload_for(client, saves),
        Effect::AbortShutdown => shard.abort_shutdown(),
        Effect::SettingChanged { name } => shard.apply_setting(name),
        Effect::ChangeReplId => shard.change_replid(),
        Effect::RefuseHttp { client } => shard.refuse_http(client),
        Effect::Log { text } => tracing::warn!("{text}"),
        Effect::RewriteLog => shard.begin_base(),
        Effect::CloseReplicas => shard.control.drop_replicas("CLIENT KILL"),
        // Answered where the master's stream is applied; a client cannot ask for it.
        Effect::AckMaster { .. } | Effect::Sleep { .. } => {}
    }
}

impl Shard {
    fn close_client(&mut self, client: ClientId, after_reply: bool) {
        if client == MASTER_SESSION {
            self.drop_upstream("CLIENT KILL");
            return;
        }
        let Some(key) = self.connection_of(client) else { return };
        let connection = &mut self.connections[key];
        connection.close = Some(if after_reply { Close::AfterReply } else { Close::Now });
        connection.wake();
    }

    /// A web page can make a browser send requests to addresses that only the browser reaches: nothing of it is
    /// executed, and the operator is told, though not for every one.
    fn refuse_http(&mut self, client: ClientId) {
        let is_due = self.http_refused_at.is_none_or(|at| at.elapsed() >= HTTP_WARNING_PERIOD);
        if is_due {
            self.http_refused_at = Some(Instant::now());
            let addr = self.engine.sessions.get(client).map_or("", |session| session.addr.as_str());
            tracing::warn!(
                addr,
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
                 This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis \
                 instance. Connection aborted."
            );
        }
        self.close_client(client, false);
    }

    /// REPLICAOF host port: from now on nothing of our own is appended.
    pub(crate) fn follow(&mut self, host: String, port: u16) {
        // Whatever else was wished for in the same turn, this is carried out now.
        self.engine.settings.replicaof = Some((host.clone(), port));
        self.stop_upstream();
        self.following += 1;
        // What could not be written yet stands before what the master will send.
        self.unwritten.extend_from_slice(self.engine.log.bytes());
        self.engine.log.clear();
        // Who follows goes on in the database that the stream has selected, whoever wrote it.
        let selected = self.engine.log.selected().filter(|_| self.engine.role == Role::Master);
        if let Some((session, db)) = self.engine.sessions.get_mut(MASTER_SESSION).zip(selected) {
            session.db = db;
        }
        self.engine.role = Role::Replica;
        let unblocked = self.engine.unblock_all();
        for &client in &unblocked {
            self.close_client(client, true);
        }
        self.wake(&unblocked);
        self.events.report(NodeEvent::RoleChanged { is_replica: true });
        self.note_upstream(host.clone(), port);
        tracing::info!("REPLICAOF {host}:{port} enabled: our data serves until we are in sync");
        let introduction = self.introduction();
        self.control.follow(FollowMaster { host, port, following: self.following, introduction });
    }

    /// What INFO tells of a master that is not reached yet.
    pub(crate) fn note_upstream(&mut self, host: String, port: u16) {
        let down_since = match &self.engine.status.upstream {
            Some(before) if before.state == "connected" => Some(unix_now()),
            before => before.as_ref().and_then(|before| before.down_since),
        };
        self.engine.status.upstream = Some(UpstreamStatus {
            host,
            port,
            state: "connect",
            last_io: unix_now(),
            down_since,
            sync_read_bytes: 0,
            sync_total_bytes: None,
            read_offset: self.offset(),
        });
    }

    fn introduction(&self) -> Introduction {
        let settings = &self.engine.settings;
        // Where masters and their tools reach us: by TLS if that is how nodes speak.
        let port =
            if settings.is_on("tls-replication") { settings.tls_port } else { self.engine.status.tcp_port };
        let credentials = (!settings.masterauth.is_empty()).then(|| Credentials {
            user: (!settings.masteruser.is_empty()).then(|| settings.masteruser.clone()),
            password: settings.masterauth.clone().into_bytes(),
        });
        let announced_port = settings.replica_announce_port;
        Introduction {
            listening_port: if announced_port == 0 { port } else { announced_port },
            announce_ip: (!settings.replica_announce_ip.is_empty())
                .then(|| settings.replica_announce_ip.clone()),
            credentials,
            failover: self.failover_flag.clone(),
            databases: settings.databases,
            limits: self.limits.subscribe(),
        }
    }

    /// REPLICAOF NO ONE: the stream goes on from here under a name of its own.
    pub(crate) fn unfollow(&mut self) {
        self.engine.settings.replicaof = None;
        if self.engine.role == Role::Master {
            return;
        }
        self.stop_upstream();
        self.following += 1;
        self.engine.role = Role::Master;
        self.events.report(NodeEvent::RoleChanged { is_replica: false });
        self.engine.status.upstream = None;
        self.control.unfollow();
        self.shift_lineage();
    }

    /// The stream continues under a new name; its first write selects its database anew.
    pub(crate) fn shift_lineage(&mut self) {
        let (replid, at) = (ReplicationId::from_random((self.random_id)()), self.visible());
        tracing::info!(
            "Setting secondary replication ID to {}, valid up to offset: {}. New replication ID is {replid}",
            self.lineage.current(),
            at.next()
        );
        self.lineage.shift(replid, at);
        self.show_lineage();
        self.engine.log.set_selected(None);
        let name = self.log.begin_name();
        self.rename_log();
        self.control.promote(Promote { replid, at, name });
    }

    /// DEBUG CHANGE-REPL-ID.
    fn change_replid(&mut self) {
        if self.engine.role == Role::Master {
            self.shift_lineage();
        }
    }

    /// A client turned out to be a replica: its connection leaves the shard.
    fn attach_replica(&mut self, client: ClientId, wanted: WantedStream) {
        let Some(key) = self.connection_of(client) else { return };
        let mut connection = self.remove_connection(key);
        let received = connection.input.as_mut().map(|input| input.take_unexecuted()).unwrap_or_default();
        let Some(session) = self.engine.session_closed(client) else { return };
        connection.wake();
        let peer = endpoint_of(&session.addr);
        let stream = match connection.stream.detach() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%peer, %error, "a replica was lost while it asked for the stream");
                return;
            }
        };
        if let WantedStream::Psync { failover: true, .. } = wanted {
            tracing::warn!("Failover request received for replid {}.", self.lineage.current());
            self.unfollow();
            tracing::info!("MASTER MODE enabled (failover request from '{peer}')");
        }
        let replica = ReplicaId::new(client.get());
        if !std::mem::replace(&mut self.has_told_replica_limit, true) {
            tell_replica_limit(&self.engine.settings);
        }
        let hello = hello_of(session.replica_hello);
        let wanted = wanted_of(wanted);
        tracing::info!(%replica, ?wanted, "Replica {} asks for synchronization", shown_as(&hello, &peer));
        self.control.attach(AttachReplica {
            replica,
            peer,
            hello,
            wanted,
            stream,
            unsent: session.out.get(session.sent..).unwrap_or_default().to_vec(),
            received,
        });
    }

    /// Settings that others than the engine act on.
    pub(crate) fn apply_setting(&mut self, name: &'static str) {
        let live = LiveSettings::of(&self.engine.settings);
        if self.live_settings.send_if_modified(|present| std::mem::replace(present, live) != live) {
            self.control.settings_changed();
        }
        if matches!(name, "client-output-buffer-limit" | "repl-enforce-output-limit") {
            self.has_told_replica_limit = false;
        }
        if matches!(name, "repl-backlog-size" | "client-output-buffer-limit" | "repl-enforce-output-limit")
            || name.starts_with("repl-history")
        {
            let settings = &self.engine.settings;
            self.engine.status.hot_budget = settings.repl_backlog_bytes;
            self.control.set_budget(SetBudget::of(settings));
            self.configure_log();
        } else if self.engine.role == Role::Replica
            && (name.starts_with("master") || name.starts_with("replica-announce"))
        {
            // The next handshake says it.
            self.control.introduce(Introduce { introduction: self.introduction() });
        } else if name == "aof-segment-size" {
            self.configure_log();
        } else if name.contains("-max-") {
            self.limits.send_replace(self.engine.settings.limits());
        } else if name == "loglevel" {
            let loglevel = self.engine.settings.loglevel.clone();
            self.events.report(NodeEvent::LogLevelChanged { loglevel });
        } else if name == "dir" {
            self.storage = Arc::new(FolderStorage::new(PathBuf::from(&self.engine.settings.dir)));
            self.events.report(NodeEvent::DirChanged { dir: self.engine.settings.dir.clone() });
        } else if name == "appendonly" {
            self.turn_log(self.engine.settings.log.is_on);
        } else if name == "port" {
            self.engine.status.tcp_port = self.engine.settings.port;
        }
    }
}

/// The stock default of a limit that redis-server keeps to is none of ours: who relies on it is told.
fn tell_replica_limit(settings: &Settings) {
    let limit = settings.client_output_limits.replica();
    if settings.replica_limit().is_none() && !limit.is_none() {
        tracing::info!(
            "client-output-buffer-limit replica has its stock default, which counts as no limit: a replica that lags costs \
             no memory and is not dropped. repl-enforce-output-limit yes restores it."
        );
    }
}

fn endpoint_of(address: &str) -> Endpoint {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "0"));
    Endpoint::new(host.trim_matches(['[', ']']), port.parse().unwrap_or(0))
}

fn hello_of(said: Said) -> ReplicaHello {
    ReplicaHello {
        listening_port: said.listening_port,
        ip_address: said.ip_address,
        capa_eof: said.capa_eof,
        capa_psync2: said.capa_psync2,
        capa_rejoin: said.capa_rejoin,
        rdb_only: said.rdb_only,
        rdb_without_data: said.rdb_without_data,
        version: said.version,
    }
}

fn wanted_of(wanted: WantedStream) -> Wanted {
    match wanted {
        WantedStream::Sync => Wanted::LegacySync,
        WantedStream::Psync { replid: Some(replid), from: Some(from), .. } => {
            Wanted::Continue { replid, from }
        }
        WantedStream::Psync { .. } => Wanted::Everything,
    }
}
