//! When keys expire: EXPIRE and its relatives, TTL and its relatives, PERSIST.
//!
//! Every expiry is logged as an absolute time (PEXPIREAT), and as DEL when that time has passed already: replicas
//! need no clock that agrees with ours.

use rejoin_keyspace::Entry;
use rejoin_protocol::UnixMillis;
use smallvec::SmallVec;

use super::{
    access::{delete, inspect, read},
    arguments::{decimal, integer, is},
};
use crate::{Call, Command, Failure, Flags, KeySpec, Role, SessionKind, pubsub::events::EventClasses};

const WRITE: Command = Command {
    name: "",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    keys: KeySpec::ONE,
    element: 0,
    group: "generic",
    since: "",
    summary: "",
    handler: expire,
    subcommands: &[],
    number: 0,
};

const READ: Command = Command {
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST).union(Flags::NO_TOUCH),
    handler: ttl,
    ..WRITE
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "expire", since: "1.0.0", summary: "Lets a key expire after some seconds", ..WRITE },
    Command {
        name: "pexpire",
        since: "2.6.0",
        summary: "Lets a key expire after some milliseconds",
        handler: pexpire,
        ..WRITE
    },
    Command {
        name: "expireat",
        since: "1.2.0",
        summary: "Lets a key expire at a Unix time in seconds",
        handler: expireat,
        ..WRITE
    },
    Command {
        name: "pexpireat",
        since: "2.6.0",
        summary: "Lets a key expire at a Unix time in milliseconds",
        handler: pexpireat,
        ..WRITE
    },
    Command {
        name: "persist",
        arity: 2,
        since: "2.2.0",
        summary: "Clears a key's expiry",
        handler: persist,
        ..WRITE
    },
    Command { name: "ttl", since: "1.0.0", summary: "Answers how many seconds a key has left", ..READ },
    Command {
        name: "pttl",
        since: "2.6.0",
        summary: "Answers how many milliseconds a key has left",
        handler: pttl,
        ..READ
    },
    Command {
        name: "expiretime",
        since: "7.0.0",
        summary: "Answers the Unix time in seconds at which a key expires",
        handler: expiretime,
        ..READ
    },
    Command {
        name: "pexpiretime",
        since: "7.0.0",
        summary: "Answers the Unix time in milliseconds at which a key expires",
        handler: pexpiretime,
        ..READ
    },
];

/// In which unit an expiry is stated, and from when it counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TimeKind {
    /// EX.
    SecondsFromNow,
    /// PX.
    MillisFromNow,
    /// EXAT.
    UnixSeconds,
    /// PXAT.
    UnixMillis,
}

impl TimeKind {
    /// The absolute time that `number` of this kind says, if it can be represented.
    fn absolute(self, number: i64, now: UnixMillis) -> Option<UnixMillis> {
        let millis = match self {
            Self::SecondsFromNow | Self::UnixSeconds => number.checked_mul(1000)?,
            Self::MillisFromNow | Self::UnixMillis => number,
        };
        match self {
            Self::SecondsFromNow | Self::MillisFromNow => millis.checked_add(now.get()).map(UnixMillis::new),
            Self::UnixSeconds | Self::UnixMillis => Some(UnixMillis::new(millis)),
        }
    }
}

/// An expiry as an option of SET or GETEX states it, not yet looked at: GETEX answers for a missing key first.
#[derive(Clone, Copy)]
pub(super) struct ExpiryTime<'a> {
    pub(super) kind: TimeKind,
    pub(super) argument: &'a [u8],
}

impl ExpiryTime<'_> {
    /// The kind of time that an option's argument is, if it is such an option.
    pub(super) fn kind_of(option: &[u8]) -> Option<TimeKind> {
        [
            ("EX", TimeKind::SecondsFromNow),
            ("PX", TimeKind::MillisFromNow),
            ("EXAT", TimeKind::UnixSeconds),
            ("PXAT", TimeKind::UnixMillis),
        ]
        .into_iter()
        .find_map(|(name, kind)| is(option, name).then_some(kind))
    }

    /// The absolute time. Only a number above zero is a time here (EXPIRE is more lenient); `command` names the
    /// command in the refusal.
    pub(super) fn resolve(self, now: UnixMillis, command: &'static str) -> Result<UnixMillis, Failure> {
        let number = integer(self.argument)?;
        if number <= 0 {
            return Err(Failure::InvalidExpire(command));
        }
        self.kind.absolute(number, now).ok_or(Failure::InvalidExpire(command))
    }
}

/// Whether a time in the past deletes the key at once. On a replica, and for our own master's stream, it is only
/// recorded: the master will say when the key goes.
pub(super) fn decides_expiry(call: &Call<'_>) -> bool {
    call.engine.role == Role::Master && call.session.kind != SessionKind::Master
}

