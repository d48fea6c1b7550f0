//! A dialogue in SMTP, POP3 or IMAP, as a person at a terminal would have it: a line is sent, an answer expected.
//!
//! What counts as one answer is the language's: in SMTP a whole reply with all its lines, in POP3 a line, in IMAP a
//! line with the literals in it. When an answer is not what was expected, or doesn't come, the test fails with the
//! whole dialogue so far.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::PATIENCE;
use super::daemon::PASSWORD;
use super::deflate::Compressible;

/// What is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// RFC 5321.
    Smtp,
    /// RFC 1939.
    Pop3,
    /// RFC 9051.
    Imap,
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A connection and everything that was said on it.
pub struct Dialogue {
    wire: Compressible<Box<dyn Wire>>,
    language: Language,
    port: u16,
    unread: Vec<u8>,
    said: Vec<String>,
    certificate: Option<Vec<u8>>,
    /// The literals of the last answer.
    literals: Vec<Vec<u8>>,
}

impl Dialogue {
    /// Connects without TLS; nothing is read yet.
    pub async fn plain(port: u16, language: Language) -> Dialogue {
        Self::over(Box::new(tcp(port).await), port, language)
    }

    fn over(wire: Box<dyn Wire>, port: u16, language: Language) -> Dialogue {
        Dialogue {
            wire: Compressible::new(wire),
            language,
            port,
            unread: Vec::new(),
            said: Vec::new(),
            certificate: None,
            literals: Vec::new(),
        }
    }

    /// The same, from an address of one's own: 127.0.0.2 and so on are other peers.
    pub async fn plain_from(source: [u8; 4], port: u16, language: Language) -> Dialogue {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let connecting = socket.connect((Ipv4Addr::LOCALHOST, port).into());
        let stream = timeout(PATIENCE, connecting).await.expect("no connection in time").unwrap();
        let mut dialogue = Self::over(Box::new(stream), port, language);
        dialogue.said.push(format!("-- from {source:?} --"));
        dialogue
    }

    /// Connects with TLS from the first byte, taking whatever certificate is shown.
    pub async fn tls(port: u16, language: Language) -> Dialogue {
        Self::tls_as(port, language, "localhost").await
    }

    /// The same, asking for a host by name (SNI).
    pub async fn tls_as(port: u16, language: Language, host: &str) -> Dialogue {
        let mut dialogue = Self::plain(port, language).await;
        dialogue.handshake(host).await;
        dialogue
    }

    /// Asks for TLS in the language's own way, and goes on under TLS.
    pub async fn starttls(&mut self) {
        self.starttls_with(b"").await;
    }

    /// The same, with bytes sent in one piece with the command, before its answer: what somebody on the path could add.
    pub async fn starttls_with(&mut self, glued: &[u8]) {
        let (command, answer) = match self.language {
            Language::Smtp => ("STARTTLS\r\n", "220"),
            Language::Pop3 => ("STLS\r\n", "+OK"),
            Language::Imap => ("tls STARTTLS\r\n", "tls OK"),
        };
        self.send_bytes(&[command.as_bytes(), glued].concat()).await;
        self.expect(answer).await;
        assert!(self.unread.is_empty(), "something was sent ahead of TLS\n{}", self.history());
        self.handshake("localhost").await;
    }

    async fn handshake(&mut self, host: &str) {
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let nothing: Box<dyn Wire> = Box::new(tokio::io::empty());
        let wire = std::mem::replace(&mut self.wire, Compressible::new(nothing)).into_inner();
        let connecting = TlsConnector::from(Arc::new(client_config())).connect(name, wire);
        let stream = timeout(PATIENCE, connecting)
            .await
            .unwrap_or_else(|_| panic!("no TLS handshake in time\n{}", self.history()))
            .unwrap_or_else(|e| panic!("the TLS handshake failed: {e}\n{}", self.history()));
        self.certificate = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
        self.said.push("-- TLS --".to_owned());
        self.wire = Compressible::new(Box::new(stream));
    }

    /// IMAP: asks for compression, and goes on compressed.
    pub async fn compress(&mut self) {
        self.send("z COMPRESS DEFLATE").await;
        self.expect("z OK").await;
        assert!(self.unread.is_empty(), "something was sent ahead of the compression\n{}", self.history());
        self.said.push("-- compressed --".to_owned());
        self.wire.compress();
    }

    /// Sends bytes that are compressed already.
    pub async fn send_packed(&mut self, packed: &[u8]) {
        self.wire.insert(packed);
        self.say("(compressed)", b"").await;
    }

    /// Goes on without compression.
    pub fn end_compression(&mut self) {
        assert!(self.unread.is_empty(), "something was sent behind the compression\n{}", self.history());
        self.said.push("-- not compressed --".to_owned());
        self.wire.end_compression();
    }

    /// The certificate that the server has shown, DER.
    pub fn certificate(&self) -> &[u8] {
        self.certificate.as_deref().expect("this connection has no TLS")
    }

    // Saying ------------------------------------------------------------------------------------------------------

