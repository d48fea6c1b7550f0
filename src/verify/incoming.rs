//! The checks of a message that another server brings.
//!
//! All methods run side by side, each until the common deadline; DMARC follows SPF and DKIM. A signature that does not
//! cover From proves nothing of what people see and counts as an error (RFC 6376 §5.4); so does one with `l=`, or with SHA-1.

use std::net::IpAddr;
use std::time::Duration;

use mail_auth::common::crypto::Algorithm;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DkimResult, DmarcOutput, DmarcResult, Error, IprevOutput,
    IprevResult, Parameters, SpfOutput, SpfResult as MailAuthSpf,
};
use tokio::time::{Instant, timeout_at};

use super::Verify;
use super::observe::Seen;
use super::policy::{Outcome, refusal, strongest};
use super::report::Judged;
use super::results::{Finding, MARK, received_spf, results};
use super::spf::{self, SpfResult};
use crate::control::config::AuthenticationAction as Action;
use crate::mail::Address;
use crate::smtp::Reply;

/// Names of a client that are written down.
const NAMES: usize = 2;

/// Who brings a message.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// Its address.
    pub peer: IpAddr,
    /// The name that it gave itself.
    pub helo: &'a str,
    /// The envelope's sender; none is `<>`.
    pub sender: Option<&'a Address>,
}

/// What follows from the checks.
pub struct Verdict {
    /// What becomes of the message.
    pub action: Action,
    /// How it is refused, where that is its fate.
    pub refusal: Option<Reply>,
    /// Header lines for all of its copies: Authentication-Results and what else settings ask for.
    pub fields: Vec<u8>,
    /// Every method with its result, in the words of `control.authentication_policy`.
    pub outcomes: Vec<Outcome>,
    /// The domain in From, if there is exactly one.
    pub from_domain: String,
    /// What the results say, as in Authentication-Results.
    pub(super) results: String,
    /// The result of ARC, and the number of sets that the message has.
    pub(super) chain: (&'static str, u32),
}

/// One signature.
pub(super) struct Signature {
    pub result: &'static str,
    pub reason: String,
    pub domain: String,
    pub selector: String,
    /// The beginning of the signature itself, which tells it from others.
    pub start: String,
}

impl Verify {
    /// SPF of a sender, or of the client's name where there is no sender.
    pub async fn spf(&self, client: &Client<'_>) -> SpfResult {
        let (local, domain) = client.sender.map_or(("postmaster", client.helo), |s| (s.local(), s.domain()));
        let query = spf::Query { peer: client.peer, helo: client.helo, local, domain };
        timeout_at(self.deadline(), spf::check(&self.dns, query)).await.unwrap_or(SpfResult::TempError)
    }

    fn deadline(&self) -> Instant {
        let seconds = self.control.config().authentication.timeout_seconds;
        Instant::now() + Duration::from_secs(u64::from(seconds))
    }

