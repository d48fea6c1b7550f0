//! The group committer: everything that comes in goes through here into the tables.
//!
//! Guarantees: a delivery is answered only after the transaction that holds it has committed; all places and queue
//! entries of one delivery are in one transaction; when the connection dies during COMMIT, what happened is found out
//! before anybody is answered. Costs: one round trip and one flush for all that queued up while the last batch flushed
//! (at most `MAX_JOBS` deliveries and `MAX_BYTES` bytes), whatever their number. One transaction for each 10 KB
//! message makes 12,000 commits/s on two cores with 8 clients; 50 in one transaction make 34,000 messages/s.
//!
//! One worker on each node: with two that take turns, batches are half as large and wait for one another's mailboxes. With
//! 20 sessions sending 10 KB messages on two cores (three runs in turn, medians): one 2,555/s, 8 messages a batch and
//! 190 us of PostgreSQL's time a message; two 2,110/s, 4 and 337 us. Bells ring after the commit: at once on this node, and
//! by a transaction of their own for the others.
//!
//! What became of queued mail is committed here too, in the same batches: a recipient leaves the queue in the transaction
//! that puts its message into a mailbox, or a report of it into its sender's. Mail for other servers that this node can
//! send at once is leased to it in the batch that brings it in and handed over to the relay after the commit.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::delivery::{Content, Delivery, Place, Placed, Receipt};
use super::enqueue::Queued;
use super::replace::Replacements;
use super::settle::Settlements;
use super::story;
use crate::control::live::uuid_text;
use crate::db::{Client, Error};
use crate::log::Log;
use crate::mail::{AccountId, MailboxId};
use crate::queue::Inlet;
use crate::sql;
use crate::store::view::{EntryRow, Update};
use crate::store::{Draft, Store};

const INSERT_BATCH: &str = sql!("intake/insert_batch");
const INSERT_CONTENT: &str = sql!("intake/insert_content");
const INSERT_CHUNKS: &str = sql!("intake/insert_chunks");
const LOCK_MAILBOXES: &str = sql!("intake/lock_mailboxes");
const PLACE_MESSAGES: &str = sql!("intake/place_messages");

/// Deliveries in one transaction.
const MAX_JOBS: usize = 200;
/// Message bytes (compressed) in one transaction.
const MAX_BYTES: usize = 8 << 20;
/// How long a batch is tried again for deadlocks, and how often.
const RETRIES: u32 = 5;
/// How long the outcome of a broken COMMIT is asked for before the deliveries fail temporarily.
const SETTLE: Duration = Duration::from_secs(60);

struct Job {
    delivery: Delivery,
    answer: oneshot::Sender<Result<Receipt, Error>>,
}

/// Takes deliveries and commits them in groups. Cheap to clone.
#[derive(Clone)]
pub struct Committer {
    jobs: mpsc::Sender<Job>,
}

impl Committer {
    /// Starts the worker. It ends when the last committer is dropped, and finishes what it has taken. Deliveries that
    /// are handed over one after another are committed in that order.
    /// What can be sent at once is handed over through `inlet`; what became of messages is noted in `log`.
    pub fn start(store: &Arc<Store>, inlet: Inlet, log: Log) -> Self {
        let (jobs, queue) = mpsc::channel(2 * MAX_JOBS);
        tokio::spawn(Worker { store: store.clone(), queue, inlet, log }.run());
        Self { jobs }
    }

    /// Delivers one message; returns after the commit.
    pub async fn deliver(&self, delivery: Delivery) -> Result<Receipt, Error> {
        self.hand_over(delivery).await?.receipt().await
    }

    /// Hands one message over and returns as soon as it has its place in the queue. Whoever has many hands them over
    /// one after the other and asks for the outcomes later, so that they fill batches.
    pub async fn hand_over(&self, delivery: Delivery) -> Result<HandedOver, Error> {
        let (answer, outcome) = oneshot::channel();
        self.jobs.send(Job { delivery, answer }).await.map_err(|_| stopping())?;
        Ok(HandedOver(outcome))
    }
}

/// A delivery that has not been answered yet.
pub struct HandedOver(oneshot::Receiver<Result<Receipt, Error>>);

