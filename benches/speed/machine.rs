//! What the figures were measured on, and what processes use.

use std::path::Path;

use super::trouble::{Told as _, Trouble};

/// The machine in words, one fact a line.
pub fn describe(work: &Path) -> Vec<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = kib(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:").unwrap_or(0);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    vec![
        format!(
            "Mailwright {}, {}",
            env!("CARGO_PKG_VERSION"),
            jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC")
        ),
        format!("{cores} cores ({}), {} MiB", model.trim_start_matches([' ', '\t', ':']), memory / 1024),
        format!("Linux {}, {} on {}", kernel.trim(), work.display(), filesystem(work)),
        format!(
            "load of the machine before the run: {}",
            load.split(' ').take(3).collect::<Vec<_>>().join(" ")
        ),
    ]
}

/// The type of the file system that a path is on.
fn filesystem(path: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    fields
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.len())
        .map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}

/// Resident memory of a process, bytes.
#[derive(Clone, Copy)]
pub struct Memory {
    /// Now.
    pub now: u64,
    /// The most since it started.
    pub most: u64,
}

/// Resident memory of a process.
pub fn memory(pid: u32) -> Result<Memory, Trouble> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).told(&format!("read {path}"))?;
    let field = |name| {
        kib(&status, name).map(|n| n * 1024).ok_or_else(|| Trouble::broken(format!("{path} lacks {name}")))
    };
    Ok(Memory { now: field("VmRSS:")?, most: field("VmHWM:")? })
}

/// What a process and its children really use, memory that they share counted once.
pub fn shared_memory(parent: u32) -> Result<u64, Trouble> {
    let processes = std::fs::read_dir("/proc").told("read /proc")?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let family = pids.filter(|pid| *pid == parent || parent_of(*pid) == Some(parent));
    // One that has just ended has nothing.
    Ok(family
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .filter_map(|text| kib(&text, "Pss:"))
        .sum::<u64>()
        * 1024)
}

fn parent_of(pid: u32) -> Option<u32> {
    // The name in parentheses may hold anything, spaces included.
    after_name(pid)?.split(' ').nth(1)?.parse().ok()
}

/// Seconds of processor time that a process has used.
pub fn processor_seconds(pid: u32) -> Result<f64, Trouble> {
    let ticks = || -> Option<u64> {
        let stat = after_name(pid)?;
        let mut fields = stat.split(' ').skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    // SAFETY: sysconf reads a constant of the system.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1);
    let ticks = ticks().ok_or_else(|| Trouble::broken(format!("could not read /proc/{pid}/stat")))?;
    Ok(ticks as f64 / per_second as f64)
}

/// The fields of /proc/PID/stat from the state on.
fn after_name(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

/// A value in KiB of one of the files below /proc.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
