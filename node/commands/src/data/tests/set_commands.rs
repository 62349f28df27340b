//! Sets.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NEGATIVE: &str = "-ERR value is out of range, must be positive";

#[test]
fn members_are_added_looked_up_moved_and_removed() {
    Node::new().story(&[
        ("SADD s 3 1 2 1", "3", "SADD s 3 1 2 1"),
        ("SADD s 1", "0", ""),
        ("SMEMBERS s", "[1, 2, 3]", ""),
        ("SCARD s", "3", ""),
        ("SISMEMBER s 2", "1", ""),
        ("SISMEMBER s 02", "0", ""),
        ("SMISMEMBER s 1 x 3", "[1, 0, 1]", ""),
        ("SMOVE s t 3", "1", "SMOVE s t 3"),
        ("SMOVE s t 3", "0", ""),
        ("SMOVE s s 1", "1", ""),
        ("SMOVE none t 3", "0", ""),
        ("SREM s 7 8", "0", ""),
        ("SREM s 1 2 7", "2", "SREM s 1 2 7"),
        ("EXISTS s", "0", ""),
        ("SMOVE t s 3", "1", "SMOVE t s 3"),
        ("EXISTS t", "0", ""),
    ]);
}

#[test]
fn a_missing_set_is_an_empty_one_and_other_types_are_refused() {
    let mut node = Node::with(&["SET k v", "SADD s 1"]);
    node.reads(&[
        ("SMEMBERS none", "[]"),
        ("SCARD none", "0"),
        ("SISMEMBER none a", "0"),
        ("SMISMEMBER none a b", "[0, 0]"),
        ("SPOP none", "nil"),
        ("SPOP none 3", "[]"),
        ("SRANDMEMBER none", "nil"),
        ("SRANDMEMBER none 3", "[]"),
        ("SSCAN none 0", "[0, []]"),
        ("SINTER none s", "[]"),
        ("SMOVE none k 1", "0"),
    ]);
    for command in [
        "SADD k a",
        "SREM k a",
        "SMEMBERS k",
        "SPOP k",
        "SPOP k 2",
        "SRANDMEMBER k",
        "SINTER none k",
        "SUNIONSTORE s k",
        "SMOVE k s 1",
        "SMOVE s k 1",
        "SSCAN k 0",
        "GETEX s",
        "GETEX s PX -100",
        "APPEND s x",
        "INCR s",
        "HGET s f",
        "ZADD s 1 a",
    ] {
        node.reads(&[(command, WRONG_TYPE)]);
    }
}

#[test]
fn what_is_drawn_is_logged_as_removed() {
    let mut node = Node::with(&["SADD s 1 2 3 4 5"]);
    let drawn = node.run("SPOP s");
    assert_eq!(node.log(), format!("SREM s {drawn}"));
    let drawn = node.run("SPOP s 2");
    assert_eq!(node.log(), format!("SREM s {}", drawn.trim_matches(['[', ']']).replace(", ", " ")));
    node.story(&[
        ("SPOP s 0", "[]", ""),
        ("SPOP s -1", NEGATIVE, ""),
        ("SPOP s abc", NEGATIVE, ""),
        ("SPOP s 1 2", "-ERR syntax error", ""),
        ("SCARD s", "2", ""),
    ]);
    assert_eq!(node.run("SPOP s 100").split(", ").count(), 2);
    assert_eq!(node.log(), "DEL s");
    node.reads(&[("EXISTS s", "0")]);
}

#[test]
fn random_members_are_distinct_or_not() {
    for len in [6, 600] {
        let mut node = Node::new();
        for n in 0..len {
            node.run(&format!("SADD s m{n}"));
        }
        node.log();
        for count in [1, 2, len / 2, len - 1, len, len + 1] {
            let reply = node.run(&format!("SRANDMEMBER s {count}"));
            let mut drawn: Vec<_> = reply.trim_matches(['[', ']']).split(", ").collect();
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn.len(), count.min(len), "{count} of {len}");
        }
        assert_eq!(node.run("SRANDMEMBER s -1000").split(", ").count(), 1000);
        assert!(node.run("SRANDMEMBER s").starts_with('m'));
        assert_eq!(node.log(), "");
    }
}

