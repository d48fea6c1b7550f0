//! TLS reports (RFC 8460): what came of TLS with the mail servers of other domains, counted, and told to who asks for it.
//!
//! What must hold: only domains with a `_smtp._tls` record are written down, and are told once a day what was seen on the day
//! before. Counting never delays mail. A report is handed to the queue, or taken by the web server that it is for, before its
//! counts are removed: it may come twice after a crash, with the same id, and never not at all while its receiver can be
//! reached within a day. What is counted is bounded; what comes when that is full is not counted.
//!
//! What it costs: nothing while `control.relay_tls.report_from` is empty. Else a new connection costs a look into memory; every
//! minute one TXT record for each domain that was connected to, mostly remembered, and one statement.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::flate2::{Compression, write::GzEncoder};
use mail_auth::mta_sts::{ReportUri, TlsRpt};
use mail_auth::report::tlsrpt::{DateRange, TlsReport};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::mta_sts::Policy;
use super::{Relay, lock};
use crate::control::lease;
use crate::db::Error;
use crate::dns::{Dns, Tlsa};
use crate::mail::Address;
use crate::net::https::{self, Body, Limits};
use crate::net::stop::Stop;
use crate::sql;
use crate::tls::client;
use crate::verify::report::Outgoing;

const ADD_COUNTS: &str = sql!("relay/add_tls_counts");
const DAYS: &str = sql!("relay/tls_days");
const COUNTS: &str = sql!("relay/tls_counts");
const REMOVE_COUNTS: &str = sql!("relay/remove_tls_counts");

/// How often counts are written.
const WRITE: Duration = Duration::from_secs(60);
/// Writes between two looks for days that are over.
const LOOK: u32 = 15;
/// Different rows in memory.
const ROWS: usize = 20_000;
/// Records asked for at one time.
const QUESTIONS: usize = 16;
/// Places that one domain's report goes to.
const PLACES: usize = 5;
/// The longest text about what was wrong, characters.
const REASON: usize = 200;
/// Handing a report in by HTTPS.
const POST: Limits = Limits { time: Duration::from_secs(60), bytes: 64 * 1024 };

/// What came of TLS: a result type (RFC 8460 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// TLS as it is demanded.
    Success,
    /// The server has no STARTTLS.
    NotOffered,
    /// Its certificate is for other names.
    WrongName,
    /// Its certificate is over.
    Expired,
    /// Nobody we trust issued it.
    NotTrusted,
    /// Something else.
    Invalid,
    /// DNSSEC does not vouch for what was to be had from the DNS.
    DnssecInvalid,
    /// The MTA-STS policy can't be fetched.
    NotFetched,
    /// It is none.
    PolicyInvalid,
    /// The certificate of the server that has it is not good.
    WebServer,
}

impl Finding {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotOffered => "starttls-not-supported",
            Self::WrongName => "certificate-host-mismatch",
            Self::Expired => "certificate-expired",
            Self::NotTrusted => "certificate-not-trusted",
            Self::Invalid => "validation-failure",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::NotFetched => "sts-policy-fetch-error",
            Self::PolicyInvalid => "sts-policy-invalid",
            Self::WebServer => "sts-webpki-invalid",
        }
    }
}

/// What is wrong, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) finding: Finding,
    pub(super) why: String,
}

/// What was to be obeyed towards a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Terms {
    /// Nothing.
    None,
    /// These records; none, where they can't be had.
    Tlsa(Vec<Tlsa>),
    /// This policy; none, where it can't be had.
    Sts(Option<Arc<Policy>>),
}

impl Terms {
    fn name(&self) -> &'static str {
        match self {
            Self::None => "no-policy-found",
            Self::Tlsa(_) => "tlsa",
            Self::Sts(_) => "sts",
        }
    }

    /// As reports have it, line by line.
    fn lines(&self) -> Vec<String> {
        match self {
            Self::None | Self::Sts(None) => Vec::new(),
            Self::Tlsa(records) => records.iter().map(Tlsa::to_string).collect(),
            Self::Sts(Some(policy)) => policy.lines(),
        }
    }
}

/// One row of `log.tls_count`, without its number of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Row {
    day: String,
    domain: String,
    policy_type: String,
    policy: String,
    host: String,
    address: String,
    result: String,
    reason: String,
}

/// A row as it is read back.
#[derive(Deserialize)]
struct Counted {
    #[serde(flatten)]
    row: Row,
    sessions: u64,
}

/// What was counted and is not written yet.
#[derive(Default)]
pub(super) struct Reports(Mutex<HashMap<Row, u64>>);

/// Connections to one server, as they are counted.
pub(super) struct About<'a> {
    pub(super) reports: &'a Reports,
    pub(super) domain: &'a str,
    pub(super) host: &'a str,
    pub(super) terms: Terms,
    /// What is wrong whatever comes of the connection.
    pub(super) doubt: Option<Fault>,
}

