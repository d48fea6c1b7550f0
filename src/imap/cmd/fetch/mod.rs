//! FETCH and UID FETCH (RFC 3501 §6.4.5), with CHANGEDSINCE and VANISHED (RFC 7162 §3.1.4, §3.2.6) and PARTIAL (RFC 9394 §3.3).
//!
//! [`item`] is what can be asked for, [`mod@slice`] says which bytes of a message a section is, `answer` writes one message,
//! `binary` its decoded parts, `preview` the beginning of its text.
//! Flags, UIDs and modseqs come from the view; only what needs more asks the database, a page of messages at a time.

pub(in crate::imap) mod answer;
pub(in crate::imap) mod binary;
pub mod item;
mod preview;
pub mod slice;

use self::answer::{Message, answer};
use self::binary::Binary;
use self::item::{Effort, FetchAtt, fetch_items};
use self::slice::Shape;
use super::enable::Extension;
use crate::imap::answer::{Done, Fail, Outcome};
use crate::imap::resync::Asked;
use crate::imap::selected::{Access, Look, Mode, Selected, SendModSeq};
use crate::imap::session::Session;
use crate::imap::table::Expunges;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::partial::PartialRange;
use crate::imap::wire::section::SectionText;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::intake::House;
use crate::mail::{Flags, Rights, SequenceSet, UidSet};
use crate::net::out::Out;
use crate::store::change::Combine;
use crate::store::fetch::{Facts, PAGE, Want};
use crate::store::source::{ReadAhead, Source};
use crate::store::view::SEEN;

/// Messages asked for in one query when wide columns come with them: headers may have a megabyte each.
const WIDE_PAGE: usize = 100;

/// `FETCH set items [(CHANGEDSINCE modseq PARTIAL range)]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// What of them, macros expanded; each item once. Under UID FETCH, and with CHANGEDSINCE, what these answer
    /// unasked (UID, MODSEQ) is among them.
    pub items: Vec<FetchAtt>,
    /// Only messages whose mod-sequence is higher.
    pub changed_since: Option<u64>,
    /// Only those in these places of what the command would answer otherwise. UID FETCH only.
    pub partial: Option<PartialRange>,
    /// Which of the UIDs have gone since is told too.
    pub vanished: bool,
}

impl Fetch {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mut items = fetch_items(parser)?;
        let (mut changed_since, mut vanished, mut partial) = (None, false, None);
        if parser.skip(b' ') {
            let at = parser.at();
            let modifiers = parser.list_of(|parser| {
                if parser.skip_word("CHANGEDSINCE") {
                    parser.space()?;
                    changed_since = Some(parser.mod_sequence()?);
                } else if numbering == Numbering::Uid && parser.skip_word("VANISHED") {
                    vanished = true;
                } else if numbering == Numbering::Uid && parser.skip_word("PARTIAL") {
                    parser.space()?;
                    partial = Some(parser.partial_range()?);
                } else {
                    return Err(parser.bad("unknown FETCH modifier"));
                }
                Ok(())
            })?;
            // RFC 7162 §3.2.6
            if modifiers.is_empty() || (vanished && changed_since.is_none()) {
                return Err(Bad::new("expected CHANGEDSINCE", at));
            }
        }
        // RFC 3501 §6.4.8: UID FETCH answers with the uid; RFC 7162 §3.1.4.1: CHANGEDSINCE implies MODSEQ.
        let uid = (numbering == Numbering::Uid).then_some(FetchAtt::Uid);
        let modseq = changed_since.map(|_| FetchAtt::ModSeq);
        for implied in uid.into_iter().chain(modseq) {
            if !items.contains(&implied) {
                items.push(implied);
            }
        }
        Ok(Fetch { numbering, set, items, changed_since, partial, vanished })
    }

    /// Answers with the items of each message.
    pub async fn run(self, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        if self.vanished && !session.enabled.has(Extension::QResync) {
            return Err(Fail::bad("QRESYNC must be enabled first"));
        }
        // RFC 7162 §3.1: asking for MODSEQ, or for what changed since one, shows that the client knows it.
        if self.items.contains(&FetchAtt::ModSeq) {
            session.enable_condstore();
        }
        let modseq = session.modseq();
        let (house, _, selected) = session.at_work()?;
        let mut uids = selected.uids(&self.set, self.numbering)?;
        // Of `$` nothing can have gone: what is expunged leaves it.
        if let Some(since) = self.changed_since.filter(|_| self.vanished && !self.set.is_saved()) {
            let set = SequenceSet::parse(self.set.as_bytes()).map_err(|e| Fail::bad(e.to_string()))?;
            let set = set.resolve(selected.view().uid_next().saturating_sub(1));
            Asked::new(&set, since, selected.view()).write_vanished(&house, selected, out).await?;
        }
        if let Some(since) = self.changed_since {
            uids.retain(|&uid| selected.view().entry(uid).is_some_and(|entry| entry.modseq() > since));
        }
        let uids = self.partial.map_or(uids.as_slice(), |partial| partial.of(&uids));
        let numbering = self.numbering;
        let mut fetching = Fetching::new(self.items, &house, selected, modseq);
        for page in uids.chunks(PAGE) {
            fetching.page(page, out).await?;
        }
        // RFC 2180 §4.1.2, RFC 5530 §3: sequence numbers of messages that are gone may not be reused yet, and asking
        // for them is no mistake. A UID that is not there is passed over (RFC 3501 §6.4.8).
        if fetching.gone && numbering == Numbering::Sequence {
            return Err(Fail::no(Code::ExpungeIssued, "some of the messages have been expunged"));
        }
        if fetching.undecodable {
            return Err(Fail::no(Code::UnknownCte, "some of the parts have an unknown transfer encoding"));
        }
        Ok(Done::ok("fetched"))
    }
}

