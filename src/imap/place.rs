//! Where a mailbox name leads: whose mailbox it is, and what this client may do there.
//!
//! What must hold: every command that names a mailbox comes through here, so that one place says what names mean and
//! who may do what. A mailbox that may not even be looked up is treated as one that is not there (RFC 4314 §6).
//! A name is first taken as one's own: only names in the namespaces of others cost a second question.

use std::collections::HashMap;

use super::answer::Fail;
use super::namespace::{self, Foreign, is_foreign};
use super::session::Session;
use super::wire::code::Code;
use super::wire::name::MailboxName;
use crate::mail::{AccountId, MailboxId, Rights, Room};
use crate::store::mailbox::{Entry, Mailbox, MailboxError};

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

/// What a client has named, whether there is a mailbox or not.
#[derive(Debug, Clone)]
pub(super) struct Site {
    /// Whose it is, or would be.
    pub(super) account: AccountId,
    /// Its name with its owner.
    pub(super) name: String,
    /// What the client may do there; where nothing is yet, in the mailbox above it.
    pub(super) rights: Rights,
    /// Whether it is the client's own.
    pub(super) personal: bool,
}

/// A mailbox that this client can see.
#[derive(Debug, Clone)]
pub struct Visible {
    /// Its name, as this client writes it.
    pub(super) name: MailboxName,
    /// Where it leads.
    pub(super) place: Place,
    /// Whether the client's account has subscribed to it.
    pub(super) subscribed: bool,
    /// Whether it belongs to the client's account.
    pub(super) personal: bool,
    /// Whether mail is delivered to it.
    pub(super) inbox: bool,
}

impl Visible {
    /// Which mailbox it is, whatever its name.
    pub(super) fn key(&self) -> (AccountId, MailboxId) {
        (self.place.account, self.place.mailbox.id)
    }
}

impl Place {
    /// Refuses where one of these rights is missing.
    pub(super) fn needs(&self, rights: Rights) -> Result<(), Fail> {
        needs(self.rights, rights)
    }
}

impl Site {
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
        let store = &self.house.store;
        if let Some(mailbox) = store.find_mailbox(account, name.as_str()).await? {
            return Ok(Some(Place { account, mailbox, rights: Rights::ALL }));
        }
        let Some(foreign) = Foreign::parse(name.as_str()) else { return Ok(None) };
        let found = store.find_shared(account, &foreign.owner, foreign.mailbox).await?;
        Ok(found.map(|(account, mailbox, rights)| Place { account, mailbox, rights }))
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

    /// The same, with what the account that it belongs to has room for.
    pub(super) async fn target_with_room(&self, name: &MailboxName) -> Result<(Place, Room), Fail> {
        let account = self.login()?.account;
        if let Some((mailbox, room)) = self.house.store.find_target(account, name.as_str()).await? {
            return Ok((Place { account, mailbox, rights: Rights::ALL }, room));
        }
        let place = self.target(name).await?;
        let room = self.house.directory.room(place.account).await?;
        Ok((place, room))
    }

    /// What is to be deleted or renamed. One's own names are not looked up: whoever deletes or renames does that.
    pub(super) async fn site(&self, name: &MailboxName) -> Result<Site, Fail> {
        let personal = self.personal(name)?;
        let Some(foreign) = Foreign::parse(name.as_str()) else { return Ok(personal) };
        let place = self.place(name).await?;
        if place.account == personal.account {
            return Ok(personal);
        }
        let name = foreign.mailbox.to_owned();
        Ok(Site { account: place.account, name, rights: place.rights, personal: false })
    }

    /// Where a mailbox is to be made. RFC 4314 §4: it takes the right k on the one above it.
    pub(super) async fn building_site(&self, name: &MailboxName) -> Result<Site, Fail> {
        let personal = self.personal(name)?;
        if !is_foreign(name.as_str()) {
            return Ok(personal);
        }
        // Who the others are is nobody's business: no mailbox of theirs, no account, no right, it is all the same.
        let refusal = || Fail::no(Code::NoPerm, "you may not make mailboxes there");
        let foreign = Foreign::parse(name.as_str()).ok_or_else(refusal)?;
        let above =
            self.house.store.find_rights_above(personal.account, &foreign.owner, foreign.mailbox).await?;
        let (account, rights) = above.ok_or_else(refusal)?;
        if !rights.contains(Rights::CREATE) {
            return Err(refusal());
        }
        let name = foreign.mailbox.to_owned();
        Ok(Site { account, name, rights, personal: false })
    }

    fn personal(&self, name: &MailboxName) -> Result<Site, Fail> {
        let account = self.login()?.account;
        Ok(Site { account, name: name.as_str().to_owned(), rights: Rights::ALL, personal: true })
    }

    /// All names that this client sees, each once: its own, and those of others.
    pub(super) async fn names(&self) -> Result<Vec<Entry>, Fail> {
        let account = self.login()?.account;
        let (mut names, shared): (Vec<Entry>, Vec<Entry>) =
            self.house.store.list_names(account).await?.into_iter().partition(|entry| entry.shared.is_none());
        if shared.is_empty() {
            return Ok(names);
        }
        let mut known: HashMap<String, usize> =
            names.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at)).collect();
        for mut entry in shared {
            let Some(Ok(name)) = entry
                .shared
                .as_ref()
                .map(|shared| MailboxName::new(&namespace::name(&shared.owner, &entry.name)))
            else {
                continue;
            };
            entry.name = name.as_str().to_owned();
            match known.get(&entry.name).and_then(|&at| names.get_mut(at)) {
                // One's own mailbox of that name is in front of it.
                Some(own) if own.mailbox.is_some() => {}
                Some(subscription) => {
                    *subscription = Entry { subscribed: subscription.subscribed, ..entry };
                }
                None => {
                    known.insert(entry.name.clone(), names.len());
                    names.push(entry);
                }
            }
        }
        Ok(names)
    }

    /// All mailboxes that this client can see, in the order of their names.
    pub(super) async fn visible(&self) -> Result<Vec<Visible>, Fail> {
        let account = self.login()?.account;
        let mut visible: Vec<Visible> = self
            .names()
            .await?
            .into_iter()
            .filter_map(|entry| {
                let name = MailboxName::new(&entry.name).ok()?;
                let personal = entry.shared.is_none();
                // Mail for this account itself goes to INBOX.
                let inbox = name.is_inbox();
                let (account, rights) =
                    entry.shared.map_or((account, Rights::ALL), |shared| (shared.account, shared.rights));
                let place = Place { account, mailbox: entry.mailbox?, rights };
                Some(Visible { name, place, subscribed: entry.subscribed, personal, inbox })
            })
            .collect();
        visible.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(visible)
    }
}
