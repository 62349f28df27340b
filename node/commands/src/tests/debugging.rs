//! DEBUG, MEMORY, MODULE, CLUSTER, LOLWUT: what operators and test suites ask of a node.

use super::{Node, check};
use crate::Effect;

#[test]
fn a_reload_keeps_every_key_and_breaks_watches() {
    let mut node = Node::new();
    for command in [
        "set text value",
        "set number 12345",
        "set volatile v px 5000",
        "rpush list a b c",
        "sadd set a b c",
        "sadd integers 1 2 3",
        "zadd scores 1 a 2.5 b",
        "hset hash f v g w",
        "select 3",
        "set elsewhere v",
    ] {
        assert!(!node.send(1, command).starts_with('-'), "{command}");
    }
    let digest = node.send(1, "debug digest");
    node.logged();
    node.send(2, "watch text");
    // Within a transaction, where it needs no file.
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("debug reload", "+QUEUED"),
            ("debug reload merge noflush", "+QUEUED"),
            ("exec", "*2 +OK +OK"),
        ],
    );
    assert_eq!(node.send(1, "debug digest"), digest);
    assert_eq!(node.send(2, "pttl volatile"), ":5000");
    assert_eq!(node.logged(), "", "nothing has changed for replicas");
    check(
        &mut node,
        &[
            ("debug reload foo", "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."),
            ("debug loadaof", "-ERR DEBUG LOADAOF: there is no append-only file to load"),
        ],
    );
    node.send(2, "multi");
    assert_eq!(node.send(2, "exec"), "*-1");
    // The tree works on: what was loaded is found, replaced and deleted.
    check(&mut node, &[("set elsewhere w", "+OK"), ("del elsewhere", ":1"), ("dbsize", ":0")]);
}

#[test]
fn debug_shows_how_keys_are_held() {
    let mut node = Node::new();
    for command in ["set number 7", "set text value", "rpush list 1 2", "hset hash f v"] {
        node.send(1, command);
    }
    let object = node.send(1, "debug object number");
    assert!(object.starts_with("+Value at:0x"), "{object}");
    assert!(object.contains(" refcount:2147483647 encoding:int serializedlength:2 lru:"), "{object}");
    let object = node.send(1, "debug object text");
    assert!(object.contains(" refcount:1 encoding:embstr serializedlength:6 lru:"), "{object}");
    assert!(object.ends_with(" lru_seconds_idle:0"), "{object}");
    check(
        &mut node,
        &[
            ("debug object none", "-ERR no such key"),
            (
                "debug object text fast",
                "-ERR unknown subcommand or wrong number of arguments for 'object'. Try DEBUG HELP.",
            ),
            ("debug listpack hash", "+Listpack structure printed on stdout"),
            ("debug listpack text", "-ERR Not a listpack encoded object."),
            ("debug quicklist hash", "-ERR Not a quicklist encoded object."),
            ("debug sdslen number", "-ERR Not an sds encoded string."),
            ("debug htstats 99", "-ERR Out of range database"),
            ("debug htstats x", "-ERR value is not an integer or out of range"),
            (
                "debug htstats-key hash",
                "-ERR The value stored at the specified key is not represented using an hash table",
            ),
        ],
    );
    assert!(
        node.send(1, "debug sdslen text")
            .starts_with("+key_sds_len:4, key_sds_avail:0, key_zmalloc: 4, val_sds_len:5,")
    );
    assert!(node.send(1, "debug htstats 0").contains("number of elements: 4"));
    node.effects();
    node.send_args(1, &["debug", "log", "a line"]);
    assert_eq!(node.effects(), [Effect::Log { text: "DEBUG LOG: a line".to_owned() }]);
}

