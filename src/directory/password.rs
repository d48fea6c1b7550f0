//! Stored passwords: how a new one is stored, and whether a given one is right.
//!
//! What is stored is one text: argon2id as a PHC string, or one of the forms that other servers export
//! (`{SSHA256}…`, `{BLF-CRYPT}$2y$…`, `$6$…`), which a right login replaces by ours. All of this costs tens
//! of milliseconds of a core and 19 MiB: call it through [`super::gate::Gate`] only.

use std::hint::black_box;

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use ring::rand::{SecureRandom, SystemRandom};

use super::scheme::Scheme;
use crate::sasl::{MAX_PASSWORD, ScramKeys, Secret, prepare_password};

/// Memory in KiB, passes and lanes of argon2id: OWASP's first choice for servers that must not give a login
/// more memory than this. With one lane a check occupies one core and no more, as the gate assumes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// RFC 9106 §3.1: 16 bytes of salt.
const SALT_LENGTH: usize = 16;

/// What is kept of a new password.
#[derive(Clone)]
pub struct Stored {
    /// argon2id, for everyone who sends the password.
    pub hash: String,
    /// [`ScramKeys`] as text, for those who prove it. Thieves find them cheaper to attack than `hash`: a
    /// server whose clients don't speak SCRAM may store none.
    pub scram: String,
}

/// A password that cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unstorable {
    /// Nothing was given.
    #[error("a password cannot be empty")]
    Empty,
    /// Longer than any mechanism sends.
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    TooLong,
    /// No mechanism can send it.
    #[error("a password cannot hold the character NUL")]
    HoldsNul,
    /// The system gave no random numbers; it may later.
    #[error("no random numbers to be had")]
    NoRandomness,
    /// The hash function refused: out of memory, or a bug.
    #[error("argon2id failed: {0}")]
    Hashing(String),
}

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right.
    Right,
    /// The password is right; store [`hash`] of it, since what is stored is weaker than what we would store
    /// now.
    RightUpgrade,
    /// The password is wrong.
    Wrong,
    /// What is stored is of no known scheme. Answer as to [`Verdict::Wrong`], and tell the operator.
    Unreadable,
}

impl Verdict {
    /// Whether the password is right.
    pub fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::RightUpgrade)
    }
}

/// Hashes a new password, prepared by SASLprep.
///
/// # Errors
/// When the password cannot be used for a login, or the system fails.
pub fn hash(password: &Secret) -> Result<Stored, Unstorable> {
    match password.expose() {
        [] => return Err(Unstorable::Empty),
        bytes if bytes.len() > MAX_PASSWORD => return Err(Unstorable::TooLong),
        bytes if bytes.contains(&0) => return Err(Unstorable::HoldsNul),
        _ => {}
    }
    let mut salt = [0; SALT_LENGTH];
    SystemRandom::new().fill(&mut salt).map_err(|_| Unstorable::NoRandomness)?;
    let hash = argon2id(&prepare_password(password), &salt)
        .map_err(|error| Unstorable::Hashing(error.to_string()))?;
    let scram = ScramKeys::new(password).map_err(|_| Unstorable::NoRandomness)?;
    Ok(Stored { hash, scram: scram.to_string() })
}

/// Checks a password, as the client sent it, against a stored text. Both its prepared form and, where that
/// differs, its raw bytes are tried: other servers hashed what they were sent.
///
/// A wrong password takes at least as long as [`verify_nothing`], whatever the scheme.
pub fn verify(stored: &str, password: &Secret) -> Verdict {
    if password.expose().len() > MAX_PASSWORD {
        return Verdict::Wrong;
    }
    let Some(scheme) = Scheme::parse(stored) else {
        verify_nothing(password);
        return Verdict::Unreadable;
    };
    let prepared = prepare_password(password);
    let right =
        scheme.matches(prepared.expose()) || (!prepared.same(password) && scheme.matches(password.expose()));
    let is_ours = parameters().is_ok_and(|ours| scheme.is_at_least(&ours));
    if !right && !is_ours {
        // Most other schemes are quicker than ours, and would tell a stranger that the account exists.
        verify_nothing(password);
    }
    match (right, is_ours) {
        (false, _) => Verdict::Wrong,
        (true, true) => Verdict::Right,
        (true, false) => Verdict::RightUpgrade,
    }
}

