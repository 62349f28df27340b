//! From a decoded request to its execution: the row, the checks in Redis' order, queueing in MULTI, the unit of the
//! log, and what is done with the reply.

use rejoin_protocol::{ClientId, resp::RespVersion};

use crate::{
    Command, Effect, Engine, Failure, Flags, Request, Role, Session,
    eviction::Room,
    node::{saving::CANNOT_SAVE, status::ReplicaStatus},
    session::ReplyMode,
    table,
};

/// Bytes of a client's own words that an error repeats at most (Redis' number).
const ECHOED_BYTES_MAX: usize = 128;

impl Engine {
    /// Executes one request of `client`, whose replies go to its session's output. Unknown clients are ignored, and so
    /// are those that are closing. A command that would wait is answered at once. [`Engine::run_turn`] is the way for
    /// requests that come over connections.
    pub fn execute(&mut self, client: ClientId, request: Request<'_>) {
        let Some(slot) = self.sessions.slot_of(client) else { return };
        let Some(mut session) = self.sessions.take(slot, client) else { return };
        if session.is_open() {
            self.set_access_clock();
            self.must_not_wait = true;
            self.begin_timing();
            self.dispatch(&mut session, request);
            self.must_not_wait = false;
        }
        self.sessions.put_back(slot, session);
    }

    /// One request of a session that was taken out for it.
    pub(crate) fn dispatch(&mut self, session: &mut Session, request: Request<'_>) {
        let replied = session.out.len();
        let mode = session.reply_mode;
        if mode == ReplyMode::SkipNext {
            session.reply_mode = ReplyMode::Skipping;
        }
        session.last_active = self.now;
        let mut pushes = false;
        match self.admit(session, request) {
            Ok(command) => {
                self.admitted(session, command, request);
                pushes = command.replies_by_push();
            }
            Err(refusal) => self.refuse(session, request, &refusal),
        }
        if mode != ReplyMode::On {
            let is_pushed = pushes && matches!(session.out.get(replied), Some(b'*' | b'>'));
            mute(session, if is_pushed { session.out.len() } else { replied });
        }
        if self.pubsub.has_deferred() {
            self.hear_deferred(session);
        }
    }

    /// Queues or executes what passed the checks.
    #[inline]
    fn admitted(&mut self, session: &mut Session, command: &'static Command, request: Request<'_>) {
        if session.transaction.is_some() && !command.flags.contains(Flags::NO_QUEUE) {
            self.queue(session, command, request);
            return;
        }
        session.last_command = Some(command);
        let logged = self.log.bytes().len();
        self.log.begin_unit();
        // A failure stands in the reply already.
        let _ = self.run(session, command, request);
        self.log.end_unit();
        self.show_to_monitors(session, command, request.args);
        if self.log.bytes().len() != logged {
            session.last_write = self.log.offset();
        }
        self.serve_blocked();
    }

