use super::*;

#[test]
fn a_transaction_replies_one_array_and_is_logged_as_one() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("set a 1", "+QUEUED"),
            ("incr a", "+QUEUED"),
            ("hset a f v", "+QUEUED"),
            ("get a", "+QUEUED"),
            ("exec", "*4 +OK :2 -WRONGTYPE Operation against a key holding the wrong kind of value $1 2"),
        ],
    );
    assert_eq!(node.logged(), "SELECT 0; MULTI; set a 1; incr a; EXEC");
    check(&mut node, &[("multi", "+OK"), ("exec", "*0")]);
    check(
        &mut node,
        &[("multi", "+OK"), ("set a 3", "+QUEUED"), ("get a", "+QUEUED"), ("exec", "*2 +OK $1 3")],
    );
    assert_eq!(node.logged(), "set a 3");
}

#[test]
fn the_rules_of_queueing() {
    let mut node = Node::new();
    let nested = "-ERR MULTI calls can not be nested";
    let broken = "-EXECABORT Transaction discarded because of previous errors.";
    check(
        &mut node,
        &[
            ("exec", "-ERR EXEC without MULTI"),
            ("discard", "-ERR DISCARD without MULTI"),
            // Errors of MULTI and WATCH themselves do not spoil the transaction.
            ("multi", "+OK"),
            ("multi", nested),
            ("watch a", "-ERR WATCH inside MULTI is not allowed"),
            ("unwatch", "+QUEUED"),
            ("exec", "*1 +OK"),
            // A refused command does.
            ("multi", "+OK"),
            ("set a 1", "+QUEUED"),
            ("nosuch", "-ERR unknown command 'nosuch', with args beginning with:"),
            ("exec", broken),
            ("get a", "$-1"),
            ("multi", "+OK"),
            ("set a", "-ERR wrong number of arguments for 'set' command"),
            ("exec", broken),
            ("multi", "+OK"),
            ("sync", "-ERR Command not allowed inside a transaction"),
            ("exec", broken),
            // EXEC that is refused itself ends the transaction.
            ("multi", "+OK"),
            (
                "exec a",
                "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command",
            ),
            ("exec", "-ERR EXEC without MULTI"),
            ("multi", "+OK"),
            ("set a 1", "+QUEUED"),
            ("discard", "+OK"),
            ("get a", "$-1"),
        ],
    );
}

#[test]
fn databases_selected_inside_stay_selected() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("multi", "+OK"),
            ("select 1", "+QUEUED"),
            ("set k v", "+QUEUED"),
            ("select 99", "+QUEUED"),
            ("exec", "*3 +OK +OK -ERR DB index is out of range"),
            ("get k", "$1 v"),
        ],
    );
    assert_eq!(node.logged(), "SELECT 1; set k v");
}

#[test]
fn a_watched_key_that_changes_aborts() {
    let mut node = Node::new();
    node.send(1, "watch k");
    node.send(2, "set k other");
    check(&mut node, &[("multi", "+OK"), ("set k mine", "+QUEUED"), ("exec", "*-1"), ("get k", "$5 other")]);
    // The next transaction begins anew.
    check(&mut node, &[("multi", "+OK"), ("set k mine", "+QUEUED"), ("exec", "*1 +OK")]);
    node.send(1, "hello 3");
    node.send(1, "watch k");
    node.send(1, "set k mine-too");
    check(&mut node, &[("multi", "+OK"), ("exec", "_")]);
}

#[test]
fn watches_are_released() {
    let mut node = Node::new();
    node.send(1, "watch k");
    node.send(1, "unwatch");
    node.send(2, "set k 1");
    check(&mut node, &[("multi", "+OK"), ("exec", "*0")]);
    node.send(1, "watch k");
    node.send(1, "multi");
    node.send(1, "discard");
    node.send(2, "set k 2");
    check(&mut node, &[("multi", "+OK"), ("exec", "*0")]);
    node.send(3, "watch k");
    assert!(node.engine.session_closed(ClientId::new(3)).is_some());
    assert!(format!("{:?}", node.engine.watches).contains("watchers: {}"), "{:?}", node.engine.watches);
    // In another database it is another key.
    node.send(1, "watch k");
    node.send(2, "select 1");
    node.send(2, "set k 3");
    check(&mut node, &[("multi", "+OK"), ("exec", "*0")]);
}

#[test]
fn a_watched_key_that_expires_aborts_but_not_one_that_had_expired_before() {
    let mut node = Node::new();
    node.send(1, "set k v px 100");
    node.send(1, "watch k");
    node.engine.now = UnixMillis::new(1_000_101);
    check(&mut node, &[("multi", "+OK"), ("exec", "*-1")]);
    node.send(1, "set k v px 100");
    node.engine.now = UnixMillis::new(1_000_300);
    node.send(1, "watch k");
    check(&mut node, &[("multi", "+OK"), ("exec", "*0")]);
}

#[test]
fn a_transaction_may_not_outgrow_the_query_buffer() {
    let mut node = Node::new();
    node.send(1, "config set client-query-buffer-limit 1mb");
    node.effects();
    node.send(1, "multi");
    let half = "x".repeat(600 << 10);
    assert_eq!(node.send(1, &format!("set k {half}")), "+QUEUED");
    assert_eq!(node.send(1, &format!("set k {half}")), "");
    assert_eq!(node.effects(), [Effect::CloseClient { client: ClientId::new(1), after_reply: false }]);
}
