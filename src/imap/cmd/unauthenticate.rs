//! UNAUTHENTICATE (RFC 8437): the connection is as it was before its login, but for TLS.

use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::session::Session;

/// Logs out and stays connected. Nothing is expunged from the mailbox that was selected. The answer lists what is announced
/// to somebody who has not logged in, so that the client need not ask.
pub fn run(session: &mut Session) -> Outcome {
    // RFC 8437 §3: BAD where it is not advertised; §8: there must be a way to switch it off.
    if !session.is_announced("UNAUTHENTICATE") {
        return Err(Fail::bad("this command is not offered here"));
    }
    session.forget_user();
    Ok(Done::with(OwnedCode::Capability(session.capabilities()), "not logged in any more"))
}
