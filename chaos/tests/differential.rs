//! Generated command sequences on the node and on each real server: replies and data must be equal.
//!
//! The seeds are fixed, so that a failure here is the same failure everywhere. `rejoin-chaos differential` runs more.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::differential::{Oracle, Pair, check_seed};
use rejoin_chaos::servers::Binary;

const STEPS: usize = 400;

fn all_seeds_equal(oracle: Oracle, seeds: std::ops::Range<u64>) {
    let node = Binary::node(None).unwrap();
    let mut pair = Pair::start(oracle, &node).unwrap();
    for seed in seeds {
        if let Some(failure) = check_seed(&mut pair, seed, STEPS).unwrap() {
            panic!("{failure}");
        }
    }
    assert!(pair.tally().replies > 0 && pair.tally().digests > 0, "{}", pair.tally());
}

#[test]
fn the_node_answers_as_redis_7_does() {
    all_seeds_equal(Oracle::Redis7, 1..41);
}

#[test]
fn the_node_answers_as_redis_8_does_where_versions_agree() {
    all_seeds_equal(Oracle::Redis8, 101..121);
}

#[test]
fn the_node_answers_as_valkey_9_does_where_versions_agree() {
    all_seeds_equal(Oracle::Valkey9, 201..221);
}
