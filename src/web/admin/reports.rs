//! Reports: saved queries, run and shown as a table, a chart, and files.
//!
//! Guarantees: what is run is what is stored, with parameters bound to it (`tables`); what it finds is text, whatever it looks like,
//! also to a spreadsheet. An address runs its report each time it is asked for, so that it can be kept as a bookmark; none changes
//! anything.

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::super::answer::{self, Fault};
use super::super::chart::{Bar, Bars, Chart, OverTime, Series, Unit};
use super::list::{address, row_address};
use super::value::{bytes, cell, plain, time};
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::tables::{Found, Kind, Report, ReportError, ResultColumn, Values};

/// The page.
const HERE: &str = "/admin/reports";
/// Longest value of a parameter.
const GIVEN_MAX: usize = 200;

#[derive(Template)]
#[template(path = "admin/reports.html")]
struct ReportsPage<'a> {
    frame: &'a Frame,
    /// Name, description, address.
    reports: &'a [(String, String, String)],
    /// Where a new one is made.
    new: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "admin/report.html")]
struct ReportPage<'a> {
    frame: &'a Frame,
    report: &'a Report,
    /// Name, label, value.
    parameters: Vec<(&'a str, String, &'a str)>,
    /// Where it is changed, for who may.
    edit: Option<String>,
    csv: String,
    json: String,
    wrong: &'a str,
    shown: Option<Shown>,
}

/// What a report has found, as the page shows it.
struct Shown {
    heads: Vec<(String, bool)>,
    rows: Vec<Vec<(String, String, bool)>>,
    said: String,
    /// There is more.
    cut: bool,
    chart: Option<Chart>,
    /// Why there is no chart.
    no_chart: String,
}

type Fields = Query<Vec<(String, String)>>;

pub(super) async fn show(admin: Admin, Query(fields): Fields) -> Result<Response, Fault> {
    let name = field(&fields, "name");
    if name.is_empty() {
        let reports = reports(&admin).await?;
        let frame = admin.frame("reports").await?;
        let new = (admin.who.kind == Kind::System).then_some("/admin/page/report/new");
        return Ok(answer::page(&ReportsPage { frame: &frame, reports: &reports, new }));
    }
    let Some(report) = admin.site.tables.report(&admin.who, name).await? else {
        return Ok(answer::not_found());
    };
    let given = given(&report, &fields);
    let outcome = admin.site.tables.run_report(&admin.who, &report, &given).await;
    let (shown, wrong) = match outcome {
        Ok(found) => (Some(shown(&report, &found)), String::new()),
        Err(ReportError::Wrong(why)) => (None, why),
        Err(ReportError::Database(error)) => return Err(error.into()),
    };
    let mut here = vec![("name".to_owned(), report.name.clone())];
    let named = report.parameters().zip(&given);
    here.extend(named.clone().map(|((name, _), value)| (format!("p.{name}"), value.clone())));
    let parameters = named.map(|((name, _), value)| (name, label(name), value.as_str())).collect();
    let key = json!({ "name": report.name }).to_string();
    let template = ReportPage {
        frame: &admin.frame("reports").await?,
        report: &report,
        parameters,
        edit: (admin.who.kind == Kind::System).then(|| row_address("report", &key)),
        csv: address(&format!("{HERE}/csv"), &here),
        json: address(&format!("{HERE}/json"), &here),
        wrong: &wrong,
        shown,
    };
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(answer::page_with(status, &template))
}

/// Name, description and address of all that may be run.
async fn reports(admin: &Admin) -> Result<Vec<(String, String, String)>, Fault> {
    let found = admin.site.tables.reports(&admin.who).await?;
    let entry = |report: &Value| {
        let name = plain(report.get("name"));
        let address = address(HERE, &[("name".to_owned(), name.clone())]);
        (name, plain(report.get("description")), address)
    };
    Ok(found.as_array().into_iter().flatten().map(entry).collect())
}

/// What an address gives for the parameters of a report, or what they are without.
fn given(report: &Report, fields: &[(String, String)]) -> Vec<String> {
    let value = |(name, preset): (&str, &str)| {
        let wanted = format!("p.{name}");
        let value = fields.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.trim());
        // No text of PostgreSQL has that sign.
        let clean = |value: &str| value.chars().filter(|sign| *sign != '\0').take(GIVEN_MAX).collect();
        value.filter(|value| !value.is_empty()).map_or_else(|| preset.to_owned(), clean)
    };
    report.parameters().map(value).collect()
}

/// A name as people write it.
fn label(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| {
        first.to_uppercase().chain(letters).map(|sign| if sign == '_' { ' ' } else { sign }).collect()
    })
}

