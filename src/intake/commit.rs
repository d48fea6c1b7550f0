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

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::settle::Settlements;

use crate::control::live::uuid_text;
use crate::db::{Client, Error};
use crate::mail::{AccountId, DateTime, Flags, MailboxId};
use crate::queue::{self, Down, Inlet, Settled, Work};
use crate::smtp::mail::Body;
use crate::smtp::rcpt::Notify;
use crate::sql;
use crate::store::{Draft, Store};

const INSERT_BATCH: &str = sql!("intake/insert_batch");
const INSERT_CONTENT: &str = sql!("intake/insert_content");
const INSERT_CHUNKS: &str = sql!("intake/insert_chunks");
const LOCK_MAILBOXES: &str = sql!("intake/lock_mailboxes");
const PLACE_MESSAGES: &str = sql!("intake/place_messages");
const ENQUEUE: &str = sql!("intake/enqueue");

/// Deliveries in one transaction.
const MAX_JOBS: usize = 200;
/// Message bytes (compressed) in one transaction.
const MAX_BYTES: usize = 8 << 20;
/// How long a batch is tried again for deadlocks, and how often.
const RETRIES: u32 = 5;
/// How long the outcome of a broken COMMIT is asked for before the deliveries fail temporarily.
const SETTLE: Duration = Duration::from_secs(60);

/// One message and where it goes, and what has become of others: all of it is committed together.
#[derive(Default)]
pub struct Delivery {
    /// The message; none where only outcomes are committed.
    pub content: Option<Content>,
    /// Mailboxes it goes into.
    pub places: Vec<Place>,
    /// Recipients elsewhere, by envelope.
    pub outbound: Vec<Outbound>,
    /// Recipients that leave the queue, or wait on.
    pub settled: Vec<Settled>,
    /// Destinations that could not be reached.
    pub down: Vec<Down>,
}

/// The bytes of a message.
#[derive(Clone)]
pub enum Content {
    /// They come in now.
    Draft(Arc<Draft>),
    /// They are in the store.
    Stored {
        /// BLAKE3 of them.
        digest: [u8; 32],
        /// How many.
        size: u64,
    },
}

impl Content {
    fn digest(&self) -> &[u8] {
        match self {
            Content::Draft(draft) => &draft.digest,
            Content::Stored { digest, .. } => digest,
        }
    }

    fn size(&self) -> u64 {
        match self {
            Content::Draft(draft) => draft.size,
            Content::Stored { size, .. } => *size,
        }
    }
}

impl Delivery {
    /// A new message.
    pub fn new(draft: Draft, places: Vec<Place>, outbound: Vec<Outbound>) -> Self {
        Self { content: Some(Content::Draft(Arc::new(draft))), places, outbound, ..Self::default() }
    }

    fn draft(&self) -> Option<&Draft> {
        match &self.content {
            Some(Content::Draft(draft)) => Some(draft),
            Some(Content::Stored { .. }) | None => None,
        }
    }

    fn stored_bytes(&self) -> usize {
        self.draft().map_or(0, Draft::stored_bytes)
    }
}

/// A mailbox and how the message shall be there.
pub struct Place {
    /// The account.
    pub account: AccountId,
    /// Its mailbox.
    pub mailbox: MailboxId,
    /// Header lines of this copy that stand before the message; shared by copies that have the same.
    pub prefix: Option<Bytes>,
    /// INTERNALDATE.
    pub internal_date: DateTime,
    /// Flags to set.
    pub flags: Flags,
    /// Keywords to set.
    pub keywords: Vec<String>,
}

/// The recipients of a message that are on other servers, and the envelope they need.
pub struct Outbound {
    /// Header lines that stand before the message.
    pub prefix: Option<Bytes>,
    /// Reverse path; empty = null sender.
    pub sender: String,
    /// Who submitted it.
    pub account: Option<AccountId>,
    /// ENVID (RFC 3461 §4.4).
    pub envelope_id: Option<String>,
    /// RET (RFC 3461 §4.3): true = FULL.
    pub return_full: Option<bool>,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// BODY.
    pub body: Body,
    /// It may travel under verified TLS only (RFC 8689).
    pub require_tls: bool,
    /// MT-PRIORITY (RFC 6710).
    pub priority: i16,
    /// BY (RFC 2852).
    pub deliver_by: Option<queue::DeliverBy>,
    /// Not before then (RFC 4865).
    pub hold_until: Option<Timestamp>,
    /// The recipients.
    pub recipients: Vec<OutboundRecipient>,
}

