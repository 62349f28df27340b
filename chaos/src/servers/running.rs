//! The servers that are running, so that a program that is told to end takes them with it: destructors do not run then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Process ids, and the directories that go with them.
static RUNNING: Mutex<BTreeMap<u32, PathBuf>> = Mutex::new(BTreeMap::new());

/// From now on SIGINT, SIGTERM and SIGHUP kill all servers before they end this program. For programs, not libraries.
pub fn end_all_on_signal() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("catching signals")?;
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            // Held until the end: no server is started any more.
            let running = running();
            for (pid, dir) in running.iter() {
                if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                let _ = std::fs::remove_dir_all(dir);
            }
            let _ = emulate_default_handler(signal);
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait).context("starting a thread")?;
    Ok(())
}

/// Starts a process and notes it, with no gap in which a signal could miss it.
pub(super) fn spawn(command: &mut Command, dir: &Path) -> std::io::Result<Child> {
    let mut running = running();
    let child = command.spawn()?;
    running.insert(child.id(), dir.to_path_buf());
    Ok(child)
}

/// Called when the process has been waited for: from then on its id may be another's.
pub(super) fn remove(pid: u32) {
    running().remove(&pid);
}

fn running() -> MutexGuard<'static, BTreeMap<u32, PathBuf>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
