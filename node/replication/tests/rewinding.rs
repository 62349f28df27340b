//! The handshake of a replica that holds something: it asks the master for its stream, and rests where the two have parted.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rejoin_protocol::{NextOffset, Offset, ReplicationId};
use rejoin_replication::{
    Ancestor, Divergence, Lineage, MasterAddress, Position, ReplicaAction, ReplicaCore, ReplicaSettings,
    Taken, Takeover, Upstream, UpstreamError, UpstreamEvent, UpstreamPhase, UpstreamSettings, Wanted,
};

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn settings() -> UpstreamSettings {
    UpstreamSettings {
        repl_timeout: Duration::from_secs(60),
        keepalive_period: Duration::from_secs(1),
        credentials: None,
        listening_port: 7001,
        announce_ip: None,
        version: None,
        takeover: Takeover::No,
    }
}

/// A replica that holds 600 bytes of stream 1, asked up to the answer to INFO.
fn asked() -> Upstream {
    let wanted = Wanted::Continue { replid: id(1), from: NextOffset::new(601) };
    let mut upstream = Upstream::new(Duration::ZERO, settings(), wanted).with_lineage(Lineage::new(id(1)));
    let said = String::from_utf8(upstream.poll_transmit().unwrap()).unwrap();
    assert!(
        said.ends_with("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n"),
        "in one piece with the rest: {said}"
    );
    say(&mut upstream, b"+PONG\r\n+OK\r\n+OK\r\n").unwrap();
    assert_eq!(upstream.phase(), UpstreamPhase::Info);
    assert_eq!(upstream.poll_transmit(), None, "PSYNC waits");
    upstream
}

/// The master says `bytes`, one at a time; what was not taken is left out.
fn say(upstream: &mut Upstream, bytes: &[u8]) -> Result<(), UpstreamError> {
    let mut input = Vec::new();
    for byte in bytes {
        input.push(*byte);
        while let Taken::Conversation(taken @ 1..) = upstream.handle_bytes(Duration::ZERO, &input)? {
            input.drain(..taken);
            if input.is_empty() {
                break;
            }
        }
    }
    Ok(())
}

