//! WATCH sees every change, and the digest of all data is the one that Redis computes.

use super::node::Node;
use crate::data::digest::{digest_keyspace, digest_value};
use rejoin_protocol::DbIndex;

/// Whether `command`, sent by another client, breaks a watch on `key`.
fn breaks(key: &str, command: &str) -> bool {
    let mut node = Node::with(&["SET s 1", "SET t 2", "HSET h f 1", "SET v 1 EX 100"]);
    node.run(&format!("WATCH {key}"));
    node.run_other(command);
    node.run("MULTI");
    node.run("EXEC") == "nil"
}

#[test]
fn a_change_breaks_a_watch() {
    for (key, command) in [
        ("s", "SET s 2"),
        ("s", "MSET t 1 s 1"),
        ("s", "APPEND s 1"),
        ("s", "SETRANGE s 0 1"),
        ("s", "INCR s"),
        ("s", "INCRBYFLOAT s 1"),
        ("s", "DEL t s"),
        ("s", "EXPIRE s 10"),
        ("s", "EXPIRE s -1"),
        ("s", "GETEX s EX 10"),
        ("s", "GETDEL s"),
        ("s", "RENAME s x"),
        ("s", "RENAME t s"),
        ("s", "COPY t s REPLACE"),
        ("s", "MOVE s 1"),
        ("s", "FLUSHDB"),
        ("s", "FLUSHALL"),
        ("s", "SWAPDB 0 1"),
        ("v", "PERSIST v"),
        ("h", "HSET h f 1"),
        ("h", "HDEL h f"),
        ("h", "HINCRBY h f 1"),
        ("h", "HINCRBYFLOAT h f 1"),
        ("none", "SETNX none 1"),
        ("none", "HSETNX none f 1"),
    ] {
        assert!(breaks(key, command), "{command} breaks a watch on {key}");
    }
}

#[test]
fn what_changes_nothing_breaks_no_watch() {
    for (key, command) in [
        ("s", "GET s"),
        ("s", "SETNX s 2"),
        ("s", "SET t 2"),
        ("s", "GETEX s"),
        ("s", "GETEX s PERSIST"),
        ("s", "PERSIST s"),
        ("s", "COPY t s"),
        ("s", "SETRANGE s 0 \"\""),
        ("h", "HSETNX h f 2"),
        ("h", "HDEL h none"),
        ("none", "FLUSHALL"),
        ("none", "DEL none"),
        ("none", "SWAPDB 0 1"),
    ] {
        assert!(!breaks(key, command), "{command} breaks no watch on {key}");
    }
}

fn hex(digest: [u8; 20]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_digest_is_the_one_of_redis() {
    let mut node = Node::new();
    assert_eq!(hex(digest_keyspace(&node.engine.keyspace)), "0".repeat(40));
    for command in ["SET a 1", "SET b hello", "HSET h f v g w", "SELECT 3", "SET e x", "PEXPIRE e 100000"] {
        node.run(command);
    }
    let keyspace = &node.engine.keyspace;
    assert_eq!(hex(digest_keyspace(keyspace)), "c9be449aa8ce793b1cb711ed5e990c39732c0c36");
    for (db, key, digest) in [
        (0, "a", "b4fc66738120fba0b5aa500ab5c2bf89cea1c5da"),
        (0, "b", "36b23a1456b2dce2c3ed252c456761301dba8060"),
        (0, "h", "d127864ed50239662bf61bafc9bda63c17da5b37"),
        (3, "e", "0745672cb1bf060476eedeb8a28f5ffe1ff5a2be"),
    ] {
        let entry = keyspace.database(DbIndex::new(db)).get(keyspace.key(key.as_bytes())).unwrap();
        assert_eq!(hex(digest_value(entry)), digest, "{key}");
    }
}
