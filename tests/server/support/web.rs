//! A web server (HTTPS) with a few pages, which remembers what it was asked for and what was handed in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::ca::Identity;

/// A request's head and its body.
pub type Taken = (String, Vec<u8>);

/// One on this host, until it is dropped.
pub struct Web {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    /// Content type and body.
    pages: BTreeMap<String, (&'static str, String)>,
    asked: Vec<String>,
    taken: Vec<Taken>,
}

impl Web {
    /// Starts one without pages.
    pub async fn start(identity: &Identity) -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.certified_key())));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared: Arc<Mutex<Shared>> = Arc::default();
        let task = tokio::spawn(serve(listener, acceptor, shared.clone()));
        Web { address, shared, task }
    }

    /// Starts the host of an MTA-STS policy.
    pub async fn policy(identity: &Identity, policy: &str) -> Web {
        let web = Self::start(identity).await;
        web.page(POLICY, "text/plain; charset=utf-8", policy);
        web
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Has this page from now on.
    pub fn page(&self, path: &str, content_type: &'static str, body: &str) {
        self.shared().pages.insert(path.to_owned(), (content_type, body.to_owned()));
    }

    /// How often a page was asked for.
    pub fn asked_for(&self, path: &str) -> usize {
        self.shared().asked.iter().filter(|asked| *asked == path).count()
    }

    /// How often the policy was fetched.
    pub fn policies(&self) -> usize {
        self.asked_for(POLICY)
    }

    /// What was handed in (POST).
    pub fn taken(&self) -> Vec<Taken> {
        self.shared().taken.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

const POLICY: &str = "/.well-known/mta-sts.txt";

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Mutex<Shared>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let (head, body) = request(&mut stream).await;
        let answer = answer(&mut shared.lock().unwrap(), head, body);
        stream.write_all(answer.as_bytes()).await.ok();
        stream.shutdown().await.ok();
    }
}

fn answer(shared: &mut Shared, head: String, body: Vec<u8>) -> String {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("POST"), Some(_), Some("HTTP/1.1")) => {
            shared.taken.push((head, body));
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        (Some("GET"), Some(path), Some("HTTP/1.1")) => {
            shared.asked.push(path.to_owned());
            match shared.pages.get(path) {
                Some((kind, body)) => {
                    let length = body.len();
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
                    )
                }
                None => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            }
        }
        _ => "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_owned(),
    }
}

/// Reads one request.
async fn request(stream: &mut TlsStream<TcpStream>) -> Taken {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let length = head.lines().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length: ").map(|n| n.parse::<usize>().unwrap())
            });
            if bytes.len() >= end + 4 + length.unwrap_or(0) {
                return (head, bytes[end + 4..].to_vec());
            }
        }
        if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return (String::from_utf8_lossy(&bytes).into_owned(), Vec::new());
        }
    }
}
