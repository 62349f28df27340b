//! Strings.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const SYNTAX: &str = "-ERR syntax error";
const TOO_LONG: &str = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";

#[test]
fn set_with_every_option_and_what_is_logged_for_it() {
    Node::new().story(&[
        ("SET k v", "OK", "SET k v"),
        ("set k v nx", "nil", ""),
        ("set k2 v nx", "OK", "set k2 v nx"),
        ("SET k v EX 100", "OK", "SET k v PXAT 1100000"),
        ("SET k v PX 5", "OK", "SET k v PXAT 1000005"),
        ("SET k v EXAT 2000", "OK", "SET k v PXAT 2000000"),
        ("SET k v PXAT 2000001 get", "v", "SET k v PXAT 2000001"),
        ("SET k v EX 100 XX GET", "v", "SET k v PXAT 1100000"),
        ("SET k w KEEPTTL", "OK", "SET k w KEEPTTL"),
        ("PTTL k", "100000", ""),
        ("SET k v KEEPTTL GET", "w", "SET k v KEEPTTL"),
        ("SET k v GET", "v", "SET k v"),
        ("TTL k", "-1", ""),
        ("SET k v get xx GET", "v", "SET k v xx"),
        ("SET k3 v NX GET", "nil", "SET k3 v NX"),
        ("SET k3 v NX GET", "v", ""),
        ("SET none v XX", "nil", ""),
        ("SET none v XX GET", "nil", ""),
        ("SET k v EX 10 EX 20", "OK", "SET k v PXAT 1020000"),
        ("SET k v KEEPTTL KEEPTTL NX NX", "nil", ""),
        ("SET k v PXAT 9223372036854775807", "OK", "SET k v PXAT 9223372036854775807"),
        // A time that has passed is recorded; the key goes like any that expires.
        ("SET k v PXAT 1", "OK", "SET k v PXAT 1"),
        ("GET k", "nil", "DEL k"),
        ("HSET h f v", "1", "HSET h f v"),
        ("SET h v GET", WRONG_TYPE, ""),
        ("SET h v NX GET", WRONG_TYPE, ""),
        ("SET h v XX", "OK", "SET h v XX"),
    ]);
}

#[test]
fn set_refuses_what_makes_no_sense() {
    let invalid = "-ERR invalid expire time in 'set' command";
    let mut node = Node::new();
    for (options, reply) in [
        ("EX 0", invalid),
        ("EX -1", invalid),
        ("PX 9223372036854775807", invalid),
        ("EX 9223372036854775807", invalid),
        ("EXAT 9223372036854775807", invalid),
        ("EX abc", NOT_AN_INTEGER),
        ("EX 10 PX 10", SYNTAX),
        ("EX 10 KEEPTTL", SYNTAX),
        ("KEEPTTL PX 10", SYNTAX),
        ("NX XX", SYNTAX),
        ("XX NX", SYNTAX),
        ("PERSIST", SYNTAX),
        ("foo", SYNTAX),
        ("EX", SYNTAX),
    ] {
        node.reads(&[(&format!("SET k v {options}"), reply), ("EXISTS k", "0")]);
    }
}

#[test]
fn relatives_of_set() {
    Node::new().story(&[
        ("SETNX k a", "1", "SETNX k a"),
        ("SETNX k b", "0", ""),
        ("SETEX k 100 v", "OK", "SET k v PXAT 1100000"),
        ("PSETEX k 100 v", "OK", "SET k v PXAT 1000100"),
        ("SETEX k 0 v", "-ERR invalid expire time in 'setex' command", ""),
        ("PSETEX k 9223372036854775807 v", "-ERR invalid expire time in 'psetex' command", ""),
        ("SETEX k abc v", NOT_AN_INTEGER, ""),
        ("GETSET k w", "v", "SET k w"),
        ("TTL k", "-1", ""),
        ("GETSET new w", "nil", "SET new w"),
        ("GETDEL new", "w", "DEL new"),
        ("GETDEL new", "nil", ""),
        ("HSET h f v", "1", "HSET h f v"),
        ("GETSET h v", WRONG_TYPE, ""),
        ("GETDEL h", WRONG_TYPE, ""),
    ]);
}

