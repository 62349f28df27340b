//! Lists.

use super::node::Node;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_POSITIVE: &str = "-ERR value is out of range, must be positive";

#[test]
fn elements_are_pushed_popped_and_read() {
    Node::new().story(&[
        ("RPUSH l a b c", "3", "RPUSH l a b c"),
        ("LPUSH l z y", "5", "LPUSH l z y"),
        ("LRANGE l 0 -1", "[y, z, a, b, c]", ""),
        ("LRANGE l -2 100", "[b, c]", ""),
        ("LRANGE l 3 1", "[]", ""),
        ("LRANGE l -100 0", "[y]", ""),
        ("LINDEX l 0", "y", ""),
        ("LINDEX l -1", "c", ""),
        ("LINDEX l 5", "nil", ""),
        ("LLEN l", "5", ""),
        ("LPUSHX l x", "6", "LPUSHX l x"),
        ("RPUSHX none x", "0", ""),
        ("LPOP l", "x", "LPOP l"),
        ("RPOP l 2", "[c, b]", "RPOP l 2"),
        ("LPOP l 0", "[]", ""),
        ("LPOP l 10", "[y, z, a]", "LPOP l 10"),
        ("EXISTS l", "0", ""),
        ("LPOP l", "nil", ""),
        ("RPOP l 1", "nil", ""),
    ]);
}

#[test]
fn pops_refuse_what_redis_refuses() {
    Node::with(&["SET s 1", "RPUSH l a"]).reads(&[
        ("LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command"),
        ("LPOP l -1", NOT_POSITIVE),
        ("RPOP l x", NOT_POSITIVE),
        ("LPOP s", WRONG_TYPE),
        ("LPUSH s a", WRONG_TYPE),
        ("RPUSHX s a", WRONG_TYPE),
        ("GET l", WRONG_TYPE),
        ("HGET l f", WRONG_TYPE),
        ("LINDEX none x", "nil"),
        ("LINDEX l x", NOT_AN_INTEGER),
        ("LRANGE none x 1", NOT_AN_INTEGER),
        ("LSET none 0 a", "-ERR no such key"),
        ("LSET l x a", NOT_AN_INTEGER),
        ("LSET l 1 a", "-ERR index out of range"),
        ("TYPE l", "list"),
    ]);
}

#[test]
fn elements_are_edited_anywhere() {
    Node::with(&["RPUSH l a b a c a d"]).story(&[
        ("LSET l -1 D", "OK", "LSET l -1 D"),
        ("LREM l -2 a", "2", "LREM l -2 a"),
        ("LRANGE l 0 -1", "[a, b, c, D]", ""),
        ("LREM l 0 none", "0", ""),
        (
            "LREM l -9223372036854775808 a",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            "",
        ),
        ("LINSERT l BEFORE c x", "5", "LINSERT l BEFORE c x"),
        ("LINSERT l after c y", "6", "LINSERT l after c y"),
        ("LINSERT l AFTER none y", "-1", ""),
        ("LINSERT none AFTER c y", "0", ""),
        ("LINSERT l NEAR c y", "-ERR syntax error", ""),
        ("LRANGE l 0 -1", "[a, b, x, c, y, D]", ""),
        ("LTRIM l 0 -1", "OK", ""),
        ("LTRIM l 1 -2", "OK", "LTRIM l 1 -2"),
        ("LRANGE l 0 -1", "[b, x, c, y]", ""),
        ("LTRIM l 5 1", "OK", "LTRIM l 5 1"),
        ("EXISTS l", "0", ""),
        ("LTRIM l 0 1", "OK", ""),
    ]);
}

#[test]
fn places_are_found_from_both_ends() {
    Node::with(&["RPUSH l a b c 1 2 3 c c"]).reads(&[
        ("LPOS l c", "2"),
        ("LPOS l c RANK 2", "6"),
        ("LPOS l c RANK -1", "7"),
        ("LPOS l c COUNT 2", "[2, 6]"),
        ("LPOS l c COUNT 0 RANK -2", "[6, 2]"),
        ("LPOS l c COUNT 0 MAXLEN 3", "[2]"),
        ("LPOS l c MAXLEN 2", "nil"),
        ("LPOS l x COUNT 1", "[]"),
        ("LPOS none x", "nil"),
        ("LPOS none x COUNT 1", "[]"),
        ("LPOS l c COUNT -1", "-ERR COUNT can't be negative"),
        ("LPOS l c MAXLEN x", "-ERR MAXLEN can't be negative"),
        ("LPOS l c RANK", "-ERR syntax error"),
        ("LPOS l c RANK 0", "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"),
    ]);
}

