//! One connection to a sink: its side of the dialogue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::super::ca::Identity;
use super::{Act, At, Received, Shared, Tls, TlsSeen, path};

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// The connection is over.
pub(super) struct End;

impl From<std::io::Error> for End {
    fn from(_: std::io::Error) -> End {
        End
    }
}

pub(super) struct Connection {
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
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, number: usize, shared: Arc<Shared>) -> Connection {
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

    pub(super) async fn run(&mut self) -> Result<(), End> {
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
