//! A client that did nothing wrong: it sends PING all the time while another one misbehaves, and watches the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use crate::client::Client;
use crate::servers::{Memory, Server};

const BETWEEN_PINGS: Duration = Duration::from_millis(5);

/// Runs in a thread of its own until [`Bystander::stop`].
pub(super) struct Bystander {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Seen>>>,
}

/// What the bystander saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) pings: u64,
    pub(super) waited_most: Duration,
    pub(super) resident_most: u64,
}

impl Bystander {
    pub(super) fn start(server: &Server) -> Result<Self> {
        let mut client = server.client()?;
        let pid = server.pid();
        let is_ending = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_ending);
        let watch = move || {
            let mut seen = Seen::default();
            while !of_thread.load(Ordering::Relaxed) {
                look(&mut client, pid, &mut seen)?;
                thread::sleep(BETWEEN_PINGS);
            }
            look(&mut client, pid, &mut seen)?;
            Ok(seen)
        };
        let thread =
            thread::Builder::new().name("bystander".to_owned()).spawn(watch).context("starting a thread")?;
        Ok(Self { is_ending, thread: Some(thread) })
    }

    /// Ends it; fails if a PING was not answered.
    pub(super) fn stop(mut self) -> Result<Seen> {
        self.is_ending.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the bystander is stopped once")?;
        thread.join().map_err(|_| anyhow!("the bystander panicked"))?
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }
}

fn look(client: &mut Client, pid: u32, seen: &mut Seen) -> Result<()> {
    let began = Instant::now();
    let reply = client.call(&["PING"])?;
    ensure!(reply.is_simple("PONG"), "PING was answered with {reply}");
    seen.pings += 1;
    seen.waited_most = seen.waited_most.max(began.elapsed());
    seen.resident_most = seen.resident_most.max(Memory::of(pid)?.resident);
    Ok(())
}
