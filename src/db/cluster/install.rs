//! Which PostgreSQL is installed here, and how its programs are run.
//!
//! Every program of the cluster is started through [`RunAs::command`]: never as root, with an empty environment (a
//! stray `PGDATA` or `PGOPTIONS` must not reach the server), in the cluster's own folder, with English messages so
//! that what is quoted in an error can be looked up.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::Error;

/// The oldest major version whose features the schema relies on.
pub(super) const OLDEST: u32 = 15;

/// The programs of one PostgreSQL major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Programs {
    pub major: u32,
    bin: PathBuf,
}

impl Programs {
    /// The newest version here that is new enough; looked for in `bin` alone if that is given.
    pub async fn newest(bin: Option<&Path>) -> Result<Programs, Error> {
        installed(bin).await.into_iter().max_by_key(|found| found.major).ok_or(Error::NotInstalled)
    }

    /// The programs for a cluster that a server of version `major` made: no other version can run it.
    pub async fn of_major(major: u32, bin: Option<&Path>, data: &Path) -> Result<Programs, Error> {
        let found = installed(bin).await;
        let list = found.iter().map(|one| one.major.to_string()).collect::<Vec<_>>().join(", ");
        found.into_iter().find(|one| one.major == major).ok_or_else(|| Error::VersionMissing {
            data: data.to_owned(),
            major,
            found: if list.is_empty() { "none".to_owned() } else { list },
        })
    }

    pub fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }
}

/// Every usable installation, the packages' folders before those in PATH.
async fn installed(bin: Option<&Path>) -> Vec<Programs> {
    let folders = match bin {
        Some(bin) => vec![bin.to_owned()],
        None => [packaged(), in_path(), configured().await].concat(),
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for bin in folders {
        if !seen.insert(bin.clone())
            || !["postgres", "initdb", "pg_ctl"].iter().all(|p| bin.join(p).is_file())
        {
            continue;
        }
        let Some(text) = said(Command::new(bin.join("postgres")).arg("--version")).await else { continue };
        match parse_version(&text) {
            Some(major) if major >= OLDEST && found.iter().all(|one: &Programs| one.major != major) => {
                found.push(Programs { major, bin });
            }
            _ => {}
        }
    }
    found
}

/// Where Debian and Ubuntu, and where the RPM packages of the PostgreSQL project, put one folder per version.
fn packaged() -> Vec<PathBuf> {
    let below = |root: &str, wanted: fn(&str) -> bool| {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        entries
            .filter(move |entry| entry.file_name().to_str().is_some_and(wanted))
            .map(|entry| entry.path().join("bin"))
    };
    below("/usr/lib/postgresql", |name| name.parse::<u32>().is_ok())
        .chain(below("/usr", |name| name.starts_with("pgsql-")))
        .chain([PathBuf::from("/usr/local/pgsql/bin")])
        .collect()
}

fn in_path() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect())
        .unwrap_or_default()
}

async fn configured() -> Vec<PathBuf> {
    let text = said(Command::new("pg_config").arg("--bindir")).await;
    text.map(|text| PathBuf::from(text.trim())).into_iter().collect()
}

/// What a program prints, or nothing if it can't be run or fails.
async fn said(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The major version in a line such as `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or `… 18beta1`.
fn parse_version(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The user as which PostgreSQL's programs run. PostgreSQL refuses to run as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RunAs {
    /// As a person would write it: the name, or the number if it has none.
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Whether we are root and have to become that user.
    pub switch: bool,
}

impl RunAs {
    /// Whoever owns the cluster `data`; for a cluster still to be made, ourselves, or `user` if we are root.
    pub async fn find(data: &Path, user: &str) -> Result<RunAs, Error> {
        // SAFETY: both calls only return a number and cannot fail.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        let owner = std::fs::metadata(data).map(|meta| (meta.uid(), meta.gid())).ok();
        match (uid, owner) {
            (0, Some((0, _))) => {
                Err(Error::WrongOwner { path: data.to_owned(), owner: "root".into(), user: user.into() })
            }
            (0, Some((uid, gid))) => Ok(RunAs { name: name_of(uid).await, uid, gid, switch: true }),
            (0, None) => {
                let (uid, gid) = tokio::join!(id("-u", user), id("-g", user));
                let (Some(uid @ 1..), Some(gid)) = (uid, gid) else { return Err(Error::NoUser(user.into())) };
                Ok(RunAs { name: user.into(), uid, gid, switch: true })
            }
            (_, Some((owner, _))) if owner != uid => {
                let (owner, user) = (name_of(owner).await, name_of(uid).await);
                Err(Error::WrongOwner { path: data.to_owned(), owner, user })
            }
            (_, _) => Ok(RunAs { name: name_of(uid).await, uid, gid, switch: false }),
        }
    }

    /// A command that runs as this user in the folder `within`, which that user must be able to enter.
    pub fn command(&self, program: impl AsRef<OsStr>, within: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null()).current_dir(within);
        for kept in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if self.switch {
            // The standard library drops root's supplementary groups along with the uid.
            command.gid(self.gid).uid(self.uid);
        }
        command
    }
}

/// `id` asks the system's name service, so that users from a directory are found as well as those in /etc/passwd.
async fn id(what: &str, user: &str) -> Option<u32> {
    said(Command::new("id").args([what, "--", user])).await?.trim().parse().ok()
}

async fn name_of(uid: u32) -> String {
    let number = uid.to_string();
    match said(Command::new("id").args(["-u", "-n", "--", &number])).await {
        Some(name) => name.trim().to_owned(),
        None => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_prints() {
        for (text, major) in [
            ("", None),
            ("postgres (PostgreSQL) ", None),
            ("postgres 15.1", None),
            ("postgres (PostgreSQL) 99999999999.1", None),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres (PostgreSQL) 9.6.24\n", Some(9)),
        ] {
            assert_eq!(parse_version(text), major, "{text}");
        }
    }

    #[tokio::test]
    async fn a_folder_without_programs_is_no_installation() {
        let error = Programs::newest(Some(Path::new("/nonexistent"))).await.unwrap_err();
        assert!(matches!(error, Error::NotInstalled));
        let error =
            Programs::of_major(15, Some(Path::new("/nonexistent")), Path::new("/d")).await.unwrap_err();
        assert!(error.to_string().contains("postgresql-15"), "{error}");
    }

    #[tokio::test]
    async fn commands_carry_no_setting_of_ours() {
        let run_as = RunAs { name: "me".into(), uid: 0, gid: 0, switch: false };
        let output = run_as.command("env", Path::new("/")).output().await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
        let allowed = BTreeSet::from(["LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "PWD", "_", "SHLVL"]);
        assert!(names.contains("LC_ALL") && names.is_subset(&allowed), "{names:?}");
    }
}
