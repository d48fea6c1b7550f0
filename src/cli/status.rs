//! `mailwright status`: what runs, where, and what does not and why.

use clap::Args;
use serde::Deserialize;
use tokio_postgres::Client;

use super::failure::{Failure, told};
use super::table::{Table, say, say_line};
use crate::mail::count;
use crate::sql;

const STATUS: &str = sql!("cli/status");

/// How to show it.
#[derive(Args)]
pub struct Status {
    /// As one JSON value
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Everything {
    generation: i64,
    nodes: Vec<Node>,
    services: Vec<Service>,
    listeners: Vec<Listener>,
    queue: Queue,
}

#[derive(Deserialize)]
struct Node {
    name: String,
    version: String,
    alive: bool,
    up_seconds: i64,
    silent_seconds: i64,
    applied_generation: i64,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Service {
    name: String,
    enabled: bool,
    node: Option<String>,
    state: Option<String>,
    error: Option<String>,
    sessions: i64,
}

#[derive(Deserialize)]
struct Listener {
    node: String,
    service: String,
    address: String,
    port: i32,
    tls: Option<String>,
    mode: Option<String>,
    state: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Queue {
    messages: i64,
    waiting: i64,
    due: i64,
    held: i64,
    failed: i64,
}

/// Does it.
pub async fn run(client: Client, command: Status) -> Result<(), Failure> {
    let value: serde_json::Value = client.query_one(STATUS, &[]).await?.get(0);
    if command.json {
        say_line(format!("{value:#}"));
        return Ok(());
    }
    let all: Everything =
        serde_json::from_value(value).map_err(|e| told(format!("the status cannot be read: {e}")))?;
    say(&text(&all));
    Ok(())
}

fn text(all: &Everything) -> String {
    let several = all.nodes.len() > 1;
    let mut sections = vec![nodes(all), services(&all.services, several), listeners(&all.listeners, several)];
    let queue = &all.queue;
    sections.push(format!(
        "Queue: {}; recipients: {} waiting ({} due now), {} held, {} failed\n",
        count(queue.messages, "message"),
        queue.waiting,
        queue.due,
        queue.held,
        queue.failed
    ));
    sections.retain(|section| !section.is_empty());
    sections.join("\n")
}

fn nodes(all: &Everything) -> String {
    if all.nodes.is_empty() {
        return "No node is running on this database: start one with: mailwright serve\n".to_owned();
    }
    let mut table = Table::new(["node", "version", "state", "up for", "settings", "error"]);
    for node in &all.nodes {
        let state = match node.alive {
            true => "alive".to_owned(),
            false => format!("silent for {}", span(node.silent_seconds)),
        };
        let settings = match all.generation - node.applied_generation {
            behind if behind <= 0 => format!("up to date ({})", all.generation),
            behind => {
                format!(
                    "{} behind ({} of {})",
                    count(behind, "change"),
                    node.applied_generation,
                    all.generation
                )
            }
        };
        let error = node.error.clone().unwrap_or_default();
        table.row([node.name.clone(), node.version.clone(), state, span(node.up_seconds), settings, error]);
    }
    table.text()
}

fn services(services: &[Service], several: bool) -> String {
    let mut table = if several {
        Table::new(["service", "node", "state", "sessions", "error"])
    } else {
        Table::new(["service", "state", "sessions", "error"])
    };
    for service in services {
        let state = match (&service.state, service.enabled) {
            (Some(state), _) => state.clone(),
            (None, true) => "enabled, runs nowhere".to_owned(),
            (None, false) => "off".to_owned(),
        };
        let mut cells = vec![service.name.clone()];
        if several {
            cells.push(service.node.clone().unwrap_or_default());
        }
        cells.extend([state, service.sessions.to_string(), service.error.clone().unwrap_or_default()]);
        table.row(cells);
    }
    table.text()
}

fn listeners(listeners: &[Listener], several: bool) -> String {
    if listeners.is_empty() {
        return String::new();
    }
    let mut table = if several {
        Table::new(["listener", "node", "address", "TLS", "state", "error"])
    } else {
        Table::new(["listener", "address", "TLS", "state", "error"])
    };
    for listener in listeners {
        let service = match listener.mode.as_deref() {
            Some("standard") | None => listener.service.clone(),
            Some(mode) => format!("{} ({mode})", listener.service),
        };
        let mut cells = vec![service];
        if several {
            cells.push(listener.node.clone());
        }
        let address = match listener.address.contains(':') {
            true => format!("[{}]:{}", listener.address, listener.port),
            false => format!("{}:{}", listener.address, listener.port),
        };
        let (tls, error) = (listener.tls.clone(), listener.error.clone());
        cells.extend([address, tls.unwrap_or_default(), listener.state.clone(), error.unwrap_or_default()]);
        table.row(cells);
    }
    table.text()
}

/// A span of time, to two units.
pub(super) fn span(seconds: i64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{} s", seconds.max(0)),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, expected) in
            [(-3, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn nothing_runs() {
        let all = Everything {
            generation: 1,
            nodes: vec![],
            services: vec![],
            listeners: vec![],
            queue: Queue { messages: 0, waiting: 0, due: 0, held: 0, failed: 0 },
        };
        assert!(text(&all).starts_with("No node is running"));
    }
}
