//! Clients that wait for lists: who is served, when, with what, and what reaches the log.

use rejoin_protocol::{ClientId, UnixMillis};

use super::{Node, check};

/// Sends a command that must leave the client waiting.
fn block(node: &mut Node, client: usize, command: &str) {
    assert_eq!(node.send(client, command), "", "{command} waits");
    assert!(node.session(client).waiting.is_some(), "{command} waits");
}

fn woken(node: &mut Node) -> Vec<u64> {
    node.engine.take_woken().into_iter().map(ClientId::get).collect()
}

#[test]
fn a_pop_that_finds_something_does_not_wait() {
    let mut node = Node::new();
    node.send(1, "rpush l a b c d");
    node.logged();
    check(&mut node, &[("blpop none l 0", "*2 $1 l $1 a"), ("brpop l 5", "*2 $1 l $1 d")]);
    assert_eq!(node.logged(), "LPOP l; RPOP l");
    check(&mut node, &[("blmpop 0 2 none l right count 5", "*2 $1 l *2 $1 c $1 b"), ("rpush l x", ":1")]);
    assert_eq!(node.logged(), "RPOP l 2; rpush l x");
    check(&mut node, &[("blmove l m left right 0", "$1 x"), ("brpoplpush m l 0", "$1 x")]);
    assert_eq!(node.logged(), "LMOVE l m left right; RPOPLPUSH m l");
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0");
    block(&mut node, 3, "blpop other l 0");
    assert_eq!(node.send(1, "rpush l a b c"), ":3");
    assert_eq!(woken(&mut node), [2, 3]);
    assert_eq!(node.replies(2), "*2 $1 l $1 a");
    assert_eq!(node.replies(3), "*2 $1 l $1 b");
    assert_eq!(node.logged(), "SELECT 0; rpush l a b c; LPOP l; LPOP l");
    assert!(node.engine.waiting.is_empty() && woken(&mut node).is_empty());
    check(&mut node, &[("lrange l 0 -1", "*1 $1 c")]);
}

#[test]
fn what_is_pipelined_behind_a_wait_comes_behind_it() {
    let mut node = Node::new();
    block(&mut node, 2, "brpop l 0");
    assert_eq!(node.send(2, "ping"), "");
    node.send(1, "rpush l a");
    assert_eq!(node.replies(2), "*2 $1 l $1 a +PONG");
}

#[test]
fn a_transaction_is_whole_before_anyone_is_served() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0");
    check(
        &mut node,
        &[("multi", "+OK"), ("rpush l a", "+QUEUED"), ("del l", "+QUEUED"), ("exec", "*2 :1 :1")],
    );
    assert_eq!(node.replies(2), "", "the list was gone again");
    check(
        &mut node,
        &[("multi", "+OK"), ("rpush l a", "+QUEUED"), ("rpush l b", "+QUEUED"), ("exec", "*2 :1 :2")],
    );
    assert_eq!(node.replies(2), "*2 $1 l $1 a");
    let logged = node.logged();
    assert!(logged.ends_with("MULTI; rpush l a; rpush l b; EXEC; LPOP l"), "{logged}");
}

#[test]
fn nothing_waits_inside_a_transaction() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("blpop l 0", "+QUEUED"),
            ("blmove l m left left 0", "+QUEUED"),
            ("blmpop 0 1 l left", "+QUEUED"),
            ("exec", "*3 *-1 $-1 *-1"),
        ],
    );
}

#[test]
fn any_command_that_makes_a_list_wakes() {
    let makers: [&[&str]; 6] = [
        &["rpush m a", "rename m l"],
        &["rpush m a", "copy m l"],
        &["select 1", "rpush l a", "select 0", "swapdb 0 1"],
        &["select 1", "rpush l a", "move l 0"],
        &["rpush m a", "lmove m l left left"],
        &["lpush l a"],
    ];
    for commands in makers {
        let mut node = Node::new();
        block(&mut node, 2, "blpop l 0");
        for command in commands {
            node.send(1, command);
        }
        assert_eq!(node.replies(2), "*2 $1 l $1 a", "{commands:?}");
    }
}

#[test]
fn another_type_wakes_nobody_and_a_destination_of_another_type_is_an_error() {
    let mut node = Node::new();
    node.send(1, "set s x");
    assert_eq!(
        node.send(2, "blpop s 0"),
        "-WRONGTYPE Operation against a key holding the wrong kind of value"
    );
    block(&mut node, 2, "blpop l 0");
    node.send(1, "set l x");
    assert_eq!(node.replies(2), "");
    check(&mut node, &[("del l", ":1"), ("rpush l a", ":1")]);
    assert_eq!(node.replies(2), "*2 $1 l $1 a");
    block(&mut node, 2, "blmove l s left left 0");
    block(&mut node, 3, "blpop l 0");
    node.send(1, "rpush l b");
    assert_eq!(node.replies(2), "-WRONGTYPE Operation against a key holding the wrong kind of value");
    assert_eq!(node.replies(3), "*2 $1 l $1 b", "what the first could not take");
}

#[test]
fn moves_chain() {
    let mut node = Node::new();
    block(&mut node, 3, "blmove b c left right 0");
    block(&mut node, 2, "brpoplpush a b 0");
    node.send(1, "rpush a x");
    assert_eq!((node.replies(2), node.replies(3)), ("$1 x".into(), "$1 x".into()));
    check(&mut node, &[("lrange c 0 -1", "*1 $1 x"), ("exists a b", ":0")]);
    assert_eq!(node.logged(), "SELECT 0; rpush a x; RPOPLPUSH a b; LMOVE b c left right");
}

