//! `rejoin-chaos`: experiments on real server processes. The work is in the library; this is its command line.

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use rejoin_chaos::servers::{self, Binary};
use rejoin_chaos::{bad_input, bench, console, differential, main_job, simulator};

/// Runs the Rejoin node beside real Redis and Valkey servers, mistreats it, and compares.
///
/// Every subcommand starts the servers it needs on free ports of 127.0.0.1, in temporary directories, and stops them
/// again. Exit status 0 means that everything was as it should be. Stock servers come from `.ci/install-test-servers`.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    node: NodeOptions,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct NodeOptions {
    /// The node's program. Default: $REJOIN_SERVER, else rejoin-server beside this program, else the one in
    /// target/release or target/debug. A stock server may be named to try the experiments themselves.
    #[arg(long, value_name = "PATH", global = true)]
    node_binary: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// The main job in both roles: replicate to and from redis-server 7.0 under load, with the link cut in the middle.
    ///
    /// Prints each step. Fails unless both ends hold the same data (DEBUG DIGEST) after exactly one full sync and at
    /// least one partial one. Ends with a short bench beside redis-server.
    MainJob {
        /// Leave out the bench at the end.
        #[arg(long)]
        no_bench: bool,
    },
    /// Generated command sequences against the node and a real server; replies and data must be equal.
    ///
    /// A difference is printed with its seed and with the shortest sequence that was found to show it; the same
    /// --seed and --steps run it again.
    Differential {
        /// Seed of the first sequence; the others count up from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many sequences.
        #[arg(long, default_value_t = 100)]
        runs: u64,
        /// Steps of each sequence.
        #[arg(long, default_value_t = 500)]
        steps: usize,
        /// The server that is right.
        #[arg(long, value_enum, default_value = "redis7")]
        oracle: differential::Oracle,
    },
    /// Throughput, CPU per operation and memory per key beside redis-server 7.0, as ratios of one run.
    Bench(BenchOptions),
    /// Full syncs and replicas that were away, beside redis-server 7.0 and Valkey 9.1: time, latencies, memory.
    BenchSyncs(SyncOptions),
    /// What live replicas cost a master, and for how long FAILOVER stops the writes, beside redis-server 7.0.
    BenchMasters(MasterOptions),
    /// Broken requests, floods, half commands, and masters that speak garbage.
    ///
    /// The node must stay alive, serve others meanwhile, keep its memory below each case's bound and its old data,
    /// and complain in the words of redis-server 7.0, which gets the same requests.
    BadInput,
    /// Worlds made from seeds: masters, replicas and clients on the node's own machines, with faults of links, disks,
    /// processes and power, under virtual time. No process is started.
    ///
    /// A world that breaks a promise is printed with the command that runs it again.
    Simulate(SimulateOptions),
}

#[derive(Args)]
struct SimulateOptions {
    /// The world of one seed.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// The worlds of many seeds, the last one not included.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Print what happens, line by line.
    #[arg(long)]
    trace: bool,
}

fn seeds(text: &str) -> Result<Range<u64>> {
    let (first, end) = text.split_once("..").context("two numbers with '..' between them")?;
    Ok(first.parse()?..end.parse()?)
}

#[derive(Args)]
struct BenchOptions {
    /// Keys loaded before measuring, and the range that requests draw from.
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Measurements of each workload on each server; they alternate, and the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of one measurement in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Sizes of values in bytes.
    #[arg(long, value_delimiter = ',', default_value = "64,1024")]
    sizes: Vec<usize>,
    /// Commands per pipeline.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    pipelines: Vec<u32>,
    /// Tests of redis-benchmark by its names (get, lpush, lrange_100 ...), or `all`.
    #[arg(long, value_delimiter = ',', default_value = "get,set,incr,hset")]
    tests: Vec<String>,
    /// Leave out memory per key.
    #[arg(long)]
    no_memory: bool,
    /// Leave out latencies with and without full syncs.
    #[arg(long)]
    no_latency: bool,
    /// Leave out saving to a file and loading from it.
    #[arg(long)]
    no_files: bool,
}

