//! The client's side of TLS, towards other mail servers and their policy hosts.
//!
//! Three kinds of trust: none (encryption that keeps out listeners, RFC 7435), the public authorities with those that a setting
//! adds, and what the DNS says of the very server (DANE, RFC 7672). In each of them the server has to prove that it holds its key.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ring::digest::{SHA256, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::connector::Unverified;

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
    CONFIG.get_or_init(|| config(Arc::new(Unverified(super::provider())))).clone()
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
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, super::provider())
        .build()
        .map_err(|error| rustls::Error::General(format!("no authorities to trust: {error}")))?;
    Ok(config(verifier))
}

/// Any server, and what these authorities would have had against its certificate.
///
/// # Errors
/// As [`verified`].
pub fn observed(roots: Arc<RootCertStore>) -> Result<(Arc<ClientConfig>, Observed), rustls::Error> {
    let strict = WebPkiServerVerifier::builder_with_provider(roots, super::provider())
        .build()
        .map_err(|error| rustls::Error::General(format!("no authorities to trust: {error}")))?;
    let observed = Observed::default();
    let lenient = Unverified(super::provider());
    Ok((config(Arc::new(Observing { strict, lenient, observed: observed.clone() })), observed))
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
    lenient: Unverified,
    observed: Observed,
}

impl ServerCertVerifier for Observing {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let wrong = self.strict.verify_server_cert(end_entity, intermediates, name, ocsp, now).err();
        *self.observed.0.lock().unwrap_or_else(PoisonError::into_inner) = wrong;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.lenient.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.lenient.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.lenient.supported_verify_schemes()
    }
}

/// A server that is what the DNS says of it; `names` are those that a certificate of an authority of its own may be for.
#[must_use]
pub fn dane(pins: Vec<Pin>, names: Vec<ServerName<'static>>) -> Arc<ClientConfig> {
    config(Arc::new(Dane { pins, names, provider: super::provider() }))
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
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Dane {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The key itself is named: names and dates in the certificate say nothing more (RFC 7672 §3.1.1).
        if self.pins.iter().any(|pin| pin.usage == 3 && pin.matches(end_entity)) {
            return Ok(ServerCertVerified::assertion());
        }
        for pin in self.pins.iter().filter(|pin| pin.usage == 2) {
            let whole =
                (pin.selector == 0 && pin.matching == 0).then(|| CertificateDer::from(pin.data.as_slice()));
            let anchor = whole.or_else(|| intermediates.iter().find(|one| pin.matches(one)).cloned());
            let Some(anchor) = anchor else { continue };
            let mut store = RootCertStore::empty();
            if store.add(anchor.into_owned()).is_err() {
                continue;
            }
            let strict =
                WebPkiServerVerifier::builder_with_provider(Arc::new(store), self.provider.clone()).build();
            let Ok(strict) = strict else { continue };
            let good = self
                .names
                .iter()
                .any(|name| strict.verify_server_cert(end_entity, intermediates, name, ocsp, now).is_ok());
            if good {
                return Ok(ServerCertVerified::assertion());
            }
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(Arc::new(NoPin)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Unverified(self.provider.clone()).verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Unverified(self.provider.clone()).verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
        let dane = Dane { pins: vec![pin], names: vec![name.clone()], provider: crate::tls::provider() };
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
            let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(store), crate::tls::provider());
            let observed = Observed::default();
            let lenient = Unverified(crate::tls::provider());
            let observing =
                Observing { strict: strict.build().unwrap(), lenient, observed: observed.clone() };
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
