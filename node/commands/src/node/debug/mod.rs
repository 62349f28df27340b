//! DEBUG: for tests and experiments, behind `enable-debug-command`.

mod inspect;
mod populate;
mod protocol;
mod reload;

use rejoin_protocol::number::{parse_f64, parse_i64};

use super::reply_help;
use crate::{
    Call, Command, Effect, Failure, Flags,
    data::{
        digest,
        glob::{self, Case},
    },
    settings::value::parse_memory,
};

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
/// Random patterns that DEBUG STRINGMATCH-TEST tries.
const MATCHES_TRIED: u64 = 20_000;
/// What tests of Redis' own machinery ask for and a node of ours has not, or what would only end it.
const REFUSED: &[&str] = &[
    "AOF-FLUSH-SLEEP",
    "ASSERT",
    "CLIENT-EVICTION",
    "CLUSTERLINK",
    "CONFIG-REWRITE-FORCE-ALL",
    "CRASH-AND-RECOVER",
    "DICT-RESIZING",
    "DROP-CLUSTER-PACKET-FILTER",
    "JMAP",
    "LEAK",
    "MALLCTL",
    "MALLCTL-STR",
    "OOM",
    "PANIC",
    "PAUSE-CRON",
    "REPLICATE",
    "REPLYBUFFER",
    "RESTART",
    "SCRIPT",
    "SEGFAULT",
    "SET-DISABLE-DENY-SCRIPTS",
    "SET-SKIP-CHECKSUM-VALIDATION",
    "STRUCTSIZE",
];

fn debug(call: &mut Call<'_>) -> Result<(), Failure> {
    let args = call.args;
    match (args[1].to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 2) => help(call),
        (b"sleep", 3) => sleep(call),
        (b"digest", 2) => reply_digest(call),
        (b"digest-value", _) => digest_values(call),
        (b"object", 3) => inspect::object(call),
        (b"sdslen", 3) => inspect::sdslen(call),
        (b"listpack", 3) => inspect::structure(call, "listpack"),
        (b"quicklist", 3 | 4) => inspect::structure(call, "quicklist"),
        (b"htstats", 3 | 4) => inspect::htstats(call),
        (b"htstats-key", 3 | 4) => inspect::htstats_key(call),
        (b"protocol", 3) => protocol::protocol(call),
        (b"set-active-expire", 3) => set_active_expire(call),
        (b"populate", 3..=5) => populate::populate(call),
        (b"reload", _) => reload::reload(call),
        (b"loadaof", 2) => Err(Failure::text("ERR DEBUG LOADAOF: there is no append-only file to load")),
        (b"log", 3) => log(call),
        (b"quicklist-packed-threshold", 3) => packed_threshold(call),
        (b"stringmatch-test", 2) => stringmatch_test(call),
        (b"change-repl-id", 2) => {
            call.engine.ask(Effect::ChangeReplId);
            call.reply().ok();
            Ok(())
        }
        (b"error", 3) => Err(Failure::Repeating(args[2].to_vec())),
        _ => Err(refusal(args[1])),
    }
}

fn refusal(name: &[u8]) -> Failure {
    match REFUSED.iter().find(|refused| refused.as_bytes().eq_ignore_ascii_case(name)) {
        Some(refused) => Failure::text(format!("ERR DEBUG {refused} is not supported")),
        None => Failure::repeating(
            "ERR unknown subcommand or wrong number of arguments for '",
            name,
            "'. Try DEBUG HELP.",
        ),
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
            "HTSTATS <db>",
            "Return sizes of a database's tree and index.",
            "HTSTATS-KEY <key>",
            "Return the size of a large collection's tree.",
            "LISTPACK <key>",
            "Log the size of a packed value.",
            "LOADAOF",
            "Refused: there is no append-only file yet.",
            "LOG <message>",
            "Write a message to the log.",
            "OBJECT <key>",
            "Return how a key is held.",
            "POPULATE <count> [<prefix>] [<size>]",
            "Create string keys named prefix:number. Replicas do not get them.",
            "PROTOCOL <type>",
            "Return a reply of this type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim, \
             true, false.",
            "QUICKLIST <key>",
            "Log the size of a list.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "Accepted, and of no effect.",
            "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
            "Save all data and read it back, or only read what was saved.",
            "SDSLEN <key>",
            "Return lengths of a key and its string.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "Switch the active deletion of expired keys.",
            "SLEEP <seconds>",
            "Stand still for so long. Decimals allowed.",
            "STRINGMATCH-TEST",
            "Match random patterns against random strings.",
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

fn set_active_expire(call: &mut Call<'_>) -> Result<(), Failure> {
    call.engine.settings.active_expire = parse_i64(call.args[2]) != Some(0);
    call.reply().ok();
    Ok(())
}

/// DEBUG LOG message
fn log(call: &mut Call<'_>) -> Result<(), Failure> {
    let text = format!("DEBUG LOG: {}", String::from_utf8_lossy(call.args[2]));
    call.engine.ask(Effect::Log { text });
    call.reply().ok();
    Ok(())
}

/// DEBUG QUICKLIST-PACKED-THRESHOLD size: from which size on Redis gives an element of a list a node of its own. Lists here
/// have no such nodes, so there is nothing that could change.
fn packed_threshold(call: &mut Call<'_>) -> Result<(), Failure> {
    let size = str::from_utf8(call.args[2]).ok().and_then(parse_memory);
    if size.is_none_or(|size| size > u64::from(u32::MAX)) {
        return Err(Failure::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb"));
    }
    call.reply().ok();
    Ok(())
}

/// DEBUG STRINGMATCH-TEST: random patterns must come to an end, whatever they match.
fn stringmatch_test(call: &mut Call<'_>) -> Result<(), Failure> {
    for _ in 0..MATCHES_TRIED {
        let mut word = |len: u64| -> Vec<u8> {
            (0..call.engine.random() % len)
                .map(|_| b"*?[]^-\\ab"[(call.engine.random() % 9) as usize])
                .collect()
        };
        let (pattern, text) = (word(32), word(128));
        let _ = glob::matches(&pattern, &text, Case::Sensitive);
    }
    call.reply().simple("Apparently Redis did not crash: test passed");
    Ok(())
}
