//! What the log on disk costs: CPU of a write with `appendonly` yes and no, how long a rewrite takes, and how long a start
//! does that loads the log.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};

use super::redis_benchmark::{Workload, measure, operations_for, run};
use super::table::median;
use super::{CALIBRATION_OPERATIONS, in_memory, load};
use crate::console::say;
use crate::replication::info;
use crate::servers::{Binary, Server};
use crate::wait;

const VALUE_BYTES: usize = 64;
const LOADED: &str = "DB loaded from append only file: ";
const POLICIES: [&str; 2] = ["everysec", "always"];

/// Measures both servers and prints them below each other.
pub(super) fn compare(redis: &Binary, node: &Binary, keys: u64, rounds: u32, seconds: f64) -> Result<()> {
    say(format_args!(
        "the log: SET of {VALUE_BYTES} B among {keys} keys, 50 clients, CPU us per operation; median of {rounds}"
    ));
    say(format_args!(
        "{:<12}{:>6}{:>12}{:>12}{:>12}{:>16}",
        "", "-P", "no", "everysec", "always", "everysec / no"
    ));
    for pipeline in [1, 16] {
        for binary in [redis, node] {
            let workload = Workload { test: "set".to_owned(), size: VALUE_BYTES, pipeline, keys };
            let without = cpu(binary, in_memory(binary), &workload, rounds, seconds)?;
            let mut with = Vec::new();
            for policy in POLICIES {
                let options = ["--appendonly", "yes", "--save", "", "--appendfsync", policy];
                with.push(cpu(binary, &options, &workload, rounds, seconds)?);
            }
            say(format_args!(
                "{:<12}{pipeline:>6}{without:>12.2}{:>12.2}{:>12.2}{:>16.2}",
                binary.to_string(),
                with[0],
                with[1],
                with[0] / without
            ));
        }
    }
    say(format_args!("{:<12}{:>14}{:>14}{:>20}", "", "rewrite s", "load base s", "load log of SETs s"));
    for binary in [redis, node] {
        let (rewrite, base, log) = rewrite_and_loads(binary, keys, rounds)?;
        say(format_args!("{:<12}{rewrite:>14.2}{base:>14.2}{log:>20.2}", binary.to_string()));
    }
    say("");
    Ok(())
}

fn cpu(binary: &Binary, options: &[&str], workload: &Workload, rounds: u32, seconds: f64) -> Result<f64> {
    let server = Server::start(binary, options)?;
    load::preload(&server, std::slice::from_ref(&workload.test), workload.keys, workload.size)?;
    let per_second = run(workload, server.port(), CALIBRATION_OPERATIONS)?;
    let operations = operations_for(workload, per_second, seconds);
    let mut figures = Vec::new();
    for _ in 0..rounds.max(1) {
        figures.push(measure(workload, &server, operations)?.cpu_us_per_operation);
    }
    Ok(median(figures))
}

fn rewrite_and_loads(binary: &Binary, keys: u64, rounds: u32) -> Result<(f64, f64, f64)> {
    // Nothing is rewritten but when asked.
    let options = ["--appendonly", "yes", "--save", "", "--auto-aof-rewrite-percentage", "0"];
    let mut server = Server::start(binary, &options)?;
    load::preload(&server, &["set".to_owned()], keys, VALUE_BYTES)?;
    let mut logs = Vec::new();
    for _ in 0..rounds.max(1) {
        server.restart()?;
        logs.push(seconds_of_load(&server)?);
    }
    let (mut rewrites, mut bases) = (Vec::new(), Vec::new());
    for _ in 0..rounds.max(1) {
        let begun = Instant::now();
        server.client()?.ask(&["BGREWRITEAOF"])?;
        wait::until("the log is rewritten", || {
            Ok(info(&server, "persistence")?.get("aof_rewrite_in_progress").is_some_and(|is| is == "0"))
        })?;
        rewrites.push(begun.elapsed().as_secs_f64());
        server.restart()?;
        bases.push(seconds_of_load(&server)?);
    }
    Ok((median(rewrites), median(bases), median(logs)))
}

/// What the server's log says of its last load.
fn seconds_of_load(server: &Server) -> Result<f64> {
    wait::until("the data is loaded", || {
        Ok(info(server, "persistence")?.get("loading").is_some_and(|is| is == "0"))
    })?;
    let log = fs::read_to_string(server.log_path()).context("reading the log")?;
    let (_, behind) = log.rsplit_once(LOADED).context("the log says nothing of a load")?;
    let number = behind.split(' ').next().unwrap_or_default();
    number.parse().with_context(|| format!("'{number}' is no number of seconds"))
}
