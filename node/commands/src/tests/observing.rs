//! What is counted and timed of commands: INFO commandstats and latencystats, the slow log, the latency monitor.

use std::{cell::Cell, rc::Rc};

use super::{Node, check};

/// A clock by which every command takes as long as the cell says.
fn timed(node: &mut Node, nanos: u64) -> Rc<Cell<u64>> {
    let step = Rc::new(Cell::new(nanos));
    let (now, reader) = (Cell::new(0), step.clone());
    node.engine.set_clock(Box::new(move || {
        now.set(now.get() + reader.get());
        now.get()
    }));
    step
}

/// The line of INFO that begins with `name`, without that.
fn info(node: &mut Node, section: &str, name: &str) -> Option<String> {
    let text = node.send(2, &format!("INFO {section}"));
    text.split_whitespace().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.to_owned()))
}

#[test]
fn calls_time_refusals_and_failures_are_counted_for_each_command() {
    let mut node = Node::new();
    timed(&mut node, 3_000);
    check(
        &mut node,
        &[
            ("SET k v", "+OK"),
            ("SET k v", "+OK"),
            ("SET k", "-ERR wrong number of arguments for 'set' command"),
            ("LPUSH k v", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("CONFIG GET port", "*2 $4 port $4 6379"),
            ("CLIENT NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP."),
        ],
    );
    let stats = |node: &mut Node, name: &str| info(node, "commandstats", &format!("cmdstat_{name}"));
    assert_eq!(
        stats(&mut node, "set").unwrap(),
        "calls=2,usec=6,usec_per_call=3.00,rejected_calls=1,failed_calls=0"
    );
    assert_eq!(
        stats(&mut node, "lpush").unwrap(),
        "calls=1,usec=3,usec_per_call=3.00,rejected_calls=0,failed_calls=1"
    );
    assert!(stats(&mut node, "config|get").is_some());
    assert_eq!(stats(&mut node, "client"), None, "an unknown subcommand is nobody's");
    assert_eq!(
        info(&mut node, "latencystats", "latency_percentiles_usec_set").unwrap(),
        "p50=3.007,p99=3.007,p99.9=3.007"
    );
    check(
        &mut node,
        &[
            ("CONFIG RESETSTAT", "+OK"),
            ("CONFIG SET latency-tracking-info-percentiles 33.5", "+OK"),
            ("GET k", "$1 v"),
        ],
    );
    assert_eq!(stats(&mut node, "set"), None);
    assert_eq!(info(&mut node, "latencystats", "latency_percentiles_usec_get").unwrap(), "p33.5=3.007");
    check(&mut node, &[("CONFIG SET latency-tracking no", "+OK")]);
    assert_eq!(info(&mut node, "latencystats", "latency_percentiles_usec_get"), None);
}

#[test]
fn a_transaction_counts_as_itself_and_as_its_commands() {
    let mut node = Node::new();
    timed(&mut node, 1_000);
    node.send(1, "MULTI");
    node.send(1, "INCR n");
    node.send(1, "INCR n");
    node.send(1, "LPUSH n x");
    node.send(1, "EXEC");
    let stats = |node: &mut Node, name: &str| info(node, "commandstats", name).unwrap();
    assert_eq!(
        stats(&mut node, "cmdstat_incr"),
        "calls=2,usec=2,usec_per_call=1.00,rejected_calls=0,failed_calls=0"
    );
    // Three commands, and its own look at the clock.
    assert_eq!(
        stats(&mut node, "cmdstat_exec"),
        "calls=1,usec=4,usec_per_call=4.00,rejected_calls=0,failed_calls=0"
    );
    assert_eq!(info(&mut node, "errorstats", "errorstat_WRONGTYPE").unwrap(), "count=1");
}

#[test]
fn waiting_is_one_call_and_not_slow() {
    let mut node = Node::new();
    let step = timed(&mut node, 2_000);
    check(&mut node, &[("CONFIG SET slowlog-log-slower-than 1000", "+OK"), ("BLPOP list 0", "")]);
    step.set(5_000);
    assert_eq!(node.send(2, "RPUSH list v"), ":1");
    assert_eq!(node.replies(1), "*2 $4 list $1 v");
    assert_eq!(
        info(&mut node, "commandstats", "cmdstat_blpop").unwrap(),
        "calls=1,usec=7,usec_per_call=7.00,rejected_calls=0,failed_calls=0"
    );
    assert_eq!(node.send(2, "SLOWLOG LEN"), ":0");
    node.send(1, "BLPOP list 0");
    assert_eq!(node.send(2, "CLIENT UNBLOCK 1 ERROR"), ":1");
    assert_eq!(info(&mut node, "errorstats", "errorstat_UNBLOCKED").unwrap(), "count=1");
}

#[test]
fn the_slow_log_keeps_the_newest_slow_commands() {
    let mut node = Node::new();
    let step = timed(&mut node, 500_000);
    check(
        &mut node,
        &[
            ("CLIENT SETNAME me", "+OK"),
            ("CONFIG SET slowlog-log-slower-than 1000 slowlog-max-len 2", "+OK"),
            ("SET quick 1", "+OK"),
            ("SLOWLOG GET", "*0"),
        ],
    );
    step.set(1_000_000);
    check(&mut node, &[("SET a 1", "+OK"), ("SET b 1", "+OK"), ("MULTI", "+OK"), ("PING", "+QUEUED")]);
    // Not EXEC itself; and MULTI has pushed out what came first.
    check(&mut node, &[("EXEC", "*1 +PONG")]);
    step.set(0);
    let entry = |id: u32, args: &str| format!("*6 :{id} :1000 :1000 {args} $15 127.0.0.1:50001 $2 me");
    let newest = entry(3, "*1 $4 PING");
    check(
        &mut node,
        &[
            ("SLOWLOG LEN", ":2"),
            ("SLOWLOG GET 1", &format!("*1 {newest}")),
            ("SLOWLOG GET", &format!("*2 {newest} {}", entry(2, "*1 $5 MULTI"))),
            ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
            ("SLOWLOG GET x", "-ERR count should be greater than or equal to -1"),
            ("SLOWLOG RESET", "+OK"),
            ("SLOWLOG GET -1", "*0"),
            ("DEBUG SLEEP 0.25", "+OK"),
            ("SLOWLOG GET", "*1 *6 :4 :1000 :250000 *3 $5 DEBUG $5 SLEEP $4 0.25 $15 127.0.0.1:50001 $2 me"),
            ("CONFIG SET slowlog-log-slower-than -1", "+OK"),
            ("DEBUG SLEEP 0.25", "+OK"),
            ("SLOWLOG LEN", ":1"),
        ],
    );
}

#[test]
fn the_latency_monitor_notes_spikes_by_their_kind() {
    let mut node = Node::new();
    let step = timed(&mut node, 0);
    check(
        &mut node,
        &[
            ("LATENCY LATEST", "*0"),
            ("CONFIG SET latency-monitor-threshold 10", "+OK"),
            ("DEBUG SLEEP 0.05", "+OK"),
            ("DEBUG SLEEP 0.02", "+OK"),
            ("LATENCY LATEST", "*1 *4 $7 command :1000 :50 :50"),
            ("LATENCY HISTORY command", "*1 *2 :1000 :50"),
            ("LATENCY HISTORY fork", "*0"),
            ("LATENCY GRAPH fork", "-ERR No samples available for event 'fork'"),
        ],
    );
    step.set(10_000_000);
    node.send(1, "GET k");
    step.set(0);
    node.engine.note_latency("expire-cycle", 9_999_999);
    check(
        &mut node,
        &[
            ("LATENCY LATEST", "*2 *4 $7 command :1000 :50 :50 *4 $12 fast-command :1000 :10 :10"),
            ("LATENCY RESET command fork", ":1"),
            ("LATENCY RESET", ":1"),
            ("LATENCY LATEST", "*0"),
        ],
    );
    assert!(node.send(1, "LATENCY DOCTOR").contains("All is well"));
}

#[test]
fn histograms_are_told_for_commands_and_containers() {
    let mut node = Node::new();
    timed(&mut node, 1_500);
    check(
        &mut node,
        &[
            ("SET k v", "+OK"),
            ("CONFIG GET nosuch", "*0"),
            ("LATENCY HISTOGRAM set nosuch", "*2 $3 set *4 $5 calls :1 $14 histogram_usec *2 :2 :1"),
            ("LATENCY HISTOGRAM config", "*2 $10 config|get *4 $5 calls :1 $14 histogram_usec *2 :2 :1"),
        ],
    );
}
