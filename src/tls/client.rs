//! The client's side of TLS, towards other mail servers and their policy hosts.
//!
//! Three kinds of trust: none (encryption that keeps out listeners, RFC 7435), the public authorities with those that a setting
//! adds, and what the DNS says of the very server (DANE, RFC 7672). In each of them the server has to prove that it holds its key.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ring::digest::{SHA256, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::trust::{Anybody, Shown, Trust, Verifier};

/// What the DNS says of a server's certificate (RFC 6698 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pin {
    /// 2 DANE-TA, 3 DANE-EE; others are not for mail (RFC 7672 §3.1.3).
    pub usage: u8,
    /// 0 the certificate, 1 its public key.
    pub selector: u8,
    /// 0 all of it, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What it matches.
    pub data: Vec<u8>,
}

impl Pin {
    /// Whether it says anything that can be checked.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        let length = match self.matching {
            0 => !self.data.is_empty(),
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            _ => false,
        };
        matches!(self.usage, 2 | 3) && self.selector <= 1 && length
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let parsed = match self.selector {
            0 => None,
            _ => match X509Certificate::from_der(certificate) {
                Ok((_, parsed)) => Some(parsed.public_key().raw.to_vec()),
                Err(_) => return false,
            },
        };
        let selected: &[u8] = parsed.as_deref().unwrap_or(certificate);
        match self.matching {
            0 => self.data == selected,
            1 => self.data == digest(&SHA256, selected).as_ref(),
            2 => self.data == digest(&SHA512, selected).as_ref(),
            _ => false,
        }
    }
}

/// Encryption without a question who it is.
#[must_use]
pub fn unverified() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| config(Arc::new(Verifier::new(Anybody)))).clone()
}

/// The authorities of this system and those in `extra` (PEM).
#[must_use]
pub fn roots(extra: Option<&str>) -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    let mut store = SYSTEM
        .get_or_init(|| {
            let mut store = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!(%error, "authorities of this system that can't be read");
            }
            store.add_parsable_certificates(found.certs);
            store
        })
        .clone();
    if let Some(extra) = extra {
        let certificates = CertificateDer::pem_slice_iter(extra.as_bytes()).flatten();
        store.add_parsable_certificates(certificates);
    }
    Arc::new(store)
}

/// A server whose certificate these authorities vouch for, under the name that is asked for.
///
/// # Errors
/// When there is no authority at all.
pub fn verified(roots: Arc<RootCertStore>) -> Result<Arc<ClientConfig>, rustls::Error> {
    Ok(config(strict(roots)?))
}

fn strict(roots: Arc<RootCertStore>) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots, super::provider())
        .build()
        .map_err(|error| rustls::Error::General(format!("no authorities to trust: {error}")))
}

/// Any server, and what these authorities would have had against its certificate.
///
/// # Errors
/// As [`verified`].
pub fn observed(roots: Arc<RootCertStore>) -> Result<(Arc<ClientConfig>, Observed), rustls::Error> {
    let observed = Observed::default();
    let observing = Observing { strict: strict(roots)?, observed: observed.clone() };
    Ok((config(Arc::new(Verifier::new(observing))), observed))
}

/// What was wrong with the certificate of the last handshake.
#[derive(Debug, Clone, Default)]
pub struct Observed(Arc<Mutex<Option<rustls::Error>>>);

impl Observed {
    /// What was wrong; nothing, when all was well.
    #[must_use]
    pub fn take(&self) -> Option<rustls::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Verifies, and goes on whatever comes of it.
#[derive(Debug)]
struct Observing {
    strict: Arc<WebPkiServerVerifier>,
    observed: Observed,
}

impl Trust for Observing {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        let wrong = shown.satisfies(&self.strict, shown.name).err();
        *self.observed.0.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
        Ok(())
    }
}

/// A server that is what the DNS says of it; `names` are those that a certificate of an authority of its own may be for.
#[must_use]
pub fn dane(pins: Vec<Pin>, names: Vec<ServerName<'static>>) -> Arc<ClientConfig> {
    config(Arc::new(Verifier::new(Dane { pins, names })))
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(super::provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12]);
    #[expect(clippy::expect_used, reason = "ring has cipher suites for both versions")]
    let builder = builder.expect("both versions");
    Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// RFC 7672 §3.1.
#[derive(Debug)]
struct Dane {
    pins: Vec<Pin>,
    names: Vec<ServerName<'static>>,
}