#[test]
fn what_debug_does_not_do_is_refused_by_name() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("debug segfault", "-ERR DEBUG SEGFAULT is not supported"),
            ("debug panic", "-ERR DEBUG PANIC is not supported"),
            ("debug restart 100", "-ERR DEBUG RESTART is not supported"),
            ("debug jmap", "-ERR DEBUG JMAP is not supported"),
            (
                "debug nosuch",
                "-ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.",
            ),
            ("debug quicklist-packed-threshold 10b", "+OK"),
            (
                "debug quicklist-packed-threshold x",
                "-ERR argument must be a memory value bigger than 1 and smaller than 4gb",
            ),
            ("debug stringmatch-test", "+Apparently Redis did not crash: test passed"),
            ("debug error boom", "-boom"),
        ],
    );
}

#[test]
fn debug_protocol_has_a_reply_of_each_type() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("debug protocol double", "$5 3.141"),
            ("debug protocol map", "*6 :0 :0 :1 :1 :2 :0"),
            ("debug protocol attrib", "$39 Some real reply following the attribute"),
            ("debug protocol push", "-ERR RESP2 is not supported by this command"),
            ("debug protocol bignum", "$37 1234567999999999999999999999999999999"),
        ],
    );
    node.send(1, "hello 3");
    check(
        &mut node,
        &[
            ("debug protocol double", ",3.141"),
            ("debug protocol null", "_"),
            ("debug protocol set", "~3 :0 :1 :2"),
            ("debug protocol map", "%3 :0 #f :1 #t :2 #f"),
            (
                "debug protocol attrib",
                "|1 $14 key-popularity *2 $7 key:123 :90 $39 Some real reply following the attribute",
            ),
            (
                "debug protocol push",
                ">2 $16 server-cpu-usage :42 $40 Some real reply following the push reply",
            ),
            ("debug protocol bignum", "(1234567999999999999999999999999999999"),
            ("debug protocol verbatim", "=29 txt:This is a verbatim\nstring"),
            ("debug protocol true", "#t"),
        ],
    );
}

#[test]
fn there_are_no_modules_and_there_is_no_cluster() {
    let mut node = Node::new();
    const NO_CLUSTER: &str = "-ERR This instance has cluster support disabled";
    check(
        &mut node,
        &[
            ("module list", "*0"),
            ("module load", "-ERR wrong number of arguments for 'module|load' command"),
            ("cluster info", NO_CLUSTER),
            ("cluster keyslot a", NO_CLUSTER),
            ("cluster nosuch", "-ERR unknown subcommand 'nosuch'. Try CLUSTER HELP."),
            ("cluster", "-ERR wrong number of arguments for 'cluster' command"),
            ("readonly", NO_CLUSTER),
            ("readwrite", NO_CLUSTER),
            ("asking", NO_CLUSTER),
            ("lastsave", ":0"),
            ("lolwut version 1", "$17 Redis ver. 7.2.4"),
            ("lolwut version x", "-ERR value is not an integer or out of range"),
        ],
    );
    assert!(node.send(1, "module load x").starts_with("-ERR MODULE command not allowed."));
    assert!(node.send(1, "lolwut").ends_with("Redis ver. 7.2.4"));
}

#[test]
fn memory_tells_where_it_goes() {
    let mut node = Node::new();
    node.send(1, "set a 1 ex 100");
    node.send(1, "set b 1");
    let stats = node.send(1, "memory stats");
    for figure in [
        "$15 total.allocated :",
        "$4 db.0 *6 $23 overhead.hashtable.main :16 $26 overhead.hashtable.expires :",
        "$10 keys.count :2 ",
        "$13 fragmentation $",
    ] {
        assert!(stats.contains(figure), "{figure} not in {stats}");
    }
    // Names and figures, of which one is the map of the database.
    assert!(stats.starts_with("*56 "), "{stats}");
    assert!(node.send(1, "memory doctor").contains("too little data"));
    check(
        &mut node,
        &[
            ("memory purge", "+OK"),
            ("memory malloc-stats", "$45 Stats not supported for the current allocator"),
        ],
    );
}
