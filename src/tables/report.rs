//! Reports: queries that administrators keep in `control.report`, run as the role `mailwright_report`.
//!
//! Guarantees: only what is stored and switched on is run, and only for who finds the page Reports in his menu, which the database
//! decides; the query is one statement that only reads, never longer than its time, and gives so many rows and bytes at most.
//! `sql/logic/reporting.sql` says why it cannot leave its role. It runs on a connection of its own, which is closed afterwards: nothing
//! that a query does to a session (settings, advisory locks) outlives it. Costs: that connection, four round trips besides the
//! query; two reports at a time on each node, others wait a moment.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::types::{Kind as TypeKind, ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::{Kind, Tables, Who};
use crate::db::{Error, Target};
use crate::sql;

const REPORTS: &str = sql!("tables/reports");
const REPORT: &str = sql!("tables/report");
const PREPARE: &str = sql!("tables/prepare_report");
const LEAVE_ROLE: &str = sql!("tables/leave_report_role");
const RUN: &str = sql!("tables/run_report");

/// Reports that run at the same time on a node.
pub(super) const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const TURN: Duration = Duration::from_secs(15);
/// Bytes of a result at most.
const BYTES_MAX: i64 = 16 << 20;
/// Parameters that a report can have.
const PARAMETERS_MAX: usize = 5;
/// How long it may take to understand a query that is about to be stored.
const CHECK_SECONDS: i32 = 5;

/// A stored query.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// What it is called.
    pub name: String,
    /// What it says.
    pub description: Option<String>,
    query: String,
    parameters: Vec<String>,
    /// `none`, `line` or `bars`.
    pub chart: String,
    /// The column with the times or names of the chart.
    pub chart_name: Option<String>,
    /// The columns that are drawn.
    pub chart_values: Vec<String>,
    /// Rows at most.
    pub max_rows: i32,
    /// How long it may take.
    pub timeout_seconds: i32,
}

impl Report {
    /// Its parameters: their names, and what they are if nothing is given.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.parameters.iter().map(|text| text.split_once('=').unwrap_or((text, "")))
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Numbers.
    Numbers,
    /// Days or times.
    Times,
    /// Yes or no.
    YesOrNo,
    /// Anything else.
    Text,
}

/// A column of a result.
#[derive(Debug, Clone)]
pub struct ResultColumn {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub values: Values,
}

/// What a report has found.
#[derive(Debug)]
pub struct Found {
    /// Its columns.
    pub columns: Vec<ResultColumn>,
    /// Its rows: JSON, value by value.
    pub rows: Vec<Vec<String>>,
    /// There are more rows than the report shows.
    pub more: bool,
    /// How long it took.
    pub took: Duration,
}

/// Why a report has found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The query is to blame, or who wrote it; for people, with the place in the query where PostgreSQL names one.
    #[error("{0}")]
    Wrong(String),
    /// Something else.
    #[error(transparent)]
    Database(#[from] Error),
}

impl Tables {
    /// The reports that may be run: their names and descriptions.
    pub async fn reports(&self, who: &Who) -> Result<Value, Error> {
        self.ask(who, REPORTS, &[]).await
    }

    /// A report; `None` when there is no such one.
    pub async fn report(&self, who: &Who, name: &str) -> Result<Option<Report>, Error> {
        let found = self.ask(who, REPORT, &[&name]).await?;
        serde_json::from_value(found).map_err(|error| Error::Fault(format!("the report {name}: {error}")))
    }

    /// Runs a report with these parameters, in their order.
    pub async fn run_report(
        &self,
        who: &Who,
        report: &Report,
        given: &[String],
    ) -> Result<Found, ReportError> {
        let turn = tokio::time::timeout(TURN, self.reports.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(ReportError::Wrong(
                "Other reports are running now. Try again in a moment.".to_owned(),
            ));
        };
        let begun = Instant::now();
        let bench = Bench::open(self.control.db.target(), report.timeout_seconds).await?;
        let found = bench.run(report, given).await;
        bench.close().await;
        match &found {
            Ok(found) => tracing::info!(
                report = report.name,
                login = who.login,
                rows = found.rows.len(),
                milliseconds = begun.elapsed().as_millis() as u64,
                "a report was run"
            ),
            Err(error) => tracing::info!(report = report.name, login = who.login, %error, "a report failed"),
        }
        found.map(|found| Found { took: begun.elapsed(), ..found })
    }

