//! The index against a plain sorted vector, and what it costs.

use super::*;
use crate::testing::Random;

fn record(expiry: i64, hash: u64) -> Record {
    Record::new(UnixMillis::new(expiry), KeyHash(hash))
}

fn check(index: &Expiries, model: &[Record]) {
    let mut distinct = model.to_vec();
    distinct.dedup();
    assert!(index.iter().eq(distinct), "the same records in the same order");
    assert_eq!(index.len(), model.len());
    if let Some(middle) = model.get(model.len() / 2) {
        let due = model.iter().filter(|record| record.millis() <= middle.millis()).count();
        assert_eq!(index.due_len(middle.millis()), due);
    }
    assert_eq!(index.chunk_bytes, index.chunks.values().map(|chunk| bytes_of(&chunk.records)).sum::<usize>());
    assert_eq!(index.sum_millis, model.iter().map(|record| u128::from(record.millis())).sum::<u128>());
    let mut lowest_allowed = None;
    for (key, Chunk { records: chunk, place }) in &index.chunks {
        assert_eq!(index.places[*place as usize], *key);
        assert!(chunk.len() <= CHUNK_RECORDS && (*key == Record::MIN || !chunk.is_empty()));
        assert!(chunk.first().is_none_or(|first| key <= first));
        assert!(lowest_allowed < Some(*key));
        lowest_allowed = chunk.last().copied().or(Some(*key));
    }
}

#[test]
fn a_record_keeps_expiry_path_and_tag() {
    let record = record(0x1234_5678_9abc, 0xfedc_ba98_7654_3210);
    assert_eq!((record.millis(), record.path(), record.tag()), (0x1234_5678_9abc, 0xfedc_ba98, 0x3210));
    assert_eq!(super::Record::new(UnixMillis::new(-5), KeyHash(0)).millis(), 0);
    assert_eq!(super::Record::new(UnixMillis::new(i64::MAX), KeyHash(0)).millis(), (1 << 48) - 1);
    assert_eq!(size_of::<Record>(), 12);
}

#[test]
fn it_stays_equal_to_a_sorted_vector() {
    let mut random = Random::new(1);
    let mut index = Expiries::default();
    let mut model: Vec<Record> = Vec::new();
    for round in 0..40_000u64 {
        let grows = round % 10_000 < 7_000;
        if random.below(10) < if grows { 8 } else { 2 } || model.is_empty() {
            // Few distinct values: equal records are common.
            let new = record(random.below(300) as i64 * (round as i64 % 3), random.below(20) << 32);
            model.insert(model.partition_point(|other| *other <= new), new);
            index.insert(new);
        } else {
            index.remove(model.remove(random.below(model.len() as u64) as usize));
        }
        if round % 997 == 0 {
            check(&index, &model);
        }
    }
    for record in std::mem::take(&mut model) {
        index.remove(record);
    }
    check(&index, &model);
}

fn bytes_per_record(expiries: impl Iterator<Item = u64>) -> f64 {
    let mut random = Random::new(2);
    let mut index = Expiries::default();
    for expiry in expiries {
        index.insert(record(expiry as i64, random.below(1 << 31) << 32));
    }
    index.bytes_used() as f64 / index.len() as f64
}

#[test]
fn a_record_costs_at_most_24_bytes_in_any_order() {
    let count = 50_000;
    let rising = bytes_per_record(0..count);
    let falling = bytes_per_record((0..count).rev());
    let mut random = Random::new(3);
    let scattered = bytes_per_record((0..count).map(|_| random.below(1 << 30)));
    let three_runs = bytes_per_record((0..count).map(|at| at + at % 3 * 10_000_000));
    let orders = [("rising", rising), ("falling", falling), ("scattered", scattered), ("runs", three_runs)];
    for (order, bytes) in orders {
        assert!(bytes <= 24.0, "{order}: {bytes}");
    }
    assert!(rising < 14.0, "rising runs stay full: {rising}");
}

#[test]
fn every_record_is_chosen_as_often_as_any_other() {
    let mut index = Expiries::default();
    let hash = |n: u64| KeyHash(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    // Full chunks of rising expiries, and thin ones by removals.
    (0..1_000).for_each(|n| index.change(hash(n), None, Some(UnixMillis::new(n as i64))));
    (0..500)
        .filter(|n| n % 8 != 0)
        .for_each(|n| index.change(hash(n), Some(UnixMillis::new(n as i64)), None));
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    };
    let mut counts = BTreeMap::<u64, u32>::new();
    for _ in 0..200 * index.len() {
        *counts.entry(index.random(&mut random).unwrap().millis()).or_default() += 1;
    }
    assert_eq!(counts.len(), index.len());
    assert!(counts.values().all(|count| (120..300).contains(count)), "{counts:?}");
    assert!(Expiries::default().random(&mut random).is_none());
}
