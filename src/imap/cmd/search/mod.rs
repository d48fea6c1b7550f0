//! SEARCH and UID SEARCH (RFC 3501 §6.4.4), with RETURN (RFC 4731).
//!
//! [`key`] is what can be looked for, `filter` puts stored searches in place of their names, `criteria` decides with what
//! is known of a message, `seek` gets to know more where that is needed, `body` looks into text, `fuzzy` compares words.
//! [`returns`] is what can be answered, `report` writes it. SORT, THREAD and ESEARCH look by `look` and `look_in`, too.

mod body;
pub mod charset;
mod criteria;
pub(in crate::imap::cmd) mod filter;
mod fuzzy;
pub mod key;
pub(in crate::imap) mod report;
pub mod returns;
mod seek;

use std::collections::HashMap;

use jiff::Timestamp;

use self::charset::Charset;
use self::criteria::Criteria;
use self::key::{SearchKey, search_keys};
use self::report::{Correlator, Report, Sequence};
use self::returns::{ReturnOption, Returns};
use self::seek::Seek;
pub(in crate::imap) use self::seek::Seen;
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cmd::enable::Extension;
use crate::imap::contexts::{Kept, Wish};
use crate::imap::progress::Progress;
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::imap::wire::unit::Tag;
use crate::mail::UidSet;
use crate::net::out::Out;
use crate::store::Store;

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
    /// `* ESEARCH`, with these.
    Extended(Returns),
}

impl Search {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let answer = Returns::parse(parser)?.map_or(Answer::Plain, Answer::Extended);
        let at = parser.at();
        let key = program(parser)?;
        if let Answer::Extended(returns) = &answer {
            scored_by_fuzzy(returns, &key, at)?;
        }
        Ok(Search { numbering, answer, key })
    }

    /// In what form this session is answered.
    fn form(&self, session: &Session) -> Answer {
        match &self.answer {
            // RFC 9051 §6.4.4: there, a search without RETURN asks for ALL.
            Answer::Plain if session.enabled.has(Extension::Rev2) => Answer::Extended(Returns::all()),
            answer => answer.clone(),
        }
    }

    /// Looks, and answers with what is found.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        match self.form(session) {
            Answer::Plain => {
                let key = filter::resolved(session, self.key).await?;
                let mut progress = Progress::new(tag, &session.config());
                let hits = look(session, &key, &mut progress, out).await?;
                hits.report(session.selected()?, self.numbering).write_plain("SEARCH", out).await?;
            }
            Answer::Extended(returns) => {
                let wanted = Wanted { key: self.key, numbering: self.numbering, returns: &returns };
                extended(wanted, tag, session, out).await?;
            }
        }
        Ok(Done::ok("searched"))
    }
}

/// `[CHARSET charset] key …`
pub(in crate::imap::cmd) fn program(parser: &mut Parser<'_>) -> Result<SearchKey, Bad> {
    let mut charset = Charset::default();
    if parser.skip_word("CHARSET") {
        parser.may_name_charset()?;
        parser.space()?;
        charset = Charset::parse(parser)?;
        parser.space()?;
    }
    search_keys(parser, charset)
}

/// RFC 6203 §4: RELEVANCY is for what is found by FUZZY.
pub(in crate::imap::cmd) fn scored_by_fuzzy(
    returns: &Returns,
    key: &SearchKey,
    at: usize,
) -> Result<(), Bad> {
    if returns.has(&ReturnOption::Relevancy) && !key.is_fuzzy() {
        return Err(Bad::new("RELEVANCY takes a FUZZY key", at));
    }
    Ok(())
}

/// An extended search in the selected mailbox.
pub(in crate::imap::cmd) struct Wanted<'w> {
    /// What to look for.
    pub(in crate::imap::cmd) key: SearchKey,
    /// What numbers the answer gives.
    pub(in crate::imap::cmd) numbering: Numbering,
    /// What to answer.
    pub(in crate::imap::cmd) returns: &'w Returns,
}

/// Carries it out.
pub(in crate::imap::cmd) async fn extended(
    wanted: Wanted<'_>,
    tag: &Tag,
    session: &mut Session,
    out: &mut Out<'_>,
) -> Result<(), Fail> {
    let Wanted { key, numbering, returns } = wanted;
    refuse_tag_in_use(tag, returns, session)?;
    let mut progress = Progress::new(tag, &session.config());
    let looked = async {
        let key = filter::resolved(session, key).await?;
        look(session, &key, &mut progress, out).await.map(|hits| (key, hits))
    };
    let (key, hits) = match looked.await {
        Ok(looked) => looked,
        Err(fail) => return Err(not_found(fail, returns, session)),
    };
    let selected = session.selected()?;
    let report = hits.report(selected, numbering);
    report.write_extended(&Correlator::of(tag), returns, out).await?;
    selected.save(returns, &hits.uids);
    if returns.has(&ReturnOption::Update) {
        let kept = Kept::InMailbox(hits.uids.iter().copied().collect::<UidSet>());
        selected.keep_context(Wish { tag, numbering, key, kept }, out);
    }
    Ok(())
}

