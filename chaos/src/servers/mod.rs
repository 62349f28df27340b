//! Real servers as child processes: found, started, waited for, stopped.
//!
//! A [`Server`] lives in a temporary directory of its own, on a port of 127.0.0.1 that was free when it was picked,
//! with its log in a file. It is stopped (SIGTERM, then SIGKILL) and its directory removed when it is dropped, whatever
//! the check that owns it does.

mod binaries;
mod program;
mod running;
mod usage;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

pub use binaries::{Binary, ServerKind, workspace_root};
pub use program::{Program, signal_process};
pub use running::end_all_on_signal;
pub use usage::{CpuTime, Memory, named_thread_cpu_ns, thread_cpu_ns};

use crate::client::Client;

/// Attempts at starting, each with another port: someone may take the port between our picking and its binding.
const START_ATTEMPTS: u32 = 5;
const START_DEADLINE: Duration = Duration::from_secs(30);
/// How long a server may take to shut down by itself before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const LOG_TAIL_BYTES: usize = 4_000;

/// A running server process. Stopped when dropped.
pub struct Server {
    binary: Binary,
    options: Vec<String>,
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Server {
    /// Starts `binary` on a free port with its usual options and `options` behind them (`["--replicaof", "host port"]`),
    /// and waits until it answers PING.
    pub fn start(binary: &Binary, options: &[&str]) -> Result<Self> {
        Self::start_with(binary, options, |_| Ok(()))
    }

    /// As [`Server::start`], with what `prepare` puts into its directory before.
    pub fn start_with(
        binary: &Binary,
        options: &[&str],
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("rejoin-chaos-").tempdir().context("making a directory")?;
        prepare(dir.path())?;
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mut last_error = None;
        for _ in 0..START_ATTEMPTS {
            let port = free_port()?;
            let mut child = spawn(binary, &options, dir.path(), port)?;
            match wait_for_ping(&mut child, port) {
                Ok(()) => return Ok(Self { binary: binary.clone(), options, dir, port, child }),
                Err(error) => {
                    end(&mut child);
                    last_error = Some(error);
                }
            }
        }
        let log = log_tail(dir.path());
        let error = last_error.context("a server is tried at least once")?;
        Err(error.context(format!("{binary} did not start; the end of its log:\n{log}")))
    }

    /// The port it listens on, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its working directory; gone when the server is dropped.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The process id; another one after [`Server::restart`].
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What was started.
    #[must_use]
    pub fn binary(&self) -> &Binary {
        &self.binary
    }

    /// Where its log goes.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join(LOG_NAME)
    }

    /// The last lines of its log, for messages about failures.
    #[must_use]
    pub fn log_tail(&self) -> String {
        log_tail(self.dir.path())
    }

    /// A new connection.
    pub fn client(&self) -> Result<Client> {
        Client::connect(self.port).with_context(|| format!("connecting to {}", self.binary))
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Stops the process in an orderly way (SIGTERM) and starts it again on the same port and directory.
    pub fn restart(&mut self) -> Result<()> {
        end(&mut self.child);
        self.start_again()
    }

    /// Stops the process in an orderly way and leaves its files where they are.
    pub fn stop(&mut self) {
        end(&mut self.child);
    }

    /// Kills the process (SIGKILL), as a crash would, and starts it again on the same port and directory.
    pub fn crash_and_restart(&mut self) -> Result<()> {
        self.child.kill().context("killing the server")?;
        self.child.wait().context("waiting for the killed server")?;
        running::remove(self.pid());
        self.start_again()
    }

    /// Sends the process a signal, such as STOP and CONT.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid_of(&self.child)?, signal).with_context(|| format!("signalling {}", self.binary))
    }

    /// CPU time used by all threads of the process so far.
    pub fn cpu_time(&self) -> Result<CpuTime> {
        CpuTime::of(self.pid())
    }

    /// Nanoseconds of CPU used by the threads that are alive; exact, but blind to threads that ended.
    pub fn cpu_time_ns(&self) -> Result<u64> {
        Ok(self.cpu_time()?.live_threads_ns)
    }

    /// Resident memory now and at its peak.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid())
    }

    fn start_again(&mut self) -> Result<()> {
        self.child = spawn(&self.binary, &self.options, self.dir.path(), self.port)?;
        wait_for_ping(&mut self.child, self.port).with_context(|| {
            format!("{} did not start again; the end of its log:\n{}", self.binary, self.log_tail())
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// A TCP port of 127.0.0.1 that nobody listens on right now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("reading the port")?.port())
}

const LOG_NAME: &str = "server.log";
/// What the process writes to its standard streams before its log file is open: bad options, mostly.
const STREAMS_NAME: &str = "streams.log";

fn spawn(binary: &Binary, options: &[String], dir: &Path, port: u16) -> Result<Child> {
    let streams =
        File::options().create(true).append(true).open(dir.join(STREAMS_NAME)).context("opening a log")?;
    let mut command = Command::new(binary.path());
    command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1"]);
    command.arg("--dir").arg(dir).arg("--logfile").arg(dir.join(LOG_NAME));
    command.args(binary.default_options()).args(options);
    command.stdin(Stdio::null()).stdout(streams.try_clone().context("sharing a log")?).stderr(streams);
    running::spawn(&mut command, dir).with_context(|| format!("running {}", binary.path().display()))
}

fn wait_for_ping(child: &mut Child, port: u16) -> Result<()> {
    let give_up_at = Instant::now() + START_DEADLINE;
    loop {
        if let Some(status) = child.try_wait().context("watching the server")? {
            bail!("it ended at once: {status}");
        }
        // LOADING is an answer too, but not yet the one that checks need.
        let answered = Client::connect(port).and_then(|mut client| client.call(&["PING"]));
        if answered.is_ok_and(|reply| reply.is_simple("PONG")) {
            // Another process may hold the port; ours would be gone by now or about to be.
            return match child.try_wait().context("watching the server")? {
                None => Ok(()),
                Some(status) => bail!("another process answers on port {port}; ours ended: {status}"),
            };
        }
        if Instant::now() > give_up_at {
            bail!("no answer to PING on port {port} within {START_DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn end(child: &mut Child) {
    if let Ok(pid) = pid_of(child) {
        let _ = kill_process(pid, Signal::TERM);
        // A stopped process would not see SIGTERM.
        let _ = kill_process(pid, Signal::CONT);
    }
    let give_up_at = Instant::now() + STOP_DEADLINE;
    while Instant::now() < give_up_at {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(_)) | Err(_) => return running::remove(child.id()),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    running::remove(child.id());
}

fn pid_of(child: &Child) -> Result<Pid> {
    let raw = i32::try_from(child.id()).context("a process id beyond i32")?;
    Pid::from_raw(raw).context("a process id of zero")
}

fn log_tail(dir: &Path) -> String {
    let mut text = String::new();
    for name in [STREAMS_NAME, LOG_NAME] {
        let bytes = std::fs::read(dir.join(name)).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(LOG_TAIL_BYTES)..];
        text.push_str(&String::from_utf8_lossy(tail));
    }
    text
}
