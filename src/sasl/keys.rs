//! What a server keeps of a password for SCRAM-SHA-256 (RFC 5802 §3): enough to check a proof, not enough to
//! make one. Written as PostgreSQL writes it: `SCRAM-SHA-256$4096:<salt>$<StoredKey>:<ServerKey>`, so that a
//! hash may be taken over from `pg_authid`, or be looked at with the same eyes.

use std::{fmt, num::NonZeroU32, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    digest, hmac, pbkdf2,
    rand::{SecureRandom, SystemRandom},
};
use subtle::ConstantTimeEq;

use super::{prepare::prepare_password, reason::Reason, secret::Secret};

/// The iterations of new keys. RFC 7677 §4 asks for at least 4096. The work is the client's at each login and
/// ours only when a password is set, so a slow phone sets the limit. Measured in a release build with `ring`:
/// 10,000 take 2 ms here, so some ten times that in a slow phone's mail program, which nobody notices. A
/// higher count would protect stolen keys better, but some clients refuse what they find extravagant.
pub const DEFAULT_ITERATIONS: NonZeroU32 = NonZeroU32::new(10_000).unwrap();

/// The fewest iterations that keys may have (RFC 7677 §4): clients refuse fewer.
pub const MIN_ITERATIONS: u32 = 4096;

/// The most that imported keys may have: what a client would compute for seconds is of no use.
const MAX_ITERATIONS: u32 = 1_000_000;

const NAME: &str = "SCRAM-SHA-256";
const SALT_LENGTH: usize = 16;
const MAX_SALT: usize = 64;

/// The keys of one password. Whoever steals them can play this server to the account's owner, and try
/// passwords at the price of PBKDF2, which is lower than argon2's; hence `Debug` shows none.
#[derive(Clone)]
pub struct ScramKeys {
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) stored_key: [u8; 32],
    pub(super) server_key: [u8; 32],
}

/// A text that is not SCRAM-SHA-256 keys in PostgreSQL's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not SCRAM keys: expected SCRAM-SHA-256$<4096 to 1000000>:<salt>$<StoredKey>:<ServerKey>, the last three in base64"
)]
pub struct NotScramKeys;

impl ScramKeys {
    /// New keys for a password, with a random salt and [`DEFAULT_ITERATIONS`].
    ///
    /// # Errors
    /// [`Reason::NoRandomness`].
    pub fn new(password: &Secret) -> Result<Self, Reason> {
        let mut salt = [0; SALT_LENGTH];
        SystemRandom::new().fill(&mut salt).map_err(|_| Reason::NoRandomness)?;
        Ok(Self::derive(password, &salt, DEFAULT_ITERATIONS))
    }

    /// The keys of a password (RFC 5802 §3), which is prepared here. Some milliseconds of work.
    pub fn derive(password: &Secret, salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut salted = zeroize::Zeroizing::new([0u8; 32]);
        let prepared = prepare_password(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.expose(), salted.as_mut());
        let client_key = mac(salted.as_ref(), b"Client Key");
        Self {
            salt: salt.to_vec(),
            iterations: iterations.get(),
            stored_key: sha256(&client_key),
            server_key: mac(salted.as_ref(), b"Server Key"),
        }
    }

    /// Keys for an account that does not exist, or has none: no password proves them, and they look like real
    /// ones.
    ///
    /// The salt is the same at each attempt, and on every node that has the same `server_secret`, as a real
    /// salt would be. `username` is the name as the directory reads it (with its domain), since a real
    /// account shows one salt under all its spellings; case is folded here.
    pub fn fake(server_secret: &[u8], username: &str) -> Self {
        let name = username.to_lowercase();
        let part = |purpose: &[u8]| mac(server_secret, &[purpose, b"\0", name.as_bytes()].concat());
        Self {
            salt: part(b"salt").into_iter().take(SALT_LENGTH).collect(),
            iterations: DEFAULT_ITERATIONS.get(),
            stored_key: part(b"stored key"),
            server_key: part(b"server key"),
        }
    }

    /// Whether `proof` proves the password for `auth_message`; if so, the server's signature (RFC 5802 §3).
    pub(super) fn check(&self, auth_message: &[u8], proof: &[u8]) -> Option<[u8; 32]> {
        let proof: [u8; 32] = proof.try_into().ok()?;
        let signature = mac(&self.stored_key, auth_message);
        let mut client_key = [0; 32];
        for (byte, (proof, signature)) in client_key.iter_mut().zip(proof.into_iter().zip(signature)) {
            *byte = proof ^ signature;
        }
        let right: bool = sha256(&client_key).ct_eq(&self.stored_key).into();
        right.then(|| mac(&self.server_key, auth_message))
    }
}

