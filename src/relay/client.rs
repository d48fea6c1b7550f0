//! The client's side of an SMTP connection (RFC 5321 §3): connect, EHLO, STARTTLS, AUTH, commands and replies.
//!
//! The other server is as hostile as any client: what it says is bounded ([`ReplyParser`]), every wait has a limit, and what it
//! sent in plain text behind its answer to STARTTLS is never looked at. Nothing here knows the queue.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls_report::{Fault, Finding};
use crate::smtp::answer::ReplyParser;
use crate::smtp::reply::{Outcome, Reply};
use crate::tls::client::{self, Observed};

/// Input read at once, bytes.
const READ: usize = 16 * 1024;
/// Output that is gathered before it is sent, bytes.
pub(super) const PAGE: usize = 64 * 1024;

/// How long each wait may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) connect: Duration,
    pub(super) reply: Duration,
    pub(super) data: Duration,
    pub(super) end: Duration,
}

/// What went wrong with a connection.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    /// The network, or words that are no SMTP. The connection is of no more use.
    #[error("{0}")]
    Broken(String),
    /// TLS could not be had. The connection is of no more use.
    #[error("{}", .0.why)]
    Tls(Fault),
    /// The server does not want to talk to us, or to log us in.
    #[error("{0}")]
    Refused(String),
}

/// TLS as it is wanted.
#[derive(Clone)]
pub(super) struct TlsWish {
    /// Verifies what is to be verified.
    pub(super) config: Arc<ClientConfig>,
    /// Whom we mean to talk to.
    pub(super) name: ServerName<'static>,
    /// Whether plain text will not do.
    pub(super) must: bool,
    /// What a successful handshake has verified, for people: `DANE`, `MTA-STS`, `unverified`.
    pub(super) verified: &'static str,
    /// What there was to say against the certificate, where nothing is demanded of it.
    pub(super) observed: Option<Observed>,
    /// Whether DNSSEC or a policy vouches for the server's name.
    pub(super) secure: bool,
}

/// How a connection is to be made.
pub(super) struct Plan<'a> {
    pub(super) source: Option<IpAddr>,
    pub(super) helo: &'a str,
    pub(super) tls: Option<TlsWish>,
    /// TLS from the first byte.
    pub(super) implicit: bool,
    pub(super) login: Option<(&'a str, &'a str)>,
    pub(super) waits: Waits,
}

/// What a server offers (its EHLO keywords).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) pipelining: bool,
    /// 0 is: no limit told.
    pub(super) size: Option<u64>,
    pub(super) eight_bit: bool,
    pub(super) chunking: bool,
    pub(super) binary: bool,
    pub(super) utf8: bool,
    pub(super) dsn: bool,
    pub(super) start_tls: bool,
    pub(super) require_tls: bool,
    pub(super) deliver_by: bool,
    pub(super) priority: bool,
    pub(super) auth: Vec<String>,
    /// RCPTMAX (RFC 9422).
    pub(super) max_recipients: Option<usize>,
}

impl Offer {
    fn read(reply: &Reply) -> Self {
        let mut offer = Self::default();
        for line in reply.lines().skip(1) {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "PIPELINING" => offer.pipelining = true,
                "SIZE" => offer.size = Some(words.next().and_then(|n| n.parse().ok()).unwrap_or(0)),
                "8BITMIME" => offer.eight_bit = true,
                "CHUNKING" => offer.chunking = true,
                "BINARYMIME" => offer.binary = true,
                "SMTPUTF8" => offer.utf8 = true,
                "DSN" => offer.dsn = true,
                "STARTTLS" => offer.start_tls = true,
                "REQUIRETLS" => offer.require_tls = true,
                "DELIVERBY" => offer.deliver_by = true,
                "MT-PRIORITY" => offer.priority = true,
                // Old servers write AUTH=LOGIN.
                "AUTH" => offer.auth.extend(words.map(str::to_ascii_uppercase)),
                "LIMITS" => {
                    let limits = line.split(' ').filter_map(|word| word.split_once('='));
                    let most = limits.filter(|(name, _)| name.eq_ignore_ascii_case("RCPTMAX"));
                    offer.max_recipients = most.filter_map(|(_, n)| n.parse().ok()).find(|n| *n > 0);
                }
                _ => {}
            }
        }
        offer
    }
}

