//! The queue on one page: how much waits in each state, for each destination and since when, and buttons for all of it at once.
//!
//! A button says how many recipients it is for, and does its work in one statement for at most [`AT_ONCE`] of them. Cancelling
//! asks first.

use askama::Template;
use axum::Form;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::Value;

use super::super::answer::{self, Fault};
use super::list::address;
use super::value::time;
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::tables::{Kind, Selection};

/// Recipients that a button works on at once.
const AT_ONCE: i32 = 10_000;
/// Destinations that are shown.
const DESTINATIONS: i32 = 100;
/// Characters of a reply that are shown.
const REPLY: usize = 300;

#[derive(Template)]
#[template(path = "admin/queue.html")]
struct QueuePage<'a> {
    frame: &'a Frame,
    states: Vec<State>,
    ages: Vec<Age>,
    destinations: Vec<Destination>,
    all_destinations: i64,
    words: &'a str,
    may_act: bool,
    said: &'a str,
    wrong: &'a str,
}

#[derive(Template)]
#[template(path = "admin/queue_confirm.html")]
struct ConfirmPage<'a> {
    frame: &'a Frame,
    what: String,
    recipients: String,
    messages: String,
    domain: &'a str,
    state: &'a str,
    at_once: Option<String>,
}

/// A button: its name, and what it says.
struct Button {
    action: &'static str,
    label: String,
    grave: bool,
}

struct State {
    state: String,
    count: String,
    address: String,
    buttons: Vec<Button>,
}

struct Age {
    label: &'static str,
    count: String,
    address: String,
}

struct Destination {
    domain: String,
    /// Count and link; nothing where there are none.
    waiting: (String, String),
    held: (String, String),
    next: String,
    reply: String,
    replied: String,
    down: String,
    buttons: Vec<Button>,
}

/// What the database counts.
#[derive(Deserialize)]
struct Counts {
    states: Vec<StateCount>,
    ages: Vec<AgeCount>,
    destinations: Vec<DestinationCount>,
    all_destinations: i64,
}

#[derive(Deserialize)]
struct StateCount {
    state: String,
    count: i64,
}

#[derive(Deserialize)]
struct AgeCount {
    bucket: i32,
    from: Option<String>,
    until: Option<String>,
    count: i64,
}

#[derive(Deserialize)]
struct DestinationCount {
    domain: String,
    waiting: i64,
    held: i64,
    failed: i64,
    next_attempt_at: Option<String>,
    last_reply: Option<String>,
    last_attempt_at: Option<String>,
    down_until: Option<String>,
    down_reason: Option<String>,
}

#[derive(Deserialize)]
struct Selected {
    recipients: i64,
    messages: i64,
}

pub(super) async fn show(
    admin: Admin,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    page(&admin, &fields, StatusCode::OK, "").await
}

async fn page(
    admin: &Admin,
    fields: &[(String, String)],
    status: StatusCode,
    wrong: &str,
) -> Result<Response, Fault> {
    let words: String = field(fields, "q").chars().take(200).collect();
    let counts = admin.site.tables.queue_counts(&admin.who, &words, DESTINATIONS).await?;
    let counts: Counts = read(counts)?;
    let template = QueuePage {
        frame: &admin.frame("queue").await?,
        states: counts.states.into_iter().map(state).collect(),
        ages: counts.ages.into_iter().map(age).collect(),
        destinations: counts.destinations.into_iter().map(destination).collect(),
        all_destinations: counts.all_destinations,
        words: &words,
        may_act: admin.who.kind == Kind::System,
        said: field(fields, "said"),
        wrong,
    };
    Ok(answer::page_with(status, &template))
}

fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Fault> {
    serde_json::from_value(answer)
        .map_err(|error| Error::Fault(format!("the queue is described in another way: {error}")).into())
}

/// The list of what waits, with these filters.
fn list(filters: &[(&str, &str)]) -> String {
    let filters: Vec<(String, String)> =
        filters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    address("/admin/page/delivery", &filters)
}

/// The buttons that make sense where so many wait, are held, have failed.
fn buttons(waiting: i64, held: i64, failed: i64) -> Vec<Button> {
    let all = waiting + held + failed;
    let offered = [
        ("retry", "Retry", waiting + failed, false),
        ("hold", "Hold", waiting, false),
        ("release", "Release", held, false),
        ("cancel", "Cancel", all, true),
    ];
    let offered = offered.into_iter().filter(|(_, _, count, _)| *count > 0);
    offered
        .map(|(action, verb, count, grave)| Button {
            action,
            label: format!("{verb} {}{}", if count == all { "all " } else { "" }, number(count)),
            grave,
        })
        .collect()
}