/// Costs what checking a password against our own hash costs, and finds nothing: for names that don't exist
/// and accounts without a password.
pub fn verify_nothing(password: &Secret) {
    let prepared = prepare_password(password);
    // Its only outcome is the time it took.
    let _ = black_box(argon2id(black_box(&prepared), &[0; SALT_LENGTH]));
}

/// Whether a text is a stored password that [`verify`] can check within bounds.
pub fn is_valid_hash(stored: &str) -> bool {
    Scheme::parse(stored).is_some()
}

fn parameters() -> Result<Params, argon2::Error> {
    Params::new(COST.0, COST.1, COST.2, None)
}

fn argon2id(prepared: &Secret, salt: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters()?);
    Ok(argon2.hash_password_with_salt(prepared.expose(), salt)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// "pencil" as other programs store it: made with Python's hashlib, openssl passwd and crypt(3).
    const PENCIL: [&str; 15] = [
        "{PLAIN}pencil",
        "{cleartext}pencil",
        "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
        "{SHA256}E4CWaPtDY4Zwb2fcsFLtWEoEuhaowCoX1m00ww/O2iE=",
        "{SHA256}13809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21",
        "{SHA512}Gd8Bqrgo+NUINrp1cJcTrtInM1344YZDkYXAbJF6Kn03cat24wfPo7a4nvGmaC1mgd3xGISHDl3hPnk/uVXu6w==",
        "{SSHA}M0YXe+4K7AXJbpIQR++HGoshE8JzYWx0c2FsdA==",
        "{ssha256}V9JAnh4LXKDVr5nXdkqPSOpFTLqdpyR4d7xzU3GdHE9zYWx0c2FsdA==",
        "{SSHA512}EM/40PpOwDFyRBvlEBPAPcAotwYXhUelFtA2c9wqybUh7KPyAKJRMdmih7JvDHLIZX4mudDr3ExMpxduNEz0VXNhbHRzYWx0",
        "$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
        "{SHA512-CRYPT}$6$saltstring$Wspbkvh9VR9k.5FhrEX5QuXIhny1ZR6t1JcW7cUaNNlvGeocueB2IYFN40CbfZ4cl/WePSJC5pA/G1VTFwAkU.",
        "$6$rounds=1500$saltstring$QUUBxZIUthKJr8kJg3H.pEfYelALqQAwp1qEVu.xsBLZkiZ9eucREtYg8cbMNyM60pW8eAUjsoiUldp5NqZhS.",
        "{BLF-CRYPT}$2y$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
        "$2b$05$abcdefghijklmnopqrstuu680Yiaj5hFUaJTH/rTAcbA2PQEGfiZu",
        "{CRYPT}$2a$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
    ];

    /// The example of the argon2 reference program's manual.
    const REFERENCE: &str = "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG";

    #[test]
    fn refuses_what_it_cannot_check_within_bounds() {
        for stored in [
            "",
            "pencil",
            "{",
            "{PLAIN}",
            "{MD5}abc",
            "{SSHA}",
            "{SSHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=",
            "{SHA}E4CWaPtDY4Zwb2fcsFLtWEoEuhaowCoX1m00ww/O2iE=",
            "{SHA256}1380966\u{e9}fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda2",
            "{SHA256}zz809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21",
            "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
            "$2x$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
            "$2b$17$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV2",
            "$2b$04$abcdefghijklmnopqrstuu/FyAyuZSl3DbPdvio4KrIBdz2k2yhV",
            "$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOq",
            "$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB$",
            "$5$rounds=1000001$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
            "$5$rounds=999$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
            "$5$$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$argon2id$v=19$m=19456,t=9999,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        ] {
            assert!(!is_valid_hash(stored), "{stored}");
        }
        assert!(!is_valid_hash(&format!("{{PLAIN}}{}", "x".repeat(4096))));
        assert_eq!(verify("pencil", &"pencil".into()), Verdict::Unreadable);
    }

    #[test]
    fn wrong_is_wrong_in_every_scheme() {
        for stored in PENCIL {
            assert_eq!(verify(stored, &"Pencil".into()), Verdict::Wrong, "{stored}");
        }
        assert_eq!(verify(REFERENCE, &"Password".into()), Verdict::Wrong);
        assert_eq!(verify("{PLAIN}pencil", &"".into()), Verdict::Wrong);
        let long = "x".repeat(MAX_PASSWORD + 1);
        assert_eq!(verify(&format!("{{PLAIN}}{long}"), &long.into()), Verdict::Wrong);
    }

    #[test]
    fn imported_schemes_are_right_and_upgraded() {
        for stored in PENCIL {
            assert!(is_valid_hash(stored), "{stored}");
            assert_eq!(verify(stored, &"pencil".into()), Verdict::RightUpgrade, "{stored}");
        }
        assert_eq!(verify(REFERENCE, &"password".into()), Verdict::RightUpgrade);
    }

    #[test]
    fn stores_argon2id_and_scram() {
        let Stored { hash: ours, scram } = hash(&"pencil".into()).unwrap();
        assert!(ours.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{ours}");
        assert!(is_valid_hash(&ours));
        assert_eq!(verify(&ours, &"pencil".into()), Verdict::Right);
        assert_eq!(verify(&ours, &"pencils".into()), Verdict::Wrong);
        assert!(scram.starts_with("SCRAM-SHA-256$") && scram.parse::<ScramKeys>().is_ok(), "{scram}");
        assert_ne!(hash(&"pencil".into()).unwrap().hash, ours);
        for (stored, verdict) in [
            (ours.replace("m=19456", "m=65536"), Verdict::Wrong),
            (format!("{{ARGON2ID}}{ours}"), Verdict::Right),
        ] {
            assert_eq!(verify(&stored, &"pencil".into()), verdict, "{stored}");
        }
    }

    #[test]
    fn cheaper_argon2id_is_upgraded() {
        let cheap = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 2, 1, None).unwrap());
        let dear = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(19_456, 3, 1, None).unwrap());
        for (argon2, verdict) in [(cheap, Verdict::RightUpgrade), (dear, Verdict::Right)] {
            let stored = argon2.hash_password_with_salt(b"pencil", b"salty salt").unwrap().to_string();
            assert_eq!(verify(&stored, &"pencil".into()), verdict, "{stored}");
        }
    }

    #[test]
    fn raw_and_prepared_forms_are_tried() {
        // Stored raw by another server, by whose rules U+2168 is not IX.
        assert_eq!(verify("{PLAIN}\u{2168}", &"\u{2168}".into()), Verdict::RightUpgrade);
        assert_eq!(verify("{PLAIN}\u{2168}", &"IX".into()), Verdict::Wrong);
        let ours = hash(&"\u{2168}".into()).unwrap().hash;
        assert_eq!(verify(&ours, &"IX".into()), Verdict::Right);
    }

    #[test]
    fn refuses_passwords_that_cannot_log_in() {
        let refusal = |bytes: &[u8]| hash(&Secret::new(bytes.to_vec())).map(|_| ()).unwrap_err();
        assert_eq!(refusal(b""), Unstorable::Empty);
        assert_eq!(refusal(&[b'x'; MAX_PASSWORD + 1]), Unstorable::TooLong);
        assert_eq!(refusal(b"a\0b"), Unstorable::HoldsNul);
        assert!(hash(&Secret::new(b"caf\xe9".to_vec())).is_ok());
    }

    proptest! {
        #[test]
        fn no_stored_text_panics(
            prefix in prop::sample::select(vec![
                "", "{SSHA}", "{SHA256}", "{BLF-CRYPT}", "{CRYPT}$6$", "$2b$04$", "$5$rounds=", "$argon2id$v=19$m=",
            ]),
            rest in "[$a-z0-9=,./\u{e9}]{0,90}",
        ) {
            is_valid_hash(&format!("{prefix}{rest}"));
        }
    }
}
