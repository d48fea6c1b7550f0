//! `mailwright dns`: the DNS records that a domain needs, ready to be pasted into its zone, and which of them are there.
//!
//! The lines are those of a zone file (RFC 1035 §5); what was found stands behind each as a comment. Names are looked up as
//! the server does, by `control.dns`; a record that is another one than ours may be meant so, and is shown, not judged.

use clap::Args;
use serde::Deserialize;
use tokio_postgres::Client;

use super::failure::{Failure, told};
use super::table::say;
use crate::control::config;
use crate::dns::{Answer, Dns, Failure as NotFound, Srv};
use crate::mail::domain_to_ascii;
use crate::sql;
use crate::tls::certificate::{key_digest, normal};

const FACTS: &str = sql!("cli/dns_facts");

/// How long others may remember the records, seconds.
const TTL: u32 = 3600;
/// Services that clients find by SRV (RFC 6186, RFC 8314 §5.1): listener's service, mode and TLS, and their name.
const SERVICES: [(&str, &str, &str, &str); 6] = [
    ("smtp", "submission", "implicit", "_submissions"),
    ("smtp", "submission", "starttls", "_submission"),
    ("imap", "standard", "implicit", "_imaps"),
    ("imap", "standard", "starttls", "_imap"),
    ("pop3", "standard", "implicit", "_pop3s"),
    ("pop3", "standard", "starttls", "_pop3"),
];

/// Of which domain.
#[derive(Args)]
pub struct Records {
    /// A domain whose mail is kept here
    domain: String,
}

#[derive(Deserialize)]
struct Facts {
    hostname: Option<String>,
    dns: config::Dns,
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

/// Prints them.
pub async fn run(client: Client, command: Records) -> Result<(), Failure> {
    let domain = domain_to_ascii(command.domain.as_bytes())
        .map_err(|error| told(format!("{}: {error}", command.domain)))?;
    let row = client.query_opt(FACTS, &[&domain]).await?;
    let row = row.ok_or_else(|| {
        told(format!("there is no domain {domain} here: add it with: mailwright domain add {domain}"))
    })?;
    let facts: Facts = serde_json::from_value(row.get(0))
        .map_err(|error| told(format!("the database's answer cannot be read: {error}")))?;
    let Some(host) = facts.hostname.clone() else {
        return Err(told(
            "the server has no name yet that others can look up: \
             mailwright sql -c \"update control.server set hostname = 'mail.example.org'\"",
        ));
    };
    let dns = Dns::new(&facts.dns.settings()).map_err(|error| told(error.to_string()))?;
    let zone = Zone { dns, text: String::new() };
    say(&zone.write(&facts, &domain, &host).await);
    Ok(())
}

struct Zone {
    dns: Dns,
    text: String,
}

impl Zone {
    async fn write(mut self, facts: &Facts, domain: &str, host: &str) -> String {
        self.comment(&format!("DNS records of {domain}, whose mail is kept by {host}"));
        self.host(host).await;
        self.heading("Where mail for the domain goes");
        let mx = self
            .dns
            .mx(domain)
            .await
            .map(|answer| map(answer, |mx| format!("{} {}.", mx.preference, mx.host)));
        let wanted = |found: &str| found.split_once(' ').is_some_and(|(_, name)| name == format!("{host}."));
        self.line(domain, "MX", &format!("10 {host}."), found(mx, wanted));
        self.authentication(facts, domain).await;
        self.transport(facts, domain, host).await;
        self.clients(facts, domain, host).await;
        self.text
    }

    async fn host(&mut self, host: &str) {
        self.heading("The server itself");
        match self.dns.addresses(host).await {
            Ok(answer) if answer.records.is_empty() => {
                self.comment(&format!("missing: {host} needs an A record, an AAAA record, or both"));
            }
            Ok(answer) => {
                for address in answer.records {
                    let kind = if address.is_ipv4() { "A" } else { "AAAA" };
                    let names = self.dns.ptr(address).await;
                    let verdict = found(names, |name| name == host);
                    self.line(host, kind, &address.to_string(), format!("reverse DNS (PTR): {verdict}"));
                }
            }
            Err(error) => self.comment(&format!("not known: {error}")),
        }
    }

