use super::*;

fn node_with_monitor() -> Node {
    let mut node = Node::new();
    node.engine.now_micros = 1_700_000_000_012_345;
    assert_eq!(node.send(3, "monitor"), "+OK");
    node
}

#[test]
fn commands_are_shown_as_redis_does() {
    let mut node = node_with_monitor();
    node.send(1, "set k v");
    assert_eq!(node.replies(3), r#"+1700000000.012345 [0 127.0.0.1:50001] "set" "k" "v""#);
    node.send(1, "select 2");
    assert_eq!(node.replies(3), r#"+1700000000.012345 [2 127.0.0.1:50001] "select" "2""#);
    node.send_args(1, &[&b"echo"[..], b"\x00 \"\\\n\r\t\x07\x08\xff~"]);
    let shown = node.replies(3);
    assert!(shown.ends_with(r#" "echo" "\x00 \"\\\n\r\t\a\b\xff~""#), "{shown}");
}

/// The names and arguments that the monitor was shown, commands separated by `; `.
fn shown(node: &mut Node) -> String {
    let lines = node.replies(3);
    let commands = lines.split('+').skip(1).map(|line| line.split_once("] ").unwrap().1.trim());
    commands.collect::<Vec<_>>().join("; ").replace('"', "")
}

#[test]
fn operators_commands_and_refused_ones_are_hidden_and_secrets_redacted() {
    let mut node = node_with_monitor();
    for command in ["config get port", "client list", "debug sleep 0", "get", "nosuch", "slaveof no one"] {
        node.send(1, command);
    }
    assert_eq!(shown(&mut node), "");
    for command in
        ["client id", "lpush k x", "auth secret", "auth default secret", "hello 2 setname me auth default pw"]
    {
        node.send(1, command);
    }
    assert_eq!(
        shown(&mut node),
        "client id; lpush k x; auth (redacted); auth (redacted) (redacted); hello 2 setname me auth (redacted) (redacted)"
    );
}

#[test]
fn a_transaction_is_shown_when_it_is_executed() {
    let mut node = node_with_monitor();
    for command in ["multi", "set k v", "get k"] {
        node.send(1, command);
    }
    assert_eq!(shown(&mut node), "multi");
    node.send(1, "exec");
    assert_eq!(shown(&mut node), "set k v; get k; exec");
}

#[test]
fn a_monitor_sees_itself_but_touches_no_key() {
    let mut node = node_with_monitor();
    assert_eq!(node.send(3, "ping"), r#"+PONG +1700000000.012345 [0 127.0.0.1:50003] "ping""#);
    assert_eq!(node.send(3, "get k"), "-ERR Replica can't interact with the keyspace");
    assert_eq!(node.send(3, "publish a b"), "-ERR Replica can't interact with the keyspace");
    assert!(node.send(1, "client list id 3").contains(" flags=O "));
    node.replies(3);
    assert_eq!(node.send(3, "reset"), "+RESET");
    node.send(1, "ping");
    assert_eq!(node.send(3, "get k"), "$-1");
}

#[test]
fn not_inside_multi() {
    let mut node = Node::new();
    node.send(1, "multi");
    node.send(1, "monitor");
    assert_eq!(node.send(1, "exec"), "*1 -ERR MONITOR isn't allowed for DENY BLOCKING client");
    node.send(2, "ping");
    assert_eq!(node.replies(1), "");
}
