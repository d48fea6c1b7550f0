//! The server's main process: the file in which it says how it is, and whether it lives.
//!
//! The postmaster is a child of the daemon that started it, in a process group of its own, so that Ctrl-C in the
//! terminal reaches the daemon alone, which drains before it stops the database. It outlives a daemon that was
//! killed; the next daemon adopts it by its pid file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Child;

/// How often an adopted process, which can't be waited for, is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// What `postmaster.pid` says. PostgreSQL writes it in steps, so that all but the first line may be missing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    pub pid: u32,
    pub port: Option<u16>,
    pub socket_dir: Option<PathBuf>,
    pub status: Status,
}

/// The last line of `postmaster.pid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Starting or recovering: not to be connected to yet.
    Starting,
    Ready,
    Stopping,
}

impl PidFile {
    /// The file of the cluster `data`; `None` if there is none or it can't be understood (yet).
    pub fn read(data: &Path) -> io::Result<Option<PidFile>> {
        match std::fs::read_to_string(data.join("postmaster.pid")) {
            Ok(text) => Ok(PidFile::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lines: pid, data directory, start time, port, socket directory, listen address, shared memory, status.
    fn parse(text: &str) -> Option<PidFile> {
        let mut lines = text.lines();
        // A negative number is a server in single-user mode, which serves nobody.
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 1)?;
        let port = lines.nth(2).and_then(|line| line.trim().parse().ok());
        let socket_dir = lines.next().filter(|line| line.starts_with('/')).map(PathBuf::from);
        let status = match lines.nth(2).map(str::trim) {
            Some("ready" | "standby") => Status::Ready,
            Some("stopping") => Status::Stopping,
            _ => Status::Starting,
        };
        Some(PidFile { pid, port, socket_dir, status })
    }
}

/// Whether `pid` is the postmaster of the cluster `data` and not a stranger with a number used again: a postmaster's
/// working directory is its cluster. `data` must be canonical.
pub(super) fn is_postmaster(pid: u32, data: &Path) -> bool {
    match std::fs::read_link(format!("/proc/{pid}/cwd")) {
        Ok(cwd) => cwd == data,
        Err(error) if error.kind() == io::ErrorKind::NotFound && Path::new("/proc/self").exists() => false,
        // No /proc here, or we may not look: the pid must do.
        Err(_) => exists(pid),
    }
}

fn exists(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return false };
    // SAFETY: signal 0 sends nothing, it only asks whether the process could be signalled.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// The process, and how we learn of its end.
#[derive(Debug)]
pub(super) enum Postmaster {
    /// None runs.
    Down,
    /// Started by us.
    Child(Child),
    /// Found running.
    Adopted(u32),
}

impl Postmaster {
    pub fn pid(&self) -> Option<u32> {
        match self {
            Postmaster::Down => None,
            Postmaster::Child(child) => child.id(),
            Postmaster::Adopted(pid) => Some(*pid),
        }
    }

    /// Whether the process is over, told without waiting.
    pub fn has_ended(&mut self, data: &Path) -> bool {
        match self {
            Postmaster::Down => true,
            Postmaster::Child(child) => !matches!(child.try_wait(), Ok(None)),
            Postmaster::Adopted(pid) => !is_postmaster(*pid, data),
        }
    }

    /// Resolves when the process is over, with how it ended as far as is known. May be dropped and asked again.
    pub async fn ended(&mut self, data: &Path) -> String {
        match self {
            Postmaster::Down => "not running".to_owned(),
            Postmaster::Child(child) => match child.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Postmaster::Adopted(pid) => {
                while is_postmaster(*pid, data) {
                    tokio::time::sleep(LOOK).await;
                }
                "gone".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pid_file_is_read_at_every_stage() {
        let at = |text: &str| PidFile::parse(text);
        for refused in ["", "\n", "x\n", "-5\n/d\n", "0\n", "1\n", "99999999999\n"] {
            assert_eq!(at(refused), None, "{refused:?}");
        }
        let starting = PidFile { pid: 7, port: None, socket_dir: None, status: Status::Starting };
        assert_eq!(at("7\n"), Some(starting));
        let full = "7\n/d\n1700000000\n5432\n/d/s\n\n  123 4\n";
        let known = |status| PidFile { pid: 7, port: Some(5432), socket_dir: Some("/d/s".into()), status };
        assert_eq!(at(full), Some(known(Status::Starting)));
        assert_eq!(at(&format!("{full}starting\n")), Some(known(Status::Starting)));
        assert_eq!(at(&format!("{full}ready   \n")), Some(known(Status::Ready)));
        assert_eq!(at(&format!("{full}stopping\n")), Some(known(Status::Stopping)));
    }

    #[test]
    fn a_stranger_with_the_same_number_is_no_postmaster() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert!(is_postmaster(std::process::id(), &here));
        assert!(!is_postmaster(std::process::id(), Path::new("/nonexistent")));
        assert!(!is_postmaster(u32::MAX, &here));
    }
}