/// A connection to another server, greeted and ready for a message.
pub(super) struct Connection {
    io: Io,
    input: BytesMut,
    output: BytesMut,
    parser: ReplyParser,
    waits: Waits,
    pub(super) peer: SocketAddr,
    /// The name of the server as we know it.
    pub(super) host: String,
    pub(super) offer: Offer,
    /// Version, cipher and what was verified.
    pub(super) tls: Option<String>,
    /// Whether TLS proved whom we are talking to.
    pub(super) authenticated: bool,
    /// What there is to say against its TLS, which is in use all the same.
    pub(super) doubt: Option<Fault>,
    /// Servers that might do for a message that requires TLS could not be reached, and this one does not.
    pub(super) passed_over: bool,
    /// Messages sent over it.
    pub(super) sent: u32,
    /// Something of an earlier transaction may still be open.
    pub(super) unfinished: bool,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Closed,
}

impl Connection {
    /// Connects, greets, and secures and logs in as the plan says.
    pub(super) async fn open(host: &str, peer: SocketAddr, plan: &Plan<'_>) -> Result<Self, Trouble> {
        let tcp = connect(peer, plan).await?;
        let mut connection = Self {
            io: Io::Plain(tcp),
            input: BytesMut::new(),
            output: BytesMut::new(),
            parser: ReplyParser::new(),
            waits: plan.waits,
            peer,
            host: host.to_owned(),
            offer: Offer::default(),
            tls: None,
            authenticated: false,
            doubt: None,
            passed_over: false,
            sent: 0,
            unfinished: false,
        };
        if plan.implicit
            && let Some(wish) = &plan.tls
        {
            connection.secure(wish).await?;
        }
        let greeting = connection.reply(plan.waits.reply).await?;
        if greeting.outcome() != Outcome::Done {
            return Err(Trouble::Refused(format!("greeted with {}", text(&greeting))));
        }
        connection.hello(plan.helo).await?;
        if let Some(wish) = &plan.tls
            && !plan.implicit
        {
            connection.start_tls(wish, plan.helo).await?;
        }
        if let Some((user, password)) = plan.login {
            connection.log_in(user, password).await?;
        }
        Ok(connection)
    }

    async fn hello(&mut self, helo: &str) -> Result<(), Trouble> {
        self.put(format_args!("EHLO {helo}\r\n"));
        let reply = self.round(self.waits.reply).await?;
        if reply.outcome() == Outcome::Done {
            self.offer = Offer::read(&reply);
            return Ok(());
        }
        // RFC 5321 §3.2: a server that does not know EHLO.
        self.put(format_args!("HELO {helo}\r\n"));
        let reply = self.round(self.waits.reply).await?;
        self.offer = Offer::default();
        match reply.outcome() {
            Outcome::Done => Ok(()),
            _ => Err(Trouble::Refused(format!("answered HELO with {}", text(&reply)))),
        }
    }

    async fn start_tls(&mut self, wish: &TlsWish, helo: &str) -> Result<(), Trouble> {
        if !self.offer.start_tls {
            return match wish.must {
                true => Err(without(
                    Finding::NotOffered,
                    "TLS is required, and the server does not offer STARTTLS".to_owned(),
                )),
                false => Ok(()),
            };
        }
        self.put(format_args!("STARTTLS\r\n"));
        let reply = self.round(self.waits.reply).await?;
        if reply.outcome() != Outcome::Done {
            return match wish.must {
                true => {
                    Err(without(Finding::NotOffered, format!("STARTTLS was answered with {}", text(&reply))))
                }
                false => Ok(()),
            };
        }
        // What came behind that answer came in plain text, from whomever (RFC 3207 §6).
        self.input.clear();
        self.parser = ReplyParser::new();
        self.secure(wish).await?;
        self.hello(helo).await
    }

