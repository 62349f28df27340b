//! Replication's commands: ROLE, REPLICAOF, and what replicas say: REPLCONF, PSYNC, SYNC.

use rejoin_protocol::{
    number::parse_i64,
    psync::{Capability, PsyncRequest, ReplconfError, ReplconfOption, ReplconfOptions},
};

use super::status::ReplicaStatus;
use crate::{Call, Command, Effect, Failure, Flags, Role, effect::WantedStream};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new(
        "role",
        1,
        Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST),
        "server",
        "2.8.12",
        "Tells the node's place in replication.",
        role,
    ),
    Command::new(
        "replicaof",
        3,
        ADMIN.union(Flags::STALE),
        "server",
        "5.0.0",
        "Makes the node follow a master, or none.",
        replicaof,
    ),
    Command::new(
        "slaveof",
        3,
        ADMIN.union(Flags::STALE),
        "server",
        "1.0.0",
        "The older name of REPLICAOF.",
        replicaof,
    ),
    Command::new(
        "replconf",
        -1,
        ADMIN.union(Flags::LOADING).union(Flags::STALE),
        "server",
        "3.0.0",
        "What replicas tell of themselves.",
        replconf,
    ),
    Command::new(
        "psync",
        -3,
        ADMIN.union(Flags::NO_MULTI),
        "server",
        "2.8.0",
        "Asks for the stream from an offset on.",
        psync,
    ),
    Command::new(
        "sync",
        1,
        ADMIN.union(Flags::NO_MULTI),
        "server",
        "1.0.0",
        "Asks for a copy and the stream.",
        sync,
    ),
];

fn role(call: &mut Call<'_>) -> Result<(), Failure> {
    let status = &call.engine.status;
    let offset = call.engine.log.offset();
    let mut reply = call.session.reply();
    if call.engine.role == Role::Replica {
        reply.array(5);
        reply.bulk(b"slave");
        let upstream = status.upstream.as_ref();
        reply.bulk(upstream.map_or("", |upstream| &upstream.host).as_bytes());
        reply.integer(upstream.map_or(0, |upstream| i64::from(upstream.port)));
        let state = upstream.map_or("connect", |upstream| upstream.state);
        reply.bulk(state.as_bytes());
        reply.integer(if state == "connected" { offset.get() as i64 } else { -1 });
        return Ok(());
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(call.engine.offset_visible().get() as i64);
    let is_online = |replica: &&ReplicaStatus| replica.state == "online";
    reply.array(status.replicas.iter().filter(is_online).count());
    for replica in status.replicas.iter().filter(is_online) {
        reply.array(3);
        reply.bulk(replica.ip.as_bytes());
        reply.bulk_integer(i64::from(replica.port));
        reply.bulk_integer(replica.offset.get() as i64);
    }
    Ok(())
}

/// REPLICAOF host port | NO ONE. The turn ends behind it: what comes next meets the new role.
fn replicaof(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.engine.is_failing_over() {
        return Err(Failure::text("ERR REPLICAOF not allowed while failing over."));
    }
    let (host, port) = (call.args[1], call.args[2]);
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        if call.engine.settings.replicaof.take().is_some() || call.engine.role == Role::Replica {
            call.engine.ask(Effect::Unfollow);
        }
        call.reply().ok();
        return Ok(());
    }
    let port = parse_i64(port)
        .and_then(|port| u16::try_from(port).ok())
        .ok_or(Failure::text("ERR Invalid master port"))?;
    let host = String::from_utf8(host.to_vec()).map_err(|_| Failure::text("ERR Invalid master host"))?;
    let wanted = Some((host.clone(), port));
    if call.engine.settings.replicaof == wanted {
        call.reply().simple("OK Already connected to specified master");
        return Ok(());
    }
    call.engine.settings.replicaof = wanted;
    call.engine.ask(Effect::Follow { host, port });
    call.reply().ok();
    Ok(())
}

/// REPLCONF option value ...: the handshake of a replica. Its acknowledgements do not come here but to the master's
/// session with it; one that a plain client sends is ignored, as in Redis.
fn replconf(call: &mut Call<'_>) -> Result<(), Failure> {
    let hello = &mut call.session.replica_hello;
    for option in ReplconfOptions::new(&call.args[1..]).map_err(refused)? {
        match option.map_err(refused)? {
            ReplconfOption::ListeningPort(port) => hello.listening_port = u16::try_from(port).unwrap_or(0),
            ReplconfOption::IpAddress(address) => {
                hello.ip_address =
                    (!address.is_empty()).then(|| String::from_utf8_lossy(address).into_owned());
            }
            ReplconfOption::Capa(Some(Capability::Eof)) => hello.capa_eof = true,
            ReplconfOption::Capa(Some(Capability::Psync2)) => hello.capa_psync2 = true,
            ReplconfOption::Capa(Some(Capability::Rejoin)) => hello.capa_rejoin = true,
            // What else a replica can do is no concern of ours.
            ReplconfOption::Capa(None) => {}
            ReplconfOption::RdbOnly(rdb_only) => hello.rdb_only = rdb_only,
            ReplconfOption::RdbFilterOnly { .. } => hello.rdb_without_data = true,
            ReplconfOption::Version([major, minor, patch]) => {
                hello.version = Some(format!("{major}.{minor}.{patch}"))
            }
            ReplconfOption::Ack { .. } | ReplconfOption::MalformedAck | ReplconfOption::GetAck => {
                return Ok(());
            }
        }
    }
    call.reply().ok();
    Ok(())
}

fn refused(error: ReplconfError) -> Failure {
    let mut text = b"ERR ".to_vec();
    error.write_text(&mut text);
    Failure::text(String::from_utf8_lossy(&text).into_owned())
}

/// PSYNC replid offset [FAILOVER].
fn psync(call: &mut Call<'_>) -> Result<(), Failure> {
    let request =
        PsyncRequest::parse(&call.args[1..]).map_err(|error| Failure::text(format!("ERR {error}")))?;
    if request.failover {
        return take_over(call, request);
    }
    attach(call, WantedStream::Psync { replid: request.id, from: request.next, failover: false })
}

/// PSYNC replid offset FAILOVER: our master wants to follow us. We become a master, and it a replica like any other.
fn take_over(call: &mut Call<'_>, request: PsyncRequest) -> Result<(), Failure> {
    if call.engine.role == Role::Master {
        return Err(Failure::text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if request.id != Some(call.engine.status.replid) {
        return Err(Failure::text("ERR PSYNC FAILOVER replid must match my replid."));
    }
    call.session.attaching = true;
    let wanted = WantedStream::Psync { replid: request.id, from: request.next, failover: true };
    call.engine.ask(Effect::AttachReplica { client: call.session.id, wanted });
    Ok(())
}

fn sync(call: &mut Call<'_>) -> Result<(), Failure> {
    attach(call, WantedStream::Sync)
}

/// The client becomes a replica: nothing is replied here, and nothing further of it is executed.
fn attach(call: &mut Call<'_>, wanted: WantedStream) -> Result<(), Failure> {
    let engine = &mut *call.engine;
    if engine.is_failing_over() {
        return Err(Failure::text("NOMASTERLINK Can't SYNC while failing over"));
    }
    let is_linked = engine.status.upstream.as_ref().is_none_or(|upstream| upstream.state == "connected");
    if engine.role == Role::Replica && !is_linked {
        return Err(Failure::text("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    call.session.attaching = true;
    call.engine.ask(Effect::AttachReplica { client: call.session.id, wanted });
    Ok(())
}
