//! SEARCH and UID SEARCH (RFC 3501 §6.4.4), with RETURN (RFC 4731).
//!
//! [`key`] is what can be looked for, `criteria` decides with what is known of a message, `seek` gets to know more where
//! that is needed, `body` looks into text.

mod body;
pub mod charset;
mod criteria;
pub mod key;
mod seek;

use jiff::Timestamp;

use self::charset::Charset;
use self::criteria::Criteria;
use self::key::{SearchKey, search_keys};
use self::seek::Seek;
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cmd::enable::Extension;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::view::View;

/// Numbers written before what waits may be sent.
const NUMBERS_AT_ONCE: usize = 4096;

/// `SEARCH [RETURN (…)] [CHARSET charset] key …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// What numbers the answer gives. The keys name theirs themselves.
    pub numbering: Numbering,
    /// What to answer.
    pub answer: Answer,
    /// What to look for.
    pub key: SearchKey,
}

/// How a search is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `* SEARCH`, with all numbers.
    Plain,
    /// `* ESEARCH`, with these; each once, at least one.
    Extended(Vec<ReturnOption>),
}

/// `search-return-opt`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOption {
    /// The lowest number.
    Min,
    /// The highest.
    Max,
    /// All, as a set.
    All,
    /// How many.
    Count,
}

impl Search {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let mut answer = Answer::Plain;
        if parser.skip_word("RETURN") {
            parser.space()?;
            answer = Answer::Extended(return_options(parser)?);
            parser.space()?;
        }
        let mut charset = Charset::default();
        if parser.skip_word("CHARSET") {
            parser.space()?;
            charset = Charset::parse(parser)?;
            parser.space()?;
        }
        let key = search_keys(parser, charset)?;
        Ok(Search { numbering, answer, key })
    }

    /// Looks, and answers with what is found.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let house = session.house.clone();
        let criteria = Criteria::new(&self.key, session.selected()?, Timestamp::now())?;
        // RFC 7162 §3.1.5: looking for mod-sequences shows that the client knows them, and is answered with one.
        let with_modseq = criteria.modseq;
        if with_modseq {
            session.enable_condstore();
        }
        let rev2 = session.enabled.has(Extension::Rev2);
        let selected = session.selected()?;
        let uids = Seek::new(&house.store, selected, criteria).run(out).await?;
        let found = Found { uids, view: selected.view(), numbering: self.numbering, with_modseq };
        match self.answer {
            // RFC 9051 §6.4.4: there, a search without RETURN asks for ALL.
            Answer::Plain if rev2 => found.write_extended(tag, &[ReturnOption::All], out),
            Answer::Plain => found.write_plain(out).await?,
            Answer::Extended(options) => found.write_extended(tag, &options, out),
        }
        Ok(Done::ok("searched"))
    }
}

/// What a search has found.
struct Found<'a> {
    /// In order.
    uids: Vec<u32>,
    view: &'a View,
    numbering: Numbering,
    with_modseq: bool,
}

