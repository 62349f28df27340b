//! Keys of any type, and whole databases.

use super::node::Node;

#[test]
fn existence_and_deletion() {
    Node::with(&["SET a 1", "SET b 1", "HSET h f v"]).story(&[
        ("EXISTS a a none", "2", ""),
        ("TOUCH a none", "1", ""),
        ("TYPE a", "string", ""),
        ("TYPE h", "hash", ""),
        ("TYPE none", "none", ""),
        ("DEL a none h", "2", "DEL a none h"),
        ("DEL a", "0", ""),
        ("UNLINK b none", "1", "UNLINK b none"),
        ("DBSIZE", "0", ""),
    ]);
}

#[test]
fn renaming() {
    Node::with(&["SET a 1", "SET d 2 EX 100", "HSET h f v"]).story(&[
        ("RENAME a b", "OK", "RENAME a b"),
        ("RENAME a b", "-ERR no such key", ""),
        ("RENAME b b", "OK", ""),
        ("RENAMENX none b", "-ERR no such key", ""),
        ("RENAMENX b b", "0", ""),
        ("RENAMENX b d", "0", ""),
        ("RENAMENX b c", "1", "RENAMENX b c"),
        ("RENAME d c", "OK", "RENAME d c"),
        ("PTTL c", "100000", ""),
        ("RENAME h c", "OK", "RENAME h c"),
        ("TTL c", "-1", ""),
        ("HGET c f", "v", ""),
        ("KEYS *", "[c]", ""),
    ]);
}

#[test]
fn copies_do_not_share_their_future() {
    Node::with(&["HSET h f v"]).story(&[
        ("COPY h i", "1", "COPY h i"),
        ("HSET h f w", "0", "HSET h f w"),
        ("HGET i f", "v", ""),
        ("COPY h i", "0", ""),
        ("COPY h i REPLACE", "1", "COPY h i REPLACE"),
        ("HGET i f", "w", ""),
        ("COPY h h", "-ERR source and destination objects are the same", ""),
        ("COPY h h REPLACE", "-ERR source and destination objects are the same", ""),
        ("COPY h h DB 1", "1", "COPY h h DB 1"),
        ("COPY h h DB 1", "0", ""),
        ("COPY h h DB 99", "-ERR DB index is out of range", ""),
        ("COPY h h DB abc", "-ERR value is not an integer or out of range", ""),
        ("COPY h h DB", "-ERR syntax error", ""),
        ("COPY h x foo", "-ERR syntax error", ""),
        ("COPY none x", "0", ""),
    ]);
}

#[test]
fn moving_between_databases() {
    let out_of_int = "-ERR value is out of range, value must between -2147483648 and 2147483647";
    let mut node = Node::with(&["SET c 1 PX 5000"]);
    node.story(&[
        ("MOVE c 2", "1", "MOVE c 2"),
        ("MOVE c 2", "0", ""),
        ("MOVE c 0", "-ERR source and destination objects are the same", ""),
        ("MOVE c 99", "-ERR DB index is out of range", ""),
        ("MOVE c -1", "-ERR DB index is out of range", ""),
        ("MOVE c abc", "-ERR value is not an integer or out of range", ""),
        ("MOVE c 99999999999", out_of_int, ""),
        ("SET c 2", "OK", "SET c 2"),
        ("MOVE c 2", "0", ""),
    ]);
    node.run("SELECT 2");
    node.reads(&[("GET c", "1"), ("PTTL c", "5000")]);
}

#[test]
fn whole_databases() {
    Node::with(&["SET a 1"]).story(&[
        ("SWAPDB 0 1", "OK", "SWAPDB 0 1"),
        ("EXISTS a", "0", ""),
        ("SWAPDB 1 0", "OK", "SWAPDB 1 0"),
        ("EXISTS a", "1", ""),
        ("SWAPDB 0 0", "OK", "SWAPDB 0 0"),
        ("SWAPDB 0 99", "-ERR DB index is out of range", ""),
        ("SWAPDB -1 1", "-ERR DB index is out of range", ""),
        ("SWAPDB a 1", "-ERR invalid first DB index", ""),
        ("SWAPDB 99999999999 1", "-ERR invalid first DB index", ""),
        ("SWAPDB 1 a", "-ERR invalid second DB index", ""),
        ("FLUSHDB foo", "-ERR syntax error", ""),
        ("FLUSHALL ASYNC SYNC", "-ERR syntax error", ""),
        ("FLUSHDB async", "OK", "FLUSHDB async"),
        ("DBSIZE", "0", ""),
        ("FLUSHDB", "OK", "FLUSHDB"),
        ("FLUSHALL SYNC", "OK", "FLUSHALL SYNC"),
    ]);
}

