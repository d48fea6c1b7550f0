//! The client's side of TLS, towards PostgreSQL, with the meanings libpq gives to `sslmode`
//! (PostgreSQL documentation, "libpq: SSL Support", table 32.1).
//!
//! `prefer` and `require` encrypt and verify nothing, as in libpq: they keep out listeners, not impostors. As in libpq,
//! `require` with a root certificate at hand means `verify-ca`. Whether a connection tries TLS at all is for the
//! caller's connection settings to say; this module makes what is used when it does.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::trust::{Anybody, Shown, Trust, Verifier};

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// No TLS.
    Disable,
    /// TLS when the server has it, unverified. libpq's `allow` is taken as this.
    #[default]
    Prefer,
    /// TLS, unverified (with a root certificate: as [`Mode::VerifyCa`]).
    Require,
    /// TLS, and the certificate comes from a trusted authority.
    VerifyCa,
    /// TLS, and the certificate is the one of the host we asked for.
    VerifyFull,
}

/// Why a connector can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    /// No such `sslmode`.
    #[error(
        "sslmode \"{0}\" is unknown; it is one of disable, allow, prefer, require, verify-ca, verify-full"
    )]
    UnknownMode(String),
    /// The file of `sslrootcert`.
    #[error("the root certificates in {} can't be read: {reason}", path.display())]
    RootFile {
        /// The file named.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system has none.
    #[error(
        "this system has no root certificates to verify PostgreSQL with ({0}); name a file by sslrootcert, or install the package ca-certificates"
    )]
    NoSystemRoots(String),
    /// rustls refuses.
    #[error("TLS towards PostgreSQL can't be set up: {0}")]
    Tls(String),
}

impl FromStr for Mode {
    type Err = ConnectorError;

    fn from_str(word: &str) -> Result<Self, ConnectorError> {
        Ok(match word {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => return Err(ConnectorError::UnknownMode(other.to_owned())),
        })
    }
}

/// What tokio-postgres needs to speak TLS under this mode. Roots are those in `root_cert` (PEM), else the system's.
///
/// # Errors
/// When roots are needed and there are none.
pub fn postgres_tls(mode: Mode, root_cert: Option<&Path>) -> Result<MakeRustlsConnect, ConnectorError> {
    let provider = super::provider();
    let tls = |error: &dyn std::fmt::Display| ConnectorError::Tls(error.to_string());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, root_cert) {
        (Mode::Disable | Mode::Prefer, _) | (Mode::Require, None) => Arc::new(Verifier::new(Anybody)),
        (Mode::Require | Mode::VerifyCa | Mode::VerifyFull, _) => {
            let roots = Arc::new(roots(root_cert)?);
            let strict = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|error| tls(&error))?;
            match mode {
                Mode::VerifyFull => strict,
                _ => Arc::new(Verifier::new(AnyName(strict))),
            }
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| tls(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, ConnectorError> {
    let mut store = RootCertStore::empty();
    let Some(path) = file else {
        let system = rustls_native_certs::load_native_certs();
        store.add_parsable_certificates(system.certs);
        if store.is_empty() {
            let first = system.errors.first().map_or("none found".to_owned(), ToString::to_string);
            return Err(ConnectorError::NoSystemRoots(first));
        }
        return Ok(store);
    };
    let wrong = |reason: String| ConnectorError::RootFile { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(store)
}

/// `verify-ca`: the chain must be good, the name may be any. The inner verifier looks at the name only after the chain
/// was found good, so its complaint about a name says that all else is well.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl Trust for AnyName {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        match shown.satisfies(&self.0, shown.name) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::{ServerName, UnixTime};

    /// A root, and a leaf for `db.test` that it signed.
    fn authority() -> (CertificateDer<'static>, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["db.test".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        (root.der().clone(), leaf.der().clone())
    }

    #[test]
    fn verify_ca_looks_at_the_chain_and_not_at_the_name() {
        let (root, leaf) = authority();
        let (_, stranger) = authority();
        let mut store = RootCertStore::empty();
        store.add(root).unwrap();
        let strict = WebPkiServerVerifier::builder_with_provider(Arc::new(store), crate::tls::provider());
        let strict = strict.build().unwrap();
        let any = Verifier::new(AnyName(strict.clone()));
        let verdict =
            |verifier: &dyn ServerCertVerifier, certificate: &CertificateDer<'_>, name: &'static str| {
                let name = ServerName::try_from(name).unwrap();
                verifier.verify_server_cert(certificate, &[], &name, &[], UnixTime::now()).is_ok()
            };
        assert!(!verdict(&any, &stranger, "db.test"));
        assert!(!verdict(&*strict, &leaf, "other.test"));
        assert!(verdict(&any, &leaf, "other.test"));
        assert!(verdict(&any, &leaf, "db.test"));
        assert!(verdict(&*strict, &leaf, "db.test"));
    }

    #[test]
    fn a_root_file_must_hold_certificates() {
        let missing = postgres_tls(Mode::VerifyFull, Some(Path::new("/nonexistent/root.pem"))).err().unwrap();
        assert!(missing.to_string().contains("/nonexistent/root.pem"), "{missing}");
        let empty = postgres_tls(Mode::Require, Some(Path::new("/dev/null"))).err().unwrap();
        assert!(empty.to_string().contains("holds no certificate"), "{empty}");
        assert!(postgres_tls(Mode::Require, None).is_ok());
        assert!("verify_full".parse::<Mode>().is_err());
        assert_eq!("verify-ca".parse::<Mode>().unwrap(), Mode::VerifyCa);
    }
}
