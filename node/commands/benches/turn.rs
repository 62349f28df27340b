//! What a turn costs per command, all of it: decode, touch, execute, reply, log. 50 clients with 1 or 16 requests
//! each, a million keys, keys and fields at random, values of 64 bytes.
//!
//! `cargo bench -p rejoin-commands --bench turn [-- COMMAND ...]` runs all workloads or those that are named. Making the requests and sending the replies is not counted.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people")]

use std::time::Duration;

use rejoin_commands::{Engine, Input, Session, Settings};
use rejoin_keyspace::{HashSeed, KeyspaceOptions, StringForm};
use rejoin_protocol::{
    ClientId, DbIndex, Offset, UnixMillis,
    resp::{RequestLimits, encode_command},
};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const KEYS: u64 = 1_000_000;
const CLIENTS: u64 = 50;
const COMMANDS: usize = 1_600_000;

struct Bench {
    engine: Engine,
    inputs: Vec<Input>,
    random_state: u64,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings::default();
        let options = KeyspaceOptions { databases: 16, seed: HashSeed::new([7; 16]) };
        let mut engine = Engine::new(settings, options, Offset::ZERO, 1);
        engine.now = UnixMillis::new(1_700_000_000_000);
        // As the shard does it: what a look at the clock costs belongs to every command.
        let clock = quanta::Clock::new();
        engine.set_clock(Box::new(move || clock.delta_as_nanos(0, clock.raw())));
        let mut inputs = Vec::new();
        for id in (1..=CLIENTS).map(ClientId::new) {
            engine.session_opened(Session::new(
                id,
                "127.0.0.1:1".to_owned(),
                "127.0.0.1:2".to_owned(),
                engine.now,
            ));
            inputs.push(Input::new(id));
        }
        Self { engine, inputs, random_state: 1 }
    }

    /// Fills the keys of redis-benchmark that the workloads read and write.
    fn fill(&mut self) {
        let value = [b'x'; 64];
        for number in 0..KEYS {
            for (prefix, value) in [("key", &value[..]), ("counter", b"1000")] {
                let name = format!("{prefix}:{number:012}");
                let key = self.engine.keyspace.key(name.as_bytes());
                let form = if value.len() > 44 { StringForm::Raw } else { StringForm::Int };
                self.engine.keyspace.database_mut(DbIndex::default()).put_string(key, value, form, None);
            }
        }
    }

    fn random(&mut self) -> u64 {
        self.random_state = self.random_state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random_state >> 33) % KEYS
    }

    fn run(&mut self, name: &str, request: impl Fn(u64, &mut Vec<u8>)) {
        let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            return;
        }
        for pipeline in [1, 16] {
            let turns = COMMANDS / (CLIENTS as usize * pipeline);
            let mut spent = Duration::ZERO;
            let mut logged = 0;
            for _ in 0..turns {
                for index in 0..self.inputs.len() {
                    for _ in 0..pipeline {
                        let number = self.random();
                        request(number, self.inputs[index].buffer_mut());
                    }
                }
                let begun = thread_time();
                let limits = RequestLimits::default();
                for input in &mut self.inputs {
                    input.decode(&limits, true);
                }
                let mut inputs: Vec<&mut Input> = self.inputs.iter_mut().collect();
                let report = self.engine.run_turn(&mut inputs);
                spent += thread_time() - begun;
                assert_eq!(report.executed, CLIENTS as usize * pipeline);
                logged += self.engine.log.bytes().len();
                self.engine.log.clear();
                for id in (1..=CLIENTS).map(ClientId::new) {
                    let session = self.engine.sessions.get_mut(id).unwrap();
                    assert!(session.out.first() != Some(&b'-'));
                    session.out.clear();
                }
            }
            let commands = turns * CLIENTS as usize * pipeline;
            println!(
                "{name:6} 50 clients x {pipeline:2}: {:4} ns per command, {} log bytes each",
                spent.as_nanos() / commands as u128,
                logged / commands
            );
        }
    }
}

/// CPU time of this thread: other programs on the machine are not counted.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    let mut bench = Bench::new();
    bench.fill();
    let value = "x".repeat(64);
    bench.run("PING", |_, out| encode_command(out, &["PING"]));
    bench.run("GET", |number, out| encode_command(out, &["GET", &format!("key:{number:012}")]));
    bench.run("SET", |number, out| encode_command(out, &["SET", &format!("key:{number:012}"), &value]));
    bench.run("INCR", |number, out| encode_command(out, &["INCR", &format!("counter:{number:012}")]));
    bench.run("HSET", |number, out| {
        encode_command(out, &["HSET", "myhash", &format!("element:{number:012}"), &value]);
    });
}
