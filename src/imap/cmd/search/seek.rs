//! Going through a mailbox: each message is looked at only as far as it must be. What the text index has is looked at
//! first; messages that it does not have are read themselves, and it makes no difference to what is found.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::body::{Found, find, find_in};
use super::criteria::{Absent, Criteria, Header, Knowledge, Objects, Row};
use crate::imap::answer::Fail;
use crate::imap::progress::Progress;
use crate::imap::selected::Selected;
use crate::mail::DateTime;
use crate::net::out::Out;
use crate::store::Store;
use crate::store::fetch::{DateAndSize, Facts, PAGE, Want};
use crate::store::object_id::email_id;
use crate::store::source::{ReadAhead, Source};
use crate::store::text::{Signed, Stored, Text, unpack};

/// Messages asked for in one query when their headers come with them, which may have a megabyte each.
const WIDE_PAGE: usize = 100;

/// Messages whose dates and sizes are read in one query: where they lie close together, as one range.
const ROWS_PAGE: usize = 10_000;

/// Messages that the text index is asked about in one query.
const SIGNED_PAGE: usize = 2_000;

/// Bytes of stored text that are read in one query, but for one text that may be larger.
const TEXT_BYTES: usize = 1 << 20;

/// Up to so many messages a search remembers what it has read of them; of more, the database and the text index say
/// enough, and reading them would push out what others have there.
const REMEMBERED: usize = 1000;

/// Messages of the view looked at before others have their turn.
const ENTRIES_AT_ONCE: u32 = 10_000;

const HEADER: Want = Want {
    header: true,
    envelope: false,
    structure: false,
    thread: false,
    preview: false,
    preview_structure: false,
};
const HEADER_AND_STRUCTURE: Want = Want { structure: true, ..HEADER };
const OBJECTS: Want = Want { header: false, thread: true, ..HEADER };

/// What is read of messages that are not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Row,
    /// What the text index says without its text.
    Signature,
    Header,
    Body,
}

impl Stage {
    fn page(self, criteria: &Criteria) -> usize {
        match self {
            Stage::Row if criteria.objects => PAGE,
            Stage::Row => ROWS_PAGE,
            Stage::Signature => SIGNED_PAGE,
            Stage::Header | Stage::Body => WIDE_PAGE,
        }
    }
}

/// What is known of a message besides the view.
#[derive(Clone, Copy, Default)]
struct Known<'k> {
    row: Option<Row>,
    header: Option<&'k Header>,
    body: Option<&'k Found>,
    absent: Absent,
}

/// A search under way.
pub(super) struct Seek<'a> {
    store: &'a Store,
    selected: &'a Selected,
    criteria: Criteria,
    found: Vec<u32>,
    /// How well those fit that were found by FUZZY.
    scores: HashMap<u32, u8>,
    /// What messages are called, where that is asked for: kept until they are settled.
    objects: HashMap<u32, Objects>,
    /// Not settled yet.
    open: Vec<u32>,
    /// Not settled either, and in the text index with so many bytes.
    indexed: Vec<(u32, usize)>,
    /// Of those that were open when this stage began, how many have not had their turn.
    ahead: usize,
    progress: Option<&'a mut Progress>,
}

/// What a search has found.
#[derive(Debug, Default)]
pub(in crate::imap) struct Seen {
    /// The UIDs, in order.
    pub(in crate::imap) uids: Vec<u32>,
    /// How well those fit that were found by FUZZY.
    pub(in crate::imap) scores: HashMap<u32, u8>,
}

impl<'a> Seek<'a> {
    pub(super) fn new(store: &'a Store, selected: &'a Selected, criteria: Criteria) -> Self {
        let (found, open, indexed) = (Vec::new(), Vec::new(), Vec::new());
        let (scores, objects) = (HashMap::new(), HashMap::new());
        Self { store, selected, criteria, found, scores, objects, open, indexed, ahead: 0, progress: None }
    }

