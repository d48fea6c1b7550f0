//! The maildrop: INBOX as it was at login (RFC 1939 §5), and what this session has marked in it.
//!
//! Numbers, sizes and unique ids are read at login, in one statement, and never change while the session lasts. No lock
//! is taken: RFC 1939 §4 asks for one so that no other session shifts the numbers, and a snapshot can't be shifted.
//! Several sessions of one account are welcome; what one of them has deleted, another finds gone when it asks for it,
//! and deleting it twice is deleting it once.
//!
//! A message costs 12 bytes here.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::wire::Refusal;
use crate::db::Error;
use crate::mail::{AccountId, MailboxId};
use crate::store::Store;

/// The longest unique id (RFC 1939 §7).
const MAX_UIDL: usize = 70;

/// A mailbox as one session sees it.
#[derive(Debug)]
pub struct Maildrop {
    /// Whose it is.
    pub account: AccountId,
    /// The mailbox.
    pub mailbox: MailboxId,
    uid_validity: u32,
    uids: Vec<u32>,
    sizes: Vec<u64>,
    /// Unique ids brought along from another server, by place.
    imported: HashMap<usize, Arc<str>>,
    /// Places of the messages marked as deleted.
    deleted: BTreeSet<usize>,
    /// Bytes of the messages that are not; counted along, so that STAT costs nothing.
    bytes: u64,
}

