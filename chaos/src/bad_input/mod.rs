//! Hostile clients and masters, and what a server must do about them: stay alive, keep serving others, keep its memory in
//! bounds, and complain in Redis' words where Redis complains.
//!
//! - [`requests`]: small malformed or odd requests, sent to the subject and to redis-server 7.0.15; the answers must be
//!   the same bytes.
//! - [`floods`]: much of something, or not enough of it, for a long time.
//! - [`fake_master`]: masters that speak garbage to a server that was told to follow them; its old data must still be
//!   served.
//! - [`replicas`]: replicas that do not read, acknowledge what there is not, or ask for everything all the time.

mod bystander;
mod fake_master;
mod floods;
mod masters;
mod replicas;
mod requests;

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;
use crate::console::say;
use crate::servers::{Binary, Server, ServerKind};

use bystander::Bystander;

/// Something that every server here holds before it is mistreated, and must hold afterwards.
const MARKER: (&str, &str) = ("marker", "still here");
const MARKERS: i64 = 1_000;

/// Runs all of it against `subject` and prints what each case showed. Fails at the end if any went wrong.
pub fn run(subject: &Binary) -> Result<()> {
    let mut groups = vec![run_requests(subject), run_floods(subject), run_masters(subject)];
    // A stock server pays for such replicas with its memory, and takes some of them at their word.
    if !subject.is_stock() {
        groups.push(run_replicas(subject));
    }
    let failures: Vec<String> =
        groups.into_iter().filter_map(|group| Some(format!("{:#}", group.err()?))).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Odd requests, answered as Redis answers them.
pub fn run_requests(subject: &Binary) -> Result<()> {
    let reference = Server::start(&Binary::stock(ServerKind::Redis70)?, &[])?;
    let mut cases = Cases::begin("request", subject)?;
    for request in requests::all() {
        cases.run(&request.name, |server| requests::compare(&request, &reference, server))?;
    }
    cases.end()
}

/// Floods and droughts.
pub fn run_floods(subject: &Binary) -> Result<()> {
    run_bounded("flood", floods::ALL, subject)
}

/// Replicas that misbehave.
pub fn run_replicas(subject: &Binary) -> Result<()> {
    run_bounded("replica", replicas::ALL, subject)
}

/// Each while another client is served, and with a bound for the server's memory.
fn run_bounded(group: &'static str, floods: &[floods::Flood], subject: &Binary) -> Result<()> {
    let mut cases = Cases::begin(group, subject)?;
    for flood in floods {
        cases.run(flood.name, |server| {
            let before = server.memory()?.resident;
            let bystander = Bystander::start(server)?;
            let outcome = (flood.run)(server);
            let seen = bystander.stop().context("another client")?;
            let grown = seen.resident_most.saturating_sub(before);
            ensure!(
                grown <= flood.memory_bound,
                "the server grew by {grown} bytes; the bound is {}",
                flood.memory_bound
            );
            Ok(format!(
                "{}; memory +{} MB of at most {}; others waited {:.1} ms at most ({} PINGs)",
                outcome?,
                grown >> 20,
                flood.memory_bound >> 20,
                seen.waited_most.as_secs_f64() * 1000.0,
                seen.pings
            ))
        })?;
    }
    cases.end()
}

/// Masters that speak garbage.
pub fn run_masters(subject: &Binary) -> Result<()> {
    let mut cases = Cases::begin("master", subject)?;
    for script in masters::ALL {
        if subject.is_stock() && !script.stock_survives {
            cases.skip(script.name, "a stock server dies or empties itself");
            continue;
        }
        cases.run(script.name, |server| fake_master::mistreat(script, server))?;
    }
    cases.run("following nobody afterwards", |server| {
        let mut client = server.client()?;
        client.ask(&["REPLICAOF", "NO", "ONE"])?;
        client.ask(&["SET", "after", "the masters"])?;
        client.ask(&["DEL", "after"])?;
        Ok("takes writes".to_owned())
    })?;
    cases.end()
}

/// A server that is mistreated in one case after another; one that goes wrong does not hide those behind it.
struct Cases {
    group: &'static str,
    server: Server,
    failures: Vec<String>,
}

impl Cases {
    fn begin(group: &'static str, subject: &Binary) -> Result<Self> {
        Ok(Self { group, server: start_with_data(subject)?, failures: Vec::new() })
    }

    /// Runs a case, then insists that the server answers new clients and has its data. If it does not, the whole group fails
    /// at once: there is nothing to go on with.
    fn run(&mut self, name: &str, case: impl FnOnce(&Server) -> Result<String>) -> Result<()> {
        let outcome = case(&self.server);
        let intact = self.server.client().and_then(|mut client| ensure_data(&mut client, MARKERS));
        let group = self.group;
        ensure!(
            self.server.is_alive(),
            "{group} \"{name}\": the server died; the end of its log:\n{}",
            self.server.log_tail()
        );
        if let Err(error) = intact {
            let before = outcome.err().map(|error| format!(" (before that: {error:#})")).unwrap_or_default();
            let tail = self.server.log_tail();
            bail!(
                "{group} \"{name}\" leaves the server broken: {error:#}{before}; the end of its log:\n{tail}"
            );
        }
        match outcome {
            Ok(outcome) => say(format_args!("{group:<8} {name:<44} {outcome}")),
            Err(error) => {
                say(format_args!("{group:<8} {name:<44} FAILED: {error:#}"));
                self.failures.push(format!("{group} \"{name}\": {error:#}"));
            }
        }
        Ok(())
    }

    fn skip(&self, name: &str, reason: &str) {
        say(format_args!("{:<8} {name:<44} skipped: {reason}", self.group));
    }

    fn end(self) -> Result<()> {
        let failures = self.failures.join("\n");
        ensure!(failures.is_empty(), "{failures}\nthe end of the server's log:\n{}", self.server.log_tail());
        Ok(())
    }
}

fn start_with_data(subject: &Binary) -> Result<Server> {
    // A stock server has no bound for what a client does not read, unless it is given one.
    let options: &[&str] =
        if subject.is_stock() { &["--client-output-buffer-limit", "normal 32mb 0 0"] } else { &[] };
    let server = Server::start(subject, options)?;
    let mut client = server.client()?;
    client.ask(&["SET", MARKER.0, MARKER.1])?;
    for n in 1..MARKERS {
        client.ask(&["SET", &format!("data:{n}"), "x"])?;
    }
    Ok(server)
}

fn ensure_data(client: &mut Client, keys: i64) -> Result<()> {
    let marker = client.ask_text(&["GET", MARKER.0])?;
    ensure!(marker == MARKER.1, "the marker reads {marker}");
    let stored = client.ask_integer(&["DBSIZE"])?;
    ensure!(stored == keys, "the server holds {stored} keys; there were {keys}");
    Ok(())
}
