//! Hostile clients and masters, and what a server must do about them: stay alive, keep serving others, keep its memory in
//! bounds, and complain in Redis' words where Redis complains.
//!
//! - [`requests`]: small malformed or odd requests, sent to the subject and to redis-server 7.0.15; the answers must be
//!   the same bytes.
//! - [`floods`]: much of something, or not enough of it, for a long time.
//! - [`fake_master`]: masters that speak garbage to a server that was told to follow them; its old data must still be
//!   served.

mod bystander;
mod fake_master;
mod floods;
mod masters;
mod requests;

use anyhow::{Context, Result, ensure};

use crate::client::Client;
use crate::console::say;
use crate::servers::{Binary, Server, ServerKind};

use bystander::Bystander;

/// Something that every server here holds before it is mistreated, and must hold afterwards.
const MARKER: (&str, &str) = ("marker", "still here");
const MARKERS: i64 = 1_000;

/// Runs all of it against `subject` and prints what each case showed. Fails at the first that went wrong.
pub fn run(subject: &Binary) -> Result<()> {
    run_requests(subject)?;
    run_floods(subject)?;
    run_masters(subject)
}

/// Odd requests, answered as Redis answers them.
pub fn run_requests(subject: &Binary) -> Result<()> {
    let reference = Server::start(&Binary::stock(ServerKind::Redis70)?, &[])?;
    let mut server = start_with_data(subject)?;
    for request in requests::all() {
        let what = || format!("bad request \"{}\"", request.name);
        let outcome = guarded(&mut server, what, |server| requests::compare(&request, &reference, server))?;
        say(format_args!("request  {:<44} {outcome}", request.name));
    }
    Ok(())
}

/// Floods and droughts.
pub fn run_floods(subject: &Binary) -> Result<()> {
    let mut server = start_with_data(subject)?;
    for flood in floods::ALL {
        let before = server.memory()?.resident;
        let bystander = Bystander::start(&server)?;
        let outcome =
            guarded(&mut server, || format!("flood \"{}\"", flood.name), |server| (flood.run)(server))?;
        let seen = bystander.stop().with_context(|| format!("another client, during \"{}\"", flood.name))?;
        let grown = seen.resident_most.saturating_sub(before);
        say(format_args!(
            "flood    {:<44} {outcome}; memory +{} MB of at most {}; others waited {:.1} ms at most ({} PINGs)",
            flood.name,
            grown >> 20,
            flood.memory_bound >> 20,
            seen.waited_most.as_secs_f64() * 1000.0,
            seen.pings
        ));
        ensure!(
            grown <= flood.memory_bound,
            "\"{}\" made the server grow by {grown} bytes; the bound is {}",
            flood.name,
            flood.memory_bound
        );
    }
    Ok(())
}

/// Masters that speak garbage.
pub fn run_masters(subject: &Binary) -> Result<()> {
    let mut server = start_with_data(subject)?;
    for script in masters::ALL {
        if subject.is_stock() && !script.stock_survives {
            say(format_args!("master   {:<44} skipped: a stock server dies or empties itself", script.name));
            continue;
        }
        let what = || format!("bad master \"{}\"", script.name);
        let outcome = guarded(&mut server, what, |server| fake_master::mistreat(script, server))?;
        say(format_args!("master   {:<44} {outcome}", script.name));
    }
    let mut client = server.client()?;
    client.ask(&["REPLICAOF", "NO", "ONE"])?;
    client.ask(&["SET", "after", "the masters"])?;
    ensure_data(&mut client, MARKERS + 1)
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

/// Runs a case, then insists that the server is alive, answers new clients and has its data.
fn guarded<T>(
    server: &mut Server,
    what: impl Fn() -> String,
    case: impl FnOnce(&Server) -> Result<T>,
) -> Result<T> {
    let outcome = case(server).with_context(&what);
    let intact = server.client().and_then(|mut client| ensure_data(&mut client, MARKERS)).with_context(&what);
    ensure!(server.is_alive(), "{}: the server died; the end of its log:\n{}", what(), server.log_tail());
    let outcome = outcome?;
    intact.with_context(|| format!("the end of the server's log:\n{}", server.log_tail()))?;
    Ok(outcome)
}

fn ensure_data(client: &mut Client, keys: i64) -> Result<()> {
    let marker = client.ask_text(&["GET", MARKER.0])?;
    ensure!(marker == MARKER.1, "the marker reads {marker}");
    let stored = client.ask_integer(&["DBSIZE"])?;
    ensure!(stored == keys, "the server holds {stored} keys; there were {keys}");
    Ok(())
}
