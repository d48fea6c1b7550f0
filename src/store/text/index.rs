//! Fills the text index, on one node at a time, behind delivery: nothing is written, locked or rung for it when mail comes
//! in.
//!
//! What is missing is found by looking: contents are gone through from the newest down, by their keys alone, until many
//! in a row are in the index. Ids are given in blocks to the nodes, so that an old one may be new; therefore now and then all
//! of them are gone through. A content that is found late is no harm: a search reads the message itself meanwhile.
//!
//! It works in small steps and rests as long as it has worked, longer while mail comes in here.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::{Sink, read_body};
use super::{Fields, Text, VERSION};
use crate::control::lease;
use crate::db::Error;
use crate::mime::signature::Builder;
use crate::mime::text::{fold, folded_fields};
use crate::net::stop::Stop;
use crate::sql;
use crate::store::Store;
use crate::store::fetch::Facts;
use crate::store::source::{ReadAhead, Source};

const FIND_UNINDEXED: &str = sql!("store/find_unindexed");
const KEEP_TEXTS: &str = sql!("store/keep_texts");

/// How often it looks for new contents.
const PERIOD: Duration = Duration::from_secs(2);
/// How often it looks at all of them.
const SWEEP: Duration = Duration::from_secs(15 * 60);
/// After so long it looks at the newest again, whatever is left below.
const ROUND: Duration = Duration::from_secs(10);
/// How long the work stays with a node that is gone.
const LEASE: Duration = Duration::from_secs(60);
/// Keys looked at in one statement.
const KEYS: i64 = 2048;
/// So many in the index, one after the other: those below were seen in an earlier round.
const ENOUGH: i64 = 2048;
/// Contents put into the index by one statement.
const BATCH: usize = 64;
/// Compression; nobody waits for it.
const LEVEL: i32 = 3;

/// How far it has come.
struct Progress {
    /// Since when the work is ours, if it is.
    leased: Option<Instant>,
    /// From this id down nothing has been looked at since the last sweep began.
    below: Option<i64>,
    /// When the last sweep came to the end.
    swept: Option<Instant>,
}

/// The index of one content.
struct Row {
    content: i64,
    left_out: Option<&'static str>,
    fields: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    text: Option<Vec<u8>>,
}

