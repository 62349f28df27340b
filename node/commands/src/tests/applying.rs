use super::*;
use crate::{Failure, Role, SessionKind};

/// A replica whose client 1 is its master.
fn replica() -> Node {
    let mut node = Node::new();
    node.engine.role = Role::Replica;
    node.engine.log.restart(Offset::new(1000), None);
    node.session(1).kind = SessionKind::Master;
    node
}

fn stream(commands: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        encode_command(&mut bytes, &words);
    }
    bytes
}

/// Applies bytes of the stream; what was handed on, piece by piece, with whether it ends at a border.
fn apply(node: &mut Node, bytes: &[u8]) -> (Result<(), crate::ApplyError>, Vec<(String, bool)>) {
    let input = &mut node.inputs[0];
    input.buffer_mut().extend_from_slice(bytes);
    input.decode(&RequestLimits::master(), true);
    let mut pieces = Vec::new();
    let applied = node.engine.apply_turn(input, &mut |bytes, border| pieces.push((words(bytes), border)));
    (applied.outcome, pieces)
}

#[test]
fn the_masters_commands_are_applied_silently_and_handed_on_as_they_are() {
    let mut node = replica();
    let bytes =
        stream(&["SELECT 2", "set k v", "ping", "REPLCONF GETACK *", "INCR n", "PUBLISH channel message"]);
    let (outcome, pieces) = apply(&mut node, &bytes);
    assert_eq!(outcome, Ok(()));
    let text = "SELECT 2; set k v; ping; REPLCONF GETACK *; INCR n; PUBLISH channel message";
    assert_eq!(pieces, [(text.to_owned(), true)]);
    assert_eq!(node.engine.log.offset(), Offset::new(1000 + bytes.len() as u64));
    assert!(node.engine.log.bytes().is_empty() && node.session(1).out.is_empty());
    let before_getack = stream(&["SELECT 2", "set k v", "ping"]).len() as u64;
    assert_eq!(node.effects(), [Effect::AckMaster { offset: Offset::new(1000 + before_getack) }]);
    node.send(2, "select 2");
    assert_eq!(node.send(2, "get k"), "$1 v");
}

#[test]
fn inside_multi_the_master_is_told_of_the_last_border() {
    let mut node = replica();
    let before = stream(&["SELECT 2", "set k v"]);
    let inside = stream(&["MULTI", "set k w", "REPLCONF GETACK *"]);
    let (outcome, _) = apply(&mut node, &[before.clone(), inside.clone()].concat());
    assert_eq!(outcome, Ok(()));
    let border = Offset::new(1000 + before.len() as u64);
    assert_eq!(node.effects(), [Effect::AckMaster { offset: border }]);
    let (outcome, _) = apply(&mut node, &stream(&["EXEC", "REPLCONF GETACK *"]));
    assert_eq!(outcome, Ok(()));
    let offset = border.advance(rejoin_protocol::ByteCount::of(inside.len() + stream(&["EXEC"]).len()));
    assert_eq!(node.effects(), [Effect::AckMaster { offset }]);
}

#[test]
fn the_masters_messages_reach_our_clients() {
    let mut node = replica();
    node.send(2, "subscribe channel");
    node.send(3, "ssubscribe shard");
    let (outcome, _) = apply(
        &mut node,
        &stream(&["PUBLISH channel one", "MULTI", "PUBLISH channel two", "SPUBLISH shard x", "EXEC"]),
    );
    assert_eq!(outcome, Ok(()));
    assert_eq!(node.engine.take_woken(), [ClientId::new(2), ClientId::new(3)]);
    assert_eq!(node.replies(2), "*3 $7 message $7 channel $3 one *3 $7 message $7 channel $3 two");
    assert_eq!(node.replies(3), "*3 $8 smessage $5 shard $1 x");
    assert!(node.session(1).out.is_empty());
}

#[test]
fn a_transaction_is_applied_whole_at_its_exec() {
    let mut node = replica();
    let (outcome, pieces) = apply(&mut node, &stream(&["SELECT 0", "MULTI", "set a 1"]));
    assert_eq!(outcome, Ok(()));
    assert_eq!(pieces, [("SELECT 0".to_owned(), true), ("MULTI; set a 1".to_owned(), false)]);
    assert_eq!(node.send(2, "get a"), "$-1");
    let (outcome, pieces) = apply(&mut node, &stream(&["set b 2", "EXEC"]));
    assert_eq!((outcome, pieces), (Ok(()), vec![("set b 2; EXEC".to_owned(), true)]));
    assert_eq!(node.send(2, "mget a b"), "*2 $1 1 $1 2");
}

#[test]
fn what_cannot_be_applied_is_named_and_stops_the_stream() {
    for (commands, command, failure) in [
        (
            &["set k v", "GEOADD k 1 2 m", "set k w"][..],
            "GEOADD",
            Failure::text("ERR unknown command 'GEOADD', with args beginning with: 'k' '1' '2' 'm' "),
        ),
        (&["set k v", "hset k f v", "set k w"], "hset", Failure::WrongType),
        (&["set k v", "get", "set k w"], "get", Failure::WrongArity("get".to_owned())),
        (&["set k v", "EXEC", "set k w"], "exec", Failure::text("ERR EXEC without MULTI")),
    ] {
        let mut node = replica();
        let (outcome, pieces) = apply(&mut node, &stream(commands));
        let error = outcome.unwrap_err();
        assert_eq!((error.command.as_str(), error.failure), (command, failure));
        assert_eq!(pieces, [("set k v".to_owned(), true)]);
        assert_eq!(node.engine.log.offset(), Offset::new(1000 + stream(&["set k v"]).len() as u64));
        assert_eq!(node.send(2, "get k"), "$1 v");
    }
    let mut node = replica();
    let (outcome, pieces) = apply(&mut node, &stream(&["MULTI", "set k v", "hset k f v", "EXEC"]));
    assert_eq!(outcome.unwrap_err().command, "hset");
    assert_eq!(pieces, [("MULTI; set k v; hset k f v".to_owned(), false)]);
    let (outcome, _) = apply(&mut replica(), b"$3\r\nfoo\r\n");
    assert!(outcome.is_err());
}

#[test]
fn expired_keys_are_there_for_the_master() {
    let mut node = replica();
    apply(&mut node, &stream(&["set n 5 pxat 1000010"])).0.unwrap();
    node.engine.now = UnixMillis::new(1_000_100);
    assert_eq!(node.send(2, "get n"), "$-1");
    apply(&mut node, &stream(&["incr n", "persist n"])).0.unwrap();
    assert_eq!(node.send(2, "get n"), "$1 6");
    assert_eq!(node.logged(), "");
}

#[test]
fn one_request_can_be_applied_by_itself() {
    let mut node = replica();
    let raw = stream(&["set k v"]);
    let request =
        crate::Request { args: &[b"set", b"k", b"v"], raw: Some(&raw), command: None, first_key_hash: None };
    assert_eq!(node.engine.apply(ClientId::new(1), request), Ok(()));
    assert_eq!(node.engine.log.offset(), Offset::new(1000 + raw.len() as u64));
    assert_eq!(node.send(2, "get k"), "$1 v");
    assert!(node.engine.apply(ClientId::new(99), request).is_err());
}
