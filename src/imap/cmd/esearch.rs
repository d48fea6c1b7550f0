//! ESEARCH: a search in several mailboxes (RFC 7377).
//!
//! Mailboxes are looked through one after another, each as it is at that moment, and one that is not selected is open
//! only meanwhile; each in which something is found is answered for itself. Numbers are UIDs.

use super::search::report::Correlator;
use super::search::returns::{ReturnOption, Returns};
use super::search::{self, filter, key::SearchKey};
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::choice::Choice;
use crate::imap::contexts::{Kept, Wish};
use crate::imap::place::Visible;
use crate::imap::progress::Progress;
use crate::imap::selected::{Access, Selected};
use crate::imap::session::Session;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::untagged;
use crate::imap::wire::set::Numbering;
use crate::imap::wire::unit::Tag;
use crate::mail::Rights;
use crate::net::out::Out;

/// `ESEARCH [IN (mailboxes)] [RETURN (…)] [CHARSET charset] key …`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Esearch {
    /// Where to look.
    pub choices: Vec<Choice>,
    /// What to answer.
    pub returns: Returns,
    /// What to look for.
    pub key: SearchKey,
}

impl Esearch {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>) -> Result<Self, Bad> {
        parser.space()?;
        // RFC 7377 §2.1: the selected mailbox, where nothing else is said.
        let mut choices = vec![Choice::Selected];
        if parser.skip_word("IN") {
            parser.space()?;
            choices = source(parser)?;
            parser.space()?;
        }
        let returns = Returns::parse(parser)?.unwrap_or_else(Returns::all);
        let at = parser.at();
        let key = search::program(parser)?;
        search::scored_by_fuzzy(&returns, &key, at)?;
        let elsewhere = choices.iter().any(|choice| *choice != Choice::Selected);
        if elsewhere && returns.has(&ReturnOption::Save) {
            return Err(Bad::new("SAVE is for the selected mailbox alone", at));
        }
        if elsewhere && key.is_of_selected() {
            return Err(Bad::new("sequence numbers and $ are for the selected mailbox alone", at));
        }
        Ok(Esearch { choices, returns, key })
    }

    /// Looks, and answers for each mailbox with what is found in it.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        if self.choices == [Choice::Selected] {
            search::refuse_tag_in_use(tag, &self.returns, session)?;
        }
        match self.look(tag, session, out).await {
            Ok(()) => Ok(Done::ok("searched")),
            Err(fail) => Err(search::not_found(fail, &self.returns, session)),
        }
    }

    async fn look(&self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Result<(), Fail> {
        let key = filter::resolved(session, self.key.clone()).await?;
        if self.choices == [Choice::Selected] {
            // Nowhere to look is a mistake here, and only here.
            session.selected()?;
        } else if self.returns.has(&ReturnOption::Update) {
            let text = "only results in the selected mailbox alone are kept up to date";
            untagged(&mut out.buffer(), Condition::No, Some(Code::NoUpdate(tag.as_str())), text);
        }
        for visible in session.chosen(&self.choices).await? {
            let is_selected = session.selected().is_ok_and(|s| (s.account, s.mailbox) == visible.key());
            if is_selected {
                self.in_selected(&visible, &key, tag, session, out).await?;
            } else if visible.place.rights.contains(Rights::READ) {
                self.elsewhere(&visible, &key, tag, session, out).await?;
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn in_selected(
        &self,
        visible: &Visible,
        key: &SearchKey,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let hits = search::look(session, key, &mut Progress::new(tag, &session.config()), out).await?;
        let coding = session.coding();
        let selected = session.selected()?;
        if !hits.uids.is_empty() {
            let name = visible.name.as_str();
            let correlator = Correlator::in_mailbox(tag, name, coding, selected.view().uid_validity());
            let report = hits.report(selected, Numbering::Uid);
            report.write_extended(&correlator, &self.returns, out).await?;
        }
        selected.save(&self.returns, &hits.uids);
        if self.returns.has(&ReturnOption::Update) && self.choices == [Choice::Selected] {
            let kept = Kept::InMailbox(hits.uids.iter().copied().collect());
            selected.keep_context(Wish { tag, numbering: Numbering::Uid, key: key.clone(), kept }, out);
        }
        Ok(())
    }

    /// A mailbox that is gone meanwhile is passed over.
    async fn elsewhere(
        &self,
        visible: &Visible,
        key: &SearchKey,
        tag: &Tag,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<(), Fail> {
        let house = session.house.clone();
        let place = &visible.place;
        let Some(open) = house
            .store
            .views
            .open(place.account, place.mailbox.id, Some(place.mailbox.highest_modseq))
            .await?
        else {
            return Ok(());
        };
        let mailbox = Selected::new(open, Access::ReadOnly, place.rights, place.mailbox.recent_uid..u32::MAX);
        let hits =
            search::look_in(&house.store, &mailbox, key, &mut Progress::new(tag, &session.config()), out)
                .await?;
        if hits.with_modseq {
            session.enable_condstore();
        }
        if hits.uids.is_empty() {
            return Ok(());
        }
        let (name, coding) = (visible.name.as_str(), session.coding());
        let correlator = Correlator::in_mailbox(tag, name, coding, mailbox.view().uid_validity());
        hits.report(&mailbox, Numbering::Uid).write_extended(&correlator, &self.returns, out).await
    }
}

/// `"(" source-mbox [SP "(" scope-options ")"] ")"`. RFC 7377 defines no scope option.
fn source(parser: &mut Parser<'_>) -> Result<Vec<Choice>, Bad> {
    parser.expect(b'(', "expected a parenthesis")?;
    let at = parser.at();
    let choices = Choice::parse_many(parser)?;
    // It is about when a client is told, which here is at once.
    if choices.contains(&Choice::SelectedDelayed) {
        return Err(Bad::new("selected-delayed is for NOTIFY", at));
    }
    parser.expect(b')', "expected the end of the mailboxes; no scope options are known")?;
    Ok(choices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};
    use crate::imap::wire::name::MailboxName;

    #[test]
    fn grammar() {
        for input in [
            "ESEARCH",
            "ESEARCH IN",
            "ESEARCH IN ()",
            "ESEARCH IN (foo) ALL",
            "ESEARCH IN personal ALL",
            "ESEARCH IN (personal)",
            "ESEARCH IN (personal ()) ALL",
            "ESEARCH IN (personal (foo)) ALL",
            "ESEARCH IN (selected-delayed) ALL",
            "ESEARCH RETURN (ALL) IN (personal) ALL",
            "ESEARCH IN (personal) 1:3",
            "ESEARCH IN (selected personal) NOT $",
            "ESEARCH IN (personal) RETURN (SAVE) ALL",
            "ESEARCH RETURN (RELEVANCY) ALL",
        ] {
            refusal(input);
        }
        let names = |names: &[&str]| names.iter().map(|name| MailboxName::new(name).unwrap()).collect();
        let esearch = |choices: &[Choice], returns, key| {
            Command::Esearch(Esearch { choices: choices.to_vec(), returns, key })
        };
        assert_eq!(command("ESEARCH SEEN"), esearch(&[Choice::Selected], Returns::all(), SearchKey::Seen));
        // After RFC 7377 §2.1.
        assert_eq!(
            command("ESEARCH IN (mailboxes \"folder1\" subtree \"folder2\") unseen"),
            esearch(
                &[Choice::Mailboxes(names(&["folder1"])), Choice::Subtree(names(&["folder2"]))],
                Returns::all(),
                SearchKey::Not(Box::new(SearchKey::Seen))
            )
        );
        assert_eq!(
            command(
                "esearch in (mailboxes (a b) subtree-one c selected) return (count) charset utf-8 subject \"x\""
            ),
            esearch(
                &[Choice::Mailboxes(names(&["a", "b"])), Choice::SubtreeOne(names(&["c"])), Choice::Selected],
                Returns(vec![ReturnOption::Count]),
                SearchKey::Subject("x".into())
            )
        );
    }
}
