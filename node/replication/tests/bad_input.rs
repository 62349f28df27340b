//! What a peer may send that it should not: one defined outcome for each, bounded memory, no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use rejoin_protocol::psync::{EofMark, LINE_BYTES_MAX, PsyncRequest};
use rejoin_protocol::resp::RequestError;
use rejoin_protocol::{NextOffset, Offset, ReplicationId};
use rejoin_replication::{
    Credentials, Lineage, LogRange, PayloadForm, ReplicaHello, ReplicaSession, Resync, SessionError,
    SessionSettings, SessionState, Taken, Takeover, Upstream, UpstreamEvent, UpstreamPhase, UpstreamSettings,
    Wanted, decide_resync,
};

const NOW: Duration = Duration::ZERO;

fn id() -> ReplicationId {
    ReplicationId::from_random([0xa; 20])
}

fn upstream(wanted: Wanted) -> Upstream {
    let settings = UpstreamSettings {
        repl_timeout: Duration::from_secs(60),
        keepalive_period: Duration::from_secs(1),
        credentials: Some(Credentials { user: Some("replicator".into()), password: b"secret".to_vec() }),
        listening_port: 7001,
        announce_ip: Some("192.0.2.7".into()),
        version: None,
        takeover: Takeover::No,
    };
    Upstream::new(NOW, settings, wanted)
}

/// Answers to all that comes before PSYNC.
const GREETING: &str = "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n";

/// Feeds `input`, pieces of `piece` bytes at a time; the error, or the phase reached.
fn outcome(upstream: &mut Upstream, input: &[u8], piece: usize) -> String {
    let mut unread: Vec<u8> = Vec::new();
    for piece in input.chunks(piece) {
        unread.extend_from_slice(piece);
        loop {
            let taken = match upstream.handle_bytes(NOW, &unread) {
                Ok(Taken::Conversation(taken) | Taken::Payload { taken, .. }) => taken,
                Ok(Taken::Stream) => unread.len(),
                Err(error) => return error.to_string(),
            };
            unread.drain(..taken);
            if taken == 0 || unread.is_empty() {
                break;
            }
        }
        assert!(unread.len() <= LINE_BYTES_MAX + piece.len(), "the driver is not made to keep more");
        let _ = (upstream.poll_transmit(), upstream.poll_event());
    }
    format!("{:?}", upstream.phase())
}

