use super::*;

#[test]
fn small_talk() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("ping", "+PONG"),
            ("PING hi", "$2 hi"),
            ("ping a b", "-ERR wrong number of arguments for 'ping' command"),
            ("echo x", "$1 x"),
            ("select 15", "+OK"),
            ("select 16", "-ERR DB index is out of range"),
            ("select -1", "-ERR DB index is out of range"),
            ("select abc", "-ERR value is not an integer or out of range"),
            ("time", "*2 $4 1000 $1 0"),
            ("reset", "+RESET"),
        ],
    );
    assert_eq!(node.session(1).db.get(), 0);
    assert_eq!(node.send(1, "quit"), "+OK");
    assert_eq!(node.effects(), [Effect::CloseClient { client: ClientId::new(1), after_reply: true }]);
    assert_eq!(node.send(1, "ping"), "");
}

#[test]
fn hello_tells_who_we_are_in_the_protocol_it_chooses() {
    let mut node = Node::new();
    assert_eq!(
        node.send(1, "hello"),
        "*14 $6 server $5 redis $7 version $5 7.2.4 $5 proto :2 $2 id :1 $4 mode $10 standalone $4 role $6 master \
         $7 modules *0"
    );
    let three = node.send(1, "hello 3 setname me");
    assert!(three.starts_with("%7 $6 server") && three.contains("proto :3"), "{three}");
    check(
        &mut node,
        &[
            ("get nokey", "_"),
            ("client getname", "$2 me"),
            ("hello 4", "-NOPROTO unsupported protocol version"),
            ("hello abc", "-ERR Protocol version is not an integer or out of range"),
            ("hello 3 auth a", "-ERR Syntax error in HELLO option 'auth'"),
            ("hello 3 foo", "-ERR Syntax error in HELLO option 'foo'"),
            ("hello 2 auth nobody x", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("get nokey", "_"),
        ],
    );
    assert_eq!(
        node.send_args(1, &["hello", "2", "setname", "a b"]),
        "-ERR Client names cannot contain spaces, newlines or special characters."
    );
    assert!(node.send(1, "hello 2 auth default anything").starts_with("*14"));
}

#[test]
fn hello_needs_the_password_that_is_asked_for() {
    let mut node = Node::with(Settings { requirepass: "secret".to_owned(), ..Settings::default() });
    assert!(
        node.send(1, "hello 3")
            .starts_with("-NOAUTH HELLO must be called with the client already authenticated")
    );
    assert!(node.send(1, "hello 3 auth default wrong").starts_with("-WRONGPASS"));
    assert!(node.send(1, "hello 3 auth default secret").starts_with("%7"));
    check(&mut node, &[("reset", "+RESET"), ("get k", "-NOAUTH Authentication required.")]);
}

#[test]
fn auth_in_redis_words() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            (
                "auth x",
                "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ),
            ("auth default x", "+OK"),
            ("auth a b", "-WRONGPASS invalid username-password pair or user is disabled."),
            ("auth a b c", "-ERR syntax error"),
        ],
    );
}
