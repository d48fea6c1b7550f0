//! What runs now: services, their listeners, and who is connected; by itself where the browser has script, as it happens.
//!
//! What must hold: the page and its news are the same question to the tables, so that nobody is told what he may not see; a stream
//! of news keeps no login alive, ends with it, and does not hold up a server that stops. Costs: one question a second for each
//! browser that looks at it, and a message only when something has changed.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::{Extension, Query};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::Ending;
use super::super::answer::{self, Fault};
use super::list::row_address;
use super::value::time;
use super::{Admin, Frame, field};
use crate::db::Error;
use crate::tables::Kind;

/// How often the news are looked for.
const PAUSE: Duration = Duration::from_secs(1);
/// After so many looks a stream ends, and the browser comes again.
const LOOKS: u32 = 600;
/// So many browsers are told the news at a time; the others load the page again.
static WATCHERS: Semaphore = Semaphore::const_new(64);

#[derive(Template)]
#[template(path = "admin/services.html")]
struct ServicesPage<'a> {
    frame: &'a Frame,
    said: &'a str,
    services: Vec<Service>,
    sessions: Vec<Session>,
    all_sessions: usize,
    many_nodes: bool,
    may_change: bool,
    form_token: &'a str,
}

/// What changes by itself.
#[derive(Template)]
#[template(path = "admin/services_part.html")]
struct Part<'a> {
    services: Vec<Service>,
    sessions: Vec<Session>,
    all_sessions: usize,
    many_nodes: bool,
    may_change: bool,
    form_token: &'a str,
}

struct Service {
    name: String,
    enabled: bool,
    nodes: Vec<NodeState>,
    listeners: Vec<Listener>,
    listens: bool,
    sessions: u64,
    limits: String,
    address: String,
    key: String,
}

#[derive(Deserialize)]
struct NodeState {
    node: String,
    state: String,
    #[serde(default, deserialize_with = "or_empty")]
    error: String,
}

struct Listener {
    name: String,
    address: String,
    note: String,
    error: String,
}

struct Session {
    id: i64,
    key: String,
    service: String,
    login: String,
    peer: String,
    tls: String,
    state: String,
    idle: String,
    since: String,
    node: String,
    client: String,
}

/// As `logic.services_shown` says it.
#[derive(Deserialize)]
struct Shown {
    services: Vec<ShownService>,
    sessions: Vec<ShownSession>,
    all_sessions: usize,
}

#[derive(Deserialize)]
struct ShownService {
    name: String,
    enabled: bool,
    nodes: Vec<NodeState>,
    listeners: Vec<ShownListener>,
    sessions: u64,
    ip_list: Option<String>,
    max_connections: Option<i64>,
    max_connections_per_peer: Option<i64>,
    max_connections_per_account: Option<i64>,
}

#[derive(Deserialize)]
struct ShownListener {
    id: i64,
    address: String,
    port: i32,
    tls: String,
    mode: String,
    enabled: bool,
    open: Vec<Open>,
}

#[derive(Deserialize)]
struct Open {
    node: String,
    port: i32,
    state: String,
    #[serde(default, deserialize_with = "or_empty")]
    error: String,
}

#[derive(Deserialize)]
struct ShownSession {
    id: i64,
    service: String,
    #[serde(default, deserialize_with = "or_empty")]
    login: String,
    peer: String,
    #[serde(default, deserialize_with = "or_empty")]
    tls: String,
    state: String,
    since: String,
    idle: u64,
    node: String,
    #[serde(default, deserialize_with = "or_empty")]
    client: String,
}

fn or_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// What has been found, ready for a template.
struct Now {
    menu: Value,
    services: Vec<Service>,
    sessions: Vec<Session>,
    all_sessions: usize,
    many_nodes: bool,
}

async fn look(admin: &Admin) -> Result<Now, Fault> {
    let mut found = admin.site.tables.services(&admin.who).await?;
    let shown: Shown = serde_json::from_value(found["shown"].take()).map_err(|error| {
        Fault::from(Error::Fault(format!("the services are described in another way: {error}")))
    })?;
    let nodes = shown.services.iter().flat_map(|service| &service.nodes).map(|node| &node.node);
    let nodes: std::collections::BTreeSet<String> = nodes.cloned().collect();
    let many_nodes = nodes.len() > 1;
    Ok(Now {
        menu: found["menu"].take(),
        services: shown.services.into_iter().map(|service| of_service(service, many_nodes)).collect(),
        sessions: shown.sessions.into_iter().map(of_session).collect(),
        all_sessions: shown.all_sessions,
        many_nodes,
    })
}

