//! TOP (RFC 1939 §7): the header, the blank line, and the first lines of the body. The header is stored beside the
//! content, so that TOP with no lines, which clients send for each message, reads no chunk.

use super::message;
use super::retr::{Lines, facts, send};
use crate::net::out::Out;
use crate::net::talk::Next;
use crate::pop3::session::Session;
use crate::pop3::wire::{self, Refusal};
use crate::store::fetch::Want;

pub(super) async fn run(
    session: &Session,
    which: Option<&[u8]>,
    lines: Option<&[u8]>,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    let (which, lines) = (message(which)?, wire::lines(lines.unwrap_or_default())?);
    let facts = facts(session, which, Want { header: true, ..Want::default() }).await?;
    let body = facts.prefix.len() as u64 + facts.header_size;
    let reader = session.house.store.read(&facts.prefix, facts.content, facts.content_size, body..u64::MAX);
    session.show_sending();
    send("the top of it", &[&facts.prefix, &facts.header], reader, Lines::at_most(lines), out).await
}