#[test]
fn sets_out_of_sets() {
    Node::with(&["SADD a 1 2 3", "SADD b 2 3 4", "SADD c 3 x"]).story(&[
        ("SINTER a b c", "[3]", ""),
        ("SDIFF a b", "[1]", ""),
        ("SDIFF none a", "[]", ""),
        ("SUNION a b", "[1, 2, 3, 4]", ""),
        ("SINTERCARD 2 a b", "2", ""),
        ("SINTERCARD 2 a b LIMIT 1", "1", ""),
        ("SINTERCARD 2 a b LIMIT 0", "2", ""),
        ("SINTERCARD 0 a", "-ERR numkeys should be greater than 0", ""),
        ("SINTERCARD x a", "-ERR numkeys should be greater than 0", ""),
        ("SINTERCARD 3 a b", "-ERR Number of keys can't be greater than number of args", ""),
        ("SINTERCARD 2 a b LIMIT -1", "-ERR LIMIT can't be negative", ""),
        ("SINTERCARD 2 a b c", "-ERR syntax error", ""),
        ("SINTERSTORE a a b", "2", "SINTERSTORE a a b"),
        ("SMEMBERS a", "[2, 3]", ""),
        ("SUNIONSTORE d a c", "3", "SUNIONSTORE d a c"),
        ("SDIFFSTORE d a a", "0", "SDIFFSTORE d a a"),
        ("EXISTS d", "0", ""),
        ("SDIFFSTORE d a a", "0", ""),
    ]);
}

#[test]
fn a_set_changes_its_encoding_past_the_limits() {
    let mut node = Node::new();
    node.engine.settings.set_intset_entries_max = 3;
    node.engine.settings.set_listpack_entries_max = 4;
    node.run("SADD s 1 2 3");
    assert_eq!(node.run("OBJECT ENCODING s"), "intset");
    node.run("SADD s a");
    assert_eq!(node.run("OBJECT ENCODING s"), "listpack");
    node.run("SADD s b");
    assert_eq!(node.run("OBJECT ENCODING s"), "hashtable");
    node.run("SREM s b a");
    assert_eq!(node.run("OBJECT ENCODING s"), "hashtable");
    node.run("SADD ints 1 2 3");
    node.run("SADD ints 4");
    assert_eq!(node.run("OBJECT ENCODING ints"), "hashtable");
    node.run("SADD many a a a a a");
    assert_eq!(node.run("OBJECT ENCODING many"), "hashtable");
    assert_eq!((node.run("TYPE s"), node.run("SCARD s")), ("set".to_owned(), "3".to_owned()));
}

#[test]
fn resp3_has_sets() {
    let mut node = Node::with(&["SADD s 1"]);
    node.speak_resp3();
    let mut raw = |command: &str| {
        let words: Vec<&[u8]> = command.split(' ').map(str::as_bytes).collect();
        String::from_utf8(node.raw(&words)).unwrap()
    };
    assert_eq!(raw("SMEMBERS s"), "~1\r\n$1\r\n1\r\n");
    assert_eq!(raw("SUNION s none"), "~1\r\n$1\r\n1\r\n");
    assert_eq!(raw("SRANDMEMBER s 1"), "*1\r\n$1\r\n1\r\n");
    assert_eq!(raw("SPOP s 1"), "~1\r\n$1\r\n1\r\n");
}

#[test]
fn sscan_walks_over_large_sets_and_answers_small_ones_whole() {
    let mut node = Node::with(&["SADD s a b 12"]);
    node.reads(&[("SSCAN s 0 COUNT 1", "[0, [a, b, 12]]"), ("SSCAN s 0 MATCH 1*", "[0, [12]]")]);
    for n in 0..500 {
        node.run(&format!("SADD large m{n}"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = node.run(&format!("SSCAN large {cursor} COUNT 20"));
        let (next, members) = reply.trim_start_matches('[').split_once(", [").unwrap();
        seen.extend(members.trim_end_matches(']').split(", ").map(str::to_owned));
        cursor = next.to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
}