/// The items of a FETCH command, or of NOTIFY: in parentheses, each once.
pub(super) fn items(parser: &mut Parser<'_>) -> Result<Vec<FetchAtt>, Bad> {
    fetch_items(parser)
}

/// Shows items of messages unasked, as NOTIFY wants of new ones (RFC 5465 §5.2).
pub(in crate::imap) async fn show(
    items: Vec<FetchAtt>,
    uids: &[u32],
    session: &mut Session,
    out: &mut Out<'_>,
) -> Result<(), Fail> {
    let modseq = session.modseq();
    let (house, _, selected) = session.at_work()?;
    let mut fetching = Fetching::new(items, &house, selected, modseq);
    for page in uids.chunks(PAGE) {
        fetching.page(page, out).await?;
    }
    Ok(())
}

/// A FETCH under way.
struct Fetching<'a> {
    items: Vec<FetchAtt>,
    /// What is answered where this fetch has set `\Seen`: flags too.
    items_with_flags: Vec<FetchAtt>,
    needs: Needs,
    house: &'a House,
    selected: &'a mut Selected,
    modseq: SendModSeq,
    /// Whether a message was met that is no longer there.
    gone: bool,
    /// Whether a part was met that cannot be decoded: its items are left out.
    undecodable: bool,
}

impl<'a> Fetching<'a> {
    fn new(items: Vec<FetchAtt>, house: &'a House, selected: &'a mut Selected, modseq: SendModSeq) -> Self {
        let mut items_with_flags = items.clone();
        // RFC 7162 §3.2.4: where flags have changed, clients that know mod-sequences are told UID and MODSEQ too.
        let also = [FetchAtt::Uid, FetchAtt::ModSeq].into_iter().filter(|_| modseq == SendModSeq::Yes);
        for item in [FetchAtt::Flags].into_iter().chain(also) {
            if !items.contains(&item) {
                items_with_flags.push(item);
            }
        }
        let needs = Needs::of(&items);
        Self { items, items_with_flags, needs, house, selected, modseq, gone: false, undecodable: false }
    }

    async fn page(&mut self, uids: &[u32], out: &mut Out<'_>) -> Result<(), Fail> {
        let marked = self.mark_seen(uids, out).await?;
        if !self.needs.facts {
            for &uid in uids {
                answer(self.selected, uid, &self.items, None, out).await?;
            }
            return Ok(());
        }
        let page = if self.needs.want == Want::default() { PAGE } else { WIDE_PAGE };
        for uids in uids.chunks(page) {
            let (account, mailbox) = (self.selected.account, self.selected.mailbox);
            let messages = self.house.store.remembered_facts(account, mailbox, uids, self.needs.want).await?;
            self.gone |= messages.len() < uids.len();
            self.messages(&messages, &marked, out).await?;
        }
        Ok(())
    }

