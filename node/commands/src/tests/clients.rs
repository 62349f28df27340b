use super::*;

#[test]
fn a_client_names_itself_and_its_library() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("client id", ":1"),
            ("client getname", "$-1"),
            ("client setname me", "+OK"),
            ("client getname", "$2 me"),
            ("client setinfo lib-name redis-rs", "+OK"),
            ("client setinfo LIB-VER 1.2.3", "+OK"),
            ("client setinfo foo bar", "-ERR Unrecognized option 'foo'"),
            ("client no-evict on", "+OK"),
            ("client no-touch on", "+OK"),
            ("client no-touch foo", "-ERR syntax error"),
            ("client getredir", ":-1"),
        ],
    );
    assert_eq!(
        node.send_args(1, &["client", "setinfo", "lib-name", "a b"]),
        "-ERR lib-name cannot contain spaces, newlines or special characters."
    );
    let info = node.send(1, "client info");
    for field in [
        "id=1 addr=127.0.0.1:50001 laddr=127.0.0.1:6379 ",
        " name=me age=0 idle=0 flags=eT db=0 ",
        " multi=-1 ",
        " cmd=client|info user=default redir=-1 resp=2 lib-name=redis-rs lib-ver=1.2.3",
    ] {
        assert!(info.contains(field), "{field} not in {info}");
    }
}

#[test]
fn the_list_shows_everyone_by_id() {
    let mut node = Node::new();
    let ids = |text: &str| -> Vec<String> {
        text.split_whitespace().filter(|word| word.starts_with("id=")).map(str::to_owned).collect()
    };
    assert_eq!(ids(&node.send(2, "client list")), ["id=1", "id=2", "id=3"]);
    assert_eq!(ids(&node.send(2, "client list id 3 2 9")), ["id=2", "id=3"]);
    assert_eq!(ids(&node.send(2, "client list type replica")), Vec::<String>::new());
    assert_eq!(ids(&node.send(2, "client list type normal")).len(), 3);
    check(
        &mut node,
        &[
            ("client list type foo", "-ERR Unknown client type 'foo'"),
            ("client list id", "-ERR syntax error"),
            ("client list id x", "-ERR Invalid client ID"),
            ("client list x", "-ERR syntax error"),
        ],
    );
}

#[test]
fn clients_are_killed_by_filters() {
    let mut node = Node::new();
    let closed = |client, after_reply| Effect::CloseClient { client: ClientId::new(client), after_reply };
    check(
        &mut node,
        &[
            ("client kill 1.1.1.1:1", "-ERR No such client"),
            ("client kill id 999", ":0"),
            ("client kill id abc", "-ERR client-id should be greater than 0"),
            ("client kill type foo", "-ERR Unknown client type 'foo'"),
            ("client kill foo bar", "-ERR syntax error"),
            ("client kill addr 1.1.1.1:1 skipme maybe", "-ERR syntax error"),
            ("client kill user nouser", "-ERR No such user 'nouser'"),
            ("client kill maxage 10", ":0"),
            ("client kill id 1", ":0"),
            ("client kill 127.0.0.1:50003", "+OK"),
        ],
    );
    assert_eq!(node.effects(), [closed(3, false)]);
    assert_eq!(node.send(3, "ping"), "");
    assert_eq!(node.send(1, "client kill type normal skipme no laddr 127.0.0.1:6379"), ":3");
    assert_eq!(node.effects(), [closed(2, false), closed(3, false), closed(1, true)]);
    let mut node = Node::new();
    assert_eq!(node.send(1, "client kill type replica"), ":0");
    assert_eq!(node.effects(), [Effect::CloseReplicas]);
}

#[test]
fn a_pause_holds_clients_back() {
    let mut node = Node::new();
    check(
        &mut node,
        &[
            ("client pause abc", "-ERR timeout is not an integer or out of range"),
            ("client pause -1", "-ERR timeout is negative"),
            ("client pause 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
            ("client pause 100 write", "+OK"),
            ("get k", "$-1"),
        ],
    );
    assert_eq!(node.send(2, "set k v"), "");
    assert_eq!(node.engine.paused_until(), Some(UnixMillis::new(1_000_100)));
    assert_eq!(node.turn(), TurnReport { executed: 0, held_back: 1, ended_early: false });
    assert_eq!(node.send(1, "client unpause"), "+OK");
    assert_eq!(node.replies(2), "+OK");
    node.send(1, "client pause 100");
    assert_eq!(node.send(1, "ping"), "");
    node.engine.now = UnixMillis::new(1_000_100);
    assert_eq!(node.replies(1), "+PONG");
    assert_eq!(node.engine.paused_until(), None);
}

#[test]
fn nothing_expires_of_itself_during_a_pause() {
    let mut node = Node::new();
    node.send(1, "set k v px 10");
    node.send(1, "client pause 1000 write");
    node.engine.now = UnixMillis::new(1_000_011);
    assert_eq!(node.engine.expire_due(10), 0);
    node.send(1, "client unpause");
    node.engine.now = UnixMillis::new(1_000_010);
    assert_eq!(node.engine.expire_due(10), 0, "at its very time a key is still there");
    node.engine.now = UnixMillis::new(1_000_011);
    assert_eq!(node.engine.expire_due(10), 1);
}

#[test]
fn sessions_that_the_node_keeps_for_itself_are_neither_shown_nor_killed() {
    let mut node = Node::new();
    let own = ClientId::new(100);
    node.engine.sessions.insert(Session::new(own, "in-process".to_owned(), String::new(), node.engine.now));
    let mut master =
        Session::new(ClientId::new(101), "10.0.0.1:6379".to_owned(), String::new(), node.engine.now);
    master.kind = crate::SessionKind::Master;
    node.engine.sessions.insert(master);
    assert_eq!(node.send(1, "client list").matches("id=").count(), 3);
    assert!(node.send(1, "info clients").contains("connected_clients:3 "));
    assert_eq!(node.send(1, "client kill type normal"), ":2");
    assert_eq!(node.send(1, "client kill type master"), ":0");
    assert!(node.engine.sessions.get(own).unwrap().is_open());
    node.engine.role = crate::Role::Replica;
    assert!(node.send(1, "client list type master").contains(" flags=M "));
    node.effects();
    assert_eq!(node.send(1, "client kill type master"), ":1");
    assert_eq!(node.effects(), [Effect::CloseClient { client: ClientId::new(101), after_reply: false }]);
}

#[test]
fn a_request_without_a_turn_never_waits() {
    let mut node = Node::new();
    let request =
        crate::Request { args: &[b"wait", b"5", b"0"], raw: None, command: None, first_key_hash: None };
    node.engine.execute(ClientId::new(1), request);
    assert_eq!(node.replies(1), ":0");
}
