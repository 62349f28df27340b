//! A TCP proxy on 127.0.0.1 whose connections can be cut and restored while it runs.
//!
//! It knows nothing of what it carries. Two threads per connection copy bytes, one per direction, and count them.
//! [`Proxy::cut`] drops what is connected and decides how new connections are treated until [`Proxy::restore`].

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

const CHUNK: usize = 64 * 1024;

/// How a cut link looks to whoever dials it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// New connections are closed at once.
    Refuse,
    /// New connections are accepted and nothing ever comes back.
    BlackHole,
}

/// A running proxy; ends with its connections when dropped.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

struct Shared {
    target: AtomicU16,
    state: Mutex<State>,
    to_target: AtomicU64,
    from_target: AtomicU64,
    accepted: AtomicU64,
    is_ending: AtomicBool,
}

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    /// Sockets of the connections that are alive, to shut them down by; removed when their copying ends.
    open: HashMap<u64, Vec<TcpStream>>,
    next_id: u64,
    /// Cleared by the connection that it drops.
    doomed_words: Option<Vec<u8>>,
}

impl Proxy {
    /// Listens on a free port and carries every connection to `target` on 127.0.0.1.
    pub fn start(target: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("binding the proxy")?;
        let port = listener.local_addr().context("reading the proxy's port")?.port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            state: Mutex::default(),
            to_target: AtomicU64::new(0),
            from_target: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            is_ending: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let acceptor = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept_loop(&listener, &of_thread))
            .context("starting the proxy")?;
        Ok(Self { port, shared, acceptor: Some(acceptor) })
    }

    /// Where to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Drops all connections, mid-byte if need be, and treats new ones as `how` says until [`Proxy::restore`].
    pub fn cut(&self, how: Cut) {
        let mut state = self.shared.state();
        state.cut = Some(how);
        shut_all(&mut state);
    }

    /// Carries new connections again. Those that fell into a black hole are dropped, so that their owners dial anew.
    pub fn restore(&self) {
        let mut state = self.shared.state();
        state.cut = None;
        shut_all(&mut state);
    }

    /// Drops all connections once; new ones are carried.
    pub fn drop_connections(&self) {
        shut_all(&mut self.shared.state());
    }

    /// Drops the next connection on which the target says `words` in one piece: they were said, and are not heard.
    pub fn drop_at(&self, words: &str) {
        self.shared.state().doomed_words = Some(words.as_bytes().to_vec());
    }

    /// Whether [`drop_at`](Self::drop_at) has still to drop a connection.
    #[must_use]
    pub fn is_to_drop(&self) -> bool {
        self.shared.state().doomed_words.is_some()
    }

    /// Carries new connections to another port from now on.
    pub fn retarget(&self, target: u16) {
        self.shared.target.store(target, Ordering::Relaxed);
    }

    /// Bytes carried to the target so far.
    #[must_use]
    pub fn bytes_to_target(&self) -> u64 {
        self.shared.to_target.load(Ordering::Relaxed)
    }

    /// Bytes carried from the target so far.
    #[must_use]
    pub fn bytes_from_target(&self) -> u64 {
        self.shared.from_target.load(Ordering::Relaxed)
    }

    /// Connections accepted so far, refused ones included.
    #[must_use]
    pub fn connections_accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
        self.cut(Cut::Refuse);
        // The acceptor sleeps in accept; one more connection wakes it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept_loop(listener: &TcpListener, shared: &Arc<Shared>) {
    for incoming in listener.incoming() {
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = incoming else { continue };
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let cut = shared.state().cut;
        match cut {
            Some(Cut::Refuse) => drop(client),
            Some(Cut::BlackHole) => keep_silent(client, shared),
            // A target that is down looks to the client like a refused connection.
            None => drop(carry(client, shared)),
        }
    }
}

fn keep_silent(client: TcpStream, shared: &Shared) {
    let mut state = shared.state();
    let id = state.next_id;
    state.next_id += 1;
    state.open.insert(id, vec![client]);
}

fn carry(client: TcpStream, shared: &Arc<Shared>) -> Result<()> {
    let port = shared.target.load(Ordering::Relaxed);
    let target = TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(10))?;
    client.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let id = {
        let mut state = shared.state();
        // A cut may have come while we were dialling.
        if state.cut.is_some() {
            return Ok(());
        }
        let id = state.next_id;
        state.next_id += 1;
        state.open.insert(id, vec![client.try_clone()?, target.try_clone()?]);
        id
    };
    let (client_read, target_write) = (client.try_clone()?, target.try_clone()?);
    let outward = Arc::clone(shared);
    thread::spawn(move || copy(client_read, target_write, id, &outward, &outward.to_target));
    let homeward = Arc::clone(shared);
    thread::spawn(move || copy(target, client, id, &homeward, &homeward.from_target));
    Ok(())
}

/// Copies until either side ends, then ends both: half-closed connections play no part in replication.
fn copy(mut from: TcpStream, mut to: TcpStream, id: u64, shared: &Shared, counter: &AtomicU64) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = from.read(&mut chunk) {
        // Counted first: whoever has received something finds it counted.
        counter.fetch_add(count as u64, Ordering::Relaxed);
        if shared.state().is_doomed(&chunk[..count]) {
            break;
        }
        if to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    shared.state().open.remove(&id);
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl State {
    /// Whether this piece is the one that is not to be heard.
    fn is_doomed(&mut self, piece: &[u8]) -> bool {
        let is_said = |words: &mut Vec<u8>| piece.windows(words.len()).any(|window| window == *words);
        self.doomed_words.take_if(is_said).is_some()
    }
}

fn shut_all(state: &mut State) {
    for socket in state.open.drain().flat_map(|(_, sockets)| sockets) {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn echo_server() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || std::io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
            }
        });
        port
    }

    fn echo(port: u16) -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"ping")?;
        let mut back = [0; 4];
        stream.read_exact(&mut back)?;
        Ok(back)
    }

    #[test]
    fn carries_cuts_and_restores() {
        let proxy = Proxy::start(echo_server()).unwrap();
        assert_eq!(&echo(proxy.port()).unwrap(), b"ping");
        assert_eq!((proxy.bytes_to_target(), proxy.bytes_from_target()), (4, 4));

        let mut held = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        held.write_all(b"x").unwrap();
        assert_eq!(held.read(&mut [0; 1]).unwrap(), 1);
        proxy.cut(Cut::Refuse);
        assert!(matches!(held.read(&mut [0; 1]), Ok(0) | Err(_)), "a cut drops what is connected");
        assert!(echo(proxy.port()).is_err(), "a cut refuses what is new");

        proxy.restore();
        assert_eq!(&echo(proxy.port()).unwrap(), b"ping");
    }
}