#[test]
fn getex_logs_what_became_of_the_expiry() {
    Node::with(&["SET k v", "HSET h f v"]).story(&[
        ("GETEX k", "v", ""),
        ("GETEX k EX 100", "v", "PEXPIREAT k 1100000"),
        ("GETEX k PX 100", "v", "PEXPIREAT k 1000100"),
        ("GETEX k EXAT 2000", "v", "PEXPIREAT k 2000000"),
        ("GETEX k PXAT 2000000", "v", "PEXPIREAT k 2000000"),
        ("GETEX k PERSIST", "v", "PERSIST k"),
        ("GETEX k PERSIST PERSIST", "v", ""),
        ("GETEX k PX 0", "-ERR invalid expire time in 'getex' command", ""),
        ("GETEX k EX 10 PERSIST", SYNTAX, ""),
        ("GETEX k PERSIST EX 10", SYNTAX, ""),
        ("GETEX k KEEPTTL", SYNTAX, ""),
        ("GETEX k EX", SYNTAX, ""),
        ("GETEX h EX 10", WRONG_TYPE, ""),
        ("GETEX none EX foo", "nil", ""),
        ("GETEX k EXAT 1", "v", "DEL k"),
        ("EXISTS k", "0", ""),
    ]);
}

#[test]
fn several_keys_at_once() {
    Node::new().story(&[
        ("MSET a 1 b 2 a 3", "OK", "MSET a 1 b 2 a 3"),
        ("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command", ""),
        ("MSETNX a 1 z 2", "0", ""),
        ("EXISTS z", "0", ""),
        ("MSETNX y 1 z 2", "1", "MSETNX y 1 z 2"),
        ("MSETNX y 1 z", "-ERR wrong number of arguments for 'msetnx' command", ""),
        ("HSET h f v", "1", "HSET h f v"),
        ("MGET a none b h", "[3, nil, 2, nil]", ""),
    ]);
}

#[test]
fn edits_in_place() {
    Node::new().story(&[
        ("APPEND k ab", "2", "APPEND k ab"),
        ("APPEND k cd", "4", "APPEND k cd"),
        ("STRLEN k", "4", ""),
        ("STRLEN none", "0", ""),
        ("APPEND empty \"\"", "0", "APPEND empty "),
        ("EXISTS empty", "1", ""),
        ("SETRANGE k 5 xy", "7", "SETRANGE k 5 xy"),
        ("GET k", "abcd\\x00xy", ""),
        ("SETRANGE k 0 A", "7", "SETRANGE k 0 A"),
        ("SETRANGE k 99 \"\"", "7", ""),
        ("SETRANGE none 99 \"\"", "0", ""),
        ("SETRANGE none -1 x", "-ERR offset is out of range", ""),
        ("SETRANGE none a x", NOT_AN_INTEGER, ""),
        ("SETRANGE none 536870912 x", TOO_LONG, ""),
        ("SETRANGE none 9223372036854775807 x", TOO_LONG, ""),
        ("GETRANGE k 0 1", "Ab", ""),
        ("GETRANGE k -2 -1", "xy", ""),
        ("GETRANGE k -1 -3", "", ""),
        ("GETRANGE k -100 -99", "A", ""),
        ("GETRANGE k 5 100", "xy", ""),
        ("GETRANGE k 7 7", "", ""),
        ("GETRANGE none 0 -1", "", ""),
        ("SUBSTR k 1 2", "bc", ""),
        ("GETRANGE k a 1", NOT_AN_INTEGER, ""),
        ("HSET h f v", "1", "HSET h f v"),
        ("APPEND h x", WRONG_TYPE, ""),
        ("SETRANGE h 0 x", WRONG_TYPE, ""),
        ("GETRANGE h 0 1", WRONG_TYPE, ""),
        ("STRLEN h", WRONG_TYPE, ""),
        ("GET h", WRONG_TYPE, ""),
    ]);
}

#[test]
fn a_string_does_not_outgrow_what_a_client_can_be_sent() {
    let mut node = Node::with(&["SET k 12345678"]);
    node.engine.settings.proto_bulk_bytes_max = 10;
    node.story(&[
        ("APPEND k ab", "10", "APPEND k ab"),
        ("APPEND k c", TOO_LONG, ""),
        ("SETRANGE k 9 x", "10", "SETRANGE k 9 x"),
        ("SETRANGE k 10 x", TOO_LONG, ""),
    ]);
}

