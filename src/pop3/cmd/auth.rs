//! AUTH (RFC 5034): SASL, with an initial response or without.

use crate::directory::{Authentication, LoginError, Progress};
use crate::net::out::Out;
use crate::net::talk::Next;
use crate::pop3::session::{Session, State};
use crate::pop3::wire::{self, Refusal};
use crate::sasl::{Mechanism, encode_challenge};

/// Begins an exchange; without a mechanism, lists those there are, as clients older than CAPA ask for it.
pub(super) async fn run(
    session: &mut Session,
    mechanism: Option<&[u8]>,
    initial: Option<&[u8]>,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    let (protection, cleartext) = (session.protection(), session.cleartext());
    let tokens = session.tokens();
    let Some(name) = mechanism else {
        wire::ok(out, "mechanisms");
        for mechanism in Mechanism::offered(protection, cleartext, tokens) {
            out.put(mechanism.name().as_bytes());
            out.put(b"\r\n");
        }
        wire::end(out);
        return Ok(Next::Continue);
    };
    let mechanism = Mechanism::parse(name).ok_or_else(|| Refusal::plain("CAPA lists the mechanisms"))?;
    if mechanism.sends_password() {
        session.may_send_password()?;
    }
    if !mechanism.is_offered(protection, cleartext, tokens) {
        return Err(Refusal::plain(
            "this mechanism is not offered on this connection: CAPA lists those that are",
        ));
    }
    let binding = session.tls.clone().unwrap_or_default();
    let directory = session.house.directory.clone();
    let mut exchange = Authentication::new(directory, session.visitor(), mechanism, binding);
    session.state = State::Authorization(None);
    let progress = exchange.begin(initial).await;
    go_on(session, Box::new(exchange), progress, out).await
}

/// Takes the client's answer to a challenge.
pub async fn answer(session: &mut Session, line: &[u8], out: &mut Out<'_>) -> Result<Next, Refusal> {
    let State::Authenticating(mut exchange) =
        std::mem::replace(&mut session.state, State::Authorization(None))
    else {
        return Err(Refusal::plain("AUTH first"));
    };
    let progress = exchange.step(line).await;
    go_on(session, exchange, progress, out).await
}

async fn go_on(
    session: &mut Session,
    exchange: Box<Authentication>,
    progress: Result<Progress, LoginError>,
    out: &mut Out<'_>,
) -> Result<Next, Refusal> {
    match progress? {
        Progress::Challenge(challenge) => {
            session.state = State::Authenticating(exchange);
            // RFC 5034 §4: "+ " and the challenge, which may be empty.
            for part in ["+ ", &encode_challenge(&challenge), "\r\n"] {
                out.put(part.as_bytes());
            }
        }
        Progress::Done(login) => {
            let text = session.enter(login).await?;
            wire::ok(out, &text);
        }
    }
    Ok(Next::Continue)
}
