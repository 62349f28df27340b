//! Whatever becomes of the link, the replica ends with the master's bytes, by the lowest rung that held.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod pair;

use std::time::Duration;

use pair::link::{LinkPlan, Side};
use pair::{Pair, id, seconds};
use rejoin_protocol::Offset;
use rejoin_replication::{LinkState, Position, SyncCounters};

fn counters(full: u64, partial_ok: u64, partial_err: u64) -> SyncCounters {
    SyncCounters { full, partial_ok, partial_err, ..SyncCounters::default() }
}

/// A master with some data. Little, so that every byte of a sync can be tried.
fn pair() -> Pair {
    let mut pair = Pair::new();
    pair.master.write(&["SELECT", "0"]);
    // Bytes that look like the conversation around them.
    pair.master.write(&["SET", "a", "$EOF:\r\n+CONTINUE\r\n\n$5\r\n"]);
    pair.master.abilities.snapshot_after = Duration::from_millis(1500);
    pair
}

/// Bytes that came to each side in an undisturbed full sync, up to the first acknowledgement.
fn bytes_of_a_full_sync(prepare: impl Fn(&mut Pair)) -> (u64, u64) {
    let mut pair = pair();
    prepare(&mut pair);
    pair.follow();
    pair.run_until_converged();
    let link = pair.link.as_ref().unwrap();
    (link.arrived(Side::Master), link.arrived(Side::Replica))
}

#[test]
fn a_full_sync_and_the_stream_behind_it() {
    let mut pair = pair();
    pair.follow();
    pair.run_for(seconds(1));
    pair.write(&["SET", "b", "written while the replica waits"]);
    pair.run_for(Duration::from_millis(520));
    pair.write(&["SET", "c", "written after the snapshot, before the first ACK"]);
    pair.run_until_converged();
    pair.write(&["SET", "d", "written while it follows"]);
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(1, 0, 0));
    assert_eq!(pair.replica.core.link_state(), LinkState::Connected);
    assert_eq!(pair.links, 1);
    let summary = pair.master.core.replicas().next().unwrap();
    assert_eq!(
        (summary.ip.as_str(), summary.port, summary.offset_acked),
        ("192.0.2.7", 7001, pair.master.visible())
    );
}

#[test]
fn a_full_sync_over_every_border_of_pieces() {
    for is_diskless in [true, false] {
        let prepare = |pair: &mut Pair| pair.master.abilities.is_diskless = is_diskless;
        let (_, bytes) = bytes_of_a_full_sync(prepare);
        for border in 1..bytes {
            let mut pair = pair();
            prepare(&mut pair);
            pair.plans = vec![LinkPlan { borders: vec![border], ..LinkPlan::default() }];
            pair.follow();
            pair.run_until_converged();
            assert_eq!((pair.links, pair.replica.swaps), (1, 1), "border at {border}");
        }
        for piece_max in [1, 2, 3, 7, 39, 40, 41] {
            let mut pair = pair();
            prepare(&mut pair);
            pair.plans = vec![LinkPlan { piece_max, ..LinkPlan::default() }];
            pair.follow();
            pair.run_until_converged();
            assert_eq!((pair.links, pair.replica.swaps), (1, 1), "pieces of {piece_max}");
        }
    }
}

#[test]
fn a_first_sync_cut_at_any_byte() {
    for is_diskless in [true, false] {
        let prepare = |pair: &mut Pair| pair.master.abilities.is_diskless = is_diskless;
        let (to_master, to_replica) = bytes_of_a_full_sync(prepare);
        let cuts =
            (1..=to_master).map(|n| (Side::Master, n)).chain((1..=to_replica).map(|n| (Side::Replica, n)));
        for cut in cuts {
            let mut pair = pair();
            prepare(&mut pair);
            pair.plans = vec![LinkPlan { break_after: Some(cut), ..LinkPlan::default() }];
            pair.follow();
            pair.run_until("the cut", |pair| pair.links == 2 || pair.is_converged() && pair.link.is_none());
            pair.write(&["SET", "b", "written while the link is down"]);
            pair.run_until_converged();
            // A payload that came whole is not asked for again.
            assert_eq!(pair.replica.swaps, 1, "cut at {cut:?}");
            assert!(pair.master.core.counters().full <= 2, "cut at {cut:?}");
            assert_eq!(pair.master.core.counters().partial_err, 0, "cut at {cut:?}");
        }
    }
}