    /// Sets `\Seen` where the items do that and the client may, and returns on which messages it was set by this.
    async fn mark_seen(&mut self, uids: &[u32], out: &mut Out<'_>) -> Result<UidSet, Fail> {
        let may = self.selected.access == Access::ReadWrite && self.selected.rights.contains(Rights::SEEN);
        if !may || !self.items.iter().any(FetchAtt::sets_seen) {
            return Ok(UidSet::new());
        }
        let view = self.selected.view();
        let is_unseen = |uid: &u32| view.entry(*uid).is_some_and(|entry| !entry.has(SEEN));
        let unseen: Vec<u32> = uids.iter().copied().filter(is_unseen).collect();
        if unseen.is_empty() {
            return Ok(UidSet::new());
        }
        let mailbox = (self.selected.account, self.selected.mailbox);
        let seen: (Flags, &[String]) = (Flags::SEEN, &[]);
        let changed = self.house.store.set_flags(mailbox, &unseen, Combine::Add, seen, None).await?;
        let marked: UidSet = changed.iter().map(|row| row.uid).collect();
        self.selected.look(self.house, Look::IfMarked).await?;
        let mode = Mode { modseq: self.modseq, known: Some(&marked) };
        self.selected.announce(self.house, out, Expunges::Held, mode).await?;
        Ok(marked)
    }

    async fn messages(&mut self, messages: &[Facts], marked: &UidSet, out: &mut Out<'_>) -> Result<(), Fail> {
        let store = &self.house.store;
        let mut made = Vec::new();
        let mut ahead = ReadAhead::default();
        for (at, facts) in messages.iter().enumerate() {
            let whole = if self.needs.content || self.needs.makes_preview(facts) {
                ahead.content(store, messages, at).await?
            } else {
                None
            };
            let mut source = Source::new(store, facts, whole);
            let rebuilt;
            let root = match &facts.structure {
                Some(structure) => Some(&structure.0),
                None if self.needs.want.structure || self.needs.makes_preview(facts) => {
                    rebuilt = source.rebuilt().await?;
                    Some(&rebuilt)
                }
                None => None,
            };
            let shape = Shape {
                prefix: facts.prefix.len() as u64,
                header: facts.header_size,
                content: facts.content_size,
                root,
            };
            let mut preview = facts.preview.clone();
            if let Some(root) = root.filter(|_| self.needs.makes_preview(facts)) {
                let text = preview::make(&mut source, shape.prefix, root).await?;
                made.push((facts.content, text.clone()));
                preview = Some(text);
            }
            let items = if marked.contains(facts.uid) { &self.items_with_flags } else { &self.items };
            let undecodable = |item: &FetchAtt| Binary::of(item).is_some_and(|b| b.is_undecodable(&shape));
            let decodable: Vec<FetchAtt>;
            let items = if items.iter().any(undecodable) {
                self.undecodable = true;
                decodable = items.iter().filter(|item| !undecodable(item)).cloned().collect();
                &decodable
            } else {
                items
            };
            let mut message = Message { facts, source, shape, preview };
            answer(self.selected, facts.uid, items, Some(&mut message), out).await?;
        }
        self.keep(made);
        Ok(())
    }

    /// Keeps previews that were made; nobody waits for it, and one that is lost is made again.
    fn keep(&self, previews: Vec<(i64, String)>) {
        if previews.is_empty() {
            return;
        }
        let store = self.house.store.clone();
        tokio::spawn(async move {
            if let Err(error) = store.keep_previews(&previews).await {
                tracing::debug!(%error, "previews could not be kept; they are made again when asked for");
            }
        });
    }
}

/// What must be known to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Needs {
    /// More than the view says.
    facts: bool,
    /// Of it, which wide columns.
    want: Want,
    /// Bytes behind the header.
    content: bool,
}

impl Needs {
    /// Whether this message's preview is wanted and must be made first.
    fn makes_preview(&self, facts: &Facts) -> bool {
        self.want.preview_structure && facts.preview.is_none()
    }

