//! The DNS records that a domain needs, and which of them are there; and the task that looks for those of all domains here.
//!
//! Guarantees: names are looked up as the server does, by `control.dns`. A record that is another one than ours may be meant so: it
//! is shown, not judged. One node looks at a time, at a few domains in a row and never at all of them at once; a domain costs some
//! twenty questions to the DNS, every `control.dns.check_hours`, and when somebody wants it. Nothing is asked while the server has no name
//! that others can look up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Notify;

use crate::control::{Control, config, lease};
use crate::db::Error;
use crate::dns::{Answer, Dns, Failure, Srv};
use crate::net::stop::Stop;
use crate::sql;
use crate::tls::certificate::{key_digest, normal};

/// What the records of a domain are made from.
pub const FACTS: &str = sql!("verify/zone_facts");
const DUE: &str = sql!("verify/zone_due");
const KEEP: &str = sql!("verify/zone_keep");

/// How often the task looks when nothing calls it.
const PERIOD: Duration = Duration::from_secs(300);
/// Domains of one look; the others wait for the next, which follows at once.
const AT_ONCE: i64 = 20;
/// How long one domain may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a node that has fallen keeps the others from the work: all domains of a look.
const LEASE: Duration = Duration::from_secs(PATIENCE.as_secs() * AT_ONCE as u64 + 60);
/// Characters kept of what others have published.
const FOUND: usize = 1000;

/// Services that clients find by SRV (RFC 6186, RFC 8314 §5.1): listener's service, mode and TLS, and their name.
const SERVICES: [(&str, &str, &str, &str); 6] = [
    ("smtp", "submission", "implicit", "_submissions"),
    ("smtp", "submission", "starttls", "_submission"),
    ("imap", "standard", "implicit", "_imaps"),
    ("imap", "standard", "starttls", "_imap"),
    ("pop3", "standard", "implicit", "_pop3s"),
    ("pop3", "standard", "starttls", "_pop3"),
];

/// What the records are made from, as [`FACTS`] gives it.
#[derive(Deserialize)]
pub struct Facts {
    /// The server's name.
    pub hostname: Option<String>,
    /// How names are looked up.
    pub dns: config::Dns,
    report_to: Option<String>,
    keys: Vec<Key>,
    listeners: Vec<Listener>,
    certificates: Vec<Certificate>,
}

#[derive(Deserialize)]
struct Key {
    selector: String,
    algorithm: String,
    public_key: String,
}

#[derive(Deserialize)]
struct Listener {
    service: String,
    port: u16,
    tls: String,
    mode: String,
}

#[derive(Deserialize)]
struct Certificate {
    names: Vec<String>,
    chain: String,
}

/// How much a record matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Mail does not work without it.
    Required,
    /// Others may take mail for spam without it.
    Recommended,
    /// It makes something better.
    Optional,
}

impl Need {
    /// As the table calls it.
    fn word(self) -> &'static str {
        match self {
            Need::Required => "required",
            Need::Recommended => "recommended",
            Need::Optional => "optional",
        }
    }
}

/// Whether a record is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is.
    Good,
    /// Nothing is.
    Missing,
    /// There is another one: this.
    Differs(String),
    /// The DNS does not say, and why.
    Unknown(String),
}

impl State {
    /// As the table calls it.
    fn word(&self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Missing => "missing",
            State::Differs(_) => "differs",
            State::Unknown(_) => "unknown",
        }
    }

    fn found(&self) -> Option<&str> {
        match self {
            State::Good | State::Missing => None,
            State::Differs(text) | State::Unknown(text) => {
                Some(text.get(..text.floor_char_boundary(FOUND)).unwrap_or(text))
            }
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Good => f.write_str("ok"),
            State::Missing => f.write_str("missing"),
            State::Differs(found) => write!(f, "differs (found {found})"),
            State::Unknown(why) => write!(f, "not known: {why}"),
        }
    }
}

/// What is to be said of a domain's zone, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// What follows is about this.
    Heading(&'static str),
    /// Something worth knowing.
    Note(String),
    /// The server's name has no address, or the DNS did not say.
    NoAddress(State),
    /// An address of the server, and whether its reverse name leads back.
    Address(IpAddr, State),
    /// A record.
    Record {
        /// Its name, without the last dot.
        name: String,
        /// Its type.
        kind: &'static str,
        /// What should stand there.
        data: String,
        /// How much it matters.
        need: Need,
        /// Whether it does.
        state: State,
    },
}

