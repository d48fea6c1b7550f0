//! A certificate with its key: from PEM, checked, with errors for the person who pasted it.
//!
//! Keys are taken as PKCS#8, PKCS#1 or SEC 1 (RFC 7468 §10, RFC 8017 A.1.2, RFC 5915). An expired certificate is kept
//! and only warned about: a mail server that stops speaking TLS is worse than one that clients complain about.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

use crate::mail::hex;

/// A certificate that can be served.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Host names it answers for, lower case; a name may begin with `*.`.
    pub names: Vec<String>,
    /// Host names inside it.
    pub own_names: Vec<String>,
    /// The beginning of its validity.
    pub not_before: Timestamp,
    /// The end of its validity.
    pub not_after: Timestamp,
    /// Chain and private key, as rustls wants them.
    pub key: Arc<CertifiedKey>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4.1), where it is defined for this certificate.
    pub end_point_hash: Option<Vec<u8>>,
}

/// Why a pair of PEM texts can't be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No `CERTIFICATE` block.
    #[error("the chain holds no certificate: it should begin with -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// The text of the chain is damaged.
    #[error("the certificate chain isn't valid PEM: {0}")]
    BadChain(String),
    /// No private key block.
    #[error(
        "there is no private key: a block PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY is wanted, without a passphrase"
    )]
    NoKey,
    /// The text of the key is damaged.
    #[error("the private key isn't valid PEM: {0}")]
    BadKey(String),
    /// The first certificate can't be understood.
    #[error("the first certificate of the chain can't be read: {0}")]
    Unreadable(String),
    /// Key and certificate are no pair.
    #[error(
        "the private key does not belong to the first certificate of the chain (the server's own certificate comes first, then the intermediates)"
    )]
    KeyMismatch,
    /// A kind of key, or a version of certificate, that isn't supported.
    #[error("this certificate or key can't be used: {0}")]
    Unsupported(String),
    /// Its time is over.
    #[error("the certificate has expired on {0}: ask for a new one")]
    Expired(Timestamp),
    /// Its time has not come.
    #[error("the certificate is not valid before {0}; is the clock of this host right?")]
    NotYetValid(Timestamp),
    /// A name that is wanted is none of its own.
    #[error("the certificate is not for {0}: it is for {1}")]
    WrongName(String, String),
    /// Neither given nor found in the certificate.
    #[error("the certificate names no host, and none was given")]
    NoNames,
    /// A self-signed certificate could not be made.
    #[error("a self-signed certificate could not be made: {0}")]
    NotMade(String),
}

/// SHA-256 of the public key of a chain's first certificate, in hexadecimal: what a TLSA record `3 1 1` holds.
///
/// # Errors
/// When there is no certificate that can be read.
pub fn key_digest(chain: &[u8]) -> Result<String, CertificateError> {
    let first = CertificateDer::pem_slice_iter(chain).next().ok_or(CertificateError::NoCertificate)?;
    let first = first.map_err(|error| CertificateError::BadChain(error.to_string()))?;
    let (_, parsed) =
        X509Certificate::from_der(&first).map_err(|error| CertificateError::Unreadable(error.to_string()))?;
    let digest = ring::digest::digest(&ring::digest::SHA256, parsed.public_key().raw);
    Ok(hex(digest.as_ref()))
}

impl Certified {
    /// Reads a chain (the server's own certificate first) and its key. Without `names` the certificate's own are used.
    ///
    /// # Errors
    /// Says what is wrong with which of the two texts.
    pub fn from_pem(chain: &[u8], key: &[u8], names: &[String]) -> Result<Self, CertificateError> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| CertificateError::BadChain(error.to_string()))?;
        let leaf = chain.first().ok_or(CertificateError::NoCertificate)?.clone();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => CertificateError::NoKey,
            other => CertificateError::BadKey(other.to_string()),
        })?;
        let (_, parsed) = X509Certificate::from_der(&leaf)
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        let not_before = moment(parsed.validity().not_before.timestamp());
        let not_after = moment(parsed.validity().not_after.timestamp());
        let own_names = own_names(&parsed);
        let mut names: Vec<String> = names.iter().map(|name| normal(name)).collect();
        if names.is_empty() {
            names.clone_from(&own_names);
        }
        if names.is_empty() {
            return Err(CertificateError::NoNames);
        }
        let key = CertifiedKey::from_der(chain, key, &super::provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::KeyMismatch,
            other => CertificateError::Unsupported(other.to_string()),
        })?;
        let end_point_hash = end_point_hash(&leaf);
        Ok(Self { names, own_names, not_before, not_after, key: Arc::new(key), end_point_hash })
    }

    /// Whether a client that verifies would accept it now under each of its `names`, as far as that can be told without
    /// its authority.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self, now: Timestamp) -> Result<(), CertificateError> {
        if self.expired(now) {
            return Err(CertificateError::Expired(self.not_after));
        }
        if now < self.not_before {
            return Err(CertificateError::NotYetValid(self.not_before));
        }
        match self.names.iter().find(|name| !self.is_for(name)) {
            Some(name) => Err(CertificateError::WrongName(name.clone(), self.own_names.join(", "))),
            None => Ok(()),
        }
    }

    /// Whether it has this name inside, itself or as a wildcard (RFC 6125 §6.4.3).
    fn is_for(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.own_names
            .iter()
            .any(|own| own == name || own.strip_prefix("*.").is_some_and(|above| Some(above) == parent))
    }

    /// Whether its time is over at `now`.
    pub fn expired(&self, now: Timestamp) -> bool {
        self.not_after < now
    }
}