#[test]
fn what_a_master_should_not_say() {
    let full = format!("{GREETING}+FULLRESYNC {} 5\r\n", id());
    let long_line = "x".repeat(5000);
    let excerpt = format!("\"{}\" and {} bytes more", "x".repeat(96), LINE_BYTES_MAX - 96);
    let table: &[(String, &str)] = &[
        (
            "HTTP/1.1 400 Bad Request\r\n".into(),
            "master broke the protocol in phase Ping: no answer of a Redis: HTTP/1.1 400 Bad Request",
        ),
        (
            "\0\u{1}\u{2}\n".into(),
            "master broke the protocol in phase Ping: no answer of a Redis: \\x00\\x01\\x02",
        ),
        (
            long_line.clone(),
            &format!("master sent a line of more than {LINE_BYTES_MAX} bytes in phase Ping: {excerpt}"),
        ),
        (
            "-ERR max number of clients reached\r\n".into(),
            "master refused us in phase Ping: ERR max number of clients reached",
        ),
        ("-LOADING wait\r\n".into(), "master asks to try again later in phase Ping: LOADING wait"),
        ("-NOAUTH who are you\r\n-WRONGPASS no\r\n".into(), "master refused us in phase Auth: WRONGPASS no"),
        (
            "+PONG\r\n+OK\r\n:5\r\n".into(),
            "master broke the protocol in phase Replconf: no answer of a Redis: :5",
        ),
        ("+PONG\r\n+OK\r\n-ERR unknown\r\n-ERR unknown\r\n-ERR unknown\r\n\n\n".into(), "Psync"),
        (
            format!("{GREETING}+FULLRESYNC {} 5\r\n", "z".repeat(40)),
            "master broke the protocol in phase Psync: the master named a replication id that is not 40 hexadecimal digits: zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
        ),
        (
            format!("{GREETING}+FULLRESYNC {} 18446744073709551615\r\n", id()),
            "master broke the protocol in phase Psync: the master named an offset that is no number: 18446744073709551615",
        ),
        (
            format!("{GREETING}+CONTINUE {}\r\n", id()),
            "master broke the protocol in phase Psync: +CONTINUE, although we asked for everything",
        ),
        (
            format!("{GREETING}+RDBCHANNELSYNC 5\r\n"),
            "master broke the protocol in phase Psync: the master's answer to PSYNC is unknown: +RDBCHANNELSYNC 5",
        ),
        (
            format!("{GREETING}-NOAUTH who are you\r\n"),
            "master refused us in phase Psync: NOAUTH who are you",
        ),
        (
            format!("{GREETING}-NOMASTERLINK wait\r\n"),
            "master asks to try again later in phase Psync: NOMASTERLINK wait",
        ),
        (
            format!("{GREETING}-MASTERDOWN wait\r\n"),
            "master asks to try again later in phase Psync: MASTERDOWN wait",
        ),
        (format!("{GREETING}-ERR unknown command\r\n"), "PayloadHeader"),
        (
            format!("{GREETING}-ERR unknown command\r\n-ERR unknown command\r\n"),
            "master gave up the full sync: ERR unknown command",
        ),
        (
            format!("{GREETING}{long_line}"),
            &format!("master sent a line of more than {LINE_BYTES_MAX} bytes in phase Psync: {excerpt}"),
        ),
        (
            format!("{full}$9223372036854775808\r\n"),
            "master broke the protocol in phase PayloadHeader: the master announced a snapshot of 2^63 bytes or more: 9223372036854775808",
        ),
        (
            format!("{full}$-1\r\n"),
            "master broke the protocol in phase PayloadHeader: the master announced a snapshot of a length that is no number: -1",
        ),
        (format!("{full}$0\r\n"), "master broke the protocol in phase PayloadHeader: a payload of no bytes"),
        (
            format!("{full}$EOF:short\r\n"),
            "master broke the protocol in phase PayloadHeader: the master announced an end mark that is not 40 bytes long: short",
        ),
        (
            format!("{full}REDIS0010\n"),
            "master broke the protocol in phase PayloadHeader: the master sent something else where a snapshot should begin: REDIS0010",
        ),
        (
            format!("{full}*1\r\n$4\r\nPING\r\n"),
            "master broke the protocol in phase PayloadHeader: the master sent something else where a snapshot should begin: *1",
        ),
        (format!("{full}-ERR no disk\r\n"), "master gave up the full sync: ERR no disk"),
        (format!("{full}$9223372036854775807\r\nhalf of it"), "Payload"),
        (format!("{full}\n\n$4\r\nDATA*1\r\n"), "Loading"),
    ];
    for (input, expected) in table {
        assert_eq!(outcome(&mut upstream(Wanted::Everything), input.as_bytes(), 7), *expected, "{input}");
    }
}

#[test]
fn half_a_payload_and_silence_is_a_timeout() {
    let mut upstream = upstream(Wanted::Everything);
    let input = format!("{GREETING}+FULLRESYNC {} 5\r\n$500\r\nREDIS0010", id());
    assert_eq!(outcome(&mut upstream, input.as_bytes(), 1), "Payload");
    upstream.handle_timeout(Duration::from_secs(59)).unwrap();
    let error = upstream.handle_timeout(Duration::from_secs(60)).unwrap_err();
    assert_eq!(error.to_string(), "master timed out in phase Payload: nothing for 60s");
    assert_eq!(upstream.payload_bytes_read().get(), 9);
}

#[test]
fn credentials_are_not_shown() {
    let shown = format!("{:?}", upstream(Wanted::Everything));
    let settings = Credentials { user: Some("replicator".into()), password: b"secret".to_vec() };
    assert!(!format!("{settings:?}").contains("115, 101, 99"), "{settings:?}");
    assert!(shown.contains("Credentials { user: Some(\"replicator\"), .. }"), "{shown}");
}

/// A session that follows a stream of 1000 bytes from its byte 501.
fn session() -> ReplicaSession {
    let hello = ReplicaHello { capa_eof: true, capa_psync2: true, ..ReplicaHello::default() };
    ReplicaSession::continuing(NOW, SessionSettings::default(), hello, id(), NextOffset::new(501))
}

