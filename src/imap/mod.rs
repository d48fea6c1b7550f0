//! IMAP4rev1 server (RFC 3501, with the extensions that [`cmd::capability`] lists and RFC 9051 where it says
//! the same thing more clearly).
//!
//! [`wire`] turns bytes into units, units into words, and answers into bytes; it does no I/O. [`table`] lists
//! every command with the states it is legal in. Each file under [`cmd`] reads one command into a type of the
//! same name and carries it out. [`pattern`] matches mailbox names against LIST's wildcards, [`listing`] knows which
//! names it shows, `namespace` how mailboxes of others are called, `place` where a name leads and what may be done there,
//! [`choice`] which mailboxes are meant where several are, `cite` what a URL leads to (`token` is the proof that somebody has
//! allowed it). `contexts` keeps results of searches up to date. [`session`] is the
//! connection's state; [`language`] what people read; `progress` what is heard of long commands; [`selected`] is a mailbox
//! as this client knows it, and the only place that announces changes in it; [`resync`] is what a client that comes back is
//! told, `watch` what one is told of mailboxes that it has not selected.
//!
//! What must hold:
//! - A connection runs one command at a time.
//! - A command is bounded before it is understood: the framer limits text and literals, and nothing that a client
//!   only announces is allocated.
//! - Only `wire/reply.rs` writes CRLF, and nothing that a client or a message supplies can add one.
//! - Mailbox names exist in one form inside the server ([`wire::name::MailboxName`]): NFC, `/` between levels,
//!   `INBOX` in capitals. Modified UTF-7 exists on the wire only.
//! - Whether a command may be followed by untagged EXPUNGE is a column of the table (RFC 9051 §7.5.1).
//! - Sequence numbers live in [`selected`] and nowhere else.
//! - No transaction is open while something is sent.

pub mod answer;
pub mod choice;
mod cite;
pub mod cmd;
mod contexts;
pub mod language;
pub mod listing;
mod namespace;
pub mod pattern;
mod place;
mod progress;
pub mod resync;
pub mod selected;
pub mod session;
pub mod table;
mod token;
mod watch;
pub mod wire;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::control::{Connection, Face, Refused};
use crate::intake::House;
use crate::net::talk::talk;

/// The IMAP service.
pub struct Imap {
    house: Arc<House>,
}

impl Imap {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        Arc::new(Self { house })
    }
}

impl Face for Imap {
    fn service(&self) -> &'static str {
        "imap"
    }

    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let house = self.house.clone();
        Box::pin(async move {
            let Connection { stream, terms, listener, handle, guard, control: _ } = connection;
            let mut session = session::Session::new(house, &listener, handle, guard);
            let report = talk(&mut session, stream, terms).await;
            tracing::debug!(?report, "imap session ended");
        })
    }

    fn refusal(&self, why: Refused) -> &'static [u8] {
        match why {
            Refused::TooMany => b"* BYE [UNAVAILABLE] too many connections, try again later\r\n",
            Refused::Denied => b"* BYE [NOPERM] your address may not connect here\r\n",
        }
    }
}