#[test]
fn patterns() {
    let mut node = Node::with(&["SET a 1", "SET ] 1", "SET \"\" 1"]);
    for (command, reply) in [
        ("KEYS [^]]", "[]"),
        ("KEYS [Z-]", "[]]"),
        ("KEYS a", "[a]"),
        ("KEYS [a", "[a]"),
        ("KEYS \"\"", "[]"),
        ("SCAN 0 MATCH a*", "[0, [a]]"),
    ] {
        node.reads(&[(command, reply)]);
    }
    assert_eq!(node.run("KEYS *").split(", ").count(), 3);
    assert_eq!(node.run("KEYS **").split(", ").count(), 2);
}

#[test]
fn scan_meets_every_key_once() {
    let mut node = Node::new();
    for n in 0..1000 {
        node.run(&format!("SET key:{n} {n}"));
        node.run(&format!("HSET hash:{n} f v"));
    }
    for (options, expected) in
        [("", 2000), ("MATCH key:*", 1000), ("TYPE HASH", 1000), ("TYPE zset", 0), ("COUNT 77", 2000)]
    {
        let (mut cursor, mut seen) = ("0".to_owned(), Vec::new());
        loop {
            let reply = node.run(&format!("SCAN {cursor} {options}"));
            let (next, keys) = reply.trim_start_matches('[').split_once(", [").unwrap();
            seen.extend(
                keys.trim_end_matches(']').split(", ").filter(|key| !key.is_empty()).map(str::to_owned),
            );
            cursor = next.to_owned();
            if cursor == "0" {
                break;
            }
        }
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), count), (expected, expected), "SCAN {options}");
    }
}

#[test]
fn scan_refuses_what_makes_no_sense() {
    Node::new().reads(&[
        ("SCAN abc", "-ERR invalid cursor"),
        ("SCAN \" 1\"", "-ERR invalid cursor"),
        ("SCAN 18446744073709551616", "-ERR invalid cursor"),
        ("SCAN +", "-ERR invalid cursor"),
        ("SCAN 18446744073709551615", "[0, []]"),
        ("SCAN -1", "[0, []]"),
        ("SCAN \"\"", "[0, []]"),
        ("SCAN 0 COUNT 0", "-ERR syntax error"),
        ("SCAN 0 COUNT -1", "-ERR syntax error"),
        ("SCAN 0 COUNT abc", "-ERR value is not an integer or out of range"),
        ("SCAN 0 MATCH", "-ERR syntax error"),
        ("SCAN 0 FOO", "-ERR syntax error"),
        ("RANDOMKEY", "nil"),
    ]);
}

#[test]
fn object() {
    let mut node = Node::with(&["SET s v"]);
    node.reads(&[
        ("OBJECT ENCODING none", "nil"),
        ("OBJECT REFCOUNT none", "nil"),
        ("OBJECT IDLETIME none", "nil"),
        ("OBJECT FREQ none", "nil"),
        (
            "OBJECT FREQ s",
            "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ),
        ("OBJECT FOO", "-ERR unknown subcommand 'FOO'. Try OBJECT HELP."),
        ("OBJECT ENCODING", "-ERR wrong number of arguments for 'object|encoding' command"),
        ("GET s", "v"),
    ]);
    node.pass_millis(7000);
    node.reads(&[
        ("TTL s", "-1"),
        ("EXISTS s", "1"),
        ("OBJECT IDLETIME s", "7"),
        ("TOUCH s", "1"),
        ("OBJECT IDLETIME s", "0"),
    ]);
}
