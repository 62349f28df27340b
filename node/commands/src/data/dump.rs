//! DUMP and RESTORE: one value as a payload with a version and a checksum.
//!
//! What DUMP gives is readable by any Redis since 4.0. RESTORE takes whatever Redis or Valkey made of the types that we
//! have; it is logged with our own payload in place of the client's, so that replicas older than its origin can read
//! it, and with an absolute expiry.

use rejoin_keyspace::{Entry, Keyspace, KeyspaceOptions};
use rejoin_persistence::rdb::dump::{self, DumpError};
use rejoin_protocol::{DbIndex, UnixMillis};

use super::access::{inspect, read};
use super::arguments::{decimal, integer, is};
use crate::{Call, Command, Failure, Flags, KeySpec, Role, SessionKind, pubsub::events::EventClasses};

const ROW: Command = Command {
    name: "",
    arity: 2,
    flags: Flags::READONLY,
    keys: KeySpec::ONE,
    element: 0,
    group: "generic",
    since: "2.6.0",
    summary: "",
    handler: dump_value,
    subcommands: &[],
    number: 0,
};

pub(super) const COMMANDS: &[Command] = &[
    Command { name: "dump", summary: "Answers a value as a payload that RESTORE takes", ..ROW },
    Command {
        name: "restore",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        summary: "Makes a key out of a payload of DUMP",
        handler: restore,
        ..ROW
    },
    Command {
        name: "restore-asking",
        group: "server",
        arity: -4,
        flags: Flags::WRITE.union(Flags::DENYOOM),
        since: "3.0.0",
        summary: "As RESTORE, in a cluster while a slot is moved",
        handler: restore,
        ..ROW
    },
];

/// `DUMP key`
fn dump_value(call: &mut Call<'_>) -> Result<(), Failure> {
    read(call, 1, |entry, reading| {
        let Some(entry) = entry else {
            reading.session.reply().null();
            return Ok(());
        };
        reading.session.reply().bulk(&payload_of(entry)?);
        Ok(())
    })
}

fn payload_of(entry: &Entry) -> Result<Vec<u8>, Failure> {
    let mut payload = Vec::new();
    dump::dump(entry, &mut payload).map_err(|error| Failure::text(format!("ERR {error}")))?;
    Ok(payload)
}

/// What RESTORE says of the key besides its value.
#[derive(Clone, Copy, Default)]
struct Options {
    replaces: bool,
    is_absolute: bool,
    idle_seconds: Option<i64>,
    uses: Option<u8>,
}

impl Options {
    fn parse(args: &[&[u8]]) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(option) = rest.next() {
            if is(option, "REPLACE") {
                options.replaces = true;
            } else if is(option, "ABSTTL") {
                options.is_absolute = true;
            } else if is(option, "IDLETIME") && options.uses.is_none() {
                let seconds = integer(rest.next().ok_or(Failure::Syntax)?)?;
                if seconds < 0 {
                    return Err(Failure::text("ERR Invalid IDLETIME value, must be >= 0"));
                }
                options.idle_seconds = Some(seconds);
            } else if is(option, "FREQ") && options.idle_seconds.is_none() {
                let uses = integer(rest.next().ok_or(Failure::Syntax)?)?;
                options.uses = Some(
                    u8::try_from(uses)
                        .map_err(|_| Failure::text("ERR Invalid FREQ value, must be >= 0 and <= 255"))?,
                );
            } else {
                return Err(Failure::Syntax);
            }
        }
        Ok(options)
    }
}

