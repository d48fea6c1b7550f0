//! The private cluster's `mailwright.conf`, written anew at each start.
//!
//! It is included from `postgresql.conf`; after it comes `local.conf`, which is the person's and never touched, and
//! what `ALTER SYSTEM` sets wins over both. Where the socket is, is decided on the server's command line and can't be
//! changed from a file, for we could not reach the server then.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use super::Error;
use super::error::IoAt as _;
use super::install::RunAs;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// How full-page images in the write-ahead log are compressed. Not every build knows lz4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WalCompression {
    Lz4,
    Pglz,
}

/// Writes `mailwright.conf` into the cluster and makes sure that it is included.
pub(super) fn write(data: &Path, memory: u64, wal: WalCompression, run_as: &RunAs) -> Result<(), Error> {
    replace(&data.join("mailwright.conf"), &render(memory, wal), run_as)?;
    let main = data.join("postgresql.conf");
    let text = std::fs::read_to_string(&main).at("read", &main)?;
    if let Some(text) = with_includes(&text) {
        replace(&main, &text, run_as)?;
    }
    Ok(())
}

/// Replaces a file in one step, so that a crash leaves the old one or the new one.
fn replace(path: &Path, text: &str, run_as: &RunAs) -> Result<(), Error> {
    let new = path.with_extension("conf.new");
    let written = (|| -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        if run_as.switch {
            std::os::unix::fs::fchown(&file, Some(run_as.uid), Some(run_as.gid))?;
        }
        file.sync_all()?;
        std::fs::rename(&new, path)
    })();
    written.at("write", path)
}

/// `postgresql.conf` with our two lines at its end, or `None` if it has them.
fn with_includes(text: &str) -> Option<String> {
    let wanted = ["include = 'mailwright.conf'", "include_if_exists = 'local.conf'"];
    let missing: Vec<&str> =
        wanted.into_iter().filter(|line| text.lines().all(|had| had.trim() != *line)).collect();
    (!missing.is_empty()).then(|| format!("{}\n\n{}\n", text.trim_end(), missing.join("\n")))
}

/// The settings for a machine with `memory` bytes.
///
/// A quarter of the memory for PostgreSQL's own cache is its documentation's advice for a server of its own; more
/// than 8 GiB would be missing for the daemon and the file cache. A mail store's log is mostly full-page images, written
/// once per page after each checkpoint: few checkpoints (15 min, several GiB of log) and compression keep it small.
fn render(memory: u64, wal: WalCompression) -> String {
    let shared = (memory / 4).clamp(128 * MIB, 8 * GIB);
    let cache = (memory / 4 * 3).max(256 * MIB);
    let max_wal = if memory >= 16 * GIB { 8 } else { 4 };
    let wal = match wal {
        WalCompression::Lz4 => "lz4",
        WalCompression::Pglz => "pglz",
    };
    format!(
        "\
# Written by mailwright at each start: changes made here are lost. Put your own settings into local.conf beside
# this file, or use ALTER SYSTEM.
listen_addresses = ''
max_connections = 100
shared_buffers = {}MB
effective_cache_size = {}MB
random_page_cost = 1.1
jit = off
timezone = 'UTC'

wal_level = replica
wal_compression = {wal}
max_wal_size = {max_wal}GB
min_wal_size = 512MB
checkpoint_timeout = 15min
checkpoint_completion_target = 0.9

# One file for each day of the week, each overwritten a week later.
logging_collector = on
log_directory = '../log'
log_filename = 'postgresql-%a.log'
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
log_lock_waits = on
",
        shared / MIB,
        cache / MIB,
    )
}

/// The memory that we may use: the machine's, or the limit of our control group if that is lower. Where neither can
/// be read, 512 MiB, which leads to PostgreSQL's own defaults.
pub(super) fn memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| parse_meminfo(&text));
    let group =
        std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(512 * MIB)
}

/// `MemTotal` in bytes.
fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_or_not_there() {
        for (text, bytes) in [
            ("", None),
            ("MemFree: 5 kB\n", None),
            ("MemTotal: many kB\n", None),
            ("MemTotal: 99999999999999999999 kB\n", None),
            ("MemTotal: 18446744073709551615 kB\n", None),
            ("MemFree: 1 kB\nMemTotal:       24621104 kB\n", Some(24_621_104 * 1024)),
        ] {
            assert_eq!(parse_meminfo(text), bytes, "{text}");
        }
    }

    #[test]
    fn the_cache_grows_with_the_memory_within_bounds() {
        for (memory, shared, wal) in [
            (0, "128MB", "4GB"),
            (GIB, "256MB", "4GB"),
            (16 * GIB, "4096MB", "8GB"),
            (u64::MAX, "8192MB", "8GB"),
        ] {
            let text = render(memory, WalCompression::Pglz);
            assert!(text.contains(&format!("\nshared_buffers = {shared}\n")), "{text}");
            assert!(text.contains(&format!("\nmax_wal_size = {wal}\n")), "{text}");
        }
    }

    #[test]
    fn includes_are_added_once_and_the_person_s_file_comes_last() {
        let text = with_includes("port = 1\n").unwrap();
        assert!(text.ends_with("\ninclude = 'mailwright.conf'\ninclude_if_exists = 'local.conf'\n"));
        assert_eq!(with_includes(&text), None);
        assert!(with_includes("# include = 'mailwright.conf'\n").is_some());
    }
}
