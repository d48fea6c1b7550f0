//! A message as it passes: its header is kept, its body hashed, and nothing else of it.
//!
//! Which hashes are made is known when the header is whole: those that the message's own signatures ask for (at most two,
//! for two canonicalisations; SHA-1 proves nothing any more), and the one that our signature will need. Signatures with a body length
//! (`l=`) ask for none: they protect nothing that stands behind it, and are not believed.

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha256};
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
    hasher: BodyHasher<Context>,
}

/// A message that has passed: header and body hashes.
pub struct Seen {
    /// The header, without the blank line.
    pub header: Vec<u8>,
    hashes: Vec<(Canonicalization, Vec<u8>)>,
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
                // RFC 8301 §3.1: signatures with SHA-1 are not valid, whatever they say.
                if *algorithm == HashAlgorithm::Sha256 {
                    observed.hash(*body);
                }
            }
        }
        if purpose.sign {
            observed.hash(Canonicalization::Relaxed);
        }
        observed.body(body);
        observed
    }

    fn hash(&mut self, body: Canonicalization) {
        if !self.hashes.iter().any(|hash| hash.body == body) {
            self.hashes.push(Hash { body, hasher: BodyHasher::new(Sha256::hasher(), body, 0) });
        }
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
            (hash.body, digest.as_ref().to_vec())
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
            let made = self.digest(*body).filter(|_| *algorithm == HashAlgorithm::Sha256);
            *digest = made.unwrap_or_default().to_vec();
        }
        Some(message)
    }

    /// The hash that our own signatures carry; none where the message was not observed for that.
    pub(super) fn relaxed(&self) -> Option<&[u8]> {
        self.digest(Canonicalization::Relaxed)
    }

    fn digest(&self, body: Canonicalization) -> Option<&[u8]> {
        let made = self.hashes.iter().find(|(made, _)| *made == body)?;
        Some(&made.1)
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
        assert_eq!(seen.hashes.len(), 1);
        let digest = ring::digest::digest(&ring::digest::SHA256, b"Hello\r\n");
        assert_eq!(seen.relaxed(), Some(digest.as_ref()));
        assert!(
            seen.message().unwrap().body_hashes.iter().all(|(.., made)| made.len() == 32 || made.is_empty())
        );
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

    proptest::proptest! {
        // What comes from outside can look like anything; how it is cut changes nothing.
        #[test]
        fn any_header_is_borne(parts in proptest::collection::vec(PIECES, 0..12), cut in 1usize..40) {
            let message = parts.concat();
            let whole = Observed::new(message.as_bytes(), Purpose { verify: true, sign: true }).finish();
            let (header, body) = split(message.as_bytes());
            let head = message.len() - body.len();
            let mut observed = Observed::new(&message.as_bytes()[..head], Purpose { verify: true, sign: true });
            body.chunks(cut).for_each(|piece| observed.body(piece));
            let seen = observed.finish();
            proptest::prop_assert_eq!(&seen.header, header);
            proptest::prop_assert_eq!(&seen.hashes, &whole.hashes);
            if let Some(message) = seen.message() {
                for field in &message.dkim_headers {
                    let asked = |hash: &&(Canonicalization, HashAlgorithm, u64, Vec<u8>)| hash.0 == field.header.cb;
                    proptest::prop_assert!(message.body_hashes.iter().find(asked).is_some());
                }
            }
        }
    }

    const PIECES: &str = "(DKIM-Signature: |ARC-Seal: |ARC-Message-Signature: |ARC-Authentication-Results: |From: |v=1; |a=rsa-sha256; |\
        a=rsa-sha1; |c=simple/simple; |c=relaxed/simple; |bh=YQ==; |b=YQ==; |d=a.test; |s=s; |h=from:to; |l=5; |i=1; |cv=none; |\
        a@b.test|;|=|:|\r\n|\r\n |\n|\r| |\t|\u{e9}|\u{0})";
}
