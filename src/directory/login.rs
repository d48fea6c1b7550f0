//! Who somebody is: the one door that all protocols log in through.
//!
//! Guarantees: a name that does not exist, an account that is inactive and a wrong password get the same answer after
//! the same work; wrong passwords are counted by name and by peer, for all nodes and protocols together, and lock both;
//! a lock holds for the right password too. Costs: one round trip for a login whose password is remembered, one more
//! after a failure.

use std::net::IpAddr;
use std::sync::Arc;

use super::checker::Candidate;
use super::issuer::TokenError;
use super::password::Verdict;
use super::resolve::Directory;
use super::throttle::{key_for_account, key_for_peer, name_in};
use crate::db::Error;
use crate::mail::{AccountId, Address, domain_to_ascii};
use crate::sasl::{Binding, Exchange, Fault, Mechanism, Reason, ScramKeys, Secret, Step};
use crate::sql;

const FIND_LOGIN: &str = sql!("directory/find_login");
const FIND_NAMED: &str = sql!("directory/find_named");
const COUNT_FAILURE: &str = sql!("directory/count_failure");
const FORGIVE: &str = sql!("directory/forgive");
const UPGRADE_PASSWORD: &str = sql!("directory/upgrade_password");

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The account.
    pub account: AccountId,
    /// Its address.
    pub address: String,
    /// Largest message it may send, bytes.
    pub max_message: u64,
    /// Highest priority it may give a message.
    pub max_priority: i8,
    /// Whether it may change the quotas of its domain's accounts.
    pub manages_domain: bool,
}

/// Why nobody has.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong password or unknown user: which, nobody learns.
    #[error("user name or password is wrong")]
    Wrong,
    /// Too many wrong passwords; also said for names that do not exist.
    #[error("too many wrong passwords: locked for {0} minutes")]
    Locked(i32),
    /// The password was right, but the account may not use this service.
    #[error("this account may not use {0}")]
    Forbidden(&'static str),
    /// The client cancelled.
    #[error("authentication cancelled")]
    Cancelled,
    /// What the client sent is not the mechanism's language.
    #[error("{0}")]
    Syntax(Reason),
    /// Ours, and it may pass.
    #[error("temporary failure, try again later: {0}")]
    Temporary(String),
}

impl From<Error> for LoginError {
    fn from(error: Error) -> Self {
        if !error.is_unavailable() {
            tracing::error!(%error, "login");
        }
        LoginError::Temporary("the server cannot check it now".to_owned())
    }
}

/// Who logs in from where to what.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// The client's address.
    pub peer: IpAddr,
    /// The service.
    pub service: &'static str,
}

/// What the directory knows of a name that wants to log in.
struct Candidature {
    key: String,
    peer_key: String,
    account: Option<Account>,
    failures: i32,
}

struct Account {
    login: Login,
    password_hash: Option<String>,
    scram: Option<String>,
    forbidden: Vec<String>,
}

impl Directory {
    /// Checks a name and a password.
    pub async fn login(&self, visitor: Visitor, name: &str, password: &Secret) -> Result<Login, LoginError> {
        let candidature = self.candidature(visitor, name).await?;
        let candidate = match &candidature.account {
            Some(Account { login, password_hash: Some(stored), .. }) => {
                Candidate::Known { id: login.account.0, stored }
            }
            _ => Candidate::Unknown,
        };
        let verdict = self
            .checker
            .check(candidate, password)
            .await
            .map_err(|busy| LoginError::Temporary(busy.to_string()))?;
        if verdict == Verdict::Unreadable {
            tracing::error!(name, "the stored password hash is of no known scheme; set the password anew");
        }
        if !verdict.is_right() {
            return Err(self.failed(visitor, &candidature).await);
        }
        if verdict == Verdict::RightUpgrade {
            self.upgrade(&candidature, password).await;
        }
        self.succeeded(visitor, candidature).await
    }

    /// Lets somebody in for whom another vouches: a trusted proxy, an issuer of tokens. Locks, and what the account may
    /// not use, hold as for a password.
    pub async fn vouched_for(&self, visitor: Visitor, name: &str) -> Result<Login, LoginError> {
        let candidature = self.candidature(visitor, name).await?;
        let Some(account) = candidature.account else { return Err(LoginError::Wrong) };
        if account.forbidden.iter().any(|service| service == visitor.service) {
            return Err(LoginError::Forbidden(visitor.service));
        }
        Ok(account.login)
    }

    /// The account that logs in by this name; `None` when there is none that may.
    pub async fn account_named(&self, name: &str) -> Result<Option<AccountId>, Error> {
        let (local, domain) = split_name(name);
        let row = self.control.db.query_opt(FIND_NAMED, &[&local, &domain]).await?;
        Ok(row.map(|row| AccountId(row.get(0))))
    }

