//! DELE (RFC 1939 §5): marks a message; QUIT deletes it.

use super::message;
use crate::net::out::Out;
use crate::pop3::maildrop::Maildrop;
use crate::pop3::wire::{self, Refusal};

pub(super) fn run(maildrop: &mut Maildrop, number: Option<&[u8]>, out: &mut Out<'_>) -> Result<(), Refusal> {
    let number = message(number)?;
    maildrop.delete(number)?;
    wire::ok(out, &format!("message {number} goes with QUIT"));
    Ok(())
}
