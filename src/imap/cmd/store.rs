//! STORE and UID STORE (RFC 3501 §6.4.6), with UNCHANGEDSINCE (RFC 7162 §3.1.3).

use std::sync::Arc;

use super::append::split_flags;
use crate::imap::answer::{Done, Fail, Outcome, OwnedCode};
use crate::imap::progress::Progress;
use crate::imap::selected::{Look, Mode, Selected, SendModSeq};
use crate::imap::session::Session;
use crate::imap::table::Expunges;
use crate::imap::wire::bad::Bad;
use crate::imap::wire::code::Code;
use crate::imap::wire::flag::Flag;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply::Line;
use crate::imap::wire::set::{Numbering, RawSet};
use crate::imap::wire::unit::Tag;
use crate::intake::House;
use crate::mail::{FlagMask, Flags, Rights, UidSet};
use crate::net::out::Out;
use crate::store::change::Combine;
use crate::store::view::{Entry, View};

/// Messages changed in one statement: the mailbox is locked meanwhile.
const LOCKED_AT_ONCE: usize = 2000;

/// `STORE set [(UNCHANGEDSINCE modseq)] [+|-]FLAGS[.SILENT] flags`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// What the set's numbers are.
    pub numbering: Numbering,
    /// Which messages.
    pub set: RawSet,
    /// Only messages whose mod-sequence is no higher. 0 fails for all, and is allowed.
    pub unchanged_since: Option<u64>,
    /// What to do with the flags.
    pub change: Change,
    /// Whether the new flags are sent back.
    pub echo: Echo,
    /// The flags; none at all is allowed.
    pub flags: Vec<Flag>,
}

/// How STORE changes flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `FLAGS`: these and no others.
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// Whether STORE answers with FETCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It does.
    Flags,
    /// `.SILENT`: it doesn't, but for the mod-sequence (RFC 7162 §3.1.3).
    Silent,
}

impl Store {
    /// Reads the arguments.
    pub fn parse(parser: &mut Parser<'_>, numbering: Numbering) -> Result<Self, Bad> {
        parser.space()?;
        let set = parser.sequence_set()?;
        parser.space()?;
        let mut unchanged_since = None;
        if parser.skip(b'(') {
            if !parser.skip_word("UNCHANGEDSINCE") {
                return Err(parser.bad("unknown STORE modifier"));
            }
            parser.space()?;
            unchanged_since = Some(parser.number64()?);
            parser.expect(b')', "expected the end of the STORE modifiers")?;
            parser.space()?;
        }
        let (change, echo) = item(parser)?;
        parser.space()?;
        let flags = parser.flags()?;
        Ok(Store { numbering, set, unchanged_since, change, echo, flags })
    }

    /// Changes the flags and answers with what they are now.
    pub async fn run(self, tag: &Tag, session: &mut Session, out: &mut Out<'_>) -> Outcome {
        let mut progress = Progress::new(tag, &session.config());
        // RFC 7162 §3.1: this shows that the client knows mod-sequences.
        if self.unchanged_since.is_some() {
            session.enable_condstore();
        }
        let modseq = session.modseq();
        let (house, _, selected) = session.at_work()?;
        selected.writable()?;
        let uids = selected.uids(&self.set, self.numbering)?;
        let (flags, keywords) = split_flags(self.flags);
        let keywords = spelled_as_known(selected.view(), keywords);
        let wish = Wish { change: self.change, flags, keywords };
        let doable = Doable::of(&wish, selected.rights)?;
        if wish.change != Change::Remove
            && let Some(new) = doable.keywords.iter().find(|name| !selected.view().keywords().admits(name))
        {
            let text = format!("this mailbox has as many keywords as it can have: no room for {new}");
            return Err(Fail::no(Code::Limit, text));
        }

        let mailbox = (selected.account, selected.mailbox);
        let mut changed = UidSet::new();
        for (some, done) in uids.chunks(LOCKED_AT_ONCE).zip((LOCKED_AT_ONCE as u64..).step_by(LOCKED_AT_ONCE))
        {
            let values = (doable.flags, doable.keywords.as_slice());
            let rows =
                house.store.set_flags(mailbox, some, doable.combine, values, self.unchanged_since).await?;
            rows.iter().for_each(|row| changed.insert(row.uid));
            progress.at(done, uids.len() as u64, out).await?;
        }
        selected.look(&house, Look::IfMarked).await?;
        let passed = match self.unchanged_since {
            Some(limit) => doable.insist(&house, selected, (&uids, &changed), limit).await?,
            None => UidSet::new(),
        };

        let result = Stored::sort(selected, &uids, |entry| {
            let is_newer = self.unchanged_since.is_some_and(|limit| entry.modseq() > limit);
            is_newer && !changed.contains(entry.uid()) && !passed.contains(entry.uid())
        });
        let known: UidSet = match self.echo {
            Echo::Flags => result.stored.iter().copied().collect(),
            Echo::Silent => wish.as_expected(selected, &result.stored),
        };
        let mode = Mode { modseq, known: Some(&known) };
        selected.announce(&house, out, Expunges::Held, mode).await?;
        for uid in result.stored.iter().copied().filter(|&uid| known.contains(uid)) {
            match self.echo {
                Echo::Flags => selected.write_fetch_flags(out, uid, modseq),
                Echo::Silent if modseq == SendModSeq::Yes => write_modseq(selected, uid, out),
                Echo::Silent => break,
            }
            out.page().await?;
        }
        result.outcome(selected.view(), self.numbering)
    }
}

