//! Replication's commands: ROLE, REPLICAOF, and what replicas say: REPLCONF, PSYNC, SYNC.

use rejoin_protocol::{NextOffset, ReplicationId, number::parse_i64};

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
    Command::new("sync", 1, ADMIN.union(Flags::NO_MULTI), "server", "1.0.0", "Asks for a copy and the stream.", sync),
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
    reply.integer(offset.get() as i64);
    reply.array(status.replicas.len());
    for replica in &status.replicas {
        reply.array(3);
        reply.bulk(replica.ip.as_bytes());
        reply.bulk_integer(i64::from(replica.port));
        reply.bulk_integer(replica.offset.get() as i64);
    }
    Ok(())
}

/// REPLICAOF host port | NO ONE. The turn ends behind it: what comes next meets the new role.
fn replicaof(call: &mut Call<'_>) -> Result<(), Failure> {
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
    if call.args.len().is_multiple_of(2) {
        return Err(Failure::Syntax);
    }
    for pair in call.args[1..].chunks_exact(2) {
        let (option, value) = (pair[0], pair[1]);
        let hello = &mut call.session.replica_hello;
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => hello.listening_port = port(value)?,
            b"ip-address" => hello.ip_address = address(value)?,
            b"capa" if value.eq_ignore_ascii_case(b"eof") => hello.capa_eof = true,
            b"capa" if value.eq_ignore_ascii_case(b"psync2") => hello.capa_psync2 = true,
            // What else a replica can do is no concern of ours.
            b"capa" => {}
            b"rdb-only" => hello.rdb_only = zero_or_one(value)?,
            b"version" => hello.version = Some(version(value)?),
            b"ack" | b"getack" => return Ok(()),
            _ => {
                return Err(Failure::text(format!(
                    "ERR Unrecognized REPLCONF option: {}",
                    String::from_utf8_lossy(option)
                )));
            }
        }
    }
    call.reply().ok();
    Ok(())
}

fn port(value: &[u8]) -> Result<u16, Failure> {
    let number = parse_i64(value).ok_or(Failure::NotAnInteger)?;
    u16::try_from(number).map_err(|_| Failure::NotAnInteger)
}

fn zero_or_one(value: &[u8]) -> Result<bool, Failure> {
    match parse_i64(value).ok_or(Failure::NotAnInteger)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Failure::text("ERR value is out of range, value must between 0 and 1")),
    }
}

fn address(value: &[u8]) -> Result<Option<String>, Failure> {
    const BYTES_MAX: usize = 255;
    if value.len() > BYTES_MAX {
        return Err(Failure::text(format!(
            "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes",
            value.len()
        )));
    }
    Ok((!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned()))
}

/// `9.1.2`: three numbers.
fn version(value: &[u8]) -> Result<String, Failure> {
    const BYTES_MAX: usize = 32;
    let is_version = value.len() <= BYTES_MAX
        && value.split(|&byte| byte == b'.').count() == 3
        && value.split(|&byte| byte == b'.').all(|part| parse_i64(part).is_some_and(|number| number >= 0));
    if !is_version {
        return Err(Failure::text(format!("ERR Unrecognized version format: {}", String::from_utf8_lossy(value))));
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// PSYNC replid offset [FAILOVER].
fn psync(call: &mut Call<'_>) -> Result<(), Failure> {
    let from = parse_i64(call.args[2]).ok_or(Failure::NotAnInteger)?;
    let wanted = WantedStream::Psync {
        replid: ReplicationId::parse(call.args[1]),
        from: u64::try_from(from).ok().map(NextOffset::new),
        failover: call.args.get(3).is_some_and(|option| option.eq_ignore_ascii_case(b"failover")),
    };
    attach(call, wanted)
}

fn sync(call: &mut Call<'_>) -> Result<(), Failure> {
    attach(call, WantedStream::Sync)
}

/// The client becomes a replica: nothing is replied here, and nothing further of it is executed.
fn attach(call: &mut Call<'_>, wanted: WantedStream) -> Result<(), Failure> {
    let engine = &mut *call.engine;
    let is_linked = engine.status.upstream.as_ref().is_none_or(|upstream| upstream.state == "connected");
    if engine.role == Role::Replica && !is_linked {
        return Err(Failure::text("NOMASTERLINK Can't SYNC while not connected with my master"));
    }
    call.session.attaching = true;
    call.engine.ask(Effect::AttachReplica { client: call.session.id, wanted });
    Ok(())
}
