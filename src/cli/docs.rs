//! `mailwright docs`: the SQL reference, written from the comments of the catalog.
//!
//! Guarantees: what it says is what the database has, in an order that does not depend on when or where it is made; a schema, a
//! relation or a column without a comment ends the command, with its name. Costs: one statement.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use tokio_postgres::Client;

use super::failure::{At, Failure, told};
use super::table::say;
use crate::sql;

const DOCS: &str = sql!("cli/docs");

/// Where it goes.
#[derive(Args)]
pub struct Docs {
    /// Write it to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Schema {
    name: String,
    comment: Option<String>,
    relations: Vec<Relation>,
    functions: Vec<Function>,
}

#[derive(Deserialize)]
struct Relation {
    name: String,
    comment: Option<String>,
    is_view: bool,
    /// The table that a page of the administration is about.
    of_table: Option<String>,
    columns: Option<Vec<Column>>,
    must: Option<Vec<String>>,
    buttons: Option<Vec<Button>>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    r#type: String,
    comment: Option<String>,
    as_table: bool,
    is_key: bool,
    required: bool,
    default: Option<String>,
    one_of: Option<Vec<String>>,
    must: Option<Vec<String>>,
    refers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Button {
    name: String,
    comment: Option<String>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: String,
    returns: String,
    comment: String,
}

const HEAD: &str = "\
# SQL reference

All that people have to do with in the database, written by `mailwright docs` from the comments of its tables, views and functions, which
`\\d+ control.smtp` in psql shows as well. How they are used: [administer.md](administer.md). A column in **bold** belongs to the primary key;
*required* ones have no default and may not be null. What is not allowed is refused with the sentence that stands here in quotation marks.
";

/// Does it.
pub async fn run(client: Client, command: Docs) -> Result<(), Failure> {
    let value: serde_json::Value = client.query_one(DOCS, &[]).await?.get(0);
    let schemas: Vec<Schema> =
        serde_json::from_value(value).map_err(|e| told(format!("the catalog cannot be read: {e}")))?;
    let missing = missing(&schemas);
    if !missing.is_empty() {
        return Err(told(format!(
            "these have no comment, and the reference would say nothing of them; write: comment on … is '…'\n{}",
            missing.join("\n")
        )));
    }
    let text = text(&schemas);
    match command.write {
        Some(path) => std::fs::write(&path, text).at("write", &path),
        None => {
            say(&text);
            Ok(())
        }
    }
}

/// What has no comment.
fn missing(schemas: &[Schema]) -> Vec<String> {
    let mut names = Vec::new();
    for schema in schemas {
        if schema.comment.is_none() {
            names.push(format!("schema {}", schema.name));
        }
        for relation in &schema.relations {
            let name = format!("{}.{}", schema.name, relation.name);
            if relation.comment.is_none() {
                names.push(format!("{} {name}", if relation.is_view { "view" } else { "table" }));
            }
            let silent = relation.columns.iter().flatten().filter(|column| column.comment.is_none());
            names.extend(silent.map(|column| format!("column {name}.{}", column.name)));
        }
    }
    names
}

fn text(schemas: &[Schema]) -> String {
    let mut text = HEAD.to_owned();
    for schema in schemas {
        let comment = schema.comment.as_deref().unwrap_or_default();
        put(&mut text, format_args!("\n## {}\n\n{}.\n", schema.name, escaped(comment)));
        for relation in &schema.relations {
            write_relation(&mut text, &schema.name, relation);
        }
        if !schema.functions.is_empty() {
            put(&mut text, format_args!("\n### Functions of {}\n", schema.name));
        }
        for Function { name, arguments, returns, comment } in &schema.functions {
            put(&mut text, format_args!("\n`{}.{name}({arguments})` → `{returns}`\n", schema.name));
            put(&mut text, format_args!("{}.\n", escaped(comment)));
        }
    }
    text
}

fn write_relation(text: &mut String, schema: &str, relation: &Relation) {
    let columns = relation.columns.as_deref().unwrap_or_default();
    let one_row = columns.iter().any(|column| column.name == "only_row");
    let kind = if relation.is_view { " (view)" } else { "" };
    let comment = escaped(relation.comment.as_deref().unwrap_or_default());
    put(text, format_args!("\n### {schema}.{}{kind}\n\n{comment}.", relation.name));
    if one_row && !relation.is_view {
        text.push_str(" There is one row.");
    }
    if let Some(table) = &relation.of_table {
        put(text, format_args!(" Columns that are not named here are those of `{table}`."));
    }
    text.push('\n');
    let shown: Vec<&Column> =
        columns.iter().filter(|column| column.name != "only_row" && !column.as_table).collect();
    if !shown.is_empty() {
        text.push_str("\n| column | type | default | meaning |\n|---|---|---|---|\n");
    }
    for column in shown {
        let name = if column.is_key { format!("**{}**", column.name) } else { column.name.clone() };
        let default = match (&column.default, column.required && !relation.is_view) {
            (Some(default), _) if default == "the next number" => default.clone(),
            (Some(default), _) => code(bare(default)),
            (None, true) => "*required*".to_owned(),
            (None, false) => String::new(),
        };
        let meaning = meaning(column);
        put(text, format_args!("| {name} | {} | {default} | {meaning} |\n", code(&column.r#type)));
    }
    let must = relation.must.as_deref().unwrap_or_default();
    if !must.is_empty() {
        let rules: Vec<String> = must.iter().map(|rule| said(rule)).collect();
        put(text, format_args!("\nTogether: {}.\n", rules.join("; ")));
    }
    for Button { name, comment } in relation.buttons.iter().flatten() {
        // "Stop!: what it does": the mark says that it is asked for twice.
        let comment = comment.as_deref().unwrap_or(name);
        let label = comment.split(['!', ':']).next().unwrap_or(name).trim();
        let what = comment.split_once(": ").map_or("", |(_, what)| what);
        let what = if what.is_empty() { String::new() } else { format!(": {}", escaped(what)) };
        put(text, format_args!("\nButton *{}*, `admin.{name}(…)`{what}.\n", escaped(label)));
    }
}

/// What a column means, what may stand in it, and what it refers to.
fn meaning(column: &Column) -> String {
    let mut parts = vec![escaped(column.comment.as_deref().unwrap_or_default())];
    if let Some(labels) = &column.one_of {
        let labels: Vec<String> = labels.iter().map(|label| code(label)).collect();
        parts.push(format!("One of {}", labels.join(", ")));
    }
    parts.extend(column.must.iter().flatten().map(|rule| said(rule)));
    let tables = column.refers.iter().flatten().map(|table| format!("→ {}", code(table)));
    parts.extend(tables);
    parts.join(". ")
}

/// A rule: the sentence that a refusal says, or what is checked.
fn said(rule: &str) -> String {
    match rule.strip_prefix("CHECK ") {
        Some(check) => code(check),
        None => format!("“{}”", escaped(rule)),
    }
}

/// A default without the type that stands beside it anyway.
fn bare(default: &str) -> &str {
    match default.rsplit_once("'::") {
        Some((value, _)) if value.starts_with('\'') => default.get(..=value.len()).unwrap_or(default),
        _ => default,
    }
}

/// Text as it is, in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|").replace('\n', " "))
}

/// Text whose signs mean nothing in Markdown.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '\\' | '*' | '<' | '|' | '`' | '[' => out.extend(['\\', sign]),
            '\n' => out.push(' '),
            sign => out.push(sign),
        }
    }
    out
}

