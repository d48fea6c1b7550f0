//! A page as a list: search, order, filters, pages by key, export, buttons for many rows.

use askama::Template;
use axum::Form;
use axum::body::Body;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::{Map, Value, json};

use super::super::answer::{self, Fault};
use super::filter::{self, Filter};
use super::value::{Column, Page, cell, plain, shown};
use super::{Admin, Frame, field, login};
use crate::db::Error;
use crate::tables;

/// Rows on one page.
const AT_ONCE: i32 = 50;
/// Rows that are read at once for an export.
const PIECE: i32 = 5000;
/// Rows that a button works on at most.
const CHOSEN_MAX: usize = 1000;
/// Bytes of a text from which on a column is not made as wide as its longest word.
const LONG: usize = 24;
/// What is said of a search that was given up.
const OVERDUE: &str =
    "The search took too long and was given up: narrow the time, or filter by another column as well.";

#[derive(Template)]
#[template(path = "admin/list.html")]
struct ListPage<'a> {
    frame: &'a Frame,
    page: &'a Page,
    heads: Vec<Head<'a>>,
    rows: Vec<Row>,
    words: &'a str,
    /// Filters that are on, as people read them.
    filters: Vec<String>,
    /// The form that sets them, and the fields of this address that it keeps.
    filter_form: Vec<Filter>,
    kept_by_filter: Vec<(String, String)>,
    /// The fields of this address that a search keeps.
    kept: Vec<(String, String)>,
    next: Option<String>,
    csv: String,
    new: String,
    here: String,
    said: &'a str,
    wrong: &'a str,
}

struct Head<'a> {
    label: &'a str,
    help: &'a str,
    address: String,
    way: &'static str,
    number: bool,
}

struct Row {
    key: String,
    name: String,
    cells: Vec<Cell>,
}

struct Cell {
    text: String,
    label: String,
    class: &'static str,
    /// Where it leads; empty = nowhere.
    address: String,
}

/// What an address asks for.
struct Asked {
    fields: Vec<(String, String)>,
}

impl Asked {
    fn get(&self, name: &str) -> &str {
        field(&self.fields, name)
    }

    /// The fields but for these.
    fn without(&self, names: &[&str]) -> Vec<(String, String)> {
        self.fields.iter().filter(|(name, _)| !names.contains(&name.as_str())).cloned().collect()
    }

    fn query(&self, page: &Page, filters: Map<String, Value>, most: i32) -> tables::Query {
        tables::Query {
            words: self.get("q").chars().take(200).collect(),
            sorted: self.get("by").to_owned(),
            downwards: match self.get("way") {
                "down" => true,
                "up" => false,
                // What has happened comes newest first.
                _ => page.columns.iter().any(|column| column.name == "at"),
            },
            filters: Value::Object(filters),
            behind: serde_json::from_str(self.get("behind")).ok(),
            most,
        }
    }
}

