//! SET and its relatives: commands that write a whole string, or read one and change its life.

use rejoin_keyspace::{Entry, Key, Value};
use rejoin_protocol::UnixMillis;
use smallvec::SmallVec;

use super::{
    access::{delete, inspect, put_string, read, read_key, reply_string},
    arguments::{decimal, is},
    expiry::{ExpiryTime, TimeKind, decides_expiry},
};
use crate::{Call, Command, Failure, Flags, KeySpec, pubsub::events::EventClasses};

const ROW: Command = Command {
    name: "",
    arity: 0,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    keys: KeySpec::ONE,
    element: 0,
    group: "string",
    since: "1.0.0",
    summary: "",
    handler: set,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "set", arity: -3, summary: "Writes a string, whatever the key held", ..ROW },
    Command {
        name: "setnx",
        arity: 3,
        flags: ROW.flags.union(Flags::FAST),
        summary: "Writes a string if the key is missing",
        handler: setnx,
        ..ROW
    },
    Command {
        name: "setex",
        arity: 4,
        since: "2.0.0",
        summary: "Writes a string that expires after some seconds",
        handler: setex,
        ..ROW
    },
    Command {
        name: "psetex",
        arity: 4,
        since: "2.6.0",
        summary: "Writes a string that expires after some milliseconds",
        handler: psetex,
        ..ROW
    },
    Command {
        name: "getset",
        arity: 3,
        flags: ROW.flags.union(Flags::FAST),
        summary: "Writes a string and answers the one before it",
        handler: getset,
        ..ROW
    },
    Command {
        name: "getdel",
        arity: 2,
        flags: Flags::WRITE.union(Flags::FAST),
        since: "6.2.0",
        summary: "Answers a string and deletes it",
        handler: getdel,
        ..ROW
    },
    Command {
        name: "getex",
        arity: -2,
        flags: Flags::WRITE.union(Flags::FAST),
        since: "6.2.0",
        summary: "Answers a string and sets or clears its expiry",
        handler: getex,
        ..ROW
    },
];

/// When SET writes at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// NX.
    Missing,
    /// XX.
    Present,
}

/// What becomes of the key's expiry. Options of different kinds exclude each other; repeating one is allowed, and the
/// last counts.
#[derive(Clone, Copy, Default)]
enum Life<'a> {
    /// Nothing said: SET clears it, GETEX leaves it.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT, PXAT.
    Until(ExpiryTime<'a>),
}

