//! Runs redis-benchmark and reads its figures.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Measured;
use crate::servers::Server;

const CLIENTS: u32 = 50;

/// One kind of load.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) test: String,
    pub(super) size: usize,
    pub(super) pipeline: u32,
    pub(super) keys: u64,
}

impl Workload {
    /// Whether each of its operations takes an element away from a collection.
    pub(super) fn takes_away(&self) -> bool {
        matches!(self.test.as_str(), "lpop" | "rpop" | "spop" | "zpopmin")
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -d {} -P {}", self.test.to_uppercase(), self.size, self.pipeline)
    }
}

/// Operations that keep a server of this throughput busy for about `seconds`, as whole pipelines of all clients.
pub(super) fn operations_for(workload: &Workload, per_second: f64, seconds: f64) -> u64 {
    let at_once = u64::from(workload.pipeline * CLIENTS);
    // Throughputs are far below what an f64 holds exactly.
    ((per_second * seconds) as u64 / at_once).max(1) * at_once
}

/// Runs the load against a server and takes its process' CPU time meanwhile.
pub(super) fn measure(workload: &Workload, server: &Server, operations: u64) -> Result<Measured> {
    let before = server.cpu_time()?;
    let per_second = run(workload, server.port(), operations)?;
    let used_ns = server.cpu_time()?.since(before);
    Ok(Measured { per_second, cpu_us_per_operation: used_ns as f64 / 1000.0 / operations as f64 })
}

/// Runs the load against a port; returns operations per second.
pub(super) fn run(workload: &Workload, port: u16, operations: u64) -> Result<f64> {
    let mut command = Command::new("redis-benchmark");
    command.args(["--csv", "-h", "127.0.0.1", "-p", &port.to_string(), "-c", &CLIENTS.to_string()]);
    command.args([
        "-t",
        &workload.test,
        "-d",
        &workload.size.to_string(),
        "-P",
        &workload.pipeline.to_string(),
    ]);
    command.args(["-r", &workload.keys.to_string(), "-n", &operations.to_string()]);
    let output = command.output().context("running redis-benchmark: run .ci/install-test-servers")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "redis-benchmark failed ({workload}): {text}{complaint}");
    throughput_in(&text, &workload.test)
        .with_context(|| format!("no figures ({workload}) in: {text}{complaint}"))
}

/// `"SET","85470.09",...`: the row of the test, second column.
fn throughput_in(csv: &str, test: &str) -> Option<f64> {
    let is_row = |line: &&str| line.to_uppercase().starts_with(&format!("\"{}", test.to_uppercase()));
    let row = csv.lines().rev().find(is_row)?;
    row.split(',').nth(1)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_row_of_its_test() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET\",\"85470.09\",\"0.520\"\n";
        assert!((throughput_in(csv, "set").unwrap() - 85_470.09).abs() < 0.001);
        assert!(throughput_in(csv, "get").is_none());
    }
}