/// Looks for the records of a domain whose mail is kept by `host`.
pub async fn look(dns: Dns, facts: &Facts, domain: &str, host: &str) -> Vec<Item> {
    let mut zone = Zone { dns, items: Vec::new() };
    zone.host(host).await;
    zone.heading("Where mail for the domain goes");
    let mx =
        zone.dns.mx(domain).await.map(|answer| map(answer, |mx| format!("{} {}.", mx.preference, mx.host)));
    let wanted = |found: &str| found.split_once(' ').is_some_and(|(_, name)| name == format!("{host}."));
    zone.record(domain, "MX", format!("10 {host}."), Need::Required, found(mx, wanted));
    zone.authentication(facts, domain).await;
    zone.transport(facts, domain, host).await;
    zone.clients(facts, domain, host).await;
    zone.items
}

struct Zone {
    dns: Dns,
    items: Vec<Item>,
}

impl Zone {
    async fn host(&mut self, host: &str) {
        self.heading("The server itself");
        match self.dns.addresses(host).await {
            Ok(answer) if answer.records.is_empty() => self.items.push(Item::NoAddress(State::Missing)),
            Ok(answer) => {
                for address in answer.records {
                    let state = found(self.dns.ptr(address).await, |name| name == host);
                    self.items.push(Item::Address(address, state));
                }
            }
            Err(error) => self.items.push(Item::NoAddress(State::Unknown(error.to_string()))),
        }
    }

    async fn authentication(&mut self, facts: &Facts, domain: &str) {
        self.heading("Who may send as the domain");
        let spf = |text: &str| {
            text.starts_with("v=spf1") && text.split(' ').any(|word| word == "mx" || word == "+mx")
        };
        self.txt(domain, "v=spf1 mx -all", "v=spf1", Need::Recommended, spf).await;
        for key in &facts.keys {
            let kind = if key.algorithm == "ed25519-sha256" { "ed25519" } else { "rsa" };
            let data = format!("v=DKIM1; k={kind}; p={}", key.public_key);
            let name = format!("{}._domainkey.{domain}", key.selector);
            let same = |text: &str| {
                let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
                compact.split(';').any(|tag| tag.strip_prefix("p=") == Some(&key.public_key))
            };
            self.txt(&name, &data, "", Need::Recommended, same).await;
        }
        if facts.keys.is_empty() {
            self.note(format!(
                "mail is not signed: make a key with select directory.make_dkim_key('{domain}'), and ask again"
            ));
        }
        let report_to = facts.report_to.clone().unwrap_or_else(|| format!("postmaster@{domain}"));
        let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:{report_to}");
        let there = |text: &str| text.starts_with("v=DMARC1");
        self.txt(&format!("_dmarc.{domain}"), &dmarc, "v=DMARC1", Need::Recommended, there).await;
    }

    async fn transport(&mut self, facts: &Facts, domain: &str, host: &str) {
        self.heading("How mail for the domain is secured on its way");
        let served = |name: &str| {
            let name = normal(name);
            name == host
                || name
                    .strip_prefix("*.")
                    .is_some_and(|parent| host.split_once('.').is_some_and(|(_, p)| p == parent))
        };
        let certificates = &facts.certificates;
        let certificate = certificates
            .iter()
            .find(|one| one.names.iter().any(|name| served(name)))
            .or_else(|| certificates.first());
        if let Some(digest) = certificate.and_then(|one| key_digest(one.chain.as_bytes()).ok()) {
            let data = format!("3 1 1 {digest}");
            let tlsa = self.dns.tlsa(25, host).await.map(|answer| map(answer, |tlsa| tlsa.to_string()));
            self.note("of use only where DNSSEC signs the zone; publish a new one before the certificate's key changes".to_owned());
            let state = found(tlsa, |found| found == data);
            self.record(&format!("_25._tcp.{host}"), "TLSA", data, Need::Optional, state);
        }
        let policy = [
            "version: STSv1".to_owned(),
            "mode: enforce".to_owned(),
            format!("mx: {host}"),
            "max_age: 604800".to_owned(),
        ];
        let id = blake3::hash(policy.join("\n").as_bytes()).to_hex();
        let id: String = id.chars().take(16).collect();
        let name = format!("_mta-sts.{domain}");
        self.note(format!(
            "MTA-STS: publish this text as https://mta-sts.{domain}/.well-known/mta-sts.txt first"
        ));
        for line in &policy {
            self.note(format!("    {line}"));
        }
        let there = |text: &str| text.starts_with("v=STSv1");
        self.txt(&name, &format!("v=STSv1; id={id};"), "v=STSv1", Need::Optional, there).await;
        let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
        let there = |text: &str| text.starts_with("v=TLSRPTv1");
        self.txt(&format!("_smtp._tls.{domain}"), &reports, "v=TLSRPTv1", Need::Optional, there).await;
    }