impl About<'_> {
    /// Takes note of a connection whose TLS is as it should be.
    pub(super) fn good(&self, address: IpAddr) {
        match &self.doubt {
            Some(fault) => self.add(fault.finding, Some(address), &fault.why),
            None => self.add(Finding::Success, Some(address), ""),
        }
    }

    /// Takes note of a connection with something wrong about its TLS.
    pub(super) fn bad(&self, address: IpAddr, fault: &Fault) {
        self.add(fault.finding, Some(address), &fault.why);
    }

    /// Takes note that there was no connection, because of what was to be obeyed.
    pub(super) fn refused(&self, why: &str) {
        let finding = match &self.terms {
            Terms::Tlsa(_) => Finding::DnssecInvalid,
            Terms::None | Terms::Sts(_) => Finding::Invalid,
        };
        self.add(finding, None, why);
    }

    fn add(&self, finding: Finding, address: Option<IpAddr>, why: &str) {
        let row = Row {
            day: today().to_string(),
            domain: self.domain.to_owned(),
            policy_type: self.terms.name().to_owned(),
            policy: self.terms.lines().join("\n"),
            host: self.host.to_owned(),
            address: address.map_or_else(String::new, |address| address.to_canonical().to_string()),
            result: finding.name().to_owned(),
            reason: why.chars().filter(|c| !c.is_control()).take(REASON).collect(),
        };
        self.reports.add(row, 1);
    }
}

impl Reports {
    fn add(&self, row: Row, sessions: u64) {
        let mut counts = lock(&self.0);
        if counts.len() < ROWS || counts.contains_key(&row) {
            *counts.entry(row).or_default() += sessions;
        }
    }
}

