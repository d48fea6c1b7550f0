//! Who wants to hear of everything that happens in an account, on this node: sessions that watch mailboxes which they
//! have not selected.
//!
//! An [`Ear`] collects what happened until its session asks; it never holds more than `NEWS_MAX` mailboxes, past that it
//! says that everything may have changed. Nobody runs or waits for an ear: to ring costs a look into a map, and nothing
//! where nobody listens.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::mail::{AccountId, MailboxId};

/// Mailboxes that are kept one by one.
const NEWS_MAX: usize = 256;

/// The account that stands for everybody.
const EVERYBODY: i64 = 0;

/// What has happened since an ear was last asked.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct News {
    /// Names, subscriptions or rights have changed, or bells may have been missed: look at everything.
    pub everything: bool,
    /// Mailboxes whose messages have changed.
    pub mailboxes: BTreeSet<(AccountId, MailboxId)>,
}

impl News {
    fn is_empty(&self) -> bool {
        !self.everything && self.mailboxes.is_empty()
    }
}

#[derive(Debug, Default)]
struct Heard {
    news: Mutex<News>,
    bell: Notify,
}

impl Heard {
    fn ring(&self, account: i64, mailbox: Option<i64>) {
        {
            let mut news = lock(&self.news);
            match mailbox {
                Some(mailbox) if news.mailboxes.len() < NEWS_MAX && !news.everything => {
                    news.mailboxes.insert((AccountId(account), MailboxId(mailbox)));
                }
                _ => {
                    news.everything = true;
                    news.mailboxes.clear();
                }
            }
        }
        self.bell.notify_one();
    }
}

/// Hears what happens in some accounts.
#[derive(Debug)]
pub struct Ear(Arc<Heard>);

impl Ear {
    /// Waits until something has happened. Cancel-safe.
    pub async fn rung(&self) {
        while lock(&self.0.news).is_empty() {
            self.0.bell.notified().await;
        }
    }

    /// What has happened since the last time.
    pub fn take(&self) -> News {
        std::mem::take(&mut *lock(&self.0.news))
    }
}

/// All ears of this node.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<HashMap<i64, Vec<Weak<Heard>>>>);

impl Ears {
    /// A new ear for these accounts, and for what concerns everybody.
    pub(super) fn listen(&self, accounts: impl IntoIterator<Item = AccountId>) -> Ear {
        let heard = Arc::new(Heard::default());
        let accounts: HashSet<i64> =
            accounts.into_iter().map(|account| account.0).chain([EVERYBODY]).collect();
        let mut all = lock(&self.0);
        for account in accounts {
            let ears = all.entry(account).or_default();
            ears.retain(|ear| ear.strong_count() > 0);
            ears.push(Arc::downgrade(&heard));
        }
        Ear(heard)
    }

    /// A bell: mailbox 0 stands for the account's names.
    pub(super) fn ring(&self, account: i64, mailbox: i64) {
        let all = lock(&self.0);
        let ears = all.get(&account).into_iter().flatten();
        ears.filter_map(Weak::upgrade).for_each(|ear| ear.ring(account, (mailbox != 0).then_some(mailbox)));
    }

    /// Bells may have been missed.
    pub(super) fn ring_all(&self) {
        let all = lock(&self.0);
        all.values().flatten().filter_map(Weak::upgrade).for_each(|ear| ear.ring(EVERYBODY, None));
    }

    /// The accounts that somebody listens to; forgets those that nobody does any more.
    pub(super) fn accounts(&self) -> Vec<i64> {
        let mut all = lock(&self.0);
        all.retain(|_, ears| {
            ears.retain(|ear| ear.strong_count() > 0);
            !ears.is_empty()
        });
        all.keys().copied().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these is valid between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ear_hears_its_accounts_and_never_holds_much() {
        let ears = Ears::default();
        let ear = ears.listen([AccountId(7), AccountId(8)]);
        ears.ring(9, 1);
        assert!(ear.take().is_empty());
        ears.ring(7, 1);
        ears.ring(7, 1);
        ears.ring(8, 2);
        ear.rung().await;
        let mailboxes = BTreeSet::from([(AccountId(7), MailboxId(1)), (AccountId(8), MailboxId(2))]);
        assert_eq!(ear.take(), News { everything: false, mailboxes });
        for mailbox in 1..=1000 {
            ears.ring(7, mailbox);
        }
        assert_eq!(ear.take(), News { everything: true, mailboxes: BTreeSet::new() });
        ears.ring(8, 0);
        assert!(ear.take().everything, "names");
        ears.ring(0, 0);
        assert!(ear.take().everything, "everybody");
        ears.ring_all();
        assert!(ear.take().everything, "a gap");
        drop(ear);
        assert_eq!(ears.accounts(), [0; 0]);
    }
}