fn of_service(service: ShownService, many_nodes: bool) -> Service {
    let at_most = [
        (service.max_connections, "at a time"),
        (service.max_connections_per_peer, "from one address"),
        (service.max_connections_per_account, "of one user"),
    ];
    let mut limits =
        vec![service.ip_list.map_or_else(|| "everybody".to_owned(), |list| format!("by the list {list}"))];
    let known = at_most.into_iter().filter_map(|(most, of)| Some(format!("{} {of}", most?)));
    limits.extend(known);
    let key = serde_json::json!({ "name": service.name }).to_string();
    Service {
        address: row_address("service", &key),
        key,
        enabled: service.enabled,
        nodes: service.nodes,
        listens: !service.listeners.is_empty(),
        listeners: service.listeners.into_iter().map(|listener| of_listener(listener, many_nodes)).collect(),
        sessions: service.sessions,
        limits: limits.join(", "),
        name: service.name,
    }
}

fn of_listener(listener: ShownListener, many_nodes: bool) -> Listener {
    let ShownListener { id, address, port, tls, mode, enabled, open } = listener;
    let mut note = vec![];
    if !enabled {
        note.push("switched off".to_owned());
    }
    if tls != "none" {
        note.push(if tls == "implicit" { "TLS".to_owned() } else { "STARTTLS".to_owned() });
    }
    if mode != "standard" {
        note.push(mode);
    }
    // A node may have moved all its ports.
    let moved = open.iter().filter(|open| open.port != port && open.state == "open");
    note.extend(moved.map(|open| format!("port {} on {}", open.port, open.node)));
    let failed = open.iter().filter(|open| !open.error.is_empty());
    let error = failed.map(|open| match many_nodes {
        true => format!("{}: {}", open.node, open.error),
        false => open.error.clone(),
    });
    Listener {
        name: if address.contains(':') { format!("[{address}] {port}") } else { format!("{address} {port}") },
        address: row_address("listener", &serde_json::json!({ "id": id }).to_string()),
        note: note.join(", "),
        error: error.collect::<Vec<_>>().join("; "),
    }
}

fn of_session(session: ShownSession) -> Session {
    Session {
        key: serde_json::json!({ "id": session.id }).to_string(),
        id: session.id,
        service: session.service,
        login: session.login,
        peer: session.peer,
        tls: session.tls,
        state: session.state,
        idle: idle(session.idle),
        since: time(&session.since),
        node: session.node,
        client: session.client,
    }
}

/// In steps, so that a page on which nothing happens stays the same.
fn idle(seconds: u64) -> String {
    match seconds {
        0..10 => "–".to_owned(),
        10..60 => format!("{} s", seconds / 10 * 10),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

pub(super) async fn show(
    admin: Admin,
    Query(fields): Query<Vec<(String, String)>>,
) -> Result<Response, Fault> {
    let Now { menu, services, sessions, all_sessions, many_nodes } = look(&admin).await?;
    let frame = &admin.framed(&menu, "services");
    let may_change = admin.who.kind == Kind::System;
    let (form_token, said) = (frame.form_token.as_str(), field(&fields, "said"));
    Ok(answer::page(&ServicesPage {
        frame,
        said,
        services,
        sessions,
        all_sessions,
        many_nodes,
        may_change,
        form_token,
    }))
}

/// A browser that is told the news.
struct Watcher {
    admin: Admin,
    ending: Ending,
    last: String,
    looks: u32,
    _room: SemaphorePermit<'static>,
}

/// The news, as server-sent events: each is the part of the page that changes, as a JSON string.
pub(super) async fn events(admin: Admin, Extension(ending): Extension<Ending>) -> Response {
    let Ok(room) = WATCHERS.try_acquire() else {
        return answer::refused("too many browsers watch this page: load it again to see the news");
    };
    let watcher = Watcher { admin, ending, last: String::new(), looks: 0, _room: room };
    let news = stream::unfold(watcher, |mut watcher| async move {
        let text = watcher.next().await?;
        Some((Ok::<_, Infallible>(Event::default().data(text)), watcher))
    });
    Sse::new(news).into_response()
}

impl Watcher {
    /// Waits until something has changed; `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        while self.looks < LOOKS {
            if self.looks > 0 {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = self.ending.wait() => return None,
                }
            }
            self.looks += 1;
            let lives = self.admin.directory().web_session_lives(&self.admin.token).await;
            if !lives.unwrap_or(false) {
                return None;
            }
            let Ok(Now { services, sessions, all_sessions, many_nodes, .. }) = look(&self.admin).await else {
                return None;
            };
            let may_change = self.admin.who.kind == Kind::System;
            let form_token = &self.admin.token.form_token();
            let part = Part { services, sessions, all_sessions, many_nodes, may_change, form_token };
            let text = Value::String(part.render().ok()?).to_string();
            if text != self.last {
                self.last.clone_from(&text);
                return Some(text);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_goes_in_steps() {
        for (seconds, expected) in [
            (0, "–"),
            (9, "–"),
            (10, "10 s"),
            (59, "50 s"),
            (61, "1 min"),
            (3599, "59 min"),
            (7325, "2 h 2 min"),
        ] {
            assert_eq!(idle(seconds), expected, "{seconds}");
        }
    }
}
