//! Any table as data: what stands under the administration pages, and under every other way to reach the same tables.
//!
//! What must hold: each question runs in a transaction of its own under the role `mailwright_web`, for one administrator, and
//! row-level security says what he sees; nothing here decides who may do what. Names of pages and columns are looked up in the
//! catalog by the functions that are called (`sql/logic/page.sql`), and no statement is put together here. A question costs two
//! round trips: one for the role and the question together, one for the commit.

mod certificate;
mod queue;
mod story;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio_postgres::types::ToSql;

use crate::control::Control;
use crate::db::Error;
use crate::mail::AccountId;
use crate::sql;

pub use certificate::Kept;
pub use queue::Selection;
pub use story::Sought;

const ACT_AS: &str = sql!("tables/act_as");
const PAGES: &str = sql!("tables/pages");
const PAGE: &str = sql!("tables/page");
const ROWS: &str = sql!("tables/rows");
const ROW: &str = sql!("tables/row");
const OPTIONS: &str = sql!("tables/options");
const SAVE: &str = sql!("tables/save");
const ACT: &str = sql!("tables/act");
const HISTORY: &str = sql!("tables/history");

/// What an administrator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything.
    System,
    /// See everything, change nothing.
    Auditor,
    /// See and change what belongs to the domain of his account.
    Domain,
}

impl Kind {
    /// As the database has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Auditor => "auditor",
            Kind::Domain => "domain",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::System, Kind::Auditor, Kind::Domain].into_iter().find(|kind| kind.name() == name)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// What he may do.
    pub kind: Kind,
    /// His name, which the audit log gets.
    pub login: String,
    /// The account of a domain administrator.
    pub account: Option<AccountId>,
    /// Where he is.
    pub peer: IpAddr,
}

/// Which rows of a page, and in which order.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Text that must be somewhere in a row; empty = any.
    pub words: String,
    /// The column that orders them; empty = their key.
    pub sorted: String,
    /// From the last to the first.
    pub downwards: bool,
    /// Columns and what they must be.
    pub filters: Value,
    /// The row behind which to begin.
    pub behind: Option<Value>,
    /// Rows at most.
    pub most: i32,
}

/// The tables of one installation.
#[derive(Clone)]
pub struct Tables {
    control: Arc<Control>,
}

impl Tables {
    /// Those of this installation.
    pub fn new(control: Arc<Control>) -> Self {
        Tables { control }
    }

    /// The menu.
    pub async fn pages(&self, who: &Who) -> Result<Value, Error> {
        self.ask(who, PAGES, &[]).await
    }

    /// All that is known of a page.
    pub async fn page(&self, who: &Who, page: &str) -> Result<Value, Error> {
        self.ask(who, PAGE, &[&page]).await
    }

    /// Rows of a page.
    pub async fn rows(&self, who: &Who, page: &str, query: &Query) -> Result<Value, Error> {
        let Query { words, sorted, downwards, filters, behind, most } = query;
        self.ask(who, ROWS, &[&page, words, sorted, downwards, filters, behind, most]).await
    }

    /// One row and its mark; null when there is none.
    pub async fn row(&self, who: &Who, page: &str, key: &Value) -> Result<Value, Error> {
        self.ask(who, ROW, &[&page, key]).await
    }

    /// What a reference to a page may choose from: pairs of key and name.
    pub async fn options(&self, who: &Who, page: &str) -> Result<Value, Error> {
        self.ask(who, OPTIONS, &[&page]).await
    }

    /// Stores a row; the answer says its key, or what is wrong with which column, and then nothing was stored.
    pub async fn save(
        &self,
        who: &Who,
        page: &str,
        key: Option<&Value>,
        mark: Option<&str>,
        given: &Value,
    ) -> Result<Value, Error> {
        self.ask(who, SAVE, &[&page, &key, &mark, given]).await
    }

    /// Presses a button for rows, or removes them where there is no action; the answer says what came of it, or what is wrong.
    pub async fn act(
        &self,
        who: &Who,
        page: &str,
        action: Option<&str>,
        keys: &Value,
    ) -> Result<Value, Error> {
        self.ask(who, ACT, &[&page, &action, keys]).await
    }

    /// What was changed in a row.
    pub async fn history(&self, who: &Who, page: &str, key: &Value) -> Result<Value, Error> {
        self.ask(who, HISTORY, &[&page, key]).await
    }

    async fn ask(
        &self,
        who: &Who,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Value, Error> {
        let mut client = self.control.db.client().await?;
        let act_as = client.prepare(ACT_AS).await?;
        let question = client.prepare(sql).await?;
        let account = who.account.map_or(String::new(), |account| account.0.to_string());
        let (kind, peer) = (who.kind.name(), who.peer.to_string());
        let transaction = client.transaction().await?;
        let as_who: [&(dyn ToSql + Sync); 4] = [&kind, &who.login, &account, &peer];
        let (role, row) =
            tokio::join!(transaction.query_one(&act_as, &as_who), transaction.query_opt(&question, values));
        role?;
        let answer: Value = row?.and_then(|row| row.get::<_, Option<Value>>(0)).unwrap_or(Value::Null);
        if answer.get("wrong").is_some() {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(answer)
    }
}
