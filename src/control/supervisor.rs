//! The super service: listeners are open exactly as the rows say, and sessions live only while their service runs.
//!
//! One function, `reconcile`, compares rows with what runs and makes up the difference; it is called for every change
//! and, while something has failed, at every beat of the clock, so that a port that becomes free is taken. A failure is
//! kept with its listener and shown in `live.listener_status` and `live.service_status`; nothing else is affected. A
//! service that stops closes its listeners at once; sessions between commands are sent away, a message that is just
//! coming in may finish within the grace time.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;
use tracing::Instrument;

use super::config::{self, TlsMode};
use super::{Config, Control, SessionHandle};
use crate::db::Error;
use crate::net::accept::{Address, Listener, bind};
use crate::net::limit::{Caps, Guard, Refusal};
use crate::net::proxy;
use crate::net::stop::{Stop, Stopper};
use crate::net::stream::Stream;
use crate::net::talk::{Terms, Tls};
use crate::sql;
use crate::tls::acceptor::{Oldest, server_config};
use crate::tls::certificate::{Certified, read_acme_answer};

const WRITE_STATUS: &str = sql!("control/write_service_status");

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);
/// How long a client may leave what was sent to it unread.
const WRITE: Duration = Duration::from_secs(120);
/// How long a proxy may take to say for whom it speaks.
const PROXY_HEADER: Duration = Duration::from_secs(10);
/// How long it may take to tell a client that it is not let in.
const REFUSAL: Duration = Duration::from_secs(5);

/// A protocol, as the supervisor sees it.
pub trait Face: Send + Sync {
    /// The service it is the face of.
    fn service(&self) -> &'static str;

    /// Serves one connection to its end.
    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()>;

    /// What a client is told that is not let in, its line end included.
    fn refusal(&self, why: Refused) -> &'static [u8];
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Too many connections.
    TooMany,
    /// Connection control excludes its address.
    Denied,
}

/// A connection that was let in, with all that its session needs of the house.
pub struct Connection {
    /// The client.
    pub stream: Stream,
    /// TLS, stop and termination.
    pub terms: Terms,
    /// The listener it came in by.
    pub listener: Arc<config::Listener>,
    /// Its row in `live.session`.
    pub handle: SessionHandle,
    /// Its place in the limits.
    pub guard: Guard,
    /// Everything else.
    pub control: Arc<Control>,
}

/// Opens and closes what the rows say.
pub struct Supervisor {
    faces: HashMap<&'static str, Arc<dyn Face>>,
    port_offset: u16,
    tls: Arc<ServerConfig>,
    state: Mutex<State>,
    failing: AtomicBool,
    unwritten: AtomicBool,
}

#[derive(Default)]
struct State {
    open: BTreeMap<i64, Open>,
    failed: BTreeMap<i64, Failed>,
    services: HashMap<&'static str, Running>,
    certificates: Vec<config::Certificate>,
    answers: Vec<config::acme::Answer>,
    certificate_error: Option<String>,
    written: Option<Status>,
}

struct Open {
    row: Arc<config::Listener>,
    listener: Listener,
}

struct Failed {
    row: config::Listener,
    error: String,
}

struct Running {
    stopper: Stopper,
    stop: Stop,
}

/// The rows of `live.service_status` and `live.listener_status`.
#[derive(Default, PartialEq, Clone)]
struct Status {
    services: Vec<String>,
    states: Vec<&'static str>,
    errors: Vec<Option<String>>,
    listeners: Vec<i64>,
    listener_services: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<i32>,
    listener_errors: Vec<Option<String>>,
}

impl Supervisor {
    /// A supervisor of these faces; nothing is open yet. The offset is added to every port.
    pub fn new(
        faces: Vec<Arc<dyn Face>>,
        control: &Control,
        port_offset: u16,
    ) -> Result<Arc<Self>, rustls::Error> {
        Ok(Arc::new(Self {
            faces: faces.into_iter().map(|face| (face.service(), face)).collect(),
            port_offset,
            tls: server_config(control.certificates.clone(), Oldest::Tls12, &[])?,
            state: Mutex::default(),
            failing: AtomicBool::new(false),
            unwritten: AtomicBool::new(true),
        }))
    }