#[test]
fn counters() {
    let overflow = "-ERR increment or decrement would overflow";
    Node::new().story(&[
        ("INCR n", "1", "INCR n"),
        ("INCRBY n 5", "6", "INCRBY n 5"),
        ("DECR n", "5", "DECR n"),
        ("DECRBY n 10", "-5", "DECRBY n 10"),
        ("DECRBY n -9223372036854775808", "-ERR decrement would overflow", ""),
        ("INCRBY n abc", NOT_AN_INTEGER, ""),
        ("SET n 9223372036854775807 EX 10", "OK", "SET n 9223372036854775807 PXAT 1010000"),
        ("INCR n", overflow, ""),
        ("DECR n", "9223372036854775806", "DECR n"),
        ("TTL n", "10", ""),
        ("SET n \" 1\"", "OK", "SET n  1"),
        ("INCR n", NOT_AN_INTEGER, ""),
        ("SET n 12345678901234567890", "OK", "SET n 12345678901234567890"),
        ("INCR n", NOT_AN_INTEGER, ""),
        ("HSET h f v", "1", "HSET h f v"),
        ("INCR h", WRONG_TYPE, ""),
    ]);
}

#[test]
fn fractional_sums_are_logged_as_values() {
    let not_finite = "-ERR increment would produce NaN or Infinity";
    Node::new().story(&[
        ("INCRBYFLOAT n 0.1", "0.1", "SET n 0.1 KEEPTTL"),
        ("INCRBYFLOAT n 0.2", "0.3", "SET n 0.3 KEEPTTL"),
        ("SET n 3.0e3 EX 10", "OK", "SET n 3.0e3 PXAT 1010000"),
        ("INCRBYFLOAT n 200", "3200", "SET n 3200 KEEPTTL"),
        ("TTL n", "10", ""),
        ("OBJECT ENCODING n", "embstr", ""),
        ("INCRBYFLOAT n nan", "-ERR value is not a valid float", ""),
        ("INCRBYFLOAT n inf", not_finite, ""),
        ("INCRBYFLOAT n abc", "-ERR value is not a valid float", ""),
        ("SET n inf", "OK", "SET n inf"),
        ("INCRBYFLOAT n 1", not_finite, ""),
        ("SET n -5", "OK", "SET n -5"),
        ("INCRBYFLOAT n 5", "0", "SET n 0 KEEPTTL"),
        ("HSET h f v", "1", "HSET h f v"),
        ("INCRBYFLOAT h 1", WRONG_TYPE, ""),
    ]);
}

#[test]
fn encodings_are_those_that_redis_would_report() {
    let long = "a".repeat(45);
    let mut node = Node::with(&["SET int 12", "SET text 012", "SET edge -0"]);
    node.run(&format!("SET short {}", &long[1..]));
    node.run(&format!("SET long {long}"));
    node.run("APPEND appended 12");
    node.run("SETRANGE ranged 0 1");
    node.log();
    node.reads(&[
        ("OBJECT ENCODING int", "int"),
        ("OBJECT ENCODING text", "embstr"),
        ("OBJECT ENCODING edge", "embstr"),
        ("OBJECT ENCODING short", "embstr"),
        ("OBJECT ENCODING long", "raw"),
        ("OBJECT ENCODING appended", "int"),
        ("OBJECT ENCODING ranged", "raw"),
        ("OBJECT REFCOUNT int", "2147483647"),
        ("OBJECT REFCOUNT text", "1"),
    ]);
    node.story(&[("APPEND int \"\"", "2", "APPEND int "), ("OBJECT ENCODING int", "raw", "")]);
}

#[test]
fn longest_common_subsequence() {
    Node::with(&["SET a ohmytext", "SET b mynewtext", "HSET h f v", "SET n 12"]).reads(&[
        ("LCS a b", "mytext"),
        ("LCS a b LEN", "6"),
        ("LCS a b IDX", "[matches, [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], len, 6]"),
        ("LCS a b IDX MINMATCHLEN 4", "[matches, [[[4, 7], [5, 8]]], len, 6]"),
        ("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "[matches, [[[4, 7], [5, 8], 4]], len, 6]"),
        ("LCS a b IDX MINMATCHLEN -4", "[matches, [[[4, 7], [5, 8]], [[2, 3], [0, 1]]], len, 6]"),
        ("LCS a none", ""),
        ("LCS a none IDX", "[matches, [], len, 0]"),
        ("LCS n n", "12"),
        ("LCS a h", "-ERR The specified keys must contain string values"),
        ("LCS a b IDX LEN", "-ERR If you want both the length and indexes, please just use IDX."),
        ("LCS a b MINMATCHLEN abc", NOT_AN_INTEGER),
        ("LCS a b MINMATCHLEN", SYNTAX),
        ("LCS a b FOO", SYNTAX),
    ]);
}
