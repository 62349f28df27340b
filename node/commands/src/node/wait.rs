//! WAIT: a client is answered when enough replicas hold its writes.

use rejoin_protocol::{ClientId, Offset, UnixMillis, number::parse_i64};

use crate::{Call, Command, Engine, Failure, Flags, Role, SessionKind, blocking::Unblock, session::Waiting};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "wait",
    3,
    Flags::NOSCRIPT.union(Flags::BLOCKING),
    "generic",
    "3.0.0",
    "Waits until so many replicas have acknowledged this connection's writes, or the time is up.",
    wait,
)];

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
    let millis =
        parse_i64(call.args[2]).ok_or(Failure::text("ERR timeout is not an integer or out of range"))?;
    if millis < 0 {
        return Err(Failure::text("ERR timeout is negative"));
    }
    let wanted = usize::try_from(wanted).unwrap_or(0);
    let offset = call.session.last_write;
    let held = call.engine.replicas_holding(offset);
    if held >= wanted || call.engine.must_not_wait || call.session.kind == SessionKind::Master {
        call.reply().integer(held as i64);
        return Ok(());
    }
    let until = (millis > 0).then(|| UnixMillis::new(call.now().get().saturating_add(millis)));
    call.session.waiting = Some(Waiting::Replicas { replicas: wanted, offset, until });
    call.engine.waiting.push(call.session.id);
    // Replicas acknowledge once a second of themselves; this makes it a round trip.
    call.engine.acks_wanted = true;
    Ok(())
}

impl Engine {
    /// Answers the clients that wait and whose time is up, and those in WAIT whose replicas have caught up; to be called
    /// whenever [`Engine::status`] has new acknowledgements, and at [`Engine::next_wait_deadline`]. Returns who was
    /// answered: they have output, and perhaps requests that were held back.
    pub fn answer_waiting(&mut self) -> Vec<ClientId> {
        let mut answered = Vec::new();
        for id in self.waiting.clone() {
            let Some(waiting) = self.sessions.get(id).and_then(|session| session.waiting.as_ref()) else {
                continue;
            };
            let is_over = waiting.until().is_some_and(|until| until <= self.now)
                || match waiting {
                    Waiting::Replicas { replicas, offset, .. } => self.replicas_holding(*offset) >= *replicas,
                    Waiting::Keys(_) | Waiting::Shutdown | Waiting::Disk => false,
                };
            if is_over && self.unblock(id, Unblock::Timeout) {
                answered.push(id);
            }
        }
        answered
    }

    /// When the next wait is over at the latest.
    #[must_use]
    pub fn next_wait_deadline(&self) -> Option<UnixMillis> {
        self.waiting.iter().filter_map(|&id| self.sessions.get(id)?.waiting.as_ref()?.until()).min()
    }

    /// At the end of a turn: asks the replicas for acknowledgements, once for all who wait.
    pub(crate) fn ask_for_acks(&mut self) {
        if std::mem::take(&mut self.acks_wanted) && self.role == Role::Master {
            let db = self.log.selected().unwrap_or_default();
            self.log.begin_unit();
            self.log.push(db, &[b"REPLCONF", b"GETACK", b"*"]);
            self.log.end_unit();
        }
    }

    pub(crate) fn replicas_holding(&self, offset: Offset) -> usize {
        self.status
            .replicas
            .iter()
            .filter(|replica| replica.state == "online" && replica.offset >= offset)
            .count()
    }
}