#[test]
fn what_a_replica_should_not_say() {
    let ack = |offset: &str| format!("REPLCONF ACK {offset}\r\n");
    let table: &[(String, &str)] = &[
        (ack("700"), "acked 700"),
        (ack("400"), "acked 500"),
        (ack("1000"), "acked 1000"),
        (ack("1001"), "replica acknowledged 1001, but the stream ends at 1000"),
        ("REPLCONF ACK 700 FACK 1001\r\n".into(), "replica acknowledged 1001, but the stream ends at 1000"),
        (ack("-5"), "replica sent an unreadable REPLCONF ACK: \"REPLCONF ACK -5\""),
        (ack("x"), "replica sent an unreadable REPLCONF ACK: \"REPLCONF ACK x\""),
        (
            ack("18446744073709551615"),
            "replica sent an unreadable REPLCONF ACK: \"REPLCONF ACK 18446744073709551615\"",
        ),
        ("REPLCONF ACK\r\n".into(), "acked 500"),
        ("REPLCONF capa something-new\r\n".into(), "acked 500"),
        ("\n\n\r\n".into(), "acked 500"),
        ("PING\r\n".into(), "acked 500"),
        ("SET k v\r\n".into(), "replica sent an unexpected command: \"SET k v\""),
        ("*1\r\n$7\r\nFLUSHDB\r\n".into(), "replica sent an unexpected command: \"FLUSHDB\""),
        ("\0\u{1}\u{2}\r\n".into(), "replica sent an unexpected command: \"\\x00\\x01\\x02\""),
        (
            "*1000\r\n".into(),
            "replica broke the protocol (Protocol error: invalid multibulk length): \"*1000\\r\\n\"",
        ),
        (
            "*3\r\n$9223372036854775808\r\n".into(),
            "replica broke the protocol (Protocol error: invalid bulk length): \"*3\\r\\n$9223372036854775808\\r\\n\"",
        ),
        (
            "*1\r\n*1\r\n".into(),
            "replica broke the protocol (Protocol error: expected '$', got '*'): \"*1\\r\\n*1\\r\\n\"",
        ),
    ];
    for (input, expected) in table {
        let mut session = session();
        let outcome = match session.handle_bytes(NOW, input.as_bytes(), Offset::new(1000)) {
            Ok(()) => format!("acked {}", session.offset_acked()),
            Err(error) => error.to_string(),
        };
        assert_eq!(outcome, *expected, "{input}");
    }
}

#[test]
fn a_quote_left_open_is_an_error() {
    // The parser unquotes in place, so what is shown of it is not quite what came.
    let error = session().handle_bytes(NOW, b"REPLCONF \"ACK\r\n", Offset::new(1000)).unwrap_err();
    assert!(
        matches!(error, SessionError::Unreadable { reason: RequestError::UnbalancedQuotes, .. }),
        "{error}"
    );
}

#[test]
fn a_command_without_an_end_is_bounded() {
    for begin in ["x", "*32\r\n$1024\r\n", "*30000000", "*1\r\n$"] {
        let mut session = session();
        session.handle_bytes(NOW, begin.as_bytes(), Offset::new(1000)).ok();
        let sent =
            (0..1_000_000).find(|_| session.handle_bytes(NOW, &[b'1'; 100], Offset::new(1000)).is_err());
        assert!(sent.is_some_and(|pieces| pieces < 700), "{begin}: {sent:?}");
    }
}

#[test]
fn what_no_one_holds_is_never_continued() {
    let mut lineage = Lineage::new(ReplicationId::from_random([0xb; 20]));
    lineage.shift(id(), Offset::new(1000));
    let log = LogRange::hot_only(NextOffset::new(900), Offset::new(1200));
    let own = id().to_string();
    let ancestor = "0b".repeat(20);
    let table: &[([&str; 2], &str)] = &[
        (["?", "-1"], "full sync: asked for"),
        (["zz", "1"], "full sync: asked for"),
        ([&"z".repeat(40), "950"], "full sync: asked for"),
        ([&own, "-1"], "full sync: asked for"),
        ([&own, "0"], "partial resync refused: wanted 0, have 900..1200"),
        ([&own, "501"], "partial resync refused: wanted 501, have 900..1200"),
        ([&own, "899"], "partial resync refused: wanted 899, have 900..1200"),
        ([&own, "900"], "from 900"),
        ([&own.to_uppercase(), "1201"], "from 1201"),
        ([&own, "1202"], "partial resync refused: wanted 1202, have 900..1200"),
        ([&own, "9223372036854775807"], "partial resync refused: wanted 9223372036854775807, have 900..1200"),
        ([&ancestor, "1001"], "from 1001"),
        (
            [&ancestor, "1002"],
            &format!(
                "partial resync refused: wanted 1002 of {ancestor}, which we share up to 1000 only (we are at 1200)"
            ),
        ),
    ];
    for (args, expected) in table {
        let wanted = Wanted::from(&PsyncRequest::parse(args).unwrap());
        let outcome = match decide_resync(&lineage, log, wanted) {
            Resync::Continue { from } | Resync::History { from } => format!("from {from}"),
            Resync::Full { reason } => reason.to_string(),
        };
        assert_eq!(outcome, *expected, "{args:?}");
    }
}