    /// Checks a message that has come in, and says what becomes of it.
    pub async fn judge(&self, client: &Client<'_>, seen: &Seen) -> Verdict {
        let config = self.control.config();
        let deadline = self.deadline();
        let host = config.hostname();
        // A message without a header has nothing to be checked but its envelope.
        let mut message = seen.message().unwrap_or_default();
        let flawed = limit(&mut message, config.authentication.max_signatures);
        let authenticator = self.authenticator();
        let helo =
            spf::Query { peer: client.peer, helo: client.helo, local: "postmaster", domain: client.helo };
        let (iprev, helo, spf, dkim, arc) = tokio::join!(
            timeout_at(deadline, authenticator.verify_iprev(Parameters::new(client.peer.to_canonical()))),
            timeout_at(deadline, spf::check(&self.dns, helo)),
            self.spf(client),
            timeout_at(
                deadline,
                authenticator.verify_dkim(Parameters::new(&message).with_txt_cache(&self.txt))
            ),
            timeout_at(
                deadline,
                authenticator.verify_arc(Parameters::new(&message).with_txt_cache(&self.txt))
            ),
        );
        let helo = helo.unwrap_or(SpfResult::TempError);
        let dkim_in_time = dkim.is_ok();
        let dkim = dkim.unwrap_or_else(|_| message.dkim_headers.iter().map(|h| late(&h.header)).collect());
        let domain = client.sender.map_or(client.helo, Address::domain);
        let spf_output = SpfOutput::new(domain.to_owned()).with_result(for_dmarc(spf));
        let parameters = DmarcParameters {
            message: &message,
            dkim_output: &dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: domain,
            spf_output: &spf_output,
        };
        let from = from_domain(&message);
        let dmarc = authenticator.verify_dmarc(Parameters::new(parameters).with_txt_cache(&self.txt));
        let dmarc = timeout_at(deadline, dmarc).await.ok();
        let mut signatures: Vec<Signature> = dkim.iter().map(signature).collect();
        signatures.extend(flawed);
        let dmarc_word = match &from {
            // RFC 7489 §6.6.1: who is it from?
            None => "permerror",
            Some(_) => dmarc.as_ref().map_or("temperror", dmarc_word),
        };
        let (arc_word, arc_reason) = arc.as_ref().map_or(("temperror", String::new()), arc_result);
        let iprev = iprev.as_ref().ok();

        let mut findings = vec![iprev_finding(iprev, client.peer)];
        findings.push(Finding::new("spf", helo.word()).with("smtp.helo", client.helo));
        if let Some(sender) = client.sender {
            findings.push(Finding::new("spf", spf.word()).with("smtp.mailfrom", sender.to_string()));
        }
        findings.extend(signatures.iter().map(dkim_finding));
        if signatures.is_empty() {
            findings.push(Finding::new("dkim", if dkim_in_time { "none" } else { "temperror" }));
        }
        findings.push(dmarc_finding(dmarc_word, dmarc.as_ref(), from.as_deref()));
        findings.push(Finding::new("arc", arc_word).because(arc_reason));

        let outcomes: Vec<Outcome> = vec![
            ("iprev", findings.first().map_or("temperror", |finding| finding.result)),
            ("helo", helo.word()),
            ("spf", spf.word()),
            ("dkim", best(&signatures)),
            ("dmarc", dmarc_word),
            ("arc", arc_word),
        ];
        let overridden = dmarc_word.starts_with("fail")
            && arc_word == "pass"
            && arc.as_ref().is_ok_and(|arc| vouched_for(arc, &config.trusted_sealers));
        let counted: Vec<Outcome> =
            outcomes.iter().copied().filter(|(method, _)| !(overridden && *method == "dmarc")).collect();
        let (action, cause) = strongest(&config.authentication_policy, &counted);
        if let (Some(from), Some(dmarc)) = (&from, &dmarc) {
            let signatures = &signatures;
            self.count(&Judged { client, from, dmarc, spf, signatures, action, overridden });
        }
        let results = results(host, &findings);
        let mut fields = format!("Authentication-Results: {results}\r\n").into_bytes();
        if config.authentication.received_spf {
            let (sender, host) = (client.sender.map(Address::to_string).unwrap_or_default(), host);
            received_spf(spf, host, client.peer, &sender, client.helo, &mut fields);
        }
        if let (Action::Mark | Action::Junk, Some((method, result))) = (action, cause) {
            fields.extend_from_slice(format!("{MARK}: {method}={result}\r\n").as_bytes());
        }
        let refusal = match (action, cause) {
            (Action::Reject, Some(outcome)) => Some(refusal(outcome, from.as_deref().unwrap_or(domain))),
            _ => None,
        };
        let sets = message.as_headers.len() as u32;
        Verdict {
            action,
            refusal,
            fields,
            outcomes,
            from_domain: from.unwrap_or_default(),
            results,
            chain: (arc_word, sets),
        }
    }
}

/// Leaves as many signatures as may be looked at, and of these only those that can prove something; returns the others.
fn limit(message: &mut AuthenticatedMessage<'_>, most: usize) -> Vec<Signature> {
    message.dkim_headers.truncate(most);
    message.errors.truncate(most);
    let mut flawed = Vec::new();
    message.dkim_headers.retain(|field| {
        let flaw = flaw(&field.header);
        if let Some(flaw) = flaw {
            let reason = flaw.to_owned();
            flawed.push(Signature { result: "permerror", reason, ..described(&field.header) });
        }
        flaw.is_none()
    });
    flawed
}

/// Why a signature proves nothing, whoever made it.
fn flaw(signature: &mail_auth::dkim::Signature) -> Option<&'static str> {
    if !signature.h.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        return Some("From is not signed");
    }
    // RFC 8301 §3.1.
    (signature.a == Algorithm::RsaSha1).then_some("rsa-sha1 is not secure")
}

