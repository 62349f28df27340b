//! What the operating system says of this process, out of `/proc`. Where there is none, the numbers stay zero.

use std::fs;

use rejoin_commands::node::status::ProcessStatus;

/// `/proc` counts CPU time in hundredths of a second, whatever the kernel's own clock (`USER_HZ`).
const TICK_MICROS: u64 = 10_000;

/// Brings `status` up to date. Called on the shard's thread: some tens of microseconds.
pub(crate) fn look(status: &mut ProcessStatus) {
    if status.id == 0 {
        look_once(status);
    }
    let page_bytes = rustix::param::page_size() as u64;
    status.rss_bytes = read("/proc/self/statm")
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok())
        .map_or(status.rss_bytes, |pages| pages * page_bytes);
    if let Some((user, system)) = cpu_micros(&read("/proc/self/stat")) {
        (status.cpu_user_micros, status.cpu_sys_micros) = (user, system);
    }
    if let Some((user, system)) = cpu_micros(&read("/proc/thread-self/stat")) {
        (status.shard_cpu_user_micros, status.shard_cpu_sys_micros) = (user, system);
    }
}

fn look_once(status: &mut ProcessStatus) {
    status.id = std::process::id();
    let name = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    status.os = [part(name.sysname()), part(name.release()), part(name.machine())].join(" ");
    status.machine_bytes = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kibibytes| kibibytes * 1024);
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// User and system time of a `stat` file. The name in its second field may hold anything, so counting begins behind
/// its closing parenthesis.
fn cpu_micros(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    let (user, system) = (fields.next()?.ok()?, fields.next()?.ok()?);
    Some((user * TICK_MICROS, system * TICK_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_times_stand_behind_any_name() {
        let stat = "7 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 33 44 0 0";
        assert_eq!(cpu_micros(stat), Some((330_000, 440_000)));
        assert_eq!(cpu_micros("7 (a"), None);
    }

    #[test]
    fn this_process_is_described() {
        let mut status = ProcessStatus::default();
        look(&mut status);
        assert_eq!(status.id, std::process::id());
        assert!(status.rss_bytes > 1 << 20 && status.machine_bytes > status.rss_bytes, "{status:?}");
        assert!(status.os.starts_with("Linux "), "{status:?}");
    }
}
