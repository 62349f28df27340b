//! Commands from the program that embeds the node, without a connection.

use rejoin_commands::{Effect, Request, Session};
use rejoin_protocol::ClientId;

use crate::shard::{Shard, unix_now};

/// The session of commands from the embedding program.
pub(crate) const IN_PROCESS_SESSION: ClientId = ClientId::new(1);
/// Ids below this are the shard's own.
pub(crate) const FIRST_CLIENT: u64 = 2;

/// The session of commands from the embedding program: it needs no password.
pub(crate) fn in_process_session() -> Session {
    let mut session = Session::new(IN_PROCESS_SESSION, "in-process".to_owned(), String::new(), unix_now());
    session.authenticated = true;
    session
}

/// Executes one command and returns what it asked of the world outside; the reply is to be taken when that is done.
pub(crate) fn in_process(shard: &mut Shard, args: &[Vec<u8>]) -> Vec<Effect> {
    if args.is_empty() {
        let session = shard.engine.sessions.get_mut(IN_PROCESS_SESSION);
        session.into_iter().for_each(|session| session.reply().error("ERR empty command"));
        return Vec::new();
    }
    shard.set_clock();
    let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let request = Request { args: &slices, raw: None, command: None, first_key_hash: None };
    let waiting = shard.engine.log.bytes().len();
    shard.engine.execute(IN_PROCESS_SESSION, request);
    let has_logged = shard.engine.log.bytes().len() > waiting;
    if !shard.publish_log() && has_logged {
        refuse(shard);
    }
    shard.save_after_flush();
    shard.wake_woken();
    std::mem::take(&mut shard.engine.effects)
}

/// What was executed could not be kept yet: the reply says so.
fn refuse(shard: &mut Shard) {
    let refusal = shard.engine.log_refusal().unwrap_or_default();
    if let Some(session) = shard.engine.sessions.get_mut(IN_PROCESS_SESSION) {
        session.out.clear();
        session.reply().error(&refusal);
    }
}

/// What the command was replied, as RESP.
pub(crate) fn take_reply(shard: &mut Shard) -> Vec<u8> {
    let session = shard.engine.sessions.get_mut(IN_PROCESS_SESSION);
    session.map(|session| std::mem::take(&mut session.out)).unwrap_or_default()
}