/// A signature that could not be checked in time.
fn late(signature: &mail_auth::dkim::Signature) -> DkimOutput<'_> {
    let error = Error::Dns(mail_auth::DnsError::Resolver("no answer in time".to_owned()));
    DkimOutput::temp_err(error).with_signature(signature)
}

fn for_dmarc(spf: SpfResult) -> MailAuthSpf {
    match spf {
        SpfResult::None => MailAuthSpf::None,
        SpfResult::Neutral => MailAuthSpf::Neutral,
        SpfResult::Pass => MailAuthSpf::Pass,
        SpfResult::Fail => MailAuthSpf::Fail,
        SpfResult::SoftFail => MailAuthSpf::SoftFail,
        SpfResult::TempError => MailAuthSpf::TempError,
        SpfResult::PermError => MailAuthSpf::PermError,
    }
}

/// The domain in From; none where there is no address, or there are several domains.
pub(super) fn from_domain(message: &AuthenticatedMessage<'_>) -> Option<String> {
    let mut domains = message.from.iter().map(|address| address.rsplit_once('@').map(|(_, domain)| domain));
    let first = domains.next()??;
    let one = domains.all(|domain| domain == Some(first));
    let ascii = crate::mail::domain_to_ascii(first.as_bytes()).ok()?;
    one.then_some(ascii)
}

fn iprev_finding(iprev: Option<&IprevOutput>, peer: IpAddr) -> Finding {
    // RFC 8601 §2.7.3.
    let result = match iprev.map(|iprev| &iprev.result) {
        None | Some(IprevResult::TempError(_)) => "temperror",
        Some(IprevResult::Pass) => "pass",
        Some(IprevResult::Fail(_)) => "fail",
        Some(IprevResult::PermError(_) | IprevResult::None) if iprev.is_some_and(|i| i.ptr.is_some()) => {
            "fail"
        }
        Some(IprevResult::PermError(_) | IprevResult::None) => "permerror",
    };
    let names = iprev.and_then(|iprev| iprev.ptr.as_ref());
    let names: Vec<&str> = names
        .iter()
        .flat_map(|names| names.iter())
        .take(NAMES)
        .map(|name| name.trim_end_matches('.'))
        .collect();
    let finding = Finding::new("iprev", result).with("policy.iprev", peer.to_canonical().to_string());
    if names.is_empty() { finding } else { finding.because(names.join(" ")) }
}

fn described(signature: &mail_auth::dkim::Signature) -> Signature {
    use base64::Engine;
    let start = signature.b.get(..6).unwrap_or(&signature.b);
    Signature {
        result: "none",
        reason: String::new(),
        domain: signature.d.clone(),
        selector: signature.s.clone(),
        start: base64::engine::general_purpose::STANDARD.encode(start),
    }
}

