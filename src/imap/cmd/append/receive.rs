//! The messages of an APPEND or REPLACE that are coming in.
//!
//! What must hold: either all of them are put into the mailbox, in one transaction, or none is (RFC 3502 §6.3.11, RFC 8508
//! §3.4). Until then nothing of them can be seen, and what they take in memory is bounded, however many they are: before a
//! further one may wait for memory, the earlier ones are written to the database, from where the collector takes them away
//! again if the command fails.

use super::grammar::{Options, Step, Takes, Within, steps};
use super::split_flags;
use crate::imap::answer::{Done, Fail, OwnedCode};
use crate::imap::cite::{Broken, Cited};
use crate::imap::cmd::enable::Extension;
use crate::imap::place::Place;
use crate::imap::session::{Session, State, Turn};
use crate::imap::wire::code::{Code, Condition};
use crate::imap::wire::name::NameCoding;
use crate::imap::wire::parser::Parser;
use crate::imap::wire::reply;
use crate::imap::wire::unit::{LiteralHeader, Tag, Unit};
use crate::intake::{self, Delivery, Replaced};
use crate::mail::{DateTime, Room, UidSet};
use crate::net::out::Out;
use crate::store::spool::HELD;
use crate::store::{Draft, Spool};

/// Messages in one command.
const MESSAGES_MAX: usize = 1000;

/// What the headers and structures of a command's messages may take in memory together, bytes. One message alone may be
/// more.
const FACTS_MAX: usize = 16 << 20;

/// Messages that are coming in.
pub struct Receiving {
    /// What the answer begins with.
    pub tag: Tag,
    place: Place,
    /// What the owner's account had room for when the command began.
    room: Room,
    takes: Takes,
    within: Within,
    /// The message that goes when these are there.
    replaced: Option<Replaced>,
    /// Bytes that the owner gets back by that.
    freed: u64,
    /// Messages that are complete.
    drafts: Vec<(Draft, Options)>,
    /// Their bytes.
    bytes: u64,
    open: Option<(Spool, Options)>,
    /// Why they go nowhere: then the rest is read and thrown away.
    failed: Option<Fail>,
}

impl Receiving {
    pub(super) fn new(tag: Tag, place: Place, room: Room, takes: Takes, within: Within) -> Self {
        Receiving {
            tag,
            place,
            room,
            takes,
            within,
            replaced: None,
            freed: 0,
            drafts: Vec::new(),
            bytes: 0,
            open: None,
            failed: None,
        }
    }

    /// Another message goes when these are there; it counts for so many bytes.
    pub(super) fn replace(&mut self, replaced: Replaced, bytes: u64) {
        self.replaced = Some(replaced);
        if replaced.account == self.place.account {
            self.freed = bytes;
        }
    }

    /// Takes the next bytes of a literal.
    pub async fn take(&mut self, bytes: &[u8]) {
        let Some((spool, _)) = &mut self.open else { return };
        if self.failed.is_none()
            && let Err(error) = spool.write(bytes).await
        {
            self.failed = Some(error.into());
        }
    }

    /// Goes on behind a literal, with the next piece of the command.
    pub async fn next(
        mut self: Box<Self>,
        unit: &Unit,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        session.handle.state("logged in");
        let read = steps(&mut Parser::new(unit, NameCoding::default()), &mut self.within, self.takes);
        match read {
            Ok(steps) => self.go_on(steps, session, out).await,
            Err(bad) => {
                session.framer.refuse();
                Err(Fail::bad(bad.to_string()))
            }
        }
    }