    async fn authentication(&mut self, facts: &Facts, domain: &str) {
        self.heading("Who may send as the domain");
        let spf = |text: &str| {
            text.starts_with("v=spf1") && text.split(' ').any(|word| word == "mx" || word == "+mx")
        };
        self.txt(domain, "v=spf1 mx -all", "v=spf1", spf).await;
        for key in &facts.keys {
            let kind = if key.algorithm == "ed25519-sha256" { "ed25519" } else { "rsa" };
            let data = format!("v=DKIM1; k={kind}; p={}", key.public_key);
            let name = format!("{}._domainkey.{domain}", key.selector);
            let same = |text: &str| {
                let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
                compact.split(';').any(|tag| tag.strip_prefix("p=") == Some(&key.public_key))
            };
            self.txt(&name, &data, "", same).await;
        }
        if facts.keys.is_empty() {
            self.comment(&format!(
                "mail is not signed: make a key with select directory.make_dkim_key('{domain}'), and ask again"
            ));
        }
        let report_to = facts.report_to.clone().unwrap_or_else(|| format!("postmaster@{domain}"));
        let dmarc = format!("v=DMARC1; p=quarantine; rua=mailto:{report_to}");
        self.txt(&format!("_dmarc.{domain}"), &dmarc, "v=DMARC1", |text| text.starts_with("v=DMARC1")).await;
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
            let tlsa = self.dns.tlsa(25, host).await.map(|answer| {
                map(answer, |tlsa| {
                    let hex: String = tlsa.data.iter().map(|byte| format!("{byte:02x}")).collect();
                    format!("{} {} {} {hex}", tlsa.usage, tlsa.selector, tlsa.matching)
                })
            });
            self.comment("of use only where DNSSEC signs the zone; publish a new one before the certificate's key changes");
            self.line(&format!("_25._tcp.{host}"), "TLSA", &data, found(tlsa, |found| found == data));
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
        self.comment(&format!(
            "MTA-STS: publish this text as https://mta-sts.{domain}/.well-known/mta-sts.txt first"
        ));
        for line in &policy {
            self.comment(&format!("    {line}"));
        }
        self.txt(&name, &format!("v=STSv1; id={id};"), "v=STSv1", |text| text.starts_with("v=STSv1")).await;
        let reports = format!("v=TLSRPTv1; rua=mailto:postmaster@{domain}");
        let there = |text: &str| text.starts_with("v=TLSRPTv1");
        self.txt(&format!("_smtp._tls.{domain}"), &reports, "v=TLSRPTv1", there).await;
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
            let verdict = found(srv, |found| found == data);
            self.line(&name, "SRV", &data, verdict);
        }
    }

    /// A TXT record; among others of the name those that begin with `begins` count.
    async fn txt(&mut self, name: &str, data: &str, begins: &str, good: impl Fn(&str) -> bool) {
        let answer = self.dns.txt(name).await.map(|mut answer| {
            answer.records.retain(|text| text.starts_with(begins));
            answer
        });
        self.line(name, "TXT", &quoted(data), found(answer, good));
    }

    fn line(&mut self, name: &str, kind: &str, data: &str, verdict: impl AsRef<str>) {
        self.text.push_str(&format!("{name}. {TTL} IN {kind} {data} ; {}\n", one_line(verdict.as_ref())));
    }

    fn heading(&mut self, text: &str) {
        self.text.push('\n');
        self.comment(text);
    }

    fn comment(&mut self, text: &str) {
        self.text.push_str(&format!("; {}\n", one_line(text)));
    }
}

/// What to say of an answer: there may be several records, of which one is the right one.
fn found(answer: Result<Answer<String>, NotFound>, good: impl Fn(&str) -> bool) -> String {
    match answer {
        Err(error) => format!("not known: {error}"),
        Ok(answer) if answer.records.is_empty() => "missing".to_owned(),
        Ok(answer) if answer.records.iter().any(|found| good(found)) => "ok".to_owned(),
        Ok(answer) => format!("differs (found {})", answer.records.join(", ")),
    }
}

fn map<T>(answer: Answer<T>, text: impl Fn(T) -> String) -> Answer<String> {
    let Answer { records, secure, exists } = answer;
    Answer { records: records.into_iter().map(text).collect(), secure, exists }
}

fn written(srv: Srv) -> String {
    format!("{} {} {} {}.", srv.priority, srv.weight, srv.port, srv.host)
}

/// What others have published stays within its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text as strings of at most 255 bytes (RFC 1035 §3.3). Ours are ASCII, without quotes.
fn quoted(data: &str) -> String {
    let pieces = data.as_bytes().chunks(255).map(|piece| format!("\"{}\"", String::from_utf8_lossy(piece)));
    pieces.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(quoted("v=spf1 mx -all"), "\"v=spf1 mx -all\"");
        let long = quoted(&"x".repeat(300));
        assert_eq!(long, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }

    #[test]
    fn answers_are_told_apart() {
        let answer = |records: &[&str]| {
            Ok(Answer {
                records: records.iter().map(|r| (*r).to_owned()).collect(),
                secure: false,
                exists: true,
            })
        };
        assert_eq!(found(answer(&[]), |_| true), "missing");
        assert_eq!(found(answer(&["a", "b"]), |found| found == "b"), "ok");
        assert_eq!(found(answer(&["a"]), |found| found == "b"), "differs (found a)");
        assert!(
            found(Err(NotFound::Temporary("silence".to_owned())), |_| true).starts_with("not known: silence")
        );
    }
}
