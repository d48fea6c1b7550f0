//! The client's side of TLS towards other mail servers and web servers: what a certificate must be, and whether it was.
//!
//! A [`Check`] says what is demanded: nothing (opportunistic, RFC 7435), a chain to a known authority and one of some
//! names (PKIX, RFC 5280 and RFC 6125; MTA-STS, RFC 8461 §4.1), or a TLSA record's word (DANE, RFC 7672 §3). The handshake fails
//! when the demand is not met, with an [`Unmet`] that says why in the words that TLS reports use (RFC 8460 §4.3).
//!
//! What must hold: TLS 1.2 at least (RFC 8996); the handshake's signature is checked in every case, so that the peer
//! holds the key of the certificate it shows; roots are read once and shared. One configuration is made for each
//! handshake: some allocations beside a key exchange. No session is resumed, so that a policy is never skipped.

use std::sync::Arc;

use ring::digest::{SHA256, SHA512, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Certificates in a chain that are looked at.
const MAX_CHAIN: usize = 10;

/// A TLSA record, as far as TLS needs it (RFC 6698 §2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Association {
    /// 2 DANE-TA, 3 DANE-EE; others are unusable for SMTP (RFC 7672 §3.1.3).
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 the thing itself, 1 its SHA-256, 2 its SHA-512.
    pub matching: u8,
    /// What to compare with.
    pub data: Vec<u8>,
}

impl Association {
    /// Whether SMTP can make use of it (RFC 7672 §3.1): a usage of DANE's own, and fields that we know.
    pub fn is_usable(&self) -> bool {
        let length = match self.matching {
            1 => self.data.len() == 32,
            2 => self.data.len() == 64,
            0 => !self.data.is_empty(),
            _ => false,
        };
        matches!(self.usage, 2 | 3) && self.selector <= 1 && length
    }

    fn matches(&self, certificate: &CertificateDer<'_>) -> bool {
        let selected: &[u8] = match self.selector {
            0 => certificate,
            _ => match X509Certificate::from_der(certificate) {
                Ok((_, parsed)) => parsed.tbs_certificate.subject_pki.raw,
                Err(_) => return false,
            },
        };
        match self.matching {
            0 => self.data == selected,
            1 => self.data == digest(&SHA256, selected).as_ref(),
            2 => self.data == digest(&SHA512, selected).as_ref(),
            _ => false,
        }
    }
}

/// What the server's certificate must be.
#[derive(Debug, Clone)]
pub enum Check {
    /// Anything.
    Nothing,
    /// Of a known authority, valid now, and for one of these names.
    Pkix {
        /// Lower case; the first is the one that is asked for (SNI).
        names: Vec<String>,
    },
    /// As one of these says.
    Dane {
        /// The usable ones, at least one.
        associations: Vec<Association>,
        /// Names that a certificate under a DANE-TA authority may bear (RFC 7672 §3.2.2).
        names: Vec<String>,
    },
}

/// What was found out about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verified {
    /// Nobody asked.
    Nothing,
    /// A known authority vouches for its name.
    Pkix,
    /// Its TLSA record does.
    Dane,
}

/// Why a certificate is not what was demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Its time is over, or has not come.
    #[error("the certificate is not valid now: it has expired, or its time has not come yet")]
    Expired,
    /// It is somebody else's.
    #[error("the certificate is for other names")]
    WrongName,
    /// Nobody that we know vouches for it.
    #[error("the certificate was not issued by a known authority")]
    NotTrusted,
    /// It fits no TLSA record.
    #[error("the certificate fits none of the host's TLSA records")]
    TlsaMismatch,
    /// Anything else.
    #[error("the TLS handshake failed")]
    Handshake,
}

impl Unmet {
    /// What went wrong, from the error of a failed handshake.
    pub fn of(error: &std::io::Error) -> Self {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match tls {
            Some(rustls::Error::InvalidCertificate(error)) => match error {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::WrongName
                }
                CertificateError::ApplicationVerificationFailure => Self::TlsaMismatch,
                _ => Self::NotTrusted,
            },
            _ => Self::Handshake,
        }
    }

    /// The result type of TLS reports (RFC 8460 §4.3).
    pub fn result_type(self) -> &'static str {
        match self {
            Self::Expired => "certificate-expired",
            Self::WrongName => "certificate-host-mismatch",
            Self::NotTrusted => "certificate-not-trusted",
            Self::TlsaMismatch | Self::Handshake => "validation-failure",
        }
    }
}

/// Why TLS can't be set up on our side.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The additional roots.
    #[error("the additional root certificates can't be read: {0}")]
    Roots(String),
    /// rustls refuses.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// Not a name that TLS can ask for.
    #[error("\"{0}\" is no host name")]
    Name(String),
}