impl<'a> Life<'a> {
    /// Takes EX, PX, EXAT or PXAT and its argument from the head of `args`; how many arguments it took, 0 if it is
    /// another option.
    fn take_time(&mut self, args: &[&'a [u8]]) -> Result<usize, Failure> {
        let [option, rest @ ..] = args else { return Ok(0) };
        let (Some(kind), [argument, ..]) = (ExpiryTime::kind_of(option), rest) else { return Ok(0) };
        match self {
            Life::Unsaid => {}
            Life::Until(time) if time.kind == kind => {}
            _ => return Err(Failure::Syntax),
        }
        *self = Life::Until(ExpiryTime { kind, argument });
        Ok(2)
    }
}

#[derive(Default)]
struct SetOptions<'a> {
    condition: Option<Condition>,
    answers_old: bool,
    life: Life<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(mut args: &[&'a [u8]]) -> Result<Self, Failure> {
        let mut options = Self::default();
        while let Some(option) = args.first() {
            let mut taken = 1;
            if is(option, "NX") && options.condition != Some(Condition::Present) {
                options.condition = Some(Condition::Missing);
            } else if is(option, "XX") && options.condition != Some(Condition::Missing) {
                options.condition = Some(Condition::Present);
            } else if is(option, "GET") {
                options.answers_old = true;
            } else if is(option, "KEEPTTL") && matches!(options.life, Life::Unsaid | Life::Keep) {
                options.life = Life::Keep;
            } else {
                taken = options.life.take_time(args)?;
                if taken == 0 {
                    return Err(Failure::Syntax);
                }
            }
            args = &args[taken..];
        }
        Ok(options)
    }

    /// Whether it matters what stood at the key.
    fn must_look(&self) -> bool {
        self.condition.is_some() || self.answers_old || matches!(self.life, Life::Keep)
    }
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
fn set(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    if call.args.len() == 3 {
        let is_made = call.will_make(key);
        put_string(call, key, call.args[2], None);
        call.wrote(key, is_made, EventClasses::STRING, "set");
        call.reply().ok();
        return Ok(());
    }
    set_with_options(call, key)
}

fn set_with_options(call: &mut Call<'_>, key: Key<'_>) -> Result<(), Failure> {
    let options = SetOptions::parse(&call.args[3..])?;
    let until = match options.life {
        Life::Until(time) => Some(time.resolve(call.now(), call.command.name)?),
        _ => None,
    };
    let found = if options.must_look() { look_before_set(call, key, options.answers_old)? } else { None };
    let is_allowed = match options.condition {
        None => true,
        Some(Condition::Missing) => found.is_none(),
        Some(Condition::Present) => found.is_some(),
    };
    if !is_allowed {
        if !options.answers_old {
            call.reply().null();
        }
        return Ok(());
    }
    let expiry = if matches!(options.life, Life::Keep) { found.flatten() } else { until };
    let is_made = call.will_make(key);
    put_string(call, key, call.args[2], expiry);
    call.wrote(key, is_made, EventClasses::STRING, "set");
    if until.is_some() {
        call.event(EventClasses::GENERIC, "expire", key.bytes);
    }
    if !options.answers_old {
        call.reply().ok();
    }
    match until {
        Some(at) => propagate_set_until(call, call.args[2], at),
        None if options.answers_old => propagate_without_get(call),
        None => {}
    }
    Ok(())
}

/// What stands at the key before SET: `None` if nothing, else its expiry. Answers the old value where GET asks for it.
fn look_before_set(
    call: &mut Call<'_>,
    key: Key<'_>,
    answers_old: bool,
) -> Result<Option<Option<UnixMillis>>, Failure> {
    if !answers_old {
        return Ok(inspect(call, key, |entry, _| entry.map(Entry::expiry)));
    }
    // GET is a read, and counts as one.
    read_key(call, key, |entry, reading| {
        match entry {
            Some(entry) => reply_string(reading.session, entry.value())?,
            None => reading.session.reply().null(),
        }
        Ok(entry.map(Entry::expiry))
    })
}

/// Logs `SET key value PXAT ms`: what every SET with an expiry becomes, its condition having held.
fn propagate_set_until(call: &mut Call<'_>, value: &[u8], at: UnixMillis) {
    let mut digits = itoa::Buffer::new();
    call.propagate(&[b"SET", call.args[1], value, b"PXAT", decimal(&mut digits, at.get())]);
}

/// Logs the command without GET, which only matters to who asked.
fn propagate_without_get(call: &mut Call<'_>) {
    let (fixed, options) = call.args.split_at(3);
    let kept = options.iter().filter(|option| !is(option, "GET"));
    let args: SmallVec<[&[u8]; 8]> = fixed.iter().chain(kept).copied().collect();
    call.propagate(&args);
}

/// `SETNX key value`
fn setnx(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let is_missing = inspect(call, key, |entry, _| entry.is_none());
    if is_missing {
        let is_made = call.will_make(key);
        put_string(call, key, call.args[2], None);
        call.wrote(key, is_made, EventClasses::STRING, "set");
    }
    call.reply().integer(i64::from(is_missing));
    Ok(())
}

/// `SETEX key seconds value`
fn setex(call: &mut Call<'_>) -> Result<(), Failure> {
    set_for_a_while(call, TimeKind::SecondsFromNow)
}

/// `PSETEX key milliseconds value`
fn psetex(call: &mut Call<'_>) -> Result<(), Failure> {
    set_for_a_while(call, TimeKind::MillisFromNow)
}

fn set_for_a_while(call: &mut Call<'_>, kind: TimeKind) -> Result<(), Failure> {
    let key = call.key(1);
    let at = ExpiryTime { kind, argument: call.args[2] }.resolve(call.now(), call.command.name)?;
    let is_made = call.will_make(key);
    put_string(call, key, call.args[3], Some(at));
    call.wrote(key, is_made, EventClasses::STRING, "set");
    call.event(EventClasses::GENERIC, "expire", key.bytes);
    call.reply().ok();
    propagate_set_until(call, call.args[3], at);
    Ok(())
}

/// `GETSET key value`; logged as SET.
fn getset(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    look_before_set(call, key, true)?;
    let is_made = call.will_make(key);
    put_string(call, key, call.args[2], None);
    call.wrote(key, is_made, EventClasses::STRING, "set");
    call.propagate(&[b"SET", call.args[1], call.args[2]]);
    Ok(())
}

/// `GETDEL key`; logged as DEL.
fn getdel(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let found = read(call, 1, |entry, reading| match entry {
        None => {
            reading.session.reply().null();
            Ok(false)
        }
        Some(entry) => reply_string(reading.session, entry.value()).map(|()| true),
    })?;
    if found {
        delete_and_log(call, key);
    }
    Ok(())
}

fn delete_and_log(call: &mut Call<'_>, key: Key<'_>) {
    delete(call, key);
    call.propagate(&[b"DEL", key.bytes]);
}

fn parse_getex<'a>(args: &[&'a [u8]]) -> Result<Life<'a>, Failure> {
    let mut life = Life::default();
    let mut at = 0;
    while at < args.len() {
        let taken = match life {
            Life::Unsaid | Life::Persist if is(args[at], "PERSIST") => {
                life = Life::Persist;
                1
            }
            _ => life.take_time(&args[at..])?,
        };
        if taken == 0 {
            return Err(Failure::Syntax);
        }
        at += taken;
    }
    Ok(life)
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`; logged as PEXPIREAT, PERSIST or DEL, or not at all.
fn getex(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let life = parse_getex(&call.args[2..])?;
    let (now, name) = (call.now(), call.command.name);
    // A missing key is answered before the time is looked at.
    let found = read(call, 1, |entry, reading| {
        let Some(entry) = entry else {
            reading.session.reply().null();
            return Ok(None);
        };
        if !matches!(entry.value(), Value::Int(_) | Value::Str(..)) {
            return Err(Failure::WrongType);
        }
        let until = match life {
            Life::Until(time) => Some(time.resolve(now, name)?),
            _ => None,
        };
        reply_string(reading.session, entry.value())?;
        Ok(Some((entry.expiry(), until)))
    })?;
    match found {
        Some((_, Some(at))) if at <= now && decides_expiry(call) => delete_and_log(call, key),
        Some((_, Some(at))) => {
            call.db_mut().set_expiry(key, Some(at));
            call.changed(key);
            call.event(EventClasses::GENERIC, "expire", key.bytes);
            let mut digits = itoa::Buffer::new();
            call.propagate(&[b"PEXPIREAT", key.bytes, decimal(&mut digits, at.get())]);
        }
        Some((Some(_), None)) if matches!(life, Life::Persist) => {
            call.db_mut().set_expiry(key, None);
            call.changed(key);
            call.event(EventClasses::GENERIC, "persist", key.bytes);
            call.propagate(&[b"PERSIST", key.bytes]);
        }
        _ => {}
    }
    Ok(())
}