/// RFC 5267 §4.3: what a search is told by must not be the tag of another that is kept up to date.
pub(in crate::imap::cmd) fn refuse_tag_in_use(
    tag: &Tag,
    returns: &Returns,
    session: &mut Session,
) -> Result<(), Fail> {
    if returns.has(&ReturnOption::Update) && session.selected()?.has_context(tag) {
        return Err(Fail::bad("this tag is in use by a search with UPDATE"));
    }
    Ok(())
}

/// RFC 5182 §2.1: a search with SAVE that is refused leaves nothing saved; one that was not understood leaves all as it is.
pub(in crate::imap::cmd) fn not_found(fail: Fail, returns: &Returns, session: &mut Session) -> Fail {
    if !matches!(fail, Fail::Bad(_))
        && let Ok(selected) = session.selected()
    {
        selected.save(returns, &[]);
    }
    fail
}

/// Messages that were looked for.
#[derive(Debug)]
pub(in crate::imap::cmd) struct Hits {
    /// Their UIDs, in order.
    pub(in crate::imap::cmd) uids: Vec<u32>,
    /// How well those fit that were found by FUZZY.
    pub(in crate::imap::cmd) scores: HashMap<u32, u8>,
    /// Whether mod-sequences were looked for.
    pub(in crate::imap::cmd) with_modseq: bool,
}

impl Hits {
    /// What is answered.
    pub(in crate::imap::cmd) fn report<'h>(
        &'h self,
        selected: &'h Selected,
        numbering: Numbering,
    ) -> Report<'h> {
        Report {
            uids: self.uids.clone(),
            sequence: Sequence::Mailbox,
            scores: &self.scores,
            view: selected.view(),
            numbering,
            with_modseq: self.with_modseq,
        }
    }
}

/// Looks in the selected mailbox. Filters have been resolved.
pub(in crate::imap::cmd) async fn look(
    session: &mut Session,
    key: &SearchKey,
    progress: &mut Progress,
    out: &mut Out<'_>,
) -> Result<Hits, Fail> {
    let house = session.house.clone();
    let hits = look_in(&house.store, session.selected()?, key, progress, out).await?;
    // RFC 7162 §3.1.5: looking for mod-sequences shows that the client knows them, and is answered with one.
    if hits.with_modseq {
        session.enable_condstore();
    }
    Ok(hits)
}

/// Looks in any mailbox.
pub(in crate::imap::cmd) async fn look_in(
    store: &Store,
    selected: &Selected,
    key: &SearchKey,
    progress: &mut Progress,
    out: &mut Out<'_>,
) -> Result<Hits, Fail> {
    let criteria = Criteria::new(key, selected, Timestamp::now())?;
    let with_modseq = criteria.modseq;
    let Seen { uids, scores } = Seek::new(store, selected, criteria).heard(progress).run(out).await?;
    Ok(Hits { uids, scores, with_modseq })
}

/// What a search means now, for later: sequence numbers and saved results as the messages that they stand for.
pub(in crate::imap) fn frozen(key: SearchKey, selected: &Selected) -> Result<SearchKey, Fail> {
    let uids = |set: &RawSet, numbering| -> Result<SearchKey, Fail> {
        let uids = criteria::resolve(set, numbering, selected)?;
        let nothing = || SearchKey::Not(Box::new(SearchKey::All));
        Ok(RawSet::new(uids.to_string().as_bytes()).map_or_else(nothing, SearchKey::Uid))
    };
    key.map(&mut |key| match &key {
        SearchKey::SequenceSet(set) => uids(set, Numbering::Sequence),
        SearchKey::Uid(set) if set.is_saved() => uids(set, Numbering::Uid),
        _ => Ok(key),
    })
}

/// Looks at some messages only: those of a search that is kept up to date which may have come or gone by what changed.
pub(in crate::imap) async fn look_among(
    store: &Store,
    selected: &Selected,
    key: &SearchKey,
    uids: &[u32],
    out: &mut Out<'_>,
) -> Result<Seen, Fail> {
    let criteria = Criteria::new(key, selected, Timestamp::now())?;
    Seek::new(store, selected, criteria).among(uids, out).await
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
            "SEARCH RETURN (SORT) ALL",
            "SEARCH RETURN (RELEVANCY) TEXT x",
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
            search(Numbering::Uid, Answer::Extended(Returns::all()), subject.clone())
        );
        assert_eq!(
            command("SEARCH RETURN (min COUNT Max MIN) SUBJECT \"é\""),
            search(
                Numbering::Sequence,
                Answer::Extended(Returns(vec![ReturnOption::Min, ReturnOption::Count, ReturnOption::Max])),
                subject
            )
        );
    }
}
