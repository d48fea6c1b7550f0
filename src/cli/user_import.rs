//! `mailwright user import`: users from a CSV file, checked and made as in the browser.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value;
use tokio_postgres::Client;

use super::failure::{At, Failure, told};
use super::password::RULE;
use super::table::{say_line, visible};
use crate::directory::import::MAX_BYTES;
use crate::directory::import::sheet::{Row, Sheet, Trouble};
use crate::directory::password::hash;
use crate::mail::count;
use crate::sasl::Secret;
use crate::sql;

const CHECK: &str = sql!("cli/check_users");
const IMPORT: &str = sql!("cli/import_users");

/// Between two words on how far it is.
const TELL: Duration = Duration::from_secs(5);

/// Does it.
pub async fn run(client: &Client, file: &Path, dry_run: bool) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_end(&mut bytes)
            .at("read", Path::new("standard input"))?;
    } else {
        let open = std::fs::File::open(file).at("read", file)?;
        open.take(limit).read_to_end(&mut bytes).at("read", file)?;
    }
    let shortest: i32 = client.query_one(RULE, &[]).await?.get(0);
    let mut sheet = Sheet::read(&bytes, usize::try_from(shortest).unwrap_or(0));
    if !sheet.rows.is_empty() {
        let bare: Vec<Row> = sheet.rows.iter().map(|row| Row { password: None, ..row.clone() }).collect();
        let found: Value = client.query_one(CHECK, &[&json(&bare)?]).await?.get(0);
        let found: Vec<Trouble> = serde_json::from_value(found).map_err(|error| told(error.to_string()))?;
        sheet.add(found);
    }
    for Trouble { line, column, what } in &sheet.troubles {
        let place = match (*line, column.as_str()) {
            (0, _) => String::new(),
            (line, "") => format!("line {line}: "),
            (line, column) => format!("line {line}, {}: ", visible(column)),
        };
        eprintln!("{place}{}", visible(what));
    }
    if !sheet.troubles.is_empty() {
        let faults = count((sheet.troubles.len() + sheet.more) as i64, "fault");
        let good = count(sheet.rows.len() as i64, "line");
        return Err(told(format!(
            "{faults}, {good} right: nothing has been imported; mend the file and try again"
        )));
    }
    let users = count(sheet.rows.len() as i64, "user");
    if dry_run {
        say_line(format!("{users} can be imported; nothing has been changed"));
        return Ok(());
    }
    let rows = hashed(sheet.rows).await?;
    let answer: Value = client.query_one(IMPORT, &[&json(&rows)?]).await?.get(0);
    if let Some(wrong) = answer.get("wrong").and_then(Value::as_str) {
        return Err(told(format!("no user was made: {wrong}")));
    }
    say_line(format!("{users} made"));
    Ok(())
}

fn json(rows: &[Row]) -> Result<Value, Failure> {
    serde_json::to_value(rows).map_err(|error| told(error.to_string()))
}

/// The rows with hashes in place of passwords, on all cores but one.
async fn hashed(rows: Vec<Row>) -> Result<Vec<Row>, Failure> {
    let total = rows.iter().filter(|row| row.password.is_some()).count();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut told_at = Instant::now();
    let mut done = 0;
    let mut ready = Vec::with_capacity(rows.len());
    let mut work = std::pin::pin!(
        futures_util::stream::iter(rows)
            .map(|row| async move {
                if row.password.is_none() {
                    return Ok(row);
                }
                tokio::task::spawn_blocking(move || with_hash(row))
                    .await
                    .map_err(|error| told(error.to_string()))?
            })
            .buffered(cores.saturating_sub(1).max(1))
    );
    while let Some(row) = work.next().await {
        let row = row?;
        done += usize::from(row.scram.is_some());
        ready.push(row);
        if told_at.elapsed() > TELL {
            told_at = Instant::now();
            eprintln!("{done} of {total} passwords are hashed");
        }
    }
    Ok(ready)
}

fn with_hash(mut row: Row) -> Result<Row, Failure> {
    let Some(password) = row.password.take().map(Secret::from) else { return Ok(row) };
    let stored = hash(&password)
        .map_err(|error| told(format!("line {}: this password cannot be used: {error}", row.line)))?;
    (row.hash, row.scram) = (Some(stored.hash), Some(stored.scram));
    Ok(row)
}
