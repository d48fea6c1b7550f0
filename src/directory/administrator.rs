//! Logins in the browser, of administrators and users: who has logged in, and for how long.
//!
//! Guarantees: the same door as for mail users, with the same locks and the same work for names that do not exist. What the
//! cookie says is stored only as its hash, so that who reads the table cannot take a session over; a session ends with its
//! time, with its row, and with the right of its owner. Costs: one round trip for each page.

use std::sync::Arc;

use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use subtle::ConstantTimeEq;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::checker::Candidate;
use super::login::{LoginError, Visitor};
use super::resolve::Directory;
use super::throttle::{key_for_account, key_for_peer};
use crate::db::Error;
use crate::mail::{AccountId, hex};
use crate::sasl::Secret;
use crate::sql;

const ACT_AS: &str = sql!("directory/act_as");
const FIND_ADMINISTRATOR: &str = sql!("directory/find_administrator");
const OPEN_WEB_SESSION: &str = sql!("directory/open_web_session");
const FIND_WEB_SESSION: &str = sql!("directory/find_web_session");
const CLOSE_WEB_SESSION: &str = sql!("directory/close_web_session");
const SET_OWN_PASSWORD: &str = sql!("directory/set_own_password");
const SET_OWN_ACCOUNT_PASSWORD: &str = sql!("directory/set_own_account_password");

/// Somebody who administers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    /// `system`, `auditor`, `domain` or `user`: an ordinary account.
    pub kind: String,
    /// His name, or the address of his account.
    pub login: String,
    /// The account of a domain administrator or user.
    pub account: Option<AccountId>,
    /// He has to choose a password before anything else.
    pub must_change_password: bool,
    /// He has a second factor: his password alone opens nothing.
    pub second_factor: bool,
}

/// What a cookie says: nobody can guess it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// What a browser has sent; `None` when no cookie of ours looks like this.
    pub fn read(text: &str) -> Option<Token> {
        (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .then(|| Token(text.to_owned()))
    }

    pub(super) fn new() -> Result<Token, LoginError> {
        Ok(Token(hex(&random::<32>()?)))
    }

    /// For the cookie.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What stands for it in `live.web_session`.
    pub fn hash(&self) -> Vec<u8> {
        digest(&SHA256, self.0.as_bytes()).as_ref().to_vec()
    }

    /// What forms of this session carry, so that no other site can send them: it follows from the cookie, which that site does
    /// not know.
    pub fn form_token(&self) -> String {
        let mark = digest(&SHA256, format!("form:{}", self.0).as_bytes());
        hex(mark.as_ref())
    }

    /// Whether a form was made for this session.
    pub fn made(&self, form_token: &str) -> bool {
        self.form_token().as_bytes().ct_eq(form_token.as_bytes()).into()
    }
}

/// Random bytes of the system.
pub(super) fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Error::Fault("the system gives no random bytes".to_owned()))?;
    Ok(bytes)
}

impl Directory {
    /// Checks the name and password of an administrator of the whole server (a name), or of an account (an address), which
    /// administers its domain or only itself. Whether he has
    /// a second factor the answer says; a lock of its codes holds here already, so that nothing is left to be tried.
    pub async fn administrator(
        &self,
        visitor: Visitor,
        name: &str,
        password: &Secret,
    ) -> Result<Administrator, LoginError> {
        if name.contains('@') {
            let login = self.login(visitor, name, password).await?;
            let kind = if login.manages_domain { "domain" } else { "user" };
            let (login, account) = (login.address, Some(login.account));
            let second_factor = self.unlocked_second_factor(&login, account).await?;
            return Ok(Administrator {
                kind: kind.to_owned(),
                login,
                account,
                must_change_password: false,
                second_factor,
            });
        }
        let name = name.to_lowercase();
        let (key, peer_key) = (key_for_account(&name), key_for_peer(visitor.peer));
        let row = self.control.db.query_opt(FIND_ADMINISTRATOR, &[&name, &key, &peer_key]).await?;
        let row = row.ok_or_else(|| LoginError::Temporary("no answer".to_owned()))?;
        let locked = |at: usize| row.get::<_, Option<bool>>(at).unwrap_or(false);
        if locked(4) || locked(5) {
            tracing::info!(name, peer = %visitor.peer, "login refused: locked after too many wrong passwords");
            return Err(LoginError::Locked(self.control.config().directory.lock_minutes));
        }
        let stored = row.get::<_, Option<String>>(0).filter(|_| row.get::<_, bool>(3));
        // What is remembered goes by the account's id and the stored hash; no account has the id 0.
        let candidate =
            stored.as_deref().map_or(Candidate::Unknown, |stored| Candidate::Known { id: 0, stored });
        let verdict = self.checker.check(candidate, password).await;
        let verdict = verdict.map_err(|busy| LoginError::Temporary(busy.to_string()))?;
        if !verdict.is_right() {
            return Err(self.count_failure(visitor, &key, &peer_key).await);
        }
        if row.get::<_, Option<i32>>(6).unwrap_or(0) > 0 {
            self.forgive(&key).await?;
        }
        let second_factor = self.unlocked_second_factor(&name, None).await?;
        Ok(Administrator {
            kind: row.get(1),
            login: name,
            account: None,
            must_change_password: row.get(2),
            second_factor,
        })
    }