/// What is to be done to the flags.
struct Wish {
    change: Change,
    flags: Flags,
    keywords: Vec<String>,
}

/// What of it the client may do. RFC 4314 §4: STORE does not fail where at least one of the flags can be changed, as few
/// clients can live with that.
struct Doable {
    combine: Combine,
    flags: Flags,
    keywords: Vec<String>,
}

impl Doable {
    fn of(wish: &Wish, rights: Rights) -> Result<Self, Fail> {
        let mask = rights.flags();
        let (flags, keywords) = mask.pass(wish.flags, wish.keywords.clone());
        let left = !flags.is_empty() || !keywords.is_empty();
        let asked = !wish.flags.is_empty() || !wish.keywords.is_empty();
        let combine = match wish.change {
            Change::Replace if mask == FlagMask::ALL => Combine::Replace,
            // To take all flags away is to take away those that can be.
            Change::Replace if left || !asked && (mask.keywords || !mask.flags.is_empty()) => {
                Combine::ReplaceAmong(mask)
            }
            Change::Add if left || !asked => Combine::Add,
            Change::Remove if left || !asked => Combine::Remove,
            _ => return Err(Fail::no(Code::NoPerm, "you may change none of these flags here")),
        };
        Ok(Doable { combine, flags, keywords })
    }

    /// RFC 7162 §3.1.12: a message that has changed since `limit`, but in none of the flags that are to be set or removed,
    /// has not changed as far as the client is concerned. Sets them there too, and returns on which messages.
    async fn insist(
        &self,
        house: &House,
        selected: &Selected,
        (uids, changed): (&[u32], &UidSet),
        limit: u64,
    ) -> Result<UidSet, Fail> {
        if !matches!(self.combine, Combine::Add | Combine::Remove) {
            return Ok(UidSet::new());
        }
        let (before, now) = (selected.before().clone(), selected.newest());
        let is_the_same = |uid: u32| {
            let (Some(old), Some(new)) = (before.entry(uid), now.entry(uid)) else { return false };
            let names = |view: &View, entry| self.named(view.keywords_of(entry));
            old.modseq() <= limit
                && new.modseq() > limit
                && !changed.contains(uid)
                && (old.flags() ^ new.flags()) & u32::from(self.flags.bits()) == 0
                && names(&before, old) == names(&now, new)
        };
        let same: Vec<u32> = uids.iter().copied().filter(|&uid| is_the_same(uid)).collect();
        let mailbox = (selected.account, selected.mailbox);
        // What somebody changes from here on is refused again.
        let known = now.highest_modseq();
        let mut passed = UidSet::new();
        for some in same.chunks(LOCKED_AT_ONCE) {
            let values = (self.flags, self.keywords.as_slice());
            let rows = house.store.set_flags(mailbox, some, self.combine, values, Some(known)).await?;
            rows.iter().for_each(|row| passed.insert(row.uid));
        }
        if same.is_empty() {
            return Ok(passed);
        }
        selected.look_again(house).await?;
        // Those that were as wanted already are none of the rows.
        let newest = selected.newest();
        let is_known = |uid: &u32| newest.entry(*uid).is_some_and(|entry| entry.modseq() <= known);
        same.into_iter().filter(is_known).for_each(|uid| passed.insert(uid));
        Ok(passed)
    }

    /// Which of the keywords that this is about a message has, in lower case.
    fn named(&self, keywords: &[Arc<str>]) -> Vec<String> {
        let is_named = |name: &&Arc<str>| self.keywords.iter().any(|named| named.eq_ignore_ascii_case(name));
        sorted(keywords.iter().filter(is_named).map(|name| name.to_ascii_lowercase()))
    }
}