#[test]
fn time_runs_out() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0.0101");
    block(&mut node, 3, "blmove l m left left 1");
    assert_eq!(node.engine.next_wait_deadline(), Some(UnixMillis::new(1_000_011)));
    node.engine.now = UnixMillis::new(1_000_010);
    assert!(node.engine.answer_waiting().is_empty());
    node.engine.now = UnixMillis::new(1_000_011);
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(2)]);
    assert_eq!(node.replies(2), "*-1");
    node.engine.now = UnixMillis::new(1_001_000);
    assert_eq!(node.engine.answer_waiting(), [ClientId::new(3)]);
    assert_eq!(node.replies(3), "*-1");
    assert_eq!(node.send(1, "rpush l a"), ":1");
    assert!(woken(&mut node).is_empty(), "nobody waits any more");
    check(
        &mut node,
        &[
            ("blpop l x", "-ERR timeout is not a float or out of range"),
            ("blpop l -1", "-ERR timeout is negative"),
            ("blpop l 1e300", "-ERR timeout is out of range"),
            ("blpop l 1e400", "-ERR timeout is out of range"),
            ("blpop l -1e400", "-ERR timeout is negative"),
            ("blpop l nan", "-ERR timeout is not a float or out of range"),
            ("blpop l 9223372036854775", "-ERR timeout is out of range"),
        ],
    );
}

#[test]
fn a_wait_can_be_ended_by_others() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0");
    block(&mut node, 3, "blpop l 0");
    let listed = node.send(1, "client list id 2");
    assert!(listed.contains("flags=b") && listed.contains("cmd=blpop"), "{listed}");
    check(
        &mut node,
        &[
            ("client unblock 1", ":0"),
            ("client unblock 99", ":0"),
            ("client unblock x", "-ERR value is not an integer or out of range"),
            ("client unblock 2 now", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
            ("client unblock 2", ":1"),
            ("client unblock 3 error", ":1"),
        ],
    );
    assert_eq!(woken(&mut node), [2, 3]);
    assert_eq!(node.replies(2), "*-1");
    assert_eq!(node.replies(3), "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
}

#[test]
fn a_client_that_is_gone_takes_nothing() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0");
    assert!(node.engine.session_closed(ClientId::new(2)).is_some());
    check(&mut node, &[("rpush l a", ":1"), ("llen l", ":1")]);
}

#[test]
fn whoever_waits_when_the_node_becomes_a_replica_is_told() {
    let mut node = Node::new();
    block(&mut node, 2, "blpop l 0");
    assert_eq!(node.engine.unblock_all(), [ClientId::new(2)]);
    let reply =
        "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";
    assert_eq!(node.replies(2), reply);
}

#[test]
fn a_reply_that_is_to_be_skipped_is_skipped_though_it_comes_late() {
    let mut node = Node::new();
    for (wakes, key) in [("rpush l x", "l"), ("client unblock 2", "m")] {
        assert_eq!(node.send(2, "client reply skip"), "");
        block(&mut node, 2, &format!("blpop {key} 0"));
        assert_eq!(node.send(1, wakes), ":1");
        assert_eq!(node.replies(2), "", "{wakes}");
        assert_eq!(node.send(2, "ping"), "+PONG");
    }
}

#[test]
fn sorted_sets_are_waited_for_like_lists() {
    let mut node = Node::new();
    node.send(1, "zadd z 1 a 2 b 3 c 4 d");
    node.logged();
    check(&mut node, &[("bzpopmin none z 0", "*3 $1 z $1 a $1 1"), ("bzpopmax z 5", "*3 $1 z $1 d $1 4")]);
    assert_eq!(node.logged(), "ZPOPMIN z; ZPOPMAX z");
    check(&mut node, &[("bzmpop 0 2 none z max count 5", "*2 $1 z *2 *2 $1 c $1 3 *2 $1 b $1 2")]);
    assert_eq!(node.logged(), "ZPOPMAX z 2");
    block(&mut node, 2, "bzpopmin other z 0");
    block(&mut node, 3, "bzmpop 0 1 z min");
    // A list under that name serves nobody who waits for a sorted set.
    assert_eq!(node.send(1, "rpush z x"), ":1");
    assert_eq!(node.send(1, "del z"), ":1");
    assert_eq!(woken(&mut node), [0_u64; 0]);
    node.logged();
    assert_eq!(node.send(1, "zadd z 7 x 8 y 9 w"), ":3");
    assert_eq!(woken(&mut node), [2, 3]);
    assert_eq!(node.replies(2), "*3 $1 z $1 x $1 7");
    assert_eq!(node.replies(3), "*2 $1 z *1 *2 $1 y $1 8");
    assert_eq!(node.logged(), "zadd z 7 x 8 y 9 w; ZPOPMIN z; ZPOPMIN z 1");
    check(
        &mut node,
        &[
            ("bzpopmin z x", "-ERR timeout is not a float or out of range"),
            ("bzpopmin z -1", "-ERR timeout is negative"),
            ("bzmpop 0 0 z min", "-ERR numkeys should be greater than 0"),
            ("bzmpop 0 1 z nosuch", "-ERR syntax error"),
            ("command getkeys bzmpop 0 2 a b min", "*2 $1 a $1 b"),
            ("command getkeys sort l by w get x store d limit 0 1", "*2 $1 l $1 d"),
        ],
    );
}
