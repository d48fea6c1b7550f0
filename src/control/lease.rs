//! Work that only one node does at a time: a row says who has it and until when, so that a node that dies keeps it for
//! no longer than the lease lasts.

use std::time::Duration;

use crate::db::{Db, Error};
use crate::sql;

const TAKE: &str = sql!("control/take_lease");

/// Takes or renews a lease; true when it is this node's.
pub async fn take(db: &Db, name: &str, node: &str, lasts: Duration) -> Result<bool, Error> {
    Ok(db.query_opt(TAKE, &[&name, &node, &lasts.as_secs_f64()]).await?.is_some())
}
