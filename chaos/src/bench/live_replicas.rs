//! What live replicas cost the master: CPU of the thread that executes commands, and of all threads, for each write.
//!
//! The replicas are connections of this process that read and forget, so that on a small machine the master is measured
//! and not its replicas.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::redis_benchmark::{Workload, operations_for, run};
use super::{CALIBRATION_OPERATIONS, load, median};
use crate::client::encode_command;
use crate::console::say;
use crate::replication::info_number;
use crate::servers::{Binary, Server, named_thread_cpu_ns, thread_cpu_ns};
use crate::wait;

const KEYS: u64 = 100_000;
const ACK_PERIOD: Duration = Duration::from_secs(1);

/// Prints what 16 replicas cost the thread that executes commands, and what 2 cost all threads with a log on disk.
pub(super) fn compare(redis: &Binary, node: &Binary, rounds: u32, seconds: f64) -> Result<()> {
    say(format_args!(
        "live replicas: CPU us per SET; of the thread that executes commands, and of all threads; median of {rounds}"
    ));
    say(format_args!(
        "{:<12}{:<26}{:>10}{:>14}{:>10}{:>12}{:>10}",
        "", "", "replicas", "this thread", "ratio", "all threads", "k/s"
    ));
    let plain = ["--save", "", "--appendonly", "no"];
    let logged = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];
    for (size, pipeline, counts, options) in [
        (1024, 1, [0, 16], plain.as_slice()),
        (1024, 16, [0, 16], plain.as_slice()),
        (64, 16, [0, 2], logged.as_slice()),
    ] {
        let workload = Workload { test: "set".to_owned(), size, pipeline, keys: KEYS };
        for binary in [redis, node] {
            let server = Server::start(binary, options)?;
            load::preload(&server, std::slice::from_ref(&workload.test), KEYS, size)?;
            let per_second = run(&workload, server.port(), CALIBRATION_OPERATIONS)?;
            let operations = operations_for(&workload, per_second, seconds);
            let mut alone = None;
            for count in counts {
                let replicas = Replicas::attach(&server, count)?;
                let mut figures = Vec::new();
                for _ in 0..rounds.max(1) {
                    figures.push(measure(&workload, &server, operations)?);
                }
                drop(replicas);
                let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
                let this_thread = of(|one| one.this_thread_us);
                let ratio = this_thread / *alone.get_or_insert(this_thread);
                say(format_args!(
                    "{:<12}{:<26}{count:>10}{this_thread:>14.2}{ratio:>10.2}{:>12.2}{:>10.0}",
                    binary.to_string(),
                    workload.to_string() + if options == plain { "" } else { ", everysec" },
                    of(|one| one.all_threads_us),
                    of(|one| one.per_second) / 1000.0
                ));
            }
        }
    }
    say("");
    Ok(())
}

struct Figures {
    this_thread_us: f64,
    all_threads_us: f64,
    per_second: f64,
}

fn measure(workload: &Workload, server: &Server, operations: u64) -> Result<Figures> {
    let before = (executing_thread_ns(server)?, server.cpu_time()?);
    let per_second = run(workload, server.port(), operations)?;
    let this_thread = executing_thread_ns(server)? - before.0;
    let all_threads = server.cpu_time()?.since(before.1);
    let us = |ns: u64| ns as f64 / 1000.0 / operations as f64;
    Ok(Figures { this_thread_us: us(this_thread), all_threads_us: us(all_threads), per_second })
}

/// redis-server executes in its main thread, the node in the one called `shard`.
fn executing_thread_ns(server: &Server) -> Result<u64> {
    if server.binary().is_stock() {
        return thread_cpu_ns(server.pid(), i32::try_from(server.pid()).context("a process id")?);
    }
    named_thread_cpu_ns(server.pid(), "shard")
}

/// Connections that follow a master.
struct Replicas(Vec<(TcpStream, JoinHandle<()>)>);

impl Replicas {
    fn attach(master: &Server, count: u64) -> Result<Self> {
        let mut replicas = Self(Vec::new());
        for number in 0..count {
            let stream = TcpStream::connect(("127.0.0.1", master.port())).context("connecting a replica")?;
            let other_end = stream.try_clone().context("sharing a socket")?;
            let thread = thread::spawn(move || follow_and_forget(stream, number));
            replicas.0.push((other_end, thread));
        }
        wait::until("the replicas to be online", || {
            let text = master.client()?.ask_text(&["INFO", "replication"])?;
            let online = text.lines().filter(|line| line.contains("state=online")).count();
            Ok(online as u64 == count && info_number(master, "replication", "connected_slaves")? == count)
        })?;
        Ok(replicas)
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for (stream, thread) in self.0.drain(..) {
            // Gone already: so much the better.
            let _ = stream.shutdown(Shutdown::Both);
            let _ = thread.join();
        }
    }
}

/// Asks for everything, reads all that comes, and acknowledges each second, which also begins the stream behind the
/// payload. A socket that fails ends it.
fn follow_and_forget(mut stream: TcpStream, number: u64) {
    let mut hello = Vec::new();
    encode_command(&mut hello, &["REPLCONF", "listening-port", &(10_000 + number).to_string()]);
    encode_command(&mut hello, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
    let mut request = Vec::new();
    encode_command(&mut request, &["PSYNC", "?", "-1"]);
    let mut acknowledgement = Vec::new();
    encode_command(&mut acknowledgement, &["REPLCONF", "ACK", "0"]);
    let mut buffer = vec![0; 256 << 10];
    let mut next_ack = Instant::now();
    // A stock server refuses PSYNC to who has replies outstanding.
    let begun = stream
        .write_all(&hello)
        .and_then(|()| stream.read_exact(&mut [0; "+OK\r\n+OK\r\n".len()]))
        .and_then(|()| stream.write_all(&request))
        .and_then(|()| stream.set_read_timeout(Some(ACK_PERIOD)));
    if begun.is_err() {
        return;
    }
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        if Instant::now() >= next_ack {
            next_ack = Instant::now() + ACK_PERIOD;
            if stream.write_all(&acknowledgement).is_err() {
                return;
            }
        }
    }
}
