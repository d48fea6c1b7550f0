//! Sockets, and the one session loop under every line protocol.
//!
//! `accept` binds and accepts, `limit` counts who is connected, `stream` is a connection in plain or over TLS, `talk` runs
//! a [`talk::Session`] on it and writes through [`out::Out`], `stop` carries the wish to end, `proxy` hears from a
//! trusted proxy who its client is, `deflate` compresses. `https` is the one thing
//! here that asks rather than answers: one request to a web server.
//!
//! House rules: nothing here knows mail, SQL or settings: values are passed in. A session never sees a socket. What a
//! client sent in plain text before a TLS handshake is never looked at after it. Every wait has a limit. An idle
//! session holds no buffer. Of the modules beside this one `tls` is used, by `stream`, and `dns`, by `https`.

pub mod accept;
pub mod deflate;
pub mod files;
pub mod holder;
pub mod https;
pub mod limit;
pub mod out;
pub mod proxy;
pub mod stop;
pub mod stream;
pub mod talk;
