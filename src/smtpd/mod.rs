//! The SMTP server (RFC 5321), for other servers, for users (submission, RFC 6409) and as LMTP (RFC 2033).
//!
//! One session runs one command at a time; `session` holds its state and hands units to the phases: `greet` (EHLO,
//! STARTTLS), `auth`, `envelope` (MAIL, RCPT), `data` (DATA, BDAT, and what follows the last byte). Words, replies and
//! the framing are those of [`crate::smtp`]; what becomes of a message is decided in [`crate::intake`].
//!
//! House rules:
//! - 250 to a message is written only after the transaction that holds it has committed.
//! - A message is never whole in memory: its bytes go to the spool as they come.
//! - A database that is away is answered with 451; the session stays.
//! - What is refused costs as little as possible: a message whose end is known to be refused is swallowed, not stored.
//! - Settings are read at each command and hold for it.

mod auth;
mod authenticity;
mod crlf;
mod data;
mod envelope;
mod greet;
mod proxied;
mod query;
mod screening;
mod sender;
mod session;
mod story;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::control::{Connection, Face, Refused};
use crate::intake::House;
use crate::net::talk::talk;
use session::Session;

/// The smtp service.
pub struct Smtp {
    house: Arc<House>,
}

impl Smtp {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        Arc::new(Self { house })
    }
}

impl Face for Smtp {
    fn service(&self) -> &'static str {
        "smtp"
    }

    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let house = self.house.clone();
        Box::pin(async move {
            let Connection { stream, terms, listener, handle, guard, control: _ } = connection;
            let (id, peer) = (handle.id(), handle.peer());
            let mut session = Session::new(house, listener, handle, guard);
            session.screening.stop = Some(terms.stop.clone());
            let report = talk(&mut session, stream, terms).await;
            tracing::debug!(
                session = id,
                %peer,
                ended = %report.ended,
                bytes_in = report.bytes_in,
                bytes_out = report.bytes_out,
                "smtp session ended"
            );
        })
    }

    fn refusal(&self, why: Refused) -> &'static [u8] {
        match why {
            Refused::TooMany => b"421 4.7.0 Too many connections, try again later\r\n",
            Refused::Denied => b"554 5.7.1 Connections from your address are not permitted\r\n",
        }
    }
}
