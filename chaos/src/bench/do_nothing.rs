//! A server that does nothing: it counts commands and answers each with `+OK`. Its throughput is the load generator's
//! limit on this machine, and its CPU time what the kernel takes to move the bytes, one read and one write for each
//! pipeline: no real server can look faster or cheaper.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use rustix::event::epoll;

use crate::servers::thread_cpu_ns;

const CHUNK: usize = 256 * 1024;
const EVENTS_MAX: usize = 64;
/// The listener's mark among the sockets.
const LISTENER: u64 = u64::MAX;

/// Runs in one thread until dropped.
pub(super) struct DoNothingServer {
    port: u16,
    /// The kernel's id of the thread.
    thread_id: i32,
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
        let (id_sender, id_receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("do-nothing".to_owned())
            .spawn(move || {
                let _ = id_sender.send(rustix::thread::gettid().as_raw_nonzero().get());
                serve(&listener, &events, &of_thread);
            })
            .context("starting the do-nothing server")?;
        let thread_id = id_receiver.recv().context("the do-nothing server ended at once")?;
        Ok(Self { port, thread_id, is_ending, thread: Some(thread) })
    }

    /// CPU time used so far, in nanoseconds.
    pub(super) fn cpu_ns(&self) -> Result<u64> {
        thread_cpu_ns(std::process::id(), self.thread_id)
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
    let mut clients: Vec<Option<Client>> = Vec::new();
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
                let Ok((stream, _)) = listener.accept() else { continue };
                let data = epoll::EventData::new_u64(clients.len() as u64);
                if epoll::add(events, &stream, data, epoll::EventFlags::IN).is_ok() {
                    clients.push(Some(Client { stream, marker: None }));
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

struct Client {
    stream: TcpStream,
    /// The byte that each of its commands has once: `*` or, if they are inline, their line's end.
    marker: Option<u8>,
}

/// redis-benchmark's keys and values contain neither of the markers.
fn answer(client: &mut Client, chunk: &mut [u8]) -> std::io::Result<()> {
    let count = client.stream.read(chunk)?;
    if count == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let marker = *client.marker.get_or_insert(if chunk[0] == b'*' { b'*' } else { b'\n' });
    let commands = chunk[..count].iter().filter(|byte| **byte == marker).count();
    client.stream.write_all(&b"+OK\r\n".repeat(commands))
}
