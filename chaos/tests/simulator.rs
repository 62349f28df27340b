//! The fixed set of worlds that must keep their promises, and defects that must not go unseen.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ops::Range;
use std::thread;

use rejoin_chaos::simulator::{self, Defect, Outcome, Summary};

const WORLDS: u64 = 1000;
/// Worlds within which each planted defect must be found.
const WORLDS_FOR_A_DEFECT: u64 = 60;

/// Runs worlds on as many threads as there are processors; the outcome does not depend on them.
fn run_all(seeds: Range<u64>) -> Summary {
    let threads = thread::available_parallelism().map_or(2, |count| count.get() as u64);
    let outcomes: Vec<(u64, Outcome)> = thread::scope(|scope| {
        let part = |number: u64| {
            let seeds = seeds.clone().filter(move |seed| seed % threads == number);
            seeds.map(|seed| (seed, simulator::run(seed, None, None))).collect::<Vec<_>>()
        };
        let running: Vec<_> = (0..threads).map(|number| scope.spawn(move || part(number))).collect();
        running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut summary = Summary::default();
    for (seed, outcome) in outcomes {
        summary.add(seed, outcome);
    }
    summary
}

#[test]
fn a_thousand_worlds_keep_their_promises() {
    let summary = run_all(0..WORLDS);
    assert!(summary.failures.is_empty(), "{summary}");
    // Worlds in which nothing happens would keep every promise.
    let total = &summary.total;
    assert!(total.failovers > 1000 && total.restarts > 3000 && total.promises > 50_000, "{summary}");
    for rung in [
        "it continues",
        "it continues out of files",
        "put off",
        "the bytes are gone",
        "it has diverged: rewind",
    ] {
        assert!(total.rungs.get(rung).is_some_and(|count| *count > 20), "{rung}: {summary}");
    }
}

#[test]
fn a_seed_makes_the_same_world_line_by_line() {
    for seed in 0..20 {
        let [first, second] = [(), ()].map(|()| simulator::run(seed, None, None));
        assert!(first.steps > 100);
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(simulator::run(0, None, None).checksum, simulator::run(1, None, None).checksum);
}

/// The first seed whose world shows a defect.
fn found_by(defect: Defect) -> Option<(u64, String)> {
    (0..WORLDS_FOR_A_DEFECT)
        .find_map(|seed| simulator::run(seed, Some(defect), None).broken.map(|broken| (seed, broken)))
}

#[test]
fn planted_defects_are_found() {
    let expected = [
        (Defect::VisibleBeforeWritten, "it ended with"),
        (Defect::AncestorTooFar, "continues"),
        (Defect::AckBeforeApplied, "acknowledged"),
        (Defect::DurableBeforeSynced, "it ended with"),
        (Defect::NameKeptAfterPowerLoss, "after a power loss it goes on under the same name"),
        (Defect::NeedlessFullSync, "refuses"),
    ];
    for (defect, words) in expected {
        let (seed, broken) = found_by(defect).unwrap_or_else(|| panic!("{defect:?} was not found"));
        println!("{defect:?} is found by seed {seed}: {broken}");
        assert!(broken.contains(words), "{defect:?}, seed {seed}: {broken}");
    }
}