impl HandedOver {
    /// What became of it; returns after the commit.
    pub async fn receipt(self) -> Result<Receipt, Error> {
        self.0.await.map_err(|_| stopping())?
    }
}

fn stopping() -> Error {
    Error::Unavailable("the server is stopping".to_owned())
}

struct Worker {
    store: Arc<Store>,
    queue: mpsc::Receiver<Job>,
    inlet: Inlet,
    log: Log,
}

impl Worker {
    async fn run(mut self) {
        loop {
            let jobs = self.take().await;
            if jobs.is_empty() {
                return;
            }
            self.commit(jobs).await;
        }
    }

    /// Takes what has queued up, at least one; nothing when the committer is gone.
    async fn take(&mut self) -> Vec<Job> {
        let Some(first) = self.queue.recv().await else { return Vec::new() };
        let mut bytes = first.delivery.stored_bytes();
        let mut jobs = vec![first];
        while jobs.len() < MAX_JOBS && bytes < MAX_BYTES {
            let Ok(job) = self.queue.try_recv() else { break };
            bytes += job.delivery.stored_bytes();
            jobs.push(job);
        }
        jobs
    }

    async fn commit(&self, jobs: Vec<Job>) {
        let deliveries: Vec<&Delivery> = jobs.iter().map(|job| &job.delivery).collect();
        let outcome = self.try_commit(&deliveries).await;
        match outcome {
            Ok(receipts) => {
                for ((account, mailbox), update) in arrivals(&deliveries, &receipts) {
                    self.store.views.apply(account, mailbox, update);
                }
                for (job, receipt) in jobs.into_iter().zip(receipts) {
                    if let Some(replaced) = &job.delivery.replaced {
                        self.store.views.mark(replaced.account, replaced.mailbox);
                    }
                    // A session that is gone does not hear it; its message is there all the same.
                    job.answer.send(Ok(receipt)).ok();
                }
            }
            // One bad delivery must not take the others along: each alone.
            Err(Error::Fault(_) | Error::Refused { .. }) if jobs.len() > 1 => {
                for job in jobs {
                    Box::pin(self.commit(vec![job])).await;
                }
            }
            Err(error) => {
                if !error.is_unavailable() {
                    tracing::error!(%error, "a delivery could not be stored");
                }
                let text = error.to_string();
                for job in jobs {
                    job.answer.send(Err(Error::Unavailable(text.clone()))).ok();
                }
            }
        }
    }

