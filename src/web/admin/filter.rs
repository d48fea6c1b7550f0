//! The filters of a list: what an address asks for (`is.COLUMN`, `from.COLUMN`, `until.COLUMN`), and the form that asks for it.
//!
//! Which columns can be filtered by, and how, the catalog says; values go to the database as bound values.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::field;
use super::form::choices;
use super::value::{Column, Page, plain, time};

/// Characters of a value at most; a longer one is in no table.
const VALUE_MAX: usize = 500;

/// A field of the form.
pub(super) struct Filter {
    pub(super) name: String,
    pub(super) label: String,
    /// `choice`, `time` or `text`.
    pub(super) kind: &'static str,
    pub(super) value: String,
    /// Value and name.
    pub(super) choices: Vec<(String, String)>,
}

/// The filters of an address: by column, or by `from.` or `until.` and the column.
///
/// Errors say which of them can't be meant, for who has typed it.
pub(super) fn asked(page: &Page, fields: &[(String, String)]) -> Result<Map<String, Value>, String> {
    let mut filters = Map::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        let value: String = value.chars().take(VALUE_MAX).collect();
        if let Some(column) = name.strip_prefix("is.") {
            filters.insert(column.to_owned(), Value::String(value));
            continue;
        }
        let bound = name.strip_prefix("from.").or_else(|| name.strip_prefix("until."));
        let column = page.columns.iter().find(|column| Some(column.name.as_str()) == bound);
        match column.and_then(|column| column.filter.as_deref()) {
            Some("time") => {
                let moment = moment(&value)
                    .ok_or_else(|| format!("\"{value}\" is no time: write it as 2026-11-26 03:09, in UTC"))?;
                filters.insert(name.clone(), Value::String(moment.to_string()));
            }
            Some("least") => {
                filters.insert(name.clone(), Value::String(value));
            }
            _ => {}
        }
    }
    Ok(filters)
}

/// A time as browsers send it or people write it; without a zone it is UTC, as all times of these pages.
pub(super) fn moment(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let stamp = text.parse().ok();
    stamp.or_else(|| {
        text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|moment| moment.timestamp())
    })
}

/// A time as the field of a form has it.
pub(super) fn typed(text: &str) -> String {
    moment(text).map_or_else(|| text.to_owned(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// The form.
pub(super) fn form(page: &Page, fields: &[(String, String)], options: &Value) -> Vec<Filter> {
    let mut form = Vec::new();
    for column in &page.columns {
        let Some(by) = column.filter.as_deref() else { continue };
        let mut push = |prefix: &str, suffix: &str, kind, choices| {
            let name = format!("{prefix}{}", column.name);
            let value = field(fields, &name).to_owned();
            let value = if kind == "time" { typed(&value) } else { value };
            form.push(Filter { name, label: format!("{}{suffix}", column.label), kind, value, choices });
        };
        match by {
            "time" => {
                push("from.", " from", "time", Vec::new());
                push("until.", " until", "time", Vec::new());
            }
            "exact" => push("is.", "", "text", Vec::new()),
            "least" => push("from.", " at least", "choice", offered(column, &options[&column.name])),
            _ => push("is.", "", "choice", offered(column, &options[&column.name])),
        }
    }
    form
}

/// What a column may be asked to be, from nothing on.
fn offered(column: &Column, options: &Value) -> Vec<(String, String)> {
    let any = (String::new(), "any".to_owned());
    let mut offered = choices(column, options);
    offered.retain(|(value, _)| !value.is_empty());
    if column.kind == "yes or no" && offered.is_empty() {
        offered = [("true", "yes"), ("false", "no")].map(|(value, name)| (value.into(), name.into())).into();
    }
    offered.insert(0, any);
    offered
}

/// The filters that are on, as people read them; `labels` has the names of what references refer to.
pub(super) fn described(page: &Page, filters: &Map<String, Value>, labels: &Value) -> Vec<String> {
    let describe = |(name, value): (&String, &Value)| {
        let (bound, of) = name.split_once('.').unwrap_or(("", name));
        let column = page.columns.iter().find(|column| column.name == of);
        let label = column.map_or("", |column| &column.label);
        let words = labels.get(of).and_then(|names| names.get(value.as_str()?)).unwrap_or(value);
        let words = plain(Some(words));
        match (bound, column.map(|column| column.kind.as_str())) {
            ("from", Some("time")) => format!("{label}: from {}", time(&words)),
            ("until", Some("time")) => format!("{label}: until {}", time(&words)),
            ("from", _) => format!("{label}: at least {words}"),
            (_, Some("yes or no")) => format!("{label}: {}", if words == "true" { "yes" } else { "no" }),
            _ => format!("{label}: {words}"),
        }
    };
    filters.iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in [
            ("2026-11-26T03:09", Some("2026-11-26T03:09:00Z")),
            ("2026-11-26 03:09:42", Some("2026-11-26T03:09:42Z")),
            (" 2026-11-26 ", Some("2026-11-26T00:00:00Z")),
            ("2026-11-26T03:09:42.5+02:00", Some("2026-11-26T01:09:42.5Z")),
            ("yesterday", None),
            ("2026-13-01", None),
            ("", None),
        ] {
            assert_eq!(moment(text).map(|moment| moment.to_string()).as_deref(), expected, "{text}");
        }
        assert_eq!(typed("2026-11-26 03:09"), "2026-11-26T03:09:00");
        assert_eq!(typed("<b>"), "<b>");
    }
}
