//! A message as it passes: its header is kept, its body hashed, and nothing else of it.
//!
//! Which hashes are made is known when the header is whole: those that the message's own signatures ask for (at most four:
//! two canonicalisations, two algorithms), and the one that our signature will need. Signatures with a body length
//! (`l=`) ask for none: they protect nothing that stands behind it, and are not believed.

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha1, Sha256};
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;

use crate::mime::header::fields;

type Context = <Sha256 as HashImpl>::Context;

/// A message that is passing through.
pub struct Observed {
    header: Vec<u8>,
    hashes: Vec<Hash>,
}

struct Hash {
    body: Canonicalization,
    algorithm: HashAlgorithm,
    hasher: BodyHasher<Context>,
}

/// A message that has passed: header and body hashes.
pub struct Seen {
    /// The header, without the blank line.
    pub header: Vec<u8>,
    hashes: Vec<(Canonicalization, HashAlgorithm, Vec<u8>)>,
}

/// What is to be done with a message, and so which hashes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose {
    /// Its own signatures will be verified.
    pub verify: bool,
    /// It will be signed, or sealed.
    pub sign: bool,
}

impl Observed {
    /// Takes the beginning of a message: its whole header, and what has come of its body.
    pub fn new(begin: &[u8], purpose: Purpose) -> Self {
        let (header, body) = split(begin);
        let mut observed = Self { header: header.to_vec(), hashes: Vec::new() };
        if purpose.verify
            && let Some(message) = AuthenticatedMessage::parse(header)
        {
            for (body, algorithm, ..) in &message.body_hashes {
                observed.hash(*body, *algorithm);
            }
        }
        if purpose.sign {
            observed.hash(Canonicalization::Relaxed, HashAlgorithm::Sha256);
        }
        observed.body(body);
        observed
    }

    fn hash(&mut self, body: Canonicalization, algorithm: HashAlgorithm) {
        if self.hashes.iter().any(|hash| hash.body == body && hash.algorithm == algorithm) {
            return;
        }
        let context = match algorithm {
            HashAlgorithm::Sha1 => Sha1::hasher(),
            HashAlgorithm::Sha256 => Sha256::hasher(),
        };
        self.hashes.push(Hash { body, algorithm, hasher: BodyHasher::new(context, body, 0) });
    }

    /// Takes the next bytes of the body.
    pub fn body(&mut self, bytes: &[u8]) {
        for hash in &mut self.hashes {
            hash.hasher.write(bytes);
        }
    }

    /// The message is whole.
    pub fn finish(self) -> Seen {
        let finish = |hash: Hash| {
            let digest = hash.hasher.finish().0.complete();
            (hash.body, hash.algorithm, digest.as_ref().to_vec())
        };
        Seen { header: self.header, hashes: self.hashes.into_iter().map(finish).collect() }
    }
}

impl Seen {
    /// The message as the verifiers of mail-auth want it, the hashes of its body filled in.
    pub(super) fn message(&self) -> Option<AuthenticatedMessage<'_>> {
        let mut message = AuthenticatedMessage::parse(&self.header)?;
        for (body, algorithm, _, digest) in &mut message.body_hashes {
            // A hash that was not made matches nothing.
            *digest = self.digest(*body, *algorithm).unwrap_or_default().to_vec();
        }
        Some(message)
    }

    /// The hash that our own signatures carry; none where the message was not observed for that.
    pub(super) fn relaxed(&self) -> Option<&[u8]> {
        self.digest(Canonicalization::Relaxed, HashAlgorithm::Sha256)
    }

    fn digest(&self, body: Canonicalization, algorithm: HashAlgorithm) -> Option<&[u8]> {
        let made = self.hashes.iter().find(|(b, a, _)| *b == body && *a == algorithm)?;
        Some(&made.2)
    }
}

/// Header, without its blank line, and body.
pub(super) fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let size = fields(message).map(|field| field.raw.len()).sum::<usize>().min(message.len());
    let (header, rest) = message.split_at(size);
    let body = rest.strip_prefix(b"\r\n").or_else(|| rest.strip_prefix(b"\n")).unwrap_or(rest);
    (header, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_the_hashes_that_are_asked_for() {
        let signature = |c: &str, a: &str, l: &str| {
            format!("DKIM-Signature: v=1; a={a}; c={c}; d=a.test; s=s; h=from; {l}bh=YQ==; b=YQ==\r\n")
        };
        let begin = [
            signature("relaxed/relaxed", "rsa-sha256", ""),
            signature("relaxed/simple", "rsa-sha1", ""),
            signature("simple/simple", "rsa-sha256", "l=10; "),
            "From: a@a.test\r\n\r\nHel".to_owned(),
        ]
        .concat();
        let mut observed = Observed::new(begin.as_bytes(), Purpose { verify: true, sign: false });
        observed.body(b"lo \r\n\r\n");
        let seen = observed.finish();
        assert_eq!(seen.hashes.len(), 2);
        let digest = ring::digest::digest(&ring::digest::SHA256, b"Hello\r\n");
        assert_eq!(seen.relaxed(), Some(digest.as_ref()));
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, b"Hello \r\n");
        assert_eq!(seen.digest(Canonicalization::Simple, HashAlgorithm::Sha1), Some(digest.as_ref()));
        assert!(seen.header.ends_with(b"From: a@a.test\r\n"));
        assert!(seen.message().is_some());
    }

    #[test]
    fn splits_at_the_blank_line() {
        assert_eq!(split(b"A: 1\r\n\r\nb"), (&b"A: 1\r\n"[..], &b"b"[..]));
        assert_eq!(split(b"\r\nb"), (&b""[..], &b"b"[..]));
        assert_eq!(split(b"A: 1\r\n"), (&b"A: 1\r\n"[..], &b""[..]));
        assert_eq!(split(b""), (&b""[..], &b""[..]));
    }
}