#[test]
fn a_stream_cut_at_any_byte_continues() {
    let mut pair = pair();
    pair.follow();
    pair.run_until_converged();
    let bytes = {
        let link = pair.link.as_ref().unwrap();
        link.arrived(Side::Replica)
    };
    let command = "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nvalue\r\n";
    for cut in 1..=2 * command.len() as u64 {
        let mut pair = self::pair();
        let plan = LinkPlan { break_after: Some((Side::Replica, bytes + cut)), ..LinkPlan::default() };
        pair.plans = vec![plan];
        pair.follow();
        pair.run_until_converged();
        pair.write(&["SET", "b", "value"]);
        pair.write(&["SET", "c", "value"]);
        pair.run_until("the next link", |pair| pair.links == 2);
        pair.run_until_converged();
        assert_eq!(pair.master.core.counters(), counters(1, 1, 0), "cut after {cut} bytes of the stream");
    }
}

#[test]
fn a_resync_cut_at_any_byte_continues_again() {
    let prepared = |plan: LinkPlan| {
        let mut pair = pair();
        pair.plans = vec![LinkPlan::default(), plan];
        pair.follow();
        pair.run_until_converged();
        pair.cut();
        pair.write(&["SET", "b", "value"]);
        pair
    };
    let mut whole = prepared(LinkPlan::default());
    whole.run_until_converged();
    let link = whole.link.as_ref().unwrap();
    let (to_master, to_replica) = (link.arrived(Side::Master), link.arrived(Side::Replica));
    for cut in (1..=to_master).map(|n| (Side::Master, n)).chain((1..=to_replica).map(|n| (Side::Replica, n)))
    {
        let mut pair = prepared(LinkPlan { break_after: Some(cut), ..LinkPlan::default() });
        pair.run_until("the third link", |pair| pair.links == 3);
        pair.run_until_converged();
        let found = pair.master.core.counters();
        assert_eq!((found.full, found.partial_err, pair.replica.swaps), (1, 0, 1), "cut at {cut:?}");
    }
}

#[test]
fn a_replica_away_for_longer_than_the_log_gets_a_snapshot_and_keeps_its_data_until_it_is_whole() {
    let mut pair = pair();
    pair.follow();
    pair.run_until_converged();
    pair.cut();
    for n in 0..50 {
        pair.write(&["SET", "k", &format!("value {n}")]);
    }
    pair.master.forget_all_but(100);
    let old = pair.replica.data.clone();
    // The first payload is cut in its middle.
    pair.plans = vec![LinkPlan { break_after: Some((Side::Replica, 500)), ..LinkPlan::default() }];
    pair.run_until("the cut", |pair| pair.links == 2 && pair.link.is_none());
    assert_eq!(pair.replica.data, old, "half a payload replaces nothing");
    assert_eq!(pair.replica.swaps, 1);
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(3, 0, 2));
}

#[test]
fn a_bad_payload_replaces_nothing() {
    let mut pair = pair();
    pair.follow();
    pair.run_until_converged();
    let old = pair.replica.data.clone();
    pair.cut();
    pair.write(&["SET", "k", "v"]);
    pair.master.forget_all_but(0);
    pair.master.payload_override = Some(b"DATA but not what was announced".to_vec());
    pair.run_until("the bad payload to be dropped", |pair| {
        pair.transcript.to_string().contains("drops the load")
    });
    assert_eq!(pair.replica.data, old);
    pair.run_until_converged();
    assert_eq!(pair.replica.swaps, 2);
}

#[test]
fn after_a_promotion_the_replica_goes_on_under_the_new_name() {
    let mut pair = pair();
    pair.follow();
    pair.run_until_converged();
    let at = pair.master.visible();
    let to_close = pair.master.core.promote(id(0xb), at);
    assert_eq!(to_close.len(), 1);
    pair.cut();
    pair.write(&["SET", "b", "of the new master"]);
    pair.run_until_converged();
    assert_eq!(pair.replica.held.unwrap().replid, id(0xb));
    assert_eq!(pair.master.core.counters(), counters(1, 1, 0));
}