    fn of(items: &[FetchAtt]) -> Self {
        let mut needs = Needs::default();
        for item in items {
            needs.facts |= !matches!(item, FetchAtt::Flags | FetchAtt::Uid | FetchAtt::ModSeq);
            match item {
                FetchAtt::Envelope => needs.want.envelope = true,
                FetchAtt::Body | FetchAtt::BodyStructure => needs.want.structure = true,
                FetchAtt::Rfc822 | FetchAtt::Rfc822Text => needs.content = true,
                FetchAtt::Rfc822Header => needs.want.header = true,
                FetchAtt::Binary(_) | FetchAtt::BinarySize(_) => {
                    (needs.want.structure, needs.content) = (true, true);
                }
                FetchAtt::ThreadId => needs.want.thread = true,
                FetchAtt::Preview(effort) => {
                    needs.want.preview = true;
                    needs.want.preview_structure |= *effort == Effort::Made;
                }
                FetchAtt::BodySection(body) => match &body.section.text {
                    _ if !body.section.part.is_empty() => {
                        (needs.want.structure, needs.content) = (true, true);
                    }
                    None | Some(SectionText::Text) => needs.content = true,
                    Some(_) => needs.want.header = true,
                },
                _ => {}
            }
        }
        // The header is part of the content.
        needs.want.header &= !needs.content;
        needs
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
            "FETCH",
            "FETCH 1",
            "FETCH 1 ",
            "FETCH FLAGS 1",
            "FETCH 0 FLAGS",
            "FETCH 1 FLAGS (CHANGEDSINCE)",
            "FETCH 1 FLAGS (CHANGEDSINCE 0)",
            "FETCH 1 FLAGS (CHANGEDSINCE 1",
            "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
            "FETCH 1 FLAGS (VANISHED)",
            "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
            "UID FETCH 1 FLAGS (VANISHED)",
            "UID FETCH 1 FLAGS ()",
            "FETCH 1 FLAGS ()",
            "FETCH 1 FLAGS UID",
            "FETCH 1 FLAGS (PARTIAL 1:2)",
            "UID FETCH 1 FLAGS (PARTIAL 0:2)",
            "UID FETCH 1 FLAGS (PARTIAL 1:-2)",
            "UID FETCH 1 FLAGS (PARTIAL -1:2)",
            "UID FETCH 1 FLAGS (PARTIAL 1:*)",
            "UID FETCH 1 FLAGS (PARTIAL 1)",
            "UID FETCH 1 FLAGS (PARTIAL 1:2 CHANGEDSINCE)",
        ] {
            refusal(input);
        }
        let fetch = |numbering, set: &str, items: &[FetchAtt], changed_since| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            let items = items.to_vec();
            Command::Fetch(Fetch { numbering, set, items, changed_since, partial: None, vanished: false })
        };
        let (sequence, uid) = (Numbering::Sequence, Numbering::Uid);
        assert_eq!(command("fetch 1,3:* flags"), fetch(sequence, "1,3:*", &[FetchAtt::Flags], None));
        assert_eq!(
            command("UID FETCH 1 (UID FLAGS)"),
            fetch(uid, "1", &[FetchAtt::Uid, FetchAtt::Flags], None)
        );
        assert_eq!(
            command("UID FETCH 1:* FLAGS (CHANGEDSINCE 17)"),
            fetch(uid, "1:*", &[FetchAtt::Flags, FetchAtt::Uid, FetchAtt::ModSeq], Some(17))
        );
        let Command::Fetch(fetch) = command("UID FETCH 300:500 (FLAGS) (changedsince 12345 vanished)") else {
            panic!("no FETCH");
        };
        assert_eq!((fetch.changed_since, fetch.vanished), (Some(12345), true));
        let partial = |input: &str| match command(input) {
            Command::Fetch(fetch) => (fetch.changed_since, fetch.partial),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            partial("UID FETCH 1:* PREVIEW (PARTIAL -100:-1)"),
            (None, Some(PartialRange::Last(1, 100)))
        );
        assert_eq!(
            partial("UID FETCH 1:* (PREVIEW (LAZY)) (PARTIAL 9:3 CHANGEDSINCE 7)"),
            (Some(7), Some(PartialRange::First(3, 9)))
        );
    }
}
