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

/// Executes one command and returns its reply as RESP, and what it asked of the world outside.
pub(crate) fn in_process(shard: &mut Shard, args: &[Vec<u8>]) -> (Vec<u8>, Vec<Effect>) {
    if args.is_empty() {
        return (b"-ERR empty command\r\n".to_vec(), Vec::new());
    }
    shard.set_clock();
    let slices: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let request = Request { args: &slices, raw: None, command: None, first_key_hash: None };
    shard.engine.execute(IN_PROCESS_SESSION, request);
    shard.publish_log();
    shard.wake_woken();
    let session = shard.engine.sessions.get_mut(IN_PROCESS_SESSION);
    let reply = session.map(|session| std::mem::take(&mut session.out)).unwrap_or_default();
    (reply, std::mem::take(&mut shard.engine.effects))
}
