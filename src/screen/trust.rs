//! Whether a host is proven to send for a domain: by the domain's addresses, its MX hosts, or its SPF record.

use std::net::IpAddr;
use std::time::Duration;

use mail_auth::spf::verify::SpfParameters;
use mail_auth::{MessageAuthenticator, SpfResult};
use tokio::time::timeout;

use super::Stranger;
use super::host::leads_to;
use crate::dns::Dns;

/// MX hosts that are looked at.
const MAX_HOSTS: usize = 10;
/// How long a proof may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the host is one of the domain's own.
pub async fn is_proven(dns: &Dns, stranger: &Stranger<'_>, our_name: &str) -> bool {
    let Some(sender) = stranger.sender else { return false };
    let domain = sender.domain();
    let proof = async {
        leads_to(dns, domain, stranger.peer).await == Some(true)
            || is_mx(dns, domain, stranger.peer).await
            || spf_passes(dns, stranger, our_name).await
    };
    timeout(PATIENCE, proof).await.unwrap_or(false)
}

async fn is_mx(dns: &Dns, domain: &str, peer: IpAddr) -> bool {
    let Ok(mx) = dns.mx(domain).await else { return false };
    for host in mx.records.iter().take(MAX_HOSTS) {
        if leads_to(dns, &host.host, peer).await == Some(true) {
            return true;
        }
    }
    false
}

/// Whether SPF says of the sender that this host may send for it (RFC 7208).
pub async fn spf_passes(dns: &Dns, stranger: &Stranger<'_>, our_name: &str) -> bool {
    let spf = MessageAuthenticator(dns.resolver());
    let sender = stranger.sender.map(ToString::to_string);
    let parameters = match &sender {
        Some(sender) => SpfParameters::verify_mail_from(stranger.peer, stranger.helo, our_name, sender),
        None => SpfParameters::verify_ehlo(stranger.peer, stranger.helo, our_name),
    };
    let answer = timeout(PATIENCE, spf.verify_spf(parameters)).await;
    answer.is_ok_and(|output| output.result() == SpfResult::Pass)
}
