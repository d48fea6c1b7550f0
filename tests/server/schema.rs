//! The golden schema: `tests/schema.sql` is what PostgreSQL has after all migrations, so that a review sees what a
//! migration really does.

use std::process::Command;

use crate::support::{Database, cluster, root};

#[tokio::test]
async fn schema_is_as_reviewed() {
    let db = Database::new().await;
    let dump = normalised(&dump(&db));
    let path = root().join("tests/schema.sql");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &dump).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if let Some((line, (was, is))) = (1..).zip(pairs(&golden, &dump)).find(|(_, (was, is))| was != is) {
        panic!(
            "the migrations make another schema than tests/schema.sql shows, from line {line}:\n- {was}\n+ {is}\n\
             If that is meant: UPDATE_SCHEMA=1 cargo test schema, and have the difference reviewed."
        );
    }
}

/// The lines of both side by side, to the end of the longer one.
fn pairs<'a>(a: &'a str, b: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let end = "(end)";
    let length = a.lines().count().max(b.lines().count());
    a.lines().chain(std::iter::repeat(end)).zip(b.lines().chain(std::iter::repeat(end))).take(length)
}

fn dump(db: &Database) -> String {
    let output = Command::new(cluster::programs().join("pg_dump"))
        .args(["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=refinery_schema_history"])
        .arg("--dbname")
        .arg(db.url())
        .output()
        .unwrap();
    assert!(output.status.success(), "pg_dump: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Without what depends on PostgreSQL's version: settings of the session, the version, meta-commands of psql.
fn normalised(dump: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in dump.lines() {
        let noise = line.starts_with("--")
            || line.starts_with("SET ")
            || line.starts_with("SELECT pg_catalog.set_config")
            || line.starts_with('\\');
        let second_empty = line.is_empty() && lines.last().is_none_or(|last| last.is_empty());
        if !noise && !second_empty {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}
