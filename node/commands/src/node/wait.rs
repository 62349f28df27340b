//! WAIT and WAITAOF: a client is answered when enough nodes hold its writes, or have them on disk.
//!
//! Acknowledgements come by [`Engine::note_ack`], straight from the replicas' links; what this node has on disk is
//! `status.log.offset_durable`. Both are looked at when the shard calls [`Engine::answer_waiting`].

use rejoin_protocol::{ClientId, Offset, ReplicaId, UnixMillis, number::parse_i64};

use super::status::ReplicaStatus;
use crate::{Call, Command, Engine, Failure, Flags, Role, SessionKind, blocking::Unblock, session::Waiting};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new(
        "wait",
        3,
        Flags::NOSCRIPT.union(Flags::BLOCKING),
        "generic",
        "3.0.0",
        "Waits until so many replicas have acknowledged this connection's writes, or the time is up.",
        wait,
    ),
    Command::new(
        "waitaof",
        4,
        Flags::NOSCRIPT.union(Flags::BLOCKING),
        "generic",
        "7.2.0",
        "Waits until this node and so many replicas have this connection's writes on disk, or the time is up.",
        waitaof,
    ),
];

/// What a client in WAIT or WAITAOF waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckWait {
    /// So many replicas...
    replicas: usize,
    /// ... that hold this.
    offset: Offset,
    /// WAITAOF: on disk; and whether here, too.
    on_disk: Option<bool>,
    /// When it is answered with as many as there are; `None` waits for ever.
    pub(crate) until: Option<UnixMillis>,
}

/// Who holds what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    replicas: usize,
    /// WAITAOF: whether it is on disk here.
    here: Option<bool>,
}

impl AckWait {
    fn is_met(&self, held: Held) -> bool {
        held.replicas >= self.replicas && (self.on_disk != Some(true) || held.here == Some(true))
    }

    /// It waits for this node's disk.
    fn asks_here(&self) -> bool {
        self.on_disk == Some(true)
    }
}

impl Held {
    pub(crate) fn reply(self, mut reply: rejoin_protocol::resp::ReplyWriter<'_>) {
        if let Some(here) = self.here {
            reply.array(2);
            reply.integer(i64::from(here));
        }
        reply.integer(self.replicas as i64);
    }
}

/// WAIT numreplicas timeout: the number of replicas that hold this client's last write. Inside MULTI it never waits.
fn wait(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.engine.role == Role::Replica {
        return Err(Failure::text(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not \
             propagated.",
        ));
    }
    let wanted = parse_i64(call.args[1]).ok_or(Failure::NotAnInteger)?;
    let until = deadline(call, call.args[2])?;
    let (replicas, offset) = (usize::try_from(wanted).unwrap_or(0), call.session.last_write);
    begin(call, AckWait { replicas, offset, on_disk: None, until });
    Ok(())
}

