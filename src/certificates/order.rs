//! One order, from its beginning or from where another node left it, to a certificate (RFC 8555 §7.4).

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};

use super::client::Client;
use super::trouble::{Trouble, words};
use super::{Certificates, checked};
use crate::control::config::acme::{Acme, Challenge};
use crate::sql;
use crate::tls::certificate::{Certified, acme_answer, new_key, request};
use crate::tls::client;

const KEEP_ORDER: &str = sql!("certificates/keep_order");
const FORGET_ORDER: &str = sql!("certificates/forget_order");
const SET_ANSWERS: &str = sql!("certificates/set_answers");
const CLEAR_ANSWERS: &str = sql!("certificates/clear_answers");
const WAIT_APPLIED: &str = sql!("certificates/wait_applied");

/// How often, and how long, the authority is asked whether it is done.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));

/// A certificate to have.
pub(super) struct Wanted {
    /// Its row.
    pub(super) id: i64,
    /// Host names.
    pub(super) names: Vec<String>,
    /// The URL of an order that has been begun, and the key for it (PEM).
    pub(super) under_way: Option<(String, String)>,
    /// The key that is to stay, PEM; otherwise each certificate has a new one.
    pub(super) key: Option<String>,
}

/// A certificate as it came.
pub(super) struct Issued {
    /// PEM.
    pub(super) chain: String,
    /// PEM.
    pub(super) key: String,
    /// Both, read.
    pub(super) read: Certified,
}

/// The answers to the challenges of an order.
#[derive(Default)]
struct Answers {
    tokens: Vec<String>,
    names: Vec<String>,
    key_authorizations: Vec<String>,
    chains: Vec<Option<String>>,
    keys: Vec<Option<String>>,
}

impl Certificates {
    /// Orders a certificate.
    pub(super) async fn order(&self, wanted: &Wanted) -> Result<Issued, Trouble> {
        let acme = self.control.config().acme.clone();
        let client = Client::new(self.dns.clone(), client::roots(acme.roots.as_deref()));
        let outcome = match self.try_order(&acme, &client, wanted, wanted.under_way.clone()).await {
            // The authority has lost it, or somebody has deactivated it: a new one is all that can help.
            Err(Trouble::NoAccount(_)) => {
                self.forget_account(&acme).await?;
                self.try_order(&acme, &client, wanted, None).await
            }
            other => other,
        };
        outcome.map_err(|trouble| trouble.after(client.wait()))
    }

    async fn try_order(
        &self,
        acme: &Acme,
        client: &Client,
        wanted: &Wanted,
        under_way: Option<(String, String)>,
    ) -> Result<Issued, Trouble> {
        let account = self.account(acme, client).await?;
        let (mut order, key) = match self.resume(&account, wanted, under_way).await? {
            Some(resumed) => resumed,
            None => self.begin(acme, &account, wanted).await?,
        };
        let mut tokens = Vec::new();
        let outcome = self.carry_out(acme, wanted, &mut order, &key, &mut tokens).await;
        if !tokens.is_empty() {
            self.control.db.query(CLEAR_ANSWERS, &[&tokens]).await?;
        }
        match outcome {
            Ok(chain) => checked(chain, key, &wanted.names),
            Err(trouble) => {
                // An order that is dead stays so; one that the authority is still at is asked for next time.
                if order.state().status != OrderStatus::Processing {
                    self.control.db.execute(FORGET_ORDER, &[&wanted.id]).await?;
                }
                Err(trouble)
            }
        }
    }

    /// The order that is under way, unless the authority has given it up.
    async fn resume(
        &self,
        account: &Account,
        wanted: &Wanted,
        under_way: Option<(String, String)>,
    ) -> Result<Option<(Order, String)>, Trouble> {
        let Some((url, key)) = under_way else { return Ok(None) };
        let why = match account.order(url).await {
            Ok(mut order) => match order.state().status {
                OrderStatus::Invalid => "it is invalid".to_owned(),
                _ => return Ok(Some((order, key))),
            },
            Err(instant_acme::Error::Api(problem)) => words(&problem),
            Err(other) => return Err(other.into()),
        };
        tracing::info!(names = ?wanted.names, why, "an order can't be resumed and is begun anew");
        self.control.db.execute(FORGET_ORDER, &[&wanted.id]).await?;
        Ok(None)
    }

