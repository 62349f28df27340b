//! The grammar of redis-server's arguments, which is not that of other programs:
//!
//! * the first argument is the configuration file, unless it begins with `-`;
//! * `-` as the first or the last argument reads more configuration from standard input;
//! * `--name` begins a directive, and every argument up to the next `--name` is one of its values, taken as it is. The
//!   argument right after `--name` is its value even if it begins with `--`, so that a password may;
//! * `"--name value"` in one argument is a whole directive;
//! * `--save` with nothing after it is `--save ""`.

use std::{
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::{Directive, DirectiveError, redis_conf};

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Run a node.
    Run(Sources),
    /// Print [`version`].
    Version,
    /// Print [`help`].
    Help,
}

/// Where a node's configuration comes from, besides its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// Whether standard input holds more.
    pub stdin: bool,
    /// The options, in order.
    pub command_line: Vec<Directive>,
}

/// Reads the arguments, the program's name left out. Whether the options make sense is not looked at here.
///
/// # Errors
/// An argument that is not UTF-8, or whose quotes are broken.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, DirectiveError> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    match arguments.first().and_then(|first| first.to_str()) {
        Some("-v" | "--version") => return Ok(Invocation::Version),
        Some("-h" | "--help") => return Ok(Invocation::Help),
        _ => {}
    }
    let mut sources = Sources::default();
    if arguments.first().is_some_and(|first| !starts_with(first, "-")) {
        sources.file = Some(PathBuf::from(arguments.remove(0)));
    }
    if arguments.first().is_some_and(|first| first == "-") {
        sources.stdin = true;
        arguments.remove(0);
    }
    if arguments.last().is_some_and(|last| last == "-") {
        sources.stdin = true;
        arguments.pop();
    }
    sources.command_line = options(arguments)?;
    Ok(Invocation::Run(sources))
}

fn starts_with(argument: &OsStr, prefix: &str) -> bool {
    argument.as_encoded_bytes().starts_with(prefix.as_bytes())
}

/// Groups the arguments into directives.
fn options(arguments: Vec<OsString>) -> Result<Vec<Directive>, DirectiveError> {
    let mut options: Vec<Vec<String>> = Vec::new();
    // Right after `--name`, before its first value.
    let mut wants_value = false;
    for argument in arguments {
        let argument = argument
            .into_string()
            .map_err(|argument| refused(&argument.to_string_lossy(), "the argument is not valid UTF-8"))?;
        let saves_nothing = wants_value && is_save(options.last());
        if let Some(name) = argument.strip_prefix("--").filter(|_| !wants_value || saves_nothing) {
            let words = redis_conf::split_words(name).map_err(|reason| refused(&argument, reason))?;
            if words.is_empty() {
                return Err(refused(&argument, "an option without a name"));
            }
            wants_value = words.len() == 1;
            options.push(words);
        } else {
            wants_value = false;
            match options.last_mut() {
                Some(option) => option.push(argument),
                None => return Err(refused(&argument, "Bad directive: options are written as --name value")),
            }
        }
    }
    Ok(options.into_iter().map(directive).collect())
}

fn is_save(option: Option<&Vec<String>>) -> bool {
    option.is_some_and(|words| words.len() == 1 && words[0].eq_ignore_ascii_case("save"))
}

fn directive(mut words: Vec<String>) -> Directive {
    if is_save(Some(&words)) {
        words.push(String::new());
    }
    let mut words = words.into_iter();
    let name = words.next().unwrap_or_default().to_ascii_lowercase();
    let values: Vec<String> = words.collect();
    let quoted = values.iter().map(|value| format!(" {}", redis_conf::quoted(value)));
    let text = std::iter::once(name.clone()).chain(quoted).collect();
    Directive { name, values, place: PLACE.to_owned(), text }
}

const PLACE: &str = "Reading the command line";

fn refused(argument: &str, reason: &str) -> DirectiveError {
    DirectiveError { place: PLACE.to_owned(), text: argument.to_owned(), reason: reason.to_owned() }
}

/// What `--version` prints.
#[must_use]
pub fn version() -> String {
    format!("Rejoin server v={} bits={}", env!("CARGO_PKG_VERSION"), usize::BITS)
}

/// What `--help` prints.
#[must_use]
pub fn help() -> &'static str {
    "\
Rejoin: a Redis-compatible node whose replicas rejoin with what they have.

Usage: rejoin-server [/path/to/redis.conf] [--directive value ...] [-]
       rejoin-server -            reads the configuration from standard input
       rejoin-server -v, --version
       rejoin-server -h, --help

Every directive of redis.conf that the node knows is also an option. What comes later wins:

  defaults  <  file (redis.conf, or *.toml)  <  standard input  <  REJOIN_*  <  options

Examples:
  rejoin-server                                             port 6379, nothing configured
  rejoin-server --port 7379 --dir /var/lib/rejoin
  rejoin-server /etc/redis/redis.conf --daemonize no        an existing configuration
  rejoin-server --port 7380 --replicaof 127.0.0.1 7379      a replica; its master may be a stock redis-server
  rejoin-server --bind 127.0.0.1 ::1 --requirepass secret --loglevel verbose
  REJOIN_PORT=7379 REJOIN_REPL_TIMEOUT=30 rejoin-server     underscores stand for hyphens
  echo 'port 7379' | rejoin-server - --loglevel warning

In TOML the names stay the same:  port = 7379   bind = [\"127.0.0.1\", \"::1\"]

All directives with their present values:  redis-cli -p 7379 CONFIG GET '*'
Signals: SIGTERM and SIGINT shut down in good order, a second one at once; SIGHUP does nothing.
Exit status: 0 after a shutdown, 1 if the configuration or the start failed, or if the node did.
"
}