fn state(counted: StateCount) -> State {
    let StateCount { state, count } = counted;
    let of = |name: &str| if state == name { count } else { 0 };
    State {
        buttons: buttons(of("waiting"), of("held"), of("failed")),
        count: number(count),
        address: list(&[("is.state", &state)]),
        state,
    }
}

fn age(counted: AgeCount) -> Age {
    let bound = |time: Option<String>| time.unwrap_or_default();
    Age {
        label: match counted.bucket {
            5 => "less than an hour",
            4 => "1 to 6 hours",
            3 => "6 hours to a day",
            2 => "1 to 5 days",
            _ => "more than 5 days",
        },
        count: number(counted.count),
        address: list(&[
            ("from.received_at", &bound(counted.from)),
            ("until.received_at", &bound(counted.until)),
        ]),
    }
}

fn destination(counted: DestinationCount) -> Destination {
    let domain = counted.domain;
    let link =
        |state: &str, count: i64| (number(count), list(&[("is.domain", &domain), ("is.state", state)]));
    let short = |text: Option<String>| text.unwrap_or_default().chars().take(REPLY).collect::<String>();
    Destination {
        waiting: link("waiting", counted.waiting),
        held: link("held", counted.held),
        next: counted.next_attempt_at.as_deref().map(time).unwrap_or_default(),
        reply: short(counted.last_reply),
        replied: counted.last_attempt_at.as_deref().map(time).unwrap_or_default(),
        down: counted.down_until.map_or(String::new(), |until| {
            format!("nothing is tried until {}: {}", time(&until), short(counted.down_reason))
        }),
        buttons: buttons(counted.waiting, counted.held, counted.failed),
        domain,
    }
}

/// A number with its thousands apart.
pub(super) fn number(count: i64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of the queue in words.
fn words(of: &Selection) -> String {
    let state = of.state.as_deref().map_or(String::new(), |state| format!(" that is {state}"));
    let domain = of.domain.as_deref().map_or(String::new(), |domain| format!(" for {domain}"));
    format!("mail{domain}{state}")
}

/// A button was pressed.
pub(super) async fn act(admin: Admin, Form(fields): Form<Vec<(String, String)>>) -> Result<Response, Fault> {
    if !admin.knows(field(&fields, "form")) {
        return Ok(answer::refused("this form is not of your session: load the page again"));
    }
    let given = |name: &str| Some(field(&fields, name).to_owned()).filter(|value| !value.is_empty());
    let of = Selection { domain: given("domain"), state: given("state") };
    let action = field(&fields, "do");
    let tables = &admin.site.tables;
    if action == "cancel"
        && admin.who.kind == Kind::System
        && field(&fields, "sure") != "yes"
        && of != Selection::default()
    {
        let selected: Selected = read(tables.queue_selection(&admin.who, &of).await?)?;
        let template = ConfirmPage {
            frame: &admin.frame("queue").await?,
            what: words(&of),
            recipients: number(selected.recipients),
            messages: number(selected.messages),
            domain: of.domain.as_deref().unwrap_or_default(),
            state: of.state.as_deref().unwrap_or_default(),
            at_once: (selected.recipients > i64::from(AT_ONCE)).then(|| number(i64::from(AT_ONCE))),
        };
        return Ok(answer::page(&template));
    }
    let done = tables.queue_act(&admin.who, action, &of, AT_ONCE).await?;
    if let Some(wrong) = done.get("wrong").and_then(Value::as_str) {
        return page(&admin, &[], StatusCode::UNPROCESSABLE_ENTITY, wrong).await;
    }
    let count = done.get("done").and_then(Value::as_i64).unwrap_or(0);
    let verb = match action {
        "retry" => "tried now",
        "hold" => "held",
        "release" => "released, and tried now",
        _ => "cancelled",
    };
    let recipients =
        if count == 1 { "1 recipient is".to_owned() } else { format!("{} recipients are", number(count)) };
    let mut said = format!("{}: {recipients} {verb}.", words(&of));
    if done.get("more").and_then(Value::as_bool) == Some(true) {
        said.push_str(" There is more: press the button again.");
    }
    let address = address("/admin/queue", &[("said".to_owned(), said)]);
    Ok(Redirect::to(&address).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buttons_say_how_many_they_are_for() {
        let labels = |waiting, held, failed| -> Vec<String> {
            buttons(waiting, held, failed).into_iter().map(|button| button.label).collect()
        };
        assert_eq!(
            labels(1234567, 0, 0),
            ["Retry all 1,234,567", "Hold all 1,234,567", "Cancel all 1,234,567"]
        );
        assert_eq!(labels(2, 3, 0), ["Retry 2", "Hold 2", "Release 3", "Cancel all 5"]);
        assert!(labels(0, 0, 0).is_empty());
    }
}