    /// Sends a line.
    pub async fn send(&mut self, line: &str) {
        self.say(line, format!("{line}\r\n").as_bytes()).await;
    }

    /// Sends bytes as they are, with no line end of ours.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.say(&String::from_utf8_lossy(bytes), bytes).await;
    }

    /// SMTP: sends a message after DATA, dots doubled, lines ended by CRLF, and the final dot.
    pub async fn data(&mut self, message: &str) {
        let mut bytes = String::new();
        for line in message.lines() {
            bytes.push_str(if line.starts_with('.') { "." } else { "" });
            bytes.push_str(line);
            bytes.push_str("\r\n");
        }
        bytes.push_str(".\r\n");
        self.say(&bytes, bytes.as_bytes()).await;
    }

    /// IMAP: sends a command whose last argument is a literal, waiting for the server's leave.
    pub async fn send_literal(&mut self, command: &str, literal: &[u8]) {
        self.send(&format!("{command} {{{}}}", literal.len())).await;
        self.expect("+").await;
        self.say(&String::from_utf8_lossy(literal), &[literal, b"\r\n"].concat()).await;
    }

    /// Logs a user of example.test in, in the language's own way.
    pub async fn login(&mut self, user: &str) {
        let name = format!("{user}@example.test");
        match self.language {
            Language::Imap => {
                self.send(&format!("login LOGIN {name} {PASSWORD}")).await;
                self.expect("login OK").await;
            }
            Language::Pop3 => {
                self.send(&format!("USER {name}")).await;
                self.expect("+OK").await;
                self.send(&format!("PASS {PASSWORD}")).await;
                self.expect("+OK").await;
            }
            Language::Smtp => {
                let response = STANDARD.encode(format!("\0{name}\0{PASSWORD}"));
                self.send(&format!("AUTH PLAIN {response}")).await;
                self.expect("235").await;
            }
        }
    }

    async fn say(&mut self, shown: &str, bytes: &[u8]) {
        for line in shown.trim_end().lines() {
            self.said.push(format!("C: {line}"));
        }
        let sent = timeout(PATIENCE, async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        });
        match sent.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("cannot send: {error}\n{}", self.history()),
            Err(_) => panic!("the server does not read\n{}", self.history()),
        }
    }

    // Hearing -----------------------------------------------------------------------------------------------------

    /// Expects an answer and returns it. The pattern is how the answer begins; `*` in it, anywhere but at its start,
    /// stands for any text. Of an SMTP reply, one of the lines must begin so.
    ///
    /// In IMAP, untagged answers that don't fit are passed over: a server may send them at any time (RFC 9051 §7). What
    /// is for us alone, a tagged answer or `+`, must fit.
    pub async fn expect(&mut self, pattern: &str) -> String {
        loop {
            let answer = self.answer().await;
            if answer.lines().any(|line| fits(line, pattern)) {
                return answer;
            }
            let passed_over = self.language == Language::Imap && answer.starts_with("* ");
            if !passed_over || answer.starts_with("* BYE") {
                panic!("expected: {pattern}\ncame:     {answer}\n{}", self.history());
            }
        }
    }

    /// IMAP: expects an answer with a literal, and returns the bytes of its first one.
    pub async fn expect_literal(&mut self, pattern: &str) -> Vec<u8> {
        let answer = self.expect(pattern).await;
        match self.literals.first() {
            Some(literal) => literal.clone(),
            None => panic!("there is no literal in: {answer}\n{}", self.history()),
        }
    }

    /// IMAP: all answers up to the tagged one, which is the last.
    pub async fn until_tag(&mut self, tag: &str) -> Vec<String> {
        let mut answers = Vec::new();
        loop {
            let answer = self.answer().await;
            let last = !answer.starts_with("* ");
            if last && !answer.starts_with(&format!("{tag} ")) {
                panic!("expected an answer to {tag}, came: {answer}\n{}", self.history());
            }
            answers.push(answer);
            if last {
                return answers;
            }
        }
    }

    /// IMAP: sends a command and returns all answers up to its own, which must be OK.
    pub async fn run(&mut self, command: &str) -> Vec<String> {
        self.send(&format!("t {command}")).await;
        let answers = self.until_tag("t").await;
        assert!(answers.last().unwrap().starts_with("t OK"), "{command} was refused\n{}", self.history());
        answers
    }

    /// POP3: the lines that follow a `+OK`, up to the dot.
    pub async fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.line().await.as_str() {
                "." => return lines,
                line => lines.push(line.strip_prefix('.').unwrap_or(line).to_owned()),
            }
        }
    }

    /// Expects that the server closes the connection now, without another word.
    pub async fn expect_end(&mut self) {
        if let Some(line) = self.next_line().await {
            panic!("expected the end of the connection, came: {line}\n{}", self.history());
        }
    }

    /// Waits for the connection's end, whatever is said before; returns that.
    pub async fn rest(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = self.next_line().await {
            lines.push(line);
        }
        lines
    }

    /// One answer, in the sense of the language.
    pub async fn answer(&mut self) -> String {
        let mut answer = self.line().await;
        self.literals.clear();
        match self.language {
            Language::Pop3 => {}
            Language::Smtp => {
                // RFC 5321 §4.2.1: all lines but the last have a hyphen after the code.
                let mut last = answer.clone();
                while last.as_bytes().get(3) == Some(&b'-') {
                    last = self.line().await;
                    answer = format!("{answer}\n{last}");
                }
            }
            Language::Imap => {
                let mut last = answer.clone();
                while let Some(size) = literal_size(&last) {
                    let literal = self.bytes(size).await;
                    last = self.line().await;
                    answer = format!("{answer}\r\n{}{last}", String::from_utf8_lossy(&literal));
                    self.literals.push(literal);
                }
            }
        }
        answer
    }

    async fn line(&mut self) -> String {
        match self.next_line().await {
            Some(line) => line,
            None => panic!("the server closed the connection\n{}", self.history()),
        }
    }

    /// A line without its end; `None` at the end of the connection.
    async fn next_line(&mut self) -> Option<String> {
        // No byte is searched twice: there are answers of megabytes in one line.
        let mut searched = 0;
        loop {
            let found = self.unread.windows(2).skip(searched).position(|pair| pair == b"\r\n");
            if let Some(end) = found.map(|at| at + searched) {
                let line: Vec<u8> = self.unread.drain(..end + 2).take(end).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                self.said.push(format!("S: {line}"));
                return Some(line);
            }
            searched = self.unread.len().saturating_sub(1);
            if self.read_more().await == 0 {
                assert!(self.unread.is_empty(), "the connection ends within a line\n{}", self.history());
                self.said.push("-- the server closed the connection --".to_owned());
                return None;
            }
        }
    }

    async fn bytes(&mut self, size: usize) -> Vec<u8> {
        while self.unread.len() < size {
            assert!(self.read_more().await > 0, "the connection ends within a literal\n{}", self.history());
        }
        let bytes: Vec<u8> = self.unread.drain(..size).collect();
        self.said.push(format!("S: ({size} bytes)"));
        bytes
    }

    async fn read_more(&mut self) -> usize {
        match timeout(PATIENCE, self.wire.read_buf(&mut self.unread)).await {
            Ok(Ok(read)) => read,
            // How the end of a connection looks when the other side had not read everything, or was killed.
            Ok(Err(error))
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                0
            }
            Ok(Err(error)) => panic!("cannot read: {error}\n{}", self.history()),
            Err(_) => panic!("the server says nothing\n{}", self.history()),
        }
    }

    fn history(&self) -> String {
        format!("the dialogue on port {}:\n  {}", self.port, self.said.join("\n  "))
    }
}