impl Store {
    /// Fills the text index until told to stop.
    pub async fn index_text(self: Arc<Self>, mut stop: Stop) {
        let mut progress = Progress { leased: None, below: None, swept: None };
        loop {
            tokio::select! {
                _ = stop.wait() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            if !self.control.config().store.index_text {
                continue;
            }
            if let Err(error) = self.index_round(&mut progress).await {
                tracing::debug!(%error, "indexing of text is put off");
                progress.leased = None;
            }
        }
    }

    /// Goes through contents from the newest down, for about [`ROUND`] at most.
    async fn index_round(&self, progress: &mut Progress) -> Result<(), Error> {
        if !self.has_index_lease(progress).await? {
            return Ok(());
        }
        let end = Instant::now() + ROUND;
        let sweep = progress.swept.is_none_or(|swept| swept.elapsed() > SWEEP);
        let (mut below, mut in_a_row) = (i64::MAX, 0);
        while self.control.config().store.index_text {
            let (seen, lowest, missing) = self.find_unindexed(below).await?;
            if !self.index_contents(&missing, end).await? {
                progress.below = Some(below);
                return Ok(());
            }
            if seen < KEYS {
                *progress = Progress { below: None, swept: Some(Instant::now()), ..*progress };
                return Ok(());
            }
            below = lowest;
            in_a_row = if missing.is_empty() { in_a_row + seen } else { 0 };
            if in_a_row >= ENOUGH {
                match progress.below.take() {
                    Some(left) => (below, in_a_row) = (below.min(left), 0),
                    None if sweep => {}
                    None => return Ok(()),
                }
            }
            if Instant::now() > end {
                progress.below = Some(below);
                return Ok(());
            }
        }
        Ok(())
    }

    async fn has_index_lease(&self, progress: &mut Progress) -> Result<bool, Error> {
        if progress.leased.is_none_or(|since| since.elapsed() > LEASE / 3) {
            let control = &self.control;
            let ours = lease::take(&control.db, "store.text", &control.node.name, LEASE).await?;
            progress.leased = ours.then(Instant::now);
        }
        Ok(progress.leased.is_some())
    }

    /// Of the next contents below this id: how many there are, the lowest, and which are not in the index.
    async fn find_unindexed(&self, below: i64) -> Result<(i64, i64, Vec<i64>), Error> {
        let row = self.control.db.query_opt(FIND_UNINDEXED, &[&below, &KEYS, &VERSION]).await?;
        Ok(row.map(|row| (row.get(0), row.get(1), row.get(2))).unwrap_or_default())
    }

    /// Puts these contents into the index; false when it did not come to the end in time.
    async fn index_contents(&self, contents: &[i64], end: Instant) -> Result<bool, Error> {
        for batch in contents.chunks(BATCH) {
            let began = Instant::now();
            if began > end {
                return Ok(false);
            }
            let facts = self.contents(batch).await?;
            let mut ahead = ReadAhead::default();
            let mut rows = Vec::with_capacity(facts.len());
            for (at, content) in facts.iter().enumerate() {
                let whole = ahead.content(self, &facts, at).await?;
                rows.push(self.index_row(content, Source::new(self, content, whole)).await?);
                tokio::task::yield_now().await;
            }
            self.keep_texts(&rows).await?;
            let worked = began.elapsed();
            tokio::time::sleep(if self.budget.in_use() { worked * 4 } else { worked }).await;
        }
        Ok(true)
    }

    async fn index_row(&self, content: &Facts, mut source: Source<'_>) -> Result<Row, Error> {
        let fields = folded_fields(&content.header);
        // Serialising plain data into memory does not fail.
        let common = postcard::to_stdvec(&Fields::of(&content.header, &fields)).ok();
        let row =
            Row { content: content.content, left_out: None, fields: common, signature: None, text: None };
        let in_header: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
        let max = self.control.config().store.index_text_max_bytes;
        let body = match collect(content, &mut source, max.saturating_sub(in_header)).await {
            Ok(body) => body.filter(|_| in_header <= max),
            Err(Error::Fault(error)) => {
                tracing::warn!(content = content.content, error, "the text of a message cannot be read");
                return Ok(Row { left_out: Some("damaged"), ..row });
            }
            Err(error) => return Err(error),
        };
        let Some(body) = body else { return Ok(Row { left_out: Some("too large"), ..row }) };
        let header = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let text = Text { header, body: &body };
        let mut signature = Builder::default();
        signature.add(&text.header_text());
        signature.add(&body);
        Ok(Row { signature: signature.finish(), text: Some(text.pack(LEVEL)?), ..row })
    }

    async fn keep_texts(&self, rows: &[Row]) -> Result<(), Error> {
        let contents: Vec<i64> = rows.iter().map(|row| row.content).collect();
        let left_out: Vec<Option<&str>> = rows.iter().map(|row| row.left_out).collect();
        let bytes = |of: fn(&Row) -> &Option<Vec<u8>>| -> Vec<Option<&[u8]>> {
            rows.iter().map(|row| of(row).as_deref()).collect()
        };
        let fields = bytes(|row| &row.fields);
        let (signatures, texts) = (bytes(|row| &row.signature), bytes(|row| &row.text));
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&VERSION, &contents, &left_out, &fields, &signatures, &texts];
        self.control.db.execute(KEEP_TEXTS, &values).await.map(drop)
    }
}

/// The text of a body, folded; `None` when it has more bytes than that.
async fn collect(content: &Facts, source: &mut Source<'_>, max: usize) -> Result<Option<String>, Error> {
    let rebuilt;
    let root = match &content.structure {
        Some(structure) => &structure.0,
        None => {
            rebuilt = source.rebuilt().await?;
            &rebuilt
        }
    };
    let mut whole = Whole { text: String::new(), max };
    read_body(source, 0, root, &mut whole).await?;
    Ok(Some(whole.text).filter(|text| text.len() <= max))
}

/// Keeps all text, folded, with NUL in the gaps: no string that is looked for contains it.
struct Whole {
    text: String,
    max: usize,
}

impl Sink for Whole {
    fn text(&mut self, text: &str) {
        self.text.push_str(&fold(text));
    }

    fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with('\0') {
            self.text.push('\0');
        }
    }

    fn enough(&self) -> bool {
        self.text.len() > self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_marked() {
        let mut whole = Whole { text: String::new(), max: 5 };
        whole.gap();
        whole.text("A");
        whole.text("B");
        whole.gap();
        whole.gap();
        assert!(!whole.enough());
        whole.text("\u{c4}bc");
        assert_eq!(whole.text, "ab\0a\u{308}bc");
        assert!(whole.enough());
    }
}
