//! Other people's mail servers: SMTP sinks in the test process that do what a [`Script`] says, well or badly.
//!
//! Everything that comes in is kept and can be looked at: messages with their envelopes, and sessions with all that was
//! said. A sink waits or hangs where its script says so: it plays a slow server, it doesn't wait for an event.
//! A message is kept before it is answered, so a sink knows which answers were lost.

mod connection;
mod postfix;
mod script;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use connection::{Connection, End};
pub use postfix::{SmtpSink, smtp_sink};
pub use script::{Act, At, Fault, Script, Tls};

use super::PATIENCE;

/// What was seen of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSeen {
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// The host name that was asked for.
    pub sni: Option<String>,
    /// The client's own certificate, DER.
    pub client_certificate: Option<Vec<u8>>,
}

/// A message as it was received.
#[derive(Debug, Clone)]
pub struct Received {
    /// The name after EHLO or HELO.
    pub helo: String,
    /// What stood after `MAIL FROM:`, parameters included.
    pub mail_from: String,
    /// What stood after `RCPT TO:`, parameters included; those that were accepted.
    pub recipients: Vec<String>,
    /// The message, dots undone.
    pub bytes: Vec<u8>,
    /// Whether it came by BDAT.
    pub chunked: bool,
    /// Its connection's TLS.
    pub tls: Option<TlsSeen>,
    /// Who had logged in.
    pub login: Option<String>,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// All commands of its session so far.
    pub commands: Vec<String>,
    /// The sink's answer to it. Empty = it was not given: the answer is lost.
    pub answer: String,
    /// When that was given, or the message kept.
    pub at: Instant,
}

impl Received {
    /// The reverse path without brackets.
    pub fn sender(&self) -> &str {
        path(&self.mail_from)
    }

    /// The forward paths without brackets.
    pub fn addresses(&self) -> Vec<&str> {
        self.recipients.iter().map(|recipient| path(recipient)).collect()
    }

    /// Whether the answer to it was lost.
    pub fn answer_lost(&self) -> bool {
        self.answer.is_empty()
    }

    /// The message as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A session, whatever became of it.
#[derive(Debug, Clone)]
pub struct Session {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Its TLS.
    pub tls: Option<TlsSeen>,
    /// All commands, without their line ends.
    pub commands: Vec<String>,
    /// Whether a command came before the one before it was answered.
    pub pipelined: bool,
    /// Whether its connection has ended.
    pub ended: bool,
    /// When it has.
    pub ended_at: Option<Instant>,
}

/// A running sink; it ends with this value.
pub struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    listening: JoinHandle<()>,
}

struct Shared {
    script: Mutex<Script>,
    received: Mutex<Vec<Received>>,
    sessions: Mutex<Vec<Session>>,
    changed: watch::Sender<()>,
}

impl Sink {
    /// Starts one on this address of the host (127.0.0.2, say, or one of [`loopback`]); port 0 is any.
    pub async fn start(ip: &str, port: u16, script: Script) -> Sink {
        let ip: IpAddr = ip.parse().unwrap();
        let listener =
            TcpListener::bind((ip, port)).await.unwrap_or_else(|e| panic!("{ip} port {port}: {e}"));
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            received: Mutex::default(),
            sessions: Mutex::default(),
            changed: watch::Sender::new(()),
        });
        let listening = tokio::spawn(listen(listener, shared.clone()));
        Sink { shared, address, listening }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All messages that it has accepted, those with a lost answer included, in their order.
    pub fn messages(&self) -> Vec<Received> {
        self.shared.received().clone()
    }

    /// How many these are.
    pub fn count(&self) -> usize {
        self.shared.received().len()
    }

    /// Waits until there are so many messages, and returns all.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} messages");
        self.wait_until(&what, PATIENCE, || self.count() >= count).await;
        self.messages()
    }

    /// Waits until the sink has seen what is asked for; fails when nothing new comes within the limit.
    pub async fn wait_until(&self, what: &str, silence: Duration, mut is_there: impl FnMut() -> bool) {
        let mut changed = self.shared.changed.subscribe();
        while !is_there() {
            if tokio::time::timeout(silence, changed.changed()).await.is_err() {
                panic!(
                    "the sink {} has not seen {what}, but {} messages, and these sessions:\n{:#?}",
                    self.address,
                    self.count(),
                    self.sessions()
                );
            }
        }
    }

    /// Waits until so many sessions have been begun, and returns all.
    pub async fn wait_for_sessions(&self, count: usize) -> Vec<Session> {
        let what = format!("{count} sessions");
        self.wait_until(&what, PATIENCE, || self.connections() >= count).await;
        self.sessions()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.sessions().len()
    }

    /// All sessions, in their order.
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.sessions().clone()
    }

    /// Changes what it does, from the next command on; TLS from the next connection on.
    pub fn change(&self, change: impl FnOnce(Script) -> Script) {
        let mut script = self.shared.script();
        *script = change(script.clone());
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.script().faults.clear();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// An address of this host that no other test uses: a port that is free on it is free on the next one as well, so that
/// several sinks can have the same port.
pub fn loopback() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // 127.64.0.0/10, an eighth of which belongs to this process: the processes of one machine have different ids.
    let place = (std::process::id() % 2048) * 2048 + number % 2046 + 1;
    Ipv4Addr::from(0x7f40_0000 | place).to_string()
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    fn received(&self) -> MutexGuard<'_, Vec<Received>> {
        self.received.lock().unwrap()
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap()
    }

    /// What goes wrong there now.
    fn acts(&self, at: &[At]) -> Vec<Act> {
        self.script().acts(at)
    }
}

/// The path at the start, without its brackets.
fn path(text: &str) -> &str {
    let path = text.split_once('>').map_or(text, |(path, _)| path);
    path.trim_start_matches('<')
}

async fn listen(listener: TcpListener, shared: Arc<Shared>) {
    // Ends with this task, and all connections with it.
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        number += 1;
        if number > shared.script().max_connections {
            continue;
        }
        stream.set_nodelay(true).ok();
        let session =
            Session { peer, tls: None, commands: Vec::new(), pipelined: false, ended: false, ended_at: None };
        shared.sessions().push(session);
        shared.changed.send_replace(());
        let shared = shared.clone();
        connections.spawn(async move {
            let mut connection = Connection::new(stream, peer, number, shared.clone());
            // How a connection ends is no fault of the sink's.
            let _: Result<(), End> = connection.run().await;
            {
                let session = &mut shared.sessions()[number - 1];
                (session.ended, session.ended_at) = (true, Some(Instant::now()));
            }
            shared.changed.send_replace(());
        });
    }
}
