//! A selected mailbox as this client knows it, and how it is told of changes.
//!
//! The client's knowledge is `view`: an immutable snapshot whose sequence numbers are the client's. It moves on only in
//! [`Selected::announce`], which sends the difference. Where EXPUNGE may not be sent, the view moves on to one in which
//! what is gone still has its place.

use std::sync::Arc;

use tokio::sync::watch;

use super::answer::Fail;
use super::cmd::search::returns::{ReturnOption, Returns};
use super::contexts::Contexts;
use super::table::Expunges;
use super::wire::code::{Code, Condition, NewKeywords};
use super::wire::flag::Flag;
use super::wire::reply::{Line, untagged};
use super::wire::set::{Numbering, RawSet};
use crate::intake::House;
use crate::mail::{AccountId, MailboxId, Rights, SequenceSet, UidSet};
use crate::net::out::Out;
use crate::store::OpenMailbox;
use crate::store::view::{ANSWERED, DELETED, DRAFT, Entry, FLAGGED, SEEN, View, diff, hold_expunges};

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
    /// What a search has saved: `$` (RFC 5182). Messages may have gone since.
    saved: UidSet,
    /// Searches whose results are kept up to date.
    pub(super) contexts: Contexts,
}

impl Selected {
    /// Takes a mailbox as it is now; `recent` are the UIDs that are \Recent for this session.
    pub fn new(open: Arc<OpenMailbox>, access: Access, rights: Rights, recent_from: u32) -> Self {
        let view = open.view();
        let mut recent = UidSet::new();
        if recent_from < view.uid_next() {
            view.range_uids(recent_from..=u32::MAX).for_each(|(_, entry)| recent.insert(entry.uid()));
        }
        let mut news = open.news();
        news.mark_unchanged();
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
        let nothing_new = Arc::ptr_eq(&newest, &self.reached);
        if nothing_new && (expunges == Expunges::Held || Arc::ptr_eq(&self.view, &self.reached)) {
            return Ok(());
        }
        let next = match expunges {
            Expunges::Sent => newest.clone(),
            Expunges::Held => Arc::new(hold_expunges(&self.view, &newest)),
        };
        let delta = diff(&self.view, &next);
        self.contexts.leave(&self.view, &delta.gone, out);
        self.view = next;
        self.reached = newest;
        if let Some(first) = delta.first_new_uid
            && self.access == Access::ReadWrite
            && let Some(from) = house.store.take_recent(self.account, self.mailbox).await?
        {
            let from = from.max(first);
            let fresh: Vec<u32> =
                self.view.range_uids(from..=u32::MAX).map(|(_, entry)| entry.uid()).collect();
            fresh.into_iter().for_each(|uid| self.recent.insert(uid));
        }
        let gone: UidSet = delta.gone.iter().map(|&(_, uid)| uid).collect();
        self.recent = self.recent.iter().filter(|&uid| !gone.contains(uid)).collect();
        for (seq, _) in delta.gone {
            Line::untagged(&mut out.buffer()).number(seq).raw(" EXPUNGE");
        }
        if let Some(exists) = delta.exists_changed {
            Line::untagged(&mut out.buffer()).number(exists).raw(" EXISTS");
            Line::untagged(&mut out.buffer()).number(self.recent.len()).raw(" RECENT");
        }
        if delta.keyword_added {
            self.write_flags(out);
        }
        let fresh = delta.first_new_uid.map(|first| first..=u32::MAX);
        self.contexts.changed(&self.view, fresh, &delta.changed);
        for uid in delta.changed {
            if mode.known.is_none_or(|known| !known.contains(uid)) {
                self.write_fetch_flags(out, uid, mode.modseq);
                out.page().await?;
            }
        }
        self.tell_contexts(house, out).await
    }

    /// `* FLAGS (…)` and PERMANENTFLAGS.
    pub fn write_flags(&self, out: &mut Out<'_>) {
        let mut flags = vec![Flag::Answered, Flag::Flagged, Flag::Deleted, Flag::Seen, Flag::Draft];
        flags.extend(self.view.keywords().names().map(|name| Flag::Keyword(name.to_string())));
        Line::untagged(&mut out.buffer()).raw("FLAGS ").flags(&flags);
        let permanent = match self.access {
            Access::ReadWrite => Code::PermanentFlags(&flags, NewKeywords::Allowed),
            Access::ReadOnly => Code::PermanentFlags(&[], NewKeywords::Refused),
        };
        untagged(&mut out.buffer(), Condition::Ok, Some(permanent), "flags that can be changed");
    }

    /// `* n FETCH (UID u FLAGS (…))` for a message that the client knows, with MODSEQ where it has asked for that.
    pub fn write_fetch_flags(&self, out: &mut Out<'_>, uid: u32, modseq: SendModSeq) {
        let (Some(seq), Some(entry)) = (self.view.seq_of(uid), self.view.entry(uid)) else { return };
        let mut buffer = out.buffer();
        let mut line = Line::untagged(&mut buffer);
        line.number(seq).raw(" FETCH (UID ").number(uid).raw(" FLAGS ");
        self.flags(&mut line, entry);
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
        let recent = self.recent.contains(entry.uid()).then_some("\\Recent");
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

    /// Refuses in a mailbox opened by EXAMINE.
    pub fn writable(&self) -> Result<(), Fail> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Fail::No(None, "the mailbox is open for reading only".into())),
        }
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