fn shown(report: &Report, found: &Found) -> Shown {
    let heads = found.columns.iter().map(|column| (label(&column.name), column.values == Values::Numbers));
    let heads: Vec<(String, bool)> = heads.collect();
    let row = |row: &Vec<String>| {
        let cells = found.columns.iter().zip(&heads).zip(row);
        cells.map(|((column, (head, number)), raw)| (head.clone(), written(column, raw), *number)).collect()
    };
    let count = found.rows.len();
    let took = found.took.as_secs_f64();
    let (chart, no_chart) = match drawn(report, found) {
        Ok(chart) => (chart, String::new()),
        Err(why) => (None, why),
    };
    Shown {
        rows: found.rows.iter().map(row).collect(),
        heads,
        said: format!("{count} {}, {took:.2} s", if count == 1 { "row" } else { "rows" }),
        cut: found.more,
        chart,
        no_chart,
    }
}

/// A value as people read it.
fn written(column: &ResultColumn, raw: &str) -> String {
    match (read(raw), column.values) {
        (Value::Bool(yes), _) => if yes { "yes" } else { "no" }.to_owned(),
        (Value::String(text), Values::Times) if text.len() > 10 => time(&text),
        (Value::Number(number), Values::Numbers) if is_bytes(&column.name) => {
            number.as_u64().map_or_else(|| raw.to_owned(), bytes)
        }
        // Not by way of a floating point number: all digits stay.
        (Value::Number(_), _) => raw.to_owned(),
        (Value::Array(items), _) => items.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join(", "),
        (value, _) => plain(Some(&value)),
    }
}

/// JSON of PostgreSQL's.
fn read(raw: &str) -> Value {
    serde_json::from_str(raw).unwrap_or_else(|_| Value::from(raw))
}

fn is_bytes(column: &str) -> bool {
    column == "size" || column.ends_with("bytes")
}

/// The chart of a report, or why it cannot be drawn.
fn drawn(report: &Report, found: &Found) -> Result<Option<Chart>, String> {
    if report.chart == "none" {
        return Ok(None);
    }
    let column = |name: &str| {
        let at = found.columns.iter().position(|column| column.name == name);
        at.ok_or_else(|| format!("There is no chart: the report has no column {name}."))
    };
    let named = column(report.chart_name.as_deref().unwrap_or_default())?;
    let values: Vec<usize> = report.chart_values.iter().map(|name| column(name)).collect::<Result<_, _>>()?;
    let Some(first) = report.chart_values.first() else { return Ok(None) };
    let unit = match first {
        name if is_bytes(name) => Unit::Bytes,
        name if name.ends_with("seconds") => Unit::Seconds,
        _ => Unit::Count,
    };
    let number = |row: &[String], at: usize| -> Option<f64> { row.get(at)?.parse().ok() };
    let text = |row: &[String], at: usize| row.get(at).map(|raw| plain(Some(&read(raw)))).unwrap_or_default();
    if report.chart == "bars" {
        let at = values.first().copied().unwrap_or_default();
        let bar =
            |row: &Vec<String>| Some(Bar { label: text(row, named), value: number(row, at)?, link: None });
        let bars = found.rows.iter().filter_map(bar).collect();
        let head = label(report.chart_name.as_deref().unwrap_or_default());
        return Ok(Some(Bars { id: "report", title: &label(first), unit, named: &head, bars }.draw()));
    }
    let mut rows: Vec<(Timestamp, &Vec<String>)> =
        found.rows.iter().filter_map(|row| Some((moment(&text(row, named))?, row))).collect();
    if rows.is_empty() && !found.rows.is_empty() {
        return Err("There is no chart: a line needs a column of times or days.".to_owned());
    }
    rows.sort_by_key(|(time, _)| *time);
    let series = report.chart_values.iter().zip(&values).map(|(name, at)| Series {
        label: label(name),
        values: rows.iter().map(|(_, row)| number(row, *at)).collect(),
    });
    let series = series.collect();
    let times = rows.iter().map(|(time, _)| *time).collect();
    Ok(Some(OverTime { id: "report", title: &report.name, unit, times, series, filled: false }.draw()))
}

/// A time or a day, as JSON of PostgreSQL has them.
fn moment(text: &str) -> Option<Timestamp> {
    let civil = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    text.parse::<Timestamp>().ok().or_else(|| text.parse::<DateTime>().ok().and_then(civil)).or_else(|| {
        text.parse::<Date>().ok().and_then(|day| civil(day.to_datetime(jiff::civil::Time::midnight())))
    })
}

