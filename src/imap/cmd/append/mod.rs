//! APPEND (RFC 3501 §6.3.11), of several messages too (RFC 3502) and of messages put together from pieces (RFC 4469); REPLACE
//! and UID REPLACE (RFC 8508), which are an APPEND and an EXPUNGE in one.
//!
//! The messages themselves are not here: the framer stops in front of each, and [`grammar`] reads what is said between them.
//! [`receive`] takes them in.

pub mod grammar;
pub mod receive;

use self::grammar::{Step, Takes, Within, steps};
pub use self::receive::Receiving;
use crate::imap::answer::{Done, Fail};
use crate::imap::place::needs;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::name::MailboxName;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::intake::Replaced;
use crate::mail::{Flags, Rights};
use crate::net::out::Out;

/// `APPEND mailbox message …`, up to the first literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// What comes before the first literal, or all of it where there is none.
    pub steps: Vec<Step>,
    /// Where in the grammar that ends.
    pub within: Within,
}

impl Append {
    /// Reads the arguments, the header of the first literal included.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        Self::parse_with(parser, Takes::Several)
    }

    fn parse_with(parser: &mut Parser<'_>, takes: Takes) -> Result<Self, Bad> {
        parser.space()?;
        let mailbox = parser.mailbox()?;
        let mut within = Within::Start;
        let steps = steps(parser, &mut within, takes)?;
        Ok(Append { mailbox, steps, within })
    }

    /// Decides whether to take the messages; they come in by [`Receiving`].
    pub async fn run(
        self,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        match session.target_with_room(&self.mailbox).await {
            Ok((place, room)) => {
                let receiving = Receiving::new(tag.clone(), place, room, Takes::Several, self.within);
                Box::new(receiving).go_on(self.steps, session, out).await
            }
            Err(fail) => {
                session.framer.refuse();
                Err(fail)
            }
        }
    }
}

/// `REPLACE message mailbox message`, up to the first literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replace {
    /// What the number is.
    pub numbering: Numbering,
    /// The message of the selected mailbox that goes.
    pub message: u32,
    /// What comes instead.
    pub append: Append,
}

impl Replace {
    /// Reads the arguments, the header of the first literal included.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let message = parser.nz_number()?;
        let append = Append::parse_with(parser, Takes::One)?;
        Ok(Replace { numbering, message, append })
    }

    /// Decides whether to take the new message.
    pub async fn run(
        self,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        match self.admit(tag, session).await {
            Ok(receiving) => receiving.go_on(self.append.steps, session, out).await,
            Err(fail) => {
                session.framer.refuse();
                Err(fail)
            }
        }
    }

    /// RFC 8508 §4.1: the rights of APPEND on the one mailbox, those of STORE and EXPUNGE on the other.
    async fn admit(&self, tag: &Tag, session: &mut Session) -> Result<Box<Receiving>, Fail> {
        let selected = session.selected()?;
        selected.writable()?;
        needs(selected.rights, Rights::DELETE_MESSAGES | Rights::EXPUNGE)?;
        let uid = match self.numbering {
            Numbering::Sequence => selected.view().uid_of(self.message),
            Numbering::Uid => selected.view().entry(self.message).map(|entry| entry.uid()),
        };
        let uid = match (uid, self.numbering) {
            (Some(uid), _) => uid,
            (None, Numbering::Sequence) => return Err(Fail::bad("there are not that many messages")),
            (None, Numbering::Uid) => return Err(Fail::No(None, "there is no message to replace".into())),
        };
        let replaced = Replaced { account: selected.account, mailbox: selected.mailbox, uid };
        let (place, room) = session.target_with_room(&self.append.mailbox).await?;
        let store = &session.house.store;
        let size = store.sum_sizes(replaced.account, replaced.mailbox, &[uid]).await?;
        let mut receiving = Receiving::new(tag.clone(), place, room, Takes::One, self.append.within);
        receiving.replace(replaced, size);
        Ok(Box::new(receiving))
    }
}

