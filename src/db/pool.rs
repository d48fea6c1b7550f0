//! The pools: one for everybody, one for the committer, so that no report or mailbox listing can hold up delivery.
//!
//! Connections are recycled without asking the database (a question would be a round trip at every checkout); one that
//! has died shows itself by an error, which callers treat as "not available".

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::{Error, Target};

/// What every connection of the daemon is told first: triggers made for people stay quiet, nothing waits for ever, and
/// rows are reached by key. A plan made while a table was small would be kept, and read all of it when it is large:
/// in a new installation delivery went from 180 to 650 µs of PostgreSQL's time a message that way.
const SESSION: &str = "set mailwright.daemon = 'on'; set statement_timeout = '5min'; set lock_timeout = '30s'; \
    set idle_in_transaction_session_timeout = '1min'; set timezone = 'UTC'; set jit = off; set enable_seqscan = off";

/// And what the committer's are told besides: its statements join a batch with what they find by key, row by row.
const DELIVERY: &str = "set enable_hashjoin = off; set enable_mergejoin = off";

/// The daemon's way to its database. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    target: Target,
    pool: Pool,
    delivery: Pool,
}

impl Db {
    /// Makes the pools; connects to nothing yet. 8 to 16 connections are the right size on a small machine: with 64 the
    /// commit rate falls again.
    pub fn new(target: Target, size: usize) -> Result<Self, Error> {
        let make = |size, more: &'static str| {
            let manager = Manager::from_config(
                target.config().clone(),
                target.connector(),
                ManagerConfig { recycling_method: RecyclingMethod::Fast },
            );
            Pool::builder(manager)
                .max_size(size)
                .runtime(Runtime::Tokio1)
                .wait_timeout(Some(Duration::from_secs(20)))
                .create_timeout(Some(Duration::from_secs(10)))
                .post_create(Hook::async_fn(move |client, _| {
                    Box::pin(async move {
                        client.batch_execute(SESSION).await.map_err(HookError::Backend)?;
                        client.batch_execute(more).await.map_err(HookError::Backend)
                    })
                }))
                .build()
                .map_err(|e| Error::Fault(e.to_string()))
        };
        Ok(Self { pool: make(size, "")?, delivery: make(2, DELIVERY)?, target })
    }

    /// Where the database is.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A connection for anything but the committer's batches.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(Client(self.pool.get().await?))
    }

    /// How much of the common pool is in use.
    pub fn usage(&self) -> Usage {
        let status = self.pool.status();
        Usage {
            most: status.max_size,
            open: status.size,
            used: status.size.saturating_sub(status.available),
            waiting: status.waiting,
        }
    }

    /// A connection for the committer.
    pub async fn delivery(&self) -> Result<Client, Error> {
        Ok(Client(self.delivery.get().await?))
    }

    /// Runs one statement on a pooled connection and returns its rows.
    pub async fn query(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        self.client().await?.query(sql, values).await
    }

    /// Runs one statement that returns at most one row.
    pub async fn query_opt(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Runs one statement and returns how many rows it touched.
    pub async fn execute(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        self.client().await?.execute(sql, values).await
    }
}

/// How much of a pool is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Connections that there may be.
    pub most: usize,
    /// That there are.
    pub open: usize,
    /// That somebody works with.
    pub used: usize,
    /// Who waits for one.
    pub waiting: usize,
}

/// A prepared statement.
pub type Prepared = Statement;

/// A connection out of a pool, given back when dropped.
pub struct Client(deadpool_postgres::Client);

impl Client {
    /// Prepares a statement, or finds it prepared.
    pub async fn prepare(&self, sql: &'static str) -> Result<Prepared, Error> {
        Ok(self.0.prepare_cached(sql).await?)
    }

    /// Runs one statement and returns its rows.
    pub async fn query(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.0.query(&statement, values).await?)
    }

    /// Runs one statement that returns at most one row.
    pub async fn query_opt(
        &self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values).await?.into_iter().next())
    }

    /// Runs one statement and returns how many rows it touched.
    pub async fn execute(&self, sql: &'static str, values: &[&(dyn ToSql + Sync)]) -> Result<u64, Error> {
        let statement = self.prepare(sql).await?;
        Ok(self.0.execute(&statement, values).await?)
    }

    /// The connection itself, for pipelined batches and streams.
    pub fn raw(&self) -> &tokio_postgres::Client {
        &self.0
    }

    /// A transaction; rolled back when dropped without commit.
    pub async fn transaction(&mut self) -> Result<deadpool_postgres::Transaction<'_>, Error> {
        Ok(self.0.transaction().await?)
    }

    /// Closes the connection instead of giving it back: after an error in a pipelined batch its state is not known.
    pub fn discard(self) {
        drop(deadpool_postgres::Object::take(self.0));
    }
}
