//! POP3 server: RFC 1939, with CAPA, PIPELINING and response codes (RFC 2449, RFC 3206), STLS (RFC 2595), SASL (RFC
//! 5034), UTF8 and LANG (RFC 6856).
//!
//! `wire` turns bytes into lines and messages into answers, without I/O; `table` lists every command with the states it
//! is legal in; each file under `cmd/` reads the arguments of a command and carries it out; `maildrop` is INBOX as it
//! was at login; `session` holds the state; `delay` knows who logged in when.
//!
//! House rules:
//! - Messages are deleted by QUIT and by nothing else: a session that is dropped, sent away or timed out deletes none
//!   (RFC 1939 §6).
//! - Message numbers live in `maildrop` and nowhere else.
//! - A message is sent piece by piece. What fails before its first line is an `-ERR`, what fails later closes the
//!   connection without the final dot, so that no client takes a part for the whole.
//! - Messages go out as they are stored, with UTF8 or without (RFC 6856 §2 would have them downgraded or refused
//!   without it, which loses more than it saves: the clients that never say UTF8 have shown 8-bit headers for decades).
//!   Only line ends are mended: a CR or LF that stands alone becomes CRLF, as lines of POP3 end so and only so. An answer
//!   then has more octets than LIST says (RFC 9051's RFC822.SIZE, from the table).
//! - RETR leaves `\Seen` alone.

pub mod cmd;
pub mod delay;
pub mod maildrop;
pub mod session;
pub mod table;
pub mod wire;

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::control::{Connection, Face, Refused};
use crate::intake::House;
use crate::net::talk::talk;
use delay::LoginTimes;
use session::Session;

/// The pop3 service.
pub struct Pop3 {
    house: Arc<House>,
    logins: Arc<LoginTimes>,
}

impl Pop3 {
    /// The face on this house.
    pub fn new(house: Arc<House>) -> Arc<Self> {
        Arc::new(Self { house, logins: Arc::default() })
    }
}

impl Face for Pop3 {
    fn service(&self) -> &'static str {
        session::SERVICE
    }

    fn serve(&self, connection: Connection) -> BoxFuture<'static, ()> {
        let (house, logins) = (self.house.clone(), self.logins.clone());
        Box::pin(async move {
            let Connection { stream, terms, listener, handle, guard, .. } = connection;
            let peer = stream.peer();
            let mut session = Session::new(house, logins, listener.tls, handle, guard);
            let report = talk(&mut session, stream, terms).await;
            tracing::debug!(
                %peer,
                ended = %report.ended,
                bytes_in = report.bytes_in,
                bytes_out = report.bytes_out,
                "pop3 session over"
            );
        })
    }

    fn refusal(&self, why: Refused) -> &'static [u8] {
        match why {
            Refused::TooMany => b"-ERR [SYS/TEMP] too many connections, try again later\r\n",
            Refused::Denied => b"-ERR [SYS/PERM] your address may not connect to this service\r\n",
        }
    }
}
