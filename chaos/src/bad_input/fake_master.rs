//! A listener that plays a false master: it follows the handshake as far as its script lets it, says what the script
//! says, and closes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::ReplyReader;
use crate::replication;
use crate::servers::Server;
use crate::wait;

/// How long the replica may stay connected after the script is over, before the false master closes.
const LINGER: Duration = Duration::from_millis(300);

/// One false master.
pub(super) struct Script {
    pub(super) name: &'static str,
    pub(super) lines: fn() -> Vec<Said>,
    /// Whether a stock server lives through it with its data.
    pub(super) stock_survives: bool,
}

/// What is answered to one command of the handshake in the place of the right reply; the script ends there.
pub(super) struct Said {
    /// The command, in capitals.
    pub(super) to: &'static str,
    pub(super) bytes: Vec<u8>,
}

/// Makes the server follow the false master until it has been through the script once and come back, which says that it
/// has dealt with it. The caller checks what is left of the server.
pub(super) fn mistreat(script: &Script, server: &Server) -> Result<String> {
    let master = FakeMaster::start(script)?;
    replication::follow(server, master.port)?;
    wait::until("the server to come back to the false master", || {
        Ok(master.played.load(Ordering::Relaxed) >= 1 && master.accepted.load(Ordering::Relaxed) >= 2)
    })?;
    Ok("old data served".to_owned())
}

struct FakeMaster {
    port: u16,
    accepted: Arc<AtomicU64>,
    played: Arc<AtomicU64>,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeMaster {
    fn start(script: &Script) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("binding the false master")?;
        let port = listener.local_addr().context("reading its port")?.port();
        let (accepted, played) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let is_ending = Arc::new(AtomicBool::new(false));
        let lines = script.lines;
        let of_thread = (Arc::clone(&accepted), Arc::clone(&played), Arc::clone(&is_ending));
        let serve = move || {
            let (accepted, played, is_ending) = of_thread;
            for stream in listener.incoming().flatten() {
                if is_ending.load(Ordering::Relaxed) {
                    return;
                }
                accepted.fetch_add(1, Ordering::Relaxed);
                // A replica that hangs up early has had enough; that is an end like any other.
                let _ = play(stream, &lines());
                played.fetch_add(1, Ordering::Relaxed);
            }
        };
        let thread = thread::Builder::new()
            .name("false master".to_owned())
            .spawn(serve)
            .context("starting a thread")?;
        Ok(Self { port, accepted, played, is_ending, thread: Some(thread) })
    }
}

impl Drop for FakeMaster {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Relaxed);
        // Wakes the thread out of accept.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers the handshake until a line of the script says otherwise.
fn play(mut stream: TcpStream, script: &[Said]) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut commands = ReplyReader::default();
    let mut chunk = [0; 4096];
    loop {
        while let Some(command) = commands.next_reply()? {
            let name = command.elements().and_then(|args| args.first()?.text()).unwrap_or_default();
            let name = name.to_ascii_uppercase();
            let scripted = script.iter().find(|said| said.to == name);
            match scripted {
                Some(said) => {
                    stream.write_all(&said.bytes)?;
                    return linger(stream);
                }
                None if name == "PING" => stream.write_all(b"+PONG\r\n")?,
                // SYNC too: a replica that gives up on PSYNC may fall back to it.
                None if name == "SYNC" => return Ok(()),
                None => stream.write_all(b"+OK\r\n")?,
            }
        }
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        commands.feed(&chunk[..count]);
    }
}

/// Gives the replica time to read: closing with unread bytes of its own would take our last words back.
fn linger(mut stream: TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(LINGER))?;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    Ok(())
}
