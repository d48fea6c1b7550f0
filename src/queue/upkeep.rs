//! Leases kept, given back and found lost; old attempts forgotten.

use super::LEASE;
use crate::db::{Db, Error};
use crate::sql;

const RENEW: &str = sql!("queue/renew");
const STILL_WANTED: &str = sql!("queue/still_wanted");
const RELEASE: &str = sql!("queue/release");
const RETURN_LEASES: &str = sql!("queue/return_leases");
const MEND: &str = sql!("queue/mend");
const HASTEN: &str = sql!("queue/hasten");
const PRUNE_ATTEMPTS: &str = sql!("queue/prune_attempts");

/// Renews this node's leases; returns the recipients that are still its own.
pub async fn renew(db: &Db, node: &str, recipients: &[i64]) -> Result<Vec<i64>, Error> {
    let rows = db.query(RENEW, &[&recipients, &node, &LEASE.as_secs_f64()]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Which of these recipients are still to be delivered to by this node.
pub async fn still_wanted(db: &Db, node: &str, recipients: &[i64]) -> Result<Vec<i64>, Error> {
    let rows = db.query(STILL_WANTED, &[&recipients, &node]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Gives back what this node had leased before it was started.
pub async fn release(db: &Db, node: &str) -> Result<(), Error> {
    // All of the queue is read, once: an index on the lease would make each claim dearer.
    let mut client = db.client().await?;
    let release = client.prepare(RELEASE).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute("set local enable_seqscan = on").await?;
    transaction.query(&release, &[&node]).await?;
    Ok(transaction.commit().await?)
}

/// Gives back recipients that this node had leased and did not try.
pub async fn return_leases(db: &Db, node: &str, recipients: &[i64]) -> Result<(), Error> {
    db.query(RETURN_LEASES, &[&recipients, &node]).await.map(drop)
}

/// Makes good what a crash may have left.
pub async fn mend(db: &Db) -> Result<(), Error> {
    db.query(MEND, &[]).await.map(drop)
}

/// Forgets attempts that are older than so many days.
pub async fn prune(db: &Db, days: i32) -> Result<(), Error> {
    while db.execute(PRUNE_ATTEMPTS, &[&days]).await? == 10_000 {}
    Ok(())
}

/// Has what waits for a domain (lower case, ASCII) tried now, and what waits for those below it. Says how many recipients
/// wait there.
pub async fn hasten(db: &Db, domain: &str, with_subdomains: bool) -> Result<i64, Error> {
    let row = db.query_opt(HASTEN, &[&domain, &with_subdomains]).await?;
    Ok(row.and_then(|row| row.get::<_, Option<i64>>(0)).unwrap_or(0))
}
