//! Sorted sets.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_A_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";

#[test]
fn members_get_scores() {
    Node::new().story(&[
        ("ZADD z 1 a 2.5 b", "2", "ZADD z 1 a 2.5 b"),
        ("ZADD z 1 a", "0", ""),
        ("ZADD z CH 3 a 2.5 b 0 c", "2", "ZADD z CH 3 a 2.5 b 0 c"),
        ("ZADD z XX 9 new", "0", ""),
        ("ZADD none XX 9 new", "0", ""),
        ("ZADD z NX 9 a", "0", ""),
        ("ZADD z GT CH 1 a 5 b", "1", "ZADD z GT CH 1 a 5 b"),
        ("ZADD z LT CH 1 a 9 b", "1", "ZADD z LT CH 1 a 9 b"),
        ("ZADD z INCR 1.5 a", "2.5", "ZADD z INCR 1.5 a"),
        ("ZADD z NX INCR 1 a", "nil", ""),
        ("ZADD z GT INCR -1 a", "nil", ""),
        ("ZINCRBY z 0.1 c", "0.1", "ZINCRBY z 0.1 c"),
        ("ZINCRBY z inf c", "inf", "ZINCRBY z inf c"),
        ("ZINCRBY z -inf c", "-ERR resulting score is not a number (NaN)", ""),
        ("ZSCORE z a", "2.5", ""),
        ("ZMSCORE z b none", "[5, nil]", ""),
        ("ZCARD z", "3", ""),
        ("ZRANK z a", "0", ""),
        ("ZREVRANK z a", "2", ""),
        ("ZRANK z b WITHSCORE", "[1, 5]", ""),
        ("ZRANK z none WITHSCORE", "nil", ""),
        ("ZRANK z b NOSUCH", SYNTAX, ""),
        ("ZRANK z b WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command", ""),
        ("ZREM z none", "0", ""),
        ("ZREM z a none", "1", "ZREM z a none"),
        ("ZREM z b c", "2", "ZREM z b c"),
        ("EXISTS z", "0", ""),
    ]);
}