/// Those whose word on certificates counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The system's, and those in a PEM text. A system without any is no error: then nobody is known.
    ///
    /// # Errors
    /// When the text holds something else than certificates.
    pub fn new(extra: &str) -> Result<Self, SetupError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for certificate in CertificateDer::pem_slice_iter(extra.as_bytes()) {
            let certificate = certificate.map_err(|error| SetupError::Roots(error.to_string()))?;
            store.add(certificate).map_err(|error| SetupError::Roots(error.to_string()))?;
        }
        Ok(Self(Arc::new(store)))
    }
}

/// What rustls needs for one handshake under this demand, and the name to ask for.
///
/// # Errors
/// When the name can't be asked for.
pub fn handshake(
    check: &Check,
    host: &str,
    roots: &Roots,
) -> Result<(Arc<ClientConfig>, ServerName<'static>), SetupError> {
    let provider = super::provider();
    // RFC 7672 §8.1: the name under which the TLSA records are; RFC 8461 §4.1: the host's.
    let name = host.trim_end_matches('.').to_owned();
    let server = ServerName::try_from(name.clone()).map_err(|_| SetupError::Name(name))?;
    let verifier = Verifier { check: check.clone(), roots: roots.clone(), provider: provider.clone() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), server))
}

impl Check {
    /// What a handshake that went well has shown.
    pub fn verified(&self) -> Verified {
        match self {
            Self::Nothing => Verified::Nothing,
            Self::Pkix { .. } => Verified::Pkix,
            Self::Dane { .. } => Verified::Dane,
        }
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    roots: Roots,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn chain(
        &self,
        leaf: &ParsedCertificate<'_>,
        roots: &RootCertStore,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(leaf, roots, intermediates, now, algorithms)
    }

    fn dane(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        associations: &[Association],
        names: &[String],
    ) -> Result<(), rustls::Error> {
        // RFC 7672 §3.1.1: the key alone counts; neither names nor dates do.
        if associations.iter().any(|a| a.usage == 3 && a.matches(certificate)) {
            return Ok(());
        }
        let mismatch = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let mut outcome = Err(mismatch);
        for authority in associations.iter().filter(|a| a.usage == 2) {
            // An authority may sign itself in as the server's own certificate (RFC 7671 §5.2.2).
            if authority.matches(certificate) {
                let leaf = ParsedCertificate::try_from(certificate)?;
                outcome = self.anchored(&leaf, certificate, &[], now, names);
                if outcome.is_ok() {
                    return outcome;
                }
            }
            for anchor in intermediates.iter().filter(|anchor| authority.matches(anchor)) {
                let leaf = ParsedCertificate::try_from(certificate)?;
                outcome = self.anchored(&leaf, anchor, intermediates, now, names);
                if outcome.is_ok() {
                    return outcome;
                }
            }
            // A record may hold the authority itself, which the server then need not send.
            if authority.matching == 0 && authority.selector == 0 {
                let leaf = ParsedCertificate::try_from(certificate)?;
                let anchor = CertificateDer::from(authority.data.clone());
                outcome = self.anchored(&leaf, &anchor, intermediates, now, names);
            }
            if outcome.is_ok() {
                return outcome;
            }
        }
        outcome
    }

    /// Whether this authority vouches for the certificate, and the certificate for one of the names.
    fn anchored(
        &self,
        leaf: &ParsedCertificate<'_>,
        anchor: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        names: &[String],
    ) -> Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(anchor.clone().into_owned())?;
        self.chain(leaf, &roots, intermediates, now)?;
        one_of(leaf, names)
    }
}

