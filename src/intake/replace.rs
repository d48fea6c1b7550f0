//! Messages that leave their mailboxes for others, in the transaction that brings those in (REPLACE, RFC 8508).

use super::delivery::{Place, Replaced};
use crate::db::{Client, Error, Prepared};
use crate::sql;

const EXPUNGE_REPLACED: &str = sql!("intake/expunge_replaced");

/// The messages of a batch that go, as columns, and where what takes their place went.
#[derive(Default)]
pub(super) struct Replacements {
    account: Vec<i64>,
    mailbox: Vec<i64>,
    uid: Vec<i64>,
    to_account: Vec<i64>,
    to_mailbox: Vec<i64>,
}

impl Replacements {
    pub(super) fn push(&mut self, replaced: &Replaced, to: &Place) {
        self.account.push(replaced.account.0);
        self.mailbox.push(replaced.mailbox.0);
        self.uid.push(replaced.uid.into());
        self.to_account.push(to.account.0);
        self.to_mailbox.push(to.mailbox.0);
    }

    /// These mailboxes and those that something leaves: all must be locked in one go, so that their order holds.
    pub(super) fn with_mailboxes(&self, accounts: &[i64], mailboxes: &[i64]) -> (Vec<i64>, Vec<i64>) {
        ([accounts, &self.account].concat(), [mailboxes, &self.mailbox].concat())
    }

    /// The statement, where there is something for it to do.
    pub(super) async fn prepare(&self, client: &Client) -> Result<Option<Prepared>, Error> {
        if self.uid.is_empty() {
            return Ok(None);
        }
        client.prepare(EXPUNGE_REPLACED).await.map(Some)
    }

    pub(super) async fn run(
        &self,
        pg: &tokio_postgres::Client,
        statement: &Prepared,
    ) -> Result<(), tokio_postgres::Error> {
        pg.execute(statement, &[&self.account, &self.mailbox, &self.uid, &self.to_account, &self.to_mailbox])
            .await
            .map(drop)
    }
}
