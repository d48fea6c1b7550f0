//! CREATE (RFC 3501 §6.3.3), with special uses (RFC 6154 §3).

use super::enable::Extension;
use super::list::{Shown, write_shown};
use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::session::Session;
use crate::imap::watch::Deed;
use crate::imap::wire::bad::{Answer, Bad};
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::net::out::Out;
use crate::store::object_id::mailbox_id;

/// `use-attr` (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UseAttr {
    /// All messages, a view.
    All,
    /// Where messages are archived.
    Archive,
    /// Unfinished messages.
    Drafts,
    /// Flagged messages, a view.
    Flagged,
    /// Spam.
    Junk,
    /// Copies of what was sent.
    Sent,
    /// What was deleted.
    Trash,
}

impl UseAttr {
    const EVERY: [UseAttr; 7] = [
        UseAttr::All,
        UseAttr::Archive,
        UseAttr::Drafts,
        UseAttr::Flagged,
        UseAttr::Junk,
        UseAttr::Sent,
        UseAttr::Trash,
    ];

    /// The attribute of this name, in any case.
    pub fn find(name: &[u8]) -> Option<Self> {
        UseAttr::EVERY.into_iter().find(|attr| attr.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Whether a mailbox can have it. RFC 6154 §2: the others would show messages of other mailboxes.
    pub fn is_mailbox(self) -> bool {
        !matches!(self, UseAttr::All | UseAttr::Flagged)
    }

    /// The attribute as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            UseAttr::All => "\\All",
            UseAttr::Archive => "\\Archive",
            UseAttr::Drafts => "\\Drafts",
            UseAttr::Flagged => "\\Flagged",
            UseAttr::Junk => "\\Junk",
            UseAttr::Sent => "\\Sent",
            UseAttr::Trash => "\\Trash",
        }
    }
}

/// `CREATE mailbox [(USE (use-attr …))]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// The mailbox; a separator at its end is gone.
    pub mailbox: MailboxName,
    /// The special uses it shall have, each once.
    pub uses: Vec<UseAttr>,
}

impl Create {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox_to_create()?;
        let mut uses = Vec::new();
        if parser.skip(b' ') {
            // RFC 4466 §2.2: parameters in parentheses; USE is the only one.
            parser.expect(b'(', "expected CREATE parameters")?;
            if !parser.skip_word("USE") {
                return Err(parser.bad("unknown CREATE parameter"));
            }
            parser.space()?;
            uses = parser.list_of(use_attr)?;
            uses = UseAttr::EVERY.into_iter().filter(|attr| uses.contains(attr)).collect();
            parser.expect(b')', "expected the end of the CREATE parameters")?;
        }
        Ok(Create { mailbox, uses })
    }
}

fn use_attr(parser: &mut Parser<'_>) -> Result<UseAttr, Bad> {
    let at = parser.at();
    parser.expect(b'\\', "expected a special use")?;
    let name = parser.atom()?;
    let known = UseAttr::EVERY.into_iter().find(|attr| {
        attr.as_str().as_bytes().strip_prefix(b"\\").is_some_and(|known| known.eq_ignore_ascii_case(name))
    });
    known.ok_or(Bad { what: "unknown special use", at, answer: Answer::UseAttr })
}

impl Create {
    /// Creates the mailbox, and the levels above it that are missing.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let site = session.building_site(&self.mailbox).await?;
        let special = match self.uses.as_slice() {
            [] => None,
            [special] if !special.is_mailbox() => {
                return Err(Fail::no(Code::UseAttr, "there are no virtual mailboxes here"));
            }
            [special] => Some(special.as_str()),
            _ => return Err(Fail::no(Code::UseAttr, "a mailbox has one special use here")),
        };
        if special.is_some() && !site.personal {
            return Err(Fail::no(Code::UseAttr, "only your own mailboxes have special uses"));
        }
        let made = session.house.store.create_mailbox(site.account, &site.name, special).await?;
        if let (Some(written), true) = (self.mailbox.written(), session.enabled.has(Extension::Rev2)) {
            let name = self.mailbox.as_str();
            let shown = Shown { special_use: special, old_name: Some(written), ..Shown::mailbox(name) };
            write_shown(out, session.coding(), &shown);
        }
        session.did(Deed::Created(self.mailbox));
        // RFC 8474 §4.1: the new mailbox's id comes with the answer.
        Ok(Done::with(OwnedCode::MailboxId(mailbox_id(made.id)), "mailbox created"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in [
            "CREATE",
            "CREATE a b",
            "CREATE a ()",
            "CREATE a (USE)",
            "CREATE a (USE \\Sent)",
            "CREATE a (USE (Sent))",
            "CREATE a (USE (\\Sent)",
            "CREATE a (FOO (\\Sent))",
        ] {
            assert_eq!(refusal(input).answer, Answer::Bad, "{input}");
        }
        assert_eq!(refusal("CREATE a (USE (\\Foo))").answer, Answer::UseAttr);
        for input in ["CREATE \"\"", "CREATE /", "CREATE a//b", "CREATE /a", "CREATE \"a\tb\""] {
            assert_eq!(refusal(input).answer, Answer::Cannot, "{input}");
        }
        let create = |name, uses: &[UseAttr]| {
            Command::Create(Create { mailbox: MailboxName::new(name).unwrap(), uses: uses.to_vec() })
        };
        assert_eq!(command("CREATE a/b/"), create("a/b", &[]));
        assert_eq!(command("CREATE a (USE ())"), create("a", &[]));
        assert_eq!(
            command("CREATE a (use (\\trash \\Sent \\Trash))"),
            create("a", &[UseAttr::Sent, UseAttr::Trash])
        );
    }
}
