//! TLS as the relay wants it towards a server.

use rustls::pki_types::ServerName;

use super::client::TlsWish;
use crate::control::config::RouteTls;
use crate::tls::client;

/// Encryption where the server offers it, whatever its certificate (RFC 7435).
pub(super) fn opportunistic(host: &str) -> Option<TlsWish> {
    wish(host, client::unverified(), false, "unverified")
}

/// As a route's row says.
pub(super) fn route_tls(
    host: &str,
    tls: RouteTls,
    extra_roots: Option<&str>,
) -> Result<Option<TlsWish>, String> {
    let wish = match tls {
        RouteTls::None => return Ok(None),
        RouteTls::Opportunistic => opportunistic(host),
        RouteTls::Required => wish(host, client::unverified(), true, "unverified"),
        RouteTls::Verified | RouteTls::Implicit => {
            let config = client::verified(client::roots(extra_roots)).map_err(|error| error.to_string())?;
            wish(host, config, true, "verified")
        }
    };
    // Without a name that a certificate can have there is no TLS.
    wish.map(Some).ok_or_else(|| format!("{host} is no name for a certificate"))
}

fn wish(
    host: &str,
    config: std::sync::Arc<rustls::ClientConfig>,
    must: bool,
    verified: &'static str,
) -> Option<TlsWish> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    Some(TlsWish { config, name, must, verified, observed: None, secure: false })
}