    async fn secure(&mut self, wish: &TlsWish) -> Result<(), Trouble> {
        let Io::Plain(tcp) = std::mem::replace(&mut self.io, Io::Closed) else {
            return Err(without(Finding::Invalid, "the connection is not in plain text".to_owned()));
        };
        let handshake = Box::pin(TlsConnector::from(wish.config.clone()).connect(wish.name.clone(), tcp));
        let tls = match timeout(self.waits.connect, handshake).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => {
                let finding = client::cause(&error).map_or(Finding::Invalid, finding);
                let why = format!("the TLS handshake failed: {}", client::reason(&error));
                return Err(without(finding, why));
            }
            Err(_) => return Err(without(Finding::Invalid, "the TLS handshake took too long".to_owned())),
        };
        let session = tls.get_ref().1;
        let version = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        };
        let cipher = session
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .map_or_else(String::new, |name| name.replace("TLS13_", "TLS_"));
        let wrong = wish.observed.as_ref().and_then(Observed::take);
        let verified = match wish.verified {
            "unverified" if wish.observed.is_some() && wish.secure && wrong.is_none() => "verified",
            verified => verified,
        };
        self.tls = Some(format!("{version} {cipher} {verified}"));
        self.authenticated = verified != "unverified";
        self.doubt = wrong.map(|wrong| Fault { finding: finding(&wrong), why: client::explain(&wrong) });
        self.io = Io::Tls(Box::new(tls));
        Ok(())
    }

    async fn log_in(&mut self, user: &str, password: &str) -> Result<(), Trouble> {
        let offers = |name: &str| self.offer.auth.iter().any(|offered| offered == name);
        let reply = if offers("PLAIN") {
            let secret = STANDARD.encode(format!("\0{user}\0{password}"));
            self.put(format_args!("AUTH PLAIN {secret}\r\n"));
            self.round(self.waits.reply).await?
        } else if offers("LOGIN") {
            self.put(format_args!("AUTH LOGIN\r\n"));
            let mut reply = self.round(self.waits.reply).await?;
            for answer in [user, password] {
                if reply.code() != 334 {
                    break;
                }
                self.put(format_args!("{}\r\n", STANDARD.encode(answer)));
                reply = self.round(self.waits.reply).await?;
            }
            reply
        } else {
            let why = "a login is configured, and the server offers neither AUTH PLAIN nor LOGIN";
            return Err(Trouble::Refused(why.to_owned()));
        };
        match reply.code() {
            235 => Ok(()),
            _ => Err(Trouble::Refused(format!("the login was answered with {}", text(&reply)))),
        }
    }

    /// Whether a message that requires TLS may go over it (RFC 8689 §4.2.1).
    pub(super) fn may_carry_require_tls(&self) -> bool {
        self.authenticated && self.offer.require_tls
    }

    /// Adds to what will be sent.
    pub(super) fn put(&mut self, words: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        std::fmt::write(&mut self.output, words).ok();
    }

    /// What will be sent, for writers of bytes.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Sends what waits.
    pub(super) async fn flush(&mut self) -> Result<(), Trouble> {
        while !self.output.is_empty() {
            match timeout(self.waits.data, self.io.write_buf(&mut self.output)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(Trouble::Broken("the server closed the connection".to_owned())),
                Ok(Err(error)) => return Err(Trouble::Broken(format!("the connection broke: {error}"))),
                Err(_) => return Err(Trouble::Broken("the server took nothing for too long".to_owned())),
            }
        }
        match timeout(self.waits.data, self.io.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Trouble::Broken(format!("the connection broke: {error}"))),
            Err(_) => Err(Trouble::Broken("the server took nothing for too long".to_owned())),
        }
    }

    /// The next reply, waited for no longer than this in all.
    pub(super) async fn reply(&mut self, patience: Duration) -> Result<Reply, Trouble> {
        match timeout(patience, self.next_reply()).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Trouble::Broken(format!("no reply within {} seconds", patience.as_secs()))),
        }
    }

    async fn next_reply(&mut self) -> Result<Reply, Trouble> {
        loop {
            match self.parser.next(&mut self.input) {
                Ok(Some(reply)) if reply.code() == 421 => {
                    return Err(Trouble::Broken(format!(
                        "the server closes the connection: {}",
                        text(&reply)
                    )));
                }
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(bad) => return Err(Trouble::Broken(bad.to_string())),
            }
            self.input.reserve(READ);
            match self.io.read_buf(&mut self.input).await {
                Ok(1..) => {}
                Ok(0) => return Err(Trouble::Broken("the server closed the connection".to_owned())),
                Err(error) => return Err(Trouble::Broken(format!("the connection broke: {error}"))),
            }
        }
    }

    /// Sends what waits, and reads one reply.
    async fn round(&mut self, patience: Duration) -> Result<Reply, Trouble> {
        self.flush().await?;
        self.reply(patience).await
    }

    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    /// Whether the server has closed meanwhile, or said something that nobody asked for.
    pub(super) fn is_stale(&mut self) -> bool {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut space = [0; 64];
        let mut buffer = ReadBuf::new(&mut space);
        !self.input.is_empty() || Pin::new(&mut self.io).poll_read(&mut context, &mut buffer).is_ready()
    }

    /// Takes leave; the reply is not waited for longer than a moment.
    pub(super) async fn quit(mut self) {
        self.put(format_args!("QUIT\r\n"));
        let leave = async {
            self.flush().await?;
            self.next_reply().await
        };
        if let Ok(Err(trouble)) = timeout(Duration::from_secs(2), leave).await {
            tracing::trace!(%trouble, "after QUIT");
        }
        timeout(Duration::from_secs(1), self.io.shutdown()).await.ok();
    }
}

