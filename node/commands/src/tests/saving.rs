use std::sync::{Arc, atomic::AtomicU64};

use super::*;
use crate::effect::Departure;

/// So many seconds go by.
fn pass(node: &mut Node, seconds: i64) {
    node.engine.now = UnixMillis::new(node.engine.now.get() + seconds * 1000);
}

fn begin(node: &mut Node) {
    node.engine.save_begun(7, Arc::new(AtomicU64::new(3)));
}

fn with_save_points(points: &str) -> Node {
    let mut settings = Settings::default();
    settings.set("save", &[points]).unwrap();
    let mut node = Node::with(settings);
    node.engine.saving.last_saved = node.engine.now;
    node
}

fn info(node: &mut Node) -> String {
    node.send(1, "info persistence")
}

#[test]
fn a_save_in_the_background_is_asked_for_once() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "bgsave"), "+Background saving started");
    assert_eq!(node.effects(), [Effect::SaveInBackground]);
    begin(&mut node);
    check(
        &mut node,
        &[
            ("bgsave", "-ERR Background save already in progress"),
            ("bgsave schedule", "-ERR Background save already in progress"),
            ("save", "-ERR Background save already in progress"),
            ("bgsave foo", "-ERR syntax error"),
            ("bgsave schedule x", "-ERR syntax error"),
        ],
    );
    let text = info(&mut node);
    for line in [
        "rdb_bgsave_in_progress:1 ",
        "current_save_keys_processed:3 ",
        "current_save_keys_total:7 ",
        "rdb_current_bgsave_time_sec:0 ",
        "rdb_last_bgsave_time_sec:-1 ",
        "rdb_saves:1 ",
    ] {
        assert!(text.contains(line), "{line} not in {text}");
    }
    assert_eq!(node.effects(), []);
}

#[test]
fn while_the_log_is_rewritten_a_save_is_put_off_or_refused() {
    let mut node = Node::new();
    node.engine.status.log.rewrite_began = Some(node.engine.now);
    check(
        &mut node,
        &[
            (
                "bgsave",
                "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ),
            ("bgsave schedule", "+Background saving scheduled"),
        ],
    );
    assert_eq!(node.effects(), []);
    assert!(!node.engine.scheduled_save_is_due());
    node.engine.status.log.rewrite_began = None;
    assert!(node.engine.scheduled_save_is_due());
    begin(&mut node);
    node.engine.save_ended(true);
    assert!(!node.engine.scheduled_save_is_due());
}

#[test]
fn within_a_transaction_a_save_in_the_background_waits_for_its_end_and_one_at_once_is_refused() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("set k v", "+QUEUED"),
            ("bgsave", "+QUEUED"),
            ("exec", "*2 +OK +Background saving scheduled"),
        ],
    );
    assert_eq!(node.effects(), []);
    assert!(node.engine.scheduled_save_is_due());
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("save", "-ERR Command not allowed inside a transaction"),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
}

#[test]
fn a_client_waits_for_its_save_and_what_it_sent_behind_it_waits_too() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "set k v"), "+OK");
    assert_eq!(node.send(1, "save"), "");
    assert_eq!(node.effects(), [Effect::Save { client: ClientId::new(1) }]);
    assert_eq!(node.send(1, "ping"), "");
    assert_eq!(node.send(2, "client unblock 1"), ":0");
    pass(&mut node, 5);
    node.engine.saved_now();
    node.engine.answer_disk(ClientId::new(1), Ok(()));
    assert_eq!(node.engine.take_woken(), [ClientId::new(1)]);
    assert_eq!(node.replies(1), "+OK +PONG");
    assert_eq!(node.send(1, "lastsave"), ":1005");
    assert!(info(&mut node).contains("rdb_changes_since_last_save:0 "));
    node.send(1, "save");
    node.engine.answer_disk(ClientId::new(1), Err("ERR"));
    assert_eq!(node.replies(1), "-ERR");
}

#[test]
fn a_save_that_client_reply_silences_is_not_answered() {
    let mut node = Node::new();
    node.send(1, "client reply skip");
    assert_eq!(node.send(1, "save"), "");
    node.engine.answer_disk(ClientId::new(1), Ok(()));
    assert_eq!(node.send(1, "ping"), "+PONG");
}

#[test]
fn save_points_are_reached_by_changes_and_time() {
    let mut node = with_save_points("100 2 10 5");
    let reached = |node: &Node| node.engine.save_point_reached().map(|point| point.seconds);
    node.send(1, "set a 1");
    pass(&mut node, 1000);
    assert_eq!(reached(&node), None, "one change is not two");
    node.send(1, "set b 1");
    assert_eq!(reached(&node), Some(100));
    begin(&mut node);
    assert_eq!(reached(&node), None, "one at a time");
    node.send(1, "mset c 1 d 1 e 1 f 1 g 1");
    pass(&mut node, 3);
    node.engine.save_ended(true);
    // What was changed meanwhile is not in it.
    let text = info(&mut node);
    assert!(
        text.contains("rdb_last_bgsave_time_sec:3 ") && text.contains("rdb_last_save_time:2003 "),
        "{text}"
    );
    assert!(text.contains("rdb_changes_since_last_save:5 "), "{text}");
    pass(&mut node, 10);
    assert_eq!(reached(&node), None, "more than ten seconds");
    pass(&mut node, 1);
    assert_eq!(reached(&node), Some(10));
    node.engine.begin_loading(10);
    assert_eq!(reached(&node), None);
    node.engine.end_loading();
    assert_eq!(
        node.send(1, "config set save 60|1"),
        "-ERR CONFIG SET failed (possibly related to argument 'save') - Invalid save parameters"
    );
    assert_eq!(node.send_args(1, &["config", "set", "save", "20 5"]), "+OK");
    assert_eq!(reached(&node), None);
    assert_eq!(node.send_args(1, &["config", "set", "save", ""]), "+OK");
    pass(&mut node, 10_000);
    assert_eq!(reached(&node), None);
}

