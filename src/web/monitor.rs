//! For those who watch the server: `/healthz`, `/readyz` and `/metrics`.
//!
//! What must hold: `/healthz` says that this process lives, and asks nobody; it answers everybody, and so does `/readyz`, with yes or
//! no. What is wrong, and the numbers of `/metrics`, are told only to who may know: on the IP list `control.web.monitor_ip_list_id`
//! (without one: this host), or with a token of `control.metrics_token`, of which only the hash is kept and which is taken over
//! HTTPS only, as passwords are. Who is refused is logged. An answer waits for the database no longer than `PATIENCE`: without
//! it, the numbers that this process knows itself are told. Costs: one question to the database; `/readyz` asks once a second at
//! most, whoever calls.

use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::prometheus::{Kind, Text};
use super::{Origin, Site};
use crate::control::Control;
use crate::log::{BUCKETS, Log, Monitor, ready};
use crate::mail::hex;

/// How long an answer waits for the database.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it is remembered whether the server is ready.
const FRESH: Duration = Duration::from_secs(1);

/// What was found out last.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Vec<String>)>>);

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/healthz", get(|| async { text(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/readyz", get(show_ready))
        .route("/metrics", get(show_metrics))
}

/// Why somebody may not know more.
enum Stranger {
    /// He has shown nothing.
    Unknown,
    /// He has shown a token that is none of ours.
    Wrong,
    /// He has shown it to everybody on the way.
    InTheClear,
}

/// Whether he may know.
fn admitted(site: &Site, origin: Origin, headers: &HeaderMap) -> Result<(), Stranger> {
    let config = site.house.control.config();
    let peer = origin.visitor.peer.to_canonical();
    if config.may_monitor(peer) {
        return Ok(());
    }
    let shown = headers.get(AUTHORIZATION).and_then(|line| line.to_str().ok());
    let Some(token) = shown.and_then(|line| line.split_once(' ')) else { return Err(Stranger::Unknown) };
    if config.web.require_tls && !origin.secure && !peer.is_loopback() {
        return Err(Stranger::InTheClear);
    }
    let (scheme, token) = token;
    let hash = digest(&SHA256, token.trim().as_bytes());
    let hash = hex(hash.as_ref());
    let is_it = |kept: &String| {
        let kept = kept.strip_prefix("sha256:").unwrap_or_default();
        bool::from(kept.as_bytes().ct_eq(hash.as_bytes()))
    };
    match scheme.eq_ignore_ascii_case("bearer") && config.metrics_tokens.iter().any(is_it) {
        true => Ok(()),
        false => Err(Stranger::Wrong),
    }
}

