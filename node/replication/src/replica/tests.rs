#![allow(clippy::unwrap_used, clippy::expect_used)]

use rejoin_protocol::NextOffset;

use super::*;
use ReplicaAction::{AdoptLineage, BeginLoad, Close, Dial, DropLoad, StartStreaming, SwapIn};

const SECOND: Duration = Duration::from_secs(1);

fn id(byte: u8) -> ReplicationId {
    ReplicationId::from_random([byte; 20])
}

fn address(host: &str) -> MasterAddress {
    MasterAddress { host: host.into(), port: 6379 }
}

fn epoch(n: u64) -> Epoch {
    Epoch::new(n)
}

fn held() -> Position {
    Position { replid: id(1), offset: Offset::new(500) }
}

fn actions(core: &mut ReplicaCore) -> Vec<ReplicaAction> {
    std::iter::from_fn(|| core.poll_action()).collect()
}

fn full_sync() -> UpstreamEvent {
    UpstreamEvent::FullSync {
        replid: Some(id(2)),
        offset: Some(Offset::new(900)),
        length: Some(ByteCount::new(70)),
    }
}

/// Follows "a", the link is up, the master has been asked for what comes behind [`held`].
fn asked() -> ReplicaCore {
    let mut core = ReplicaCore::new(ReplicaSettings::default());
    core.follow(SECOND, address("a"));
    assert_eq!(actions(&mut core), [Dial { epoch: epoch(1), address: address("a") }]);
    assert_eq!(core.link_state().role_name(), "connecting");
    let wanted = core.handle_dialed(SECOND, epoch(1), Some(held()));
    assert_eq!(wanted, Some(Wanted::Continue { replid: id(1), from: NextOffset::new(501) }));
    assert_eq!(core.link_state().role_name(), "handshake");
    core
}

/// As [`asked`], and a payload is on its way.
fn syncing() -> ReplicaCore {
    let mut core = asked();
    core.handle_event(SECOND, epoch(1), &full_sync());
    assert_eq!(actions(&mut core), [BeginLoad { epoch: epoch(1), length: Some(ByteCount::new(70)) }]);
    assert_eq!(core.link_state().role_name(), "sync");
    core
}

#[test]
fn continuing_under_the_same_name_and_another() {
    let mut core = asked();
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::Continue { replid: Some(id(1)) });
    let start = || StartStreaming { epoch: epoch(1), after: Offset::new(500) };
    assert_eq!(actions(&mut core), [start()]);
    assert!(core.link_state().is_up());
    assert_eq!(core.down_since(), None);

    let mut core = asked();
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::Continue { replid: Some(id(2)) });
    assert_eq!(actions(&mut core), [AdoptLineage { replid: id(2), at: Offset::new(500) }, start()]);
}

#[test]
fn nothing_held_asks_for_everything() {
    let mut core = ReplicaCore::new(ReplicaSettings::default());
    core.follow(SECOND, address("a"));
    assert_eq!(core.handle_dialed(SECOND, epoch(1), None), Some(Wanted::Everything));
}

#[test]
fn data_gives_way_only_to_a_payload_that_is_whole_and_verified() {
    let mut core = syncing();
    core.handle_io(SECOND, epoch(1), ByteCount::new(70));
    assert_eq!(core.sync_progress(), Some((ByteCount::new(70), Some(ByteCount::new(70)))));
    // A loader may find the payload's own end before the mark behind it has come.
    core.handle_load_verified(SECOND, epoch(1));
    assert_eq!(actions(&mut core), []);
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::PayloadEnd);
    let swap = SwapIn { epoch: epoch(1), replid: Some(id(2)), offset: Offset::new(900) };
    assert_eq!(actions(&mut core), [swap, StartStreaming { epoch: epoch(1), after: Offset::new(900) }]);
    assert_eq!(core.sync_progress(), None);
}

#[test]
fn a_link_lost_in_the_payload_drops_the_load() {
    let mut core = syncing();
    core.handle_link_lost(2 * SECOND, epoch(1), 0);
    assert_eq!(actions(&mut core), [DropLoad { epoch: epoch(1) }]);
    assert_eq!(core.link_state().role_name(), "connect");
    core.handle_load_verified(2 * SECOND, epoch(1));
    assert_eq!(actions(&mut core), [], "too late");
    let retry_at = core.poll_timeout().unwrap();
    core.handle_timeout(retry_at, 0);
    assert_eq!(actions(&mut core), [Dial { epoch: epoch(2), address: address("a") }]);
}

#[test]
fn a_link_lost_after_the_payload_lets_the_load_end() {
    let mut core = syncing();
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::PayloadEnd);
    core.handle_link_lost(2 * SECOND, epoch(1), 0);
    assert_eq!((actions(&mut core), core.poll_timeout()), (vec![], None));
    core.handle_load_verified(9 * SECOND, epoch(1));
    let swap = SwapIn { epoch: epoch(1), replid: Some(id(2)), offset: Offset::new(900) };
    assert_eq!(actions(&mut core), [swap, Dial { epoch: epoch(2), address: address("a") }]);

    let mut core = syncing();
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::PayloadEnd);
    core.handle_link_lost(2 * SECOND, epoch(1), 0);
    core.handle_load_failed(9 * SECOND, epoch(1), 0);
    assert_eq!(actions(&mut core), [DropLoad { epoch: epoch(1) }]);
    assert!(core.poll_timeout().is_some());
}