fn today() -> Date {
    Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Writes counts and sends reports until told to stop.
pub(super) async fn run(relay: Weak<Relay>, mut stop: Stop) {
    let mut writes = 0;
    loop {
        let Some(relay) = relay.upgrade() else { return };
        if let Err(error) = relay.write_tls_counts().await {
            tracing::warn!(%error, "results for TLS reports could not be written");
        }
        if writes % LOOK == 0
            && let Err(error) = relay.send_tls_reports().await
        {
            tracing::warn!(%error, "TLS reports are put off");
        }
        writes += 1;
        drop(relay);
        tokio::select! {
            _ = stop.wait() => return,
            () = tokio::time::sleep(WRITE) => {}
        }
    }
}

impl Relay {
    /// Writes what was counted to the table, of those domains that want to know.
    pub(super) async fn write_tls_counts(&self) -> Result<(), Error> {
        let counted = std::mem::take(&mut *lock(&self.reports.0));
        if counted.is_empty() {
            return Ok(());
        }
        let wanted = wanting(&self.parts.dns, counted.keys().map(|row| row.domain.clone()).collect()).await;
        let rows = counted.iter().filter(|(row, _)| wanted.contains(&row.domain)).map(|(row, sessions)| {
            let mut value = serde_json::to_value(row).unwrap_or_default();
            if let Value::Object(fields) = &mut value {
                fields.insert("sessions".to_owned(), (*sessions).into());
            }
            value
        });
        let rows: Vec<Value> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.parts.control.db.execute(ADD_COUNTS, &[&Value::Array(rows)]).await {
            if error.is_unavailable() {
                // They are written when the database is there again.
                for (row, sessions) in counted {
                    self.reports.add(row, sessions);
                }
            }
            return Err(error);
        }
        Ok(())
    }

    /// Sends the reports of all days that are over. One node does it at a time.
    async fn send_tls_reports(&self) -> Result<(), Error> {
        let control = &self.parts.control;
        let Some(from) = control.config().relay_tls.report_from.clone() else { return Ok(()) };
        if !lease::take(&control.db, "relay.tls_report", &control.node.name, WRITE * LOOK * 2).await? {
            return Ok(());
        }
        for row in control.db.query(DAYS, &[]).await? {
            let (day, domain): (String, String) = (row.get(0), row.get(1));
            // RFC 8460 §5.5: a day is long enough to try.
            let late = is_old(&day);
            let places = match places(&self.parts.dns, &domain).await {
                Some(places) => places,
                None if late => Vec::new(),
                None => continue,
            };
            if !places.is_empty() {
                let rows = control.db.query(COUNTS, &[&day, &domain]).await?;
                let rows = rows.iter().filter_map(|row| serde_json::from_value(row.get(0)).ok()).collect();
                let report = self.report(&from, &day, &domain, rows);
                if !self.hand_in(&report, &places).await && !late {
                    continue;
                }
                (self.parts.send)(self.letters(&from, &report, &places).await).await?;
            }
            control.db.execute(REMOVE_COUNTS, &[&day, &domain]).await?;
        }
        Ok(())
    }

    fn report(&self, from: &str, day: &str, domain: &str, rows: Vec<Counted>) -> Report {
        let config = self.parts.control.config();
        let host = config.hostname();
        let begins = day.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
        let begins = begins.map_or(0, |begins| begins.timestamp().as_second());
        let ends = begins + 86_399;
        let moment = |second| Timestamp::from_second(second).unwrap_or_default().to_string();
        // The same report has the same id, should it be sent twice.
        let id = format!("{day}.{domain}@{host}");
        let json = json!({
            "organization-name": config.relay_tls.report_organization.as_deref().unwrap_or(host),
            "date-range": { "start-datetime": moment(begins), "end-datetime": moment(ends) },
            "contact-info": from,
            "report-id": id,
            "policies": policies(domain, rows),
        });
        Report {
            domain: domain.to_owned(),
            submitter: host.to_owned(),
            id,
            begins,
            ends,
            bytes: gzip(&json.to_string()),
        }
    }

    /// Hands a report in by HTTPS, where it is wanted so; whether all have taken it.
    async fn hand_in(&self, report: &Report, places: &[ReportUri]) -> bool {
        let config = self.parts.control.config();
        let mut taken = true;
        for place in places {
            let ReportUri::Http(url) = place else { continue };
            let body = Body {
                content_type: "application/tlsrpt+gzip".to_owned(),
                encoding: None,
                bytes: report.bytes.clone(),
            };
            let roots = client::roots(config.relay.extra_roots.as_deref());
            let problem = match https::post(url, body, &self.parts.dns, roots, POST).await {
                Ok(answer) if (200..300).contains(&answer.status) => continue,
                Ok(answer) => format!("the web server answered {}", answer.status),
                Err(error) => error.to_string(),
            };
            tracing::info!(domain = report.domain, url, problem, "a TLS report could not be handed in");
            taken = false;
        }
        taken
    }

    /// A report as mail, signed where the sender's domain has keys (RFC 8460 §3).
    async fn letters(&self, from: &str, report: &Report, places: &[ReportUri]) -> Vec<Outgoing> {
        let mut letters = Vec::new();
        let own = from.rsplit_once('@').map_or("", |(_, domain)| domain);
        for place in places {
            let ReportUri::Mail(recipient) = place else { continue };
            let Ok(recipient) = Address::parse(recipient.as_bytes()).map(|address| address.to_string())
            else {
                continue;
            };
            let mut text = Vec::new();
            if let Err(error) = report.write(from, &recipient, &mut text) {
                tracing::error!(%error, domain = report.domain, "a TLS report could not be written");
                continue;
            }
            let mut message = self.parts.verify.sign_whole(own, &text).await.unwrap_or_default();
            message.extend_from_slice(&text);
            letters.push(Outgoing { recipient, sender: from.to_owned(), message });
        }
        letters
    }
}

/// A report that is ready to be handed in.
struct Report {
    domain: String,
    submitter: String,
    id: String,
    begins: i64,
    ends: i64,
    bytes: Vec<u8>,
}

impl Report {
    /// As mail (RFC 8460 §5.3).
    fn write(&self, from: &str, to: &str, into: &mut Vec<u8>) -> std::io::Result<()> {
        let frame = TlsReport {
            organization_name: None,
            date_range: DateRange::from_timestamps(self.begins, self.ends),
            contact_info: None,
            report_id: self.id.clone(),
            policies: Vec::new(),
        };
        frame.write_rfc5322_from_bytes(
            &self.domain,
            &self.submitter,
            from,
            std::iter::once(to),
            &self.bytes,
            into,
        )
    }
}

/// Those of these domains that want reports. Whoever can't be asked now is asked when the report is made.
async fn wanting(dns: &Dns, domains: HashSet<String>) -> HashSet<String> {
    let asked = stream::iter(domains).map(|domain: String| {
        let dns = dns.clone();
        async move {
            let wants = places(&dns, &domain).await.is_none_or(|places| !places.is_empty());
            wants.then_some(domain)
        }
    });
    asked.buffer_unordered(QUESTIONS).filter_map(std::future::ready).collect().await
}

/// Where a domain wants reports; none when the DNS did not answer.
async fn places(dns: &Dns, domain: &str) -> Option<Vec<ReportUri>> {
    let answer = dns.txt(&format!("_smtp._tls.{domain}")).await.ok()?;
    let mut records = answer.records.iter().filter(|text| text.starts_with("v=TLSRPTv1"));
    // RFC 8460 §3: with several records there is none.
    let (Some(record), None) = (records.next(), records.next()) else { return Some(Vec::new()) };
    let places = TlsRpt::parse(record.as_bytes()).map(|record| record.rua).unwrap_or_default();
    Some(places.into_iter().take(PLACES).collect())
}

/// Whether a day is so long over that its report is not tried again.
fn is_old(day: &str) -> bool {
    day.parse::<Date>().is_ok_and(|day| today().duration_since(day) > jiff::SignedDuration::from_hours(24))
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    encoder.write_all(text.as_bytes()).ok();
    encoder.finish().unwrap_or_default()
}

/// The part of a report that has the numbers (RFC 8460 §4.4).
fn policies(domain: &str, rows: Vec<Counted>) -> Vec<Value> {
    let mut by_policy: BTreeMap<(String, String), Vec<Counted>> = BTreeMap::new();
    for counted in rows {
        let key = (counted.row.policy_type.clone(), counted.row.policy.clone());
        by_policy.entry(key).or_default().push(counted);
    }
    by_policy.into_iter().map(|((kind, policy), rows)| one_policy(domain, &kind, &policy, &rows)).collect()
}

fn one_policy(domain: &str, kind: &str, policy: &str, rows: &[Counted]) -> Value {
    let (good, bad): (Vec<&Counted>, Vec<&Counted>) =
        rows.iter().partition(|counted| counted.row.result == Finding::Success.name());
    let sum = |rows: &[&Counted]| rows.iter().map(|counted| counted.sessions).sum::<u64>();
    let lines: Vec<&str> = policy.lines().collect();
    let names: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("mx: ")).collect();
    let mut terms = json!({ "policy-type": kind, "policy-domain": domain });
    if !lines.is_empty() {
        terms["policy-string"] = json!(lines);
    }
    if !names.is_empty() {
        terms["mx-host"] = json!(names);
    }
    let details: Vec<Value> = bad.iter().map(|counted| detail(counted)).collect();
    let mut value = json!({
        "policy": terms,
        "summary": { "total-successful-session-count": sum(&good), "total-failure-session-count": sum(&bad) },
    });
    if !details.is_empty() {
        value["failure-details"] = json!(details);
    }
    value
}

