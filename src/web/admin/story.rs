//! The story of one message: who brought it, what was found, where it went, each attempt, and who held or released it.
//!
//! All of it was said by others (addresses, replies, the header) and is shown as text.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::super::answer::{self, Fault};
use super::list::{address, row_address};
use super::value::{bytes, time};
use super::{Admin, Frame};
use crate::db::Error;

#[derive(Template)]
#[template(path = "admin/story.html")]
struct StoryPage<'a> {
    frame: &'a Frame,
    message: &'a str,
    facts: Vec<(&'static str, String)>,
    session: Option<String>,
    steps: Vec<Line>,
    waiting: Vec<Recipient>,
    header: String,
    may_act: bool,
}

/// One step, as people read it.
struct Line {
    at: String,
    step: String,
    recipient: String,
    what: String,
    said: String,
}

/// A recipient that is in the queue.
struct Recipient {
    row: String,
    address: String,
    state: String,
    attempts: i64,
    next: String,
    reply: String,
}

/// What the database tells.
#[derive(Deserialize)]
struct Story {
    facts: Facts,
    steps: Vec<Step>,
    waiting: Vec<Waiting>,
    verdict: Option<String>,
    header: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Facts {
    at: Option<String>,
    sender: Option<String>,
    peer: Option<String>,
    size: Option<u64>,
    message_id: Option<String>,
    session_id: Option<i64>,
}

#[derive(Deserialize)]
struct Step {
    at: String,
    step: String,
    command: Option<String>,
    recipient: Option<String>,
    reply: Option<String>,
    peer: Option<String>,
    host: Option<String>,
    tls: Option<String>,
    attempt: Option<i64>,
    milliseconds: Option<i64>,
    account: Option<String>,
    mailbox: Option<String>,
    uid: Option<i64>,
    node: Option<String>,
}

#[derive(Deserialize)]
struct Waiting {
    id: i64,
    address: String,
    state: String,
    attempts: i64,
    next_attempt_at: Option<String>,
    last_reply: Option<String>,
}

/// Where the story of a message is.
pub(super) fn message_address(message: &str) -> String {
    let part: String = form_urlencoded::byte_serialize(message.as_bytes()).collect();
    // As a query has it, but for the space: so it is right in a path as well.
    format!("/admin/message/{}", part.replace('+', "%20"))
}

pub(super) async fn show(admin: Admin, Path(message): Path<String>) -> Result<Response, Fault> {
    // No text of the database has it.
    if message.contains('\0') {
        return Ok(answer::not_found());
    }
    let story = admin.site.tables.story(&admin.who, &message).await?;
    if story.is_null() {
        return Ok(answer::not_found());
    }
    let story: Story = serde_json::from_value(story)
        .map_err(|error| Error::Fault(format!("a message is described in another way: {error}")))?;
    let Story { facts, steps, waiting, verdict, header } = story;
    let sees_queue = admin.who.kind != crate::tables::Kind::Domain;
    let session = facts.session_id.zip(facts.at.as_deref()).filter(|_| sees_queue);
    let session = session.map(|(session, at)| events_of(session, at));
    let template = StoryPage {
        frame: &admin.frame("find").await?,
        message: &message,
        facts: told(facts, verdict),
        session,
        steps: steps.into_iter().map(line).collect(),
        waiting: waiting.into_iter().map(recipient).collect(),
        header: header.map(|header| readable(&header)).unwrap_or_default(),
        may_act: sees_queue,
    };
    Ok(answer::page(&template))
}

/// The events of the session that brought it: around that time, so that not all of the log is read.
fn events_of(session: i64, at: &str) -> String {
    let mut fields = vec![("is.session_id".to_owned(), session.to_string())];
    if let Some(at) = super::filter::moment(at) {
        let around = jiff::SignedDuration::from_hours(6);
        let (from, until) = (at - around, at + around);
        fields.push(("from.at".to_owned(), from.to_string()));
        fields.push(("until.at".to_owned(), until.to_string()));
    }
    address("/admin/page/event", &fields)
}

fn told(facts: Facts, verdict: Option<String>) -> Vec<(&'static str, String)> {
    let sender =
        facts.sender.map(|sender| if sender.is_empty() { "nobody (a report)".to_owned() } else { sender });
    let told = [
        ("From", sender),
        ("Brought by", facts.peer),
        ("Begun at", facts.at.as_deref().map(time)),
        ("Size", facts.size.map(bytes)),
        ("Message-ID", facts.message_id),
        ("What was found", verdict),
    ];
    told.into_iter().filter_map(|(label, value)| Some((label, value?))).collect()
}

fn line(step: Step) -> Line {
    let server = match (step.host.as_deref(), step.peer.as_deref()) {
        (Some(host), Some(peer)) => format!("{host} [{peer}]"),
        (host, peer) => host.or(peer).unwrap_or_default().to_owned(),
    };
    let with = |words: &str| if server.is_empty() { String::new() } else { format!("{words} {server}") };
    let mut what = match step.step.as_str() {
        "accepted" => {
            let account = step.account.as_ref().map(|account| format!(", logged in as {account}"));
            format!("{}{}", with("from"), account.unwrap_or_default())
        }
        "refused" => {
            let command = step.command.as_ref().map(|command| format!("at {command} "));
            format!("{}{}", command.unwrap_or_default(), with("from"))
        }
        "placed" => {
            let mailbox = step.mailbox.as_deref().unwrap_or("a mailbox that is gone");
            let uid = step.uid.map(|uid| format!(", UID {uid}")).unwrap_or_default();
            let of = step.account.as_ref().map(|account| format!(" of {account}")).unwrap_or_default();
            format!("in {mailbox}{of}{uid}")
        }
        _ => with("by"),
    };
    let mut more = Vec::new();
    more.extend(step.attempt.filter(|attempt| *attempt > 0).map(|attempt| format!("attempt {attempt}")));
    more.extend(step.tls);
    more.extend(step.milliseconds.filter(|time| *time > 0).map(|time| format!("{time} ms")));
    more.extend(step.node.filter(|node| !node.is_empty()).map(|node| format!("node {node}")));
    if !more.is_empty() {
        let gap = if what.is_empty() { "" } else { "; " };
        what = format!("{what}{gap}{}", more.join(", "));
    }
    Line {
        at: time(&step.at),
        step: step.step,
        recipient: step.recipient.unwrap_or_default(),
        what,
        said: step.reply.unwrap_or_default(),
    }
}

fn recipient(waiting: Waiting) -> Recipient {
    Recipient {
        row: row_address("delivery", &serde_json::json!({ "id": waiting.id }).to_string()),
        address: waiting.address,
        state: waiting.state,
        attempts: waiting.attempts,
        next: waiting.next_attempt_at.as_deref().map(time).unwrap_or_default(),
        reply: waiting.last_reply.unwrap_or_default(),
    }
}

/// A header as text, whatever bytes it has.
fn readable(base64: &str) -> String {
    let clean: String = base64.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(clean).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\r', "").replace('\0', "\u{fffd}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_words() {
        let step = |json: serde_json::Value| line(serde_json::from_value(json).unwrap());
        let delayed = step(serde_json::json!({
            "at": "2026-11-26T03:09:42.883331+00:00", "step": "delayed", "recipient": "b@far.test", "reply": "450 later",
            "host": "mx.far.test", "peer": "192.0.2.1", "attempt": 2, "milliseconds": 40, "node": "one"
        }));
        assert_eq!(delayed.what, "by mx.far.test [192.0.2.1]; attempt 2, 40 ms, node one");
        assert_eq!((delayed.at.as_str(), delayed.said.as_str()), ("2026-11-26 03:09:42", "450 later"));
        let placed = step(serde_json::json!({
            "at": "", "step": "placed", "account": "a@x.test", "mailbox": "INBOX", "uid": 7
        }));
        assert_eq!(placed.what, "in INBOX of a@x.test, UID 7");
        let held = step(serde_json::json!({ "at": "", "step": "held", "reply": "held by root", "node": "" }));
        assert_eq!((held.what.as_str(), held.said.as_str()), ("", "held by root"));
    }

    #[test]
    fn any_header_is_text() {
        assert_eq!(readable(&STANDARD.encode(b"A: \xff\r\nB: \0\r\n\r\n")), "A: \u{fffd}\nB: \u{fffd}");
        assert_eq!(readable("!"), "");
        assert_eq!(message_address("a b/c-1"), "/admin/message/a%20b%2Fc-1");
    }
}
