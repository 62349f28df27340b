#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn id() -> ReplicationId {
    ReplicationId::from_random([0xa; 20])
}

fn hello() -> ReplicaHello {
    ReplicaHello { listening_port: 7001, capa_eof: true, capa_psync2: true, ..ReplicaHello::default() }
}

fn said(session: &mut ReplicaSession) -> String {
    String::from_utf8(session.poll_transmit().unwrap_or_default()).unwrap()
}

fn ack(session: &mut ReplicaSession, now: Duration, offset: u64) {
    let bytes = format!("*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n{offset:03}\r\n");
    let bytes = bytes.replace("$3\r\n000", "$1\r\n0");
    session.handle_bytes(now, bytes.as_bytes(), Offset::new(900)).unwrap();
}

#[test]
fn the_states_of_a_full_sync_by_mark() {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello(), false);
    assert_eq!((session.state().info_name(), session.stream_from()), ("wait_bgsave", None));
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    assert_eq!(said(&mut session), format!("+FULLRESYNC {} 500\r\n", id()));
    assert_eq!(session.stream_from(), Some(NextOffset::new(501)), "the log keeps the stream from here");
    let mark = EofMark::from_random([1; 20]);
    session.handle_payload_begin(SECOND, PayloadForm::Marked(mark));
    assert_eq!(session.state().info_name(), "send_bulk");
    assert_eq!(said(&mut session), format!("$EOF:{mark:?}\r\n"));
    session.handle_payload_sent(SECOND, ByteCount::new(77));
    session.handle_payload_end(SECOND).unwrap();
    assert_eq!(said(&mut session), format!("{mark:?}"));
    assert_eq!(session.state(), SessionState::WaitingForFirstAck);
    assert!(!session.may_send_stream());
    assert_eq!(session.poll_event(), None);

    ack(&mut session, 2 * SECOND, 500);
    assert!(session.may_send_stream());
    assert_eq!(session.poll_event(), Some(SessionEvent::Online { from: NextOffset::new(501) }));
    let acked = SessionEvent::Acked { offset: Offset::new(500), offset_fsynced: Offset::ZERO };
    assert_eq!(session.poll_event(), Some(acked));
    assert_eq!(session.poll_event(), None);
    assert_eq!(session.acked_at(), 2 * SECOND);
}

#[test]
fn a_payload_of_known_length_is_followed_by_the_stream_at_once() {
    let plain = ReplicaHello::default();
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), plain, true);
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    assert_eq!(said(&mut session), "", "SYNC gets no line");
    session.handle_payload_begin(SECOND, PayloadForm::Length(ByteCount::new(77)));
    assert_eq!(said(&mut session), "$77\r\n");
    session.handle_payload_sent(SECOND, ByteCount::new(77));
    session.handle_payload_end(SECOND).unwrap();
    assert!(session.may_send_stream());
    assert_eq!(session.poll_timeout(), None, "who came by SYNC never acknowledges");
}

/// What a session says of a stream that goes on in database 12: the line, and what comes between payload and stream.
fn said_of_database(hello: ReplicaHello, legacy: bool, mark: Option<EofMark>) -> (String, String) {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello, legacy);
    session.handle_stream_database(Offset::new(500), DbIndex::new(12)).unwrap();
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    let line = said(&mut session);
    let form = mark.map_or(PayloadForm::Length(ByteCount::ZERO), PayloadForm::Marked);
    session.handle_payload_begin(SECOND, form);
    let _ = said(&mut session);
    session.handle_payload_end(SECOND).unwrap();
    if let Some(mark) = mark {
        assert_eq!(said(&mut session), format!("{mark:?}"), "only the mark, before the first ACK");
        ack(&mut session, SECOND, 0);
    }
    assert!(session.may_send_stream());
    assert_eq!(session.stream_from(), Some(NextOffset::new(501)));
    let before_stream = said(&mut session);
    assert_eq!(said(&mut session), "", "once");
    (line, before_stream)
}

#[test]
fn a_replica_without_psync2_is_told_the_streams_database_outside_the_stream() {
    let select = "*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n";
    let mark = Some(EofMark::from_random([1; 20]));
    let (plain, by_mark) =
        (ReplicaHello::default(), ReplicaHello { capa_eof: true, ..ReplicaHello::default() });
    // It counts those bytes: with them it is at 500.
    let line = format!("+FULLRESYNC {} {}\r\n", ReplicationId::NONE, 500 - select.len());
    assert_eq!(said_of_database(plain.clone(), false, None), (line.clone(), select.to_owned()));
    assert_eq!(said_of_database(by_mark.clone(), false, mark), (line, select.to_owned()));
    assert_eq!(said_of_database(plain.clone(), true, None), (String::new(), select.to_owned()));
    assert_eq!(said_of_database(by_mark, true, mark), (String::new(), select.to_owned()));
    // The payload tells.
    let line = format!("+FULLRESYNC {} 500\r\n", id());
    assert_eq!(said_of_database(hello(), false, mark), (line, String::new()));
    // A stream that is shorter than what would have to be taken off.
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), plain, false);
    let refused = session.handle_stream_database(Offset::new(23), DbIndex::new(12)).unwrap_err();
    assert!(matches!(refused, SessionError::StreamTooShort { .. }));
}

