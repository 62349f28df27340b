//! A server that does nothing: it counts commands and answers each with `+OK`. Its throughput is the load generator's
//! limit on this machine; no real server can look faster.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::event::epoll;

const CHUNK: usize = 256 * 1024;
const EVENTS_MAX: usize = 64;
/// The listener's mark among the sockets.
const LISTENER: u64 = u64::MAX;

/// Runs in one thread until dropped.
pub(super) struct DoNothingServer {
    port: u16,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl DoNothingServer {
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("binding the do-nothing server")?;
        let port = listener.local_addr().context("reading its port")?.port();
        let events = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll set")?;
        epoll::add(&events, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)
            .context("watching the listener")?;
        let is_ending = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&is_ending);
        let thread = thread::Builder::new()
            .name("do-nothing".to_owned())
            .spawn(move || serve(&listener, &events, &of_thread))
            .context("starting the do-nothing server")?;
        Ok(Self { port, is_ending, thread: Some(thread) })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for DoNothingServer {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // Wakes the thread.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, events: &OwnedFd, is_ending: &AtomicBool) {
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut ready = Vec::with_capacity(EVENTS_MAX);
    while !is_ending.load(Ordering::Relaxed) {
        ready.clear();
        if epoll::wait(events, rustix::buffer::spare_capacity(&mut ready), None).is_err() {
            continue;
        }
        for event in &ready {
            let mark = event.data.u64();
            if mark == LISTENER {
                let Ok((client, _)) = listener.accept() else { continue };
                let data = epoll::EventData::new_u64(clients.len() as u64);
                if epoll::add(events, &client, data, epoll::EventFlags::IN).is_ok() {
                    clients.push(Some(client));
                }
                continue;
            }
            let Some(slot) = usize::try_from(mark).ok().and_then(|index| clients.get_mut(index)) else {
                continue;
            };
            if slot.as_mut().is_none_or(|client| answer(client, &mut chunk).is_err()) {
                *slot = None;
            }
        }
    }
}

/// Commands are counted by their `*`, which redis-benchmark's keys and values do not contain.
fn answer(client: &mut TcpStream, chunk: &mut [u8]) -> std::io::Result<()> {
    let count = client.read(chunk)?;
    if count == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let commands = chunk[..count].iter().filter(|byte| **byte == b'*').count();
    client.write_all(&b"+OK\r\n".repeat(commands))
}
