//! CLIENT and its subcommands.

mod kill;
mod list;

mod pause;

use rejoin_protocol::{ClientId, number::parse_i64};

use crate::{
    Call, Command, Failure, Flags, Session, blocking::Unblock, node::reply_help, session::ReplyMode,
};
pub(crate) use list::{describe, memory};

const OWN: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = OWN.union(Flags::ADMIN);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] =
    &[row("client", -2, Flags::empty(), "2.4.0", "Commands on client connections.", help)
        .with_subcommands(SUBCOMMANDS)];

const SUBCOMMANDS: &[Command] = &[
    row("getname", 2, OWN, "2.6.9", "Tells the connection's name.", getname),
    row(
        "getredir",
        2,
        OWN,
        "6.0.0",
        "Tells to whom invalidations of tracked keys are sent: to nobody.",
        getredir,
    ),
    row("help", 2, Flags::LOADING.union(Flags::STALE), "5.0.0", "Lists the subcommands.", help),
    row("id", 2, OWN, "5.0.0", "Tells the connection's id.", id),
    row("info", 2, OWN, "6.2.0", "Describes the connection.", info),
    row("kill", -3, ADMIN, "2.4.0", "Closes connections.", kill::kill),
    row("list", -2, ADMIN, "2.4.0", "Describes all connections.", list),
    row("no-evict", 3, ADMIN, "7.0.0", "Protects the connection from being dropped for memory.", no_evict),
    row("no-touch", 3, OWN, "7.2.0", "Makes reads leave the keys' access clocks alone.", no_touch),
    row("pause", -3, ADMIN, "2.9.50", "Lets no client's requests through for a while.", pause::pause),
    row("reply", 3, OWN, "3.2.0", "Chooses which replies the connection gets.", reply_mode),
    row("setinfo", 4, OWN, "7.2.0", "Names the client's library.", setinfo),
    row("setname", 3, OWN, "2.6.9", "Names the connection.", setname),
    row("unblock", -3, ADMIN, "5.0.0", "Ends the wait of another connection.", unblock),
    row("unpause", 2, ADMIN, "6.2.0", "Ends a pause.", pause::unpause),
];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    handler: crate::Handler,
) -> Command {
    Command::new(name, arity, flags, "connection", since, summary, handler)
}

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "CLIENT",
        &[
            "GETREDIR",
            "Return the client ID that invalidations are sent to (-1: none).",
            "GETNAME",
            "Return the name of this connection.",
            "ID",
            "Return the ID of this connection.",
            "INFO",
            "Return information about this connection.",
            "KILL <ip:port>",
            "Close the connection made from this address.",
            "KILL <option> <value> [<option> <value> [...]]",
            "Close connections by ID, TYPE, ADDR, LADDR, USER, MAXAGE; SKIPME (YES|NO) spares this one.",
            "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> ...]",
            "Return information about client connections.",
            "NO-EVICT (ON|OFF)",
            "Protect this connection from eviction.",
            "NO-TOUCH (ON|OFF)",
            "Leave access clocks alone when this connection reads.",
            "PAUSE <timeout> [WRITE|ALL]",
            "Suspend all clients, or just writes, for <timeout> milliseconds.",
            "REPLY (ON|OFF|SKIP)",
            "Choose which replies this connection gets.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "Tell the name or version of the client library.",
            "SETNAME <name>",
            "Name this connection.",
            "UNBLOCK <clientid> [TIMEOUT|ERROR]",
            "End the wait of a connection, as if its time were up or with an error.",
            "UNPAUSE",
            "End the current pause.",
        ],
    );
    Ok(())
}

