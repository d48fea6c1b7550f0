//! DMARC aggregate reports that we send (RFC 7489 §7.2, in the format of RFC 9990).
//!
//! Results are counted in memory and written in one statement each minute: a message costs no query. A crash loses what was
//! counted since; a stop does not. Once a day is over, one node makes its reports, sends them to those who have agreed to get them (§7.1) and
//! forgets the counts: in this order, so that a report may come twice (with the same id) but none is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use mail_auth::dmarc::Dmarc;
use mail_auth::report::{
    ActionDisposition, DKIMAuthResult, DmarcResult, PolicyOverride, PolicyOverrideReason, PolicyPublished,
    Record, Report, SPFAuthResult, SPFDomainScope, SpfResult,
};
use mail_auth::{DmarcOutput, ResolverCache, Txt};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Verify;
use super::incoming::{Client, Signature};
use super::spf::SpfResult as Spf;
use crate::control::config::AuthenticationAction as Action;
use crate::control::lease;
use crate::db::Error;
use crate::net::stop::Stop;
use crate::sql;

const ADD_COUNTS: &str = sql!("verify/add_dmarc_counts");
const DAYS: &str = sql!("verify/dmarc_days");
const COUNTS: &str = sql!("verify/dmarc_counts");
const REMOVE_COUNTS: &str = sql!("verify/remove_dmarc_counts");

/// How often counts are written.
const WRITE: Duration = Duration::from_secs(60);
/// Writes between two looks for days that are over.
const LOOK: u32 = 15;
/// Different rows in memory; what comes when they are full is not counted.
const ROWS: usize = 20_000;
/// Signatures of a message that are told.
const SIGNATURES: usize = 3;
/// Addresses that one domain's report goes to.
const ADDRESSES: usize = 5;

/// A report that is ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Whom it is for.
    pub recipient: String,
    /// Its sender, which is also its envelope's.
    pub sender: String,
    /// The message, signed where the sender's domain has keys.
    pub message: Vec<u8>,
}

/// Puts reports into the queue; when it returns they are safe there.
pub type Send =
    Arc<dyn Fn(Vec<Outgoing>) -> BoxFuture<'static, Result<(), Error>> + std::marker::Send + Sync>;

/// What was counted and is not written yet.
#[derive(Default)]
pub(super) struct Counts(Mutex<HashMap<Row, u64>>);

/// One row of `log.dmarc_count`, without its number of messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Row {
    day: String,
    domain: String,
    policy_domain: String,
    rua: Vec<String>,
    policy: Json,
    peer: String,
    disposition: String,
    overridden: bool,
    dkim_aligned: String,
    spf_aligned: String,
    envelope_from: String,
    spf: String,
    dkim: Json,
}

/// A row as it is read back.
#[derive(Deserialize)]
struct Counted {
    #[serde(flatten)]
    row: Row,
    messages: u32,
}

/// A JSON value that can be a key: serde_json's own can't.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Json(Value);

impl std::hash::Hash for Json {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_string().hash(state);
    }
}

/// What is known of a message when it has been judged.
pub(super) struct Judged<'a> {
    pub client: &'a Client<'a>,
    pub from: &'a str,
    pub dmarc: &'a DmarcOutput,
    pub spf: Spf,
    pub signatures: &'a [Signature],
    pub action: Action,
    pub overridden: bool,
}

impl Verify {
    /// Counts a message, if its domain wants reports and we send them.
    pub(super) fn count(&self, judged: &Judged<'_>) {
        let Some(record) = judged.dmarc.dmarc_record().filter(|record| !record.rua().is_empty()) else {
            return;
        };
        if self.control.config().dmarc.report_from.is_none() {
            return;
        }
        let row = self.row(judged, record);
        let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() < ROWS || counts.contains_key(&row) {
            *counts.entry(row).or_default() += 1;
        }
    }

    fn row(&self, judged: &Judged<'_>, record: &Dmarc) -> Row {
        let word = |result: &mail_auth::DmarcResult| {
            if *result == mail_auth::DmarcResult::Pass { "pass" } else { "fail" }.to_owned()
        };
        let policy_domain = self.policy_domain(judged.from);
        let policy = PolicyPublished::from_record(policy_domain.clone(), record);
        let told: Vec<DKIMAuthResult> =
            judged.signatures.iter().filter(|s| !s.domain.is_empty()).take(SIGNATURES).map(told).collect();
        let domain = judged.client.sender.map_or(judged.client.helo, |sender| sender.domain());
        Row {
            day: Timestamp::now().to_zoned(TimeZone::UTC).date().to_string(),
            domain: judged.from.to_owned(),
            policy_domain,
            rua: record.rua().iter().take(ADDRESSES).filter_map(|uri| address(uri.uri())).collect(),
            // Plain data serialises.
            policy: Json(serde_json::to_value(policy).unwrap_or_default()),
            peer: judged.client.peer.to_canonical().to_string(),
            disposition: match judged.action {
                Action::Accept | Action::Mark => "none",
                Action::Junk => "quarantine",
                Action::Reject => "reject",
            }
            .to_owned(),
            overridden: judged.overridden,
            dkim_aligned: word(judged.dmarc.dkim_result()),
            spf_aligned: word(judged.dmarc.spf_result()),
            envelope_from: domain.chars().take(255).collect(),
            spf: judged.spf.word().to_owned(),
            dkim: Json(serde_json::to_value(told).unwrap_or_default()),
        }
    }

