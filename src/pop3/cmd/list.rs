//! LIST (RFC 1939 §5): sizes.

use super::message;
use crate::net::out::Out;
use crate::net::talk::Next;
use crate::pop3::maildrop::Maildrop;
use crate::pop3::wire::{self, Refusal};

pub(super) async fn run(
    maildrop: &Maildrop,
    number: Option<&[u8]>,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    if number.is_some() {
        let number = message(number)?;
        wire::ok(out, &format!("{number} {}", maildrop.size(number)?));
        return Ok(Next::Continue);
    }
    let (count, bytes) = maildrop.total();
    wire::ok(out, &format!("{count} messages ({bytes} octets)"));
    for (number, size) in maildrop.sizes() {
        out.put(format!("{number} {size}\r\n").as_bytes());
        if out.page().await.is_err() {
            return Ok(Next::Close);
        }
    }
    wire::end(out);
    Ok(Next::Continue)
}