/// An address with these fields.
pub(super) fn address(path: &str, fields: &[(String, String)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(fields.iter().filter(|(_, value)| !value.is_empty()));
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The page of that name.
pub(super) async fn described(admin: &Admin, name: &str) -> Result<Page, Fault> {
    read_page(admin.site.tables.page(&admin.who, name).await?)
}

/// What the tables say of a page.
pub(super) fn read_page(described: Value) -> Result<Page, Fault> {
    serde_json::from_value(described)
        .map_err(|error| Fault::from(Error::Fault(format!("a page is described in another way: {error}"))))
}

pub(super) async fn show(
    admin: Admin,
    Path(name): Path<String>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    list(&admin, &name, Asked { fields }, StatusCode::OK, "").await
}

pub(super) fn row_address(page: &str, key: &str) -> String {
    address(&format!("/admin/page/{page}/row"), &[("k".to_owned(), key.to_owned())])
}

async fn list(
    admin: &Admin,
    name: &str,
    asked: Asked,
    status: StatusCode,
    wrong: &str,
) -> Result<Response, Fault> {
    let page = &described(admin, name).await?;
    if page.one_row {
        let key = json!({ "only_row": true }).to_string();
        let shown = || Redirect::to(&row_address(name, &key)).into_response();
        return Ok(if wrong.is_empty() { shown() } else { answer::refused(wrong) });
    }
    if let Some(key) = page.sole.as_ref().filter(|_| wrong.is_empty()) {
        return Ok(Redirect::to(&row_address(name, &key.to_string())).into_response());
    }
    let (filters, misread) = match filter::asked(page, &asked.fields) {
        Ok(filters) => (filters, None),
        Err(why) => (Map::new(), Some(why)),
    };
    let query = asked.query(page, filters.clone(), AT_ONCE);
    let found = match misread {
        Some(why) => Err(why),
        None => match admin.site.tables.list(&admin.who, name, &query).await {
            Err(Error::Overdue(_)) => Err(OVERDUE.to_owned()),
            found => Ok(found?),
        },
    };
    let status = if found.is_ok() { status } else { StatusCode::UNPROCESSABLE_ENTITY };
    let (found, unfound) = match found {
        Ok(found) => (found, String::new()),
        Err(why) => (Value::Null, why),
    };
    let wrong = if unfound.is_empty() { wrong } else { &unfound };
    let frame = match found.get("menu") {
        Some(menu) => admin.framed(menu, name),
        None => admin.frame(name).await?,
    };
    let path = format!("/admin/page/{name}");
    let columns: Vec<&Column> = visible(page);
    let rows = found.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let labels = found.get("labels").cloned().unwrap_or_default();
    let more = found.get("more").and_then(Value::as_bool).unwrap_or(false);
    let next = rows.last().filter(|_| more).map(|last| {
        let mut fields = asked.without(&["behind", "said"]);
        fields.push(("behind".to_owned(), behind(page, &query.sorted, last).to_string()));
        address(&path, &fields)
    });
    let heads = columns
        .iter()
        .map(|column| {
            let is_sorted = query.sorted == column.name;
            let way = if is_sorted && !query.downwards { "down" } else { "up" };
            let mut fields = asked.without(&["by", "way", "behind", "said"]);
            fields.push(("by".to_owned(), column.name.clone()));
            fields.push(("way".to_owned(), way.to_owned()));
            Head {
                label: &column.label,
                help: column.help.as_deref().unwrap_or(""),
                address: address(&path, &fields),
                way: match (is_sorted, query.downwards) {
                    (true, true) => "descending",
                    (true, false) => "ascending",
                    _ => "none",
                },
                number: column.kind == "number",
            }
        })
        .collect();
    let cells = |row: &Value| -> Vec<Cell> {
        let names = |column: &&Column| {
            column.refers.is_none() && !matches!(column.kind.as_str(), "time" | "yes or no")
        };
        let named = columns.iter().position(names).unwrap_or(0);
        let cell = |(at, column): (usize, &&Column)| {
            let text = labelled(column, row, &labels);
            Cell {
                class: match column.kind.as_str() {
                    "number" => "number",
                    "time" => "time",
                    _ if text.len() > LONG => "long",
                    _ => "",
                },
                text,
                label: column.label.clone(),
                address: if at == named {
                    row_address(&page.name, &page.key_of(row))
                } else {
                    column.address(row.get(&column.name))
                },
            }
        };
        columns.iter().enumerate().map(cell).collect()
    };
    let rows = rows
        .iter()
        .map(|row| Row { cells: cells(row), name: page.name_of(row), key: page.key_of(row) })
        .collect();
    let filter_form = filter::form(page, &asked.fields, &found["options"]);
    let mut kept_by_filter = asked.without(&["behind", "said"]);
    kept_by_filter.retain(|(name, _)| filter_form.iter().all(|filter| filter.name != *name));
    let kept = asked.without(&["q", "behind", "said"]);
    let preset = |(name, value): (String, String)| Some((name.strip_prefix("is.")?.to_owned(), value));
    let new: Vec<(String, String)> = kept.iter().cloned().filter_map(preset).collect();
    let template = ListPage {
        frame: &frame,
        page,
        heads,
        rows,
        words: asked.get("q"),
        filters: filter::described(page, &filters, &labels),
        filter_form,
        kept_by_filter,
        next,
        csv: address(&format!("{path}/csv"), &asked.without(&["behind", "said"])),
        new: address(&format!("{path}/new"), &new),
        here: address(&path, &asked.without(&["said"])),
        kept,
        said: asked.get("said"),
        wrong,
    };
    Ok(answer::page_with(status, &template))
}

/// Where a list goes on that ends with this row.
fn behind(page: &Page, sorted: &str, last: &Value) -> Value {
    let key: Vec<String> = page.key.iter().map(|name| plain(last.get(name))).collect();
    let sorted = last.get(sorted).filter(|value| !value.is_null());
    json!({ "s": sorted.map(|value| plain(Some(value))), "k": key })
}

/// The columns that a list has room for.
fn visible(page: &Page) -> Vec<&Column> {
    let fits = |column: &&Column| {
        !matches!(column.kind.as_str(), "secret" | "password" | "document" | "long text" | "query")
    };
    let shown =
        |column: &&Column| fits(column) && !(column.is_key && column.kind == "number" && page.key.len() == 1);
    page.columns.iter().filter(shown).take(9).collect()
}

/// A value; of a reference the name of what it refers to.
fn labelled(column: &Column, row: &Value, labels: &Value) -> String {
    let value = row.get(&column.name);
    let label = column.refers.as_ref().and_then(|_| labels.get(&column.name)?.get(plain(value)));
    label.map_or_else(|| shown(column, value), |label| plain(Some(label)))
}

/// What the list shows, whole rows of it, for a spreadsheet: all of them, however many there are. They are read and sent in pieces,
/// and between two pieces nothing waits but the browser's connection. What is changed meanwhile may be in it as it was or as it is.
pub(super) async fn csv(
    admin: Admin,
    Path(name): Path<String>,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let page = described(&admin, &name).await?;
    let filters = match filter::asked(&page, &fields) {
        Ok(filters) => filters,
        Err(why) => return Ok(answer::refused(&why)),
    };
    let query = Asked { fields }.query(&page, filters, PIECE);
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.csv\"", page.name)),
    ];
    // Before the answer begins, so that it can still be a refusal.
    let found = admin.site.tables.rows(&admin.who, &name, &query).await?;
    let export = Export { admin, page, query, found: Some(found), begun: false };
    Ok((headers, Body::from_stream(futures_util::stream::try_unfold(export, Export::piece))).into_response())
}