#[test]
fn options_of_zadd_that_contradict_are_refused() {
    Node::with(&["SET k v"]).reads(&[
        ("ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible"),
        ("ZADD z GT LT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD z NX GT 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("ZADD z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("ZADD z 1 a 2", SYNTAX),
        ("ZADD z NX CH", SYNTAX),
        ("ZADD z 1 a x b", NOT_A_FLOAT),
        ("ZADD z nan a", NOT_A_FLOAT),
        ("ZADD k x a", NOT_A_FLOAT),
        ("ZADD k 1 a", WRONG_TYPE),
        ("EXISTS z", "0"),
    ]);
}

#[test]
fn ranges_by_rank_score_and_name() {
    let mut node = Node::with(&["ZADD z 1 a 2 b 3 c 4 d", "ZADD lex 0 a 0 b 0 c 0 d"]);
    node.reads(&[
        ("ZRANGE z 0 -1", "[a, b, c, d]"),
        ("ZRANGE z -2 100 WITHSCORES", "[c, 3, d, 4]"),
        ("ZRANGE z 0 1 REV", "[d, c]"),
        ("ZREVRANGE z 1 2 WITHSCORES", "[c, 3, b, 2]"),
        ("ZRANGE z (1 3 BYSCORE", "[b, c]"),
        ("ZRANGE z 3 (1 BYSCORE REV", "[c, b]"),
        ("ZRANGE z -inf +inf BYSCORE LIMIT 1 2", "[b, c]"),
        ("ZRANGE z +inf -inf BYSCORE REV LIMIT 1 -1", "[c, b, a]"),
        ("ZRANGEBYSCORE z 2 inf WITHSCORES LIMIT 1 1", "[c, 3]"),
        ("ZREVRANGEBYSCORE z inf 2 LIMIT 0 2", "[d, c]"),
        ("ZRANGEBYSCORE z 3 2", "[]"),
        ("ZRANGE lex [b + BYLEX", "[b, c, d]"),
        ("ZRANGEBYLEX lex (a (d", "[b, c]"),
        ("ZREVRANGEBYLEX lex + [c", "[d, c]"),
        ("ZRANGE lex (d - BYLEX REV LIMIT 1 1", "[b]"),
        ("ZLEXCOUNT lex - [b", "2"),
        ("ZCOUNT z (1 4", "3"),
        ("ZRANGE z 0 1 LIMIT 0 -1", "[a, b]"),
        (
            "ZRANGE z 0 1 LIMIT 0 1",
            "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ),
        (
            "ZRANGEBYLEX lex - + WITHSCORES",
            "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ),
        ("ZRANGE z a b BYSCORE", "-ERR min or max is not a float"),
        ("ZRANGE z a b BYLEX", "-ERR min or max not valid string range item"),
        ("ZRANGE z a b", "-ERR value is not an integer or out of range"),
        ("ZRANGE z 0 1 BYSCORE BYLEX", SYNTAX),
        ("ZREVRANGE z 0 1 REV", SYNTAX),
        ("ZRANGE none 0 -1", "[]"),
    ]);
    node.story(&[
        ("ZRANGESTORE d z 0 1 REV", "2", "ZRANGESTORE d z 0 1 REV"),
        ("ZRANGE d 0 -1 WITHSCORES", "[c, 3, d, 4]", ""),
        ("ZRANGESTORE d z 9 10 BYSCORE", "0", "ZRANGESTORE d z 9 10 BYSCORE"),
        ("EXISTS d", "0", ""),
        ("ZRANGESTORE d none 0 -1", "0", ""),
        ("ZRANGESTORE d z 0 1 WITHSCORES", SYNTAX, ""),
        ("ZREMRANGEBYRANK z 0 0", "1", "ZREMRANGEBYRANK z 0 0"),
        ("ZREMRANGEBYSCORE z (2 3", "1", "ZREMRANGEBYSCORE z (2 3"),
        ("ZREMRANGEBYSCORE z 9 10", "0", ""),
        ("ZREMRANGEBYLEX lex - (c", "2", "ZREMRANGEBYLEX lex - (c"),
        ("ZRANGE z 0 -1", "[b, d]", ""),
        ("ZRANGE lex 0 -1", "[c, d]", ""),
    ]);
}

#[test]
fn members_are_popped_from_either_end() {
    Node::with(&["ZADD z 1 a 2 b 3 c 4 d 5 e", "SET k v"]).story(&[
        ("ZPOPMIN z", "[a, 1]", "ZPOPMIN z"),
        ("ZPOPMAX z 2", "[e, 5, d, 4]", "ZPOPMAX z 2"),
        ("ZPOPMIN z 0", "[]", ""),
        ("ZPOPMIN z -1", "-ERR value is out of range, must be positive", ""),
        ("ZPOPMIN none", "[]", ""),
        ("ZMPOP 2 none z MAX", "[z, [[c, 3]]]", "ZPOPMAX z 1"),
        ("ZMPOP 2 none z MIN COUNT 10", "[z, [[b, 2]]]", "ZPOPMIN z 1"),
        ("ZMPOP 2 none z MIN", "nil", ""),
        ("ZMPOP 1 k MIN", WRONG_TYPE, ""),
        ("ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0", ""),
        ("ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0", ""),
        ("ZMPOP 2 z MIN", SYNTAX, ""),
        ("ZMPOP 1 z MID", SYNTAX, ""),
        ("EXISTS z", "0", ""),
    ]);
}

#[test]
fn sorted_sets_out_of_sets() {
    Node::with(&["ZADD a 1 x 2 y", "ZADD b 10 y 20 z", "SADD s x y", "SET k v"]).story(&[
        ("ZUNION 2 a b WITHSCORES", "[x, 1, y, 12, z, 20]", ""),
        ("ZUNION 2 a b WEIGHTS 2 1 AGGREGATE MAX WITHSCORES", "[x, 2, y, 10, z, 20]", ""),
        ("ZINTER 2 a s WITHSCORES", "[x, 2, y, 3]", ""),
        ("ZINTER 2 a none", "[]", ""),
        ("ZDIFF 2 a b WITHSCORES", "[x, 1]", ""),
        ("ZINTERCARD 2 a s", "2", ""),
        ("ZINTERCARD 2 a s LIMIT 1", "1", ""),
        ("ZUNIONSTORE d 2 a b WEIGHTS inf 0", "3", "ZUNIONSTORE d 2 a b WEIGHTS inf 0"),
        ("ZRANGE d 0 -1 WITHSCORES", "[z, 0, x, inf, y, inf]", ""),
        ("ZINTERSTORE d 2 a none", "0", "ZINTERSTORE d 2 a none"),
        ("ZDIFFSTORE d 2 a a", "0", ""),
        ("ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command", ""),
        ("ZUNION 3 a b", SYNTAX, ""),
        ("ZUNION x a", "-ERR value is not an integer or out of range", ""),
        ("ZUNION 1 k", WRONG_TYPE, ""),
        ("ZUNION 1 a WEIGHTS x", "-ERR weight value is not a float", ""),
        ("ZUNION 1 a AGGREGATE AVG", SYNTAX, ""),
        ("ZDIFF 1 a WEIGHTS 1", SYNTAX, ""),
        ("ZINTERCARD 1 a WITHSCORES", SYNTAX, ""),
    ]);
}

#[test]
fn a_sorted_set_changes_its_encoding_past_the_limits() {
    let mut node = Node::new();
    node.engine.settings.zset_listpack_entries_max = 3;
    node.run("ZADD z 1 a 2 b 3 c");
    assert_eq!(node.run("OBJECT ENCODING z"), "listpack");
    node.run("ZADD z 0 d");
    assert_eq!(node.run("OBJECT ENCODING z"), "skiplist");
    node.log();
    node.reads(&[("ZRANGE z 0 -1", "[d, a, b, c]"), ("TYPE z", "zset")]);
    node.run("ZREM z d");
    assert_eq!(node.run("OBJECT ENCODING z"), "skiplist");
    node.run(&format!("ZADD long 1 {}", "x".repeat(65)));
    assert_eq!(node.run("OBJECT ENCODING long"), "skiplist");
    node.run("ZADD dup 1 a 1 a 1 a 1 a");
    assert_eq!(node.run("OBJECT ENCODING dup"), "skiplist");
}

#[test]
fn resp3_has_doubles_and_pairs() {
    let mut node = Node::with(&["ZADD z 0.1 a 2 b"]);
    node.speak_resp3();
    node.reads(&[
        ("ZSCORE z a", "0.1"),
        ("ZRANGE z 0 -1 WITHSCORES", "[[a, 0.1], [b, 2]]"),
        ("ZUNION 1 z WITHSCORES", "[[a, 0.1], [b, 2]]"),
    ]);
    assert!(node.run("ZRANDMEMBER z -2 WITHSCORES").starts_with("[["));
    let raw = node.raw(&[b"ZSCORE", b"z", b"a"]);
    assert_eq!(raw, b",0.1\r\n");
    assert_eq!(node.run("ZPOPMIN z 1"), "[[a, 0.1]]");
    assert_eq!(node.run("ZPOPMIN z"), "[b, 2]");
}
