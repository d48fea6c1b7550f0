//! The keys that authorize URLs (RFC 4467 §2.2): one for each account and each mailbox that it has made URLs of.

use ring::rand::{SecureRandom, SystemRandom};

use super::Store;
use crate::db::Error;
use crate::mail::{AccountId, MailboxId};
use crate::sql;

const FIND: &str = sql!("store/find_url_key");
const MAKE: &str = sql!("store/make_url_key");
const REMOVE: &str = sql!("store/remove_url_keys");

fn key(row: &tokio_postgres::Row) -> Result<[u8; 32], Error> {
    let bytes: &[u8] = row.get(0);
    bytes.try_into().map_err(|_| Error::Fault("a key of URLs has not 32 bytes".to_owned()))
}

impl Store {
    /// The key of an account for a mailbox, if it has one.
    pub async fn url_key(&self, account: AccountId, mailbox: MailboxId) -> Result<Option<[u8; 32]>, Error> {
        let row = self.control.db.query_opt(FIND, &[&account.0, &mailbox.0]).await?;
        row.as_ref().map(key).transpose()
    }

    /// The key of an account for a mailbox; a new one if it had none.
    pub async fn make_url_key(&self, account: AccountId, mailbox: MailboxId) -> Result<[u8; 32], Error> {
        let mut fresh = [0; 32];
        SystemRandom::new()
            .fill(&mut fresh)
            .map_err(|_| Error::Unavailable("the system has no random numbers".to_owned()))?;
        let row = self.control.db.query_opt(MAKE, &[&account.0, &mailbox.0, &&fresh[..]]).await?;
        key(&row.ok_or_else(|| Error::Fault("a key of URLs was not kept".to_owned()))?)
    }

    /// Makes all URLs invalid that an account has authorized, those of one mailbox or of all.
    pub async fn remove_url_keys(&self, account: AccountId, mailbox: Option<MailboxId>) -> Result<(), Error> {
        let mailbox = mailbox.map(|mailbox| mailbox.0);
        self.control.db.execute(REMOVE, &[&account.0, &mailbox]).await.map(drop)
    }
}