impl Outbound {
    /// An envelope in which nothing special is asked for.
    pub fn new(sender: String, body: Body, recipients: Vec<OutboundRecipient>) -> Self {
        Self {
            prefix: None,
            sender,
            account: None,
            envelope_id: None,
            return_full: None,
            smtputf8: false,
            body,
            require_tls: false,
            priority: 0,
            deliver_by: None,
            hold_until: None,
            recipients,
        }
    }
}

/// A recipient on another server.
#[derive(Clone)]
pub struct OutboundRecipient {
    /// Forward path.
    pub address: String,
    /// Its domain, in lower case and ASCII.
    pub domain: String,
    /// The domain is ours: the relay puts the message into the mailbox.
    pub here: bool,
    /// NOTIFY (RFC 3461 §4.1).
    pub notify: Option<Notify>,
    /// ORCPT (RFC 3461 §4.2), as written.
    pub original: Option<String>,
}

/// What a message got in its mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// Its UID.
    pub uid: u32,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// Its modseq.
    pub modseq: u64,
    /// What the account keeps now, bytes.
    pub used_bytes: i64,
}

/// What became of a delivery: for each place what it got, `None` where the mailbox is gone.
pub type Receipt = Vec<Option<Placed>>;

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
    /// What can be sent at once is handed over through `inlet`.
    pub fn start(store: &Arc<Store>, inlet: Inlet) -> Self {
        let (jobs, queue) = mpsc::channel(2 * MAX_JOBS);
        tokio::spawn(Worker { store: store.clone(), queue, inlet }.run());
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
                for (job, receipt) in jobs.into_iter().zip(receipts) {
                    for place in &job.delivery.places {
                        self.store.views.mark(place.account, place.mailbox);
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
                    self.queued(batch.queued);
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
                        self.queued(batch.queued);
                        return Ok(receipts);
                    }
                    return Err(error);
                }
            }
        }
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
            queued: Queued::new(node),
            settlements: Settlements::new(deliveries.iter().copied(), node),
        };
        // In the order of their digests, so that two batches with the same contents cannot wait for each other.
        let mut drafts: Vec<&Draft> = deliveries.iter().filter_map(|d| d.draft()).collect();
        drafts.sort_unstable_by_key(|d| d.digest);
        drafts.dedup_by_key(|d| d.digest);
        for draft in drafts {
            batch.content.push(draft);
            batch.chunks.push(draft);
        }
        for delivery in deliveries {
            let Some(content) = &delivery.content else { continue };
            for place in &delivery.places {
                batch.places.push(place, content);
            }
            for outbound in &delivery.outbound {
                batch.queued.push(outbound, content);
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
        let enqueue = match self.queued.outbound.is_empty() {
            true => None,
            false => Some(client.prepare(ENQUEUE).await.map_err(Failed::Before)?),
        };
        let settle = self.settlements.prepare(client).await.map_err(Failed::Before)?;
        let (content, chunks, places) = (&self.content, &self.chunks, &self.places);
        let pg = client.raw();
        let work = async {
            let content_values: [&(dyn tokio_postgres::types::ToSql + Sync); 14] = [
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
            ];
            let chunk_values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&chunks.content, &chunks.start, &chunks.size, &chunks.codec, &chunks.bytes];
            let place_values: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
                &places.account,
                &places.mailbox,
                &places.digest,
                &places.date,
                &places.zone,
                &places.size,
                &places.flags,
                &places.keywords,
                &places.prefix,
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
                    pg.query(&lock, &[&places.account, &places.mailbox]).await
                }
            };
            let placing = async {
                if places.account.is_empty() { Ok(Vec::new()) } else { pg.query(&place, &place_values).await }
            };
            let queueing = async {
                match &enqueue {
                    None => Ok(Vec::new()),
                    Some(statement) => self.queued.enqueue(pg, statement).await,
                }
            };
            // Futures joined on one connection are sent in this order, in one go.
            let settling = async {
                match &settle {
                    None => Ok(()),
                    Some(settle) => self.settlements.run(pg, settle).await,
                }
            };
            let (a, b, c, d, e, rows, queued, h) =
                tokio::join!(begin, batch, contents, bodies, locks, placing, queueing, settling);
            a?;
            b?;
            c?;
            d?;
            e?;
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
                    },
                )
            })
            .collect();
        let mut place = 0;
        self.deliveries
            .iter()
            .map(|delivery| {
                delivery
                    .places
                    .iter()
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
    }
}

