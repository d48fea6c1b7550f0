//! Signatures on what we send: DKIM (RFC 6376, RFC 8463) and ARC (RFC 8617), relaxed/relaxed and SHA-256.
//!
//! Pure: a key, a header and the hash of a body give header lines. From is signed once more often than it is there, so that
//! nobody can add a second one; a signature never covers what servers on the way change (Received, Return-Path,
//! Authentication-Results).

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};

use crate::mime::header::{Field, fields};

/// What a signature covers, where it is there (RFC 6376 §5.4.1, and what tells how a body is read).
const SIGNED: &[&str] = &[
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Subject",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Resent-From",
    "Resent-To",
    "Resent-Date",
    "Resent-Message-ID",
    "Autocrypt",
    "Auto-Submitted",
];
/// Fields of one name that are signed at most; a header with more of them is none that a mail program makes.
const MOST: usize = 30;

/// A key that signs.
pub struct Key {
    /// The domain that signs.
    pub domain: String,
    /// The key's name in the DNS.
    pub selector: String,
    pair: Pair,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// A private key that can't be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// No PEM around base64.
    #[error("the private key is no PKCS #8 in PEM (BEGIN PRIVATE KEY)")]
    Pem,
    /// PEM with something else inside, or a key that ring refuses.
    #[error("the private key is no {0} key that can be used: {1}")]
    Rejected(&'static str, String),
    /// No such algorithm.
    #[error("the algorithm is none that signs mail")]
    Algorithm,
}

impl Key {
    /// Reads a private key: PKCS #8 in PEM, for `rsa-sha256` or `ed25519-sha256`.
    pub fn read(domain: &str, selector: &str, algorithm: &str, pem: &str) -> Result<Self, KeyError> {
        let text: String = pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(text).map_err(|_| KeyError::Pem)?;
        let pair = match algorithm {
            "rsa-sha256" => RsaKeyPair::from_pkcs8(&der)
                .map(|pair| Pair::Rsa(Box::new(pair)))
                .map_err(|e| KeyError::Rejected("RSA", e.to_string()))?,
            "ed25519-sha256" => Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der)
                .map(Pair::Ed25519)
                .map_err(|e| KeyError::Rejected("Ed25519", e.to_string()))?,
            _ => return Err(KeyError::Algorithm),
        };
        Ok(Self { domain: domain.to_owned(), selector: selector.to_owned(), pair })
    }

    /// The public key as it stands in a DNS record behind `p=`.
    pub fn public(&self) -> String {
        match &self.pair {
            Pair::Ed25519(pair) => STANDARD.encode(pair.public_key()),
            Pair::Rsa(pair) => STANDARD.encode(subject_public_key_info(pair.public_key().as_ref())),
        }
    }

    /// Whether it is an RSA key.
    pub fn is_rsa(&self) -> bool {
        matches!(self.pair, Pair::Rsa(_))
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Rsa(_) => "rsa-sha256",
            Pair::Ed25519(_) => "ed25519-sha256",
        }
    }

    /// A signature of a message's header and body (RFC 6376 §3.5, RFC 8617 §4.1.2) that begins so, up to the signature itself.
    fn signature(&self, begin: &str, names: &str, body: &[u8], at: Timestamp) -> String {
        format!(
            "{begin}; a={}; c=relaxed/relaxed;\r\n\td={}; s={}; t={};\r\n\th={names};\r\n\tbh={};\r\n\tb=",
            self.algorithm(),
            self.domain,
            self.selector,
            at.as_second(),
            STANDARD.encode(body)
        )
    }

    fn sign(&self, data: &[u8]) -> Option<String> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), data, &mut signature).ok()?;
                Some(STANDARD.encode(signature))
            }
            // RFC 8463 §3: Ed25519 signs the hash.
            Pair::Ed25519(pair) => {
                Some(STANDARD.encode(pair.sign(ring::digest::digest(&ring::digest::SHA256, data).as_ref())))
            }
        }
    }
}

/// An RSA public key with its algorithm in front (RFC 5280 §4.1.2.7), which RFC 6376 §3.6.1 means by `p=`.
fn subject_public_key_info(key: &[u8]) -> Vec<u8> {
    // rsaEncryption (RFC 3279 §2.3.1), without parameters.
    const ALGORITHM: &[u8] = &[0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
    let bits = der(3, &[&[0], key].concat());
    der(0x30, &[ALGORITHM, &bits].concat())
}

/// A DER value with tag and length.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let size = content.len().to_be_bytes();
    let significant =
        size.iter().position(|byte| *byte != 0).map_or(&[][..], |at| size.get(at..).unwrap_or_default());
    let mut out = vec![tag];
    match significant {
        [] => out.push(0),
        [small] if *small < 128 => out.push(*small),
        // A length has at most eight bytes.
        long => {
            out.push(0x80 | long.len() as u8);
            out.extend_from_slice(long);
        }
    }
    out.extend_from_slice(content);
    out
}

/// DKIM-Signature lines, one for each key. `header` is the whole header that goes out; `body` the hash of the body.
pub fn dkim(keys: &[impl AsRef<Key>], header: &[u8], body: &[u8], at: Timestamp) -> Vec<u8> {
    let (names, signed) = signed_fields(header, true);
    let mut out = Vec::new();
    for key in keys {
        let key = key.as_ref();
        let field = key.signature("DKIM-Signature: v=1", &names, body, at);
        close(key, field, &signed, &mut out);
    }
    out
}