impl Found<'_> {
    fn number(&self, uid: u32) -> Option<u32> {
        match self.numbering {
            Numbering::Uid => Some(uid),
            Numbering::Sequence => self.view.seq_of(uid),
        }
    }

    /// The highest mod-sequence of these messages.
    fn modseq(&self, uids: impl Iterator<Item = u32>) -> Option<u64> {
        uids.filter_map(|uid| self.view.entry(uid))
            .map(|entry| entry.modseq())
            .max()
            .filter(|_| self.with_modseq)
    }

    async fn write_plain(&self, out: &mut Out<'_>) -> Result<(), Fail> {
        let mut line = Line::untagged(out.buffer());
        line.raw("SEARCH");
        line.pause();
        for some in self.uids.chunks(NUMBERS_AT_ONCE) {
            let mut line = Line::resume(out.buffer());
            for number in some.iter().filter_map(|&uid| self.number(uid)) {
                line.raw(" ").number(number);
            }
            line.pause();
            out.page().await?;
        }
        let mut line = Line::resume(out.buffer());
        if let Some(modseq) = self.modseq(self.uids.iter().copied()) {
            line.raw(" (MODSEQ ").number(modseq).raw(")");
        }
        Ok(())
    }

    /// `* ESEARCH` (RFC 4731 §3.1); what needs a message is left out where none was found.
    fn write_extended(&self, tag: &Tag, options: &[ReturnOption], out: &mut Out<'_>) {
        let (first, last) = (self.uids.first().copied(), self.uids.last().copied());
        let mut line = Line::untagged(out.buffer());
        line.raw("ESEARCH (TAG ").string(tag.as_str().as_bytes()).raw(")");
        if self.numbering == Numbering::Uid {
            line.raw(" UID");
        }
        let mut of_all = false;
        let mut ends = Vec::new();
        for option in options {
            match option {
                ReturnOption::Min => {
                    ends.extend(first);
                    if let Some(number) = first.and_then(|uid| self.number(uid)) {
                        line.raw(" MIN ").number(number);
                    }
                }
                ReturnOption::Max => {
                    ends.extend(last);
                    if let Some(number) = last.and_then(|uid| self.number(uid)) {
                        line.raw(" MAX ").number(number);
                    }
                }
                ReturnOption::All => {
                    of_all = true;
                    let all: UidSet = self.uids.iter().filter_map(|&uid| self.number(uid)).collect();
                    if !all.is_empty() {
                        line.raw(" ALL ").text(&all.to_string());
                    }
                }
                ReturnOption::Count => {
                    of_all = true;
                    line.raw(" COUNT ").number(self.uids.len() as u64);
                }
            }
        }
        // RFC 7162 §3.1.10: of the messages that MIN and MAX name, if nothing else is asked for; of all otherwise.
        let modseq =
            if of_all { self.modseq(self.uids.iter().copied()) } else { self.modseq(ends.into_iter()) };
        if let Some(modseq) = modseq {
            line.raw(" MODSEQ ").number(modseq);
        }
    }
}

fn return_options(parser: &mut Parser<'_>) -> Result<Vec<ReturnOption>, Bad> {
    let mut options = Vec::new();
    for option in parser.list_of(return_option)? {
        if !options.contains(&option) {
            options.push(option);
        }
    }
    // RFC 4731 §3.1: an empty list means ALL.
    if options.is_empty() {
        options.push(ReturnOption::All);
    }
    Ok(options)
}

fn return_option(parser: &mut Parser<'_>) -> Result<ReturnOption, Bad> {
    let at = parser.at();
    match parser.atom()?.to_ascii_uppercase().as_slice() {
        b"MIN" => Ok(ReturnOption::Min),
        b"MAX" => Ok(ReturnOption::Max),
        b"ALL" => Ok(ReturnOption::All),
        b"COUNT" => Ok(ReturnOption::Count),
        _ => Err(Bad::new("unknown SEARCH return option", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::bad;

    #[test]
    fn refusals() {
        for input in [
            "SEARCH",
            "SEARCH ",
            "SEARCH RETURN",
            "SEARCH RETURN (MIN)",
            "SEARCH RETURN (SAVE) ALL",
            "SEARCH RETURN MIN ALL",
            "SEARCH CHARSET UTF-8",
            "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
            "SEARCH ALL ",
            "SEARCH ALL)",
        ] {
            assert_eq!(refusal(input).answer, bad::Answer::Bad, "{input}");
        }
        assert_eq!(refusal("SEARCH CHARSET X-KLINGON ALL").answer, bad::Answer::BadCharset);
    }

    #[test]
    fn grammar() {
        let search = |numbering, answer, key| Command::Search(Search { numbering, answer, key });
        let subject = SearchKey::Subject("é".into());
        assert_eq!(command("search all"), search(Numbering::Sequence, Answer::Plain, SearchKey::All));
        assert_eq!(
            command(
                "UID SEARCH RETURN () CHARSET ISO-8859-1 SUBJECT {1}\r\n\u{e9}"
                    .chars()
                    .map(|c| c as u8)
                    .collect::<Vec<_>>()
            ),
            search(Numbering::Uid, Answer::Extended(vec![ReturnOption::All]), subject.clone())
        );
        assert_eq!(
            command("SEARCH RETURN (min COUNT Max MIN) SUBJECT \"é\""),
            search(
                Numbering::Sequence,
                Answer::Extended(vec![ReturnOption::Min, ReturnOption::Count, ReturnOption::Max]),
                subject
            )
        );
    }
}
