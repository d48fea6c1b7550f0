//! The overview: what the server does now, and what it has done in the last hour, day or month. The page is made of one answer of
//! the database (`logic.overview`), which was counted beforehand: it does not become slower with the mail that there is.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{self, Fault};
use super::super::chart::{Bar, Bars, Chart, OverTime, Series, Unit};
use super::list::{address, row_address};
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::tables::Kind;

/// Times to look at, and what they are called.
const SPANS: [(&str, &str); 3] = [("hour", "Last hour"), ("day", "Last day"), ("month", "Last 30 days")];
/// A certificate that ends in less than so many days is worth a look.
const SOON: f64 = 21.0;

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct OverviewPage<'a> {
    frame: &'a Frame,
    title: String,
    /// Address, name, and whether it is the one that is shown.
    spans: Vec<(String, &'static str, bool)>,
    /// What to do first, where there is nothing to show yet.
    begin: Vec<Begin>,
    /// What needs attention: words, and where to go.
    wrong: Vec<(String, String)>,
    groups: Vec<(&'static str, Vec<Tile>)>,
    charts: Vec<Chart>,
    certificates: Vec<CertificateRow>,
    missing: Vec<MissingRow>,
}

/// A number with what it means.
#[derive(Debug, Default)]
struct Tile {
    label: String,
    value: String,
    note: String,
    /// The list that shows what is counted.
    link: Option<String>,
}

/// A step of a new installation.
struct Begin {
    done: bool,
    text: &'static str,
    link: &'static str,
    label: &'static str,
}

struct CertificateRow {
    names: String,
    link: String,
    ends: String,
    left: String,
    grave: bool,
}

struct MissingRow {
    name: String,
    kind: String,
    content: String,
    link: String,
}

/// What `logic.overview` and `logic.overview_of_domain` tell.
#[derive(Deserialize)]
struct Told {
    domain: Option<String>,
    from: f64,
    step: f64,
    steps: u16,
    now: f64,
    /// When, which step, how often, how many messages, how many bytes.
    traffic: Vec<(f64, String, f64, f64, f64)>,
    #[serde(default)]
    gauges: Vec<(f64, String, f64)>,
    queue: Option<Queue>,
    #[serde(default)]
    per_second: f64,
    sessions: Vec<(String, f64)>,
    #[serde(default)]
    services: BTreeMap<String, bool>,
    #[serde(default)]
    failed: Vec<String>,
    #[serde(default)]
    storage: Vec<(i64, String, f64)>,
    /// Bytes and messages, and accounts of the whole server.
    stored: Option<Vec<f64>>,
    accounts: Option<f64>,
    #[serde(default)]
    growth: Vec<(f64, f64)>,
    #[serde(default)]
    destinations: Vec<(String, f64)>,
    #[serde(default)]
    certificates: Vec<(i64, String, Option<f64>, Option<String>)>,
    dns: Records,
    #[serde(default)]
    missing: Vec<(i64, i32, String, String, String)>,
    begun: Option<Begun>,
}

#[derive(Deserialize)]
struct Queue {
    waiting: f64,
    held: f64,
    oldest_seconds: f64,
}

/// DNS records that are needed or recommended.
#[derive(Deserialize)]
struct Records {
    checked: f64,
    missing: f64,
    differs: f64,
    unknown: f64,
}

#[derive(Deserialize)]
struct Begun {
    hostname: bool,
    domain: bool,
    account: bool,
    dns: bool,
    mail: bool,
}

/// The page, for ?span=hour, day or month.
pub(super) async fn show(
    admin: Admin,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let whole = matches!(admin.who.kind, Kind::System | Kind::Auditor);
    let asked = field(&fields, "span");
    let span = SPANS.into_iter().map(|(name, _)| name).find(|name| *name == asked).unwrap_or("day");
    let told = admin.site.tables.overview(&admin.who, span).await?;
    let frame = admin.framed(told.get("pages").unwrap_or(&json!([])), "overview");
    let told: Told = serde_json::from_value(told)
        .map_err(|error| Error::Fault(format!("the overview is told in another way: {error}")))?;
    let begin = told.begun.as_ref().filter(|begun| !begun.mail).map(begin).unwrap_or_default();
    let template = OverviewPage {
        frame: &frame,
        title: told.domain.clone().unwrap_or_else(|| "Overview".to_owned()),
        spans: SPANS
            .into_iter()
            .filter(|_| whole)
            .map(|(name, label)| {
                let fields = [("span".to_owned(), name.to_owned())];
                (address("/admin/overview", &fields), label, name == span)
            })
            .collect(),
        wrong: told.wrong(),
        groups: if whole { told.tiles() } else { told.domain_tiles() },
        charts: match (begin.is_empty(), whole) {
            (true, true) => told.charts(),
            (true, false) => told.domain_charts(),
            (false, _) => Vec::new(),
        },
        certificates: told.certificates.iter().map(|row| told.certificate(row)).collect(),
        missing: told.missing.iter().map(missing).collect(),
        begin,
    };
    Ok(answer::page(&template))
}

/// What a new installation needs, in this order.
fn begin(begun: &Begun) -> Vec<Begin> {
    vec![
        Begin {
            done: begun.hostname,
            text: "Give the server the name by which others find it",
            link: "/admin/page/server",
            label: "Server settings",
        },
        Begin {
            done: begun.domain,
            text: "Make the domain whose mail is kept here",
            link: "/admin/page/domain",
            label: "Domains",
        },
        Begin { done: begun.account, text: "Make its users", link: "/admin/page/account", label: "Users" },
        Begin {
            done: begun.dns,
            text: "Publish its DNS records: which ones, the server says when it has its name and the domain",
            link: "/admin/page/dns_record",
            label: "DNS records",
        },
        Begin {
            done: begun.mail,
            text: "Send a first message to one of them: what became of it is in the trace",
            link: "/admin/page/trace",
            label: "Trace",
        },
    ]
}

/// The list of a page, filtered.
fn list(page: &str, filters: &[(&str, &str)]) -> Option<String> {
    let fields: Vec<(String, String)> =
        filters.iter().map(|(name, value)| (format!("is.{name}"), (*value).to_owned())).collect();
    Some(address(&format!("/admin/page/{page}"), &fields))
}

fn row(page: &str, key: &serde_json::Value) -> String {
    row_address(page, &key.to_string())
}

fn missing((domain, place, name, kind, content): &(i64, i32, String, String, String)) -> MissingRow {
    MissingRow {
        name: name.clone(),
        kind: kind.clone(),
        content: content.clone(),
        link: row("dns_record", &json!({ "domain_id": domain, "place": place })),
    }
}

impl Told {
    /// How often these steps were, in the whole time.
    fn count(&self, steps: &[&str]) -> f64 {
        self.traffic.iter().filter(|(_, step, ..)| steps.contains(&step.as_str())).map(|row| row.2).sum()
    }

    /// When each point is.
    fn times(&self) -> Vec<Timestamp> {
        let second = |at: u16| self.from + self.step * f64::from(at);
        (0..self.steps).filter_map(|at| Timestamp::from_second(second(at) as i64).ok()).collect()
    }

    fn place(&self, at: f64) -> usize {
        ((at - self.from) / self.step).round().max(0.0) as usize
    }

    /// A line of what was counted: where nothing was, it is 0.
    fn counted(
        &self,
        label: &str,
        steps: &[&str],
        number: impl Fn(&(f64, String, f64, f64, f64)) -> f64,
    ) -> Series {
        let mut values = vec![Some(0.0); usize::from(self.steps)];
        for row in self.traffic.iter().filter(|row| steps.contains(&row.1.as_str())) {
            if let Some(Some(value)) = values.get_mut(self.place(row.0)) {
                *value += number(row);
            }
        }
        Series { label: label.to_owned(), values }
    }

    /// A line of what was looked at: where nobody looked, there is none.
    fn looked_at(&self, label: &str, name: &str) -> Series {
        let mut values = vec![None; usize::from(self.steps)];
        for (at, _, value) in self.gauges.iter().filter(|row| row.1 == name) {
            if let Some(place) = values.get_mut(self.place(*at)) {
                *place = Some(*value);
            }
        }
        Series { label: label.to_owned(), values }
    }

    /// What needs attention.
    fn wrong(&self) -> Vec<(String, String)> {
        let services = "/admin/page/service".to_owned();
        let mut wrong: Vec<(String, String)> =
            self.failed.iter().map(|words| (words.clone(), services.clone())).collect();
        for (id, names, ends, error) in &self.certificates {
            let days = ends.map(|ends| (ends - self.now) / 86_400.0);
            let words = match (error, days) {
                (Some(error), _) => format!("certificate {names}: {error}"),
                (None, Some(days)) if days <= 0.0 => format!("certificate {names} has expired"),
                _ => continue,
            };
            wrong.push((words, row("certificate", &json!({ "id": id }))));
        }
        wrong
    }

    fn certificate(
        &self,
        (id, names, ends, error): &(i64, String, Option<f64>, Option<String>),
    ) -> CertificateRow {
        let left = ends.map(|ends| (ends - self.now) / 86_400.0);
        let date = ends.and_then(|ends| Timestamp::from_second(ends as i64).ok());
        CertificateRow {
            names: names.clone(),
            link: row("certificate", &json!({ "id": id })),
            ends: date.map_or("not read yet".to_owned(), |date| date.strftime("%Y-%m-%d").to_string()),
            left: match (error, left) {
                (Some(error), _) => error.clone(),
                (None, Some(days)) => format!("{} days left", days.floor()),
                (None, None) => String::new(),
            },
            grave: error.is_some() || left.is_some_and(|days| days < SOON),
        }
    }

    fn tiles(&self) -> Vec<(&'static str, Vec<Tile>)> {
        let number = |label: &str, value: f64, note: &str, link: Option<String>| Tile {
            label: label.to_owned(),
            value: Unit::Count.text(value),
            note: note.to_owned(),
            link,
        };
        let trace = |step: &str| list("trace", &[("step", step)]);
        let attempts = |outcome: &str| list("attempt", &[("outcome", outcome)]);
        let accepted = self.counted("", &["accepted"], |row| row.3).values.iter().flatten().sum();
        let bytes: f64 = self.counted("", &["accepted"], |row| row.4).values.iter().flatten().sum();
        // What nobody looks for is not 0: it is not known.
        let found = |label: &str, step: &'static str, service: &str| match self.services.get(service) {
            Some(true) => number(label, self.count(&[step]), "", trace(step)),
            _ => Tile {
                label: label.to_owned(),
                value: "–".to_owned(),
                note: format!("{service} is off"),
                link: list("service", &[]),
            },
        };
        let mail = vec![
            number("Messages in", accepted, &Unit::Bytes.text(bytes), trace("accepted")),
            number("Put into mailboxes", self.count(&["placed"]), "", trace("placed")),
            number("Delivered elsewhere", self.count(&["delivered"]), "", attempts("delivered")),
            number("Refused", self.count(&["refused"]), "", trace("refused")),
            number("Delayed", self.count(&["delayed"]), "tried again later", attempts("delayed")),
            number("Failed", self.count(&["failed", "expired"]), "", attempts("failed")),
            found("Junk", "junk", "antispam"),
            found("Virus", "virus", "antivirus"),
        ];
        let mut now = Vec::new();
        if let Some(queue) = &self.queue {
            now.push(number(
                "Waiting in the queue",
                queue.waiting,
                "",
                list("delivery", &[("state", "waiting")]),
            ));
            if queue.held > 0.0 {
                now.push(number("Held", queue.held, "", list("delivery", &[("state", "held")])));
            }
            now.push(Tile {
                label: "Oldest in the queue".to_owned(),
                value: if queue.oldest_seconds > 0.0 {
                    Unit::Seconds.text(queue.oldest_seconds)
                } else {
                    "–".to_owned()
                },
                note: String::new(),
                link: Some("/admin/page/delivery?by=received_at&way=up".to_owned()),
            });
        }
        now.push(Tile {
            label: "Deliveries per second".to_owned(),
            value: Unit::PerSecond.text(self.per_second),
            note: "here and elsewhere".to_owned(),
            link: None,
        });
        now.extend(self.session_tiles(true));
        let stored = |at: usize| self.stored.as_ref().and_then(|all| all.get(at)).copied().unwrap_or(0.0);
        let kept = vec![
            Tile {
                label: "Storage".to_owned(),
                value: Unit::Bytes.text(stored(0)),
                note: format!("{} messages", Unit::Count.text(stored(1))),
                link: list("domain", &[]),
            },
            number("Users", stored(2), "", list("account", &[])),
            self.dns_tile(),
        ];
        vec![("Mail", mail), ("Now", now), ("What is here", kept)]
    }

    fn session_tiles(&self, whole: bool) -> Vec<Tile> {
        // Where somebody looks at this page, there is a session of the web; of the others 0 is worth knowing.
        let mut sessions: BTreeMap<&str, f64> = match whole {
            true => ["smtp", "imap", "pop3", "webmail"].map(|service| (service, 0.0)).into(),
            false => BTreeMap::new(),
        };
        sessions.extend(self.sessions.iter().map(|(service, count)| (service.as_str(), *count)));
        let tile = |(service, count): (&str, f64)| Tile {
            label: format!("Sessions: {service}"),
            value: Unit::Count.text(count),
            note: String::new(),
            link: list("session", &[("service", service)]),
        };
        sessions.into_iter().map(tile).collect()
    }

    fn dns_tile(&self) -> Tile {
        let Records { checked, missing, differs, unknown } = &self.dns;
        let mut notes = Vec::new();
        for (count, what) in [(differs, "differ"), (unknown, "not known")] {
            if *count > 0.0 {
                notes.push(format!("{count} {what}"));
            }
        }
        let state = if *missing > 0.0 { Some(("state", "missing")) } else { None };
        Tile {
            label: "DNS records missing".to_owned(),
            value: if *checked > 0.0 { Unit::Count.text(*missing) } else { "–".to_owned() },
            note: if *checked > 0.0 { notes.join(", ") } else { "not looked for yet".to_owned() },
            link: list("dns_record", state.as_slice()),
        }
    }

    fn charts(&self) -> Vec<Chart> {
        let over_time = |id, title, unit, series, filled| {
            OverTime { id, title, unit, times: self.times(), series, filled }.draw()
        };
        let count = |label, steps: &[&str]| self.counted(label, steps, |row| row.2);
        let services: Vec<&str> = self
            .gauges
            .iter()
            .filter_map(|row| row.1.strip_prefix("sessions."))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        let sessions =
            services.iter().map(|service| self.looked_at(service, &format!("sessions.{service}"))).collect();
        let bar =
            |link: Option<String>, label: &str, value: f64| Bar { label: label.to_owned(), value, link };
        vec![
            over_time(
                "chart-mail",
                "Mail",
                Unit::Count,
                vec![
                    self.counted("messages in", &["accepted"], |row| row.3),
                    count("put into mailboxes", &["placed"]),
                    count("delivered elsewhere", &["delivered"]),
                ],
                true,
            ),
            over_time(
                "chart-trouble",
                "Refused, delayed, failed",
                Unit::Count,
                vec![
                    count("refused", &["refused"]),
                    count("delayed", &["delayed"]),
                    count("failed", &["failed", "expired"]),
                ],
                false,
            ),
            over_time(
                "chart-bytes",
                "Bytes accepted",
                Unit::Bytes,
                vec![self.counted("bytes accepted", &["accepted"], |row| row.4)],
                true,
            ),
            over_time(
                "chart-queue",
                "Queue",
                Unit::Count,
                vec![self.looked_at("waiting", "queue.waiting"), self.looked_at("held", "queue.held")],
                true,
            ),
            over_time(
                "chart-oldest",
                "Age of the oldest message in the queue",
                Unit::Seconds,
                vec![self.looked_at("age", "queue.oldest_seconds")],
                false,
            ),
            over_time("chart-sessions", "Sessions", Unit::Count, sessions, false),
            Bars {
                id: "chart-storage",
                title: "Storage by domain",
                unit: Unit::Bytes,
                named: "Domain",
                bars: self
                    .storage
                    .iter()
                    .map(|(id, name, bytes)| bar(Some(row("domain", &json!({ "id": id }))), name, *bytes))
                    .collect(),
            }
            .draw(),
            Bars {
                id: "chart-slowest",
                title: if self.step < 3600.0 {
                    "Slowest destinations of the last hour: time of an attempt"
                } else {
                    "Slowest destinations since yesterday: time of an attempt"
                },
                unit: Unit::Seconds,
                named: "Domain",
                bars: self
                    .destinations
                    .iter()
                    .map(|(name, mean)| bar(list("delivery", &[("domain", name)]), name, *mean))
                    .collect(),
            }
            .draw(),
        ]
    }

    fn domain_tiles(&self) -> Vec<(&'static str, Vec<Tile>)> {
        let number = |label: &str, value: f64, note: String, link: Option<String>| Tile {
            label: label.to_owned(),
            value: Unit::Count.text(value),
            note,
            link,
        };
        let stored = |at: usize| self.stored.as_ref().and_then(|all| all.get(at)).copied().unwrap_or(0.0);
        let sent: f64 = self.counted("", &["submitted"], |row| row.4).values.iter().flatten().sum();
        let mail = vec![
            number("Put into mailboxes", self.count(&["placed"]), String::new(), None),
            number("Sent by users", self.count(&["submitted"]), Unit::Bytes.text(sent), None),
        ];
        let mut kept = vec![
            number("Users", self.accounts.unwrap_or(0.0), String::new(), list("account", &[])),
            Tile {
                label: "Storage".to_owned(),
                value: Unit::Bytes.text(stored(0)),
                note: format!("{} messages", Unit::Count.text(stored(1))),
                link: list("account", &[]),
            },
        ];
        kept.extend(self.session_tiles(false));
        kept.push(self.dns_tile());
        vec![("Mail", mail), ("Now", kept)]
    }

    fn domain_charts(&self) -> Vec<Chart> {
        let times = |second: &f64| Timestamp::from_second(*second as i64).unwrap_or_default();
        vec![
            OverTime {
                id: "chart-mail",
                title: "Mail",
                unit: Unit::Count,
                times: self.times(),
                series: vec![
                    self.counted("put into mailboxes", &["placed"], |row| row.2),
                    self.counted("sent by users", &["submitted"], |row| row.2),
                ],
                filled: true,
            }
            .draw(),
            OverTime {
                id: "chart-storage",
                title: "Storage",
                unit: Unit::Bytes,
                times: self.growth.iter().map(|(second, _)| times(second)).collect(),
                series: vec![Series {
                    label: "storage".to_owned(),
                    values: self.growth.iter().map(|(_, bytes)| Some(*bytes)).collect(),
                }],
                filled: true,
            }
            .draw(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(more: serde_json::Value) -> Told {
        let mut value = json!({
            "from": 600.0, "step": 60.0, "steps": 3, "now": 750.0, "sessions": [["imap", 2]],
            "traffic": [[600.0, "placed", 6, 6, 0], [660.0, "placed", 60, 60, 0], [720.0, "delivered", 30, 0, 10]],
            "dns": { "checked": 0, "missing": 0, "differs": 0, "unknown": 0 }
        });
        if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
            value.extend(more.clone());
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_was_counted_stands_at_its_time() {
        let told = told(json!({ "gauges": [[660.0, "queue.waiting", 4], [9000.0, "queue.waiting", 9]] }));
        assert_eq!(told.counted("", &["placed"], |row| row.2).values, [Some(6.0), Some(60.0), Some(0.0)]);
        assert_eq!(told.looked_at("", "queue.waiting").values, [None, Some(4.0), None]);
        assert_eq!(told.count(&["placed", "delivered"]), 96.0);
    }

    #[test]
    fn certificates_that_end_are_named() {
        let told = told(json!({ "certificates": [
            [1, "old.test", 700.0, null], [2, "good.test", 5_000_000.0, null], [3, "bad.test", null, "it is empty"]
        ] }));
        let wrong = told.wrong();
        let words: Vec<&str> = wrong.iter().map(|(words, _)| words.as_str()).collect();
        assert_eq!(words, ["certificate old.test has expired", "certificate bad.test: it is empty"]);
        let rows: Vec<(String, bool)> = told
            .certificates
            .iter()
            .map(|row| told.certificate(row))
            .map(|row| (row.left, row.grave))
            .collect();
        assert_eq!(
            rows,
            [
                ("-1 days left".to_owned(), true),
                ("57 days left".to_owned(), false),
                ("it is empty".to_owned(), true)
            ]
        );
    }

    #[test]
    fn what_nobody_looks_for_is_not_zero() {
        let told = told(json!({ "services": { "antispam": true, "antivirus": false } }));
        let tiles = told.tiles();
        let tile = |label: &str| {
            tiles
                .iter()
                .flat_map(|(_, tiles)| tiles)
                .find(|tile| tile.label == label)
                .map(|tile| tile.value.as_str())
        };
        assert_eq!(
            (tile("Junk"), tile("Virus"), tile("DNS records missing")),
            (Some("0"), Some("–"), Some("–"))
        );
        assert_eq!((tile("Sessions: imap"), tile("Sessions: smtp")), (Some("2"), Some("0")));
    }
}
