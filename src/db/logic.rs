//! Functions, triggers and views that can be replaced: dropped and built again in one transaction when their text has
//! changed. Nothing that stores data may depend on them, and a query makes sure before anything is dropped.

use super::Error;
use crate::sql;

/// The files, in the order in which they are run.
const FILES: &[&str] = &[
    sql!("logic/comment"),
    sql!("logic/signal"),
    sql!("logic/audit"),
    // Before control, whose snapshot they have a part of.
    sql!("logic/screen"),
    sql!("logic/acme"),
    sql!("logic/control"),
    sql!("logic/directory"),
    sql!("logic/forwarding"),
    sql!("logic/receive"),
    sql!("logic/store"),
    sql!("logic/rights"),
    sql!("logic/queue"),
    sql!("logic/report"),
    sql!("logic/log"),
    sql!("logic/verify"),
    sql!("logic/count"),
    sql!("logic/web"),
    sql!("logic/admin"),
    sql!("logic/queue_page"),
    sql!("logic/story"),
    sql!("logic/page"),
    sql!("logic/overview"),
    sql!("logic/reporting"),
    // After it, whose words it uses.
    sql!("logic/import"),
    sql!("logic/mailbox_view"),
];

/// Things with data in them that depend on a replaceable schema and would go with it.
const DEPENDENTS: &str = sql!("control/logic_dependents");

/// Rebuilds the logic if this daemon's differs and is not older than what is there.
pub(super) async fn rebuild(client: &mut tokio_postgres::Client) -> Result<(), Error> {
    let mut hasher = blake3::Hasher::new();
    for file in FILES {
        hasher.update(file.as_bytes()).update(&[0]);
    }
    let digest = hasher.finalize().to_hex().to_string();
    let version: Vec<i32> =
        env!("CARGO_PKG_VERSION").split('.').filter_map(|part| part.parse().ok()).collect();
    let there = client.query_opt("select digest, version from control.logic", &[]).await?;
    if let Some(row) = there {
        let (old_digest, old_version): (String, Vec<i32>) = (row.get(0), row.get(1));
        if old_digest == digest {
            return Ok(());
        }
        if old_version > version {
            tracing::info!(?old_version, "a newer daemon's functions and triggers are in place and stay");
            return Ok(());
        }
    }
    let transaction = client.transaction().await?;
    let dependents = transaction.query(DEPENDENTS, &[]).await?;
    if let Some(row) = dependents.first() {
        let what: String = row.get(0);
        return Err(Error::Refused {
            message: format!(
                "{what} depends on a schema of replaceable functions and would be lost: remove that dependency first"
            ),
            constraint: None,
        });
    }
    transaction
        .batch_execute("set local lock_timeout = '30s'; drop schema if exists logic cascade; drop schema if exists report cascade; drop schema if exists admin cascade; create schema logic; create schema report; create schema admin")
        .await?;
    for file in FILES {
        transaction.batch_execute(file).await?;
    }
    transaction
        .execute(
            "insert into control.logic (version, digest) values ($1, $2)
             on conflict (only_row) do update set version = excluded.version, digest = excluded.digest, built_at = now()",
            &[&version, &digest],
        )
        .await?;
    transaction.commit().await?;
    tracing::info!("functions, triggers and views rebuilt");
    Ok(())
}
