//! Access tokens: who has issued them, with which keys, and whose they are.
//!
//! Guarantees: a token counts only for an issuer that is configured and active; keys come over verified TLS; a token that is
//! wrong says nothing about accounts. Costs: nothing but the signature check while the keys are known. They are fetched when
//! an issuer's token comes first, when they are an hour old, and when a token names a key that is not among them, but at
//! most four times a minute for each issuer, whatever strangers send; while they can't be fetched, the old ones count for a
//! day.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::resolve::Directory;
use crate::control::config::OidcIssuer;
use crate::dns::Dns;
use crate::net::https::{self, Limits};
use crate::sasl::jwt::{BadToken, Keys, Token, Wanted};
use crate::tls::client;

/// What an answer of an issuer may take.
const LIMITS: Limits = Limits { time: Duration::from_secs(10), bytes: 256 * 1024 };
/// When keys are fetched anew.
const FRESH: Duration = Duration::from_secs(3600);
/// How long keys count that can't be fetched anew.
const USABLE: Duration = Duration::from_secs(24 * 3600);
/// How often they are fetched at most, in how long a time.
const TRIES: usize = 4;
const PERIOD: Duration = Duration::from_secs(60);

/// Why a token lets nobody in.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    /// It is not right.
    #[error("{0}")]
    Bad(#[from] BadToken),
    /// Its issuer's keys are not to be had.
    #[error("{0}")]
    Unavailable(String),
}

/// The issuers' keys.
pub(super) struct Issuers {
    dns: Dns,
    known: Mutex<HashMap<i64, Arc<Issuer>>>,
}

/// An issuer whose row has not changed since.
struct Issuer {
    row: OidcIssuer,
    /// Whoever needs other keys than there are waits for whoever fetches them.
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<Keys>, Instant)>,
    tried: Vec<Instant>,
}

impl Issuers {
    pub(super) fn new(dns: Dns) -> Self {
        Self { dns, known: Mutex::default() }
    }

    fn issuer(&self, row: &OidcIssuer) -> Arc<Issuer> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&row.id) {
            Some(issuer) if issuer.row == *row => issuer.clone(),
            _ => {
                let issuer = Arc::new(Issuer { row: row.clone(), state: tokio::sync::Mutex::default() });
                known.insert(row.id, issuer.clone());
                issuer
            }
        }
    }
}

impl Issuer {
    /// Keys among which there is one of this name, if it can be had.
    async fn keys(&self, id: Option<&str>, dns: &Dns) -> Result<Arc<Keys>, TokenError> {
        let mut state = self.state.lock().await;
        if let Some((keys, at)) = &state.keys
            && at.elapsed() < FRESH
            && keys.has(id)
        {
            return Ok(keys.clone());
        }
        state.tried.retain(|at| at.elapsed() < PERIOD);
        if state.tried.len() < TRIES {
            state.tried.push(Instant::now());
            match self.fetch(dns).await {
                Ok(keys) => state.keys = Some((Arc::new(keys), Instant::now())),
                Err(error) => {
                    tracing::warn!(issuer = self.row.issuer, error, "the issuer's keys could not be fetched");
                }
            }
        }
        match &state.keys {
            Some((keys, at)) if at.elapsed() < USABLE => Ok(keys.clone()),
            _ => Err(TokenError::Unavailable(
                "the keys of the token's issuer are not to be had now".to_owned(),
            )),
        }
    }

    async fn fetch(&self, dns: &Dns) -> Result<Keys, String> {
        let url = match &self.row.jwks_url {
            Some(url) => url.clone(),
            None => self.discover(dns).await?,
        };
        let body = self.get(&url, dns).await?;
        Keys::parse(&body).ok_or_else(|| format!("{url} is no JWK set"))
    }

    /// Where the issuer says that its keys are (OpenID Connect Discovery 1.0 §4).
    async fn discover(&self, dns: &Dns) -> Result<String, String> {
        let url = configuration(&self.row);
        let body = self.get(&url, dns).await?;
        let found: serde_json::Value =
            serde_json::from_slice(&body).map_err(|_| format!("{url} is no JSON"))?;
        let field = |name: &str| found.get(name).and_then(serde_json::Value::as_str);
        if field("issuer") != Some(&self.row.issuer) {
            return Err(format!("{url} is of another issuer"));
        }
        field("jwks_uri").map(str::to_owned).ok_or_else(|| format!("{url} names no jwks_uri"))
    }

    async fn get(&self, url: &str, dns: &Dns) -> Result<Vec<u8>, String> {
        let roots = client::roots(self.row.roots.as_deref());
        let answer = https::get(url, dns, roots, LIMITS).await.map_err(|error| error.to_string())?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(format!("{url} answered {status}")),
        }
    }
}

/// Where an issuer describes itself.
fn configuration(row: &OidcIssuer) -> String {
    format!("{}/.well-known/openid-configuration", row.issuer.trim_end_matches('/'))
}

impl Directory {
    /// The name of the account that a token is for.
    pub(super) async fn token_user(&self, token: &[u8]) -> Result<String, TokenError> {
        let text = str::from_utf8(token).map_err(|_| BadToken::Malformed)?;
        let token = Token::parse(text)?;
        let config = self.control.config();
        let row = config.oidc_issuers.iter().find(|row| token.issuer() == Some(&row.issuer));
        let row = row.ok_or(BadToken::Issuer)?;
        let keys = self.issuers.issuer(row).keys(token.key_id(), &self.issuers.dns).await?;
        let wanted = Wanted {
            issuer: &row.issuer,
            audience: &row.audience,
            algorithms: &row.algorithms,
            username_claim: &row.username_claim,
            now: jiff::Timestamp::now().as_second(),
        };
        Ok(token.verify(&keys, &wanted)?.to_owned())
    }

    /// Where a client whose token was refused finds out how to get another one.
    pub(super) fn issuer_configuration(&self) -> String {
        self.control.config().oidc_issuers.first().map(configuration).unwrap_or_default()
    }
}
