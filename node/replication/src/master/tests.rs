#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

const NOW: Duration = Duration::ZERO;

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn replica(n: u64) -> ReplicaId {
    ReplicaId::new(n)
}

fn core() -> MasterCore {
    MasterCore::new(Lineage::new(id(1)), 1)
}

/// 900..1200 in memory, 300 on in files.
fn log() -> LogRange {
    LogRange { first: NextOffset::new(900), first_retained: NextOffset::new(300), visible: Offset::new(1200) }
}

fn attach(core: &mut MasterCore, n: u64, wanted: Wanted) -> AttachDecision {
    core.handle_attach(NOW, replica(n), "192.0.2.7", &ReplicaHello::default(), wanted, log())
}

fn from(replid: u8, from: u64) -> Wanted {
    Wanted::Continue { replid: id(replid), from: NextOffset::new(from) }
}

#[test]
fn full_syncs_wait_for_their_token() {
    let mut core = core();
    let full = |admitted| AttachDecision::Full { reason: FullReason::Asked, admitted };
    assert_eq!(attach(&mut core, 1, Wanted::Everything), full(true));
    assert_eq!(attach(&mut core, 5, Wanted::Everything), full(true), "shares the snapshot to come");
    core.handle_lost(replica(5));
    core.handle_state(replica(1), SessionState::SendingSnapshot);
    assert_eq!(attach(&mut core, 2, Wanted::Everything), full(false));
    assert_eq!(attach(&mut core, 3, Wanted::Everything), full(false));
    assert_eq!(core.poll_admitted(), None);
    core.handle_state(replica(1), SessionState::WaitingForFirstAck);
    assert_eq!(core.poll_admitted(), Some(replica(2)));
    core.handle_lost(replica(2));
    core.handle_lost(replica(3));
    assert_eq!(core.poll_admitted(), None, "who is gone is not admitted");
    assert_eq!(attach(&mut core, 4, Wanted::Everything), full(true));
    assert_eq!(
        core.counters(),
        SyncCounters { full: 5, partial_ok: 0, partial_err: 0, ..SyncCounters::default() }
    );
}

#[test]
fn asking_again_on_the_same_link_begins_anew() {
    let mut core = core();
    assert!(matches!(attach(&mut core, 1, Wanted::Everything), AttachDecision::Full { admitted: true, .. }));
    let answer = AttachDecision::Continue { from: NextOffset::new(1000), replid: id(1) };
    assert_eq!(attach(&mut core, 1, from(1, 1000)), answer);
    assert!(matches!(attach(&mut core, 2, Wanted::Everything), AttachDecision::Full { admitted: true, .. }));
    assert_eq!(core.replicas().count(), 2);
}

#[test]
fn history_counts_once_it_is_granted_or_refused() {
    let mut core = core();
    let history = AttachDecision::History { from: NextOffset::new(500), replid: id(1) };
    assert_eq!(attach(&mut core, 1, from(1, 500)), history);
    assert_eq!(attach(&mut core, 2, from(1, 500)), history);
    assert_eq!(core.counters(), SyncCounters::default());
    core.handle_history_granted(replica(1));
    core.handle_history_granted(replica(1));
    let refused = core.handle_history_refused(replica(2), NextOffset::new(500), log()).unwrap();
    let AttachDecision::Full { reason, admitted: true } = refused else { panic!("{refused:?}") };
    assert!(
        reason.to_string().contains("wanted 500, which history could not serve, have 300..1200"),
        "{reason}"
    );
    assert_eq!(
        core.counters(),
        SyncCounters { full: 1, partial_ok: 1, partial_err: 1, ..SyncCounters::default() }
    );
    assert_eq!(core.handle_history_refused(replica(9), NextOffset::new(500), log()), None);
}