impl Wish {
    /// Those messages whose flags are what the client must think they are. If somebody else has changed them too, even
    /// `.SILENT` keeps nothing back (RFC 3501 §6.4.6): also where that was told at the beginning of this very command, as
    /// the client cannot know whether such flags are those before or after its own change.
    fn as_expected(&self, selected: &Selected, uids: &[u32]) -> UidSet {
        let (old, new) = (selected.before(), selected.newest());
        let is_expected = |uid: u32| {
            let (Some(before), Some(now)) = (old.entry(uid), new.entry(uid)) else { return false };
            let was_told = selected.view().entry(uid).is_none_or(|entry| entry.modseq() != before.modseq());
            if was_told {
                return false;
            }
            let names = self.keywords_after(old.keywords_of(before));
            let names_now = sorted(new.keywords_of(now).iter().map(|name| name.to_ascii_lowercase()));
            self.flags_after(before) == now.flags() && names == names_now
        };
        uids.iter().copied().filter(|&uid| is_expected(uid)).collect()
    }

    fn flags_after(&self, before: Entry) -> u32 {
        let flags = u32::from(self.flags.bits());
        match self.change {
            Change::Replace => flags,
            Change::Add => before.flags() | flags,
            Change::Remove => before.flags() & !flags,
        }
    }

