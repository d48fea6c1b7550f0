//! One connection: plain TCP, or TLS over it, with the change from one to the other in place (RFC 3207, RFC 9051
//! §6.2.1, RFC 2595 §4).
//!
//! Idle connections are the common case and must stay small: the TLS side is boxed, so that a plain session doesn't pay
//! for it, rustls may hold back at most 16 KiB of output, and nothing here keeps a buffer of its own. Ten thousand idle
//! sessions are the measure: 16 KiB each in plain, 48 KiB each over TLS. Resident memory for each of 3,000 idle sessions
//! of the toy protocol in `talk`'s tests, after 3 KB went each way, counted from /proc/self/statm with the clients in
//! another process: 4.6 KB in plain, 12.3 KB over TLS 1.3 (debug build; the kernel's socket buffers come on top).

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use rustls::sign::SingleCertAndKey;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tls::certificate::end_point_hash;
use crate::tls::resolver::{ACME_TLS, is_acme_question};

/// The most that rustls holds back when the client reads slowly, bytes; beyond it, writers wait.
const TLS_BUFFER: usize = 16 * 1024;

/// The most that one [`Stream::read_idle`] reads, bytes.
const SCRATCH: usize = 16 * 1024;

/// A connection from a client.
#[derive(Debug)]
pub struct Stream {
    peer: SocketAddr,
    local: SocketAddr,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Plain(TcpStream),
    Tls(Box<Secured>),
    /// During a handshake and after a failed one.
    Closed,
}

#[derive(Debug)]
struct Secured {
    io: TlsStream<TcpStream>,
    info: TlsInfo,
}

/// What a TLS handshake has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite under its IANA name.
    pub cipher: String,
    /// The name that the client asked for (RFC 6066 §3).
    pub sni: Option<String>,
    /// The channel binding `tls-exporter` (RFC 9266). TLS 1.3 only: under 1.2 it is unique only with the extended
    /// master secret (RFC 9266 §4.2), of which rustls does not tell.
    pub exporter: Option<[u8; 32]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4) of the certificate that was served.
    pub server_end_point: Option<Vec<u8>>,
}

/// Why a handshake failed. The connection is gone then.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The client did not finish in time.
    #[error("the client didn't finish the TLS handshake within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// There is nothing to show to the client.
    #[error("there is no certificate to serve")]
    NoCertificate,
    /// The client was a certificate authority, whose question is answered by the handshake alone (RFC 8737 §3).
    #[error("it was an authority's question whether the name is ours, and has been answered")]
    Answered,
    /// The connection is closed, or speaks TLS already.
    #[error("the connection isn't in plain text")]
    NotPlain,
    /// The client, or the network.
    #[error("the TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl Stream {
    /// Takes an accepted connection. IPv4-mapped addresses become IPv4, and small answers go out at once (no Nagle).
    ///
    /// # Errors
    /// When the client is gone already.
    pub fn new(tcp: TcpStream) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let (peer, local) = (tcp.peer_addr()?, tcp.local_addr()?);
        Ok(Self { peer: canonical(peer), local: canonical(local), kind: Kind::Plain(tcp) })
    }

    /// The client's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The address that the client connected to.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The connection is in truth this one: a trusted proxy says so.
    pub fn stands_for(&mut self, peer: SocketAddr, local: SocketAddr) {
        (self.peer, self.local) = (canonical(peer), canonical(local));
    }

    /// What the handshake settled; `None` in plain text.
    pub fn tls_info(&self) -> Option<&TlsInfo> {
        match &self.kind {
            Kind::Tls(secured) => Some(&secured.info),
            Kind::Plain(_) | Kind::Closed => None,
        }
    }

    /// The protocol agreed on by ALPN (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Tls(secured) => secured.io.get_ref().1.alpn_protocol(),
            Kind::Plain(_) | Kind::Closed => None,
        }
    }

    /// Does the server's side of a TLS handshake, which may take `patience`. After an error the stream is closed.
    ///
    /// The caller has thrown away what it had read in plain text.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub async fn start_tls(
        &mut self,
        config: &Arc<ServerConfig>,
        patience: Duration,
    ) -> Result<&TlsInfo, TlsError> {
        let tcp = match std::mem::replace(&mut self.kind, Kind::Closed) {
            Kind::Plain(tcp) => tcp,
            other => {
                self.kind = other;
                return Err(TlsError::NotPlain);
            }
        };
        // Boxed: a handshake's state is kilobytes, and would be part of every session's task from then on.
        let handshake = Box::pin(shake_hands(tcp, config));
        let secured =
            tokio::time::timeout(patience, handshake).await.map_err(|_| TlsError::Timeout(patience))??;
        self.kind = Kind::Tls(Box::new(secured));
        self.tls_info().ok_or(TlsError::NotPlain)
    }

    /// Reads what is there, or waits for it, without a buffer on the heap while waiting: the bytes pass through the
    /// polling thread's stack. Gives 0 at the end of the input. Cancel-safe.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn read_idle(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        std::future::poll_fn(|context| {
            let mut scratch = [MaybeUninit::<u8>::uninit(); SCRATCH];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            ready!(Pin::new(&mut *self).poll_read(context, &mut buffer))?;
            input.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Closes so that the last answer arrives: says that nothing more will come, then reads and drops what the client
    /// still has on its way, until it closes too. Closing with unread input would make the kernel send RST, and that
    /// makes the client's kernel throw away an answer it has not read yet (RFC 1122 §4.2.2.13). The caller bounds the
    /// time; `drain` bounds the bytes.
    pub async fn close(&mut self, drain: usize) {
        if let Err(error) = self.shutdown().await {
            tracing::trace!(peer = %self.peer, %error, "the client was gone before we closed");
            return;
        }
        let tcp = match &self.kind {
            Kind::Plain(tcp) => tcp,
            // What comes after our close_notify needs no deciphering.
            Kind::Tls(secured) => secured.io.get_ref().0,
            Kind::Closed => return,
        };
        let mut left = drain;
        while left > 0 && tcp.readable().await.is_ok() {
            let mut scratch = [0; 4096];
            match tcp.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }
}

