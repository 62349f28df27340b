//! The master's stream: every request is executed as it comes, without checks and without replies, and the first that
//! cannot be applied is named instead of being skipped.
//!
//! Nothing is logged here: the master's bytes are the log, and the shard appends them as they are. Only the log's
//! offset moves along, so that writes are stamped with their own position.

use rejoin_protocol::{ByteCount, ClientId, resp::RequestError};
use thiserror::Error;

use crate::{
    Command, Effect, Engine, Failure, Request, Session,
    dispatch::{Refusal, find},
    table,
};

/// A command of the master's stream that cannot be applied: from here on this node would differ from its master.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("cannot apply '{command}': {failure}")]
pub struct ApplyError {
    /// The command's name, as the master sent it (inside MULTI: the one that failed).
    pub command: String,
    /// Why not.
    pub failure: Failure,
}

impl Engine {
    /// Applies one request of the master's stream; `client` is the session of kind [`crate::SessionKind::Master`].
    /// Afterwards [`Engine::log`] stands behind the request's bytes (`raw`), whatever came of it.
    ///
    /// A transaction is held back until its EXEC and then applied at once. After an error nothing further may be
    /// applied: the offset before this request (or before its MULTI) is the last that was wholly applied.
    pub fn apply(&mut self, client: ClientId, request: Request<'_>) -> Result<(), ApplyError> {
        let Some(slot) = self.sessions.slot_of(client) else { return Err(no_session()) };
        let Some(mut session) = self.sessions.take(slot, client) else { return Err(no_session()) };
        session.last_active = self.now;
        self.begin_timing();
        let outcome = self.apply_request(&mut session, request);
        session.out.clear();
        self.sessions.put_back(slot, session);
        self.log.advance(ByteCount::of(request.raw.map_or(0, <[u8]>::len)));
        outcome
    }

    pub(crate) fn apply_request(
        &mut self,
        session: &mut Session,
        request: Request<'_>,
    ) -> Result<(), ApplyError> {
        if request.args[0].eq_ignore_ascii_case(b"function") && session.transaction.is_none() {
            let applied = self.apply_function(request.args);
            return applied.map_err(|failure| ApplyError { command: "function".to_owned(), failure });
        }
        let command = match find(request) {
            Ok(command) => command,
            Err(refusal) => return Err(refused(request, &refusal)),
        };
        if !command.accepts(request.args.len()) {
            let name = table::full_name(command);
            return Err(failed(command, Failure::WrongArity(name.to_owned())));
        }
        session.last_command = Some(command);
        match command.name {
            "exec" => return self.apply_transaction(session, command),
            "replconf" => {
                if request.args.get(1).is_some_and(|option| option.eq_ignore_ascii_case(b"getack")) {
                    // Inside MULTI the last border stands before it: what is held back is not ours yet.
                    let begun = session.transaction.as_ref().map(|transaction| transaction.begun_at);
                    self.ask(Effect::AckMaster { offset: begun.unwrap_or(self.log.offset()) });
                }
                return Ok(());
            }
            "multi" | "discard" => {}
            _ if session.transaction.is_some() => {
                self.queue(session, command, request);
                session.out.clear();
                return Ok(());
            }
            _ => {}
        }
        let outcome = self.run(session, command, request);
        self.show_to_monitors(session, command, request.args);
        outcome.map_err(|failure| failed(command, failure))
    }

    fn apply_transaction(&mut self, session: &mut Session, exec: &'static Command) -> Result<(), ApplyError> {
        let Some(transaction) = self.end_transaction(session) else {
            return Err(failed(exec, Failure::text("ERR EXEC without MULTI")));
        };
        let outcome = self.run_queued(session, &transaction.queued);
        self.show_to_monitors(session, exec, &[b"EXEC"]);
        outcome.map_err(|(command, failure)| failed(command, failure))
    }
}

fn failed(command: &'static Command, failure: Failure) -> ApplyError {
    ApplyError { command: table::full_name(command).to_owned(), failure }
}

fn refused(request: Request<'_>, refusal: &Refusal) -> ApplyError {
    ApplyError { command: String::from_utf8_lossy(request.args[0]).into_owned(), failure: refusal.describe() }
}

pub(crate) fn no_session() -> ApplyError {
    ApplyError { command: String::new(), failure: Failure::text("ERR the master's session is not there") }
}

pub(crate) fn garbled(error: &RequestError) -> ApplyError {
    ApplyError { command: String::new(), failure: Failure::text(format!("ERR {error}")) }
}