/// Fragments out of which a peer that has lost its mind makes its bytes.
const FRAGMENTS: &[&[u8]] = &[
    b"+PONG\r\n",
    b"+OK\r\n",
    b"-ERR x\r\n",
    b"-NOAUTH x\r\n",
    b"-LOADING\r\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"$",
    b"$5\r\n",
    b"$EOF:",
    b"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a",
    b"+FULLRESYNC ",
    b" 5\r\n",
    b"+CONTINUE\r\n",
    b"+CONTINUE ",
    b"*1\r\n",
    b"*3\r\n",
    b"$8\r\nREPLCONF\r\n",
    b"$3\r\nACK\r\n",
    b"$1\r\n5\r\n",
    b"REPLCONF ACK 7\r\n",
    b"\xff\0",
    b"\"",
];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn babble(&mut self, fragments: usize) -> Vec<u8> {
        (0..fragments).flat_map(|_| FRAGMENTS[self.below(FRAGMENTS.len())].to_vec()).collect()
    }
}

#[test]
fn babble_never_panics_and_pieces_make_no_difference() {
    let mut random = Random(88_172_645_463_325_252);
    let own = Wanted::Continue { replid: id(), from: NextOffset::new(501) };
    let mut reached = std::collections::BTreeSet::new();
    for round in 0..20_000 {
        let mut input = if round % 2 == 0 { GREETING.as_bytes().to_vec() } else { Vec::new() };
        let fragments = 1 + random.below(20);
        input.extend(random.babble(fragments));
        let whole = outcome(&mut upstream(own), &input, usize::MAX);
        let piece = 1 + random.below(9);
        assert_eq!(outcome(&mut upstream(own), &input, piece), whole, "{}", input.escape_ascii());
        reached.insert(whole.split(':').next().unwrap_or_default().to_owned());

        let mut session = session();
        let _ = session.handle_bytes(NOW, &input, Offset::new(1000));
        assert!(session.offset_acked() <= Offset::new(1000));
    }
    assert!(reached.contains("Stream") && reached.contains("PayloadHeader"), "{reached:?}");
}

#[test]
fn a_replica_that_wants_the_snapshot_only_gets_no_stream() {
    let hello = ReplicaHello { capa_eof: true, rdb_only: true, ..ReplicaHello::default() };
    let mut session = ReplicaSession::full(NOW, SessionSettings::default(), hello, true);
    session.handle_snapshot_taken(NOW, id(), Offset::new(10));
    session.handle_payload_begin(NOW, PayloadForm::Marked(EofMark::from_random([1; 20])));
    session.handle_payload_end(NOW).unwrap();
    session.handle_bytes(NOW, b"REPLCONF ACK 0\r\n", Offset::new(10)).unwrap();
    assert_eq!(session.state(), SessionState::SnapshotSent);
    assert!(!session.may_send_stream());
    let said = session.poll_transmit().unwrap();
    assert!(said.starts_with(b"$EOF:"), "no +FULLRESYNC for who asked by SYNC");
}

#[test]
fn stream_bytes_behind_the_mark_are_not_payload() {
    let mut upstream = upstream(Wanted::Everything);
    let mark = "5".repeat(40);
    let head = format!("{GREETING}+FULLRESYNC {} 5\r\n$EOF:{mark}\r\n", id());
    assert_eq!(outcome(&mut upstream, head.as_bytes(), 3), "Payload");
    let input = format!("DATA{mark}*1\r\n");
    let Ok(Taken::Payload { held, chunk, taken }) = upstream.handle_bytes(NOW, input.as_bytes()) else {
        panic!("no payload");
    };
    assert_eq!((held, chunk, taken), (&b""[..], &b"DATA"[..], 44));
    assert_eq!(upstream.poll_event(), Some(UpstreamEvent::PayloadEnd));
    assert_eq!(upstream.phase(), UpstreamPhase::Loading);
    assert_eq!(upstream.handle_bytes(NOW, b"*1\r\n"), Ok(Taken::Stream));
}
