//! The settings snapshot: every configuration table in one immutable value, read in one statement.
//!
//! Sessions take the current snapshot at each command, so a change counts from the next command on and never in the
//! middle of one. Fields are named as the columns are, whose comments in the migrations say what they mean.
#![allow(
    missing_docs,
    reason = "each field is a column; its meaning, unit and range stand in the column's COMMENT"
)]

use std::collections::HashMap;
use std::time::Duration;

use serde::Deserialize;

use crate::ip;

/// Everything configured, at one moment.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub generation: i64,
    pub config_generation: i64,
    pub server: Server,
    pub smtp: Smtp,
    pub imap: Imap,
    pub pop3: Pop3,
    pub directory: Directory,
    pub store: Store,
    pub dns: crate::dns::Settings,
    pub services: Vec<ServiceRow>,
    pub listeners: Vec<Listener>,
    pub certificates: Vec<Certificate>,
    ip_lists: Vec<IpListRow>,
    #[serde(skip)]
    lists: HashMap<i64, ip::List>,
}

#[derive(Debug, Deserialize)]
pub struct Server {
    pub hostname: Option<String>,
    pub stop_grace_seconds: u32,
    pub log_level: String,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum NewlinePolicy {
    Refuse,
    Normalise,
}

#[derive(Debug, Deserialize)]
pub struct Smtp {
    pub max_message_bytes: u64,
    pub max_recipients: usize,
    pub max_header_bytes: usize,
    pub max_errors: u32,
    pub max_messages_per_session: u32,
    pub max_received_headers: usize,
    pub bare_newline: NewlinePolicy,
    pub require_tls_for_auth: bool,
    pub allow_null_sender: bool,
    pub command_timeout_seconds: u32,
    pub data_timeout_seconds: u32,
}

#[derive(Debug, Deserialize)]
pub struct Imap {
    pub require_tls_for_login: bool,
    pub idle_timeout_seconds: u32,
    pub login_timeout_seconds: u32,
    pub max_errors: u32,
    pub max_mailboxes: i64,
}

#[derive(Debug, Deserialize)]
pub struct Pop3 {
    pub require_tls_for_login: bool,
    pub idle_timeout_seconds: u32,
    pub login_timeout_seconds: u32,
    pub login_delay_seconds: u32,
    pub max_errors: u32,
}

#[derive(Deserialize)]
pub struct Directory {
    pub subaddress_separator: String,
    pub max_login_failures: i32,
    pub lock_minutes: i32,
    pub max_peer_login_failures: i32,
    pub min_password_length: usize,
    pub unknown_user_secret: String,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Directory(…)")
    }
}

#[derive(Debug, Deserialize)]
pub struct Store {
    pub message_bytes_in_flight: u64,
    pub compress: bool,
    pub expunged_retention_days: i32,
    pub content_grace_hours: i32,
}

#[derive(Debug, Deserialize)]
pub struct ServiceRow {
    pub name: String,
    pub enabled: bool,
    pub ip_list_id: Option<i64>,
    pub max_connections: u32,
    pub max_connections_per_peer: u32,
    pub max_connections_per_account: u32,
}

/// How TLS begins on a listener.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    None,
    Starttls,
    Implicit,
}

/// What an SMTP listener is for.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum ListenerMode {
    Standard,
    Submission,
    Lmtp,
}

#[derive(Debug, Deserialize, Clone, PartialEq, Eq)]
pub struct Listener {
    pub id: i64,
    pub service: String,
    pub address: String,
    pub port: u16,
    pub tls: TlsMode,
    pub mode: ListenerMode,
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
pub struct Certificate {
    pub id: i64,
    pub names: Vec<String>,
    pub chain: String,
    pub key: String,
    pub source: String,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certificate({}, {:?})", self.id, self.names)
    }
}

#[derive(Debug, Deserialize)]
struct IpListRow {
    id: i64,
    mode: String,
    patterns: Vec<String>,
}

/// Why a snapshot could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The JSON is not what this daemon expects.
    #[error("the settings cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A pattern that PostgreSQL let through and the daemon cannot read.
    #[error("{0}")]
    Pattern(String),
}

impl Config {
    /// Reads what `control.snapshot()` returned.
    pub fn parse(snapshot: serde_json::Value) -> Result<Self, Unusable> {
        let mut config: Config = serde_json::from_value(snapshot)?;
        for row in std::mem::take(&mut config.ip_lists) {
            let mut patterns = Vec::with_capacity(row.patterns.len());
            for text in &row.patterns {
                patterns.push(text.parse::<ip::Pattern>().map_err(|e| Unusable::Pattern(e.to_string()))?);
            }
            let mode = if row.mode == "only these" { ip::Mode::OnlyThese } else { ip::Mode::AllExcept };
            config.lists.insert(row.id, ip::List::new(mode, patterns));
        }
        Ok(config)
    }

    /// A service's row; every service has one.
    pub fn service(&self, name: &str) -> Option<&ServiceRow> {
        self.services.iter().find(|s| s.name == name)
    }

    /// Whether connection control lets this peer in.
    pub fn permits(&self, service: &ServiceRow, peer: std::net::IpAddr) -> bool {
        service.ip_list_id.and_then(|id| self.lists.get(&id)).is_none_or(|list| list.permits(peer))
    }

    /// The server's name in greetings and trace headers.
    pub fn hostname(&self) -> &str {
        self.server.hostname.as_deref().unwrap_or_else(|| host_name())
    }

    /// How long a stopping service waits for messages that are just coming in.
    pub fn stop_grace(&self) -> Duration {
        Duration::from_secs(u64::from(self.server.stop_grace_seconds))
    }
}

/// The host's own name, asked once.
fn host_name() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|name| name.trim().to_lowercase())
            .ok()
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "localhost".to_owned())
    })
}
