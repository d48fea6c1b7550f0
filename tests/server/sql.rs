//! Statements and tables: every statement is one that PostgreSQL understands, has one owner and says what it does; every
//! table and column says what it means.

use std::collections::BTreeMap;

use tokio_postgres::types::Kind;

use crate::house::{walk, without_comments};
use crate::support::{Database, root};

/// Names of statements under `sql/` as `sql!` takes them: `store/expunge`.
fn statements() -> Vec<String> {
    let dir = root().join("sql");
    let mut paths = Vec::new();
    walk(&dir, "sql", &mut paths);
    let name = |path: &std::path::PathBuf| {
        path.strip_prefix(&dir).unwrap().with_extension("").to_str().unwrap().to_owned()
    };
    paths.iter().map(name).collect()
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join("sql").join(format!("{name}.sql"))).unwrap()
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let db = Database::new().await;
    let client = db.connect().await;
    let mut wrong = Vec::new();
    for name in statements().iter().filter(|name| !name.starts_with("logic/")) {
        match client.prepare(&text(name)).await {
            Err(error) => {
                wrong.push(format!("sql/{name}.sql: {}", crate::support::database::describe(&error)))
            }
            Ok(statement) => {
                // No Rust type is bound to a domain: such a parameter needs a cast to the type beneath.
                for (number, parameter) in (1..).zip(statement.params()) {
                    if matches!(parameter.kind(), Kind::Domain(_)) {
                        wrong.push(format!(
                            "sql/{name}.sql: ${number} is of the domain {parameter}: write ${number}::text"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_statement_says_what_it_does() {
    let silent: Vec<String> =
        statements().into_iter().filter(|name| !text(name).starts_with("-- ")).collect();
    assert!(silent.is_empty(), "these begin without a comment: {silent:?}");
}

#[test]
fn every_statement_has_one_owner() {
    let mut owners: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut sources = Vec::new();
    walk(&root().join("src"), "rs", &mut sources);
    for path in sources {
        let source = without_comments(&std::fs::read_to_string(&path).unwrap());
        for use_of in source.split("sql!(\"").skip(1) {
            let name = use_of.split('"').next().unwrap().to_owned();
            owners.entry(name).or_default().push(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    let mut wrong = Vec::new();
    for name in statements() {
        match owners.get(&name).map_or(0, Vec::len) {
            1 => {}
            0 => wrong.push(format!("sql/{name}.sql is used by nobody")),
            _ => wrong.push(format!("sql/{name}.sql is used by {}", owners[&name].join(", "))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_table_and_column_says_what_it_means() {
    let db = Database::new().await;
    // Keys that only identify, and the column that keeps a table at one row, need no words.
    let silent: Vec<String> = db
        .rows(
            "select format('%s.%s%s', n.nspname, c.relname, '.' || a.attname)
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema|public)'
               and a.attname not in ('id', 'only_row', 'account_id', 'mailbox_id', 'content_id', 'message_id')
               and col_description(c.oid, a.attnum) is null
             union all
             select format('%s.%s', n.nspname, c.relname)
             from pg_class c join pg_namespace n on n.oid = c.relnamespace
             where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^(pg_|information_schema|public|logic)'
               and obj_description(c.oid, 'pg_class') is null
             union all
             select format('schema %s', nspname) from pg_namespace n
             where nspname !~ '^(pg_|information_schema|public|logic|report)' and obj_description(oid, 'pg_namespace') is null
             order by 1",
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(silent.is_empty(), "these have no comment:\n{}", silent.join("\n"));
}

#[tokio::test]
async fn sentences_of_constraints_are_not_cut_short() {
    let db = Database::new().await;
    // PostgreSQL keeps 63 bytes of a name and says nothing of the rest.
    let cut: Vec<String> = db
        .rows(
            "select conname::text from pg_constraint where octet_length(conname) >= 63
             union select relname::text from pg_class where octet_length(relname) >= 63",
        )
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(cut.is_empty(), "these names fill all 63 bytes and are probably cut off:\n{}", cut.join("\n"));
}
