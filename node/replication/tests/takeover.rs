//! FAILOVER's question to the target, `PSYNC ... FAILOVER`: what counts as an answer, also where the answer was lost; and
//! that nothing of ours is given up before it is known.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use rejoin_protocol::{NextOffset, Offset, ReplicationId};
use rejoin_replication::{
    Lineage, Taken, Takeover, Upstream, UpstreamError, UpstreamEvent, UpstreamPhase, UpstreamSettings, Wanted,
};

const IS_A_MASTER: &[u8] = b"-ERR PSYNC FAILOVER can't be sent to a master.\r\n";

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

/// An old master that holds 600 bytes of stream 1, up to the question for the target's stream.
fn dialled(takeover: Takeover) -> Upstream {
    let settings = UpstreamSettings {
        repl_timeout: Duration::from_secs(60),
        keepalive_period: Duration::from_secs(1),
        credentials: None,
        listening_port: 7001,
        announce_ip: None,
        version: None,
        takeover,
    };
    let wanted = Wanted::Continue { replid: id(1), from: NextOffset::new(601) };
    let mut upstream = Upstream::new(Duration::ZERO, settings, wanted).with_lineage(Lineage::new(id(1)));
    upstream.poll_transmit();
    say(&mut upstream, b"+PONG\r\n+OK\r\n+OK\r\n").unwrap();
    upstream
}

fn say(upstream: &mut Upstream, mut bytes: &[u8]) -> Result<(), UpstreamError> {
    while let Taken::Conversation(taken @ 1..) = upstream.handle_bytes(Duration::ZERO, bytes)? {
        bytes = &bytes[taken..];
        if bytes.is_empty() {
            break;
        }
    }
    Ok(())
}

/// What a target says of itself: a replica that has come to `offset` of stream 1.
fn replica_at(offset: u64) -> Vec<u8> {
    info(&format!(
        "role:slave\r\nmaster_link_status:up\r\nmaster_replid:{}\r\nmaster_repl_offset:{offset}\r\n",
        id(1)
    ))
}

/// A master of stream 2, which continued `ancestor` from `second` on.
fn master_since(ancestor: u8, second: u64) -> Vec<u8> {
    info(&format!(
        "role:master\r\nmaster_replid:{}\r\nmaster_replid2:{}\r\nmaster_repl_offset:900\r\nsecond_repl_offset:{second}\r\n\
         repl_backlog_active:1\r\nrepl_backlog_first_byte_offset:1\r\n",
        id(2),
        id(ancestor)
    ))
}

fn info(text: &str) -> Vec<u8> {
    format!("${}\r\n{text}\r\n", text.len()).into_bytes()
}

/// What the node says next: the words of one request.
fn said(upstream: &mut Upstream) -> Vec<String> {
    let bytes = String::from_utf8(upstream.poll_transmit().unwrap_or_default()).unwrap();
    bytes.lines().filter(|line| !line.starts_with(['*', '$'])).map(str::to_owned).collect()
}

fn psync(byte: u8, from: u64, failover: bool) -> Vec<String> {
    let mut words = vec!["PSYNC".to_owned(), id(byte).to_string(), from.to_string()];
    words.extend(failover.then(|| "FAILOVER".to_owned()));
    words
}

#[test]
fn a_replica_of_ours_is_asked_and_accepts() {
    let mut upstream = dialled(Takeover::Ask);
    say(&mut upstream, &replica_at(600)).unwrap();
    assert_eq!(said(&mut upstream), psync(1, 601, true));
    assert_eq!(upstream.takes_over(), None);
    say(&mut upstream, format!("+CONTINUE {}\r\n", id(2)).as_bytes()).unwrap();
    assert_eq!(upstream.takes_over(), Some(true));
    assert_eq!(upstream.poll_event(), Some(UpstreamEvent::Continue { replid: Some(id(2)) }));
}

#[test]
fn a_refusal_is_one() {
    for (takeover, target) in [
        (Takeover::Ask, replica_at(600)),
        (Takeover::AskAgain, replica_at(600)),
        // No stream in common with ours: it did not take over from us.
        (Takeover::AskAgain, master_since(7, 601)),
    ] {
        let mut upstream = dialled(takeover);
        say(&mut upstream, &target).unwrap();
        assert_eq!(said(&mut upstream), psync(1, 601, true));
        let refused: &[u8] = if target == replica_at(600) {
            b"-ERR PSYNC FAILOVER replid must match my replid.\r\n"
        } else {
            IS_A_MASTER
        };
        let error = say(&mut upstream, refused).unwrap_err();
        assert!(matches!(error, UpstreamError::Refused { phase: UpstreamPhase::Psync, .. }), "{error}");
        assert_eq!(upstream.takes_over(), Some(false));
    }
    // Nothing was asked before, and the target does not tell its stream.
    let mut upstream = dialled(Takeover::Ask);
    say(&mut upstream, b"-NOPERM no INFO\r\n").unwrap();
    say(&mut upstream, IS_A_MASTER).unwrap_err();
    assert_eq!(upstream.takes_over(), Some(false));
}