/// `CLIENT UNBLOCK id [TIMEOUT | ERROR]`
fn unblock(call: &mut Call<'_>) -> Result<(), Failure> {
    let how = match &call.args[3..] {
        [] => Unblock::Timeout,
        [how] if how.eq_ignore_ascii_case(b"timeout") => Unblock::Timeout,
        [how] if how.eq_ignore_ascii_case(b"error") => Unblock::Asked,
        [_] => return Err(Failure::text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => {
            return Err(Failure::repeating(
                "ERR unknown subcommand or wrong number of arguments for '",
                call.args[1],
                "'. Try CLIENT HELP.",
            ));
        }
    };
    let id = parse_i64(call.args[2]).ok_or(Failure::NotAnInteger)?;
    let client = u64::try_from(id).ok().map(ClientId::new);
    let was_waiting = client.is_some_and(|client| {
        let was_waiting = call.engine.unblock(client, how);
        if was_waiting {
            call.engine.wake_client(client);
        }
        was_waiting
    });
    call.reply().integer(i64::from(was_waiting));
    Ok(())
}

fn id(call: &mut Call<'_>) -> Result<(), Failure> {
    let id = call.session.id.get() as i64;
    call.reply().integer(id);
    Ok(())
}

fn getname(call: &mut Call<'_>) -> Result<(), Failure> {
    let name = call.session.name.clone();
    if name.is_empty() {
        call.reply().null();
    } else {
        call.reply().bulk(&name);
    }
    Ok(())
}

fn setname(call: &mut Call<'_>) -> Result<(), Failure> {
    set_name(call.session, call.args[2])?;
    call.reply().ok();
    Ok(())
}

fn setinfo(call: &mut Call<'_>) -> Result<(), Failure> {
    let (option, value) = (call.args[2], call.args[3]);
    let option = option.to_ascii_lowercase();
    let field = match option.as_slice() {
        b"lib-name" => &mut call.session.lib_name,
        b"lib-ver" => &mut call.session.lib_ver,
        _ => {
            return Err(Failure::repeating("ERR Unrecognized option '", call.args[2], "'"));
        }
    };
    if !is_plain(value) {
        return Err(Failure::text(format!(
            "ERR {} cannot contain spaces, newlines or special characters.",
            String::from_utf8_lossy(&option)
        )));
    }
    *field = value.into();
    call.reply().ok();
    Ok(())
}

/// Names a session; an empty name takes its name away.
pub(crate) fn set_name(session: &mut Session, name: &[u8]) -> Result<(), Failure> {
    check_name(name)?;
    session.name = name.into();
    Ok(())
}

pub(crate) fn check_name(name: &[u8]) -> Result<(), Failure> {
    if is_plain(name) {
        return Ok(());
    }
    Err(Failure::text("ERR Client names cannot contain spaces, newlines or special characters."))
}

/// CLIENT LIST separates its fields by spaces: values must be printable without one.
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn getredir(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().integer(-1);
    Ok(())
}

fn no_evict(call: &mut Call<'_>) -> Result<(), Failure> {
    call.session.no_evict = on_or_off(call.args[2])?;
    call.reply().ok();
    Ok(())
}

fn no_touch(call: &mut Call<'_>) -> Result<(), Failure> {
    call.session.no_touch = on_or_off(call.args[2])?;
    call.reply().ok();
    Ok(())
}

fn on_or_off(arg: &[u8]) -> Result<bool, Failure> {
    match arg.to_ascii_lowercase().as_slice() {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(Failure::Syntax),
    }
}

/// CLIENT REPLY ON|OFF|SKIP; only ON is answered. What follows from the mode is done by dispatch.
fn reply_mode(call: &mut Call<'_>) -> Result<(), Failure> {
    match call.args[2].to_ascii_lowercase().as_slice() {
        b"on" => {
            call.session.reply_mode = ReplyMode::On;
            call.reply().ok();
        }
        b"off" => call.session.reply_mode = ReplyMode::Off,
        b"skip" => {
            if call.session.reply_mode != ReplyMode::Off {
                call.session.reply_mode = ReplyMode::SkipNext;
            }
        }
        _ => return Err(Failure::Syntax),
    }
    Ok(())
}

fn info(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut text = Vec::new();
    list::describe(call.engine, call.session, &mut text);
    text.push(b'\n');
    call.reply().verbatim(&text);
    Ok(())
}

/// CLIENT LIST [TYPE type] [ID id ...], by id.
fn list(call: &mut Call<'_>) -> Result<(), Failure> {
    let mut wanted_kind = None;
    let mut wanted_ids: Option<Vec<ClientId>> = None;
    match call.args[2..] {
        [] => {}
        [option, kind] if option.eq_ignore_ascii_case(b"type") => {
            wanted_kind = Some(list::ClientKind::parse(kind)?)
        }
        [option, ref ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids: Option<Vec<ClientId>> = ids.iter().map(|id| parse_id(id)).collect();
            wanted_ids = Some(ids.ok_or(Failure::text("ERR Invalid client ID"))?);
        }
        _ => return Err(Failure::Syntax),
    }
    let mut sessions: Vec<&Session> =
        call.engine.sessions.iter().chain(std::iter::once(&*call.session)).collect();
    sessions.retain(|session| call.engine.is_shown(session));
    sessions.retain(|session| wanted_kind.is_none_or(|kind| list::ClientKind::of(session) == kind));
    sessions.retain(|session| wanted_ids.as_ref().is_none_or(|ids| ids.contains(&session.id)));
    sessions.sort_unstable_by_key(|session| session.id);
    let mut text = Vec::new();
    for session in sessions {
        list::describe(call.engine, session, &mut text);
        text.push(b'\n');
    }
    call.reply().verbatim(&text);
    Ok(())
}

fn parse_id(text: &[u8]) -> Option<ClientId> {
    parse_i64(text).and_then(|id| u64::try_from(id).ok()).map(ClientId::new)
}