    /// Whether a query can be stored as a report: it is opened, and no row of it asked for. `None` when it can, else why not. Who may
    /// not store one is not told.
    pub async fn check_query(&self, who: &Who, query: &str) -> Result<Option<String>, Error> {
        if who.kind != Kind::System {
            return Ok(None);
        }
        let bench = Bench::open(self.control.db.target(), CHECK_SECONDS).await?;
        let opened = bench.try_open(query).await;
        bench.close().await;
        match opened {
            Ok(()) => Ok(None),
            Err(ReportError::Wrong(why)) => Ok(Some(why)),
            Err(ReportError::Database(error)) => Err(error),
        }
    }
}

/// A connection on which one report is run.
struct Bench {
    client: Client,
    target: Target,
    seconds: i32,
    busy: bool,
}

impl Bench {
    async fn open(target: &Target, seconds: i32) -> Result<Self, Error> {
        let client = target.connect().await?;
        client.batch_execute("begin read only").await?;
        Ok(Self { client, target: target.clone(), seconds, busy: true })
    }

    /// Lets PostgreSQL read the query, as the role that will run it.
    async fn understand(&self, query: &str, parameters: usize) -> Result<Statement, ReportError> {
        let limit = format!("{}s", self.seconds);
        let role = self.client.query(PREPARE, &[&limit]).await;
        if let Err(error) = role {
            return Err(match error.code() {
                // The role is not there, or not ours.
                Some(&SqlState::INVALID_PARAMETER_VALUE | &SqlState::INSUFFICIENT_PRIVILEGE) => {
                    ReportError::Wrong(NO_ROLE.to_owned())
                }
                _ => Error::from(error).into(),
            });
        }
        let types = vec![Type::TEXT; parameters];
        // One statement: the extended protocol takes no more.
        let statement = self.client.prepare_typed(query, &types).await;
        let statement = statement.map_err(|error| self.told(error, query))?;
        if statement.params().len() > parameters {
            let (used, plural) = (statement.params().len(), if parameters == 1 { "" } else { "s" });
            return Err(ReportError::Wrong(format!(
                "The query has ${used}, and the report {parameters} parameter{plural}: name it, or leave it out."
            )));
        }
        if statement.columns().is_empty() {
            return Err(ReportError::Wrong(
                "This gives no rows to show: a report is a SELECT with at least one column.".to_owned(),
            ));
        }
        Ok(statement)
    }

    async fn try_open(&self, query: &str) -> Result<(), ReportError> {
        self.understand(query, PARAMETERS_MAX).await?;
        let nothing: [Option<String>; PARAMETERS_MAX] = Default::default();
        self.rows(query, &nothing, 0).await.map(drop)
    }

    /// Rows of a query, so many at most.
    async fn rows(
        &self,
        query: &str,
        given: &(dyn ToSql + Sync),
        most: i32,
    ) -> Result<Vec<Row>, ReportError> {
        self.client.query(LEAVE_ROLE, &[]).await.map_err(Error::from)?;
        let rows = self.client.query(RUN, &[&query, given, &most, &BYTES_MAX]).await;
        rows.map_err(|error| self.told(error, query))
    }

    async fn run(&self, report: &Report, given: &[String]) -> Result<Found, ReportError> {
        let statement = self.understand(&report.query, report.parameters.len()).await?;
        let columns = statement
            .columns()
            .iter()
            .map(|column| ResultColumn { name: column.name().to_owned(), values: values(column.type_()) });
        let columns = columns.collect();
        // One more than is shown says whether there are more.
        let most = report.max_rows.saturating_add(1);
        let rows = self.rows(&report.query, &given, most).await?;
        let more = rows.len() >= most as usize;
        let rows = rows.into_iter().take(report.max_rows as usize);
        let rows = rows.map(|row| row.try_get(0).map_err(Error::from)).collect::<Result<_, Error>>()?;
        Ok(Found { columns, rows, more, took: Duration::ZERO })
    }