    /// Lets the client hear how far it is.
    pub(super) fn heard(self, progress: &'a mut Progress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// Looks at the whole mailbox.
    pub(super) async fn run(mut self, out: &mut Out<'_>) -> Result<Seen, Fail> {
        let view = self.selected.view();
        for (seq, entry) in view.iter() {
            self.judge_or_leave(entry.uid(), Known::default());
            if seq % ENTRIES_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.settle(out).await
    }

    /// Looks at these messages only.
    pub(super) async fn among(mut self, uids: &[u32], out: &mut Out<'_>) -> Result<Seen, Fail> {
        uids.iter().for_each(|&uid| self.judge_or_leave(uid, Known::default()));
        self.settle(out).await
    }

    /// Reads of what is open as much as it takes.
    async fn settle(mut self, out: &mut Out<'_>) -> Result<Seen, Fail> {
        let needed = [
            (Stage::Row, self.criteria.row),
            (Stage::Signature, self.criteria.header || self.criteria.body()),
            (Stage::Header, self.criteria.header),
            (Stage::Body, self.criteria.body()),
        ];
        for (stage, _) in needed.into_iter().filter(|(_, needed)| *needed) {
            if stage == Stage::Signature && self.remembers(self.open.len()) && !self.criteria.body() {
                self.remembered().await?;
            }
            let open = std::mem::take(&mut self.open);
            self.ahead = open.len();
            for page in open.chunks(stage.page(&self.criteria)) {
                self.page(stage, page, out).await?;
            }
            if stage == Stage::Signature {
                self.texts(out).await?;
            }
        }
        self.found.sort_unstable();
        Ok(Seen { uids: self.found, scores: self.scores })
    }

    /// Decides on a message with what is known; `None` when that is not enough.
    fn judge(&mut self, uid: u32, known: Known<'_>) -> Option<bool> {
        let view = self.selected.view();
        // One that is not in the view is not looked for.
        let Some(entry) = view.entry(uid) else { return Some(false) };
        let keywords = view.keywords_of(entry);
        let Known { row, header, body, absent } = known;
        let recent = self.selected.is_recent(uid);
        let objects = self.objects.get(&uid);
        let known = Knowledge { entry, keywords, recent, row, header, body, objects, absent };
        let holds = self.criteria.holds(&known);
        if holds == Some(true) {
            self.found.push(uid);
            if self.criteria.is_scored() {
                self.scores.insert(uid, self.criteria.score(&known));
            }
        }
        if holds.is_some() {
            self.objects.remove(&uid);
        }
        holds
    }

    /// Reads more of some messages. One that has been expunged meanwhile is not found.
    async fn page(&mut self, stage: Stage, uids: &[u32], out: &mut Out<'_>) -> Result<(), Fail> {
        match stage {
            Stage::Row => self.rows(uids).await?,
            Stage::Signature => self.signatures(uids).await?,
            Stage::Header => self.headers(uids).await?,
            Stage::Body => self.bodies(uids, out).await?,
        }
        self.ahead = self.ahead.saturating_sub(uids.len());
        self.say_something(0, out).await?;
        tokio::task::yield_now().await;
        Ok(())
    }

    /// Whether what is read of so many messages is kept in memory.
    fn remembers(&self, messages: usize) -> bool {
        messages <= REMEMBERED && self.store.remembers()
    }

    /// Of few messages the headers are read here, and kept in memory: who searches a mailbox searches it again.
    async fn remembered(&mut self) -> Result<(), Fail> {
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        let open = std::mem::take(&mut self.open);
        for page in open.chunks(PAGE) {
            for facts in self.store.remembered_facts(account, mailbox, page, HEADER).await? {
                let header = self.header(&facts);
                let known = Known { row: Some(row(&facts)), header: Some(&header), ..Known::default() };
                self.judge_or_leave(facts.uid, known);
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn rows(&mut self, uids: &[u32]) -> Result<(), Fail> {
        if self.criteria.objects {
            for facts in self.facts(uids, OBJECTS).await? {
                self.objects.insert(facts.uid, objects(&facts));
                self.judge_or_leave(facts.uid, Known { row: Some(row(&facts)), ..Known::default() });
            }
            return Ok(());
        }
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        if self.remembers(self.selected.view().len() as usize) {
            for facts in self.store.remembered_facts(account, mailbox, uids, Want::default()).await? {
                self.judge_or_leave(facts.uid, Known { row: Some(row(&facts)), ..Known::default() });
            }
            return Ok(());
        }
        let (store, range) = (self.store, self.close(uids));
        let mut judge = |message: DateAndSize| {
            let row = Row { received: message.internal_date, size: message.size };
            self.judge_or_leave(message.uid, Known { row: Some(row), ..Known::default() });
        };
        if let Some(range) = range {
            let mut wanted = uids.iter().copied().peekable();
            let each = |message: DateAndSize| {
                while wanted.next_if(|&uid| uid < message.uid).is_some() {}
                if wanted.next_if_eq(&message.uid).is_some() {
                    judge(message);
                }
            };
            return Ok(store.dates_and_sizes_between(account, mailbox, range, each).await?);
        }
        for page in uids.chunks(PAGE) {
            store.dates_and_sizes(account, mailbox, page).await?.into_iter().for_each(&mut judge);
        }
        Ok(())
    }

    /// The range that spans these messages, if it is cheaper to read all in it than to name each.
    fn close(&self, uids: &[u32]) -> Option<RangeInclusive<u32>> {
        let (&first, &last) = (uids.first()?, uids.last()?);
        let view = self.selected.view();
        let all = (view.seq_of(last)?.checked_sub(view.seq_of(first)?)? as usize).saturating_add(1);
        (uids.is_sorted() && all <= uids.len().saturating_mul(2)).then_some(first..=last)
    }

    fn judge_or_leave(&mut self, uid: u32, known: Known<'_>) {
        if self.judge(uid, known).is_none() {
            self.open.push(uid);
        }
    }

    async fn signatures(&mut self, uids: &[u32]) -> Result<(), Fail> {
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        let strings = self.criteria.strings();
        let signed = self.store.ask_signatures(account, mailbox, uids, strings, self.criteria.header).await?;
        let mut answered: Vec<u32> = signed.iter().map(|message| message.uid).collect();
        answered.sort_unstable();
        self.open.extend(uids.iter().filter(|uid| answered.binary_search(uid).is_err()));
        for message in &signed {
            if self.judge_signed(message).is_none() {
                match message.text_bytes {
                    Some(bytes) => self.indexed.push((message.uid, bytes)),
                    None => self.open.push(message.uid),
                }
            }
        }
        Ok(())
    }

    fn judge_signed(&mut self, message: &Signed) -> Option<bool> {
        let row = Row { received: message.internal_date, size: message.size };
        let header = message.fields.as_ref();
        let header = header.map(|fields| self.criteria.common_header(&message.prefix, fields));
        let absent = Absent(message.absent);
        self.judge(message.uid, Known { row: Some(row), header: header.as_ref(), body: None, absent })
    }

    /// Looks into the text that the index has of what is still open. What is gone from it meanwhile is read itself.
    async fn texts(&mut self, out: &mut Out<'_>) -> Result<(), Fail> {
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        let mut indexed = std::mem::take(&mut self.indexed);
        indexed.sort_unstable();
        let mut rest = indexed.as_slice();
        while !rest.is_empty() {
            let mut sum = 0;
            let within = |(_, bytes): &&(u32, usize)| {
                sum += bytes;
                sum <= TEXT_BYTES
            };
            let count = rest.iter().take(PAGE).take_while(within).count().max(1);
            let (page, later) = rest.split_at(count);
            rest = later;
            let uids: Vec<u32> = page.iter().map(|(uid, _)| *uid).collect();
            let stored = self.store.read_texts(account, mailbox, &uids).await?;
            let mut settled: Vec<u32> = Vec::with_capacity(stored.len());
            settled.extend(stored.iter().filter(|text| self.judge_text(text).is_some()).map(|text| text.uid));
            settled.sort_unstable();
            self.open.extend(uids.iter().filter(|uid| settled.binary_search(uid).is_err()));
            self.say_something(0, out).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn judge_text(&mut self, stored: &Stored) -> Option<bool> {
        let row = Row { received: stored.internal_date, size: stored.size };
        let unpacked = unpack(&stored.text)?;
        let text = Text::read(&unpacked)?;
        let fields = stored.fields.as_ref();
        let header = fields.map(|fields| self.criteria.stored_header(&stored.prefix, fields, &text));
        let found = find_in(text.body, self.criteria.wanted());
        let known = Known { row: Some(row), header: header.as_ref(), body: Some(&found), ..Known::default() };
        self.judge(stored.uid, known)
    }

    async fn headers(&mut self, uids: &[u32]) -> Result<(), Fail> {
        for facts in self.facts(uids, HEADER).await? {
            let header = self.header(&facts);
            let known = Known { row: Some(row(&facts)), header: Some(&header), ..Known::default() };
            self.judge_or_leave(facts.uid, known);
        }
        Ok(())
    }

    async fn bodies(&mut self, uids: &[u32], out: &mut Out<'_>) -> Result<(), Fail> {
        let messages = self.facts(uids, HEADER_AND_STRUCTURE).await?;
        let mut ahead = ReadAhead::default();
        for (at, facts) in messages.iter().enumerate() {
            let header = self.header(facts);
            let whole = ahead.content(self.store, &messages, at).await?;
            let found = self.body(&mut Source::new(self.store, facts, whole), facts).await?;
            let (row, absent) = (Some(row(facts)), Absent::default());
            self.judge_or_leave(facts.uid, Known { row, header: Some(&header), body: Some(&found), absent });
            self.say_something(at + 1, out).await?;
        }
        Ok(())
    }

    async fn facts(&self, uids: &[u32], want: Want) -> Result<Vec<Facts>, Fail> {
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        Ok(self.store.facts(account, mailbox, uids, want).await?)
    }

    /// The header with the lines of this copy; of one beyond a megabyte, its beginning.
    fn header(&self, facts: &Facts) -> Header {
        self.criteria.read_header(&[&facts.prefix[..], &facts.header[..]].concat())
    }

    async fn body(&self, source: &mut Source<'_>, facts: &Facts) -> Result<Found, Fail> {
        let rebuilt;
        let root = match &facts.structure {
            Some(structure) => &structure.0,
            None => {
                rebuilt = source.rebuilt().await?;
                &rebuilt
            }
        };
        find(source, facts.prefix.len() as u64, root, self.criteria.wanted()).await
    }

    /// In a long search: keeps the client from giving up, and ends it when the client is gone. `at` messages of this page
    /// have had their turn.
    async fn say_something(&mut self, at: usize, out: &mut Out<'_>) -> Result<(), Fail> {
        let Some(progress) = &mut self.progress else { return Ok(()) };
        let goal = u64::from(self.selected.view().len());
        let left = self.ahead.saturating_sub(at) + self.open.len() + self.indexed.len();
        progress.at(goal.saturating_sub(left as u64), goal, out).await
    }
}

fn row(facts: &Facts) -> Row {
    Row { received: facts.internal_date, size: facts.size }
}

fn objects(facts: &Facts) -> Objects {
    let saved = facts.saved.map_or(facts.internal_date, |saved| DateTime::new(saved, 0));
    Objects {
        saved: saved.date(),
        email_id: email_id(facts.content, &facts.prefix),
        thread_id: facts.thread.clone(),
    }
}
