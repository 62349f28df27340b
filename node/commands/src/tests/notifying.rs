use rejoin_protocol::UnixMillis;

use super::*;

/// Client 3 hears all events.
fn node_with_listener(classes: &str) -> Node {
    let mut node = Node::new();
    assert_eq!(node.send(1, &format!("config set notify-keyspace-events {classes}")), "+OK");
    node.send(3, "psubscribe __key*__:*");
    node
}

/// What was heard on the channels of events since the last look: `event key`, separated by `, `; behind a slash the
/// number of the database where it is not 0.
fn events(node: &mut Node) -> String {
    let heard = node.replies(3);
    let words: Vec<&str> = heard.split(' ').collect();
    let messages = words.chunks_exact(9).filter_map(|message| {
        let (db, event) = message[6].strip_prefix("__keyevent@")?.split_once("__:")?;
        let db = if db == "0" { String::new() } else { format!("/{db}") };
        Some(format!("{event} {}{db}", message[8]))
    });
    messages.collect::<Vec<_>>().join(", ")
}

#[test]
fn an_event_is_published_under_its_key_and_under_its_name() {
    let mut node = node_with_listener("KEA");
    node.send(1, "set k v");
    assert_eq!(
        node.replies(3),
        "*4 $8 pmessage $10 __key*__:* $16 __keyspace@0__:k $3 set *4 $8 pmessage $10 __key*__:* $18 __keyevent@0__:set $1 k"
    );
    node.send(1, "config set notify-keyspace-events Kg");
    node.send(1, "set k v");
    assert_eq!(node.replies(3), "");
    node.send(1, "del k");
    assert_eq!(node.replies(3), "*4 $8 pmessage $10 __key*__:* $16 __keyspace@0__:k $3 del");
}

#[test]
fn events_come_in_redis_order() {
    let mut node = node_with_listener("KEAmn");
    for (command, expected) in [
        ("set k v ex 100", "new k, set k, expire k"),
        ("set k v get", "set k"),
        ("getset missing v", "keymiss missing, new missing, set missing"),
        ("getdel missing", "del missing"),
        ("get missing", "keymiss missing"),
        ("object encoding missing", ""),
        ("incr n", "new n, incrby n"),
        ("incrbyfloat n 1.5", "incrbyfloat n"),
        ("append n 1", "append n"),
        ("mset a 1 b 2", "new a, set a, new b, set b"),
        ("rename a b", "new b, rename_from a, rename_to b"),
        ("copy b c", "new c, copy_to c"),
        ("move c 1", "new c/1, move_from c, move_to c/1"),
        ("expire b 100", "expire b"),
        ("persist b", "persist b"),
        ("expire b -1", "del b"),
        ("rpush l a b c", "new l, rpush l"),
        ("lmove l m left right", "new m, rpush m, lpop l"),
        ("lmove l l left right", "rpush l, lpop l"),
        ("ltrim l 5 6", "ltrim l, del l"),
        ("lmpop 1 m left", "lpop m, del m"),
        ("sadd s a b", "new s, sadd s"),
        ("smove s t a", "srem s, new t, sadd t"),
        ("spop s 5", "spop s, del s"),
        ("sunionstore u t", "new u, sunionstore u"),
        ("sinterstore u missing", "keymiss missing, del u"),
        ("hset h f 1", "new h, hset h"),
        ("hincrby h f 1", "hincrby h"),
        ("hdel h f", "hdel h, del h"),
        ("zadd z 1 a 2 b", "new z, zadd z"),
        ("zincrby z 1 a", "zincr z"),
        ("zpopmin z", "zpopmin z"),
        ("zremrangebyscore z 0 9", "zremrangebyscore z, del z"),
        ("setbit bits 7 1", "new bits, setbit bits"),
        ("setbit bits 7 1", ""),
        ("bitop not other bits", "new other, set other"),
        ("flushall", ""),
    ] {
        node.send(1, command);
        assert_eq!(events(&mut node), expected, "{command}");
    }
}

#[test]
fn what_expires_says_so_whoever_finds_it() {
    let mut node = node_with_listener("Ex");
    for key in ["a", "b", "c"] {
        node.send(1, &format!("set {key} v px 5"));
    }
    node.engine.now = UnixMillis::new(node.engine.now.get() + 10);
    node.send(1, "get a");
    assert_eq!(events(&mut node), "expired a");
    node.send(1, "set b v");
    assert_eq!(events(&mut node), "expired b", "written over without being looked at");
    assert_eq!(node.engine.expire_due(10), 1);
    assert_eq!(events(&mut node), "expired c");
    assert_eq!(node.engine.stats.expired_keys, 3);
}

#[test]
fn a_client_that_hears_its_own_events_gets_them_behind_its_reply() {
    let mut node = Node::new();
    node.send(1, "config set notify-keyspace-events Kl");
    node.send(1, "hello 3");
    node.send(1, "subscribe __keyspace@0__:l");
    assert_eq!(node.send(1, "rpush l a"), ":1 >3 $7 message $16 __keyspace@0__:l $5 rpush");
    node.send(2, "blpop m 0");
    node.send(2, "ping");
    assert_eq!(node.replies(2), "");
    assert_eq!(node.send(1, "lmove l m left left"), "$1 a >3 $7 message $16 __keyspace@0__:l $4 lpop");
    assert_eq!(node.replies(2), "*2 $1 m $1 a +PONG");
}