    async fn candidature(&self, visitor: Visitor, name: &str) -> Result<Candidature, LoginError> {
        let (local, domain) = split_name(name);
        let full = if domain.is_empty() { local.clone() } else { format!("{local}@{domain}") };
        let (key, peer_key) = (key_for_account(&full), key_for_peer(visitor.peer));
        let row = self.control.db.query_opt(FIND_LOGIN, &[&local, &domain, &key, &peer_key]).await?;
        let row = row.ok_or_else(|| LoginError::Temporary("no answer".to_owned()))?;
        let locked = |at: usize| row.get::<_, Option<bool>>(at).unwrap_or(false);
        if locked(7) || locked(8) {
            tracing::info!(name, peer = %visitor.peer, "login refused: locked after too many wrong passwords");
            return Err(LoginError::Locked(self.control.config().directory.lock_minutes));
        }
        let active = row.get::<_, Option<bool>>(2).unwrap_or(false);
        let account = row.get::<_, Option<i64>>(0).filter(|_| active).map(|id| Account {
            login: Login {
                account: AccountId(id),
                address: row.get(1),
                max_message: row.get::<_, Option<i64>>(6).map_or(u64::MAX, |bytes| bytes as u64),
                max_priority: row
                    .get::<_, Option<i16>>(10)
                    .and_then(|priority| priority.try_into().ok())
                    .unwrap_or(0),
                manages_domain: row.get::<_, Option<bool>>(11).unwrap_or(false),
            },
            password_hash: row.get(3),
            scram: row.get(4),
            forbidden: row.get::<_, Option<Vec<String>>>(5).unwrap_or_default(),
        });
        Ok(Candidature { key, peer_key, account, failures: row.get::<_, Option<i32>>(9).unwrap_or(0) })
    }

    async fn failed(&self, visitor: Visitor, candidature: &Candidature) -> LoginError {
        self.count_failure(visitor, &candidature.key, &candidature.peer_key).await
    }

    /// Counts a wrong password.
    pub(super) async fn count_failure(&self, visitor: Visitor, key: &str, peer_key: &str) -> LoginError {
        let name = name_in(key);
        tracing::info!(name, peer = %visitor.peer, service = visitor.service, "wrong user name or password");
        let settings = &self.control.config().directory;
        let counted = self
            .control
            .db
            .execute(
                COUNT_FAILURE,
                &[
                    &key,
                    &peer_key,
                    &settings.max_login_failures,
                    &settings.max_peer_login_failures,
                    &settings.lock_minutes,
                ],
            )
            .await;
        match counted {
            Ok(_) => LoginError::Wrong,
            Err(error) => error.into(),
        }
    }

    /// Begins the count of a name anew, after a right password.
    pub(super) async fn forgive(&self, key: &str) -> Result<(), Error> {
        self.control.db.execute(FORGIVE, &[&key]).await.map(drop)
    }

    async fn succeeded(&self, visitor: Visitor, candidature: Candidature) -> Result<Login, LoginError> {
        let Some(account) = candidature.account else { return Err(LoginError::Wrong) };
        if candidature.failures > 0 {
            self.forgive(&candidature.key).await?;
        }
        if account.forbidden.iter().any(|service| service == visitor.service) {
            return Err(LoginError::Forbidden(visitor.service));
        }
        Ok(account.login)
    }

    /// Stores an imported password as we would have. That it fails is no reason to send the user away.
    async fn upgrade(&self, candidature: &Candidature, password: &Secret) {
        let Some(Account { login, password_hash: Some(old), .. }) = &candidature.account else { return };
        let Ok(Ok(stored)) = self.checker.hash(password).await else { return };
        let outcome = self
            .control
            .db
            .execute(UPGRADE_PASSWORD, &[&login.account.0, old, &stored.hash, &stored.scram])
            .await;
        match outcome {
            Ok(_) => {
                tracing::info!(account = login.address, "an imported password hash was replaced by argon2id")
            }
            Err(error) => tracing::warn!(%error, "an imported password hash could not be replaced"),
        }
    }
}

/// Local part and domain of a login name in their key form; no domain where none was given.
fn split_name(name: &str) -> (String, String) {
    match Address::parse(name.as_bytes()) {
        Ok(address) => {
            let key = address.key();
            let (local, domain) = key.rsplit_once('@').unwrap_or((&key, ""));
            (local.to_owned(), domain.to_owned())
        }
        Err(_) => match name.rsplit_once('@') {
            // No address can look like this, so nobody has it; it is counted and answered like any other.
            Some((local, domain)) => (
                local.to_lowercase(),
                domain_to_ascii(domain.as_bytes()).unwrap_or_else(|_| "invalid".to_owned()),
            ),
            None => (name.to_lowercase(), String::new()),
        },
    }
}