impl Trust for Dane {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        // The key itself is named: names and dates in the certificate say nothing more (RFC 7672 §3.1.1).
        if self.pins.iter().any(|pin| pin.usage == 3 && pin.matches(shown.end_entity)) {
            return Ok(());
        }
        for pin in self.pins.iter().filter(|pin| pin.usage == 2) {
            let whole =
                (pin.selector == 0 && pin.matching == 0).then(|| CertificateDer::from(pin.data.as_slice()));
            let anchor = whole.or_else(|| shown.intermediates.iter().find(|one| pin.matches(one)).cloned());
            let Some(anchor) = anchor else { continue };
            let mut store = RootCertStore::empty();
            if store.add(anchor.into_owned()).is_err() {
                continue;
            }
            let Ok(strict) = strict(Arc::new(store)) else { continue };
            if self.names.iter().any(|name| shown.satisfies(&strict, name).is_ok()) {
                return Ok(());
            }
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(NoPin)))))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the certificate is none of those that the DNS names (TLSA)")]
struct NoPin;

/// Why a handshake failed, for people; rustls speaks to programmers.
#[must_use]
pub fn reason(error: &std::io::Error) -> String {
    cause(error).map_or_else(|| error.to_string(), explain)
}

/// What rustls has to say about a handshake that failed, where it was not the network.
#[must_use]
pub fn cause(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
}

/// The same for people.
#[must_use]
pub fn explain(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(wrong) = error else { return error.to_string() };
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for other names".to_owned()
        }
        CertificateError::UnknownIssuer => "no authority that is trusted issued the certificate".to_owned(),
        CertificateError::Other(other) => other.0.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::UnixTime;

    /// An authority, and a leaf for `mx.test` that it signed.
    fn chain() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["mx.test".to_owned()]).unwrap();
        (root.der().clone(), leaf.signed_by(&leaf_key, &issuer).unwrap().der().clone())
    }

    fn pin(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> Pin {
        let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
        let selected = if selector == 0 { certificate.to_vec() } else { parsed.public_key().raw.to_vec() };
        let data = match matching {
            0 => selected,
            1 => digest(&SHA256, &selected).as_ref().to_vec(),
            _ => digest(&SHA512, &selected).as_ref().to_vec(),
        };
        Pin { usage, selector, matching, data }
    }

    fn good(pin: Pin, leaf: &CertificateDer<'_>, more: &[CertificateDer<'_>], name: &'static str) -> bool {
        let name = ServerName::try_from(name).unwrap();
        let dane = Verifier::new(Dane { pins: vec![pin], names: vec![name.clone()] });
        dane.verify_server_cert(leaf, more, &name, &[], UnixTime::now()).is_ok()
    }

    #[test]
    fn what_the_dns_names_is_taken_and_nothing_else() {
        let (root, leaf) = chain();
        let (other_root, other) = chain();
        for selector in 0..2 {
            for matching in 0..3 {
                let ee = |certificate| pin(3, selector, matching, certificate);
                assert!(good(ee(&leaf), &leaf, &[], "whatever.test"));
                assert!(!good(ee(&leaf), &other, &[], "mx.test"));
                let ta = |certificate| pin(2, selector, matching, certificate);
                let sent = [root.clone()];
                assert!(good(ta(&root), &leaf, &sent, "mx.test"), "{selector} {matching}");
                assert!(!good(ta(&root), &leaf, &sent, "other.test"));
                assert!(!good(ta(&other_root), &leaf, &sent, "mx.test"));
                assert!(!good(ta(&root), &other, &sent, "mx.test"));
            }
        }
        // An authority that is named whole need not be sent.
        assert!(good(pin(2, 0, 0, &root), &leaf, &[], "mx.test"));
        assert!(!good(pin(1, 0, 0, &leaf), &leaf, &[], "mx.test"));
    }

    #[test]
    fn what_is_only_observed_is_told_and_taken() {
        let (root, leaf) = chain();
        let (other_root, _) = chain();
        let name = ServerName::try_from("mx.test").unwrap();
        for (trusted, good) in [(root, true), (other_root, false)] {
            let mut store = RootCertStore::empty();
            store.add(trusted).unwrap();
            let observed = Observed::default();
            let strict = strict(Arc::new(store)).unwrap();
            let observing = Verifier::new(Observing { strict, observed: observed.clone() });
            assert!(observing.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).is_ok());
            assert_eq!(observed.take().is_none(), good);
            assert_eq!(observed.take(), None);
        }
    }

    #[test]
    fn usable_pins() {
        let pin =
            |usage, selector, matching, length| Pin { usage, selector, matching, data: vec![0; length] };
        for (pin, expected) in [
            (pin(3, 1, 1, 32), true),
            (pin(2, 0, 2, 64), true),
            (pin(3, 0, 0, 1), true),
            (pin(3, 1, 1, 31), false),
            (pin(3, 1, 3, 32), false),
            (pin(3, 2, 1, 32), false),
            (pin(1, 1, 1, 32), false),
            (pin(3, 0, 0, 0), false),
        ] {
            assert_eq!(pin.is_usable(), expected, "{pin:?}");
        }
    }
}
