//! What the program does to itself as a process: its pid file, and leaving the terminal.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

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
        // Nobody is left to hear of a failure, and a stale pid file does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Starts this program again, out of reach of the terminal: in a process group of its own, with nothing on its
/// standard streams. `arguments` are ours without the program's name.
///
/// redis-server forks instead; a process with threads and `#![deny(unsafe_code)]` does better to begin anew. What is
/// left of the terminal, SIGHUP when it closes, the program ignores.
///
/// # Errors
/// The program cannot be started.
pub(crate) fn start_detached(arguments: &[OsString]) -> io::Result<()> {
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--daemonize", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
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