pub(super) fn mac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    array(tag.as_ref())
}

fn sha256(data: &[u8]) -> [u8; 32] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

/// SHA-256 gives 32 bytes; `ring` says so only at run time.
fn array(bytes: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    for (to, from) in array.iter_mut().zip(bytes) {
        *to = *from;
    }
    array
}

impl fmt::Display for ScramKeys {
    /// PostgreSQL's form, for the database: it holds the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored_key, server_key] =
            [self.salt.as_slice(), &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        write!(f, "{NAME}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl FromStr for ScramKeys {
    type Err = NotScramKeys;

    fn from_str(text: &str) -> Result<Self, NotScramKeys> {
        parse(text).ok_or(NotScramKeys)
    }
}

fn parse(text: &str) -> Option<ScramKeys> {
    let (name, rest) = text.split_once('$')?;
    let (work, keys) = rest.split_once('$')?;
    let (iterations, salt) = work.split_once(':')?;
    let (stored_key, server_key) = keys.split_once(':')?;
    let iterations = iterations.parse().ok()?;
    let salt = STANDARD.decode(salt).ok()?;
    let usable = name == NAME
        && (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations)
        && (1..=MAX_SALT).contains(&salt.len());
    usable.then_some(ScramKeys {
        salt,
        iterations,
        stored_key: STANDARD.decode(stored_key).ok()?.try_into().ok()?,
        server_key: STANDARD.decode(server_key).ok()?.try_into().ok()?,
    })
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The account of RFC 7677 §3, as PostgreSQL would write it.
    const PENCIL: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn refuses() {
        let refused = [
            "",
            "SCRAM-SHA-256",
            &PENCIL.replace("SHA-256$", "SHA-1$"),
            &PENCIL.replace("$4096", "$4095"),
            &PENCIL.replace("$4096", "$1000001"),
            &PENCIL.replace("$4096", "$-4096"),
            &PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", ""),
            &PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &"A".repeat(88)),
            &PENCIL.replace("WG5d8oPm", ""),
            &PENCIL.replace("wfPL", "wf\u{e9}"),
            &format!("{PENCIL}AAAA"),
        ];
        for text in refused {
            assert!(text.parse::<ScramKeys>().is_err(), "{text}");
        }
    }

    #[test]
    fn derives_what_postgresql_derives() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(&Secret::from("pencil"), &salt, NonZeroU32::new(4096).unwrap());
        assert_eq!(keys.to_string(), PENCIL);
        assert_eq!(PENCIL.parse::<ScramKeys>().unwrap().to_string(), PENCIL);
    }

    #[test]
    fn prepares_the_password() {
        let keys = |password: &str| ScramKeys::derive(&Secret::from(password), b"salt", DEFAULT_ITERATIONS);
        assert_eq!(keys("I\u{ad}X").to_string(), keys("\u{2168}").to_string());
        assert_ne!(keys("IX").to_string(), keys("ix").to_string());
    }

    #[test]
    fn fakes_are_stable_and_differ() {
        let fake = |secret: &[u8], name| ScramKeys::fake(secret, name);
        let one = fake(b"secret", "alice@example.test");
        assert_eq!(one.to_string(), fake(b"secret", "Alice@Example.Test").to_string());
        assert_ne!(one.salt, fake(b"secret", "bob@example.test").salt);
        assert_ne!(one.salt, fake(b"other", "alice@example.test").salt);
        assert_ne!(one.stored_key, one.server_key);
        let real = ScramKeys::new(&Secret::from("pw")).unwrap();
        assert_eq!((one.salt.len(), one.iterations), (real.salt.len(), real.iterations));
    }

    #[test]
    fn salts_are_random_and_debug_is_silent() {
        let password = Secret::from("pw");
        assert_ne!(ScramKeys::new(&password).unwrap().salt, ScramKeys::new(&password).unwrap().salt);
        assert_eq!(
            format!("{:?}", PENCIL.parse::<ScramKeys>().unwrap()),
            "ScramKeys { iterations: 4096, .. }"
        );
    }
}
