//! Where a mailbox name leads: whose mailbox it is, and what this client may do there.
//!
//! What must hold: every command that names a mailbox comes through here, so that one place says what names mean and
//! who may do what. A mailbox that may not even be looked up is treated as one that is not there (RFC 4314 §6).

use super::answer::Fail;
use super::session::Session;
use super::wire::code::Code;
use super::wire::name::MailboxName;
use crate::mail::{AccountId, Rights};
use crate::store::mailbox::{Mailbox, MailboxError};

/// A mailbox that a client has named.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Whose it is.
    pub(super) account: AccountId,
    /// The mailbox.
    pub(super) mailbox: Mailbox,
    /// What the client may do there.
    pub(super) rights: Rights,
}

impl Place {
    /// Refuses where one of these rights is missing.
    pub(super) fn needs(&self, rights: Rights) -> Result<(), Fail> {
        needs(self.rights, rights)
    }
}

/// Refuses where one of the rights needed is not among those held.
pub(super) fn needs(held: Rights, needed: Rights) -> Result<(), Fail> {
    if held.contains(needed) {
        return Ok(());
    }
    Err(Fail::no(Code::NoPerm, format!("this takes the right {} on the mailbox", needed.without(held))))
}

impl Session {
    /// Where a name leads; `None` when there is no such mailbox, as far as this client may know.
    pub(super) async fn find(&self, name: &MailboxName) -> Result<Option<Place>, Fail> {
        self.find_for(self.login()?.account, name).await
    }

    /// The same as another account sees it: for a URL that this account has authorized (RFC 4467 §7).
    pub(super) async fn find_for(
        &self,
        account: AccountId,
        name: &MailboxName,
    ) -> Result<Option<Place>, Fail> {
        let found = self.house.store.find_mailbox(account, name.as_str()).await?;
        Ok(found.map(|mailbox| Place { account, mailbox, rights: Rights::ALL }))
    }

    /// The mailbox of a name that should be there.
    pub(super) async fn place(&self, name: &MailboxName) -> Result<Place, Fail> {
        self.find(name).await?.ok_or_else(|| MailboxError::Missing.into())
    }

    /// The mailbox that messages are to go to. RFC 3501 §6.3.11, §6.4.7: one that is missing is not made, the client is
    /// told that it may make it.
    pub(super) async fn target(&self, name: &MailboxName) -> Result<Place, Fail> {
        let found = self.find(name).await?;
        let place = found.ok_or_else(|| Fail::no(Code::TryCreate, "there is no mailbox of that name"))?;
        place.needs(Rights::INSERT)?;
        Ok(place)
    }
}
