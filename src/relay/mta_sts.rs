//! MTA-STS (RFC 8461): what a domain says, on its web server, about the names and the TLS of its mail servers.
//!
//! What must hold: a policy that was fetched is obeyed until it expires, whatever DNS and web server say meanwhile, unless a
//! newer one has been fetched: whoever can hide the record must not be able to take the protection away (§3.1, §10.2).
//! Fetching follows no redirect, and takes at most a minute and 64 KiB (§3.3). A domain whose policy can't be fetched
//! and that has none kept is one without a policy (§5).
//!
//! What it costs: a new connection, one look into memory; at most once in five minutes and domain one TXT record and one row
//! of `queue.sts_policy`, and once more after that table was changed by hand; a fetch only where the record's id is new or half of
//! the policy's life is over. A fetch that failed is not tried again for five minutes. A policy that still holds is fetched anew
//! beside the mail, which goes on under the one that is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lock;
use super::tls_report::{Fault, Finding};
use crate::control::Control;
use crate::db::Error;
use crate::dns::Dns;
use crate::net::https::{self, Limits};
use crate::sql;
use crate::tls::client;

const FIND: &str = sql!("relay/find_sts_policy");
const KEEP: &str = sql!("relay/keep_sts_policy");

/// How long nothing is asked again about a domain.
const RECENT: Duration = Duration::from_secs(300);
/// Domains remembered.
const REMEMBERED: usize = 10_000;
/// Domains asked about at one time.
const ASKING: usize = 64;
/// RFC 8461 §3.3.
const LIMITS: Limits = Limits { time: Duration::from_secs(60), bytes: 64 * 1024 };
/// The longest life of a policy, seconds (§3.2).
const MAX_AGE: u32 = 31_557_600;
/// Names in a policy that are taken.
const MAX_NAMES: usize = 100;

/// How much a policy demands (§3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Mail waits rather than go elsewhere.
    Enforce,
    /// Mail goes all the same.
    Testing,
    /// The domain has no policy any more.
    None,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }

    fn read(name: &str) -> Option<Self> {
        [Self::Enforce, Self::Testing, Self::None].into_iter().find(|mode| mode.name() == name)
    }
}

/// What a domain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: Mode,
    mx: Vec<String>,
    /// Seconds.
    max_age: u32,
}

impl Policy {
    /// As it is published, a field a line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec!["version: STSv1".to_owned(), format!("mode: {}", self.mode.name())];
        lines.extend(self.mx.iter().map(|name| format!("mx: {name}")));
        lines.push(format!("max_age: {}", self.max_age));
        lines
    }

    /// Whether a mail server may have this name (§4.1).
    pub(super) fn permits(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
            None => host.eq_ignore_ascii_case(pattern),
        })
    }
}

/// What is known of a domain, and since when.
struct Recent {
    at: Instant,
    policy: Option<Arc<Policy>>,
    /// Why there is no policy, though the domain says that it has one.
    fault: Option<Fault>,
}

/// The policies this node knows of.
pub(super) struct Policies {
    recent: Mutex<HashMap<String, Recent>>,
    /// How often it was told to forget.
    forgotten: AtomicU64,
    asking: [tokio::sync::Mutex<()>; ASKING],
}

/// A policy in the table.
struct Kept {
    id: String,
    policy: Policy,
    half_over: bool,
}

impl Policies {
    /// Knows none.
    pub(super) fn new() -> Self {
        Self {
            recent: Mutex::default(),
            forgotten: AtomicU64::new(0),
            asking: std::array::from_fn(|_| tokio::sync::Mutex::default()),
        }
    }

    /// Forgets what is in memory: settings or the table have changed.
    pub(super) fn forget(&self) {
        let mut recent = lock(&self.recent);
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        recent.clear();
    }

