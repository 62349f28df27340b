//! Golden transcripts of each resync path, which are its documentation as well: `transcripts/*.txt`.
//!
//! `REJOIN_TRANSCRIPTS=write` writes them anew; without it a difference fails.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod pair;

use std::path::PathBuf;
use std::time::Duration;

use pair::link::{LinkPlan, Side};
use pair::{Pair, id, seconds};
use rejoin_protocol::Offset;
use rejoin_replication::{Credentials, Position};

fn check(name: &str, title: &str, pair: &Pair) {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(format!("{name}.txt"));
    let said = format!("# {title}\n\n{}", pair.transcript);
    if std::env::var("REJOIN_TRANSCRIPTS").is_ok_and(|what| what == "write") {
        std::fs::write(&path, &said).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(said, golden, "{name} differs; REJOIN_TRANSCRIPTS=write writes it anew");
}

/// A master with one key.
fn pair() -> Pair {
    let mut pair = Pair::new();
    pair.master.write(&["SELECT", "0"]);
    pair.master.write(&["SET", "k", "1"]);
    pair
}

/// A replica that holds all but the last write of the master.
fn pair_with_a_gap() -> Pair {
    let mut pair = pair();
    pair.replica.data = pair.master.stream.clone();
    pair.replica.held = Some(Position { replid: id(0xa), offset: pair.master.visible() });
    pair.master.write(&["SET", "k", "2"]);
    pair
}

#[test]
fn full_sync_eof() {
    let mut pair = pair();
    pair.follow();
    pair.run_for(Duration::from_millis(2600));
    pair.write(&["SET", "k", "2"]);
    pair.run_until_converged();
    check(
        "full_sync_eof",
        "A full sync to a replica that finds the payload's end by its mark: the stream waits for the first ACK.",
        &pair,
    );
}

#[test]
fn full_sync_length() {
    let mut pair = pair();
    pair.master.abilities.is_diskless = false;
    pair.master.abilities.payload_after = seconds(2);
    pair.follow();
    pair.run_for(seconds(3));
    pair.write(&["SET", "k", "2"]);
    pair.run_until_converged();
    check(
        "full_sync_length",
        "A full sync out of a file: its length comes first, the stream follows at once.",
        &pair,
    );
}

#[test]
fn partial_resync() {
    let mut pair = pair_with_a_gap();
    pair.follow();
    pair.run_until_converged();
    pair.write(&["REPLCONF", "GETACK", "*"]);
    pair.run_until_converged();
    pair.plans = vec![LinkPlan::default()];
    pair.cut();
    pair.write(&["SET", "k", "3"]);
    pair.run_until_converged();
    check(
        "partial_resync",
        "The stream goes on where the replica stands, twice; GETACK is answered with the offset before it.",
        &pair,
    );
}

#[test]
fn continue_with_new_id() {
    let mut pair = pair_with_a_gap();
    let at = pair.master.visible();
    let _ = pair.master.core.promote(id(0xb), at);
    pair.master.write(&["SELECT", "0"]);
    pair.master.write(&["SET", "k", "3"]);
    pair.follow();
    pair.run_until_converged();
    check(
        "continue_with_new_id",
        "The master was promoted since: the stream goes on under another name.",
        &pair,
    );
}

#[test]
fn refused_partial_then_full() {
    let mut pair = pair_with_a_gap();
    for n in 3..10 {
        pair.master.write(&["SET", "k", &n.to_string()]);
    }
    pair.master.forget_all_but(100);
    pair.master.abilities.snapshot_after = Duration::from_millis(500);
    pair.follow();
    pair.run_until_converged();
    check(
        "refused_partial_then_full",
        "What the replica lacks is no longer held: a full sync, and its data serves until that is whole.",
        &pair,
    );
}

#[test]
fn sync_fallback() {
    let mut pair = pair();
    pair.master.abilities.knows_psync = false;
    pair.master.abilities.is_diskless = false;
    pair.follow();
    pair.run_until("the stream", |pair| pair.replica.follower.is_some());
    pair.write(&["SET", "k", "2"]);
    pair.run_for(seconds(3));
    check("sync_fallback", "A master from before PSYNC: SYNC, no offsets, no ACKs.", &pair);
}

#[test]
fn loading_retry() {
    let mut pair = pair_with_a_gap();
    pair.master.abilities.is_loading = true;
    pair.follow();
    pair.run_until("a refusal", |pair| !pair.replica.errors.is_empty());
    pair.master.abilities.is_loading = false;
    pair.run_until_converged();
    check("loading_retry", "A master that loads is asked again a little later, for the same.", &pair);
}

#[test]
fn auth() {
    let mut pair = pair_with_a_gap();
    pair.master.abilities.password = Some("secret");
    pair.follow();
    pair.run_until("a refusal", |pair| pair.replica.errors.len() == 1);
    pair.replica.settings.credentials = Some(Credentials { user: None, password: b"wrong".to_vec() });
    pair.run_until("a refusal", |pair| pair.replica.errors.len() == 2);
    pair.replica.settings.credentials = Some(Credentials { user: None, password: b"secret".to_vec() });
    pair.run_until_converged();
    check("auth", "No password, a wrong one, the right one.", &pair);
}

#[test]
fn chained_master_out_of_step() {
    let mut pair = pair_with_a_gap();
    // The replica is ahead of this master, which follows another one and lags.
    pair.replica.data = pair.master.stream.clone();
    pair.replica.held = Some(Position { replid: id(0xa), offset: pair.master.visible() });
    let late = pair.master.stream.split_off(pair.master.stream.len() - 29);
    pair.master.core.demote();
    pair.follow();
    pair.run_until("a refusal", |pair| pair.replica.errors.len() == 1);
    pair.master.stream.extend_from_slice(&late);
    pair.master.core.handle_upstream(true);
    pair.run_until_converged();
    assert_eq!(pair.replica.held.map(|held| held.offset), Some(Offset::new(pair.master.stream.len() as u64)));
    check(
        "chained_master_out_of_step",
        "A replica that is ahead of the chained node it asks is put off, not synced anew.",
        &pair,
    );
}

#[test]
fn cut_in_the_payload() {
    let mut pair = pair_with_a_gap();
    pair.master.forget_all_but(0);
    pair.master.abilities.snapshot_after = Duration::from_millis(500);
    pair.plans = vec![LinkPlan { break_after: Some((Side::Replica, 150)), ..LinkPlan::default() }];
    pair.follow();
    pair.run_until_converged();
    check(
        "cut_in_the_payload",
        "A link that breaks in the middle of a payload costs the replica nothing that it has.",
        &pair,
    );
}