    async fn begin(
        &self,
        acme: &Acme,
        account: &Account,
        wanted: &Wanted,
    ) -> Result<(Order, String), Trouble> {
        let names: Vec<Identifier> = wanted.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
        let key = match &wanted.key {
            Some(key) => key.clone(),
            None => new_key()?,
        };
        let order = account.new_order(&NewOrder::new(&names)).await?;
        let url = order.url();
        self.control.db.execute(KEEP_ORDER, &[&wanted.id, &acme.directory, &url, &key]).await?;
        Ok((order, key))
    }

    /// Takes an order to its end, and gives the chain. `tokens` are those of the answers that have been given.
    async fn carry_out(
        &self,
        acme: &Acme,
        wanted: &Wanted,
        order: &mut Order,
        key: &str,
        tokens: &mut Vec<String>,
    ) -> Result<String, Trouble> {
        if order.state().status == OrderStatus::Pending {
            let answers = answers(order, acme.challenge).await?;
            tokens.clone_from(&answers.tokens);
            self.give(&answers, acme.challenge).await?;
            if let Err(trouble) = prove(order, acme.challenge).await {
                return Err(refused(order).await.map_or(trouble, Trouble::told));
            }
        }
        if order.state().status == OrderStatus::Ready {
            order.finalize_csr(&request(&wanted.names, key)?).await?;
        }
        Ok(order.poll_certificate(&PATIENCE).await?)
    }

    /// Has all nodes give these answers, and waits until they do.
    async fn give(&self, answers: &Answers, challenge: Challenge) -> Result<(), Trouble> {
        let db = &self.control.db;
        let Answers { tokens, names, key_authorizations, chains, keys } = answers;
        db.query(SET_ANSWERS, &[tokens, names, &challenge.name(), key_authorizations, chains, keys]).await?;
        db.query(WAIT_APPLIED, &[]).await?;
        Ok(())
    }
}

/// What there is to answer: for each name that has not been proved to be ours before.
async fn answers(order: &mut Order, challenge: Challenge) -> Result<Answers, Trouble> {
    let mut answers = Answers::default();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        let name = authorization.identifier().to_string();
        let asked = authorization.challenge(kind(challenge)).ok_or_else(|| {
            Trouble::told(format!("the authority does not offer {} for {name}", challenge.name()))
        })?;
        let answer = asked.key_authorization();
        let shown = match challenge {
            Challenge::TlsAlpn01 => {
                let digest: [u8; 32] = answer.digest().as_ref().try_into().unwrap_or_default();
                let (chain, key) = acme_answer(&name, &digest)?;
                (Some(chain), Some(key))
            }
            Challenge::Http01 => (None, None),
        };
        answers.tokens.push(asked.token.clone());
        answers.names.push(name);
        answers.key_authorizations.push(answer.as_str().to_owned());
        answers.chains.push(shown.0);
        answers.keys.push(shown.1);
    }
    Ok(answers)
}

/// Asks the authority to look, and waits until it has.
async fn prove(order: &mut Order, challenge: Challenge) -> Result<(), Trouble> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status != AuthorizationStatus::Pending {
            continue;
        }
        if let Some(mut asked) = authorization.challenge(kind(challenge)) {
            asked.set_ready().await?;
        }
    }
    match order.poll_ready(&PATIENCE).await? {
        OrderStatus::Invalid => Err(Trouble::told("the authority refused the order".to_owned())),
        _ => Ok(()),
    }
}

/// What the authority found where it looked, name by name.
async fn refused(order: &mut Order) -> Option<String> {
    let mut found = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // Whatever can't be learned now is not said; what ended the order is.
        let Ok(state) = authorization.refresh().await else { continue };
        let name = state.identifier().to_string();
        let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        found.extend(problems.map(|problem| format!("{name}: {}", words(problem))));
    }
    (!found.is_empty()).then(|| found.join("; "))
}

fn kind(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}
