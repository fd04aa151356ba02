//! What a process has used of the machine, read from `/proc`. Where there is none, everything is zero.

use std::fs;

/// A process's use so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// Processor time, user and system, of all threads.
    pub(super) cpu_seconds: f64,
    /// Memory resident now.
    pub(super) rss_bytes: u64,
    /// The most memory it had resident.
    pub(super) peak_rss_bytes: u64,
}

/// The use of a process, or `None` when it has gone.
pub(super) fn read(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Usage {
        cpu_seconds: cpu_ticks(&stat)? as f64 / ticks_per_second as f64,
        rss_bytes: kilobytes(&status, "VmRSS:").unwrap_or(0) * 1024,
        peak_rss_bytes: kilobytes(&status, "VmHWM:").unwrap_or(0) * 1024,
    })
}

/// Fields 14 and 15 (`utime`, `stime`) of proc_pid_stat(5). The name in field 2 may hold spaces and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kilobytes(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_a_strange_name() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 4 0";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("12 (x"), None);
    }

    #[test]
    fn memory_is_read_from_its_line() {
        let status = "Name:\tx\nVmHWM:\t   40960 kB\nVmRSS:\t   20480 kB\n";
        assert_eq!(
            (kilobytes(status, "VmHWM:"), kilobytes(status, "VmRSS:")),
            (Some(40_960), Some(20_480))
        );
        assert_eq!(kilobytes(status, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory() {
        let usage = read(std::process::id()).unwrap_or_default();
        assert!(usage.rss_bytes > 0 && usage.peak_rss_bytes >= usage.rss_bytes / 2);
    }
}