fn info(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

fn stream(current: u8, offset: u64, second: Option<(u8, u64)>) -> Vec<u8> {
    let (replid2, from) = second.map_or((ReplicationId::NONE, -1), |(byte, from)| (id(byte), from as i64));
    info(&format!(
        "# Replication\r\nrole:master\r\nmaster_replid:{}\r\nmaster_replid2:{replid2}\r\nmaster_repl_offset:{offset}\r\n\
         second_repl_offset:{from}\r\nrepl_backlog_active:1\r\nrepl_backlog_first_byte_offset:1\r\n",
        id(current)
    ))
}

fn said(upstream: &mut Upstream) -> String {
    String::from_utf8(upstream.poll_transmit().unwrap_or_default()).unwrap()
}

fn psync(byte: u8, from: u64) -> String {
    let digits = from.to_string().len();
    format!("*3\r\n$5\r\nPSYNC\r\n$40\r\n{}\r\n${digits}\r\n{from}\r\n", id(byte))
}

#[test]
fn who_is_in_step_asks_at_once() {
    let mut upstream = asked();
    say(&mut upstream, &stream(1, 900, None)).unwrap();
    assert_eq!(said(&mut upstream), psync(1, 601));
    assert_eq!(upstream.poll_event(), None);
}

#[test]
fn who_has_parted_rests_until_it_went_back() {
    let mut upstream = asked();
    say(&mut upstream, &stream(2, 900, Some((1, 501)))).unwrap();
    let Some(UpstreamEvent::Diverged { divergence, master }) = upstream.poll_event() else { panic!() };
    let lineage = Lineage::new(id(1));
    assert_eq!(divergence, Divergence { common: Offset::new(500), held: Offset::new(600), lineage });
    assert_eq!(master.offset, Offset::new(900));
    assert_eq!(
        (said(&mut upstream), upstream.poll_timeout()),
        (String::new(), None),
        "however long it takes"
    );
    upstream.handle_timeout(Duration::from_secs(1_000)).unwrap();
    let wanted = Wanted::Continue { replid: id(1), from: NextOffset::new(501) };
    upstream.handle_rewound(Duration::from_secs(1_000), wanted);
    assert_eq!(said(&mut upstream), psync(1, 501));
    say(&mut upstream, format!("+CONTINUE {}\r\n", id(2)).as_bytes()).unwrap();
    assert_eq!(upstream.poll_event(), Some(UpstreamEvent::Continue { replid: Some(id(2)) }));
}

#[test]
fn a_promoted_node_without_writes_asks_by_the_name_that_its_old_master_knows() {
    let wanted = Wanted::Continue { replid: id(2), from: NextOffset::new(601) };
    let ancestors = vec![Ancestor { replid: id(1), last_valid: Offset::new(600) }];
    let ours = Lineage::restore(id(2), ancestors);
    let mut upstream = Upstream::new(Duration::ZERO, settings(), wanted).with_lineage(ours);
    upstream.poll_transmit();
    say(&mut upstream, b"+PONG\r\n+OK\r\n+OK\r\n").unwrap();
    say(&mut upstream, &stream(1, 900, None)).unwrap();
    assert_eq!(said(&mut upstream), psync(1, 601));
    // Before PSYNC2 a master does not say what it continues.
    say(&mut upstream, b"+CONTINUE\r\n").unwrap();
    assert_eq!(upstream.poll_event(), Some(UpstreamEvent::Continue { replid: Some(id(1)) }));
}

#[test]
fn a_master_that_does_not_tell_is_asked_all_the_same() {
    for answer in [
        b"-NOPERM this user has no permissions to run the 'info' command\r\n".to_vec(),
        b"+OK\r\n".to_vec(),
        b"$-1\r\n".to_vec(),
        b"\r\n$0\r\n\r\n".to_vec(),
        info("redis_version:2.8.0\r\nrole:master\r\n"),
    ] {
        let mut upstream = asked();
        say(&mut upstream, &answer).unwrap();
        assert_eq!(said(&mut upstream), psync(1, 601), "{}", answer.escape_ascii());
        assert_eq!(upstream.poll_event(), None);
    }
}

#[test]
fn what_is_decided_without_going_back_is_told() {
    let mut upstream = asked();
    say(&mut upstream, &stream(7, 900, Some((8, 501)))).unwrap();
    let Some(UpstreamEvent::Compared { relation, .. }) = upstream.poll_event() else { panic!() };
    assert_eq!(relation.to_string(), "no stream in common");
    assert_eq!(said(&mut upstream), psync(1, 601));
}

#[test]
fn an_answer_that_is_none_ends_the_link() {
    for (answer, reason) in [
        (&b"$9223372036854775808\r\n"[..], "an answer to INFO of 9223372036854775808 bytes, 262144 at most"),
        (b"$99999999999999999999999\r\n", "bytes, 262144 at most"),
        (b"$-7\r\n", "an answer to INFO of -7 bytes"),
    ] {
        let error = say(&mut asked(), answer).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let error = say(&mut asked(), &vec![b'a'; 100_000]).unwrap_err();
    assert!(matches!(error, UpstreamError::LineTooLong { phase: UpstreamPhase::Info, .. }), "{error}");
    // A chained node that lags is asked again later.
    let lagging = info(&format!(
        "role:slave\r\nmaster_link_status:up\r\nmaster_replid:{}\r\nmaster_repl_offset:580\r\n",
        id(1)
    ));
    let error = say(&mut asked(), &lagging).unwrap_err();
    assert!(matches!(error, UpstreamError::TryLater { .. }), "{error}");
    assert!(error.to_string().contains("it is at 580 of our stream, and we are at 600"), "{error}");
}

#[test]
fn what_is_held_after_going_back_is_what_streams_on() {
    let mut core = ReplicaCore::new(ReplicaSettings::default());
    core.follow(Duration::ZERO, MasterAddress { host: "192.0.2.1".into(), port: 6379 });
    let Some(ReplicaAction::Dial { epoch, .. }) = core.poll_action() else { panic!() };
    let held = Position { replid: id(1), offset: Offset::new(600) };
    core.handle_dialed(Duration::ZERO, epoch, Some(held)).unwrap();
    let back = Position { replid: id(1), offset: Offset::new(500) };
    let wanted = core.handle_rewound(Duration::ZERO, epoch, back).unwrap();
    assert_eq!(wanted, Wanted::Continue { replid: id(1), from: NextOffset::new(501) });
    core.handle_event(Duration::ZERO, epoch, &UpstreamEvent::Continue { replid: Some(id(2)) });
    let at = Offset::new(500);
    assert_eq!(core.poll_action(), Some(ReplicaAction::AdoptLineage { replid: id(2), at }));
    assert_eq!(core.poll_action(), Some(ReplicaAction::StartStreaming { epoch, after: at }));
    // Another master is followed by now.
    core.follow(Duration::ZERO, MasterAddress { host: "192.0.2.2".into(), port: 6379 });
    assert_eq!(core.handle_rewound(Duration::ZERO, epoch, back), None);
}
