//! DUMP and RESTORE.

use super::node::Node;

const WRONG_FOOTER: &str = "-ERR DUMP payload version or checksum are wrong\r\n";
/// `HSET h f1 v1 f2 2`, as redis-server 7.0.15 dumps it.
const HASH_OF_7_0: &[u8] =
    b"\x10\x15\x15\0\0\0\x04\0\x82f1\x03\x82v1\x03\x82f2\x03\x02\x01\xff\x0a\0\x5c\x5e\xa8\x13\xfe\xec\x1f\xf5";

fn dump(node: &mut Node, key: &str) -> Vec<u8> {
    let reply = node.raw(&[b"DUMP", key.as_bytes()]);
    let begin = reply.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    reply[begin..reply.len() - 2].to_vec()
}

fn restore(node: &mut Node, args: &[&[u8]]) -> String {
    let args = [&[b"RESTORE".as_slice()], args].concat();
    String::from_utf8(node.raw(&args)).unwrap()
}

#[test]
fn what_was_dumped_is_restored() {
    let mut node = Node::new();
    node.engine.settings.enable_debug_command = "yes".to_owned();
    let many: String = (0..600).map(|n| format!(" m{n}")).collect();
    let scores: String = (0..200).map(|n| format!(" {n}.5 m{n}")).collect();
    for command in [
        "SET string text",
        "SET number -77",
        "RPUSH list a 1 b",
        &format!("RPUSH longlist{many}"),
        "SADD integers 1 2 3",
        "SADD small a b",
        &format!("SADD large{many}"),
        "ZADD scores 1.5 a -inf b",
        &format!("ZADD manyscores{scores}"),
        "HSET hash f v g 2",
    ] {
        node.run(command);
        let key = command.split(' ').nth(1).unwrap().to_owned();
        let payload = dump(&mut node, &key);
        assert_eq!(restore(&mut node, &[b"copy", b"0", &payload]), "+OK\r\n");
        let digests = node.run(&format!("DEBUG DIGEST-VALUE {key} copy"));
        let (one, other) = digests.trim_matches(['[', ']']).split_once(", ").unwrap();
        assert_eq!(one, other, "{key}");
        let encoding = |node: &mut Node, key: &str| node.run(&format!("OBJECT ENCODING {key}"));
        assert_eq!(encoding(&mut node, &key), encoding(&mut node, "copy"), "{key}");
        assert_eq!(node.run("DEL copy"), "1");
    }
    assert_eq!(node.run("DUMP none"), "nil");
}

#[test]
fn options_of_restore() {
    let mut node = Node::new();
    assert_eq!(restore(&mut node, &[b"k", b"0", HASH_OF_7_0]), "+OK\r\n");
    assert_eq!(node.run("HGETALL k"), "[f1, v1, f2, 2]");
    assert_eq!(
        restore(&mut node, &[b"k", b"0", HASH_OF_7_0]),
        "-BUSYKEY Target key name already exists.\r\n"
    );
    assert_eq!(restore(&mut node, &[b"k", b"5000", HASH_OF_7_0, b"replace"]), "+OK\r\n");
    assert_eq!(node.run("PEXPIRETIME k"), "1005000");
    assert_eq!(restore(&mut node, &[b"k", b"7000000", HASH_OF_7_0, b"REPLACE", b"ABSTTL"]), "+OK\r\n");
    assert_eq!(node.run("PEXPIRETIME k"), "7000000");
    node.log();
    // An expiry that has passed: the key is merely gone.
    assert_eq!(restore(&mut node, &[b"k", b"7", HASH_OF_7_0, b"REPLACE", b"ABSTTL"]), "+OK\r\n");
    assert_eq!((node.run("EXISTS k").as_str(), node.log().as_str()), ("0", "DEL k"));
    assert_eq!(restore(&mut node, &[b"k", b"0", HASH_OF_7_0, b"IDLETIME", b"300"]), "+OK\r\n");
    assert_eq!(node.run("OBJECT IDLETIME k"), "300");
    node.run("CONFIG SET maxmemory-policy allkeys-lfu");
    assert_eq!(restore(&mut node, &[b"k", b"0", HASH_OF_7_0, b"REPLACE", b"FREQ", b"77"]), "+OK\r\n");
    assert_eq!(node.run("OBJECT FREQ k"), "77");
    for (option, value, error) in [
        (&b"IDLETIME"[..], &b"-1"[..], "-ERR Invalid IDLETIME value, must be >= 0\r\n"),
        (b"FREQ", b"256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"),
        (b"IDLETIME", b"x", "-ERR value is not an integer or out of range\r\n"),
        (b"REPLACE", b"NOSUCH", "-ERR syntax error\r\n"),
    ] {
        assert_eq!(restore(&mut node, &[b"k", b"0", HASH_OF_7_0, option, value]), error);
    }
    let negative = restore(&mut node, &[b"n", b"-1", HASH_OF_7_0]);
    assert_eq!(negative, "-ERR Invalid TTL value, must be >= 0\r\n");
}

#[test]
fn the_log_has_our_own_payload_and_an_absolute_expiry() {
    let mut node = Node::new();
    restore(&mut node, &[b"k", b"5000", HASH_OF_7_0, b"REPLACE"]);
    let log = node.log();
    assert!(log.starts_with("RESTORE k 1005000 \\x04\\x02\\x02f1\\x02v1"), "{log}");
    assert!(log.ends_with(" REPLACE ABSTTL"), "{log}");
    // Version 8: whatever reads it need not be as new as what wrote the client's.
    assert!(log.contains("\\x08\\x00"), "{log}");
}

#[test]
fn damage_is_refused_and_leaves_nothing_behind() {
    let mut node = Node::with(&["SET k v"]);
    for end in 0..HASH_OF_7_0.len() {
        assert_eq!(restore(&mut node, &[b"x", b"0", &HASH_OF_7_0[..end]]), WRONG_FOOTER);
    }
    for at in 0..HASH_OF_7_0.len() {
        let mut payload = HASH_OF_7_0.to_vec();
        payload[at] ^= 0x40;
        assert_eq!(restore(&mut node, &[b"k", b"0", &payload, b"REPLACE"]), WRONG_FOOTER);
    }
    // A right checksum over a value that lies: lengths that are not there, unknown types, one value too many.
    for value in [
        &b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x63",
        b"\x04\x05\x01f",
        b"\x00\x01ab",
        b"\x02\0",
    ] {
        let mut payload = value.to_vec();
        payload.extend_from_slice(&10_u16.to_le_bytes());
        payload.extend_from_slice(&crc64(&payload).to_le_bytes());
        assert_eq!(
            restore(&mut node, &[b"k", b"0", &payload, b"REPLACE"]),
            "-ERR Bad data format\r\n",
            "{}",
            value.escape_ascii()
        );
    }
    node.reads(&[("GET k", "v"), ("DBSIZE", "1")]);
}

/// The checksum bit by bit, straight from its definition.
fn crc64(bytes: &[u8]) -> u64 {
    const POLYNOMIAL: u64 = 0xad93_d235_94c9_35a9;
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| {
            (sum >> 1) ^ if sum & 1 == 1 { POLYNOMIAL.reverse_bits() } else { 0 }
        })
    })
}
