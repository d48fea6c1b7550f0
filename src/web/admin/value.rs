//! What the catalog says of a page, and how values of its rows are shown.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A page.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) help: Option<String>,
    pub(super) key: Vec<String>,
    /// Settings: there is exactly one row.
    pub(super) one_row: bool,
    pub(super) may_change: bool,
    pub(super) may_make: bool,
    pub(super) may_remove: bool,
    pub(super) columns: Vec<Column>,
    pub(super) actions: Vec<Action>,
    pub(super) children: Vec<Child>,
    /// The key of the only row that there is for who looks.
    #[serde(default)]
    pub(super) sole: Option<Value>,
    /// Pages of code about a row: title, and the address that its key completes.
    #[serde(default)]
    pub(super) links: Vec<(String, String)>,
}

/// A column of a page.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) help: Option<String>,
    pub(super) kind: String,
    pub(super) required: bool,
    pub(super) nullable: bool,
    pub(super) writable: bool,
    pub(super) is_key: bool,
    /// The page that it refers to.
    pub(super) refers: Option<String>,
    pub(super) options: Option<Vec<String>>,
    /// What a new row gets where nothing is given, as SQL.
    pub(super) preset: Option<String>,
    /// How a list is narrowed by it.
    #[serde(default)]
    pub(super) filter: Option<String>,
    /// The beginning of the address that its values lead to.
    #[serde(default)]
    pub(super) leads: Option<String>,
}

/// A button.
#[derive(Debug, Deserialize)]
pub(super) struct Action {
    pub(super) name: String,
    pub(super) label: String,
    /// It destroys something: it is asked for twice.
    pub(super) grave: bool,
    pub(super) warning: Option<String>,
}

/// A page whose rows belong to a row of this one.
#[derive(Debug, Deserialize)]
pub(super) struct Child {
    pub(super) page: String,
    pub(super) title: String,
    pub(super) column: String,
}

impl Page {
    /// The key of a row, as links carry it.
    pub(super) fn key_of(&self, row: &Value) -> String {
        let pairs = self.key.iter().map(|name| (name.clone(), row.get(name).cloned().unwrap_or_default()));
        Value::Object(pairs.collect::<Map<String, Value>>()).to_string()
    }

    /// What a row is called.
    pub(super) fn name_of(&self, row: &Value) -> String {
        let named = ["name", "address", "recipient", "local_part", "login", "pattern", "domain"];
        let found = named.iter().find_map(|name| row.get(name).filter(|value| !value.is_null()));
        found.map_or_else(
            || plain(row.get(self.key.first().map_or("", String::as_str))),
            |value| plain(Some(value)),
        )
    }
}

impl Column {
    /// Where a value of it leads; empty = nowhere.
    pub(super) fn address(&self, value: Option<&Value>) -> String {
        let part = plain(value);
        match &self.leads {
            Some(leads) if !part.is_empty() => {
                // As a query has it, but for the space: so it is right in a path as well.
                let part: String = form_urlencoded::byte_serialize(part.as_bytes()).collect();
                format!("{leads}{}", part.replace('+', "%20"))
            }
            _ => String::new(),
        }
    }
}

/// A value as text, as a form has it.
pub(super) fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join("\n"),
        Some(other) => other.to_string(),
    }
}

/// A value as people read it.
pub(super) fn shown(column: &Column, value: Option<&Value>) -> String {
    match value {
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(list)) => list.iter().map(|item| plain(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::String(text)) if column.kind == "time" => time(text),
        Some(Value::Number(number)) if column.name.ends_with("bytes") || column.name == "size" => {
            number.as_u64().map_or_else(|| number.to_string(), bytes)
        }
        value => plain(value),
    }
}

/// A value for a spreadsheet, which takes text that begins so for a formula.
pub(super) fn cell(value: Option<&Value>) -> String {
    let text = plain(value);
    let formula = matches!(value, Some(Value::String(_) | Value::Array(_)))
        && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{text}") } else { text }
}

/// To the second, in UTC.
pub(super) fn time(text: &str) -> String {
    let to_second: String = text.chars().take(19).collect();
    to_second.replace('T', " ")
}

/// A number of bytes in the unit that fits, powers of 1024 as the limits have them.
pub(super) fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (number.max(1).ilog2() / 10).min(4);
    let unit = units.get(power as usize).copied().unwrap_or("B");
    if power == 0 {
        return format!("{number} B");
    }
    let whole = number as f64 / f64::from(1u32 << 10).powi(power as i32);
    if whole.fract() < 0.05 { format!("{whole:.0} {unit}") } else { format!("{whole:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_people_read_it() {
        let column = |name: &str, kind: &str| -> Column {
            serde_json::from_value(json!({
                "name": name, "label": "", "help": null, "kind": kind, "required": false, "nullable": true, "writable": true,
                "is_key": false, "refers": null, "options": null, "preset": null
            }))
            .unwrap()
        };
        for (name, kind, value, expected) in [
            ("active", "yes or no", json!(true), "yes"),
            ("targets", "lines", json!(["a@b", "c@d"]), "a@b, c@d"),
            ("since", "time", json!("2026-11-26T03:09:42.883331+00:00"), "2026-11-26 03:09:42"),
            ("size", "number", json!(1023), "1023 B"),
            ("quota_bytes", "number", json!(52_428_800), "50 MiB"),
            ("used_bytes", "number", json!(1_600_000), "1.5 MiB"),
            ("sessions", "number", json!(7), "7"),
            ("catch_all", "text", Value::Null, ""),
        ] {
            assert_eq!(shown(&column(name, kind), Some(&value)), expected, "{name}");
        }
        assert_eq!(plain(Some(&json!(["a", "b"]))), "a\nb");
    }

    #[test]
    fn no_formula_reaches_a_spreadsheet() {
        for (value, expected) in [
            (json!("=1+1"), "'=1+1"),
            (json!("@SUM(A1)"), "'@SUM(A1)"),
            (json!(["-1"]), "'-1"),
            (json!(-5), "-5"),
            (json!("alice"), "alice"),
        ] {
            assert_eq!(cell(Some(&value)), expected);
        }
    }
}