async fn show_ready(
    State(site): State<Site>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Response {
    let wrong = site.readiness.ask(&site.house.control).await;
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if wrong.is_empty() { "ready" } else { "not ready" };
    let told = if admitted(&site, origin, &headers).is_ok() { wrong } else { Vec::new() };
    let lines = std::iter::once(word.to_owned()).chain(told);
    text(status, lines.map(|line| line + "\n").collect())
}

async fn show_metrics(
    State(site): State<Site>,
    Extension(origin): Extension<Origin>,
    headers: HeaderMap,
) -> Response {
    if let Err(stranger) = admitted(&site, origin, &headers) {
        let peer = origin.visitor.peer;
        let why = match stranger {
            Stranger::Unknown => "it is not on the list, and has no token",
            Stranger::Wrong => "its token is none of control.metrics_token",
            Stranger::InTheClear => "tokens are taken over HTTPS only",
        };
        tracing::warn!(%peer, why, "the numbers of /metrics were asked for and refused");
        let words = "Refused. Show a token of control.metrics_token (Authorization: Bearer) over HTTPS, or be on the IP list \
            control.web.monitor_ip_list_id.\n";
        let refusal = text(StatusCode::UNAUTHORIZED, words.to_owned());
        return ([(WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
    }
    let control = &site.house.control;
    let common = match timeout(PATIENCE, Monitor::ask(control)).await {
        Ok(Ok(common)) => Some(common),
        Ok(Err(error)) => {
            tracing::warn!(%error, "/metrics lacks what the database knows");
            None
        }
        Err(_) => None,
    };
    let mut out = Text::default();
    of_process(&mut out);
    of_node(&mut out, control, &site.house.log);
    out.family("mailwright_database_up", Kind::Gauge, "Whether the database answers")
        .value(f64::from(u8::from(common.is_some())));
    if let Some(common) = common {
        of_database(&mut out, &common);
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.finish()).into_response()
}

fn text(status: StatusCode, text: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

impl Readiness {
    /// What is wrong; nothing: the server is ready.
    async fn ask(&self, control: &Control) -> Vec<String> {
        // Who asks while somebody finds out waits for what he finds.
        let mut known = self.0.lock().await;
        if let Some((when, wrong)) = &*known
            && when.elapsed() < FRESH
        {
            return wrong.clone();
        }
        let wrong = match timeout(PATIENCE, ready(control)).await {
            Ok(Ok(wrong)) => wrong,
            Ok(Err(error)) => vec![format!("the database does not answer: {error}")],
            Err(_) => {
                vec![format!(
                    "the database does not answer: nothing came within {} seconds",
                    PATIENCE.as_secs()
                )]
            }
        };
        *known = Some((Instant::now(), wrong.clone()));
        wrong
    }
}

/// What every process has, by the names that are usual.
fn of_process(out: &mut Text) {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    // SAFETY: sysconf only reads numbers of the system.
    let (page, ticks) =
        unsafe { (libc::sysconf(libc::_SC_PAGESIZE).max(1), libc::sysconf(libc::_SC_CLK_TCK).max(1)) };
    let memory = read("statm");
    let mut pages = memory.split(' ').filter_map(|word| word.parse::<f64>().ok());
    if let (Some(virtually), Some(resident)) = (pages.next(), pages.next()) {
        out.family("process_resident_memory_bytes", Kind::Gauge, "Memory of this process that is in RAM")
            .value(resident * page as f64);
        out.family("process_virtual_memory_bytes", Kind::Gauge, "Address space of this process")
            .value(virtually * page as f64);
    }
    // Behind the name, which may have blanks: utime and stime are fields 14 and 15, the start is field 22 (proc(5)).
    let stat = read("stat");
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|word| word.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied();
    if let (Some(user), Some(system)) = (field(14), field(15)) {
        out.family("process_cpu_seconds_total", Kind::Counter, "Time that this process has used processors")
            .value((user + system) / ticks as f64);
    }
    let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok());
    if let (Some(start), Some(boot)) = (field(22), boot) {
        out.family("process_start_time_seconds", Kind::Gauge, "When this process was started, since 1970")
            .value(boot + start / ticks as f64);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        out.family("process_open_fds", Kind::Gauge, "Open files and connections of this process")
            .value(files.count() as f64);
    }
}

/// What this node knows itself.
fn of_node(out: &mut Text, control: &Control, log: &Log) {
    let config = control.config();
    out.family("mailwright_info", Kind::Gauge, "1; version and node of this daemon")
        .sample(&[("version", env!("CARGO_PKG_VERSION")), ("node", &control.node.name)], 1.0);
    out.family(
        "mailwright_applied_generation",
        Kind::Gauge,
        "The last change of settings that this node obeys",
    )
    .value(config.generation as f64);
    let mut sessions =
        out.family("mailwright_sessions", Kind::Gauge, "Open connections to this node by service");
    for service in ["smtp", "imap", "pop3", "webmail"] {
        sessions.sample(&[("service", service)], f64::from(control.limits.connections(service)));
    }
    let meter = log.meter();
    let mut steps = out.family(
        "mailwright_mail_total",
        Kind::Counter,
        "What became of mail on this node since its start, once for each recipient: steps of log.trace and outcomes of queue.attempt",
    );
    for (step, count) in meter.steps() {
        steps.sample(&[("step", step)], count as f64);
    }
    let (messages, bytes) = meter.accepted();
    out.family(
        "mailwright_accepted_messages_total",
        Kind::Counter,
        "Messages that this node has answered 250",
    )
    .value(messages as f64);
    out.family("mailwright_accepted_bytes_total", Kind::Counter, "Bytes of these").value(bytes as f64);
    let (buckets, seconds) = meter.deliveries();
    let delivered = meter.steps().find(|(step, _)| *step == "delivered").map_or(0, |(_, count)| count);
    out.family("mailwright_delivery_seconds", Kind::Histogram, "How long deliveries to other servers took")
        .histogram(&BUCKETS, &buckets, delivered, seconds);
    let pool = control.db.usage();
    let mut connections = out.family(
        "mailwright_database_connections",
        Kind::Gauge,
        "Connections of the common pool to the database: those there may be, there are, and that are in use",
    );
    for (state, count) in [("max", pool.most), ("open", pool.open), ("used", pool.used)] {
        connections.sample(&[("state", state)], count as f64);
    }
    out.family("mailwright_database_waiting", Kind::Gauge, "Who waits for a connection of the common pool")
        .value(pool.waiting as f64);
}

/// What the database knows.
fn of_database(out: &mut Text, common: &Monitor) {
    let number = |is: bool| f64::from(u8::from(is));
    let mut family =
        out.family("mailwright_service_enabled", Kind::Gauge, "Whether a service is switched on");
    for (name, enabled, _) in &common.services {
        family.sample(&[("service", name)], number(*enabled));
    }
    let mut family = out.family("mailwright_service_up", Kind::Gauge, "Whether a service runs on this node");
    for (name, _, state) in &common.services {
        family.sample(&[("service", name)], number(state.as_deref() == Some("running")));
    }
    let mut family = out.family(
        "mailwright_listeners",
        Kind::Gauge,
        "Listeners of this node, by service and whether they are open",
    );
    for (service, state, count) in &common.listeners {
        family.sample(&[("service", service), ("state", state)], *count as f64);
    }
    let queue = &common.queue;
    out.family("mailwright_queue_recipients", Kind::Gauge, "Recipients in the queue of all nodes, by state")
        .sample(&[("state", "waiting")], queue.waiting as f64)
        .sample(&[("state", "held")], queue.held as f64);
    out.family(
        "mailwright_queue_oldest_seconds",
        Kind::Gauge,
        "Age of the oldest message in the queue; 0 = it is empty",
    )
    .value(queue.oldest_seconds);
    let mut family = out.family(
        "mailwright_certificate_not_after_seconds",
        Kind::Gauge,
        "When a certificate ends, since 1970",
    );
    for (id, names, ends) in &common.certificates {
        if let Some(ends) = ends {
            family.sample(&[("id", &id.to_string()), ("names", names)], *ends);
        }
    }
    out.family("mailwright_nodes", Kind::Gauge, "Nodes that have been heard of in the last 15 seconds")
        .value(common.nodes as f64);
    out.family("mailwright_generation", Kind::Gauge, "The last change of settings")
        .value(common.generation as f64);
}
