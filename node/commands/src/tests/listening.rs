use rejoin_protocol::UnixMillis;

use super::*;

#[test]
fn a_message_reaches_channels_and_patterns_of_others_in_the_same_turn() {
    let mut node = Node::new();
    assert_eq!(
        node.send(1, "subscribe news sport"),
        "*3 $9 subscribe $4 news :1 *3 $9 subscribe $5 sport :2"
    );
    assert_eq!(node.send(2, "psubscribe n*s x*"), "*3 $10 psubscribe $3 n*s :1 *3 $10 psubscribe $2 x* :2");
    assert_eq!(node.send(3, "publish news hello"), ":2");
    assert_eq!(node.engine.take_woken(), [ClientId::new(1), ClientId::new(2)]);
    assert_eq!(node.replies(1), "*3 $7 message $4 news $5 hello");
    assert_eq!(node.replies(2), "*4 $8 pmessage $3 n*s $4 news $5 hello");
    assert_eq!(node.send(3, "publish nobody hears"), ":0");
    assert_eq!(node.send(1, "unsubscribe news"), "*3 $11 unsubscribe $4 news :1");
    assert_eq!(node.send(3, "publish news again"), ":1");
    assert_eq!(node.replies(1), "");
}

#[test]
fn shard_channels_have_names_and_counts_of_their_own() {
    let mut node = Node::new();
    node.send(1, "subscribe a");
    node.send(1, "psubscribe a*");
    assert_eq!(node.send(1, "ssubscribe a b"), "*3 $10 ssubscribe $1 a :1 *3 $10 ssubscribe $1 b :2");
    assert_eq!(node.send(2, "spublish a x"), ":1");
    assert_eq!(node.replies(1), "*3 $8 smessage $1 a $1 x");
    check_as(
        &mut node,
        2,
        &[
            ("pubsub channels", "*1 $1 a"),
            ("pubsub channels b*", "*0"),
            ("pubsub numsub a b", "*4 $1 a :1 $1 b :0"),
            ("pubsub numsub", "*0"),
            ("pubsub numpat", ":1"),
            ("pubsub shardchannels b*", "*1 $1 b"),
            ("pubsub shardnumsub a c", "*4 $1 a :1 $1 c :0"),
            ("pubsub", "-ERR wrong number of arguments for 'pubsub' command"),
            ("pubsub nosuch", "-ERR unknown subcommand 'nosuch'. Try PUBSUB HELP."),
            (
                "pubsub channels a b",
                "-ERR unknown subcommand or wrong number of arguments for 'channels'. Try PUBSUB HELP.",
            ),
            ("command getkeys spublish a x", "-ERR The command has no key arguments"),
        ],
    );
    assert_eq!(node.send(1, "sunsubscribe"), "*3 $12 sunsubscribe $1 a :1 *3 $12 sunsubscribe $1 b :0");
    assert_eq!(node.send(1, "sunsubscribe"), "*3 $12 sunsubscribe $-1 :0");
    assert_eq!(node.send(2, "spublish a x"), ":0");
}

fn check_as(node: &mut Node, client: usize, expectations: &[(&str, &str)]) {
    for (command, reply) in expectations {
        assert_eq!(node.send(client, command), *reply, "{command}");
    }
}

#[test]
fn a_listener_of_resp2_may_do_little_else() {
    let mut node = Node::new();
    node.send(1, "subscribe a");
    let refused = |name: &str| {
        format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        )
    };
    assert_eq!(node.send(1, "get k"), refused("get"));
    assert_eq!(node.send(1, "client list"), refused("client|list"));
    assert_eq!(node.send(1, "hello 3"), refused("hello"));
    check(
        &mut node,
        &[
            ("ping", "*2 $4 pong $0"),
            ("ping hi", "*2 $4 pong $2 hi"),
            ("unsubscribe other", "*3 $11 unsubscribe $5 other :1"),
            ("set k", "-ERR wrong number of arguments for 'set' command"),
            ("reset", "+RESET"),
            ("get k", "$-1"),
        ],
    );
    assert_eq!(node.send(2, "publish a x"), ":0");
}

#[test]
fn with_resp3_messages_are_pushes_and_stand_behind_the_reply_to_their_sender() {
    let mut node = Node::new();
    node.send(1, "hello 3");
    assert_eq!(node.send(1, "subscribe a"), ">3 $9 subscribe $1 a :1");
    // Compared with redis-server 8.2; 7.0 puts a message before the reply, and into the middle of EXEC's.
    assert_eq!(node.send(1, "publish a x"), ":1 >3 $7 message $1 a $1 x");
    for command in ["multi", "publish a x", "ping", "publish a y"] {
        node.send(1, command);
    }
    assert_eq!(node.send(1, "exec"), "*3 :1 +PONG :1 >3 $7 message $1 a $1 x >3 $7 message $1 a $1 y");
    assert_eq!(node.send(1, "unsubscribe"), ">3 $11 unsubscribe $1 a :0");
    assert_eq!(node.send(1, "unsubscribe"), ">3 $11 unsubscribe _ :0");
}

#[test]
fn inside_multi_old_subscriptions_are_taken_and_new_ones_are_not() {
    let mut node = Node::new();
    for command in ["multi", "subscribe a", "publish a x", "ssubscribe s"] {
        node.send(1, command);
    }
    assert_eq!(
        node.send(1, "exec"),
        "*3 *3 $9 subscribe $1 a :1 :1 -ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client *3 $7 message $1 a $1 x"
    );
}

