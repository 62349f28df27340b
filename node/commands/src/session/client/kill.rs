//! CLIENT KILL, in its old form (one address) and its new one (filters).

use rejoin_protocol::{ClientId, number::parse_i64};

use super::list::ClientKind;
use crate::{Call, Effect, Failure, Session, SessionKind};

/// Which clients are meant; all that is given must hold.
#[derive(Debug, Default)]
struct Filter {
    id: Option<ClientId>,
    kind: Option<ClientKind>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    max_age_seconds: Option<i64>,
    spares_self: bool,
}

impl Filter {
    fn parse(args: &[&[u8]]) -> Result<Self, Failure> {
        let mut filter = Self { spares_self: true, ..Self::default() };
        for pair in args.chunks(2) {
            let [option, value] = *pair else { return Err(Failure::Syntax) };
            match option.to_ascii_lowercase().as_slice() {
                b"id" => {
                    let id = parse_i64(value).filter(|&id| id > 0).and_then(|id| u64::try_from(id).ok());
                    let id = id.ok_or(Failure::text("ERR client-id should be greater than 0"))?;
                    filter.id = Some(ClientId::new(id));
                }
                b"type" => filter.kind = Some(ClientKind::parse(value)?),
                b"addr" => filter.addr = Some(value.to_vec()),
                b"laddr" => filter.laddr = Some(value.to_vec()),
                b"user" if value == b"default" => {}
                b"user" => {
                    return Err(Failure::repeating("ERR No such user '", value, "'"));
                }
                b"maxage" => {
                    let age = parse_i64(value)
                        .ok_or(Failure::text("ERR maxage is not an integer or out of range"))?;
                    if age <= 0 {
                        return Err(Failure::text("ERR maxage should be greater than 0"));
                    }
                    filter.max_age_seconds = Some(age);
                }
                b"skipme" => match value.to_ascii_lowercase().as_slice() {
                    b"yes" => filter.spares_self = true,
                    b"no" => filter.spares_self = false,
                    _ => return Err(Failure::Syntax),
                },
                _ => return Err(Failure::Syntax),
            }
        }
        Ok(filter)
    }

    fn matches(&self, session: &Session, now: i64) -> bool {
        self.id.is_none_or(|id| id == session.id)
            && self.kind.is_none_or(|kind| kind == ClientKind::of(session))
            && self.addr.as_ref().is_none_or(|addr| addr == session.addr.as_bytes())
            && self.laddr.as_ref().is_none_or(|laddr| laddr == session.laddr.as_bytes())
            && self.max_age_seconds.is_none_or(|age| now.saturating_sub(session.created.get()) / 1000 >= age)
    }
}

/// CLIENT KILL addr | CLIENT KILL filter value ...: the connections are closed after the turn; this one, if it is among
/// them, behind its reply.
pub(super) fn kill(call: &mut Call<'_>) -> Result<(), Failure> {
    let old_form = call.args.len() == 3;
    let filter = if old_form {
        Filter { addr: Some(call.args[2].to_vec()), spares_self: false, ..Filter::default() }
    } else {
        Filter::parse(&call.args[2..])?
    };
    let now = call.now().get();
    let mut killed: i64 = 0;
    let mut effects = Vec::new();
    let meant = |session: &&Session| call.engine.is_shown(session) && filter.matches(session, now);
    let others: Vec<ClientId> = call.engine.sessions.iter().filter(meant).map(|session| session.id).collect();
    for id in others {
        // The master's session outlives its link: closing the link is all that is asked for.
        if let Some(session) = call.engine.sessions.get_mut(id)
            && session.kind == SessionKind::Client
        {
            session.closing = true;
        }
        killed += 1;
        effects.push(Effect::CloseClient { client: id, after_reply: false });
    }
    if filter.kind == Some(ClientKind::Replica) {
        // Replicas have left the shard: their connections are the master's.
        killed += call.engine.status.replicas.len() as i64;
        effects.push(Effect::CloseReplicas);
    }
    if !filter.spares_self && call.engine.is_shown(call.session) && filter.matches(call.session, now) {
        call.session.closing = true;
        killed += 1;
        effects.push(Effect::CloseClient { client: call.session.id, after_reply: true });
    }
    for effect in effects {
        call.engine.ask(effect);
    }
    match (old_form, killed) {
        (false, _) => call.reply().integer(killed),
        (true, 0) => return Err(Failure::text("ERR No such client")),
        (true, _) => call.reply().ok(),
    }
    Ok(())
}
