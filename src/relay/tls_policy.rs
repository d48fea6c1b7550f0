//! What TLS must be towards a mail server that DNS named: what the recipients' domain and the host themselves say about it.
//!
//! The strongest statement counts. DANE (RFC 7672) first, where DNSSEC vouches for the MX, the host's addresses and its TLSA
//! records: then the certificate must be as one of these says, or, where none of them can be used, there must at least be
//! TLS. Then MTA-STS (RFC 8461): the host must have a name that the policy permits, and a certificate for it. Else
//! encryption is taken where it is offered. A host whose TLSA records can't be looked up is not used now (RFC 7672 §2.1.2):
//! whoever can hide them must not be able to read the mail.
//!
//! What it costs: for each new connection one TLSA record, and nothing where DNSSEC vouches for nothing.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::client::TlsWish;
use super::mta_sts::{Mode, Policy};
use super::tls::{opportunistic, route_tls};
use super::tls_report::{Fault, Finding, Terms};
use crate::control::config::RouteTls;
use crate::dns::{Dns, Tlsa};
use crate::tls::client::{self, Pin};

/// A mail server, and what is known of the way to it.
pub(super) struct Target<'a> {
    /// The recipients' domain.
    pub(super) domain: &'a str,
    /// The server's name, as the MX has it.
    pub(super) host: &'a str,
    /// Its port.
    pub(super) port: u16,
    /// Whether DNSSEC vouches for MX and addresses, and DANE is wanted.
    pub(super) secure: bool,
    /// The domain's MTA-STS policy.
    pub(super) policy: Option<&'a Policy>,
    /// What a route of ours demands, that says nothing of a host.
    pub(super) route: Option<RouteTls>,
    /// Whether DNSSEC vouches for the MX.
    pub(super) named: bool,
    /// When a certificate is looked at of which nothing is demanded.
    pub(super) observe: Observe,
}

/// When a certificate is looked at of which nothing is demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Observe {
    /// Nobody wants to know.
    Never,
    /// Under a policy that is only tested: its domain is told what would have been wrong.
    Tested,
    /// Wherever it can be: a message requires TLS.
    Always,
}

/// What TLS must be there; or why the host can't be used now, as a reply. A route may demand more, or do without TLS.
pub(super) async fn wish(
    dns: &Dns,
    target: &Target<'_>,
    extra_roots: Option<&str>,
) -> Result<Option<TlsWish>, String> {
    let Some(route) = target.route else { return published(dns, target, extra_roots).await };
    if route == RouteTls::None {
        return Ok(None);
    }
    let wish = published(dns, target, extra_roots).await?;
    match (route, wish) {
        (RouteTls::Opportunistic, wish) => Ok(wish),
        (RouteTls::Required, Some(wish)) => Ok(Some(TlsWish { must: true, ..wish })),
        (_, Some(wish)) if wish.verified != "unverified" => Ok(Some(wish)),
        _ => route_tls(target.host, route, extra_roots).map_err(|why| format!("451 4.7.5 {why}")),
    }
}

/// What domain and host demand themselves.
async fn published(
    dns: &Dns,
    target: &Target<'_>,
    extra_roots: Option<&str>,
) -> Result<Option<TlsWish>, String> {
    if target.secure
        && let Some(wish) = dane(dns, target).await?
    {
        return Ok(Some(wish));
    }
    match target.policy {
        Some(policy) if policy.mode == Mode::Enforce => sts(target, policy, extra_roots).map(Some),
        Some(_) if target.observe == Observe::Tested => Ok(observed(target, extra_roots)),
        _ if target.observe == Observe::Always => Ok(observed(target, extra_roots)),
        _ => Ok(opportunistic(target.host)),
    }
}

/// Nothing is demanded of the certificate, but it is looked at.
fn observed(target: &Target<'_>, extra_roots: Option<&str>) -> Option<TlsWish> {
    let wish = opportunistic(target.host)?;
    let named = target.policy.is_some_and(|policy| policy.permits(target.host));
    match client::observed(client::roots(extra_roots)) {
        Ok((config, observed)) => {
            Some(TlsWish { config, observed: Some(observed), secure: target.named || named, ..wish })
        }
        Err(_) => Some(wish),
    }
}

/// What is to be obeyed there, for reports; and what is wrong whatever comes of the connection.
pub(super) async fn terms(
    dns: &Dns,
    target: &Target<'_>,
    policy: Option<&Arc<Policy>>,
    unfetched: Option<Fault>,
) -> (Terms, Option<Fault>) {
    if target.secure {
        // It has been asked for just now, and is remembered.
        match dns.tlsa(target.port, target.host).await {
            Ok(answer) if answer.secure && !answer.records.is_empty() => {
                return (Terms::Tlsa(answer.records), None);
            }
            Ok(_) => {}
            Err(_) => return (Terms::Tlsa(Vec::new()), None),
        }
    }
    match (policy, unfetched) {
        (Some(policy), _) => {
            let why = || format!("the policy does not name {}", target.host);
            let doubt =
                (!policy.permits(target.host)).then(|| Fault { finding: Finding::Invalid, why: why() });
            (Terms::Sts(Some(policy.clone())), doubt)
        }
        (None, Some(fault)) => (Terms::Sts(None), Some(fault)),
        (None, None) => (Terms::None, None),
    }
}

async fn dane(dns: &Dns, target: &Target<'_>) -> Result<Option<TlsWish>, String> {
    let host = target.host;
    let answer = dns
        .tlsa(target.port, host)
        .await
        .map_err(|why| format!("451 4.7.5 the TLSA records of {host} can't be looked up: {why}"))?;
    if answer.records.is_empty() || !answer.secure {
        return Ok(None);
    }
    let pins: Vec<Pin> = answer.records.into_iter().map(pin).filter(Pin::is_usable).collect();
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return Ok(None) };
    if pins.is_empty() {
        // RFC 7672 §2.2: records that nobody can use say at least that there is TLS.
        let config = client::unverified();
        return Ok(Some(TlsWish {
            config,
            name,
            must: true,
            verified: "unverified",
            observed: None,
            secure: true,
        }));
    }
    // RFC 7672 §3.2.2: the host's name, and that of the domain, which DNSSEC has led here from.
    let mut names = vec![name.clone()];
    names.extend(ServerName::try_from(target.domain.to_owned()));
    let config = client::dane(pins, names);
    Ok(Some(TlsWish { config, name, must: true, verified: "DANE", observed: None, secure: true }))
}

fn pin(record: Tlsa) -> Pin {
    Pin { usage: record.usage, selector: record.selector, matching: record.matching, data: record.data }
}

fn sts(target: &Target<'_>, policy: &Policy, extra_roots: Option<&str>) -> Result<TlsWish, String> {
    let (domain, host) = (target.domain, target.host);
    if !policy.permits(host) {
        return Err(format!("451 4.7.5 the MTA-STS policy of {domain} does not name {host}"));
    }
    let config =
        client::verified(client::roots(extra_roots)).map_err(|error| format!("451 4.7.5 {error}"))?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("451 4.7.5 {host} is no name for a certificate"))?;
    Ok(TlsWish { config, name, must: true, verified: "MTA-STS", observed: None, secure: true })
}
