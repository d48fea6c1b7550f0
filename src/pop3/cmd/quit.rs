//! QUIT (RFC 1939 §4, §6): in TRANSACTION it enters UPDATE, the only place where messages are deleted.

use crate::net::out::Out;
use crate::net::talk::Next;
use crate::pop3::session::State;
use crate::pop3::wire::{self, Code, Refusal};
use crate::store::Store;
use crate::store::change::Which;

/// All marked messages go in one statement, or none. Those that another session has removed meanwhile are gone already,
/// which is what was asked for.
pub(super) async fn run(state: &State, store: &Store, out: &mut Out<'_>) -> Result<Next, Refusal> {
    let State::Transaction(maildrop) = state else {
        wire::ok(out, "bye");
        return Ok(Next::Close);
    };
    let marked = maildrop.deleted();
    if marked.is_empty() {
        wire::ok(out, "bye");
        return Ok(Next::Close);
    }
    match store.expunge(maildrop.account, maildrop.mailbox, &marked, Which::All).await {
        Ok(_) => wire::ok(out, &format!("{} messages deleted, bye", marked.len())),
        Err(error) => {
            tracing::warn!(account = %maildrop.account, %error, "messages could not be deleted at QUIT");
            Refusal::coded(Code::SysTemp, "the marked messages could not be deleted, try again later")
                .put(out);
        }
    }
    Ok(Next::Close)
}