/// WAITAOF numlocal numreplicas timeout: whether this client's last write is on disk here, and on how many replicas.
fn waitaof(call: &mut Call<'_>) -> Result<(), Failure> {
    let here = match parse_i64(call.args[1]).ok_or(Failure::NotAnInteger)? {
        0 => false,
        1 => true,
        _ => return Err(Failure::text("ERR value is out of range, value must between 0 and 1")),
    };
    let replicas = parse_i64(call.args[2])
        .and_then(|wanted| usize::try_from(wanted).ok())
        .ok_or(Failure::text("ERR value is out of range, must be positive"))?;
    let until = deadline(call, call.args[3])?;
    if call.engine.role == Role::Replica {
        return Err(Failure::text(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    if here && !call.engine.status.log.is_on {
        return Err(Failure::text(LOG_IS_OFF));
    }
    let offset = call.session.last_write;
    begin(call, AckWait { replicas, offset, on_disk: Some(here), until });
    Ok(())
}

/// What WAITAOF says where there is no log to wait for.
pub(crate) const LOG_IS_OFF: &str =
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";

/// When a wait of `argument` milliseconds (0: for ever) from now is over.
fn deadline(call: &Call<'_>, argument: &[u8]) -> Result<Option<UnixMillis>, Failure> {
    let millis = parse_i64(argument).ok_or(Failure::text("ERR timeout is not an integer or out of range"))?;
    if millis < 0 {
        return Err(Failure::text("ERR timeout is negative"));
    }
    let until = call.now().get().checked_add(millis).ok_or(Failure::text("ERR timeout is out of range"))?;
    Ok((millis > 0).then_some(UnixMillis::new(until)))
}

/// Answers at once where nothing is to be waited for, or has the client wait.
fn begin(call: &mut Call<'_>, wait: AckWait) {
    let held = call.engine.held(&wait);
    if wait.is_met(held) || call.engine.must_not_wait || call.session.kind == SessionKind::Master {
        return held.reply(call.reply());
    }
    call.session.waiting = Some(Waiting::Acks(wait));
    call.engine.waiting.push(call.session.id);
    call.engine.ack_waits += 1;
    // Replicas acknowledge once a second of themselves; this makes it a round trip.
    call.engine.acks_wanted = true;
}

impl Engine {
    /// Answers the clients that wait and whose time is up, and those in WAIT and WAITAOF whose writes have arrived; to be
    /// called after [`Engine::note_ack`], when the log was synced, and at [`Engine::next_wait_deadline`]. Returns who was
    /// answered: they have output, and perhaps requests that were held back.
    pub fn answer_waiting(&mut self) -> Vec<ClientId> {
        let mut answered = Vec::new();
        for id in self.waiting.clone() {
            let Some(waiting) = self.sessions.get(id).and_then(|session| session.waiting.as_ref()) else {
                continue;
            };
            let how = match waiting {
                Waiting::Acks(wait) if wait.asks_here() && !self.status.log.is_on => Some(Unblock::LogIsOff),
                Waiting::Acks(wait) if wait.is_met(self.held(wait)) => Some(Unblock::Timeout),
                _ => waiting.until().is_some_and(|until| until <= self.now).then_some(Unblock::Timeout),
            };
            if how.is_some_and(|how| self.unblock(id, how)) {
                answered.push(id);
            }
        }
        answered
    }

    /// Whether somebody waits for acknowledgements, or for the log to be synced.
    #[inline]
    #[must_use]
    pub fn waits_for_acks(&self) -> bool {
        self.ack_waits > 0
    }

    /// When the next wait is over at the latest.
    #[must_use]
    pub fn next_wait_deadline(&self) -> Option<UnixMillis> {
        self.waiting.iter().filter_map(|&id| self.sessions.get(id)?.waiting.as_ref()?.until()).min()
    }

    /// A replica acknowledged, at `at`: `offset` is applied there, `durable` is on its disk. Neither goes back.
    pub fn note_ack(&mut self, id: ReplicaId, offset: Offset, durable: Offset, at: UnixMillis) {
        if let Some(replica) = self.status.replicas.iter_mut().find(|replica| replica.id == id) {
            replica.offset = replica.offset.max(offset);
            replica.offset_durable = replica.offset_durable.max(durable);
            replica.acked_at = replica.acked_at.max(at);
        }
    }

    /// At the end of a turn: asks the replicas for acknowledgements, once for all who wait. While the stream must not
    /// grow (a failover), nobody is asked.
    pub(crate) fn ask_for_acks(&mut self) {
        if std::mem::take(&mut self.acks_wanted) && self.role == Role::Master && !self.is_failing_over() {
            self.log_getack();
        }
    }

    /// Puts a request for acknowledgements into the stream.
    pub fn log_getack(&mut self) {
        let db = self.log.selected().unwrap_or_default();
        self.log.begin_unit();
        self.log.push(db, &[b"REPLCONF", b"GETACK", b"*"]);
        self.log.end_unit();
        self.has_logged_getack = true;
    }

    /// Whether the stream holds a request for acknowledgements that was not hurried on its way yet.
    pub fn take_logged_getack(&mut self) -> bool {
        std::mem::take(&mut self.has_logged_getack)
    }

    /// Who holds what `wait` waits for.
    pub(crate) fn held(&self, wait: &AckWait) -> Held {
        let offset = wait.offset;
        let count = |holds: fn(&ReplicaStatus) -> Offset| {
            self.status.replicas.iter().filter(|r| r.state == "online" && holds(r) >= offset).count()
        };
        match wait.on_disk {
            None => Held { replicas: count(|replica| replica.offset), here: None },
            Some(_) => Held {
                replicas: count(|replica| replica.offset_durable),
                here: Some(self.status.log.offset_durable.is_some_and(|durable| durable >= offset)),
            },
        }
    }
}
