//! What was found, as header fields: Authentication-Results (RFC 8601) and Received-SPF (RFC 7208 §9.1); and the removal of
//! fields that only pretend to be ours.
//!
//! Every word of these fields comes from outside or may do so: a value is a token, or a quoted string without control
//! characters, and never longer than `VALUE`.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

use super::spf::SpfResult;
use crate::mime::header::{fields, unfold};

/// Characters of a value that are repeated.
const VALUE: usize = 255;

/// One method and what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The method's name: iprev, spf, dkim, dmarc, arc.
    pub method: &'static str,
    /// Its result.
    pub result: &'static str,
    /// Why; empty where that needs no words.
    pub reason: String,
    /// Properties: type and name, value.
    pub properties: Vec<(&'static str, String)>,
}

impl Finding {
    /// A finding without more words.
    pub fn new(method: &'static str, result: &'static str) -> Self {
        Self { method, result, reason: String::new(), properties: Vec::new() }
    }

    /// With a reason.
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// With a property.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.properties.push((name, value.into()));
        self
    }
}

/// The body of Authentication-Results: who says it, and what was found.
pub fn results(host: &str, findings: &[Finding]) -> String {
    let mut out = host.to_owned();
    if findings.is_empty() {
        out.push_str("; none");
    }
    for finding in findings {
        // Writing to memory does not fail.
        write!(out, ";\r\n\t{}={}", finding.method, finding.result).ok();
        if !finding.reason.is_empty() {
            write!(out, " reason={}", quoted(&finding.reason)).ok();
        }
        for (name, value) in &finding.properties {
            write!(out, "\r\n\t {name}={}", pvalue(value)).ok();
        }
    }
    out
}

/// Writes Received-SPF for the sender that was checked.
pub fn received_spf(
    result: SpfResult,
    host: &str,
    peer: IpAddr,
    sender: &str,
    helo: &str,
    out: &mut Vec<u8>,
) {
    let word = result.word();
    let words = match result {
        SpfResult::Pass => "the domain permits this client",
        SpfResult::Fail => "the domain does not permit this client",
        SpfResult::SoftFail => "the domain probably does not permit this client",
        SpfResult::Neutral => "the domain says nothing of this client",
        SpfResult::None => "there is no record",
        SpfResult::TempError => "the DNS did not answer",
        SpfResult::PermError => "the record cannot be used",
    };
    let field = format!(
        "Received-SPF: {word} ({host}: {words})\r\n\treceiver={host}; client-ip={peer};\r\n\tenvelope-from={};\r\n\thelo={};\r\n",
        quoted(sender),
        pvalue(helo)
    );
    out.extend_from_slice(field.as_bytes());
}

/// A value: as it is where a token can be, else quoted. An address in a domain's name goes without quotes (RFC 8601 §2.2).
fn pvalue(value: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`{|}~@/".contains(c);
    if !value.is_empty() && value.len() <= VALUE && value.chars().all(plain) {
        return Cow::Borrowed(value);
    }
    Cow::Owned(quoted(value))
}

fn quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars().take(VALUE) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push('?'),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The field that says of what is ours.
pub const MARK: &str = "X-Mailwright-Auth";

/// Takes out what only we may say (RFC 8601 §5): Authentication-Results in our name, and our mark.
pub fn without_forged<'a>(message: &'a [u8], host: &str) -> Cow<'a, [u8]> {
    let mut walked = 0;
    let mut kept: Option<Vec<u8>> = None;
    for field in fields(message) {
        let forged = field.is(MARK) || (field.is("Authentication-Results") && speaks_for(field.value, host));
        if forged {
            kept.get_or_insert_with(|| message.get(..walked).unwrap_or_default().to_vec());
        } else if let Some(kept) = &mut kept {
            kept.extend_from_slice(field.raw);
        }
        walked += field.raw.len();
    }
    match kept {
        None => Cow::Borrowed(message),
        Some(mut kept) => {
            kept.extend_from_slice(message.get(walked..).unwrap_or_default());
            Cow::Owned(kept)
        }
    }
}

/// Whether the authserv-id of a field is this host. What can't be read as any speaks for nobody, so for us too.
fn speaks_for(value: &[u8], host: &str) -> bool {
    let value = unfold(value);
    let text = String::from_utf8_lossy(&value);
    let mut depth = 0;
    let mut quote = false;
    let mut letters = text.chars();
    let mut id = String::new();
    while let Some(c) = letters.next() {
        match c {
            '\\' if depth > 0 => drop(letters.next()),
            '\\' if quote => id.extend(letters.next()),
            '(' if !quote => depth += 1,
            ')' if depth > 0 => depth -= 1,
            _ if depth > 0 => {}
            '"' => quote = !quote,
            ';' if !quote => break,
            c if c.is_whitespace() && !quote => {
                if !id.is_empty() {
                    break;
                }
            }
            c => id.push(c),
        }
    }
    let id = id.trim_end_matches('.');
    id.is_empty() || id.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_was_found() {
        let findings = [
            Finding::new("spf", "pass").with("smtp.mailfrom", "a@b.test"),
            Finding::new("dkim", "fail").because("bad \"hash\"\r\n").with("header.d", "b.test; dkim=pass"),
        ];
        assert_eq!(
            results("mx.test", &findings),
            "mx.test;\r\n\tspf=pass\r\n\t smtp.mailfrom=a@b.test;\r\n\tdkim=fail reason=\"bad \\\"hash\\\"??\"\r\n\t header.d=\"b.test; dkim=pass\""
        );
        assert_eq!(results("mx.test", &[]), "mx.test; none");
    }

    #[test]
    fn takes_out_what_is_forged() {
        let message = b"A: 1\r\nAuthentication-Results: mx.test; dmarc=pass\r\nAuthentication-Results: other.test; x=pass\r\n\
            AUTHENTICATION-RESULTS: (a (c)\\)) \"MX.test\" 1;\r\n spf=pass\r\nX-Mailwright-Auth: none\r\nB: 2\r\n\r\n\
            Authentication-Results: mx.test; body\r\n";
        let kept = "A: 1\r\nAuthentication-Results: other.test; x=pass\r\nB: 2\r\n\r\nAuthentication-Results: mx.test; body\r\n";
        assert_eq!(String::from_utf8_lossy(&without_forged(message, "mx.test")), kept);
        assert!(matches!(without_forged(b"A: 1\r\n\r\n", "mx.test"), Cow::Borrowed(_)));
    }
}