/// A report for a file, or the answer that says why there is none.
async fn for_file(
    admin: &Admin,
    fields: &[(String, String)],
) -> Result<Result<(Report, Found), Response>, Fault> {
    let name = field(fields, "name");
    let Some(report) = admin.site.tables.report(&admin.who, name).await? else {
        return Ok(Err(answer::not_found()));
    };
    let given = given(&report, fields);
    match admin.site.tables.run_report(&admin.who, &report, &given).await {
        Ok(found) => Ok(Ok((report, found))),
        Err(ReportError::Wrong(why)) => {
            let text = format!("{why}\n");
            Ok(Err((StatusCode::UNPROCESSABLE_ENTITY, text).into_response()))
        }
        Err(ReportError::Database(error)) => Err(error.into()),
    }
}

/// The result as CSV; without a report, the list of them.
pub(super) async fn csv(admin: Admin, Query(fields): Fields) -> Result<Response, Fault> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let broken = |error: csv::Error| Fault::from(Error::Fault(error.to_string()));
    let name;
    if field(&fields, "name").is_empty() {
        name = "reports".to_owned();
        writer.write_record(["name", "description"]).map_err(broken)?;
        for (name, description, _) in reports(&admin).await? {
            let cells = [name, description].map(|text| cell(Some(&Value::from(text))));
            writer.write_record(cells).map_err(broken)?;
        }
    } else {
        let (report, found) = match for_file(&admin, &fields).await? {
            Ok(found) => found,
            Err(answer) => return Ok(answer),
        };
        name = report.name;
        let heads = found.columns.iter().map(|column| cell(Some(&Value::from(column.name.as_str()))));
        writer.write_record(heads).map_err(broken)?;
        for row in &found.rows {
            let cells = row.iter().map(|raw| match read(raw) {
                Value::Number(_) => raw.clone(),
                value => cell(Some(&value)),
            });
            writer.write_record(cells).map_err(broken)?;
        }
    }
    let text = writer.into_inner().map_err(|error| Fault::from(Error::Fault(error.to_string())))?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.csv\"", file_name(&name))),
    ];
    Ok((headers, text).into_response())
}

/// The result as JSON: columns with their kind, rows as lists, and whether there are more.
pub(super) async fn json(admin: Admin, Query(fields): Fields) -> Result<Response, Fault> {
    let (report, found) = match for_file(&admin, &fields).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let columns: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
    let rows: Vec<String> = found.rows.iter().map(|row| format!("[{}]", row.join(","))).collect();
    // Values are JSON already: numbers keep all their digits.
    let text = format!(
        "{{\"report\":{},\"at\":\"{}\",\"columns\":{},\"more\":{},\"rows\":[\n{}\n]}}\n",
        json!(report.name),
        Timestamp::now(),
        json!(columns),
        found.more,
        rows.join(",\n")
    );
    let headers = [
        (CONTENT_TYPE, "application/json".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}.json\"", file_name(&report.name))),
    ];
    Ok((headers, text).into_response())
}

/// A name that any system takes for a file.
fn file_name(name: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() { sign.to_ascii_lowercase() } else { '-' };
    name.chars().map(sign).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_people_read_them() {
        let column = |name: &str, values: Values| ResultColumn { name: name.to_owned(), values };
        for (name, values, raw, expected) in [
            ("used_bytes", Values::Numbers, "52428800", "50 MiB"),
            ("messages", Values::Numbers, "12345678901234567890.10", "12345678901234567890.10"),
            ("last_at", Values::Times, "\"2026-11-26T03:09:42.883331+00:00\"", "2026-11-26 03:09:42"),
            ("day", Values::Times, "\"2026-11-26\"", "2026-11-26"),
            ("active", Values::YesOrNo, "true", "yes"),
            ("names", Values::Text, "[\"a\", \"b\"]", "a, b"),
            ("note", Values::Text, "null", ""),
            ("note", Values::Text, "\"<b>\\n\\\"\"", "<b>\n\""),
        ] {
            assert_eq!(written(&column(name, values), raw), expected, "{name}");
        }
    }

    #[test]
    fn moments() {
        let noon = moment("2026-11-26T12:00:00+00:00");
        assert!(noon.is_some());
        for text in ["2026-11-26T13:00:00+01:00", "2026-11-26T12:00:00"] {
            assert_eq!(moment(text), noon, "{text}");
        }
        assert_eq!(moment("2026-11-26").map(|day| day.as_second() % 86_400), Some(0));
        assert_eq!(moment("alice"), None);
    }

    #[test]
    fn names_of_files() {
        assert_eq!(file_name("Top senders: \"all\"/../x"), "top-senders---all-----x");
        assert_eq!(label("last_at"), "Last at");
    }
}
