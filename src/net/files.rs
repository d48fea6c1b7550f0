//! How many files, and so how many connections, this process may have open.

use std::io;

/// Raises the soft limit of open files to the hard one. Gives the limit before and after; call it once at start, before
/// listeners are bound. Common systems start a process with 1,024, which is the end at some thousand sessions.
///
/// # Errors
/// What the system says; the limit is then as it was.
pub fn raise_open_files() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit writes to the struct it is given and keeps no pointer to it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let before = limit.rlim_cur;
    if before < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: setrlimit only reads the struct it is given.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok((before, limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_time_nothing_is_left_to_raise() {
        let (before, after) = raise_open_files().unwrap();
        assert!(before <= after);
        assert_eq!(raise_open_files().unwrap(), (after, after));
    }
}