/// The queue entries of a batch.
struct Queued<'a> {
    node: &'a str,
    outbound: Vec<(&'a Outbound, &'a Content)>,
    /// For each entry and domain of it, in their order: its place in the relay of this node, if there was one.
    groups: Vec<Group<'a>>,
    /// What was inserted: message, content, recipient, in the order of the entries and their recipients.
    ids: Vec<tokio_postgres::Row>,
}

/// The recipients of one entry in one domain.
struct Group<'a> {
    entry: usize,
    domain: &'a str,
    here: bool,
    recipients: Vec<usize>,
    place: Option<queue::Place>,
}

impl<'a> Queued<'a> {
    fn new(node: &'a str) -> Self {
        Self { node, outbound: Vec::new(), groups: Vec::new(), ids: Vec::new() }
    }

    fn push(&mut self, outbound: &'a Outbound, content: &'a Content) {
        let entry = self.outbound.len();
        let first = self.groups.len();
        self.outbound.push((outbound, content));
        for (at, recipient) in outbound.recipients.iter().enumerate() {
            let known = self
                .groups
                .iter_mut()
                .skip(first)
                .find(|group| group.domain == recipient.domain && group.here == recipient.here);
            match known {
                Some(group) => group.recipients.push(at),
                None => self.groups.push(Group {
                    entry,
                    domain: &recipient.domain,
                    here: recipient.here,
                    recipients: vec![at],
                    place: None,
                }),
            }
        }
    }

    /// Takes places for what can be sent at once.
    fn take_places(&mut self, inlet: &Inlet) {
        for group in &mut self.groups {
            let Some((outbound, content)) = self.outbound.get(group.entry) else { continue };
            if outbound.hold_until.is_none() {
                let bytes = match content {
                    Content::Draft(draft) => draft.chunks.iter().map(|chunk| chunk.bytes.len()).sum(),
                    Content::Stored { .. } => 0,
                };
                group.place = inlet.place(group.domain, group.recipients.len(), bytes);
            }
        }
    }