impl Maildrop {
    /// An empty one.
    pub fn new(account: AccountId, mailbox: MailboxId, uid_validity: u32) -> Self {
        Self {
            account,
            mailbox,
            uid_validity,
            uids: Vec::new(),
            sizes: Vec::new(),
            imported: HashMap::new(),
            deleted: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Reads INBOX; `None` when there is none.
    pub async fn open(store: &Store, account: AccountId) -> Result<Option<Self>, Error> {
        let Some(inbox) = store.find_mailbox(account, "INBOX").await? else { return Ok(None) };
        let mut maildrop = Self::new(account, inbox.id, inbox.uid_validity);
        let (mut taken, mut doubles) = (HashSet::new(), Vec::new());
        store
            .list_maildrop(account, inbox.id, |uid, size, imported| {
                if !maildrop.push(uid, size, imported, &mut taken) {
                    doubles.push(uid);
                }
            })
            .await?;
        if !doubles.is_empty() {
            // For good: otherwise the second of two would change its id when the first is deleted, to one that its
            // client has seen before (RFC 1939 §7: ids persist, and are not used again).
            store.drop_pop3_uidls(account, inbox.id, &doubles).await?;
        }
        Ok(Some(maildrop))
    }

    /// Adds a message. Its imported unique id counts only if it is one, and nobody's before it (`taken`); false if
    /// it was somebody's.
    pub fn push(
        &mut self,
        uid: u32,
        size: u64,
        imported: Option<&str>,
        taken: &mut HashSet<Arc<str>>,
    ) -> bool {
        let mut own = true;
        if let Some(text) = imported.filter(|text| self.may_be_uidl(text)) {
            let text: Arc<str> = text.into();
            own = taken.insert(text.clone());
            if own {
                self.imported.insert(self.uids.len(), text);
            }
        }
        self.uids.push(uid);
        self.sizes.push(size);
        self.bytes += size;
        own
    }

    /// RFC 1939 §7: 1 to 70 characters from 0x21 to 0x7E. What looks like ours could be another message's.
    fn may_be_uidl(&self, text: &str) -> bool {
        let ours = text
            .strip_prefix(&format!("{}.", self.uid_validity))
            .is_some_and(|uid| uid.bytes().all(|byte| byte.is_ascii_digit()));
        (1..=MAX_UIDL).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) && !ours
    }

    /// The place of a message that is there.
    fn place(&self, number: u32) -> Result<usize, Refusal> {
        let place = (number as usize).checked_sub(1).filter(|place| *place < self.uids.len());
        match place {
            Some(place) if self.deleted.contains(&place) => {
                Err(Refusal::plain(format!("message {number} is deleted; RSET brings it back")))
            }
            Some(place) => Ok(place),
            None => Err(Refusal::plain(format!(
                "there is no message {number}: the maildrop has {} messages",
                self.uids.len()
            ))),
        }
    }

    /// The UID of a message.
    pub fn uid(&self, number: u32) -> Result<u32, Refusal> {
        let place = self.place(number)?;
        self.uids.get(place).copied().ok_or_else(gone)
    }

    /// The size of a message.
    pub fn size(&self, number: u32) -> Result<u64, Refusal> {
        self.place(number).map(|place| self.size_at(place))
    }

    fn size_at(&self, place: usize) -> u64 {
        self.sizes.get(place).copied().unwrap_or_default()
    }

    /// The unique id of a message.
    pub fn uidl(&self, number: u32) -> Result<String, Refusal> {
        let place = self.place(number)?;
        Ok(self.uidl_at(place))
    }

    fn uidl_at(&self, place: usize) -> String {
        match self.imported.get(&place) {
            Some(text) => text.to_string(),
            None => format!("{}.{}", self.uid_validity, self.uids.get(place).copied().unwrap_or_default()),
        }
    }

    /// Number and size of all messages that are not deleted.
    pub fn sizes(&self) -> impl Iterator<Item = (usize, u64)> {
        let all = self.sizes.iter().copied().enumerate();
        all.filter(|(place, _)| !self.deleted.contains(place)).map(|(place, size)| (place + 1, size))
    }

    /// Number and unique id of all messages that are not deleted.
    pub fn uidls(&self) -> impl Iterator<Item = (usize, String)> {
        let all = 0..self.uids.len();
        all.filter(|place| !self.deleted.contains(place)).map(|place| (place + 1, self.uidl_at(place)))
    }

    /// How many messages are not deleted, and their bytes.
    pub fn total(&self) -> (usize, u64) {
        (self.uids.len() - self.deleted.len(), self.bytes)
    }

    /// Marks a message as deleted.
    pub fn delete(&mut self, number: u32) -> Result<(), Refusal> {
        let place = self.place(number)?;
        self.deleted.insert(place);
        self.bytes -= self.size_at(place);
        Ok(())
    }

    /// Takes all marks back.
    pub fn reset(&mut self) {
        for place in std::mem::take(&mut self.deleted) {
            self.bytes += self.size_at(place);
        }
    }

    /// The UIDs of the messages marked as deleted, in order.
    pub fn deleted(&self) -> Vec<u32> {
        self.deleted.iter().filter_map(|place| self.uids.get(*place).copied()).collect()
    }
}

/// A message that another session has removed meanwhile.
pub fn gone() -> Refusal {
    Refusal::plain("there is no such message any more: it was removed after you logged in")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maildrop(imported: &[Option<&str>]) -> Maildrop {
        let mut maildrop = Maildrop::new(AccountId(1), MailboxId(2), 77);
        let mut taken = HashSet::new();
        for (place, text) in imported.iter().enumerate() {
            maildrop.push(place as u32 * 10 + 1, 100, *text, &mut taken);
        }
        maildrop
    }

    #[test]
    fn unique_ids_that_are_none_are_replaced() {
        let long = "x".repeat(71);
        let odd = ["", " ", "a b", "é", "tab\t", &long, "77.1", "77.31"];
        let list: Vec<Option<&str>> = odd.iter().copied().map(Some).collect();
        for (number, text) in maildrop(&list).uidls() {
            assert_eq!(text, format!("77.{}", (number - 1) * 10 + 1));
        }
        let longest = "x".repeat(70);
        let list =
            [Some("00000001abc"), None, Some("00000001abc"), Some(&longest), Some("78.1"), Some("77.x")];
        let texts: Vec<String> = maildrop(&list).uidls().map(|(_, text)| text).collect();
        assert_eq!(texts, ["00000001abc", "77.11", "77.21", &longest, "78.1", "77.x"]);
        let (mut maildrop, mut taken) = (Maildrop::new(AccountId(1), MailboxId(2), 77), HashSet::new());
        let own = list.iter().zip(1..).map(|(text, uid)| maildrop.push(uid, 1, *text, &mut taken));
        assert_eq!(own.collect::<Vec<_>>(), [true, true, false, true, true, true]);
    }

    #[test]
    fn deleted_messages_keep_their_numbers() {
        let mut maildrop = maildrop(&[None; 4]);
        assert!(maildrop.delete(0).is_err() && maildrop.delete(5).is_err());
        maildrop.delete(2).unwrap();
        assert!(maildrop.delete(2).is_err() && maildrop.uid(2).is_err() && maildrop.uidl(2).is_err());
        assert_eq!(maildrop.sizes().map(|(number, _)| number).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!((maildrop.total(), maildrop.deleted()), ((3, 300), vec![11]));
        assert_eq!(maildrop.uid(3).unwrap(), 21);
        maildrop.reset();
        assert_eq!((maildrop.total(), maildrop.deleted()), ((4, 400), vec![]));
    }
}