    /// Carries out steps; at the end of the command all is put into the mailbox.
    pub(super) async fn go_on(
        mut self: Box<Self>,
        steps: Vec<Step>,
        session: &mut Session,
        out: &mut Out<'_>,
    ) -> Result<Option<Done>, Fail> {
        match self.carry_out(steps, session).await {
            Ok(Some(literal)) => {
                if literal.synchronizing {
                    reply::continuation(&mut out.buffer(), "send the message");
                }
                session.framer.stream();
                session.handle.state("receiving a message");
                session.turn = Turn::Append(self);
                Ok(None)
            }
            Ok(None) => self.commit(session, out).await.map(Some),
            Err(fail) => {
                session.framer.refuse();
                Err(fail)
            }
        }
    }

    /// Carries out steps up to a literal, which is returned.
    async fn carry_out(
        &mut self,
        steps: Vec<Step>,
        session: &Session,
    ) -> Result<Option<LiteralHeader>, Fail> {
        if let Some(fail) = self.failed.take() {
            return Err(fail);
        }
        for step in steps {
            match step {
                Step::Begin(options) => self.begin(options, session).await?,
                // RFC 6855 §4
                Step::Utf8 if !session.enabled.has(Extension::Utf8Accept) => {
                    return Err(Fail::no(Code::Cannot, "ENABLE UTF8=ACCEPT first"));
                }
                Step::Utf8 => {}
                Step::Literal(literal) => {
                    self.makes_room(literal.size, session)?;
                    return Ok(Some(literal));
                }
                Step::Url(url) => self.add_cited(&url, session).await?,
                Step::End => self.end(session)?,
            }
        }
        Ok(None)
    }

    async fn begin(&mut self, options: Options, session: &Session) -> Result<(), Fail> {
        if self.drafts.len() == MESSAGES_MAX {
            return Err(Fail::no(Code::Limit, "these are too many messages for one command"));
        }
        let store = &session.house.store;
        let held =
            |(draft, _): &(Draft, Options)| draft.chunks.iter().map(|chunk| chunk.bytes.len()).sum::<usize>();
        let at_once = if self.drafts.iter().map(held).sum::<usize>() < HELD {
            if self.drafts.is_empty() { Some(store.spool().await?) } else { store.try_spool().await? }
        } else {
            None
        };
        let spool = match at_once {
            Some(spool) => spool,
            None => {
                for (draft, _) in &mut self.drafts {
                    store.park(draft).await?;
                }
                store.spool().await?
            }
        };
        self.open = Some((spool, options));
        Ok(())
    }

    /// Refuses bytes by which the message would become larger than any may be, or the mailbox too full.
    fn makes_room(&self, bytes: u64, session: &Session) -> Result<(), Fail> {
        let so_far = self.open.as_ref().map_or(0, |(spool, _)| spool.size());
        let size = so_far.saturating_add(bytes);
        if size > session.append_limit() {
            return Err(Fail::no(Code::TooBig, "the message is larger than this server takes"));
        }
        let more = self.bytes.saturating_add(size).saturating_sub(self.freed);
        // Even a mailbox that is too full does not become fuller by what takes no more room than it gives back.
        let grows = more > 0 || self.freed == 0;
        // One message may go for these.
        let messages = (self.drafts.len() + 1).saturating_sub(usize::from(self.freed > 0)) as u64;
        if grows && !self.room.takes(messages, more) {
            return Err(Fail::no(Code::OverQuota, "the mailbox is full: delete something first"));
        }
        Ok(())
    }

    /// Adds the bytes that a URL leads to.
    async fn add_cited(&mut self, url: &str, session: &Session) -> Result<(), Fail> {
        let bad = |why: Broken| Fail::No(Some(OwnedCode::BadUrl(url.to_owned())), why.to_string().into());
        let cited = match Cited::find(session, url).await? {
            Ok(cited) => cited,
            Err(why) => return Err(bad(why)),
        };
        let mut source = cited.source(&session.house.store);
        let Some((size, mut pieces)) = cited.bytes(&mut source).await? else {
            return Err(bad(Broken::NoPart));
        };
        self.makes_room(size, session)?;
        let Some((spool, _)) = &mut self.open else { return Ok(()) };
        while let Some(piece) = pieces.next().await? {
            spool.write(&piece).await?;
        }
        Ok(())
    }