    /// Whether there is a second factor; an error where its codes are locked.
    async fn unlocked_second_factor(
        &self,
        login: &str,
        account: Option<AccountId>,
    ) -> Result<bool, LoginError> {
        let factor = self.find_second_factor(login, account).await?;
        factor.map_or(Ok(false), |factor| self.locked_codes(&factor).map(|()| true))
    }

    /// Begins a session; what it returns goes into the cookie. Where there is a second factor it opens nothing until a code
    /// has come ([`Directory::finish_login`]).
    pub async fn open_web_session(
        &self,
        visitor: Visitor,
        administrator: &Administrator,
        browser: &str,
    ) -> Result<Token, LoginError> {
        let token = Token::new()?;
        let account = administrator.account.map(|account| account.0);
        let (hash, peer) = (token.hash(), visitor.peer.to_string());
        let browser: String = browser.chars().take(200).collect();
        let Administrator { kind, login, .. } = administrator;
        let waits = administrator.second_factor;
        let values: [&(dyn ToSql + Sync); 7] = [&hash, kind, login, &account, &peer, &browser, &waits];
        self.control.db.execute(OPEN_WEB_SESSION, &values).await?;
        match waits {
            true => tracing::info!(login, peer, kind, "the password was right, a code is still to come"),
            false => tracing::info!(login, peer, kind, "somebody has logged in"),
        }
        Ok(token)
    }

    /// Whose session it is.
    pub async fn web_session(&self, token: &Token) -> Result<Option<Administrator>, Error> {
        let row = self.find_web_session(token, true).await?;
        Ok(row.map(|row| Administrator {
            kind: row.get(0),
            login: row.get(1),
            account: row.get::<_, Option<i64>>(2).map(AccountId),
            must_change_password: row.get(3),
            second_factor: row.get(4),
        }))
    }

    /// Whether a session goes on, without using it.
    pub async fn web_session_lives(&self, token: &Token) -> Result<bool, Error> {
        Ok(self.find_web_session(token, false).await?.is_some())
    }

    async fn find_web_session(&self, token: &Token, uses: bool) -> Result<Option<Row>, Error> {
        let (config, hash) = (self.control.config(), token.hash());
        let web = &config.web;
        let values: [&(dyn ToSql + Sync); 4] = [&hash, &web.idle_minutes, &web.session_hours, &uses];
        self.control.db.query_opt(FIND_WEB_SESSION, &values).await
    }

    /// Ends a session.
    pub async fn close_web_session(&self, token: &Token) -> Result<(), Error> {
        let hours = self.control.config().web.session_hours;
        self.control.db.execute(CLOSE_WEB_SESSION, &[&token.hash(), &hours]).await.map(drop)
    }

    /// What is stored of a new password, as the pages send it to the tables.
    pub async fn hashed(&self, password: &Secret) -> Result<serde_json::Value, LoginError> {
        let stored = self.checker.hash(password).await;
        let stored = stored.map_err(|busy| LoginError::Temporary(busy.to_string()))?;
        let stored = stored.map_err(|error| LoginError::Temporary(error.to_string()))?;
        Ok(serde_json::json!({ "hash": stored.hash, "scram": stored.scram }))
    }

    /// Gives somebody the password that he has chosen himself. The caller has asked for the old one.
    pub async fn set_own_password(
        self: &Arc<Self>,
        visitor: Visitor,
        who: &Administrator,
        token: &Token,
        password: &Secret,
    ) -> Result<(), LoginError> {
        let stored = self.hashed(password).await?;
        let text =
            |name: &str| stored.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        let (hash, scram, cookie, peer) =
            (text("hash"), text("scram"), token.hash(), visitor.peer.to_string());
        let person = (who.login.as_str(), peer.as_str());
        match who.account {
            Some(account) => {
                let values: [&(dyn ToSql + Sync); 4] = [&account.0, &hash, &scram, &cookie];
                self.as_person(person, SET_OWN_ACCOUNT_PASSWORD, &values).await?;
            }
            None => {
                let values: [&(dyn ToSql + Sync); 3] = [&who.login, &hash, &cookie];
                self.as_person(person, SET_OWN_PASSWORD, &values).await?;
            }
        }
        Ok(())
    }

    /// Runs a statement in the name of a person, connected from a peer: it is audited and obeyed like any change. Returns how many
    /// rows it touched.
    pub(super) async fn as_person(
        &self,
        (actor, peer): (&str, &str),
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Error> {
        let mut client = self.control.db.client().await?;
        let act_as = client.prepare(ACT_AS).await?;
        let statement = client.prepare(sql).await?;
        let transaction = client.transaction().await?;
        transaction.query(&act_as, &[&actor, &peer]).await?;
        let touched = transaction.execute(&statement, values).await?;
        transaction.commit().await?;
        Ok(touched)
    }
}
