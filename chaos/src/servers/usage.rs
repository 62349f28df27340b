//! What a process has used, read from /proc.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// USER_HZ: /proc counts in hundredths of a second on every Linux that matters here.
const NS_PER_TICK: u64 = 10_000_000;

/// CPU time of a process since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// Sum over the threads that are alive, in nanoseconds. Use differences of it over a stretch in which the process
    /// ends no thread; time of ended threads is missing.
    pub live_threads_ns: u64,
    /// User and system time of the whole process, ended threads included, in nanoseconds but only ten milliseconds
    /// exact.
    pub whole_process_ns: u64,
}

impl CpuTime {
    pub(super) fn of(pid: u32) -> Result<Self> {
        Ok(Self { live_threads_ns: live_threads_ns(pid)?, whole_process_ns: whole_process_ns(pid)? })
    }

    /// What was used between `earlier` and this. Takes the exact count unless threads ended meanwhile, which shows as
    /// the two counts disagreeing by more than the coarse one can be wrong.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        let exact = self.live_threads_ns.saturating_sub(earlier.live_threads_ns);
        let coarse = self.whole_process_ns.saturating_sub(earlier.whole_process_ns);
        let tolerated = 2 * NS_PER_TICK + coarse / 20;
        if exact + tolerated < coarse { coarse } else { exact }
    }
}

/// Resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// VmRSS: now.
    pub resident: u64,
    /// VmHWM: the most there ever was.
    pub resident_peak: u64,
}

impl Memory {
    /// Of the process with this id.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        Ok(Self { resident: kibibytes(&status, "VmRSS:")?, resident_peak: kibibytes(&status, "VmHWM:")? })
    }
}

fn live_threads_ns(pid: u32) -> Result<u64> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let mut total = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))? {
        // A thread may end between the listing and the reading; it counts as ended then.
        let Ok(line) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        total += on_cpu_ns(&line)?;
    }
    Ok(total)
}

/// CPU time of one thread since it started, in nanoseconds.
pub fn thread_cpu_ns(pid: u32, thread: i32) -> Result<u64> {
    let path = format!("/proc/{pid}/task/{thread}/schedstat");
    on_cpu_ns(&fs::read_to_string(&path).with_context(|| format!("reading {path}"))?)
}

/// CPU time of the threads of this name since they started, in nanoseconds; there must be one.
pub fn named_thread_cpu_ns(pid: u32, name: &str) -> Result<u64> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let mut total = None;
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {}", tasks.display()))? {
        let path = task?.path();
        // A thread may end between the listing and the reading.
        let Ok(own) = fs::read_to_string(path.join("comm")) else { continue };
        if own.trim_end() == name {
            let line = fs::read_to_string(path.join("schedstat")).context("reading schedstat")?;
            total = Some(total.unwrap_or(0) + on_cpu_ns(&line)?);
        }
    }
    total.with_context(|| format!("process {pid} has no thread called {name}"))
}

/// The first number of a `schedstat` line.
fn on_cpu_ns(schedstat: &str) -> Result<u64> {
    let number = schedstat.split_whitespace().next().context("an empty schedstat")?;
    number.parse().context("schedstat is not a number")
}

fn whole_process_ns(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The second field is the program's name in parentheses and may hold anything; fields are counted behind it.
    let behind_name = stat.rsplit_once(')').context("a stat line without a name")?.1;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("a short stat line")?.parse::<u64>()?) };
    Ok((ticks()? + ticks()?) * NS_PER_TICK)
}

fn kibibytes(status: &str, label: &str) -> Result<u64> {
    let line =
        status.lines().find(|line| line.starts_with(label)).with_context(|| format!("no {label} line"))?;
    let number = line.split_whitespace().nth(1).with_context(|| format!("no number behind {label}"))?;
    Ok(number.parse::<u64>().with_context(|| format!("{label} is not a number"))? * 1024)
}
