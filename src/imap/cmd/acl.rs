//! SETACL, DELETEACL and GETACL (RFC 4314 §3.1 to §3.3): who may do what in a mailbox.
//!
//! Identifiers are accounts (`bob@example.test`, or `bob` in the owner's domain), `anyone`, which is everybody in the owner's
//! domain, and `@example.test`, which is everybody in another domain of this server. With `-` in front an entry takes
//! rights away, whatever others give.

use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::place::Place;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::{Rights, domain_to_ascii};
use crate::net::out::Out;
use crate::store::sharing::{AclChange, Grantee};

/// Bytes of an identifier: an address, and the `-`.
const IDENTIFIER_MAX: usize = 321;

/// `SETACL mailbox identifier [+|-]rights`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAcl {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// Whose rights.
    pub identifier: Identifier,
    /// What becomes of them.
    pub change: AclChange,
}

/// `DELETEACL mailbox identifier`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteAcl {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// Whose entry goes.
    pub identifier: Identifier,
}

/// `GETACL mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetAcl {
    /// The mailbox.
    pub mailbox: MailboxName,
}

/// `identifier` (RFC 4314 §2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// Whether the entry takes rights away.
    pub negative: bool,
    /// Who, the domain in ASCII.
    pub who: String,
}

impl Identifier {
    /// Reads one.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        let at = parser.at();
        let text = parser.text()?;
        let (negative, who) = text.strip_prefix('-').map_or((false, text.as_str()), |who| (true, who));
        if who.is_empty() || text.len() > IDENTIFIER_MAX || who.chars().any(char::is_control) {
            return Err(Bad::new("this is no identifier", at));
        }
        let who = match who.rsplit_once('@') {
            Some((local, domain)) => {
                let domain = domain_to_ascii(domain.as_bytes());
                format!("{local}@{}", domain.map_err(|_| Bad::new("this is no domain", at))?)
            }
            None => who.to_owned(),
        };
        Ok(Identifier { negative, who })
    }

    /// Whom it means in a mailbox.
    pub(super) async fn find(&self, session: &Session, place: &Place) -> Result<Grantee, Fail> {
        let found = session.house.store.grantee(place.account, &self.who).await?;
        found.ok_or_else(|| Fail::No(None, "there is nobody of that name here".into()))
    }

    /// As the client wrote it, but for the case and coding of the domain.
    pub(super) fn written(&self) -> String {
        format!("{}{}", if self.negative { "-" } else { "" }, self.who)
    }
}

/// `mod-rights`. RFC 4314 §3.1: a letter that is no right is a mistake of the client.
fn change(parser: &mut Parser<'_>) -> Result<AclChange, Bad> {
    let at = parser.at();
    let text = parser.text()?;
    let (letters, change): (&str, fn(Rights) -> AclChange) = match text.as_bytes().first() {
        Some(b'+') => (text.get(1..).unwrap_or_default(), AclChange::Add),
        Some(b'-') => (text.get(1..).unwrap_or_default(), AclChange::Remove),
        _ => (&text, AclChange::Set),
    };
    Rights::parse(letters).map(change).ok_or(Bad::new("unknown right", at))
}

impl SetAcl {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        let identifier = Identifier::parse(parser)?;
        parser.space()?;
        Ok(SetAcl { mailbox, identifier, change: change(parser)? })
    }

    /// Changes the entry.
    pub async fn run(self, session: &mut Session) -> Outcome {
        apply(session, &self.mailbox, &self.identifier, self.change).await?;
        Ok(Done::ok("rights changed"))
    }
}

impl DeleteAcl {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        Ok(DeleteAcl { mailbox, identifier: Identifier::parse(parser)? })
    }

    /// Removes the entry; there need not be one.
    pub async fn run(self, session: &mut Session) -> Outcome {
        apply(session, &self.mailbox, &self.identifier, AclChange::Set(Rights::NONE)).await?;
        Ok(Done::ok("rights removed"))
    }
}

async fn apply(
    session: &Session,
    mailbox: &MailboxName,
    identifier: &Identifier,
    change: AclChange,
) -> Result<(), Fail> {
    let place = session.place(mailbox).await?;
    place.needs(Rights::ADMINISTER)?;
    let grantee = identifier.find(session, &place).await?;
    if grantee.is(place.account) {
        return Err(Fail::no(Code::Cannot, "the owner of a mailbox always has all rights in it"));
    }
    let key = (place.account, place.mailbox.id);
    Ok(session.house.store.change_acl(key, grantee, identifier.negative, change).await?)
}

impl GetAcl {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(GetAcl { mailbox: parser.mailbox()? })
    }

    /// Shows all entries.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let place = session.place(&self.mailbox).await?;
        place.needs(Rights::ADMINISTER)?;
        let entries = session.house.store.acl(place.account, place.mailbox.id).await?;
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("ACL ").mailbox(self.mailbox.as_str(), session.coding());
        for entry in entries {
            line.raw(" ").astring(entry.identifier.as_bytes());
            line.raw(" ").text(&entry.rights.with_obsolete());
        }
        Ok(Done::ok("done"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        let long = format!("DELETEACL a {}", "x".repeat(IDENTIFIER_MAX + 1));
        for input in [
            "SETACL",
            "SETACL a",
            "SETACL a b",
            "SETACL a b lrq",
            "SETACL a b L",
            "SETACL a b +0",
            "SETACL a b +-l",
            "SETACL a b l r",
            "SETACL a \"\" l",
            "SETACL a - l",
            "SETACL a bob@ l",
            "SETACL \"\" b l",
            "DELETEACL a",
            "DELETEACL a b c",
            "GETACL",
            "GETACL a b",
            &long,
        ] {
            refusal(input);
        }
        let mailbox = MailboxName::new("a").unwrap();
        let identifier = |negative, who: &str| Identifier { negative, who: who.into() };
        let rights = |letters| Rights::parse(letters).unwrap();
        let set =
            |identifier, change| Command::SetAcl(SetAcl { mailbox: mailbox.clone(), identifier, change });
        assert_eq!(
            command("SETACL a bob@Example.Test lrs"),
            set(identifier(false, "bob@example.test"), AclChange::Set(rights("lrs")))
        );
        assert_eq!(
            command("setacl a -anyone +cd"),
            set(identifier(true, "anyone"), AclChange::Add(rights("kxte")))
        );
        assert_eq!(
            command("SETACL a \"@bücher.example\" \"-w\""),
            set(identifier(false, "@xn--bcher-kva.example"), AclChange::Remove(rights("w")))
        );
        assert_eq!(command("SETACL a b \"\""), set(identifier(false, "b"), AclChange::Set(Rights::NONE)));
        assert_eq!(
            command("DELETEACL a b"),
            Command::DeleteAcl(DeleteAcl { mailbox: mailbox.clone(), identifier: identifier(false, "b") })
        );
        assert_eq!(command("GETACL a"), Command::GetAcl(GetAcl { mailbox }));
    }
}
