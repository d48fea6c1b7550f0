//! Certificate and key out of a PKCS #12 file (RFC 7292), as Windows, Java and `openssl pkcs12` export them.
//!
//! What is in such a file comes in any order, with or without marks of what belongs together. So the pair is found by
//! its key, and the chain above it by the names of issuers. A root that signs itself stays out: nobody needs it sent
//! (RFC 8446 §4.4.2). Sizes and rounds of hashing are bounded, for a file may come from anybody.

use p12_keystore::{Pkcs12Archive, error::Error};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::certificate::{CertificateError, pem};

/// The largest file that is read, bytes.
pub const MAX_FILE: usize = 1024 * 1024;
/// Certificates and keys that are looked at.
const MAX_ENTRIES: usize = 64;

/// Why nothing comes out of a file.
#[derive(Debug, thiserror::Error)]
pub enum Pkcs12Error {
    /// It is something else.
    #[error("this is no PKCS #12 file (.p12, .pfx): {0}")]
    Unreadable(String),
    /// The password.
    #[error("the password of the file is wrong")]
    WrongPassword,
    /// More than anybody needs.
    #[error("the file holds more than {MAX_ENTRIES} certificates and keys, or is larger than 1 MiB")]
    TooLarge,
    /// There is nothing to serve in it.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// Reads chain and key, as PEM.
///
/// # Errors
/// See [`Pkcs12Error`].
pub fn read(file: &[u8], password: &str) -> Result<(String, String), Pkcs12Error> {
    if file.len() > MAX_FILE {
        return Err(Pkcs12Error::TooLarge);
    }
    let archive = Pkcs12Archive::from_pkcs12(file, password).map_err(|error| match error {
        // Files without a MAC show a wrong password by what it deciphers to.
        Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_) => Pkcs12Error::WrongPassword,
        other => Pkcs12Error::Unreadable(other.to_string()),
    })?;
    if archive.keys.len() + archive.certs.len() > MAX_ENTRIES {
        return Err(Pkcs12Error::TooLarge);
    }
    let certificates: Vec<&[u8]> = archive.certs.iter().map(|bag| bag.cert.as_der()).collect();
    if archive.keys.is_empty() {
        return Err(CertificateError::NoKey.into());
    }
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate.into());
    }
    let mut why = CertificateError::KeyMismatch;
    for key in archive.keys.iter().map(|bag| bag.key.as_der()) {
        for leaf in &certificates {
            match pair(leaf, key) {
                Ok(()) => {
                    let chain: String =
                        chain(leaf, &certificates).iter().map(|der| pem("CERTIFICATE", der)).collect();
                    return Ok((chain, pem("PRIVATE KEY", key)));
                }
                Err(rustls::Error::InconsistentKeys(_)) => {}
                Err(other) => why = CertificateError::Unsupported(other.to_string()),
            }
        }
    }
    Err(why.into())
}

/// Whether they belong together.
fn pair(certificate: &[u8], key: &[u8]) -> Result<(), rustls::Error> {
    let certificate = CertificateDer::from(certificate.to_vec());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
    CertifiedKey::from_der(vec![certificate], key, &super::provider()).map(drop)
}

/// A certificate and those above it, up to but without a root.
fn chain<'a>(leaf: &'a [u8], certificates: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let mut chain = vec![leaf];
    while let Some(last) = chain.last().and_then(|der| names(der)) {
        let above = certificates.iter().find(|der| {
            !chain.contains(der)
                && names(der).is_some_and(|(subject, issuer)| subject == last.1 && subject != issuer)
        });
        match above {
            Some(above) => chain.push(above),
            None => break,
        }
    }
    chain
}

/// Subject and issuer, DER.
fn names(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (_, read) = X509Certificate::from_der(der).ok()?;
    Some((read.subject().as_raw().to_vec(), read.issuer().as_raw().to_vec()))
}

#[cfg(test)]
mod tests {
    use p12_keystore::{
        Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain,
    };
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;
    use crate::tls::certificate::Certified;

    /// Leaf, intermediate and root, and the leaf's key; DER.
    fn made() -> ([Vec<u8>; 3], Vec<u8>) {
        let authority = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name.push(DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            (params, KeyPair::generate().unwrap())
        };
        let (root, root_key) = authority("root");
        let (middle, middle_key) = authority("middle");
        let leaf_key = KeyPair::generate().unwrap();
        let root_certificate = root.self_signed(&root_key).unwrap();
        let root = Issuer::new(root, root_key);
        let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
        let middle = Issuer::new(middle, middle_key);
        let leaf = CertificateParams::new(vec!["mail.example.test".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &middle).unwrap();
        let ders = [leaf.der().to_vec(), middle_certificate.der().to_vec(), root_certificate.der().to_vec()];
        (ders, leaf_key.serialize_der())
    }

    fn file(certificates: &[&[u8]], key: &[u8], how: EncryptionAlgorithm) -> Vec<u8> {
        let certificates: Vec<_> =
            certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let mut store = KeyStore::new();
        let key = PrivateKey::from_der(key).unwrap();
        store.add_entry(
            "mail",
            KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("one", key, certificates)),
        );
        store.writer("sesame").encryption_algorithm(how).write().unwrap()
    }

    #[test]
    fn the_pair_and_its_chain_are_found_in_any_order() {
        let ([leaf, middle, root], key) = made();
        let orders: [&[&[u8]]; 3] = [&[&leaf, &middle, &root], &[&root, &middle, &leaf], &[&middle, &leaf]];
        for (at, certificates) in orders.iter().enumerate() {
            for how in [
                EncryptionAlgorithm::PbeWithHmacSha256AndAes256,
                EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc,
            ] {
                let (chain, key) = read(&file(certificates, &key, how), "sesame").unwrap();
                assert_eq!(chain, [&leaf, &middle].map(|der| pem("CERTIFICATE", der)).concat(), "order {at}");
                let read = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap();
                assert_eq!(read.names, ["mail.example.test"]);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let ([leaf, middle, _], key) = made();
        let how = EncryptionAlgorithm::PbeWithHmacSha256AndAes256;
        let good = file(&[&leaf], &key, how);
        let other = KeyPair::generate().unwrap().serialize_der();
        let cases: &[(Vec<u8>, &str, &str)] = &[
            (good.clone(), "open", "password of the file is wrong"),
            (good.clone(), "", "password of the file is wrong"),
            (good[..good.len() / 2].to_vec(), "sesame", "no PKCS #12 file"),
            (Vec::new(), "sesame", "no PKCS #12 file"),
            (b"-----BEGIN CERTIFICATE-----".to_vec(), "sesame", "no PKCS #12 file"),
            (vec![0x30; MAX_FILE + 1], "sesame", "larger than 1 MiB"),
            (file(&[&leaf, &middle], &other, how), "sesame", "does not belong"),
            (file(&[], &key, how), "sesame", "holds no certificate"),
        ];
        for (file, password, wanted) in cases {
            let said = read(file, password).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said} should say: {wanted}");
        }
    }
}
