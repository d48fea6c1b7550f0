//! Going through a mailbox: each message is looked at only as far as it must be.

use std::time::{Duration, Instant};

use super::body::find;
use super::criteria::{Criteria, Header, Knowledge, Row};
use crate::imap::answer::Fail;
use crate::imap::selected::Selected;
use crate::imap::wire::code::Condition;
use crate::imap::wire::reply::untagged;
use crate::net::out::Out;
use crate::store::Store;
use crate::store::fetch::{Facts, PAGE, Want};
use crate::store::source::{ReadAhead, Source};

/// Messages asked for in one query when their headers come with them, which may have a megabyte each.
const WIDE_PAGE: usize = 100;

/// Messages of the view looked at before others have their turn.
const ENTRIES_AT_ONCE: u32 = 10_000;

/// After so long a client hears that the search goes on, and we that the client is still there.
const PATIENCE: Duration = Duration::from_secs(10);

const HEADER: Want = Want {
    header: true,
    envelope: false,
    structure: false,
    thread: false,
    preview: false,
    preview_structure: false,
};
const HEADER_AND_STRUCTURE: Want = Want { structure: true, ..HEADER };

/// What is read of messages that are not settled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Row,
    Header,
    Body,
}

impl Stage {
    fn page(self) -> usize {
        if self == Stage::Row { PAGE } else { WIDE_PAGE }
    }
}

/// A search under way.
pub(super) struct Seek<'a> {
    store: &'a Store,
    selected: &'a Selected,
    criteria: Criteria,
    found: Vec<u32>,
    /// Not settled yet.
    open: Vec<u32>,
    last_word: Instant,
}

impl<'a> Seek<'a> {
    pub(super) fn new(store: &'a Store, selected: &'a Selected, criteria: Criteria) -> Self {
        let last_word = Instant::now();
        Self { store, selected, criteria, found: Vec::new(), open: Vec::new(), last_word }
    }

    /// The UIDs of what is found, in order.
    pub(super) async fn run(mut self, out: &mut Out<'_>) -> Result<Vec<u32>, Fail> {
        let view = self.selected.view();
        for (seq, entry) in view.iter() {
            self.judge(entry.uid(), None, None, None);
            if seq % ENTRIES_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let needed = [
            (Stage::Row, self.criteria.row),
            (Stage::Header, self.criteria.header),
            (Stage::Body, self.criteria.body()),
        ];
        for (stage, _) in needed.into_iter().filter(|(_, needed)| *needed) {
            let open = std::mem::take(&mut self.open);
            for page in open.chunks(stage.page()) {
                self.page(stage, page, out).await?;
            }
        }
        self.found.sort_unstable();
        Ok(self.found)
    }

    /// Decides on a message with what is known, or leaves it open.
    fn judge(&mut self, uid: u32, row: Option<Row>, header: Option<&Header>, body: Option<&[bool]>) {
        let view = self.selected.view();
        let Some(entry) = view.entry(uid) else { return };
        let recent = self.selected.is_recent(uid);
        let keywords = view.keywords_of(entry);
        match self.criteria.holds(&Knowledge { entry, keywords, recent, row, header, body }) {
            Some(true) => self.found.push(uid),
            Some(false) => {}
            None => self.open.push(uid),
        }
    }

    /// Reads more of some messages. One that has been expunged meanwhile is not found.
    async fn page(&mut self, stage: Stage, uids: &[u32], out: &mut Out<'_>) -> Result<(), Fail> {
        match stage {
            Stage::Row => self.rows(uids).await?,
            Stage::Header => self.headers(uids).await?,
            Stage::Body => self.bodies(uids, out).await?,
        }
        self.say_something(out).await?;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn rows(&mut self, uids: &[u32]) -> Result<(), Fail> {
        let (account, mailbox) = (self.selected.account, self.selected.mailbox);
        for message in self.store.dates_and_sizes(account, mailbox, uids).await? {
            let row = Row { received: message.internal_date, size: message.size };
            self.judge(message.uid, Some(row), None, None);
        }
        Ok(())
    }

    async fn headers(&mut self, uids: &[u32]) -> Result<(), Fail> {
        for facts in self.facts(uids, HEADER).await? {
            let header = self.header(&facts);
            self.judge(facts.uid, Some(row(&facts)), Some(&header), None);
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
            self.judge(facts.uid, Some(row(facts)), Some(&header), Some(&found));
            self.say_something(out).await?;
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

    async fn body(&self, source: &mut Source<'_>, facts: &Facts) -> Result<Vec<bool>, Fail> {
        let rebuilt;
        let root = match &facts.structure {
            Some(structure) => &structure.0,
            None => {
                rebuilt = source.rebuilt().await?;
                &rebuilt
            }
        };
        find(source, facts.prefix.len() as u64, root, &self.criteria.needles).await
    }

    /// In a long search: keeps the client from giving up, and ends it when the client is gone.
    async fn say_something(&mut self, out: &mut Out<'_>) -> Result<(), Fail> {
        if self.last_word.elapsed() >= PATIENCE {
            self.last_word = Instant::now();
            untagged(&mut out.buffer(), Condition::Ok, None, "still searching");
            out.flush().await?;
        }
        Ok(())
    }
}

fn row(facts: &Facts) -> Row {
    Row { received: facts.internal_date, size: facts.size }
}
