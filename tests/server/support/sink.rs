//! Other people's mail servers: SMTP sinks in the test process that do what a [`Script`] says, well or badly.
//!
//! Everything that comes in is kept and can be looked at: messages with their envelopes, and sessions with all that was
//! said. A sink waits or hangs where its script says so: it plays a slow server, it doesn't wait for an event.
//! A message is kept before it is answered, so a sink knows which answers were lost.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::PATIENCE;
use super::ca::Identity;

/// What a sink offers and how it misbehaves. `Script::default()` is a good server without TLS.
#[derive(Debug, Clone)]
pub struct Script {
    /// Keywords of the answer to EHLO, with their parameters. STARTTLS and AUTH are not among them: they follow from
    /// `tls` and `login`.
    pub keywords: Vec<String>,
    /// How TLS goes.
    pub tls: Tls,
    /// User and password that must be given before MAIL.
    pub login: Option<(String, String)>,
    /// What goes wrong, and how often.
    pub faults: Vec<Fault>,
    /// Connections that are taken; those that follow are closed without a word.
    pub max_connections: usize,
    /// Messages in one connection; MAIL is answered 421 after that.
    pub max_messages: usize,
    /// Whether commands that come before the last one's answer are lost, as with old servers.
    pub forgets_pipelined: bool,
}

/// How TLS goes at a sink.
#[derive(Debug, Clone)]
pub enum Tls {
    /// There is none.
    None,
    /// STARTTLS, with this certificate.
    Offered(Identity),
    /// From the first byte.
    Implicit(Identity),
    /// STARTTLS is offered and answered 454.
    Refused,
    /// STARTTLS is answered 220, and then comes no TLS.
    Garbage,
    /// STARTTLS is answered 220, and the connection closed.
    Closed,
}

/// Where something goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The greeting.
    Connect,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS.
    StartTls,
    /// AUTH, and its response.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// RCPT with this address.
    RcptOf(String),
    /// DATA.
    Data,
    /// Within the message: only [`Act::Drop`] and [`Act::Delay`] mean something.
    Body,
    /// The message's end, of DATA or the last BDAT. With [`Act::Drop`] its answer is lost: the sink has the message.
    End,
    /// RSET, NOOP.
    Reset,
    /// QUIT.
    Quit,
}

/// What is done instead of answering well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// This reply, one or more lines without the last line's end. The connection is closed after a 421.
    Reply(String),
    /// The connection is closed.
    Drop,
    /// Nothing is ever said again.
    Hang,
    /// A while passes first.
    Delay(Duration),
    /// The answer comes byte by byte, so much between two of them.
    Drip(Duration),
    /// Lines of one reply, without end.
    Flood,
    /// A reply of one line with so many bytes.
    Line(usize),
    /// The answer, and then this reply that nobody has asked for.
    Extra(String),
}

/// A fault, and how often it happens yet.
#[derive(Debug, Clone)]
pub struct Fault {
    at: At,
    act: Act,
    left: usize,
}

impl Default for Script {
    fn default() -> Self {
        let keywords = [
            "PIPELINING",
            "SIZE 104857600",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "DSN",
            "ENHANCEDSTATUSCODES",
        ];
        Script {
            keywords: keywords.map(str::to_owned).to_vec(),
            tls: Tls::None,
            login: None,
            faults: Vec::new(),
            max_connections: usize::MAX,
            max_messages: usize::MAX,
            forgets_pipelined: false,
        }
    }
}

impl Script {
    /// A server of 1982: nothing is offered, and EHLO is unknown.
    pub fn plain() -> Script {
        let script = Script { keywords: Vec::new(), ..Script::default() };
        script.always(At::Ehlo, Act::reply("502 5.5.1 What is EHLO?"))
    }

    /// Offers this as well.
    pub fn offer(mut self, keyword: &str) -> Script {
        self.keywords.push(keyword.to_owned());
        self
    }

