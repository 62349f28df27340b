//! Keyspace notifications: with all classes of them on, both servers must publish the same events in the same order.

use std::time::Duration;

use anyhow::Result;

use super::{Mismatch, Run, Sent, Stop, shown};
use crate::client::{Client, Reply};
use crate::differential::exceptions;
use crate::differential::pair::{Both, Pair};

/// A command that is not answered may still be on its way on one of the servers when the listener's PING is answered:
/// then the listener asks again, this often, before it says that events differ.
const SILENT_ROUNDS: u32 = 50;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(10);

/// A connection to each server that hears all events.
pub(super) struct Listener(Both);

impl Listener {
    /// Switches events on and listens, if the pair wants it; else switches them off. Which expired key the active cycle
    /// meets first is up to chance, so that keys expire by access alone while events are compared.
    pub(super) fn begin(pair: &Pair, own: &mut Both) -> Result<Option<Self>> {
        let (classes, active_expire) = if pair.compares_events { ("KEAmn", "0") } else { ("", "1") };
        own.oracle.ask(&["CONFIG", "SET", "notify-keyspace-events", classes])?;
        own.subject.ask(&["CONFIG", "SET", "notify-keyspace-events", classes])?;
        own.call(&["DEBUG", "SET-ACTIVE-EXPIRE", active_expire])?;
        if !pair.compares_events {
            return Ok(None);
        }
        let mut listener = pair.connect()?;
        listener.call(&["PSUBSCRIBE", "__key*@*__:*"])?;
        Ok(Some(Self(listener)))
    }
}

impl Run<'_> {
    /// Compares what was published while `sent` was executed.
    pub(super) fn compare_events(&mut self, connection: usize, sent: &[Sent]) -> Result<(), Stop> {
        let oracle = self.pair.oracle;
        let Some(Listener(listener)) = &mut self.listener else { return Ok(()) };
        let queued = self.sessions[connection].executed.drain(..);
        let passed: Vec<&str> = (sent.iter().map(|command| command.args.clone()).chain(queued))
            .filter_map(|args| exceptions::event_to_pass(oracle, &args).map(|(event, _)| event))
            .collect();
        let is_passed = |heard: &String| passed.iter().any(|event| heard.contains(event));
        let any_silent = sent.iter().any(|command| !command.expects_reply);
        let (mut expected, mut actual) = (Vec::new(), Vec::new());
        for round in 0..if any_silent { SILENT_ROUNDS } else { 1 } {
            if round > 0 {
                std::thread::sleep(BETWEEN_ROUNDS);
            }
            listener.queue(&["PING"]);
            listener.flush()?;
            expected.extend(heard(&mut listener.oracle)?.into_iter().filter(|heard| !is_passed(heard)));
            actual.extend(heard(&mut listener.subject)?.into_iter().filter(|heard| !is_passed(heard)));
            if expected == actual {
                break;
            }
        }
        self.pair.tally.events += expected.len() as u64;
        if expected == actual {
            return Ok(());
        }
        let commands: Vec<String> = sent.iter().map(|command| shown(&command.args)).collect();
        Err(Stop::Differs(Mismatch {
            step: sent.last().map_or(0, |command| command.step),
            what: format!("the events of {}", commands.join("; ")),
            expected: expected.join(", "),
            actual: actual.join(", "),
        }))
    }
}

/// All messages up to the answer to PING, which for a listener looks like one.
fn heard(client: &mut Client) -> Result<Vec<String>> {
    let mut events = Vec::new();
    loop {
        let reply = client.read_reply()?;
        if reply.elements().and_then(<[Reply]>::first).and_then(Reply::bytes) == Some(b"pong") {
            return Ok(events);
        }
        let parts = reply.elements().unwrap_or_default();
        events.push(parts.iter().skip(2).map(Reply::to_string).collect::<Vec<_>>().join(" "));
    }
}