/// A list on its way out.
struct Export {
    admin: Admin,
    page: Page,
    query: tables::Query,
    /// What has been read and not been sent; nothing where there is no more.
    found: Option<Value>,
    begun: bool,
}

impl Export {
    /// The next piece, and what comes then.
    async fn piece(mut self) -> Result<Option<(Vec<u8>, Export)>, Error> {
        let Some(found) = self.found.take() else { return Ok(None) };
        let columns: Vec<&Column> = self
            .page
            .columns
            .iter()
            .filter(|column| !matches!(column.kind.as_str(), "secret" | "password"))
            .collect();
        let rows = found.get("rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let broken = |error: csv::Error| Error::Fault(error.to_string());
        if !self.begun {
            writer.write_record(columns.iter().map(|column| &column.name)).map_err(broken)?;
        }
        for row in rows {
            writer.write_record(columns.iter().map(|column| cell(row.get(&column.name)))).map_err(broken)?;
        }
        let piece = writer.into_inner().map_err(|error| Error::Fault(error.to_string()))?;
        self.begun = true;
        let more = found.get("more").and_then(Value::as_bool).unwrap_or(false);
        if let Some(last) = rows.last().filter(|_| more) {
            self.query.behind = Some(behind(&self.page, &self.query.sorted, last));
            let next = self.admin.site.tables.rows(&self.admin.who, &self.page.name, &self.query).await;
            self.found = Some(next.inspect_err(|error| {
                tracing::warn!(login = self.admin.who.login, page = self.page.name, %error, "an export has broken off");
            })?);
        }
        Ok(Some((piece, self)))
    }
}

#[derive(Template)]
#[template(path = "admin/confirm.html")]
struct ConfirmPage<'a> {
    frame: &'a Frame,
    page: &'a Page,
    label: &'a str,
    warning: &'a str,
    action: &'a str,
    names: Vec<String>,
    keys: Vec<String>,
    back: &'a str,
}

