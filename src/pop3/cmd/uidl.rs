//! UIDL (RFC 1939 §7): ids that a message keeps from session to session, "uidvalidity.uid" unless it came from another
//! server and brought one along.

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
        wire::ok(out, &format!("{number} {}", maildrop.uidl(number)?));
        return Ok(Next::Continue);
    }
    wire::ok(out, "unique ids");
    for (number, id) in maildrop.uidls() {
        out.put(format!("{number} {id}\r\n").as_bytes());
        if out.page().await.is_err() {
            return Ok(Next::Close);
        }
    }
    wire::end(out);
    Ok(Next::Continue)
}