    /// All checks, in the order in which Redis makes them.
    #[inline]
    fn admit(&mut self, session: &Session, request: Request<'_>) -> Result<&'static Command, Refusal> {
        let command = find(request)?;
        if !command.accepts(request.args.len()) {
            return Err(Refusal::text(format!(
                "ERR wrong number of arguments for '{}' command",
                table::full_name(command)
            )));
        }
        let flags = command.flags;
        if flags.contains(Flags::PROTECTED) {
            self.admit_protected(session, command)?;
        }
        if !session.authenticated && !flags.contains(Flags::NO_AUTH) && !self.settings.requirepass.is_empty()
        {
            return Err(Refusal::Fixed("NOAUTH Authentication required."));
        }
        if session.transaction.is_some() && flags.contains(Flags::NO_MULTI) {
            return Err(Refusal::Fixed("ERR Command not allowed inside a transaction"));
        }
        if session.listens {
            admit_listener(session, command)?;
        }
        if self.settings.maxmemory_bytes > 0 {
            self.admit_to_memory(session, command)?;
        }
        if self.refuses_writes_for_disk() && (may_write(session, command) || is_probe(session, command)) {
            return Err(Refusal::Fixed(CANNOT_SAVE));
        }
        if self.status.log.write_error.is_some() {
            self.admit_without_log(session, command)?;
        }
        if self.settings.min_replicas_to_write > 0 && may_write(session, command) && !self.has_good_replicas()
        {
            return Err(Refusal::Fixed("NOREPLICAS Not enough good replicas to write."));
        }
        if self.role == Role::Replica && self.shown_role() == Role::Replica {
            self.admit_on_replica(session, command)?;
        }
        if self.loading.is_some() && !flags.contains(Flags::LOADING) {
            return Err(Refusal::Fixed("LOADING Redis is loading the dataset in memory"));
        }
        Ok(command)
    }

    /// Evicts what must go first. A command that may take memory is refused when nothing more can go, and so is
    /// whatever would be queued.
    #[cold]
    fn admit_to_memory(&mut self, session: &Session, command: &Command) -> Result<(), Refusal> {
        if self.make_room() != Room::Exhausted {
            return Ok(());
        }
        let is_refused = match &session.transaction {
            Some(transaction) if command.name == "exec" => transaction.denies_oom,
            Some(_) => !command.flags.contains(Flags::NO_QUEUE) && command.name != "unwatch",
            None => command.flags.contains(Flags::DENYOOM),
        };
        if is_refused {
            return Err(Refusal::Fixed("OOM command not allowed when used memory > 'maxmemory'."));
        }
        Ok(())
    }

    /// Whether as many replicas are near as `min-replicas-to-write` asks for; a replica asks for none.
    fn has_good_replicas(&self) -> bool {
        self.role == Role::Replica
            || self.good_replicas().is_none_or(|good| good >= self.settings.min_replicas_to_write)
    }

    /// How many replicas are near enough for `min-replicas-max-lag`; `None` where nobody asks for any.
    pub(crate) fn good_replicas(&self) -> Option<usize> {
        let lag_max = self.settings.min_replicas_max_lag_seconds;
        if self.settings.min_replicas_to_write == 0 || lag_max == 0 {
            return None;
        }
        let lag_max_millis = i64::try_from(lag_max.saturating_mul(1000)).unwrap_or(i64::MAX);
        let is_good = |replica: &&ReplicaStatus| {
            replica.state == "online" && self.now.get() - replica.acked_at.get() <= lag_max_millis
        };
        Some(self.status.replicas.iter().filter(is_good).count())
    }

    /// While the log cannot be written, nothing is written; PING tells monitors.
    #[cold]
    fn admit_without_log(&self, session: &Session, command: &Command) -> Result<(), Refusal> {
        match self.log_refusal() {
            Some(text) if may_write(session, command) || is_probe(session, command) => {
                Err(Refusal::text(text))
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn admit_protected(&self, session: &Session, command: &Command) -> Result<(), Refusal> {
        let name = table::full_name(command);
        let name = name.split_once('|').map_or(name, |(container, _)| container);
        let allowed = match self.settings.get(&format!("enable-{name}-command")).as_deref() {
            Some("yes") => true,
            Some("local") => session.is_local(),
            _ => false,
        };
        if allowed {
            return Ok(());
        }
        Err(Refusal::text(format!(
            "ERR {} command not allowed. If the enable-{name}-command option is set to \"local\", you can run it from a \
             local connection, otherwise you need to set this option in the configuration file, and then restart the \
             server.",
            name.to_ascii_uppercase()
        )))
    }

    fn admit_on_replica(&self, session: &Session, command: &Command) -> Result<(), Refusal> {
        if self.settings.replica_read_only && may_write(session, command) {
            return Err(Refusal::Fixed("READONLY You can't write against a read only replica."));
        }
        let is_linked = self.status.upstream.as_ref().is_none_or(|upstream| upstream.state == "connected");
        if !is_linked && !self.settings.replica_serve_stale_data && !command.flags.contains(Flags::STALE) {
            return Err(Refusal::Fixed(
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ));
        }
        Ok(())
    }

    /// Replies with a refusal. A transaction that was begun is lost with it, and EXEC itself says so at once.
    #[cold]
    fn refuse(&mut self, session: &mut Session, request: Request<'_>, refusal: &Refusal) {
        if request.args[0].eq_ignore_ascii_case(b"post") || request.args[0].eq_ignore_ascii_case(b"host:") {
            session.closing = true;
            self.ask(Effect::RefuseHttp { client: session.id });
            return;
        }
        let is_exec = request.args[0].eq_ignore_ascii_case(b"exec");
        let text = refusal.reply();
        let replied = session.out.len();
        if is_exec {
            self.end_transaction(session);
            let mut whole = b"EXECABORT Transaction discarded because of: ".to_vec();
            whole.extend_from_slice(
                text.strip_prefix(b"ERR ").filter(|_| refusal.is_format()).unwrap_or(&text),
            );
            reply_error(session, &whole);
        } else {
            if let Some(transaction) = &mut session.transaction {
                transaction.failed = true;
            }
            reply_error(session, &text);
        }
        self.stats.count_error(&session.out[replied..]);
        // An unknown command is nobody's.
        if let Ok(command) = find(request) {
            self.count_rejected(command);
        }
    }
}

/// A client that expects messages and speaks RESP2 could not tell them from other replies; and one that monitors is a kind
/// of replica to Redis.
#[cold]
fn admit_listener(session: &Session, command: &'static Command) -> Result<(), Refusal> {
    if session.subscriptions.is_some()
        && session.version == RespVersion::Two
        && !command.replies_by_push()
        && !matches!(command.name, "ping" | "quit" | "reset")
    {
        return Err(Refusal::text(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            table::full_name(command)
        )));
    }
    let touches_data = Flags::WRITE | Flags::READONLY | Flags::MAY_REPLICATE;
    if session.is_monitor && command.flags.intersects(touches_data) {
        return Err(Refusal::text("ERR Replica can't interact with the keyspace".to_owned()));
    }
    Ok(())
}

/// The row that executes a request: a subcommand's own, where there are any.
#[inline]
pub(crate) fn find(request: Request<'_>) -> Result<&'static Command, Refusal> {
    let Some(command) = request.command.or_else(|| table::lookup(request.args[0])) else {
        return Err(Refusal::unknown_command(request.args));
    };
    if command.subcommands.is_empty() || request.args.len() < 2 {
        return Ok(command);
    }
    table::subcommand(command, request.args[1])
        .ok_or_else(|| Refusal::unknown_subcommand(command, request.args[1]))
}

/// A PING by which somebody looks whether all is well: it is told of a disk that takes no writes. A replica's handshake
/// begins with PING, too, and who comes back is not to be kept away: the first command of a connection passes.
fn is_probe(session: &Session, command: &Command) -> bool {
    command.name == "ping" && session.last_command.is_some()
}

/// Whether executing `command` now may change data: EXEC does what was queued.
#[inline]
pub(crate) fn may_write(session: &Session, command: &Command) -> bool {
    command.is_write()
        || (command.name == "exec"
            && session.transaction.as_ref().is_some_and(|transaction| transaction.writes))
}

/// Whether executing `command` now may make the log longer.
#[inline]
pub(crate) fn may_log(session: &Session, command: &Command) -> bool {
    may_write(session, command)
        || command.flags.contains(Flags::MAY_REPLICATE)
        || (command.name == "exec"
            && session.transaction.as_ref().is_some_and(|transaction| transaction.publishes))
}

/// Why a request is not executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A text of ours.
    Fixed(&'static str),
    /// A text that repeats what the client sent, byte by byte.
    Format(Vec<u8>),
}

impl Refusal {
    fn text(text: String) -> Self {
        Self::Format(text.into_bytes())
    }

    #[cold]
    fn unknown_command(args: &[&[u8]]) -> Self {
        let mut text = b"ERR unknown command '".to_vec();
        text.extend_from_slice(echoed(args[0], ECHOED_BYTES_MAX));
        text.extend_from_slice(b"', with args beginning with: ");
        let begin = text.len();
        for arg in &args[1..] {
            let told = text.len() - begin;
            if told >= ECHOED_BYTES_MAX {
                break;
            }
            text.push(b'\'');
            text.extend_from_slice(echoed(arg, ECHOED_BYTES_MAX - told));
            text.extend_from_slice(b"' ");
        }
        Self::Format(text)
    }

    #[cold]
    fn unknown_subcommand(container: &Command, name: &[u8]) -> Self {
        let mut text = b"ERR unknown subcommand '".to_vec();
        text.extend_from_slice(echoed(name, ECHOED_BYTES_MAX));
        text.extend_from_slice(format!("'. Try {} HELP.", container.name.to_ascii_uppercase()).as_bytes());
        Self::Format(text)
    }

    /// Redis puts its prefix before these only where they are a reply of their own, not inside EXECABORT.
    fn is_format(&self) -> bool {
        matches!(self, Self::Format(_))
    }

    fn reply(&self) -> Vec<u8> {
        match self {
            Self::Fixed(text) => text.as_bytes().to_vec(),
            Self::Format(text) => text.clone(),
        }
    }

    /// The text for logs.
    pub(crate) fn describe(&self) -> Failure {
        Failure::text(String::from_utf8_lossy(&self.reply()).into_owned())
    }
}

/// What an error repeats of an argument: C's idea of a string, and not all of a long one.
pub(crate) fn echoed(bytes: &[u8], max: usize) -> &[u8] {
    let end = bytes.iter().take(max).position(|&byte| byte == 0).unwrap_or(bytes.len().min(max));
    &bytes[..end]
}

/// An error reply out of bytes that need not be text; line breaks become spaces.
pub(crate) fn reply_error(session: &mut Session, text: &[u8]) {
    session.out.push(b'-');
    session.out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    session.out.extend_from_slice(b"\r\n");
}

/// CLIENT REPLY: takes back the reply of a command that was not to have one.
#[cold]
fn mute(session: &mut Session, replied: usize) {
    match session.reply_mode {
        ReplyMode::Off => session.out.truncate(replied),
        // The reply that is not wanted is still to come.
        ReplyMode::Skipping if session.waiting.is_some() => {}
        ReplyMode::Skipping => {
            session.out.truncate(replied);
            session.reply_mode = ReplyMode::On;
        }
        // CLIENT REPLY was just used.
        ReplyMode::On | ReplyMode::SkipNext => {}
    }
}

/// Closes a client's connection behind the replies it has.
pub(crate) fn close_after_reply(engine: &mut Engine, session: &mut Session) {
    session.closing = true;
    engine.ask(Effect::CloseClient { client: session.id, after_reply: true });
}
