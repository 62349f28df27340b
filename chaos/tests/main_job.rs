//! The main job in both roles: load, a link cut in the middle, one full sync and no other, equal data.

#![allow(clippy::unwrap_used)]

use rejoin_chaos::main_job;
use rejoin_chaos::servers::Binary;

#[test]
fn a_replica_whose_link_is_cut_under_load_catches_up_without_a_second_full_sync() {
    main_job::run(&Binary::node(None).unwrap()).unwrap();
}
