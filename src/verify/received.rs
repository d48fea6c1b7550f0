//! DMARC aggregate reports that others send about our domains: read beside their delivery, and kept in `log.dmarc_report`.
//!
//! Anybody may send such mail: a message is looked at up to `LARGEST` bytes, what is packed in it is unpacked up to
//! `UNPACKED`, the first file of an archive alone, and `AT_ONCE` messages are held at a time. A report about a domain that
//! is none of ours is not kept. That a report can't be read is no reason to refuse the mail.

use std::io::Read;
use std::sync::Arc;

use mail_auth::flate2::read::GzDecoder;
use mail_auth::report::{ActionDisposition, Disposition, DmarcResult, Report};
use mail_auth::zip::ZipArchive;
use mail_parser::{MessageParser, MimeHeaders, PartType};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Verify;
use crate::db::Error;
use crate::mail::Address;
use crate::sql;

const INSERT_REPORT: &str = sql!("verify/insert_dmarc_report");
const REMOVE_REPORTS: &str = sql!("verify/remove_dmarc_reports");

/// Bytes of a message that is looked at.
const LARGEST: usize = 2 << 20;
/// Bytes of a report, unpacked.
const UNPACKED: u64 = 20 << 20;
/// Messages held at a time.
const AT_ONCE: usize = 4;
/// Attachments of a message that are looked at.
const PARTS: usize = 5;
/// Rows of a report that are kept.
const ROWS: usize = 20_000;

/// The room for messages that are looked at.
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// A message that may bring a report, as it comes in.
pub struct Copy {
    bytes: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl Copy {
    /// Takes the next bytes. What is too large is let go.
    pub fn push(copy: &mut Option<Copy>, bytes: &[u8]) {
        if copy.as_ref().is_some_and(|copy| copy.bytes.len() + bytes.len() > LARGEST) {
            *copy = None;
        }
        if let Some(copy) = copy {
            copy.bytes.extend_from_slice(bytes);
        }
    }
}

impl Verify {
    /// Begins to copy a message, if it is for the address that takes reports and there is room.
    pub fn copy<'a>(&self, mut recipients: impl Iterator<Item = &'a Address>) -> Option<Copy> {
        let config = self.control.config();
        let wanted: Address = config.dmarc.receive_at.as_deref()?.parse().ok()?;
        if !recipients.any(|recipient| recipient.key() == wanted.key()) {
            return None;
        }
        let room = self.room.0.clone().try_acquire_owned().ok()?;
        Some(Copy { bytes: Vec::new(), _room: room })
    }

    /// Reads a report out of a message and keeps it. Returns whether there was one.
    pub async fn read_report(&self, copy: Copy) -> Result<bool, Error> {
        let Ok(Some(report)) = tokio::task::spawn_blocking(move || read(&copy.bytes)).await else {
            return Ok(false);
        };
        let (head, rows) = as_json(&report);
        let kept = self.control.db.execute(INSERT_REPORT, &[&head, &rows]).await?;
        self.control.db.execute(REMOVE_REPORTS, &[&self.control.config().dmarc.keep_days]).await?;
        tracing::debug!(
            organization = report.org_name(),
            domain = report.domain(),
            rows = kept,
            "a DMARC report"
        );
        Ok(true)
    }
}

/// The report in a message.
fn read(message: &[u8]) -> Option<Report> {
    let message = MessageParser::new().parse(message)?;
    let named = |part: &mail_parser::MessagePart<'_>, word: &str| {
        let subtype = part.content_type().and_then(|t| t.subtype()).unwrap_or_default().to_ascii_lowercase();
        let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
        subtype.contains(word) || name.ends_with(&format!(".{word}"))
    };
    let mut looked_at = 0;
    for part in &message.parts {
        let bytes: &[u8] = match &part.body {
            PartType::Text(text) => text.as_bytes(),
            PartType::Binary(bytes) | PartType::InlineBinary(bytes) => bytes,
            _ => continue,
        };
        let unpacked = if named(part, "gzip") || named(part, "gz") {
            limited(GzDecoder::new(bytes))
        } else if named(part, "zip") {
            ZipArchive::new(std::io::Cursor::new(bytes))
                .ok()
                .and_then(|mut zip| limited(zip.by_index(0).ok()?))
        } else if named(part, "xml") {
            Some(bytes.to_vec())
        } else {
            continue;
        };
        if let Some(report) = unpacked.and_then(|xml| Report::parse_xml(&xml).ok()) {
            return Some(report);
        }
        looked_at += 1;
        if looked_at == PARTS {
            break;
        }
    }
    None
}

/// All of it, or nothing where it is too much.
fn limited(from: impl Read) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(UNPACKED + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= UNPACKED).then_some(bytes)
}

/// The row of a report, and its rows.
fn as_json(report: &Report) -> (Value, Value) {
    let policy = match report.p() {
        Disposition::Quarantine => "quarantine",
        Disposition::Reject => "reject",
        Disposition::None | Disposition::Unspecified => "none",
    };
    let aligned = |result: DmarcResult| if result == DmarcResult::Pass { "pass" } else { "fail" };
    let rows = report.records().iter().take(ROWS).enumerate().map(|(number, record)| {
        let disposition = match record.action_disposition() {
            ActionDisposition::Quarantine => "quarantine",
            ActionDisposition::Reject => "reject",
            ActionDisposition::None | ActionDisposition::Pass | ActionDisposition::Unspecified => "none",
        };
        json!({
            "number": number,
            "peer": record.source_ip().map(|ip| ip.to_string()),
            "messages": record.count(),
            "disposition": disposition,
            "dkim_aligned": aligned(record.dmarc_dkim_result()),
            "spf_aligned": aligned(record.dmarc_spf_result()),
            "header_from": text(record.header_from()),
            "envelope_from": text(record.envelope_from()),
        })
    });
    let rows = Value::Array(rows.collect());
    // Times beyond what PostgreSQL can hold are nobody's days.
    let time = |seconds: u64| seconds.min(4_102_444_800);
    let head = json!({
        "organization": text(report.org_name()),
        "email": text(report.email()),
        "report_id": text(report.report_id()),
        "domain": text(report.domain()).to_ascii_lowercase(),
        "begins": time(report.date_range_begin()),
        "ends": time(report.date_range_end()),
        "policy": policy,
    });
    (head, rows)
}

/// Text that PostgreSQL can keep, and people can bear.
fn text(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(320).collect()
}
