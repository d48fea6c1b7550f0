//! The second factor of logins in the browser: codes of an app (TOTP, RFC 6238), and recovery codes for when the app is gone.
//!
//! Guarantees: each code is taken once, also by two nodes at the same moment, and after it none that is older; one step of
//! 30 seconds is forgiven either way; wrong codes lock the name's codes and the peer as wrong passwords do, and only a right code
//! ends that count: who knows the password cannot begin it anew by logging in. A secret is read here and by nobody else; of
//! recovery codes only hashes are stored, which is safe for 80 random bits. A login whose code is still to come opens nothing.
//! Costs: one round trip more for each login, three for a code.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use ring::digest::{SHA256, digest};
use tokio_postgres::types::ToSql;
use totp_rs::{Algorithm, Builder, Totp};

use super::administrator::{Administrator, Token, random};
use super::login::{LoginError, Visitor};
use super::resolve::Directory;
use super::throttle::{key_for_code, key_for_peer};
use crate::db::Error;
use crate::mail::{AccountId, hex};
use crate::sql;

const FIND: &str = sql!("directory/find_second_factor");
const FIND_HALF_LOGIN: &str = sql!("directory/find_half_login");
const SECRET: &str = sql!("directory/second_factor_secret");
const TAKE_CODE: &str = sql!("directory/take_code");
const TAKE_RECOVERY_CODE: &str = sql!("directory/take_recovery_code");
const FINISH_HALF_LOGIN: &str = sql!("directory/finish_half_login");
const OFFER_SECRET: &str = sql!("directory/offer_secret");
const KEEP: &str = sql!("directory/keep_second_factor");
const RENEW_RECOVERY_CODES: &str = sql!("directory/renew_recovery_codes");
const REMOVE: &str = sql!("directory/remove_second_factor");

/// As all apps have it, whatever else the standard allows.
const STEP_SECONDS: u64 = 30;
const DIGITS: u8 = 6;
/// RFC 4226 §4: 160 bits.
const SECRET_LENGTH: usize = 20;
/// Recovery codes that are given out at once.
pub const RECOVERY_CODES: usize = 10;
/// Random bytes of each.
const RECOVERY_LENGTH: usize = 10;
/// Letters and digits of each: base32 has five bits in each.
const RECOVERY_LETTERS: usize = RECOVERY_LENGTH * 8 / 5;

/// What is known of somebody's second factor.
#[derive(Debug, Clone)]
pub struct SecondFactor {
    id: i64,
    /// Since when it is asked for.
    pub since: Timestamp,
    /// Recovery codes that are still good.
    pub recovery_codes: i64,
    /// Too many wrong codes.
    locked: bool,
}

impl Directory {
    /// The second factor of this person, if there is one.
    pub async fn second_factor(&self, who: &Administrator) -> Result<Option<SecondFactor>, Error> {
        self.find_second_factor(&who.login, who.account).await
    }

    pub(super) async fn find_second_factor(
        &self,
        login: &str,
        account: Option<AccountId>,
    ) -> Result<Option<SecondFactor>, Error> {
        let (name, account) = match account {
            Some(account) => (None, Some(account.0)),
            None => (Some(login), None),
        };
        let row = self.control.db.query_opt(FIND, &[&name, &account, &key_for_code(login)]).await?;
        Ok(row.and_then(|row| {
            Some(SecondFactor {
                id: row.get::<_, Option<i64>>(0)?,
                locked: row.get(1),
                since: row.get::<_, Option<Timestamp>>(2)?,
                recovery_codes: row.get(3),
            })
        }))
    }

    /// The lock that wrong codes have led to.
    pub(super) fn locked_codes(&self, factor: &SecondFactor) -> Result<(), LoginError> {
        match factor.locked {
            true => Err(LoginError::Locked(self.control.config().directory.lock_minutes)),
            false => Ok(()),
        }
    }

    /// Whose login waits for its code.
    pub async fn half_login(&self, token: &Token) -> Result<Option<Administrator>, Error> {
        let row = self.control.db.query_opt(FIND_HALF_LOGIN, &[&token.hash()]).await?;
        Ok(row.map(|row| Administrator {
            kind: row.get(0),
            login: row.get(1),
            account: row.get::<_, Option<i64>>(2).map(AccountId),
            must_change_password: false,
            second_factor: true,
        }))
    }

