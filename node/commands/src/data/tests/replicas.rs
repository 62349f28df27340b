//! A replica appends nothing of its own, and lets only its master say what has expired.

use super::node::Node;

#[test]
fn for_a_replicas_client_an_expired_key_is_gone_but_not_deleted() {
    let mut node = Node::with(&["SET k v PX 1", "HSET h f v"]);
    node.become_replica();
    node.pass_millis(5);
    node.reads(&[("GET k", "nil"), ("EXISTS k", "0"), ("TTL k", "-2"), ("DBSIZE", "2")]);
}

#[test]
fn for_the_masters_stream_an_expired_key_is_there() {
    let mut node = Node::with(&["SET n 5 PX 1"]);
    node.become_replica();
    node.pass_millis(5);
    assert_eq!(node.apply("INCR n"), "6");
    assert_eq!(node.apply("PERSIST n"), "1");
    assert_eq!(node.run("GET n"), "6");
    assert_eq!(node.log(), "");
}

#[test]
fn a_time_in_the_past_is_only_recorded_until_the_master_deletes() {
    let mut node = Node::with(&["SET k v"]);
    node.become_replica();
    assert_eq!(node.apply("PEXPIREAT k 1"), "1");
    node.reads(&[("DBSIZE", "1"), ("GET k", "nil")]);
    assert_eq!(node.apply("DEL k"), "1");
    node.reads(&[("DBSIZE", "0")]);
}

#[test]
fn a_client_of_a_writable_replica_writes_over_what_has_expired() {
    for (command, key, expected) in
        [("APPEND k x", "GET k", "x"), ("INCR k", "GET k", "1"), ("HSET k f v", "HGET k f", "v")]
    {
        let mut node = Node::with(&["SET k 5 PX 1"]);
        node.become_replica();
        node.pass_millis(5);
        node.run(command);
        node.reads(&[(key, expected), ("TTL k", "-1")]);
    }
}