/// `RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ count]`
fn restore(call: &mut Call<'_>) -> Result<(), Failure> {
    let options = Options::parse(&call.args[4..])?;
    let key = call.key(1);
    if inspect(call, key, |entry, _| entry.is_some()) && !options.replaces {
        return Err(Failure::text("BUSYKEY Target key name already exists."));
    }
    let ttl = integer(call.args[2])?;
    if ttl < 0 {
        return Err(Failure::text("ERR Invalid TTL value, must be >= 0"));
    }
    let restored = decode(call, call.args[3])?;
    let now = call.now();
    let expiry = match ttl {
        0 => None,
        at if options.is_absolute => Some(UnixMillis::new(at)),
        // As in Redis, one that overflows has passed.
        millis => Some(UnixMillis::new(now.get().wrapping_add(millis))),
    };
    if expiry.is_some_and(|at| at <= now) && decides_expiry(call) {
        if call.db_mut().remove(key) {
            call.changed(key);
            call.propagate(&[b"DEL", key.bytes]);
            call.event(EventClasses::GENERIC, "del", key.bytes);
        }
        call.reply().ok();
        return Ok(());
    }
    // What is replaced is deleted before, so the key is always a new one.
    call.db_mut().remove(key);
    let is_made = call.will_make(key);
    let database = call.db_mut();
    database.put_copy(key, &restored, expiry);
    drop(restored);
    note_usage(call, options);
    call.wrote(key, is_made, EventClasses::GENERIC, "restore");
    propagate(call, options, expiry)?;
    call.reply().ok();
    Ok(())
}

/// Whether an expiry that is past means that the key is not made at all: a replica leaves that to its master.
fn decides_expiry(call: &Call<'_>) -> bool {
    call.engine.role == Role::Master && call.session.kind != SessionKind::Master
}

/// The entry out of a payload, under the key of the command.
fn decode(call: &Call<'_>, payload: &[u8]) -> Result<Entry, Failure> {
    // It is read into a keyspace of its own: whatever a hostile payload leaves half made is gone with that.
    let options = KeyspaceOptions { databases: 1, seed: *call.engine.keyspace.seed() };
    let mut scratch = Keyspace::new(options);
    let key = call.args[1];
    dump::restore(payload, key, &mut scratch, &call.engine.settings.limits()).map_err(|error| {
        Failure::text(match error {
            DumpError::Footer => "ERR DUMP payload version or checksum are wrong",
            DumpError::Value(_) => "ERR Bad data format",
        })
    })?;
    let entry = scratch.database(DbIndex::new(0)).get(scratch.key(key));
    entry.cloned().ok_or(Failure::text("ERR Bad data format"))
}

fn note_usage(call: &Call<'_>, options: Options) {
    let access = call.engine.keyspace.access();
    let Some(entry) = call.db().get(call.key(1)) else { return };
    // Each counts only under a policy that looks at it.
    match call.engine.settings.maxmemory_policy.is_lfu() {
        true => options.uses.iter().for_each(|&uses| access.set_uses(entry, uses)),
        false => {
            let seconds = options.idle_seconds.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX >> 1));
            seconds.iter().for_each(|&seconds| access.set_idle_seconds(entry, seconds));
        }
    }
}

/// Logs the command with our payload and an absolute expiry.
fn propagate(call: &mut Call<'_>, options: Options, expiry: Option<UnixMillis>) -> Result<(), Failure> {
    let key = call.key(1);
    let Some(entry) = call.db().get(key) else { return Err(Failure::NoSuchKey) };
    let payload = payload_of(entry)?;
    let (mut at, mut idle, mut uses) = (itoa::Buffer::new(), itoa::Buffer::new(), itoa::Buffer::new());
    let mut args: Vec<&[u8]> =
        vec![b"RESTORE", key.bytes, decimal(&mut at, expiry.map_or(0, UnixMillis::get)), &payload];
    if options.replaces {
        args.push(b"REPLACE");
    }
    if expiry.is_some() {
        args.push(b"ABSTTL");
    }
    if let Some(seconds) = options.idle_seconds {
        args.extend_from_slice(&[b"IDLETIME", decimal(&mut idle, seconds)]);
    }
    if let Some(count) = options.uses {
        args.extend_from_slice(&[b"FREQ", decimal(&mut uses, i64::from(count))]);
    }
    call.propagate(&args);
    Ok(())
}
