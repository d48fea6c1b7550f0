//! One IMAP session that waits in IDLE and notes when its mailbox grew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::trouble::{Told as _, Trouble, within};

const ANSWER: Duration = Duration::from_secs(60);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How sessions connect.
#[derive(Clone)]
pub struct Door {
    port: u16,
    tls: Option<TlsConnector>,
}

impl Door {
    /// A port without TLS.
    pub fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// A port with TLS from the first byte.
    pub fn tls(port: u16) -> Result<Self, Trouble> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .told("set up TLS")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        Ok(Self { port, tls: Some(TlsConnector::from(Arc::new(config))) })
    }

    async fn open(&self) -> Result<Box<dyn Stream>, Trouble> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.told("connect by IMAP")?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(tls) => {
                let name = ServerName::try_from("localhost").told("name the server")?;
                Box::new(tls.connect(name, stream).await.told("begin TLS")?)
            }
        })
    }
}

/// What a watched mailbox grew to, and when that was heard.
pub struct Growth {
    /// Its messages.
    pub exists: u32,
    /// When the line was read.
    pub at: Instant,
}

/// A session that has logged in.
pub struct Session {
    stream: BufReader<Box<dyn Stream>>,
}

impl Session {
    /// Connects and logs in.
    pub async fn login(door: &Door, account: usize, password: &str) -> Result<Self, Trouble> {
        let stream = within(ANSWER, "connecting by IMAP", door.open()).await?;
        // Small, for there are thousands of these.
        let mut session = Self { stream: BufReader::with_capacity(512, stream) };
        let greeting = session.line().await?;
        if !greeting.starts_with("* OK") {
            return Err(Trouble::broken(format!("IMAP greets with {greeting:?}")));
        }
        session.command(&format!("LOGIN u{account}@example.test {password}")).await?;
        Ok(session)
    }

    /// Selects INBOX and begins to wait; the messages that are there.
    pub async fn idle(&mut self) -> Result<u32, Trouble> {
        let seen = self.command("SELECT INBOX").await?;
        let exists = seen.iter().find_map(|line| exists(line));
        self.write("i IDLE\r\n").await?;
        let answer = self.line().await?;
        match (answer.starts_with('+'), exists) {
            (true, Some(exists)) => Ok(exists),
            (true, None) => Err(Trouble::broken("SELECT said nothing of EXISTS")),
            (false, _) => Err(Trouble::broken(format!("IDLE was answered with {answer:?}"))),
        }
    }

    /// Notes what the mailbox grows to, until the session ends, which is an error.
    pub async fn watch(mut self, seen: &Seen) -> Trouble {
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line).await {
                Ok(0) => return Trouble::broken("the server closed an idle session"),
                Err(error) => return Trouble::broken(format!("an idle session failed: {error}")),
                Ok(_) if line.starts_with("* BYE") => {
                    return Trouble::broken(format!("an idle session was ended: {}", line.trim_end()));
                }
                Ok(_) => {
                    if let Some(exists) = exists(&line) {
                        seen.note(exists);
                    }
                }
            }
        }
    }

    /// Logs out.
    pub async fn logout(mut self) -> Result<(), Trouble> {
        self.command("LOGOUT").await.map(|_| ())
    }

    async fn command(&mut self, text: &str) -> Result<Vec<String>, Trouble> {
        self.write(&format!("a {text}\r\n")).await?;
        let mut before = Vec::new();
        loop {
            let line = self.line().await?;
            if line.starts_with("a OK") {
                return Ok(before);
            }
            if line.starts_with("a ") {
                let verb = text.split(' ').next().unwrap_or_default();
                return Err(Trouble::broken(format!("{verb} was answered with {:?}", line.trim_end())));
            }
            before.push(line);
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Trouble> {
        self.stream.write_all(text.as_bytes()).await.told("send an IMAP command")?;
        self.stream.flush().await.told("send an IMAP command")
    }

    async fn line(&mut self) -> Result<String, Trouble> {
        let mut line = String::new();
        let reading = async { self.stream.read_line(&mut line).await.told("read from IMAP") };
        match within(ANSWER, "waiting for an IMAP answer", reading).await? {
            0 => Err(Trouble::broken("the server closed an IMAP session")),
            _ => Ok(line),
        }
    }
}

/// The number in `* 3 EXISTS`.
fn exists(line: &str) -> Option<u32> {
    line.strip_prefix("* ")?.trim_end().strip_suffix(" EXISTS")?.parse().ok()
}

/// What one session has heard.
#[derive(Default)]
pub struct Seen {
    newest: AtomicU32,
    all: std::sync::Mutex<Vec<Growth>>,
}

impl Seen {
    fn note(&self, exists: u32) {
        let at = Instant::now();
        if let Ok(mut all) = self.all.lock() {
            all.push(Growth { exists, at });
        }
        self.newest.store(exists, Ordering::Relaxed);
    }

    /// The last number heard.
    pub fn newest(&self) -> u32 {
        self.newest.load(Ordering::Relaxed)
    }

    /// When it was first heard that there are `number` messages or more.
    pub fn when(&self, number: u32) -> Option<Instant> {
        let all = self.all.lock().ok()?;
        all.iter().find(|growth| growth.exists >= number).map(|growth| growth.at)
    }
}

/// Takes any certificate: the server's own is self-signed, and it is this machine.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
