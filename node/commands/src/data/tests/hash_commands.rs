//! Hashes.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";

#[test]
fn fields_are_written_read_and_removed() {
    Node::new().story(&[
        ("HSET h a 1 b 2", "2", "HSET h a 1 b 2"),
        ("HSET h a 1 c 3", "1", "HSET h a 1 c 3"),
        ("HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command", ""),
        ("HMSET h a 5", "OK", "HMSET h a 5"),
        ("HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command", ""),
        ("HSETNX h a 2", "0", ""),
        ("HSETNX h d 4", "1", "HSETNX h d 4"),
        ("HGET h a", "5", ""),
        ("HGET h none", "nil", ""),
        ("HMGET h a none d", "[5, nil, 4]", ""),
        ("HLEN h", "4", ""),
        ("HSTRLEN h a", "1", ""),
        ("HEXISTS h a", "1", ""),
        ("HEXISTS h none", "0", ""),
        ("HGETALL h", "[a, 5, b, 2, c, 3, d, 4]", ""),
        ("HKEYS h", "[a, b, c, d]", ""),
        ("HVALS h", "[5, 2, 3, 4]", ""),
        ("HDEL h a none b", "2", "HDEL h a none b"),
        ("HDEL h none", "0", ""),
        ("HDEL h c d", "2", "HDEL h c d"),
        ("EXISTS h", "0", ""),
    ]);
}

#[test]
fn a_missing_hash_is_an_empty_one() {
    Node::new().reads(&[
        ("HGET n f", "nil"),
        ("HMGET n f g", "[nil, nil]"),
        ("HGETALL n", "[]"),
        ("HKEYS n", "[]"),
        ("HVALS n", "[]"),
        ("HLEN n", "0"),
        ("HSTRLEN n f", "0"),
        ("HEXISTS n f", "0"),
        ("HDEL n f", "0"),
        ("HSCAN n 0", "[0, []]"),
        ("HRANDFIELD n", "nil"),
        ("HRANDFIELD n 3", "[]"),
        ("DBSIZE", "0"),
    ]);
}

#[test]
fn other_types_are_refused() {
    let mut node = Node::with(&["SET s v"]);
    for command in [
        "HSET s f v",
        "HMSET s f v",
        "HSETNX s f v",
        "HGET s f",
        "HMGET s f",
        "HGETALL s",
        "HDEL s f",
        "HLEN s",
        "HSTRLEN s f",
        "HEXISTS s f",
        "HKEYS s",
        "HVALS s",
        "HINCRBY s f 1",
        "HINCRBYFLOAT s f 1",
        "HSCAN s 0",
        "HSCAN s 0 COUNT abc",
        "HRANDFIELD s",
        "HRANDFIELD s 1",
    ] {
        node.reads(&[(command, WRONG_TYPE)]);
    }
}

#[test]
fn numbers_in_fields() {
    Node::new().story(&[
        ("HINCRBY h a 2", "2", "HINCRBY h a 2"),
        ("HINCRBY h a -3", "-1", "HINCRBY h a -3"),
        ("HINCRBY h a abc", NOT_AN_INTEGER, ""),
        ("HINCRBY h a -9223372036854775808", "-ERR increment or decrement would overflow", ""),
        ("HSET h s text", "1", "HSET h s text"),
        ("HINCRBY h s 1", "-ERR hash value is not an integer", ""),
        ("HINCRBYFLOAT h s 1", "-ERR hash value is not a float", ""),
        ("HINCRBYFLOAT h a 1.5", "0.5", "HSET h a 0.5"),
        ("HINCRBYFLOAT h new 3.0e2", "300", "HSET h new 300"),
        ("HINCRBYFLOAT h a nan", "-ERR value is not a valid float", ""),
        ("HINCRBYFLOAT h a inf", "-ERR value is NaN or Infinity", ""),
        ("HSET h s inf", "0", "HSET h s inf"),
        ("HINCRBYFLOAT h s 1", "-ERR increment would produce NaN or Infinity", ""),
    ]);
}

