//! LISTRIGHTS and MYRIGHTS (RFC 4314 §3.4, §3.5): which rights can be given, and which one has.

use super::acl::Identifier;
use crate::imap::answer::{Done, Outcome};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::name::{MailboxName, NameCoding};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::mail::Rights;
use crate::net::out::Out;

/// `LISTRIGHTS mailbox identifier`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRights {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// To whom.
    pub identifier: Identifier,
}

/// `MYRIGHTS mailbox`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MyRights {
    /// The mailbox.
    pub mailbox: MailboxName,
}

impl ListRights {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        Ok(ListRights { mailbox, identifier: Identifier::parse(parser)? })
    }

    /// The owner always has all rights; to others each can be given by itself.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let place = session.place(&self.mailbox).await?;
        place.needs(Rights::ADMINISTER)?;
        let grantee = self.identifier.find(session, &place).await?;
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.raw("LISTRIGHTS ").mailbox(self.mailbox.as_str(), session.coding());
        line.raw(" ").astring(self.identifier.written().as_bytes());
        if grantee.is(place.account) {
            line.raw(" ").text(&Rights::ALL.with_obsolete());
        } else {
            line.raw(" \"\"");
            // RFC 4314 §2.1.1: old clients look for c and d.
            let letters = Rights::ALL.iter().map(|right| right.to_string());
            letters.chain(["c".to_owned(), "d".to_owned()]).for_each(|letter| {
                line.raw(" ").text(&letter);
            });
        }
        Ok(Done::ok("done"))
    }
}

impl MyRights {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        Ok(MyRights { mailbox: parser.mailbox()? })
    }

    /// Says which rights one has.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let place = session.place(&self.mailbox).await?;
        write(out, self.mailbox.as_str(), session.coding(), place.rights);
        Ok(Done::ok("done"))
    }
}

/// `* MYRIGHTS name rights`
pub(super) fn write(out: &mut Out<'_>, name: &str, coding: NameCoding, rights: Rights) {
    let mut buffer = out.buffer();
    Line::untagged(&mut buffer).raw("MYRIGHTS ").mailbox(name, coding).raw(" ").text(&rights.with_obsolete());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn grammar() {
        for input in ["LISTRIGHTS", "LISTRIGHTS a", "LISTRIGHTS a b c", "MYRIGHTS", "MYRIGHTS a b"] {
            refusal(input);
        }
        let mailbox = MailboxName::new("a").unwrap();
        let identifier = Identifier { negative: true, who: "b".into() };
        assert_eq!(
            command("LISTRIGHTS a -b"),
            Command::ListRights(ListRights { mailbox: mailbox.clone(), identifier })
        );
        assert_eq!(command("MYRIGHTS a"), Command::MyRights(MyRights { mailbox }));
    }
}
