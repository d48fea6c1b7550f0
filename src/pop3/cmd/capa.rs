//! CAPA (RFC 2449 §5): what this server can do.

use crate::net::out::Out;
use crate::pop3::session::Session;
use crate::pop3::table::Phase;
use crate::pop3::wire;
use crate::sasl::{Cleartext, Mechanism};

/// The same list before and after login, so that a client which asks only once knows all: only TLS changes it, and the
/// settings. STLS alone is there before login and not after it (RFC 2595 §4).
pub(super) fn run(session: &Session, out: &mut Out<'_>) {
    wire::ok(out, "what this server can do");
    for fixed in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"] {
        line(out, fixed);
    }
    // RFC 2449 §6.7: in seconds.
    let delay = session.with_settings(|settings| settings.login_delay_seconds);
    if delay > 0 {
        line(out, &format!("LOGIN-DELAY {delay}"));
    }
    // RFC 2449 §6.8: no message is ever removed for its age.
    line(out, "EXPIRE NEVER");
    if session.offers_stls() && session.phase() == Phase::Authorization {
        line(out, "STLS");
    }
    let (protection, cleartext) = (session.protection(), session.cleartext());
    if session.tls.is_some() || cleartext == Cleartext::Allowed {
        line(out, "USER");
    }
    let names: Vec<_> =
        Mechanism::offered(protection, cleartext, session.tokens()).map(Mechanism::name).collect();
    line(out, &format!("SASL {}", names.join(" ")));
    // RFC 6856 §2.3: names and passwords may be UTF-8.
    for fixed in ["UTF8 USER", "LANG", "IMPLEMENTATION Mailwright"] {
        line(out, fixed);
    }
    wire::end(out);
}

fn line(out: &mut Out<'_>, text: &str) {
    out.put(text.as_bytes());
    out.put(b"\r\n");
}
