//! What the program does to itself as a process: its pid file, leaving the terminal, and telling who started it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use fork::Fork;
use rustix::process::{Signal, getpid, kill_process};
use sd_notify::NotifyState;
use tracing::{info, warn};

/// A file that holds our pid while we run. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes our pid to `path`, over what stood there.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        fs::write(path, format!("{}\n", std::process::id()))?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        info!("Removing the pid file.");
        // Nobody is left to hear of a failure, and a stale pid file does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Leaves the terminal: a child in a session of its own goes on, with nothing on its standard streams. To be called
/// before any thread is started, for only the calling one goes on in the child. Whether this is the child; the parent
/// has nothing more to do.
///
/// # Errors
/// The system gives no process.
pub(crate) fn detach() -> io::Result<bool> {
    match fork::fork()? {
        Fork::Parent(_) => Ok(false),
        Fork::Child => {
            fork::setsid()?;
            fork::redirect_stdio()?;
            Ok(true)
        }
    }
}

/// Who started us and wants to hear that we are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Supervisor {
    Systemd,
    Upstart,
}

impl Supervisor {
    /// By `supervised`, and what the environment says.
    pub(crate) fn find(supervised: &str) -> Option<Self> {
        let by_upstart = std::env::var_os("UPSTART_JOB").is_some();
        let by_systemd = std::env::var_os("NOTIFY_SOCKET").is_some();
        match supervised {
            "systemd" => Some(Self::Systemd).filter(|_| by_systemd),
            "upstart" => Some(Self::Upstart).filter(|_| by_upstart),
            "auto" if by_upstart => Some(Self::Upstart),
            "auto" if by_systemd => Some(Self::Systemd),
            _ => None,
        }
    }

    /// Tells what we are about to do, once there is a log.
    pub(crate) fn greet(self) {
        match self {
            Self::Systemd => {
                warn!(
                    "supervised by systemd - you MUST set appropriate values for TimeoutStartSec and TimeoutStopSec in \
                     your service unit."
                );
                tell_systemd(&[NotifyState::Status("Rejoin is loading...")]);
            }
            Self::Upstart => {
                warn!("supervised by upstart, will stop to signal readiness.");
                // Upstart continues us.
                let _ = kill_process(getpid(), Signal::STOP);
            }
        }
    }

    /// We serve.
    pub(crate) fn tell_ready(self, is_replica: bool) {
        if self == Self::Systemd {
            let status = if is_replica {
                "Ready to accept connections in read-only mode. Waiting for MASTER <-> REPLICA sync"
            } else {
                "Ready to accept connections"
            };
            tell_systemd(&[NotifyState::Status(status), NotifyState::Ready]);
        }
    }

    /// We end.
    pub(crate) fn tell_stopping(self) {
        if self == Self::Systemd {
            tell_systemd(&[NotifyState::Stopping]);
        }
    }
}

fn tell_systemd(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("systemd cannot be told how we are: {error}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_lives_as_long_as_its_guard() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("rejoin.pid");
        fs::write(&path, "a stale pid, longer than ours").unwrap();
        let guard = PidFile::create(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        drop(guard);
        assert!(!path.exists());
        assert!(PidFile::create(&directory.path().join("none/rejoin.pid")).is_err());
    }
}