fn detail(counted: &Counted) -> Value {
    let row = &counted.row;
    let mut detail = json!({
        "result-type": row.result,
        "receiving-mx-hostname": row.host,
        "failed-session-count": counted.sessions,
    });
    for (name, text) in [("receiving-ip", &row.address), ("failure-reason-code", &row.reason)] {
        if !text.is_empty() {
            detail[name] = json!(text);
        }
    }
    detail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(result: &str, policy: &str, sessions: u64) -> Counted {
        let row = Row {
            day: "2026-01-01".to_owned(),
            domain: "far.test".to_owned(),
            policy_type: "sts".to_owned(),
            policy: policy.to_owned(),
            host: "mx.far.test".to_owned(),
            address: "192.0.2.1".to_owned(),
            result: result.to_owned(),
            reason: String::new(),
        };
        Counted { row, sessions }
    }

    #[test]
    fn numbers_are_told_by_policy() {
        let policy = "version: STSv1\nmode: testing\nmx: *.far.test\nmax_age: 86400";
        let rows = vec![
            counted("success", policy, 5),
            counted("certificate-expired", policy, 2),
            counted("certificate-host-mismatch", policy, 1),
            counted("success", "", 7),
        ];
        let told = policies("far.test", rows);
        assert_eq!(told.len(), 2);
        assert_eq!(
            told[0],
            json!({
                "policy": { "policy-type": "sts", "policy-domain": "far.test" },
                "summary": { "total-successful-session-count": 7, "total-failure-session-count": 0 },
            })
        );
        assert_eq!(told[1]["policy"]["mx-host"], json!(["*.far.test"]));
        assert_eq!(
            told[1]["policy"]["policy-string"],
            json!(["version: STSv1", "mode: testing", "mx: *.far.test", "max_age: 86400"])
        );
        assert_eq!(
            told[1]["summary"],
            json!({ "total-successful-session-count": 5, "total-failure-session-count": 3 })
        );
        assert_eq!(
            told[1]["failure-details"][0],
            json!({
                "result-type": "certificate-expired",
                "receiving-mx-hostname": "mx.far.test",
                "receiving-ip": "192.0.2.1",
                "failed-session-count": 2,
            })
        );
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let reports = Reports::default();
        let about =
            About { reports: &reports, domain: "far.test", host: "mx", terms: Terms::None, doubt: None };
        for number in 0..u32::try_from(ROWS).unwrap() + 100 {
            about.good(IpAddr::V4(number.into()));
        }
        assert_eq!(lock(&reports.0).len(), ROWS);
        about.good(IpAddr::V4(7.into()));
        assert_eq!(lock(&reports.0).values().sum::<u64>(), ROWS as u64 + 1);
    }

    #[test]
    fn records_in_words() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0, 171] };
        assert_eq!(Terms::Tlsa(vec![record]).lines(), ["3 1 1 00ab"]);
        assert!(is_old("2001-01-01") && !is_old(&today().to_string()));
    }
}