#[test]
fn after_a_save_that_failed_writes_are_refused_until_one_succeeds() {
    let mut node = with_save_points("1 1");
    node.send(1, "set a 1");
    begin(&mut node);
    node.engine.save_ended(false);
    pass(&mut node, 5);
    assert_eq!(node.engine.save_point_reached(), None, "not at once again");
    let refusal = "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
    check(
        &mut node,
        &[
            ("set a 2", refusal),
            ("ping", refusal),
            ("get a", "$1 1"),
            ("multi", "+OK"),
            ("set a 2", refusal),
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ],
    );
    assert!(info(&mut node).contains("rdb_last_bgsave_status:err "));
    assert_eq!(node.send(1, "config set stop-writes-on-bgsave-error no"), "+OK");
    assert_eq!(node.send(1, "set a 2"), "+OK");
    assert_eq!(node.send(1, "config set stop-writes-on-bgsave-error yes"), "+OK");
    assert_eq!(node.send(1, "set a 3"), refusal);
    assert_eq!(node.send_args(1, &["config", "set", "save", ""]), "+OK");
    assert_eq!(node.send(1, "set a 3"), "+OK");
    assert_eq!(node.send_args(1, &["config", "set", "save", "1 1"]), "+OK");
    pass(&mut node, 1);
    assert!(node.engine.save_point_reached().is_some(), "it is tried again");
    begin(&mut node);
    node.engine.save_cancelled();
    assert_eq!(node.send(1, "set a 4"), refusal, "called off is no success");
    begin(&mut node);
    node.engine.save_ended(true);
    assert_eq!(node.send(1, "set a 4"), "+OK");
}

#[test]
fn flushing_all_is_told() {
    let mut node = Node::new();
    node.send(1, "flushdb");
    assert!(!node.engine.take_flush());
    node.send(1, "flushall");
    assert!(node.engine.take_flush());
    assert!(!node.engine.take_flush());
}

#[test]
fn a_shutdown_says_whether_to_save() {
    let departures = [
        ("shutdown save", Departure { now: false, saves: Some(true), force: false }),
        ("shutdown nosave", Departure { now: false, saves: Some(false), force: false }),
        ("shutdown force", Departure { now: false, saves: None, force: true }),
    ];
    for (command, how) in departures {
        let mut node = Node::new();
        assert_eq!(node.send(1, command), "");
        assert_eq!(node.effects(), [Effect::Shutdown { how }]);
        node.engine.shutdown_failed();
        assert_eq!(node.replies(1), "-ERR Errors trying to SHUTDOWN. Check logs.");
    }
    let mut node = Node::new();
    node.engine.begin_loading(1);
    node.send(1, "shutdown save");
    let how = Departure { now: false, saves: Some(false), force: false };
    assert_eq!(node.effects(), [Effect::Shutdown { how }], "half of the data would take the place of all");
}

#[test]
fn a_reload_goes_through_the_file_but_within_a_transaction_through_memory() {
    let mut node = Node::new();
    node.send(1, "set a 1");
    assert_eq!(node.send(1, "debug reload"), "");
    assert_eq!(node.effects(), [Effect::Reload { client: ClientId::new(1), saves: true }]);
    node.engine.answer_disk(ClientId::new(1), Ok(()));
    assert_eq!(node.replies(1), "+OK");
    node.send(1, "debug reload nosave");
    assert_eq!(node.effects(), [Effect::Reload { client: ClientId::new(1), saves: false }]);
    node.engine
        .answer_disk(ClientId::new(1), Err("ERR Error trying to load the RDB dump, check server logs."));
    assert_eq!(node.replies(1), "-ERR Error trying to load the RDB dump, check server logs.");
    check(
        &mut node,
        &[
            ("debug reload noflush", "-ERR DEBUG RELOAD NOFLUSH is not supported without MERGE"),
            ("debug reload foo", "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."),
            ("multi", "+OK"),
            ("debug reload", "+QUEUED"),
            ("get a", "+QUEUED"),
            ("exec", "*2 +OK $1 1"),
        ],
    );
    assert_eq!(node.effects(), []);
}

#[test]
fn a_load_is_told_of() {
    let mut node = Node::new();
    let read = node.engine.begin_loading(1000);
    pass(&mut node, 10);
    read.store(250, std::sync::atomic::Ordering::Relaxed);
    let text = info(&mut node);
    let lines = "loading_start_time:1000 loading_total_bytes:1000 loading_rdb_used_mem:0 loading_loaded_bytes:250 loading_loaded_perc:25.00 loading_eta_seconds:30";
    assert!(text.contains("loading:1 async_loading:0 ") && text.ends_with(lines), "{text}");
    assert_eq!(node.send(1, "bgsave"), "-LOADING Redis is loading the dataset in memory");
    assert_eq!(node.send(1, "lastsave"), ":0");
    node.engine.end_loading();
    let text = info(&mut node);
    assert!(text.contains("loading:0 ") && !text.contains("loading_"), "{text}");
}