/// A button was pressed, for some rows.
pub(super) async fn act(
    admin: Admin,
    Path(name): Path<String>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    let page = described(&admin, &name).await?;
    let asked_for = field(&fields, "do");
    let list_path = format!("/admin/page/{name}");
    // Back to the list, or to another page that has the button.
    let back = match field(&fields, "back") {
        "" => &list_path,
        back => login::safe(back),
    };
    let keys: Vec<Value> = fields
        .iter()
        .filter(|(name, _)| name == "k")
        .filter_map(|(_, key)| serde_json::from_str(key).ok().filter(Value::is_object))
        .collect();
    let action = page.actions.iter().find(|action| action.name == asked_for);
    let removes = asked_for == "remove";
    if action.is_none() && !removes {
        return Ok(answer::not_found());
    }
    let asked = || -> Asked {
        let query = back.split_once('?').map_or("", |(_, query)| query);
        Asked { fields: form_urlencoded::parse(query.as_bytes()).into_owned().collect() }
    };
    if keys.is_empty() {
        return list(
            &admin,
            &name,
            asked(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "Choose one or more rows first.",
        )
        .await;
    }
    if keys.len() > CHOSEN_MAX {
        let wrong = format!(
            "Choose at most {CHOSEN_MAX} rows at a time: these are {}. Nothing was done.",
            keys.len()
        );
        return list(&admin, &name, asked(), StatusCode::UNPROCESSABLE_ENTITY, &wrong).await;
    }
    let grave = removes || action.is_some_and(|action| action.grave);
    if grave && field(&fields, "sure") != "yes" {
        let found = admin.site.tables.keyed(&admin.who, &name, &Value::from(keys.clone())).await?;
        let names = found.as_array().into_iter().flatten().map(|row| page.name_of(row)).collect();
        let template = ConfirmPage {
            frame: &admin.frame(&name).await?,
            page: &page,
            label: action.map_or("Remove", |action| &action.label),
            warning: action.and_then(|action| action.warning.as_deref()).unwrap_or(""),
            action: asked_for,
            names,
            keys: keys.iter().map(Value::to_string).collect(),
            back,
        };
        return Ok(answer::page(&template));
    }
    let what = action.map(|action| action.name.as_str());
    let done = admin.site.tables.act(&admin.who, &name, what, &Value::Array(keys)).await?;
    if let Some(wrong) = done.get("wrong").and_then(Value::as_str) {
        return list(&admin, &name, asked(), StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    let said: Vec<String> =
        done.get("said").and_then(Value::as_array).into_iter().flatten().filter_map(said).collect();
    let mut fields = asked().without(&["said"]);
    fields.push(("said".to_owned(), said.join("; ")));
    let path = back.split_once('?').map_or(back, |(path, _)| path);
    Ok(Redirect::to(&address(path, &fields)).into_response())
}

/// What a button has said, and for how many rows.
fn said(pair: &Value) -> Option<String> {
    let (words, times) = (pair.get(0)?.as_str()?, pair.get(1)?.as_u64()?);
    Some(if times == 1 { words.to_owned() } else { format!("{words} ({times} times)") })
}