#[test]
fn what_is_told_of_a_replica() {
    let mut core = core();
    let hello =
        ReplicaHello { listening_port: 7001, ip_address: Some("10.0.0.9".into()), ..ReplicaHello::default() };
    core.handle_attach(NOW, replica(1), "192.0.2.7", &hello, from(1, 1000), log());
    core.handle_ack(Duration::from_secs(3), replica(1), Offset::new(1100));
    core.handle_ack(Duration::from_secs(4), replica(1), Offset::new(1050));
    let summary = core.handle_lost(replica(1)).unwrap();
    assert_eq!((summary.ip.as_str(), summary.port), ("10.0.0.9", 7001));
    assert_eq!((summary.offset_acked, summary.acked_at), (Offset::new(1100), Duration::from_secs(4)));
    assert_eq!(core.handle_lost(replica(1)), None);
}

#[test]
fn a_promotion_shifts_the_lineage_and_closes_sessions() {
    let mut core = core();
    core.demote();
    core.handle_upstream(true);
    let _ = attach(&mut core, 1, from(1, 1000));
    let epoch = core.epoch();
    assert_eq!(core.promote(id(2), Offset::new(1200)), [replica(1)]);
    assert!(!core.is_replica());
    assert!(core.epoch() > epoch);
    assert_eq!(core.lineage().second(), Some((id(1), NextOffset::new(1201))));
    core.handle_lost(replica(1));
    let answer = AttachDecision::Continue { from: NextOffset::new(1201), replid: id(2) };
    assert_eq!(attach(&mut core, 1, from(1, 1201)), answer);
}

#[test]
fn a_chained_node_passes_on_what_it_has_and_puts_off_the_rest() {
    let mut core = core();
    core.demote();
    let wait = AttachDecision::NotNow { error: NO_MASTER_LINK };
    assert!(
        matches!(attach(&mut core, 1, from(1, 1000)), AttachDecision::Continue { .. }),
        "its own bytes are good"
    );
    assert_eq!(attach(&mut core, 2, Wanted::Everything), wait);
    assert_eq!(attach(&mut core, 3, from(7, 1000)), wait, "its master may yet say that this is its lineage");
    assert_eq!(attach(&mut core, 4, from(1, 1202)), wait);
    core.handle_upstream(true);
    assert_eq!(attach(&mut core, 4, from(1, 1202)), wait, "on its way to us");
    assert!(matches!(attach(&mut core, 2, Wanted::Everything), AttachDecision::Full { .. }));
    assert_eq!(core.replicas().count(), 2, "who is put off is no replica");
    core.handle_upstream(false);
    assert_eq!(attach(&mut core, 5, Wanted::Everything), wait);
}

#[test]
fn the_upstreams_word_on_the_lineage_reaches_the_sub_replicas() {
    let mut core = core();
    core.demote();
    let _ = attach(&mut core, 1, from(1, 1000));
    assert!(core.adopt_lineage(id(1), Offset::new(1200)).is_empty(), "the same name is no news");
    assert_eq!(core.adopt_lineage(id(2), Offset::new(1200)), [replica(1)]);
    assert_eq!(core.lineage().second(), Some((id(1), NextOffset::new(1201))));
    assert_eq!(core.replace_lineage(Lineage::new(id(3))), [replica(1)]);
    assert_eq!(core.lineage(), &Lineage::new(id(3)));
}

#[test]
fn each_rung_is_counted_apart_with_its_bytes() {
    let mut core = MasterCore::new(Lineage::new(id(1)), 1);
    core.handle_rung_taken(Rung::Continue, ByteCount::new(10));
    core.handle_rung_taken(Rung::Continue, ByteCount::new(5));
    let _ = attach(&mut core, 1, Wanted::Everything);
    core.handle_payload_begin(replica(1), Rung::Snapshot);
    core.handle_payload_sent(replica(1), ByteCount::new(7));
    core.handle_payload_sent(replica(2), ByteCount::new(9));
    let counters = core.counters();
    assert_eq!(counters.of(Rung::Continue), RungCount { syncs: 2, bytes: ByteCount::new(15) });
    assert_eq!(counters.of(Rung::Snapshot), RungCount { syncs: 1, bytes: ByteCount::new(7) });
    assert_eq!(counters.of(Rung::Base), RungCount::default());
}
