//! The web pages: HTTP/1.1 on the listeners of the service `webmail`.
//!
//! What must hold: everything works without script, and none but the one file of ours is allowed (Content-Security-Policy); nothing
//! is cached that was made for somebody; what comes in is bounded in size and time; a form that changes something is taken only from a page
//! of ours; what is refused is logged.
//! Connections are served as those of any other face: they are rows in `live.session`, end with their service, and TLS has the
//! same certificates.

mod admin;
mod answer;
mod chart;
mod monitor;
mod prometheus;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

use crate::control::config::TlsMode;
use crate::control::{Connection, Face, Refused};
use crate::directory::Visitor;
use crate::intake::House;
use crate::net::stop::Stop;
use crate::net::talk::Tls;
use crate::tables::Tables;

/// The service.
const SERVICE: &str = "webmail";

/// Bytes of a form at most: a certificate chain fits, a mailbox does not.
const BODY_MAX: usize = 1 << 20;
/// Bytes that wait to be read while a request is worked on.
const BUFFER_MAX: usize = 64 * 1024;
/// How long the head of a request may take, and how long a connection may wait for the next one.
const HEAD: Duration = Duration::from_secs(30);

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What all pages need.
#[derive(Clone)]
struct Site {
    house: Arc<House>,
    tables: Tables,
    readiness: Arc<monitor::Readiness>,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    visitor: Visitor,
    secure: bool,
}

/// When the connection has to end: what would go on for ever asks.
#[derive(Debug, Clone)]
struct Ending(Stop);

impl Ending {
    /// Waits until then. Cancel-safe.
    async fn wait(&mut self) {
        self.0.wait().await;
    }
}

/// The webmail service.
pub struct Web {
    router: Router,
}

impl Web {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        let tables = Tables::new(house.control.clone());
        let site = Site { house, tables, readiness: Arc::default() };
        let router = Router::new()
            .route("/", get(|| async { Redirect::to("/admin") }))
            .route("/static/pages.css", get(style))
            .route("/static/pages.js", get(script))
            .route("/.well-known/acme-challenge/{token}", get(challenge))
            .merge(admin::routes())
            .merge(monitor::routes())
            .fallback(|| async { answer::not_found() })
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .layer(from_fn(guarded))
            .with_state(site);
        Arc::new(Self { router })
    }
}

impl Face for Web {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let router = self.router.clone();
        Box::pin(async move {
            let Connection { mut stream, mut terms, listener, handle, guard, .. } = connection;
            let peer = stream.peer();
            if listener.tls == TlsMode::Implicit {
                let Tls::Implicit(config) = &terms.tls else { return };
                let shaken = stream.start_tls(config, terms.handshake).await;
                match shaken {
                    Ok(info) => handle.tls(format!("{} {}", info.version, info.cipher)),
                    Err(error) => return tracing::debug!(%peer, %error, "no handshake"),
                }
            }
            let origin = Origin {
                visitor: Visitor { peer: peer.ip(), service: SERVICE },
                secure: stream.tls_info().is_some(),
            };
            handle.state("looking at pages");
            let router =
                router.layer(axum::Extension(origin)).layer(axum::Extension(Ending(terms.stop.clone())));
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(BUFFER_MAX)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            let mut serving = std::pin::pin!(serving);
            let outcome = tokio::select! {
                outcome = serving.as_mut() => outcome,
                _ = terms.stop.wait() => {
                    serving.as_mut().graceful_shutdown();
                    tokio::select! {
                        outcome = serving.as_mut() => outcome,
                        () = terms.stop.overdue() => Ok(()),
                    }
                }
                () = terms.termination.wait() => Ok(()),
            };
            if let Err(error) = outcome {
                tracing::debug!(%peer, %error, "webmail connection over");
            }
            drop(guard);
        })
    }

    fn refusal(&self, why: Refused) -> &'static [u8] {
        match why {
            Refused::TooMany => {
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            }
            Refused::Denied => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        }
    }
}

async fn style() -> impl IntoResponse {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    ([kind], include_str!("../../templates/pages.css"))
}

async fn script() -> impl IntoResponse {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    ([kind], include_str!("../../templates/pages.js"))
}

/// What a certificate authority asks for (RFC 8555 §8.3).
async fn challenge(State(site): State<Site>, Path(token): Path<String>) -> Response {
    match site.house.control.config().acme.key_authorization(&token) {
        Some(text) => ([(CONTENT_TYPE, "application/octet-stream")], text.to_owned()).into_response(),
        None => answer::not_found(),
    }
}

/// What browsers are told with each answer; and who may send forms here.
async fn guarded(request: Request, next: Next) -> Response {
    let secure = request.extensions().get::<Origin>().is_some_and(|origin| origin.secure);
    let fixed = request.uri().path().starts_with("/static/");
    // Browsers say from where a request comes (Fetch Metadata); a form from another site is nobody's wish.
    let site = request.headers().get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let strange =
        !request.method().is_safe() && site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let peer = request.extensions().get::<Origin>().map(|origin| origin.visitor.peer);
    let (method, path) =
        (request.method().clone(), request.uri().path().chars().take(200).collect::<String>());
    let mut response = match strange {
        true => answer::refused("this form was sent from another site"),
        false => next.run(request).await,
    };
    if matches!(response.status(), StatusCode::FORBIDDEN | StatusCode::PAYLOAD_TOO_LARGE) {
        let (status, peer) = (response.status().as_u16(), peer.map(|peer| peer.to_string()));
        tracing::info!(peer, %method, path, status, "a request to the pages was refused");
    }
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    say(CONTENT_SECURITY_POLICY, POLICY);
    say(X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(X_FRAME_OPTIONS, "DENY");
    say(REFERRER_POLICY, "same-origin");
    say(CACHE_CONTROL, if fixed { "max-age=3600" } else { "no-store" });
    say(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    if secure {
        say(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}