    /// The domain whose record was found: the first name from `domain` upwards of which a record is remembered.
    fn policy_domain(&self, domain: &str) -> String {
        let mut name = domain;
        loop {
            let key = format!("_dmarc.{name}.");
            if matches!(self.txt.get(key.as_str()), Some(Txt::Dmarc(_))) {
                return name.to_owned();
            }
            match name.split_once('.') {
                Some((_, above)) => name = above,
                None => return domain.to_owned(),
            }
        }
    }

    /// Writes what was counted to the table.
    pub async fn write_counts(&self) -> Result<(), Error> {
        let counted = std::mem::take(&mut *self.counts.0.lock().unwrap_or_else(PoisonError::into_inner));
        if counted.is_empty() {
            return Ok(());
        }
        let rows = counted.iter().map(|(row, messages)| {
            let mut value = serde_json::to_value(row).unwrap_or_default();
            if let Value::Object(fields) = &mut value {
                fields.insert("messages".to_owned(), (*messages).into());
            }
            value
        });
        let rows = Value::Array(rows.collect());
        if let Err(error) = self.control.db.execute(ADD_COUNTS, &[&rows]).await {
            if error.is_unavailable() {
                // They are written when the database is there again.
                let mut counts = self.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
                for (row, messages) in counted {
                    *counts.entry(row).or_default() += messages;
                }
            }
            return Err(error);
        }
        Ok(())
    }

    /// Writes counts and sends reports until told to stop.
    pub async fn report(self: Arc<Self>, send: Send, mut stop: Stop) {
        let mut writes = 0;
        loop {
            if let Err(error) = self.write_counts().await {
                tracing::warn!(%error, "results for DMARC reports could not be written");
            }
            if writes % LOOK == 0
                && let Err(error) = self.send_reports(&send).await
            {
                tracing::warn!(%error, "DMARC reports are put off");
            }
            writes += 1;
            tokio::select! {
                _ = stop.wait() => return,
                () = tokio::time::sleep(WRITE) => {}
            }
        }
    }

    /// Sends the reports of all days that are over. One node does it at a time.
    pub async fn send_reports(&self, send: &Send) -> Result<usize, Error> {
        let control = &self.control;
        let Some(from) = control.config().dmarc.report_from.clone() else { return Ok(0) };
        if !lease::take(&control.db, "verify.dmarc", &control.node.name, WRITE * LOOK * 2).await? {
            return Ok(0);
        }
        let mut sent = 0;
        for row in control.db.query(DAYS, &[]).await? {
            let (day, domain): (String, String) = (row.get(0), row.get(1));
            let rows = control.db.query(COUNTS, &[&day, &domain]).await?;
            let rows: Vec<Counted> =
                rows.iter().filter_map(|row| serde_json::from_value(row.get(0)).ok()).collect();
            let recipients = match rows.first() {
                Some(first) => self.willing(&domain, &first.row.rua).await,
                None => Some(Vec::new()),
            };
            // The DNS did not answer: another time, but not for ever.
            let Some(recipients) = recipients.or_else(|| is_old(&day).then(Vec::new)) else { continue };
            if !recipients.is_empty() {
                let messages = self.messages(&from, &day, &domain, rows, &recipients).await;
                sent += messages.len();
                send(messages).await?;
            }
            control.db.execute(REMOVE_COUNTS, &[&day, &domain]).await?;
        }
        Ok(sent)
    }

    /// Those addresses that want this domain's reports (RFC 7489 §7.1); none when the DNS did not answer.
    async fn willing(&self, domain: &str, rua: &[String]) -> Option<Vec<String>> {
        let authenticator = self.authenticator();
        let asked = authenticator.verify_dmarc_report_address(domain, rua, Some(&self.txt)).await?;
        Some(asked.into_iter().cloned().collect())
    }

