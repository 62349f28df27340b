use super::*;
use crate::effect::Departure;

fn info(node: &mut Node, sections: &str) -> String {
    let args: Vec<&str> = std::iter::once("info").chain(sections.split_whitespace()).collect();
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &args);
    node.receive(1, &bytes);
    node.turn();
    String::from_utf8(std::mem::take(&mut node.session(1).out)).unwrap()
}

#[test]
fn info_tells_all_sections_or_those_that_are_asked_for() {
    let mut node = Node::new();
    node.send(1, "set k v px 1000");
    node.send(1, "nosuch");
    let all = info(&mut node, "");
    for line in [
        "# Server\r\nredis_version:7.2.4\r\nrejoin_version:",
        "\r\ntcp_port:6379\r\n",
        "\r\nconnected_clients:3\r\n",
        "\r\nused_memory_dataset:",
        "\r\nmaxmemory_policy:noeviction\r\n",
        "\r\nloading:0\r\n",
        "\r\nrdb_changes_since_last_save:1\r\n",
        "\r\naof_enabled:0\r\n",
        "\r\ntotal_connections_received:3\r\n",
        "\r\ntotal_error_replies:1\r\n",
        "\r\nrole:master\r\n",
        "\r\nmaster_repl_offset:",
        "\r\nsecond_repl_offset:-1\r\n",
        "\r\nused_cpu_sys:0.000000\r\n",
        "\r\nerrorstat_ERR:count=1\r\n",
        "\r\ncluster_enabled:0\r\n",
        "\r\n# Keyspace\r\ndb0:keys=1,expires=1,avg_ttl=",
    ] {
        assert!(all.contains(line), "{line:?} not in {all}");
    }
    let two = info(&mut node, "KEYSPACE server foo");
    assert!(two.contains("# Server") && two.contains("# Keyspace") && !two.contains("# Stats"), "{two}");
    assert_eq!(info(&mut node, "foo"), "$0\r\n\r\n");
    assert_eq!(info(&mut node, "everything").matches("# ").count(), 13);
}

#[test]
fn a_command_describes_itself() {
    let mut node = Node::new();
    assert_eq!(
        node.send(1, "command info ping nosuch"),
        "*2 *10 $4 ping :-1 *1 +fast :0 :0 :0 *2 +@fast +@connection *2 $25 request_policy:all_shards $29 response_policy:all_succeeded *0 *0 *-1"
    );
    let rows = crate::table::rows().len();
    assert_eq!(node.send(1, "command count"), format!(":{rows}"));
    assert!(node.send(1, "command").starts_with(&format!("*{rows} ")));
    assert!(node.send(1, "command docs get").starts_with("*2 $3 get *10 $7 summary $"));
    assert_eq!(node.send(1, "command getkeys zunionstore d 2 a b weights 1 2"), "*3 $1 d $1 a $1 b");
    assert_eq!(node.send(1, "command getkeys zmpop 1 a min"), "*1 $1 a");
    assert_eq!(node.send(1, "command getkeys zmpop 9 a min"), "-ERR Invalid arguments specified for command");
    assert_eq!(node.send(1, "command docs nosuch"), "*0");
    assert!(node.send(1, "command docs config").contains("$10 config|get"));
    assert!(node.send(1, "command info config|get").starts_with("*1 *10 $10 config|get :-3 "));
    assert_eq!(node.send(1, "command list filterby pattern pin?"), "*1 $4 ping");
    assert_eq!(node.send(1, "command list filterby module x"), "*0");
    assert!(node.send(1, "command list filterby aclcat transaction").starts_with("*5 "));
    assert_eq!(node.send(1, "command list filterby foo x"), "-ERR syntax error");
}

#[test]
fn keys_of_a_command_are_found() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("command getkeys get a", "*1 $1 a"),
            ("command getkeys mset a b c d", "*2 $1 a $1 c"),
            ("command getkeys nosuch a", "-ERR Invalid command specified"),
            ("command getkeys ping", "-ERR The command has no key arguments"),
            ("command getkeys get a b", "-ERR Invalid number of arguments specified for command"),
            ("command getkeysandflags get a", "*1 *2 $1 a *2 +RO +access"),
        ],
    );
}

#[test]
fn debugging() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("debug digest", "+0000000000000000000000000000000000000000"),
            ("debug populate 3 x 10", "+OK"),
            // As redis-server 7.0.15 says after the same.
            ("debug digest", "+4f9b104f16650984d004122fc49f8fea82a31c1f"),
            (
                "debug digest-value x:0 nokey",
                "*2 +c104d3191c638439f67619ff22e49ff166cac908 +0000000000000000000000000000000000000000",
            ),
            ("strlen x:1", ":10"),
            ("debug populate abc", "-ERR value is out of range, must be positive"),
            ("debug object nokey", "-ERR no such key"),
            ("debug set-active-expire 0", "+OK"),
            ("debug sleep 0.25", "+OK"),
        ],
    );
    assert!(!node.engine.settings.active_expire);
    assert_eq!(node.logged(), "");
    assert_eq!(node.effects(), [Effect::Sleep { millis: 250 }]);
    assert!(node.send(1, "debug object x:1").contains(" encoding:embstr "));
    assert!(node.send(1, "memory usage x:1").starts_with(':'));
    check(
        &mut node,
        &[
            ("memory usage nokey", "$-1"),
            ("memory usage x:1 samples -1", "-ERR syntax error"),
            ("memory usage x:1 foo 1", "-ERR syntax error"),
            ("shutdown foo", "-ERR syntax error"),
            ("shutdown save nosave", "-ERR syntax error"),
            ("shutdown abort", "-ERR No shutdown in progress."),
            ("client unpause", "+OK"),
            ("shutdown nosave now", ""),
        ],
    );
    let how = Departure { now: true, saves: Some(false), force: false };
    assert_eq!(node.effects(), [Effect::Shutdown { how }]);
}

#[test]
fn a_shutdown_that_waits_can_be_called_off() {
    let mut node = Node::new();
    assert_eq!(node.send(1, "shutdown"), "");
    assert_eq!(node.effects(), [Effect::Shutdown { how: Departure::default() }]);
    node.engine.await_shutdown();
    assert_eq!(node.send(1, "ping"), "", "it waits for the end");
    assert_eq!(node.send(2, "client unblock 1"), ":0");
    assert_eq!(node.send(2, "get k"), "$-1");
    assert_eq!(node.send(3, "set k v"), "", "no writes any more");
    assert_eq!(node.send(2, "client unpause"), "+OK");
    assert_eq!(node.send(3, "ping"), "");
    assert_eq!(node.send(2, "shutdown abort"), "+OK");
    assert_eq!(node.effects(), [Effect::AbortShutdown]);
    assert!(node.replies(1).starts_with("-ERR Errors trying to SHUTDOWN. Check logs."));
    assert_eq!(node.send(2, "shutdown abort"), "-ERR No shutdown in progress.");
}
