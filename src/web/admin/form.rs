//! A row as a form: its fields with their help, what belongs to it, and its history.

use std::collections::HashMap;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value, json};

use super::super::answer::{self, Fault};
use super::list::{address, described, read_page, row_address};
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

/// So many can be chosen from; of more, one is named.
const CHOICES: usize = 300;

/// A field of the form.
struct Field {
    /// As the form sends it: `c.COLUMN`, or `n.COLUMN` where a row is named.
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
    let mut asked = Asked::of(&admin, &name, None).await?;
    if !asked.page.may_make {
        return Ok(answer::refused("you may not make anything here"));
    }
    let mut values: HashMap<String, String> = HashMap::new();
    for column in &asked.page.columns {
        values.insert(column.name.clone(), column.preset.as_deref().map_or(String::new(), preset));
    }
    values.extend(given);
    asked.shown.values = values;
    render(&admin, asked)
}

pub(super) async fn show(
    admin: Admin,
    Path(name): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let Ok(key) = serde_json::from_str::<Value>(field(&query, "k")) else { return Ok(answer::not_found()) };
    let mut asked = Asked::of(&admin, &name, Some(key)).await?;
    let Some(row) = &asked.row else { return Ok(answer::not_found()) };
    let values = asked.page.columns.iter().map(|column| (column.name.clone(), plain(row.get(&column.name))));
    asked.shown.values = values.collect();
    asked.shown.stored = field(&query, "stored") == "yes";
    render(&admin, asked)
}

/// What the tables say of a row, and what is shown of it.
struct Asked {
    page: Page,
    key: Option<Value>,
    row: Option<Value>,
    mark: String,
    /// History, options and menu.
    found: Value,
    shown: Shown,
}

/// What stands in the fields.
#[derive(Default)]
struct Shown {
    values: HashMap<String, String>,
    /// What is wrong, by column; "" = with the row as a whole.
    wrong: HashMap<String, String>,
    stored: bool,
}

impl Asked {
    async fn of(admin: &Admin, name: &str, key: Option<Value>) -> Result<Asked, Fault> {
        let mut found = admin.site.tables.form(&admin.who, name, key.as_ref()).await?;
        let page = read_page(found["page"].take())?;
        let row = Some(found["row"].take()).filter(Value::is_object);
        let mark = plain(found.get("mark"));
        Ok(Asked { page, key, row, mark, found, shown: Shown::default() })
    }
}

fn render(admin: &Admin, asked: Asked) -> Result<Response, Fault> {
    let Asked { page, key, row, mark, found, shown: Shown { values, mut wrong, stored } } = asked;
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
        let mut one = Field {
            name: format!("c.{}", column.name),
            label: column.label.clone(),
            help: column.help.clone().unwrap_or_default(),
            kind: widget(column),
            value: values.get(&column.name).cloned().unwrap_or_default(),
            choices: choices(column, &found["options"][&column.name]),
            required: column.required,
            wrong: wrong.remove(&column.name).unwrap_or_default(),
        };
        if column.kind == "reference" && one.choices.len() > CHOICES {
            one.becomes_named(column);
        }
        fields.push(one);
    }
    let key_text = key.as_ref().map(Value::to_string).unwrap_or_default();
    let first_key = key.as_ref().and_then(|key| page.key.first().and_then(|name| key.get(name)));
    let children = page.children.iter().filter_map(|child| {
        let filter = (format!("is.{}", child.column), plain(first_key?.into()));
        Some((child.title.clone(), address(&format!("/admin/page/{}", child.page), &[filter])))
    });
    let links = page.links.iter().filter_map(|(title, address)| {
        Some((title.clone(), format!("{address}{}", plain(first_key?.into()))))
    });
    // What none of the fields can show is said above them.
    let general: Vec<String> = wrong.into_values().collect();
    let failed = !general.is_empty() || fields.iter().any(|field| !field.wrong.is_empty());
    let template = FormPage {
        frame: &admin.framed(&found["menu"], &page.name),
        page: &page,
        name: row.as_ref().filter(|_| !page.one_row).map(|row| page.name_of(row)).unwrap_or_default(),
        key: &key_text,
        mark: &mark,
        fields,
        facts,
        children: children.chain(links).collect(),
        history: changes(&found["history"]),
        stored,
        wrong: general.join("; "),
        writable,
        list: format!("/admin/page/{}", page.name),
    };
    let status = if failed { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(answer::page_with(status, &template))
}

impl Field {
    /// Of too many to choose from one is typed by its name; the first of them are proposed.
    fn becomes_named(&mut self, column: &Column) {
        self.kind = "named".to_owned();
        self.name = format!("n.{}", column.name);
        let chosen = self.choices.iter().find(|(key, _)| *key == self.value && !key.is_empty());
        if let Some((_, name)) = chosen {
            self.value = name.clone();
        }
        self.choices.retain(|(key, _)| !key.is_empty());
        self.choices.truncate(CHOICES);
    }
}

/// Which element of HTML edits a column.
fn widget(column: &Column) -> String {
    match column.kind.as_str() {
        "yes or no" if column.nullable => "choice".to_owned(),
        kind => kind.to_owned(),
    }
}

pub(super) fn choices(column: &Column, options: &Value) -> Vec<(String, String)> {
    let mut choices = Vec::new();
    if column.nullable || column.kind == "reference" {
        choices.push((String::new(), "–".to_owned()));
    }
    for option in options.as_array().into_iter().flatten() {
        let pair = (plain(option.get(0)), plain(option.get(1)));
        // The one that is chosen now comes last, and may have been among the first.
        if !choices.contains(&pair) {
            choices.push(pair);
        }
    }
    choices.extend(column.options.iter().flatten().map(|option| (option.clone(), option.clone())));
    if column.kind == "yes or no" && column.nullable {
        choices.extend(
            [("true", "yes"), ("false", "no")].map(|(value, name)| (value.to_owned(), name.to_owned())),
        );
    }
    choices
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
                (Some("view"), _) => "looked into the mailbox".to_owned(),
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
        let named = field(&given, &format!("n.{}", column.name)).trim();
        if column.kind == "reference" && !named.is_empty() {
            row.insert(column.name.clone(), json!({ "named": named }));
            continue;
        }
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
    let mut asked = Asked::of(&admin, &name, key).await?;
    let typed = page.columns.iter().filter(|column| column.kind != "password" && column.kind != "secret");
    let text = |column: &Column| {
        let sent = ["n", "c"].map(|way| field(&given, &format!("{way}.{}", column.name)));
        sent.into_iter().find(|text| !text.is_empty()).unwrap_or_default().to_owned()
    };
    let values = typed.map(|column| (column.name.clone(), text(column))).collect();
    asked.shown = Shown { values, wrong, stored: false };
    asked.mark = mark;
    render(&admin, asked)
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
        "query" => {
            let text = text.replace("\r\n", "\n");
            let checked = admin.site.tables.check_query(&admin.who, &text).await;
            match checked.map_err(|error| error.to_string())? {
                Some(why) => return Err(why),
                None => Value::from(text),
            }
        }
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
