//! A selected mailbox as this client knows it, and how it is told of changes.
//!
//! The client's knowledge is `view`: an immutable snapshot whose sequence numbers are the client's. It moves on only in
//! [`Selected::announce`], which sends the difference. Where EXPUNGE may not be sent, the view moves on to one in which
//! what is gone still has its place; where the client does not want to hear of new messages (NOTIFY), to one without them.
//!
//! How a difference is told depends on what the client has enabled: gone messages by EXPUNGE or VANISHED, flags by FETCH
//! or UIDFETCH. What must hold for clients that come back (RFC 7162 §6): none is ever told, by HIGHESTMODSEQ at the end of
//! a command, of a modseq below which something was kept from it.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::watch;

use super::answer::Fail;
use super::cmd::enable::{Enabled, Extension};
use super::cmd::search::returns::{ReturnOption, Returns};
use super::contexts::Contexts;
use super::place;
use super::table::Expunges;
use super::wire::code::{Code, Condition, NewKeywords};
use super::wire::flag::Flag;
use super::wire::reply::{Line, untagged};
use super::wire::set::{Numbering, RawSet};
use crate::intake::House;
use crate::mail::{AccountId, Flags, MailboxId, Rights, SequenceSet, UidSet};
use crate::net::out::Out;
use crate::store::OpenMailbox;
use crate::store::view::{ANSWERED, DELETED, DRAFT, Entry, FLAGGED, Held, SEEN, View, diff, hold};

/// Whether the mailbox may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By SELECT.
    ReadWrite,
    /// By EXAMINE.
    ReadOnly,
}

/// A selected mailbox.
pub struct Selected {
    /// The owner.
    pub account: AccountId,
    /// The mailbox.
    pub mailbox: MailboxId,
    /// How it was opened.
    pub access: Access,
    /// What this client may do in it.
    pub rights: Rights,
    open: Arc<OpenMailbox>,
    news: watch::Receiver<()>,
    /// What the client knows.
    view: Arc<View>,
    /// The shared view it was last brought to; `view` differs from it while expunges are held back.
    reached: Arc<View>,
    recent: UidSet,
    /// UIDs that will be \Recent for this session when it comes to know them.
    claimed: UidSet,
    /// What the client has enabled.
    pub(super) enabled: Enabled,
    /// What it wants to be told unasked.
    pub(super) wants: Wants,
    /// What was held back when `view` last moved on.
    held: Held,
    /// Up to where the client has been told everything.
    told: u64,
    /// Something was never told, because it was not wanted.
    gap: bool,
    /// What the next tagged response is to say of modseqs.
    owed: Owed,
    /// It has just been selected: what SELECT says is all that is said for now.
    fresh: bool,
    /// The client is removing messages: it must hear which, whatever it wants.
    removing: bool,
    /// The lowest UID that has arrived since [`Selected::take_arrived`].
    arrived: Option<u32>,
    /// Messages that this client has put here itself, as long as they have not been announced.
    made: UidSet,
    /// The view that the client knew when it sent the command that runs, where that matters.
    before: Option<Arc<View>>,
    /// What a search has saved: `$` (RFC 5182). Messages may have gone since.
    saved: UidSet,
    /// Searches whose results are kept up to date.
    pub(super) contexts: Contexts,
}

/// What a client wants to be told of its mailbox unasked (RFC 5465 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wants {
    /// Everything: also without NOTIFY.
    #[default]
    All,
    /// No changes of flags.
    NoFlags,
    /// Nothing: the mailbox stays as it was.
    Nothing,
}

/// What a tagged response is to say of modseqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// Up to where everything has been told.
    Told,
}

