//! When keys expire, and how that is logged.

use super::node::Node;

#[test]
fn expire_is_logged_as_an_absolute_time() {
    Node::with(&["SET k v"]).story(&[
        ("EXPIRE k 100", "1", "PEXPIREAT k 1100000"),
        ("EXPIRE k 100 NX", "0", ""),
        ("EXPIRE k 50 GT", "0", ""),
        ("EXPIRE k 200 GT", "1", "PEXPIREAT k 1200000 GT"),
        ("EXPIRE k 300 LT", "0", ""),
        ("EXPIRE k 100 XX LT", "1", "PEXPIREAT k 1100000 XX LT"),
        ("PEXPIRE k 7", "1", "PEXPIREAT k 1000007"),
        ("EXPIREAT k 2000", "1", "PEXPIREAT k 2000000"),
        ("pexpireat k 2000000", "1", "pexpireat k 2000000"),
        ("PERSIST k", "1", "PERSIST k"),
        ("PERSIST k", "0", ""),
        ("EXPIRE k 100 XX", "0", ""),
        ("EXPIRE k 100 GT", "0", ""),
        ("EXPIRE k 100 nx nx", "1", "PEXPIREAT k 1100000 nx nx"),
        ("EXPIRE none 100", "0", ""),
        ("PERSIST none", "0", ""),
    ]);
}

#[test]
fn expire_into_the_past_deletes() {
    for command in
        ["EXPIRE k 0", "EXPIRE k -1", "PEXPIRE k -5", "EXPIREAT k 1", "PEXPIREAT k 0", "PEXPIRE k -5 LT"]
    {
        Node::with(&["SET k v"]).story(&[(command, "1", "DEL k"), ("EXISTS k", "0", "")]);
    }
    Node::with(&["SET k v"])
        .story(&[("PEXPIRE k -5 GT", "0", ""), ("PEXPIREAT k -9223372036854775808", "1", "DEL k")]);
}

#[test]
fn expire_refuses_what_makes_no_sense() {
    let nx_and_others = "-ERR NX and XX, GT or LT options at the same time are not compatible";
    let not_an_integer = "-ERR value is not an integer or out of range";
    Node::with(&["SET k v"]).reads(&[
        ("EXPIRE k 100 NX XX", nx_and_others),
        ("EXPIRE k 100 NX GT", nx_and_others),
        ("EXPIRE k 100 GT LT", "-ERR GT and LT options at the same time are not compatible"),
        ("EXPIRE k abc foo", "-ERR Unsupported option foo"),
        ("EXPIRE k abc", not_an_integer),
        ("EXPIRE none abc", not_an_integer),
        ("EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command"),
        ("EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command"),
        ("EXPIREAT k 9223372036854775807", "-ERR invalid expire time in 'expireat' command"),
        ("PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"),
        ("TTL k", "-1"),
    ]);
}

#[test]
fn time_to_live_in_all_units() {
    Node::with(&["SET k v PX 1500", "SET forever v"]).reads(&[
        ("TTL k", "2"),
        ("PTTL k", "1500"),
        ("EXPIRETIME k", "1002"),
        ("PEXPIRETIME k", "1001500"),
        ("TTL forever", "-1"),
        ("PEXPIRETIME forever", "-1"),
        ("PTTL none", "-2"),
        ("EXPIRETIME none", "-2"),
    ]);
}

/// `e1` and `e2` have expired, `s` is there.
fn with_expired() -> Node {
    let mut node = Node::with(&["SET e1 v PX 1", "SET e2 v PX 1", "SET s v"]);
    node.pass_millis(2);
    node
}

#[test]
fn an_expired_key_is_deleted_by_whoever_meets_it() {
    for (command, reply, log) in [
        ("GET e1", "nil", "DEL e1"),
        ("MGET e1 e2", "[nil, nil]", "MULTI; DEL e1; DEL e2; EXEC"),
        ("DEL e1 e2", "0", "MULTI; DEL e1; DEL e2; EXEC"),
        ("UNLINK e1", "0", "DEL e1"),
        ("EXISTS e1", "0", "DEL e1"),
        ("RENAME e1 e2", "-ERR no such key", "DEL e1"),
        ("RENAMENX s e1", "1", "MULTI; DEL e1; RENAMENX s e1; EXEC"),
        ("COPY e1 e2", "0", "DEL e1"),
        ("COPY s e2", "1", "MULTI; DEL e2; COPY s e2; EXEC"),
        ("MOVE e1 3", "0", "DEL e1"),
        ("APPEND e1 x", "1", "MULTI; DEL e1; APPEND e1 x; EXEC"),
        ("INCR e1", "1", "MULTI; DEL e1; INCR e1; EXEC"),
        ("EXPIRE e1 10", "0", "DEL e1"),
        ("PERSIST e1", "0", "DEL e1"),
        ("OBJECT ENCODING e1", "nil", "DEL e1"),
        ("SET e1 v NX", "OK", "MULTI; DEL e1; SET e1 v NX; EXEC"),
        ("SET e1 v XX", "nil", "DEL e1"),
        ("SET e1 v GET", "nil", "MULTI; DEL e1; SET e1 v; EXEC"),
        ("SET e1 v KEEPTTL", "OK", "MULTI; DEL e1; SET e1 v KEEPTTL; EXEC"),
        ("MSETNX e1 v", "1", "MULTI; DEL e1; MSETNX e1 v; EXEC"),
        ("GETSET e1 v", "nil", "MULTI; DEL e1; SET e1 v; EXEC"),
        ("HSET e1 f v", "1", "MULTI; DEL e1; HSET e1 f v; EXEC"),
        ("HINCRBYFLOAT e1 f 1", "1", "MULTI; DEL e1; HSET e1 f 1; EXEC"),
        ("INCRBYFLOAT e1 1", "1", "MULTI; DEL e1; SET e1 1 KEEPTTL; EXEC"),
        // A plain write replaces it without a look: what it logs suffices.
        ("SET e1 v", "OK", "SET e1 v"),
        ("MSET e1 v", "OK", "MSET e1 v"),
        ("SETEX e1 10 v", "OK", "SET e1 v PXAT 1010002"),
        // A walk over all keys writes nothing.
        ("KEYS e*", "[]", ""),
        ("SCAN 0 COUNT 100", "[0, [s]]", ""),
    ] {
        with_expired().story(&[(command, reply, log)]);
    }
}

#[test]
fn a_key_expires_when_its_time_is_past_not_when_it_comes() {
    let mut node = Node::with(&["SET k v PX 10"]);
    node.pass_millis(10);
    node.reads(&[("GET k", "v"), ("PTTL k", "0")]);
    node.pass_millis(1);
    node.story(&[("GET k", "nil", "DEL k")]);
}

#[test]
fn a_random_key_is_never_an_expired_one() {
    let mut node = with_expired();
    for _ in 0..20 {
        assert_eq!(node.run("RANDOMKEY"), "s");
    }
}