    async fn clients(&mut self, facts: &Facts, domain: &str, host: &str) {
        self.heading("Where mail programs find their server");
        for (service, mode, tls, label) in SERVICES {
            let is = |l: &&Listener| l.service == service && l.mode == mode && l.tls == tls;
            let port = facts.listeners.iter().find(is).map(|listener| listener.port);
            let data = match port {
                // RFC 6186 §3.4: "." says that there is no such service.
                None => "0 0 0 .".to_owned(),
                Some(port) => format!("0 1 {port} {host}."),
            };
            let name = format!("{label}._tcp.{domain}");
            let srv = self.dns.srv(&name).await.map(|answer| map(answer, written));
            let state = found(srv, |found| found == data);
            self.record(&name, "SRV", data, Need::Optional, state);
        }
    }

    /// A TXT record; among others of the name those that begin with `begins` count.
    async fn txt(&mut self, name: &str, data: &str, begins: &str, need: Need, good: impl Fn(&str) -> bool) {
        let answer = self.dns.txt(name).await.map(|mut answer| {
            answer.records.retain(|text| text.starts_with(begins));
            answer
        });
        self.record(name, "TXT", data.to_owned(), need, found(answer, good));
    }

    fn record(&mut self, name: &str, kind: &'static str, data: String, need: Need, state: State) {
        self.items.push(Item::Record { name: name.to_owned(), kind, data, need, state });
    }

    fn heading(&mut self, text: &'static str) {
        self.items.push(Item::Heading(text));
    }

    fn note(&mut self, text: String) {
        self.items.push(Item::Note(text));
    }
}

/// What to say of an answer: there may be several records, of which one is the right one.
fn found(answer: Result<Answer<String>, Failure>, good: impl Fn(&str) -> bool) -> State {
    match answer {
        Err(error) => State::Unknown(error.to_string()),
        Ok(answer) if answer.records.is_empty() => State::Missing,
        Ok(answer) if answer.records.iter().any(|found| good(found)) => State::Good,
        Ok(answer) => State::Differs(answer.records.join(", ")),
    }
}

fn map<T>(answer: Answer<T>, text: impl Fn(T) -> String) -> Answer<String> {
    let Answer { records, secure, exists } = answer;
    Answer { records: records.into_iter().map(text).collect(), secure, exists }
}

fn written(srv: Srv) -> String {
    format!("{} {} {} {}.", srv.priority, srv.weight, srv.port, srv.host)
}

/// Looks for the records of the domains here.
pub struct Zones {
    control: Arc<Control>,
    changed: Notify,
}

impl Zones {
    /// Ready to work; see [`Zones::keep`].
    pub fn new(control: Arc<Control>) -> Arc<Self> {
        let zones = Arc::new(Self { control: control.clone(), changed: Notify::new() });
        let weak = Arc::downgrade(&zones);
        control.on_change(move || {
            if let Some(zones) = weak.upgrade() {
                zones.changed.notify_one();
            }
        });
        zones
    }

