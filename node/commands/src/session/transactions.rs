//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.
//!
//! A transaction's commands run as one unit of the log: what they log becomes visible together, and is wrapped in
//! MULTI and EXEC when it is more than one operation.

use smallvec::SmallVec;

use crate::{
    Call, Command, Effect, Engine, Failure, Flags, KeySpec, Request, Session,
    session::{QueuedCommand, Transaction},
};

const COMMON: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const AT_ONCE: Flags = COMMON.union(Flags::FAST).union(Flags::NO_QUEUE);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new("multi", 1, AT_ONCE, "transactions", "1.2.0", "Begins a transaction.", multi),
    Command::new(
        "exec",
        1,
        COMMON.union(Flags::NO_QUEUE).union(Flags::SKIP_SLOWLOG),
        "transactions",
        "1.2.0",
        "Executes all commands of a transaction.",
        exec,
    ),
    Command::new("discard", 1, AT_ONCE, "transactions", "2.0.0", "Drops a transaction.", discard),
    Command::new(
        "watch",
        -2,
        AT_ONCE,
        "transactions",
        "2.2.0",
        "Makes the next transaction depend on keys staying as they are.",
        watch,
    )
    .with_keys(KeySpec::ALL),
    Command::new(
        "unwatch",
        1,
        AT_ONCE.difference(Flags::NO_QUEUE),
        "transactions",
        "2.2.0",
        "Forgets all watched keys.",
        unwatch,
    ),
];

fn multi(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.session.transaction.is_some() {
        return Err(Failure::text("ERR MULTI calls can not be nested"));
    }
    let begun_at = call.engine.log.offset();
    call.session.transaction = Some(Box::new(Transaction { begun_at, ..Transaction::default() }));
    call.reply().ok();
    Ok(())
}

fn discard(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.session.transaction.is_none() {
        return Err(Failure::text("ERR DISCARD without MULTI"));
    }
    call.engine.end_transaction(call.session);
    call.reply().ok();
    Ok(())
}

fn watch(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.session.transaction.is_some() {
        return Err(Failure::text("ERR WATCH inside MULTI is not allowed"));
    }
    let db = call.db_index();
    let args = call.args;
    for bytes in &args[1..] {
        // A key that is expired already counts as missing: it is removed now, so that its removal later is no change.
        let key = call.engine.keyspace.key(bytes);
        call.expire_if_due(db, key);
        if call.session.watching.iter().any(|(other, watched)| *other == db && **watched == **bytes) {
            continue;
        }
        call.engine.watches.watch(call.session.id, db, bytes);
        call.session.watching.push((db, Box::from(*bytes)));
    }
    call.reply().ok();
    Ok(())
}

fn unwatch(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.forget_watches(call.session);
    call.reply().ok();
    Ok(())
}

fn exec(call: &mut Call<'_>) -> Result<(), Failure> {
    let Some(transaction) = &call.session.transaction else {
        return Err(Failure::text("ERR EXEC without MULTI"));
    };
    if transaction.failed {
        call.engine.end_transaction(call.session);
        return Err(Failure::text("EXECABORT Transaction discarded because of previous errors."));
    }
    if call.engine.is_watch_broken(call.session) {
        call.engine.end_transaction(call.session);
        call.reply().null_array();
        return Ok(());
    }
    let transaction = call.engine.end_transaction(call.session);
    let queued = transaction.map(|transaction| transaction.queued).unwrap_or_default();
    call.reply().array(queued.len());
    // Failures stand in the replies; only the master's stream must stop at them, and that asks the engine itself.
    let _ = call.engine.run_queued(call.session, &queued);
    Ok(())
}

impl Engine {
    /// Adds a command to the transaction of `session`, which has one. A transaction that outgrows
    /// `client-query-buffer-limit` costs its client the connection.
    pub(crate) fn queue(&mut self, session: &mut Session, command: &'static Command, request: Request<'_>) {
        let Some(transaction) = &mut session.transaction else { return };
        transaction.bytes += request.args.iter().map(|arg| arg.len() as u64 + 32).sum::<u64>();
        if transaction.bytes > self.settings.client_query_buffer_bytes_max {
            session.closing = true;
            self.ask(Effect::CloseClient { client: session.id, after_reply: false });
            return;
        }
        transaction.writes |= command.is_write();
        transaction.publishes |= command.flags.contains(Flags::MAY_REPLICATE);
        transaction.denies_oom |= command.flags.contains(Flags::DENYOOM);
        let args = request.args.iter().map(|arg| Box::from(*arg)).collect();
        transaction.queued.push(QueuedCommand { command, args });
        session.reply().simple("QUEUED");
    }

    /// Executes queued commands in the running unit. Returns the first failure with its command.
    pub(crate) fn run_queued(
        &mut self,
        session: &mut Session,
        queued: &[QueuedCommand],
    ) -> Result<(), (&'static Command, Failure)> {
        let mut first = Ok(());
        let could_not_wait = std::mem::replace(&mut self.must_not_wait, true);
        self.in_exec = true;
        for QueuedCommand { command, args } in queued {
            let args: SmallVec<[&[u8]; 8]> = args.iter().map(|arg| &**arg).collect();
            let request = Request { args: &args, raw: None, command: Some(command), first_key_hash: None };
            if let Err(failure) = self.run(session, command, request)
                && first.is_ok()
            {
                first = Err((*command, failure));
            }
            self.show_to_monitors(session, command, &args);
        }
        self.must_not_wait = could_not_wait;
        self.in_exec = false;
        first
    }

    /// Takes the transaction and forgets what was watched for it.
    pub(crate) fn end_transaction(&mut self, session: &mut Session) -> Option<Box<Transaction>> {
        self.forget_watches(session);
        session.transaction.take()
    }

    /// Forgets what a session watches.
    pub(crate) fn forget_watches(&mut self, session: &mut Session) {
        if !session.watching.is_empty() {
            self.watches.unwatch(session.id, &session.watching);
            session.watching.clear();
        }
    }

    /// Whether a watched key was changed, or has expired since (which is a change that nobody has carried out yet).
    fn is_watch_broken(&self, session: &Session) -> bool {
        !session.watching.is_empty()
            && (self.watches.is_broken(session.id)
                || session.watching.iter().any(|(db, key)| {
                    let entry = self.keyspace.database(*db).get(self.keyspace.key(key));
                    entry.is_some_and(|entry| entry.expiry().is_some_and(|at| at < self.now))
                }))
    }
}
