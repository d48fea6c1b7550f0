//! Events: what the daemon says by `tracing`, taken apart into columns.
//!
//! A session's span says of whom its events are, so that these need not: its fields `service`, `session`, `peer` and `login` are
//! taken over by events that do not say it themselves.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context as Waking, Poll};

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::{Log, Note, cut};
use crate::control::config::EventLevel;

/// Longest message of an event, bytes.
const MESSAGE: usize = 2000;
/// Longest value of a field.
const VALUE: usize = 1000;
/// Fields kept of an event; none of ours has as many.
const FIELDS: usize = 32;

/// An event as it is kept.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) about: About,
    pub(super) fields: Map<String, Value>,
}

/// Whom or what an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) service: Option<String>,
    pub(super) session: Option<i64>,
    pub(super) peer: Option<IpAddr>,
    pub(super) login: Option<String>,
}

impl About {
    /// Takes over what is not known yet.
    fn complete(&mut self, other: &About) {
        self.service = self.service.take().or_else(|| other.service.clone());
        self.session = self.session.or(other.session);
        self.peer = self.peer.or(other.peer);
        self.login = self.login.take().or_else(|| other.login.clone());
    }
}

impl Event {
    /// One that the log itself has to say.
    pub(super) fn own(level: Level, message: String, fields: Map<String, Value>) -> Self {
        let about = About { service: Some("log".to_owned()), ..About::default() };
        Self { at: Timestamp::now(), level, message, about, fields }
    }

    pub(super) fn weight(&self) -> usize {
        let value = |value: &Value| value.as_str().map_or(0, str::len);
        let fields: usize = self.fields.iter().map(|(name, v)| 64 + name.len() + value(v)).sum();
        size_of::<Self>() + self.message.len() + fields
    }
}

/// The rank of a level: an event is kept where its rank is not above the setting's.
pub(super) fn rank(level: Level) -> EventLevel {
    match level {
        Level::ERROR => EventLevel::Error,
        Level::WARN => EventLevel::Warn,
        Level::INFO => EventLevel::Info,
        Level::DEBUG => EventLevel::Debug,
        Level::TRACE => EventLevel::Trace,
    }
}

thread_local! {
    /// Whether this thread is within the writer of the log.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

/// A future of whose events the log takes no note: those of writing it would make more of the same.
pub(super) struct Unnoted<F>(Pin<Box<F>>);

impl<F> Unnoted<F> {
    pub(super) fn new(future: F) -> Self {
        Self(Box::pin(future))
    }
}

impl<F: Future> Future for Unnoted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        let before = WRITING.replace(true);
        let outcome = self.0.as_mut().poll(waking);
        WRITING.set(before);
        outcome
    }
}

/// Hands events over to the log.
pub struct EventLayer(Log);

impl EventLayer {
    /// For this log.
    pub fn new(log: Log) -> Self {
        Self(log)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for EventLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut said = Said::default();
        attributes.record(&mut said);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(said.about);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut said = Said::default();
        values.record(&mut said);
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(about) = extensions.get_mut::<About>() {
            said.about.complete(about);
            *about = said.about;
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if !self.0.keeps(*metadata.level()) || WRITING.get() {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(about) = span.extensions().get::<About>() {
                said.about.complete(about);
            }
        }
        let Said { message, mut about, fields, target } = said;
        let target = target.as_deref().unwrap_or(metadata.target());
        if DATABASE.iter().any(|name| target.starts_with(name)) {
            return;
        }
        about.service.get_or_insert_with(|| part(target).to_owned());
        let event = Event { at: Timestamp::now(), level: *metadata.level(), message, about, fields };
        self.0.note(Note::Event(Box::new(event)));
    }
}

/// What speaks of the database's connections: the writer's among them, whose tasks are not within the writer.
const DATABASE: [&str; 2] = ["tokio_postgres", "deadpool"];

/// The part of the daemon that an event comes from, by the path of its module; the smtp service's part has another name.
fn part(target: &str) -> &str {
    let mut names = target.split("::");
    let name = match (names.next().unwrap_or_default(), names.next()) {
        ("mailwright", Some(module)) => module,
        (name, _) => name,
    };
    if name == "smtpd" { "smtp" } else { name }
}

/// The fields of an event or a span.
#[derive(Default)]
struct Said {
    message: String,
    about: About,
    fields: Map<String, Value>,
    /// Where it comes from, if by way of the crate `log`.
    target: Option<String>,
}

impl Said {
    fn text(&mut self, name: &str, text: &str) {
        match name {
            "log.target" => self.target = Some(cut(text, VALUE)),
            _ if name.starts_with("log.") => {}
            "message" => self.message = cut(text, MESSAGE),
            "service" => self.about.service = Some(cut(text, VALUE)),
            "login" | "name" | "account" => self.about.login = Some(cut(text, VALUE)),
            "peer" => match ip(text) {
                Some(ip) => self.about.peer = Some(ip),
                None => self.field(name, Value::String(cut(text, VALUE))),
            },
            _ => self.field(name, Value::String(cut(text, VALUE))),
        }
    }

