//! SORT and SORT_RO.

use super::node::Node;

const NOT_NUMBERS: &str = "-ERR One or more scores can't be converted into double";

fn node() -> Node {
    Node::with(&[
        "RPUSH l 3 10 2",
        "SADD t b a c",
        "ZADD z 3 x 1 y 2 w",
        "MSET w_3 30 w_10 5 w_2 20 name_3 three name_10 ten",
        "HSET h_3 f 1 g three",
        "HSET h_10 f 9",
        "HSET h_2 f 5",
        "SET s text",
    ])
}

#[test]
fn elements_are_sorted_by_themselves_or_by_what_stands_elsewhere() {
    node().reads(&[
        ("SORT l", "[2, 3, 10]"),
        ("SORT l DESC", "[10, 3, 2]"),
        ("SORT l DESC ASC ALPHA", "[10, 2, 3]"),
        ("SORT l LIMIT 1 1", "[3]"),
        ("SORT l LIMIT -5 2", "[2, 3]"),
        ("SORT l LIMIT 1 -1", "[3, 10]"),
        ("SORT l LIMIT 3 5", "[]"),
        ("SORT l LIMIT 9223372036854775807 9223372036854775807", "[]"),
        ("SORT l BY w_*", "[10, 2, 3]"),
        ("SORT l BY h_*->f", "[3, 2, 10]"),
        ("SORT l BY h_*->none", "[10, 2, 3]"),
        ("SORT l BY none_*", "[10, 2, 3]"),
        ("SORT l BY nosort", "[3, 10, 2]"),
        ("SORT l BY nosort DESC LIMIT 0 2", "[2, 10]"),
        ("SORT t ALPHA", "[a, b, c]"),
        ("SORT t", NOT_NUMBERS),
        ("SORT z ALPHA DESC", "[y, x, w]"),
        ("SORT z BY nosort", "[y, w, x]"),
        ("SORT z BY nosort DESC LIMIT 1 1", "[w]"),
        ("SORT l BY name_*", NOT_NUMBERS),
        ("SORT l BY name_* ALPHA", "[2, 10, 3]"),
        ("SORT_RO l DESC", "[10, 3, 2]"),
        ("SORT none", "[]"),
    ]);
}

#[test]
fn patterns_of_get_name_what_is_answered() {
    node().reads(&[
        ("SORT l GET name_*", "[nil, three, ten]"),
        ("SORT l GET # GET h_*->g GET constant", "[2, nil, nil, 3, three, nil, 10, nil, nil]"),
        ("SORT l GET h_*", "[nil, nil, nil]"),
        ("SORT l GET w_*->f", "[nil, nil, nil]"),
        ("SORT l GET h_*->", "[nil, nil, nil]"),
    ]);
}

#[test]
fn what_is_refused() {
    node().reads(&[
        ("SORT s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("SORT l LIMIT 1", "-ERR syntax error"),
        ("SORT l LIMIT a 1", "-ERR value is not an integer or out of range"),
        ("SORT l STORE", "-ERR syntax error"),
        ("SORT l NOSUCH", "-ERR syntax error"),
        ("SORT_RO l STORE d", "-ERR syntax error"),
    ]);
}

#[test]
fn stored_results_are_logged_as_the_command_where_its_order_is_one() {
    node().story(&[
        ("SORT l STORE d", "3", "SORT l STORE d"),
        ("LRANGE d 0 -1", "[2, 3, 10]", ""),
        ("SORT l GET name_* STORE d", "3", "SORT l GET name_* STORE d"),
        ("LRANGE d 0 -1", "[, three, ten]", ""),
        ("OBJECT ENCODING d", "listpack", ""),
        // The order of a set is nobody's: it is sorted before it is stored.
        ("SORT t BY nosort DESC STORE d", "3", "SORT t BY nosort DESC STORE d"),
        ("LRANGE d 0 -1", "[c, b, a]", ""),
        // Elements with equal texts may come in any order, so the outcome is logged.
        ("SORT l BY none_* ALPHA STORE d", "3", "MULTI; DEL d; RPUSH d 3 10 2; EXEC"),
        ("EXPIRE d 100", "1", "PEXPIREAT d 1100000"),
        ("SORT l LIMIT 0 1 STORE d", "1", "SORT l LIMIT 0 1 STORE d"),
        ("TTL d", "-1", ""),
        ("SORT none STORE d", "0", "SORT none STORE d"),
        ("EXISTS d", "0", ""),
        ("SORT none STORE d", "0", ""),
    ]);
}