    /// Takes the code of a login that waits for it; [`LoginError::Wrong`] when it is wrong, too old, or has been taken before. What it returns goes into the cookie, in place of what was there.
    pub async fn finish_login(
        &self,
        visitor: Visitor,
        who: &Administrator,
        token: &Token,
        code: &str,
    ) -> Result<Token, LoginError> {
        // Reset meanwhile: there is nothing left to ask for.
        if let Some(factor) = self.second_factor(who).await? {
            self.take_code(visitor, &who.login, &factor, code).await?;
        }
        let next = Token::new()?;
        if self.control.db.execute(FINISH_HALF_LOGIN, &[&token.hash(), &next.hash()]).await? == 0 {
            return Err(LoginError::Temporary("this login has taken too long: begin anew".to_owned()));
        }
        tracing::info!(login = who.login, peer = %visitor.peer, "a login was finished with a second factor");
        Ok(next)
    }

    /// Takes a code of somebody who has logged in, as proof that it is still he.
    pub async fn prove_by_code(
        &self,
        visitor: Visitor,
        who: &Administrator,
        code: &str,
    ) -> Result<(), LoginError> {
        match self.second_factor(who).await? {
            Some(factor) => self.take_code(visitor, &who.login, &factor, code).await,
            None => Err(LoginError::Wrong),
        }
    }

    /// Takes a code: of the app, or one of the recovery codes.
    async fn take_code(
        &self,
        visitor: Visitor,
        login: &str,
        factor: &SecondFactor,
        code: &str,
    ) -> Result<(), LoginError> {
        self.locked_codes(factor)?;
        let bare: String = code.chars().filter(|c| !c.is_whitespace() && *c != '-').take(64).collect();
        let taken = if bare.len() == usize::from(DIGITS) {
            self.take_app_code(factor, &bare).await?
        } else {
            self.take_recovery_code(visitor, login, factor, &bare).await?
        };
        let (key, peer_key) = (key_for_code(login), key_for_peer(visitor.peer));
        if taken {
            self.forgive(&key).await?;
            return Ok(());
        }
        Err(self.count_failure(visitor, &key, &peer_key).await)
    }

    async fn take_app_code(&self, factor: &SecondFactor, code: &str) -> Result<bool, LoginError> {
        let row = self.control.db.query_opt(SECRET, &[&factor.id]).await?;
        let Some(row) = row else { return Ok(false) };
        let Some(step) = step_of(&totp(row.get(0))?, code) else { return Ok(false) };
        Ok(self.control.db.execute(TAKE_CODE, &[&factor.id, &step]).await? > 0)
    }

    async fn take_recovery_code(
        &self,
        visitor: Visitor,
        login: &str,
        factor: &SecondFactor,
        code: &str,
    ) -> Result<bool, LoginError> {
        let hash = hash_of(code);
        let peer = visitor.peer.to_string();
        let taken = self.as_person((login, &peer), TAKE_RECOVERY_CODE, &[&factor.id, &hash]).await? > 0;
        if taken {
            tracing::warn!(login, peer, "a recovery code was used instead of a second factor");
        }
        Ok(taken)
    }

    /// The secret that this session is offered, in base32: the same one until its first code has come.
    pub async fn offered_secret(&self, token: &Token) -> Result<String, LoginError> {
        let fresh = totp_rs::Secret::from(random::<SECRET_LENGTH>()?).to_base32();
        let row = self.control.db.query_opt(OFFER_SECRET, &[&token.hash(), &fresh]).await?;
        row.map(|row| row.get(0)).ok_or_else(|| LoginError::Temporary("this session has ended".to_owned()))
    }