#[derive(Args)]
struct SyncOptions {
    /// Keys that a full sync carries; 0 leaves it out.
    #[arg(long, default_value_t = 5_000_000)]
    keys: u64,
    /// Full syncs of each server; the median counts.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Replicas that arrive at once.
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Megabytes written while a replica is away that finds them in the backlog; 0 leaves it out.
    #[arg(long, default_value_t = 500)]
    catch_up_mb: u64,
    /// Megabytes written while a replica is away whose backlog is 1 MB; 0 leaves it out.
    #[arg(long, default_value_t = 2_000)]
    away_mb: u64,
    /// Keys of an old master that comes back after a failover, its tail lost; 0 leaves it out.
    #[arg(long, default_value_t = 5_000_000)]
    returning_keys: u64,
}

#[derive(Args)]
struct MasterOptions {
    /// Measurements of each; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of one measurement of CPU in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Hand-overs of each pair; 0 leaves them out.
    #[arg(long, default_value_t = 20)]
    failovers: u32,
    /// Leave out what live replicas cost.
    #[arg(long)]
    no_replicas: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rejoin-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if let Command::Simulate(options) = &cli.command {
        return simulate(options);
    }
    servers::end_all_on_signal()?;
    let node = Binary::node(cli.node.node_binary.as_deref())?;
    match cli.command {
        Command::MainJob { no_bench } => {
            main_job::run(&node)?;
            if !no_bench {
                bench::run(&bench::Plan::short(), &node)?;
            }
        }
        Command::Differential { seed, runs, steps, oracle } => {
            differential::run(&differential::Plan { oracle, seed, runs, steps }, &node)?;
        }
        Command::Bench(options) => {
            bench::run(&options.into(), &node)?;
        }
        Command::BenchSyncs(options) => bench::run_syncs(&options.into(), &node)?,
        Command::BenchMasters(MasterOptions { rounds, seconds, failovers, no_replicas }) => {
            let plan = bench::MasterPlan { rounds, seconds, failovers, with_replicas: !no_replicas };
            bench::run_masters(&plan, &node)?;
        }
        Command::BadInput => bad_input::run(&node)?,
        Command::Simulate(_) => {}
    }
    Ok(())
}

fn simulate(options: &SimulateOptions) -> Result<()> {
    let prints: Option<fn(&str)> = options.trace.then_some(|line| console::say(line));
    let seeds = options.seed.map_or(options.seeds.clone(), |seed| seed..seed + 1);
    let mut summary = simulator::Summary::default();
    for seed in seeds {
        let outcome = simulator::run(seed, None, prints);
        if outcome.broken.is_some() && !options.trace {
            console::say(&outcome.last_lines);
        }
        summary.add(seed, outcome);
    }
    console::say(&summary);
    ensure!(summary.failures.is_empty(), "{} worlds broke a promise", summary.failures.len());
    Ok(())
}

impl From<BenchOptions> for bench::Plan {
    fn from(options: BenchOptions) -> Self {
        let BenchOptions { keys, rounds, seconds, sizes, pipelines, tests, no_memory, no_latency, no_files } =
            options;
        let tests = if tests.iter().any(|test| test == "all") {
            bench::ALL_TESTS.map(str::to_owned).to_vec()
        } else {
            tests
        };
        Self {
            keys,
            rounds,
            seconds,
            sizes,
            pipelines,
            tests,
            with_memory: !no_memory,
            with_latency: !no_latency,
            with_files: !no_files,
        }
    }
}

impl From<SyncOptions> for bench::SyncPlan {
    fn from(options: SyncOptions) -> Self {
        let SyncOptions { keys, rounds, replicas, catch_up_mb, away_mb, returning_keys } = options;
        let bytes = |megabytes: u64| megabytes.saturating_mul(1_000_000);
        let (catch_up_bytes, away_bytes) = (bytes(catch_up_mb), bytes(away_mb));
        Self { keys, rounds, replicas, catch_up_bytes, away_bytes, returning_keys }
    }
}