fn without(finding: Finding, why: String) -> Trouble {
    Trouble::Tls(Fault { finding, why })
}

/// What reports call it.
fn finding(error: &rustls::Error) -> Finding {
    let rustls::Error::InvalidCertificate(wrong) = error else { return Finding::Invalid };
    match wrong {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Finding::Expired,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Finding::WrongName
        }
        CertificateError::UnknownIssuer => Finding::NotTrusted,
        _ => Finding::Invalid,
    }
}

/// A reply as one line for people.
pub(super) fn text(reply: &Reply) -> String {
    let words: Vec<&str> = reply.lines().filter(|line| !line.is_empty()).collect();
    let enhanced = reply.enhanced().map(|(class, subject, detail)| format!(" {class}.{subject}.{detail}"));
    let words: String = words.join(" ").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}{} {words}", reply.code(), enhanced.unwrap_or_default()).trim_end().to_owned()
}

async fn connect(peer: SocketAddr, plan: &Plan<'_>) -> Result<TcpStream, Trouble> {
    let broken = |error: io::Error| Trouble::Broken(format!("no connection to {peer}: {error}"));
    let socket = if peer.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(broken)?;
    if let Some(source) = plan.source {
        let wrong = |error| {
            Trouble::Broken(format!(
                "mail cannot be sent from {source}, which must be an address of this host: {error}"
            ))
        };
        socket.bind(SocketAddr::new(source, 0)).map_err(wrong)?;
    }
    match timeout(plan.waits.connect, socket.connect(peer)).await {
        Ok(Ok(tcp)) => {
            tcp.set_nodelay(true).map_err(broken)?;
            Ok(tcp)
        }
        Ok(Err(error)) => Err(broken(error)),
        Err(_) => {
            let seconds = plan.waits.connect.as_secs();
            Err(Trouble::Broken(format!("no connection to {peer} within {seconds} seconds")))
        }
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection is closed")
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Io::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
            Io::Closed => Poll::Ready(Err(closed())),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Io::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
            Io::Closed => Poll::Ready(Err(closed())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Io::Tls(tls) => Pin::new(tls).poll_flush(context),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(context),
            Io::Closed => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(lines: &[&str]) -> Offer {
        let mut reply = Reply::plain(250, "mx.example.test");
        for line in lines {
            reply = reply.and((*line).to_owned());
        }
        Offer::read(&reply)
    }

    #[test]
    fn keywords_in_every_spelling() {
        let all = offer(&[
            "pipelining",
            "SIZE 1000",
            "8BITMIME",
            "CHUNKING",
            "BINARYMIME",
            "SMTPUTF8",
            "DSN",
            "STARTTLS",
            "AUTH LOGIN PLAIN",
            "AUTH=CRAM-MD5",
            "LIMITS MAILMAX=5 RCPTMAX=20",
            "X-UNKNOWN what",
            "",
        ]);
        assert!(all.pipelining && all.eight_bit && all.chunking && all.binary && all.utf8 && all.dsn);
        assert!(all.start_tls && !all.require_tls);
        assert_eq!((all.size, all.max_recipients), (Some(1000), Some(20)));
        assert_eq!(all.auth, ["LOGIN", "PLAIN", "CRAM-MD5"]);
        assert_eq!(offer(&["SIZE"]).size, Some(0));
        assert_eq!(offer(&[]), Offer::default());
    }

    #[test]
    fn replies_on_one_line() {
        let reply = Reply::new(550, (5, 1, 1), "No such user").and("See\tthere");
        assert_eq!(text(&reply), "550 5.1.1 No such user See there");
    }
}
