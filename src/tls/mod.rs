//! TLS: certificates, how one is chosen, and the two ends of a handshake.
//!
//! `certificate` turns PEM into what rustls wants and says in plain words what is wrong with it, `resolver` picks one by
//! the name the client asks for (SNI, RFC 6066 §3), `acceptor` and `connector` make rustls configurations for the mail
//! side and for PostgreSQL, `client` the ones towards other mail servers; `trust` is what all clients have in common.
//! `pkcs12` reads the files that other systems export, and `import` whatever people bring.
//!
//! House rules: nothing here reads a table or opens a socket; the caller brings rows and gets values. The ring provider
//! is named in every configuration and no process-wide default is installed, so that no dependency can change what is
//! spoken. Replacing certificates never touches a running session: the next handshake sees the new set.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub mod acceptor;
pub mod certificate;
pub mod client;
pub mod connector;
pub mod import;
pub mod pkcs12;
pub mod resolver;
mod trust;

/// The one source of cryptography, for servers and clients alike.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
