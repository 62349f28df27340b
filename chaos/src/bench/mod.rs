//! The node beside redis-server 7.0.15 in one run: throughput, CPU per operation, memory per key, latency beside a
//! snapshot, saving and loading, as ratios.
//!
//! Figures of one machine mean little elsewhere; ratios of the same minutes on the same machine mean more. So both servers
//! run side by side with the same data, measurements alternate between them, and what is reported is the median of the
//! rounds' ratios. On a small machine redis-benchmark is the bottleneck rather than the server, so the figure to judge by
//! is the server's CPU time per operation; throughput stands beside that of a server which does nothing.

mod catch_up;
mod do_nothing;
mod failover;
mod files;
mod full_sync;
mod latency;
mod live_replicas;
mod load;
mod log;
mod memory;
mod redis_benchmark;
mod returning;
mod table;

use anyhow::Result;

use crate::console::say;
use crate::servers::{Binary, Server, ServerKind};

use do_nothing::DoNothingServer;
use redis_benchmark::{Workload, measure, operations_for};
use table::{Row, median};

/// Operations of the first short run that finds out how fast a server is.
const CALIBRATION_OPERATIONS: u64 = 100_000;

/// All that redis-benchmark can measure.
pub const ALL_TESTS: [&str; 19] = [
    "ping_inline",
    "ping_mbulk",
    "set",
    "get",
    "incr",
    "lpush",
    "rpush",
    "lpop",
    "rpop",
    "sadd",
    "hset",
    "spop",
    "zadd",
    "zpopmin",
    "lrange_100",
    "lrange_300",
    "lrange_500",
    "lrange_600",
    "mset",
];

/// Elements that a measurement of a test that takes them away uses up at most: they are loaded before.
const TAKEN_AWAY_MAX: u64 = 2_000_000;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Keys preloaded, and the range that requests draw from.
    pub keys: u64,
    /// Measurements per server and workload.
    pub rounds: u32,
    /// How long one measurement should take.
    pub seconds: f64,
    /// Sizes of values in bytes.
    pub sizes: Vec<usize>,
    /// Commands per pipeline.
    pub pipelines: Vec<u32>,
    /// Names as redis-benchmark knows them, of those in [`ALL_TESTS`].
    pub tests: Vec<String>,
    /// Whether to measure memory per key too.
    pub with_memory: bool,
    /// Whether to measure latencies with and without full syncs too.
    pub with_latency: bool,
    /// Whether to measure saving to a file and loading from it too.
    pub with_files: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            keys: 1_000_000,
            rounds: 3,
            seconds: 3.0,
            sizes: vec![64, 1024],
            pipelines: vec![1, 16],
            tests: ["get", "set", "incr", "hset"].map(str::to_owned).to_vec(),
            with_memory: true,
            with_latency: true,
            with_files: true,
        }
    }
}

impl Plan {
    /// A quick look: 64 B values, one second each.
    #[must_use]
    pub fn short() -> Self {
        Self { keys: 200_000, seconds: 1.0, sizes: vec![64], with_files: false, ..Self::default() }
    }
}

/// Median figures of one workload.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What ran, as `SET -d 64 -P 1`.
    pub workload: String,
    /// CPU per operation of the node's process, as a share of redis-server's.
    pub cpu_ratio: f64,
    /// Throughput of the node as a share of redis-server's.
    pub throughput_ratio: f64,
}

/// Measures everything in the plan and prints it as tables.
pub fn run(plan: &Plan, node: &Binary) -> Result<Vec<Outcome>> {
    let redis = Binary::stock(ServerKind::Redis70)?;
    if plan.with_memory {
        memory::compare(&redis, node, plan.keys)?;
    }
    if plan.with_latency {
        latency::compare(&redis, node, plan.keys, plan.rounds, plan.seconds)?;
    }
    if plan.with_files {
        files::compare(&redis, node, plan.keys, plan.rounds)?;
        log::compare(&redis, node, plan.keys, plan.rounds, plan.seconds)?;
    }
    if plan.tests.is_empty() {
        return Ok(Vec::new());
    }
    let do_nothing = DoNothingServer::start()?;
    let mut outcomes = Vec::new();
    for &size in &plan.sizes {
        // Started anew for each size, so that no memory of the last one is in the way.
        let redis = Server::start(&redis, in_memory(&redis))?;
        let node = Server::start(node, in_memory(node))?;
        for server in [&redis, &node] {
            say(format_args!("loading {} keys of {size} B into {}", plan.keys, server.binary()));
            load::preload(server, &plan.tests, plan.keys, size)?;
        }
        say(format_args!(
            "\n{size} B values, {} keys, 50 clients; node / redis, median of {}",
            plan.keys, plan.rounds
        ));
        say(Row::HEADING);
        for &pipeline in &plan.pipelines {
            for test in &plan.tests {
                let workload = Workload { test: test.clone(), size, pipeline, keys: plan.keys };
                let row = compare_workload(plan, &workload, &redis, &node, &do_nothing)?;
                say(&row);
                outcomes.push(row.outcome());
            }
        }
        say("");
    }
    Ok(outcomes)
}