    /// Looks when it is time, and when somebody wants it; runs until told to stop.
    pub async fn keep(self: Arc<Self>, mut stop: Stop) {
        loop {
            let more = tokio::select! {
                _ = stop.wait() => return,
                more = self.check() => more,
            };
            let more = more.unwrap_or_else(|error| {
                match error.is_unavailable() {
                    true => tracing::debug!(%error, "DNS records are looked for later"),
                    false => tracing::error!(%error, "DNS records are looked for later"),
                }
                false
            });
            if more {
                continue;
            }
            tokio::select! {
                _ = stop.wait() => return,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Looks for the records of a few domains that are due; true when there may be more of them.
    async fn check(&self) -> Result<bool, Error> {
        let (control, config) = (&self.control, self.control.config());
        let Some(host) = config.server.hostname.as_deref() else { return Ok(false) };
        let hours = config.dns.check_hours;
        let due = control.db.query(DUE, &[&hours, &AT_ONCE]).await?;
        if due.is_empty() || !lease::take(&control.db, "verify.zones", &control.node.name, LEASE).await? {
            return Ok(false);
        }
        // One that remembers nothing: who has just published a record and looks again wants to see it.
        let dns = Dns::new(&config.dns.settings()).map_err(|error| Error::Fault(error.to_string()))?;
        for row in &due {
            let (id, domain): (i64, String) = (row.get(0), row.get(1));
            let Some(row) = control.db.query_opt(FACTS, &[&domain]).await? else { continue };
            let facts: Facts = serde_json::from_value(row.get(0))
                .map_err(|error| Error::Fault(format!("what {domain} needs cannot be read: {error}")))?;
            let looked = tokio::time::timeout(PATIENCE, look(dns.clone(), &facts, &domain, host)).await;
            let items = looked.unwrap_or_else(|_| {
                let why = format!("the DNS did not answer within {} seconds", PATIENCE.as_secs());
                vec![Item::NoAddress(State::Unknown(why))]
            });
            self.store(id, host, &items).await?;
        }
        Ok(due.len() as i64 == AT_ONCE)
    }

    async fn store(&self, domain: i64, host: &str, items: &[Item]) -> Result<(), Error> {
        let rows: Vec<Row<'_>> = items.iter().filter_map(|item| Row::of(item, host)).collect();
        let place: Vec<i32> = (1..).take(rows.len()).collect();
        let name: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        let kind: Vec<&str> = rows.iter().map(|row| row.kind).collect();
        let data: Vec<&str> = rows.iter().map(|row| row.data).collect();
        let need: Vec<&str> = rows.iter().map(|row| row.need.word()).collect();
        let state: Vec<&str> = rows.iter().map(|row| row.state.word()).collect();
        let found: Vec<Option<&str>> = rows.iter().map(|row| row.state.found()).collect();
        self.control
            .db
            .execute(KEEP, &[&domain, &place, &name, &kind, &data, &need, &state, &found])
            .await
            .map(drop)
    }
}

/// What is kept of an item.
struct Row<'a> {
    name: String,
    kind: &'static str,
    data: &'a str,
    need: Need,
    state: &'a State,
}

impl<'a> Row<'a> {
    fn of(item: &'a Item, host: &'a str) -> Option<Self> {
        Some(match item {
            Item::Heading(_) | Item::Note(_) => return None,
            Item::NoAddress(state) => Row {
                name: host.to_owned(),
                kind: "A",
                data: "the server's address",
                need: Need::Required,
                state,
            },
            Item::Address(address, state) => {
                Row { name: address.to_string(), kind: "PTR", data: host, need: Need::Recommended, state }
            }
            Item::Record { name, kind, data, need, state } => {
                Row { name: name.clone(), kind, data, need: *need, state }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let answer = |records: &[&str]| {
            Ok(Answer {
                records: records.iter().map(|r| (*r).to_owned()).collect(),
                secure: false,
                exists: true,
            })
        };
        assert_eq!(found(answer(&[]), |_| true), State::Missing);
        assert_eq!(found(answer(&["a", "b"]), |found| found == "b"), State::Good);
        assert_eq!(found(answer(&["a"]), |found| found == "b"), State::Differs("a".to_owned()));
        let silent = found(Err(Failure::Temporary("silence".to_owned())), |_| true);
        assert!(silent.to_string().starts_with("not known: silence"), "{silent}");
        assert_eq!(State::Differs("ä".repeat(FOUND)).found().map(str::len), Some(FOUND));
    }
}
