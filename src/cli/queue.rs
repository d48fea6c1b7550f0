//! `mailwright queue`: mail on its way to other servers.

use clap::{Subcommand, ValueEnum};
use serde::Deserialize;
use tokio_postgres::Client;

use super::ask::consent;
use super::domain::stored_name;
use super::failure::{Failure, told};
use super::json_rows;
use super::status::span;
use super::table::{Table, say, say_line};
use crate::mail::count;
use crate::mail::size::show;
use crate::sql;

const LIST: &str = sql!("cli/list_queue");
const SHOW: &str = sql!("cli/show_queued");
const RETRY: &str = sql!("cli/retry_queued");
const HOLD: &str = sql!("cli/hold_queued");
const RELEASE: &str = sql!("cli/release_queued");
const CANCEL: &str = sql!("cli/cancel_queued");

/// What can be done with the queue.
#[derive(Subcommand)]
pub enum Queue {
    /// Show what waits, and why: one line for each recipient
    List {
        /// Only recipients of this domain
        #[arg(long)]
        domain: Option<String>,
        /// Only recipients in this state
        #[arg(long)]
        state: Option<State>,
        /// Lines at most; those that are due first come first
        #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Show a message: its envelope, its recipients and every attempt; the attempts also when it has left the queue
    Show {
        /// Its number, as list shows it
        id: i64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Try a message again now, or everything that waits
    Retry {
        /// Its number, as list shows it
        id: Option<i64>,
    },
    /// Keep a message in the queue until it is released
    Hold {
        /// Its number, as list shows it
        id: i64,
    },
    /// Send a message that was held
    Release {
        /// Its number, as list shows it
        id: i64,
    },
    /// Take a message out of the queue, without a word to its sender
    Cancel {
        /// Its number, as list shows it
        id: i64,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// What a recipient in the queue waits for.
#[derive(Clone, Copy, ValueEnum)]
pub enum State {
    /// Its next attempt.
    Waiting,
    /// Being released.
    Held,
    /// Nothing: it was given up.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Held => "held",
            State::Failed => "failed",
        }
    }
}

#[derive(Deserialize)]
struct Row {
    message_id: i64,
    sender: String,
    recipient: String,
    state: String,
    attempts: i32,
    due_in_seconds: i64,
    size: i64,
    last_reply: Option<String>,
    being_sent_by: Option<String>,
}

#[derive(Deserialize)]
struct Shown {
    envelope: Option<Envelope>,
    recipients: Vec<Recipient>,
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Envelope {
    sender: String,
    account: Option<String>,
    subject: Option<String>,
    message_id: Option<String>,
    received_at: String,
    size: i64,
    body_type: String,
    smtputf8: bool,
    require_tls: bool,
    priority: i32,
    deliver_by: Option<String>,
    envelope_id: Option<String>,
}

#[derive(Deserialize)]
struct Recipient {
    address: String,
    state: String,
    attempts: i32,
    due_in_seconds: i64,
    last_reply: Option<String>,
    being_sent_by: Option<String>,
}

#[derive(Deserialize)]
struct Attempt {
    at: String,
    recipient: String,
    outcome: String,
    host: Option<String>,
    address: Option<String>,
    tls: Option<String>,
    reply: String,
    milliseconds: i64,
}

/// Does it.
pub async fn run(client: Client, command: Queue) -> Result<(), Failure> {
    match command {
        Queue::List { domain, state, limit, json } => list(&client, domain, state, limit, json).await,
        Queue::Show { id, json } => show_message(&client, id, json).await,
        Queue::Retry { id } => {
            let recipients = recipients(&client, RETRY, id).await?;
            match id {
                Some(id) if recipients == 0 => Err(nothing(id, "waits")),
                _ => {
                    say_line(format!("{} will be tried now", count(recipients, "recipient")));
                    Ok(())
                }
            }
        }
        Queue::Hold { id } => done(&client, HOLD, id, "waits", "held").await,
        Queue::Release { id } => done(&client, RELEASE, id, "is held", "released").await,
        Queue::Cancel { id, yes } => {
            let shown = read(client.query_one(SHOW, &[&id]).await?.get(0))?;
            let Some(envelope) = shown.envelope else { return Err(nothing(id, "is in the queue")) };
            let what = format!(
                "Message {id} from <{}> to {} leaves the queue, and its sender is not told.",
                envelope.sender,
                count(shown.recipients.len() as i64, "recipient")
            );
            consent(&what, yes)?;
            done(&client, CANCEL, id, "is in the queue", "cancelled").await
        }
    }
}

async fn recipients(client: &Client, statement: &str, id: Option<i64>) -> Result<i64, Failure> {
    Ok(client.query_one(statement, &[&id]).await?.get(0))
}

async fn done(client: &Client, statement: &str, id: i64, state: &str, what: &str) -> Result<(), Failure> {
    match recipients(client, statement, Some(id)).await? {
        0 => Err(nothing(id, state)),
        some => {
            say_line(format!("message {id} has been {what}: {}", count(some, "recipient")));
            Ok(())
        }
    }
}

fn nothing(id: i64, state: &str) -> Failure {
    told(format!("nothing of message {id} {state}: see mailwright queue list, or mailwright queue show {id}"))
}

async fn list(
    client: &Client,
    domain: Option<String>,
    state: Option<State>,
    limit: i64,
    json: bool,
) -> Result<(), Failure> {
    let domain = domain.as_deref().map(stored_name).transpose()?;
    let rows = client.query(LIST, &[&domain, &state.map(State::word), &limit]).await?;
    let is_full = rows.len() as i64 == limit;
    let Some(rows) = json_rows::<Row>(rows, json)? else { return Ok(()) };
    let mut table = Table::new(["message", "sender", "recipient", "size", "attempts", "state", "last reply"]);
    for row in rows {
        let state = state_text(&row.state, row.due_in_seconds, row.being_sent_by.as_deref());
        table.row([
            row.message_id.to_string(),
            row.sender,
            row.recipient,
            show(row.size),
            row.attempts.to_string(),
            state,
            row.last_reply.unwrap_or_default(),
        ]);
    }
    say(&table.text());
    if is_full {
        say_line(format!("There may be more: {limit} are shown (--limit)"));
    }
    Ok(())
}

fn state_text(state: &str, due_in_seconds: i64, sent_by: Option<&str>) -> String {
    match (state, sent_by) {
        (_, Some(node)) => format!("being sent by {node}"),
        ("waiting", None) if due_in_seconds <= 0 => "due now".to_owned(),
        ("waiting", None) => format!("again in {}", span(due_in_seconds)),
        (other, None) => other.to_owned(),
    }
}

fn read(value: serde_json::Value) -> Result<Shown, Failure> {
    serde_json::from_value(value)
        .map_err(|error| told(format!("the database's answer cannot be read: {error}")))
}

async fn show_message(client: &Client, id: i64, json: bool) -> Result<(), Failure> {
    let value: serde_json::Value = client.query_one(SHOW, &[&id]).await?.get(0);
    let printed = json.then(|| format!("{value:#}"));
    let shown = read(value)?;
    if shown.envelope.is_none() && shown.attempts.is_empty() {
        return Err(told(format!(
            "there is no message {id} in the queue, and nothing is known of one: see mailwright queue list"
        )));
    }
    match printed {
        Some(json) => say_line(json),
        None => say(&text(id, shown)),
    }
    Ok(())
}

fn text(id: i64, shown: Shown) -> String {
    let mut sections = Vec::new();
    match shown.envelope {
        Some(envelope) => sections.push(envelope_text(envelope)),
        None => {
            let mut table = Table::new(["message", &id.to_string()]);
            table.row(["state", "has left the queue"]);
            sections.push(table.text());
        }
    }
    if !shown.recipients.is_empty() {
        let mut table = Table::new(["recipient", "state", "attempts", "last reply"]);
        for one in shown.recipients {
            let state = state_text(&one.state, one.due_in_seconds, one.being_sent_by.as_deref());
            table.row([one.address, state, one.attempts.to_string(), one.last_reply.unwrap_or_default()]);
        }
        sections.push(table.text());
    }
    if !shown.attempts.is_empty() {
        let mut table = Table::new(["attempt", "recipient", "outcome", "server", "TLS", "ms", "reply"]);
        for one in shown.attempts {
            let server = match (one.host, one.address) {
                (Some(host), Some(address)) => format!("{host} [{address}]"),
                (host, address) => host.or(address).unwrap_or_default(),
            };
            let ms = one.milliseconds.to_string();
            table.row([
                one.at,
                one.recipient,
                one.outcome,
                server,
                one.tls.unwrap_or_default(),
                ms,
                one.reply,
            ]);
        }
        sections.push(table.text());
    }
    sections.join("\n")
}

fn envelope_text(envelope: Envelope) -> String {
    let mut table = Table::new(["sender", &format!("<{}>", envelope.sender)]);
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            table.row([name.to_owned(), value]);
        }
    };
    line("account", envelope.account);
    line("subject", envelope.subject);
    line("Message-ID", envelope.message_id);
    line("received", Some(envelope.received_at));
    line("size", Some(show(envelope.size)));
    line("body", Some(envelope.body_type));
    line("SMTPUTF8", envelope.smtputf8.then(|| "yes".to_owned()));
    line("requires TLS", envelope.require_tls.then(|| "yes".to_owned()));
    line("priority", (envelope.priority != 0).then(|| envelope.priority.to_string()));
    line("deliver by", envelope.deliver_by);
    line("envelope id", envelope.envelope_id);
    table.text()
}