/// A SASL exchange with everything it needs of the directory.
pub struct Authentication {
    directory: Arc<Directory>,
    visitor: Visitor,
    exchange: Exchange,
    candidature: Option<Candidature>,
}

/// What the client is told next.
pub enum Progress {
    /// A challenge, not yet in base64.
    Challenge(Vec<u8>),
    /// Logged in.
    Done(Login),
}

impl Authentication {
    /// Begins; the caller has made sure that the mechanism is offered here.
    pub fn new(directory: Arc<Directory>, visitor: Visitor, mechanism: Mechanism, binding: Binding) -> Self {
        Self { directory, visitor, exchange: Exchange::new(mechanism, binding), candidature: None }
    }

    /// Takes the initial response (as it stands in the command, in base64), or none.
    pub async fn begin(&mut self, initial: Option<&[u8]>) -> Result<Progress, LoginError> {
        match initial.map(crate::sasl::decode_initial) {
            None => self.begin_decoded(None).await,
            Some(Ok(response)) => self.begin_decoded(Some(&response)).await,
            Some(Err(reason)) => self.follow(Step::Failed(reason)).await,
        }
    }

    /// As [`Authentication::begin`], for a response that is out of its base64 already.
    pub async fn begin_decoded(&mut self, initial: Option<&[u8]>) -> Result<Progress, LoginError> {
        let step = self.exchange.begin(initial);
        self.follow(step).await
    }

    /// Takes a line of the client, in base64.
    pub async fn step(&mut self, line: &[u8]) -> Result<Progress, LoginError> {
        let step = match crate::sasl::decode_response(line) {
            Ok(response) => self.exchange.step(&response),
            Err(reason) => Step::Failed(reason),
        };
        self.follow(step).await
    }

    async fn follow(&mut self, step: Step) -> Result<Progress, LoginError> {
        match step {
            Step::Challenge(challenge) => Ok(Progress::Challenge(challenge)),
            Step::NeedPassword { authzid, username, password } => {
                let login = self.directory.login(self.visitor, &username, &password).await?;
                self.act_as(login, authzid).await
            }
            Step::NeedScramKeys { username } => {
                let candidature = self.directory.candidature(self.visitor, &username).await?;
                let stored = candidature.account.as_ref().and_then(|account| account.scram.as_deref());
                let keys = stored.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
                    let secret = &self.directory.control.config().directory.unknown_user_secret;
                    ScramKeys::fake(secret.as_bytes(), &candidature.key)
                });
                self.candidature = Some(candidature);
                match self.exchange.resume_scram(keys) {
                    Step::Challenge(challenge) => Ok(Progress::Challenge(challenge)),
                    Step::Failed(reason) => Err(self.refuse(reason).await),
                    _ => Err(LoginError::Temporary("authentication went astray".to_owned())),
                }
            }
            Step::NeedTokenUser { authzid, token } => {
                let user = match self.directory.token_user(token.expose()).await {
                    Ok(user) => user,
                    Err(TokenError::Unavailable(why)) => return Err(LoginError::Temporary(why)),
                    Err(TokenError::Bad(reason)) => {
                        let Visitor { peer, service } = self.visitor;
                        tracing::info!(%peer, service, %reason, "a token was refused");
                        // RFC 7628 §3.2.2: the client hears why, answers, and only then it has failed.
                        let configuration = self.directory.issuer_configuration();
                        return match self.exchange.refuse_token(&configuration) {
                            Step::Challenge(challenge) => Ok(Progress::Challenge(challenge)),
                            _ => Err(LoginError::Wrong),
                        };
                    }
                };
                let login = self.directory.vouched_for(self.visitor, &user).await?;
                self.act_as(login, authzid).await
            }
            Step::Done { authzid, .. } => {
                let candidature = self.candidature.take().ok_or(LoginError::Wrong)?;
                let login = self.directory.succeeded(self.visitor, candidature).await?;
                self.act_as(login, authzid).await
            }
            Step::Failed(reason) => Err(self.refuse(reason).await),
        }
    }

    /// Nobody may act as somebody else here.
    async fn act_as(&self, login: Login, authzid: Option<String>) -> Result<Progress, LoginError> {
        match authzid {
            Some(other) if !other.eq_ignore_ascii_case(&login.address) => Err(LoginError::Wrong),
            _ => Ok(Progress::Done(login)),
        }
    }

    async fn refuse(&mut self, reason: Reason) -> LoginError {
        match reason.fault() {
            Fault::Cancelled => LoginError::Cancelled,
            Fault::Syntax => LoginError::Syntax(reason),
            Fault::Server => LoginError::Temporary(reason.to_string()),
            Fault::Credentials => match self.candidature.take() {
                Some(candidature) => self.directory.failed(self.visitor, &candidature).await,
                None => LoginError::Wrong,
            },
        }
    }
}