#[test]
fn a_bad_payload_closes_the_link_and_is_asked_for_again_later() {
    let mut core = syncing();
    core.handle_load_failed(2 * SECOND, epoch(1), u64::MAX);
    assert_eq!(actions(&mut core), [DropLoad { epoch: epoch(1) }, Close { epoch: epoch(1) }]);
    assert!(core.poll_timeout().unwrap() > 2 * SECOND);
    core.handle_link_lost(2 * SECOND, epoch(1), 0);
    assert_eq!(actions(&mut core), [], "that was us");
}

#[test]
fn another_master_ends_what_ran_for_the_first() {
    let mut core = syncing();
    core.follow(3 * SECOND, address("b"));
    let dial = Dial { epoch: epoch(2), address: address("b") };
    assert_eq!(actions(&mut core), [Close { epoch: epoch(1) }, DropLoad { epoch: epoch(1) }, dial]);
    core.handle_event(3 * SECOND, epoch(1), &UpstreamEvent::PayloadEnd);
    core.handle_load_verified(3 * SECOND, epoch(1));
    core.handle_load_failed(3 * SECOND, epoch(1), 0);
    core.handle_link_lost(3 * SECOND, epoch(1), 0);
    assert_eq!(core.handle_dialed(3 * SECOND, epoch(1), None), None);
    assert_eq!(actions(&mut core), [], "stale events do nothing");
    assert_eq!(core.link_state().role_name(), "connecting");
}

/// The shard has stopped the stream, whether the master is another or the same.
#[test]
fn the_same_master_is_dialled_anew() {
    let mut core = asked();
    core.handle_event(SECOND, epoch(1), &UpstreamEvent::Continue { replid: None });
    let _ = actions(&mut core);
    core.follow(3 * SECOND, address("a"));
    let dial = Dial { epoch: epoch(2), address: address("a") };
    assert_eq!(actions(&mut core), [Close { epoch: epoch(1) }, dial]);
    assert_eq!(core.down_since(), Some(3 * SECOND));
    core.follow(4 * SECOND, address("b"));
    assert_eq!(core.down_since(), Some(3 * SECOND), "nothing streams since then");
}

#[test]
fn unfollowing_ends_everything() {
    let mut core = syncing();
    core.unfollow();
    assert_eq!(actions(&mut core), [Close { epoch: epoch(1) }, DropLoad { epoch: epoch(1) }]);
    assert_eq!((core.link_state(), core.master(), core.poll_timeout()), (LinkState::None, None, None));
    core.handle_event(3 * SECOND, epoch(1), &full_sync());
    core.handle_timeout(900 * SECOND, 0);
    assert_eq!(actions(&mut core), []);
}

#[test]
fn a_dial_that_hangs_is_given_up() {
    let mut core = ReplicaCore::new(ReplicaSettings::default());
    core.follow(SECOND, address("a"));
    let _ = actions(&mut core);
    assert_eq!(core.poll_timeout(), Some(61 * SECOND));
    core.handle_timeout(61 * SECOND, 0);
    assert_eq!(actions(&mut core), [Close { epoch: epoch(1) }]);
    assert_eq!(core.handle_dialed(62 * SECOND, epoch(1), None), None, "too late");
}

#[test]
fn pauses_grow_until_a_stream_flows() {
    let mut core = asked();
    let mut pauses = Vec::new();
    let mut now = SECOND;
    for n in 1..8 {
        core.handle_link_lost(now, epoch(n), u64::MAX);
        let retry_at = core.poll_timeout().unwrap();
        pauses.push(retry_at - now);
        now = retry_at;
        core.handle_timeout(now, 0);
        core.handle_dialed(now, epoch(n + 1), Some(held())).unwrap();
    }
    assert!(pauses[0] <= SECOND / 10 && pauses[6] > SECOND, "{pauses:?}");
    assert_eq!(core.down_since(), None, "it was never up");
    core.handle_event(now, epoch(8), &UpstreamEvent::Continue { replid: None });
    core.handle_link_lost(now, epoch(8), u64::MAX);
    assert_eq!(core.down_since(), Some(now));
    let retry_at = core.poll_timeout().unwrap();
    assert!(retry_at - now > SECOND, "a stream that breaks at once is no success");
    core.handle_timeout(retry_at, 0);
    core.handle_dialed(retry_at, epoch(9), Some(held())).unwrap();
    core.handle_event(retry_at, epoch(9), &UpstreamEvent::Continue { replid: None });
    let end = retry_at + ReplicaSettings::default().backoff.max;
    core.handle_link_lost(end, epoch(9), u64::MAX);
    assert!(core.poll_timeout().unwrap() - end <= SECOND / 10);
}
