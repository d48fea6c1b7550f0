//! The peer: Postfix, which hands the mail to Dovecot by LMTP, as benches/peers/pair sets them up.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::child;
use super::trouble::{Told as _, Trouble, within};

/// Where Postfix takes mail.
pub const SMTP: u16 = 25_825;
const IMAP: u16 = 25_843;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/pair");

/// A running pair; stopped and removed when dropped.
pub struct Pair {
    folder: PathBuf,
    /// Postfix sends all mail on to this port.
    relay: Option<u16>,
}

/// Why the pair cannot run here, if it cannot.
pub fn missing() -> Option<String> {
    if !Path::new(SCRIPT).is_file() {
        return Some(format!("{SCRIPT} is not there"));
    }
    for name in ["postfix", "dovecot"] {
        if child::find(name).is_none() {
            return Some(format!("{name} is not installed (scripts/setup bench installs it)"));
        }
    }
    (!child::is_root()).then(|| "Postfix and Dovecot have to be started as root".to_owned())
}

impl Pair {
    /// Configures and starts it in a folder that is made for it.
    pub async fn start(folder: &Path) -> Result<Self, Trouble> {
        Self::start_with(folder, None).await
    }

    /// The same, but Postfix sends all mail on by SMTP to this port.
    pub async fn relaying(folder: &Path, to: u16) -> Result<Self, Trouble> {
        Self::start_with(folder, Some(to)).await
    }

    async fn start_with(folder: &Path, relay: Option<u16>) -> Result<Self, Trouble> {
        // Dropped, and so cleaned up, should the start fail half-way.
        let pair = Self { folder: folder.to_owned(), relay };
        pair.call("start", &[], Duration::from_secs(90)).await?;
        Ok(pair)
    }

    /// Waits until `count` messages, neither more nor fewer, are in the mailboxes.
    pub async fn drained(&self, count: usize, limit: Duration) -> Result<(), Trouble> {
        let words = [count.to_string(), limit.as_secs().to_string()];
        self.call("wait-drained", &words, limit + Duration::from_secs(60)).await
    }

    /// Waits until `count` messages, neither more nor fewer, have been sent on.
    pub async fn sent(&self, count: usize, limit: Duration) -> Result<(), Trouble> {
        let words = [count.to_string(), limit.as_secs().to_string()];
        self.call("wait-sent", &words, limit + Duration::from_secs(60)).await
    }

    async fn call(&self, verb: &str, words: &[String], limit: Duration) -> Result<(), Trouble> {
        let what = format!("{SCRIPT} {verb}");
        let mut command = child::killed_on_drop(Path::new(SCRIPT));
        // Its standard error is ours: what it says is for the person; and Postfix' children may keep it.
        command.args([OsStr::new(verb), self.folder.as_os_str()]).args(words).stdout(Stdio::null());
        command.env("PEER_SMTP_PORT", SMTP.to_string()).env("PEER_IMAP_PORT", IMAP.to_string());
        if let Some(port) = self.relay {
            command.env("PEER_RELAY_PORT", port.to_string());
        }
        let run = async { command.status().await.told(&format!("run {what}")) };
        let status = within(limit, &what, run).await?;
        match status.success() {
            true => Ok(()),
            false => Err(Trouble::broken(format!("{what} failed ({status})"))),
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        if !self.folder.exists() {
            return;
        }
        let mut clean = Command::new(SCRIPT);
        clean.arg("clean").arg(&self.folder).stdin(Stdio::null()).stdout(Stdio::null());
        match clean.status() {
            Ok(status) if status.success() => {}
            outcome => eprintln!("the pair in {} could not be stopped: {outcome:?}", self.folder.display()),
        }
    }
}