/// System flags and keywords apart; keywords that differ only in case are one.
pub(in crate::imap::cmd) fn split_flags(list: Vec<Flag>) -> (Flags, Vec<String>) {
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

#[cfg(test)]
mod tests {
    use super::grammar::Options;
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::name::NameCoding;
    use crate::imap::wire::parser::tests::{taken, unit};
    use crate::imap::wire::unit::LiteralHeader;

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
            "APPEND a UTF8 ({5}",
            "APPEND a UTF8 {5}",
            "APPEND a UTF8 (URL x)",
            "APPEND a \"{5}",
            "APPEND {1}\r\na",
            "APPEND a CATENATE ()",
            "APPEND a CATENATE (",
            "APPEND a CATENATE(URL x)",
            "APPEND a CATENATE (URL)",
            "APPEND a CATENATE (URL x",
            "APPEND a CATENATE (URL x URL)",
            "APPEND a CATENATE (URL x )",
            "APPEND a CATENATE (TEXT x)",
            "APPEND a CATENATE (TEXT \"x\")",
            "APPEND a CATENATE (FOO {5}",
            "APPEND a CATENATE (URL x) x",
            "REPLACE",
            "REPLACE 1",
            "REPLACE 1 a",
            "REPLACE 0 a {5}",
            "REPLACE 1:2 a {5}",
            "REPLACE * a {5}",
            "REPLACE 1 a CATENATE (URL x) {5}",
            "UID REPLACE a b",
        ] {
            refusal(input);
        }
    }

    fn literal(size: u64, synchronizing: bool, binary: bool) -> Step {
        Step::Literal(LiteralHeader { size, synchronizing, binary })
    }

    fn begin(flags: &[Flag], date: Option<&str>) -> Step {
        let date = date.map(|date| taken(date, Parser::date_time));
        Step::Begin(Options { flags: flags.to_vec(), date })
    }

    fn append(steps: &[Step], within: Within) -> Append {
        Append { mailbox: MailboxName::new("INBOX").unwrap(), steps: steps.to_vec(), within }
    }

    #[test]
    fn grammar() {
        let plain = |flags: &[Flag], date: Option<&str>, size, synchronizing| {
            let steps = [begin(flags, date), literal(size, synchronizing, false)];
            Command::Append(append(&steps, Within::Plain))
        };
        let date = "\"17-Jul-1996 02:44:25 -0700\"";
        assert_eq!(command("APPEND inbox {310}"), plain(&[], None, 310, true));
        assert_eq!(command("APPEND inbox {4294967296+}"), plain(&[], None, 1 << 32, false));
        assert_eq!(command("APPEND {5}\r\nINBOX () {0}"), plain(&[], None, 0, true));
        assert_eq!(
            command(format!("append INBOX (\\Seen k) {date} {{1}}")),
            plain(&[Flag::Seen, Flag::Keyword("k".into())], Some(date), 1, true)
        );
        assert_eq!(command(format!("APPEND INBOX {date} {{1}}")), plain(&[], Some(date), 1, true));
        // RFC 3516 §4.4.
        let binary = [begin(&[], None), literal(5, true, true)];
        assert_eq!(command("APPEND INBOX ~{5}"), Command::Append(append(&binary, Within::Plain)));
        // RFC 6855 §4.
        let utf8 = [begin(&[], None), Step::Utf8, literal(5, false, true)];
        assert_eq!(command("APPEND INBOX utf8 (~{5+}"), Command::Append(append(&utf8, Within::Utf8)));
        // RFC 4469 §3.
        let url = |text: &str| Step::Url(text.to_owned());
        let parts = [begin(&[Flag::Draft], None), url("/a"), literal(2, true, false)];
        let catenate = Command::Append(append(&parts, Within::Part));
        assert_eq!(command("APPEND INBOX (\\Draft) catenate (url \"/a\" text {2}"), catenate);
        let whole = [begin(&[], None), url("/a"), url("/b"), Step::End];
        let catenate = Command::Append(append(&whole, Within::Between));
        assert_eq!(command("APPEND INBOX CATENATE (URL /a URL {2}\r\n/b)"), catenate);
        // RFC 8508 §3.2, §3.3.
        for (input, numbering) in [
            ("REPLACE 4 INBOX {9}", Numbering::Sequence),
            ("UID REPLACE 4 {5+}\r\nINBOX {9}", Numbering::Uid),
        ] {
            let append = append(&[begin(&[], None), literal(9, true, false)], Within::Plain);
            assert_eq!(command(input), Command::Replace(Replace { numbering, message: 4, append }));
        }
    }

    /// What a later piece of a command is.
    fn piece(input: &str, mut within: Within, takes: Takes) -> Option<(Vec<Step>, Within)> {
        // The framer knows a later piece by what came before it.
        let unit = unit(format!("a APPEND x{input}"));
        let mut parser = Parser::new(&unit, NameCoding::default());
        assert!(parser.skip_text("a APPEND x"));
        steps(&mut parser, &mut within, takes).ok().map(|steps| (steps, within))
    }

    #[test]
    fn what_follows_a_literal() {
        use Takes::{One, Several};
        for (input, within, takes) in [
            (" x", Within::Plain, Several),
            (" ", Within::Plain, Several),
            (" {5}", Within::Plain, One),
            ("", Within::Utf8, Several),
            ("", Within::Part, Several),
            (" )", Within::Part, Several),
            (" TEXT", Within::Part, Several),
            (") x", Within::Part, One),
        ] {
            assert_eq!(piece(input, within, takes), None, "{input}");
        }
        let last = (vec![Step::End], Within::Between);
        assert_eq!(piece("", Within::Plain, Several), Some(last.clone()));
        assert_eq!(piece("", Within::Plain, One), Some(last.clone()));
        assert_eq!(piece(")", Within::Utf8, Several), Some(last.clone()));
        assert_eq!(piece(")", Within::Part, One), Some(last));
        let another = vec![Step::End, begin(&[Flag::Seen], None), literal(3, false, false)];
        assert_eq!(piece(" (\\Seen) {3+}", Within::Plain, Several), Some((another, Within::Plain)));
        let mixed = vec![
            Step::Url("/a".into()),
            Step::End,
            begin(&[], None),
            Step::Url("/b".into()),
            literal(3, true, false),
        ];
        assert_eq!(
            piece(" URL /a) CATENATE (URL /b TEXT {3}", Within::Part, Several),
            Some((mixed, Within::Part))
        );
    }
}
