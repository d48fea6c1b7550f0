//! Any table as data: what stands under the administration pages, and under every other way to reach the same tables.
//!
//! What must hold: each question runs in a transaction of its own under the role `mailwright_web`, for one person, and
//! row-level security says what he sees; nothing here decides who may do what. Names of pages and columns are looked up in the
//! catalog by the functions that are called (`sql/logic/page.sql`), and no statement is put together here. A question costs two
//! round trips: one for the role and the question together, one for the commit. Only the queries of reports are texts of their own
//! (`report`), and another role keeps them in their place.

mod report;

mod certificate;
mod queue;
mod story;

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_postgres::types::ToSql;

use crate::control::Control;
use crate::db::Error;
use crate::mail::{AccountId, MailboxId};
use crate::sql;

pub use certificate::Kept;
pub use queue::Selection;
pub use report::{Found, Report, ReportError, ResultColumn, Values};
pub use story::Sought;

const ACT_AS: &str = sql!("tables/act_as");
const PAGES: &str = sql!("tables/pages");
const PAGE: &str = sql!("tables/page");
const LIST: &str = sql!("tables/list");
const FORM: &str = sql!("tables/form");
const ROWS: &str = sql!("tables/rows");
const KEYED: &str = sql!("tables/keyed");
const SERVICES: &str = sql!("tables/services");
const SAVE: &str = sql!("tables/save");
const ACT: &str = sql!("tables/act");
const OVERVIEW: &str = sql!("tables/overview");
const OVERVIEW_OF_DOMAIN: &str = sql!("tables/overview_of_domain");
const PATIENCE: &str = sql!("tables/patience");
const CHECK_USERS: &str = sql!("tables/check_users");
const MAILBOX_VIEW: &str = sql!("tables/mailbox_view");
const OPEN_MAILBOX_VIEW: &str = sql!("tables/open_mailbox_view");
const CLOSE_MAILBOX_VIEW: &str = sql!("tables/close_mailbox_view");
const VIEW_MESSAGE: &str = sql!("tables/view_message");
const IMPORT_USERS: &str = sql!("tables/import_users");

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything.
    System,
    /// See everything, change nothing.
    Auditor,
    /// See and change what belongs to the domain of his account.
    Domain,
    /// See his own account, and change a little of it.
    User,
}

impl Kind {
    /// As the database has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::System => "system",
            Kind::Auditor => "auditor",
            Kind::Domain => "domain",
            Kind::User => "user",
        }
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Kind> {
        [Kind::System, Kind::Auditor, Kind::Domain, Kind::User].into_iter().find(|kind| kind.name() == name)
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// What he may do.
    pub kind: Kind,
    /// His name, which the audit log gets.
    pub login: String,
    /// The account of a domain administrator or user.
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
    /// Whose turn it is to run a report.
    reports: Arc<Semaphore>,
}

impl Tables {
    /// Those of this installation.
    pub fn new(control: Arc<Control>) -> Self {
        Tables { control, reports: Arc::new(Semaphore::new(report::AT_ONCE)) }
    }

    /// The menu.
    pub async fn pages(&self, who: &Who) -> Result<Value, Error> {
        self.ask(who, PAGES, &[]).await
    }

    /// All that is known of a page.
    pub async fn page(&self, who: &Who, page: &str) -> Result<Value, Error> {
        self.ask(who, PAGE, &[&page]).await
    }

    /// A page as a list: `rows`, whether there are `more`, `labels` of what they refer to, `options` of filters, and the `menu`.
    pub async fn list(&self, who: &Who, page: &str, query: &Query) -> Result<Value, Error> {
        let Query { words, sorted, downwards, filters, behind, most } = query;
        self.ask(who, LIST, &[&page, words, sorted, downwards, filters, behind, most]).await
    }

    /// A row as a form: `page`, `row` and its `mark`, `history`, `options` of its references, and the `menu`; without a key, a
    /// new row.
    pub async fn form(&self, who: &Who, page: &str, key: Option<&Value>) -> Result<Value, Error> {
        self.ask(who, FORM, &[&page, &key]).await
    }