    async fn enqueue(
        &self,
        pg: &tokio_postgres::Client,
        statement: &tokio_postgres::Statement,
    ) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
        let entries = &self.outbound;
        let digest: Vec<&[u8]> = entries.iter().map(|(_, content)| content.digest()).collect();
        let prefix: Vec<Option<&[u8]>> = entries.iter().map(|(out, _)| out.prefix.as_deref()).collect();
        let sender: Vec<&str> = entries.iter().map(|(out, _)| out.sender.as_str()).collect();
        let account: Vec<Option<i64>> = entries.iter().map(|(out, _)| out.account.map(|a| a.0)).collect();
        let envelope_id: Vec<Option<&str>> =
            entries.iter().map(|(out, _)| out.envelope_id.as_deref()).collect();
        let return_full: Vec<Option<bool>> = entries.iter().map(|(out, _)| out.return_full).collect();
        let smtputf8: Vec<bool> = entries.iter().map(|(out, _)| out.smtputf8).collect();
        let body: Vec<&str> = entries.iter().map(|(out, _)| queue::body_word(Some(out.body))).collect();
        let require_tls: Vec<bool> = entries.iter().map(|(out, _)| out.require_tls).collect();
        let priority: Vec<i16> = entries.iter().map(|(out, _)| out.priority).collect();
        let by: Vec<Option<Timestamp>> =
            entries.iter().map(|(out, _)| out.deliver_by.map(|by| by.at)).collect();
        let by_return: Vec<bool> =
            entries.iter().map(|(out, _)| out.deliver_by.is_some_and(|by| by.return_after)).collect();
        let by_trace: Vec<bool> =
            entries.iter().map(|(out, _)| out.deliver_by.is_some_and(|by| by.trace)).collect();
        let hold: Vec<Option<Timestamp>> = entries.iter().map(|(out, _)| out.hold_until).collect();
        let (mut entry, mut address, mut domain, mut notify, mut original, mut leased) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for group in &self.groups {
            let Some((outbound, _)) = entries.get(group.entry) else { continue };
            for recipient in group.recipients.iter().filter_map(|at| outbound.recipients.get(*at)) {
                // Counted from 1, as arrays are.
                entry.push(group.entry as i64 + 1);
                address.push(recipient.address.as_str());
                domain.push(recipient.domain.as_str());
                notify.push(recipient.notify.map(super::place::notify_words));
                original.push(recipient.original.as_deref());
                leased.push(group.place.is_some());
            }
        }
        let waiting: BTreeSet<(&str, Option<Timestamp>)> = self
            .groups
            .iter()
            .filter(|group| group.place.is_none())
            .map(|group| (group.domain, entries.get(group.entry).and_then(|(out, _)| out.hold_until)))
            .collect();
        let (look_at, look_from): (Vec<&str>, Vec<Option<Timestamp>>) = waiting.into_iter().unzip();
        pg.query(
            statement,
            &[
                &digest,
                &prefix,
                &sender,
                &account,
                &envelope_id,
                &return_full,
                &smtputf8,
                &body,
                &require_tls,
                &priority,
                &by,
                &by_return,
                &by_trace,
                &hold,
                &entry,
                &address,
                &domain,
                &notify,
                &original,
                &leased,
                &self.node,
                &queue::LEASE.as_secs_f64(),
                &look_at,
                &look_from,
            ],
        )
        .await
    }

    /// What was committed, as work for this node where it has a place; `None` for each that waits to be claimed.
    fn work(self) -> Vec<Option<Work>> {
        let mut rows = self.ids.iter();
        let mut messages: HashMap<usize, Arc<queue::Message>> = HashMap::new();
        let mut found = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let ids: Vec<&tokio_postgres::Row> = rows.by_ref().take(group.recipients.len()).collect();
            let (Some(place), Some((out, content)), Some(first)) =
                (group.place, self.outbound.get(group.entry), ids.first())
            else {
                found.push(None);
                continue;
            };
            let message =
                messages.entry(group.entry).or_insert_with(|| Arc::new(out.message(content, first))).clone();
            let recipients = ids.iter().zip(&group.recipients).filter_map(|(row, at)| {
                let recipient = out.recipients.get(*at)?;
                Some(queue::Recipient {
                    id: row.get(2),
                    address: recipient.address.clone(),
                    attempts: 0,
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                    delay_reported: false,
                })
            });
            let work = Work::handed_over(message, group.domain.into(), recipients.collect(), place);
            found.push(Some(if group.here { work.to_be_looked_up() } else { work }));
        }
        found
    }
}

impl Outbound {
    /// The message as it is in the queue now; `row` begins with its id and that of its content.
    fn message(&self, content: &Content, row: &tokio_postgres::Row) -> queue::Message {
        let prefix = self.prefix.clone().unwrap_or_default();
        queue::Message {
            id: row.get(0),
            content: row.get(1),
            content_size: Some(content.size()),
            size: content.size() + prefix.len() as u64,
            prefix,
            sender: self.sender.clone(),
            account: self.account,
            received_at: Timestamp::now(),
            envelope_id: self.envelope_id.clone(),
            return_full: self.return_full,
            smtputf8: self.smtputf8,
            body: self.body,
            require_tls: self.require_tls,
            priority: self.priority,
            deliver_by: self.deliver_by,
            chunks: match content {
                // Chunks that were written as they came in are read again.
                Content::Draft(draft) => draft.is_held().then(|| draft.chunks.clone()),
                Content::Stored { .. } => None,
            },
        }
    }
}
