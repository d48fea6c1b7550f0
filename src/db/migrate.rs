//! Brings the schema up to date at start: structure by refinery, then the replaceable logic, all under one advisory
//! lock so that any number of nodes may start at once.

use super::{Error, Target, logic};
use crate::sql;

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Key of the advisory lock that migrations hold ("mailwrig" in bytes).
const LOCK: i64 = 0x6d61_696c_7772_6967;

/// Makes the role that people with SQL logins of their own are members of, that of the web pages, and that of reports.
const ARRANGE_ROLES: &str = sql!("control/arrange_roles");

/// Migrates the database and rebuilds the logic if it changed. Migrations of a newer daemon are left alone: they only
/// ever add to what an older one needs.
pub async fn migrate(target: &Target) -> Result<(), Error> {
    let mut client = target.connect().await?;
    let version: i32 =
        client.query_one("select current_setting('server_version_num')::int", &[]).await?.get(0);
    if version < 150_000 {
        return Err(Error::Refused {
            message: format!(
                "PostgreSQL {}.{} is too old: Mailwright needs version 15 or newer",
                version / 10_000,
                version % 10_000
            ),
            constraint: None,
        });
    }
    client.batch_execute("set client_min_messages = warning").await?;
    client.query("select pg_advisory_lock($1)", &[&LOCK]).await?;
    let report = embedded::migrations::runner()
        .set_abort_missing(false)
        .run_async(&mut client)
        .await
        .map_err(|e| Error::Fault(format!("the tables could not be brought up to date: {e}")))?;
    for done in report.applied_migrations() {
        tracing::info!(migration = %done, "schema migrated");
    }
    logic::rebuild(&mut client).await?;
    // Mail works without them.
    let missing = client.query_one(ARRANGE_ROLES, &[]).await?;
    for why in [missing.get::<_, Option<String>>(0), missing.get(1), missing.get(2)].into_iter().flatten() {
        tracing::warn!("{why}");
    }
    client.query("select pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(())
}