    fn keywords_after(&self, before: &[Arc<str>]) -> Vec<String> {
        let named = || self.keywords.iter().map(|name| name.to_ascii_lowercase());
        let before = before.iter().map(|name| name.to_ascii_lowercase());
        match self.change {
            Change::Replace => sorted(named()),
            Change::Add => sorted(before.chain(named())),
            Change::Remove => {
                let named = sorted(named());
                sorted(before.filter(|name| named.binary_search(name).is_err()))
            }
        }
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// RFC 9051 §2.3.2: keywords that differ only in case are one; the spelling that is there already stays.
fn spelled_as_known(view: &View, keywords: Vec<String>) -> Vec<String> {
    let known = |name: &String| view.keywords().names().find(|known| known.eq_ignore_ascii_case(name));
    keywords.into_iter().map(|name| known(&name).map_or(name, |known| known.to_string())).collect()
}

/// What became of the messages named.
struct Stored {
    /// They have the flags now.
    stored: Vec<u32>,
    /// They were changed after UNCHANGEDSINCE and left alone.
    modified: Vec<u32>,
    /// How many are no longer there.
    gone: usize,
}

impl Stored {
    /// Sorts the messages by what the newest view says of them.
    fn sort(selected: &Selected, uids: &[u32], is_modified: impl Fn(Entry) -> bool) -> Self {
        let newest = selected.newest();
        let mut result = Stored { stored: Vec::new(), modified: Vec::new(), gone: 0 };
        for &uid in uids {
            match newest.entry(uid) {
                None => result.gone += 1,
                Some(entry) if is_modified(entry) => result.modified.push(uid),
                Some(_) => result.stored.push(uid),
            }
        }
        result
    }

    fn outcome(&self, view: &View, numbering: Numbering) -> Outcome {
        // RFC 2180 §4.2.1: a sequence number may still mean a message that is gone; a UID that is not there is passed
        // over (RFC 3501 §6.4.8).
        let gone = self.gone > 0 && numbering == Numbering::Sequence;
        if self.modified.is_empty() {
            return if gone {
                Err(Fail::no(Code::ExpungeIssued, "some of the messages have been expunged"))
            } else {
                Ok(Done::ok("stored"))
            };
        }
        let number = |&uid: &u32| match numbering {
            Numbering::Uid => Some(uid),
            Numbering::Sequence => view.seq_of(uid),
        };
        let modified: UidSet = self.modified.iter().filter_map(number).collect();
        let code = OwnedCode::Modified(modified.to_string());
        if gone {
            Err(Fail::No(Some(code), "some of the messages have been expunged".into()))
        } else {
            Ok(Done::with(code, "some of the messages have changed meanwhile"))
        }
    }
}

/// RFC 7162 §3.1.3: the new mod-sequence is told even where the flags are not.
fn write_modseq(selected: &Selected, uid: u32, out: &mut Out<'_>) {
    let (Some(seq), Some(entry)) = (selected.view().seq_of(uid), selected.view().entry(uid)) else { return };
    let mut line = Line::untagged(out.buffer());
    selected.begin_fetch(&mut line, seq, uid);
    line.raw("UID ").number(uid).raw(" MODSEQ (").number(entry.modseq()).raw("))");
}

fn item(parser: &mut Parser<'_>) -> Result<(Change, Echo), Bad> {
    let at = parser.at();
    let change = if parser.skip(b'+') {
        Change::Add
    } else if parser.skip(b'-') {
        Change::Remove
    } else {
        Change::Replace
    };
    match parser.word()?.to_ascii_uppercase().as_slice() {
        b"FLAGS" => Ok((change, Echo::Flags)),
        b"FLAGS.SILENT" => Ok((change, Echo::Silent)),
        _ => Err(Bad::new("unknown STORE item", at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::cmd::Command;
    use crate::imap::cmd::tests::{command, refusal};

    #[test]
    fn what_rights_leave_of_it() {
        let rights = |letters| Rights::parse(letters).unwrap();
        let among = |letters| Some(Combine::ReplaceAmong(rights(letters).flags()));
        for (change, letters, flags, keyword, done) in [
            (Change::Add, "lrswipkxtea", Flags::ALL, true, Some(Combine::Add)),
            (Change::Add, "lrs", Flags::ALL, true, Some(Combine::Add)),
            (Change::Add, "lrs", Flags::DELETED, true, None),
            (Change::Add, "lr", Flags::NONE, false, Some(Combine::Add)),
            (Change::Remove, "lrt", Flags::SEEN, false, None),
            (Change::Remove, "lrw", Flags::SEEN, true, Some(Combine::Remove)),
            (Change::Replace, "lrswt", Flags::SEEN, true, Some(Combine::Replace)),
            (Change::Replace, "lrsw", Flags::SEEN, false, among("sw")),
            (Change::Replace, "lrsw", Flags::NONE, false, among("sw")),
            (Change::Replace, "lrsw", Flags::DELETED, false, None),
            (Change::Replace, "lr", Flags::NONE, false, None),
        ] {
            let keywords = if keyword { vec!["k".to_owned()] } else { Vec::new() };
            let doable = Doable::of(&Wish { change, flags, keywords }, rights(letters));
            assert_eq!(doable.ok().map(|doable| doable.combine), done, "{change:?} {letters} {flags:?}");
        }
    }

    #[test]
    fn what_the_client_must_think_the_keywords_are() {
        let after = |change, keywords: &[&str], before: &[&str]| {
            let keywords = keywords.iter().map(|name| (*name).to_owned()).collect();
            let before: Vec<Arc<str>> = before.iter().map(|name| Arc::from(*name)).collect();
            Wish { change, flags: Flags::NONE, keywords }.keywords_after(&before).join(" ")
        };
        assert_eq!(after(Change::Add, &["B", "c"], &["b", "A"]), "a b c");
        assert_eq!(after(Change::Remove, &["B", "c"], &["b", "A"]), "a");
        assert_eq!(after(Change::Replace, &["B", "c"], &["b", "A"]), "b c");
        assert_eq!(after(Change::Replace, &[], &["b"]), "");
    }

    #[test]
    fn grammar() {
        for input in [
            "STORE",
            "STORE 1",
            "STORE 1 FLAGS",
            "STORE 0 FLAGS ()",
            "STORE 1 FLAGS (\\Seen",
            "STORE 1 FLAGS \\Foo",
            "STORE 1 *FLAGS \\Seen",
            "STORE 1 ++FLAGS \\Seen",
            "STORE 1 FLAGS.LOUD \\Seen",
            "STORE 1 (UNCHANGEDSINCE) FLAGS ()",
            "STORE 1 (UNCHANGEDSINCE -1) FLAGS ()",
            "STORE 1 () FLAGS ()",
            "STORE 1 (FOO 1) FLAGS ()",
            "STORE 1 FLAGS () x",
        ] {
            refusal(input);
        }
        let store = |numbering, set: &str, unchanged_since, change, echo, flags: &[Flag]| {
            let set = RawSet::new(set.as_bytes()).unwrap();
            Command::Store(Store { numbering, set, unchanged_since, change, echo, flags: flags.to_vec() })
        };
        let (sequence, uid) = (Numbering::Sequence, Numbering::Uid);
        assert_eq!(
            command("STORE 1 FLAGS ()"),
            store(sequence, "1", None, Change::Replace, Echo::Flags, &[])
        );
        assert_eq!(
            command("uid store 2:4,* +flags.silent (\\Deleted)"),
            store(uid, "2:4,*", None, Change::Add, Echo::Silent, &[Flag::Deleted])
        );
        assert_eq!(
            command("STORE 1:* (UNCHANGEDSINCE 0) -FLAGS \\Seen a"),
            store(
                sequence,
                "1:*",
                Some(0),
                Change::Remove,
                Echo::Flags,
                &[Flag::Seen, Flag::Keyword("a".into())]
            )
        );
    }
}