    /// Doesn't offer this.
    pub fn without(mut self, keyword: &str) -> Script {
        self.keywords.retain(|k| k.split(' ').next() != Some(keyword));
        self
    }

    /// TLS goes so.
    pub fn tls(self, tls: Tls) -> Script {
        Script { tls, ..self }
    }

    /// Who sends must log in.
    pub fn login(self, user: &str, password: &str) -> Script {
        Script { login: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// This goes wrong once.
    pub fn once(self, at: At, act: Act) -> Script {
        self.times(1, at, act)
    }

    /// This goes wrong always.
    pub fn always(self, at: At, act: Act) -> Script {
        self.times(usize::MAX, at, act)
    }

    /// This goes wrong so many times.
    pub fn times(mut self, left: usize, at: At, act: Act) -> Script {
        self.faults.push(Fault { at, act, left });
        self
    }
}

impl Act {
    /// A reply.
    pub fn reply(text: &str) -> Act {
        Act::Reply(text.to_owned())
    }
}

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
        let mut acts = Vec::new();
        for fault in &mut self.script().faults {
            if at.contains(&fault.at) && fault.left > 0 {
                fault.left = fault.left.saturating_sub(usize::from(fault.left < usize::MAX));
                acts.push(fault.act.clone());
            }
        }
        acts
    }
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

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// The connection is over.
struct End;

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> End {
        End
    }
}

struct Connection {
    wire: Box<dyn Wire>,
    unread: Vec<u8>,
    peer: SocketAddr,
    number: usize,
    shared: Arc<Shared>,
    helo: String,
    tls: Option<TlsSeen>,
    login: Option<String>,
    mail: Option<String>,
    recipients: Vec<String>,
    chunks: Vec<u8>,
    messages: usize,
}

impl Connection {
    fn new(stream: TcpStream, peer: SocketAddr, number: usize, shared: Arc<Shared>) -> Connection {
        Connection {
            wire: Box::new(stream),
            unread: Vec::new(),
            peer,
            number,
            shared,
            helo: String::new(),
            tls: None,
            login: None,
            mail: None,
            recipients: Vec::new(),
            chunks: Vec::new(),
            messages: 0,
        }
    }