    async fn messages(
        &self,
        from: &str,
        day: &str,
        domain: &str,
        rows: Vec<Counted>,
        recipients: &[String],
    ) -> Vec<Outgoing> {
        let config = self.control.config();
        let host = config.hostname();
        let organization = config.dmarc.organization.as_deref().unwrap_or(host);
        let report = build(organization, from, host, day, domain, rows);
        let mut messages = Vec::new();
        for recipient in recipients {
            let mut text = Vec::new();
            let to = std::iter::once(recipient.as_str());
            if let Err(error) = report.write_rfc5322(host, from, to, &mut text) {
                tracing::error!(%error, domain, "a DMARC report could not be written");
                continue;
            }
            let own = from.rsplit_once('@').map_or("", |(_, domain)| domain);
            let mut message = self.sign_whole(own, &text).await.unwrap_or_default();
            message.extend_from_slice(&text);
            messages.push(Outgoing { recipient: recipient.clone(), sender: from.to_owned(), message });
        }
        messages
    }
}

fn told(signature: &Signature) -> DKIMAuthResult {
    use mail_auth::report::DkimResult;
    let result = match signature.result {
        "pass" => DkimResult::Pass,
        "fail" => DkimResult::Fail,
        "neutral" => DkimResult::Neutral,
        "temperror" => DkimResult::TempError,
        "permerror" => DkimResult::PermError,
        _ => DkimResult::None,
    };
    let (domain, selector) = (cut(&signature.domain), cut(&signature.selector));
    DKIMAuthResult::new().with_domain(domain).with_selector(selector).with_result(result)
}

fn cut(text: &str) -> String {
    text.chars().take(255).collect()
}

/// The address of a `mailto:` of `rua=`; a limit behind `!` has been taken off by the parser.
fn address(uri: &str) -> Option<String> {
    let address = uri.strip_prefix("mailto:").unwrap_or(uri);
    crate::mail::Address::parse(address.as_bytes()).ok().map(|address| address.to_string())
}

/// Whether a day is so long over that its report interests nobody.
fn is_old(day: &str) -> bool {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    day.parse::<Date>().is_ok_and(|day| today.duration_since(day) > jiff::SignedDuration::from_hours(24 * 7))
}

fn build(organization: &str, from: &str, host: &str, day: &str, domain: &str, rows: Vec<Counted>) -> Report {
    let begins = day.parse::<Date>().ok().and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    let begins = begins.map_or(0, |begins| begins.timestamp().as_second().unsigned_abs());
    let mut report = Report::new()
        .with_version(1.0)
        .with_org_name(organization)
        .with_email(from)
        // The same report has the same id, should it be sent twice.
        .with_report_id(format!("{day}.{domain}@{host}"))
        .with_date_range_begin(begins)
        .with_date_range_end(begins + 86_399);
    if let Some(first) = rows.first()
        && let Ok(policy) = serde_json::from_value(first.row.policy.0.clone())
    {
        report = report.with_policy_published(policy);
    }
    for Counted { row, messages } in rows {
        report.add_record(record(row, messages));
    }
    report
}

fn record(row: Row, messages: u32) -> Record {
    let aligned = |word: &str| if word == "pass" { DmarcResult::Pass } else { DmarcResult::Fail };
    let disposition = match row.disposition.as_str() {
        "quarantine" => ActionDisposition::Quarantine,
        "reject" => ActionDisposition::Reject,
        _ => ActionDisposition::None,
    };
    let spf = match row.spf.as_str() {
        "pass" => SpfResult::Pass,
        "fail" => SpfResult::Fail,
        "softfail" => SpfResult::SoftFail,
        "neutral" => SpfResult::Neutral,
        "temperror" => SpfResult::TempError,
        "permerror" => SpfResult::PermError,
        _ => SpfResult::None,
    };
    let spf = SPFAuthResult::new()
        .with_domain(row.envelope_from.clone())
        .with_scope(SPFDomainScope::MailFrom)
        .with_result(spf);
    let mut record = Record::new()
        .with_count(messages)
        .with_action_disposition(disposition)
        .with_dmarc_dkim_result(aligned(&row.dkim_aligned))
        .with_dmarc_spf_result(aligned(&row.spf_aligned))
        .with_header_from(row.domain)
        .with_envelope_from(row.envelope_from)
        .with_spf_auth_result(spf);
    if let Ok(peer) = row.peer.parse() {
        record = record.with_source_ip(peer);
    }
    if row.overridden {
        record = record.with_policy_override_reason(
            PolicyOverrideReason::new(PolicyOverride::TrustedForwarder).with_comment("arc=pass"),
        );
    }
    let told: Vec<DKIMAuthResult> = serde_json::from_value(row.dkim.0).unwrap_or_default();
    told.into_iter().fold(record, Record::with_dkim_auth_result)
}
