//! A row as a form: its fields with their help, what belongs to it, and its history.

use std::collections::HashMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value};

use super::super::answer::{self, Fault};
use super::list::{address, described, row_address};
use super::value::{Column, Page, plain, shown, time};
use super::{Admin, Frame, field};
use crate::directory::LoginError;
use crate::sasl::Secret;

#[derive(Template)]
#[template(path = "admin/form.html")]
struct FormPage<'a> {
    frame: &'a Frame,
    page: &'a Page,
    /// What the row is called; nothing where it is new.
    name: String,
    key: &'a str,
    mark: &'a str,
    fields: Vec<Field>,
    facts: Vec<Fact>,
    children: Vec<(String, String)>,
    history: Vec<Change>,
    stored: bool,
    /// What is wrong with the row as a whole.
    wrong: String,
    writable: bool,
    list: String,
}

/// A field of the form.
struct Field {
    name: String,
    label: String,
    help: String,
    kind: String,
    value: String,
    /// Value and name.
    choices: Vec<(String, String)>,
    required: bool,
    wrong: String,
}

/// What the form shows and does not change.
struct Fact {
    label: String,
    value: String,
    /// Where it leads; empty = nowhere.
    address: String,
}

/// A change of the row.
struct Change {
    id: String,
    at: String,
    actor: String,
    what: String,
    changes: Vec<(String, String, String)>,
}

pub(super) async fn show_new(
    admin: Admin,
    Path(name): Path<String>,
    Query(given): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let page = described(&admin, &name).await?;
    if !page.may_make {
        return Ok(answer::refused("you may not make anything here"));
    }
    let mut values: HashMap<String, String> = HashMap::new();
    for column in &page.columns {
        values.insert(column.name.clone(), column.preset.as_deref().map_or(String::new(), preset));
    }
    values.extend(given);
    render(&admin, &page, Shown { values, ..Shown::default() }).await
}

pub(super) async fn show(
    admin: Admin,
    Path(name): Path<String>,
    Query(asked): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let page = described(&admin, &name).await?;
    let Ok(key) = serde_json::from_str::<Value>(field(&asked, "k")) else { return Ok(answer::not_found()) };
    let found = admin.site.tables.row(&admin.who, &name, &key).await?;
    let Some(row) = found.get("row").filter(|row| row.is_object()) else { return Ok(answer::not_found()) };
    let values =
        page.columns.iter().map(|column| (column.name.clone(), plain(row.get(&column.name)))).collect();
    let mark = plain(found.get("mark"));
    let stored = field(&asked, "stored") == "yes";
    render(
        &admin,
        &page,
        Shown { row: Some(row.clone()), key: Some(key), mark, values, stored, ..Shown::default() },
    )
    .await
}

/// What is shown in a form.
#[derive(Default)]
struct Shown {
    row: Option<Value>,
    key: Option<Value>,
    mark: String,
    values: HashMap<String, String>,
    /// What is wrong, by column; "" = with the row as a whole.
    wrong: HashMap<String, String>,
    stored: bool,
}

async fn render(admin: &Admin, page: &Page, shown_row: Shown) -> Result<Response, Fault> {
    let Shown { row, key, mark, values, mut wrong, stored } = shown_row;
    let writable = if key.is_some() { page.may_change } else { page.may_make };
    let mut fields = Vec::new();
    let mut facts = Vec::new();
    for column in &page.columns {
        if !(column.writable && writable) {
            if let Some(row) = &row {
                let value = row.get(&column.name);
                let (label, address) = (column.label.clone(), column.address(value));
                facts.push(Fact { label, value: shown(column, value), address });
            }
            continue;
        }
        fields.push(Field {
            name: column.name.clone(),
            label: column.label.clone(),
            help: column.help.clone().unwrap_or_default(),
            kind: widget(column),
            value: values.get(&column.name).cloned().unwrap_or_default(),
            choices: choices(admin, column).await?,
            required: column.required,
            wrong: wrong.remove(&column.name).unwrap_or_default(),
        });
    }
    let history = match &key {
        Some(key) => changes(&admin.site.tables.history(&admin.who, &page.name, key).await?),
        None => Vec::new(),
    };
    let key_text = key.as_ref().map(Value::to_string).unwrap_or_default();
    let first_key = key.as_ref().and_then(|key| page.key.first().and_then(|name| key.get(name)));
    let children = page.children.iter().filter_map(|child| {
        let filter = (format!("is.{}", child.column), plain(first_key?.into()));
        Some((child.title.clone(), address(&format!("/admin/page/{}", child.page), &[filter])))
    });
    // What none of the fields can show is said above them.
    let general: Vec<String> = wrong.into_values().collect();
    let failed = !general.is_empty() || fields.iter().any(|field| !field.wrong.is_empty());
    let template = FormPage {
        frame: &admin.frame(&page.name).await?,
        page,
        name: row.as_ref().filter(|_| !page.one_row).map(|row| page.name_of(row)).unwrap_or_default(),
        key: &key_text,
        mark: &mark,
        fields,
        facts,
        children: children.collect(),
        history,
        stored,
        wrong: general.join("; "),
        writable,
        list: format!("/admin/page/{}", page.name),
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(answer::page_with(status, &template))
}

/// Which element of HTML edits a column.
fn widget(column: &Column) -> String {
    match column.kind.as_str() {
        "yes or no" if column.nullable => "choice".to_owned(),
        kind => kind.to_owned(),
    }
}

pub(super) async fn choices(admin: &Admin, column: &Column) -> Result<Vec<(String, String)>, Fault> {
    let mut choices = Vec::new();
    if column.nullable || column.kind == "reference" {
        choices.push((String::new(), "–".to_owned()));
    }
    if let Some(page) = &column.refers {
        let found = admin.site.tables.options(&admin.who, page).await?;
        let pair = |pair: &Value| Some((plain(pair.get(0)), plain(pair.get(1))));
        choices.extend(found.as_array().into_iter().flatten().filter_map(pair));
    }
    choices.extend(column.options.iter().flatten().map(|option| (option.clone(), option.clone())));
    if column.kind == "yes or no" && column.nullable {
        choices.extend(
            [("true", "yes"), ("false", "no")].map(|(value, name)| (value.to_owned(), name.to_owned())),
        );
    }
    Ok(choices)
}

/// A default that a form can show: a constant.
fn preset(sql: &str) -> String {
    let bare = sql.split("::").next().unwrap_or_default();
    match bare.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some("{}") => String::new(),
        Some(text) => text.replace("''", "'"),
        None if matches!(bare, "true" | "false") || bare.parse::<i64>().is_ok() => bare.to_owned(),
        None => String::new(),
    }
}