    /// The policy that a domain's mail is subject to, if there is one.
    pub(super) async fn find(&self, control: &Arc<Control>, dns: &Dns, domain: &str) -> Option<Arc<Policy>> {
        if let Some(known) = self.known(domain) {
            return known;
        }
        // Many connections to a domain may begin at once: one of them asks.
        let place = usize::from(domain.bytes().fold(0u8, u8::wrapping_add)) % ASKING;
        let _asking = self.asking.get(place)?.lock().await;
        if let Some(known) = self.known(domain) {
            return known;
        }
        let forgotten = self.forgotten.load(Ordering::Relaxed);
        let (policy, fault) = match look(control, dns, domain).await {
            Ok((policy, fault)) => (policy.filter(|policy| policy.mode != Mode::None).map(Arc::new), fault),
            // Whoever keeps the database from us must not take the protection away.
            Err(error) => {
                tracing::debug!(%error, domain, "kept MTA-STS policies can't be read");
                (lock(&self.recent).get(domain).and_then(|recent| recent.policy.clone()), None)
            }
        };
        let mut recent = lock(&self.recent);
        if recent.len() >= REMEMBERED {
            recent.retain(|_, recent| recent.at.elapsed() < RECENT);
        }
        // What was read before a change is not remembered beyond it.
        if recent.len() < REMEMBERED && self.forgotten.load(Ordering::Relaxed) == forgotten {
            recent.insert(domain.to_owned(), Recent { at: Instant::now(), policy: policy.clone(), fault });
        }
        policy
    }

    fn known(&self, domain: &str) -> Option<Option<Arc<Policy>>> {
        let recent = lock(&self.recent);
        recent.get(domain).filter(|recent| recent.at.elapsed() < RECENT).map(|recent| recent.policy.clone())
    }

    /// Why a domain has no policy, though it says that it has one.
    pub(super) fn fault(&self, domain: &str) -> Option<Fault> {
        lock(&self.recent).get(domain).and_then(|recent| recent.fault.clone())
    }
}

async fn look(
    control: &Arc<Control>,
    dns: &Dns,
    domain: &str,
) -> Result<(Option<Policy>, Option<Fault>), Error> {
    let name = format!("_mta-sts.{domain}");
    let (kept, record) = tokio::join!(kept(control, domain), dns.txt(&name));
    let kept = kept?;
    let id = record.ok().and_then(|answer| record_id(&answer.records));
    let (id, kept) = match (id, kept) {
        (None, kept) => return Ok((kept.map(|kept| kept.policy), None)),
        (Some(id), Some(kept)) if kept.id == id => {
            if kept.half_over {
                let (control, dns, domain) = (control.clone(), dns.clone(), domain.to_owned());
                // Bounded by the time of a fetch, and one for a domain in five minutes.
                tokio::spawn(async move { renew(&control, &dns, &domain, &id).await.ok() });
            }
            return Ok((Some(kept.policy), None));
        }
        (Some(id), kept) => (id, kept),
    };
    match renew(control, dns, domain, &id).await {
        Ok(policy) => Ok((Some(policy), None)),
        Err(fault) => match kept {
            Some(kept) => Ok((Some(kept.policy), None)),
            None => Ok((None, Some(fault))),
        },
    }
}

/// Fetches a domain's policy and keeps it.
async fn renew(control: &Control, dns: &Dns, domain: &str, id: &str) -> Result<Policy, Fault> {
    let config = control.config();
    let port = match config.relay_tls.mta_sts_port {
        443 => String::new(),
        other => format!(":{other}"),
    };
    let url = format!("https://mta-sts.{domain}{port}/.well-known/mta-sts.txt");
    let roots = client::roots(config.relay.extra_roots.as_deref());
    match fetch(&url, dns, roots).await {
        Ok(policy) => {
            keep(control, domain, id, &policy).await;
            Ok(policy)
        }
        Err(fault) => {
            tracing::info!(domain, reason = fault.why, "the MTA-STS policy can't be fetched");
            Err(fault)
        }
    }
}

async fn keep(control: &Control, domain: &str, id: &str, policy: &Policy) {
    let (mode, max_age) = (policy.mode.name(), i32::try_from(policy.max_age).unwrap_or(i32::MAX));
    let kept = control.db.execute(KEEP, &[&domain, &id, &mode, &policy.mx, &max_age]).await;
    if let Err(error) = kept {
        tracing::debug!(%error, domain, "an MTA-STS policy could not be kept");
    }
}