#[test]
fn who_wants_no_replies_gets_messages_and_confirmations() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "client reply off"), "");
    assert_eq!(node.send(1, "subscribe a"), "*3 $9 subscribe $1 a :1");
    assert_eq!(node.send(1, "get a"), "");
    node.send(2, "publish a x");
    assert_eq!(node.replies(1), "*3 $7 message $1 a $1 x");
    assert_eq!(node.send(1, "unsubscribe a"), "*3 $11 unsubscribe $1 a :0");
    assert_eq!(node.send(2, "client reply skip"), "");
    assert_eq!(node.send(2, "subscribe a"), "*3 $9 subscribe $1 a :1");
    assert_eq!(node.send(2, "unsubscribe"), "*3 $11 unsubscribe $1 a :0");
    assert_eq!(node.send(2, "ping"), "+PONG");
}

#[test]
fn messages_are_logged_though_they_change_nothing() {
    let mut node = Node::new();
    node.send(1, "publish a x");
    node.send(1, "spublish s y");
    assert_eq!(node.logged(), "SELECT 0; publish a x; spublish s y");
    for command in ["multi", "set k v", "publish a z", "exec"] {
        node.send(1, command);
    }
    assert_eq!(node.logged(), "MULTI; set k v; publish a z; EXEC");
    assert_eq!(node.engine.stats.changes_since_save, 1);
    node.engine.role = crate::Role::Replica;
    node.send(2, "subscribe a");
    assert_eq!(node.send(1, "publish a x"), ":1");
    assert_eq!(node.logged(), "");
}

#[test]
fn a_pause_of_writes_holds_messages_back() {
    let mut node = Node::new();
    node.send(1, "client pause 1000 write");
    assert_eq!(node.send(1, "publish a x"), "");
    assert_eq!(node.send(2, "ping"), "+PONG");
    assert_eq!(node.send(2, "multi"), "+OK");
    assert_eq!(node.send(2, "publish a x"), "", "not even queued");
    assert_eq!(node.send(2, "exec"), "");
    node.engine.now = UnixMillis::new(node.engine.now.get() + 2000);
    assert_eq!(node.replies(1), ":0");
    assert_eq!(node.replies(2), "+QUEUED *1 :0");
}

#[test]
fn a_listener_is_shown_and_forgotten() {
    let mut node = Node::new();
    node.send(1, "subscribe a b");
    node.send(1, "psubscribe p");
    node.send(1, "ssubscribe s");
    let list = node.send(2, "client list type pubsub");
    assert!(list.contains("id=1 ") && list.contains(" flags=P db=0 sub=2 psub=1 ssub=1 "), "{list}");
    assert!(!list.contains("id=2 "));
    let info = node.send(2, "info stats");
    for line in ["pubsub_channels:2", "pubsub_patterns:1", "pubsubshard_channels:1"] {
        assert!(info.contains(line), "{line} not in {info}");
    }
    assert_eq!(node.send(2, "client kill type pubsub"), ":1");
    assert_eq!(node.send(2, "publish a x"), ":1");
    assert_eq!(node.replies(1), "", "what is closing hears nothing");
    node.engine.session_closed(ClientId::new(1));
    assert_eq!(node.send(2, "publish a x"), ":0");
    assert_eq!(node.send(2, "pubsub numpat"), ":0");
}

#[test]
fn a_listener_that_does_not_read_is_over_its_limit() {
    let mut node = Node::new();
    let limits = "pubsub 1000 400 2 normal 0 0 0 replica 0 0 0";
    assert_eq!(node.send_args(1, &["config", "set", "client-output-buffer-limit", limits]), "+OK");
    let message = "x".repeat(300);
    let is_over = |node: &mut Node, client: usize| {
        let (limits, now) = (node.engine.settings.client_output_limits.clone(), node.engine.now);
        node.session(client).check_output(&limits, now)
    };
    for client in [1, 2] {
        node.send(client, "subscribe a");
    }
    for _ in 0..2 {
        node.send_args(3, &["publish", "a", &message]);
    }
    assert!(!is_over(&mut node, 1), "over the soft limit, but not for long");
    node.engine.now = UnixMillis::new(node.engine.now.get() + 1500);
    node.session(2).out.clear();
    assert!(!is_over(&mut node, 1) && !is_over(&mut node, 2));
    node.engine.now = UnixMillis::new(node.engine.now.get() + 1500);
    assert!(is_over(&mut node, 1) && !is_over(&mut node, 2));

    for _ in 0..9 {
        node.send_args(3, &["publish", "a", &message]);
    }
    assert!(is_over(&mut node, 2), "the hard limit");
    assert!(node.session(2).out.len() < 1400, "nothing is kept beyond it");
    assert!(node.engine.note_overflow(ClientId::new(2)).starts_with("id=2 addr=127.0.0.1:50002 "));
    assert_eq!(node.engine.stats.output_limit_disconnections, 1);
}

#[test]
fn what_was_sent_is_not_kept_for_a_listener_that_reads_slowly() {
    let mut node = Node::new();
    node.send(1, "subscribe a");
    let message = "x".repeat(10_000);
    for _ in 0..1000 {
        node.send_args(2, &["publish", "a", &message]);
        let session = node.session(1);
        // All but the last byte.
        session.sent = session.out.len() - 1;
    }
    assert!(node.session(1).out.len() < 300_000, "{}", node.session(1).out.len());
    assert_eq!(node.session(1).out.last(), Some(&b'\n'));
}
