//! Messages are found by their sender, a recipient, Message-ID, client and time.

use std::net::IpAddr;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::super::answer::{self, Fault};
use super::filter::{moment, typed};
use super::story::message_address;
use super::value::time;
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::tables::{Kind, Sought};

/// Messages that are shown.
const AT_ONCE: i32 = 100;
/// Characters of what is looked for; nothing longer is in the trace.
const LONGEST: usize = 500;

#[derive(Template)]
#[template(path = "admin/find.html")]
struct FindPage<'a> {
    frame: &'a Frame,
    own_domain: bool,
    sender: &'a str,
    no_sender: bool,
    recipient: &'a str,
    message_id: &'a str,
    peer: &'a str,
    from: String,
    until: String,
    /// Nothing was asked for yet.
    fresh: bool,
    found: Vec<Found>,
    full: bool,
    wrong: String,
}

struct Found {
    address: String,
    at: String,
    sender: String,
    recipients: String,
    step: String,
}

#[derive(Deserialize)]
struct Message {
    message: String,
    at: Option<String>,
    sender: Option<String>,
    recipients: Option<Vec<String>>,
    more: i64,
    step: Option<String>,
}

pub(super) async fn show(
    admin: Admin,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let frame = admin.frame("find").await?;
    let (found, wrong) = match sought(&fields) {
        Err(wrong) => (None, wrong),
        Ok(None) => (None, String::new()),
        Ok(Some(sought)) => match admin.site.tables.find_messages(&admin.who, &sought, AT_ONCE).await {
            Ok(found) => {
                let found: Vec<Message> = serde_json::from_value(found).map_err(|error| {
                    Error::Fault(format!("messages are described in another way: {error}"))
                })?;
                (Some(found), String::new())
            }
            Err(Error::Overdue(_)) => {
                (None, "The search took too long and was given up: narrow the time.".to_owned())
            }
            Err(Error::Refused { message, .. }) if message.starts_with("give a sender") => (None, message),
            Err(other) => return Err(other.into()),
        },
    };
    let found: Option<Vec<Found>> = found.map(|found| found.into_iter().map(line).collect());
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let template = FindPage {
        frame: &frame,
        own_domain: admin.who.kind == Kind::Domain,
        sender: field(&fields, "sender"),
        no_sender: field(&fields, "nobody") == "yes",
        recipient: field(&fields, "recipient"),
        message_id: field(&fields, "message_id"),
        peer: field(&fields, "peer"),
        from: typed(field(&fields, "from")),
        until: typed(field(&fields, "until")),
        fresh: found.is_none(),
        full: found.as_ref().is_some_and(|found| found.len() == AT_ONCE as usize),
        found: found.unwrap_or_default(),
        wrong,
    };
    Ok(answer::page_with(status, &template))
}

/// What was asked for; nothing where no field is filled in. Errors are for who has filled it in.
fn sought(fields: &[(String, String)]) -> Result<Option<Sought>, String> {
    let text = |name: &str| {
        let text: String = field(fields, name).trim().chars().take(LONGEST).collect();
        Some(text).filter(|text| !text.is_empty())
    };
    let time = |name: &str| {
        let given = text(name);
        given
            .map(|text| {
                moment(&text)
                    .ok_or_else(|| format!("\"{text}\" is no time: write it as 2026-11-26 03:09, in UTC"))
            })
            .transpose()
    };
    let sought = Sought {
        sender: if field(fields, "nobody") == "yes" { Some(String::new()) } else { text("sender") },
        recipient: text("recipient"),
        message_id: text("message_id"),
        peer: text("peer"),
        since: time("from")?,
        until: time("until")?,
    };
    if let Some(peer) = &sought.peer
        && peer.parse::<IpAddr>().is_err()
    {
        return Err(format!("\"{peer}\" is no IP address: write it as 192.0.2.7 or 2001:db8::7"));
    }
    let Sought { sender, recipient, message_id, peer, since, until } = &sought;
    let named = [sender, recipient, message_id, peer].into_iter().any(Option::is_some);
    match (named, since.is_some() || until.is_some()) {
        (true, _) => Ok(Some(sought)),
        (false, true) => Err("Give a sender, a recipient, a Message-ID or a client as well.".to_owned()),
        (false, false) => Ok(None),
    }
}

fn line(message: Message) -> Found {
    let mut recipients = message.recipients.unwrap_or_default().join(", ");
    if message.more > 0 {
        recipients.push_str(&format!(" and {} more", message.more));
    }
    Found {
        address: message_address(&message.message),
        at: message.at.as_deref().map(time).unwrap_or_default(),
        sender: match message.sender.as_deref() {
            Some("") => "nobody".to_owned(),
            sender => sender.unwrap_or_default().to_owned(),
        },
        recipients,
        step: message.step.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_makes_sense() {
        let asked = |pairs: &[(&str, &str)]| {
            let fields: Vec<(String, String)> =
                pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            sought(&fields)
        };
        assert!(asked(&[("sender", " "), ("from", "")]).unwrap().is_none());
        let found = asked(&[("sender", " a@b.test "), ("until", "2026-11-26T03:09")]).unwrap().unwrap();
        assert_eq!((found.sender.as_deref(), found.until.is_some()), (Some("a@b.test"), true));
        assert_eq!(asked(&[("nobody", "yes")]).unwrap().unwrap().sender.as_deref(), Some(""));
        for (pairs, says) in [
            (&[("peer", "10.0.0")][..], "is no IP address"),
            (&[("sender", "a@b.test"), ("from", "soon")], "is no time"),
            (&[("from", "2026-11-26")], "Give a sender"),
        ] {
            assert!(asked(pairs).unwrap_err().contains(says), "{says}");
        }
    }
}
