//! The server's side of TLS: one rustls configuration per kind of listener.
//!
//! TLS 1.2 and 1.3 only (RFC 8996 withdraws the older). Half-RTT data stays off and no early data is taken (RFC 8446
//! §2.3 warns of replay). Sessions resume by tickets, sealed with a key that rotates, so that no session state is kept
//! here and a phone that reconnects all day costs no signature each time (RFC 8446 §2.2, RFC 5077).

use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

/// The oldest version of TLS that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Oldest {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

impl Oldest {
    fn versions(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&version::TLS13, &version::TLS12],
            Self::Tls13 => vec![&version::TLS13],
        }
    }
}

/// Makes a configuration that shows the certificates of `resolver`. An empty `alpn` leaves ALPN (RFC 7301) out, as mail
/// clients expect; with a list, a client that offers only others is refused.
///
/// # Errors
/// When the system gives no randomness for the ticket key.
pub fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    oldest: Oldest,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&oldest.versions())?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
