//! Hostile clients and masters: the node stays alive, serves others, keeps its memory in bounds and its data.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::bad_input;
use rejoin_chaos::servers::Binary;

#[test]
fn odd_requests_are_answered_as_redis_answers_them() {
    bad_input::run_requests(&Binary::node(None).unwrap()).unwrap();
}

#[test]
fn floods_leave_memory_bounded_and_other_clients_served() {
    bad_input::run_floods(&Binary::node(None).unwrap()).unwrap();
}

#[test]
fn masters_that_speak_garbage_leave_the_old_data_served() {
    bad_input::run_masters(&Binary::node(None).unwrap()).unwrap();
}

#[test]
fn replicas_that_misbehave_meet_a_defined_outcome() {
    bad_input::run_replicas(&Binary::node(None).unwrap()).unwrap();
}
