//! APPEND (RFC 3501 §6.3.11).
//!
//! The message itself is not here: the framer stops in front of it, and this is what was said until then. The session
//! decides by [`Append::message`] whether it takes it; what follows the message is checked by [`tail`].

use crate::db;
use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::session::{Session, Turn};
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::date::DateTime;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::name::{MailboxName, NameCoding};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply;
use crate::imap::wire::unit::Tag;
use crate::imap::wire::unit::{LiteralHeader, Unit};
use crate::intake::{Delivery, Place};
use crate::mail::{Flags, MailboxId};
use crate::net::out::Out;
use crate::store::Spool;

/// `APPEND mailbox [(flag …)] [date-time] literal`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The message's flags.
    pub flags: Vec<Flag>,
    /// Its internal date; now, when absent.
    pub date: Option<DateTime>,
    /// What the client announced. Its size is a claim, to be refused when too large.
    pub message: LiteralHeader,
}

impl Append {
    /// Reads the arguments, the message's literal header included.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        parser.space()?;
        let mut flags = Vec::new();
        if parser.peek() == Some(b'(') {
            flags = parser.flag_list()?;
            parser.space()?;
        }
        let mut date = None;
        if parser.peek() == Some(b'"') {
            date = Some(parser.date_time()?);
            parser.space()?;
        }
        let at = parser.at();
        let message = parser.message_literal()?;
        // RFC 3516 §4.4: literal8 in APPEND belongs to BINARY.
        if message.binary {
            return Err(Bad::new("a message must be a plain literal", at));
        }
        Ok(Append { mailbox, flags, date, message })
    }
}

impl Append {
    /// Decides whether to take the message; it comes in by [`Receiving`].
    pub async fn run(
        self,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        match self.admit(tag, session).await {
            Ok(receiving) => {
                if receiving.append.message.synchronizing {
                    reply::continuation(&mut out.buffer(), "send the message");
                }
                session.framer.stream();
                session.handle.state("receiving a message");
                session.turn = Turn::Append(Box::new(receiving));
                Ok(None)
            }
            Err(fail) => {
                session.framer.refuse();
                Err(fail)
            }
        }
    }

    async fn admit(self, tag: &Tag, session: &mut Session) -> Result<Receiving, Fail> {
        let house = session.house.clone();
        let (account, size) = (session.login()?.account, self.message.size);
        if size > session.config().smtp.max_message_bytes {
            return Err(Fail::no(Code::TooBig, "the message is larger than this server takes"));
        }
        let Some(mailbox) = house.store.find_mailbox(account, self.mailbox.as_str()).await? else {
            return Err(Fail::no(Code::TryCreate, "there is no mailbox of that name"));
        };
        if !house.directory.account_has_room(account, size).await? {
            return Err(Fail::no(Code::OverQuota, "the mailbox is full: delete something first"));
        }
        let spool = house.store.spool().await?;
        Ok(Receiving { tag: tag.clone(), append: self, mailbox: mailbox.id, spool: Ok(spool) })
    }
}

/// The message of an APPEND that is coming in.
pub struct Receiving {
    /// What the answer begins with.
    pub tag: Tag,
    append: Append,
    mailbox: MailboxId,
    /// Where it goes, or why it goes nowhere: then the rest is read and thrown away.
    spool: Result<Spool, db::Error>,
}

impl Receiving {
    /// Takes the next bytes.
    pub async fn take(&mut self, bytes: &[u8]) {
        if let Ok(spool) = &mut self.spool
            && let Err(error) = spool.write(bytes).await
        {
            self.spool = Err(error);
        }
    }

