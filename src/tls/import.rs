//! A certificate and its key as people bring them: PEM in one file or two, or PKCS #12; and what is inside, in words.
//!
//! The chain that comes out has no key in it, whatever the file had: everybody may read that column.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::{CertificateError, Certified, normal};
use super::pkcs12::{self, Pkcs12Error};
use crate::mail::domain_to_ascii;

/// Why files give no certificate.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The certificate's file has PEM in it, and other bytes.
    #[error("the file of the certificate is no text file")]
    ChainNotText,
    /// The key's file is not PEM.
    #[error("the file of the key is no text file: a key of its own is wanted as PEM")]
    KeyNotText,
    /// A key of its own belongs to PEM.
    #[error("the file of the certificate is no PEM file, and a key of its own belongs to those")]
    KeyBesidesPkcs12,
    /// What is wrong with the PKCS #12 file.
    #[error(transparent)]
    Pkcs12(#[from] Pkcs12Error),
}

/// Chain and key, as PEM: out of a file of certificates, with the key in it or in a file of its own; or out of PKCS #12.
///
/// # Errors
/// See [`ImportError`]. Whether the two belong together is looked at by [`Certified::from_pem`].
pub fn pair(file: &[u8], key: Option<&[u8]>, password: &str) -> Result<(String, String), ImportError> {
    if !file.windows(10).any(|piece| piece == b"-----BEGIN") {
        return match key {
            Some(_) => Err(ImportError::KeyBesidesPkcs12),
            None => Ok(pkcs12::read(file, password)?),
        };
    }
    let chain = std::str::from_utf8(file).map_err(|_| ImportError::ChainNotText)?;
    let key = match key {
        Some(key) => std::str::from_utf8(key).map_err(|_| ImportError::KeyNotText)?,
        None => chain,
    };
    Ok((without_keys(chain), key.to_owned()))
}

/// A host name, or a wildcard, as certificates have it.
///
/// # Errors
/// Says what is wrong with the name.
pub fn host_name(name: &str) -> Result<String, String> {
    let (wildcard, host) = name.strip_prefix("*.").map_or(("", name), |host| ("*.", host));
    let host = domain_to_ascii(host.trim().trim_end_matches('.').as_bytes())
        .map_err(|error| format!("\"{name}\": {error}; write a name like mail.example.org"))?;
    Ok(normal(&format!("{wildcard}{host}")))
}

/// The certificates of a file alone.
fn without_keys(pem: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in pem.lines().map(str::trim) {
        inside |= line == "-----BEGIN CERTIFICATE-----";
        if inside {
            kept.push_str(line);
            kept.push('\n');
        }
        inside &= line != "-----END CERTIFICATE-----";
    }
    kept
}

/// What people want to know of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside {
    /// Host names in it.
    pub names: Vec<String>,
    /// Whom it names.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Whether it vouches for itself.
    pub self_signed: bool,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Certificates in the chain, itself included.
    pub chain: usize,
}

/// Looks into a chain that has been read.
///
/// # Errors
/// When its first certificate can't be read.
pub fn inside(chain: &str, read: &Certified) -> Result<Inside, CertificateError> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::BadChain(error.to_string()))?;
    let first = certificates.first().ok_or(CertificateError::NoCertificate)?;
    let (_, parsed) =
        X509Certificate::from_der(first).map_err(|error| CertificateError::Unreadable(error.to_string()))?;
    Ok(Inside {
        names: read.own_names.clone(),
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        self_signed: parsed.subject() == parsed.issuer(),
        not_before: read.not_before,
        not_after: read.not_after,
        chain: certificates.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::certificate::self_signed;
    use super::*;

    #[test]
    fn a_chain_has_no_key_in_it() {
        let file = "Bag Attributes\r\n-----BEGIN PRIVATE KEY-----\r\nc2VjcmV0\r\n-----END PRIVATE KEY-----\r\n\
                    subject=x\n-----BEGIN CERTIFICATE-----\r\nAAAA\r\n-----END CERTIFICATE-----\r\nissuer=y\n\
                    -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----";
        let expected = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n\
                        -----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";
        assert_eq!(without_keys(file), expected);
        assert_eq!(without_keys(""), "");
    }

    #[test]
    fn host_names_are_as_certificates_have_them() {
        let cases = [
            ("Mail.Example.org.", Some("mail.example.org")),
            ("*.bücher.example", Some("*.xn--bcher-kva.example")),
            ("a b", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(host_name(name).ok().as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn files_are_told_apart() {
        let (chain, key) = self_signed(&["a.test".to_owned()]).unwrap();
        let both = format!("{key}{chain}");
        assert_eq!(pair(both.as_bytes(), None, "").unwrap().0, chain);
        assert_eq!(pair(chain.as_bytes(), Some(key.as_bytes()), "").unwrap(), (chain.clone(), key));
        for (file, key, says) in [
            (&b"\x30\x82"[..], Some(&b"x"[..]), "no PEM file"),
            (b"\x30\x82", None, "no PKCS #12 file"),
            (b"-----BEGIN \xff", None, "no text file"),
            (chain.as_bytes(), Some(b"\xff"), "file of the key"),
        ] {
            let said = pair(file, key, "").unwrap_err().to_string();
            assert!(said.contains(says), "{said} should say: {says}");
        }
    }

    #[test]
    fn what_is_inside_is_told() {
        let (chain, key) = self_signed(&["a.test".to_owned(), "b.test".to_owned()]).unwrap();
        let read = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap();
        let inside = inside(&chain, &read).unwrap();
        assert_eq!((inside.names.len(), inside.subject.as_str(), inside.chain), (2, "CN=a.test", 1));
        assert!(inside.self_signed);
    }
}
