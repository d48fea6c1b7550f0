//! Processes that end with this one.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A command whose process gets `signal` when this one is gone, however it went.
pub fn command(program: &Path, signal: libc::c_int) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory of ours.
    unsafe {
        command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, signal) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    command
}

/// The same, killed when its handle is dropped.
pub fn killed_on_drop(program: &Path) -> tokio::process::Command {
    let mut command = tokio::process::Command::from(command(program, libc::SIGKILL));
    command.kill_on_drop(true);
    command
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: libc::c_int) {
    if let Ok(pid) = libc::pid_t::try_from(pid) {
        // SAFETY: kill touches no memory. The process is a child that was not waited for, so the number is still its own.
        unsafe { libc::kill(pid, signal) };
    }
}

/// Where a program is, looked for as a shell of root would.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Whether we are root.
pub fn is_root() -> bool {
    // SAFETY: geteuid cannot fail and touches no memory.
    unsafe { libc::geteuid() == 0 }
}
