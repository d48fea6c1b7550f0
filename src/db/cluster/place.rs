//! Where the private cluster lives on disk, and who may enter.
//!
//! Below the data directory: `postgres/` (mode 0700, owned by the user that runs PostgreSQL) with `data/` (the
//! cluster itself), `log/` and `start.log`, and, when its path is short enough, the socket. The server trusts
//! whoever reaches that socket, so what must hold is that nobody but this user and root can enter the socket's folder.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::IoAt as _;
use super::install::RunAs;
use super::{Error, PORT};

/// The folders of one cluster, all absolute.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// `<data directory>/postgres`
    pub folder: PathBuf,
    /// The cluster itself, PostgreSQL's own "data directory".
    pub data: PathBuf,
    /// Where the socket is.
    pub socket_dir: PathBuf,
}

/// The path of the cluster below a data directory, whether it exists or not.
pub(super) fn data_below(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres").join("data")
}

impl Place {
    /// Makes what is missing of the folders and sets owner and mode.
    pub async fn prepare(data_dir: &Path, run_as: &RunAs) -> Result<Place, Error> {
        check_passable(data_dir, run_as, data_dir).await?;
        let wanted = data_dir.join("postgres");
        let folder = match wanted.canonicalize() {
            Ok(folder) => folder,
            Err(_) => {
                make_private(&wanted).at("make the folder", &wanted)?;
                wanted.canonicalize().at("look at", &wanted)?
            }
        };
        // The folder may be a link to another disk, behind other parents.
        if let Some(parent) = folder.parent() {
            check_passable(parent, run_as, data_dir).await?;
        }
        own(&folder, run_as)?;
        let socket_dir =
            if fits_a_socket(&folder) { folder.clone() } else { short_socket_dir(&folder, run_as)? };
        Ok(Place { data: folder.join("data"), folder, socket_dir })
    }

    /// The major version of the server that made this cluster, or `None` where no cluster is yet.
    pub fn major(&self) -> Result<Option<u32>, Error> {
        let path = self.data.join("PG_VERSION");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let major = text.trim().parse().map_err(|_| io::Error::other("not a version number"));
                major.map(Some).at("read the version of the cluster in", &path)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).at("read", &path),
        }
    }

    /// What the server prints before its own log is open.
    pub fn start_log(&self) -> PathBuf {
        self.folder.join("start.log")
    }

    /// The last lines that the server wrote since `since`, for an error message.
    pub fn last_words(&self, since: SystemTime) -> String {
        let written = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
        let newest = std::fs::read_dir(self.folder.join("log"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| written(path).is_some_and(|at| at >= since))
            .max_by_key(|path| written(path));
        let mut text = tail(&self.start_log(), 8);
        if let Some(path) = newest {
            text.push_str(&tail(&path, 8));
        }
        text
    }
}

/// The last `lines` lines of a file, of which at most the last 4 KiB are read.
fn tail(path: &Path, lines: usize) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|mut file| {
        let start = file.metadata()?.len().saturating_sub(4096);
        file.seek(SeekFrom::Start(start))?;
        file.take(4096).read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        tracing::debug!(path = %path.display(), %error, "no log to quote");
    }
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| format!("\n    {line}")).collect()
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Mode 0700, and ours or, where we are root, given to the user that runs PostgreSQL.
fn own(folder: &Path, run_as: &RunAs) -> Result<(), Error> {
    let meta = folder.metadata().at("look at", folder)?;
    if run_as.switch && meta.uid() != run_as.uid {
        std::os::unix::fs::chown(folder, Some(run_as.uid), Some(run_as.gid))
            .at("change the owner of", folder)?;
    } else if meta.uid() != run_as.uid {
        let owner = meta.uid().to_string();
        return Err(Error::WrongOwner { path: folder.to_owned(), owner, user: run_as.name.clone() });
    }
    if meta.mode() & 0o777 != 0o700 {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700)).at("change the mode of", folder)?;
    }
    Ok(())
}

/// Says which folder above the cluster the other user can't pass. Asked of the system rather than read from the
/// mode bits, which know nothing of access lists.
async fn check_passable(folder: &Path, run_as: &RunAs, data_dir: &Path) -> Result<(), Error> {
    if !run_as.switch || passes(folder, run_as).await? {
        return Ok(());
    }
    let mut above: Vec<&Path> = folder.ancestors().collect();
    above.reverse();
    for parent in above {
        if !passes(parent, run_as).await? {
            let (parent, data_dir) = (parent.to_owned(), data_dir.to_owned());
            return Err(Error::NotPassable { parent, user: run_as.name.clone(), data_dir });
        }
    }
    Ok(())
}

