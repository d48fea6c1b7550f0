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

use crate::dns;
use crate::ip;
use crate::sasl::Tokens;

pub mod acme;
#[cfg(test)]
mod sample;
pub mod screen;

/// Everything configured, at one moment.
#[derive(Debug, Deserialize)]
pub struct Config {
    pub generation: i64,
    pub config_generation: i64,
    pub server: Server,
    pub log: Log,
    pub smtp: Smtp,
    pub imap: Imap,
    pub imap_capabilities: Vec<HiddenCapability>,
    pub pop3: Pop3,
    pub directory: Directory,
    pub web: Web,
    /// What is kept of the tokens with which monitoring may read numbers: `sha256:` and the hash.
    pub metrics_tokens: Vec<String>,
    pub store: Store,
    pub srs: Srs,
    pub screen: screen::Screen,
    pub acme: acme::Acme,
    pub dns: Dns,
    pub relay: Relay,
    pub relay_tls: RelayTls,
    /// Seconds until the next attempt, after the first, the second, ….
    pub retry: Vec<u32>,
    pub routes: Vec<RouteRow>,
    pub templates: Vec<Template>,
    pub authentication: Authentication,
    pub authentication_policy: Vec<AuthenticationPolicy>,
    pub trusted_sealers: Vec<String>,
    pub dkim: Dkim,
    pub dmarc: Dmarc,
    pub oidc_issuers: Vec<OidcIssuer>,
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

/// Which events are kept: those of this level and graver ones. In order, so that each is a rank.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum EventLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Deserialize)]
pub struct Log {
    pub event_level: EventLevel,
    pub event_days: i32,
    pub trace: bool,
    pub trace_days: i32,
    pub minute_days: i32,
    pub count_days: i32,
}

impl Log {
    /// Settings with which nothing is kept.
    pub fn nothing() -> Self {
        Self {
            event_level: EventLevel::Off,
            event_days: 1,
            trace: false,
            trace_days: 1,
            minute_days: 1,
            count_days: 1,
        }
    }
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
    pub relay_ip_list_id: Option<i64>,
    pub xclient_ip_list_id: Option<i64>,
    pub mail_from_policy: MailFromPolicy,
    pub refuse_unknown_local_senders: bool,
    pub unresolvable_sender: UnresolvablePolicy,
    pub max_hold_seconds: u32,
    pub min_deliver_by_seconds: u32,
    pub max_priority: i8,
    pub vrfy: bool,
    pub expn: bool,
    pub etrn: bool,
}

/// Which senders a user may give in MAIL FROM.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MailFromPolicy {
    Any,
    Own,
}

/// What is done with senders whose domain takes no mail.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum UnresolvablePolicy {
    Accept,
    Defer,
    Refuse,
}

/// An OpenID Connect provider whose tokens log users in.
#[derive(Debug, Deserialize, Clone, PartialEq, Eq)]
pub struct OidcIssuer {
    pub id: i64,
    pub issuer: String,
    pub audience: String,
    pub jwks_url: Option<String>,
    pub username_claim: String,
    pub algorithms: Vec<String>,
    pub roots: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Imap {
    pub require_tls_for_login: bool,
    pub idle_timeout_seconds: u32,
    pub login_timeout_seconds: u32,
    pub max_errors: u32,
    pub max_mailboxes: i64,
    pub progress_seconds: u64,
    pub language: String,
    pub refuse_8bit_headers: bool,
    pub admin_contact: Option<String>,
    pub server_comment: Option<String>,
    pub max_metadata_bytes: usize,
    pub max_metadata_entries: i32,
    #[serde(default)]
    pub submission_accounts: Vec<String>,
}

/// A capability that some IMAP clients are not told of.
#[derive(Debug, Deserialize, Clone, PartialEq, Eq)]
pub struct HiddenCapability {
    pub capability: String,
    pub client: String,
    pub account_id: Option<i64>,
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
pub struct Web {
    pub require_tls: bool,
    pub idle_minutes: i32,
    pub session_hours: i32,
    pub monitor_ip_list_id: Option<i64>,
    pub require_second_factor: SecondFactorRule,
}

/// Who needs a second factor to log in to the pages.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactorRule {
    None,
    /// System administrators.
    System,
    Everybody,
}

#[derive(Debug, Deserialize)]
pub struct Store {
    pub message_bytes_in_flight: u64,
    pub compress: bool,
    pub expunged_retention_days: i32,
    pub content_grace_hours: i32,
    pub cache_bytes: u64,
    pub index_text: bool,
    pub index_text_max_bytes: usize,
}

#[derive(Deserialize)]
pub struct Srs {
    pub enabled: bool,
    pub secret: String,
    pub max_age_days: u16,
    pub any_sender: bool,
}

impl std::fmt::Debug for Srs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Srs(…)")
    }
}

/// Who vouches for the answers of the DNS.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Dnssec {
    Off,
    Trust,
    Validate,
}

#[derive(Debug, Deserialize)]
pub struct Dns {
    servers: Vec<String>,
    dnssec: Dnssec,
    timeout_milliseconds: u32,
    attempts: usize,
    cache_entries: u64,
    pub check_hours: i32,
}