#[test]
fn bytes_that_the_new_master_never_had_cost_a_full_sync() {
    let mut pair = pair();
    pair.follow();
    pair.run_until_converged();
    pair.write(&["SET", "b", "reaches the replica"]);
    pair.run_until_converged();
    pair.cut();
    // The new master had not got that write, and went on without it.
    let shared = pair.master.visible().get() - 10;
    pair.master.stream.truncate(usize::try_from(shared).unwrap());
    let _ = pair.master.core.promote(id(0xb), Offset::new(shared));
    pair.write(&["SET", "c", "of the new master"]);
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(2, 0, 1));
    assert!(pair.transcript.to_string().contains("which we share up to"));
}

#[test]
fn a_restarted_replica_asks_for_what_it_lacks() {
    let mut pair = pair();
    // What was recovered: the beginning of the master's stream.
    let first_command = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n".len();
    pair.replica.data = pair.master.stream[..first_command].to_vec();
    pair.replica.held = Some(Position { replid: id(0xa), offset: Offset::new(first_command as u64) });
    pair.follow();
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(0, 1, 0));
}

#[test]
fn a_replica_that_holds_all_continues_with_nothing_to_send() {
    let mut pair = pair();
    pair.replica.data = pair.master.stream.clone();
    pair.replica.held = Some(Position { replid: id(0xa), offset: pair.master.visible() });
    pair.follow();
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(0, 1, 0));
}

#[test]
fn a_silent_link_is_found_out_by_both_and_replaced() {
    let mut pair = pair();
    pair.plans = vec![LinkPlan { silent_from: Some(seconds(10)), ..LinkPlan::default() }];
    pair.follow();
    pair.run_until_converged();
    pair.run_for(seconds(20));
    pair.write(&["SET", "b", "into the void"]);
    let started = pair.now;
    pair.run_until("the next link", |pair| pair.links == 2);
    assert!(pair.now - started < seconds(62), "{:?}", pair.now - started);
    pair.run_until_converged();
    assert_eq!(pair.master.core.counters(), counters(1, 1, 0));
}

#[test]
fn silence_in_the_handshake_ends_it() {
    let mut pair = pair();
    pair.plans = vec![LinkPlan { silent_from: Some(Duration::ZERO), ..LinkPlan::default() }];
    pair.follow();
    pair.run_until("the timeout", |pair| !pair.replica.errors.is_empty());
    assert_eq!(pair.replica.errors, ["master timed out in phase Ping: nothing for 60s"]);
    pair.run_until_converged();
}

#[test]
fn a_snapshot_that_takes_longer_than_the_timeout_is_waited_for() {
    let mut pair = pair();
    pair.master.abilities.snapshot_after = seconds(200);
    pair.master.abilities.payload_after = seconds(100);
    pair.replica.loading_takes = seconds(100);
    pair.follow();
    pair.run_until_converged();
    assert_eq!(pair.links, 1, "newlines keep both sides patient");
}

#[test]
fn a_master_that_cannot_be_reached_is_tried_again_soon() {
    let mut pair = pair();
    let unreachable = LinkPlan { is_unreachable: true, ..LinkPlan::default() };
    pair.plans = vec![unreachable; 3];
    pair.follow();
    pair.run_until("a link", |pair| pair.links == 1);
    assert!(pair.now < seconds(1), "three failures cost {:?}", pair.now);
    pair.run_until_converged();
}

#[test]
fn a_master_without_psync_is_synced_with_anew_each_time() {
    let mut pair = pair();
    pair.master.abilities.knows_psync = false;
    pair.follow();
    pair.run_until("the stream", |pair| pair.replica.follower.is_some());
    pair.write(&["SET", "b", "v"]);
    pair.run_for(seconds(5));
    assert_eq!(pair.replica.data, pair.master.stream);
    assert_eq!(
        pair.master.session().unwrap().offset_acked(),
        Offset::ZERO,
        "no ACK to who would not understand it"
    );
    pair.cut();
    pair.run_until("the stream", |pair| pair.replica.follower.is_some());
    assert_eq!(pair.replica.data, pair.master.stream);
    assert_eq!((pair.master.core.counters(), pair.replica.swaps), (counters(2, 0, 0), 2));
}