    fn field(&mut self, name: &str, value: Value) {
        if self.fields.len() < FIELDS && !name.starts_with("log.") {
            self.fields.insert(name.to_owned(), value);
        }
    }
}

/// An address with or without a port.
fn ip(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|peer| peer.ip()));
    ip.ok().map(|ip| ip.to_canonical())
}

impl Visit for Said {
    fn record_i64(&mut self, field: &Field, value: i64) {
        match field.name() {
            "session" => self.about.session = Some(value),
            name => self.field(name, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::Notes;
    use super::*;

    fn events(notes: &mut Notes) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(note) = notes.0.try_recv() {
            if let Note::Event(event) = note {
                events.push(*event);
            }
        }
        events
    }

    #[test]
    fn an_event_knows_its_session() {
        let (log, mut notes) = Log::open();
        let subscriber = tracing_subscriber::registry().with(EventLayer::new(log));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::error_span!(
                "session",
                service = "imap",
                session = 7i64,
                peer = "192.0.2.1:99",
                login = tracing::field::Empty
            );
            span.in_scope(|| tracing::info!(count = 3, ok = true, why = ?Some("x\0y"), "before"));
            span.record("login", "alice@x.test");
            span.in_scope(|| tracing::error!(peer = %"[2001:db8::1]:5", "after"));
            tracing::debug!("too much");
            tracing::error!(target: "tokio_postgres::connection", "of the database's connection");
            tracing::error!(log.target = "deadpool.postgres", log.line = 7, "and of its pool");
            tracing::warn!(peer = "somebody", name = "bob", "no session");
        });
        let events = events(&mut notes);
        let about = |at: usize| {
            let about = &events[at].about;
            (
                about.service.as_deref().unwrap(),
                about.session,
                about.peer.map(|peer| peer.to_string()).unwrap_or_default(),
                about.login.as_deref().unwrap_or_default(),
            )
        };
        assert_eq!(events.len(), 3);
        assert_eq!(about(0), ("imap", Some(7), "192.0.2.1".to_owned(), ""));
        assert_eq!(events[0].message, "before");
        assert_eq!(
            Value::Object(events[0].fields.clone()),
            serde_json::json!({"count": 3, "ok": true, "why": "Some(\"x\\0y\")"})
        );
        assert_eq!(about(1), ("imap", Some(7), "2001:db8::1".to_owned(), "alice@x.test"));
        assert_eq!((events[1].level, events[1].fields.len()), (Level::ERROR, 0));
        assert_eq!(about(2), ("log", None, String::new(), "bob"));
        assert_eq!(events[2].fields["peer"], "somebody");
    }

    #[tokio::test]
    async fn the_writer_is_not_heard() {
        let (log, mut notes) = Log::open();
        let subscriber = tracing_subscriber::registry().with(EventLayer::new(log));
        let _guard = tracing::subscriber::set_default(subscriber);
        Unnoted::new(async {
            tracing::error!("within");
            tokio::task::yield_now().await;
            tracing::error!("within, later");
        })
        .await;
        tracing::error!("outside");
        let heard: Vec<String> = events(&mut notes).into_iter().map(|event| event.message).collect();
        assert_eq!(heard, ["outside"]);
    }

    #[test]
    fn no_event_is_large() {
        let mut said = Said::default();
        let long = "x".repeat(100_000);
        for number in 0..100 {
            said.text(&format!("field{number}"), &long);
        }
        for name in ["message", "login", "service", "peer"] {
            said.text(name, &long);
        }
        let Said { message, about, fields, .. } = said;
        let event = Event { at: Timestamp::now(), level: Level::INFO, message, about, fields };
        assert!(event.weight() < 40_000, "{}", event.weight());
        assert!(event.about.peer.is_none());
    }

    #[test]
    fn parts_have_the_names_of_services() {
        for (target, name) in [
            ("mailwright::smtpd::data", "smtp"),
            ("mailwright::imap", "imap"),
            ("mailwright", "mailwright"),
            ("hickory_proto::x", "hickory_proto"),
        ] {
            assert_eq!(part(target), name);
        }
    }
}
