//! The peer of IMAP: Dovecot with its defaults, as benches/peers/dovecot sets it up.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child;
use super::trouble::{Told as _, Trouble, within};

/// Where it speaks IMAP.
pub const IMAP: u16 = 25_844;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/dovecot");
const LIMIT: Duration = Duration::from_secs(90);

/// A private Dovecot, running or not; stopped and removed when dropped.
pub struct Dovecot {
    folder: PathBuf,
}

/// Why it cannot run here, if it cannot.
pub fn missing() -> Option<String> {
    if !Path::new(SCRIPT).is_file() {
        return Some(format!("{SCRIPT} is not there"));
    }
    if child::find("dovecot").is_none() {
        return Some("dovecot is not installed (scripts/setup bench installs it)".to_owned());
    }
    (!child::is_root()).then(|| "Dovecot has to be started as root".to_owned())
}

impl Dovecot {
    /// One that keeps everything in a folder of its own, and does not run yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Starts it.
    pub async fn start(&self) -> Result<(), Trouble> {
        self.call(&["start"]).await
    }

    /// Stops it; the mail stays.
    pub async fn stop(&self) -> Result<(), Trouble> {
        self.call(&["stop"]).await
    }

    /// Removes the index cache of a user's INBOX. It must not run.
    pub async fn forget(&self, user: &str) -> Result<(), Trouble> {
        self.call(&["forget", user]).await
    }

    async fn call(&self, words: &[&str]) -> Result<(), Trouble> {
        let what = format!("{SCRIPT} {}", words.join(" "));
        let mut command = child::killed_on_drop(Path::new(SCRIPT));
        let (verb, rest) = words.split_at(1);
        // Its standard error is ours: what it says is for the person.
        command.args(verb).arg(&self.folder).args(rest).stdout(Stdio::null());
        command.env("PEER_IMAP_PORT", IMAP.to_string());
        let run = async { command.status().await.told(&format!("run {what}")) };
        let status = within(LIMIT, &what, run).await?;
        match status.success() {
            true => Ok(()),
            false => Err(Trouble::broken(format!("{what} failed ({status})"))),
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if !self.folder.exists() {
            return;
        }
        let mut clean = Command::new(SCRIPT);
        clean.arg("clean").arg(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        match clean.status() {
            Ok(status) if status.success() => {}
            outcome => eprintln!("Dovecot in {} could not be stopped: {outcome:?}", self.folder.display()),
        }
    }
}