fn signature(output: &DkimOutput<'_>) -> Signature {
    use mail_auth::dkim::DkimError::{FailedBodyHashMatch, RevokedPublicKey, SignatureExpired};
    let (result, error) = match output.result() {
        DkimResult::Pass => ("pass", None),
        DkimResult::None => ("none", None),
        // What was signed is no more what came (RFC 8601 §2.7.1: fail), however the library calls it.
        DkimResult::Neutral(error @ Error::Dkim(FailedBodyHashMatch | SignatureExpired)) => {
            ("fail", Some(error))
        }
        DkimResult::Neutral(error) => ("neutral", Some(error)),
        DkimResult::Fail(error @ Error::Dkim(RevokedPublicKey)) => ("permerror", Some(error)),
        DkimResult::Fail(error) => ("fail", Some(error)),
        DkimResult::PermError(error) => ("permerror", Some(error)),
        DkimResult::TempError(error) => ("temperror", Some(error)),
    };
    let empty = || Signature {
        result,
        reason: String::new(),
        domain: String::new(),
        selector: String::new(),
        start: String::new(),
    };
    let reason = error.map(reason).unwrap_or_default();
    Signature { result, reason, ..output.signature().map_or_else(empty, described) }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Dns(mail_auth::DnsError::Resolver(_)) => "the DNS did not answer".to_owned(),
        Error::Dns(_) => "there is no key in the DNS".to_owned(),
        other => other.to_string(),
    }
}

fn dkim_finding(signature: &Signature) -> Finding {
    let finding = Finding::new("dkim", signature.result).because(signature.reason.clone());
    if signature.domain.is_empty() {
        return finding;
    }
    finding
        .with("header.d", signature.domain.clone())
        .with("header.s", signature.selector.clone())
        .with("header.b", signature.start.clone())
}

/// What all signatures together say: the best of them.
fn best(signatures: &[Signature]) -> &'static str {
    const ORDER: [&str; 5] = ["pass", "temperror", "fail", "permerror", "neutral"];
    let found = |word: &&&str| signatures.iter().any(|signature| signature.result == **word);
    ORDER.iter().find(found).copied().unwrap_or("none")
}

fn dmarc_word(dmarc: &DmarcOutput) -> &'static str {
    match (dmarc.result(), dmarc.policy()) {
        (DmarcResult::Pass, _) => "pass",
        (DmarcResult::None, _) => "none",
        (DmarcResult::TempError(_), _) => "temperror",
        (DmarcResult::PermError(_), _) => "permerror",
        (DmarcResult::Fail(_), Policy::Reject) => "fail-reject",
        (DmarcResult::Fail(_), Policy::Quarantine) => "fail-quarantine",
        (DmarcResult::Fail(_), Policy::None | Policy::Unspecified) => "fail-none",
    }
}

fn dmarc_finding(word: &'static str, dmarc: Option<&DmarcOutput>, from: Option<&str>) -> Finding {
    let short = if word.starts_with("fail") { "fail" } else { word };
    let finding = Finding::new("dmarc", short);
    let Some(from) = from else { return finding.because("From names no domain, or several") };
    let finding = finding.with("header.from", from);
    match dmarc.filter(|dmarc| dmarc.dmarc_record().is_some()) {
        Some(dmarc) => finding.with("policy.dmarc", dmarc.policy().to_string()),
        None => finding,
    }
}

fn arc_result(arc: &ArcOutput<'_>) -> (&'static str, String) {
    match arc.result() {
        DkimResult::Pass => ("pass", String::new()),
        DkimResult::None => ("none", String::new()),
        DkimResult::TempError(error) => ("temperror", reason(error)),
        DkimResult::Neutral(error) | DkimResult::Fail(error) | DkimResult::PermError(error) => {
            ("fail", reason(error))
        }
    }
}

/// Whether the last seal is that of somebody we trust, who says that DMARC had passed there (RFC 8617 §7.2.1).
fn vouched_for(arc: &ArcOutput<'_>, trusted: &[String]) -> bool {
    let Some(last) = arc.sets().last() else { return false };
    let results = String::from_utf8_lossy(last.results.value).to_ascii_lowercase();
    trusted.iter().any(|domain| domain.eq_ignore_ascii_case(&last.seal.header.d))
        && results.contains("dmarc=pass")
}
