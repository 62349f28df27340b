//! Commands on the connection itself: PING, ECHO, SELECT, QUIT, RESET, HELLO, AUTH.

use rejoin_protocol::{DbIndex, number::parse_i64, resp::RespVersion};

use crate::{
    Call, Command, Failure, Flags, Role, Session,
    data::arguments::database,
    dispatch::close_after_reply,
    session::ReplyMode,
    session::client::{check_name, set_name},
};

/// The version of Redis that clients are told: what they may expect of us.
pub(crate) const REDIS_VERSION: &str = "7.2.4";

const BEFORE_AUTH: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::FAST).union(Flags::NO_AUTH);
const ANYTIME: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[
    Command::new("ping", -1, Flags::FAST, "connection", "1.0.0", "Answers that the node is there.", ping),
    Command::new("echo", 2, ANYTIME, "connection", "1.0.0", "Answers what it was told.", echo),
    Command::new("select", 2, ANYTIME, "connection", "1.0.0", "Selects the database to work on.", select),
    Command::new(
        "quit",
        -1,
        BEFORE_AUTH.union(Flags::NO_QUEUE),
        "connection",
        "1.0.0",
        "Closes the connection.",
        quit,
    ),
    Command::new(
        "reset",
        1,
        BEFORE_AUTH.union(Flags::NO_QUEUE),
        "connection",
        "6.2.0",
        "Puts the connection back to how it began.",
        reset,
    ),
    Command::new(
        "hello",
        -1,
        BEFORE_AUTH,
        "connection",
        "6.0.0",
        "Shakes hands and chooses the protocol.",
        hello,
    ),
    Command::new("auth", -2, BEFORE_AUTH, "connection", "1.0.0", "Authenticates the connection.", auth),
];

fn ping(call: &mut Call<'_>) -> Result<(), Failure> {
    if call.session.subscriptions.is_some() && call.session.version == RespVersion::Two {
        return ping_between_messages(call);
    }
    match call.args {
        [_] => call.reply().simple("PONG"),
        [_, message] => call.reply().bulk(message),
        _ => return Err(Failure::WrongArity("ping".to_owned())),
    }
    Ok(())
}

/// To a client that expects messages, the answer looks like one.
fn ping_between_messages(call: &mut Call<'_>) -> Result<(), Failure> {
    let message = match call.args {
        [_] => &[][..],
        [_, message] => message,
        _ => return Err(Failure::WrongArity("ping".to_owned())),
    };
    let mut reply = call.reply();
    reply.array(2);
    reply.bulk(b"pong");
    reply.bulk(message);
    Ok(())
}

fn echo(call: &mut Call<'_>) -> Result<(), Failure> {
    let message = call.args[1];
    call.reply().bulk(message);
    Ok(())
}

fn select(call: &mut Call<'_>) -> Result<(), Failure> {
    call.session.db = database(call, call.args[1])?;
    call.reply().ok();
    Ok(())
}

fn quit(call: &mut Call<'_>) -> Result<(), Failure> {
    call.reply().ok();
    close_after_reply(call.engine, call.session);
    Ok(())
}

fn reset(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.end_transaction(call.session);
    call.engine.stop_listening(call.session);
    let needs_password = !call.engine.settings.requirepass.is_empty();
    let session = &mut *call.session;
    session.db = DbIndex::default();
    session.version = RespVersion::Two;
    session.reply_mode = ReplyMode::On;
    session.name = Box::default();
    session.no_evict = false;
    session.no_touch = false;
    session.authenticated = !needs_password;
    session.reply().simple("RESET");
    Ok(())
}

/// HELLO [protover [AUTH user password] [SETNAME name]]. Nothing changes unless all of it is accepted.
fn hello(call: &mut Call<'_>) -> Result<(), Failure> {
    let args = call.args;
    let version = args.get(1).map(|version| parse_version(version)).transpose()?;
    let mut credentials = None;
    let mut name = None;
    let mut rest = args.get(2..).unwrap_or_default();
    while let Some(option) = rest.first() {
        rest = match rest {
            [_, user, password, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                credentials = Some((*user, *password));
                rest
            }
            [_, value, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                check_name(value)?;
                name = Some(*value);
                rest
            }
            _ => {
                return Err(Failure::repeating("ERR Syntax error in HELLO option '", option, "'"));
            }
        };
    }
    if let Some((user, password)) = credentials {
        authenticate(call, user, password)?;
    }
    if !call.session.authenticated && !call.engine.settings.requirepass.is_empty() {
        return Err(Failure::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> \
             <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        set_name(call.session, name)?;
    }
    if let Some(version) = version {
        call.session.version = version;
    }
    let is_replica = call.engine.role == Role::Replica;
    reply_hello(call.session, is_replica);
    Ok(())
}

fn parse_version(text: &[u8]) -> Result<RespVersion, Failure> {
    match parse_i64(text) {
        Some(2) => Ok(RespVersion::Two),
        Some(3) => Ok(RespVersion::Three),
        Some(_) => Err(Failure::text("NOPROTO unsupported protocol version")),
        None => Err(Failure::text("ERR Protocol version is not an integer or out of range")),
    }
}

fn reply_hello(session: &mut Session, is_replica: bool) {
    let id = session.id;
    let mut reply = session.reply();
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(if reply.version() == RespVersion::Three { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id.get() as i64);
    for (field, value) in [("mode", "standalone"), ("role", if is_replica { "replica" } else { "master" })] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

/// AUTH [user] password.
fn auth(call: &mut Call<'_>) -> Result<(), Failure> {
    match call.args {
        [_, password] => {
            if call.engine.settings.requirepass.is_empty() {
                return Err(Failure::text(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure \
                     your configuration is correct?",
                ));
            }
            authenticate(call, b"default", password)?;
        }
        [_, user, password] => authenticate(call, user, password)?,
        _ => return Err(Failure::Syntax),
    }
    call.reply().ok();
    Ok(())
}

/// There is one user, `default`; without a password of its own it takes any.
fn authenticate(call: &mut Call<'_>, user: &[u8], password: &[u8]) -> Result<(), Failure> {
    let expected = call.engine.settings.requirepass.as_bytes();
    if user != b"default" || !(expected.is_empty() || is_same_secret(expected, password)) {
        return Err(Failure::text("WRONGPASS invalid username-password pair or user is disabled."));
    }
    call.session.authenticated = true;
    Ok(())
}

/// Compares without telling by its time how much was right.
fn is_same_secret(expected: &[u8], given: &[u8]) -> bool {
    let differences = expected.iter().enumerate().fold(0, |differences, (index, byte)| {
        differences | (byte ^ given.get(index).copied().unwrap_or(!byte))
    });
    differences == 0 && expected.len() == given.len()
}
