//! A certificate authority of a test's own.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;

/// A root that nobody knows but who is told.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    pem: String,
    key_info: Vec<u8>,
}

/// A server's certificate and key.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The server's own certificate and then the root (DANE-TA needs it there), PEM.
    pub chain: String,
    /// Its private key, PEM.
    pub key: String,
    /// Its own certificate, DER.
    pub certificate: Vec<u8>,
    /// Its SubjectPublicKeyInfo, DER.
    pub key_info: Vec<u8>,
}

impl Ca {
    /// Makes one.
    pub fn new() -> Ca {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "A test's own root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let key_info = key.subject_public_key_info();
        let certificate = params.self_signed(&key).unwrap();
        let (root, pem) = (certificate.der().clone(), certificate.pem());
        Ca { issuer: Issuer::new(params, key), root, pem, key_info }
    }

    /// The root, as settings want it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these host names, valid now.
    pub fn certificate(&self, names: &[&str]) -> Identity {
        self.sign(names, |_| {})
    }

    /// The same, but its time is over.
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.sign(names, |params| {
            params.not_before = rcgen::date_time_ymd(2001, 1, 1);
            params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        })
    }

    fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: format!("{}{}", certificate.pem(), self.pem),
            key: key.serialize_pem(),
            certificate: certificate.der().to_vec(),
            key_info: key.subject_public_key_info(),
        }
    }

    /// `2 0 1` (DANE-TA, the root's SHA-256), as a TLSA record's data.
    pub fn tlsa_2_0_1(&self) -> String {
        format!("2 0 1 {}", sha256(&self.root))
    }

    /// `2 1 1` (DANE-TA, SHA-256 of the root's key), as a TLSA record's data.
    pub fn tlsa_2_1_1(&self) -> String {
        format!("2 1 1 {}", sha256(&self.key_info))
    }
}

impl Identity {
    /// `3 1 1` (DANE-EE, SHA-256 of the key), as a TLSA record's data.
    pub fn tlsa_3_1_1(&self) -> String {
        format!("3 1 1 {}", sha256(&self.key_info))
    }

    /// `3 0 1` (DANE-EE, SHA-256 of the certificate), as a TLSA record's data.
    pub fn tlsa_3_0_1(&self) -> String {
        format!("3 0 1 {}", sha256(&self.certificate))
    }

    /// As rustls wants it.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap())
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