impl Dns {
    /// As the plumbing takes them. A trigger keeps out what is no address.
    pub fn settings(&self) -> dns::Settings {
        let server = |text: &String| {
            let ip = text.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            text.parse().ok().or_else(|| Some(std::net::SocketAddr::new(ip.ok()?, 53)))
        };
        dns::Settings {
            servers: self.servers.iter().filter_map(server).collect(),
            dnssec: match self.dnssec {
                Dnssec::Off => dns::Dnssec::Off,
                Dnssec::Trust => dns::Dnssec::Trust,
                Dnssec::Validate => dns::Dnssec::Validate,
            },
            timeout: Duration::from_millis(u64::from(self.timeout_milliseconds)),
            attempts: self.attempts,
            cache: self.cache_entries,
        }
    }
}

/// Which addresses of another server are tried, and which first.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
pub enum IpPreference {
    #[serde(rename = "ipv6 first")]
    Ipv6First,
    #[serde(rename = "ipv4 first")]
    Ipv4First,
    #[serde(rename = "ipv6 only")]
    Ipv6Only,
    #[serde(rename = "ipv4 only")]
    Ipv4Only,
}

#[derive(Debug, Deserialize)]
pub struct Relay {
    pub enabled: bool,
    pub port: u16,
    pub helo_name: Option<String>,
    pub source_ipv4: Option<std::net::Ipv4Addr>,
    pub source_ipv6: Option<std::net::Ipv6Addr>,
    pub ip_preference: IpPreference,
    pub max_connections: usize,
    pub max_connections_per_destination: usize,
    pub max_messages_per_connection: u32,
    pub max_recipients_per_message: usize,
    pub idle_seconds: u32,
    pub connect_timeout_seconds: u32,
    pub reply_timeout_seconds: u32,
    pub data_timeout_seconds: u32,
    pub end_timeout_seconds: u32,
    pub expire_hours: i64,
    pub bounce_expire_hours: i64,
    pub delay_warning_hours: i64,
    pub max_returned_bytes: u64,
    pub attempt_days: i32,
    pub extra_roots: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct RelayTls {
    pub dane: bool,
    pub mta_sts: bool,
    pub mta_sts_port: u16,
    pub report_from: Option<String>,
    pub report_organization: Option<String>,
}

/// How a route is encrypted.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum RouteTls {
    None,
    Opportunistic,
    Required,
    Verified,
    Implicit,
}

#[derive(Deserialize, Clone, PartialEq, Eq)]
pub struct RouteRow {
    pub id: i64,
    pub pattern: String,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub tls: RouteTls,
    pub username: Option<String>,
    pub password: Option<String>,
    pub helo_name: Option<String>,
    pub source_ipv4: Option<std::net::Ipv4Addr>,
    pub source_ipv6: Option<std::net::Ipv6Addr>,
    pub max_connections: usize,
    pub max_messages_per_minute: u32,
}

impl std::fmt::Debug for RouteRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RouteRow({}, {:?} -> {:?})", self.id, self.pattern, self.host)
    }
}

/// The text of a report.
#[derive(Debug, Deserialize)]
pub struct Template {
    pub name: String,
    /// For senders of this domain; none: for all others.
    pub domain: Option<String>,
    pub subject: String,
    pub body: String,
}

#[derive(Debug, Deserialize)]
pub struct Authentication {
    pub check_incoming: bool,
    pub timeout_seconds: u32,
    pub max_signatures: usize,
    pub received_spf: bool,
    pub seal_forwarded: bool,
}

/// What becomes of mail by what a check has found; the weakest first.
#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum AuthenticationAction {
    Accept,
    Mark,
    Junk,
    Reject,
}

#[derive(Debug, Deserialize)]
pub struct AuthenticationPolicy {
    pub method: String,
    pub result: String,
    pub action: AuthenticationAction,
}

#[derive(Debug, Deserialize)]
pub struct Dkim {
    pub sign: bool,
    pub rsa_bits: usize,
    pub rotate_days: u32,
    pub overlap_days: u32,
}

#[derive(Debug, Deserialize)]
pub struct Dmarc {
    pub report_from: Option<String>,
    pub organization: Option<String>,
    pub receive_at: Option<String>,
    pub keep_days: i32,
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
    pub proxy_ip_list_id: Option<i64>,
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

    /// Whether an address is on an IP list, whatever the list's mode; on no list where there is none.
    pub fn is_listed(&self, list: Option<i64>, peer: std::net::IpAddr) -> bool {
        list.and_then(|id| self.lists.get(&id)).is_some_and(|list| list.contains(peer))
    }

    /// Whether an address may read all that monitoring is told.
    pub fn may_monitor(&self, peer: std::net::IpAddr) -> bool {
        match self.web.monitor_ip_list_id {
            Some(id) => self.lists.get(&id).is_some_and(|list| list.permits(peer)),
            None => peer.is_loopback(),
        }
    }

    /// Whether anybody's access tokens are accepted.
    pub fn tokens(&self) -> Tokens {
        if self.oidc_issuers.is_empty() { Tokens::Refused } else { Tokens::Accepted }
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