/// Under which conditions EXPIRE applies.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(args: &[&[u8]]) -> Result<Self, Failure> {
        let mut conditions = Self::default();
        for option in args {
            let flag = if is(option, "NX") {
                &mut conditions.nx
            } else if is(option, "XX") {
                &mut conditions.xx
            } else if is(option, "GT") {
                &mut conditions.gt
            } else if is(option, "LT") {
                &mut conditions.lt
            } else {
                return Err(Failure::repeating("ERR Unsupported option ", option, ""));
            };
            *flag = true;
        }
        conditions.check()?;
        Ok(conditions)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.nx && (self.xx || self.gt || self.lt) {
            return Err(Failure::text("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if self.gt && self.lt {
            return Err(Failure::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(())
    }

    /// Whether a key that expires at `current` may come to expire at `wanted`. No expiry is later than any.
    fn hold(&self, current: Option<UnixMillis>, wanted: UnixMillis) -> bool {
        let is_refused = (self.nx && current.is_some())
            || (self.xx && current.is_none())
            || (self.gt && current.is_none_or(|current| wanted <= current))
            || (self.lt && current.is_some_and(|current| wanted >= current));
        !is_refused
    }
}

/// `EXPIRE key seconds [NX | XX | GT | LT]`
fn expire(call: &mut Call<'_>) -> Result<(), Failure> {
    expire_at(call, TimeKind::SecondsFromNow)
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
fn pexpire(call: &mut Call<'_>) -> Result<(), Failure> {
    expire_at(call, TimeKind::MillisFromNow)
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
fn expireat(call: &mut Call<'_>) -> Result<(), Failure> {
    expire_at(call, TimeKind::UnixSeconds)
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
fn pexpireat(call: &mut Call<'_>) -> Result<(), Failure> {
    expire_at(call, TimeKind::UnixMillis)
}

fn expire_at(call: &mut Call<'_>, kind: TimeKind) -> Result<(), Failure> {
    let key = call.key(1);
    let conditions = Conditions::parse(&call.args[3..])?;
    let number = integer(call.args[2])?;
    let at = kind.absolute(number, call.now()).ok_or(Failure::InvalidExpire(call.command.name))?;
    let is_applied =
        inspect(call, key, |entry, _| entry.is_some_and(|entry| conditions.hold(entry.expiry(), at)));
    if !is_applied {
        call.reply().integer(0);
        return Ok(());
    }
    if at <= call.now() && decides_expiry(call) {
        delete(call, key);
        call.propagate(&[b"DEL", key.bytes]);
    } else {
        call.db_mut().set_expiry(key, Some(at));
        call.changed(key);
        call.event(EventClasses::GENERIC, "expire", key.bytes);
        if kind != TimeKind::UnixMillis {
            propagate_pexpireat(call, at);
        }
    }
    call.reply().integer(1);
    Ok(())
}

/// Logs PEXPIREAT with the conditions as they came: they hold on a replica as they held here.
fn propagate_pexpireat(call: &mut Call<'_>, at: UnixMillis) {
    let mut digits = itoa::Buffer::new();
    let mut args: SmallVec<[&[u8]; 8]> = SmallVec::new();
    args.extend_from_slice(&[b"PEXPIREAT", call.args[1], decimal(&mut digits, at.get())]);
    args.extend_from_slice(&call.args[3..]);
    call.propagate(&args);
}

/// `PERSIST key`
fn persist(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.key(1);
    let is_volatile = inspect(call, key, |entry, _| entry.is_some_and(|entry| entry.expiry().is_some()));
    if is_volatile {
        call.db_mut().set_expiry(key, None);
        call.changed(key);
        call.event(EventClasses::GENERIC, "persist", key.bytes);
    }
    call.reply().integer(i64::from(is_volatile));
    Ok(())
}

/// `TTL key`
fn ttl(call: &mut Call<'_>) -> Result<(), Failure> {
    let now = call.now();
    reply_time(call, |at| to_seconds(millis_left(at, now)))
}

/// `PTTL key`
fn pttl(call: &mut Call<'_>) -> Result<(), Failure> {
    let now = call.now();
    reply_time(call, |at| millis_left(at, now))
}

/// `EXPIRETIME key`
fn expiretime(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_time(call, |at| to_seconds(at.get()))
}

/// `PEXPIRETIME key`
fn pexpiretime(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_time(call, UnixMillis::get)
}

/// -2 for a missing key, -1 for one that does not expire, else what `of` makes of the time.
fn reply_time(call: &mut Call<'_>, of: impl FnOnce(UnixMillis) -> i64) -> Result<(), Failure> {
    let answer = read(call, 1, |entry, _| match entry.map(Entry::expiry) {
        None => -2,
        Some(None) => -1,
        Some(Some(at)) => of(at),
    });
    call.reply().integer(answer);
    Ok(())
}

fn millis_left(at: UnixMillis, now: UnixMillis) -> i64 {
    at.get().saturating_sub(now.get()).max(0)
}

/// Rounded to the nearest second.
fn to_seconds(millis: i64) -> i64 {
    millis.saturating_add(500) / 1000
}