/// The link of a chain of ARC sets that we add.
pub struct Link<'a> {
    /// Its number: 1 for the first one.
    pub instance: u32,
    /// Whether the chain so far was verified: `none` for the first link, else `pass`.
    pub chain: &'static str,
    /// Names and values of the sets so far in their order: of each the results, the signature and the seal.
    pub before: &'a [(&'a [u8], &'a [u8])],
    /// Our results, as in Authentication-Results behind the colon, folded as needed.
    pub results: &'a str,
}

/// An ARC set: ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results (RFC 8617 §5.1).
pub fn arc(key: &Key, link: &Link<'_>, header: &[u8], body: &[u8], at: Timestamp) -> Option<Vec<u8>> {
    let results = format!("ARC-Authentication-Results: i={}; {}\r\n", link.instance, link.results);
    let (names, signed) = signed_fields(header, false);
    let mut signature = Vec::new();
    let begin = format!("ARC-Message-Signature: i={}", link.instance);
    let field = key.signature(&begin, &names, body, at);
    close(key, field, &signed, &mut signature);
    let mut sealed = Vec::new();
    for (name, value) in link.before {
        relaxed(name, value, &mut sealed);
    }
    for field in fields(results.as_bytes()).chain(fields(&signature)) {
        relaxed(field.name, field.value, &mut sealed);
    }
    let mut out = Vec::new();
    let field = format!(
        "ARC-Seal: i={}; a={}; cv={};\r\n\td={}; s={}; t={};\r\n\tb=",
        link.instance,
        key.algorithm(),
        link.chain,
        key.domain,
        key.selector,
        at.as_second()
    );
    close(key, field, &sealed, &mut out);
    if signature.is_empty() || out.is_empty() {
        return None;
    }
    out.extend_from_slice(&signature);
    out.extend_from_slice(results.as_bytes());
    Some(out)
}

/// Signs `signed` and the field itself, which ends in an empty `b=`, and writes the field with its signature.
fn close(key: &Key, field: String, signed: &[u8], out: &mut Vec<u8>) {
    let mut data = signed.to_vec();
    let (name, value) = field.split_once(':').unwrap_or_default();
    relaxed(name.as_bytes(), value.as_bytes(), &mut data);
    // RFC 6376 §3.7: the signature field comes last, without its line end.
    data.truncate(data.len() - 2);
    let Some(signature) = key.sign(&data) else {
        tracing::error!(domain = key.domain, selector = key.selector, "a message could not be signed");
        return;
    };
    out.extend_from_slice(field.as_bytes());
    for (place, line) in signature.as_bytes().chunks(72).enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\r\n\t ");
        }
        out.extend_from_slice(line);
    }
    out.extend_from_slice(b"\r\n");
}

/// The names that a signature will list, and the fields as they are signed: of each name from the bottom up (RFC 6376
/// §5.4.2). An ARC signature covers the DKIM signatures too (RFC 8617 §4.1.2).
fn signed_fields(header: &[u8], dkim: bool) -> (String, Vec<u8>) {
    let mut names = String::new();
    let mut signed = Vec::new();
    let list = |name: &str, names: &mut String| {
        if !names.is_empty() {
            let line = names.rsplit('\t').next().map_or(0, str::len);
            names.push_str(if line + name.len() > 70 { ":\r\n\t" } else { ":" });
        }
        names.push_str(name);
    };
    let all: Vec<Field<'_>> = fields(header).collect();
    let others = (!dkim).then_some("DKIM-Signature");
    for name in SIGNED.iter().copied().chain(others) {
        for field in all.iter().rev().filter(|field| field.is(name)).take(MOST) {
            list(name, &mut names);
            relaxed(field.name, field.value, &mut signed);
        }
        if name == "From" && dkim {
            list(name, &mut names);
        }
    }
    (names, signed)
}

/// A field in the relaxed form (RFC 6376 §3.4.2).
fn relaxed(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.trim_ascii().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let mut space = false;
    for &byte in value.trim_ascii() {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => space = true,
            other => {
                if space {
                    out.push(b' ');
                    space = false;
                }
                out.push(other);
            }
        }
    }
    // Writing to memory does not fail.
    out.write_all(b"\r\n").ok();
}

impl AsRef<Key> for Key {
    fn as_ref(&self) -> &Key {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relaxed_form() {
        let mut out = Vec::new();
        relaxed(b"SUBJect ", b" \t a  b\r\n\t c \r\n", &mut out);
        assert_eq!(out, b"subject:a b c\r\n");
    }

    #[test]
    fn signs_from_below_and_once_more() {
        let (names, signed) = signed_fields(b"From: a\r\nTo: 1\r\nX: x\r\nTo: 2\r\n", true);
        assert_eq!(names, "From:From:To:To");
        assert_eq!(signed, b"from:a\r\nto:2\r\nto:1\r\n");
        let (names, _) = signed_fields(b"DKIM-Signature: x\r\nFrom: a\r\n", false);
        assert_eq!(names, "From:DKIM-Signature");
    }

    #[test]
    fn lengths_in_der() {
        assert_eq!(der(4, &[]), [4, 0]);
        assert_eq!(der(4, &[1; 127])[..2], [4, 127]);
        assert_eq!(der(4, &[1; 200])[..3], [4, 0x81, 200]);
        assert_eq!(der(4, &[1; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn a_bad_key_is_told() {
        assert_eq!(Key::read("a.test", "s", "rsa-sha256", "x y").err(), Some(KeyError::Pem));
        let pem = "-----BEGIN PRIVATE KEY-----\nYWJj\n-----END PRIVATE KEY-----\n";
        assert!(matches!(Key::read("a.test", "s", "rsa-sha256", pem), Err(KeyError::Rejected("RSA", _))));
    }
}
