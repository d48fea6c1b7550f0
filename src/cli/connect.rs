//! Finds the server's database, and connects as the person who typed the command.

use std::os::unix::fs::MetadataExt;

use tokio_postgres::Client;

use super::Place;
use super::failure::{Failure, told};
use crate::db::Target;
use crate::db::cluster::{Cluster, DATABASE};
use crate::sql;

const INTRODUCE: &str = sql!("cli/introduce");

/// What shows in `log.audit.path` and `pg_stat_activity`.
pub const PROGRAM: &str = "mailwright cli";

/// Where the database of the running server is.
pub fn target(place: &Place) -> Result<Target, Failure> {
    if let Some(url) = &place.database_url {
        return Ok(Target::parse(url)?);
    }
    match Cluster::find(&place.data_dir)? {
        Some(config) => {
            debug_assert_eq!(config.get_dbname(), Some(DATABASE));
            Ok(Target::local(config)?)
        }
        None => Err(told(format!(
            "no server runs in {dir}: start it with: mailwright serve --data-dir {dir}\n\
             or name its data directory with --data-dir, or its database with --database-url",
            dir = place.data_dir.display()
        ))),
    }
}

/// A connection on which triggers made for people fire, so that every change is checked, audited and obeyed.
pub async fn connect(place: &Place) -> Result<Client, Failure> {
    let target = target(place)?;
    let client = target.connect().await.map_err(|e| unreachable(&target, e))?;
    introduce(&client, &target).await?;
    Ok(client)
}

/// Says on a new connection who is there, and sees that the database is a server's.
pub async fn introduce(client: &Client, target: &Target) -> Result<(), Failure> {
    let row = client.query_one(INTRODUCE, &[&PROGRAM, &actor()]).await?;
    if row.get::<_, bool>(0) {
        return Ok(());
    }
    Err(told(format!("{} holds no Mailwright yet: start mailwright serve on it once", target.describe())))
}

/// Adds which database it was that could not be reached.
pub fn unreachable(target: &Target, error: crate::db::Error) -> Failure {
    match error {
        error if error.is_unavailable() => told(format!("{error}; this was {}", target.describe())),
        error => error.into(),
    }
}

/// The user of the operating system, for the audit log: who owns this process, as `/etc/passwd` names them.
pub fn actor() -> String {
    let Ok(process) = std::fs::metadata("/proc/self") else { return PROGRAM.to_owned() };
    let id = process.uid().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == id).then(|| name.to_owned())
        })
        .unwrap_or_else(|| format!("user {id}"))
}
