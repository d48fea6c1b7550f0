//! STLS (RFC 2595 §4). What the client sent in plain text behind it is thrown away by the session loop.

use crate::net::out::Out;
use crate::net::talk::Next;
use crate::pop3::session::Session;
use crate::pop3::wire::{self, Refusal};

pub(super) fn run(session: &Session, out: &mut Out<'_>) -> Result<Next, Refusal> {
    if session.tls.is_some() {
        return Err(Refusal::plain("TLS is active"));
    }
    if !session.offers_stls() {
        return Err(Refusal::plain("TLS is not offered on this port"));
    }
    wire::ok(out, "begin TLS");
    Ok(Next::StartTls)
}
