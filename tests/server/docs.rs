//! docs/sql.md is what `mailwright docs` writes: a change of the schema changes the reference, or fails here.

use std::process::{Command, Output};

use crate::support::{Database, root};

fn docs(db: &Database, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mailwright"))
        .arg("docs")
        .args(words)
        .args(["--database-url", &db.url()])
        .env_remove("DATABASE_URL")
        .output()
        .unwrap()
}

#[tokio::test]
async fn the_reference_is_what_the_database_says() {
    let db = Database::new().await;
    let output = docs(&db, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let path = root().join("docs/sql.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
        return;
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (line, (was, is)) in (1..).zip(golden.lines().zip(text.lines())) {
        assert_eq!(
            was, is,
            "docs/sql.md, line {line}, is not what `mailwright docs` writes. Renew it: UPDATE_DOCS=1 cargo test docs"
        );
    }
    assert_eq!(golden.lines().count(), text.lines().count(), "docs/sql.md: UPDATE_DOCS=1 cargo test docs");
    // To a file it writes the same.
    let file = std::env::temp_dir().join(format!("mailwright-docs-{}.md", std::process::id()));
    let output = docs(&db, &["--write", file.to_str().unwrap()]);
    assert!(output.status.success() && output.stdout.is_empty());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test]
async fn nothing_goes_without_a_word() {
    let db = Database::new().await;
    db.sql(
        "create table queue.silent (loud integer); comment on column queue.silent.loud is 'Loud';
         create view report.quiet as select 1 as still; comment on view report.quiet is 'Quiet'; create schema mute",
    )
    .await;
    let output = docs(&db, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    let names: Vec<&str> = said.lines().skip(1).collect();
    assert_eq!(names, ["table queue.silent", "schema mute", "column report.quiet.still"]);
}
