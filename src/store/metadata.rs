//! Annotations of mailboxes and of the server (RFC 5464), and the special use of a mailbox, which is one of them to clients
//! (RFC 6154 §5.4).

use super::Store;
use super::mailbox::{MailboxError, UseLock};
use crate::db::Error;
use crate::mail::{AccountId, MailboxId};
use crate::sql;

const GET: &str = sql!("store/get_metadata");
const SET: &str = sql!("store/set_metadata");
const SET_SPECIAL_USE: &str = sql!("store/set_special_use");

/// Whose value an annotation has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `/private`: each user's own.
    Private,
    /// `/shared`: one for all.
    Shared,
}

/// An entry's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryName {
    /// Whose value.
    pub scope: Scope,
    /// In lower case, without the scope: `/comment`. Empty: all of the scope.
    pub path: String,
}

/// How far below the entries named others are told of (RFC 5464 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Depth {
    /// Not at all.
    #[default]
    Zero,
    /// Those directly below.
    One,
    /// All.
    Infinity,
}

/// An annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The mailbox; 0 for the server.
    pub mailbox: MailboxId,
    /// Its name.
    pub name: EntryName,
    /// Its value.
    pub value: Vec<u8>,
}

/// What annotations are of: a mailbox with its owner, or the server.
pub type Annotated = (AccountId, MailboxId);

/// The server, as the annotations have it.
pub const SERVER: Annotated = (AccountId(0), MailboxId(0));

impl EntryName {
    /// Whether `other` is this entry or so far below it.
    pub fn covers(&self, other: &EntryName, depth: Depth) -> bool {
        let below = other.path.strip_prefix(&self.path).filter(|_| self.scope == other.scope);
        match (below, depth) {
            (Some(""), _) => true,
            (Some(rest), Depth::Infinity) => rest.starts_with('/'),
            (Some(rest), Depth::One) => rest.strip_prefix('/').is_some_and(|level| !level.contains('/')),
            _ => false,
        }
    }
}

impl std::fmt::Display for EntryName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scope = if self.scope == Scope::Private { "/private" } else { "/shared" };
        write!(f, "{scope}{}", self.path)
    }
}

impl Store {
    /// The annotations that these names cover, as `who` sees them, in the order of the names.
    pub async fn annotations(
        &self,
        who: AccountId,
        of: &[Annotated],
        names: &[EntryName],
        depth: Depth,
    ) -> Result<Vec<Annotation>, Error> {
        let (accounts, mailboxes): (Vec<i64>, Vec<i64>) = of.iter().map(|(a, m)| (a.0, m.0)).unzip();
        let (paths, private) = columns(names.iter());
        let depth = match depth {
            Depth::Zero => 0,
            Depth::One => 1,
            Depth::Infinity => -1,
        };
        let rows =
            self.control.db.query(GET, &[&who.0, &accounts, &mailboxes, &paths, &private, &depth]).await?;
        Ok(rows
            .iter()
            .map(|row| {
                let scope = if row.get(1) { Scope::Private } else { Scope::Shared };
                let name = EntryName { scope, path: row.get(2) };
                Annotation { mailbox: MailboxId(row.get(0)), name, value: row.get(3) }
            })
            .collect())
    }

    /// Sets annotations, or removes them (`None`): all or none, each name once. `false`: there would be too many.
    pub async fn annotate(
        &self,
        who: AccountId,
        (account, mailbox): Annotated,
        values: &[(EntryName, Option<Vec<u8>>)],
    ) -> Result<bool, Error> {
        let (paths, private) = columns(values.iter().map(|(name, _)| name));
        let values: Vec<Option<&[u8]>> = values.iter().map(|(_, value)| value.as_deref()).collect();
        let max = self.control.config().imap.max_metadata_entries;
        let row = self
            .control
            .db
            .query_opt(SET, &[&who.0, &account.0, &mailbox.0, &paths, &private, &values, &max])
            .await?;
        Ok(row.is_some_and(|row| row.get(0)))
    }

    /// Says what a mailbox is for; `None`: nothing special. An account has one mailbox of each use.
    pub async fn set_special_use(
        &self,
        (account, mailbox): Annotated,
        special_use: Option<&str>,
    ) -> Result<(), MailboxError> {
        let mut client = self.control.db.client().await?;
        let set = client.prepare(SET_SPECIAL_USE).await?;
        let uses = UseLock::prepare(&client).await?;
        let transaction = client.transaction().await?;
        uses.take(&transaction, account, special_use, Some(mailbox)).await?;
        transaction.execute(&set, &[&account.0, &mailbox.0, &special_use]).await.map_err(Error::from)?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(())
    }
}

fn columns<'a>(names: impl Iterator<Item = &'a EntryName>) -> (Vec<&'a str>, Vec<bool>) {
    names.map(|name| (name.path.as_str(), name.scope == Scope::Private)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depths() {
        let name = |path: &str| EntryName { scope: Scope::Shared, path: path.into() };
        for (above, below, zero, one, infinity) in [
            ("/a", "/a", true, true, true),
            ("/a", "/a/b", false, true, true),
            ("/a", "/a/b/c", false, false, true),
            ("/a", "/ab", false, false, false),
            ("", "/a", false, true, true),
            ("", "/a/b", false, false, true),
            ("/a/b", "/a", false, false, false),
        ] {
            let covers = |depth| name(above).covers(&name(below), depth);
            let covered = (covers(Depth::Zero), covers(Depth::One), covers(Depth::Infinity));
            assert_eq!(covered, (zero, one, infinity), "{above} {below}");
        }
        let private = EntryName { scope: Scope::Private, path: "/a".into() };
        assert!(!name("/a").covers(&private, Depth::Infinity));
    }
}
