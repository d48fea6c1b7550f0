//! SORT and UID SORT (RFC 5256 §3), with RETURN (ESORT and CONTEXT=SORT: RFC 5267).
//!
//! [`key`] is what can be ordered by, `order` knows what of a message that is and compares.

pub mod key;
pub(in crate::imap) mod order;

use self::key::{Criterion, SortKey, sort_criteria};
use self::order::{Order, Source};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::cmd::search::charset::Charset;
use crate::imap::cmd::search::key::{SearchKey, search_keys};
use crate::imap::cmd::search::report::{Correlator, Report, Sequence};
use crate::imap::cmd::search::returns::{ReturnOption, Returns};
use crate::imap::cmd::search::{self, filter};
use crate::imap::contexts::{Kept, Wish};
use crate::imap::progress::Progress;
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::net::out::Out;

/// `SORT [RETURN (…)] (criteria) charset key …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// What numbers the answer gives.
    pub numbering: Numbering,
    /// What to answer by ESEARCH; `* SORT` with all numbers, when absent.
    pub returns: Option<Returns>,
    /// The order.
    pub criteria: Vec<Criterion>,
    /// What to look for.
    pub key: SearchKey,
}

impl Sort {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let returns = Returns::parse(parser)?;
        let at = parser.at();
        let criteria = sort_criteria(parser)?;
        parser.space()?;
        let charset = Charset::parse(parser)?;
        parser.space()?;
        let key = search_keys(parser, charset)?;
        let scored = criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy)
            || returns.as_ref().is_some_and(|returns| returns.has(&ReturnOption::Relevancy));
        if scored && !key.is_fuzzy() {
            return Err(Bad::new("RELEVANCY takes a FUZZY key", at));
        }
        Ok(Sort { numbering, returns, criteria, key })
    }

    /// Looks, and answers with what is found, in order.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let Some(returns) = &self.returns else {
            let found = self.look(tag, session, out).await?;
            found.report(session.selected()?, self.numbering).write_plain("SORT", out).await?;
            return Ok(Done::ok("sorted"));
        };
        search::refuse_tag_in_use(tag, returns, session)?;
        let found = match self.look(tag, session, out).await {
            Ok(found) => found,
            Err(fail) => return Err(search::not_found(fail, returns, session)),
        };
        let selected = session.selected()?;
        found.report(selected, self.numbering).write_extended(&Correlator::of(tag), returns, out).await?;
        selected.save(returns, &found.uids());
        if returns.has(&ReturnOption::Update) {
            let kept = Kept::Sorted(found.order, found.ranked);
            selected.keep_context(Wish { tag, numbering: self.numbering, key: found.key, kept }, out);
        }
        Ok(Done::ok("sorted"))
    }

    async fn look(&self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Result<Found, Fail> {
        let mut progress = Progress::new(tag, &session.config());
        let key = filter::resolved(session, self.key.clone()).await?;
        let hits = search::look(session, &key, &mut progress, out).await?;
        let order = Order::new(self.criteria.clone());
        let house = session.house.clone();
        let source = Source { store: &house.store, selected: session.selected()?, scores: &hits.scores };
        let ranked = order.ranked(&source, &hits.uids, Some((&mut progress, out))).await?;
        Ok(Found { key, hits, order, ranked })
    }
}

/// What a SORT has found.
struct Found {
    /// What was looked for, filters resolved.
    key: SearchKey,
    hits: search::Hits,
    order: Order,
    ranked: Vec<order::Ranked>,
}

impl Found {
    fn uids(&self) -> Vec<u32> {
        self.ranked.iter().map(|one| one.uid).collect()
    }

    fn report<'s>(&'s self, selected: &'s Selected, numbering: Numbering) -> Report<'s> {
        Report { uids: self.uids(), sequence: Sequence::Sorted, ..self.hits.report(selected, numbering) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::search::returns::Partial;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::bad;

    #[test]
    fn grammar() {
        for input in [
            "SORT",
            "SORT (DATE)",
            "SORT (DATE) UTF-8",
            "SORT (DATE) ALL",
            "SORT UTF-8 ALL",
            "SORT (DATE) UTF-8 ALL )",
            "SORT RETURN (DATE) UTF-8 ALL",
            "SORT RETURN (ALL PARTIAL 1:2) (DATE) UTF-8 ALL",
            "SORT (RELEVANCY) UTF-8 TEXT x",
            "SORT RETURN (RELEVANCY) (DATE) UTF-8 TEXT x",
        ] {
            // `ALL` is an unknown charset.
            let answer = refusal(input).answer;
            assert_eq!(answer == bad::Answer::Bad, input != "SORT (DATE) ALL", "{input}");
        }
        let by_date = || vec![Criterion { key: SortKey::Date, reverse: true }];
        let sort = |numbering, returns: Option<&[ReturnOption]>, criteria, key| {
            let returns = returns.map(|options| Returns(options.to_vec()));
            Command::Sort(Sort { numbering, returns, criteria, key })
        };
        // RFC 5256 §3, RFC 5267 §3.3, §4.4.
        assert_eq!(
            command("SORT (REVERSE DATE) UTF-8 ALL"),
            sort(Numbering::Sequence, None, by_date(), SearchKey::All)
        );
        assert_eq!(
            command("UID SORT RETURN () (REVERSE DATE) UTF-8 SEEN"),
            sort(Numbering::Uid, Some(&[ReturnOption::All]), by_date(), SearchKey::Seen)
        );
        assert_eq!(
            command("uid sort return (Partial 23500:24000 update context) (reverse date) us-ascii all"),
            sort(
                Numbering::Uid,
                Some(&[
                    ReturnOption::Partial(Partial::First(23500, 24000)),
                    ReturnOption::Update,
                    ReturnOption::Context
                ]),
                by_date(),
                SearchKey::All
            )
        );
        assert!(matches!(command("SORT (RELEVANCY) UTF-8 NOT FUZZY TEXT x"), Command::Sort(_)));
    }
}
