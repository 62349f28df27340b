//! DEBUG: for tests and experiments, behind `enable-debug-command`.

use rejoin_keyspace::StringForm;
use rejoin_protocol::number::{parse_f64, parse_i64};

use super::reply_help;
use crate::data::{digest, encoding_name};
use crate::{Call, Command, Effect, Failure, Flags};

/// The rows of this file.
pub(crate) const COMMANDS: &[Command] = &[Command::new(
    "debug",
    -2,
    Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE).union(Flags::PROTECTED),
    "server",
    "1.0.0",
    "Commands for tests and experiments.",
    debug,
)];

/// DEBUG SLEEP holds everything up: longer than this is surely a slip.
const SLEEP_MILLIS_MAX: u64 = 24 * 3600 * 1000;
/// Bytes of the longest string that Redis holds as `embstr`.
const EMBSTR_BYTES_MAX: usize = 44;
/// Bytes of a value made by DEBUG POPULATE at most.
const POPULATED_BYTES_MAX: u64 = 512 << 20;

fn debug(call: &mut Call<'_>) -> Result<(), Failure> {
    let args = call.args;
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 2) => help(call),
        (b"sleep", 3) => sleep(call),
        (b"digest", 2) => reply_digest(call),
        (b"digest-value", _) => digest_values(call),
        (b"object", 3 | 4) => object(call),
        (b"set-active-expire", 3) => set_active_expire(call),
        (b"populate", 3..=5) => populate(call),
        (b"change-repl-id", 2) => {
            call.engine.ask(Effect::ChangeReplId);
            call.reply().ok();
            Ok(())
        }
        (b"error", 3) => Err(Failure::text(String::from_utf8_lossy(args[2]).into_owned())),
        (b"jmap" | b"quicklist-packed-threshold" | b"set-disable-deny-scripts", _) => Err(Failure::text(
            format!("ERR DEBUG {} is not supported", String::from_utf8_lossy(args[1]).to_uppercase()),
        )),
        _ => Err(Failure::text(format!(
            "ERR unknown subcommand or wrong number of arguments for '{}'. Try DEBUG HELP.",
            String::from_utf8_lossy(args[1])
        ))),
    }
}

fn help(call: &mut Call<'_>) -> Result<(), Failure> {
    reply_help(
        call,
        "DEBUG",
        &[
            "CHANGE-REPL-ID",
            "Give the stream a new name, as if it had been replaced.",
            "DIGEST",
            "Return a digest of all data.",
            "DIGEST-VALUE <key> [<key> ...]",
            "Return a digest of each key's value.",
            "ERROR <text>",
            "Return an error with this text.",
            "OBJECT <key>",
            "Return how a key is held.",
            "POPULATE <count> [<prefix>] [<size>]",
            "Create string keys named prefix:number. Replicas do not get them.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "Switch the active deletion of expired keys.",
            "SLEEP <seconds>",
            "Stand still for so long. Decimals allowed.",
        ],
    );
    Ok(())
}

/// DEBUG SLEEP seconds: the turn ends, and the shard stands still before it replies.
fn sleep(call: &mut Call<'_>) -> Result<(), Failure> {
    let seconds = parse_f64(call.args[2]).unwrap_or(0.0);
    // Out of range saturates; not a number becomes zero.
    let millis = ((seconds * 1000.0) as u64).min(SLEEP_MILLIS_MAX);
    if millis > 0 {
        call.engine.observed.slept_nanos = millis * 1_000_000;
        call.engine.ask(Effect::Sleep { millis });
    }
    call.reply().ok();
    Ok(())
}

fn reply_digest(call: &mut Call<'_>) -> Result<(), Failure> {
    let digest = digest::digest_keyspace(&call.engine.keyspace);
    call.reply().simple(&hex(&digest));
    Ok(())
}

fn digest_values(call: &mut Call<'_>) -> Result<(), Failure> {
    let keys = &call.args[2..];
    call.reply().array(keys.len());
    for bytes in keys {
        let key = call.engine.keyspace.key(bytes);
        let digest = call.db().get(key).map_or([0; 20], digest::digest_value);
        call.reply().simple(&hex(&digest));
    }
    Ok(())
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// DEBUG OBJECT key: the line of Redis, with our own sizes.
fn object(call: &mut Call<'_>) -> Result<(), Failure> {
    let key = call.engine.keyspace.key(call.args[2]);
    let entry = call.db().get(key).ok_or(Failure::NoSuchKey)?;
    let text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:0",
        entry.key().as_ptr(),
        encoding_name(entry),
        entry.bytes_used(),
        entry.access(),
    );
    call.reply().simple(&text);
    Ok(())
}

fn set_active_expire(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.settings.active_expire = parse_i64(call.args[2]) != Some(0);
    call.reply().ok();
    Ok(())
}

/// DEBUG POPULATE count [prefix] [size]: keys that exist are left as they are. Nothing is logged, so replicas differ
/// afterwards, as with Redis.
fn populate(call: &mut Call<'_>) -> Result<(), Failure> {
    let positive = |arg: &[u8]| {
        let number = parse_i64(arg).and_then(|number| u64::try_from(number).ok());
        number.ok_or(Failure::text("ERR value is out of range, must be positive"))
    };
    let count = positive(call.args[2])?;
    let prefix = call.args.get(3).copied().unwrap_or(b"key");
    let size = call.args.get(4).map(|size| positive(size)).transpose()?.unwrap_or(0);
    if size > POPULATED_BYTES_MAX {
        return Err(Failure::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    let (mut name, mut value) = (Vec::new(), Vec::new());
    let mut digits = itoa::Buffer::new();
    for number in 0..count {
        let number = digits.format(number).as_bytes();
        name.clear();
        name.extend_from_slice(prefix);
        name.push(b':');
        name.extend_from_slice(number);
        let key = call.engine.keyspace.key(&name);
        if call.db().get(key).is_some() {
            continue;
        }
        value.clear();
        value.extend_from_slice(b"value:");
        value.extend_from_slice(number);
        if size > 0 {
            value.resize(size as usize, 0);
        }
        let form = if value.len() <= EMBSTR_BYTES_MAX { StringForm::Embstr } else { StringForm::Raw };
        call.db_mut().put_string(key, &value, form, None);
    }
    call.reply().ok();
    Ok(())
}