#[test]
fn a_payload_that_is_not_as_long_as_announced_ends_the_session() {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello(), false);
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    session.handle_payload_begin(SECOND, PayloadForm::Length(ByteCount::new(77)));
    session.handle_payload_sent(SECOND, ByteCount::new(76));
    let error = session.handle_payload_end(SECOND).unwrap_err();
    assert_eq!(error.to_string(), "payload of 77 bytes announced, 76 sent");
    assert!(!session.may_send_stream());
}

#[test]
fn continuing_names_the_stream_to_those_who_understand() {
    let mut session =
        ReplicaSession::continuing(SECOND, SessionSettings::default(), hello(), id(), NextOffset::new(501));
    assert_eq!(said(&mut session), format!("+CONTINUE {}\r\n", id()));
    assert_eq!(session.offset_acked(), Offset::new(500));
    let old = ReplicaHello { capa_psync2: false, ..hello() };
    let mut session =
        ReplicaSession::continuing(SECOND, SessionSettings::default(), old, id(), NextOffset::new(501));
    assert_eq!(said(&mut session), "+CONTINUE\r\n");
    assert!(session.may_send_stream());
}

#[test]
fn a_newline_each_second_before_and_after_the_first_line() {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello(), false);
    for n in 1..=3 {
        assert_eq!(session.poll_timeout(), Some(n * SECOND));
        session.handle_timeout(n * SECOND).unwrap();
        session.handle_timeout(n * SECOND).unwrap();
        assert_eq!(said(&mut session), "\n");
    }
    session.handle_snapshot_taken(3 * SECOND, id(), Offset::new(500));
    let _ = said(&mut session);
    session.handle_timeout(4 * SECOND).unwrap();
    assert_eq!(said(&mut session), "\n");
    for n in 5..5000 {
        session.handle_timeout(n * SECOND).unwrap();
    }
    assert_eq!(said(&mut session), "\n", "newlines that no one drains do not pile up");
}

#[test]
fn silence_ends_a_session_and_newlines_prolong_a_load() {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello(), false);
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    session.handle_payload_begin(SECOND, PayloadForm::Marked(EofMark::from_random([1; 20])));
    session.handle_bytes(50 * SECOND, b"\n", Offset::new(900)).unwrap();
    assert_eq!(session.poll_timeout(), Some(61 * SECOND), "a payload that does not move is no sign of life");
    session.handle_payload_end(60 * SECOND).unwrap();
    session.handle_bytes(100 * SECOND, b"\n", Offset::new(900)).unwrap();
    session.handle_timeout(159 * SECOND).unwrap();
    ack(&mut session, 159 * SECOND, 500);
    session.handle_timeout(218 * SECOND).unwrap();
    let error = session.handle_timeout(219 * SECOND).unwrap_err();
    assert_eq!(error.to_string(), "replica timed out while online: nothing for 60s");
}

#[test]
fn acknowledgements_come_in_any_pieces_and_are_told_as_one() {
    let bytes = b"*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$3\r\n700\r\n$4\r\nFACK\r\n$3\r\n600\r\n\nREPLCONF ACK 650\r\n";
    for piece in 1..bytes.len() {
        let hello = ReplicaHello::default();
        let mut session =
            ReplicaSession::continuing(SECOND, SessionSettings::default(), hello, id(), NextOffset::new(501));
        for piece in bytes.chunks(piece) {
            session.handle_bytes(SECOND, piece, Offset::new(900)).unwrap();
        }
        assert!(matches!(session.poll_event(), Some(SessionEvent::Online { .. })));
        let acked = SessionEvent::Acked { offset: Offset::new(700), offset_fsynced: Offset::new(600) };
        assert_eq!(session.poll_event(), Some(acked));
        assert_eq!(session.poll_event(), None);
    }
}

#[test]
fn redis_cli_starts_its_stream_with_ack_zero() {
    let mut session = ReplicaSession::full(Duration::ZERO, SessionSettings::default(), hello(), true);
    session.handle_snapshot_taken(SECOND, id(), Offset::new(500));
    session.handle_payload_begin(SECOND, PayloadForm::Marked(EofMark::from_random([1; 20])));
    session.handle_payload_end(SECOND).unwrap();
    ack(&mut session, SECOND, 0);
    assert!(session.may_send_stream());
}