fn put(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // A String takes everything.
    text.write_fmt(piece).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_without_their_type() {
        for (default, expected) in [
            ("'*'::text", "'*'"),
            ("'ipv6 first'::control.ip_preference", "'ipv6 first'"),
            ("'{a,b}'::text[]", "'{a,b}'"),
            ("now()", "now()"),
            ("25", "25"),
            ("(gen_random_uuid())::text", "(gen_random_uuid())::text"),
        ] {
            assert_eq!(bare(default), expected);
        }
    }

    #[test]
    fn signs_of_markdown() {
        assert_eq!(escaped("* for all, a|b, <id>\n\\Seen"), "\\* for all, a\\|b, \\<id> \\\\Seen");
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(said("CHECK ((a = 1))"), "`((a = 1))`");
        assert_eq!(said("a port is from 1 to 9"), "“a port is from 1 to 9”");
    }

    #[test]
    fn what_is_silent_is_named() {
        let schema = serde_json::json!([{ "name": "s", "comment": "x", "functions": [], "relations": [{
            "name": "t", "comment": null, "is_view": false, "of_table": null, "must": null, "buttons": null,
            "columns": [{ "name": "c", "type": "text", "comment": null, "as_table": false, "is_key": false,
                "required": false, "default": null, "one_of": null, "must": null, "refers": null }] }] }]);
        let schemas: Vec<Schema> = serde_json::from_value(schema).unwrap();
        assert_eq!(missing(&schemas), ["table s.t", "column s.t.c"]);
    }
}