    /// What went wrong, for who wrote the query or has run it.
    fn told(&self, error: tokio_postgres::Error, query: &str) -> ReportError {
        match error.as_db_error() {
            Some(db) if *db.code() == SqlState::QUERY_CANCELED => ReportError::Wrong(format!(
                "The report took longer than {} seconds and was stopped. Ask for less, or let it take longer (timeout_seconds).",
                self.seconds
            )),
            // Lost connections and a server that stops are nobody's query.
            Some(db) if !db.code().code().starts_with("08") && !db.code().code().starts_with("57") => {
                ReportError::Wrong(words(db, query))
            }
            _ => Error::from(error).into(),
        }
    }

    async fn close(mut self) {
        self.busy = false;
        if let Err(error) = self.client.batch_execute("rollback").await {
            tracing::debug!(%error, "the connection of a report ended badly");
        }
    }
}

impl Drop for Bench {
    /// Whoever asked has gone: the query is stopped, and not only its answer dropped.
    fn drop(&mut self) {
        if self.busy {
            let (cancel, connector) = (self.client.cancel_token(), self.target.connector());
            tokio::spawn(async move {
                if let Err(error) = cancel.cancel_query(connector).await {
                    tracing::debug!(%error, "a report could not be stopped before its time");
                }
            });
        }
    }
}

const NO_ROLE: &str = "Reports cannot be run: the role mailwright_report does not exist, or the daemon's role is no member of it. \
    Somebody who may has to run: create role mailwright_report nologin; grant mailwright_report to the daemon's role; and the \
    server has to be started again.";

/// What is in a column of this type.
fn values(column: &Type) -> Values {
    let base = match column.kind() {
        TypeKind::Domain(base) => base,
        _ => column,
    };
    match *base {
        Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Values::Numbers,
        Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE => Values::Times,
        Type::BOOL => Values::YesOrNo,
        _ => Values::Text,
    }
}

/// What PostgreSQL says, and where in the query.
fn words(error: &DbError, query: &str) -> String {
    let position = match error.position() {
        Some(ErrorPosition::Original(position)) => Some(*position),
        Some(ErrorPosition::Internal { position, query: inner }) if inner == query => Some(*position),
        _ => None,
    };
    let mut text = format!("PostgreSQL says: {}", error.message());
    if let Some((line, column)) = position.map(|position| place(query, position)) {
        text.push_str(&format!(" (line {line}, column {column})"));
    }
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        text.push_str(&format!(". {}", more.trim_end_matches('.')));
    }
    text
}

/// Line and column of a character, all counted from 1.
fn place(query: &str, position: u32) -> (usize, usize) {
    let before: Vec<char> = query.chars().take((position as usize).saturating_sub(1)).collect();
    let line = before.iter().filter(|sign| **sign == '\n').count() + 1;
    let column = before.iter().rev().take_while(|sign| **sign != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (query, position, expected) in
            [("select 1", 1, (1, 1)), ("select\n  öx", 12, (2, 5)), ("a\n\nb", 4, (3, 1)), ("a", 0, (1, 1))]
        {
            assert_eq!(place(query, position), expected, "{query}");
        }
    }

    #[test]
    fn parameters_have_names() {
        let report: Report = serde_json::from_value(serde_json::json!({
            "name": "x", "description": null, "query": "select $1", "parameters": ["days=7", "like=a=b"], "chart": "none",
            "chart_name": null, "chart_values": [], "max_rows": 1, "timeout_seconds": 1, "active": true
        }))
        .unwrap();
        assert_eq!(report.parameters().collect::<Vec<_>>(), [("days", "7"), ("like", "a=b")]);
    }
}