fn changes(history: &Value) -> Vec<Change> {
    let change = |entry: &Value| {
        let text = |name: &str| plain(entry.get(name));
        let one = |change: &Value| (plain(change.get(0)), plain(change.get(1)), plain(change.get(2)));
        let by = [text("peer"), text("path")]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(", ");
        Change {
            id: text("id"),
            at: time(&text("at")),
            actor: if by.is_empty() { text("actor") } else { format!("{} ({by})", text("actor")) },
            what: match (entry.get("action").and_then(Value::as_str), text("undoes").as_str()) {
                (_, undone) if !undone.is_empty() => format!("took change {undone} back"),
                (Some("insert"), _) => "made it".to_owned(),
                (Some("delete"), _) => "removed it".to_owned(),
                _ => "changed it".to_owned(),
            },
            changes: entry.get("changes").and_then(Value::as_array).into_iter().flatten().map(one).collect(),
        }
    };
    history.as_array().into_iter().flatten().map(change).collect()
}

/// Stores what was entered; if something is wrong with it, the form comes back with all that was typed.
pub(super) async fn save(
    admin: Admin,
    Path(name): Path<String>,
    uri: Uri,
    Form(given): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    if !admin.knows(field(&given, "form")) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    let page = described(&admin, &name).await?;
    let key: Option<Value> = serde_json::from_str(field(&given, "key")).ok();
    if key.is_none() && !uri.path().ends_with("/new") {
        return Ok(answer::not_found());
    }
    let mark = field(&given, "mark").to_owned();
    let mut row = Map::new();
    let mut wrong = HashMap::new();
    for column in page.columns.iter().filter(|column| column.writable) {
        let text = field(&given, &format!("c.{}", column.name));
        match entered(&admin, column, text).await {
            Ok(Some(value)) => {
                row.insert(column.name.clone(), value);
            }
            Ok(None) => {}
            Err(why) => {
                wrong.insert(column.name.clone(), why);
            }
        }
    }
    let mut stored = None;
    if wrong.is_empty() {
        let saved = admin
            .site
            .tables
            .save(
                &admin.who,
                &name,
                key.as_ref(),
                Some(&mark).filter(|mark| key.is_some() && !mark.is_empty()).map(String::as_str),
                &Value::Object(row),
            )
            .await?;
        match saved.get("wrong").and_then(Value::as_object) {
            Some(said) => wrong.extend(said.iter().map(|(column, why)| (column.clone(), plain(Some(why))))),
            None => stored = saved.get("key").cloned(),
        }
    }
    if let Some(key) = stored {
        let address = row_address(&name, &key.to_string());
        return Ok(Redirect::to(&format!("{address}&stored=yes")).into_response());
    }
    let row = match &key {
        Some(key) => admin.site.tables.row(&admin.who, &name, key).await?.get("row").cloned(),
        None => None,
    };
    let typed = page.columns.iter().filter(|column| column.kind != "password" && column.kind != "secret");
    let typed =
        typed.map(|column| (column.name.clone(), field(&given, &format!("c.{}", column.name)).to_owned()));
    render(&admin, &page, Shown { row, key, mark, values: typed.collect(), wrong, stored: false }).await
}

/// What was entered in a field, as the tables take it; nothing where the column is left alone.
async fn entered(admin: &Admin, column: &Column, text: &str) -> Result<Option<Value>, String> {
    Ok(Some(match column.kind.as_str() {
        // A box that is not ticked is not sent.
        "yes or no" if !column.nullable => Value::Bool(text == "true"),
        "lines" => Value::Array(
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Value::from).collect(),
        ),
        "password" | "secret" if text.is_empty() => return Ok(None),
        "password" => {
            let shortest = admin.site.house.control.config().directory.min_password_length;
            if text.chars().count() < shortest {
                return Err(format!("a password needs at least {shortest} characters"));
            }
            let hashed = admin.directory().hashed(&Secret::from(text)).await;
            Value::String(hashed.map_err(|error: LoginError| error.to_string())?.to_string())
        }
        "long text" => Value::from(text.replace("\r\n", "\n")),
        _ => Value::from(text.trim()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets() {
        for (sql, expected) in [
            ("true", "true"),
            ("'*'::text", "*"),
            ("50", "50"),
            ("now()", ""),
            ("'{}'::text[]", ""),
            ("'starttls'::control.tls_mode", "starttls"),
        ] {
            assert_eq!(preset(sql), expected, "{sql}");
        }
    }
}