/// What to measure of replication between two servers of one kind.
#[derive(Clone, Copy, Debug)]
pub struct SyncPlan {
    /// Keys that a full sync carries; none leaves it out.
    pub keys: u64,
    /// Full syncs of each server.
    pub rounds: u32,
    /// Replicas that arrive at once.
    pub replicas: usize,
    /// Bytes written while a replica is away that finds them in memory; none leaves it out.
    pub catch_up_bytes: u64,
    /// Bytes written while a replica is away that finds them on disk, if anywhere; none leaves it out.
    pub away_bytes: u64,
    /// Keys of an old master that comes back after a failover; none leaves it out.
    pub returning_keys: u64,
}

/// Measures full syncs and replicas that were away, beside stock servers, and prints them as tables.
pub fn run_syncs(plan: &SyncPlan, node: &Binary) -> Result<()> {
    if plan.keys > 0 {
        full_sync::compare(node, plan.keys, plan.rounds, plan.replicas)?;
    }
    for (bytes, backlog, title) in [
        (plan.catch_up_bytes, "2gb", "catching up from memory"),
        (plan.away_bytes, "1mb", "away for more than memory holds"),
    ] {
        if bytes > 0 {
            let is_on_disk = backlog == "1mb";
            catch_up::compare(node, catch_up::Absence { bytes, backlog, title }, is_on_disk)?;
        }
    }
    if plan.returning_keys > 0 {
        returning::compare(node, plan.returning_keys)?;
    }
    Ok(())
}

/// What to measure of a master that replicas follow.
#[derive(Clone, Copy, Debug)]
pub struct MasterPlan {
    /// Measurements of each.
    pub rounds: u32,
    /// Length of one measurement of CPU in seconds.
    pub seconds: f64,
    /// Hand-overs of each pair; none leaves them out.
    pub failovers: u32,
    /// Whether to measure what live replicas cost.
    pub with_replicas: bool,
}

/// Measures what replicas cost their master and how it hands over, beside redis-server, and prints it as tables.
pub fn run_masters(plan: &MasterPlan, node: &Binary) -> Result<()> {
    let redis = Binary::stock(ServerKind::Redis70)?;
    if plan.failovers > 0 {
        failover::compare(&redis, node, plan.failovers)?;
    }
    if plan.with_replicas {
        live_replicas::compare(&redis, node, plan.rounds, plan.seconds)?;
    }
    Ok(())
}

/// Options with which nothing is written to disk.
fn in_memory(binary: &Binary) -> &'static [&'static str] {
    if binary.is_stock() {
        &["--appendonly", "no", "--save", ""]
    } else {
        &["--appendonly", "no", "--save", "", "--repl-history", "no"]
    }
}

fn compare_workload(
    plan: &Plan,
    workload: &Workload,
    redis: &Server,
    node: &Server,
    do_nothing: &DoNothingServer,
) -> Result<Row> {
    // How many operations make a measurement of the wanted length; the run that finds out also warms up.
    let operations = |server: &Server| -> Result<u64> {
        load::prepare(server, workload, CALIBRATION_OPERATIONS)?;
        let throughput = redis_benchmark::run(workload, server.port(), CALIBRATION_OPERATIONS)?;
        let operations = operations_for(workload, throughput, plan.seconds);
        Ok(if workload.takes_away() { operations.min(TAKEN_AWAY_MAX) } else { operations })
    };
    let (redis_operations, node_operations) = (operations(redis)?, operations(node)?);
    let (mut of_redis, mut of_node) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds.max(1) {
        for (server, operations, figures) in
            [(redis, redis_operations, &mut of_redis), (node, node_operations, &mut of_node)]
        {
            load::prepare(server, workload, operations)?;
            figures.push(measure(workload, server, operations)?);
        }
    }
    let before = do_nothing.cpu_ns()?;
    let limit = redis_benchmark::run(workload, do_nothing.port(), redis_operations)?;
    let used_ns = do_nothing.cpu_ns()? - before;
    let floor = Measured {
        per_second: limit,
        cpu_us_per_operation: used_ns as f64 / 1000.0 / redis_operations as f64,
    };
    Ok(Row::new(workload.to_string(), &of_redis, &of_node, floor))
}

/// Throughput and CPU time of one measurement.
#[derive(Clone, Copy, Debug)]
struct Measured {
    per_second: f64,
    cpu_us_per_operation: f64,
}

fn median_of(measured: &[Measured], figure: fn(&Measured) -> f64) -> f64 {
    median(measured.iter().map(figure).collect())
}
