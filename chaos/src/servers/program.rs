//! A server program run exactly as told: nothing is added to its arguments, and what it prints is kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{Binary, running};

/// How long something that must happen may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    output: PathBuf,
}

impl Program {
    /// Runs `binary` in `dir` with these arguments. What it prints goes to a file there.
    pub fn start<A: AsRef<std::ffi::OsStr>>(binary: &Binary, dir: &Path, args: &[A]) -> Result<Self> {
        Self::start_with(binary, dir, args, &[])
    }

    /// As [`Program::start`], with variables of the environment.
    pub fn start_with<A: AsRef<std::ffi::OsStr>>(
        binary: &Binary,
        dir: &Path,
        args: &[A],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let output = dir.join(format!("{}.out", binary.kind().name().replace(' ', "-")));
        let file = File::create(&output).context("creating a file")?;
        let mut command = Command::new(binary.path());
        command.args(args).current_dir(dir).envs(variables.iter().copied()).stdin(Stdio::null());
        command.stdout(file.try_clone().context("sharing a file")?).stderr(file);
        let child = running::spawn(&mut command, &dir.join("none")).context("running a program")?;
        Ok(Self { child, output })
    }

    /// What it has printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Waits until it has printed `text`.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let give_up_at = Instant::now() + PATIENCE;
        while !self.printed().contains(text) {
            let ended = self.child.try_wait().context("watching a program")?;
            if (ended.is_some() && !self.printed().contains(text)) || Instant::now() > give_up_at {
                bail!("no {text:?} in what it printed (ended: {ended:?}):\n{}", self.printed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        signal_process(self.child.id(), signal)
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let give_up_at = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().context("watching a program")? {
                return Ok(status);
            }
            if Instant::now() > give_up_at {
                bail!("it does not end; it printed:\n{}", self.printed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        running::remove(self.child.id());
    }
}

/// Sends a signal to a process that need not be a child of ours.
pub fn signal_process(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no process id")?;
    kill_process(pid, signal).context("signalling a program")
}