    /// Makes what runs what the rows say.
    pub async fn reconcile(self: &Arc<Self>, control: &Arc<Control>) {
        let config = control.config();
        let mut state = self.state.lock().await;
        state.load_certificates(&config, control);
        state.load_answers(&config, control);
        self.close_unwanted(&mut state, &config).await;
        state.failed.clear();
        for row in &config.listeners {
            if self.wanted(row, &config) && !state.open.contains_key(&row.id) {
                self.open(&mut state, row, control);
            }
        }
        self.failing.store(!state.failed.is_empty(), Ordering::Relaxed);
    }

    /// Tries again what could not be opened.
    pub async fn retry_failed(self: &Arc<Self>, control: &Arc<Control>) {
        if self.failing.load(Ordering::Relaxed) {
            self.reconcile(control).await;
        }
    }

    fn wanted(&self, row: &config::Listener, config: &Config) -> bool {
        self.faces.contains_key(row.service.as_str())
            && config.service(&row.service).is_some_and(|s| s.enabled)
    }

    async fn close_unwanted(&self, state: &mut State, config: &Config) {
        for (name, face) in &self.faces {
            if !config.service(face.service()).is_some_and(|s| s.enabled)
                && let Some(running) = state.services.remove(name)
            {
                tracing::info!(service = name, "service stops");
                running.stopper.stop(config.stop_grace());
            }
        }
        let unwanted: Vec<i64> = state
            .open
            .iter()
            .filter(|(id, open)| {
                !config
                    .listeners
                    .iter()
                    .any(|row| row.id == **id && *row == *open.row && self.wanted(row, config))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in unwanted {
            if let Some(open) = state.open.remove(&id) {
                tracing::info!(
                    service = open.row.service,
                    address = open.row.address,
                    port = open.row.port,
                    "listener closes"
                );
                open.listener.stop().await;
            }
        }
    }

    fn open(self: &Arc<Self>, state: &mut State, row: &config::Listener, control: &Arc<Control>) {
        match self.try_open(state, row, control) {
            Ok(listener) => {
                tracing::info!(
                    service = row.service,
                    address = row.address,
                    port = self.port(row),
                    "listening"
                );
                state.open.insert(row.id, Open { row: Arc::new(row.clone()), listener });
            }
            Err(error) => {
                let known = state
                    .written
                    .as_ref()
                    .is_some_and(|w| w.listener_errors.iter().flatten().any(|e| *e == error));
                if !known {
                    tracing::error!(
                        service = row.service,
                        error,
                        "a listener could not be opened; it is tried again every few seconds"
                    );
                }
                state.failed.insert(row.id, Failed { row: row.clone(), error });
            }
        }
    }

    fn port(&self, row: &config::Listener) -> u32 {
        u32::from(row.port) + u32::from(self.port_offset)
    }

    fn try_open(
        self: &Arc<Self>,
        state: &mut State,
        row: &config::Listener,
        control: &Arc<Control>,
    ) -> Result<Listener, String> {
        let port = self.port(row);
        let port = u16::try_from(port)
            .map_err(|_| format!("port {port} (with the port offset) is above 65535: choose a lower one"))?;
        let address = match row.address.as_str() {
            "*" => Address::Any,
            text => Address::One(text.parse::<IpAddr>().map_err(|_| format!("\"{text}\" is no IP address"))?),
        };
        let face = self
            .faces
            .get(row.service.as_str())
            .cloned()
            .ok_or_else(|| format!("there is no service {}", row.service))?;
        let bound = bind(address, port).map_err(|e| e.to_string())?;
        let running = state.services.entry(face.service()).or_insert_with(|| {
            let (stopper, stop) = Stopper::new();
            Running { stopper, stop }
        });
        let door = Arc::new(Door {
            face,
            row: Arc::new(row.clone()),
            control: control.clone(),
            tls: self.tls.clone(),
            stop: running.stop.clone(),
        });
        Ok(Listener::start(bound, move |stream| door.arrived(stream)))
    }

    /// Writes the status tables when something in them has changed.
    pub async fn report(&self, control: &Control) -> Result<(), Error> {
        let status = {
            let state = self.state.lock().await;
            self.status(&state, control)
        };
        let unwritten = self.unwritten.swap(false, Ordering::Relaxed);
        let mut state = self.state.lock().await;
        if !unwritten && state.written.as_ref() == Some(&status) {
            return Ok(());
        }
        let outcome = control
            .db
            .execute(
                WRITE_STATUS,
                &[
                    &control.node.name,
                    &status.services,
                    &status.states,
                    &status.errors,
                    &status.listeners,
                    &status.listener_services,
                    &status.addresses,
                    &status.ports,
                    &status.listener_errors,
                ],
            )
            .await;
        match outcome {
            Ok(_) => state.written = Some(status),
            Err(error) => {
                self.unwritten.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Has the status tables written anew: the database has lost them.
    pub fn write_all_again(&self) {
        self.unwritten.store(true, Ordering::Relaxed);
    }

    fn status(&self, state: &State, control: &Control) -> Status {
        let mut status = Status::default();
        for service in &control.config().services {
            let Some(face) = self.faces.get(service.name.as_str()) else { continue };
            let errors: Vec<&str> = state
                .failed
                .values()
                .filter(|failed| failed.row.service == service.name)
                .map(|failed| failed.error.as_str())
                .chain(state.certificate_error.as_deref())
                .collect();
            let open = state.open.values().any(|open| open.row.service == service.name);
            status.services.push(service.name.clone());
            status.states.push(match (service.enabled, open) {
                (true, true) => "running",
                (true, false) => "failed",
                (false, _) if control.limits.connections(face.service()) > 0 => "stopping",
                (false, _) => "stopped",
            });
            let error = match (service.enabled, open, errors.is_empty()) {
                (true, false, true) => Some("it has no listener: add a row to control.listener".to_owned()),
                (true, _, false) => Some(errors.join("; ")),
                _ => None,
            };
            status.errors.push(error);
        }
        let open = state.open.values().map(|open| (&*open.row, None));
        let failed = state.failed.values().map(|failed| (&failed.row, Some(failed.error.clone())));
        for (row, error) in open.chain(failed) {
            status.listeners.push(row.id);
            status.listener_services.push(row.service.clone());
            status.addresses.push(row.address.clone());
            status.ports.push(self.port(row) as i32);
            status.listener_errors.push(error);
        }
        status
    }

    /// Closes all listeners, sends the sessions away and waits for them, no longer than the grace time.
    pub async fn stop(&self, control: &Control, grace: Duration) {
        let mut state = self.state.lock().await;
        for (_, open) in std::mem::take(&mut state.open) {
            open.listener.stop().await;
        }
        for (_, running) in state.services.drain() {
            running.stopper.stop(grace);
        }
        drop(state);
        let all_gone = async {
            while !control.registry.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        // Sessions that are being written to may need a moment beyond their grace to close.
        if tokio::time::timeout(grace + Duration::from_secs(4), all_gone).await.is_err() {
            tracing::warn!(
                sessions = control.registry.len(),
                "sessions that did not end in time are cut off"
            );
        }
    }

    /// What listens, for people: service, TLS, address and port.
    pub async fn listening(&self) -> Vec<(config::Listener, u32)> {
        let state = self.state.lock().await;
        state.open.values().map(|open| ((*open.row).clone(), self.port(&open.row))).collect()
    }

    /// What could not be opened, and why.
    pub async fn failures(&self) -> Vec<String> {
        let state = self.state.lock().await;
        state.failed.values().map(|failed| format!("{}: {}", failed.row.service, failed.error)).collect()
    }
}

impl State {
    fn load_certificates(&mut self, config: &Config, control: &Control) {
        if self.certificates == config.certificates {
            return;
        }
        let mut usable = Vec::new();
        let mut errors = Vec::new();
        for row in &config.certificates {
            match Certified::from_pem(row.chain.as_bytes(), row.key.as_bytes(), &row.names) {
                Ok(certified) => {
                    if certified.expired(jiff::Timestamp::now()) {
                        errors.push(format!(
                            "certificate {} ({}) has expired",
                            row.id,
                            certified.names.join(", ")
                        ));
                    }
                    usable.push(certified);
                }
                Err(error) => errors.push(format!("certificate {}: {error}", row.id)),
            }
        }
        control.certificates.replace(&usable);
        self.certificates.clone_from(&config.certificates);
        self.certificate_error = (!errors.is_empty()).then(|| errors.join("; "));
        if let Some(error) = &self.certificate_error {
            tracing::error!(error, "certificates");
        }
    }
}

impl State {
    /// What an authority is shown that asks by TLS whether a name is ours.
    fn load_answers(&mut self, config: &Config, control: &Control) {
        if self.answers == config.acme.answers {
            return;
        }
        let mut answers = Vec::new();
        for (name, chain, key) in config.acme.tls_answers() {
            match read_acme_answer(chain, key) {
                Ok(answer) => answers.push((name.to_owned(), answer)),
                Err(error) => tracing::error!(name, %error, "an answer to a certificate authority"),
            }
        }
        control.certificates.answer(answers);
        self.answers.clone_from(&config.acme.answers);
    }
}

/// What a listener does with those who come.
struct Door {
    face: Arc<dyn Face>,
    row: Arc<config::Listener>,
    control: Arc<Control>,
    tls: Arc<ServerConfig>,
    stop: Stop,
}

impl Control {
    /// Whether connection control and limits let a peer in to a service; it is counted then.
    ///
    /// # Errors
    /// Why not; it is logged.
    pub fn admit(&self, service: &'static str, peer: SocketAddr) -> Result<Guard, Refused> {
        let caps = self.caps(service, peer)?;
        self.limits.admit(service, peer.ip(), caps).map_err(|refusal| too_many(service, peer, &refusal))
    }

    /// Counts a connection that is in for another client, of whom a proxy has told, if that one may come in.
    ///
    /// # Errors
    /// Why not; it is logged.
    pub fn admit_for(
        &self,
        guard: &mut Guard,
        service: &'static str,
        peer: SocketAddr,
    ) -> Result<(), Refused> {
        let caps = self.caps(service, peer)?;
        guard.move_to(peer.ip(), caps.peer).map_err(|refusal| too_many(service, peer, &refusal))
    }

    /// How many connections a client that may come in may have.
    fn caps(&self, service: &'static str, peer: SocketAddr) -> Result<Caps, Refused> {
        let config = self.config();
        let row = config.service(service).ok_or(Refused::Denied)?;
        if !config.permits(row, peer.ip()) {
            tracing::info!(service, %peer, "not let in by connection control");
            return Err(Refused::Denied);
        }
        let cap = |limit: u32| (limit > 0).then_some(limit);
        Ok(Caps { total: cap(row.max_connections), peer: cap(row.max_connections_per_peer) })
    }
}

fn too_many(service: &'static str, peer: SocketAddr, refusal: &Refusal) -> Refused {
    tracing::info!(service, %peer, %refusal, "not let in");
    Refused::TooMany
}

impl Door {
    fn arrived(self: &Arc<Self>, mut stream: Stream) {
        if !self.control.config().is_listed(self.row.proxy_ip_list_id, stream.peer().ip()) {
            return self.enter(stream);
        }
        let door = self.clone();
        tokio::spawn(async move {
            let proxy = stream.peer();
            let mut stop = door.stop.clone();
            let received = tokio::select! {
                received = proxy::receive(&mut stream, PROXY_HEADER) => received,
                // Nothing has begun yet.
                _ = stop.wait() => return,
            };
            match received {
                Ok(()) => door.enter(stream),
                Err(error) => tracing::info!(%proxy, %error, "a proxy was not understood and is cut off"),
            }
        });
    }

    fn enter(&self, stream: Stream) {
        let peer = stream.peer();
        let guard = match self.control.admit(self.face.service(), peer) {
            Ok(guard) => guard,
            Err(why) => return self.refuse(stream, why),
        };
        let handle = self.control.registry.enter(self.face.service(), self.row.id, peer);
        let id = handle.id();
        let terms = Terms {
            tls: match self.row.tls {
                TlsMode::None => Tls::Off,
                TlsMode::Starttls => Tls::Offered(self.tls.clone()),
                TlsMode::Implicit => Tls::Implicit(self.tls.clone()),
            },
            handshake: HANDSHAKE,
            write: WRITE,
            stop: self.stop.clone(),
            termination: handle.termination(),
        };
        let connection = Connection {
            stream,
            terms,
            listener: self.row.clone(),
            handle,
            guard,
            control: self.control.clone(),
        };
        // Whatever is said within the session is said of it. Of the gravest level, so that no setting leaves it out.
        let session = tracing::error_span!(
            "session",
            service = self.face.service(),
            session = id,
            %peer,
            login = tracing::field::Empty
        );
        tokio::spawn(self.face.serve(connection).instrument(session));
    }

    /// Says why, where that can be said without a handshake.
    fn refuse(&self, mut stream: Stream, why: Refused) {
        if self.row.tls == TlsMode::Implicit {
            return;
        }
        let words = self.face.refusal(why);
        tokio::spawn(async move {
            // Whoever does not listen to the refusal is cut off without it.
            let told = tokio::time::timeout(REFUSAL, async {
                stream.write_all(words).await?;
                stream.shutdown().await
            });
            if let Ok(Err(error)) = told.await {
                tracing::debug!(%error, "a refusal could not be sent");
            }
        });
    }
}
