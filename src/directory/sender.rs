//! Whose address a sender is, and who may give it.
//!
//! What it costs: nothing for a user who gives his own address; else one round trip for each new sender, whose answer is
//! remembered until settings or directory change. Senders of other people's domains are looked at by domain, so that many
//! of them are one question.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::login::Login;
use super::resolve::Directory;
use crate::db::Error;
use crate::mail::Address;
use crate::sql;

const SENDER: &str = sql!("directory/sender");
const MAY_SEND_AS: &str = sql!("directory/may_send_as");
const EXPAND: &str = sql!("directory/expand");

/// Answers of one kind that are remembered at most; when they are more, all are forgotten.
const REMEMBERED: usize = 100_000;

/// What is known of an address of a domain here that is given as sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// Whether mail can be sent back to it.
    pub exists: bool,
    /// Whether only those may give it who have logged in, or may relay.
    pub needs_login: bool,
}

/// Answers that hold until something changes.
#[derive(Default)]
pub(super) struct Senders {
    foreign: Known<String, ()>,
    ours: Known<String, Sender>,
    permitted: Known<(i64, String), bool>,
}

impl Senders {
    pub(super) fn forget(&self) {
        self.foreign.forget();
        self.ours.forget();
        self.permitted.forget();
    }
}

/// Answers by question. One that was asked for before a change is not remembered after it.
struct Known<K, V> {
    answers: Mutex<HashMap<K, V>>,
    epoch: AtomicU64,
}

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self { answers: Mutex::default(), epoch: AtomicU64::new(0) }
    }
}

impl<K: Eq + Hash, V: Copy> Known<K, V> {
    fn get(&self, question: &K) -> Option<V> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(question).copied()
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    fn remember(&self, epoch: u64, question: K, answer: V) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.epoch() == epoch {
            if answers.len() >= REMEMBERED {
                answers.clear();
            }
            answers.insert(question, answer);
        }
    }

    fn forget(&self) {
        // First the epoch, as in `Directory::forget`.
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Directory {
    /// What is known of a sender; `None` where its domain is none of ours.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn sender(&self, address: &Address) -> Result<Option<Sender>, Error> {
        let (key, domain) = (address.key(), address.domain().to_owned());
        let senders = &self.senders;
        if senders.foreign.get(&domain).is_some() {
            return Ok(None);
        }
        if let Some(known) = senders.ours.get(&key) {
            return Ok(Some(known));
        }
        let (foreign_epoch, epoch) = (senders.foreign.epoch(), senders.ours.epoch());
        let local = local_of(&key);
        let Some(row) = self.control.db.query_opt(SENDER, &[&local, &domain]).await? else {
            senders.foreign.remember(foreign_epoch, domain, ());
            return Ok(None);
        };
        let known = Sender { exists: row.get(0), needs_login: row.get(1) };
        senders.ours.remember(epoch, key, known);
        Ok(Some(known))
    }

    /// Whether somebody who has logged in may give this address as sender.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn may_send_as(&self, login: &Login, address: &Address) -> Result<bool, Error> {
        let question = (login.account.0, address.key());
        if question.1 == login.address {
            return Ok(true);
        }
        let permitted = &self.senders.permitted;
        if let Some(known) = permitted.get(&question) {
            return Ok(known);
        }
        let epoch = permitted.epoch();
        let (local, domain) = (local_of(&question.1), address.domain());
        let row = self.control.db.query_opt(MAY_SEND_AS, &[&question.0, &local, &domain]).await?;
        // No row: the account has been deleted.
        let answer = row.and_then(|row| row.get::<_, Option<bool>>(0)).unwrap_or(false);
        permitted.remember(epoch, question, answer);
        Ok(answer)
    }

    /// Who is behind an alias, at most so many; nobody where there is no such alias. Asks the database.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn members(&self, address: &Address, most: i64) -> Result<Vec<String>, Error> {
        let key = address.key();
        let rows = self.control.db.query(EXPAND, &[&local_of(&key), &address.domain(), &most]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// The local part of a key.
fn local_of(key: &str) -> &str {
    key.rsplit_once('@').map_or(key, |(local, _)| local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_before_a_change_is_not_remembered() {
        let known: Known<u8, u8> = Known::default();
        let before = known.epoch();
        known.forget();
        known.remember(before, 1, 1);
        assert_eq!(known.get(&1), None);
        known.remember(known.epoch(), 1, 2);
        assert_eq!(known.get(&1), Some(2));
        known.forget();
        assert_eq!(known.get(&1), None);
    }
}