#[test]
fn a_target_that_continues_our_stream_as_a_master_has_taken_over() {
    for takeover in [Takeover::Ask, Takeover::AskAgain] {
        let mut upstream = dialled(takeover);
        say(&mut upstream, &master_since(1, 601)).unwrap();
        assert_eq!(upstream.takes_over(), Some(true));
        assert_eq!(said(&mut upstream), psync(1, 601, false), "as any master is asked");
    }
}

#[test]
fn a_target_that_tells_no_stream_has_taken_over_if_it_was_asked_before() {
    let mut upstream = dialled(Takeover::AskAgain);
    say(&mut upstream, b"-NOPERM no INFO\r\n").unwrap();
    assert_eq!(said(&mut upstream), psync(1, 601, true));
    let error = say(&mut upstream, IS_A_MASTER).unwrap_err();
    assert!(matches!(error, UpstreamError::TookOver { .. }), "{error}");
    assert_eq!(upstream.takes_over(), Some(true));
}

/// The request of an earlier link is executed between our two.
#[test]
fn a_target_that_becomes_a_master_while_it_is_asked_is_asked_again() {
    let mut upstream = dialled(Takeover::AskAgain);
    say(&mut upstream, &replica_at(600)).unwrap();
    let error = say(&mut upstream, IS_A_MASTER).unwrap_err();
    assert!(matches!(error, UpstreamError::TryLater { .. }), "{error}");
    assert_eq!(upstream.takes_over(), None);
}

#[test]
fn a_target_that_loads_after_it_was_asked_has_not_answered() {
    for (takeover, takes_over) in [(Takeover::Ask, Some(false)), (Takeover::AskAgain, None)] {
        let mut upstream = dialled(takeover);
        say(&mut upstream, b"$-1\r\n").unwrap();
        let error = say(&mut upstream, b"-LOADING Redis is loading the dataset in memory\r\n").unwrap_err();
        assert!(matches!(error, UpstreamError::TryLater { .. }), "{error}");
        assert_eq!(upstream.takes_over(), takes_over);
    }
}

/// FORCE, and the answer was lost: it is known that the target took over before our tail is cut.
#[test]
fn nothing_is_rewound_before_the_answer_is_known() {
    let mut upstream = dialled(Takeover::AskAgain);
    say(&mut upstream, &master_since(1, 501)).unwrap();
    assert_eq!(upstream.takes_over(), Some(true));
    let Some(UpstreamEvent::Diverged { divergence, .. }) = upstream.poll_event() else { panic!() };
    assert_eq!((divergence.common, divergence.held), (Offset::new(500), Offset::new(600)));
    upstream.handle_rewound(Duration::ZERO, Wanted::Continue { replid: id(1), from: NextOffset::new(501) });
    assert_eq!(said(&mut upstream), psync(1, 501, false));

    // A replica of another stream that parted from ours: it may refuse, and then our tail is our own.
    let mut upstream = dialled(Takeover::Ask);
    let text = String::from_utf8(master_since(1, 501)).unwrap();
    let text =
        text.split_once("\r\n").unwrap().1.replace("role:master", "role:slave\r\nmaster_link_status:up");
    say(&mut upstream, &info(&text)).unwrap();
    assert_eq!((upstream.takes_over(), upstream.poll_event()), (None, None));
    assert_eq!(said(&mut upstream), psync(1, 601, true));
}

/// FORCE: the target took over, and has not all that we hold. The link ends before a payload does.
#[test]
fn a_target_that_wants_us_to_sync_in_full_is_asked_as_a_master_first() {
    let mut upstream = dialled(Takeover::Ask);
    say(&mut upstream, &replica_at(500)).unwrap();
    assert_eq!(said(&mut upstream), psync(1, 601, true));
    let error = say(&mut upstream, format!("+FULLRESYNC {} 500\r\n", id(2)).as_bytes()).unwrap_err();
    assert!(matches!(error, UpstreamError::TookOver { .. }), "{error}");
    assert_eq!((upstream.takes_over(), upstream.poll_event()), (Some(true), None));

    let mut upstream = dialled(Takeover::No);
    say(&mut upstream, &master_since(1, 501)).unwrap();
    assert!(matches!(upstream.poll_event(), Some(UpstreamEvent::Diverged { .. })), "then it is gone back");
}
