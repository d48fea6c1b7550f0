//! The forms in which a stored password may come: our own, and those that other servers export.
//!
//! A stored text is read by [`Scheme::parse`], which also bounds what checking it may cost: an import, or a
//! row written by hand, must not be able to hold a core for minutes at each login.

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordVerifier, Version};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest;
use sha_crypt::ShaCrypt;
use subtle::ConstantTimeEq;

/// The longest stored text that is looked at.
const MAX_STORED: usize = 2048;
/// argon2: KiB of memory, passes and lanes. A check within all three takes at most a few seconds.
const MAX_ARGON2: (u32, u32, u32) = (256 * 1024, 16, 16);
/// bcrypt: 2^16 rounds take a few seconds.
const MAX_BCRYPT_COST: u32 = 16;
/// sha-crypt: a million rounds take about a second. The format itself begins at a thousand.
const SHA_CRYPT_ROUNDS: std::ops::RangeInclusive<u32> = 1_000..=1_000_000;

/// A stored password, read.
pub(super) enum Scheme<'a> {
    /// argon2id, argon2i or argon2d, as a PHC string.
    Argon2(Box<PasswordHash>),
    /// `$2a$`, `$2b$` or `$2y$`. Not `$2x$`, which marks hashes made by a bug that goes wrong on non-ASCII.
    Bcrypt(&'a str),
    /// `$5$` or `$6$`: crypt(3) on most systems.
    ShaCrypt(&'a str),
    /// A plain or salted digest: `{SHA}`, `{SSHA}` and so on (RFC 2307 and its successors).
    Digest { algorithm: &'static digest::Algorithm, digest: Vec<u8>, salt: Vec<u8> },
    /// The password itself.
    Plain(&'a str),
}

impl<'a> Scheme<'a> {
    /// Reads a stored text; `None` when it is of no known scheme, malformed, or too expensive to check.
    pub(super) fn parse(stored: &'a str) -> Option<Self> {
        if stored.len() > MAX_STORED {
            return None;
        }
        let Some((label, rest)) = stored.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return crypt(stored);
        };
        match label.to_ascii_uppercase().as_str() {
            "PLAIN" | "CLEARTEXT" => (!rest.is_empty()).then_some(Self::Plain(rest)),
            "CRYPT" | "BLF-CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" | "ARGON2" | "ARGON2I" | "ARGON2ID" => {
                crypt(rest)
            }
            "SHA" | "SHA1" => unsalted(&digest::SHA1_FOR_LEGACY_USE_ONLY, rest),
            "SHA256" => unsalted(&digest::SHA256, rest),
            "SHA512" => unsalted(&digest::SHA512, rest),
            "SSHA" => salted(&digest::SHA1_FOR_LEGACY_USE_ONLY, rest),
            "SSHA256" => salted(&digest::SHA256, rest),
            "SSHA512" => salted(&digest::SHA512, rest),
            _ => None,
        }
    }

    /// Whether the password is the one stored. Takes as long as the scheme says.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        match self {
            Self::Argon2(hash) => Argon2::default().verify_password(password, hash.as_ref()).is_ok(),
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::ShaCrypt(hash) => ShaCrypt::default().verify_password(password, *hash).is_ok(),
            Self::Digest { algorithm, digest: expected, salt } => {
                let mut context = digest::Context::new(algorithm);
                context.update(password);
                context.update(salt);
                context.finish().as_ref().ct_eq(expected).into()
            }
            Self::Plain(expected) => password.ct_eq(expected.as_bytes()).into(),
        }
    }

    /// Whether it is argon2id of this version with at least these costs.
    pub(super) fn is_at_least(&self, ours: &Params) -> bool {
        let Self::Argon2(hash) = self else { return false };
        let costs = |params: &Params| [params.m_cost(), params.t_cost(), params.p_cost()];
        hash.algorithm == Algorithm::Argon2id.ident()
            && hash.version == Some(Version::V0x13.into())
            && Params::try_from(hash.as_ref()).is_ok_and(|theirs| {
                costs(&theirs).iter().zip(costs(ours)).all(|(theirs, ours)| *theirs >= ours)
            })
    }
}

/// The schemes that begin with `$`, under whatever label.
fn crypt(text: &str) -> Option<Scheme<'_>> {
    match text.strip_prefix('$')?.split_once('$')?.0 {
        "argon2id" | "argon2i" | "argon2d" => argon2(text),
        "2a" | "2b" | "2y" => {
            let cost = text.parse::<bcrypt::HashParts>().ok()?.get_cost();
            (4..=MAX_BCRYPT_COST).contains(&cost).then_some(Scheme::Bcrypt(text))
        }
        "5" => sha_crypt(text, 43),
        "6" => sha_crypt(text, 86),
        _ => None,
    }
}

fn argon2(text: &str) -> Option<Scheme<'_>> {
    let hash = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let bounded =
        params.m_cost() <= MAX_ARGON2.0 && params.t_cost() <= MAX_ARGON2.1 && params.p_cost() <= MAX_ARGON2.2;
    (bounded && hash.salt.is_some() && hash.hash.is_some()).then(|| Scheme::Argon2(Box::new(hash)))
}

/// `$5$[rounds=N$]salt$hash`; the hash has a fixed length.
fn sha_crypt(text: &str, hash_length: usize) -> Option<Scheme<'_>> {
    let mut fields = text.split('$').skip(2).peekable();
    if let Some(rounds) = fields.peek().and_then(|field| field.strip_prefix("rounds=")) {
        let rounds = rounds.parse().ok()?;
        if !SHA_CRYPT_ROUNDS.contains(&rounds) {
            return None;
        }
        fields.next();
    }
    let (salt, hash) = (fields.next()?, fields.next()?);
    let in_alphabet =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    let well_formed = (1..=16).contains(&salt.len())
        && hash.len() == hash_length
        && in_alphabet(salt)
        && in_alphabet(hash)
        && fields.next().is_none();
    well_formed.then_some(Scheme::ShaCrypt(text))
}

/// The digest in base64, or in hexadecimal, which some servers write.
fn unsalted(algorithm: &'static digest::Algorithm, text: &str) -> Option<Scheme<'static>> {
    let length = algorithm.output_len();
    let digest = if text.len() == 2 * length { hexadecimal(text)? } else { STANDARD.decode(text).ok()? };
    (digest.len() == length).then_some(Scheme::Digest { algorithm, digest, salt: Vec::new() })
}

/// The digest and the salt after it, in base64.
fn salted(algorithm: &'static digest::Algorithm, text: &str) -> Option<Scheme<'static>> {
    let mut digest = STANDARD.decode(text).ok()?;
    if digest.len() <= algorithm.output_len() {
        return None;
    }
    let salt = digest.split_off(algorithm.output_len());
    Some(Scheme::Digest { algorithm, digest, salt })
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        })
        .collect()
}