    async fn run(&mut self) -> Result<(), End> {
        let tls = self.shared.script().tls.clone();
        if let Tls::Implicit(identity) = &tls {
            self.handshake(identity).await?;
        }
        self.answer(&[At::Connect], "220 sink.test ESMTP").await?;
        loop {
            let line = self.line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    self.helo = rest.to_owned();
                    self.forget();
                    let text = self.greeting();
                    self.answer(&[At::Ehlo], &text).await?;
                }
                "HELO" => {
                    self.helo = rest.to_owned();
                    self.forget();
                    self.answer(&[At::Helo], "250 sink.test").await?;
                }
                "STARTTLS" => self.start_tls(&tls).await?,
                "AUTH" => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "BDAT" => self.bdat(rest).await?,
                "RSET" => {
                    self.forget();
                    self.answer(&[At::Reset], "250 2.0.0 Forgotten").await?;
                }
                "NOOP" => self.say(&[At::Reset], "250 2.0.0 Nothing done").await?,
                "QUIT" => {
                    self.answer(&[At::Quit], "221 2.0.0 Bye").await?;
                    return Err(End);
                }
                _ => self.say(&[], "500 5.5.2 What?").await?,
            }
        }
    }

    fn greeting(&self) -> String {
        let script = self.shared.script();
        let mut lines = vec!["sink.test".to_owned()];
        lines.extend(script.keywords.iter().cloned());
        if self.tls.is_none() && !matches!(script.tls, Tls::None | Tls::Implicit(_)) {
            lines.push("STARTTLS".to_owned());
        }
        if script.login.is_some() {
            lines.push("AUTH PLAIN LOGIN".to_owned());
        }
        let last = lines.len() - 1;
        let line = |(n, text)| format!("250{}{text}", if n == last { ' ' } else { '-' });
        lines.into_iter().enumerate().map(line).collect::<Vec<_>>().join("\r\n")
    }

    fn forget(&mut self) {
        self.mail = None;
        self.recipients.clear();
        self.chunks.clear();
    }

    async fn start_tls(&mut self, tls: &Tls) -> Result<(), End> {
        match tls {
            Tls::None | Tls::Implicit(_) => self.say(&[At::StartTls], "502 5.5.1 No TLS here").await?,
            Tls::Refused => self.say(&[At::StartTls], "454 4.7.0 TLS is not available").await?,
            Tls::Garbage => {
                self.answer(&[At::StartTls], "220 2.0.0 Go ahead").await?;
                self.wire.write_all(b"this is no TLS at all, and goes on for a while\r\n").await?;
                return Err(End);
            }
            Tls::Closed => {
                self.answer(&[At::StartTls], "220 2.0.0 Go ahead").await?;
                return Err(End);
            }
            Tls::Offered(identity) => {
                if self.answer(&[At::StartTls], "220 2.0.0 Go ahead").await? {
                    self.unread.clear();
                    self.forget();
                    self.handshake(identity).await?;
                }
            }
        }
        Ok(())
    }

    async fn handshake(&mut self, identity: &Identity) -> Result<(), End> {
        let wire = std::mem::replace(&mut self.wire, Box::new(tokio::io::empty()));
        let stream = TlsAcceptor::from(server_config(identity)).accept(wire).await?;
        let (_, session) = stream.get_ref();
        let seen = TlsSeen {
            version: format!("{:?}", session.protocol_version().unwrap()),
            sni: session.server_name().map(str::to_owned),
            client_certificate: session.peer_certificates().map(|chain| chain[0].to_vec()),
        };
        self.shared.sessions()[self.number - 1].tls = Some(seen.clone());
        self.tls = Some(seen);
        self.wire = Box::new(stream);
        Ok(())
    }

    async fn auth(&mut self, words: &str) -> Result<(), End> {
        let (mechanism, initial) = words.split_once(' ').unwrap_or((words, ""));
        let decode =
            |text: &str| String::from_utf8_lossy(&STANDARD.decode(text).unwrap_or_default()).into_owned();
        let given = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let mut response = initial.to_owned();
                if response.is_empty() {
                    self.write("334 \r\n").await?;
                    response = self.line().await?;
                }
                let text = decode(&response);
                let mut parts = text.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            "LOGIN" => {
                let mut user = initial.to_owned();
                if user.is_empty() {
                    self.write("334 VXNlcm5hbWU6\r\n").await?;
                    user = self.line().await?;
                }
                self.write("334 UGFzc3dvcmQ6\r\n").await?;
                let password = self.line().await?;
                Some((decode(&user), decode(&password)))
            }
            _ => return self.say(&[At::Auth], "504 5.5.4 No such mechanism").await,
        };
        let expected = self.shared.script().login.clone();
        let right = given.is_some() && given == expected;
        let text = if right { "235 2.7.0 Welcome" } else { "535 5.7.8 Wrong" };
        if self.answer(&[At::Auth], text).await? {
            self.login = given.map(|(user, _)| user);
        }
        Ok(())
    }

    async fn mail(&mut self, rest: &str) -> Result<(), End> {
        let (full, shut) = {
            let script = self.shared.script();
            (self.messages >= script.max_messages, script.login.is_some() && self.login.is_none())
        };
        let text = match (full, shut, self.mail.is_some()) {
            (true, ..) => "421 4.7.0 Enough for one connection",
            (_, true, _) => "530 5.7.0 Log in first",
            (.., true) => "503 5.5.1 There is a sender already",
            _ => "250 2.1.0 Sender fine",
        };
        if self.answer(&[At::Mail], text).await? {
            self.mail = Some(after_colon(rest));
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> Result<(), End> {
        let recipient = after_colon(rest);
        let places = [At::Rcpt, At::RcptOf(path(&recipient).to_owned())];
        let text =
            if self.mail.is_some() { "250 2.1.5 Recipient fine" } else { "503 5.5.1 MAIL comes first" };
        if self.answer(&places, text).await? {
            self.recipients.push(recipient);
        }
        Ok(())
    }

    async fn data(&mut self) -> Result<(), End> {
        let text = if self.recipients.is_empty() { "554 5.5.1 No recipients" } else { "354 Go on" };
        if !self.answer(&[At::Data], text).await? {
            return Ok(());
        }
        let mut searched = 0;
        let mut body = self.shared.acts(&[At::Body]);
        let end = loop {
            if self.unread.starts_with(b".\r\n") {
                break 0;
            }
            let found = self.unread.windows(5).skip(searched).position(|five| five == b"\r\n.\r\n");
            if let Some(at) = found {
                break searched + at + 2;
            }
            searched = self.unread.len().saturating_sub(4);
            self.more().await?;
            for act in body.drain(..) {
                match act {
                    Act::Drop => return Err(End),
                    Act::Delay(time) => tokio::time::sleep(time).await,
                    _ => {}
                }
            }
        };
        let stuffed: Vec<u8> = self.unread.drain(..end + 3).take(end).collect();
        let mut bytes = Vec::with_capacity(stuffed.len());
        for line in stuffed.split_inclusive(|byte| *byte == b'\n') {
            bytes.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        }
        self.keep(bytes, false).await
    }

    async fn bdat(&mut self, rest: &str) -> Result<(), End> {
        let mut words = rest.split(' ');
        let size: usize = words.next().and_then(|word| word.parse().ok()).ok_or(End)?;
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        while self.unread.len() < size {
            self.more().await?;
        }
        self.chunks.extend(self.unread.drain(..size));
        if self.recipients.is_empty() {
            return self.say(&[At::Data], "503 5.5.1 No recipients").await;
        }
        if self.shared.acts(&[At::Body]).contains(&Act::Drop) {
            return Err(End);
        }
        if !last {
            return self.say(&[At::Data], "250 2.0.0 Go on").await;
        }
        let bytes = std::mem::take(&mut self.chunks);
        self.keep(bytes, true).await
    }

    /// The message is whole: keeps it, then answers.
    async fn keep(&mut self, bytes: Vec<u8>, chunked: bool) -> Result<(), End> {
        let acts = self.shared.acts(&[At::End]);
        let good = format!("250 2.0.0 Taken as {}-{}", self.number, self.messages + 1);
        let text = acts.iter().find_map(|act| match act {
            Act::Reply(text) => Some(text.clone()),
            _ => None,
        });
        let text = text.unwrap_or(good);
        let received = Received {
            helo: self.helo.clone(),
            mail_from: self.mail.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
            bytes,
            chunked,
            tls: self.tls.clone(),
            login: self.login.clone(),
            peer: self.peer,
            connection: self.number,
            commands: self.shared.sessions()[self.number - 1].commands.clone(),
            answer: String::new(),
            at: Instant::now(),
        };
        self.messages += 1;
        let mut place = None;
        if text.starts_with('2') {
            let mut all = self.shared.received();
            all.push(received);
            place = Some(all.len() - 1);
        }
        self.shared.changed.send_replace(());
        self.act(acts, &text).await?;
        if let Some(place) = place
            && let Some(message) = self.shared.received().get_mut(place)
        {
            (message.answer, message.at) = (text, Instant::now());
        }
        Ok(())
    }

    // Speaking and hearing ----------------------------------------------------------------------------------------

    /// Answers, well or as the script says; returns whether the answer was a good one.
    async fn answer(&mut self, at: &[At], good: &str) -> Result<bool, End> {
        let acts = self.shared.acts(at);
        self.act(acts, good).await
    }

    async fn say(&mut self, at: &[At], good: &str) -> Result<(), End> {
        self.answer(at, good).await.map(|_| ())
    }

    async fn act(&mut self, acts: Vec<Act>, good: &str) -> Result<bool, End> {
        let mut text = good.to_owned();
        let mut drip = None;
        let mut extra = String::new();
        for act in acts {
            match act {
                Act::Reply(reply) => text = reply,
                Act::Drop => return Err(End),
                Act::Hang => std::future::pending().await,
                Act::Delay(time) => tokio::time::sleep(time).await,
                Act::Drip(pause) => drip = Some(pause),
                Act::Flood => loop {
                    self.write(&"250-and another thing\r\n".repeat(100)).await?;
                },
                Act::Line(size) => text = format!("250 {}", "x".repeat(size.saturating_sub(6))),
                Act::Extra(reply) => extra = format!("{reply}\r\n"),
            }
        }
        let bytes = format!("{text}\r\n{extra}");
        match drip {
            None => self.write(&bytes).await?,
            Some(pause) => {
                for byte in bytes.chars() {
                    self.write(byte.encode_utf8(&mut [0; 4])).await?;
                    tokio::time::sleep(pause).await;
                }
            }
        }
        if self.shared.script().forgets_pipelined {
            self.unread.clear();
        }
        if text.starts_with("421") {
            return Err(End);
        }
        Ok(text.starts_with(['2', '3']))
    }

    async fn write(&mut self, text: &str) -> Result<(), End> {
        self.wire.write_all(text.as_bytes()).await?;
        self.wire.flush().await?;
        Ok(())
    }

    async fn line(&mut self) -> Result<String, End> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                let mut sessions = self.shared.sessions();
                let session = &mut sessions[self.number - 1];
                session.commands.push(line.clone());
                // A chunk follows its command at once; that is no pipelining.
                session.pipelined |= !self.unread.is_empty() && !line.starts_with("BDAT");
                drop(sessions);
                self.shared.changed.send_replace(());
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), End> {
        match self.wire.read_buf(&mut self.unread).await? {
            0 => Err(End),
            _ => Ok(()),
        }
    }
}

