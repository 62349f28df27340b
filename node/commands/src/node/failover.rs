//! FAILOVER: this master hands its place over to one of its replicas.
//!
//! The command checks what is asked for and stops all writes; from then on the stream does not grow, but for the
//! requests for acknowledgements that make the replicas tell at once how far they are. When one is caught up, and what
//! then happens, is decided outside; [`Engine::end_failover`] lets the writes go on.

use rejoin_protocol::{Offset, number::parse_i64};

use super::status::{FailoverState, ReplicaStatus};
use crate::{Call, Command, Effect, Engine, Failure, Flags, Role};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "failover",
    -1,
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::STALE),
    "server",
    "6.2.0",
    "Hands this master's place over to one of its replicas.",
    failover,
)];

/// What FAILOVER was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailoverRequest {
    /// TO: which replica; otherwise the first that is caught up.
    pub target: Option<(String, u16)>,
    /// TIMEOUT.
    pub timeout_millis: Option<u64>,
    /// FORCE: when the time is up, the target takes over as it is.
    pub is_forced: bool,
}

impl FailoverRequest {
    fn parse(args: &[&[u8]]) -> Result<Self, Failure> {
        let mut request = Self::default();
        let mut rest = args;
        while let Some((word, more)) = rest.split_first() {
            rest = match more {
                [millis, more @ ..]
                    if word.eq_ignore_ascii_case(b"timeout") && request.timeout_millis.is_none() =>
                {
                    request.timeout_millis = Some(timeout(millis)?);
                    more
                }
                [host, port, more @ ..] if word.eq_ignore_ascii_case(b"to") && request.target.is_none() => {
                    let port = parse_i64(port).ok_or(Failure::NotAnInteger)?;
                    // A port that is none belongs to no replica.
                    let port = u16::try_from(port).unwrap_or(0);
                    request.target = Some((String::from_utf8_lossy(host).into_owned(), port));
                    more
                }
                more if word.eq_ignore_ascii_case(b"force") && !request.is_forced => {
                    request.is_forced = true;
                    more
                }
                _ => return Err(Failure::Syntax),
            };
        }
        Ok(request)
    }

    fn concerns(&self, replica: &ReplicaStatus) -> bool {
        self.target.as_ref().is_none_or(|(host, port)| (host, port) == (&replica.ip, &replica.port))
    }
}

fn timeout(argument: &[u8]) -> Result<u64, Failure> {
    let millis = parse_i64(argument).ok_or(Failure::NotAnInteger)?;
    u64::try_from(millis)
        .ok()
        .filter(|&millis| millis > 0)
        .ok_or(Failure::text("ERR FAILOVER timeout must be greater than 0"))
}

/// FAILOVER [TO host port [FORCE]] [TIMEOUT milliseconds] | ABORT.
fn failover(call: &mut Call<'_>) -> Result<(), Failure> {
    if let [_, word] = call.args
        && word.eq_ignore_ascii_case(b"abort")
    {
        return abort(call);
    }
    let request = FailoverRequest::parse(&call.args[1..])?;
    let status = &call.engine.status;
    if call.engine.is_failing_over() {
        return Err(Failure::text("ERR FAILOVER already in progress."));
    }
    if call.engine.role == Role::Replica {
        return Err(Failure::text("ERR FAILOVER is not valid when server is a replica."));
    }
    if status.replicas.is_empty() {
        return Err(Failure::text("ERR FAILOVER requires connected replicas."));
    }
    if request.is_forced && (request.timeout_millis.is_none() || request.target.is_none()) {
        return Err(Failure::text(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    if request.target.is_some() {
        let Some(replica) = status.replicas.iter().find(|replica| request.concerns(replica)) else {
            return Err(Failure::text("ERR FAILOVER target HOST and PORT is not a replica."));
        };
        if replica.state != "online" {
            return Err(Failure::text("ERR FAILOVER target replica is not online."));
        }
    }
    call.engine.status.failover = FailoverState::WaitingForSync;
    call.engine.ask(Effect::StartFailover { request });
    call.reply().ok();
    Ok(())
}

fn abort(call: &mut Call<'_>) -> Result<(), Failure> {
    if !call.engine.is_failing_over() {
        return Err(Failure::text("ERR No failover in progress."));
    }
    call.engine.ask(Effect::AbortFailover);
    call.reply().ok();
    Ok(())
}

impl Engine {
    /// Whether FAILOVER is under way: no client may write, and nothing of our own enters the stream.
    #[inline]
    #[must_use]
    pub fn is_failing_over(&self) -> bool {
        self.status.failover != FailoverState::None
    }

    /// FAILOVER was carried out or called off: writes go on, or meet the new role.
    pub fn end_failover(&mut self) {
        self.status.failover = FailoverState::None;
    }

    /// Has the replicas tell how far they are, unless the one that is meant is known to hold everything. Returns the
    /// offset from which on a replica holds all that clients have written and will have all that is in the stream.
    ///
    /// There are two requests. A replica answers with the offset before the request: so the answer to the second says
    /// that it has the first one, and no acknowledgement that it sends of itself says the same before.
    pub fn ask_for_failover(&mut self, request: &FailoverRequest) -> Offset {
        let end = self.log.offset();
        let is_caught_up = |replica: &ReplicaStatus| {
            let may_take_over = replica.state == "online" && replica.port != 0;
            may_take_over && request.concerns(replica) && replica.offset >= end
        };
        if self.status.replicas.iter().any(is_caught_up) {
            return end;
        }
        self.log_getack();
        let second = self.log.offset();
        self.log_getack();
        second
    }
}