impl Selected {
    /// Takes a mailbox as it is now; messages with UIDs in `recent` are \Recent for this session.
    pub fn new(open: Arc<OpenMailbox>, access: Access, rights: Rights, recent: Range<u32>) -> Self {
        let view = open.view();
        let is_recent = |uid: &u32| recent.contains(uid);
        let recent: UidSet = match recent.is_empty() {
            true => UidSet::new(),
            false => {
                view.range_uids(recent.start..=u32::MAX).map(|(_, e)| e.uid()).filter(is_recent).collect()
            }
        };
        let mut news = open.news();
        news.mark_unchanged();
        let told = view.highest_modseq();
        Self {
            account: open.account,
            mailbox: open.id,
            access,
            rights,
            news,
            reached: view.clone(),
            view,
            open,
            recent,
            claimed: UidSet::new(),
            enabled: Enabled::default(),
            wants: Wants::default(),
            held: Held::default(),
            told,
            gap: false,
            owed: Owed::Nothing,
            fresh: true,
            removing: false,
            arrived: None,
            made: UidSet::new(),
            before: None,
            saved: UidSet::new(),
            contexts: Contexts::default(),
        }
    }

    /// Keeps the result of a search as `$`, if that was asked for.
    pub fn save(&mut self, returns: &Returns, uids: &[u32]) {
        if returns.has(&ReturnOption::Save) {
            self.saved = returns.saved(uids).into_iter().collect();
        }
    }

    /// A command begins that depends on what the client knows now, before any news.
    pub fn begin(&mut self) {
        self.before = Some(self.view.clone());
    }

    /// What the client knew when it sent the command that runs.
    pub fn before(&self) -> &Arc<View> {
        self.before.as_ref().unwrap_or(&self.view)
    }

    /// The command that runs removes messages, and is answered with which.
    pub fn removes(&mut self) {
        self.removing = true;
    }

    /// Whether new messages are to be \Recent for this session. Sessions that speak IMAP4rev2 know no \Recent, and leave it
    /// to others.
    pub fn wants_recent(&self) -> bool {
        self.access == Access::ReadWrite && !self.enabled.has(Extension::Rev2)
    }

    /// A message that will be \Recent when the client comes to know it.
    pub fn claim(&mut self, uid: u32) {
        self.claimed.insert(uid);
    }

    /// The client has put these messages here itself.
    pub fn made(&mut self, uids: impl IntoIterator<Item = u32>) {
        uids.into_iter().for_each(|uid| self.made.insert(uid));
    }

    /// The messages that were announced as new since the last time, but for those that the client made itself.
    pub fn take_arrived(&mut self) -> Vec<u32> {
        let made = std::mem::take(&mut self.made);
        let Some(from) = self.arrived.take() else { return Vec::new() };
        let uids = self.view.range_uids(from..=u32::MAX).map(|(_, entry)| entry.uid());
        uids.filter(|&uid| !made.contains(uid)).collect()
    }

    /// Whether SELECT is still being answered.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The client is to learn the mailbox's modseq (RFC 7162 §3.1).
    pub fn owe_modseq(&mut self) {
        self.owed = Owed::Told;
    }

    /// The command has ended. What it is to say of modseqs: where expunges are still held back, a client that has seen
    /// higher ones must be told up to where it has really been told everything (RFC 7162 §6).
    pub fn end(&mut self) -> Option<u64> {
        self.before = None;
        self.fresh = false;
        self.removing = false;
        let behind = self.enabled.has(Extension::CondStore) && self.told < self.reached.highest_modseq();
        let owed = std::mem::replace(&mut self.owed, Owed::Nothing) == Owed::Told;
        (owed || behind).then_some(self.told)
    }

    /// Whether messages that are gone are told by their UIDs.
    fn by_uid(&self) -> bool {
        self.enabled.has(Extension::QResync) || self.enabled.has(Extension::UidOnly)
    }

    /// What the client knows: its sequence numbers are valid in this view only.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The newest view there is, which the client may not know yet.
    pub fn newest(&self) -> Arc<View> {
        self.open.view()
    }

    /// Whether a message is \Recent for this session.
    pub fn is_recent(&self, uid: u32) -> bool {
        self.recent.contains(uid)
    }

    /// How many messages are \Recent for this session.
    pub fn recent(&self) -> u64 {
        self.recent.len()
    }