async fn passes(folder: &Path, run_as: &RunAs) -> Result<bool, Error> {
    let mut test = run_as.command("/bin/sh", Path::new("/"));
    test.args(["-c", r#"test -x "$1""#, "sh"]).arg(folder).kill_on_drop(true);
    test.status().await.map(|status| status.success()).at("run /bin/sh to look at", folder)
}

/// A socket's path is at most 107 bytes (`sun_path` is 108 with its NUL), and PostgreSQL's setting is a list of
/// names parted by commas, in which quotes have a meaning.
fn fits_a_socket(dir: &Path) -> bool {
    let dir = dir.as_os_str().as_bytes();
    let socket = format!("/.s.PGSQL.{PORT}");
    dir.len() + socket.len() <= 107 && !dir.iter().any(|byte| matches!(byte, b',' | b'"'))
}

/// A private folder with a short name that is always the same for the same cluster.
fn short_socket_dir(folder: &Path, run_as: &RunAs) -> Result<PathBuf, Error> {
    let hash = blake3::hash(folder.as_os_str().as_bytes()).to_hex();
    let name: String = "mailwright-".chars().chain(hash.chars().take(16)).collect();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let dir = match runtime.filter(|dir| !run_as.switch && dir.is_absolute() && dir.is_dir()) {
        Some(runtime) if fits_a_socket(&runtime.join(&name)) => runtime.join(name),
        _ if run_as.switch && Path::new("/run").is_dir() => Path::new("/run").join(name),
        _ => Path::new("/tmp").join(name),
    };
    match make_private(&dir) {
        Ok(()) => own(&dir, run_as)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).at("make the socket's folder", &dir),
    }
    // In /tmp anybody may have been first: a link, or a folder that others own or enter, is not used.
    let meta = dir.symlink_metadata().at("look at", &dir)?;
    if !meta.is_dir() || meta.uid() != run_as.uid || meta.mode() & 0o077 != 0 {
        return Err(Error::NotPrivate { path: dir, user: run_as.name.clone() });
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::cluster::tests::Scratch;

    /// Ourselves without a change of user.
    fn me(scratch: &Scratch) -> RunAs {
        let meta = scratch.path().metadata().unwrap();
        RunAs { name: "me".into(), uid: meta.uid(), gid: meta.gid(), switch: false }
    }

    #[test]
    fn a_socket_needs_a_short_plain_path() {
        assert!(!fits_a_socket(Path::new("/a,b")));
        assert!(!fits_a_socket(Path::new("/a\"b")));
        assert!(!fits_a_socket(Path::new(&format!("/{}", "x".repeat(93)))));
        assert!(fits_a_socket(Path::new(&format!("/{}", "x".repeat(92)))));
        assert!(fits_a_socket(Path::new("/var/lib/mail wright/postgres")));
    }

    #[test]
    fn a_long_path_gets_a_private_short_folder_and_a_stranger_s_is_refused() {
        let scratch = Scratch::new("short");
        let long = scratch.path().join("x".repeat(100));
        let run_as = me(&scratch);
        let dir = short_socket_dir(&long, &run_as).unwrap();
        assert!(fits_a_socket(&dir));
        assert_eq!(dir, short_socket_dir(&long, &run_as).unwrap());
        assert_ne!(dir, short_socket_dir(&long.join("y"), &run_as).unwrap());
        std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(short_socket_dir(&long, &run_as), Err(Error::NotPrivate { .. })));
        std::fs::remove_dir(&dir).unwrap();
        std::os::unix::fs::symlink(scratch.path(), &dir).unwrap();
        assert!(matches!(short_socket_dir(&long, &run_as), Err(Error::NotPrivate { .. })));
        std::fs::remove_file(&dir).unwrap();
        std::fs::remove_dir(short_socket_dir(&long.join("y"), &run_as).unwrap()).unwrap();
    }

    #[tokio::test]
    async fn folders_are_made_private() {
        let scratch = Scratch::new("place");
        let place = Place::prepare(scratch.path(), &me(&scratch)).await.unwrap();
        assert_eq!(place.folder.metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(place.major().unwrap(), None);
        std::fs::create_dir(&place.data).unwrap();
        std::fs::write(place.data.join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(place.major().unwrap(), Some(15));
        std::fs::write(place.data.join("PG_VERSION"), "new\n").unwrap();
        assert!(place.major().is_err());
        std::fs::set_permissions(&place.folder, Permissions::from_mode(0o755)).unwrap();
        Place::prepare(scratch.path(), &me(&scratch)).await.unwrap();
        assert_eq!(place.folder.metadata().unwrap().mode() & 0o777, 0o700);
        let other = RunAs { uid: me(&scratch).uid + 1, ..me(&scratch) };
        assert!(matches!(Place::prepare(scratch.path(), &other).await, Err(Error::WrongOwner { .. })));
    }

    #[test]
    fn the_end_of_a_log_is_quoted() {
        let scratch = Scratch::new("tail");
        let path = scratch.path().join("log");
        assert_eq!(tail(&path, 2), "");
        std::fs::write(&path, format!("{}\nb\nc\n", "a".repeat(10_000))).unwrap();
        assert_eq!(tail(&path, 2), "\n    b\n    c");
    }
}