/// Makes a certificate that nobody but us vouches for; gives chain and key as PEM.
///
/// It lasts ten years. The 825 or 398 days of public authorities limit how long a wrongly issued certificate can be
/// abused, and apply where someone verifies; a self-signed certificate is accepted by hand or not looked at, and its
/// expiry would only break a server on a day that nobody remembers. Ten years is past the life of the installation.
///
/// # Errors
/// When a name is no host name, or the system gives no randomness.
pub fn self_signed(names: &[String]) -> Result<(String, String), CertificateError> {
    let refuse = |error: rcgen::Error| CertificateError::NotMade(error.to_string());
    let first = names.first().ok_or(CertificateError::NoNames)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(refuse)?;
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    let year = i32::from(Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year());
    // From the start of this year: a client whose clock is behind still accepts it.
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + 10, 12, 31);
    let key = KeyPair::generate().map_err(refuse)?;
    let certificate = params.self_signed(&key).map_err(refuse)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// What is shown to an authority that asks by TLS whether `name` is ours (RFC 8737 §3); `digest` is the SHA-256 of the
/// key authorization. Gives certificate and key as PEM.
///
/// # Errors
/// When the name is no host name, or the system gives no randomness.
pub fn acme_answer(name: &str, digest: &[u8; 32]) -> Result<(String, String), CertificateError> {
    let refuse = |error: rcgen::Error| CertificateError::NotMade(error.to_string());
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(refuse)?;
    params.custom_extensions.push(CustomExtension::new_acme_identifier(digest));
    let key = KeyPair::generate().map_err(refuse)?;
    let certificate = params.self_signed(&key).map_err(refuse)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Reads what [`acme_answer`] made. The identifier in it is critical, and known to nobody but the authority: so key and
/// certificate are not compared.
///
/// # Errors
/// Says which of the two texts can't be read.
pub fn read_acme_answer(chain: &str, key: &str) -> Result<Arc<CertifiedKey>, CertificateError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| CertificateError::BadChain(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| CertificateError::BadKey(error.to_string()))?;
    let key = super::provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| CertificateError::Unsupported(error.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

/// A new private key (ECDSA P-256), PEM.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key() -> Result<String, CertificateError> {
    let key = KeyPair::generate().map_err(|error| CertificateError::NotMade(error.to_string()))?;
    Ok(key.serialize_pem())
}

/// A request for a certificate with these names (PKCS #10, RFC 2986), DER, signed with a key in PEM.
///
/// # Errors
/// When the key can't be read, or a name is no host name.
pub fn request(names: &[String], key: &str) -> Result<Vec<u8>, CertificateError> {
    let refuse = |error: rcgen::Error| CertificateError::NotMade(error.to_string());
    let key = KeyPair::from_pem(key).map_err(refuse)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(refuse)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key).map_err(refuse)?.der().to_vec())
}

/// A block of PEM (RFC 7468 §2).
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The channel binding `tls-server-end-point` of a certificate in DER (RFC 5929 §4.1): its hash under the hash function
/// of its signature, MD5 and SHA-1 replaced by SHA-256. `None` where the signature has no single hash function
/// (Ed25519), for which the RFC leaves the binding undefined.
pub fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let identifier = &parsed.signature_algorithm;
    let oid = match SignatureAlgorithm::try_from(identifier) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => parameters.hash_algorithm_oid().to_id_string(),
        _ => identifier.algorithm.to_id_string(),
    };
    let algorithm = match oid.as_str() {
        // md5WithRSA, sha1WithRSA, ecdsa-with-SHA1, SHA-1; then the SHA-256 of RSA, ECDSA and PSS.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.3.14.3.2.26"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2"
        | "2.16.840.1.101.3.4.2.1" => &ring::digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => &ring::digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => &ring::digest::SHA512,
        _ => return None,
    };
    Some(ring::digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The names in a certificate: its DNS subject alternative names (RFC 6125 §6.4.4), else its common name.
fn own_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(normal(name));
            }
        }
    }
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        names.extend(common.map(normal));
    }
    names
}