    async fn try_commit(&self, deliveries: &[&Delivery]) -> Result<Vec<Receipt>, Error> {
        let mut tries = 0;
        loop {
            let mut batch = Batch::new(deliveries, &self.store.control.node.name);
            batch.queued.take_places(&self.inlet);
            let client = self.store.control.db.delivery().await?;
            match batch.run(&client).await {
                Ok(receipts) => {
                    self.committed_is(batch, &receipts);
                    return Ok(receipts);
                }
                Err(Failed::Before(error)) => {
                    // The connection may be in the middle of a failed transaction.
                    client.discard();
                    tries += 1;
                    if !error.is_retry() || tries > RETRIES {
                        return Err(error);
                    }
                }
                Err(Failed::InCommit(error, receipts)) => {
                    client.discard();
                    tracing::warn!(%error, "the connection was lost during a commit; finding out what happened");
                    if self.settle(&batch.id).await? {
                        self.committed_is(batch, &receipts);
                        return Ok(receipts);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// A batch is committed: tells its story, and lets go on what goes elsewhere.
    fn committed_is(&self, batch: Batch<'_>, receipts: &[Receipt]) {
        batch.settlements.count(self.log.meter());
        if self.log.keeps_trace() {
            let mut rows = Vec::new();
            for (delivery, receipt) in batch.deliveries.iter().zip(receipts) {
                story::tell(delivery, receipt, &mut rows);
            }
            batch.queued.tell(&mut rows);
            self.log.trace(rows);
        }
        self.queued(batch.queued);
    }

    /// Mail for other servers is committed: hands it over, or rings for whoever claims it.
    fn queued(&self, queued: Queued<'_>) {
        let mut to_claim = false;
        for work in queued.work() {
            match work {
                Some(work) => self.inlet.hand_over(work),
                None => to_claim = true,
            }
        }
        if to_claim {
            self.inlet.ring();
        }
    }

    /// Whether a batch whose COMMIT was not answered did commit. Its row is inserted again, which waits for the end of
    /// the old transaction: afterwards it has committed (nothing inserted), or never will.
    async fn settle(&self, id: &str) -> Result<bool, Error> {
        let deadline = tokio::time::Instant::now() + SETTLE;
        loop {
            match self.committed(id).await {
                Ok(committed) => return Ok(committed),
                Err(error) if tokio::time::Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Asks once. What is inserted to find out is taken back: should this answer be lost as well, the next question
    /// would take our own row for the batch's.
    async fn committed(&self, id: &str) -> Result<bool, Error> {
        let mut client = self.store.control.db.client().await?;
        let insert = client.prepare(INSERT_BATCH).await?;
        let transaction = client.transaction().await?;
        let inserted = transaction.execute(&insert, &[&id]).await?;
        transaction.rollback().await?;
        Ok(inserted == 0)
    }
}

/// What a batch has put into each mailbox.
fn arrivals(deliveries: &[&Delivery], receipts: &[Receipt]) -> HashMap<(AccountId, MailboxId), Update> {
    let mut arrivals: HashMap<(AccountId, MailboxId), Update> = HashMap::new();
    for (delivery, receipt) in deliveries.iter().zip(receipts) {
        for ((_, place), placed) in delivery.placed().zip(receipt) {
            let Some(Placed { uid, modseq, .. }) = *placed else { continue };
            let update = arrivals.entry((place.account, place.mailbox)).or_default();
            update.uid_next = update.uid_next.max(uid.saturating_add(1));
            update.highest_modseq = update.highest_modseq.max(modseq);
            let (flags, keywords) = (place.flags.bits().into(), place.keywords.clone());
            update.added.push(EntryRow { uid, flags, modseq, keywords });
        }
    }
    arrivals
}

enum Failed {
    /// Nothing of the batch is or will be there.
    Before(Error),
    /// COMMIT was sent and not answered.
    InCommit(Error, Vec<Receipt>),
}

/// The rows of one transaction, as columns.
struct Batch<'a> {
    id: String,
    deliveries: &'a [&'a Delivery],
    content: Contents<'a>,
    chunks: Chunks<'a>,
    places: Places<'a>,
    replacements: Replacements,
    queued: Queued<'a>,
    settlements: Settlements<'a>,
}

#[derive(Default)]
struct Contents<'a> {
    id: Vec<i64>,
    digest: Vec<&'a [u8]>,
    size: Vec<i64>,
    header_size: Vec<i32>,
    sent_at: Vec<Option<Timestamp>>,
    version: Vec<i16>,
    subject: Vec<Option<&'a str>>,
    from: Vec<Option<&'a str>>,
    message_id: Vec<Option<&'a str>>,
    to: Vec<Option<String>>,
    attachments: Vec<Option<String>>,
    header: Vec<&'a [u8]>,
    envelope: Vec<&'a [u8]>,
    structure: Vec<&'a [u8]>,
    thread: Vec<&'a str>,
}

#[derive(Default)]
struct Chunks<'a> {
    content: Vec<i64>,
    start: Vec<i64>,
    size: Vec<i32>,
    codec: Vec<i16>,
    bytes: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Places<'a> {
    account: Vec<i64>,
    mailbox: Vec<i64>,
    digest: Vec<&'a [u8]>,
    date: Vec<Timestamp>,
    zone: Vec<i16>,
    size: Vec<i64>,
    flags: Vec<i16>,
    keywords: Vec<Option<String>>,
    prefix: Vec<Option<&'a [u8]>>,
    pop3_uidl: Vec<Option<&'a str>>,
    takes_recent: Vec<bool>,
}

fn joined(list: &[String], separator: &str) -> Option<String> {
    (!list.is_empty()).then(|| list.join(separator))
}

impl<'a> Batch<'a> {
    fn new(deliveries: &'a [&'a Delivery], node: &'a str) -> Self {
        let mut random = [0; 16];
        // Without randomness there is no TLS either; the operating system's source does not fail.
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).ok();
        let mut batch = Self {
            id: uuid_text(&random),
            deliveries,
            content: Contents::default(),
            chunks: Chunks::default(),
            places: Places::default(),
            replacements: Replacements::default(),
            queued: Queued::new(node),
            settlements: Settlements::new(deliveries.iter().copied(), node),
        };
        // In the order of their digests, so that two batches with the same contents cannot wait for each other.
        let mut drafts: Vec<&Draft> = deliveries.iter().flat_map(|d| d.drafts()).collect();
        drafts.sort_unstable_by_key(|d| d.digest);
        drafts.dedup_by_key(|d| d.digest);
        for draft in drafts {
            batch.content.push(draft);
            batch.chunks.push(draft);
        }
        for delivery in deliveries {
            for (content, place) in delivery.placed() {
                batch.places.push(place, content);
            }
            if let (Some(replaced), Some((_, place))) = (&delivery.replaced, delivery.placed().next()) {
                batch.replacements.push(replaced, place);
            }
            let Some(content) = &delivery.content else { continue };
            for outbound in &delivery.outbound {
                batch.queued.push(outbound, content, delivery.story.as_deref());
            }
        }
        batch
    }

    /// Sends everything without waiting in between, and reads the answers.
    async fn run(&mut self, client: &Client) -> Result<Vec<Receipt>, Failed> {
        let prepared = async {
            Ok::<_, Error>((
                client.prepare(INSERT_BATCH).await?,
                client.prepare(INSERT_CONTENT).await?,
                client.prepare(INSERT_CHUNKS).await?,
                client.prepare(LOCK_MAILBOXES).await?,
                client.prepare(PLACE_MESSAGES).await?,
            ))
        };
        let (insert_batch, insert_content, insert_chunks, lock, place) =
            prepared.await.map_err(Failed::Before)?;
        let enqueue = self.queued.prepare(client).await.map_err(Failed::Before)?;
        let settle = self.settlements.prepare(client).await.map_err(Failed::Before)?;
        let expunge = self.replacements.prepare(client).await.map_err(Failed::Before)?;
        let (content, chunks, places) = (&self.content, &self.chunks, &self.places);
        let (locked_accounts, locked_mailboxes) =
            self.replacements.with_mailboxes(&places.account, &places.mailbox);
        let pg = client.raw();
        let work = async {
            let content_values: [&(dyn tokio_postgres::types::ToSql + Sync); 15] = [
                &content.id,
                &content.digest,
                &content.size,
                &content.header_size,
                &content.sent_at,
                &content.version,
                &content.subject,
                &content.from,
                &content.message_id,
                &content.to,
                &content.attachments,
                &content.header,
                &content.envelope,
                &content.structure,
                &content.thread,
            ];
            let chunk_values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&chunks.content, &chunks.start, &chunks.size, &chunks.codec, &chunks.bytes];
            let place_values: [&(dyn tokio_postgres::types::ToSql + Sync); 11] = [
                &places.account,
                &places.mailbox,
                &places.digest,
                &places.date,
                &places.zone,
                &places.size,
                &places.flags,
                &places.keywords,
                &places.prefix,
                &places.pop3_uidl,
                &places.takes_recent,
            ];
            let begin = pg.batch_execute("begin");
            let batch = async { pg.execute(&insert_batch, &[&self.id]).await };
            let contents = async { pg.execute(&insert_content, &content_values).await };
            let bodies = async {
                if chunks.content.is_empty() {
                    Ok(0)
                } else {
                    pg.execute(&insert_chunks, &chunk_values).await
                }
            };
            let locks = async {
                if places.account.is_empty() {
                    Ok(Vec::new())
                } else {
                    pg.query(&lock, &[&locked_accounts, &locked_mailboxes]).await
                }
            };
            let placing = async {
                if places.account.is_empty() { Ok(Vec::new()) } else { pg.query(&place, &place_values).await }
            };
            let expunging = async {
                match &expunge {
                    None => Ok(()),
                    Some(expunge) => self.replacements.run(pg, expunge).await,
                }
            };
            let queueing = async {
                match &enqueue {
                    None => Ok(Vec::new()),
                    Some(statement) => self.queued.run(pg, statement).await,
                }
            };
            // Futures joined on one connection are sent in this order, in one go.
            let settling = async {
                match &settle {
                    None => Ok(()),
                    Some(settle) => self.settlements.run(pg, settle).await,
                }
            };
            let (a, b, c, d, e, rows, f, queued, h) =
                tokio::join!(begin, batch, contents, bodies, locks, placing, expunging, queueing, settling);
            a?;
            b?;
            c?;
            d?;
            e?;
            f?;
            h?;
            Ok::<_, tokio_postgres::Error>((rows?, queued?))
        };
        let rows = match work.await {
            Ok((rows, queued)) => {
                self.queued.ids = queued;
                rows
            }
            Err(error) => return Err(Failed::Before(error.into())),
        };
        let receipts = self.receipts(&rows);
        match pg.batch_execute("commit").await {
            Ok(()) => Ok(receipts),
            Err(error) => Err(Failed::InCommit(error.into(), receipts)),
        }
    }

    /// Sorts what was placed to the deliveries.
    fn receipts(&self, rows: &[tokio_postgres::Row]) -> Vec<Receipt> {
        let placed: HashMap<i64, Placed> = rows
            .iter()
            .map(|row| {
                let (uid, validity, modseq): (i64, i64, i64) = (row.get(1), row.get(2), row.get(3));
                let used_bytes = row.get::<_, Option<i64>>(4).unwrap_or_default();
                (
                    row.get(0),
                    Placed {
                        uid: uid as u32,
                        uid_validity: validity as u32,
                        modseq: modseq as u64,
                        used_bytes,
                        recent: row.get(5),
                    },
                )
            })
            .collect();
        let mut place = 0;
        self.deliveries
            .iter()
            .map(|delivery| {
                delivery
                    .placed()
                    .map(|_| {
                        place += 1;
                        placed.get(&place).copied()
                    })
                    .collect()
            })
            .collect()
    }
}

impl<'a> Contents<'a> {
    fn push(&mut self, draft: &'a Draft) {
        self.id.push(draft.id);
        self.digest.push(&draft.digest);
        self.size.push(draft.size as i64);
        self.header_size.push(draft.header.len() as i32);
        self.sent_at.push(draft.summary.date.map(|(at, _)| at));
        self.version.push(draft.structure_version);
        self.subject.push(draft.summary.subject.as_deref());
        self.from.push(draft.summary.from.as_deref());
        self.message_id.push(draft.summary.message_id.as_deref());
        self.to.push(joined(&draft.summary.to, "\n"));
        self.attachments.push(joined(&draft.summary.attachments, "\n"));
        self.header.push(&draft.header);
        self.envelope.push(&draft.envelope);
        self.structure.push(&draft.structure);
        // Empty: it belongs to none; what is null was stored by a version that did not ask.
        self.thread.push(draft.summary.thread.as_deref().unwrap_or_default());
    }
}

impl<'a> Chunks<'a> {
    fn push(&mut self, draft: &'a Draft) {
        for chunk in &draft.chunks {
            self.content.push(draft.id);
            self.start.push(chunk.start as i64);
            self.size.push(chunk.size as i32);
            self.codec.push(chunk.codec);
            self.bytes.push(&chunk.bytes);
        }
    }
}

impl<'a> Places<'a> {
    fn push(&mut self, place: &'a Place, content: &'a Content) {
        let prefix = place.prefix.as_deref();
        self.account.push(place.account.0);
        self.mailbox.push(place.mailbox.0);
        self.digest.push(content.digest());
        self.date.push(place.internal_date.at());
        self.zone.push(place.internal_date.offset_minutes());
        self.size.push(content.size() as i64 + prefix.map_or(0, <[u8]>::len) as i64);
        self.flags.push(i16::from(place.flags.bits()));
        self.keywords.push(joined(&place.keywords, " "));
        self.prefix.push(prefix);
        self.pop3_uidl.push(place.pop3_uidl.as_deref());
        self.takes_recent.push(place.takes_recent);
    }
}