#[test]
fn elements_move_between_lists_and_within_one() {
    Node::with(&["RPUSH a 1 2 3", "SET s x"]).story(&[
        ("LMOVE a b LEFT RIGHT", "1", "LMOVE a b LEFT RIGHT"),
        ("RPOPLPUSH a b", "3", "RPOPLPUSH a b"),
        ("LRANGE b 0 -1", "[3, 1]", ""),
        ("RPOPLPUSH a s", WRONG_TYPE, ""),
        ("LMOVE s a LEFT LEFT", WRONG_TYPE, ""),
        ("LMOVE none a LEFT LEFT", "nil", ""),
        ("LMOVE none s LEFT LEFT", "nil", ""),
        ("LMOVE a b UP LEFT", "-ERR syntax error", ""),
        ("PEXPIREAT a 1000000000", "1", "PEXPIREAT a 1000000000"),
        ("RPOPLPUSH a a", "2", "RPOPLPUSH a a"),
        ("LMOVE b b LEFT RIGHT", "3", "LMOVE b b LEFT RIGHT"),
        ("LMOVE b b RIGHT RIGHT", "3", "LMOVE b b RIGHT RIGHT"),
        ("LMOVE b b LEFT LEFT", "1", "LMOVE b b LEFT LEFT"),
        ("LRANGE b 0 -1", "[1, 3]", ""),
        ("PEXPIRETIME a", "1000000000", ""),
        ("RPOPLPUSH a b", "2", "RPOPLPUSH a b"),
        ("EXISTS a", "0", ""),
    ]);
}

#[test]
fn a_pop_from_the_first_of_several_is_logged_as_a_pop() {
    Node::with(&["RPUSH b 1 2 3", "SET s x"]).story(&[
        ("LMPOP 2 a b LEFT", "[b, [1]]", "LPOP b 1"),
        ("LMPOP 2 a b RIGHT COUNT 5", "[b, [3, 2]]", "RPOP b 2"),
        ("LMPOP 2 a b LEFT", "nil", ""),
        ("LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0", ""),
        ("LMPOP x a LEFT", "-ERR numkeys should be greater than 0", ""),
        ("LMPOP 2 a LEFT", "-ERR syntax error", ""),
        ("LMPOP 1 a UP", "-ERR syntax error", ""),
        ("LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0", ""),
        ("LMPOP 1 a LEFT COUNT 1 COUNT 1", "-ERR syntax error", ""),
        ("LMPOP 2 a s LEFT", WRONG_TYPE, ""),
        ("COMMAND GETKEYS LMPOP 2 a b LEFT", "[a, b]", ""),
    ]);
}

#[test]
fn lists_have_the_encodings_of_redis() {
    let mut node = Node::new();
    node.engine.settings.list_listpack_size = 4;
    let steps = [
        ("RPUSH l 1 2 3 4", "4"),
        ("OBJECT ENCODING l", "listpack"),
        ("RPUSH l 5", "5"),
        ("OBJECT ENCODING l", "quicklist"),
        ("LPOP l 2", "[1, 2]"),
        ("OBJECT ENCODING l", "quicklist"),
        ("LPOP l", "3"),
        ("OBJECT ENCODING l", "listpack"),
    ];
    for (command, reply) in steps {
        assert_eq!(node.run(command), reply, "{command}");
    }
}

#[test]
fn a_digest_depends_on_the_order() {
    let digest = |push: &str| {
        let mut node = Node::with(&[push]);
        node.engine.settings.enable_debug_command = "yes".to_owned();
        node.run("DEBUG DIGEST-VALUE l")
    };
    assert_eq!(digest("RPUSH l a b"), digest("LPUSH l b a"));
    assert_ne!(digest("RPUSH l a b"), digest("RPUSH l b a"));
}

#[test]
fn an_expired_list_is_missing_to_every_command() {
    let mut node = Node::with(&["RPUSH l a b", "PEXPIRE l 10"]);
    node.pass_millis(20);
    node.story(&[("LPUSHX l x", "0", "DEL l")]);
    let mut node = Node::with(&["RPUSH l a b", "PEXPIRE l 10"]);
    node.pass_millis(20);
    assert_eq!(node.run("RPUSH l x"), "1");
    assert_eq!(node.log(), "MULTI; DEL l; RPUSH l x; EXEC");
    assert_eq!(node.run("TTL l"), "-1");
}