/// A time in a certificate. The end of the year 9999 stands for "never" (RFC 5280 §4.1.2.5) and is as near as can be.
fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(if second < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// A host name as it is compared: lower case, no final dot.
pub fn normal(name: &str) -> String {
    name.trim().trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn refuses_what_cannot_be_served() {
        let (chain, key) = self_signed(&names(&["mail.example.test"])).unwrap();
        let (_, other) = self_signed(&names(&["mail.example.test"])).unwrap();
        let cases: &[(&str, &str, &str)] = &[
            ("", &key, "holds no certificate"),
            (&key, &key, "holds no certificate"),
            (&chain, "", "no private key"),
            (&chain, &chain, "no private key"),
            (&chain, &other, "does not belong"),
            ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", &key, "isn't valid PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "can't be read"),
            (&chain, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "can't be used"),
        ];
        for (chain, key, wanted) in cases {
            let error = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} should say: {wanted}");
        }
        assert!(matches!(self_signed(&[]), Err(CertificateError::NoNames)));
    }

    #[test]
    fn reads_its_own_names_and_takes_given_ones() {
        let (chain, key) =
            self_signed(&names(&["Mail.Example.Test", "*.example.test", "192.0.2.1"])).unwrap();
        let own = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap();
        assert_eq!(own.names, ["mail.example.test", "*.example.test"]);
        let given = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &names(&["Other.Test."])).unwrap();
        assert_eq!(given.names, ["other.test"]);
    }

    #[test]
    fn is_checked_as_a_client_would() {
        let (chain, key) = self_signed(&names(&["mail.example.test", "*.example.test"])).unwrap();
        let now = Timestamp::now();
        let years = |years: i64| jiff::SignedDuration::from_hours(years * 365 * 24);
        let cases: &[(&[&str], Timestamp, &str)] = &[
            (&[], now, ""),
            (&["mail.example.test", "IMAP.example.test."], now, ""),
            (
                &["a.b.example.test"],
                now,
                "is not for a.b.example.test: it is for mail.example.test, *.example.test",
            ),
            (&["example.test"], now, "is not for example.test"),
            (&[], now + years(12), "has expired on"),
            (&[], now - years(2), "is not valid before"),
        ];
        for (wanted, now, error) in cases {
            let read = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &names(wanted)).unwrap();
            let said = read.check(*now).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(said.contains(error) && said.is_empty() == error.is_empty(), "{wanted:?}: {said}");
        }
    }

    #[test]
    fn an_answer_to_an_authority_has_the_digest_inside() {
        // RFC 8737 §3: one name, and a critical extension whose value is an OCTET STRING with the digest.
        let (chain, key) = acme_answer("mail.example.test", &[7; 32]).unwrap();
        let answer = read_acme_answer(&chain, &key).unwrap();
        let (_, read) = X509Certificate::from_der(&answer.cert[0]).unwrap();
        assert_eq!(own_names(&read), ["mail.example.test"]);
        let identifier =
            read.extensions().iter().find(|one| one.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(identifier.critical);
        assert_eq!(identifier.value, [&[4, 32][..], &[7; 32]].concat());
    }

    #[test]
    fn a_request_has_the_names_and_is_signed() {
        use x509_parser::certification_request::X509CertificationRequest;
        let key = new_key().unwrap();
        let der = request(&names(&["a.test", "b.test"]), &key).unwrap();
        let (_, read) = X509CertificationRequest::from_der(&der).unwrap();
        let extensions = format!("{:?}", read.requested_extensions().unwrap().collect::<Vec<_>>());
        assert!(extensions.contains("a.test") && extensions.contains("b.test"), "{extensions}");
        assert!(request(&names(&["a.test"]), "no key").is_err());
    }

    #[test]
    fn a_self_signed_certificate_lasts_ten_years() {
        let (chain, key) = self_signed(&names(&["a.test"])).unwrap();
        let made = Certified::from_pem(chain.as_bytes(), key.as_bytes(), &[]).unwrap();
        let hours = |years: i64| jiff::SignedDuration::from_hours(years * 365 * 24);
        assert!(!made.expired(Timestamp::now() + hours(10)));
        assert!(made.expired(Timestamp::now() + hours(12)));
    }

    #[test]
    fn the_end_point_hash_follows_the_signature() {
        let params = CertificateParams::new(names(&["a.test"])).unwrap();
        let hash = |algorithm| {
            let key = KeyPair::generate_for(algorithm).unwrap();
            end_point_hash(params.self_signed(&key).unwrap().der()).map(|hash| hash.len())
        };
        assert_eq!(hash(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(hash(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(hash(&rcgen::PKCS_ED25519), None);
        assert_eq!(end_point_hash(b"not a certificate"), None);
    }
}