#[test]
fn a_hash_changes_its_encoding_past_the_limits() {
    let mut node = Node::new();
    node.engine.settings.hash_listpack_entries_max = 3;
    node.run("HSET h a 1 b 2 c 3");
    assert_eq!(node.run("OBJECT ENCODING h"), "listpack");
    node.run("HSET h d 4");
    assert_eq!(node.run("OBJECT ENCODING h"), "hashtable");
    node.run(&format!("HSET long f {}", "x".repeat(65)));
    assert_eq!(node.run("OBJECT ENCODING long"), "hashtable");
    assert_eq!(node.run("HLEN h"), "4");
}

/// A hash with `len` fields, `f0` to ..., each with its number as value.
fn with_hash(len: usize) -> Node {
    let mut node = Node::new();
    for n in 0..len {
        node.run(&format!("HSET h f{n} {n}"));
    }
    node.log();
    node
}

fn list(reply: &str) -> Vec<String> {
    let mut elements: Vec<_> = reply.trim_matches(['[', ']']).split(", ").map(str::to_owned).collect();
    elements.sort();
    elements
}

#[test]
fn hscan_walks_over_large_hashes_and_answers_small_ones_whole() {
    with_hash(3).reads(&[
        ("HSCAN h 0 COUNT 1", "[0, [f0, 0, f1, 1, f2, 2]]"),
        ("HSCAN h 0 MATCH *1", "[0, [f1, 1]]"),
        ("HSCAN h abc", "-ERR invalid cursor"),
        ("HSCAN h 0 TYPE string", "-ERR syntax error"),
        ("HSCAN h 0 COUNT 0", "-ERR syntax error"),
        ("HSCAN none abc", "-ERR invalid cursor"),
    ]);
    let mut node = with_hash(1000);
    let (mut cursor, mut seen) = ("0".to_owned(), 0);
    loop {
        let reply = node.run(&format!("HSCAN h {cursor} COUNT 50"));
        let (next, fields) = reply.trim_start_matches('[').split_once(", [").unwrap();
        seen += fields.split(", ").count() / 2;
        cursor = next.to_owned();
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen, 1000);
}

#[test]
fn random_fields() {
    for len in [5, 1000] {
        let mut node = with_hash(len);
        assert!(node.run("HRANDFIELD h").starts_with('f'));
        assert_eq!(node.run("HRANDFIELD h 0"), "[]");
        for count in [1, 3, len / 4, len / 2, len - 1, len, len + 5] {
            let mut drawn = list(&node.run(&format!("HRANDFIELD h {count}")));
            drawn.dedup();
            assert_eq!(drawn.len(), count.clamp(1, len), "{count} of {len}");
        }
        assert_eq!(list(&node.run("HRANDFIELD h -2000")).len(), 2000);
        assert_eq!(list(&node.run("HRANDFIELD h 2 WITHVALUES")).len(), 4);
        assert_eq!(list(&node.run("HRANDFIELD h -7 WITHVALUES")).len(), 14);
    }
}

#[test]
fn random_fields_refuse_what_makes_no_sense() {
    let bounds =
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    let out_of_range = "-ERR value is out of range";
    with_hash(3).reads(&[
        ("HRANDFIELD h abc", NOT_AN_INTEGER),
        ("HRANDFIELD h -9223372036854775808", bounds),
        ("HRANDFIELD h -9223372036854775808 WITHVALUES", bounds),
        ("HRANDFIELD h -4611686018427387904 WITHVALUES", out_of_range),
        ("HRANDFIELD h 4611686018427387904 WITHVALUES", out_of_range),
        ("HRANDFIELD h 3 withvalue", "-ERR syntax error"),
        ("HRANDFIELD h 3 WITHVALUES x", "-ERR syntax error"),
    ]);
}

#[test]
fn resp3_has_maps_and_pairs() {
    let mut node = with_hash(1);
    node.speak_resp3();
    node.reads(&[
        ("HGETALL h", "%[f0, 0]"),
        ("HGETALL none", "%[]"),
        ("HRANDFIELD h 1 WITHVALUES", "[[f0, 0]]"),
        ("HRANDFIELD h -2 WITHVALUES", "[[f0, 0], [f0, 0]]"),
        ("HGET h none", "nil"),
    ]);
}