    /// The rows alone, and whether there are `more`.
    pub async fn rows(&self, who: &Who, page: &str, query: &Query) -> Result<Value, Error> {
        let Query { words, sorted, downwards, filters, behind, most } = query;
        self.ask(who, ROWS, &[&page, words, sorted, downwards, filters, behind, most]).await
    }

    /// The rows with these keys, of those that are there.
    pub async fn keyed(&self, who: &Who, page: &str, keys: &Value) -> Result<Value, Error> {
        self.ask(who, KEYED, &[&page, keys]).await
    }

    /// What runs, where it listens and who is connected (`shown`), and the `menu`.
    pub async fn services(&self, who: &Who) -> Result<Value, Error> {
        self.ask(who, SERVICES, &[]).await
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

    /// What is wrong with users that are to be made: lines, columns and words. Takes seconds for thousands.
    pub async fn check_users(&self, who: &Who, rows: &Value) -> Result<Value, Error> {
        self.ask_patiently(who, Some(PATIENCE), CHECK_USERS, &[rows]).await
    }

    /// Makes users, all or none; the answer says how many, or what is wrong. Takes seconds for thousands.
    pub async fn import_users(&self, who: &Who, rows: &Value) -> Result<Value, Error> {
        self.ask_patiently(who, Some(PATIENCE), IMPORT_USERS, &[rows]).await
    }

    /// The view that a session has open of a user's mailbox; an error where he may have none. The session goes by the hash of its
    /// cookie.
    pub async fn mailbox_view(&self, who: &Who, session: &[u8], account: AccountId) -> Result<Value, Error> {
        self.ask(who, MAILBOX_VIEW, &[&session, &account.0]).await
    }

    /// Opens one, for a reason; the answer says what is wrong with that.
    pub async fn open_mailbox_view(
        &self,
        who: &Who,
        session: &[u8],
        account: AccountId,
        reason: &str,
    ) -> Result<Value, Error> {
        self.ask(who, OPEN_MAILBOX_VIEW, &[&session, &account.0, &reason]).await
    }

    /// Ends it.
    pub async fn close_mailbox_view(
        &self,
        who: &Who,
        session: &[u8],
        account: AccountId,
    ) -> Result<Value, Error> {
        self.ask(who, CLOSE_MAILBOX_VIEW, &[&session, &account.0]).await
    }

    /// As [`Tables::mailbox_view`], before one message is shown: that is noted.
    pub async fn view_message(
        &self,
        who: &Who,
        session: &[u8],
        account: AccountId,
        mailbox: MailboxId,
        uid: u32,
    ) -> Result<Value, Error> {
        self.ask(who, VIEW_MESSAGE, &[&session, &account.0, &mailbox.0, &i64::from(uid)]).await
    }

    /// What the overview shows, the menu included: of the whole server for the last `span` (hour, day, month), or of the domain of a
    /// domain administrator for the last 30 days.
    pub async fn overview(&self, who: &Who, span: &str) -> Result<Value, Error> {
        match who.kind {
            // A user has none; the function says so.
            Kind::Domain | Kind::User => self.ask(who, OVERVIEW_OF_DOMAIN, &[]).await,
            Kind::System | Kind::Auditor => self.ask(who, OVERVIEW, &[&span]).await,
        }
    }

    async fn ask(
        &self,
        who: &Who,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Value, Error> {
        self.ask_patiently(who, None, sql, values).await
    }

    /// With a statement before it that gives it more time.
    async fn ask_patiently(
        &self,
        who: &Who,
        patience: Option<&'static str>,
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
        let row = match patience {
            // In turn: each statement begins with the time that the one before it has set.
            Some(patience) => {
                transaction.query_one(&act_as, &as_who).await?;
                transaction.execute(patience, &[]).await?;
                transaction.query_opt(&question, values).await
            }
            None => {
                let (role, row) = tokio::join!(
                    transaction.query_one(&act_as, &as_who),
                    transaction.query_opt(&question, values)
                );
                role?;
                row
            }
        };
        let answer: Value = row?.and_then(|row| row.get::<_, Option<Value>>(0)).unwrap_or(Value::Null);
        if answer.get("wrong").is_some() {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(answer)
    }
}
