//! What monitoring asks of the database: is it there, does what should run, and the numbers that all nodes have in common.
//!
//! It is asked in the daemon's own name, for no administrator is there to ask for: who may is found out before (`web::monitor`), and
//! nothing but names of services, addresses of listeners and numbers is told. Costs: one question each time, some milliseconds
//! where the queue is short; of a long queue the last sample is told, which is a minute old at most.

use serde_json::Value;

use crate::control::Control;
use crate::db::Error;
use crate::sql;

const READY: &str = sql!("log/ready");
const MONITOR: &str = sql!("log/monitor");

/// What this node does not do that it should, in words; none: it is ready.
pub async fn ready(control: &Control) -> Result<Vec<String>, Error> {
    let row = control.db.query_opt(READY, &[&control.node.name]).await?;
    Ok(row.map(|row| row.get(0)).unwrap_or_default())
}

/// The numbers.
#[derive(Debug, serde::Deserialize)]
#[allow(missing_docs, reason = "each field is what sql/log/monitor.sql calls so")]
pub struct Monitor {
    pub services: Vec<(String, bool, Option<String>)>,
    pub listeners: Vec<(String, String, u64)>,
    pub queue: Queue,
    /// Names, and when it expires as seconds since 1970.
    pub certificates: Vec<(i64, String, Option<f64>)>,
    pub nodes: u64,
    pub generation: u64,
}

/// The queue.
#[derive(Debug, serde::Deserialize)]
#[allow(missing_docs, reason = "each field is a column of logic.queue_now")]
pub struct Queue {
    pub waiting: u64,
    pub held: u64,
    pub oldest_seconds: f64,
}

impl Monitor {
    /// Asks for them.
    pub async fn ask(control: &Control) -> Result<Self, Error> {
        let row = control.db.query_opt(MONITOR, &[&control.node.name]).await?;
        let value: Value = row.map(|row| row.get(0)).unwrap_or_default();
        serde_json::from_value(value)
            .map_err(|error| Error::Fault(format!("the numbers cannot be read: {error}")))
    }
}
