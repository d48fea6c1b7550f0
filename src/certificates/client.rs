//! How the ACME library reaches the authority: by the house's own HTTPS, bounded in time and size.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::RootCertStore;

use crate::dns::Dns;
use crate::net::https::{self, Limits};

/// One answer. Certificates, the largest of them, have some kilobytes.
const LIMITS: Limits = Limits { time: Duration::from_secs(30), bytes: 256 * 1024 };
/// The longest pause that an authority may ask for.
const MAX_WAIT: u64 = 7 * 24 * 3600;

/// Carries requests.
#[derive(Clone)]
pub(super) struct Client {
    dns: Dns,
    roots: Arc<RootCertStore>,
    wait: Arc<AtomicU64>,
}

impl Client {
    pub(super) fn new(dns: Dns, roots: Arc<RootCertStore>) -> Self {
        Self { dns, roots, wait: Arc::default() }
    }

    /// How long the authority wishes not to be asked (Retry-After of a refusal, RFC 8555 §6.6).
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait.load(Ordering::Relaxed).min(MAX_WAIT))
    }

    async fn carry(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(never) => match never {},
        };
        let url = parts.uri.to_string();
        let answer = https::send(Request::from_parts(parts, body), &self.dns, self.roots.clone(), LIMITS)
            .await
            .map_err(|error| Error::Other(error.into()))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(BytesResponse::from(answer.map(Full::<Bytes>::from)));
        }
        let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(seconds) = header(RETRY_AFTER).and_then(|value| value.trim().parse().ok()) {
            self.wait.store(seconds, Ordering::Relaxed);
        }
        // A proxy, or a web server that is no authority: the library would only find that its words are no JSON.
        let is_problem = header(CONTENT_TYPE).is_some_and(|kind| {
            kind.trim_start().to_ascii_lowercase().starts_with("application/problem+json")
        });
        if !is_problem {
            return Err(Error::Other(format!("{url} answered with HTTP status {status}").into()));
        }
        Ok(BytesResponse::from(answer.map(Full::<Bytes>::from)))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().carry(request))
    }
}