    /// A message is complete.
    fn end(&mut self, session: &Session) -> Result<(), Fail> {
        let Some((spool, options)) = self.open.take() else { return Ok(()) };
        // A client that finds on its way that it has nothing to send says so by a message of no bytes.
        if spool.size() == 0 {
            return Err(Fail::no(Code::Cannot, "a message without a byte: nothing is stored"));
        }
        self.bytes += spool.size();
        let draft = spool.finish();
        // RFC 6855 §4: a client that has not enabled UTF-8 may not know what it does.
        let strict = session.config().imap.refuse_8bit_headers && !session.enabled.has(Extension::Utf8Accept);
        if strict && !draft.header.is_ascii() {
            return Err(Fail::no(Code::Cannot, "8-bit headers need ENABLE UTF8=ACCEPT"));
        }
        let facts = |draft: &Draft| draft.header.len() + draft.envelope.len() + draft.structure.len();
        let all = self.drafts.iter().map(|(draft, _)| facts(draft)).sum::<usize>() + facts(&draft);
        if all > FACTS_MAX && !self.drafts.is_empty() {
            return Err(Fail::no(Code::Limit, "these are too many messages for one command"));
        }
        self.drafts.push((draft, options));
        Ok(())
    }

    /// The command is complete: all is put into the mailbox.
    async fn commit(self: Box<Self>, session: &mut Session, out: &mut Out<'_>) -> Result<Done, Fail> {
        let (account, mailbox, replaced) = (self.place.account, self.place.mailbox.id, self.replaced);
        let may_set = self.place.rights.flags();
        let mut open = match &mut session.state {
            State::Selected(_, selected) if (selected.account, selected.mailbox) == (account, mailbox) => {
                Some(selected)
            }
            _ => None,
        };
        let takes_recent = open.as_ref().is_some_and(|selected| selected.wants_recent());
        let place = |options: Options| {
            let now = || DateTime::new(jiff::Timestamp::now(), 0);
            let date = options.date.map(|date| DateTime::new(date.at, (date.zone.seconds() / 60) as i16));
            // RFC 4314 §4: flags that may not be set are left out.
            let (flags, keywords) = split_flags(options.flags);
            let (flags, keywords) = may_set.pass(flags, keywords);
            let internal_date = date.unwrap_or_else(now);
            intake::Place {
                account,
                mailbox,
                prefix: None,
                internal_date,
                flags,
                keywords,
                pop3_uidl: None,
                takes_recent,
            }
        };
        let messages = self.drafts.into_iter().map(|(draft, options)| (draft, place(options))).collect();
        // The grammar has no command without a message.
        let Some(delivery) = Delivery::several(messages) else {
            return Err(Fail::bad("expected a message"));
        };
        let receipt = session.house.committer.deliver(Delivery { replaced, ..delivery }).await?;
        let placed: Option<Vec<_>> = receipt.into_iter().collect();
        let Some((validity, placed)) = placed.and_then(|placed| Some((placed.first()?.uid_validity, placed)))
        else {
            return Err(Fail::no(Code::TryCreate, "the mailbox has just been deleted"));
        };
        if let Some(selected) = &mut open {
            placed.iter().filter(|placed| placed.recent).for_each(|placed| selected.claim(placed.uid));
        }
        let uids: UidSet = placed.iter().map(|placed| placed.uid).collect();
        session.made((account, mailbox), uids.iter());
        let code = OwnedCode::AppendUid(validity, uids.to_string());
        if replaced.is_none() {
            return Ok(Done::with(code, "appended"));
        }
        // RFC 8508 §4.3: the new UID is told before the old message is gone.
        reply::untagged(&mut out.buffer(), Condition::Ok, Some(code.borrow()), "this one is there instead");
        Ok(Done::ok("replaced"))
    }
}