async fn kept(control: &Control, domain: &str) -> Result<Option<Kept>, Error> {
    let Some(row) = control.db.query_opt(FIND, &[&domain]).await? else { return Ok(None) };
    let (age, left): (f64, f64) = (row.get(3), row.get(4));
    let Some(mode) = Mode::read(row.get(1)) else { return Ok(None) };
    let policy = Policy { mode, mx: row.get(2), max_age: row.get::<_, i32>(5).unsigned_abs() };
    Ok(Some(Kept { id: row.get(0), policy, half_over: age > left }))
}

async fn fetch(url: &str, dns: &Dns, roots: Arc<rustls::RootCertStore>) -> Result<Policy, Fault> {
    let fault = |finding, why| Fault { finding, why };
    let response = https::get(url, dns, roots, LIMITS).await.map_err(|error| match error {
        https::Failure::Tls { .. } => fault(Finding::WebServer, error.to_string()),
        _ => fault(Finding::NotFetched, error.to_string()),
    })?;
    if response.status != 200 {
        return Err(fault(Finding::NotFetched, format!("the web server answered {}", response.status)));
    }
    if response.media_type != "text/plain" {
        let why = format!("it is of type \"{}\" and not text/plain", response.media_type);
        return Err(fault(Finding::PolicyInvalid, why));
    }
    let invalid = || fault(Finding::PolicyInvalid, "it is no policy of version STSv1".to_owned());
    parse(&response.body).ok_or_else(invalid)
}

/// The id of the one record of a domain (§3.1); with several, or none, there is no policy.
fn record_id(records: &[String]) -> Option<String> {
    let mut found = records
        .iter()
        .filter(|text| text.strip_prefix("v=STSv1").is_some_and(|rest| rest.trim_start().starts_with(';')));
    let (Some(record), None) = (found.next(), found.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim().strip_prefix("id="))?;
    let good = (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| id.to_owned())
}

/// Reads a policy (§3.2). The first of each field counts, names excepted.
fn parse(body: &[u8]) -> Option<Policy> {
    let text = std::str::from_utf8(body).ok()?;
    let fields: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
        .collect();
    let first = |wanted: &str| fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
    if first("version")? != "STSv1" {
        return None;
    }
    let mode = Mode::read(first("mode")?)?;
    let max_age = first("max_age")?.parse::<u64>().ok()?;
    let max_age = u32::try_from(max_age).unwrap_or(MAX_AGE).min(MAX_AGE);
    let names = fields.iter().filter(|(key, value)| *key == "mx" && !value.is_empty());
    let mx: Vec<String> =
        names.take(MAX_NAMES).map(|(_, value)| value.trim_end_matches('.').to_ascii_lowercase()).collect();
    // Without names nobody could deliver anything.
    if mx.is_empty() && mode != Mode::None {
        return None;
    }
    Some(Policy { mode, mx, max_age })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_has_the_id() {
        let id = |records: &[&str]| record_id(&records.iter().map(|r| (*r).to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=a"]).as_deref(), Some("a"));
        for records in [
            &["v=STSv1; id=a;", "v=STSv1; id=b;"][..],
            &["v=STSv12; id=a"],
            &["v=STSv1; id=a-b"],
            &["v=STSv1; id="],
            &["v=STSv1"],
            &[],
        ] {
            assert_eq!(id(records), None, "{records:?}");
        }
    }

    #[test]
    fn policies_are_read_and_permit_names() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.Example.net\r\nmax_age: 604800\r\n";
        let policy = parse(text.as_bytes()).unwrap();
        assert_eq!((policy.mode, policy.max_age), (Mode::Enforce, 604_800));
        assert_eq!(parse(policy.lines().join("\n").as_bytes()), Some(policy.clone()));
        for (host, permitted) in [
            ("mail.example.com", true),
            ("MAIL.example.com", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("example.net", false),
            (".example.net", false),
            ("other.example.com", false),
        ] {
            assert_eq!(policy.permits(host), permitted, "{host}");
        }
        let gone = parse(b"version: STSv1\nmode: none\nmax_age: 99999999999\n").unwrap();
        assert_eq!(gone.mode, Mode::None);
        for bad in [
            "",
            "version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1",
            "version: STSv1\nmode: maybe\nmx: a.test\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1",
            "version: STSv1\nmode: enforce\nmx: a.test",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