/// `FROM:<a@b> SIZE=1` without its first word.
fn after_colon(rest: &str) -> String {
    rest.split_once(':').map_or(rest, |(_, rest)| rest).trim_start().to_owned()
}

/// The path at the start, without its brackets.
fn path(text: &str) -> &str {
    let path = text.split_once('>').map_or(text, |(path, _)| path);
    path.trim_start_matches('<')
}

fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(Arc::new(AskAny(provider)))
        .with_cert_resolver(Arc::new(Always(identity.certified_key())));
    Arc::new(config)
}

/// The same certificate whatever name is asked for.
#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// Asks clients for a certificate, and takes any or none.
#[derive(Debug)]
struct AskAny(Arc<rustls::crypto::CryptoProvider>);

impl ClientCertVerifier for AskAny {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Postfix's smtp-sink: takes mail fast, and forgets it. It ends with this value.
pub struct SmtpSink {
    child: Child,
    address: SocketAddr,
}

/// Starts smtp-sink on an address of this host and a free port.
pub async fn smtp_sink(ip: &str) -> SmtpSink {
    let reserved = std::net::TcpListener::bind((ip, 0)).unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let program = ["/usr/sbin/smtp-sink", "smtp-sink"]
        .into_iter()
        .find(|p| !p.starts_with('/') || std::path::Path::new(p).exists());
    let mut command = Command::new(program.unwrap());
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } == 0 {
        command.args(["-u", "nobody"]);
    }
    command.arg(address.to_string()).arg("1000").stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().expect("smtp-sink (apt install postfix)");
    let sink = SmtpSink { child, address };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "smtp-sink does not listen on {address}");
        tokio::task::yield_now().await;
    }
    sink
}

impl SmtpSink {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