    /// Waits until there may be something to announce. Cancel-safe.
    pub async fn rung(&mut self) {
        // The sender lives in the open mailbox, which we hold.
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Looks in the database for what is new; what is found is announced later.
    pub async fn look(&mut self, house: &House, how: Look) -> Result<(), Fail> {
        let db = &house.control.db;
        match how {
            Look::IfMarked => self.open.current(db).await?,
            Look::Always => self.open.refreshed(db).await?,
        };
        Ok(())
    }

    /// Looks after a change of our own, within a command that still works with what the client knows.
    pub async fn look_again(&self, house: &House) -> Result<(), Fail> {
        self.open.current(&house.control.db).await?;
        Ok(())
    }

    /// Tells the client what has changed, as far as it may be told now. Flags of `known` are not sent: the command's own
    /// answer has them.
    pub async fn announce(
        &mut self,
        house: &House,
        out: &mut Out<'_>,
        expunges: Expunges,
        mode: Mode<'_>,
    ) -> Result<(), Fail> {
        if self.open.is_deleted() {
            return Err(Fail::Bye("the selected mailbox has been deleted".into()));
        }
        self.news.mark_unchanged();
        let newest = self.open.view();
        let held = self.holds(expunges);
        let frees = (self.held.expunges && !held.expunges) || (self.held.arrivals && !held.arrivals);
        if Arc::ptr_eq(&newest, &self.reached) && (!frees || Arc::ptr_eq(&self.view, &self.reached)) {
            return Ok(());
        }
        let next = match hold(&self.view, &newest, held) {
            Some(view) if held != Held::default() => Arc::new(view),
            _ => newest.clone(),
        };
        let delta = diff(&self.view, &next);
        // All that may fail comes before the client's knowledge moves on: what it is not told must stay to be told.
        let claimed = self.take_recent(house, &next, delta.first_new_uid).await;
        self.contexts.leave(&self.view, &delta.gone, out);
        self.view = next;
        self.reached = newest;
        self.held = held;
        self.gap |= self.wants != Wants::All && !delta.changed.is_empty();
        if !self.gap {
            // Of a view that holds something back this is where it stood before.
            self.told = self.view.highest_modseq();
        }
        if let Some(first) = delta.first_new_uid {
            self.note_recent(first, claimed);
        }
        self.write_gone(&delta.gone, out);
        if let Some(exists) = delta.exists_changed {
            self.arrived = self.arrived.or(delta.first_new_uid);
            Line::untagged(&mut out.buffer()).number(exists).raw(" EXISTS");
            if !self.enabled.has(Extension::Rev2) {
                Line::untagged(&mut out.buffer()).number(self.recent.len()).raw(" RECENT");
            }
        }
        if delta.keyword_added {
            self.write_flags(out);
        }
        let fresh = delta.first_new_uid.map(|first| first..=u32::MAX);
        self.contexts.changed(&self.view, fresh, &delta.changed);
        if self.wants != Wants::All {
            return self.tell_contexts(house, out).await;
        }
        for uid in delta.changed {
            if mode.known.is_none_or(|known| !known.contains(uid)) {
                self.write_fetch_flags(out, uid, mode.modseq);
                out.page().await?;
            }
        }
        self.tell_contexts(house, out).await
    }

    /// What may not be told now, or is not wanted.
    fn holds(&self, expunges: Expunges) -> Held {
        let unwanted = self.wants == Wants::Nothing;
        Held { expunges: expunges == Expunges::Held || (unwanted && !self.removing), arrivals: unwanted }
    }

    /// RFC 3501 §2.3.2: new messages are \Recent for the session that gets to know of them first: which UIDs are so for
    /// this one.
    async fn take_recent(&self, house: &House, next: &View, first_new: Option<u32>) -> Range<u32> {
        let Some(first) = first_new.filter(|_| self.wants_recent()) else { return 0..0 };
        if next.range_uids(first..=u32::MAX).all(|(_, entry)| self.claimed.contains(entry.uid())) {
            return 0..0;
        }
        match house.store.take_recent(self.account, self.mailbox).await {
            Ok(taken) => taken.unwrap_or_default(),
            Err(error) => {
                // That new messages are there matters more than whether they are \Recent.
                tracing::debug!(%error, "\\Recent could not be taken; another session will");
                0..0
            }
        }
    }

    /// Messages from `first` on have come to be known; the UIDs taken may go further than that.
    fn note_recent(&mut self, first: u32, taken: Range<u32>) {
        if !taken.is_empty() {
            self.claimed.insert_range(taken.start..=taken.end - 1);
        }
        let last = self.view.last_uid().unwrap_or(0);
        let claimed = std::mem::take(&mut self.claimed);
        for (_, entry) in self.view.range_uids(first..=last) {
            if claimed.contains(entry.uid()) {
                self.recent.insert(entry.uid());
            }
        }
        let later = claimed.ranges().map(|range| (*range.start()).max(last.saturating_add(1))..=*range.end());
        self.claimed = later.filter(|range| !range.is_empty()).collect();
    }

    /// `* n EXPUNGE`, one for each, or `* VANISHED set` (RFC 7162 §3.2.10.2, RFC 9586 §3).
    fn write_gone(&mut self, gone: &[(u32, u32)], out: &mut Out<'_>) {
        if gone.is_empty() {
            return;
        }
        let uids: UidSet = gone.iter().map(|&(_, uid)| uid).collect();
        self.recent = self.recent.iter().filter(|&uid| !uids.contains(uid)).collect();
        if self.by_uid() {
            Line::untagged(&mut out.buffer()).raw("VANISHED ").text(&uids.to_string());
            if self.enabled.has(Extension::QResync) {
                self.owed = Owed::Told;
            }
            return;
        }
        for &(seq, _) in gone {
            Line::untagged(&mut out.buffer()).number(seq).raw(" EXPUNGE");
        }
    }

    /// The beginning of an answer about a message, up to its first item: `n FETCH (`, or `uid UIDFETCH (`.
    pub fn begin_fetch<B: bytes::BufMut>(&self, line: &mut Line<'_, B>, seq: u32, uid: u32) {
        if self.enabled.has(Extension::UidOnly) {
            line.number(uid).raw(" UIDFETCH (");
        } else {
            line.number(seq).raw(" FETCH (");
        }
    }

    /// `* FLAGS (…)` and PERMANENTFLAGS.
    pub fn write_flags(&self, out: &mut Out<'_>) {
        let mut flags = vec![Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];
        flags.extend(self.view.keywords().names().map(|name| Flag::Keyword(name.to_string())));
        Line::untagged(&mut out.buffer()).raw("FLAGS ").flags(&flags);
        let mask = match self.access {
            Access::ReadWrite => self.rights,
            Access::ReadOnly => Rights::NONE,
        }
        .flags();
        flags.retain(|flag| match flag {
            Flag::Keyword(_) => mask.keywords,
            system => mask.flags.contains(system_flag(system)),
        });
        let new = if mask.keywords { NewKeywords::Allowed } else { NewKeywords::Refused };
        let permanent = Code::PermanentFlags(&flags, new);
        untagged(&mut out.buffer(), Condition::Ok, Some(permanent), "flags that can be changed");
    }

    /// `* n FETCH (UID u FLAGS (…))` for a message that the client knows, with MODSEQ where it has asked for that.
    pub fn write_fetch_flags(&self, out: &mut Out<'_>, uid: u32, modseq: SendModSeq) {
        let (Some(seq), Some(entry)) = (self.view.seq_of(uid), self.view.entry(uid)) else { return };
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        self.begin_fetch(&mut line, seq, uid);
        if !self.enabled.has(Extension::UidOnly) {
            line.raw("UID ").number(uid).raw(" ");
        }
        self.flags(line.raw("FLAGS "), entry);
        if modseq == SendModSeq::Yes {
            line.raw(" MODSEQ (").number(entry.modseq()).raw(")");
        }
        line.raw(")");
    }

    /// The flags of a message in parentheses, \Recent among them.
    pub fn flags<B: bytes::BufMut>(&self, line: &mut Line<'_, B>, entry: Entry) {
        const SYSTEM: [(u32, &str); 5] = [
            (ANSWERED, "\\Answered"),
            (FLAGGED, "\\Flagged"),
            (DELETED, "\\Deleted"),
            (SEEN, "\\Seen"),
            (DRAFT, "\\Draft"),
        ];
        let system = SYSTEM.into_iter().filter(|(bit, _)| entry.has(*bit)).map(|(_, name)| name);
        let shows_recent = !self.enabled.has(Extension::Rev2);
        let recent = (shows_recent && self.recent.contains(entry.uid())).then_some("\\Recent");
        let keywords = self.view.keywords_of(entry).iter().map(|name| &**name);
        line.list(system.chain(recent).chain(keywords), |line, flag| {
            line.text(flag);
        });
    }

    /// The UIDs that a set of a command means, in this view. A sequence number that the client cannot know is its
    /// mistake (RFC 9051 §9, `seq-number`); a UID that is not there is none.
    pub fn uids(&self, set: &RawSet, numbering: Numbering) -> Result<Vec<u32>, Fail> {
        if set.is_saved() {
            // RFC 5182 §2.1: expunged messages are no longer in it, and an empty one is no mistake.
            return Ok(self.saved.iter().filter(|&uid| self.view.entry(uid).is_some()).collect());
        }
        let set = SequenceSet::parse(set.as_bytes()).map_err(|e| Fail::bad(e.to_string()))?;
        match numbering {
            Numbering::Uid => {
                // `*` is the highest UID there is; in an empty mailbox nothing matches.
                let Some(last) = self.view.last_uid() else { return Ok(Vec::new()) };
                let wanted = set.resolve(u32::MAX).ranges().count();
                let resolved = if set.has_star() { set.resolve(last) } else { set.resolve(u32::MAX) };
                debug_assert!(wanted > 0 || resolved.is_empty());
                Ok(resolved
                    .ranges()
                    .flat_map(|range| self.view.range_uids(range))
                    .map(|(_, entry)| entry.uid())
                    .collect())
            }
            Numbering::Sequence => {
                let count = self.view.len();
                if set.greatest().is_some_and(|greatest| greatest > count) || (count == 0 && set.has_star()) {
                    return Err(Fail::bad("there are not that many messages"));
                }
                let resolved = set.resolve(count);
                Ok(resolved
                    .ranges()
                    .flat_map(|range| self.view.range_seqs(range))
                    .map(|(_, entry)| entry.uid())
                    .collect())
            }
        }
    }

    /// Asks again what this client may do, in a mailbox of others: what was given may have been taken away.
    pub async fn renew_rights(&mut self, house: &House, who: AccountId) -> Result<(), Fail> {
        if self.account == who {
            return Ok(());
        }
        self.rights = house.store.rights((self.account, self.mailbox), who).await?;
        if self.rights.contains(Rights::READ) {
            return Ok(());
        }
        Err(Fail::Bye("the selected mailbox is no longer shared with you".into()))
    }

    /// Refuses where one of these rights is missing.
    pub fn needs(&self, rights: Rights) -> Result<(), Fail> {
        place::needs(self.rights, rights)
    }

    /// Refuses in a mailbox opened by EXAMINE.
    pub fn writable(&self) -> Result<(), Fail> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Fail::No(None, "the mailbox is open for reading only".into())),
        }
    }
}

fn system_flag(flag: &Flag) -> Flags {
    match flag {
        Flag::Answered => Flags::ANSWERED,
        Flag::Flagged => Flags::FLAGGED,
        Flag::Deleted => Flags::DELETED,
        Flag::Seen => Flags::SEEN,
        Flag::Draft => Flags::DRAFT,
        Flag::Keyword(_) => Flags::NONE,
    }
}

/// Whether to ask the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Only when somebody said that the mailbox has changed.
    IfMarked,
    /// In any case: NOOP, CHECK and the like.
    Always,
}

/// Whether MODSEQ is sent with flags: once the client has shown that it knows CONDSTORE (RFC 7162 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendModSeq {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// How changes are announced.
#[derive(Debug, Clone, Copy)]
pub struct Mode<'a> {
    /// With MODSEQ or without.
    pub modseq: SendModSeq,
    /// Messages whose flags the client is told otherwise.
    pub known: Option<&'a UidSet>,
}
