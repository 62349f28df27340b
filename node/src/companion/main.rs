//! The program `rejoin`: what an operator does with a node's files while no node uses them.
//!
//! Each subcommand is a module; here is the command line. Exit status 0 means that all is well or was put right, 1 that it
//! is not, as with redis-check-aof and redis-check-rdb, whose words the checks speak.

mod check_aof;
mod check_rdb;
mod console;
mod lost;
mod side_data;

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use console::Console;

/// Looks after the files of a Rejoin node, and of Redis and Valkey.
///
/// Stop the node first: what it is writing looks damaged. Nothing is changed unless you ask for it.
#[derive(Parser)]
#[command(name = "rejoin", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks an append-only file, or a whole log by its manifest or its folder.
    ///
    /// Says as redis-check-aof does up to which byte each file is whole. Where a node of ours wrote side data beside a
    /// file, its bytes are compared with that too, so that damage is found which leaves the commands readable.
    ///
    /// Exit status 0: everything is valid, or was cut as you asked. 1: it is not.
    #[command(after_help = CHECK_AOF_EXAMPLES)]
    CheckAof(CheckAof),
    /// Checks an RDB file: every key, every length, the checksum.
    ///
    /// Prints as redis-check-rdb does what is in it, and where the first damage is. Reads files of Redis 2.6 to 8.x and of
    /// Valkey; what a node of ours cannot load yet is counted, and is no damage.
    ///
    /// Exit status 0: it can be read to its end and the checksum is right. 1: it cannot.
    #[command(after_help = "Example:\n  rejoin check-rdb /var/lib/redis/dump.rdb")]
    CheckRdb {
        /// The file.
        file: PathBuf,
    },
    /// Shows the ends of streams that a node gave up when it went back to where its master's stream and its own parted.
    ///
    /// A node that was master, was replaced, and rejoins gives up what its clients wrote and nobody else received. It keeps
    /// these bytes in files called lost-<replid>-<from>-<to>.aof beside its log, and never removes them.
    ///
    /// Given a node's directory (`dir`) or the folder of its log, lists these files. Given one of them, prints its commands,
    /// one to a line, as redis-cli takes them.
    ///
    /// Exit status 0: all could be read, or there is none. 1: something could not.
    #[command(after_help = LOST_EXAMPLES)]
    Lost {
        /// A node's directory, the folder of its log, or one of the files.
        #[arg(default_value = ".")]
        path: PathBuf,
    },
}

const LOST_EXAMPLES: &str = "\
Examples:
  rejoin lost /var/lib/redis
      which ends of streams were given up, when, and what is in them
  rejoin lost /var/lib/redis/appendonlydir/lost-<replid>-<from>-<to>.aof
      the commands; look at them before you write anything anew
  redis-cli --pipe < lost-<replid>-<from>-<to>.aof
      writes all of it anew, whatever was written to the same keys since

Once you have what you need, remove the file.";

const CHECK_AOF_EXAMPLES: &str = "\
Examples:
  rejoin check-aof /var/lib/redis/appendonlydir
      look at all files that the manifest names
  rejoin check-aof --fix /var/lib/redis/appendonlydir/appendonly.aof.manifest
      cut the last one where its whole commands end
  rejoin check-aof --truncate-to-timestamp 1700000000 appendonly.aof
      go back to that second; needs annotations (aof-timestamp-enabled yes)

Keep a copy before you let anything be cut. A node of ours that starts with a log that was cut begins a new stream:
its replicas need a full sync.";

#[derive(Args)]
struct CheckAof {
    /// Cut the last file behind its last whole command or transaction. Asks before it does.
    #[arg(long, conflicts_with = "truncate_to_timestamp")]
    fix: bool,
    /// Cut the last file before the first annotation that is later than this second since 1970. Does not ask.
    #[arg(long, value_name = "SECONDS")]
    truncate_to_timestamp: Option<String>,
    /// A manifest, an append-only file, or the folder of a log (appendonlydir).
    file: PathBuf,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            // Whoever calls redis-check-aof knows 0 and 1.
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let mut console = Console::new(stdin.lock(), stdout.lock());
    let outcome = match cli.command {
        Command::CheckAof(options) => check_aof::run(&options, &mut console),
        Command::Lost { path } => lost::run(&path, &mut console),
        Command::CheckRdb { file } => check_rdb::run(&file, &mut console),
    };
    if let Err(complaint) = &outcome {
        console.line(complaint);
    }
    let _ = io::stdout().flush();
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