    /// All of it is there: it is put into its mailbox.
    pub async fn finish(self: Box<Self>, rest: &Unit, session: &mut Session) -> Outcome {
        session.handle.state("logged in");
        tail(rest).map_err(|bad| Fail::bad(bad.to_string()))?;
        let spool = self.spool?;
        let now = || crate::mail::DateTime::new(jiff::Timestamp::now(), 0);
        let date = self
            .append
            .date
            .map(|date| crate::mail::DateTime::new(date.at, (date.zone.seconds() / 60) as i16));
        let (flags, keywords) = split_flags(self.append.flags);
        let place = Place {
            account: session.login()?.account,
            mailbox: self.mailbox,
            prefix: None,
            internal_date: date.unwrap_or_else(now),
            flags,
            keywords,
            pop3_uidl: None,
        };
        let delivery = Delivery::new(spool.finish(), vec![place], Vec::new());
        let receipt = session.house.committer.deliver(delivery).await?;
        match receipt.first().copied().flatten() {
            Some(placed) => Ok(Done::with(
                OwnedCode::AppendUid(placed.uid_validity, placed.uid.to_string()),
                "message appended",
            )),
            None => Err(Fail::no(Code::TryCreate, "the mailbox has just been deleted")),
        }
    }
}

/// System flags and keywords apart; keywords that differ only in case are one.
pub(super) fn split_flags(list: Vec<Flag>) -> (Flags, Vec<String>) {
    let mut flags = Flags::NONE;
    let mut keywords: Vec<String> = Vec::new();
    for flag in list {
        match flag {
            Flag::Answered => flags |= Flags::ANSWERED,
            Flag::Flagged => flags |= Flags::FLAGGED,
            Flag::Deleted => flags |= Flags::DELETED,
            Flag::Seen => flags |= Flags::SEEN,
            Flag::Draft => flags |= Flags::DRAFT,
            Flag::Keyword(keyword) => {
                if !keywords.iter().any(|known| known.eq_ignore_ascii_case(&keyword)) {
                    keywords.push(keyword);
                }
            }
        }
    }
    (flags, keywords)
}

/// Checks what followed the message: nothing may.
pub fn tail(unit: &Unit) -> Result<(), Bad> {
    Parser::new(unit, NameCoding::default()).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::parser::tests::{taken, unit};

    #[test]
    fn refusals() {
        for input in [
            "APPEND",
            "APPEND a",
            "APPEND a ",
            "APPEND a {5}x",
            "APPEND a \"text\"",
            "APPEND a (\\Seen)",
            "APPEND a (\\Seen){5}",
            "APPEND a  {5}",
            "APPEND  a {5}",
            "APPEND a (\\Foo) {5}",
            "APPEND a \"1-Jan-2020 00:00:00 +0000\" (\\Seen) {5}",
            "APPEND a ~{5}",
            "APPEND a UTF8 ({5}",
            "APPEND a \"{5}",
            "APPEND {1}\r\na",
        ] {
            refusal(input);
        }
        assert!(tail(&unit(" x")).is_err());
    }

    #[test]
    fn grammar() {
        let append = |flags: &[Flag], date: Option<&str>, size, synchronizing| {
            let message = LiteralHeader { size, synchronizing, binary: false };
            let date = date.map(|date| taken(date, Parser::date_time));
            let mailbox = MailboxName::new("INBOX").unwrap();
            Command::Append(Append { mailbox, flags: flags.to_vec(), date, message })
        };
        let date = "\"17-Jul-1996 02:44:25 -0700\"";
        assert_eq!(command("APPEND inbox {310}"), append(&[], None, 310, true));
        assert_eq!(command("APPEND inbox {4294967296+}"), append(&[], None, 1 << 32, false));
        assert_eq!(command("APPEND {5}\r\nINBOX () {0}"), append(&[], None, 0, true));
        assert_eq!(
            command(format!("append INBOX (\\Seen k) {date} {{1}}")),
            append(&[Flag::Seen, Flag::Keyword("k".into())], Some(date), 1, true)
        );
        assert_eq!(command(format!("APPEND INBOX {date} {{1}}")), append(&[], Some(date), 1, true));
        assert_eq!(tail(&unit("")), Ok(()));
    }
}
