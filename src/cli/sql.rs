//! `mailwright sql`: SQL on the server's database, with psql's comforts where psql is, and without it everywhere else.
//!
//! Each `-c`, or the file, is sent as it is. PostgreSQL runs what is in one of them as one transaction, unless it says
//! `begin` and `commit` itself.

use std::future::poll_fn;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::TryStreamExt;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{AsyncMessage, Client, SimpleQueryMessage};

use super::Place;
use super::ask::at_terminal;
use super::connect::{PROGRAM, actor, introduce, target, unreachable};
use super::failure::{At, Failure, told};
use super::table::{Table, say, visible};
use crate::db::Target;
use crate::mail::count;

/// What to run.
#[derive(Args)]
pub struct Sql {
    /// SQL to run; may be given several times, each is a transaction of its own
    #[arg(short, long = "command", value_name = "SQL")]
    command: Vec<String>,
    /// A file with SQL to run; - or nothing reads standard input
    #[arg(conflicts_with = "command")]
    file: Option<PathBuf>,
    /// Write results as CSV with a heading, and nothing else
    #[arg(long)]
    csv: bool,
}

/// Does it.
pub async fn run(place: &Place, command: Sql) -> Result<(), Failure> {
    let target = target(place)?;
    if command.command.is_empty() && command.file.is_none() && at_terminal() {
        run_psql(&target)?;
    }
    let texts = match command.file {
        _ if !command.command.is_empty() => command.command,
        Some(path) if path != Path::new("-") => vec![std::fs::read_to_string(&path).at("read", &path)?],
        _ => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).at("read", Path::new("standard input"))?;
            vec![text]
        }
    };
    let client = connect(&target).await?;
    introduce(&client, &target).await?;
    for text in texts {
        run_text(&client, &text, command.csv).await?;
    }
    Ok(())
}

/// Becomes psql; returns only when there is none.
fn run_psql(target: &Target) -> Result<(), Failure> {
    // Backslashes and blanks divide the options (libpq, PGOPTIONS).
    let actor = actor().replace('\\', "\\\\").replace(' ', "\\ ");
    let error = std::process::Command::new("psql")
        .envs(target.environment())
        .env("PGAPPNAME", PROGRAM)
        .env("PGOPTIONS", format!("-c mailwright.actor={actor}"))
        .exec();
    if error.kind() != std::io::ErrorKind::NotFound {
        return Err(told(format!("psql cannot be run: {error}; run SQL with: mailwright sql -c '…'")));
    }
    eprintln!(
        "psql is not installed (on Debian: apt install postgresql-client). Type SQL, and Ctrl-D at its end."
    );
    Ok(())
}

/// A connection that shows what the database says beside its answers.
async fn connect(target: &Target) -> Result<Client, Failure> {
    let outcome = target.config().connect(target.connector()).await;
    let (client, mut connection) = outcome.map_err(|e| unreachable(target, e.into()))?;
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                AsyncMessage::Notice(notice) => {
                    eprintln!("{}: {}", notice.severity(), visible(notice.message()));
                }
                AsyncMessage::Notification(n) => {
                    eprintln!("notification on {}: {}", visible(n.channel()), visible(n.payload()));
                }
                _ => {}
            }
        }
    });
    Ok(client)
}

async fn run_text(client: &Client, text: &str, csv: bool) -> Result<(), Failure> {
    let failed = |error: tokio_postgres::Error| match error.as_db_error() {
        Some(db) => {
            eprintln!("{}", error_text(db, text));
            Failure::Shown
        }
        None => error.into(),
    };
    let results = client.simple_query_raw(text).await.map_err(failed)?;
    let mut results = std::pin::pin!(results);
    let mut table: Option<Table> = None;
    while let Some(message) = results.try_next().await.map_err(failed)? {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
                if csv {
                    say(&csv_line(names.iter().map(|name| Some(*name))));
                }
                table = Some(Table::new(names));
            }
            SimpleQueryMessage::Row(row) if csv => say(&csv_line((0..row.len()).map(|at| row.get(at)))),
            SimpleQueryMessage::Row(row) => {
                if let Some(table) = &mut table {
                    table.row((0..row.len()).map(|at| row.get(at).unwrap_or_default()));
                }
            }
            SimpleQueryMessage::CommandComplete(rows) => {
                let shown = table.take();
                if !csv {
                    say(&summary(shown.as_ref(), rows));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn summary(table: Option<&Table>, rows: u64) -> String {
    match table {
        Some(table) => format!("{}({})\n\n", table.text(), count(rows, "row")),
        None if rows > 0 => format!("done: {}\n", count(rows, "row")),
        None => "done\n".to_owned(),
    }
}

/// One line of CSV (RFC 4180). NULL is an empty field, an empty text is `""`.
fn csv_line<'a>(fields: impl Iterator<Item = Option<&'a str>>) -> String {
    let written: Vec<String> = fields
        .map(|field| match field {
            None => String::new(),
            Some("") => "\"\"".to_owned(),
            Some(text) if text.contains([',', '"', '\n', '\r']) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Some(text) => text.to_owned(),
        })
        .collect();
    format!("{}\n", written.join(","))
}

/// What went wrong and where, as psql says it.
fn error_text(error: &DbError, sql: &str) -> String {
    let mut text = format!("{}: {}", error.severity(), error.message());
    if let Some(ErrorPosition::Original(position)) = error.position() {
        text.push_str(&excerpt(sql, *position as usize));
    }
    for (name, more) in [("DETAIL", error.detail()), ("HINT", error.hint()), ("CONTEXT", error.where_())] {
        if let Some(more) = more {
            text.push_str(&format!("\n{name}: {more}"));
        }
    }
    text
}

/// The line with character `position` (from 1), and a mark below it.
fn excerpt(sql: &str, position: usize) -> String {
    let before: String = sql.chars().take(position.saturating_sub(1)).collect();
    let number = before.matches('\n').count() + 1;
    let line = sql.lines().nth(number - 1).unwrap_or_default();
    let column = before.chars().rev().take_while(|c| *c != '\n').count();
    let head = format!("LINE {number}: ");
    format!("\n{head}{}\n{}^", line.replace('\t', " "), " ".repeat(head.len() + column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_fields() {
        let fields = [Some("a"), None, Some(""), Some("x,y"), Some("say \"hi\""), Some("two\nlines")];
        assert_eq!(csv_line(fields.into_iter()), "a,,\"\",\"x,y\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
    }

    #[test]
    fn excerpts() {
        assert_eq!(excerpt("select 1;\nselect ü, nix;", 21), "\nLINE 2: select ü, nix;\n                  ^");
        assert_eq!(excerpt("selec", 1), "\nLINE 1: selec\n        ^");
        assert_eq!(excerpt("", 9), "\nLINE 1: \n        ^");
    }

    #[test]
    fn summaries() {
        let mut table = Table::new(["a"]);
        table.row(["1"]);
        assert_eq!(summary(Some(&table), 1), " a\n---\n 1\n(1 row)\n\n");
        assert_eq!(summary(None, 0), "done\n");
        assert_eq!(summary(None, 2), "done: 2 rows\n");
    }
}