/// Whether the certificate is for one of these names.
fn one_of(leaf: &ParsedCertificate<'_>, names: &[String]) -> Result<(), rustls::Error> {
    let mut outcome = Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName));
    for name in names {
        let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
        outcome = verify_server_name(leaf, &name);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let intermediates = intermediates.get(..MAX_CHAIN).unwrap_or(intermediates);
        match &self.check {
            Check::Nothing => {}
            Check::Pkix { names } => {
                let leaf = ParsedCertificate::try_from(certificate)?;
                self.chain(&leaf, &self.roots.0, intermediates, now)?;
                one_of(&leaf, names)?;
            }
            Check::Dane { associations, names } => {
                self.dane(certificate, intermediates, now, associations, names)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    struct Made {
        root: CertificateDer<'static>,
        root_pem: String,
        leaf: CertificateDer<'static>,
    }

    /// A root, and a certificate for `mx.test` that it signed; perhaps one whose time is over.
    fn made(expired: bool) -> Made {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let mut leaf = CertificateParams::new(vec!["mx.test".to_owned()]).unwrap();
        if expired {
            leaf.not_before = rcgen::date_time_ymd(2001, 1, 1);
            leaf.not_after = rcgen::date_time_ymd(2002, 1, 1);
        }
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        Made { root: root.der().clone(), root_pem: root.pem(), leaf: leaf.der().clone() }
    }

    fn association(usage: u8, selector: u8, matching: u8, of: &CertificateDer<'_>) -> Association {
        let (_, parsed) = X509Certificate::from_der(of).unwrap();
        let selected = if selector == 0 { of.as_ref() } else { parsed.tbs_certificate.subject_pki.raw };
        let data = match matching {
            0 => selected.to_vec(),
            1 => digest(&SHA256, selected).as_ref().to_vec(),
            _ => digest(&SHA512, selected).as_ref().to_vec(),
        };
        Association { usage, selector, matching, data }
    }

    fn verdict(check: Check, extra: &str, made: &Made, with_root: bool) -> Result<(), Unmet> {
        let provider = crate::tls::provider();
        let verifier = Verifier { check, roots: Roots::new(extra).unwrap(), provider };
        let chain = if with_root { vec![made.root.clone()] } else { Vec::new() };
        let name = ServerName::try_from("mx.test").unwrap();
        verifier
            .verify_server_cert(&made.leaf, &chain, &name, &[], UnixTime::now())
            .map(|_| ())
            .map_err(|error| Unmet::of(&std::io::Error::other(error)))
    }

    fn pkix(name: &str) -> Check {
        Check::Pkix { names: vec![name.to_owned()] }
    }

    fn dane(associations: Vec<Association>, name: &str) -> Check {
        Check::Dane { associations, names: vec![name.to_owned()] }
    }

    #[test]
    fn authorities_vouch_for_names_and_dates() {
        let good = made(false);
        let old = made(true);
        assert_eq!(verdict(Check::Nothing, "", &old, false), Ok(()));
        assert_eq!(verdict(pkix("mx.test"), &good.root_pem, &good, false), Ok(()));
        assert_eq!(verdict(pkix("other.test"), &good.root_pem, &good, false), Err(Unmet::WrongName));
        assert_eq!(verdict(pkix("mx.test"), "", &good, false), Err(Unmet::NotTrusted));
        assert_eq!(verdict(pkix("mx.test"), &old.root_pem, &old, false), Err(Unmet::Expired));
        assert!(Roots::new("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n").is_err());
    }

    #[test]
    fn dane_ee_looks_at_the_certificate_alone() {
        let (good, old, stranger) = (made(false), made(true), made(false));
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let own = |made: &Made| association(3, selector, matching, &made.leaf);
                assert_eq!(verdict(dane(vec![own(&good)], "other.test"), "", &good, false), Ok(()));
                assert_eq!(verdict(dane(vec![own(&old)], "mx.test"), "", &old, false), Ok(()));
                let both = vec![own(&stranger), own(&good)];
                assert_eq!(verdict(dane(both, "mx.test"), "", &good, false), Ok(()));
                let wrong = dane(vec![own(&stranger)], "mx.test");
                assert_eq!(verdict(wrong, &good.root_pem, &good, true), Err(Unmet::TlsaMismatch));
            }
        }
    }

    #[test]
    fn dane_ta_looks_at_chain_name_and_dates() {
        let (good, old, stranger) = (made(false), made(true), made(false));
        for selector in [0, 1] {
            for matching in [0, 1, 2] {
                let root = |made: &Made| vec![association(2, selector, matching, &made.root)];
                assert_eq!(verdict(dane(root(&good), "mx.test"), "", &good, true), Ok(()));
                assert_eq!(verdict(dane(root(&good), "other.test"), "", &good, true), Err(Unmet::WrongName));
                assert_eq!(verdict(dane(root(&old), "mx.test"), "", &old, true), Err(Unmet::Expired));
                let wrong = verdict(dane(root(&stranger), "mx.test"), "", &good, true);
                assert!(wrong.is_err(), "{wrong:?}");
                // Without the authority in the chain only a record that holds all of it helps.
                let unsent = verdict(dane(root(&good), "mx.test"), "", &good, false);
                assert_eq!(unsent.is_ok(), selector == 0 && matching == 0);
            }
        }
    }

    #[test]
    fn records_that_smtp_cannot_use_are_known() {
        let usable = |usage, selector, matching, length| {
            Association { usage, selector, matching, data: vec![0; length] }.is_usable()
        };
        assert!(usable(3, 1, 1, 32) && usable(2, 0, 2, 64) && usable(3, 0, 0, 500));
        for (usage, selector, matching, length) in [
            (0, 1, 1, 32),
            (1, 1, 1, 32),
            (3, 2, 1, 32),
            (3, 1, 3, 32),
            (3, 1, 1, 31),
            (3, 1, 0, 0),
            (255, 0, 1, 32),
        ] {
            assert!(!usable(usage, selector, matching, length));
        }
    }
}