/// An address with IPv4 in its own clothes, whichever socket it came through (RFC 4291 §2.5.5.2).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

async fn shake_hands(tcp: TcpStream, config: &Arc<ServerConfig>) -> Result<Secured, TlsError> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
    let is_question = is_acme_question(&hello.client_hello());
    let served = config.cert_resolver.resolve(hello.client_hello()).ok_or(TlsError::NoCertificate)?;
    let server_end_point = served.cert.first().and_then(|leaf| end_point_hash(leaf));
    // Certificates may be replaced at any moment: this handshake must serve the one that was just hashed.
    let mut pinned = ServerConfig::clone(config);
    pinned.cert_resolver = Arc::new(SingleCertAndKey::from(served));
    if is_question {
        pinned.alpn_protocols = vec![ACME_TLS.to_vec()];
    }
    let mut io = hello.into_stream(Arc::new(pinned)).await?;
    // Tickets and the end of the handshake may still wait to be sent.
    io.flush().await?;
    if is_question {
        io.shutdown().await?;
        return Err(TlsError::Answered);
    }
    let connection = io.get_mut().1;
    connection.set_buffer_limit(Some(TLS_BUFFER));
    let info = TlsInfo {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: cipher_name(connection),
        sni: connection.server_name().map(str::to_owned),
        exporter: exporter(connection),
        server_end_point,
    };
    Ok(Secured { io, info })
}

fn cipher_name(connection: &ServerConnection) -> String {
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    // rustls writes TLS13_ where IANA's registry has TLS_.
    suite.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1)
}

fn exporter(connection: &ServerConnection) -> Option<[u8; 32]> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    // RFC 9266 §2: this label, a context of no bytes, 32 bytes.
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
}

fn closed<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Kind::Tls(secured) => match ready!(Pin::new(&mut secured.io).poll_read(context, buffer)) {
                // Many clients close without close_notify. Line protocols mark their own ends, so a truncation
                // (RFC 8446 §6.1) is nothing else to us than a client that went away.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
                other => Poll::Ready(other),
            },
            Kind::Closed => closed(),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Kind::Tls(secured) => Pin::new(&mut secured.io).poll_write(context, bytes),
            Kind::Closed => closed(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Kind::Tls(secured) => Pin::new(&mut secured.io).poll_flush(context),
            Kind::Closed => closed(),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().kind {
            Kind::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Kind::Tls(secured) => Pin::new(&mut secured.io).poll_shutdown(context),
            Kind::Closed => closed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_session_does_not_pay_for_tls() {
        assert!(size_of::<Stream>() <= 128, "{}", size_of::<Stream>());
    }

    #[test]
    fn mapped_peers_are_ipv4() {
        let mapped: SocketAddr = "[::ffff:192.0.2.1]:25".parse().unwrap();
        assert_eq!(canonical(mapped), "192.0.2.1:25".parse().unwrap());
        let real: SocketAddr = "[2001:db8::1]:25".parse().unwrap();
        assert_eq!(canonical(real), real);
    }
}
