//! Whether a host is proven to send for a domain: by the domain's addresses, its MX hosts, or its SPF record.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::timeout;

use super::Stranger;
use super::host::leads_to;
use crate::dns::Dns;
use crate::verify::spf::{self, SpfResult};

/// MX hosts that are looked at.
const MAX_HOSTS: usize = 10;
/// How long a proof may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the host is one of the domain's own.
pub async fn is_proven(dns: &Dns, stranger: &Stranger<'_>) -> bool {
    let Some(sender) = stranger.sender else { return false };
    let domain = sender.domain();
    let proof = async {
        leads_to(dns, domain, stranger.peer).await == Some(true)
            || is_mx(dns, domain, stranger.peer).await
            || spf_passes(dns, stranger).await
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

/// Whether SPF says of the sender, or of the host's name where there is none, that this host may send for it (RFC 7208).
pub async fn spf_passes(dns: &Dns, stranger: &Stranger<'_>) -> bool {
    let (local, domain) = match stranger.sender {
        Some(sender) => (sender.local(), sender.domain()),
        None => ("postmaster", stranger.helo),
    };
    let query = spf::Query { peer: stranger.peer, helo: stranger.helo, local, domain };
    timeout(PATIENCE, spf::check(dns, query)).await == Ok(SpfResult::Pass)
}