    /// Switches on the second factor that this session was offered, if this is a code of it; returns the recovery codes, which
    /// are never to be seen again.
    pub async fn switch_on_second_factor(
        &self,
        visitor: Visitor,
        who: &Administrator,
        token: &Token,
        code: &str,
    ) -> Result<Vec<String>, LoginError> {
        let bare: String = code.chars().filter(|c| !c.is_whitespace()).take(64).collect();
        let totp = totp(&self.offered_secret(token).await?)?;
        // No failure to count: who asks knows the secret.
        let Some(step) = step_of(&totp, &bare) else { return Err(LoginError::Wrong) };
        let codes = recovery_codes()?;
        let hashes: Vec<String> = codes.iter().map(|code| hash_of(&code.replace('-', ""))).collect();
        let values: [&(dyn ToSql + Sync); 3] = [&token.hash(), &step, &hashes];
        if self.as_person((&who.login, &visitor.peer.to_string()), KEEP, &values).await? == 0 {
            return Err(LoginError::Temporary("this session has ended".to_owned()));
        }
        tracing::info!(login = who.login, peer = %visitor.peer, "a second factor was switched on");
        Ok(codes)
    }

    /// New recovery codes, in place of all that there are.
    pub async fn renew_recovery_codes(
        &self,
        visitor: Visitor,
        who: &Administrator,
    ) -> Result<Vec<String>, LoginError> {
        let Some(factor) = self.second_factor(who).await? else { return Ok(Vec::new()) };
        let codes = recovery_codes()?;
        let hashes: Vec<String> = codes.iter().map(|code| hash_of(&code.replace('-', ""))).collect();
        let person = visitor.peer.to_string();
        self.as_person((&who.login, &person), RENEW_RECOVERY_CODES, &[&factor.id, &hashes]).await?;
        Ok(codes)
    }

    /// Switches somebody's second factor off. The caller has asked for a proof.
    pub async fn switch_off_second_factor(
        &self,
        visitor: Visitor,
        who: &Administrator,
    ) -> Result<(), LoginError> {
        let Some(factor) = self.second_factor(who).await? else { return Ok(()) };
        self.as_person((&who.login, &visitor.peer.to_string()), REMOVE, &[&factor.id]).await?;
        tracing::warn!(login = who.login, peer = %visitor.peer, "a second factor was switched off");
        Ok(())
    }
}

/// The codes of a secret.
fn totp(secret: &str) -> Result<Totp, LoginError> {
    let broken = |why: String| LoginError::Temporary(format!("the second factor cannot be read: {why}"));
    let secret = totp_rs::Secret::try_from_base32(secret).map_err(|error| broken(error.to_string()))?;
    let built = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_skew(1)
        .with_step_duration(STEP_SECONDS)
        .with_secret(secret);
    built.build().map_err(|error| broken(error.to_string()))
}

/// The step whose code this is, among the one of now and its neighbours.
fn step_of(totp: &Totp, code: &str) -> Option<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(totp.check(code, now)?).ok()
}

/// Codes as people write them down: `ABCD-EFGH-IJKL-MNOP`.
fn recovery_codes() -> Result<Vec<String>, LoginError> {
    let code = |_| {
        let letters = totp_rs::Secret::from(random::<RECOVERY_LENGTH>()?.to_vec()).to_base32();
        let letters: Vec<char> = letters.chars().take(RECOVERY_LETTERS).collect();
        Ok(letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
    };
    (0..RECOVERY_CODES).map(code).collect()
}

/// What is stored of a recovery code.
fn hash_of(code: &str) -> String {
    let hash = digest(&SHA256, code.to_uppercase().as_bytes());
    hex(hash.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B, for SHA-1; its codes have eight digits, of which ours are the last six.
    #[test]
    fn codes_are_those_of_the_standard() {
        let totp = totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        for (time, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(totp.check(code, time), Some(time / 30), "{time}");
            // One step is forgiven, two are not.
            assert_eq!(totp.check(code, time + 30), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time - 30), Some(time / 30), "{time}");
            assert_eq!(totp.check(code, time + 60), None, "{time}");
        }
    }

    #[test]
    fn recovery_codes_are_long_and_all_different() {
        let mut codes = recovery_codes().unwrap();
        assert!(codes.iter().all(|code| code.len() == 19 && code.matches('-').count() == 3), "{codes:?}");
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), RECOVERY_CODES);
        assert_eq!(hash_of("abcd"), hash_of("ABCD"));
    }
}