/// Connects to a port of this host.
pub async fn tcp(port: u16) -> TcpStream {
    match timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => panic!("cannot connect to port {port}: {error}"),
        Err(_) => panic!("no connection to port {port} in time"),
    }
}

/// Whether nobody listens on a port of this host.
pub async fn is_closed(port: u16) -> bool {
    match timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await {
        Ok(Ok(_)) => false,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => true,
        other => panic!("port {port} is neither open nor closed: {other:?}"),
    }
}

/// Whether a line begins as the pattern says.
fn fits(line: &str, pattern: &str) -> bool {
    // A star at the start is IMAP's own: "* 3 EXISTS".
    let (start, pattern) = match pattern.strip_prefix("* ") {
        Some(rest) => (line.strip_prefix("* "), rest),
        None => (Some(line), pattern),
    };
    let Some(mut line) = start else { return false };
    for (place, part) in pattern.split('*').enumerate() {
        let found = if place == 0 { line.starts_with(part).then_some(0) } else { line.find(part) };
        let Some(at) = found else { return false };
        line = &line[at + part.len()..];
    }
    true
}

/// The size of the literal that a line ends in (RFC 9051 §4.3): `{17}`, `~{17}`.
fn literal_size(line: &str) -> Option<usize> {
    line.strip_suffix('}')?.rsplit_once('{')?.1.parse().ok()
}

fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TakeAny(provider)))
        .with_no_client_auth()
}

/// Takes every certificate: the tests' are self-signed, and which one was shown is looked at afterwards.
#[derive(Debug)]
struct TakeAny(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for TakeAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn patterns_fit_as_people_expect() {
    for (line, pattern, expected) in [
        ("250 OK", "250", true),
        ("550 no", "250", false),
        ("* 3 EXISTS", "* 3 EXISTS", true),
        ("* 13 EXISTS", "* 3 EXISTS", false),
        ("a1 OK [READ-WRITE] done", "a1 OK [READ-WRITE]", true),
        ("* OK [UIDNEXT 4] next", "* OK [UIDNEXT *]", true),
        ("* FLAGS (\\Seen)", "* OK [UIDNEXT *]", false),
        ("a1 OK", "* OK", false),
    ] {
        assert_eq!(fits(line, pattern), expected, "{line} {pattern}");
    }
}
