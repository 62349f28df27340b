use super::*;
use crate::turn::OUTPUT_BYTES_PAUSE;

fn pings(count: usize) -> Vec<u8> {
    b"*1\r\n$4\r\nPING\r\n".repeat(count)
}

#[test]
fn replies_come_in_the_order_of_the_requests() {
    let mut node = Node::new();
    let mut bytes = Vec::new();
    for number in 0..100 {
        encode_command(&mut bytes, &["rpush-is-unknown"]);
        encode_command(&mut bytes, &["echo", &number.to_string()]);
    }
    node.receive(1, &bytes);
    let replies = node.replies(1);
    let echoed: Vec<&str> = replies.split(' ').filter(|word| word.parse::<u32>().is_ok()).collect();
    assert_eq!(echoed, (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn requests_that_arrive_byte_by_byte_are_executed_when_they_are_whole() {
    let mut node = Node::new();
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &["set", "k", "value"]);
    bytes.extend_from_slice(b"\r\nget k\r\n");
    let mut replies = String::new();
    for byte in bytes {
        node.receive(1, &[byte]);
        node.turn();
        replies.push_str(&String::from_utf8(std::mem::take(&mut node.session(1).out)).unwrap());
    }
    assert_eq!(replies, "+OK\r\n$5\r\nvalue\r\n");
    assert_eq!(node.inputs[0].pending_bytes(), 0);
    // An inline request is logged in canonical form.
    node.receive(1, b"  set  k  'a b' \r\n");
    node.turn();
    assert!(node.logged().ends_with("set k a b"));
}

#[test]
fn a_long_pipeline_leaves_room_for_others_in_every_turn() {
    let mut node = Node::new();
    node.receive(1, &pings(100_000));
    node.receive(2, &pings(1));
    let report = node.turn();
    assert_eq!(report.executed, 1024 + 1);
    assert_eq!(node.session(2).out, b"+PONG\r\n");
    let mut turns = 1;
    while node.inputs[0].pending_bytes() > 0 {
        node.receive(1, b"");
        assert!(node.turn().executed <= 1024);
        turns += 1;
    }
    assert_eq!(turns, 100_000usize.div_ceil(1024));
    assert_eq!(node.session(1).out.len(), 7 * 100_000);
}

#[test]
fn a_client_that_does_not_read_is_held_back() {
    let mut node = Node::new();
    let value = "x".repeat(1 << 20);
    node.send(1, &format!("set big {value}"));
    let mut bytes = Vec::new();
    for _ in 0..100 {
        encode_command(&mut bytes, &["get", "big"]);
    }
    node.receive(1, &bytes);
    node.receive(2, &pings(3));
    let report = node.turn();
    let owed = node.session(1).out.len();
    assert!((OUTPUT_BYTES_PAUSE..OUTPUT_BYTES_PAUSE + (2 << 20)).contains(&owed), "{owed}");
    assert_eq!((report.held_back, node.session(2).out.len()), (1, 21));
    assert_eq!(node.turn().executed, 0);
    let mut replies = 0;
    while node.inputs[0].is_ready() {
        replies += std::mem::take(&mut node.session(1).out).len();
        node.turn();
    }
    replies += node.session(1).out.len();
    assert_eq!(replies, 100 * (value.len() + "$1048576\r\n\r\n".len()));
}

#[test]
fn what_was_well_formed_is_executed_before_a_protocol_error_closes() {
    let mut node = Node::new();
    let mut bytes = pings(2);
    bytes.extend_from_slice(b"*1\r\n!oops\r\n*1\r\n$4\r\nPING\r\n");
    node.receive(1, &bytes);
    assert_eq!(node.replies(1), "+PONG +PONG -ERR Protocol error: expected '$', got '!'");
    assert_eq!(node.effects(), [Effect::CloseClient { client: ClientId::new(1), after_reply: true }]);
    node.receive(1, &pings(1));
    assert_eq!(node.replies(1), "");
    assert_eq!(node.send(2, "ping"), "+PONG");
}

#[test]
fn who_is_not_authenticated_may_claim_little() {
    let mut node = Node::with(Settings { requirepass: "secret".to_owned(), ..Settings::default() });
    node.receive(1, b"*11\r\n");
    assert_eq!(node.replies(1), "-ERR Protocol error: unauthenticated multibulk length");
    node.receive(2, b"*2\r\n$4\r\nECHO\r\n$16385\r\n");
    assert_eq!(node.replies(2), "-ERR Protocol error: unauthenticated bulk length");
    // One request at a time, so that AUTH lifts the limits for what stands behind it.
    let mut bytes = Vec::new();
    encode_command(&mut bytes, &["auth", "secret"]);
    encode_command(&mut bytes, &["echo", &"x".repeat(20_000)]);
    node.receive(3, &bytes);
    assert_eq!(node.replies(3), "+OK");
    node.receive(3, b"");
    assert!(node.replies(3).starts_with("$20000 xxx"));
}

#[test]
fn absurd_requests_cost_little() {
    for bytes in [
        b"*1\r\n".repeat(100_000).as_slice(),
        b"*-5\r\n*0\r\n\r\n\r\nPING\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$-7\r\n",
        b"*1\r\n$99999999999999\r\n",
        b"*3\r\n$3\r\nset\r\n$1000000000\r\nabc",
        &b"x".repeat(70_000),
    ] {
        let mut node = Node::new();
        node.receive(1, bytes);
        node.replies(1);
        assert!(node.inputs[0].buffer_mut().capacity() <= 4 * bytes.len() + 4096);
        assert_eq!(node.send(2, "ping"), "+PONG");
    }
}
