//! One request to a web server, over TLS or not at all: MTA-STS policies, reports, published keys, certificates.
//!
//! What must hold: the certificate is verified (PKIX) before a byte is said; redirects are not followed (RFC 8461 §3.3);
//! time and size of the answer are limited by the caller, and a connection is used once. What it costs: a handshake;
//! nothing here is on the way of a message.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, http};
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::dns::{self, Dns};
use crate::tls::client;

/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;
/// How long one address is tried.
const CONNECT: Duration = Duration::from_secs(10);

/// The most that an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the first look-up to the last byte.
    pub time: Duration,
    /// Of the body.
    pub bytes: usize,
}

/// What to send.
#[derive(Debug, Clone, Default)]
pub struct Body {
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its `Content-Encoding`, such as `gzip`.
    pub encoding: Option<String>,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What a web server answered.
#[derive(Debug, Clone)]
pub struct Response {
    /// 200 and its like.
    pub status: u16,
    /// The media type, lower case, without parameters; empty if none was named.
    pub media_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Not an address that begins with https://.
    #[error("\"{0}\" is no https address")]
    Url(String),
    /// Its host's name.
    #[error("{0}")]
    Names(#[from] dns::Failure),
    /// Its host has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Nobody answers there.
    #[error("{host} can't be reached: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What the system said of the last address.
        reason: String,
    },
    /// Its TLS, most often its certificate.
    #[error("TLS with {host} failed: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not speak HTTP as we do.
    #[error("{0}: {1}")]
    Protocol(String, String),
    /// It says too much.
    #[error("the answer of {0} is larger than {1} bytes")]
    TooLarge(String, usize),
    /// It takes too long.
    #[error("{0} didn't answer within {1:?}")]
    Timeout(String, Duration),
}

/// GET.
///
/// # Errors
/// When there is no answer. A status other than 200 is an answer.
pub async fn get(
    url: &str,
    dns: &Dns,
    roots: Arc<RootCertStore>,
    limits: Limits,
) -> Result<Response, Failure> {
    ask(url, None, dns, roots, limits).await
}

/// POST.
///
/// # Errors
/// As [`get`].
pub async fn post(
    url: &str,
    body: Body,
    dns: &Dns,
    roots: Arc<RootCertStore>,
    limits: Limits,
) -> Result<Response, Failure> {
    ask(url, Some(body), dns, roots, limits).await
}

async fn ask(
    url: &str,
    body: Option<Body>,
    dns: &Dns,
    roots: Arc<RootCertStore>,
    limits: Limits,
) -> Result<Response, Failure> {
    let request = request(url, body).map_err(|_| Failure::Url(url.to_owned()))?;
    let answer = send(request, dns, roots, limits).await?;
    let media_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_ascii_lowercase();
    Ok(Response { status: answer.status().as_u16(), media_type, body: answer.into_body().to_vec() })
}

fn request(url: &str, body: Option<Body>) -> Result<Request<Bytes>, hyper::http::Error> {
    let mut request = Request::builder().uri(url);
    let Some(body) = body else { return request.body(Bytes::new()) };
    request = request.method("POST").header(CONTENT_TYPE, body.content_type);
    if let Some(encoding) = body.encoding {
        request = request.header(CONTENT_ENCODING, encoding);
    }
    request.body(body.bytes.into())
}

/// Any request, whose URI is the whole address. Host and User-Agent are set here.
///
/// # Errors
/// As [`get`].
pub async fn send(
    request: Request<Bytes>,
    dns: &Dns,
    roots: Arc<RootCertStore>,
    limits: Limits,
) -> Result<http::Response<Bytes>, Failure> {
    let uri = request.uri().clone();
    let wrong = || Failure::Url(uri.to_string());
    let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase());
    let (Some("https"), Some(host)) = (uri.scheme_str(), host) else { return Err(wrong()) };
    let exchange = async {
        let request = named(request).ok_or_else(wrong)?;
        let stream = connect(&host, uri.port_u16().unwrap_or(443), dns).await?;
        exchange(stream, &host, request, roots, limits.bytes).await
    };
    match tokio::time::timeout(limits.time, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::Timeout(host.clone(), limits.time)),
    }
}

/// The request as it goes out: with the path alone, and the names of both sides.
fn named(request: Request<Bytes>) -> Option<Request<Full<Bytes>>> {
    let (mut parts, body) = request.into_parts();
    let host = HeaderValue::from_str(parts.uri.authority()?.as_str()).ok()?;
    parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse().ok()?;
    parts.headers.insert(HOST, host);
    let us = HeaderValue::from_static(concat!("Mailwright/", env!("CARGO_PKG_VERSION")));
    parts.headers.insert(USER_AGENT, us);
    Some(Request::from_parts(parts, Full::from(body)))
}

async fn connect(host: &str, port: u16, dns: &Dns) -> Result<TcpStream, Failure> {
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(ip) => vec![ip],
        Err(_) => dns.addresses(host).await?.records,
    };
    let mut outcome = Err(Failure::NoAddress(host.to_owned()));
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        let attempt = TcpStream::connect(SocketAddr::new(address, port));
        let reason = match tokio::time::timeout(CONNECT, attempt).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        outcome = Err(Failure::Unreachable { host: host.to_owned(), reason });
    }
    outcome
}

async fn exchange(
    stream: TcpStream,
    host: &str,
    request: Request<Full<Bytes>>,
    roots: Arc<RootCertStore>,
    most: usize,
) -> Result<http::Response<Bytes>, Failure> {
    let protocol = |error: &dyn std::fmt::Display| Failure::Protocol(host.to_owned(), error.to_string());
    let tls =
        |error: &dyn std::fmt::Display| Failure::Tls { host: host.to_owned(), reason: error.to_string() };
    let config = client::verified(roots).map_err(|error| tls(&error))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| tls(&error))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(100)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| protocol(&error))?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(|error| protocol(&error))?;
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| protocol(&error))?;
            let Some(data) = frame.data_ref() else { continue };
            if body.len() + data.len() > most {
                return Err(Failure::TooLarge(host.to_owned(), most));
            }
            body.extend_from_slice(data);
        }
        Ok(http::Response::from_parts(parts, body.into()))
    };
    // The connection's own future moves the bytes; it ends with the answer.
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        ended = connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(protocol(&error)),
        }
    }
}
